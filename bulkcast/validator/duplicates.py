"""Rows of one sheet that set the same classroom."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final, Literal

from bulkcast.model import Body, Change, CheckedRow, Invalid, Target
from bulkcast.problems import issue
from bulkcast.validator.rows import Judged
from bulkcast.wording import AND_MORE

Treatment = Literal["error", "in-order", "last"]
_MOST_NAMED: Final = 10


def settled(judged: Sequence[Judged], treatment: Treatment) -> tuple[CheckedRow, ...]:
    """The rows, once those that contradict each other are treated as asked.

    Rows that want the same of a classroom never contradict each other.
    """
    if treatment == "in-order":
        return tuple(one.row for one in judged)
    settle = _refuse if treatment == "error" else _overrule
    instead: dict[int, CheckedRow] = {}
    for changes in _contradictions(judged):
        instead.update((change.row, change) for change in settle(changes))
    return tuple([instead.get(one.row.row, one.row) for one in judged])


def _contradictions(judged: Sequence[Judged]) -> Iterator[list[Change]]:
    """The changes of each classroom that is to be set in more than one way, in sheet order."""
    classroom = classrooms(judged)
    changes = [one.row for one in judged if isinstance(one.row, Change)]
    seen: set[tuple[str, int]] = set()
    several: set[tuple[str, int]] = set()
    for change in changes:
        name = classroom(change.target)
        (several if name in seen else seen).add(name)
    by_target: defaultdict[tuple[str, int], list[Change]] = defaultdict(list)
    for change in changes if several else ():
        if (name := classroom(change.target)) in several:
            by_target[name].append(change)
    for rivals in by_target.values():
        if len(set(map(wish, rivals))) > 1:
            yield rivals


def classrooms(judged: Iterable[Judged]) -> Callable[[Target], tuple[str, int]]:
    """What names a classroom: the same for both of its ids, where any of these rows gives both."""
    both = ((one.row.target, one.also) for one in judged if isinstance(one.row, Change))
    same = {_name(also): _name(target) for target, also in both if also is not None}

    def classroom(target: Target) -> tuple[str, int]:
        return same.get(_name(target), _name(target))

    return classroom


def _name(target: Target) -> tuple[str, int]:
    return target.key, target.id


def wish(change: Change) -> Body:
    """All that a change asks for, but for the name of the classroom."""
    return tuple(pair for pair in change.body if pair[0] != change.target.key)


def _refuse(changes: list[Change]) -> Iterator[CheckedRow]:
    for change in changes:
        others = [str(other.row) for other in changes if other is not change]
        named = ", ".join(others[:_MOST_NAMED])
        if len(others) > _MOST_NAMED:
            named = AND_MORE.format(rows=named, n=len(others) - _MOST_NAMED)
        found = issue("target.duplicate", row=change.row, others=named, n=str(len(others)))
        yield Invalid(change.row, (found, *change.issues))


def _overrule(changes: list[Change]) -> Iterator[CheckedRow]:
    last = changes[-1]
    for change in changes[:-1]:
        if wish(change) == wish(last):
            continue
        found = issue("target.overruled", row=change.row, other=str(last.row))
        yield replace(last, row=change.row, issues=(*change.issues, found))
