"""Rows that set the same classroom, and rows that contradict rows sent earlier."""

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise
from typing import Final, Literal, NamedTuple

from bulkcast.arguments import Series
from bulkcast.model import Body, Change, CheckedRow, Invalid, Issue, Target
from bulkcast.problems import issue

Name = tuple[str, int, str]
"""A classroom's name: the key of the body that holds its id, the id, and its institution."""

_NEVER: Final = 2**63 - 1
"""Lock time of a row without a known lock time."""
_NO_OTHER: Final[Mapping[Name, Name]] = {}


class Turn(NamedTuple):
    """One future request with the fields that a forecast needs."""

    rows: tuple[int, ...]
    target: Target
    locks_at: int | None
    once_locked: Literal["refuse"] = "refuse"
    institution: str = ""


class Claims:
    """The valid rows of a sheet and the classrooms they set; places count from 0.

    Iterating gives the requests that `planner.make` would plan if nothing is known about the
    classrooms, once duplicates are settled.
    """

    def __init__(self, targets: Sequence[str]) -> None:
        self._targets = targets
        self.rows, self._ids, self.hashes = array("q"), array("q"), array("q")
        self._keys, self._locks, self._whose = array("b"), array("q"), array("l")
        self._institutions: dict[str, int] = {}
        self.same: dict[Name, Name] = {}
        """Second name of a classroom → the name that is used, from rows that give both."""
        self._gone: set[int] = set()

    def add(
        self,
        row: int,
        key: int,
        id_: int,
        settings_hash: int,
        locks_at: int | None,
        institution: str = "",
    ) -> None:
        """Add a row; `key` is the index of its target key, `settings_hash` one of its settings."""
        self.rows.append(row)
        self._keys.append(key)
        self._ids.append(id_)
        self.hashes.append(settings_hash)
        self._locks.append(_NEVER if locks_at is None else locks_at)
        self._whose.append(self._institutions.setdefault(institution, len(self._institutions)))

    def drop(self, place: int) -> None:
        """Remove a row that turned out to be invalid."""
        self._gone.add(place)

    def follow(self, place: int, other: int) -> None:
        """Give a row the classroom and settings of another one."""
        for column in (self._keys, self._ids, self.hashes, self._locks, self._whose):
            column[place] = column[other]

    def together(self, same: Mapping[Name, Name] = _NO_OTHER) -> Iterator[list[int]]:
        """The places of the rows of each classroom that several rows set.

        `same` maps second names of classrooms, as the attribute does.
        """
        suspects = {a for a, b in pairwise(sorted(self._ids)) if a == b}
        suspects.update(id_ for names in same.items() for _, id_, _ in names)
        if not suspects:
            return
        institutions = list(self._institutions)
        found: defaultdict[Name, list[int]] = defaultdict(list)
        for place, id_ in enumerate(self._ids):
            if id_ in suspects and place not in self._gone:
                name = self._targets[self._keys[place]], id_, institutions[self._whose[place]]
                found[same.get(name, name)].append(place)
        yield from (places for places in found.values() if len(places) > 1)

    def is_doubled(self) -> bool:
        """Whether more than one row sets some classroom."""
        return any(True for _ in self.together())

    def dated(self) -> int:
        """Number of rows with a known lock time."""
        return sum(len(turn.rows) for turn in self if turn.locks_at is not None)

    def __iter__(self) -> Iterator[Turn]:
        """The requests in sending order; computed anew each time."""
        institutions = list(self._institutions)
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
                lock = None if locks[place] == _NEVER else locks[place]
                yield Turn(rows, target, lock, institution=institutions[self._whose[place]])


Treatment = Literal["error", "in-order", "last"]
_MOST_NAMED: Final = 10


class Resolution(NamedTuple):
    """How a row that contradicts another one is treated."""

    place: int
    """The row's place in the claims."""
    found: Issue
    """The issue, without a row number."""
    instead: int | None
    """The place of the row whose settings are sent instead; None if the row is invalid."""


def resolutions(claims: Claims, treatment: Treatment) -> Iterator[Resolution]:
    """Treat the rows that set one classroom differently.

    Rows with equal settings for a classroom do not contradict each other.
    """
    if treatment == "in-order":
        return
    resolve = _refuse if treatment == "error" else _replace_by_last
    for places in claims.together(claims.same):
        if len({claims.hashes[place] for place in places}) > 1:
            yield from resolve(claims, places)


def _wanted(change: Change) -> Body:
    """A change's body without the id of the classroom."""
    return tuple(pair for pair in change.body if pair[0] != change.target.key)


def _refuse(claims: Claims, places: list[int]) -> Iterator[Resolution]:
    n = len(places) - 1
    for place in places:
        named = (str(claims.rows[other]) for other in places if other != place)
        others = Series(tuple(islice(named, _MOST_NAMED)), more=max(0, n - _MOST_NAMED))
        yield Resolution(place, issue("target.duplicate", others=others, n=str(n)), None)


def _replace_by_last(claims: Claims, places: list[int]) -> Iterator[Resolution]:
    last = places[-1]
    for place in places[:-1]:
        if claims.hashes[place] != claims.hashes[last]:
            found = issue("target.overruled", other=str(claims.rows[last]))
            yield Resolution(place, found, last)


@dataclass(frozen=True, slots=True)
class SentRows:
    """Rows to send, after a comparison with rows sent earlier."""

    rows: tuple[CheckedRow, ...]
    overtaken: Mapping[int, int] = field(default_factory=dict)
    """Row not to send → the row further down that was sent already."""


def resolve_with_sent(
    rows: tuple[CheckedRow, ...],
    sent: Sequence[CheckedRow],
    same: Mapping[Name, Name],
    treatment: Treatment,
) -> SentRows:
    """Resolve conflicts between the rows to send and rows that were sent earlier.

    Args:
        rows: the rows to send; conflicts among them are resolved already.
        sent: rows of the sheet that an earlier run has sent.
        same: second name of a classroom → the name that is used.
        treatment: what the user chose for duplicates.

    """
    if not sent:
        return SentRows(rows)

    def classroom(row: Change) -> Name:
        name = (row.target.key, row.target.id, row.institution)
        return same.get(name, name)

    last = {classroom(row): row for row in sent if isinstance(row, Change)}
    rivals: defaultdict[Name, list[Change]] = defaultdict(list)
    for row in rows:
        if isinstance(row, Change) and classroom(row) in last:
            rivals[classroom(row)].append(row)
    instead: dict[int, CheckedRow] = {}
    overtaken: dict[int, int] = {}
    for name, changes in rivals.items():
        for change in _conflicting(changes, last[name]):
            # With `last` all rows of a classroom have the settings of the last one.
            place = changes[-1].row if treatment == "last" else change.row
            if treatment != "error" and place < last[name].row:
                overtaken[change.row] = last[name].row
            else:
                instead[change.row] = _with_conflict_issue(change, last[name], treatment)
    return SentRows(tuple([instead.get(row.row, row) for row in rows]), overtaken)


def _conflicting(changes: Iterable[Change], sent: Change) -> Iterator[Change]:
    return (change for change in changes if _wanted(change) != _wanted(sent))


def _with_conflict_issue(change: Change, sent: Change, treatment: Treatment) -> CheckedRow:
    """The row with the issue that another row with different settings was sent."""
    other = str(sent.row)
    if treatment == "error":
        found = issue("target.sent_already", row=change.row, other=other)
        return Invalid(change.row, (found, *change.issues), change.institution)
    found = issue("target.replaces", row=change.row, other=other)
    return replace(change, issues=(*change.issues, found))
