"""What is said once a run has ended: its counts, why it stopped, its results, and what is next."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from rich.text import Text

from bulkcast import pipeline
from bulkcast.cli import asked, checking, outcomes
from bulkcast.cli.console import Voice, command, shown, whole
from bulkcast.cli.words import said, tr, trn
from bulkcast.model import RowStatus
from bulkcast.pipeline import RunReport

_WELL: Final = frozenset({RowStatus.APPLIED, RowStatus.UNCHANGED, RowStatus.SUPERSEDED})
_RESUMED: Final = frozenset({RowStatus.UNCONFIRMED, RowStatus.NOT_SENT})


def show(told: Voice, report: RunReport) -> None:
    """Counts that add up, why it stopped, where the result sheet is."""
    well = report.results is not None and not report.exit_status
    for remark in report.remarks:
        if not (told.quiet and well):
            told.warn(shown(said(remark)))
    if told.as_json:
        return
    stopped = outcomes.why_stopped(report.stop, report.counts, told.symbols) if report.stop else ()
    if told.quiet:
        if report.exit_status:
            _show_wrong(told, report, stopped)
        return
    earlier = report.earlier
    told.show(Text(""), outcomes.outcome(report.counts, earlier, told.symbols))
    told.show(outcomes.total(report, told.symbols))
    told.show(*_left_out_said(report))
    told.show(*stopped)
    if report.results:
        told.show(whole(tr("Result sheet: "), shown(report.results)))


def _show_wrong(told: Voice, report: RunReport, stopped: Iterable[Text]) -> None:
    """The counts of the rows that are not as they should be, and where to look."""
    wrong = Counter({s: n for s, n in report.counts.items() if s not in _WELL})
    told.trouble(outcomes.outcome(wrong, {}, told.symbols), *stopped)
    if report.results:
        told.trouble(whole(tr("Result sheet: "), shown(report.results)))


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
    """How many rows an option such as --limit left for later."""
    return sum(row.code == "plan.not_chosen" for row in report.rows)


def next_step(report: RunReport) -> Text:
    """The command to type next; empty-handed where nothing is left to do."""
    of_run = tuple(asked.typed(*asked.OF_RUN))
    if not report.rows:
        return Text(tr(checking.NO_ROWS))
    unfinished = any(report.counts[status] for status in _RESUMED)
    to_fix = any(report.counts[status] for status in pipeline.RESUBMITTED - _RESUMED)
    again = command(
        "bulkcast", "resubmit", report.results or "FILE", *asked.typed(*asked.OF_READING), *of_run
    )
    go_on = command("bulkcast", "resume", report.run, *of_run)
    if report.stop and report.stop.code != "run.ledger_gone" and unfinished:
        return whole(tr("Next, to go on where it stopped: "), go_on)
    if to_fix:
        return whole(tr("Next: mend the marked rows in the result sheet, then "), again)
    if unfinished and sum(report.counts[s] for s in _RESUMED) == _left_out(report):
        return whole(tr("Next, to send the rest: "), again)
    if unfinished:
        return whole(tr("Next, to send those rows again: "), again)
    return Text(tr("Nothing is left to do."))
