"""Results counted by one of the user's own columns, such as campus or teacher."""

from dataclasses import dataclass

from bulkcast.model import RowStatus


@dataclass(frozen=True, slots=True)
class Crosstab:
    """Number of rows of each status for each value of a column."""

    column: str
    statuses: tuple[RowStatus, ...]
    """The statuses that occur, in their fixed order."""
    counts: tuple[tuple[str, tuple[int, ...]], ...]
    """Value → count for each of `statuses`; values in the order of their first row."""
