"""Compares the problems of a mended sheet with those of the sheet it takes the place of."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Final

from bulkcast.headers import fold
from bulkcast.model import Issue, Severity
from bulkcast.pipeline.validation import CheckedSheet


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many problems a mended sheet has got rid of."""

    gone: int
    left: int
    new: int


def compare_problems(before: CheckedSheet, after: CheckedSheet) -> Comparison:
    """Compare the errors of two sheets.

    A problem is the same if it stands in the same cell or, as rows may have been added or removed,
    in the same column with the same value.
    """
    old, new, left = _errors(before.issues), _errors(after.issues), 0
    for same in _SAME:
        old, new, n = _without_equal(old, new, same)
        left += n
    return Comparison(len(old), left, len(new))


def _errors(issues: Iterable[Issue]) -> list[Issue]:
    return [issue for issue in issues if issue.severity is Severity.ERROR]


def _column(issue: Issue) -> str:
    return fold(issue.column or "")


_SAME: Final[tuple[Callable[[Issue], Hashable], ...]] = (
    lambda i: (i.code, _column(i), i.value, i.row),
    lambda i: (i.code, _column(i), i.value),
    lambda i: (i.code, _column(i), i.row),
)
"""What two issues have in common that are the same, the surest first."""


def _without_equal(
    old: list[Issue], new: list[Issue], key: Callable[[Issue], Hashable]
) -> tuple[list[Issue], list[Issue], int]:
    """Both lists without the issues that are in both, and how many those are."""
    common = Counter(map(key, old)) & Counter(map(key, new))
    return _less(old, Counter(common), key), _less(new, Counter(common), key), common.total()


def _less(
    issues: list[Issue], common: Counter[Hashable], key: Callable[[Issue], Hashable]
) -> list[Issue]:
    kept = []
    for issue in issues:
        if common[key(issue)] > 0:
            common[key(issue)] -= 1
        else:
            kept.append(issue)
    return kept
