"""What the ledger's SQL needs of a database, so that the same statements run on each.

Placeholders are `?` or `:name`, as SQLite has them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol


class Cursor(Protocol):
    """The rows that a statement gave."""

    def fetchone(self) -> Any:
        """The next row; None if there is none."""

    def fetchall(self) -> list[Any]:
        """The remaining rows."""

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """A connection to a database."""

    def execute(
        self, statement: str, parameters: Sequence[Any] | Mapping[str, Any] = ..., /
    ) -> Cursor:
        """Run a statement."""

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]], /) -> object:
        """Run a statement for each of `rows`."""
