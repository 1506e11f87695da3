"""How what became of rows looks on a terminal.  What a server said is untrusted: see `shown`."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from rich.table import Table
from rich.text import Text

from bulkcast.cli.console import Symbols, shown
from bulkcast.cli.figures import spell
from bulkcast.cli.render import rows_said
from bulkcast.cli.states import reason_said, status_written
from bulkcast.cli.words import spoken, tr, trn
from bulkcast.derive import explain_stop
from bulkcast.endpoints import WEBCAST
from bulkcast.model import ResultRow, RowStatus, Stop
from bulkcast.pipeline import RunReport
from bulkcast.wording import marked

_SAID: Final[Mapping[RowStatus, tuple[str, str, str]]] = {
    RowStatus.APPLIED: ("good", "green", marked("ClassIn acknowledged them")),
    RowStatus.UNCHANGED: ("good", "green", marked("skipped: they would have changed nothing")),
    RowStatus.INVALID: ("bad", "red", marked("the sheet is wrong there; never sent")),
    RowStatus.TOO_LATE: ("bad", "red", marked("their settings are locked")),
    RowStatus.REJECTED: ("bad", "red", marked("ClassIn refused them")),
    RowStatus.UNCONFIRMED: (
        "unknown", "yellow", marked("sent without an answer to trust; safe to send again"),
    ),
    RowStatus.NOT_SENT: ("left", "yellow", marked("the reason stands beside each")),
    RowStatus.SUPERSEDED: ("left", "", marked("a newer run has set them since")),
}  # fmt: skip


def style_of(status: RowStatus) -> str:
    """The colour that goes with a status."""
    return _SAID[status][1]


def before(rows: Iterable[ResultRow], run: str) -> Mapping[RowStatus, int]:
    """How many rows are as an earlier run than `run` left them, by status."""
    return Counter(row.status for row in rows if row.run != run)


def outcome(
    counts: Mapping[RowStatus, int], earlier: Mapping[RowStatus, int], symbols: Symbols
) -> Table:
    """Every status that occurs, with its number, its word and what it means.

    `earlier` says how many of them an earlier run left so.
    """
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right")
    for _ in range(3):
        table.add_column()
    for status, (mark, style, meaning) in _SAID.items():
        n = counts[status]
        if n:
            symbol = Text(getattr(symbols, mark), style)
            said = tr(meaning) + _when(n, earlier.get(status, 0))
            word = Text(status_written(status), style)
            table.add_row(f"{n:,}", symbol, word, Text(said, "dim", overflow="fold"))
    return table


def _when(n: int, earlier: int) -> str:
    """Which of `n` rows ended so in this run, where not all did."""
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
    message, fix = explain_stop(stop, counts, WEBCAST, spoken())
    reason, sentence = reason_said(shown(stop.reason)), shown(message)
    line = tr("Stopped ({reason}): {sentence}", reason=reason, sentence=sentence)
    yield Text(f"{symbols.warning} {line}", "bold yellow")
    if fix:
        yield Text(f"  {symbols.arrow} {shown(fix)}")
