"""Very many issues in little memory: what they have in common is kept once."""

from array import array
from collections.abc import Iterator, Sequence
from heapq import merge
from operator import itemgetter
from typing import overload

from bulkcast.model import Issue, Severity
from bulkcast.validator.rows import at


class IssueLog(Sequence[Issue]):
    """The issues of a sheet: those of the sheet as a whole first, then in the order of its rows."""

    def __init__(self) -> None:
        self.of_sheet: tuple[Issue, ...] = ()
        self._kinds: list[Issue] = []
        self._known: dict[int, int] = {}
        """`id` of an issue of any row → its place among the kinds, which keep it alive."""
        self._rows, self._which = array("q"), array("q")
        self._late: list[tuple[int, int, Issue]] = []

    def add(self, row: int, issues: Sequence[Issue]) -> None:
        """Add a row's issues, which are in no row yet; rows come in their order."""
        for found in issues:
            which = self._known.setdefault(id(found), len(self._kinds))
            if which == len(self._kinds):
                self._kinds.append(found)
            self._rows.append(row)
            self._which.append(which)

    def add_late(self, row: int, found: Issue, *, is_first: bool) -> None:
        """Add an issue before or behind the others of its row."""
        self._late.append((row, 0 if is_first else 2, found))

    def has_errors(self) -> bool:
        """Whether any of them is an error."""
        late = (found for _, _, found in self._late)
        every = (*self.of_sheet, *self._kinds, *late)
        return any(found.severity is Severity.ERROR for found in every)

    def __len__(self) -> int:
        return len(self.of_sheet) + len(self._rows) + len(self._late)

    def __iter__(self) -> Iterator[Issue]:
        yield from self.of_sheet
        kinds, by_row = self._kinds, itemgetter(0, 1)
        own = ((row, 1, kinds[i]) for row, i in zip(self._rows, self._which, strict=True))
        for row, _, found in merge(own, sorted(self._late, key=by_row), key=by_row):
            yield at(found, row)

    @overload
    def __getitem__(self, index: int) -> Issue: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Issue]: ...
    def __getitem__(self, index: int | slice) -> Issue | Sequence[Issue]:
        return tuple(self)[index]
