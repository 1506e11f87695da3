"""A run under way, on stderr: a bar where lines may be redrawn, else a line now and then."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bulkcast.cli.console import Voice
from bulkcast.cli.figures import spell
from bulkcast.dispatcher import Progress
from bulkcast.model import RowStatus
from bulkcast.weather import Sky

_LINE_EVERY_S: Final = 15.0
_MEASURED_OVER_S: Final = 10.0
_BAR: Final = 28

_GOOD: Final = frozenset({RowStatus.APPLIED, RowStatus.UNCHANGED})

Watch = Callable[[Progress], None]


@contextmanager
def shown_on(
    voice: Voice, rate: float, clock: Callable[[], float] = time.monotonic
) -> Iterator[Watch]:
    """What to give a run as its watch; `rate` is what was asked for, in requests per second."""
    gauge = Gauge(rate, clock)
    if voice.quiet:
        yield lambda progress: None
    elif voice.moving:
        with Live(console=voice.err, auto_refresh=False, transient=True) as live:
            yield lambda progress: live.update(gauge.bar(progress), refresh=True)
    else:
        yield _lines(voice, gauge, clock)


def _lines(voice: Voice, gauge: "Gauge", clock: Callable[[], float]) -> Watch:
    """A line at once when the weather changes, else every so often."""
    last: list[tuple[float, str]] = [(clock(), "")]

    def watch(progress: Progress) -> None:
        figures, weather = gauge.words(progress)
        at, said = last[0]
        kind = weather.partition(",")[0]
        if kind != said or clock() - at >= _LINE_EVERY_S:
            last[0] = (clock(), kind)
            voice.say(Text(". ".join(part for part in (figures, weather) if part)))

    return watch


class Gauge:
    """Turns looks at a run into words; remembers the last few for the rate."""

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        self._asked = rate
        self._clock = clock
        self._looks: deque[tuple[float, int]] = deque()

    def bar(self, progress: Progress) -> RenderableType:
        """The bar, what it means in numbers, and what holds it up."""
        figures, weather = self.words(progress)
        done = sum(progress.counts.values())
        total = max(1, progress.rows)
        line = Table.grid(padding=(0, 1))
        line.add_row(ProgressBar(total, done, width=_BAR), f"{done * 100 // total} %")
        below = [Text(figures), *([Text(weather, "yellow")] if weather else [])]
        return Group(line, *below)

    def words(self, progress: Progress) -> tuple[str, str]:
        """How far it is, and what holds it up (empty where nothing does)."""
        done = sum(progress.counts.values())
        good = sum(progress.counts.get(status, 0) for status in _GOOD)
        left = progress.rows - done
        parts = [f"{good:,} applied", f"{done - good:,} failed", f"{left:,} left"]
        if progress.retrying:
            parts.append(f"{progress.retrying:,} retrying")
        measured = self._measure(progress.requests)
        if measured:
            asked = "" if math.isinf(self._asked) else f" of {self._asked * 60:,.0f}"
            parts.append(f"{measured * 60:,.0f}{asked} a minute")
        if left and progress.rate > 0 and not progress.parked_s:
            parts.append(f"about {spell(left / min(progress.rate, measured or math.inf))} to go")
        return ", ".join(parts), _weather(progress)

    def _measure(self, requests: int) -> float:
        """Requests per second over the last few seconds; 0 where it is too early to tell."""
        now = self._clock()
        self._looks.append((now, requests))
        while now - self._looks[0][0] > _MEASURED_OVER_S:
            self._looks.popleft()
        then, before = self._looks[0]
        return (requests - before) / (now - then) if now - then >= 1.0 else 0.0


def _weather(progress: Progress) -> str:
    if progress.sky is Sky.PARKED:
        return f"Waiting for ClassIn, {spell(progress.parked_s)} so far; it is asked now and then"
    if progress.held_s >= 1.0:
        return f"ClassIn asked for silence, {spell(progress.held_s)} left"
    if progress.fenced:
        return (
            f"{progress.fenced:,} waiting, {spell(progress.fenced_s)} left: an unanswered request"
            " to the same classroom may still arrive until then"
        )
    return ""
