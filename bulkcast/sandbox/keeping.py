"""What an embedded sandbox was told, kept in a file between the commands of one user.

One JSON object a line, added at the moment when it takes effect, so that a command that is cut off
loses nothing of it.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from bulkcast.model import Target


class Keeper:
    """The changes of a world, in the file `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Iterator[tuple[Target, dict[str, Any], float]]:
        """Each classroom that was set, with what and when; the oldest first."""
        try:
            lines = self._path.read_bytes().splitlines()
        except OSError:
            return
        for line in lines:
            with suppress(ValueError, TypeError, LookupError):  # the last one may be cut off
                (key, number), body, at = json.loads(line)
                yield Target(str(key), int(number)), dict(body), float(at)

    def add(self, target: Target, body: Mapping[str, object], at: float) -> None:
        """Keep a change; a disk that is full costs the next rehearsal its past, not this one."""
        line = json.dumps([[target.key, target.id], dict(body), at]).encode()
        with suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(file, b"\n" + line)  # first: the line before may be cut off
            finally:
                os.close(file)
