"""Very many issues in little memory: what they have in common is kept once."""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, overload

from bulkcast.model import Issue, Severity, Text
from bulkcast.problems import PROBLEMS


class _Kind(NamedTuple):
    """An issue but for its row."""

    code: str
    severity: Severity
    column: str | None
    letters: str | None
    value: str | None
    args: tuple[tuple[str, str], ...]

    def at(self, row: int) -> Issue:
        problem, words = PROBLEMS[self.code], dict(self.args)
        cell = None if self.letters is None else f"{self.letters}{row}"
        message, fix = Text(problem.said_of(words), words), Text(problem.fix, words)
        return Issue(self.code, self.severity, row, self.column, cell, self.value, message, fix)


def _kind(issue: Issue) -> _Kind:
    letters = None if issue.cell is None else issue.cell.rstrip("0123456789")
    args = tuple(issue.message.args.items())
    return _Kind(issue.code, issue.severity, issue.column, letters, issue.value, args)


class IssueLog(Sequence[Issue]):
    """The issues of a sheet: those of the sheet as a whole first, then in the order of its rows."""

    def __init__(self) -> None:
        self._first: list[Issue] = []
        self._kinds: dict[_Kind, int] = {}
        self._rows, self._which = array("q"), array("q")
        self._instead: dict[int, tuple[Issue, ...]] = {}

    def of_sheet(self, issues: Sequence[Issue]) -> None:
        """Add issues of the sheet as a whole."""
        self._first.extend(issues)

    def of_row(self, row: int, issues: Sequence[Issue]) -> None:
        """Add a row's issues; rows come in their order."""
        for issue in issues:
            self._rows.append(row)
            self._which.append(self._kinds.setdefault(_kind(issue), len(self._kinds)))

    def instead(self, issues: Mapping[int, tuple[Issue, ...]]) -> None:
        """Replace all issues of some rows, whether they have any by now or not."""
        self._instead.update(issues)

    def has_errors(self) -> bool:
        """Whether any of them is an error."""
        kinds = list(self._kinds)
        wrong = {i for i, kind in enumerate(kinds) if kind.severity is Severity.ERROR}
        late = (issue for issues in self._instead.values() for issue in issues)
        return not wrong.isdisjoint(self._which) or any(
            issue.severity is Severity.ERROR for issue in (*self._first, *late)
        )

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[Issue]:
        yield from self._first
        kinds = list(self._kinds)
        later = iter(sorted(self._instead))
        late = next(later, None)
        for row, which in zip(self._rows, self._which, strict=True):
            while late is not None and late <= row:
                yield from self._instead[late]
                late = next(later, None)
            if row not in self._instead:
                yield kinds[which].at(row)
        while late is not None:
            yield from self._instead[late]
            late = next(later, None)

    @overload
    def __getitem__(self, index: int) -> Issue: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Issue]: ...
    def __getitem__(self, index: int | slice) -> Issue | Sequence[Issue]:
        return tuple(self)[index]
