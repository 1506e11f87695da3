"""Names result files, and writes them completely or not at all."""

import hashlib
import os
import platform
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final, Literal

from bulkcast.errors import CannotStart, system_reason
from bulkcast.model import Text

Existing = Literal["refuse", "replace"]
"""What to do if the target exists."""

DELIMITERS: Final = {"csv": ",", "tsv": "\t"}
_NEW: Final = frozenset({"xlsx", *DELIMITERS})
"""Kinds of files that can be written for any sheet."""
OWN: Final = frozenset({*_NEW, "xlsm"})
"""Kinds of sheets whose own file can take the results."""


@dataclass(frozen=True, slots=True)
class Written:
    """A file that has been written, and what the user should know about it."""

    path: Path
    """Its path; another one than requested if a program held that file open."""
    remarks: tuple[Text, ...] = ()


def default_name(source: Path, run: str) -> Path:
    """The default path for the results of `run`: beside the source, named after it.

    The name of a source that is a result sheet does not grow longer.

    >>> default_name(Path("t.xlsx"), "7f").name, default_name(Path("t.results-7f.csv"), "8a").name
    ('t.results-7f.xlsx', 't.results-8a.csv')
    >>> default_name(Path("old.ods"), "7f").name
    'old.results-7f.xlsx'
    """
    stem = re.sub(r"\.results-[^.]*$", "", source.stem) or source.stem
    suffix = source.suffix if kind_of(source) in OWN else ".xlsx"
    return source.with_name(f"{stem}.results-{run}{suffix}")


def kind_of(path: Path) -> str:
    """The kind of a file, by its name."""
    return path.suffix.lower().removeprefix(".")


def refuse_other_kind(target: Path, kind: str = "") -> None:
    """Raise CannotStart if results of a sheet of this `kind` cannot be written as `target`.

    Without a kind: if a new file cannot.
    """
    wanted = kind_of(target)
    if wanted not in _NEW and (wanted != kind or wanted not in OWN):
        raise CannotStart(
            "{name} is no sheet that can be written; use .xlsx, .csv or .tsv", name=target.name
        )


@contextmanager
def replacing(target: Path, existing: Existing) -> Iterator["Draft"]:
    """A draft beside `target` that replaces it at the end, or is deleted if anything fails.

    Raises:
        CannotStart: the target exists and may not be replaced, or cannot be written.

    """
    refuse_existing(target, existing)
    _remove_abandoned(target.parent)
    # Not mkstemp: only the owner may read its files, and a sheet may be in a shared folder.
    draft = Draft(_draft_name(target), target, existing)
    try:
        draft.path.touch(exist_ok=False)
        yield draft
        draft.settle()
    except OSError as exc:
        raise _unwritable(target, exc) from exc
    finally:
        with suppress(OSError):
            draft.path.unlink(missing_ok=True)


def refuse_existing(target: Path, existing: Existing) -> None:
    """Raise CannotStart if `target` exists and may not be replaced."""
    if not target.exists():
        return
    if existing == "refuse":
        raise CannotStart(
            "{target} exists already; choose another name, or use --force", target=target
        )
    # A device would be replaced, not written to; a folder would fail only at the end.
    if not target.is_file():
        raise CannotStart(
            "{target} is no file that could be replaced; choose another name", target=target
        )


def refuse_unwritable(target: Path) -> None:
    """Raise CannotStart if no file can be created beside `target`; creates one to find out."""
    if not target.parent.is_dir():
        raise CannotStart(
            "{folder} is no folder, so {name} cannot be written there",
            folder=target.parent,
            name=target.name,
        )
    probe = _draft_name(target)
    try:
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as exc:
        raise _unwritable(target, exc) from exc


def _draft_name(target: Path) -> Path:
    """A name for a draft beside `target`, with its computer and process."""
    whose = f"{_computer()}-{os.getpid()}"
    return target.with_name(f".bulkcast-{whose}-{secrets.token_hex(8)}{target.suffix}")


def _computer() -> str:
    """A short hash of the computer's name: in a shared folder other computers write, too."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def _remove_abandoned(folder: Path) -> None:
    """Remove drafts of killed processes from `folder`."""
    with suppress(OSError):
        for path in folder.glob(".bulkcast-*"):
            found = _DRAFT.fullmatch(path.name)
            if found and path.is_file() and not path.is_symlink() and _is_abandoned(path, found):
                path.unlink(missing_ok=True)


def _is_abandoned(path: Path, name: re.Match[str]) -> bool:
    if time.time() - path.stat().st_mtime > _NO_DRAFT_LASTS_S:
        return True
    return name["computer"] == _computer() and not _is_alive(int(name["process"]))


def _is_alive(process: int) -> bool:
    if os.name == "nt":  # on Windows os.kill ends the process
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # the process is another user's
        return True
    return True


_DRAFT: Final = re.compile(
    r"\.bulkcast-(?:(?P<computer>[0-9a-f]{8})-(?P<process>[1-9][0-9]*)-)?[0-9a-f]{16}\.[a-z]{3,4}",
    re.IGNORECASE,
)
_NO_DRAFT_LASTS_S: Final = 24 * 3600.0


def _unwritable(target: Path, exc: OSError) -> CannotStart:
    why = system_reason(exc)
    return CannotStart(
        "{target} cannot be written ({why}); choose another place", target=target, why=why
    )


class Draft:
    """A file being written; `result` says where it is once the context has ended."""

    def __init__(self, path: Path, target: Path, existing: Existing) -> None:
        self.path = path
        self.remarks: list[Text] = []
        self._target = target
        self._existing = existing

    @property
    def result(self) -> Written:
        """Where the file is, and the remarks about it."""
        return Written(self._target, tuple(self.remarks))

    def settle(self) -> None:
        """Flush the draft to disk and give it its name."""
        with self.path.open("rb+") as file:
            os.fsync(file.fileno())
        refuse_existing(self._target, self._existing)
        wanted = self._target
        self._target = take_place(self.path, wanted)
        if self._target != wanted:
            words = {"wanted": wanted.name, "name": self._target.name}
            self.remarks.append(
                Text("{wanted} is open in another program; written to {name} instead.", words)
            )


def take_place(
    draft: Path,
    target: Path,
    replace: Callable[[Path, Path], object] = os.replace,
    wait: Callable[[float], object] = time.sleep,
) -> Path:
    """Rename `draft` to `target`, or to the next free `name (2)` if a program holds `target` open.

    On Windows replacing an open file raises PermissionError.  A virus scanner or an indexer closes
    it within moments, Excel does not: hence a few tries, if `target` exists.  In a folder that
    cannot be written the last try fails, too, and its error is raised.
    """
    pauses = _PAUSES_S if target.exists() else ()
    for pause_s in (*pauses, None):
        try:
            replace(draft, target)
        except PermissionError:
            if pause_s is not None:
                wait(pause_s)
        else:
            return target
    free = next_free(target)
    replace(draft, free)
    return free


_PAUSES_S: Final = (0.1, 0.2, 0.4, 0.8, 1.0)
"""Pauses between tries, seconds; 2.5 s in all."""


def next_free(target: Path) -> Path:
    """The first of `name (2)`, `name (3)`… that does not exist."""
    names = (target.with_name(f"{target.stem} ({n}){target.suffix}") for n in count(2))
    return next(name for name in names if not name.exists())
