"""Forecasts sending a plan: duration, finish time, rows that would be too late."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from bulkcast.catalogue import Limit
from bulkcast.model import Target
from bulkcast.pacing import Pacer, cap_for
from bulkcast.planner.deadlines import LOCK_MARGIN_S, ForecastRequest, is_late, is_refused


@dataclass(frozen=True, slots=True)
class Late:
    """A row that would be sent after its settings have locked."""

    row: int
    target: Target
    locks_at: int
    turn_at: float
    """When it would have been sent, Unix seconds."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """The forecast for a plan; times are Unix seconds."""

    duration_s: float
    """Seconds from now until the last request is sent."""
    ends_at: float
    late: tuple[Late, ...] = ()
    """In sending order."""
    locked: int = 0
    """Number of late rows that are locked already, at any pace."""
    rate_needed: float | None = None
    """Requests per second at which only the locked rows would be late; None if the requested pace
    is enough, or no pace is."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The pace a forecast starts from."""

    rate: float
    """Requested requests per second."""
    limit: Limit
    """The documented limit of the endpoint."""
    earlier: tuple[float, ...] = ()
    """Times of recent requests, Unix seconds: they count towards the hard cap."""
    at_present: float | None = None
    """Current requests per second after throttling, if lower; it recovers over time."""
    held_until: float = -math.inf
    """No request is sent before this time, Unix seconds."""

    def pacer(self, rate: float, now: float) -> Pacer:
        """A pacer like a run's for this `rate`, with a clock that is 0 at `now`."""
        pacer = Pacer(rate, cap_for(self.limit, rate), (sent - now for sent in self.earlier))
        if self.at_present is not None and not math.isinf(rate):
            pacer.rate = min(rate, self.at_present)
        pacer.hold(self.held_until - now)
        return pacer


def forecast(requests: Iterable[ForecastRequest], pace: Pace, *, now: float) -> Forecast:
    """Simulate sending `requests`, in sending order, from `now` on.

    Institutions are sent for side by side, each at this pace.  `requests` is iterated several
    times.  Only rows that are too late are kept in memory, and all if there are several
    institutions.
    """
    first = next(iter(requests), None)
    if first is None or not first.institution:  # then no request has one
        return _forecast(requests, pace, now)
    by_institution: defaultdict[str, list[ForecastRequest]] = defaultdict(list)
    for request in requests:
        by_institution[request.institution].append(request)
    return _side_by_side([_forecast(some, pace, now) for some in by_institution.values()])


def _side_by_side(found: Sequence[Forecast]) -> Forecast:
    """The forecast for several institutions at once."""
    needed = [each.rate_needed for each in found if len(each.late) > each.locked]
    is_enough = bool(needed) and None not in needed
    return Forecast(
        duration_s=max(each.duration_s for each in found),
        ends_at=max(each.ends_at for each in found),
        late=tuple(sorted((row for each in found for row in each.late), key=lambda r: r.turn_at)),
        locked=sum(each.locked for each in found),
        rate_needed=max(filter(None, needed)) if is_enough else None,
    )


def _forecast(requests: Iterable[ForecastRequest], pace: Pace, now: float) -> Forecast:
    lasted, late = _simulate(requests, pace.pacer(pace.rate, now), now)
    locked = sum(is_late(row.locks_at, now) for row in late)
    needed = rate_needed(requests, pace, now=now) if len(late) > locked else None
    return Forecast(lasted, now + lasted, tuple(late), locked, needed)


def _simulate(
    requests: Iterable[ForecastRequest], pacer: Pacer, now: float
) -> tuple[float, list[Late]]:
    """Seconds from `now` until the last request is sent, and the rows that are too late.

    Counted from 0: added to Unix seconds, thousands of small steps would lose precision.
    """
    at, late = 0.0, []
    for request in requests:
        turn_at = now + pacer.due(at)
        lock = request.locks_at
        if lock is not None and is_refused(request, turn_at):
            late += [Late(row, request.target, lock, turn_at) for row in request.rows]
        else:
            at = pacer.reserve(at)
            pacer.answered(at)
    return at, late


_TRIES: Final = 12
_STEP: Final = 1.25


def rate_needed(requests: Iterable[ForecastRequest], pace: Pace, *, now: float) -> float | None:
    """The slowest pace at which no row is late that is not locked yet, in requests per second.

    A whole number of requests a minute; None if no pace is enough because of the hard cap or a
    Retry-After.
    """
    rate = max(
        (_least_rate(n, r, now) for n, r in enumerate(_not_locked(requests, now))), default=0.0
    )
    for _ in range(_TRIES):
        rate = math.floor(rate * 60 + 1) / 60
        if not _simulate(_not_locked(requests, now), pace.pacer(rate, now), now)[1]:
            return rate
        rate *= _STEP
    return None


def _not_locked(requests: Iterable[ForecastRequest], now: float) -> Iterator[ForecastRequest]:
    """The requests that are not locked yet."""
    return (request for request in requests if not is_late(request.locks_at, now))


def _least_rate(place: int, request: ForecastRequest, now: float) -> float:
    """Requests per second at which `place` others are sent before this one locks."""
    if request.locks_at is None or request.once_locked == "send_free":
        return 0.0
    return place / (request.locks_at - LOCK_MARGIN_S - now)
