"""Group commits: everything written in the same moment shares one transaction and one sync.

A writer is woken by the first entry; while it commits, further entries gather for the next
commit.  Nobody's `await` returns before what it wrote is on disk.
"""

import asyncio
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from bulkcast.errors import BulkcastError
from bulkcast.ledger.rows import outcome_crc, pack_outcome
from bulkcast.model import Attempt, Intent

_INTEND = "INSERT INTO attempts (run, key, number, stamp) VALUES (?, ?, ?, ?)"
_END = (
    "UPDATE attempts SET ended = ?, code = ?, ambiguous = ?"
    " WHERE run = ? AND key = ? AND number = ?"
)
_SETTLE = "UPDATE requests SET status = ?, outcome = ?, outcome_crc = ? WHERE run = ? AND key = ?"

_Batch = dict[str, list[tuple[object, ...]]]


class RunJournal:
    """The dispatcher's journal for one run; belongs to one event loop."""

    def __init__(
        self, connection: sqlite3.Connection, run: str, writer: ThreadPoolExecutor
    ) -> None:
        """`writer` has a single thread, the only one to use `connection` while a run lasts."""
        self._connection = connection
        self._run = run
        self._writer = writer
        self._batch: _Batch = {}
        self._stored: asyncio.Future[None] | None = None
        self._committing = False
        self._flusher: asyncio.Task[None] | None = None

    async def intend(self, intents: Sequence[Intent]) -> None:
        """Store that these requests are about to leave."""
        run = self._run
        self._add(_INTEND, [(run, i.key, i.number, i.stamp) for i in intents])
        await self._safely_stored()

    async def record(self, attempts: Sequence[Attempt]) -> None:
        """Store how these attempts, and with an outcome their requests, ended."""
        run = self._run
        ends = [
            (a.ended, a.code, int(a.ambiguous), run, a.key, a.number) for a in attempts if a.number
        ]
        self._add(_END, ends)
        settles = []
        for attempt in attempts:
            if attempt.outcome:
                packed = pack_outcome(attempt.outcome)
                crc = outcome_crc(attempt.key, packed)
                settles.append((attempt.outcome.status, packed, crc, run, attempt.key))
        self._add(_SETTLE, settles)
        if ends or settles:
            await self._safely_stored()

    def _add(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        if rows:
            self._batch.setdefault(statement, []).extend(rows)

    async def _safely_stored(self) -> None:
        loop = asyncio.get_running_loop()
        if self._stored is None:
            self._stored = loop.create_future()
        stored = self._stored
        if not self._committing:
            self._committing = True
            self._flusher = loop.create_task(self._flush(loop))
        # A cancelled waiter must not take the others' commit with it.
        await asyncio.shield(stored)

    async def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        """Commit batch after batch until nothing has gathered."""
        try:
            while self._stored is not None:
                batch, stored = self._batch, self._stored
                self._batch, self._stored = {}, None
                try:
                    await loop.run_in_executor(self._writer, self._commit, batch)
                except sqlite3.Error as exc:
                    self._fail(stored, exc)
                else:
                    _resolve(stored)
        finally:
            self._committing = False

    def _fail(self, stored: asyncio.Future[None], exc: sqlite3.Error) -> None:
        if not stored.done():
            stored.set_exception(BulkcastError(f"the ledger cannot be written: {exc}"))

    def _commit(self, batch: _Batch) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Intents first: an end refers to one.
            for statement in (_INTEND, _END, _SETTLE):
                if statement in batch:
                    connection.executemany(statement, batch[statement])
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")


def _resolve(stored: asyncio.Future[None]) -> None:
    if not stored.done():
        stored.set_result(None)
