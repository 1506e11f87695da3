"""What the page asks of a fleet: it hands runs in, looks at them and steers them; workers send.

The use cases are named where they are used: they need the packages of `bulkcast[fleet]`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from bulkcast import pipeline
from bulkcast.errors import DatabaseUnreachable, LedgerUnwritable
from bulkcast.home import SharedHome
from bulkcast.pipeline import Control, PreparedRun, RunReport, SendOptions

if TYPE_CHECKING:
    from bulkcast.pipeline import AuditEntry

Order = Literal["pause", "go_on", "stop"]
"""What can be asked of a run under way."""
_LOOK_EVERY_S: Final = 2.0
_Found = TypeVar("_Found")


async def _carried_out(work: Callable[[], Awaitable[_Found]]) -> _Found:
    """Await `work` in a thread with a loop of its own.

    psycopg does not work in the loop that the page has on Windows.
    """

    async def awaited() -> _Found:
        return await work()

    def run() -> _Found:
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            return runner.run(awaited())

    return await asyncio.to_thread(run)


async def submit(run: PreparedRun, home: SharedHome, options: SendOptions, user: str) -> str:
    """Hand a prepared sheet in, and return the run's name; raises what `pipeline.submit` does."""
    done = await _carried_out(lambda: pipeline.submit(run, home, options, user=user))
    return done.run


async def reopen(home: SharedHome, run: str, user: str) -> None:
    """Have the rest of a run sent; raises what `pipeline.reopen` does."""
    await _carried_out(lambda: pipeline.reopen(home, run, user=user))


async def steer(home: SharedHome, run: str, order: Order, user: str) -> None:
    """Pause, continue or stop a run that has not ended; one that has is left alone.

    A pause is that of its institution.

    Raises:
        CannotStart: the database cannot be used.
        DatabaseUnreachable: likewise.

    """
    end = await asyncio.to_thread(pipeline.run_end, home, run)
    if end is None or end.finished_at is not None:
        return
    match order:
        case "pause":
            await _carried_out(lambda: pipeline.pause_run(home, run, user=user))
        case "go_on":
            await _carried_out(lambda: pipeline.go_on_with(home, run, user=user))
        case "stop":
            await _carried_out(lambda: pipeline.cancel(home, run, user=user))


async def note_undo(home: SharedHome, run: str, user: str) -> None:
    """Note that somebody has taken the sheet that brings back what a run has changed."""
    await _carried_out(lambda: pipeline.note_action(home, "undo", run, user=user))


async def actions(home: SharedHome, n: int, before: int | None) -> "list[AuditEntry]":
    """The last `n` actions, newest first; those before the entry `before`."""
    return await _carried_out(lambda: pipeline.actions(home, n, before))


async def report(home: SharedHome, run: str, options: SendOptions, user: str) -> RunReport:
    """Wait until a run has ended, and report it; a database that is out of reach is waited for."""
    while True:
        with suppress(DatabaseUnreachable, LedgerUnwritable):
            end = await asyncio.to_thread(pipeline.run_end, home, run)
            if end is None or end.finished_at is not None:
                break
        await asyncio.sleep(_LOOK_EVERY_S)
    kept = replace(options, existing="replace")
    return await _carried_out(lambda: pipeline.follow(home, run, kept, user, Control(), None))
