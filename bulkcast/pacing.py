"""Computes when the next request may start: an even pace, a hard cap, slow-down and recovery.

It reads no clock: callers pass the time, in seconds of a monotonic clock.  The constants come from
simulations of 20,000 rows against a modelled server; the comments give the reasons.
"""

import math
import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from bulkcast.catalogue import Limit
from bulkcast.errors import CannotStart
from bulkcast.model import ReplyClass

DEFAULT_RATE: Final = 950 / 60.0
"""Requests per second; 5 % under the documented 1000 a minute, because an exact client-side
limit is still exceeded at the server when latency varies and requests bunch up on the way."""

CONCURRENCY: Final = 32
"""Requests under way at once: twice what 950 a minute needs when an answer takes 2 s."""

TIMEOUT_S: Final = 20.0
"""Seconds for one whole attempt, counted from its turn; cuts answers that drip."""

MAX_OUTAGE_S: Final = 45 * 60.0
"""Seconds; half an hour's outage is survived with time to spare."""

CAP_WINDOW_S: Final = 62.0
"""Window of the hard cap: the documented minute plus 2 s for varying latency."""

FLOOR_RATE: Final = 1.0
"""Throttling does not slow the pace below this, requests per second."""

_CUT: Final = 0.7  # CUBIC's factor: enough to clear congestion without idling
_CUT_AT_MOST_EVERY_S: Final = 5.0
_RECOVER_SHARE: Final = 0.05
_RECOVER_EVERY_S: Final = 15.0
_AFTER_OUTAGE_SHARE: Final = 0.25

_RATES: Final = (1 / 3600.0, 1e6)
"""The slowest and the fastest valid rate, requests per second."""

_UNITS: Final = {"s": 1.0, "sec": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}
_RATE: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*/\s*([a-z]+)\s*", re.ASCII)


def parse_rate(text: str) -> float:
    """Parse a rate such as `950/min` to requests per second; `max` means no limit.

    Raises:
        CannotStart: the text is no rate, or less than one request an hour.

    >>> parse_rate("1200/min"), parse_rate("5/s"), parse_rate("max")
    (20.0, 5.0, inf)

    """
    if text.strip().lower() == "max":
        return math.inf
    match = _RATE.fullmatch(text.lower())
    per_s = _UNITS.get(match[2]) if match else None
    rate = float(match[1]) / per_s if match and per_s else 0.0
    slowest, fastest = _RATES
    if not slowest <= rate <= fastest:
        raise CannotStart(
            "--rate {text!r} is no rate; give one such as 950/min, 5/s or max", text=text
        )
    return rate


def show_rate(rate: float) -> str:
    """A rate as `parse_rate` reads it.

    >>> show_rate(DEFAULT_RATE), show_rate(math.inf)
    ('950/min', 'max')
    """
    return "max" if math.isinf(rate) else f"{rate * 60:.6f}".rstrip("0").rstrip(".") + "/min"


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `calls` starts in any `window_s` seconds."""

    calls: int
    window_s: float


def cap_for(limit: Limit, rate: float) -> Cap | None:
    """The hard cap for a pace; None for `max`.

    For a pace above the documented limit, which the user chose, the cap follows the pace.
    """
    if math.isinf(rate):
        return None
    window = limit.per_s + (CAP_WINDOW_S - 60.0)
    return Cap(max(limit.calls, math.ceil(rate * window) + 1), window)


class Budget:
    """A retry budget: an empty one defers a row, it never fails it.

    The numbers are botocore's of 2026.  In botocore an empty budget fails the call at once, which
    in a simulated outage of half an hour gave up 15,250 of 20,000 rows.
    """

    def __init__(self, tokens: int = 500) -> None:
        self.left = self._most = tokens

    def take(self, kind: ReplyClass) -> bool:
        """Pay for a retry after a try that ended with `kind`; False if the budget is too small.

        >>> budget = Budget(20)
        >>> budget.take(ReplyClass.TRANSIENT), budget.take(ReplyClass.TRANSIENT), budget.left
        (True, False, 6)
        """
        cost = _REPEAT_COSTS.get(kind, 0)
        if self.left < cost:
            return False
        self.left -= cost
        return True

    def succeeded(self, attempts: int) -> None:
        """Refund the budget after a request was applied in `attempts` attempts."""
        back = 1 if attempts == 1 else _REPEAT_COSTS[ReplyClass.TRANSIENT]
        self.left = min(self._most, self.left + back)


_REPEAT_COSTS: Final = {ReplyClass.TRANSIENT: 14, ReplyClass.THROTTLED: 5}


class Pacer:
    """The pace of one institution, shared by all workers that send for it.

    `reserve` gives out start times: evenly spaced, never in the past, within the hard cap.
    """

    def __init__(self, rate: float, cap: Cap | None, earlier: Iterable[float] = ()) -> None:
        """`earlier`: start times before this program's, by the same clock as `reserve`."""
        self._full_rate = rate
        self.rate = rate
        """Current requests per second."""
        self.held_until = -math.inf
        """No request starts before this time."""
        self.budget = Budget()
        """The retry budget."""
        self._cap = cap
        self._turns: deque[float] = deque(sorted(earlier), maxlen=cap.calls if cap else 0)
        self._due = -math.inf
        self._cut_at = -math.inf
        self.eased_at = -math.inf
        """When the pace last changed."""
        self.throttles = 0
        """Times ClassIn has throttled since it last answered."""

    @property
    def share(self) -> float:
        """The present rate as a share of the full one, in (0, 1]."""
        return 1.0 if math.isinf(self._full_rate) else self.rate / self._full_rate

    def go_on(
        self, now: float, share: float, held_s: float, eased_s: float, throttles: int
    ) -> None:
        """Take over an earlier pacer's pace, changed `eased_s` ago, and what is left of a hold."""
        if not math.isinf(self._full_rate):
            self.rate = min(self.rate, self._full_rate * share)
        self.eased_at, self.throttles = now - eased_s, throttles
        if held_s:
            self.hold(now + held_s)

    def reserve(self, now: float) -> float:
        """Reserve the next start time and return it.

        >>> pacer = Pacer(2.0, None)
        >>> [pacer.reserve(10.0) for _ in range(3)]
        [10.0, 10.5, 11.0]
        """
        turn = self.due(now)
        if not math.isinf(self.rate):
            self._turns.append(turn)
            self._due = turn + 1.0 / self.rate
        return turn

    def due(self, now: float) -> float:
        """The next start time, without reserving it."""
        if math.isinf(self.rate):
            return max(now, self.held_until)
        turn = max(now, self._due, self.held_until)
        if self._cap and len(self._turns) == self._cap.calls:
            turn = max(turn, self._turns[0] + self._cap.window_s)
        return turn

    def is_slowed(self, now: float) -> bool:
        """Whether the pace is below the requested one, after throttling or because of the cap."""
        capped = self._cap is not None and len(self._turns) == self._cap.calls
        waits = self.due(now) > max(now, self._due, self.held_until) if capped else False
        return self.rate < self._full_rate or waits

    def stands(self, turn: float, now: float) -> bool:  # noqa: ARG002 - a leased slot expires
        """Whether a reserved start time may be used `now`: no hold was set since."""
        return turn >= self.held_until

    def hold(self, until: float) -> None:
        """Start no request before `until`."""
        self.held_until = max(self.held_until, until)

    def throttled(self, now: float, retry_after: float | None, chance: float) -> None:
        """Slow down at the server's request: all workers wait, and the pace is reduced.

        `chance` in [0, 1) spreads the wait (full jitter over 1 s, 2 s, 4 s … 60 s), so that
        programs that share a quota do not resume at the same moment.
        """
        backoff = chance * min(60.0, 2.0 ** min(self.throttles, 10))
        self.throttles += 1
        self.hold(now + max(backoff, retry_after or 0.0))
        if now - self._cut_at >= _CUT_AT_MOST_EVERY_S and not math.isinf(self.rate):
            self.rate = max(min(FLOOR_RATE, self._full_rate), self.rate * _CUT)
            self._cut_at = now
        self.eased_at = now

    def answered(self, now: float) -> None:
        """A request was answered: recover the pace step by step."""
        self.throttles = 0
        if self.rate < self._full_rate and now - self.eased_at >= _RECOVER_EVERY_S:
            self.rate = min(self._full_rate, self.rate + _RECOVER_SHARE * self._full_rate)
            self.eased_at = now

    def resume_gently(self, now: float) -> None:
        """Resume after an outage at a quarter of the pace."""
        if not math.isinf(self._full_rate):
            self.rate = min(self.rate, self._full_rate * _AFTER_OUTAGE_SHARE)
        self.eased_at = now


_LATE_S: Final = 1.0
"""Seconds after which a leased start time may no longer be used."""
_ASK_AGAIN_S: Final = 0.1


class LeasedPacer(Pacer):
    """A pacer whose start times are leased elsewhere, so that several computers share one pace.

    Its own rate only says how fast they are to be leased.
    """

    def __init__(self, rate: float) -> None:
        super().__init__(rate, None)
        self._slots: deque[float] = deque()
        self._reserved: set[float] = set()

    def wanted(self, now: float) -> int:
        """How many slots to lease: a second's worth once there are none; none during a hold.

        >>> pacer = LeasedPacer(16.5)
        >>> pacer.wanted(10.0)
        16
        >>> pacer.lease([10.0, 10.1])
        >>> pacer.wanted(10.0), pacer.wanted(11.2)
        (0, 16)
        """
        if math.isinf(self.rate) or now < self.held_until or self._next(now) is not None:
            return 0
        return max(1, int(self.rate))

    def lease(self, slots: Iterable[float]) -> None:
        """Add start times, in ascending order, by the same clock as `reserve`."""
        self._slots.extend(slots)

    def reserve(self, now: float) -> float:
        """Reserve the next slot, up to 1 s in the past; without one, when to ask again.

        The latter does not stand.

        >>> pacer = LeasedPacer(2.0)
        >>> pacer.lease([8.9, 9.5, 10.5])
        >>> slots = [pacer.reserve(10.0) for _ in range(3)]
        >>> slots, [pacer.stands(slot, 10.5) for slot in slots]
        ([9.5, 10.5, 10.1], [True, True, False])
        """
        if math.isinf(self.rate):
            return super().reserve(now)
        slot = self._next(now)
        if slot is None:
            return max(now + _ASK_AGAIN_S, self.held_until)
        self._slots.popleft()
        self._reserved = {turn for turn in self._reserved if turn >= now - _LATE_S}
        self._reserved.add(slot)
        return slot

    def due(self, now: float) -> float:
        """The next start time, as far as it is known, without reserving it."""
        return max(super().due(now), self._next(now) or now)

    def unused(self, now: float) -> float | None:
        """The first leased slot after `now`, to give it and those after it back after a run.

        >>> pacer = LeasedPacer(2.0)
        >>> pacer.lease([10.0, 10.5, 11.0])
        >>> _ = pacer.reserve(9.9), pacer.reserve(9.9)
        >>> pacer.unused(10.1), pacer.unused(11.0)
        (10.5, None)
        """
        return min((slot for slot in (*self._reserved, *self._slots) if slot > now), default=None)

    def _next(self, now: float) -> float | None:
        """The first slot that may be used; those before it are dropped."""
        while self._slots and self._slots[0] < max(now - _LATE_S, self.held_until):
            self._slots.popleft()
        return self._slots[0] if self._slots else None

    def stands(self, turn: float, now: float) -> bool:
        """Whether a reserved slot may be used `now`: no hold was set since, and it is not late."""
        if math.isinf(self.rate):
            return super().stands(turn, now)
        return turn in self._reserved and turn >= max(now - _LATE_S, self.held_until)

    def throttled(self, now: float, retry_after: float | None, chance: float) -> None:
        """As `Pacer.throttled`; slots leased at the faster pace are dropped."""
        super().throttled(now, retry_after, chance)
        self._slots.clear()

    def resume_gently(self, now: float) -> None:
        """As `Pacer.resume_gently`; slots leased at the faster pace are dropped."""
        super().resume_gently(now)
        self._slots.clear()
