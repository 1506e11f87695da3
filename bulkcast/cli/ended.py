"""What is said once a run has ended: its counts, why it stopped, its results, and what is next."""

from typing import Final

from rich.text import Text

from bulkcast import pipeline
from bulkcast.cli import asked, checking, outcomes
from bulkcast.cli.console import Voice, command, shown, whole
from bulkcast.cli.words import said, tr
from bulkcast.model import RowStatus
from bulkcast.pipeline import RunReport

_RESUMED: Final = frozenset({RowStatus.UNCONFIRMED, RowStatus.NOT_SENT})


def show(told: Voice, report: RunReport) -> None:
    """Counts that add up, why it stopped, where the result sheet is."""
    for remark in report.remarks:
        told.warn(shown(said(remark)))
    if told.as_json:
        return
    stopped = outcomes.why_stopped(report.stop, report.counts, told.symbols) if report.stop else ()
    if told.quiet:
        for line in stopped:
            told.warn(line.plain)
        told.document(str(report.results or ""))
        return
    earlier = report.earlier
    told.show(Text(""), outcomes.outcome(report.counts, earlier, told.symbols))
    told.show(outcomes.total(report, told.symbols))
    told.show(*stopped)
    if report.results:
        told.show(whole(tr("Result sheet: "), shown(report.results)))


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
    if unfinished:
        return whole(tr("Next, to send those rows again: "), again)
    return Text(tr("Nothing is left to do."))
