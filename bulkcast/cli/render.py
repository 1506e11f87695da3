"""How problems and findings look on a terminal.  Cells are untrusted: see `shown`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Literal

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bulkcast.cli.console import Symbols, shown
from bulkcast.cli.words import said, tr, trn
from bulkcast.model import Institution, Issue, Severity
from bulkcast.naming import short_header
from bulkcast.pipeline import Diagnosis

PROBLEMS_MOST: Final = 50
"""Problems listed before the rest is only counted."""
_VALUE_MOST: Final = 28
_WIDTH_LEAST: Final = 24
"""Columns of a terminal, not characters."""

_STYLES: Final = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}


def rows_said(n: int) -> str:
    """So many rows.

    >>> rows_said(1), rows_said(1200)
    ('1 row', '1,200 rows')
    """
    return trn("{n} row", "{n} rows", n)


def institution_said(institution: Institution) -> str:
    """An institution in words."""
    sid, root_url = shown(institution.sid), shown(institution.root_url)
    return tr("institution {sid} at {root_url}", sid=sid, root_url=root_url)


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
        n = len(group)
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
    """One line for each place; columns that all leave empty are left out.

    A header takes a third of the screen at most, a value a quarter: the sentence wants the rest.
    """

    group: Sequence[Issue]

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        yield self._table(options)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement.get(console, options, self._table(options))

    def _table(self, options: ConsoleOptions) -> Table:
        width = max(options.max_width, _WIDTH_LEAST)
        cells = [_line(issue, width) for issue in self.group]
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


def _line(issue: Issue, width: int) -> tuple[str, str, str, str]:
    return (
        issue.cell or (tr("row {n}", n=issue.row) if issue.row else ""),
        _short(shown(short_header(issue.column or "")), width // 3),
        _short(shown(issue.value), min(width // 4, _VALUE_MOST)),
        shown(said(issue.message)),
    )


def _short(text: str, most: int) -> str:
    """`text` cut to columns of a terminal; a Chinese character takes two."""
    return text if cell_len(text) <= most else set_cell_size(text, most - 1).rstrip() + "…"


def verdict(valid: int, invalid: int, issues: Sequence[Issue], symbols: Symbols) -> Text:
    """How many rows are fit to be sent; the numbers add up to the rows read."""
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
