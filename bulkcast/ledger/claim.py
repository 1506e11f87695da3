"""One run per institution at a time: a lock that a dead process does not keep."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from bulkcast.errors import InstitutionBusy
from bulkcast.model import Institution


@contextlib.contextmanager
def claim(home: Path, institution: Institution, *, run: str, since: str) -> Iterator[None]:
    """Hold `institution` for `run` while the block lasts.

    The operating system keeps the lock (flock, or LockFileEx on Windows), so it ends with its
    process however that ends.  `since` is shown to whoever finds it taken.

    Raises:
        InstitutionBusy: another process holds it; the message says which run, since when.

    """
    folder = home / "locks"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = hashlib.sha256(f"{institution.root_url} {institution.sid}".encode()).hexdigest()[:16]
    lock = FileLock(folder / f"{name}.lock", mode=0o600)
    note = folder / f"{name}.holder.json"
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InstitutionBusy(f"{institution} is held by {_holder(note)}; wait for it") from None
    try:
        holder = {"run": run, "pid": os.getpid(), "since": since}
        note.write_text(json.dumps(holder), encoding="utf-8")
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def _holder(note: Path) -> str:
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
        return f"run {found['run']} (process {found['pid']}, since {found['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another run"
