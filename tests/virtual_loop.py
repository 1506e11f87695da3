"""Virtual time: an event loop whose clock jumps over every wait in which nothing can happen.

Sockets stay real: client and sandbox live in one loop, and what one end of a loopback connection
has written is readable at the other before time may move.  So that a day takes seconds, real time
is waited only after something was sent: while only timers run, nothing can be on its way.
"""

import asyncio
import selectors
import time
from asyncio.selector_events import _SelectorSocketTransport  # type: ignore[attr-defined] # no public name
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Executor
from typing import Any, TypeVar, TypeVarTuple, Unpack

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

EPOCH = 1_803_859_200.0
"""2027-03-01 08:00 in Shanghai: what the wall clock shows when virtual time begins."""

_IN_FLIGHT_S = 0.001
"""Real seconds that bytes take over loopback at most."""
_FAR_S = 1.0
_IN_FLIGHT_BEFORE_FAR_S = 0.005
"""A leap this far would pass a timeout, so bytes that a busy computer holds up are waited for."""
_STUCK_S = 20.0


class _JumpingSelector(selectors.DefaultSelector):
    """Waits for sockets only as long as bytes take over loopback, then lets time jump."""

    def __init__(self, jump: Callable[[float], None]) -> None:
        super().__init__()
        self._jump = jump
        self._active_at = 0.0

    def active(self) -> None:
        """Something was sent, opened or closed: what follows of it may be on its way."""
        self._active_at = time.perf_counter()

    def register(self, *args: Any, **more: Any) -> selectors.SelectorKey:
        self.active()
        return super().register(*args, **more)

    def unregister(self, *args: Any, **more: Any) -> selectors.SelectorKey:
        self.active()
        return super().unregister(*args, **more)

    def modify(self, *args: Any, **more: Any) -> selectors.SelectorKey:
        self.active()
        return super().modify(*args, **more)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            ready = super().select(_STUCK_S)
            if not ready:
                raise RuntimeError("nothing is left that could ever happen: a deadlock")
            return ready
        quiet = time.perf_counter() - self._active_at  # before the look that is to see all of it
        ready = super().select(0)
        if not ready and timeout > 0:
            patience = _IN_FLIGHT_S if timeout < _FAR_S else _IN_FLIGHT_BEFORE_FAR_S
            left = patience - quiet
            # With no socket but the loop's own there are no bytes to wait for.
            ready = super().select(left) if left > 0 and len(self.get_map()) > 1 else []
            if not ready:
                self._jump(timeout)
        if ready:
            self.active()
        return ready


class _NotedTransport(_SelectorSocketTransport):  # type: ignore[misc] # untyped in typeshed
    """A connection that tells its loop of every write."""

    def _noted(self) -> None:
        if self._loop is not None:  # a closed connection has none
            self._loop.active()

    def write(self, data: bytes) -> None:
        self._noted()
        super().write(data)

    def writelines(self, list_of_data: Iterable[bytes]) -> None:
        self._noted()
        super().writelines(list_of_data)

    def write_eof(self) -> None:
        self._noted()
        super().write_eof()


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs a day in seconds; work for an executor is done on the spot."""

    def __init__(self) -> None:
        self._now = 0.0
        selector = _JumpingSelector(self._advance)
        self.active = selector.active
        super().__init__(selector)

    def time(self) -> float:
        return self._now

    def _make_socket_transport(self, *args: Any, **more: Any) -> Any:
        made = super()._make_socket_transport(*args, **more)  # type: ignore[misc] # not in typeshed
        made.__class__ = _NotedTransport
        return made

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
