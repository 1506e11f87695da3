"""How a plan would go if it were sent: how long, until when, which rows would lock first."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from bulkcast.catalogue import Limit
from bulkcast.model import Target
from bulkcast.pacing import Pacer, cap_for
from bulkcast.planner.deadlines import LOCK_MARGIN_S, is_late


@dataclass(frozen=True, slots=True)
class Late:
    """A row whose turn comes after its settings have locked."""

    row: int
    target: Target
    locks_at: int
    turn_at: float
    """When it would have been sent, Unix seconds."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What sending would come to; times are Unix seconds."""

    duration_s: float
    """From now until the last request leaves."""
    ends_at: float
    late: tuple[Late, ...] = ()
    """In the order in which their turns would come."""
    locked: int = 0
    """How many of the late rows are locked already: no pace saves them."""
    rate_needed: float | None = None
    """Requests per second at which only those would be late; None where the pace asked for does
    as well."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The pace a forecast starts with."""

    rate: float
    """Requests per second asked for."""
    limit: Limit
    """What the endpoint is documented to allow."""
    earlier: tuple[float, ...] = ()
    """When requests were sent shortly before, Unix seconds: they count against the hard cap."""
    at_present: float | None = None
    """Requests per second granted now, where ClassIn asked for less; it recovers on the way."""
    held_until: float = -math.inf
    """No turn begins before."""

    def pacer(self, rate: float, now: float) -> Pacer:
        """A pacer as a run has it, asked for `rate`; its clock shows 0 at `now`."""
        pacer = Pacer(rate, cap_for(self.limit, rate), (sent - now for sent in self.earlier))
        if self.at_present is not None and not math.isinf(rate):
            pacer.rate = min(rate, self.at_present)
        pacer.hold(self.held_until - now)
        return pacer


class ForecastRequest(Protocol):
    """A request to come, as far as its time goes: a `model.Request`, or less."""

    @property
    def rows(self) -> tuple[int, ...]:
        """The rows that share it."""

    @property
    def target(self) -> Target:
        """The classroom."""

    @property
    def locks_at(self) -> int | None:
        """From when on it is refused, where that is known."""

    @property
    def once_locked(self) -> Literal["refuse", "send_free"]:
        """What becomes of it then."""


def forecast(requests: Iterable[ForecastRequest], pace: Pace, *, now: float) -> Forecast:
    """Play `requests` from `now` on: in sending order, and the same ones each time they are asked.

    Takes no memory for any but those that come too late.
    """
    lasted, late = _play(requests, pace.pacer(pace.rate, now), now)
    locked = sum(is_late(row.locks_at, now) for row in late)
    needed = rate_needed(requests, pace, now=now) if len(late) > locked else None
    return Forecast(lasted, now + lasted, tuple(late), locked, needed)


def _play(
    requests: Iterable[ForecastRequest], pacer: Pacer, now: float
) -> tuple[float, list[Late]]:
    """Seconds from `now` until the last turn begins, and the rows without one.

    Counted from 0: added to Unix seconds, thousands of steps would lose their last digits.
    """
    at, late = 0.0, []
    for request in requests:
        turn_at = now + pacer.due(at)
        lock = request.locks_at
        if lock is not None and request.once_locked == "refuse" and is_late(lock, turn_at):
            late += [Late(row, request.target, lock, turn_at) for row in request.rows]
        else:
            at = pacer.reserve(at)
            pacer.answered(at)
    return at, late


_TRIES: Final = 12
_FASTER: Final = 1.25


def rate_needed(requests: Iterable[ForecastRequest], pace: Pace, *, now: float) -> float | None:
    """The slowest whole number of requests a minute that loses no row which is not locked yet.

    In requests per second; None where no pace does, for the hard cap or a silence asked for
    stands in the way.
    """
    rate = max((_least(n, r, now) for n, r in enumerate(_open(requests, now))), default=0.0)
    for _ in range(_TRIES):
        rate = math.floor(rate * 60 + 1) / 60
        if not _play(_open(requests, now), pace.pacer(rate, now), now)[1]:
            return rate
        rate *= _FASTER
    return None


def _open(requests: Iterable[ForecastRequest], now: float) -> Iterator[ForecastRequest]:
    """Those that are not locked yet."""
    return (request for request in requests if not is_late(request.locks_at, now))


def _least(place: int, request: ForecastRequest, now: float) -> float:
    """Requests per second at which `place` others leave before this one locks."""
    if request.locks_at is None or request.once_locked == "send_free":
        return 0.0
    return place / (request.locks_at - LOCK_MARGIN_S - now)
