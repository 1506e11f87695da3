"""What the valid rows of a sheet ask for, in a few bytes each.

Enough to tell which of them set the same classroom, and when each locks.
"""

from array import array
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final, Literal, NamedTuple

from bulkcast.model import Target

Name = tuple[str, int]
"""A classroom's name: the key of the body that holds its id, and the id."""

_NEVER: Final = 2**63 - 1
"""In place of the moment in which a row locks that nothing is known to lock."""
_NO_OTHER: Final[Mapping[Name, Name]] = {}


class Turn(NamedTuple):
    """One request to come, as far as its time goes."""

    rows: tuple[int, ...]
    target: Target
    locks_at: int | None
    once_locked: Literal["refuse"] = "refuse"


class Claims:
    """The valid rows of a sheet; a row's place among them counts from 0.

    Its turns are those that `plan.make` would plan of the rows where nothing is known of their
    classrooms, once duplicates are settled.
    """

    def __init__(self, targets: Sequence[str]) -> None:
        self._targets = targets
        self.rows, self._ids, self.wishes = array("q"), array("q"), array("q")
        self._keys, self._locks = array("b"), array("q")
        self.same: dict[Name, Name] = {}
        """The other name of a classroom → the one that is used, where a row gives both."""
        self._gone: set[int] = set()

    def add(self, row: int, key: int, id_: int, wish: int, locks_at: int | None) -> None:
        """Take in a row; `key` is its place among the keys of targets, `wish` what it asks for."""
        self.rows.append(row)
        self._keys.append(key)
        self._ids.append(id_)
        self.wishes.append(wish)
        self._locks.append(_NEVER if locks_at is None else locks_at)

    def drop(self, place: int) -> None:
        """Take a row out: it is not valid after all."""
        self._gone.add(place)

    def follow(self, place: int, other: int) -> None:
        """Let a row ask for what another one does."""
        for column in (self._keys, self._ids, self.wishes, self._locks):
            column[place] = column[other]

    def together(self, same: Mapping[Name, Name] = _NO_OTHER) -> Iterator[list[int]]:
        """The places of the rows of each classroom that several rows set; `same` as above."""
        suspects = {a for a, b in pairwise(sorted(self._ids)) if a == b}
        suspects.update(id_ for names in same.items() for _, id_ in names)
        if not suspects:
            return
        found: defaultdict[Name, list[int]] = defaultdict(list)
        for place, id_ in enumerate(self._ids):
            if id_ in suspects and place not in self._gone:
                name = self._targets[self._keys[place]], id_
                found[same.get(name, name)].append(place)
        yield from (places for places in found.values() if len(places) > 1)

    # -------------------------------------------------------------- the turns

    def is_doubled(self) -> bool:
        """Whether some classroom is named by more than one row."""
        return any(True for _ in self.together())

    def dated(self) -> int:
        """Rows of which it is known when they lock."""
        return sum(len(turn.rows) for turn in self if turn.locks_at is not None)

    def __iter__(self) -> Iterator[Turn]:
        """Every turn in the order of sending; each time anew."""
        locks, shared, rest = self._locks[:], {}, set(self._gone)
        for places in self.together():
            first = places[0]
            locks[first] = min(locks[place] for place in places)
            shared[first] = tuple([self.rows[place] for place in places])
            rest.update(places[1:])
        for place in sorted(range(len(locks)), key=locks.__getitem__):
            if place not in rest:
                rows = shared.get(place, (self.rows[place],))
                target = Target(self._targets[self._keys[place]], self._ids[place])
                yield Turn(rows, target, None if locks[place] == _NEVER else locks[place])
