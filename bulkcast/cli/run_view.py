"""Renders how runs ended, for a terminal.  Cells are untrusted: see `shown`."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import tzinfo
from typing import Final, Literal

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bulkcast import pipeline
from bulkcast.arguments import Series, SettingNames
from bulkcast.cli import context
from bulkcast.cli.console import Output, Symbols, command, shown, whole
from bulkcast.cli.json_output import state
from bulkcast.cli.language import (
    current_translator,
    reason_said,
    said,
    spell,
    state_said,
    status_said,
    status_written,
    tr,
    trn,
)
from bulkcast.cli.render import NO_ROWS, rows_said
from bulkcast.endpoints import WEBCAST
from bulkcast.explanations import STATUS_MEANINGS
from bulkcast.i18n import short_header
from bulkcast.ledger import RunRecord
from bulkcast.messages import explain_stop, local_time
from bulkcast.model import DONE, ResultRow, RowStatus, Stop, group_of, is_rehearsal
from bulkcast.pipeline import NextStep, RunReport, Undone, UnrecoverableGroup, zone
from bulkcast.reporter import Crosstab
from bulkcast.reporter.run_summary import FailureGroup, RunSummary, ranges

_LOOKS: Final[Mapping[RowStatus, tuple[str, str]]] = {
    RowStatus.APPLIED: ("good", "green"),
    RowStatus.UNCHANGED: ("good", "green"),
    RowStatus.INVALID: ("bad", "red"),
    RowStatus.TOO_LATE: ("bad", "red"),
    RowStatus.REJECTED: ("bad", "red"),
    RowStatus.UNCONFIRMED: ("unknown", "yellow"),
    RowStatus.NOT_SENT: ("left", "yellow"),
    RowStatus.SUPERSEDED: ("left", ""),
}
"""The symbol and the colour of a status."""


def style_of(status: RowStatus) -> str:
    """The colour that goes with a status."""
    return _LOOKS[status][1]


def before(rows: Iterable[ResultRow], run: str) -> Mapping[RowStatus, int]:
    """The number of rows that keep the outcome of a run before `run`, by status."""
    return Counter(row.status for row in rows if run not in {row.run, group_of(row.run)})


def outcome(
    counts: Mapping[RowStatus, int], earlier: Mapping[RowStatus, int], symbols: Symbols
) -> Table:
    """Every status that occurs, with its number, name and meaning.

    `earlier` says how many of these rows have it from an earlier run.
    """
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right")
    for _ in range(3):
        table.add_column()
    for status, (mark, style) in _LOOKS.items():
        n = counts[status]
        if n:
            symbol = Text(getattr(symbols, mark), style)
            said = tr(STATUS_MEANINGS[status]) + _when(n, earlier.get(status, 0))
            word = Text(f"{status_written(status)} ", style)
            table.add_row(f"{n:,}", symbol, word, Text(said, "dim", overflow="fold"))
    return table


def _when(n: int, earlier: int) -> str:
    """How many of `n` rows ended so in this run, if not all did."""
    if not earlier:
        return ""
    if earlier == n:
        return tr(": all in an earlier run")
    return tr(": {now} now, {earlier} in an earlier run", now=f"{n - earlier:,}",
              earlier=f"{earlier:,}")  # fmt: skip


def total(report: RunReport, symbols: Symbols) -> Text:
    """The sum under the counts."""
    if not report.requests:
        return Text(rows_said(len(report.rows)), "bold")
    rate = report.requests / report.elapsed_s * 60 if report.elapsed_s > 1 else 0.0
    speed = tr(" ({n} a minute)", n=f"{rate:,.0f}") if rate else ""
    requests = trn(
        "{n} request in {time}",
        "{n} requests in {time}",
        report.requests,
        time=spell(report.elapsed_s),
    )
    return Text(f"{rows_said(len(report.rows))} {symbols.dot} {requests}{speed}", "bold")


def why_stopped(stop: Stop, counts: Mapping[RowStatus, int], symbols: Symbols) -> Iterable[Text]:
    """Why a run ended early, and what to do; `counts` are its rows by how they ended."""
    message, fix = explain_stop(stop, counts, WEBCAST, current_translator())
    reason, sentence = reason_said(shown(stop.reason)), shown(message)
    line = tr("Stopped ({reason}): {sentence}", reason=reason, sentence=sentence)
    yield Text(f"{symbols.warning} {line}", "bold yellow")
    if fix:
        yield Text(f"  {symbols.arrow} {shown(fix)}")


def why_ended(report: RunReport, symbols: Symbols) -> Iterable[Text]:
    """Why a run, or the runs of some institutions, ended early, and what to do."""
    if report.stop and not report.parts:
        yield from why_stopped(report.stop, report.counts, symbols)
    for part in report.parts:
        if part.stop:
            yield Text(tr("{profile} (run {run}):", profile=shown(part.profile), run=part.run))
            yield from why_stopped(part.stop, part.counts, symbols)


def show_ended(output: Output, report: RunReport) -> None:
    """Show the counts, why the run stopped, and where the result sheet is."""
    well = report.results is not None and not report.exit_status
    for remark in report.remarks:
        if not (output.quiet and well):
            output.warn(shown(said(remark)))
    if output.as_json:
        return
    stopped = tuple(why_ended(report, output.symbols))
    if output.quiet:
        if report.exit_status:
            _show_wrong(output, report, stopped)
        return
    earlier = report.earlier
    output.out(Text(""), outcome(report.counts, earlier, output.symbols))
    output.out(total(report, output.symbols))
    output.out(*_left_out_said(report))
    output.out(*stopped)
    if report.results:
        output.out(whole(tr("Result sheet: "), shown(report.results)))


def _show_wrong(output: Output, report: RunReport, stopped: Iterable[Text]) -> None:
    """Show the counts of the rows that failed, and where to look."""
    wrong = Counter({s: n for s, n in report.counts.items() if s not in DONE})
    output.problem(outcome(wrong, {}, output.symbols), *stopped)
    if report.results:
        output.problem(whole(tr("Result sheet: "), shown(report.results)))


def _left_out_said(report: RunReport) -> Iterable[Text]:
    if n := _left_out(report):
        said = trn(
            "{n} row is left out, as asked; the exit status, {status}, tells of the others.",
            "{n} rows are left out, as asked; the exit status, {status}, tells of the others.",
            n,
            status=str(report.exit_status),
        )
        yield Text(said)


def _left_out(report: RunReport) -> int:
    """The number of rows that an option such as --limit left out."""
    return sum(row.code == "plan.not_chosen" for row in report.rows)


def next_step(report: RunReport) -> Text:
    """What to do next: the command to run, or that nothing is left to do."""
    of_run = tuple(context.typed(*context.OF_RUN))
    if not report.rows:
        return Text(tr(NO_ROWS))
    again = command(
        "bulkcast",
        "resubmit",
        report.results or "FILE",
        *context.typed(*context.OF_READING),
        *of_run,
    )
    go_on = command("bulkcast", "resume", report.run, *of_run)
    match pipeline.next_step(report.counts, report.stop, left_out=_left_out(report)):
        case NextStep.RESUME:
            return whole(tr("Next, to go on where it stopped: "), go_on)
        case NextStep.MEND:
            return whole(tr("Next: mend the marked rows in the result sheet, then "), again)
        case NextStep.SEND_REST:
            return whole(tr("Next, to send the rest: "), again)
        case NextStep.SEND_AGAIN:
            return whole(tr("Next, to send those rows again: "), again)
        case NextStep.NOTHING:
            return Text(tr("Nothing is left to do."))


# ------------------------------------------------------------------ one run

_STRETCHES_MOST: Final = 12
"""Ranges of row numbers shown for a cause."""


def summary_lines(
    found: RunSummary, earlier: Mapping[RowStatus, int], tz: tzinfo, symbols: Symbols
) -> Iterable[RenderableType]:
    """The run, its counts, and why rows failed; times are in `tz`.

    `earlier` counts the rows that keep the outcome of an earlier run.
    """
    yield _facts(found, tz)
    yield Text("")
    yield outcome(found.counts, earlier, symbols)
    yield _run_total(found, symbols)
    if found.purged_at is not None:
        day = local_time(found.purged_at, tz)[:10]
        purged = "Purged on {day}: what its rows held is gone; how they ended is all that is left."
        yield Text(tr(purged, day=day))
    if found.stop:
        yield from why_stopped(found.stop, found.counts, symbols)
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
        (tr("Ended"), ended or tr("not yet")),
    )
    table = Table.grid(padding=(0, 2))
    for name, value in facts:
        table.add_row(Text(name, "dim"), Text(shown(value), overflow="fold"))
    return table


def _name(run: str) -> str:
    return tr("{run} (a rehearsal: nothing went to ClassIn)", run=run) if is_rehearsal(run) else run


def _run_total(found: RunSummary, symbols: Symbols) -> Text:
    parts = [
        rows_said(found.rows),
        trn("{n} attempt", "{n} attempts", found.attempts),
    ]
    if found.finished_at is not None:
        parts.append(spell(max(0.0, found.finished_at - found.created_at)))
    return Text(f" {symbols.dot} ".join(parts), "bold")


def _cause(cause: FailureGroup, symbols: Symbols) -> Iterable[RenderableType]:
    status = status_written(cause.status)
    rows = rows_said(len(cause.rows))
    lang = current_translator().lang
    yield Text.assemble((f"{status} {cause.code}", "bold"), f" {symbols.dot} {rows}")
    if cause.message.say(lang):
        message = Text(shown(cause.message.say(lang)))
        yield Padding(message, (0, 0, 0, 4), expand=False)
    if cause.fix.say(lang):
        fix = Text(f"{symbols.arrow} {shown(cause.fix.say(lang))}", "dim")
        yield Padding(fix, (0, 0, 0, 4), expand=False)
    listed, beyond = ranges(cause.rows, _STRETCHES_MOST)
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


# ------------------------------------------------------------------ several runs


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
    # A narrow terminal breaks a time before its hour.
    table.add_column(tr("When"), header_style="dim", min_width=10)
    table.add_column(tr("Sheet"), header_style="dim", overflow="fold")
    if len(schools) > 1:
        table.add_column(tr("SID"), header_style="dim", no_wrap=True)
    table.add_column(tr("Rows"), header_style="dim", overflow="fold")
    table.add_column(tr("State"), header_style="dim", min_width=11)
    for record in records:
        table.add_row(*_line(record, named=len(zones) > 1, whose=len(schools) > 1))
    yield table
    remarks = [tr("Times are those of {zone}.", zone=zones.pop())] if len(zones) == 1 else []
    if len(schools) == 1:
        remarks.append(tr("All of institution {sid}.", sid=shown(schools.pop())))
    yield Text(current_translator().joined(remarks), "dim")


def _line(record: RunRecord, *, named: bool, whose: bool) -> tuple[Text, ...]:
    header = record.header
    begun = local_time(header.created_at, zone(header.tz))[:16]
    school = [Text(shown(header.institution.sid))] if whose else []
    return (
        Text(header.run),
        Text(f"{begun} {header.tz}" if named else begun),
        Text(shown(header.title)),
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


# ------------------------------------------------------------------ what undo does


_LISTED_MOST: Final = 20


def reverted(found: Undone, symbols: Symbols) -> Iterable[Text]:
    """What the sheet that reverts a run brings back, and what stays."""
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
    yield from unrecoverable(found, symbols)
    for key in found.may_append:
        said = tr(
            "{key}: the vendor has not said whether a list replaces the one before it; look at"
            " these classrooms afterwards",
            key=key,
        )
        yield Text(f"{symbols.warning} {said}", "yellow")


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


def unrecoverable(found: Undone, symbols: Symbols) -> Iterable[Text]:
    """The settings that cannot be restored, and why."""
    for why, n in Counter(item.why for item in found.lost).items():
        yield Text(f"{symbols.warning} {_stays(why, n)}", "yellow")
        some = [stays for stays in found.stays if stays.why == why]
        yield from (Text(f"    {_places(stays)}") for stays in some[:_LISTED_MOST])
        if len(some) > _LISTED_MOST:
            left = f"{len(some) - _LISTED_MOST:,}"
            yield Text(f"    {tr('and {n} more; --json has them all', n=left)}")


def _places(stays: UnrecoverableGroup) -> str:
    where = trn("{n} classroom", "{n} classrooms", stays.classrooms)
    return trn(
        "{keys}: {where}, row {rows}",
        "{keys}: {where}, rows {rows}",
        len(stays.rows),
        keys=SettingNames(stays.keys),
        where=where,
        rows=Series(*ranges(stays.rows, _STRETCHES_MOST)),
    )
