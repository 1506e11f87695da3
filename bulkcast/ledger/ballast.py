"""A file that is there to be deleted: room for the last outcomes on a disk that has become full."""

import os
import tempfile
from pathlib import Path
from typing import Final

from bulkcast.errors import LedgerUnwritable

FILE_NAME: Final = "ballast"
SIZE: Final = 1 << 20
"""Bytes: the outcomes of all requests under way, several times over."""


class Ballast:
    """One file under `BULKCAST_HOME`."""

    def __init__(self, home: Path) -> None:
        self._path = home / FILE_NAME

    def keep(self) -> None:
        """Have it lie there; where there is no room for it, go without."""
        if self._path.exists():
            return
        try:
            descriptor = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
        except OSError:
            return
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(os.urandom(SIZE))  # zeros would take no room on a disk that packs
        except OSError:
            self.release()

    def require_room(self) -> None:
        """Make sure that there is room for as much again.

        Raises:
            LedgerUnwritable: there is none.

        """
        try:
            with tempfile.TemporaryFile(dir=self._path.parent) as file:
                file.write(os.urandom(SIZE))
                file.flush()
                os.fsync(file.fileno())
        except OSError as exc:
            raise LedgerUnwritable(
                "nothing can be written in {folder} ({why}); make room there",
                folder=self._path.parent,
                why=exc.strerror,
            ) from exc

    def release(self) -> bool:
        """Delete it; whether that made room."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True
