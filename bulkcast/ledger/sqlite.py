"""The ledger as an SQLite database in WAL mode, readable only by its owner."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bulkcast.errors import (
    BulkcastError,
    CannotStart,
    LedgerDamaged,
    LedgerGone,
    LedgerUnwritable,
    system_reason,
)
from bulkcast.home import Home, folder_of
from bulkcast.ledger import history, run_records
from bulkcast.ledger.codec import RunHeader
from bulkcast.ledger.history import MonotonicClock, Timestamp
from bulkcast.ledger.integrity import (
    FILE_NAME,
    UNREADABLE,
    WriteCounter,
    check_integrity,
    reading,
    refuse_lost_entries,
    refuse_network_drive,
)
from bulkcast.ledger.journal import RunJournal, SideFiles, Started
from bulkcast.ledger.lock import Sends, claimed_by
from bulkcast.ledger.store import Ledger
from bulkcast.model import Institution, RequestKey

if TYPE_CHECKING:
    from bulkcast.ledger.group_commit import LaneClaim

VERSION: Final = 1
_APPLICATION_ID: Final = 0x62756C6B  # "bulk": marks an SQLite file as a ledger
_FREE_BYTES: Final = 64 * 1024
"""Bytes that must be free to open the ledger: SQLite's shared memory takes half of them."""
_TEST_BYTES: Final = 1 << 20
"""Bytes to write as a test for a full disk: several times what a run needs."""
_OLD_RESERVE: Final = "ballast"
"""A reserve file of early versions, which is removed."""


class SqliteLedger(Ledger):
    """All runs under one `BULKCAST_HOME`, in a file of its own."""

    _connection: sqlite3.Connection
    is_wiped_alone = True

    def __init__(self, home: Home) -> None:
        """Open the ledger; create it if there is none.

        Raises:
            CannotStart: the folder cannot be used or is on a network drive, or the file is of a
                newer version.
            LedgerDamaged: the file is no ledger, is broken, or has lost entries.

        """
        folder, path = folder_of(home), home / FILE_NAME
        super().__init__(folder, str(path))
        self.path = path
        self._folder = folder
        refuse_network_drive(folder)
        if not path.exists() or not path.stat().st_size:
            refuse_lost_entries(None, folder, path=path)
        _prepare(path)
        with ExitStack() as closing_it:
            self._connection = _connect(path)
            closing_it.callback(self._connection.close)
            self._refuse_lost_entries()
            self._file = _identity(path)
            closing_it.pop_all()
        self._wal_path = path.with_name(f"{FILE_NAME}-wal")
        self._wal: tuple[int, int] | None = None
        self._is_checked = False

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def gone(self) -> LedgerGone | None:
        """The error if the ledger's files were removed or replaced since they were opened."""
        wal_is_there = self._wal is None or _identity(self._wal_path) == self._wal
        if wal_is_there and _identity(self.path) == self._file:
            return None
        return LedgerGone(
            "the ledger {path} was removed or replaced while the run was under way", path=self.path
        )

    @contextmanager
    def journal(
        self,
        run: str,
        steady: MonotonicClock | None = None,
        claim: "Sends | LaneClaim | None" = None,
    ) -> Iterator[RunJournal]:
        """The journal of a run, with its own connection; see `Ledger`."""
        sends = claim if isinstance(claim, Sends) else None
        with self._reading() as reader:
            run_id = self._id(run)
            places = {
                RequestKey(key): seq
                for seq, key in reader.execute(
                    "SELECT seq, key FROM requests WHERE run_id = ?", (run_id,)
                )
            }
            written, settled = self._counts(run_id)
        with closing(_connect(self.path)) as connection, WriteCounter(self.folder(run)) as counter:
            started = self._started(steady) if steady else None
            side_files = SideFiles(counter, written, settled, self.gone)
            yield RunJournal(connection, run_id, places, side_files, started, sends)

    def _counts(self, run_id: int) -> tuple[int, set[int]]:
        """The number of a run's intents, and the requests that have an outcome."""
        intents = self._connection.execute(
            "SELECT count(*) FROM attempts WHERE run_id = ?", (run_id,)
        ).fetchone()
        settled = self._connection.execute("SELECT seq FROM outcomes WHERE run_id = ?", (run_id,))
        return int(intents[0]), {seq for (seq,) in settled}

    def _started(self, steady: MonotonicClock) -> Started:
        with self._transaction() as connection:
            number = run_records.boot_number(connection, steady.boot)
        return Started(number, steady.tick, steady.boot)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield self._connection
            self._connection.execute("COMMIT")
            self._wal = self._wal or _identity(self._wal_path)
        except BaseException as exc:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            if isinstance(exc, sqlite3.Error):
                raise LedgerUnwritable(
                    "the ledger {path} cannot be written: {exc}", path=self.path, exc=exc
                ) from exc
            raise

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

    def _wipe(self) -> None:
        """Without it all of 655 erased texts were still found in the file (measured)."""
        try:
            self._connection.execute("VACUUM")
            (busy, *_) = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if busy:
                raise sqlite3.OperationalError("another program is using it")
        except sqlite3.Error as exc:
            raise LedgerUnwritable(
                "the ledger {path} cannot be wiped now: {exc}; purge again later",
                path=self.path,
                exc=exc,
            ) from exc

    def _is_under_way(self, header: RunHeader) -> bool:
        return claimed_by(self._folder, header.institution) == header.run

    def _refuse_lost_entries(self, run: str = "*") -> None:
        with self._reading() as connection:
            refuse_lost_entries(connection, self._folder, path=self.path, run=run)

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

    def examine(self) -> None:
        """Check before a run that the ledger is undamaged and can be written.

        Raises:
            LedgerDamaged: it is damaged.
            LedgerUnwritable: it cannot be written now, or its disk is full.

        """
        self._check_once()
        _require_room(self._folder)
        with self._transaction():
            pass

    def _check_once(self) -> None:
        """Check the whole file, once for each opening."""
        if not self._is_checked:
            with self._reading() as connection:
                check_integrity(connection, self.path)
        self._is_checked = True


# ------------------------------------------------------------------ the file


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of a file, to notice when it is replaced; None if there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _prepare(path: Path) -> None:
    """Create folder and file, readable only by their owner; -wal and -shm inherit the mode.

    Raises:
        CannotStart: they cannot be created.

    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as exc:
        raise CannotStart(
            "{folder} cannot be written ({why}); set BULKCAST_HOME to a folder that can",
            folder=path.parent,
            why=system_reason(exc),
        ) from exc
    with suppress(OSError):
        (path.parent / _OLD_RESERVE).unlink()


def _require_room(folder: Path) -> None:
    """Check that the disk has room for what a run writes.

    Raises:
        LedgerUnwritable: the disk is full or cannot be written.

    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(os.urandom(_TEST_BYTES))  # a compressing disk would store zeros in no space
            file.flush()
            os.fsync(file.fileno())
    except OSError as exc:
        raise LedgerUnwritable(
            "nothing can be written in {folder} ({why}); make room there",
            folder=folder,
            why=system_reason(exc),
        ) from exc


def _connect(path: Path) -> sqlite3.Connection:
    """Open a connection whose commits are on disk when they return.

    Raises:
        CannotStart: the file cannot be opened or written, or is of a newer version.
        LedgerDamaged: the file is no ledger, or a broken one.
        LedgerUnwritable: its disk is full.

    """
    try:
        with ExitStack() as closing:
            connection = sqlite3.connect(
                path, timeout=30.0, isolation_level=None, check_same_thread=False
            )
            closing.callback(connection.close)
            _set_up(connection)
            closing.pop_all()
    except sqlite3.OperationalError as exc:
        raise _cannot_open(path, exc) from exc
    except (sqlite3.Error, *UNREADABLE) as exc:
        raise LedgerDamaged(
            "{path} is damaged or no ledger ({exc}); move it away to begin a new one",
            path=path,
            exc=exc,
        ) from exc
    return connection


def _cannot_open(path: Path, exc: Exception) -> BulkcastError:
    """The error for a ledger that cannot be opened; SQLite does not say that the disk is full."""
    if shutil.disk_usage(path.parent).free < _FREE_BYTES:
        return LedgerUnwritable(
            "the ledger {path} cannot be opened, because its disk is full; make room there",
            path=path,
        )
    return CannotStart("the ledger {path} cannot be opened: {exc}", path=path, exc=exc)


def _set_up(connection: sqlite3.Connection) -> None:
    """Check that the file is a ledger, or create the tables in an empty one."""
    if _version(connection) == 0:
        _create(connection)
    if (version := _version(connection)) > VERSION:
        raise CannotStart(
            "the ledger is of version {version} and this bulkcast reads up to "
            "{known}; install the newer bulkcast",
            version=version,
            known=VERSION,
        )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _version(connection: sqlite3.Connection) -> int:
    """The ledger's version, from 1 on; 0 for an empty file."""
    connection.execute("BEGIN")  # one snapshot: another program may be creating it
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    connection.execute("COMMIT")
    if (owner, version > 0) != (_APPLICATION_ID, True) and (owner, version, tables) != (0, 0, 0):
        raise sqlite3.DatabaseError("it is another program's")
    return int(version)


def _create(connection: sqlite3.Connection) -> None:
    schema = (files("bulkcast.ledger") / "schema.sql").read_text(encoding="utf-8")
    try:
        connection.executescript(
            f"BEGIN EXCLUSIVE;{schema};PRAGMA application_id = {_APPLICATION_ID};"
            f"PRAGMA user_version = {VERSION};COMMIT;"
        )
    except sqlite3.OperationalError:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if _version(connection) == 0:  # otherwise another program was faster
            raise
