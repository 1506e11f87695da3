"""`template`, `runs`, `results`, `undo`, `purge` and `doctor`."""

import asyncio
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Final, Literal

import click
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bulkcast import loader, pipeline, reporter
from bulkcast.arguments import Series, SettingNames
from bulkcast.cli import apply, context, json_output, render, streams
from bulkcast.cli.apply import confirm
from bulkcast.cli.command_options import Destination, Existing
from bulkcast.cli.console import Output, Symbols, command, output, shown, whole
from bulkcast.cli.json_output import state
from bulkcast.cli.language import calling, current_translator, said, spell, tr, trn
from bulkcast.cli.render import style_of
from bulkcast.cli.run_options import (
    DoctorOptions,
    PurgeOptions,
    ResultsOptions,
    RunsOptions,
    ShowOptions,
    TemplateOptions,
    UndoOptions,
)
from bulkcast.cli.states import reason_said, state_said, status_said, status_written
from bulkcast.endpoints import WEBCAST
from bulkcast.errors import CannotStart, UnreadableSheet
from bulkcast.i18n import short_header
from bulkcast.ledger import RunRecord
from bulkcast.messages import local_time
from bulkcast.model import ResultRow, RowStatus, Severity, Sheet, is_rehearsal
from bulkcast.pipeline import Diagnosis, Undone, UnrecoverableGroup, zone
from bulkcast.reporter import Crosstab
from bulkcast.reporter.run_summary import FailureGroup, RunSummary, ranges

_STRETCHES = 12
"""Ranges of row numbers shown for a cause."""


def summary_lines(
    found: RunSummary, earlier: Mapping[RowStatus, int], tz: tzinfo, symbols: Symbols
) -> Iterable[RenderableType]:
    """The run, its counts, and why rows failed; times are in `tz`.

    `earlier` counts the rows that keep the outcome of an earlier run.
    """
    yield _facts(found, tz)
    yield Text("")
    yield render.outcome(found.counts, earlier, symbols)
    yield _total(found, symbols)
    if found.purged_at is not None:
        day = local_time(found.purged_at, tz)[:10]
        purged = "Purged on {day}: what its rows held is gone; how they ended is all that is left."
        yield Text(tr(purged, day=day))
    if found.stop:
        yield from render.why_stopped(found.stop, found.counts, symbols)
    for cause in found.causes:
        yield Text("")
        yield from _cause(cause, symbols)


def _facts(found: RunSummary, tz: tzinfo) -> Table:
    begun, ended = local_time(found.created_at, tz), local_time(found.finished_at, tz)
    facts = (
        (tr("Run"), _name(found.run)),
        (tr("Sheet"), found.sheet),
        (tr("Institution"), tr("{sid} at {root_url}", sid=found.sid, root_url=found.root_url)),
        (tr("Begun"), tr("{at} ({zone})", at=begun, zone=found.tz)),
        (tr("Ended"), ended or "–"),
    )
    table = Table.grid(padding=(0, 2))
    for name, value in facts:
        table.add_row(Text(name, "dim"), Text(shown(value), overflow="fold"))
    return table


def _name(run: str) -> str:
    return tr("{run} (a rehearsal: nothing went to ClassIn)", run=run) if is_rehearsal(run) else run


def _total(found: RunSummary, symbols: Symbols) -> Text:
    parts = [
        render.rows_said(found.rows),
        trn("{n} attempt", "{n} attempts", found.attempts),
    ]
    if found.finished_at is not None:
        parts.append(spell(max(0.0, found.finished_at - found.created_at)))
    return Text(f" {symbols.dot} ".join(parts), "bold")


def _cause(cause: FailureGroup, symbols: Symbols) -> Iterable[RenderableType]:
    status = status_written(cause.status)
    rows = render.rows_said(len(cause.rows))
    lang = current_translator().lang
    yield Text.assemble((f"{status} {cause.code}", "bold"), f" {symbols.dot} {rows}")
    if cause.message.say(lang):
        message = Text(shown(cause.message.say(lang)))
        yield Padding(message, (0, 0, 0, 4), expand=False)
    if cause.fix.say(lang):
        fix = Text(f"{symbols.arrow} {shown(cause.fix.say(lang))}", "dim")
        yield Padding(fix, (0, 0, 0, 4), expand=False)
    listed, beyond = ranges(cause.rows, _STRETCHES)
    line = trn("row {rows}", "rows {rows}", len(cause.rows), rows=Series(listed))
    more = f" {tr('and {n} more', n=f'{beyond:,}')}" if beyond else ""
    yield Padding(Text(line + more, "dim"), (0, 0, 0, 4), expand=False)


def row_lines(listed: Sequence[ResultRow], *, most: int | None) -> Iterable[RenderableType]:
    """Rows one by one, at most `most` of them."""
    if not listed:
        yield Text(tr("No row ended so."))
        return
    kept = listed if most is None else listed[:most]
    table = Table.grid(padding=(0, 2))
    for row in kept:
        table.add_row(
            Text(tr("row {n}", n=row.row), "bold"),
            Text(status_said(row.status)),
            Text(row.time),
            Text(shown(row.message), overflow="fold"),
        )
    yield table
    if len(listed) > len(kept):
        left = f"{len(listed) - len(kept):,}"
        yield Text(tr("and {n} more; --all lists them too", n=left))


def runs_table(records: Sequence[RunRecord]) -> Iterator[Table | Text]:
    """The table of runs, each with its times in the time zone of its sheet.

    Time zone and institution are shown below the table if all runs share them.
    """
    zones = {record.header.tz for record in records}
    schools = {record.header.institution.sid for record in records}
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    widest = max((len(record.header.run) for record in records), default=0)
    # Names are copied and compared: never wrap or truncate them.
    table.add_column(tr("Run"), header_style="dim", no_wrap=True, min_width=widest)
    table.add_column(tr("When"), header_style="dim", no_wrap=True)
    for title in (tr("Sheet"), *([tr("Institution")] if len(schools) > 1 else []), tr("Rows"),
                  tr("State")):  # fmt: skip
        table.add_column(title, header_style="dim", overflow="fold")
    for record in records:
        table.add_row(*_line(record, named=len(zones) > 1, whose=len(schools) > 1))
    yield table
    told = [tr("Times are those of {zone}.", zone=zones.pop())] if len(zones) == 1 else []
    if len(schools) == 1:
        told.append(tr("All of institution {sid}.", sid=shown(schools.pop())))
    yield Text(current_translator().joined(told), "dim")


def _line(record: RunRecord, *, named: bool, whose: bool) -> tuple[Text, ...]:
    header = record.header
    begun = local_time(header.created_at, zone(header.tz))[:16]
    school = [Text(shown(header.institution.sid))] if whose else []
    return (
        Text(header.run),
        Text(f"{begun} {header.tz}" if named else begun),
        Text(shown(header.sheet.replace("\\", "/").rpartition("/")[2])),
        *school,
        _brief(record.counts),
        Text(_state(record)),
    )


def _brief(counts: Mapping[RowStatus, int]) -> Text:
    parts = [
        Text(f"{n:,} {status_said(status)}", style_of(status)) for status, n in counts.items() if n
    ]
    return Text(current_translator().listed(["", ""])).join(parts)


def _state(record: RunRecord) -> str:
    match state(record):
        case "crashed":
            return tr("{state}: resume it", state=state_said("crashed"))
        case "stopped":
            reason = reason_said(shown(record.stop.reason)) if record.stop else ""
            return tr("{state}: {reason}", state=state_said("stopped"), reason=reason)
        case other:
            return state_said(other)


def crosstab(table: Crosstab) -> Table:
    """Rows by the values of a column."""
    shape = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    shape.add_column(Text(shown(short_header(table.column))), header_style="dim")
    for status in table.statuses:
        shape.add_column(status_said(status), justify="right", header_style="dim")
    for value, counts in table.counts:
        shape.add_row(Text(shown(value) or tr("(blank)")), *(f"{n:,}" if n else "" for n in counts))
    return shape


def purge(options: PurgeOptions) -> int:
    """Show the runs, confirm, and erase their contents; return the exit status."""
    told = output(options.output)
    if not (options.yes or streams.is_interactive()):
        raise CannotStart("there is no terminal to ask on; add --yes to purge without asking")
    run, destination = context.located(options.run, options.destination)
    home = context.home(destination)
    found = pipeline.purgeable(home, run=run, older_than_s=options.older_than_s)
    if found and not told.as_json:
        told.show(*runs_table(found))
    if found and not options.yes:
        one = "Take away what the rows of {n} run held, for good?"
        many = "Take away what the rows of {n} runs held, for good?"
        confirm(trn(one, many, len(found)))
    if found:
        pipeline.purge(home, found)
        for kept in home.glob(context.WORLD.format(sid="*")):
            kept.unlink(missing_ok=True)  # a sandbox's changes are contents of those rows
    names = [record.header.run for record in found]
    if told.as_json:
        told.document(json_output.dump({"schema": "bulkcast.purge/1", "runs": names, "exit": 0}))
    elif names:
        runs = shown(current_translator().listed(names))
        told.say(Text(tr("Purged: {runs}. Result sheets were left alone.", runs=runs)))
    else:
        told.say(Text(tr("There is nothing to purge.")))
    return 0


_LISTED: Final = 20
_MOST_STRETCHES: Final = 12
"""Ranges of row numbers shown for a setting."""


def undo(run: str, options: UndoOptions) -> int:
    """Write the sheet that reverts a run; return the exit status."""
    told = output(options.output)
    run, destination = context.located(run, options.destination)
    target: Path | None = options.results
    found = pipeline.undo(
        context.home(destination),
        run,
        target=target,
        existing=options.existing,
        lang=current_translator().lang,
    )
    calling(found.names)
    if told.as_json:
        told.document(json_output.dump(json_output.undone(found)))
    told.show(*_said(found, told))
    if told.quiet:
        told.trouble(*_lost(found, told.symbols))
    if not told.as_json:
        _tell_undo_next(told, found)
    return found.exit_status


def _said(found: Undone, told: Output) -> Iterable[Text]:
    if found.path:
        yield Text(
            tr(
                "Brings {settings} of {classrooms} back to what was acknowledged before run {run}.",
                settings=trn("{n} setting", "{n} settings", found.settings),
                classrooms=trn("{n} classroom", "{n} classrooms", found.classrooms),
                run=found.run,
            )
        )
        yield whole(tr("Sheet: "), shown(found.path))
    else:
        said = "Run {run} leaves nothing that can be brought back; no sheet is written."
        yield Text(tr(said, run=found.run))
    yield from _lost(found, told.symbols)
    for key in found.may_append:
        said = tr(
            "{key}: the vendor has not said whether a list replaces the one before it; look at"
            " these classrooms afterwards",
            key=key,
        )
        yield Text(f"{told.symbols.warning} {said}", "yellow")


def _stays(why: Literal["unknown", "since"], n: int) -> str:
    if why == "unknown":
        return trn(
            "{n} setting stays as it is, because nothing was acknowledged of it before that run:",
            "{n} settings stay as they are, because nothing was acknowledged of them before that"
            " run:",
            n,
        )
    return trn(
        "{n} setting stays as it is, because another run has set it since:",
        "{n} settings stay as they are, because another run has set them since:",
        n,
    )


def _lost(found: Undone, symbols: Symbols) -> Iterable[Text]:
    """The settings that cannot be restored, and why."""
    for why, n in Counter(item.why for item in found.lost).items():
        yield Text(f"{symbols.warning} {_stays(why, n)}", "yellow")
        some = [stays for stays in found.stays if stays.why == why]
        yield from (Text(f"    {_places(stays)}") for stays in some[:_LISTED])
        if len(some) > _LISTED:
            left = f"{len(some) - _LISTED:,}"
            yield Text(f"    {tr('and {n} more; --json has them all', n=left)}")


def _places(stays: UnrecoverableGroup) -> str:
    where = trn("{n} classroom", "{n} classrooms", stays.classrooms)
    return trn(
        "{keys}: {where}, row {rows}",
        "{keys}: {where}, rows {rows}",
        len(stays.rows),
        keys=SettingNames(stays.keys),
        where=where,
        rows=Series(*ranges(stays.rows, _MOST_STRETCHES)),
    )


def _tell_undo_next(told: Output, found: Undone) -> None:
    if found.path:
        told.say(
            Text(
                tr(
                    "It may hold passwords, so only you can read it. What was changed in"
                    " ClassIn's console since is not seen, and would be overwritten."
                )
            ),
            whole(tr("Next, to look at it: "), command("bulkcast", "plan", found.path)),
            whole(
                tr("Then, to take the run back: "),
                command("bulkcast", "apply", found.path, *context.typed(*context.OF_RUN)),
            ),
        )


def template(target: Path, options: TemplateOptions) -> int:
    """Write the workbook to fill in."""
    told = output(options.output)
    source: Path | None = options.filled_from
    sheet = None
    if source is not None:
        sheet = loader.read(source, endpoint=WEBCAST, options=options.read)
        _require_sure(sheet)
    written = reporter.write_template(
        target, WEBCAST, options.output.lang, existing=options.existing, filled_from=sheet
    )
    n_rows = 0 if sheet is None else len(sheet.rows)
    if told.as_json:
        document = {
            "schema": "bulkcast.template/1", "template": str(written.path), "rows": n_rows,
        }  # fmt: skip
        told.document(json_output.dump(document))
    told.show(whole(tr("Template: "), shown(written.path)))
    doubts = [issue.message for issue in sheet.issues] if sheet else []
    for remark in (*doubts, *(sheet.remarks if sheet else ()), *written.remarks):
        told.say(Text(shown(said(remark))))
    if not told.as_json:
        _tell_template_next(told, written.path, n_rows)
    return 0


def _require_sure(sheet: Sheet) -> None:
    """Refuse to copy values of a file read by guessing: in a workbook they would look certain.

    Raises:
        UnreadableSheet: the sheet has such an error.

    """
    for issue in sheet.issues:
        if issue.severity is Severity.ERROR:
            raise UnreadableSheet("{name}: {sentence}", name=sheet.name, sentence=issue.message)


def _tell_template_next(told: Output, path: Path, n_rows: int) -> None:
    validate = command("bulkcast", "validate", path)
    lead = tr("Fill in a row for each classroom, then: ")
    if n_rows:
        one = "It holds {n} row already; check it: "
        lead = trn(one, "It holds {n} rows already; check them: ", n_rows)
    told.say(whole(lead, validate))


def runs(options: RunsOptions) -> int:
    """List every run, newest first."""
    told = output(options.output)
    there = _runs(options.destination)
    records = [record for record in there if _is_wanted(record, options)]
    if told.as_json:
        told.document(json_output.dump(json_output.runs(records)))
    elif records:
        told.show(*runs_table(records))
    elif there:
        told.say(Text(trn("The {n} run is not so.", "None of the {n} runs is so.", len(there))))
    else:
        told.say(Text(tr("There are no runs yet; `bulkcast apply` begins one.")))
    return 0


def _runs(destination: Destination) -> list[RunRecord]:
    """All runs, rehearsals too; with --sandbox only those."""
    home = context.home(destination)
    tried = home / context.SANDBOX_HOME
    found = pipeline.runs(home)
    if not destination.sandbox and pipeline.runs_called(tried, ""):
        found += pipeline.runs(tried)
        found.sort(key=lambda record: record.header.created_at, reverse=True)
    return found


def _is_wanted(record: RunRecord, options: RunsOptions) -> bool:
    """Whether a run matches the filters; days are in the time zone of its sheet."""
    header = record.header
    day = datetime.fromtimestamp(header.created_at, zone(header.tz)).date()
    since, until = options.since, options.until
    name = (options.name or "").casefold()
    return (
        options.state in {None, json_output.state(record)}
        and name in Path(header.sheet.replace("\\", "/")).name.casefold()
        and (since is None or since <= day)
        and (until is None or day <= until)
    )


def show(run: str, options: ShowOptions) -> int:
    """Show a run's summary; with --only, its rows with these statuses."""
    told = output(options.output)
    run, destination = context.located(run, options.destination)
    home, only = context.home(destination), options.only
    account, rows = pipeline.outcomes(home, run, lang=current_translator().lang)
    listed = [row for row in rows if row.status in only]
    if told.as_json:
        told.document(json_output.dump(json_output.account(account, listed)))
        return 0
    tz = zone(account.tz)
    calling(account.names)
    told.show(*summary_lines(account, render.before(rows, account.run), tz, told.symbols))
    if only:
        most = None if options.lists_all else render.PROBLEMS_MOST
        told.show(Text(""), *row_lines(listed, most=most))
    page = command(
        "bulkcast",
        "results",
        account.run,
        "-o",
        f"{account.run}.html",
        *context.typed(*context.OF_RUN),
    )
    told.say(Text(""), whole(tr("As a page to hand on: "), page))
    return 0


def results(run: str, options: ResultsOptions) -> int:
    """Write a run's result sheet again; with --by, count its rows by a column."""
    told = output(options.output)
    run, destination = context.located(run, options.destination)
    home, by = context.home(destination), options.by
    _require_chosen_alone(options)
    if by:
        return _counted(told, pipeline.crosstab(home, run, by))
    if options.results and options.results.suffix.lower() in _PAGES:
        return _paged(told, home, run, options.results, options.existing)
    chosen = options.results or options.existing == "replace"
    existing: Existing | Literal["keep"] = options.existing if chosen else "keep"
    report = pipeline.results(
        home,
        run,
        target=options.results,
        existing=existing,
        only=options.only,
        lang=options.output.lang,
    )
    if told.as_json:
        told.document(json_output.dump(json_output.run(report)))
    apply.show_ended(told, report)
    return 0


_PAGES: Final = frozenset({".html", ".htm"})


def _require_chosen_alone(options: ResultsOptions) -> None:
    """Refuse --only with options that report all rows, or without -o.

    Raises:
        UsageError: --only was given like that.

    """
    target: Path | None = options.results
    if not options.only or (target and target.suffix.lower() not in _PAGES and not options.by):
        return
    said = "--only writes a sheet of those rows: name it with -o, as .xlsx, .csv or .tsv"
    raise click.UsageError(tr(said))


def _paged(told: Output, home: Path, run: str, target: Path, existing: Existing) -> int:
    """Write a run's report as an HTML page."""
    written = pipeline.page(
        home,
        run,
        target,
        existing=existing,
        lang=current_translator().lang,
    )
    if told.as_json:
        told.document(json_output.dump(json_output.page(written.path)))
    told.show(whole(tr("Page: "), shown(written.path)))
    return 0


def _counted(told: Output, table: reporter.Crosstab) -> int:
    if told.as_json:
        told.document(json_output.dump(json_output.crosstab(table)))
    told.show(crosstab(table))
    return 0


def doctor(options: DoctorOptions) -> int:
    """Check ClassIn, credentials, clock and the ledger; return the exit status."""
    told = output(options.output)
    found = asyncio.run(_examine(options.destination))
    if told.as_json:
        told.document(json_output.dump(json_output.diagnosis(found)))
    told.show(render.findings(found, told.symbols))
    if told.quiet and found.exit_status:
        wrong = tuple(finding for finding in found.findings if not finding[1])
        told.trouble(render.findings(replace(found, findings=wrong), told.symbols))
    if not told.as_json:
        home = os.fspath(context.home(options.destination))
        told.say(Text(tr("Runs are kept in {folder}", folder=shown(home))))
    return found.exit_status


async def _examine(destination: Destination) -> Diagnosis:
    try:
        wanted = context.config(destination)
    except CannotStart as exc:
        home = context.home(destination)
        return pipeline.doctor_without(exc, home, lang=current_translator().lang)
    async with context.connected(wanted, destination) as config:
        return await pipeline.doctor(config, lang=current_translator().lang)
