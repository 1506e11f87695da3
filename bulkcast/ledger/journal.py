"""Group commits: everything written in the same moment shares one transaction and one sync.

A writer is woken by the first entry; while it commits, further entries gather for the next
commit.  Nobody's `await` returns before what it wrote is on disk.
"""

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from bulkcast.errors import BulkcastError
from bulkcast.ledger.rows import outcome_crc, pack_outcome
from bulkcast.model import Attempt, Intent, Outcome, RequestKey

_INTEND = "INSERT INTO attempts (run_id, seq, number, stamp) VALUES (?, ?, ?, ?)"
_END = (
    "UPDATE attempts SET ended = ?, code = ?, ambiguous = ?"
    " WHERE run_id = ? AND seq = ? AND number = ?"
)
_SETTLE = (
    "INSERT OR REPLACE INTO outcomes (run_id, seq, status, attempts, outcome, crc)"
    " VALUES (?, ?, ?, ?, ?, ?)"
)

_Batch = dict[str, list[tuple[object, ...]]]


class RunJournal:
    """The dispatcher's journal for one run; belongs to one event loop."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        run_id: int,
        places: Mapping[RequestKey, int],
        writer: ThreadPoolExecutor,
    ) -> None:
        """`places` are the numbers of the run's requests in sending order.

        `writer` has a single thread, the only one to use `connection` while a run lasts.
        """
        self._connection = connection
        self._run_id = run_id
        self._places = places
        self._writer = writer
        self._batch: _Batch = {}
        self._stored: asyncio.Future[None] | None = None
        self._committing = False
        self._flusher: asyncio.Task[None] | None = None

    async def intend(self, intents: Sequence[Intent]) -> None:
        """Store that these requests are about to leave."""
        run_id, places = self._run_id, self._places
        self._add(_INTEND, [(run_id, places[i.key], i.number, i.stamp) for i in intents])
        await self._safely_stored()

    async def record(self, attempts: Sequence[Attempt]) -> None:
        """Store how these attempts, or with an outcome their requests, ended."""
        if not attempts:
            return
        self._add(_END, [self._end(a) for a in attempts if a.outcome is None])
        self._add(_SETTLE, [self._settle(a.key, a.outcome) for a in attempts if a.outcome])
        await self._safely_stored()

    def _end(self, attempt: Attempt) -> tuple[object, ...]:
        place = (self._run_id, self._places[attempt.key], attempt.number)
        return (attempt.ended, attempt.code, int(attempt.ambiguous), *place)

    def _settle(self, key: RequestKey, outcome: Outcome) -> tuple[object, ...]:
        packed, seq = pack_outcome(outcome), self._places[key]
        check = outcome_crc(seq, packed)
        return (self._run_id, seq, outcome.status, outcome.attempts, packed, check)

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
