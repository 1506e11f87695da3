"""`template`, `runs`, `results`, `undo`, `purge` and `doctor`."""

import os
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Final, Literal

import click
from rich.text import Text

from bulkcast import config as configuration
from bulkcast import loader, pipeline, reporter
from bulkcast.cli import context, json_output, render, run_view, streams
from bulkcast.cli.console import Output, command, confirm, shown, whole
from bulkcast.cli.context import Destination, Existing
from bulkcast.cli.language import calling, current_translator, said, tr, trn
from bulkcast.config import SANDBOX_FOLDER
from bulkcast.endpoints import WEBCAST
from bulkcast.errors import CannotStart, UnreadableSheet
from bulkcast.home import Home, SharedHome, folder_of
from bulkcast.languages import Lang
from bulkcast.ledger import RunRecord
from bulkcast.loader import ReadOptions
from bulkcast.model import RowStatus, Severity, Sheet
from bulkcast.pipeline import Diagnosis, Undone, zone


def template(
    target: Path,
    output: Output,
    options: ReadOptions,
    *,
    filled_from: Path | None,
    existing: Existing,
    lang: Lang,
) -> int:
    """Write the workbook to fill in."""
    sheet = None
    if filled_from is not None:
        sheet = loader.read(filled_from, endpoint=WEBCAST, options=options)
        _require_sure(sheet)
    written = reporter.write_template(target, WEBCAST, lang, existing=existing, filled_from=sheet)
    n_rows = 0 if sheet is None else len(sheet.rows)
    if output.as_json:
        document = {
            "schema": "bulkcast.template/1", "template": str(written.path), "rows": n_rows,
        }  # fmt: skip
        output.json(json_output.dump(document))
    output.out(whole(tr("Template: "), shown(written.path)))
    doubts = [issue.message for issue in sheet.issues] if sheet else []
    for remark in (*doubts, *(sheet.remarks if sheet else ()), *written.remarks):
        output.info(Text(shown(said(remark))))
    if not output.as_json:
        _show_template_next(output, written.path, n_rows)
    return 0


def _require_sure(sheet: Sheet) -> None:
    """Refuse to copy values of a file read by guessing: in a workbook they would look certain.

    Raises:
        UnreadableSheet: the sheet has such an error.

    """
    for issue in sheet.issues:
        if issue.severity is Severity.ERROR:
            raise UnreadableSheet("{name}: {sentence}", name=sheet.name, sentence=issue.message)


def _show_template_next(output: Output, path: Path, n_rows: int) -> None:
    validate = command("bulkcast", "validate", path)
    lead = tr("Fill in a row for each classroom, then: ")
    if n_rows:
        one = "It holds {n} row already; check it: "
        lead = trn(one, "It holds {n} rows already; check them: ", n_rows)
    output.info(whole(lead, validate))


def runs(
    output: Output,
    destination: Destination,
    *,
    state: str | None,
    name: str | None,
    since: date | None,
    until: date | None,
) -> int:
    """List the runs that are as asked, newest first; days are in the time zone of their sheet."""

    def is_wanted(record: RunRecord) -> bool:
        header = record.header
        day = datetime.fromtimestamp(header.created_at, zone(header.tz)).date()
        sheet = header.title.casefold()
        return (
            state in {None, json_output.state(record)}
            and (name or "").casefold() in sheet
            and (since is None or since <= day)
            and (until is None or day <= until)
        )

    found = _runs(destination)
    records = [record for record in found if is_wanted(record)]
    if output.as_json:
        output.json(json_output.dump(json_output.runs(records)))
    elif records:
        output.out(*run_view.runs_table(records))
    elif found:
        output.info(Text(trn("The {n} run is not so.", "None of the {n} runs is so.", len(found))))
    else:
        output.info(Text(tr("There are no runs yet; `bulkcast apply` begins one.")))
    return 0


def _runs(destination: Destination) -> list[RunRecord]:
    """All runs, rehearsals too; with --sandbox only those."""
    home = context.home(destination)
    tried = home / SANDBOX_FOLDER
    found = pipeline.runs(home)
    if not destination.sandbox and pipeline.runs_called(tried, ""):
        found += pipeline.runs(tried)
        found.sort(key=lambda record: record.header.created_at, reverse=True)
    return found


def show(
    run: str,
    output: Output,
    destination: Destination,
    *,
    only: frozenset[RowStatus],
    lists_all: bool,
) -> int:
    """Show a run's summary; with --only, its rows with these statuses."""
    run, destination = context.located(run, destination)
    home = context.home(destination)
    account, rows = pipeline.outcomes(home, run, lang=current_translator().lang)
    listed = [row for row in rows if row.status in only]
    if output.as_json:
        output.json(json_output.dump(json_output.account(account, listed)))
        return 0
    tz = zone(account.tz)
    calling(account.names)
    output.out(
        *run_view.summary_lines(account, run_view.before(rows, account.run), tz, output.symbols)
    )
    if only:
        most = None if lists_all else render.PROBLEMS_MOST
        output.out(Text(""), *run_view.row_lines(listed, most=most))
    page = command(
        "bulkcast",
        "results",
        account.run,
        "-o",
        f"{account.run}.html",
        *context.typed(*context.OF_RUN),
    )
    output.info(Text(""), whole(tr("As a page to hand on: "), page))
    return 0


def results(
    run: str,
    output: Output,
    destination: Destination,
    *,
    only: frozenset[RowStatus],
    by: str | None,
    target: Path | None,
    existing: Existing,
) -> int:
    """Write a run's result sheet again; with --by, count its rows by a column."""
    run, destination = context.located(run, destination)
    home = context.home(destination)
    is_page = target is not None and target.suffix.lower() in _PAGES
    if only and (target is None or is_page or by):
        said = "--only writes a sheet of those rows: name it with -o, as .xlsx, .csv or .tsv"
        raise click.UsageError(tr(said))
    if by:
        return _counted(output, pipeline.crosstab(home, run, by))
    if target is not None and is_page:
        return _paged(output, home, run, target, existing)
    how: Existing | Literal["keep"] = existing if target or existing == "replace" else "keep"
    lang = current_translator().lang
    report = pipeline.results(home, run, target=target, existing=how, only=only, lang=lang)
    if output.as_json:
        output.json(json_output.dump(json_output.run(report)))
    run_view.show_ended(output, report)
    return 0


_PAGES: Final = frozenset({".html", ".htm"})


def _paged(output: Output, home: Home, run: str, target: Path, existing: Existing) -> int:
    """Write a run's report as an HTML page."""
    written = pipeline.page(
        home,
        run,
        target,
        existing=existing,
        lang=current_translator().lang,
    )
    if output.as_json:
        output.json(json_output.dump(json_output.page(written.path)))
    output.out(whole(tr("Page: "), shown(written.path)))
    return 0


def _counted(output: Output, table: reporter.Crosstab) -> int:
    if output.as_json:
        output.json(json_output.dump(json_output.crosstab(table)))
    output.out(run_view.crosstab(table))
    return 0


def undo(
    run: str, output: Output, destination: Destination, *, target: Path | None, existing: Existing
) -> int:
    """Write the sheet that reverts a run; return the exit status."""
    run, destination = context.located(run, destination)
    found = pipeline.undo(
        context.home(destination),
        run,
        target=target,
        existing=existing,
        lang=current_translator().lang,
    )
    _note("undo", found.run, destination)
    calling(found.names)
    if output.as_json:
        output.json(json_output.dump(json_output.undone(found)))
    output.out(*run_view.reverted(found, output.symbols))
    if output.quiet:
        output.problem(*run_view.unrecoverable(found, output.symbols))
    if not output.as_json:
        _show_undo_next(output, found)
    return found.exit_status


def _note(action: str, run: str, destination: Destination) -> None:
    """Put it in a fleet's list of actions."""
    home = context.home(destination)
    if isinstance(home, SharedHome):
        from bulkcast.pipeline import fleet_control

        user = configuration.user(context.environ())
        context.run_async(fleet_control.note_action(home, action, run, user=user))


def _show_undo_next(output: Output, found: Undone) -> None:
    if found.path:
        output.info(
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


def purge(
    run: str, output: Output, destination: Destination, *, older_than_s: float, yes: bool
) -> int:
    """Show the runs, confirm, and erase their contents; return the exit status."""
    if not (yes or streams.is_interactive()):
        raise CannotStart("there is no terminal to ask on; add --yes to purge without asking")
    run, destination = context.located(run, destination)
    home = context.home(destination)
    found = pipeline.purgeable(home, run=run, older_than_s=older_than_s)
    if found and not output.as_json:
        output.out(*run_view.runs_table(found))
    if found and not yes:
        one = "Take away what the rows of {n} run held, for good?"
        many = "Take away what the rows of {n} runs held, for good?"
        confirm(trn(one, many, len(found)))
    names = _purged(home, found)
    if names:
        _note("purge", ", ".join(names), destination)
    if output.as_json:
        output.json(json_output.dump({"schema": "bulkcast.purge/1", "runs": names, "exit": 0}))
    elif names:
        runs = shown(current_translator().listed(names))
        output.info(Text(tr("Purged: {runs}. Result sheets were left alone.", runs=runs)))
    else:
        output.info(Text(tr("There is nothing to purge.")))
    return 0


def _purged(home: Home, found: list[RunRecord]) -> list[str]:
    """Erase what runs held, and return their names."""
    if found:
        pipeline.purge(home, found)
        from bulkcast.sandbox.rehearsal import WORLD

        for kept in folder_of(home).glob(WORLD.format(sid="*")):
            kept.unlink(missing_ok=True)  # a sandbox's changes are contents of those rows
    return [record.header.run for record in found]


def doctor(output: Output, destination: Destination) -> int:
    """Check ClassIn, credentials, clock and the ledger; return the exit status."""
    found = context.run_async(_examine(destination))
    if output.as_json:
        output.json(json_output.dump(json_output.diagnosis(found)))
    output.out(render.findings(found, output.symbols))
    if output.quiet and found.exit_status:
        wrong = tuple(finding for finding in found.findings if not finding[1])
        output.problem(render.findings(replace(found, findings=wrong), output.symbols))
    if not output.as_json:
        home = context.home(destination)
        if not isinstance(home, SharedHome):  # whose ledger is named above
            output.info(Text(tr("Runs are kept in {folder}", folder=shown(os.fspath(home)))))
    return found.exit_status


async def _examine(destination: Destination) -> Diagnosis:
    try:
        wanted = context.config(destination)
    except CannotStart as exc:
        home = context.home(destination)
        return pipeline.doctor_without(exc, home, lang=current_translator().lang)
    async with context.connected(wanted, destination) as config:
        return await pipeline.doctor(config, lang=current_translator().lang)
