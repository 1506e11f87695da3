"""Commits to a shared ledger: what all lanes of a program record shares its transactions.

Entries that come while a transaction is on its way wait for the next one, which takes them all; a
thread of its own waits for the database, so that the event loop need not.  Entries of a lane that
another worker has taken over are refused: the transaction locks the lane's row, and whoever takes
the lane has to wait for that and then sees all that was recorded.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import psycopg

from bulkcast.database_url import LOST, reason
from bulkcast.errors import LaneLost, LedgerUnwritable
from bulkcast.ledger.journal import JournalRows
from bulkcast.model import Attempt, Intent, Text

_REST_S: Final = 0.015
"""Seconds between two commits of a busy program: 1,200 rows a second share about 18 of them."""
_GIVE_UP_S: Final = 60.0
"""Seconds that a database out of reach is waited for."""
_RETRY_S: Final = (0.1, 0.3, 1.0)
"""Seconds before each attempt to reach it again; the last one repeats."""

_LANES: Final = (
    "SELECT institution, epoch FROM lanes WHERE institution = ANY(%s)"
    " ORDER BY institution FOR SHARE"
)
_STORE: Final[Mapping[str, str]] = {
    # A repeated commit, whose answer was lost, finds its own rows there.
    "intents": (
        "INSERT INTO attempts (run_id, seq, number, stamp, ahead_s, boot, tick, crc)"
        " SELECT * FROM unnest(%s::bigint[], %s::integer[], %s::integer[], %s::float8[],"
        " %s::float8[], %s::bigint[], %s::float8[], %s::bigint[]) ON CONFLICT DO NOTHING"
    ),
    "ends": (
        "UPDATE attempts AS a SET ended = e.ended, code = e.code, ambiguous = e.ambiguous,"
        " end_crc = e.crc FROM unnest(%s::float8[], %s::text[], %s::integer[], %s::bigint[],"
        " %s::bigint[], %s::integer[], %s::integer[])"
        " AS e (ended, code, ambiguous, crc, run_id, seq, number)"
        " WHERE a.run_id = e.run_id AND a.seq = e.seq AND a.number = e.number"
    ),
    "outcomes": (
        "INSERT INTO outcomes (run_id, seq, status, attempts, outcome, crc)"
        " SELECT * FROM unnest(%s::bigint[], %s::integer[], %s::text[], %s::integer[],"
        " %s::text[], %s::bigint[]) ON CONFLICT (run_id, seq) DO UPDATE SET"
        " status = EXCLUDED.status, attempts = EXCLUDED.attempts, outcome = EXCLUDED.outcome,"
        " crc = EXCLUDED.crc"
    ),
    "remarks": (
        "INSERT INTO remarks (run_id, remark, crc)"
        " SELECT * FROM unnest(%s::bigint[], %s::text[], %s::bigint[]) ON CONFLICT DO NOTHING"
    ),
}
"""What is stored by each kind of entry, in this order; the rows come as one array a column."""


@dataclass(frozen=True, slots=True)
class _Entry:
    kind: str
    rows: Sequence[tuple[Any, ...]]
    lane: "LaneClaim | None"
    """The lane that must still be this program's; None where nobody else can write."""
    loop: asyncio.AbstractEventLoop
    waiter: "asyncio.Future[None]"


class GroupCommit:
    """Stores entries of any number of runs, together; a context manager."""

    def __init__(self, connect: Callable[[], "psycopg.Connection[Any]"]) -> None:
        """`connect` opens a connection, and raises `psycopg.Error` if it cannot."""
        self._connect = connect
        self._connection: psycopg.Connection[Any] | None = None
        self._batch: list[_Entry] = []
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="bulkcast commits", daemon=True)

    def __enter__(self) -> "GroupCommit":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Store what was given, and end."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    async def store(
        self, kind: str, rows: Sequence[tuple[Any, ...]], lane: "LaneClaim | None"
    ) -> None:
        """Store rows; it returns once they are committed.

        Raises:
            LaneLost: another worker has the lane now; nothing was stored.
            LedgerUnwritable: the database cannot be written; nothing was stored.

        """
        loop = asyncio.get_running_loop()
        entry = _Entry(kind, rows, lane, loop, loop.create_future())
        with self._changed:
            self._batch.append(entry)
            if len(self._batch) == 1:
                self._changed.notify()
        await entry.waiter

    # -------------------------------------------------------------- the thread

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._batch or self._closing)
                batch, self._batch = self._batch, []
            if not batch:
                break
            _resolve(batch, self._commit(batch))
            if not self._closing:
                time.sleep(_REST_S)
        self._disconnect()

    def _commit(self, batch: Sequence[_Entry]) -> Mapping[int, Exception]:
        """Commit a batch; the errors of its entries, by position."""
        give_up_at = time.monotonic() + _GIVE_UP_S
        for tries in range(1_000_000):
            try:
                return self._try(batch)
            except LOST as exc:
                self._disconnect()
                if self._closing or time.monotonic() > give_up_at:
                    return _all(batch, exc)
            except Exception as exc:  # noqa: BLE001 - whatever it is, the thread must go on
                self._disconnect()
                return _all(batch, exc) if len(batch) == 1 else self._each_alone(batch)
            time.sleep(_RETRY_S[min(tries, len(_RETRY_S) - 1)])
        raise AssertionError

    def _each_alone(self, batch: Sequence[_Entry]) -> Mapping[int, Exception]:
        """Commit each entry by itself, so that one that cannot be stored does not end others."""
        alone = ((place, self._commit([entry])) for place, entry in enumerate(batch))
        return {place: failures[0] for place, failures in alone if failures}

    def _try(self, batch: Sequence[_Entry]) -> Mapping[int, Exception]:
        connection = self._connection = self._connection or self._connect()
        with connection.pipeline(), connection.transaction():
            lost = self._lost(connection, batch)
            live = [entry for place, entry in enumerate(batch) if place not in lost]
            for kind, statement in _STORE.items():
                rows = [row for entry in live if entry.kind == kind for row in entry.rows]
                if rows:
                    connection.execute(statement, _columns(rows), prepare=True)
        return lost

    def _lost(
        self, connection: "psycopg.Connection[Any]", batch: Sequence[_Entry]
    ) -> Mapping[int, Exception]:
        """Lock the lanes of a batch; the entries of those that are another's now."""
        wanted = {entry.lane.institution for entry in batch if entry.lane}
        if not wanted:
            return {}
        found = connection.execute(_LANES, (sorted(wanted),), prepare=True)
        epochs = dict(found.fetchall())
        return {
            place: lane_lost(entry.lane.institution)
            for place, entry in enumerate(batch)
            if entry.lane and epochs.get(entry.lane.institution) != entry.lane.epoch
        }

    def _disconnect(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None


def _columns(rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _all(batch: Sequence[_Entry], exc: Exception) -> Mapping[int, Exception]:
    return dict.fromkeys(range(len(batch)), unwritable(exc))


def lane_lost(institution: str) -> LaneLost:
    """The error for a lane that is another worker's now."""
    return LaneLost("another worker sends for {institution} now", institution=institution)


def unwritable(exc: Exception) -> LedgerUnwritable:
    """The error for a database that cannot be written now."""
    return LedgerUnwritable("the shared ledger cannot be written: {why}", why=reason(exc))


def _resolve(batch: Sequence[_Entry], failures: Mapping[int, Exception]) -> None:
    """Tell the event loops of a batch how its entries ended."""
    told = [(entry, failures.get(place)) for place, entry in enumerate(batch)]
    for loop, some in groupby(told, lambda each: each[0].loop):
        with suppress(RuntimeError):  # the loop was closed, so nobody waits any more
            loop.call_soon_threadsafe(_tell, list(some))


def _tell(ended: Iterable[tuple[_Entry, Exception | None]]) -> None:
    for entry, failure in ended:
        if entry.waiter.done():  # its caller was cancelled
            continue
        if failure:
            entry.waiter.set_exception(failure)
        else:
            entry.waiter.set_result(None)


@dataclass(frozen=True, slots=True)
class LaneClaim:
    """The right to send for an institution, by which the journal is fenced."""

    institution: str
    """As `canonical` spells it."""
    epoch: int
    commits: GroupCommit


class SharedJournal:
    """The dispatcher's journal for one run in a shared ledger; belongs to one event loop."""

    def __init__(self, rows: JournalRows, commits: GroupCommit, lane: LaneClaim | None) -> None:
        """`lane` must be this program's whenever something is stored; None where it cannot be."""
        self._rows = rows
        self._commits = commits
        self._lane = lane
        self._full: LedgerUnwritable | None = None

    async def record_intent(self, intents: Sequence[Intent]) -> None:
        """Store that these requests are about to be sent.

        Raises:
            LedgerUnwritable: nothing was stored, so they must not be sent, nor any later ones.

        """
        if self._full:
            raise self._full
        await self._store("intents", [self._rows.intent(intent) for intent in intents])

    async def record(self, attempts: Sequence[Attempt]) -> None:
        """Store how these attempts ended; with an outcome, how their requests ended.

        Raises:
            LedgerUnwritable: not all of it was stored.

        """
        await self._store("ends", [self._rows.end(a) for a in attempts if a.outcome is None])
        settled = [self._rows.outcome(a.key, a.outcome) for a in attempts if a.outcome]
        await self._store("outcomes", settled)

    async def remark(self, remarks: Iterable[Text]) -> None:
        """Store remarks with the run; one that is there already is not stored again.

        Raises:
            LedgerUnwritable: they were not stored.

        """
        await self._store("remarks", [self._rows.remark(remark) for remark in remarks])

    async def _store(self, kind: str, rows: Sequence[tuple[Any, ...]]) -> None:
        if not rows:
            return
        try:
            await self._commits.store(kind, rows, self._lane)
        except LedgerUnwritable as exc:
            self._full = exc
            raise
