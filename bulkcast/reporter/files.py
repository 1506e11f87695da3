"""How a result file gets its name and comes to stand there: whole or not at all."""

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

from bulkcast.errors import CannotStart
from bulkcast.model import Text

Existing = Literal["refuse", "replace"]
"""What to do where the target exists."""

WRITABLE: Final = frozenset({".csv", ".tsv", ".xlsx", ".xlsm"})


@dataclass(frozen=True, slots=True)
class Written:
    """A file that has been written, and what the user should know of it."""

    path: Path
    """Where it is; not the wanted place if a program held that one."""
    remarks: tuple[Text, ...] = ()


def default_name(source: Path, run: str) -> Path:
    """Where the results of `run` go: beside the source, named after it.

    A source that is a result sheet itself hands its own name on, not a longer one.

    >>> default_name(Path("t.xlsx"), "7f").name, default_name(Path("t.results-7f.csv"), "8a").name
    ('t.results-7f.xlsx', 't.results-8a.csv')
    >>> default_name(Path("old.ods"), "7f").name
    'old.results-7f.xlsx'
    """
    stem = re.sub(r"\.results-[^.]*$", "", source.stem) or source.stem
    suffix = source.suffix if source.suffix.lower() in WRITABLE else ".xlsx"
    return source.with_name(f"{stem}.results-{run}{suffix}")


@contextmanager
def replacing(target: Path, existing: Existing) -> Iterator["Draft"]:
    """A draft beside `target` that takes its place at the end, or vanishes if anything fails.

    Raises:
        CannotStart: the target exists and may not be replaced, or cannot be written.

    """
    refuse_existing(target, existing)
    _remove_abandoned(target.parent)
    # Not mkstemp: its files are for the owner alone, and a sheet may lie in a shared folder.
    path = _draft_name(target)
    draft = Draft(path, target, existing)
    try:
        path.touch(exist_ok=False)
        yield draft
        draft.settle()
    except OSError as exc:
        raise _unwritable(target, exc) from exc
    finally:
        with suppress(OSError):
            draft.path.unlink(missing_ok=True)


def refuse_existing(target: Path, existing: Existing) -> None:
    """Raise CannotStart if something stands at `target` that may not be replaced."""
    if not target.exists():
        return
    if existing == "refuse":
        raise CannotStart(
            "{target} exists already; choose another name, or use --force", target=target
        )
    # A device would be taken away, not written to, and a folder only stops the last step.
    if not target.is_file():
        raise CannotStart(
            "{target} is no file that could be replaced; choose another name", target=target
        )


def refuse_unwritable(target: Path) -> None:
    """Raise CannotStart if no file can be made beside `target`; the way to know is to make one."""
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
    """A name of our own beside `target`, which says whose it is."""
    whose = f"{_computer()}-{os.getpid()}"
    return target.with_name(f".bulkcast-{whose}-{secrets.token_hex(8)}{target.suffix}")


def _computer() -> str:
    """A mark of the computer: in a shared folder others write too, whose processes are unseen."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def _remove_abandoned(folder: Path) -> None:
    """Remove the drafts that killed processes have left in `folder`."""
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
    if os.name == "nt":  # there, the signal that asks ends the process
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # another user's
        return True
    return True


_DRAFT: Final = re.compile(
    r"\.bulkcast-(?:(?P<computer>[0-9a-f]{8})-(?P<process>[1-9][0-9]*)-)?[0-9a-f]{16}\.[a-z]{3,4}",
    re.IGNORECASE,
)
_NO_DRAFT_LASTS_S: Final = 24 * 3600.0


def _unwritable(target: Path, exc: OSError) -> CannotStart:
    why = exc.strerror or type(exc).__name__
    return CannotStart(
        "{target} cannot be written ({why}); choose another place", target=target, why=why
    )


class Draft:
    """A file in the making; `result` tells where it went once the context has ended."""

    def __init__(self, path: Path, target: Path, existing: Existing) -> None:
        self.path = path
        self.remarks: list[Text] = []
        self._target = target
        self._existing = existing

    @property
    def result(self) -> Written:
        """Where the file went, and what there is to say of it."""
        return Written(self._target, tuple(self.remarks))

    def settle(self) -> None:
        """Make the draft durable and give it its name."""
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
    """Rename `draft` to `target`, or to the next free `name (2)` where a program holds that one.

    On Windows an open file cannot be replaced, which shows as PermissionError.  A virus scanner or
    an indexer lets go within moments, Excel does not: hence a few tries, and only where there is a
    file to hold.  In a folder that takes no file at all the last try fails too, and that error is
    raised.
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
"""Between tries for a file that is held: 2.5 s in all."""


def next_free(target: Path) -> Path:
    """The first of `name (2)`, `name (3)`… that does not exist."""
    names = (target.with_name(f"{target.stem} ({n}){target.suffix}") for n in count(2))
    return next(name for name in names if not name.exists())
