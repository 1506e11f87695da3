"""A run in numbers: how many rows ended how, when, and why others failed."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from bulkcast.catalogue import Label
from bulkcast.model import ResultRow, RowStatus, Stop

SLOTS_MOST: Final = 60
_STEPS_S: Final = (
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400,
)  # fmt: skip
"""Lengths of a slot that a reader can count with."""

_GOOD: Final = frozenset({RowStatus.APPLIED, RowStatus.UNCHANGED})


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Rows that ended alike, for the same reason."""

    status: RowStatus
    code: str
    rows: tuple[int, ...]
    """In sheet order."""
    message: Label
    """What is said of the first of them."""
    fix: Label


@dataclass(frozen=True, slots=True)
class Bucket:
    """A stretch of time, and the rows that ended in it."""

    begins: float
    counts: Mapping[RowStatus, int]


@dataclass(frozen=True, slots=True)
class Timeline:
    """When rows ended; slots of equal length without a gap."""

    slot_s: int
    slots: tuple[Bucket, ...]

    @property
    def highest(self) -> int:
        """Rows in the fullest slot."""
        return max((sum(slot.counts.values()) for slot in self.slots), default=0)


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run, counted."""

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
    """When what its rows held was taken away; how they ended is left, without words."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Setting → how the sheet's header calls it."""

    @property
    def rows(self) -> int:
        """The rows read."""
        return sum(self.counts.values())


def causes(english: Iterable[ResultRow], chinese: Iterable[ResultRow]) -> tuple[FailureGroup, ...]:
    """The rows that did not succeed by why, told in both languages; the most frequent first.

    What is wrong in one column is mended otherwise than the same in another.
    """
    grouped: dict[tuple[RowStatus, str, str], list[tuple[ResultRow, ResultRow]]] = {}
    for pair in zip(english, chinese, strict=True):
        row = pair[0]
        if row.status not in _GOOD:
            grouped.setdefault((row.status, row.code, _column(row)), []).append(pair)
    found = (_cause(status, code, rows) for (status, code, _), rows in grouped.items())
    return tuple(sorted(found, key=lambda cause: -len(cause.rows)))


def _column(row: ResultRow) -> str:
    """The column that the row's code is about, where it is about one."""
    return next((i.column for i in row.issues if i.code == row.code and i.column), "")


def _cause(
    status: RowStatus, code: str, pairs: Sequence[tuple[ResultRow, ResultRow]]
) -> FailureGroup:
    en, zh = pairs[0]
    rows = tuple(row.row for row, _ in pairs)
    return FailureGroup(status, code, rows, Label(en.message, zh.message), Label(en.fix, zh.fix))


def timeline(ended: Iterable[tuple[float, RowStatus]]) -> Timeline:
    """Rows by when they ended, in at most `SLOTS_MOST` slots; times in Unix seconds.

    >>> found = timeline([(100.2, RowStatus.APPLIED), (100.9, RowStatus.REJECTED), (103.0,
    ...     RowStatus.APPLIED)])
    >>> found.slot_s, [sum(slot.counts.values()) for slot in found.slots]
    (1, [2, 0, 0, 1])
    """
    moments = sorted(ended)
    if not moments:
        return Timeline(_STEPS_S[0], ())
    first, last = moments[0][0], moments[-1][0]
    slot_s = next((s for s in _STEPS_S if last // s - first // s < SLOTS_MOST), _STEPS_S[-1])
    counted: dict[int, Counter[RowStatus]] = {}
    for at, status in moments:
        counted.setdefault(int(at // slot_s), Counter())[status] += 1
    # A run that was resumed after months has no more slots than fit: the gap is cut short.
    numbers = range(int(first // slot_s), int(last // slot_s) + 1)
    shown = numbers if len(numbers) <= SLOTS_MOST else sorted(counted)[:SLOTS_MOST]
    return Timeline(slot_s, tuple(Bucket(n * slot_s, counted.get(n, Counter())) for n in shown))


def ranges(rows: Sequence[int], most: int) -> tuple[str, int]:
    """The first `most` stretches of ascending row numbers, and how many rows are beyond.

    >>> ranges([5, 6, 7, 9, 12, 13], 2)
    ('5-7, 9', 2)
    """
    stretches: list[list[int]] = []
    for row in rows:
        if stretches and row == stretches[-1][-1] + 1:
            stretches[-1].append(row)
        else:
            stretches.append([row])
    told = (f"{s[0]}-{s[-1]}" if len(s) > 1 else str(s[0]) for s in stretches[:most])
    return ", ".join(told), sum(map(len, stretches[most:]))


@dataclass(frozen=True, slots=True)
class Crosstab:
    """How many rows of each status there are for each value of a column."""

    column: str
    statuses: tuple[RowStatus, ...]
    """Those that occur, in their fixed order."""
    counts: tuple[tuple[str, tuple[int, ...]], ...]
    """Value → count for each of `statuses`; values in the order of their first row."""
