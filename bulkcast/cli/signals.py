"""Ctrl-C, SIGTERM and SIGHUP: the first ends a run gracefully, the second at once."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, Protocol

from bulkcast.cli.language import tr
from bulkcast.errors import BulkcastError
from bulkcast.i18n import marked

_STATUS: Final = 143
_NAMES: Final = ("SIGTERM", "SIGHUP")
"""Not every system has both."""


class Terminated(BaseException):
    """A signal ended the command; like KeyboardInterrupt, but not from the keyboard."""

    exit_status: Final = _STATUS


class TerminationRequest:
    """Whether a signal has asked the command to end."""

    def __init__(self) -> None:
        self._is = False

    def quit(self, _number: int, _frame: FrameType | None) -> None:
        """Handle a signal.

        Raises:
            Terminated: always.

        """
        self._is = True
        raise Terminated

    def behind(self, exc: BaseException) -> BaseException:
        """The signal that caused `exc`, or `exc` itself.

        A signal may arrive during an import; C code and class creation then raise an ImportError
        or a RuntimeError, with or without the cause.
        """
        if isinstance(exc, BulkcastError):
            return exc
        seen: BaseException | None = exc
        passed: set[int] = set()  # chains of causes may be circular
        while seen is not None and id(seen) not in passed:
            passed.add(id(seen))
            if isinstance(seen, KeyboardInterrupt | Terminated):
                return seen
            seen = seen.__cause__ or seen.__context__
        return Terminated() if self._is else exc


@contextmanager
def in_order() -> Iterator[TerminationRequest]:
    """Have signals raise `Terminated` while the block runs; only the main thread can."""
    asked = TerminationRequest()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    # nohup ignores SIGHUP; keep it so.
    deadly = [n for n in numbers if signal.getsignal(n) == signal.SIG_DFL]
    before = {n: signal.signal(n, asked.quit) for n in deadly}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_STATUSES: Final = {"SIGINT": 130, "SIGBREAK": 130, "SIGTERM": 143, "SIGHUP": 143}
"""Signal → exit status, as shells count: 128 and the signal's number; a lost terminal ends a run
as a polite kill does.  Not every system has all of them."""


class Stoppable(Protocol):
    """Can be stopped gracefully, such as `pipeline.Control`."""

    def stop(self, exit_status: int) -> None:
        """Start nothing more."""


@contextmanager
def heeding(control: Stoppable, tell: Callable[[str], None]) -> Iterator[None]:
    """Pass signals on to `control` while the block runs, and report them with `tell`.

    The second signal cancels the current task; further ones have no effect.  Enter it in the main
    thread, inside the event loop.
    """
    import asyncio

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
        received += _ENOUGH  # signals the loop has not handled yet come too late
        for number, handler in before.items():
            signal.signal(number, handler)


_ENOUGH: Final = ("", "")

_FIRST: Final = marked(
    "Stopping: no more rows are taken; what is under way is finished. Again to stop at once."
)
_SECOND: Final = marked("Stopping at once: rows that were on their way end unconfirmed.")


def _install(handler: Callable[[int, FrameType | None], None]) -> dict[signal.Signals, Any]:
    numbers = [getattr(signal, name) for name in _STATUSES if hasattr(signal, name)]
    # nohup ignores SIGHUP; keep it so.
    heard = [n for n in numbers if signal.getsignal(n) is not signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in heard}
