"""Shows a run's progress on stderr: a bar if lines can be redrawn, else a line now and then."""

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

from bulkcast.cli.console import Output
from bulkcast.cli.language import spell, tr, trn
from bulkcast.dispatcher import Progress
from bulkcast.dispatcher.circuit_breaker import BreakerState
from bulkcast.model import RowStatus

_LINE_EVERY_S: Final = 15.0
_MEASURED_OVER_S: Final = 10.0
_BAR: Final = 28
_SILENCE_TOLD_S: Final = 1.0

_GOOD: Final = frozenset({RowStatus.APPLIED, RowStatus.UNCHANGED})

Watch = Callable[[Progress], None]


@contextmanager
def shown_on(
    output: Output, rate: float, clock: Callable[[], float] = time.monotonic
) -> Iterator[Watch]:
    """The callback for a run's progress; `rate` is the requested one, in requests per second."""
    gauge = Gauge(rate, clock)
    if output.quiet:
        yield lambda progress: None
    elif output.moving:
        with Live(console=output.stderr, auto_refresh=False, transient=True) as live:
            yield lambda progress: live.update(gauge.bar(progress), refresh=True)
    else:
        yield _lines(output, gauge, clock)


def _lines(output: Output, gauge: "Gauge", clock: Callable[[], float]) -> Watch:
    """Write a line when the state changes, else at intervals."""
    last: list[tuple[float, str]] = [(clock(), "")]

    def watch(progress: Progress) -> None:
        figures, state = gauge.words(progress)
        at, said = last[0]
        kind = progress.breaker_state.name + str(progress.held_s >= _SILENCE_TOLD_S)
        if kind != said or clock() - at >= _LINE_EVERY_S:
            last[0] = (clock(), kind)
            output.info(Text(tr(". ").join(part for part in (figures, state) if part)))

    return watch


class Gauge:
    """Turns progress into words; keeps the last few values to measure the rate."""

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        self._asked = rate
        self._clock = clock
        self._looks: deque[tuple[float, int]] = deque()

    def bar(self, progress: Progress) -> RenderableType:
        """The bar, the numbers, and what delays the run."""
        figures, state = self.words(progress)
        done = sum(n for s, n in progress.counts.items() if s is not RowStatus.NOT_SENT)
        total = max(1, progress.rows)
        line = Table.grid(padding=(0, 1))
        line.add_row(ProgressBar(total, done, width=_BAR), f"{done * 100 // total} %")
        below = [Text(figures), *([Text(state, "yellow")] if state else [])]
        return Group(line, *below)

    def words(self, progress: Progress) -> tuple[str, str]:
        """The progress, and what delays the run (empty if nothing does)."""
        # A stopped run reports its remaining rows as not sent: they are left, not failed.
        done = sum(n for s, n in progress.counts.items() if s is not RowStatus.NOT_SENT)
        good = sum(progress.counts.get(status, 0) for status in _GOOD)
        left = progress.rows - done
        parts = [
            tr("{n} applied", n=f"{good:,}"),
            tr("{n} failed", n=f"{done - good:,}"),
            tr("{n} left", n=f"{left:,}"),
        ]
        if progress.retrying:
            parts.append(tr("{n} retrying", n=f"{progress.retrying:,}"))
        if self._is_held_up(progress):
            self._looks.clear()  # a rate measured across a pause is useless
        measured = self._measure(progress.requests)
        if measured:
            parts.append(self._speed(measured))
        if left > progress.retrying and not self._is_held_up(progress):
            seconds = left / min(progress.rate, measured or math.inf)
            parts += _to_go(seconds) if seconds > progress.held_back_s else []
        return tr(", ").join(parts), _state(progress)

    @staticmethod
    def _is_held_up(progress: Progress) -> bool:
        """Whether the remaining time is unknown, as the run waits for ClassIn."""
        waits = progress.held_s > 0 or progress.open_s > 0 or progress.slowed
        return waits or progress.breaker_state is not BreakerState.CLOSED

    def _speed(self, measured: float) -> str:
        """Requests per minute, measured and requested."""
        # Over a few seconds the measurement is off by one request; the pace itself is kept.
        n = f"{min(measured, self._asked) * 60:,.0f}"
        if math.isinf(self._asked):
            return tr("{n} a minute", n=n)
        return tr("{n} of {most} a minute", n=n, most=f"{self._asked * 60:,.0f}")

    def _measure(self, requests: int) -> float:
        """Requests per second over the last few seconds; 0 if it is too early to tell."""
        now = self._clock()
        self._looks.append((now, requests))
        while now - self._looks[0][0] > _MEASURED_OVER_S:
            self._looks.popleft()
        then, before = self._looks[0]
        return (requests - before) / (now - then) if now - then >= 1.0 else 0.0


def _to_go(seconds: float) -> list[str]:
    """The remaining time; nothing for the last second."""
    return [tr("about {time} to go", time=spell(seconds))] if seconds >= 1 else []


def _state(progress: Progress) -> str:
    """What delays the run, and for how long."""
    said = [_held_up(progress)]
    if progress.late:
        one = "At this pace {n} row locks before it can be sent"
        said.append(trn(one, "At this pace {n} rows lock before they can be sent", progress.late))
    return tr(". ").join(part for part in said if part)


def _held_up(progress: Progress) -> str:
    if progress.breaker_state is BreakerState.OPEN:
        waited = spell(progress.open_s)
        if progress.maintained:
            said = "ClassIn is under maintenance, {time} so far; it is asked now and then"
            return tr(said, time=waited)
        return tr("Waiting for ClassIn, {time} so far; it is asked now and then", time=waited)
    if progress.held_s >= _SILENCE_TOLD_S:
        return tr("ClassIn asked for silence, {time} left", time=spell(progress.held_s))
    if progress.held_back:
        return tr(
            "{n} waiting, {time} left: an unanswered request to the same classroom may still"
            " arrive until then",
            n=f"{progress.held_back:,}",
            time=spell(progress.held_back_s),
        )
    return ""
