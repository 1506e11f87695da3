"""Reads a run's progress: its pace, the time left, and in words what delays it."""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bulkcast.dispatcher import Progress
from bulkcast.dispatcher.circuit_breaker import BreakerState
from bulkcast.i18n import Translator
from bulkcast.model import SUCCEEDED, RowStatus

_MEASURED_OVER_S: Final = 10.0
SILENCE_TOLD_S: Final = 1.0
"""A shorter silence that ClassIn asks for is not told."""


@dataclass(frozen=True, slots=True)
class Figures:
    """A run's progress in numbers."""

    good: int
    """Rows applied, or known to be so already."""
    failed: int
    """Rows that ended otherwise."""
    left: int
    """Rows to be sent yet."""
    retrying: int
    rate: float
    """Requests per second over the last few seconds; 0 if it is too early to tell."""
    seconds_left: float | None
    """None if nobody can tell."""

    @property
    def done(self) -> int:
        """Rows that have ended."""
        return self.good + self.failed

    @property
    def percent(self) -> int:
        """How much is done; 100 only when all is.

        >>> Figures(good=999, failed=0, left=1, retrying=0, rate=0.0, seconds_left=None).percent
        99
        """
        return self.done * 100 // max(1, self.done + self.left)


class Gauge:
    """Turns progress into figures; keeps the last few values to measure the rate."""

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        """`rate` is the requested one, in requests per second; `clock` never jumps."""
        self._asked = rate
        self._clock = clock
        self._looks: deque[tuple[float, int]] = deque()

    def figures(self, progress: Progress) -> Figures:
        """The figures now; called a few times a second."""
        # A stopped run reports its remaining rows as not sent: they are left, not failed.
        done = sum(n for s, n in progress.counts.items() if s is not RowStatus.NOT_SENT)
        good = sum(progress.counts.get(status, 0) for status in SUCCEEDED)
        left = progress.rows - done
        if _is_held_up(progress):
            self._looks.clear()  # a rate measured across a pause is useless
        rate = self._measure(progress.requests)
        seconds_left: float | None = None
        if left > progress.retrying and not _is_held_up(progress):
            seconds = left / min(progress.rate, rate or math.inf)
            is_known = seconds > progress.held_back_s and math.isfinite(seconds)
            seconds_left = seconds if is_known else None
        return Figures(good, done - good, left, progress.retrying, rate, seconds_left)

    def _measure(self, requests: int) -> float:
        now = self._clock()
        self._looks.append((now, requests))
        while now - self._looks[0][0] > _MEASURED_OVER_S:
            self._looks.popleft()
        then, before = self._looks[0]
        return (requests - before) / (now - then) if now - then >= 1.0 else 0.0

    def pace(self, figures: Figures, speaks: Translator) -> str:
        """Requests per minute, measured and requested; empty if it is too early to tell."""
        if not figures.rate:
            return ""
        # Over a few seconds the measurement is off by one request; the pace itself is kept.
        n = f"{min(figures.rate, self._asked) * 60:,.0f}"
        if math.isinf(self._asked):
            return speaks.tell("{n} a minute", n=n)
        return speaks.tell("{n} of {most} a minute", n=n, most=f"{self._asked * 60:,.0f}")


def _is_held_up(progress: Progress) -> bool:
    """Whether the remaining time is unknown, as the run waits for ClassIn or the user."""
    waits = progress.held_s > 0 or progress.open_s > 0 or progress.slowed or progress.paused
    return waits or progress.breaker_state is not BreakerState.CLOSED


def time_left(figures: Figures, speaks: Translator) -> str:
    """The remaining time in words; empty for the last second, or if nobody can tell."""
    seconds = figures.seconds_left
    if seconds is None or seconds < 1:
        return ""
    return speaks.tell("about {time} to go", time=speaks.duration(seconds))


def lateness(progress: Progress, speaks: Translator) -> str:
    """How many rows will be too late; empty if none will."""
    if not progress.late:
        return ""
    return speaks.count(
        "At this pace {n} row locks before it can be sent",
        "At this pace {n} rows lock before they can be sent",
        progress.late,
    )


def slowness(progress: Progress, speaks: Translator) -> str:
    """That requests are sent more slowly than asked for; empty if they are not."""
    if not progress.slowed or progress.paused:
        return ""
    return speaks.tell(
        "Going more slowly, {n} a minute at most: ClassIn asked for it, or as many requests as it"
        " allows were sent just now",
        n=f"{progress.rate * 60:,.0f}",
    )


def _pause(progress: Progress, speaks: Translator) -> str:
    if not progress.under_way:
        return speaks.tell("Paused: nothing is sent until you continue")
    return speaks.count(
        "Pausing: the answer to {n} request is awaited",
        "Pausing: the answers to {n} requests are awaited",
        progress.under_way,
    )


def delay(progress: Progress, speaks: Translator) -> str:
    """What delays the run, and for how long; empty if nothing does."""
    if progress.paused:
        return _pause(progress, speaks)
    if progress.breaker_state is BreakerState.OPEN:
        waited = speaks.duration(progress.open_s)
        if progress.maintained:
            said = "ClassIn is under maintenance, {time} so far; it is asked now and then"
            return speaks.tell(said, time=waited)
        return speaks.tell(
            "Waiting for ClassIn, {time} so far; it is asked now and then", time=waited
        )
    if progress.held_s >= SILENCE_TOLD_S:
        left = speaks.duration(progress.held_s)
        return speaks.tell("ClassIn asked for silence, {time} left", time=left)
    if progress.held_back:
        return speaks.tell(
            "{n} waiting, {time} left: an unanswered request to the same classroom may still"
            " arrive until then",
            n=f"{progress.held_back:,}",
            time=speaks.duration(progress.held_back_s),
        )
    return ""
