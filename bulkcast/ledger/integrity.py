"""Refuses a ledger that is damaged, on a network drive, or without runs its side files record."""

import mmap
import os
import re
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from bulkcast.arguments import Series
from bulkcast.errors import CannotStart, LedgerDamaged, LedgerUnwritable
from bulkcast.model import Text

FILE_NAME: Final = "ledger.sqlite3"
RUNS: Final = "runs"
"""The folder under `BULKCAST_HOME` that holds a folder for each run."""
UNREADABLE: Final = (ValueError, TypeError, LookupError, AttributeError)
"""What decoders raise for damaged values; even SQLite's own messages may quote damaged bytes."""

# ------------------------------------------------------------------ network drives

_MOUNTS: Final = Path("/proc/self/mounts")
_NETWORK: Final = re.compile(
    r"(nfs|nfs4|cifs|smb3|smbfs|afs|ncpfs|ceph|lustre|gpfs|beegfs|davfs|ocfs2|gfs2"
    r"|fuse\.(sshfs|glusterfs|davfs2?|rclone|s3fs|cephfs|smbnetfs|curlftpfs))"
)
_REMOTE: Final = 4
"""GetDriveTypeW's value for a network drive."""


def refuse_network_drive(home: Path) -> None:
    """Refuse a home on a network drive.

    Raises:
        CannotStart: it is on one.

    """
    if kind := network_drive(home):
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


# ------------------------------------------------------------------ damage


def check_integrity(connection: sqlite3.Connection, path: object) -> None:
    """Check what checksums cannot show: missing rows, and rows of a run that does not exist.

    It takes 34 ms for a run of 20,000 rows.

    Raises:
        LedgerDamaged: something is missing or belongs to no run.

    """
    (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok":
        raise LedgerDamaged(
            "{path} is damaged ({found}); its disk may be failing", path=path, found=found
        )
    if any(connection.execute(_ORPHANS).fetchone()):
        raise damaged(Text("something of which the run is gone"))


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn errors of SQLite and of decoders into LedgerDamaged or LedgerUnwritable."""
    try:
        yield
    except (sqlite3.Error, *UNREADABLE) as exc:
        if _is_busy(exc):
            raise LedgerUnwritable(
                "the ledger {path} cannot be read: {exc}", path=path, exc=exc
            ) from exc
        raise LedgerDamaged(
            "{path} is damaged ({exc}); its disk may be failing", path=path, exc=exc
        ) from exc


def damaged(what: Text) -> LedgerDamaged:
    """The error for a checksum that does not match."""
    return LedgerDamaged(
        "the ledger does not hold {what} as it was written; its disk may be failing", what=what
    )


def _is_busy(exc: Exception) -> bool:
    """Whether the file is only locked by another process."""
    return getattr(exc, "sqlite_errorcode", 0) & 0xFF in {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
    }


_ORPHANS: Final = """
    SELECT EXISTS (SELECT 1 FROM outcomes LEFT JOIN requests AS r USING (run_id, seq)
                   WHERE r.key IS NULL),
           EXISTS (SELECT 1 FROM attempts LEFT JOIN requests AS r USING (run_id, seq)
                   WHERE r.key IS NULL),
           EXISTS (SELECT 1 FROM settled LEFT JOIN runs AS r ON r.id = run_id WHERE r.id IS NULL)
"""


# ------------------------------------------------------------------ lost entries

COUNTER_FILE: Final = "mark"
"""Name of the side file with a run's counts, in the run's folder."""
_TEXT: Final = b"%12d %12d"
_SIZE: Final = len(_TEXT % (0, 0))


class Counts(NamedTuple):
    """How many intents and outcomes a run has written."""

    intents: int = 0
    outcomes: int = 0


class WriteCounter:
    """The counter file of one run, open for writing; a context manager."""

    def __init__(self, folder: Path) -> None:
        """`folder` is the run's own; if the disk is full the run goes on without a counter file."""
        self._page: mmap.mmap | None = None
        with suppress(OSError):
            folder.parent.mkdir(mode=0o700, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
            self._page = _map_file(folder / COUNTER_FILE)

    def __enter__(self) -> "WriteCounter":
        return self

    def __exit__(self, *_: object) -> None:
        if self._page is not None:
            self._page.close()

    def note(self, counts: Counts) -> None:
        """Overwrite the counts; in mapped memory, because it is done at every commit."""
        if self._page is not None:
            self._page[:_SIZE] = _TEXT % counts


def _map_file(path: Path) -> mmap.mmap:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        if os.fstat(descriptor).st_size != _SIZE:
            # Written, not only extended: the space must exist.
            os.write(descriptor, _TEXT % Counts())
            os.ftruncate(descriptor, _SIZE)
        return mmap.mmap(descriptor, _SIZE)
    finally:
        os.close(descriptor)


def read_counts(folder: Path) -> Counts:
    """The counts noted last; zeros if the file cannot be read."""
    try:
        intents, outcomes = (folder / COUNTER_FILE).read_text(encoding="ascii").split()
        return Counts(int(intents), int(outcomes))
    except (OSError, ValueError):
        return Counts()


_NAMED_MOST: Final = 3

_IS_NAME: Final = re.compile(r"[0-9A-Za-z-]+", re.ASCII)
"""A run's name; folders such as `… - Copy`, `… copy` and `… (1)` were copied by hand."""


@dataclass(frozen=True, slots=True)
class _Gap:
    """A run with entries missing in the ledger."""

    folder: Path
    lost: Counts
    is_known: bool
    """Whether the ledger knows the run at all."""

    @property
    def to_move_away(self) -> Path:
        """The path to move away before the ledger can be used without the lost entries."""
        return self.folder / COUNTER_FILE if self.is_known else self.folder


def refuse_lost_entries(
    connection: sqlite3.Connection | None, home: Path, *, path: Path, run: str = "*"
) -> None:
    """Refuse a ledger with fewer entries than the counter files record; `run` checks one run only.

    Without a connection the ledger does not exist yet.

    Raises:
        LedgerDamaged: entries are missing.

    """
    gaps = _gaps(connection, home, run)
    if gaps and connection:
        # Read again: a running program may have been overwriting a counter file.
        gaps = _gaps(connection, home, run)
    if gaps:
        raise _refusal(gaps, home, path)


def _gaps(connection: sqlite3.Connection | None, home: Path, run: str) -> list[_Gap]:
    if run != "*" and not _IS_NAME.fullmatch(run):  # nor may a path have any character
        return []
    folders = (f for f in sorted((home / RUNS).glob(run)) if _IS_NAME.fullmatch(f.name))
    return [gap for folder in folders if (gap := _gap(connection, folder))]


def _gap(connection: sqlite3.Connection | None, folder: Path) -> _Gap | None:
    """The entries of a run that the ledger lacks; None if it lacks none.

    The counter file is read before the ledger, because the ledger is written before it.
    """
    noted = read_counts(folder)
    if not any(noted):
        return None
    known = connection and connection.execute(_RUN, {"run": folder.name}).fetchone()
    if not connection or not known:
        return _Gap(folder, noted, is_known=False)
    (finished_at,) = known
    if finished_at is not None and _touched_at(folder) <= finished_at:
        # The end was written last, so everything before it is there, too.
        return None
    stored = connection.execute(_STORED, {"run": folder.name}).fetchone()
    lost = Counts(*(max(0, there - here) for there, here in zip(noted, stored, strict=True)))
    return _Gap(folder, lost, is_known=True) if any(lost) else None


_RUN: Final = "SELECT finished_at FROM runs WHERE run = :run"
_STORED: Final = """
    SELECT (SELECT count(*) FROM attempts WHERE run_id = id),
           (SELECT count(*) FROM outcomes WHERE run_id = id)
    FROM runs WHERE run = :run
"""


def _touched_at(folder: Path) -> float:
    """When the counter file was written last, Unix seconds by this computer's clock."""
    try:
        return (folder / COUNTER_FILE).stat().st_mtime
    except OSError:
        return 0.0


def _refusal(gaps: list[_Gap], home: Path, path: Path) -> LedgerDamaged:
    return LedgerDamaged(
        "{path} lacks part of {what} (sends: {sends}, outcomes: {outcomes}), as noted in {folder}:"
        " it was emptied, cut short or replaced by an older copy or another's; put the right one"
        " back, or move {away} elsewhere to begin without what is lost",
        path=path,
        sends=f"{sum(gap.lost.intents for gap in gaps):,}",
        outcomes=f"{sum(gap.lost.outcomes for gap in gaps):,}",
        what=_run_names(gaps),
        folder=home / RUNS,
        away=_paths_to_move(gaps, home),
    )


def _run_names(gaps: list[_Gap]) -> Text:
    runs = [gap.folder.name for gap in gaps]
    names = Series(tuple(runs[-_NAMED_MOST:]))
    if len(runs) > _NAMED_MOST:
        more = str(len(runs) - _NAMED_MOST)
        return Text("runs {runs} and {n} more", {"runs": names, "n": more})
    if len(runs) > 1:
        return Text("runs {runs}", {"runs": names})
    return Text("run {run}", {"run": names})


def _paths_to_move(gaps: list[_Gap], home: Path) -> str:
    if len(gaps) > 1 and not any(gap.is_known for gap in gaps):
        folders = [folder for folder in (home / RUNS).iterdir() if any(read_counts(folder))]
        if len(folders) == len(gaps):
            return str(home / RUNS)
    return ", ".join(str(gap.to_move_away) for gap in gaps)
