"""Renders a plan and its forecast for a terminal.  Cells are untrusted: see `shown`."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import tzinfo
from typing import Final

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bulkcast.catalogue import Label
from bulkcast.cli.console import Symbols, shown
from bulkcast.cli.language import current_translator, spell, tr, trn
from bulkcast.cli.render import rows_said, value_label
from bulkcast.endpoints import WEBCAST
from bulkcast.i18n import marked
from bulkcast.messages import local_time
from bulkcast.model import Change
from bulkcast.pacing import show_rate
from bulkcast.pipeline import Prepared
from bulkcast.planner.deadlines import is_late
from bulkcast.planner.forecast import Late
from bulkcast.planner.summary import PlanSummary, Schedule, SummaryValue, Transition, transitions


def plan(planned: PlanSummary, symbols: Symbols) -> Iterable[RenderableType]:
    """What would be sent: rows, then the changes of each setting."""
    line = Text(tr("To send: ")).append(rows_said(planned.sent), "bold")
    if planned.requests != planned.sent:
        line.append(trn(" in {n} request", " in {n} requests", planned.requests))
    if planned.sent:
        line.append(trn(", {n} classroom", ", {n} classrooms", planned.classrooms))
    told = [
        (planned.done, marked("{n} done by an earlier run and not sent again"), ""),
        (planned.unchanged, marked("{n} unchanged and not sent"), ""),
        (planned.locked, marked("{n} already locked and not sent"), "red"),
        (planned.invalid, marked("{n} invalid and not sent"), "red"),
        (planned.left_out - planned.done, marked("{n} left out by your choice"), ""),
        (planned.warnings, marked("{n} with warnings"), "yellow"),
    ]
    for n, template, style in told:
        if n:
            line.append(f" {symbols.dot} ").append(tr(template, n=f"{n:,}"), style)
    yield line
    if planned.settings:
        yield Padding(_settings(planned, symbols), (1, 0, 1, 2), expand=False)
    yield from bill(planned)


def _settings(planned: PlanSummary, symbols: Symbols) -> Table:
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


def _transition(key: str, step: Transition, symbols: Symbols) -> str:
    new = value_label(key, step.new, current_translator())
    if step.is_same:
        return _times(tr("{value} already", value=new), step.rows)
    return _times(f"{_old(key, step.old)} {symbols.arrow} {new}", step.rows)


def _old(key: str, value: SummaryValue | None) -> str:
    """The last known value of a setting, or that it is unknown."""
    return tr("unknown") if value is None else value_label(key, value, current_translator())


def row_by_row(prepared: Prepared, symbols: Symbols) -> Iterable[Text]:
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


def _steps(change: Change, prepared: Prepared, symbols: Symbols) -> Iterator[str]:
    holdings = prepared.known.get(change.target, {})
    for key, step in transitions(change, prepared.endpoint, holdings):
        translator = current_translator()
        name, new = translator.name_of(key), value_label(key, step.new, translator)
        if step.is_same:
            yield f"{name} {tr('{value} already', value=new)}"
        else:
            yield f"{name} {_old(key, step.old)} {symbols.arrow} {new}"


def bill(planned: PlanSummary) -> Iterable[RenderableType]:
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


def pace(schedule: Schedule, rate: float, zone: tzinfo, name: str) -> Text:
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


def order(planned: PlanSummary) -> Text:
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


def locked(schedule: Schedule, zone: tzinfo, symbols: Symbols) -> Iterable[Text]:
    """Rows that are not sent because their settings have locked."""
    begun = _begun(schedule)
    rows = [row for row in schedule.forecast.late if is_late(row.locks_at, begun)]
    if rows:
        one = "{n} row is already locked and is not sent:"
        many = "{n} rows are already locked and are not sent:"
        yield Text(f"{symbols.warning} {trn(one, many, len(rows))}", "yellow")
        yield from _listed(rows, begun, zone)


def late(schedule: Schedule, zone: tzinfo, symbols: Symbols) -> Iterable[Text]:
    """Rows that will lock before they are sent, and how to avoid that."""
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


def _begun(schedule: Schedule) -> float:
    return schedule.forecast.ends_at - schedule.forecast.duration_s


def _listed(rows: Sequence[Late], begun: float, zone: tzinfo) -> Iterable[Text]:
    for row in rows[: 2 * _EDGE]:
        turn = _turn(row, begun, zone)
        line = tr("row {row}, {target}: {turn}", row=row.row, target=row.target, turn=turn)
        yield Text(f"    {line}")
    if (more := len(rows) - 2 * _EDGE) > 0:
        yield Text(f"    {tr('and {n} more', n=f'{more:,}')}")


def _turn(row: Late, begun: float, zone: tzinfo) -> str:
    locks, turn = (local_time(at, zone) for at in (row.locks_at, row.turn_at))
    if row.locks_at <= begun:
        return tr("already locked at {at}", at=locks)
    if is_late(row.locks_at, begun):
        return tr("locks at {at}, too soon to be sent", at=locks)
    said = marked("locks at {at}, its turn comes at {turn}")
    if row.locks_at > row.turn_at:
        said = "locks at {at}, its turn comes at {turn}, too close to it"
    return tr(said, at=locks, turn=turn)


def _saved_by(schedule: Schedule, symbols: Symbols) -> Iterable[Text]:
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
    told = tr(said, rate=show_rate(needed), most=f"{limit.calls:,}")
    yield Text(f"  {symbols.arrow} {told}")


def in_time(schedule: Schedule) -> Iterable[Text]:
    """That no row comes too late, if lock times are known."""
    if schedule.dated and len(schedule.forecast.late) == schedule.forecast.locked:
        one = "The {n} row that locks is sent in time."
        many = "The {n} rows that lock are all sent in time."
        yield Text(trn(one, many, schedule.dated))
