"""The journal of a run, with group commits: concurrent writes share one transaction and one sync.

Entries are collected during one turn of the event loop and then committed in the loop itself; a
thread that waits for the disk would cost more CPU than the commit.  After a commit the next one
waits three times as long as the commit took, so that even a slow disk takes at most a quarter of
the loop's time.  An `await` returns only when its entries are on disk.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bulkcast.errors import LedgerGone, LedgerUnwritable
from bulkcast.ledger.codec import (
    IntentFields,
    crc,
    end_crc,
    intent_crc,
    outcome_crc,
    pack_outcome,
    pack_target,
    pack_text,
)
from bulkcast.ledger.history import Timestamp
from bulkcast.ledger.integrity import Counts, WriteCounter
from bulkcast.ledger.lock import NewSend, Sends
from bulkcast.model import Attempt, Intent, Outcome, RequestKey, RowStatus, Text

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
_Row = tuple[Any, ...]


@dataclass(slots=True)
class _Batch:
    """What one commit stores, and the futures of the callers who wait for it."""

    intents: list[_Row] = field(default_factory=list)
    ends: list[_Row] = field(default_factory=list)
    outcomes: list[_Row] = field(default_factory=list)
    sent: list[NewSend] = field(default_factory=list)
    """The intents, for the others on this computer."""
    answered: dict[RequestKey, bool] = field(default_factory=dict)
    """Request → whether its attempt ended without doubt."""
    senders: list[asyncio.Future[None]] = field(default_factory=list)
    """Those who wait for intents."""
    others: list[asyncio.Future[None]] = field(default_factory=list)

    @property
    def is_awaited(self) -> bool:
        """Whether it holds anything."""
        return bool(self.senders or self.others)

    def drop_intents(self) -> None:
        """Store none of the intents."""
        self.intents, self.sent, self.senders = [], [], []


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

    def note(self, batch: _Batch) -> None:
        """Count the stored entries in the counter file."""
        self.intents += len(batch.intents)
        self.settled.update(row[1] for row in batch.outcomes)
        self.counter.note(Counts(self.intents, len(self.settled)))


@dataclass(frozen=True, slots=True)
class JournalRows:
    """What a run records, as rows of the ledger's tables."""

    run_id: int
    places: Mapping[RequestKey, int]
    """The position of each request in sending order."""
    started: Started | None = None

    def remark(self, remark: Text) -> _Row:
        """A row of `remarks`, which only a shared ledger has."""
        packed = pack_text(remark)
        return self.run_id, packed, crc(self.run_id, packed)

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
        self._boot = started.boot if started else ""
        self._rows = JournalRows(run_id, places, started)
        self._batch = _Batch()
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
        waiter = self._waiter()
        for intent in intents:
            row = self._rows.intent(intent)
            self._batch.intents.append(row)
            if self._sends:
                classroom = pack_target(intent.target) if intent.target else ""
                at = Timestamp(row[3], row[6], self._boot)
                self._batch.sent.append((intent.key, classroom, at, row[4]))
        self._batch.senders.append(waiter)
        await waiter

    async def record(self, attempts: Sequence[Attempt]) -> None:
        """Store how these attempts ended; with an outcome, how their requests ended.

        Raises:
            LedgerUnwritable: nothing was stored.

        """
        if not attempts:
            return
        waiter = self._waiter()
        for attempt in attempts:
            ended = attempt.outcome
            if ended is None:
                self._batch.ends.append(self._rows.end(attempt))
                certain = not attempt.ambiguous
            else:
                self._batch.outcomes.append(self._rows.outcome(attempt.key, ended))
                certain = ended.status is not RowStatus.UNCONFIRMED
            self._batch.answered[attempt.key] = certain
        self._batch.others.append(waiter)
        await waiter

    def _waiter(self) -> asyncio.Future[None]:
        """A future for one caller of the next commit, which is due now at the latest.

        One for each: a cancelled caller must not cancel the others.
        """
        loop = asyncio.get_running_loop()
        if not self._batch.is_awaited:
            rest = self._rest_until - loop.time()
            if rest > 0:
                loop.call_later(rest, self._flush, loop)
            else:
                loop.call_soon(self._flush, loop)
        return loop.create_future()

    def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        """Commit the collected entries and resolve the futures of their callers."""
        batch, self._batch = self._batch, _Batch()
        began = loop.time()
        if gone := self._side_files.gone():
            # The open file still takes outcomes, which the result sheet is made from.
            self._full = gone
            _resolve(batch.senders, gone)
            batch.drop_intents()
        failure = self._try(batch)
        self._full = failure or self._full
        _resolve(batch.others, failure)
        _resolve(batch.senders, failure or self._tell(batch))
        ended = loop.time()
        self._rest_until = ended + _REST * (ended - began)

    def _tell(self, batch: _Batch) -> LedgerUnwritable | None:
        """Tell the others on this computer; the error if they cannot know of the sends."""
        if not self._sends:
            return None
        self._sends.answered(batch.answered)
        try:
            self._sends.note(batch.sent)
        except LedgerUnwritable as exc:
            return exc
        return None

    def _try(self, batch: _Batch) -> LedgerUnwritable | None:
        try:
            self._commit(batch)
        except sqlite3.Error as exc:
            return LedgerUnwritable("the ledger cannot be written: {exc}", exc=exc)
        self._side_files.note(batch)
        return None

    def _commit(self, batch: _Batch) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany(_INSERT_INTENT, batch.intents)
            connection.executemany(_UPDATE_END, batch.ends)
            connection.executemany(_INSERT_OUTCOME, batch.outcomes)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # on a full disk SQLite rolls back by itself
                connection.execute("ROLLBACK")
            raise


def _resolve(waiters: Sequence[asyncio.Future[None]], failure: Exception | None) -> None:
    """Resolve the futures of these callers."""
    for waiter in waiters:
        if waiter.done():
            continue
        if failure:
            waiter.set_exception(failure)
        else:
            waiter.set_result(None)
