"""How the forecast of a plan looks on a terminal: how long, in which order, what would be late."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Final, Protocol

from rich.text import Text

from bulkcast.cli.console import Symbols
from bulkcast.cli.figures import spell
from bulkcast.cli.render import rows_said
from bulkcast.cli.words import tr, trn
from bulkcast.derive import local_time
from bulkcast.endpoints import WEBCAST
from bulkcast.forecast import Forecast, Late
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
    def free(self) -> int:
        """Rows that come too late, and of which only what stays free would be new."""

    @property
    def dated(self) -> int:
        """Rows of which it is known when they lock."""


@dataclass(frozen=True, slots=True)
class Glimpse:
    """What is foreseen of a sheet that was not planned."""

    outlook: Forecast
    dated: int
    free: int = 0


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


def order(rows: Sequence[int]) -> Text:
    """In which order rows are sent: the ones that lock first come first."""
    head = [str(row) for row in rows[: 2 * _EDGE]]
    if len(rows) > 2 * _EDGE:
        tail = [str(row) for row in rows[-_EDGE:]]
        head = [*head[:_EDGE], "…", *tail]
    listed = ", ".join(head).replace("…,", "…")
    return Text(tr("Order of rows, earliest lock first: {rows}", rows=listed))


def late(planned: Foreseen, zone: tzinfo, symbols: Symbols) -> Iterable[Text]:
    """Rows whose turn comes after their lock, and what would save them."""
    late, n = planned.outlook.late, len(planned.outlook.late)
    if not n:
        return
    first, begun = late[0], planned.outlook.ends_at - planned.outlook.duration_s
    words = trn(
        "{n} row would be too late and not be sent:",
        "{n} rows would be too late and not be sent, the first of them row {row}:",
        n,
        row=first.row,
    )
    yield Text(f"{symbols.warning} {words}", "yellow")
    for row in late[: 2 * _EDGE]:
        turn = _turn(row, begun, zone)
        line = tr("row {row}, {target}: {turn}", row=row.row, target=row.target, turn=turn)
        yield Text(f"    {line}")
    if n > 2 * _EDGE:
        yield Text(f"    {tr('and {n} more', n=f'{n - 2 * _EDGE:,}')}")
    yield from _saved_by(planned, symbols)


def _turn(row: Late, begun: float, zone: tzinfo) -> str:
    locks, turn = (local_time(at, zone) for at in (row.locks_at, row.turn_at))
    if row.locks_at <= begun:
        return tr("locked since {at}", at=locks)
    said = marked("locks at {at}, its turn comes at {turn}")
    if row.locks_at > row.turn_at:
        said = "locks at {at}, its turn comes at {turn}, too close to it"
    return tr(said, at=locks, turn=turn)


def _saved_by(planned: Foreseen, symbols: Symbols) -> Iterable[Text]:
    outlook, limit = planned.outlook, WEBCAST.limit
    if outlook.locked:
        one = "{n} is locked already: no pace saves that"
        yield Text(f"  {trn(one, '{n} are locked already: no pace saves that', outlook.locked)}")
    savable = len(outlook.late) - outlook.locked
    is_all = savable == len(outlook.late)
    which = tr("them") if is_all else tr("the other {n}", n=f"{savable:,}")
    if outlook.rate_needed is not None:
        said = marked("--rate {rate} would save {which}")
        if outlook.rate_needed > limit.calls / limit.per_s:
            said = (
                "--rate {rate} would save {which}, more than the {most} a minute ClassIn is"
                " documented to allow"
            )
        words = {"rate": show_rate(outlook.rate_needed), "most": f"{limit.calls:,}"}
        yield Text(f"  {symbols.arrow} {tr(said, which=which, **words)}")
    elif savable:
        yield Text(f"  {symbols.arrow} {tr('no pace would save {which}', which=which)}")
    if planned.free:
        said = tr(
            "what is locked in {rows} was last set as wanted; --send-free sends just the settings"
            " that are still free",
            rows=rows_said(planned.free),
        )
        yield Text(f"  {symbols.arrow} {said}")


def in_time(planned: Foreseen) -> Iterable[Text]:
    """That no row comes too late, where that can be known."""
    if planned.dated and not planned.outlook.late:
        one = "The {n} row that locks is sent in time."
        many = "The {n} rows that lock are all sent in time."
        yield Text(trn(one, many, planned.dated))
