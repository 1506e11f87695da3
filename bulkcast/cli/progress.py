"""Shows a run's progress on stderr: a bar if lines can be redrawn, else a line now and then."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bulkcast.cli.console import Output
from bulkcast.cli.language import current_translator, tr
from bulkcast.dispatcher import Progress
from bulkcast.model import RowStatus
from bulkcast.pipeline.gauge import SILENCE_TOLD_S, Gauge, delay, lateness, time_left

_LINE_EVERY_S: Final = 15.0
_BAR: Final = 28

Watch = Callable[[Progress], None]


@contextmanager
def shown_on(
    output: Output, rate: float, clock: Callable[[], float] = time.monotonic
) -> Iterator[Watch]:
    """The callback for a run's progress; `rate` is the requested one, in requests per second."""
    display = Display(rate, clock)
    if output.quiet:
        yield lambda progress: None
    elif output.moving:
        with Live(console=output.stderr, auto_refresh=False, transient=True) as live:
            yield lambda progress: live.update(display.bar(progress), refresh=True)
    else:
        yield _lines(output, display, clock)


def _lines(output: Output, display: "Display", clock: Callable[[], float]) -> Watch:
    """Write a line when the state changes, else at intervals."""
    last: list[tuple[float, str]] = [(clock(), "")]

    def watch(progress: Progress) -> None:
        figures, state = display.words(progress)
        at, said = last[0]
        kind = progress.breaker_state.name + str(progress.held_s >= SILENCE_TOLD_S)
        if kind != said or clock() - at >= _LINE_EVERY_S:
            last[0] = (clock(), kind)
            output.info(Text(tr(". ").join(part for part in (figures, state) if part)))

    return watch


class Display:
    """Shows progress in the language of the command."""

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        """`rate` is the requested one, in requests per second."""
        self._gauge = Gauge(rate, clock)

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
        figures = self._gauge.figures(progress)
        speaks = current_translator()
        parts = [
            tr("{n} applied", n=f"{figures.good:,}"),
            tr("{n} failed", n=f"{figures.failed:,}"),
            tr("{n} left", n=f"{figures.left:,}"),
            tr("{n} retrying", n=f"{figures.retrying:,}") if figures.retrying else "",
            self._gauge.pace(figures, speaks),
            time_left(figures, speaks),
        ]
        state = (delay(progress, speaks), lateness(progress, speaks))
        return tr(", ").join(filter(None, parts)), tr(". ").join(filter(None, state))
