"""What time it is at ClassIn, which refuses stamps more than 5 minutes off its own clock.

Learned from the `Date` header of its answers and from refusals; asked for at every attempt.
"""

import math
from typing import Final

from bulkcast.model import Text

SKEW_TOLD_S: Final = 30.0
"""Seconds this computer's clock may be off before stamps are corrected and the user told."""


class ServerClock:
    """How far ClassIn's clock is from this computer's."""

    def __init__(self) -> None:
        self.offset = 0.0
        """Seconds to add to this computer's clock for ClassIn's."""
        self.skew: float | None = None
        """How far off it was when it was last seen, to the second; None before."""
        self._mended_at = math.inf

    def measure(self, date: float, wall: float) -> Text | None:
        """Compare a `Date` header with this computer's clock; what to tell the user, if anything.

        Both in Unix seconds.
        """
        skew = self.skew = date - wall
        if abs(skew - self.offset) < SKEW_TOLD_S:
            return None
        self.offset = skew
        return Text(
            "This computer's clock is {off} {side} ClassIn's; stamps are corrected.",
            {"off": duration(abs(skew)), "side": side(skew)},
        )

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


def side(skew: float) -> str:
    """On which side of ClassIn's clock this computer's is."""
    return "behind" if skew > 0 else "ahead of"


def duration(seconds: float) -> str:
    """Seconds in words.

    >>> duration(45), duration(900)
    ('45 s', '15 min')
    """
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
