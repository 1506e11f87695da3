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

_STATUS: Final = 143
_NAMES: Final = ("SIGTERM", "SIGHUP")
"""Not every system has both."""


class Quit(BaseException):
    """The command was asked to end, by somebody else than its user; like KeyboardInterrupt."""

    exit_status: Final = _STATUS


@contextmanager
def in_order() -> Iterator[None]:
    """Have signals raise `Quit` while the block runs, in the main thread; no other can be asked."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    # nohup has SIGHUP ignored, and that is to stay so.
    before = {n: signal.signal(n, _quit) for n in numbers if signal.getsignal(n) == signal.SIG_DFL}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _quit(_number: int, _frame: FrameType | None) -> None:
    raise Quit
