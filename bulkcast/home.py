"""Where runs, sheets and settings are kept: a folder, with a ledger of its own or a shared one.

Files in it that hold secrets are private: only their owner reads them.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SharedHome:
    """A folder of this computer whose ledger is a PostgreSQL database that others use as well."""

    folder: Path
    database: str = field(repr=False)
    """The database's URL, which may hold a password."""

    def __truediv__(self, name: str | Path) -> Path:
        return self.folder / name

    def __fspath__(self) -> str:
        return os.fspath(self.folder)

    def __str__(self) -> str:
        return str(self.folder)


Home = Path | SharedHome
"""What the use cases are given; `home / name` is a path in its folder."""


def folder_of(home: Home) -> Path:
    """The folder on this computer."""
    return home if isinstance(home, Path) else home.folder


def make_private(folder: Path) -> Path:
    """Make a folder that only its owner can look into, and return it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def write_private(path: Path, content: str | bytes) -> None:
    """Write a file that only its owner can read; the old one stays if that fails.

    Raises:
        OSError: the folder cannot be written.

    """
    import tempfile

    make_private(path.parent)
    # mkstemp makes files of mode 0600 under a name nobody can foresee.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        os.replace(name, path)  # noqa: PTH105 - of a name, not a path
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
