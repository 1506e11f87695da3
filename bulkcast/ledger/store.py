"""The ledger's interface for the other packages: runs, their journals, and queries."""

import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final, Self

from bulkcast.errors import LedgerGone, LedgerUnwritable
from bulkcast.ledger import database, history, retention, run_progress, run_records
from bulkcast.ledger.codec import FrozenRun, RunHeader, RunRecord
from bulkcast.ledger.database import (
    FILE_NAME,
    connect,
    network_drive,
    prepare,
    refuse_network_drive,
    require_room,
)
from bulkcast.ledger.history import MonotonicClock, Timestamp
from bulkcast.ledger.integrity import RUNS, WriteCounter, damaged, reading, refuse_lost_entries
from bulkcast.ledger.journal import RunJournal, SideFiles, Started
from bulkcast.ledger.lock import Sends
from bulkcast.model import Institution, Issue, RequestKey, Stop, Target
from bulkcast.planner import Plan
from bulkcast.planner.last_known import Acknowledgement


def is_begun(home: Path) -> bool:
    """Whether `home` has a ledger or folders of runs; the ledger itself may be lost."""
    return (home / FILE_NAME).exists() or (home / RUNS).exists()


class Ledger:
    """All runs under one `BULKCAST_HOME`."""

    def __init__(self, home: Path, drive_of: Callable[[Path], str] = network_drive) -> None:
        """Open the ledger; create it if there is none.

        `drive_of` gives the kind of network drive a folder is on.

        Raises:
            CannotStart: the folder cannot be used or is on a network drive, or the file is of a
                newer version.
            LedgerDamaged: the file is no ledger, is broken, or has lost entries.

        """
        self.home = home
        self.path = home / FILE_NAME
        refuse_network_drive(home, drive_of)
        if not self.path.exists() or not self.path.stat().st_size:
            refuse_lost_entries(None, home, path=self.path)
        prepare(self.path)
        with ExitStack() as closing_it:
            self._connection = connect(self.path)
            closing_it.callback(self._connection.close)
            self._refuse_lost_entries()
            self._file = database.identity(self.path)
            closing_it.pop_all()
        self._wal_path = self.path.with_name(f"{FILE_NAME}-wal")
        self._wal: tuple[int, int] | None = None
        self._is_checked = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def folder(self, run: str) -> Path:
        """The folder with a run's copy of the sheet."""
        return self.home / RUNS / run

    def gone(self) -> LedgerGone | None:
        """The error if the ledger's files were removed or replaced since they were opened."""
        wal_is_there = self._wal is None or database.identity(self._wal_path) == self._wal
        if wal_is_there and database.identity(self.path) == self._file:
            return None
        return LedgerGone(
            "the ledger {path} was removed or replaced while the run was under way", path=self.path
        )

    # -------------------------------------------------------------- writing

    def create(
        self, header: RunHeader, plan: Plan, issues: Mapping[int, tuple[Issue, ...]]
    ) -> None:
        """Store a new run with its plan in one transaction."""
        with self._transaction() as connection:
            run_records.freeze(connection, header, plan, issues)

    @contextmanager
    def journal(
        self, run: str, steady: MonotonicClock | None = None, sends: Sends | None = None
    ) -> Iterator[RunJournal]:
        """The journal of a run, with its own connection.

        `steady` is a monotonic clock; without one, setting the clock forward makes recent sends
        look old.  `sends` shows the sends to other users of this computer.
        """
        with self._reading() as reader:
            run_id = self._id(run)
            places = {
                RequestKey(key): seq
                for seq, key in reader.execute(
                    "SELECT seq, key FROM requests WHERE run_id = ?", (run_id,)
                )
            }
            written, settled = self._counts(run_id)
        with closing(connect(self.path)) as connection, WriteCounter(self.folder(run)) as counter:
            started = Started(self._boot(steady.boot), steady.tick, steady.boot) if steady else None
            side_files = SideFiles(counter, written, settled, self.gone)
            yield RunJournal(connection, run_id, places, started, side_files, sends)

    def _counts(self, run_id: int) -> tuple[int, set[int]]:
        """The number of a run's intents, and the requests that have an outcome."""
        intents = self._connection.execute(
            "SELECT count(*) FROM attempts WHERE run_id = ?", (run_id,)
        ).fetchone()
        settled = self._connection.execute("SELECT seq FROM outcomes WHERE run_id = ?", (run_id,))
        return int(intents[0]), {seq for (seq,) in settled}

    def _boot(self, boot: str) -> int:
        """The ledger's number for a boot of this computer."""
        with self._transaction() as connection:
            return run_records.boot_number(connection, boot)

    def finish(self, run: str, stop: Stop | None, at: float) -> None:
        """Store that a run has ended, and why if it ended early."""
        with self._transaction() as connection:
            run_records.set_end(connection, run, float(at), stop)

    def reopen(self, run: str) -> None:
        """Store that a run goes on."""
        with self._transaction() as connection:
            run_records.set_end(connection, run, None, None)

    def purge(self, runs: Sequence[str], at: float) -> None:
        """Erase the row contents of some runs for good; how the rows ended is kept.

        Raises:
            LedgerUnwritable: another program is using the ledger, or its disk is full.

        """
        for run in runs:
            shutil.rmtree(self.folder(run), ignore_errors=True)
        with self._transaction() as connection:
            for run in runs:
                retention.forget(connection, self._id(run), float(at))
        try:
            retention.wipe(self._connection)
        except sqlite3.Error as exc:
            raise LedgerUnwritable(
                "the ledger {path} cannot be wiped now: {exc}; purge again later",
                path=self.path,
                exc=exc,
            ) from exc

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield self._connection
            self._connection.execute("COMMIT")
            self._wal = self._wal or database.identity(self._wal_path)
        except BaseException as exc:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            if isinstance(exc, sqlite3.Error):
                raise LedgerUnwritable(
                    "the ledger {path} cannot be written: {exc}", path=self.path, exc=exc
                ) from exc
            raise

    # -------------------------------------------------------------- reading

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with reading(self.path):
            yield self._connection

    @contextmanager
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
        """One snapshot for several queries, even while a run is writing."""
        with self._reading() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                if connection.in_transaction:
                    connection.execute("COMMIT")

    def _refuse_lost_entries(self, run: str = "*") -> None:
        with self._reading() as connection:
            refuse_lost_entries(connection, self.home, path=self.path, run=run)

    def sent_lately(self, institution: Institution, now: Timestamp, within_s: float) -> list[float]:
        """Ages in seconds of the requests any run sent for an institution, oldest first.

        If the age of a request is unknown, it counts as just sent.
        """
        with self._reading() as connection:
            return history.sends(connection, institution, now, within_s)

    def unanswered(self, institution: Institution, now: Timestamp) -> list[history.Unanswered]:
        """The attempts of any run for an institution that ClassIn may still carry out."""
        with self._reading() as connection:
            return history.unanswered(connection, institution, now)

    def superseded(self, run: str) -> dict[RequestKey, str]:
        """Requests whose classroom a newer run has set, or may have → the newest such run."""
        with self._reading() as connection:
            return dict(connection.execute(_SUPERSEDED, {"run_id": self._id(run)}).fetchall())

    def acknowledged(
        self, institution: Institution, targets: Iterable[Target]
    ) -> dict[Target, list[Acknowledgement]]:
        """The requests that took effect at each of `targets`, or may have; oldest first.

        Raises:
            LedgerDamaged: a checksum does not match.

        """
        with self._reading() as connection:
            self._check_once()
            try:
                return history.read(connection, institution, targets)
            except history.Damaged as exc:
                raise damaged(exc.what) from exc

    def examine(self) -> None:
        """Check before a run that the ledger is undamaged and can be written.

        Raises:
            LedgerDamaged: it is damaged.
            LedgerUnwritable: it cannot be written now, or its disk is full.

        """
        self._check_once()
        require_room(self.home)
        with self._transaction():
            pass

    def runs(self) -> list[RunRecord]:
        """Every run, newest first."""
        with self._snapshot() as connection:
            names = run_records.names(connection)
            return [run_records.record(connection, self.home, run) for run in names]

    def some_runs(
        self, institution: Institution | None, first: int, most: int
    ) -> tuple[list[RunRecord], int]:
        """Some runs, newest first from the one at position `first`, and how many there are.

        `institution` is whose runs are meant; None for all.
        """
        place = (institution.root_url, institution.sid) if institution else None
        with self._snapshot() as connection:
            names, total = run_progress.newest(connection, place, first, most)
            return [run_records.record(connection, self.home, run) for run in names], total

    def record(self, run: str) -> RunRecord | None:
        """The run of exactly this name; None if there is none."""
        with self._snapshot() as connection:
            found = connection.execute("SELECT 1 FROM runs WHERE run = ?", (run,)).fetchone()
            return run_records.record(connection, self.home, run) if found else None

    def end(self, run: str) -> run_progress.End | None:
        """When a run ended, without counting its rows; None if there is no such run."""
        with self._reading() as connection:
            return run_progress.end(connection, run)

    def standing(self, run: str) -> run_progress.Standing:
        """How many rows of a run ended how, so far."""
        with self._snapshot() as connection:
            return run_progress.standing(connection, self._id(run))

    def failures(self, run: str, most: int) -> list[run_progress.FailedRequest]:
        """The requests of a run that failed last, newest first."""
        with self._snapshot() as connection:
            return run_progress.failures(connection, self._id(run), most)

    def targets(self, run: str) -> dict[int, Target]:
        """Row → its classroom, for the rows of a run that had a request."""
        with self._snapshot() as connection:
            return run_progress.targets(connection, self._id(run))

    def names(self) -> list[str]:
        """The names of all runs, newest first."""
        with self._snapshot() as connection:
            return run_records.names(connection)

    def ended(self, run: str) -> list[run_records.Ended]:
        """Counts of how the rows of a run ended, without loading them."""
        with self._reading() as connection:
            return run_records.ended(connection, self._id(run), run)

    def left(self, run: str) -> int:
        """Number of rows still to be sent: those not sent or not confirmed."""
        with self._reading() as connection:
            found = connection.execute(_LEFT, {"run_id": self._id(run)}).fetchone()
        return int(found[0])

    def newest(self, run: str = "") -> RunRecord:
        """The run that `run`, a name or a part of one, stands for; the newest if it is empty.

        Raises:
            CannotStart: there is no such run, or several match.
            LedgerDamaged: a checksum does not match.

        """
        with self._snapshot() as connection:
            chosen = run_records.chosen(run_records.names(connection), run, self.path)
            return run_records.record(connection, self.home, chosen)

    def _id(self, run: str) -> int:
        found = self._connection.execute("SELECT id FROM runs WHERE run = ?", (run,)).fetchone()
        if found is None:
            raise run_records.no_run(run, self.path)
        return int(found[0])

    def load(self, run: str, *, with_requests: bool = True) -> FrozenRun:
        """Load a run, its checksums verified.

        The contents of requests take the most memory; without them requests cannot be sent or
        compared.

        Raises:
            CannotStart: the run was purged.
            LedgerDamaged: a checksum does not match.

        """
        frozen = self.remains(run, with_requests=with_requests)
        if frozen.purged_at is not None:
            raise run_records.was_purged(frozen)
        return frozen

    def remains(self, run: str, *, with_requests: bool = False) -> FrozenRun:
        """Load a run even if it was purged; then only how its rows ended is left.

        Raises:
            LedgerDamaged: a checksum does not match.

        """
        self._check_once()
        self._refuse_lost_entries(run)
        with self._snapshot() as connection:
            run_id = self._id(run)
            record = run_records.record(connection, self.home, run)
            return run_records.load(connection, run_id, record, with_requests=with_requests)

    def _check_once(self) -> None:
        """Check the whole file, once for each opening."""
        if not self._is_checked:
            with self._reading() as connection:
                run_records.check_integrity(connection, self.path)
        self._is_checked = True


_LEFT: Final = """
    SELECT COALESCE(SUM(n_rows), 0)
    FROM requests LEFT JOIN outcomes AS o USING (run_id, seq)
    WHERE run_id = :run_id AND COALESCE(o.status, 'not_sent') IN ('not_sent', 'unconfirmed')
"""

_SUPERSEDED: Final = """
    SELECT mine.key, newer.run
    FROM requests AS mine JOIN runs AS ours ON ours.id = mine.run_id
    JOIN requests AS theirs ON theirs.target = mine.target AND theirs.run_id > mine.run_id
    JOIN runs AS newer ON newer.id = theirs.run_id
        AND newer.root_url = ours.root_url AND newer.sid = ours.sid
    LEFT JOIN outcomes AS o ON o.run_id = theirs.run_id AND o.seq = theirs.seq
    WHERE mine.run_id = :run_id AND (o.status IN ('applied', 'unconfirmed') OR EXISTS (
        SELECT 1 FROM attempts AS a WHERE a.run_id = theirs.run_id AND a.seq = theirs.seq
        AND COALESCE(a.ambiguous, a.number > COALESCE(o.attempts, 0))
    ))
    ORDER BY newer.id
"""
"""Includes classrooms that a newer run only may have set: an older body could revert it."""
