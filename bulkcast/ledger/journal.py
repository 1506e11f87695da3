"""Group commits: everything written in the same moment shares one transaction and one sync.

Entries gather while the event loop turns once, then they are committed on the spot; a thread to
wait for the disk would cost more CPU than the commit.  Where commits follow each other closely,
each is followed by a rest of three times its length in which the next batch gathers, so that the
disk, however slow, takes a quarter of the loop's time at most.  Nobody's `await` returns before
what it wrote is on disk.
"""

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Final

from bulkcast.errors import BulkcastError
from bulkcast.ledger.rows import end_crc, intent_crc, outcome_crc, pack_outcome
from bulkcast.model import Attempt, Intent, Outcome, RequestKey

_INTEND = "INSERT INTO attempts (run_id, seq, number, stamp, crc) VALUES (?, ?, ?, ?, ?)"
_END = (
    "UPDATE attempts SET ended = ?, code = ?, ambiguous = ?, end_crc = ?"
    " WHERE run_id = ? AND seq = ? AND number = ?"
)
_SETTLE = (
    "INSERT OR REPLACE INTO outcomes (run_id, seq, status, attempts, outcome, crc)"
    " VALUES (?, ?, ?, ?, ?, ?)"
)
_REST: Final = 3.0
_Rows = Sequence[tuple[object, ...]]


class RunJournal:
    """The dispatcher's journal for one run; belongs to one event loop."""

    def __init__(
        self, connection: sqlite3.Connection, run_id: int, places: Mapping[RequestKey, int]
    ) -> None:
        """`places` are the numbers of the run's requests in sending order."""
        self._connection = connection
        self._run_id = run_id
        self._places = places
        self._batch: list[tuple[str, _Rows]] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._rest_until = 0.0

    async def intend(self, intents: Sequence[Intent]) -> None:
        """Store that these requests are about to leave."""
        await self._store(_INTEND, [self._intent(intent) for intent in intents])

    async def record(self, attempts: Sequence[Attempt]) -> None:
        """Store how these attempts, or with an outcome their requests, ended."""
        ends = [self._end(a) for a in attempts if a.outcome is None]
        settles = [self._settle(a.key, a.outcome) for a in attempts if a.outcome]
        if ends:
            await self._store(_END, ends)
        if settles:
            await self._store(_SETTLE, settles)

    def _intent(self, intent: Intent) -> tuple[object, ...]:
        fields = (self._run_id, self._places[intent.key], intent.number, intent.stamp)
        return (*fields, intent_crc(*fields))

    def _end(self, attempt: Attempt) -> tuple[object, ...]:
        place = (self._run_id, self._places[attempt.key], attempt.number)
        end = (float(attempt.ended), attempt.code, int(attempt.ambiguous))
        return (*end, end_crc(attempt.number, *end), *place)

    def _settle(self, key: RequestKey, outcome: Outcome) -> tuple[object, ...]:
        packed, seq = pack_outcome(outcome), self._places[key]
        check = outcome_crc(seq, packed)
        return (self._run_id, seq, outcome.status, outcome.attempts, packed, check)

    async def _store(self, statement: str, rows: _Rows) -> None:
        loop = asyncio.get_running_loop()
        if not self._waiters:
            rest = self._rest_until - loop.time()
            if rest > 0:
                loop.call_later(rest, self._flush, loop)
            else:
                loop.call_soon(self._flush, loop)
        self._batch.append((statement, rows))
        # A future each: a cancelled waiter must not take the others' commit with it.
        waiter = loop.create_future()
        self._waiters.append(waiter)
        await waiter

    def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        """Commit what has gathered, and tell everyone who waits for it."""
        batch, waiters = self._batch, self._waiters
        self._batch, self._waiters = [], []
        failure = None
        began = loop.time()
        try:
            self._commit(batch)
        except sqlite3.Error as exc:
            failure = BulkcastError("the ledger cannot be written: {exc}", exc=exc)
        ended = loop.time()
        self._rest_until = ended + _REST * (ended - began)
        for waiter in waiters:
            if waiter.done():
                continue
            if failure:
                waiter.set_exception(failure)
            else:
                waiter.set_result(None)

    def _commit(self, batch: Sequence[tuple[str, _Rows]]) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement, rows in batch:
                connection.executemany(statement, rows)
        except BaseException:
            if connection.in_transaction:  # a full disk has SQLite roll back by itself
                connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
