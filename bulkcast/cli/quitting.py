"""A polite kill, or a terminal that is closed, ends a command as Ctrl-C does: in order.

Left to themselves both end it on the spot: a draft stays beside the user's sheet, and a reader in
another process goes on.  While a run sends, `signals` takes over.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from bulkcast.errors import BulkcastError

_STATUS: Final = 143
_NAMES: Final = ("SIGTERM", "SIGHUP")
"""Not every system has both."""


class Quit(BaseException):
    """The command was asked to end, by somebody else than its user; like KeyboardInterrupt."""

    exit_status: Final = _STATUS


class Asked:
    """Whether a command was asked to end."""

    def __init__(self) -> None:
        self._is = False

    def quit(self, _number: int, _frame: FrameType | None) -> None:
        """A signal came.

        Raises:
            Quit: always.

        """
        self._is = True
        raise Quit

    def behind(self, exc: BaseException) -> BaseException:
        """What ended a command that `exc` came out of.

        A signal may come in the middle of an import, and what is written in C, or makes a class,
        tells of it as an ImportError or a RuntimeError, with the cause or without.
        """
        if isinstance(exc, BulkcastError):
            return exc
        seen: BaseException | None = exc
        passed: set[int] = set()  # one that is raised from its own consequence goes in a circle
        while seen is not None and id(seen) not in passed:
            passed.add(id(seen))
            if isinstance(seen, KeyboardInterrupt | Quit):
                return seen
            seen = seen.__cause__ or seen.__context__
        return Quit() if self._is else exc


@contextmanager
def in_order() -> Iterator[Asked]:
    """Have signals raise `Quit` while the block runs, in the main thread; no other can be asked."""
    asked = Asked()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    # nohup has SIGHUP ignored, and that is to stay so.
    deadly = [n for n in numbers if signal.getsignal(n) == signal.SIG_DFL]
    before = {n: signal.signal(n, asked.quit) for n in deadly}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
