"""How long ago something was, whatever was done to the clock since.

Everybody may set the wall clock, forward too, and then what was sent a moment ago looks old.  So
each intent also holds the seconds since the computer was started, and which start that was.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
"""Linux's name for this start of the computer; containers see their host's."""

_SAME_START_S: Final = 2.0
"""How far a clock may be slewed between two programs and still count as one that nobody set."""


@dataclass(frozen=True, slots=True)
class Steady:
    """A clock that nobody sets: seconds since the start of the computer named."""

    tick: Callable[[], float]
    boot: str
    """Empty where the system does not tell."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time as it was noted."""

    wall: float
    """Unix seconds by this computer's clock."""
    tick: float | None = None
    """Seconds since this computer was started; None where only the clock was asked."""
    boot: str = ""


def boot_id() -> str:
    """What this system calls its present start; empty where it does not tell."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def age(then: Moment, now: Moment) -> float:
    """Seconds that have certainly passed between two moments.

    Within one start of the computer its ticks tell.  After another start at least the time since
    then has passed.  Where neither can be told apart from a clock that was set, it is nothing.

    >>> age(Moment(1000.0, 50.0, "a"), Moment(9000.0, 57.0, "a"))
    7.0
    >>> age(Moment(1000.0, 50.0, "a"), Moment(1001.0, 30.0, "b"))
    30.0
    """
    if then.tick is None or now.tick is None:
        return max(0.0, now.wall - then.wall)
    if then.boot and now.boot and then.boot != now.boot:
        return now.tick
    unset = abs((now.wall - now.tick) - (then.wall - then.tick)) < _SAME_START_S
    if then.boot == now.boot and (now.boot or unset):
        return max(0.0, now.tick - then.tick)
    return 0.0
