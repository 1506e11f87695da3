"""How the forecast of a plan looks on a terminal: how long, in which order, what would be late."""

from collections.abc import Iterable, Sequence
from datetime import tzinfo
from typing import Final

from rich.text import Text

from bulkcast.cli.console import Symbols
from bulkcast.cli.figures import Figures, spell
from bulkcast.cli.render import counted
from bulkcast.derive import local_time
from bulkcast.endpoints import WEBCAST
from bulkcast.forecast import Late
from bulkcast.pacing import show_rate

_EDGE: Final = 3
"""Rows shown at either end of a list."""


def pace(planned: Figures, rate: float, zone: tzinfo, name: str) -> Text:
    """How long it takes, and when it would be done."""
    outlook = planned.outlook
    at = local_time(outlook.ends_at, zone)
    how_long = spell(outlook.duration_s)
    return Text(f"At {show_rate(rate)}: {how_long}, done at about {at} ({name}) if begun now.")


def order(rows: Sequence[int]) -> Text:
    """In which order rows are sent: the ones that lock first come first."""
    head = [str(row) for row in rows[: 2 * _EDGE]]
    if len(rows) > 2 * _EDGE:
        tail = [str(row) for row in rows[-_EDGE:]]
        head = [*head[:_EDGE], "…", *tail]
    return Text(f"Order of rows, earliest lock first: {', '.join(head)}".replace("…,", "…"))


def late(planned: Figures, zone: tzinfo, symbols: Symbols) -> Iterable[Text]:
    """Rows whose turn comes after their lock, and what would save them."""
    late, n = planned.outlook.late, len(planned.outlook.late)
    if not n:
        return
    first, begun = late[0], planned.outlook.ends_at - planned.outlook.duration_s
    yield Text(
        f"{symbols.warning} {counted(n, 'row')} would be too late and not be sent, the first of"
        f" them row {first.row}:",
        "yellow",
    )
    for row in late[: 2 * _EDGE]:
        yield Text(f"    row {row.row}, {row.target}: {_turn(row, begun, zone)}")
    if n > 2 * _EDGE:
        yield Text(f"    and {n - 2 * _EDGE:,} more")
    yield from _saved_by(planned, symbols)


def _turn(row: Late, begun: float, zone: tzinfo) -> str:
    locks, turn = (local_time(at, zone) for at in (row.locks_at, row.turn_at))
    if row.locks_at <= begun:
        return f"locked since {locks}"
    close = "" if row.locks_at <= row.turn_at else ", too close to it"
    return f"locks at {locks}, its turn comes at {turn}{close}"


def _saved_by(planned: Figures, symbols: Symbols) -> Iterable[Text]:
    outlook, limit = planned.outlook, WEBCAST.limit
    if outlook.locked:
        locked = counted(outlook.locked, "is", "are")
        yield Text(f"  {locked} locked already: no pace saves that")
    savable = len(outlook.late) - outlook.locked
    which = "them" if savable == len(outlook.late) else f"the other {savable:,}"
    if outlook.rate_needed is not None:
        faster = ""
        if outlook.rate_needed > limit.calls / limit.per_s:
            faster = f", more than the {limit.calls:,} a minute ClassIn is documented to allow"
        rate = show_rate(outlook.rate_needed)
        yield Text(f"  {symbols.arrow} --rate {rate} would save {which}{faster}")
    elif savable:
        yield Text(f"  {symbols.arrow} no pace would save {which}")
    if planned.free:
        n = counted(planned.free, "row")
        yield Text(
            f"  {symbols.arrow} what is locked in {n} was last set as wanted; --send-free sends"
            " just the settings that are still free"
        )


def in_time(planned: Figures) -> Iterable[Text]:
    """That no row comes too late, where that can be known."""
    if planned.dated and not planned.outlook.late:
        rows = counted(planned.dated, "row that locks is", "rows that lock are all")
        yield Text(f"The {rows} sent in time.")
