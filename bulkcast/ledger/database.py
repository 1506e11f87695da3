"""Opens the ledger's file; refuses network drives and files of other programs."""

import os
import re
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from importlib.resources import files
from pathlib import Path
from typing import Final

from bulkcast.errors import (
    BulkcastError,
    CannotStart,
    LedgerDamaged,
    LedgerUnwritable,
    system_reason,
)

FILE_NAME: Final = "ledger.sqlite3"
_MOUNTS: Final = Path("/proc/self/mounts")
_NETWORK: Final = re.compile(
    r"(nfs|nfs4|cifs|smb3|smbfs|afs|ncpfs|ceph|lustre|gpfs|beegfs|davfs|ocfs2|gfs2"
    r"|fuse\.(sshfs|glusterfs|davfs2?|rclone|s3fs|cephfs|smbnetfs|curlftpfs))"
)
_REMOTE: Final = 4
"""GetDriveTypeW's value for a network drive."""


def identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of a file, to notice when it is replaced; None if there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def refuse_network_drive(home: Path, drive_of: Callable[[Path], str] | None = None) -> None:
    """Refuse a home on a network drive; `drive_of` gives the kind of network drive of a folder.

    Raises:
        CannotStart: the home is on a network drive.

    """
    kind = (drive_of or network_drive)(home)
    if kind:
        raise CannotStart(
            "{home} lies on a network drive ({kind}), where the ledger could be damaged "
            "unnoticed; set BULKCAST_HOME to a folder on this computer",
            home=home,
            kind=kind,
        )


def network_drive(folder: Path) -> str:
    """The kind of network drive a folder is on; empty for a local drive or if unknown."""
    if sys.platform == "win32":
        return _windows_drive(folder.resolve().anchor)
    try:
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:  # macOS has no such file
        return ""
    return drive_among(mounts, folder.resolve())


def drive_among(mounts: str, folder: Path) -> str:
    r"""The kind of network drive a folder is on, from the system's list of mounts.

    >>> drive_among("/dev/sda1 / ext4 rw 0 0\nnas:/data /data nfs4 rw 0 0\n", Path("/data/li"))
    'nfs4'
    """
    best = (-1, "")
    for line in mounts.splitlines():
        words = line.split(" ")
        if len(words) < 3:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), words[1]))
        if folder.is_relative_to(point) and len(point.parts) >= best[0]:
            best = (len(point.parts), words[2])
    return best[1] if _NETWORK.fullmatch(best[1]) else ""


if sys.platform == "win32":
    import ctypes

    def _windows_drive(root: str) -> str:
        share = root.startswith("\\\\")
        remote = share or ctypes.windll.kernel32.GetDriveTypeW(root) == _REMOTE
        return "a share" if remote else ""


VERSION: Final = 1
UNREADABLE: Final = (ValueError, TypeError, LookupError, AttributeError)
"""What decoders raise for damaged values; even SQLite's own messages may quote damaged bytes."""
_FREE_BYTES: Final = 64 * 1024
"""Bytes that must be free to open the ledger: SQLite's shared memory takes half of them."""
_TEST_BYTES: Final = 1 << 20
"""Bytes to write as a test for a full disk: several times what a run needs."""
_OLD_RESERVE: Final = "ballast"
"""A reserve file of early versions, which is removed."""
_APPLICATION_ID: Final = 0x62756C6B  # "bulk": marks an SQLite file as a ledger


def prepare(path: Path) -> None:
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


def require_room(folder: Path) -> None:
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


def connect(path: Path) -> sqlite3.Connection:
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
