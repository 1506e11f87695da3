"""Where runs, sheets and settings are kept: a folder, with a ledger of its own or a shared one."""

from dataclasses import dataclass, field
from os import fspath
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
        return fspath(self.folder)

    def __str__(self) -> str:
        return str(self.folder)


Home = Path | SharedHome
"""What the use cases are given; `home / name` is a path in its folder."""


def folder_of(home: Home) -> Path:
    """The folder on this computer."""
    return home if isinstance(home, Path) else home.folder
