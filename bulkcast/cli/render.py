"""How problems, plans, runs and outcomes look on a terminal.  Cells are untrusted: see `shown`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from itertools import groupby
from typing import Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bulkcast.cli.console import Symbols, shown
from bulkcast.cli.documents import state
from bulkcast.cli.figures import Figures, spell
from bulkcast.derive import explain, local_time, short_header
from bulkcast.endpoints import WEBCAST
from bulkcast.ledger import RunRecord
from bulkcast.model import Issue, RowStatus, Severity, Stop
from bulkcast.pacing import show_rate
from bulkcast.pipeline import Diagnosis, RunReport
from bulkcast.reporter import Crosstab

PROBLEMS_MOST: Final = 50
"""Problems listed before the rest is only counted."""
_EDGE: Final = 3
"""Rows of the order shown at either end."""
_VALUE_MOST: Final = 28

_STYLES: Final = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}

_SAID: Final[Mapping[RowStatus, tuple[str, str, str]]] = {
    RowStatus.APPLIED: ("good", "green", "ClassIn acknowledged them"),
    RowStatus.UNCHANGED: ("good", "green", "skipped: they would have changed nothing"),
    RowStatus.INVALID: ("bad", "red", "the sheet is wrong there; never sent"),
    RowStatus.TOO_LATE: ("bad", "red", "their settings are locked"),
    RowStatus.REJECTED: ("bad", "red", "ClassIn refused them"),
    RowStatus.UNCONFIRMED: (
        "unknown", "yellow", "sent without an answer to trust; safe to send again",
    ),
    RowStatus.NOT_SENT: ("left", "yellow", "the reason stands beside each"),
    RowStatus.SUPERSEDED: ("left", "", "a newer run has set them since"),
}  # fmt: skip


def counted(n: int, one: str, many: str = "") -> str:
    """A number with its word.

    >>> counted(1, "row"), counted(1200, "row"), counted(2, "is", "are")
    ('1 row', '1,200 rows', '2 are')
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"


# ------------------------------------------------------------------ problems


@dataclass(frozen=True, slots=True)
class Problems:
    """Issues grouped by kind, and how many were cut off."""

    groups: tuple[tuple[Issue, ...], ...]
    cut: int


def grouped(issues: Iterable[Issue], *, most: int | None) -> Problems:
    """Issues of one kind and remedy together, errors first, at most `most` of them in all."""
    weights = {severity: weight for weight, severity in enumerate(Severity)}
    first: dict[tuple[str, str], int] = {}
    for issue in issues:
        first.setdefault(_kind(issue), len(first))
    ordered = sorted(issues, key=lambda i: (weights[i.severity], first[_kind(i)]))
    kept = ordered if most is None else ordered[:most]
    groups = tuple(tuple(group) for _, group in groupby(kept, key=lambda i: (i.severity, _kind(i))))
    return Problems(groups, len(ordered) - len(kept))


def _kind(issue: Issue) -> tuple[str, str]:
    return issue.code, str(issue.fix)


def problems(found: Problems, symbols: Symbols) -> Iterable[RenderableType]:
    """A block for each kind: what it is called, where it is, what to do."""
    marks = {Severity.ERROR: symbols.bad, Severity.WARNING: symbols.warning}
    for group in found.groups:
        first = group[0]
        style = _STYLES[first.severity]
        mark = marks.get(first.severity, symbols.dot)
        places = f" {symbols.dot} {len(group)} places" if len(group) > 1 else ""
        yield Text.assemble(
            (f"{mark} {first.severity.value}", f"bold {style}"), (f"  {first.code}{places}", "bold")
        )
        yield Padding(_places(group), (0, 0, 0, 4), expand=False)
        if str(first.fix):
            yield Padding(
                Text(f"{symbols.arrow} {shown(str(first.fix))}", "dim"), (0, 0, 0, 4), expand=False
            )
        yield Text("")


def _places(group: Sequence[Issue]) -> Table:
    """One line for each place; columns that all leave empty are left out."""
    cells = [
        (
            issue.cell or (f"row {issue.row}" if issue.row else ""),
            shown(short_header(issue.column or "")),
            _short(shown(issue.value)),
            shown(str(issue.message)),
        )
        for issue in group
    ]
    used = [any(line[i] for line in cells) for i in range(4)]
    table = Table.grid(padding=(0, 2))
    for index, style in enumerate(("bold", "", "", "")):
        if used[index]:
            wide = index == 3
            table.add_column(style=style, no_wrap=not wide, overflow="ellipsis", ratio=None)
    for line in cells:
        table.add_row(*(Text(text) for text, show in zip(line, used, strict=True) if show))
    return table


def _short(value: str) -> str:
    return value if len(value) <= _VALUE_MOST else value[: _VALUE_MOST - 1] + "…"


def verdict(valid: int, invalid: int, issues: Sequence[Issue], symbols: Symbols) -> Text:
    """How many rows are fit to be sent; the numbers add up to the rows read."""
    line = Text(f"{counted(valid + invalid, 'row')}: ")
    line.append(f"{symbols.good} {valid:,} valid", "green")
    if invalid:
        line.append(", ").append(f"{symbols.bad} {invalid:,} invalid", "red")
    for severity in (Severity.WARNING, Severity.NOTE):
        n = sum(issue.severity is severity for issue in issues)
        if n:
            line.append(f" {symbols.dot} {counted(n, severity.value)}")
    return line


# ------------------------------------------------------------------ plans


def plan(planned: Figures, symbols: Symbols) -> Iterable[RenderableType]:
    """What would be sent: rows, then what becomes of each setting."""
    line = Text("To send: ").append(counted(planned.sent, "row"), "bold")
    if planned.requests != planned.sent:
        line.append(f" in {counted(planned.requests, 'request')}")
    said = [
        (planned.invalid, "invalid and not sent", "red"),
        (planned.left_out, "left out by your choice", ""),
        (planned.warnings, "with warnings", "yellow"),
    ]
    for n, words, style in said:
        if n:
            line.append(f" {symbols.dot} ").append(f"{n:,} {words}", style)
    yield line
    if planned.settings:
        yield Padding(_settings(planned), (1, 0, 1, 2), expand=False)


def _settings(planned: Figures) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for title in ("Setting", "Becomes", "Left as it is"):
        table.add_column(title, header_style="dim", justify="left")
    for setting in planned.settings:
        becomes = ", ".join(f"{word} {n:,}" for word, n in setting.values.items())
        untouched = f"{setting.untouched:,}" if setting.untouched else ""
        table.add_row(Text(setting.label), Text(becomes), Text(untouched))
    return table


def pace(planned: Figures, rate: float, done_at: float, zone: tzinfo, name: str) -> Text:
    """How long it takes, and when it would be done."""
    at = local_time(done_at, zone)
    return Text(
        f"At {show_rate(rate)}: {spell(planned.seconds)}, done at about {at} ({name}) if begun now."
    )


def order(rows: Sequence[int]) -> Text:
    """In which order rows are sent: the ones that lock first come first."""
    head = [str(row) for row in rows[: 2 * _EDGE]]
    if len(rows) > 2 * _EDGE:
        tail = [str(row) for row in rows[-_EDGE:]]
        head = [*head[:_EDGE], "…", *tail]
    return Text(f"Order of rows, earliest lock first: {', '.join(head)}".replace("…,", "…"))


def late(planned: Figures, zone: tzinfo, symbols: Symbols) -> Iterable[Text]:
    """Rows whose turn comes after their lock."""
    if not planned.late:
        return
    n = len(planned.late)
    yield Text(f"{symbols.warning} {counted(n, 'row')} would be too late:", "yellow")
    for row in planned.late[: 2 * _EDGE]:
        locked = local_time(row.locks_at, zone)
        yield Text(f"    row {row.row}, {row.target}: locked since {locked}")
    if n > 2 * _EDGE:
        yield Text(f"    and {n - 2 * _EDGE:,} more")


# ------------------------------------------------------------------ outcomes


def outcome(counts: Mapping[RowStatus, int], symbols: Symbols) -> Table:
    """Every status that occurs, with its number, its word and what it means."""
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right")
    for _ in range(3):
        table.add_column()
    for status, (mark, style, meaning) in _SAID.items():
        n = counts[status]
        if n:
            symbol = Text(getattr(symbols, mark), style)
            word = Text(status.value.replace("_", " "), style)
            table.add_row(f"{n:,}", symbol, word, Text(meaning, "dim"))
    return table


def total(report: RunReport, symbols: Symbols) -> Text:
    """The sum under the counts."""
    rate = report.requests / report.elapsed_s * 60 if report.elapsed_s > 1 else 0.0
    speed = f" ({rate:,.0f}/min)" if rate else ""
    return Text(
        f"{counted(len(report.rows), 'row')} {symbols.dot} "
        f"{counted(report.requests, 'request')} in {spell(report.elapsed_s)}{speed}",
        "bold",
    )


def why_stopped(stop: Stop, symbols: Symbols) -> Iterable[Text]:
    """Why a run ended before its last row, and what to do."""
    message, fix = explain(stop.code, stop.args, WEBCAST)
    yield Text(f"{symbols.warning} Stopped ({stop.reason}): {shown(message)}", "bold yellow")
    if fix:
        yield Text(f"  {symbols.arrow} {shown(fix)}")


# ------------------------------------------------------------------ runs


def runs(records: Iterable[RunRecord], zone: tzinfo) -> Table:
    """The list of runs, times in `zone`."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("Run", "When", "Sheet", "Institution", "Rows", "State"):
        table.add_column(title, header_style="dim", overflow="fold")
    for record in records:
        header = record.header
        table.add_row(
            Text(header.run),
            Text(local_time(header.created_at, zone)[:16]),
            Text(shown(header.sheet.replace("\\", "/").rpartition("/")[2])),
            Text(shown(header.institution.sid)),
            _brief(record.counts),
            Text(_state(record)),
        )
    return table


def _brief(counts: Mapping[RowStatus, int]) -> Text:
    parts = [
        Text(f"{n:,} {status.value.replace('_', ' ')}", _SAID[status][1])
        for status, n in counts.items()
        if n
    ]
    return Text(", ").join(parts)


def _state(record: RunRecord) -> str:
    words = {"running": "running", "crashed": "cut off: resume it", "finished": "finished",
             "purged": "purged"}  # fmt: skip
    reason = record.stop.reason if record.stop else ""
    return words.get(state(record), f"stopped: {shown(reason)}")


def crosstab(table: Crosstab) -> Table:
    """Rows by the values of a column."""
    shape = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    shape.add_column(Text(shown(short_header(table.column))), header_style="dim")
    for status in table.statuses:
        shape.add_column(status.value.replace("_", " "), justify="right", header_style="dim")
    for value, counts in table.counts:
        shape.add_row(Text(shown(value) or "(blank)"), *(f"{n:,}" if n else "" for n in counts))
    return shape


def findings(found: Diagnosis, symbols: Symbols) -> Group:
    """What `doctor` found, line by line."""
    table = Table.grid(padding=(0, 1))
    for name, well, sentence in found.findings:
        mark = Text(symbols.good, "green") if well else Text(symbols.bad, "bold red")
        table.add_row(mark, Text(name, "bold"), Text(shown(sentence)))
    return Group(table)
