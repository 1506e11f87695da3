"""Holds a request back while an older, different one for its classroom could still arrive."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from bulkcast.i18n import marked
from bulkcast.model import Body, RequestKey, Target, Text
from bulkcast.protocol import STAMP_LIFE_S, expires_after

WAITED: Final = marked(
    "An older request to the same classroom had gone unanswered and could still have arrived, so"
    " these waited until ClassIn would refuse it: {n}, for up to {longest} min."
)


@dataclass(frozen=True, slots=True)
class UnansweredAttempt:
    """An attempt that ClassIn may still carry out."""

    target: Target
    body: Body
    sent_at: float
    """When it was sent, in seconds of a monotonic clock."""
    ahead_s: float = 0.0
    """Seconds its stamp was ahead of ClassIn's clock; it is valid that much longer."""

    @property
    def expires_at(self) -> float:
        """When its stamp has expired, so that ClassIn refuses it."""
        return self.sent_at + expires_after(self.ahead_s)


def ahead_of(stamp: float, signed: float, skew: float | None) -> float:
    """Seconds a stamp was ahead of ClassIn's clock; the maximum if unknown.

    Args:
        stamp: when the request was stamped, by this computer's clock.
        signed: the stamp itself.
        skew: seconds ClassIn's clock is ahead of this computer's; None if unknown.

    >>> ahead_of(1000.0, 1000, -20.0), ahead_of(1000.0, 1000, None)
    (20.0, 300.0)

    """
    if skew is None:
        return STAMP_LIFE_S
    return min(STAMP_LIFE_S, max(0.0, signed - stamp - skew))


class PendingWrites:
    """The attempts that may still arrive, by classroom."""

    def __init__(self, earlier: Iterable[UnansweredAttempt] = ()) -> None:
        """`earlier`: attempts of programs before this one."""
        self.held: dict[RequestKey, float] = {}
        """Waiting request → until when it waits."""
        self.waits_s: list[float] = []
        """Seconds that each request had to wait, past ones included."""
        self._unanswered: dict[Target, list[UnansweredAttempt]] = {}
        for attempt in earlier:
            self.add(attempt)

    def add(self, attempt: UnansweredAttempt) -> None:
        """Add an attempt without a conclusive reply."""
        self._unanswered.setdefault(attempt.target, []).append(attempt)

    def not_before(self, target: Target, body: Body) -> float:
        """The time from which `body` may be sent to `target`.

        >>> unanswered = UnansweredAttempt(Target("activityId", 7), (("recordState", 1),), 10.0)
        >>> pending = PendingWrites([unanswered])
        >>> pending.not_before(Target("activityId", 7), (("recordState", 0),))
        315.0
        >>> pending.not_before(Target("activityId", 7), (("recordState", 1),))
        -inf
        """
        if not self._unanswered:  # the usual case
            return -math.inf
        others = (a.expires_at for a in self._unanswered.get(target, ()) if a.body != body)
        return max(others, default=-math.inf)

    @property
    def remark(self) -> Text | None:
        """The remark about requests that had to wait; None if none had to."""
        if not self.waits_s:
            return None
        longest = max(1, round(max(self.waits_s) / 60))
        return Text(WAITED, {"n": str(len(self.waits_s)), "longest": str(longest)})

    @contextmanager
    def waiting(self, key: RequestKey, now: float, until: float) -> Iterator[None]:
        """Register a request as waiting while the block lasts."""
        self.held[key] = until
        self.waits_s.append(until - now)
        try:
            yield
        finally:
            del self.held[key]
