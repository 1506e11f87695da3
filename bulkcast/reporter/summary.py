"""Results counted by one of the user's own columns: which campus or teacher has the failures."""

from dataclasses import dataclass

from bulkcast.model import RowStatus


@dataclass(frozen=True, slots=True)
class Crosstab:
    """How many rows of each status there are for each value of a column."""

    column: str
    statuses: tuple[RowStatus, ...]
    """Those that occur, in their fixed order."""
    counts: tuple[tuple[str, tuple[int, ...]], ...]
    """Value → count for each of `statuses`; values in the order of their first row."""
