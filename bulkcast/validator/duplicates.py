"""Rows of one sheet that set the same classroom."""

from collections.abc import Iterator
from itertools import islice
from typing import Final, Literal, NamedTuple

from bulkcast.model import Body, Change, Issue
from bulkcast.problems import issue
from bulkcast.validator.claims import Claims
from bulkcast.wording import AND_MORE

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
