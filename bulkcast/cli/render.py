"""Renders problems and outcomes for a terminal.  Cells are untrusted: see `shown`."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Literal

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bulkcast.arguments import Series
from bulkcast.catalogue import ChoiceKind
from bulkcast.cli.console import Symbols, shown
from bulkcast.cli.language import current_translator, said, spell, tr, trn
from bulkcast.cli.states import reason_said, status_written
from bulkcast.endpoints import WEBCAST
from bulkcast.i18n import Translator, marked, short_header
from bulkcast.messages import explain_stop
from bulkcast.model import Institution, Issue, ResultRow, RowStatus, Severity, Stop
from bulkcast.pipeline import Diagnosis, RunReport
from bulkcast.planner.summary import Content, SummaryValue
from bulkcast.reporter.run_summary import ranges

PROBLEMS_MOST: Final = 50
"""Problems that are listed; further ones are only counted."""
_VALUE_MOST: Final = 28
_WIDTH_LEAST: Final = 24
"""Columns of a terminal, not characters."""

_STYLES: Final = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}


def rows_said(n: int) -> str:
    """A number of rows, in words.

    >>> rows_said(1), rows_said(1200)
    ('1 row', '1,200 rows')
    """
    return trn("{n} row", "{n} rows", n)


def institution_said(institution: Institution) -> str:
    """An institution in words."""
    sid, root_url = shown(institution.sid), shown(institution.root_url)
    return tr("institution {sid} at {root_url}", sid=sid, root_url=root_url)


# ------------------------------------------------------------------ problems


Alike = tuple[Issue, ...]
"""Issues with the same message about the same column, shown in one line with their rows."""


@dataclass(frozen=True, slots=True)
class Problems:
    """Issues grouped by code, then by message, and the number of issues left out."""

    groups: tuple[tuple[Alike, ...], ...]
    cut: int


def grouped(issues: Iterable[Issue], *, most: int | None) -> Problems:
    """Group issues by code and remedy, errors first, in at most `most` lines.

    With a limit, many issues that differ only in their values share one line, too.
    """
    weights = {severity: weight for weight, severity in enumerate(Severity)}
    kinds: dict[_Kind, list[Issue]] = {}
    for issue in issues:
        kinds.setdefault(_kind(issue), []).append(issue)
    ordered = sorted(kinds.items(), key=lambda kind: weights[kind[0][0]])
    lines = [
        (kind, alike) for kind, found in ordered for alike in _alike(found, folded=most is not None)
    ]
    kept = lines if most is None else lines[:most]
    groups = groupby(kept, key=lambda line: line[0])
    return Problems(
        tuple(tuple(alike for _, alike in group) for _, group in groups),
        sum(len(alike) for _, alike in lines[len(kept) :]),
    )


def _alike(issues: Iterable[Issue], *, folded: bool) -> Iterator[Alike]:
    """Group issues by column and message; with `folded`, many messages by column."""
    columns: dict[tuple[str, str], dict[str, list[Issue]]] = {}
    for issue in issues:
        sentences = columns.setdefault((issue.column or "", issue.message.template), {})
        sentences.setdefault(str(issue.message), []).append(issue)
    for sentences in columns.values():
        found = tuple(issue for alike in sentences.values() for issue in alike)
        if folded and len(sentences) > _CROWD[found[0].severity]:
            yield found
        else:
            yield from map(tuple, sentences.values())


_CROWD: Final = {Severity.ERROR: 10, Severity.WARNING: 3, Severity.NOTE: 3}
"""Similar messages that are listed one by one; more errors, as each has to be fixed."""

_Kind = tuple[Severity, str, str]


def _kind(issue: Issue) -> _Kind:
    return issue.severity, issue.code, str(issue.fix)


def problems(found: Problems, symbols: Symbols) -> Iterable[RenderableType]:
    """A block for each code: its name, its places, what to do."""
    marks = {Severity.ERROR: symbols.bad, Severity.WARNING: symbols.warning}
    for group in found.groups:
        first = group[0][0]
        style = _STYLES[first.severity]
        mark = marks.get(first.severity, symbols.dot)
        n = sum(map(len, group))
        places = f" {symbols.dot} {trn('{n} place', '{n} places', n)}" if n > 1 else ""
        yield Text.assemble(
            (f"{mark} {tr(first.severity.value)}", f"bold {style}"),
            (f"  {first.code}{places}", "bold"),
        )
        yield Padding(_Places(group), (0, 0, 0, 4), expand=False)
        if str(first.fix):
            fix = Text(f"{symbols.arrow} {shown(said(first.fix))}", "dim")
            yield Padding(fix, (0, 0, 0, 4), expand=False)
        yield Text("")


@dataclass(frozen=True, slots=True)
class _Places:
    """The lines of a block, one per group; leaves out empty columns.

    A header takes at most a third of the width and a value a quarter; the message gets the rest.
    """

    group: Sequence[Alike]

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        yield self._table(options)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, options, self._table(options))

    def _table(self, options: ConsoleOptions) -> Table:
        width = max(options.max_width, _WIDTH_LEAST)
        cells = [_line(alike, width) for alike in self.group]
        used = [any(line[i] for line in cells) for i in range(4)]
        table = Table.grid(padding=(0, 2))
        for index, style in enumerate(("bold", "", "", "")):
            if used[index]:
                wide = index == 3
                overflow: Literal["fold", "ellipsis"] = "fold" if wide else "ellipsis"
                table.add_column(style=style, no_wrap=not wide, overflow=overflow)
        for line in cells:
            table.add_row(*(Text(text) for text, show in zip(line, used, strict=True) if show))
        return table


def _line(alike: Alike, width: int) -> tuple[str, str, str, str]:
    first = alike[0]
    value = _short(shown(first.value), min(width // 4, _VALUE_MOST))
    differ = value and any(issue.value != first.value for issue in alike)
    return (
        _place(alike, width // 3),
        _short(shown(short_header(first.column or "")), width // 3),
        f"{value}, …" if differ else value,
        shown(said(first.message)),
    )


def _place(alike: Alike, most: int) -> str:
    """The cell, or the rows if there are several: as many ranges as fit into `most` columns."""
    first = alike[0]
    rows = sorted({issue.row for issue in alike if issue.row is not None})
    if len(rows) < 2:
        return first.cell or (tr("row {n}", n=first.row) if first.row else "")
    spelled = (_rows(rows, stretches) for stretches in (3, 2, 1))
    return next((told for told in spelled if cell_len(told) <= most), _rows(rows, 1))


def _rows(rows: Sequence[int], stretches: int) -> str:
    listed, beyond = ranges(rows, stretches)
    told = trn("row {rows}", "rows {rows}", len(rows), rows=Series(listed))
    return f"{told} {tr('and {n} more', n=f'{beyond:,}')}" if beyond else told


def _short(text: str, most: int) -> str:
    """`text` cut to columns of a terminal; a Chinese character takes two."""
    return text if cell_len(text) <= most else set_cell_size(text, most - 1).rstrip() + "…"


def verdict(valid: int, invalid: int, issues: Sequence[Issue], symbols: Symbols) -> Text:
    """How many rows can be sent; the numbers add up to the rows read."""
    line = Text(tr("{rows}: ", rows=rows_said(valid + invalid)))
    line.append(f"{symbols.good} {tr('{n} valid', n=f'{valid:,}')}", "green")
    if invalid:
        words = tr("{n} invalid", n=f"{invalid:,}")
        line.append(tr(", ")).append(f"{symbols.bad} {words}", "red")
    weights = {severity: _weighing(issues, severity) for severity in Severity}
    if n := weights[Severity.WARNING]:
        line.append(f" {symbols.dot} {trn('{n} warning', '{n} warnings', n)}")
    if n := weights[Severity.NOTE]:
        line.append(f" {symbols.dot} {trn('{n} note', '{n} notes', n)}")
    return line


def _weighing(issues: Sequence[Issue], severity: Severity) -> int:
    return sum(issue.severity is severity for issue in issues)


def findings(found: Diagnosis, symbols: Symbols) -> Group:
    """What `doctor` found, line by line."""
    table = Table.grid(padding=(0, 1))
    for name, well, sentence in found.findings:
        mark = Text(symbols.good, "green") if well else Text(symbols.bad, "bold red")
        table.add_row(mark, Text(tr(name), "bold"), Text(shown(sentence), overflow="fold"))
    return Group(table)


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
    """The number of rows that keep the outcome of a run before `run`, by status."""
    return Counter(row.status for row in rows if row.run != run)


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
    for status, (mark, style, meaning) in _SAID.items():
        n = counts[status]
        if n:
            symbol = Text(getattr(symbols, mark), style)
            said = tr(meaning) + _when(n, earlier.get(status, 0))
            word = Text(status_written(status), style)
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


_CONTENTS: Final[Mapping[Content, str]] = {
    Content.SET: marked("set"),
    Content.CLEARED: marked("cleared"),
    Content.ANOTHER: marked("another"),
}


def value_label(key: str, value: SummaryValue, translator: Translator) -> str:
    """A setting's value: a choice by its label; of a text or list, what becomes of it."""
    if isinstance(value, Content):
        return translator.tell(_CONTENTS[value])
    kind = WEBCAST.by_key[key].kind
    choices = kind.choices if isinstance(kind, ChoiceKind) else ()
    return next((c.label.say(translator.lang) for c in choices if c.value == value), str(value))
