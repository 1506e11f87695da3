"""How things are measured: both contestants in one run, taking turns, compared by medians.

Only ratios of one run mean anything: the same machine, the same minute, the same noise for both.
"""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Spent:
    """What one go took, in seconds."""

    wall: float
    cpu: float
    """Of this process and of its children that have ended."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table that is printed at the end."""

    name: str
    measured: str
    goal: str


def spend(work: Callable[[], object]) -> Spent:
    """Do `work` once."""
    wall, cpu = time.perf_counter(), _cpu()
    work()
    return Spent(time.perf_counter() - wall, _cpu() - cpu)


def _cpu() -> float:
    try:
        import resource
    except ImportError:
        # On Windows the children's share is always 0: the figures of processes are missing there.
        times = os.times()
        return times.user + times.system + times.children_user + times.children_system
    # `os.times` counts in hundredths of a second, too coarse for a process of 20 ms.
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def height_mb() -> float:
    """The most memory that this process has held, in MB."""
    try:
        import resource
    except ImportError:  # Windows has no such count
        return float("nan")
    # Linux counts in KiB, macOS in bytes.
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def take_turns(
    a: Callable[[], object], b: Callable[[], object], *, times: int
) -> tuple[Spent, Spent]:
    """The medians of `times` goes each, A B A B …, after one of each that is not counted."""
    a()
    b()
    goes = [(spend(a), spend(b)) for _ in range(times)]
    return _median([go[0] for go in goes]), _median([go[1] for go in goes])


def _median(goes: list[Spent]) -> Spent:
    return Spent(median(go.wall for go in goes), median(go.cpu for go in goes))


def table(figures: list[Figure]) -> str:
    """The figures as lines of three columns."""
    rows = [("", "measured", "goal"), *((f.name, f.measured, f.goal) for f in figures)]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
             for row in rows)  # fmt: skip
    return "\n".join(line.rstrip() for line in lines)
