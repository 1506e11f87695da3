"""One run per institution at a time: a lock that a dead process does not keep."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from filelock import FileLock, Timeout

from bulkcast.errors import InstitutionBusy
from bulkcast.ledger import shared
from bulkcast.ledger.place import FILE_NAME
from bulkcast.ledger.shared import Sends, hashed
from bulkcast.model import Institution, Text


@contextlib.contextmanager
def claim(
    home: Path, institution: Institution, *, run: str, since: str, state: Path | None = None
) -> Iterator[Sends]:
    """Hold `institution` for `run` while the block lasts, against all users of this computer.

    The operating system keeps the lock (flock, or LockFileEx on Windows), so it ends with its
    process however that ends.  `since` is shown to whoever finds it taken.  `state` is the folder
    that the users share; without one only programs with the same home see each other.

    Raises:
        InstitutionBusy: another process holds it; the message says which run, since when.
        CannotStart: the shared folder cannot be used.

    """
    lock, note = _place(home, institution)
    try:
        # Long enough for a look at the list of runs to be over, which takes the lock for a moment.
        lock.acquire(timeout=0.3)
    except Timeout:
        raise _busy(institution, _read(note)) from None
    try:
        holder = {"run": run, "pid": os.getpid(), "since": since}
        with shared.held(
            _shared(home, state), institution, _source(home, institution), holder
        ) as sends:
            note.write_text(json.dumps(holder), encoding="utf-8")
            yield sends
    except shared.Held as held:
        raise _busy(institution, held.note) from None
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def _busy(institution: Institution, note: Mapping[str, object]) -> InstitutionBusy:
    return InstitutionBusy(
        "institution {sid} at {root_url} is held by {what}; wait for it",
        sid=institution.sid,
        root_url=institution.root_url,
        what=_holder(note),
    )


def _shared(home: Path, state: Path | None) -> Path:
    return state or home / "locks"


def _source(home: Path, institution: Institution) -> int:
    """Stands for what the ledger in `home` itself knows to be sent for the institution."""
    try:
        found = (home / FILE_NAME).stat()
    except OSError:
        return 0
    return hashed(f"{found.st_dev} {found.st_ino} {institution.root_url} {institution.sid}")


def claimed_by(home: Path, institution: Institution) -> str:
    """The run that holds `institution` at this moment; empty where none does."""
    lock, note = _place(home, institution)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return str(_read(note).get("run", ""))
    lock.release()
    return ""


def holder(home: Path, institution: Institution, state: Path | None = None) -> Text | None:
    """What holds `institution` at this moment, in words; None where nothing does.

    Raises:
        CannotStart: the shared folder cannot be used.

    """
    if (home / "locks").exists():
        lock, note = _place(home, institution)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return _holder(_read(note))
        lock.release()
    elsewhere = shared.look(_shared(home, state), institution)
    return None if elsewhere is None else _holder(elsewhere)


def _place(home: Path, institution: Institution) -> tuple[FileLock, Path]:
    folder = home / "locks"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = hashlib.sha256(f"{institution.root_url} {institution.sid}".encode()).hexdigest()[:16]
    return FileLock(folder / f"{name}.lock", mode=0o600), folder / f"{name}.holder.json"


def _read(note: Path) -> Mapping[str, object]:
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _holder(held: Mapping[str, object]) -> Text:
    if not held.keys() >= {"run", "pid", "since"}:
        return Text("another run")
    words = {name: str(held[name]) for name in ("run", "pid", "since")}
    return Text("run {run} (process {pid}, since {since})", words)
