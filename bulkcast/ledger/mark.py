"""How much a run has written, noted outside the ledger: a WAL that is cut short looks whole.

SQLite takes a WAL up to its first damaged frame and forgets the rest without a word; a WAL that was
deleted or swapped for another it forgets altogether.  So the counts of a run's intents and
outcomes also lie in a file of their own, written after each commit and never synced: it may fall
behind the ledger, and where it is ahead of it the ledger has lost something.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

FILE_NAME: Final = "mark"
_WIDTH: Final = 12


class Counts(NamedTuple):
    """What a run has written."""

    intents: int = 0
    outcomes: int = 0


class Mark:
    """The note of one run, open for writing; a context manager."""

    def __init__(self, folder: Path) -> None:
        """`folder` is the run's own; without room for the note the run does without."""
        self._descriptor = -1
        with suppress(OSError):
            folder.parent.mkdir(mode=0o700, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
            self._descriptor = os.open(folder / FILE_NAME, os.O_CREAT | os.O_WRONLY, 0o600)

    def __enter__(self) -> "Mark":
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def note(self, counts: Counts) -> None:
        """Write the counts over the ones before."""
        if self._descriptor < 0:
            return
        text = " ".join(str(count).rjust(_WIDTH) for count in counts)
        with suppress(OSError):
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            os.write(self._descriptor, text.encode("ascii"))


def noted(folder: Path) -> Counts:
    """What was noted last; zeros where nothing can be read."""
    try:
        intents, outcomes = (folder / FILE_NAME).read_text(encoding="ascii").split()
        return Counts(int(intents), int(outcomes))
    except (OSError, ValueError):
        return Counts()
