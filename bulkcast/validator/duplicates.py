"""Rows that set the same classroom, in this sheet or in what was sent of it before."""

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise
from typing import Final, Literal, NamedTuple

from bulkcast.i18n import AND_MORE
from bulkcast.messages import issue
from bulkcast.model import Body, Change, CheckedRow, Invalid, Issue, Target

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


Treatment = Literal["error", "in-order", "last"]
_MOST_NAMED: Final = 10


class Settled(NamedTuple):
    """What becomes of a row that contradicts another one."""

    place: int
    """Among the claims."""
    found: Issue
    """In no row yet."""
    instead: int | None
    """The place of the row whose change is sent in its stead; None where it is refused."""


def settled(claims: Claims, treatment: Treatment) -> Iterator[Settled]:
    """The rows that contradict each other, treated as asked.

    Rows that want the same of a classroom never contradict each other.
    """
    if treatment == "in-order":
        return
    settle = _refuse if treatment == "error" else _overrule
    for places in claims.together(claims.same):
        if len({claims.wishes[place] for place in places}) > 1:
            yield from settle(claims, places)


def wish(change: Change) -> Body:
    """All that a change asks for, but for the name of the classroom."""
    return tuple(pair for pair in change.body if pair[0] != change.target.key)


def _refuse(claims: Claims, places: list[int]) -> Iterator[Settled]:
    n = len(places) - 1
    for place in places:
        others = (str(claims.rows[other]) for other in places if other != place)
        named = ", ".join(islice(others, _MOST_NAMED))
        if n > _MOST_NAMED:
            named = AND_MORE.format(rows=named, n=n - _MOST_NAMED)
        yield Settled(place, issue("target.duplicate", others=named, n=str(n)), None)


def _overrule(claims: Claims, places: list[int]) -> Iterator[Settled]:
    last = places[-1]
    for place in places[:-1]:
        if claims.wishes[place] != claims.wishes[last]:
            found = issue("target.overruled", other=str(claims.rows[last]))
            yield Settled(place, found, last)


@dataclass(frozen=True, slots=True)
class SentRows:
    """Rows to be sent, beside those that were."""

    rows: tuple[CheckedRow, ...]
    overtaken: Mapping[int, int] = field(default_factory=dict)
    """Row not to be sent → the row further down that was sent already."""


def resolve_with_sent(
    rows: tuple[CheckedRow, ...],
    sent: Sequence[CheckedRow],
    same: Mapping[Name, Name],
    treatment: Treatment,
) -> SentRows:
    """What becomes of `rows`, which were settled among themselves.

    `sent` are rows of the sheet that are kept as an earlier run left them; `same` leads from a
    classroom's other name to the one that is used.
    """
    if not sent:
        return SentRows(rows)

    def classroom(target: Target) -> Name:
        name = (target.key, target.id)
        return same.get(name, name)

    last = {classroom(row.target): row for row in sent if isinstance(row, Change)}
    rivals: defaultdict[Name, list[Change]] = defaultdict(list)
    for row in rows:
        if isinstance(row, Change) and classroom(row.target) in last:
            rivals[classroom(row.target)].append(row)
    instead: dict[int, CheckedRow] = {}
    overtaken: dict[int, int] = {}
    for name, changes in rivals.items():
        for change in _differing(changes, last[name]):
            # With `last` all rows of a classroom are sent as its last one.
            place = changes[-1].row if treatment == "last" else change.row
            if treatment != "error" and place < last[name].row:
                overtaken[change.row] = last[name].row
            else:
                instead[change.row] = _told(change, last[name], treatment)
    return SentRows(tuple([instead.get(row.row, row) for row in rows]), overtaken)


def _differing(changes: Iterable[Change], sent: Change) -> Iterator[Change]:
    return (change for change in changes if wish(change) != wish(sent))


def _told(change: Change, sent: Change, treatment: Treatment) -> CheckedRow:
    """The row, and that another one was sent that wants something else."""
    other = str(sent.row)
    if treatment == "error":
        found = issue("target.sent_already", row=change.row, other=other)
        return Invalid(change.row, (found, *change.issues))
    found = issue("target.replaces", row=change.row, other=other)
    return replace(change, issues=(*change.issues, found))
