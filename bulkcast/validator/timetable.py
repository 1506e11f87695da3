"""When the rows of a sheet lock, kept in a few bytes for each: enough to foresee how sending goes.

What `plan.make` would plan of the same rows where nothing is known of their classrooms, in the
same order; only what is not needed to foresee it is left out.
"""

from array import array
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final, Literal, NamedTuple

from bulkcast.catalogue import Endpoint, Lock, Role
from bulkcast.locks import locks_at
from bulkcast.model import Change, CheckedRow, Invalid, Target
from bulkcast.validator import bulk
from bulkcast.validator.bulk import Plain
from bulkcast.validator.rows import Column

_BLANK: Final[tuple[Plain, ...]] = (None, "")
_REMEMBERED: Final = 65_536
_NEVER: Final = 2**63 - 1
"""In place of the moment in which a row locks that nothing is known to lock."""


class Turn(NamedTuple):
    """One request to come, as far as its time goes."""

    rows: tuple[int, ...]
    target: Target
    locks_at: int | None
    once_locked: Literal["refuse"] = "refuse"


class Timetable:
    """The turns of a sheet's valid rows; complete once all blocks were seen and rows settled."""

    def __init__(self, read: Sequence[Column], endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._starts = next(c for c in read if c.setting.role is Role.SCHEDULE)
        self._targets = [c for c in read if c.setting.role is Role.TARGET]
        self._locking = [c.index for c in read if c.setting.lock is Lock.BEFORE_CLASS]
        self._known: dict[Plain, int] = {None: _NEVER, "": _NEVER}
        self._rows, self._locks, self._ids = array("q"), array("q"), array("q")
        self._keys = array("b")
        self._instead: dict[int, CheckedRow] = {}

    def see(
        self, numbers: Sequence[int], columns: Sequence[Sequence[Plain]], judged: set[int]
    ) -> None:
        """Take in some consecutive rows, but for those at the places that are judged as rows."""
        starts = [self._locks_at(cell) for cell in columns[self._starts.index]]
        for place in self._without_lock(columns, len(numbers)):
            starts[place] = _NEVER
        found = [(key, self._read_ids(key, columns)) for key in range(len(self._targets))]
        for place, number in enumerate(numbers):
            if place not in judged:
                key, id_ = next((key, ids[place]) for key, ids in found if ids[place])
                self._add(number, key, id_, starts[place])

    def take(self, row: CheckedRow) -> None:
        """Take in a row that was judged by itself."""
        if not isinstance(row, Invalid):
            self._add(row.row, self._key(row.target), row.target.id, self._lock_of(row))

    def settle(self, rows: Mapping[int, CheckedRow]) -> None:
        """Replace rows by what became of them beside others of their classroom."""
        self._instead.update(rows)

    def _add(self, number: int, key: int, id_: int, lock: int) -> None:
        self._rows.append(number)
        self._keys.append(key)
        self._ids.append(id_)
        self._locks.append(lock)

    def _key(self, target: Target) -> int:
        return next(i for i, c in enumerate(self._targets) if c.setting.key == target.key)

    def _lock_of(self, row: CheckedRow) -> int:
        lock = None if isinstance(row, Invalid) else locks_at(row, self._endpoint)
        return _NEVER if lock is None else lock

    def _locks_at(self, cell: Plain) -> int:
        """The moment before which a class that begins then has to be set."""
        lock = self._known.get(cell)
        if lock is None:
            start = self._starts.readers.read(cell).value
            lock = start - self._endpoint.lock_before_s if isinstance(start, int) else _NEVER
            if len(self._known) < _REMEMBERED:
                self._known[cell] = lock
        return lock

    def _without_lock(self, columns: Sequence[Sequence[Plain]], n: int) -> Iterator[int]:
        """The places of rows that set nothing which locks."""
        if any(not bulk.n_blank(columns[index]) for index in self._locking):
            return
        cells = [columns[index] for index in self._locking]
        for place in range(n):
            if all(column[place] in _BLANK for column in cells):
                yield place

    def _read_ids(self, key: int, columns: Sequence[Sequence[Plain]]) -> Sequence[int]:
        """The ids of a column, 0 where there is none that can be read."""
        column = self._targets[key]
        cells = columns[column.index]
        read = column.readers.read
        return [
            id_ or _as_id(read(cell).value)
            for id_, cell in zip(bulk.ids(cells), cells, strict=True)
        ]

    # -------------------------------------------------------------- the turns

    def is_doubled(self) -> bool:
        """Whether some classroom is named by more than one row."""
        return any(self._doubled().values())

    def dated(self) -> int:
        """Rows of which it is known when they lock."""
        return sum(len(turn.rows) for turn in self if turn.locks_at is not None)

    def __iter__(self) -> Iterator[Turn]:
        """Every turn in the order of sending; each time anew."""
        groups = self._groups()
        order = sorted(range(len(self._rows)), key=self._urgency(groups))
        for place in order:
            row, target = self._rows[place], self._target(place)
            lock = self._locks[place]
            rows: tuple[int, ...] = (row,)
            if target in groups:
                rows, lock = groups[target]
            if row == rows[0] and not isinstance(self._instead.get(row), Invalid):
                yield Turn(rows, target, None if lock == _NEVER else lock)

    def _target(self, place: int) -> Target:
        now = self._instead.get(self._rows[place])
        if isinstance(now, Change):
            return now.target
        return Target(self._targets[self._keys[place]].setting.key, self._ids[place])

    def _urgency(
        self, groups: Mapping[Target, tuple[tuple[int, ...], int]]
    ) -> Callable[[int], tuple[int, int]]:
        if not groups:
            return lambda place: (self._locks[place], self._rows[place])

        def urgency(place: int) -> tuple[int, int]:
            rows, lock = groups.get(self._target(place), ((), self._locks[place]))
            return lock, rows[0] if rows else self._rows[place]

        return urgency

    def _groups(self) -> dict[Target, tuple[tuple[int, ...], int]]:
        """Target → the valid rows that share its request, and when that locks."""
        doubled = self._doubled()
        moved = {now.target for now in self._instead.values() if isinstance(now, Change)}
        if not any(doubled.values()) and not moved:
            return {}
        rows: defaultdict[Target, list[tuple[int, int]]] = defaultdict(list)
        for place, row in enumerate(self._rows):
            now, target = self._instead.get(row), self._target(place)
            is_one_of_several = self._ids[place] in doubled[self._keys[place]] or target in moved
            if is_one_of_several and not isinstance(now, Invalid):
                lock = self._locks[place] if now is None else self._lock_of(now)
                rows[target].append((row, lock))
        return {
            target: (tuple(sorted(row for row, _ in found)), min(lock for _, lock in found))
            for target, found in rows.items()
        }

    def _doubled(self) -> dict[int, set[int]]:
        """Key → the ids that more than one row gives."""
        found: dict[int, set[int]] = {}
        for key in range(len(self._targets)):
            ids = sorted(i for i, k in zip(self._ids, self._keys, strict=True) if k == key)
            found[key] = {a for a, b in pairwise(ids) if a == b}
        return found


def _as_id(value: object) -> int:
    return value if isinstance(value, int) else 0
