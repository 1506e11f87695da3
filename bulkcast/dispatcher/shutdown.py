"""Stops a run early, and wakes whatever waits in it."""

import asyncio

from bulkcast.model import Stop


class RunStopped(Exception):
    """The run is ending: nothing more is sent."""


class Shutdown:
    """Whether the run has been told to stop, and why; the first reason stays."""

    def __init__(self) -> None:
        self.stopped: Stop | None = None
        """Why the run ends early; None if it does not."""
        self._requested = asyncio.Event()
        self._changed = asyncio.Event()

    def request(self, why: Stop) -> None:
        """Send nothing more; requests under way may finish."""
        self.stopped = self.stopped or why
        self._requested.set()
        self.notify()

    def notify(self) -> None:
        """Wake everything that waits for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_for_change(self, *, until: float | None) -> None:
        """Wait for `notify`, or until a time of the event loop's clock."""
        try:
            async with asyncio.timeout_at(until):
                await self._changed.wait()
        except TimeoutError:
            return

    async def sleep(self, seconds: float) -> None:
        """Sleep; wake early if the run is stopped.

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
