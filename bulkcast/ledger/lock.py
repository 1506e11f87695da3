"""Locks an institution for one run at a time; shares recent sends among a computer's users."""

import hashlib
import json
import math
import os
import stat
import struct
import sys
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from bulkcast.errors import CannotStart, InstitutionBusy, LedgerUnwritable, system_reason
from bulkcast.ledger.codec import pack_target
from bulkcast.ledger.history import Timestamp, Unanswered, age
from bulkcast.ledger.integrity import FILE_NAME
from bulkcast.model import Institution, Request, RequestKey, Text
from bulkcast.protocol import LOOPBACK, STAMP_LIFE_S, expires_after

_SLOT: Final = struct.Struct("<QdddQQQB")
"""Number, stamp, tick, seconds ahead, boot, source, classroom, answered."""
_CHECK: Final = struct.Struct("<I")
_SIZE: Final = _SLOT.size + _CHECK.size
_NUMBERS: Final = 1 << 62
"""Upper bound of a slot's number; a larger one is not ours."""
_EMPTY: Final = bytes(_SIZE)
_SLOTS: Final = 16_384
"""Number of requests kept: a quarter of an hour of sending at ClassIn's limit."""
_HEAD: Final = 512
"""Bytes before the slots: who holds the institution, as JSON."""
_LOCKED: Final = 1 << 30
"""The byte to lock on Windows, where a locked byte cannot be read: far beyond the content."""

_WAIT_S: Final = 0.3
"""Long enough for another program to finish checking the lock."""


def canonical(institution: Institution) -> str:
    """One name for an institution, however its host is spelled.

    >>> canonical(Institution("https://API.eeo.cn.:443", "7"))
    'https://api.eeo.cn 7'
    >>> canonical(Institution("http://[::1]:80", "7"))
    'http://localhost 7'
    """
    url = urlsplit(institution.root_url.strip())
    host = (url.hostname or "").rstrip(".")
    usual = {"https": 443, "http": 80}.get(url.scheme)
    port = "" if url.port in {None, usual} else f":{url.port}"
    return f"{url.scheme}://{'localhost' if host in LOOPBACK else host}{port} {institution.sid}"


def text_hash(text: str) -> int:
    """A 64-bit hash of a text; 0 for an empty one.

    >>> text_hash(""), 0 < text_hash("a") < 2**64
    (0, True)
    """
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) if text else 0


_boot_hash: Final = lru_cache(maxsize=8)(text_hash)

NewSend = tuple[RequestKey, str, Timestamp, float]
"""A request, its classroom, when it is sent, and how many seconds its stamp is ahead."""


class _Sent(NamedTuple):
    """One slot of the file."""

    number: int
    stamp: float
    tick: float
    ahead_s: float
    boot: int
    source: int
    classroom: int
    answered: int = 0

    @property
    def at(self) -> Timestamp:
        return Timestamp(
            self.stamp,
            None if math.isnan(self.tick) else self.tick,
            f"{self.boot:x}" if self.boot else "",
        )

    def packed(self) -> bytes:
        packed = _SLOT.pack(*self)
        return packed + _CHECK.pack(zlib.crc32(packed))

    @classmethod
    def unpacked(cls, packed: bytes) -> "_Sent | None":
        """Decode a slot; None if it is empty or damaged."""
        (check,) = _CHECK.unpack_from(packed, _SLOT.size)
        if zlib.crc32(packed[: _SLOT.size]) != check:
            return None
        found = cls(*_SLOT.unpack_from(packed))
        is_sound = math.isfinite(found.stamp) and not math.isinf(found.tick)
        is_sound &= math.isfinite(found.ahead_s) and found.number < _NUMBERS
        return found if is_sound else None


class Sends:
    """The requests sent for one institution by any user of this computer."""

    def __init__(self, descriptor: int, source: int) -> None:
        """`source` identifies the ledger that records the sends from now on."""
        self._file = descriptor
        self._source = source
        found = list(_slots(_read(descriptor, _HEAD, _SLOTS * _SIZE)))
        self._number = max((sent.number for sent in found), default=0)
        self._elsewhere = [sent for sent in found if sent.source != source or not source]
        self._open: dict[RequestKey, _Sent] = {}

    def lately(self, now: Timestamp, within_s: float) -> list[float]:
        """Ages in seconds of the requests that other ledgers sent, oldest first."""
        ages = (age(sent.at, _with_hashed_boot(now)) for sent in self._elsewhere)
        return sorted((a for a in ages if a < within_s), reverse=True)

    def unanswered(self, now: Timestamp, requests: Sequence[Request]) -> list[Unanswered]:
        """Requests of other ledgers to the same classrooms that may still be carried out.

        Their settings are unknown, so their bodies are empty.
        """
        open_ = [sent for sent in self._elsewhere if not sent.answered]
        if not open_:
            return []
        targets = {text_hash(pack_target(request.target)): request.target for request in requests}
        found = []
        for sent in open_:
            ahead_s = min(STAMP_LIFE_S, max(0.0, sent.ahead_s))
            age_s = age(sent.at, _with_hashed_boot(now))
            target = targets.get(sent.classroom)
            if target and age_s < expires_after(ahead_s):
                found.append(Unanswered(target, (), age_s, ahead_s))
        return found

    def note(self, sends: Iterable[NewSend]) -> None:
        """Record requests that are about to be sent.

        Raises:
            LedgerUnwritable: they were not recorded, so they must not be sent.

        """
        noted = []
        for key, classroom, at, ahead_s in sends:
            self._number += 1
            tick = math.nan if at.tick is None else at.tick
            place = (_boot_hash(at.boot), self._source, text_hash(classroom))
            self._open[key] = sent = _Sent(self._number, at.wall, tick, ahead_s, *place)
            noted.append(sent)
        self._write(noted)

    def answered(self, answers: Mapping[RequestKey, bool]) -> None:
        """Record that requests were answered; without a certain answer they stay unanswered."""
        ended = []
        for key, certain in answers.items():
            sent = self._open.pop(key, None)
            if sent and certain:
                ended.append(_Sent(*sent[:-1], answered=1))
        # If writing fails, others wait for these requests until their stamps expire; no harm.
        with suppress(LedgerUnwritable):
            self._write(ended)

    def _write(self, sends: Sequence[_Sent]) -> None:
        try:
            for place, packed in _neighbours(sends):
                os.lseek(self._file, _HEAD + place * _SIZE, os.SEEK_SET)
                os.write(self._file, packed)
        except OSError as exc:
            raise LedgerUnwritable(
                "what other users of this computer must know of a request cannot be written: {why}",
                why=system_reason(exc),
            ) from exc


def _neighbours(sends: Sequence[_Sent]) -> Iterator[tuple[int, bytes]]:
    """The slots to write, those side by side in one: the place of the first, and their bytes."""
    first, packed = 0, b""
    for sent in sorted(sends):
        place = sent.number % _SLOTS
        if packed and place != first + len(packed) // _SIZE:
            yield first, packed
            packed = b""
        first = first if packed else place
        packed += sent.packed()
    if packed:
        yield first, packed


def _slots(packed: bytes) -> Iterator[_Sent]:
    for start in range(0, len(packed) - _SIZE + 1, _SIZE):
        slot = packed[start : start + _SIZE]
        if slot != _EMPTY and (sent := _Sent.unpacked(slot)):
            yield sent


def _with_hashed_boot(now: Timestamp) -> Timestamp:
    """The same timestamp with its boot id hashed, as in the slots."""
    boot = text_hash(now.boot)
    return Timestamp(now.wall, now.tick, f"{boot:x}" if boot else "")


# ------------------------------------------------------------------ locking an institution


class _AlreadyHeld(Exception):
    """Another program holds the institution."""

    def __init__(self, note: Mapping[str, object]) -> None:
        super().__init__()
        self.note = note


@contextmanager
def claim(
    home: Path, institution: Institution, *, run: str, since: str, state: Path | None = None
) -> Iterator[Sends]:
    """Lock `institution` for `run` while the block lasts, for all users of this computer.

    The operating system keeps the lock (flock, or LockFileEx on Windows), so it ends with the
    process in any case.  Others who find it locked are shown `since`.  `state` is the folder that
    the users share; without one only programs with the same home see each other.

    Raises:
        InstitutionBusy: another process holds it; the message says which run, and since when.
        CannotStart: the shared folder cannot be used.

    """
    note = {"run": run, "pid": os.getpid(), "since": since}
    own = _own_folder(home)
    own.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with ExitStack() as locks:
            for folder in dict.fromkeys((own, state or own)):
                descriptor = locks.enter_context(_locked(_path(folder, institution), note))
            _reserve(descriptor, _path(state or own, institution))
            yield Sends(descriptor, _source(home, institution))
    except _AlreadyHeld as held:
        raise InstitutionBusy(
            "institution {sid} at {root_url} is held by {what}; wait for it",
            sid=institution.sid,
            root_url=institution.root_url,
            what=_describe(held.note),
        ) from None


def claimed_by(home: Path, institution: Institution) -> str:
    """The run of this home that holds `institution` now; empty if none does."""
    note = _note_of_holder(_path(_own_folder(home), institution)) or {}
    return str(note.get("run", ""))


def holder(home: Path, institution: Institution, state: Path | None = None) -> Text | None:
    """What holds `institution` now, as a sentence part; None if nothing does.

    Raises:
        CannotStart: the shared folder cannot be used.

    """
    for folder in (_own_folder(home), state):
        note = _note_of_holder(_path(folder, institution)) if folder else None
        if note is not None:
            return _describe(note)
    return None


def _note_of_holder(path: Path) -> Mapping[str, object] | None:
    """The note of the program that holds a lock file; None if none does."""
    if not path.exists():
        return None
    try:
        os.close(_open_locked(path, 0.0))
    except _AlreadyHeld as busy:
        return busy.note
    return None


def _describe(note: Mapping[str, object]) -> Text:
    if not note.keys() >= {"run", "pid", "since"}:
        return Text("another run")
    words = {name: str(note[name]) for name in ("run", "pid", "since")}
    return Text("run {run} (process {pid}, since {since})", words)


def _source(home: Path, institution: Institution) -> int:
    """Identifies the ledger in `home` together with the institution."""
    try:
        found = (home / FILE_NAME).stat()
    except OSError:
        return 0
    return text_hash(f"{found.st_dev} {found.st_ino} {institution.root_url} {institution.sid}")


# ------------------------------------------------------------------ the file and its lock


def _own_folder(home: Path) -> Path:
    """The folder for the locks of programs with the same home."""
    return home / "locks"


@contextmanager
def _locked(path: Path, note: Mapping[str, object]) -> Iterator[int]:
    """Keep a file locked; `note` tells others who holds it."""
    descriptor = _open_locked(path, _WAIT_S)
    try:
        _write_holder(descriptor, note)
        yield descriptor
        _write_holder(descriptor, {})
    finally:
        os.close(descriptor)  # releases the lock


def _reserve(descriptor: int, path: Path) -> None:
    """Fill the file up with empty slots; written, because the space for them must exist."""
    try:
        size = os.lseek(descriptor, 0, os.SEEK_END)
        os.write(descriptor, bytes(max(0, _HEAD + _SLOTS * _SIZE - size)))
    except OSError as exc:
        raise _unusable(path, system_reason(exc)) from exc


def _path(folder: Path, institution: Institution) -> Path:
    name = hashlib.sha256(canonical(institution).encode()).hexdigest()[:24]
    return folder / f"{name}.sends"


def _open_locked(path: Path, wait_s: float) -> int:
    """Open and lock the file; a file deleted meanwhile is opened again, since it locks nothing."""
    until = time.monotonic() + wait_s
    while True:
        descriptor = _open_file(path)
        try:
            locked = _lock(descriptor)
            if locked and _is_there(path, descriptor):
                return descriptor
            note = _read_holder(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        if not locked and time.monotonic() >= until:
            raise _AlreadyHeld(note)
        time.sleep(0.02)


def _is_there(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _open_file(path: Path) -> int:
    """Open the file, or create it, writable for everyone who may write its folder.

    In a folder that all can write, another user may have put a link to one of our files there, or a
    pipe that blocks.
    """
    flags = os.O_RDWR
    for name in ("O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK", "O_BINARY"):
        flags |= getattr(os, name, 0)
    try:
        _make_folder(path.parent)
        try:
            # Without O_CREAT: in such folders Linux refuses it for files of other users.
            descriptor = os.open(path, flags)
        except FileNotFoundError:
            descriptor = _create_file(path, flags)
        found = os.fstat(descriptor)
    except OSError as exc:
        raise _unusable(path, system_reason(exc)) from exc
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        os.close(descriptor)
        raise _unusable(path, "it is a link or no file")
    return descriptor


def _make_folder(folder: Path) -> None:
    """Create the folder, with the sticky bit: users cannot delete each other's files."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        if folder.is_symlink() or not folder.is_dir():
            raise NotADirectoryError(0, "it is a link or no folder") from None
    else:
        folder.chmod(0o1777)  # the umask would restrict mkdir's mode


def _create_file(path: Path, flags: int) -> int:
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:  # another program was faster
        return os.open(path, flags)
    if hasattr(os, "fchmod") and path.parent.stat().st_mode & 0o002:
        os.fchmod(descriptor, 0o666)
    return descriptor


def _unusable(path: Path, why: Text | str) -> CannotStart:
    return CannotStart(
        "{path}, where the users of this computer see what each other send, cannot be used ({why});"
        " set BULKCAST_STATE to a folder that all of them can write",
        path=path,
        why=why,
    )


def _read(descriptor: int, start: int, size: int) -> bytes:
    os.lseek(descriptor, start, os.SEEK_SET)
    return os.read(descriptor, size)


def _write_holder(descriptor: int, note: Mapping[str, object]) -> None:
    """Write who holds the lock; a failure does not matter to the lock."""
    with suppress(OSError):
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, json.dumps(note).encode().ljust(_HEAD)[:_HEAD])


def _read_holder(descriptor: int) -> Mapping[str, object]:
    try:
        found = json.loads(_read(descriptor, 0, _HEAD))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> bool:
        os.lseek(descriptor, _LOCKED, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _lock(descriptor: int) -> bool:
        """Whether the lock was obtained; the operating system keeps it until the process ends."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
