"""Virtual time: an event loop whose clock jumps over every wait in which nothing can happen.

Sockets stay real: client and sandbox live in one loop, and what one end of a loopback connection
has written is readable at the other before time may move.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple, Unpack

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

EPOCH = 1_803_859_200.0
"""2027-03-01 08:00 in Shanghai: what the wall clock shows when virtual time begins."""

_IN_FLIGHT_S = 0.0003
_FAR_S = 1.0
_IN_FLIGHT_BEFORE_FAR_S = 0.005
"""A leap this far would pass a timeout, so bytes that a busy computer holds up are waited for."""
_STUCK_S = 20.0


class _JumpingSelector(selectors.DefaultSelector):
    """Waits for sockets only as long as bytes take over loopback, then lets time jump."""

    def __init__(self, jump: Callable[[float], None]) -> None:
        super().__init__()
        self._jump = jump

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            ready = super().select(_STUCK_S)
            if not ready:
                raise RuntimeError("nothing is left that could ever happen: a deadlock")
            return ready
        ready = super().select(0)
        if not ready and timeout > 0:
            # With no socket but the loop's own there are no bytes to wait for.
            patience = _IN_FLIGHT_S if timeout < _FAR_S else _IN_FLIGHT_BEFORE_FAR_S
            ready = super().select(patience) if len(self.get_map()) > 1 else []
            if not ready:
                self._jump(timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs a day in seconds; work for an executor is done on the spot."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_JumpingSelector(self._advance))

    def time(self) -> float:
        return self._now

    def _advance(self, seconds: float) -> None:
        self._now += seconds

    def sleeps(self, seconds: float) -> None:
        """Time goes by in which nobody in this loop could do anything."""
        self._advance(seconds)

    def wall(self) -> float:
        """Unix seconds."""
        return EPOCH + self._now

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as exc:  # noqa: BLE001 - an executor hands on whatever was raised
            done.set_exception(exc)
        return done


def run(main: Callable[["VirtualLoop"], Coroutine[Any, Any, T]]) -> T:
    """Run `main(loop)` to its end in virtual time."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main(loop))
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
