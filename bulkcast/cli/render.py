"""Renders problems and plans for a terminal.  Cells are untrusted: see `shown`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from itertools import groupby
from typing import TYPE_CHECKING, Final, Literal

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bulkcast.arguments import Series
from bulkcast.catalogue import ChoiceKind, Label
from bulkcast.cli.console import Symbols, shown
from bulkcast.cli.language import current_translator, said, spell, tr, trn
from bulkcast.endpoints import WEBCAST
from bulkcast.i18n import Translator, marked, short_header
from bulkcast.messages import local_time
from bulkcast.model import Change, Institution, Issue, Severity
from bulkcast.pacing import show_rate

if TYPE_CHECKING:
    from bulkcast.pipeline import Diagnosis, Prepared
    from bulkcast.planner.forecast import Late
    from bulkcast.planner.summary import PlanSummary, Schedule, SummaryValue, Transition

PROBLEMS_MOST: Final = 50
"""Problems that are listed; further ones are only counted."""
_VALUE_MOST: Final = 28
_WIDTH_LEAST: Final = 24
"""Columns of a terminal, not characters."""

NO_ROWS: Final = marked("There are no rows below the header yet.")

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
    return next((line for line in spelled if cell_len(line) <= most), _rows(rows, 1))


def _rows(rows: Sequence[int], stretches: int) -> str:
    from bulkcast.reporter.run_summary import ranges

    listed, beyond = ranges(rows, stretches)
    line = trn("row {rows}", "rows {rows}", len(rows), rows=Series(listed))
    return f"{line} {tr('and {n} more', n=f'{beyond:,}')}" if beyond else line


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


def findings(found: "Diagnosis", symbols: Symbols) -> Group:
    """What `doctor` found, line by line."""
    table = Table.grid(padding=(0, 1))
    for name, well, sentence in found.findings:
        mark = Text(symbols.good, "green") if well else Text(symbols.bad, "bold red")
        table.add_row(mark, Text(tr(name), "bold"), Text(shown(sentence), overflow="fold"))
    return Group(table)


_CONTENTS: Final[Mapping[str, str]] = {
    "set": marked("set"),
    "cleared": marked("cleared"),
    "another": marked("another"),
}
"""The words for `planner.summary.Content`."""


def value_label(key: str, value: "SummaryValue", translator: Translator) -> str:
    """A setting's value: a choice by its label; of a text or list, what becomes of it."""
    if isinstance(value, str):
        return translator.tell(_CONTENTS[value])
    kind = WEBCAST.by_key[key].kind
    choices = kind.choices if isinstance(kind, ChoiceKind) else ()
    return next((c.label.say(translator.lang) for c in choices if c.value == value), str(value))


# ------------------------------------------------------------------ plans


def plan(planned: "PlanSummary", symbols: Symbols) -> Iterable[RenderableType]:
    """What would be sent: rows, then the changes of each setting."""
    line = Text(tr("To send: ")).append(rows_said(planned.sent), "bold")
    if planned.requests != planned.sent:
        line.append(trn(" in {n} request", " in {n} requests", planned.requests))
    if planned.sent:
        line.append(trn(", {n} classroom", ", {n} classrooms", planned.classrooms))
    parts = [
        (planned.done, marked("{n} done by an earlier run and not sent again"), ""),
        (planned.unchanged, marked("{n} unchanged and not sent"), ""),
        (planned.locked, marked("{n} already locked and not sent"), "red"),
        (planned.invalid, marked("{n} invalid and not sent"), "red"),
        (planned.left_out - planned.done, marked("{n} left out by your choice"), ""),
        (planned.warnings, marked("{n} with warnings"), "yellow"),
    ]
    for n, template, style in parts:
        if n:
            line.append(f" {symbols.dot} ").append(tr(template, n=f"{n:,}"), style)
    yield line
    if planned.settings:
        yield Padding(_settings(planned, symbols), (1, 0, 1, 2), expand=False)
    yield from bill(planned)


def _settings(planned: "PlanSummary", symbols: Symbols) -> Table:
    """The table of changes by setting, with last known values if there are any."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    is_known = any(step.old is not None for s in planned.settings for step in s.transitions)
    titles = (
        tr("Setting"),
        tr("Becomes (rows)"),
        *([tr("Change, as last acknowledged (rows)")] if is_known else []),
        tr("Left as it is"),
    )
    for title in titles:
        table.add_column(title, header_style="dim", justify="left")
    for setting in planned.settings:
        translator = current_translator()
        becomes = translator.listed(
            _times(value_label(setting.key, value, translator), n)
            for value, n in setting.values.items()
        )
        before = translator.listed(
            _transition(setting.key, step, symbols) for step in setting.transitions
        )
        untouched = f"{setting.untouched:,}" if setting.untouched else ""
        name = shown(current_translator().name_of(setting.key))
        cells = (name, becomes, *([before] if is_known else []), untouched)
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _times(said: str, n: int) -> str:
    """A value and its number of rows, spelled so that the number is not taken for a value."""
    return tr("{said} ({n})", said=said, n=f"{n:,}")


def _transition(key: str, step: "Transition", symbols: Symbols) -> str:
    new = value_label(key, step.new, current_translator())
    if step.is_same:
        return _times(tr("{value} already", value=new), step.rows)
    return _times(f"{_old(key, step.old)} {symbols.arrow} {new}", step.rows)


def _old(key: str, value: "SummaryValue | None") -> str:
    """The last known value of a setting, or that it is unknown."""
    return tr("unknown") if value is None else value_label(key, value, current_translator())


def row_by_row(prepared: "Prepared", symbols: Symbols) -> Iterable[Text]:
    """Each row that is sent, and its changes."""
    rows = {row.row: row for row in prepared.checked.rows if isinstance(row, Change)}
    for request in prepared.plan.requests:
        change = rows[request.rows[0]]
        steps = current_translator().listed(_steps(change, prepared, symbols))
        numbers = current_translator().listed(map(str, request.rows))
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


def _steps(change: Change, prepared: "Prepared", symbols: Symbols) -> Iterator[str]:
    from bulkcast.planner.summary import transitions

    holdings = prepared.known.get(change.target, {})
    for key, step in transitions(change, prepared.endpoint, holdings):
        translator = current_translator()
        name, new = translator.name_of(key), value_label(key, step.new, translator)
        if step.is_same:
            yield f"{name} {tr('{value} already', value=new)}"
        else:
            yield f"{name} {_old(key, step.old)} {symbols.arrow} {new}"


def bill(planned: "PlanSummary") -> Iterable[RenderableType]:
    """The billed features that are switched on."""
    by: dict[Label, list[str]] = {}
    for item in planned.billed:
        switched = trn(
            "{label} in {n} classroom",
            "{label} in {n} classrooms",
            item.classrooms,
            label=shown(current_translator().name_of(item.key)),
        )
        unit = WEBCAST.by_key[item.key].billed or Label("", "")
        by.setdefault(unit, []).append(switched)
    if by:
        yield Text(tr("ClassIn bills what this switches on from the school's balance:"))
    for unit, items in by.items():
        line = Text(f"{tr(' and ').join(items)}{tr(': ')}{unit.say(current_translator().lang)}")
        yield Padding(line, (0, 0, 0, 4), expand=False)


_EDGE: Final = 3
"""Rows shown at either end of a list."""


def pace(schedule: "Schedule", rate: float, zone: tzinfo, name: str) -> Text:
    """How long sending takes, and when it would be done."""
    at = local_time(schedule.forecast.ends_at, zone)
    how_long = spell(schedule.forecast.duration_s)
    return Text(
        tr(
            "At {rate}: {time}, done at about {at} ({zone}) if begun now.",
            rate=show_rate(rate),
            time=how_long,
            at=at,
            zone=name,
        )
    )


def too_fast(rate: float, symbols: Symbols) -> Iterable[Text]:
    """A warning if the pace exceeds ClassIn's documented limit."""
    limit = WEBCAST.limit
    if rate > limit.calls / limit.per_s:
        said = tr(
            "--rate {rate} is more than the {most} a minute ClassIn is documented to allow; what is"
            " sent beyond may be refused.",
            rate=show_rate(rate),
            most=f"{limit.calls:,}",
        )
        yield Text(f"{symbols.warning} {said}", "yellow")


def order(planned: "PlanSummary") -> Text:
    """The sending order: by lock time where known, the earliest first."""
    rows = [row for together in planned.order for row in together]
    head = [str(row) for row in rows[: 2 * _EDGE]]
    if len(rows) > 2 * _EDGE:
        tail = [str(row) for row in rows[-_EDGE:]]
        head = [*head[:_EDGE], "…", *tail]
    comma = current_translator().listed(["", ""])
    listed = comma.join(head).replace(f"…{comma}", "… ")
    said = marked("Order of rows, as in the sheet: {rows}")
    if planned.schedule.dated:
        said = "Order of rows, earliest lock first: {rows}"
    return Text(tr(said, rows=listed))


def locked(schedule: "Schedule", zone: tzinfo, symbols: Symbols) -> Iterable[Text]:
    """Rows that are not sent because their settings have locked."""
    from bulkcast.planner.deadlines import is_late

    begun = _begun(schedule)
    rows = [row for row in schedule.forecast.late if is_late(row.locks_at, begun)]
    if rows:
        one = "{n} row is already locked and is not sent:"
        many = "{n} rows are already locked and are not sent:"
        yield Text(f"{symbols.warning} {trn(one, many, len(rows))}", "yellow")
        yield from _listed(rows, begun, zone)


def late(schedule: "Schedule", zone: tzinfo, symbols: Symbols) -> Iterable[Text]:
    """Rows that will lock before they are sent, and how to avoid that."""
    from bulkcast.planner.deadlines import is_late

    begun = _begun(schedule)
    rows = [row for row in schedule.forecast.late if not is_late(row.locks_at, begun)]
    if rows:
        one = "{n} row would be too late and not be sent:"
        many = "{n} rows would be too late and not be sent:"
        yield Text(f"{symbols.warning} {trn(one, many, len(rows))}", "yellow")
        yield from _listed(rows, begun, zone)
        yield from _saved_by(schedule, symbols)
    if schedule.free:
        said = tr(
            "what is locked in {rows} was last set as wanted; --send-free sends just the settings"
            " that are still free",
            rows=rows_said(schedule.free),
        )
        yield Text(f"  {symbols.arrow} {said}")


def _begun(schedule: "Schedule") -> float:
    return schedule.forecast.ends_at - schedule.forecast.duration_s


def _listed(rows: "Sequence[Late]", begun: float, zone: tzinfo) -> Iterable[Text]:
    for row in rows[: 2 * _EDGE]:
        turn = _turn(row, begun, zone)
        line = tr("row {row}, {target}: {turn}", row=row.row, target=row.target, turn=turn)
        yield Text(f"    {line}")
    if (more := len(rows) - 2 * _EDGE) > 0:
        yield Text(f"    {tr('and {n} more', n=f'{more:,}')}")


def _turn(row: "Late", begun: float, zone: tzinfo) -> str:
    from bulkcast.planner.deadlines import is_late

    locks, turn = (local_time(at, zone) for at in (row.locks_at, row.turn_at))
    if row.locks_at <= begun:
        return tr("already locked at {at}", at=locks)
    if is_late(row.locks_at, begun):
        return tr("locks at {at}, too soon to be sent", at=locks)
    said = marked("locks at {at}, its turn comes at {turn}")
    if row.locks_at > row.turn_at:
        said = "locks at {at}, its turn comes at {turn}, too close to it"
    return tr(said, at=locks, turn=turn)


def _saved_by(schedule: "Schedule", symbols: Symbols) -> Iterable[Text]:
    needed, limit = schedule.forecast.rate_needed, WEBCAST.limit
    if needed is None:
        yield Text(f"  {symbols.arrow} {tr('no pace would save them')}")
        return
    said = marked("--rate {rate} would save them")
    if needed > limit.calls / limit.per_s:
        said = (
            "--rate {rate} would save them, more than the {most} a minute ClassIn is documented"
            " to allow"
        )
    line = tr(said, rate=show_rate(needed), most=f"{limit.calls:,}")
    yield Text(f"  {symbols.arrow} {line}")


def in_time(schedule: "Schedule") -> Iterable[Text]:
    """That no row comes too late, if lock times are known."""
    if schedule.dated and len(schedule.forecast.late) == schedule.forecast.locked:
        one = "The {n} row that locks is sent in time."
        many = "The {n} rows that lock are all sent in time."
        yield Text(trn(one, many, schedule.dated))
