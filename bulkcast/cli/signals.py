"""Ctrl-C and its kin during a run: the first asks it to end in order, the second ends it at once.

One way for all systems: `signal.signal` and a call into the loop.  A loop's own handlers do not
exist on Windows.
"""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, Protocol

from bulkcast.cli.words import tr
from bulkcast.wording import marked

_STATUSES: Final = {"SIGINT": 130, "SIGBREAK": 130, "SIGTERM": 143, "SIGHUP": 143}
"""Signal → exit status, as shells count: 128 and the signal's number; a lost terminal ends a run
as a polite kill does.  Not every system has all of them."""


class Stoppable(Protocol):
    """What can be asked to end in order; `pipeline.Control` can."""

    def stop(self, exit_status: int) -> None:
        """Begin nothing more."""


@contextmanager
def heeding(control: Stoppable, tell: Callable[[str], None]) -> Iterator[None]:
    """Pass signals on to `control` while the block runs, and say so with `tell`.

    The current task is cancelled by the second one, and no further one does anything.  To be
    entered in the main thread, inside the event loop.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    received: list[str] = []

    def heed(name: str) -> None:
        received.append(name)
        match len(received):
            case 1:
                tell(tr(_FIRST))
                control.stop(_STATUSES[name])
            case 2 if task is not None:
                tell(tr(_SECOND))
                task.cancel()
            case _:  # it is ending already, or has ended
                return

    def catch(number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(heed, signal.Signals(number).name)

    before = _install(catch)
    try:
        yield
    finally:
        received += _ENOUGH  # what is still on its way to the loop comes too late
        for number, handler in before.items():
            signal.signal(number, handler)


_ENOUGH: Final = ("", "")

_FIRST: Final = marked(
    "Stopping: no more rows are taken; what is under way is finished. Again to stop at once."
)
_SECOND: Final = marked("Stopping at once: rows that were on their way end unconfirmed.")


def _install(handler: Callable[[int, FrameType | None], None]) -> dict[signal.Signals, Any]:
    numbers = [getattr(signal, name) for name in _STATUSES if hasattr(signal, name)]
    # nohup has SIGHUP ignored, and that is to stay so.
    heard = [n for n in numbers if signal.getsignal(n) is not signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in heard}
