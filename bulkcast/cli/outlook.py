"""How the forecast of a plan looks on a terminal: how long, in which order, what would be late."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Final, Protocol

from rich.text import Text

from bulkcast.cli.console import Symbols
from bulkcast.cli.figures import Figures, spell
from bulkcast.cli.render import rows_said
from bulkcast.cli.words import spoken, tr, trn
from bulkcast.derive import local_time
from bulkcast.endpoints import WEBCAST
from bulkcast.forecast import Forecast, Late, Pace, Waiting, forecast
from bulkcast.locks import is_late
from bulkcast.pacing import show_rate
from bulkcast.wording import marked

_EDGE: Final = 3
"""Rows shown at either end of a list."""


class Foreseen(Protocol):
    """What is foreseen of rows to be sent: a plan's `Figures`, or less."""

    @property
    def outlook(self) -> Forecast:
        """How sending would go."""

    @property
    def sent(self) -> int:
        """Rows whose settings would be sent."""

    @property
    def locked(self) -> int:
        """Rows whose settings are locked already, so that they are not sent."""

    @property
    def free(self) -> int:
        """Rows that come too late, and of which only what stays free would be new."""

    @property
    def dated(self) -> int:
        """Rows to be sent of which it is known when they lock."""


@dataclass(frozen=True, slots=True)
class Glimpse:
    """What is foreseen of a sheet that was not planned."""

    outlook: Forecast
    sent: int
    locked: int
    dated: int
    free: int = 0


def glimpse(turns: Iterable[Waiting], pace: Pace, *, now: float) -> Glimpse:
    """What is foreseen of requests in sending order of which no more is known."""
    rows = dated = locked = 0
    for turn in turns:
        rows += len(turn.rows)
        dated += len(turn.rows) if turn.locks_at is not None else 0
        locked += len(turn.rows) if is_late(turn.locks_at, now) else 0
    return Glimpse(forecast(turns, pace, now=now), rows - locked, locked, dated - locked)


def pace(planned: Foreseen, rate: float, zone: tzinfo, name: str) -> Text:
    """How long it takes, and when it would be done."""
    outlook = planned.outlook
    at = local_time(outlook.ends_at, zone)
    how_long = spell(outlook.duration_s)
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
    """That a pace is faster than ClassIn is documented to allow."""
    limit = WEBCAST.limit
    if rate > limit.calls / limit.per_s:
        said = tr(
            "--rate {rate} is more than the {most} a minute ClassIn is documented to allow; what is"
            " sent beyond may be refused.",
            rate=show_rate(rate),
            most=f"{limit.calls:,}",
        )
        yield Text(f"{symbols.warning} {said}", "yellow")


def order(planned: Figures) -> Text:
    """In which order rows are sent: where it is known, the ones that lock first come first."""
    rows = [row for together in planned.order for row in together]
    head = [str(row) for row in rows[: 2 * _EDGE]]
    if len(rows) > 2 * _EDGE:
        tail = [str(row) for row in rows[-_EDGE:]]
        head = [*head[:_EDGE], "…", *tail]
    comma = spoken().listed(["", ""])
    listed = comma.join(head).replace(f"…{comma}", "… ")
    said = marked("Order of rows, as in the sheet: {rows}")
    if planned.dated:
        said = "Order of rows, earliest lock first: {rows}"
    return Text(tr(said, rows=listed))


def locked(planned: Foreseen, zone: tzinfo, symbols: Symbols) -> Iterable[Text]:
    """Rows that are not sent because their settings have locked."""
    begun = _begun(planned)
    rows = [row for row in planned.outlook.late if is_late(row.locks_at, begun)]
    if rows:
        one = "{n} row is already locked and is not sent:"
        many = "{n} rows are already locked and are not sent:"
        yield Text(f"{symbols.warning} {trn(one, many, len(rows))}", "yellow")
        yield from _listed(rows, begun, zone)


def late(planned: Foreseen, zone: tzinfo, symbols: Symbols) -> Iterable[Text]:
    """Rows whose turn comes after their lock, and what would save them."""
    begun = _begun(planned)
    rows = [row for row in planned.outlook.late if not is_late(row.locks_at, begun)]
    if rows:
        one = "{n} row would be too late and not be sent:"
        many = "{n} rows would be too late and not be sent:"
        yield Text(f"{symbols.warning} {trn(one, many, len(rows))}", "yellow")
        yield from _listed(rows, begun, zone)
        yield from _saved_by(planned, symbols)
    if planned.free:
        said = tr(
            "what is locked in {rows} was last set as wanted; --send-free sends just the settings"
            " that are still free",
            rows=rows_said(planned.free),
        )
        yield Text(f"  {symbols.arrow} {said}")


def _begun(planned: Foreseen) -> float:
    return planned.outlook.ends_at - planned.outlook.duration_s


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


def _saved_by(planned: Foreseen, symbols: Symbols) -> Iterable[Text]:
    outlook, limit = planned.outlook, WEBCAST.limit
    if outlook.rate_needed is None:
        yield Text(f"  {symbols.arrow} {tr('no pace would save them')}")
        return
    said = marked("--rate {rate} would save them")
    if outlook.rate_needed > limit.calls / limit.per_s:
        said = (
            "--rate {rate} would save them, more than the {most} a minute ClassIn is documented"
            " to allow"
        )
    told = tr(said, rate=show_rate(outlook.rate_needed), most=f"{limit.calls:,}")
    yield Text(f"  {symbols.arrow} {told}")


def in_time(planned: Foreseen) -> Iterable[Text]:
    """That no row comes too late, where that can be known."""
    if planned.dated and len(planned.outlook.late) == planned.outlook.locked:
        one = "The {n} row that locks is sent in time."
        many = "The {n} rows that lock are all sent in time."
        yield Text(trn(one, many, planned.dated))
