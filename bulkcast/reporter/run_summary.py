"""A run in numbers: how and when rows ended, and why some failed."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from bulkcast.catalogue import Label
from bulkcast.model import SUCCEEDED, ResultRow, RowStatus, Stop

BUCKETS_MAX: Final = 60
_STEPS_S: Final = (
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400,
)  # fmt: skip
"""Lengths of a bucket, seconds: round numbers for the reader."""


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Rows with the same status and reason."""

    status: RowStatus
    code: str
    rows: tuple[int, ...]
    """In sheet order."""
    message: Label
    """The message of the first row."""
    fix: Label


@dataclass(frozen=True, slots=True)
class Bucket:
    """An interval of time, and the rows that ended in it."""

    begins: float
    counts: Mapping[RowStatus, int]


@dataclass(frozen=True, slots=True)
class Timeline:
    """When rows ended, in consecutive buckets of equal length."""

    bucket_s: int
    buckets: tuple[Bucket, ...]

    @property
    def highest(self) -> int:
        """Rows in the fullest bucket."""
        return max((sum(bucket.counts.values()) for bucket in self.buckets), default=0)


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run in numbers."""

    run: str
    sheet: str
    """The name of the user's file, without folders."""
    sid: str
    root_url: str
    tz: str
    created_at: float
    finished_at: float | None
    counts: Mapping[RowStatus, int]
    """All eight states; adds up to the rows read."""
    attempts: int
    causes: tuple[FailureGroup, ...]
    """The most frequent first."""
    timeline: Timeline
    stop: Stop | None
    stopped: Label | None
    """Why it ended early."""
    purged_at: float | None = None
    """When its row contents were erased; only how the rows ended is left."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Setting → its name in the sheet's header."""

    @property
    def rows(self) -> int:
        """The rows read."""
        return sum(self.counts.values())


def causes(english: Iterable[ResultRow], chinese: Iterable[ResultRow]) -> tuple[FailureGroup, ...]:
    """The rows that did not succeed, grouped by reason, in both languages; largest group first.

    The same problem in different columns makes different groups, since the fixes differ.
    """
    grouped: dict[tuple[RowStatus, str, str], list[tuple[ResultRow, ResultRow]]] = {}
    for pair in zip(english, chinese, strict=True):
        row = pair[0]
        if row.status not in SUCCEEDED:
            grouped.setdefault((row.status, row.code, _column(row)), []).append(pair)
    found = (_cause(status, code, rows) for (status, code, _), rows in grouped.items())
    return tuple(sorted(found, key=lambda cause: -len(cause.rows)))


def _column(row: ResultRow) -> str:
    """The column of the issue behind the row's code; empty if there is none."""
    return next((i.column for i in row.issues if i.code == row.code and i.column), "")


def _cause(
    status: RowStatus, code: str, pairs: Sequence[tuple[ResultRow, ResultRow]]
) -> FailureGroup:
    en, zh = pairs[0]
    rows = tuple(row.row for row, _ in pairs)
    return FailureGroup(status, code, rows, Label(en.message, zh.message), Label(en.fix, zh.fix))


def timeline(ended: Iterable[tuple[float, RowStatus]]) -> Timeline:
    """Rows by when they ended, in at most `BUCKETS_MAX` buckets; times in Unix seconds.

    >>> found = timeline([(100.2, RowStatus.APPLIED), (100.9, RowStatus.REJECTED), (103.0,
    ...     RowStatus.APPLIED)])
    >>> found.bucket_s, [sum(bucket.counts.values()) for bucket in found.buckets]
    (1, [2, 0, 0, 1])
    """
    moments = sorted(ended)
    if not moments:
        return Timeline(_STEPS_S[0], ())
    first, last = moments[0][0], moments[-1][0]
    bucket_s = next((s for s in _STEPS_S if last // s - first // s < BUCKETS_MAX), _STEPS_S[-1])
    counted: dict[int, Counter[RowStatus]] = {}
    for at, status in moments:
        counted.setdefault(int(at // bucket_s), Counter())[status] += 1
    # For a run resumed after months only buckets with rows are shown.
    numbers = range(int(first // bucket_s), int(last // bucket_s) + 1)
    shown = numbers if len(numbers) <= BUCKETS_MAX else sorted(counted)[:BUCKETS_MAX]
    return Timeline(bucket_s, tuple(Bucket(n * bucket_s, counted.get(n, Counter())) for n in shown))


def ranges(rows: Sequence[int], most: int) -> tuple[tuple[str, ...], int]:
    """The first `most` ranges of ascending row numbers, and the number of remaining rows.

    >>> ranges([5, 6, 7, 9, 12, 13], 2)
    (('5-7', '9'), 2)
    """
    stretches: list[list[int]] = []
    for row in rows:
        if stretches and row == stretches[-1][-1] + 1:
            stretches[-1].append(row)
        else:
            stretches.append([row])
    told = (f"{s[0]}-{s[-1]}" if len(s) > 1 else str(s[0]) for s in stretches[:most])
    return tuple(told), sum(map(len, stretches[most:]))


@dataclass(frozen=True, slots=True)
class Crosstab:
    """Number of rows of each status for each value of a column."""

    column: str
    statuses: tuple[RowStatus, ...]
    """The statuses that occur, in their fixed order."""
    counts: tuple[tuple[str, tuple[int, ...]], ...]
    """Value → count for each of `statuses`; values in the order of their first row."""
