"""What time it is at ClassIn, which refuses stamps more than 5 minutes off its clock."""

import math
from typing import Final

from bulkcast.i18n import marked
from bulkcast.model import Text

SKEW_TOLD_S: Final = 30.0
"""Seconds this computer's clock may be off before stamps are corrected and the user told."""


_SET_BACK_S: Final = 5.0
"""Seconds by which an answer may be late before it means that ClassIn's own clock was set back."""

_LEAP_S: Final = SKEW_TOLD_S
"""Seconds by which ClassIn may be later than it was known to be before a second answer is asked."""


class ServerClock:
    """How far ClassIn's clock is from this computer's."""

    def __init__(self) -> None:
        self.offset = 0.0
        """Seconds to add to this computer's clock for ClassIn's."""
        self.skew: float | None = None
        """How far off it was when it was last seen, to the second; None before."""
        self._mended_at = math.inf
        self._ahead: float | None = None
        self._leapt: float | None = None

    def seen(self, date: float, now: float) -> None:
        """ClassIn says that it is `date`, Unix seconds; `now` is of a clock that never jumps.

        It leaves out fractions, so the answer that came soonest after a full second tells best.
        One that tells another time altogether counts once the next agrees with it: this computer
        slept, or the clock there was set.  A single one may be of a machine whose clock is wrong.
        """
        ahead = date - now
        if self._ahead is None or self._is_borne_out(ahead):
            self._ahead = ahead
            return
        is_leap = not -_SET_BACK_S < ahead - self._ahead < _LEAP_S
        self._leapt = ahead if is_leap else None
        if not is_leap:
            self._ahead = max(self._ahead, ahead)

    def _is_borne_out(self, ahead: float) -> bool:
        """Whether the answer before told another time, too, and the same."""
        return self._leapt is not None and abs(ahead - self._leapt) < _SET_BACK_S

    @property
    def is_known(self) -> bool:
        """Whether ClassIn has told what time it is there."""
        return self._ahead is not None

    def at_least(self, now: float) -> float | None:
        """What time it is at ClassIn at least, whatever was done to this computer's clock.

        None before its first answer.  Where this computer slept meanwhile it is later than that.
        """
        return None if self._ahead is None else self._ahead + now

    def measure(self, date: float, wall: float) -> Text | None:
        """Compare a `Date` header with this computer's clock; what to tell the user, if anything.

        Both in Unix seconds.
        """
        skew = self.skew = date - wall
        if abs(skew - self.offset) < SKEW_TOLD_S:
            return None
        self.offset = skew
        return clock_off(skew)

    def refused(self, stamped_at: float, now: float) -> bool:
        """A stamp was refused; whether it was one that had been corrected already.

        Times are seconds of a clock that never jumps.
        """
        corrected = stamped_at >= self._mended_at
        self._mended_at = min(self._mended_at, now)
        return corrected

    def accepted(self) -> None:
        """A stamp was accepted."""
        self._mended_at = math.inf


def clock_off(skew: float) -> Text:
    """That this computer's clock is `skew` seconds behind ClassIn's, or ahead of it if negative.

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
