"""One run per institution at a time: a lock that a dead process does not keep."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from bulkcast.errors import InstitutionBusy
from bulkcast.model import Institution, Text


@contextlib.contextmanager
def claim(home: Path, institution: Institution, *, run: str, since: str) -> Iterator[None]:
    """Hold `institution` for `run` while the block lasts.

    The operating system keeps the lock (flock, or LockFileEx on Windows), so it ends with its
    process however that ends.  `since` is shown to whoever finds it taken.

    Raises:
        InstitutionBusy: another process holds it; the message says which run, since when.

    """
    lock, note = _place(home, institution)
    try:
        # Long enough for a look at the list of runs to be over, which takes the lock for a moment.
        lock.acquire(timeout=0.3)
    except Timeout:
        raise InstitutionBusy(
            "institution {sid} at {root_url} is held by {what}; wait for it",
            sid=institution.sid,
            root_url=institution.root_url,
            what=_holder(note),
        ) from None
    try:
        holder = {"run": run, "pid": os.getpid(), "since": since}
        note.write_text(json.dumps(holder), encoding="utf-8")
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def claimed_by(home: Path, institution: Institution) -> str:
    """The run that holds `institution` at this moment; empty where none does."""
    lock, note = _place(home, institution)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return str(_read(note).get("run", ""))
    lock.release()
    return ""


def holder(home: Path, institution: Institution) -> Text | None:
    """What holds `institution` at this moment, in words; None where nothing does."""
    lock, note = _place(home, institution)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return _holder(note)
    lock.release()
    return None


def _place(home: Path, institution: Institution) -> tuple[FileLock, Path]:
    folder = home / "locks"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = hashlib.sha256(f"{institution.root_url} {institution.sid}".encode()).hexdigest()[:16]
    return FileLock(folder / f"{name}.lock", mode=0o600), folder / f"{name}.holder.json"


def _read(note: Path) -> dict[str, object]:
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _holder(note: Path) -> Text:
    held = _read(note)
    if not held.keys() >= {"run", "pid", "since"}:
        return Text("another run")
    words = {name: str(held[name]) for name in ("run", "pid", "since")}
    return Text("run {run} (process {pid}, since {since})", words)
