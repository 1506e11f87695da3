"""Group commits: everything written in the same moment shares one transaction and one sync.

Entries gather while the event loop turns once, then they are committed on the spot; a thread to
wait for the disk would cost more CPU than the commit.  Where commits follow each other closely,
each is followed by a rest of three times its length in which the next batch gathers, so that the
disk, however slow, takes a quarter of the loop's time at most.  Nobody's `await` returns before
what it wrote is on disk.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bulkcast.errors import LedgerGone, LedgerUnwritable
from bulkcast.ledger.codec import IntentFields, end_crc, intent_crc, outcome_crc, pack_outcome
from bulkcast.ledger.history import Timestamp
from bulkcast.ledger.integrity import Counts, WriteCounter
from bulkcast.ledger.lock import Sends
from bulkcast.model import Attempt, Intent, Outcome, RequestKey, RowStatus

_INTEND = (
    "INSERT INTO attempts (run_id, seq, number, stamp, ahead_s, boot, tick, crc)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_END = (
    "UPDATE attempts SET ended = ?, code = ?, ambiguous = ?, end_crc = ?"
    " WHERE run_id = ? AND seq = ? AND number = ?"
)
_SETTLE = (
    "INSERT OR REPLACE INTO outcomes (run_id, seq, status, attempts, outcome, crc)"
    " VALUES (?, ?, ?, ?, ?, ?)"
)
_REST: Final = 3.0
_Rows = Sequence[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class _Entry:
    """Rows to store, and who waits for it."""

    statement: str
    rows: _Rows
    waiter: asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class Started:
    """When this computer was started, and how long ago."""

    id: int
    """The ledger's number for it."""
    tick: Callable[[], float]
    """Seconds since then."""
    boot: str
    """The system's own name for it."""


@dataclass(slots=True)
class SideFiles:
    """What lies beside the ledger's file for bad days."""

    mark: WriteCounter
    intents: int
    """How many intents the run has stored."""
    settled: set[int]
    """The requests that have an outcome."""
    gone: Callable[[], LedgerGone | None]
    """What to say where the ledger was taken away."""

    def note(self, batch: Sequence[_Entry]) -> None:
        """Take into account what was stored."""
        for entry in batch:
            if entry.statement == _INTEND:
                self.intents += len(entry.rows)
            elif entry.statement == _SETTLE:
                self.settled.update(row[1] for row in entry.rows)
        self.mark.note(Counts(self.intents, len(self.settled)))


class RunJournal:
    """The dispatcher's journal for one run; belongs to one event loop."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        run_id: int,
        places: Mapping[RequestKey, int],
        started: Started | None = None,
        keepsakes: SideFiles | None = None,
        sends: Sends | None = None,
    ) -> None:
        """`places` are the numbers of the run's requests in sending order.

        In `sends` is noted what others of this computer must know.
        """
        self._sends = sends
        self._keepsakes = keepsakes
        self._connection = connection
        self._started = started
        self._run_id = run_id
        self._places = places
        self._batch: list[_Entry] = []
        self._full: LedgerUnwritable | None = None
        self._rest_until = 0.0

    async def record_intent(self, intents: Sequence[Intent]) -> None:
        """Store that these requests are about to leave.

        Raises:
            LedgerUnwritable: it is not stored, so they must not leave; nor is any that comes
                after, since what room there may be is for outcomes.

        """
        if self._full:
            raise self._full
        rows = [self._intent(intent) for intent in intents]
        await self._store(_INTEND, rows)
        if self._sends:
            for intent, row in zip(intents, rows, strict=True):
                boot = self._started.boot if self._started else ""
                at = Timestamp(row[3], row[6], boot)
                self._sends.note(intent.key, self._classroom(row[1]), at, row[4])

    async def record(self, attempts: Sequence[Attempt]) -> None:
        """Store how these attempts, or with an outcome their requests, ended.

        Raises:
            LedgerUnwritable: they are not stored.

        """
        ends = [self._end(a) for a in attempts if a.outcome is None]
        settles = [self._settle(a.key, a.outcome) for a in attempts if a.outcome]
        if ends:
            await self._store(_END, ends)
        if settles:
            await self._store(_SETTLE, settles)
        if self._sends:
            for a in attempts:
                doubtful = a.outcome.status is RowStatus.UNCONFIRMED if a.outcome else a.ambiguous
                self._sends.answered(a.key, certain=not doubtful)

    def _classroom(self, seq: int) -> str:
        """Where a request goes, as the ledger names it."""
        found = self._connection.execute(
            "SELECT target FROM requests WHERE run_id = ? AND seq = ?", (self._run_id, seq)
        ).fetchone()
        return str(found[0]) if found else ""

    def _intent(self, intent: Intent) -> tuple[Any, ...]:
        boot, tick = (self._started.id, self._started.tick()) if self._started else (None, None)
        stamp, ahead_s = float(intent.stamp), float(intent.ahead_s)
        fields: IntentFields = (
            self._run_id, self._places[intent.key], intent.number, stamp, ahead_s, boot, tick,
        )  # fmt: skip
        return (*fields, intent_crc(fields))

    def _end(self, attempt: Attempt) -> tuple[object, ...]:
        place = (self._run_id, self._places[attempt.key], attempt.number)
        end = (float(attempt.ended), attempt.code, int(attempt.ambiguous))
        return (*end, end_crc(attempt.number, *end), *place)

    def _settle(self, key: RequestKey, outcome: Outcome) -> tuple[object, ...]:
        packed, seq = pack_outcome(outcome), self._places[key]
        check = outcome_crc(self._run_id, seq, packed)
        return (self._run_id, seq, outcome.status, outcome.attempts, packed, check)

    async def _store(self, statement: str, rows: _Rows) -> None:
        loop = asyncio.get_running_loop()
        if not self._batch:
            rest = self._rest_until - loop.time()
            if rest > 0:
                loop.call_later(rest, self._flush, loop)
            else:
                loop.call_soon(self._flush, loop)
        entry = _Entry(statement, rows, loop.create_future())
        self._batch.append(entry)
        await entry.waiter

    def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        """Commit what has gathered, and tell everyone who waits for it."""
        batch, self._batch = self._batch, []
        began = loop.time()
        if self._keepsakes and (gone := self._keepsakes.gone()):
            # The file that is open takes outcomes, which the result sheet is made from.
            self._full = gone
            _tell([entry for entry in batch if entry.statement == _INTEND], gone)
            batch = [entry for entry in batch if entry.statement != _INTEND]
        failure = self._try(batch)
        self._full = failure or self._full
        _tell(batch, failure)
        ended = loop.time()
        self._rest_until = ended + _REST * (ended - began)

    def _try(self, batch: Sequence[_Entry]) -> LedgerUnwritable | None:
        try:
            self._commit(batch)
        except sqlite3.Error as exc:
            return LedgerUnwritable("the ledger cannot be written: {exc}", exc=exc)
        if self._keepsakes:
            self._keepsakes.note(batch)
        return None

    def _commit(self, batch: Sequence[_Entry]) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            for entry in batch:
                connection.executemany(entry.statement, entry.rows)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # a full disk has SQLite roll back by itself
                connection.execute("ROLLBACK")
            raise


def _tell(entries: Sequence[_Entry], failure: Exception | None) -> None:
    """Let everyone go on who waits for these."""
    for entry in entries:
        # A future each: a cancelled waiter must not take the others' commit with it.
        if entry.waiter.done():
            continue
        if failure:
            entry.waiter.set_exception(failure)
        else:
            entry.waiter.set_result(None)
