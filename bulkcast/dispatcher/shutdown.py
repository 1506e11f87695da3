"""How a run is stopped, and how everything in it waits without sleeping through that."""

import asyncio

from bulkcast.model import Stop


class RunStopped(Exception):
    """The run is ending: nothing more is sent."""


class Shutdown:
    """Pulled once; the first reason stays."""

    def __init__(self) -> None:
        self.stopped: Stop | None = None
        """Why the run ended early; None while or if it did not."""
        self._requested = asyncio.Event()
        self._changed = asyncio.Event()

    def request(self, why: Stop) -> None:
        """Let nothing more be sent; what is under way may finish."""
        self.stopped = self.stopped or why
        self._requested.set()
        self.notify()

    def notify(self) -> None:
        """Let everyone who waits for a change look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def change(self, *, until: float | None) -> None:
        """Wait for a change, or for a time of the event loop's."""
        try:
            async with asyncio.timeout_at(until):
                await self._changed.wait()
        except TimeoutError:
            return

    async def sleep(self, seconds: float) -> None:
        """Sleep, but not beyond the end of the run.

        Raises:
            RunStopped: the run is ending.

        """
        try:
            async with asyncio.timeout(seconds):
                await self._requested.wait()
        except TimeoutError:
            return
        raise RunStopped


def now() -> float:
    """Seconds of the event loop's clock, which never jumps."""
    return asyncio.get_running_loop().time()
