"""When a classroom may be sent other settings: once no older request can still arrive."""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from bulkcast.i18n import marked
from bulkcast.model import Body, RequestKey, Target, Text

STAMP_LIFE_S: Final = 300.0
"""How far ClassIn lets a stamp be from its own clock (121601006's page: 5 minutes)."""

MARGIN_S: Final = 5.0
"""For the whole seconds in which stamps and the `Date` header are told, and for their way."""

WAITED: Final = marked(
    "An older request to the same classroom had gone unanswered and could still have arrived, so"
    " these waited until ClassIn would refuse it: {n}, for up to {longest} min."
)


@dataclass(frozen=True, slots=True)
class UnansweredAttempt:
    """An attempt that may be carried out yet."""

    target: Target
    body: Body
    sent_at: float
    """When, in seconds of a clock that never jumps."""
    ahead_s: float = 0.0
    """How far its stamp was ahead of ClassIn's clock; it lives that much longer."""

    @property
    def over_at(self) -> float:
        """From when on ClassIn refuses it for its stamp."""
        return self.sent_at + STAMP_LIFE_S + max(0.0, self.ahead_s) + MARGIN_S


def ahead_of(stamp: float, signed: float, skew: float | None) -> float:
    """Seconds that a stamp was ahead of ClassIn's clock; unknown, it is as much as is let through.

    Args:
        stamp: when the request was stamped, by this computer's clock.
        signed: the stamp itself.
        skew: how far ClassIn's clock is from this computer's; None where it was never seen.

    >>> ahead_of(1000.0, 1000, -20.0), ahead_of(1000.0, 1000, None)
    (20.0, 300.0)

    """
    if skew is None:
        return STAMP_LIFE_S
    return min(STAMP_LIFE_S, max(0.0, signed - stamp - skew))


class PendingWrites:
    """What may still arrive at each classroom."""

    def __init__(self, earlier: Iterable[UnansweredAttempt] = ()) -> None:
        """`earlier`: attempts of programs before this one."""
        self.held: dict[RequestKey, float] = {}
        """The requests that wait, and until when."""
        self.waits_s: list[float] = []
        """How long each of them, and of those before them, had to wait."""
        self._doubts: dict[Target, list[UnansweredAttempt]] = {}
        for doubt in earlier:
            self.add(doubt)

    def add(self, doubt: UnansweredAttempt) -> None:
        """Remember an attempt that nobody answered for certain."""
        self._doubts.setdefault(doubt.target, []).append(doubt)

    def opens_at(self, target: Target, body: Body) -> float:
        """From when on `body` may be sent to `target`.

        >>> unanswered = UnansweredAttempt(Target("activityId", 7), (("recordState", 1),), 10.0)
        >>> pending = PendingWrites([unanswered])
        >>> pending.opens_at(Target("activityId", 7), (("recordState", 0),))
        315.0
        >>> pending.opens_at(Target("activityId", 7), (("recordState", 1),))
        -inf
        """
        if not self._doubts:  # as good as always
            return -math.inf
        others = (d.over_at for d in self._doubts.get(target, ()) if d.body != body)
        return max(others, default=-math.inf)

    @property
    def remark(self) -> Text | None:
        """What the user should hear of the waiting; None where nothing had to."""
        if not self.waits_s:
            return None
        longest = max(1, round(max(self.waits_s) / 60))
        return Text(WAITED, {"n": str(len(self.waits_s)), "longest": str(longest)})

    @contextmanager
    def waiting(self, key: RequestKey, now: float, opens_at: float) -> Iterator[None]:
        """Count a request among those that wait while the block lasts."""
        self.held[key] = opens_at
        self.waits_s.append(opens_at - now)
        try:
            yield
        finally:
            del self.held[key]
