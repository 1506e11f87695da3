"""How problems, plans, runs and outcomes look on a terminal.  Cells are untrusted: see `shown`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from itertools import groupby
from typing import Final, Literal

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bulkcast.cli.console import Symbols, shown
from bulkcast.cli.documents import state
from bulkcast.cli.figures import Figures, Step, row_steps, spell
from bulkcast.cli.words import said, spoken, tr, trn
from bulkcast.derive import explain, local_time, short_header
from bulkcast.endpoints import WEBCAST
from bulkcast.ledger import RunRecord
from bulkcast.model import Change, Institution, Issue, RowStatus, Severity, Stop
from bulkcast.pipeline import Diagnosis, Prepared, RunReport
from bulkcast.reporter import Crosstab
from bulkcast.wording import marked

PROBLEMS_MOST: Final = 50
"""Problems listed before the rest is only counted."""
_EDGE: Final = 3
"""Rows of the order shown at either end."""
_VALUE_MOST: Final = 28

_STYLES: Final = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}

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
        yield Padding(_places(group), (0, 0, 0, 4), expand=False)
        if str(first.fix):
            fix = Text(f"{symbols.arrow} {shown(said(first.fix))}", "dim")
            yield Padding(fix, (0, 0, 0, 4), expand=False)
        yield Text("")


def _places(group: Sequence[Issue]) -> Table:
    """One line for each place; columns that all leave empty are left out."""
    cells = [
        (
            issue.cell or (tr("row {n}", n=issue.row) if issue.row else ""),
            shown(short_header(issue.column or "")),
            _short(shown(issue.value)),
            shown(said(issue.message)),
        )
        for issue in group
    ]
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


def _short(value: str) -> str:
    return value if len(value) <= _VALUE_MOST else value[: _VALUE_MOST - 1] + "…"


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


# ------------------------------------------------------------------ plans


def plan(planned: Figures, symbols: Symbols) -> Iterable[RenderableType]:
    """What would be sent: rows, then what becomes of each setting."""
    line = Text(tr("To send: ")).append(rows_said(planned.sent), "bold")
    if planned.requests != planned.sent:
        line.append(trn(" in {n} request", " in {n} requests", planned.requests))
    if planned.sent:
        line.append(trn(", {n} classroom", ", {n} classrooms", planned.classrooms))
    told = [
        (planned.unchanged, marked("{n} unchanged and not sent"), ""),
        (planned.invalid, marked("{n} invalid and not sent"), "red"),
        (planned.left_out, marked("{n} left out by your choice"), ""),
        (planned.warnings, marked("{n} with warnings"), "yellow"),
    ]
    for n, template, style in told:
        if n:
            line.append(f" {symbols.dot} ").append(tr(template, n=f"{n:,}"), style)
    yield line
    if planned.settings:
        yield Padding(_settings(planned, symbols), (1, 0, 1, 2), expand=False)
    yield from bill(planned)


def _settings(planned: Figures, symbols: Symbols) -> Table:
    """What becomes of each setting, beside what it is known to be where anything is."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    is_known = any(step.old is not None for s in planned.settings for step in s.steps)
    titles = (
        tr("Setting"),
        tr("Becomes"),
        *([tr("Change, as last acknowledged")] if is_known else []),
        tr("Left as it is"),
    )
    for title in titles:
        table.add_column(title, header_style="dim", justify="left")
    for setting in planned.settings:
        becomes = tr(", ").join(f"{_word(word)} {n:,}" for word, n in setting.values.items())
        before = tr(", ").join(_step(step, symbols) for step in setting.steps)
        untouched = f"{setting.untouched:,}" if setting.untouched else ""
        cells = (_word(setting.label), becomes, *([before] if is_known else []), untouched)
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _word(english: str) -> str:
    """A word of the endpoint's table, or one that stands for a text or a list."""
    return tr(WEBCAST.zh_of(english)) if spoken().lang == "zh" else english


def _step(step: Step, symbols: Symbols) -> str:
    new, n = _word(step.new), f"{step.rows:,}"
    if step.is_same:
        return tr("{value} already {n}", value=new, n=n)
    return f"{_old(step.old)} {symbols.arrow} {new} {n}"


def _old(value: str | None) -> str:
    """What a setting is known to be, if it is."""
    return tr("unknown") if value is None else _word(value)


def row_by_row(prepared: Prepared, symbols: Symbols) -> Iterable[Text]:
    """Each row that is sent, and what it makes of its classroom."""
    rows = {row.row: row for row in prepared.checked.rows if isinstance(row, Change)}
    for request in prepared.plan.requests:
        change = rows[request.rows[0]]
        holdings = prepared.known.get(change.target, {})
        steps = tr(", ").join(
            f"{key} {tr('{value} already', value=_word(new))}"
            if same
            else f"{key} {_old(old)} {symbols.arrow} {_word(new)}"
            for key, old, new, same in row_steps(change, prepared.endpoint, holdings)
        )
        numbers = ", ".join(map(str, request.rows))
        yield Text(
            trn(
                "row {rows}, {target}: {changes}",
                "rows {rows}, {target}: {changes}",
                len(request.rows),
                rows=numbers,
                target=change.target,
                changes=shown(steps),
            )
        )


def bill(planned: Figures) -> Iterable[Text]:
    """What is switched on that costs money."""
    by: dict[str, list[str]] = {}
    for item in planned.bill:
        switched = trn(
            "{label} in {n} classroom",
            "{label} in {n} classrooms",
            item.classrooms,
            label=_word(item.label),
        )
        by.setdefault(item.by, []).append(switched)
    if by:
        yield Text(tr("ClassIn bills what this switches on from the school's balance:"))
    for what, items in by.items():
        yield Text(f"    {tr(' and ').join(items)}{tr(': ')}{_word(what)}")


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
            table.add_row(f"{n:,}", symbol, word, Text(tr(meaning), "dim", overflow="fold"))
    return table


def total(report: RunReport, symbols: Symbols) -> Text:
    """The sum under the counts."""
    rate = report.requests / report.elapsed_s * 60 if report.elapsed_s > 1 else 0.0
    speed = f" ({rate:,.0f}/min)" if rate else ""
    requests = trn(
        "{n} request in {time}",
        "{n} requests in {time}",
        report.requests,
        time=spell(report.elapsed_s),
    )
    return Text(f"{rows_said(len(report.rows))} {symbols.dot} {requests}{speed}", "bold")


def why_stopped(stop: Stop, symbols: Symbols) -> Iterable[Text]:
    """Why a run ended before its last row, and what to do."""
    message, fix = explain(stop.code, stop.args, WEBCAST, spoken())
    line = tr("Stopped ({reason}): {sentence}", reason=stop.reason, sentence=shown(message))
    yield Text(f"{symbols.warning} {line}", "bold yellow")
    if fix:
        yield Text(f"  {symbols.arrow} {shown(fix)}")


# ------------------------------------------------------------------ runs


def runs(records: Iterable[RunRecord], zone: tzinfo) -> Table:
    """The list of runs, times in `zone`."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    titles = (tr("Run"), tr("When"), tr("Sheet"), tr("Institution"), tr("Rows"), tr("State"))
    for index, title in enumerate(titles):
        # A run's name is to be copied, so it is never broken.
        table.add_column(title, header_style="dim", overflow="fold", no_wrap=index == 0)
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
    words = {
        "running": tr("running"),
        "crashed": tr("cut off: resume it"),
        "finished": tr("finished"),
        "purged": tr("purged"),
    }
    reason = record.stop.reason if record.stop else ""
    return words.get(state(record)) or tr("stopped: {reason}", reason=shown(reason))


def crosstab(table: Crosstab) -> Table:
    """Rows by the values of a column."""
    shape = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    shape.add_column(Text(shown(short_header(table.column))), header_style="dim")
    for status in table.statuses:
        shape.add_column(status.value.replace("_", " "), justify="right", header_style="dim")
    for value, counts in table.counts:
        shape.add_row(Text(shown(value) or tr("(blank)")), *(f"{n:,}" if n else "" for n in counts))
    return shape


def findings(found: Diagnosis, symbols: Symbols) -> Group:
    """What `doctor` found, line by line."""
    table = Table.grid(padding=(0, 1))
    for name, well, sentence in found.findings:
        mark = Text(symbols.good, "green") if well else Text(symbols.bad, "bold red")
        table.add_row(mark, Text(tr(name), "bold"), Text(shown(sentence), overflow="fold"))
    return Group(table)
