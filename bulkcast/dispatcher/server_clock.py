"""ClassIn's clock, learned from its answers: it refuses stamps more than 5 minutes off."""

import math
from typing import Final

from bulkcast.i18n import marked
from bulkcast.model import Text

SKEW_TOLERANCE_S: Final = 30.0
"""Seconds this computer's clock may be off before stamps are corrected and the user is told."""

_SET_BACK_S: Final = 5.0
"""Seconds by which an answer may be late before it means that ClassIn's own clock was set back."""
_JUMP_S: Final = SKEW_TOLERANCE_S
"""Seconds by which a `Date` may be later than expected before a second one has to confirm it."""


class ServerClock:
    """How far ClassIn's clock is from this computer's."""

    def __init__(self) -> None:
        self.offset = 0.0
        """Seconds to add to this computer's clock to get ClassIn's."""
        self.skew: float | None = None
        """Seconds ClassIn's clock was ahead at the last answer; None before the first."""
        self._corrected_at = math.inf
        self._ahead: float | None = None
        self._unconfirmed: float | None = None

    def observe(self, date: float, now: float) -> None:
        """Take in a `Date` header in Unix seconds; `now` is of a clock that never jumps.

        The header has no fractions, so the answer that came soonest after a full second is the
        most accurate.  A jump counts only once the next answer confirms it: this computer slept,
        or ClassIn's clock was set.  A single one may come from a server whose clock is wrong.
        """
        ahead = date - now
        if self._ahead is None or self._is_confirmed(ahead):
            self._ahead = ahead
            return
        is_jump = not -_SET_BACK_S < ahead - self._ahead < _JUMP_S
        self._unconfirmed = ahead if is_jump else None
        if not is_jump:
            self._ahead = max(self._ahead, ahead)

    def _is_confirmed(self, ahead: float) -> bool:
        """Whether the answer before showed the same jump."""
        return self._unconfirmed is not None and abs(ahead - self._unconfirmed) < _SET_BACK_S

    @property
    def is_known(self) -> bool:
        """Whether any answer has told ClassIn's time."""
        return self._ahead is not None

    def lower_bound(self, now: float) -> float | None:
        """The earliest time it can be at ClassIn, Unix seconds, by a clock that never jumps.

        None before the first answer.  If this computer slept meanwhile, it is later there.
        """
        return None if self._ahead is None else self._ahead + now

    def measure(self, date: float, wall: float) -> Text | None:
        """Compare a `Date` header with this computer's clock; return a remark for the user, if any.

        Both are in Unix seconds.
        """
        skew = self.skew = date - wall
        if abs(skew - self.offset) < SKEW_TOLERANCE_S:
            return None
        self.offset = skew
        return clock_off(skew)

    def stamp_refused(self, stamped_at: float, now: float) -> bool:
        """Note that a stamp was refused; return whether it had been corrected already.

        Times are seconds of a clock that never jumps.
        """
        corrected = stamped_at >= self._corrected_at
        self._corrected_at = min(self._corrected_at, now)
        return corrected

    def stamp_accepted(self) -> None:
        """Note that a stamp was accepted."""
        self._corrected_at = math.inf


def clock_off(skew: float) -> Text:
    """The remark that this computer's clock is `skew` seconds behind ClassIn's; ahead if negative.

    >>> str(clock_off(45)), str(clock_off(-900)).partition(";")[0]
    ("This computer's clock is 45 s behind ClassIn's; stamps are corrected.", \
"This computer's clock is 15 min ahead of ClassIn's")
    """
    off = abs(skew)
    behind, ahead = _SECONDS_OFF if off < 120 else _MINUTES_OFF
    n = f"{off:.0f}" if off < 120 else f"{off / 60:.0f}"
    return Text(behind if skew > 0 else ahead, {"n": n})


_SECONDS_OFF: Final = (
    marked("This computer's clock is {n} s behind ClassIn's; stamps are corrected."),
    marked("This computer's clock is {n} s ahead of ClassIn's; stamps are corrected."),
)
_MINUTES_OFF: Final = (
    marked("This computer's clock is {n} min behind ClassIn's; stamps are corrected."),
    marked("This computer's clock is {n} min ahead of ClassIn's; stamps are corrected."),
)
CLOCK_OFF: Final = frozenset({*_SECONDS_OFF, *_MINUTES_OFF})
"""The templates of `clock_off`, which are true of one computer."""
