"""The journal of a run, with group commits: concurrent writes share one transaction and one sync.

Entries are collected during one turn of the event loop and then committed in the loop itself; a
thread that waits for the disk would cost more CPU than the commit.  After a commit the next one
waits three times as long as the commit took, so that even a slow disk takes at most a quarter of
the loop's time.  An `await` returns only when its entries are on disk.
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

_INSERT_INTENT = (
    "INSERT INTO attempts (run_id, seq, number, stamp, ahead_s, boot, tick, crc)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_UPDATE_END = (
    "UPDATE attempts SET ended = ?, code = ?, ambiguous = ?, end_crc = ?"
    " WHERE run_id = ? AND seq = ? AND number = ?"
)
_INSERT_OUTCOME = (
    "INSERT OR REPLACE INTO outcomes (run_id, seq, status, attempts, outcome, crc)"
    " VALUES (?, ?, ?, ?, ?, ?)"
)
_REST: Final = 3.0
"""Pause after a commit, as a multiple of the commit's duration."""
_Rows = Sequence[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class _Entry:
    """Rows to store, and the future of the caller who waits for them."""

    statement: str
    rows: _Rows
    waiter: asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class Started:
    """The current boot of this computer."""

    id: int
    """The ledger's number for the boot."""
    tick: Callable[[], float]
    """Seconds since the boot."""
    boot: str
    """The system's id of the boot."""


@dataclass(slots=True)
class SideFiles:
    """The counter file of a run, and the check that the ledger still exists."""

    counter: WriteCounter
    intents: int
    """Number of intents the run has stored."""
    settled: set[int]
    """The requests that have an outcome."""
    gone: Callable[[], LedgerGone | None]
    """Gives the error if the ledger was removed or replaced."""

    def note(self, batch: Sequence[_Entry]) -> None:
        """Count the stored entries in the counter file."""
        for entry in batch:
            if entry.statement == _INSERT_INTENT:
                self.intents += len(entry.rows)
            elif entry.statement == _INSERT_OUTCOME:
                self.settled.update(row[1] for row in entry.rows)
        self.counter.note(Counts(self.intents, len(self.settled)))


@dataclass(frozen=True, slots=True)
class JournalRows:
    """What a run records, as rows of the ledger's tables."""

    run_id: int
    places: Mapping[RequestKey, int]
    """The position of each request in sending order."""
    started: Started | None = None

    def intent(self, intent: Intent) -> tuple[Any, ...]:
        """A row of `attempts`: run, request, number, stamp, seconds ahead, boot, tick, checksum."""
        boot, tick = (self.started.id, self.started.tick()) if self.started else (None, None)
        stamp, ahead_s = float(intent.stamp), float(intent.ahead_s)
        fields: IntentFields = (
            self.run_id, self.places[intent.key], intent.number, stamp, ahead_s, boot, tick,
        )  # fmt: skip
        return (*fields, intent_crc(fields))

    def end(self, attempt: Attempt) -> tuple[Any, ...]:
        """The end of an attempt: its four columns, then run, request and number."""
        place = (self.run_id, self.places[attempt.key], attempt.number)
        end = (float(attempt.ended), attempt.code, int(attempt.ambiguous))
        return (*end, end_crc(attempt.number, *end), *place)

    def outcome(self, key: RequestKey, outcome: Outcome) -> tuple[Any, ...]:
        """A row of `outcomes`."""
        packed, seq = pack_outcome(outcome), self.places[key]
        check = outcome_crc(self.run_id, seq, packed)
        return (self.run_id, seq, outcome.status, outcome.attempts, packed, check)


class RunJournal:
    """The dispatcher's journal for one run; belongs to one event loop."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        run_id: int,
        places: Mapping[RequestKey, int],
        side_files: SideFiles,
        started: Started | None = None,
        sends: Sends | None = None,
    ) -> None:
        """`places` has the position of each request in sending order.

        `sends` records the sends for other users of this computer.
        """
        self._sends = sends
        self._side_files = side_files
        self._connection = connection
        self._started = started
        self._run_id = run_id
        self._rows = JournalRows(run_id, places, started)
        self._batch: list[_Entry] = []
        self._full: LedgerUnwritable | None = None
        self._rest_until = 0.0

    async def record_intent(self, intents: Sequence[Intent]) -> None:
        """Store that these requests are about to be sent.

        Raises:
            LedgerUnwritable: nothing was stored, so they must not be sent.  All later intents are
                refused as well, to keep the remaining space for outcomes.

        """
        if self._full:
            raise self._full
        rows = [self._rows.intent(intent) for intent in intents]
        await self._store(_INSERT_INTENT, rows)
        if self._sends:
            for intent, row in zip(intents, rows, strict=True):
                boot = self._started.boot if self._started else ""
                at = Timestamp(row[3], row[6], boot)
                self._sends.note(intent.key, self._classroom(row[1]), at, row[4])

    async def record(self, attempts: Sequence[Attempt]) -> None:
        """Store how these attempts ended; with an outcome, how their requests ended.

        Raises:
            LedgerUnwritable: nothing was stored.

        """
        ends = [self._rows.end(a) for a in attempts if a.outcome is None]
        settles = [self._rows.outcome(a.key, a.outcome) for a in attempts if a.outcome]
        if ends:
            await self._store(_UPDATE_END, ends)
        if settles:
            await self._store(_INSERT_OUTCOME, settles)
        if self._sends:
            for a in attempts:
                doubtful = a.outcome.status is RowStatus.UNCONFIRMED if a.outcome else a.ambiguous
                self._sends.answered(a.key, certain=not doubtful)

    def _classroom(self, seq: int) -> str:
        """The target of a request as stored."""
        found = self._connection.execute(
            "SELECT target FROM requests WHERE run_id = ? AND seq = ?", (self._run_id, seq)
        ).fetchone()
        return str(found[0]) if found else ""

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
        """Commit the collected entries and resolve the futures of their callers."""
        batch, self._batch = self._batch, []
        began = loop.time()
        if gone := self._side_files.gone():
            # The open file still takes outcomes, which the result sheet is made from.
            self._full = gone
            _resolve([entry for entry in batch if entry.statement == _INSERT_INTENT], gone)
            batch = [entry for entry in batch if entry.statement != _INSERT_INTENT]
        failure = self._try(batch)
        self._full = failure or self._full
        _resolve(batch, failure)
        ended = loop.time()
        self._rest_until = ended + _REST * (ended - began)

    def _try(self, batch: Sequence[_Entry]) -> LedgerUnwritable | None:
        try:
            self._commit(batch)
        except sqlite3.Error as exc:
            return LedgerUnwritable("the ledger cannot be written: {exc}", exc=exc)
        self._side_files.note(batch)
        return None

    def _commit(self, batch: Sequence[_Entry]) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            for entry in batch:
                connection.executemany(entry.statement, entry.rows)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # on a full disk SQLite rolls back by itself
                connection.execute("ROLLBACK")
            raise


def _resolve(entries: Sequence[_Entry], failure: Exception | None) -> None:
    """Resolve the futures of these entries."""
    for entry in entries:
        # One future per entry: a cancelled caller must not cancel the others.
        if entry.waiter.done():
            continue
        if failure:
            entry.waiter.set_exception(failure)
        else:
            entry.waiter.set_result(None)
