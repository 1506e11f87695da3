"""Rows to be sent, held against rows of the same sheet that an earlier run has sent already.

Of two rows that want different things of one classroom the one further down counts, where the user
chose an order; else the row to be sent is refused.  What was sent is never taken back unsaid.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bulkcast.model import Change, CheckedRow, Invalid, Target
from bulkcast.problems import issue
from bulkcast.validator.claims import Name
from bulkcast.validator.duplicates import Treatment, wish


@dataclass(frozen=True, slots=True)
class Held:
    """Rows to be sent, beside those that were."""

    rows: tuple[CheckedRow, ...]
    overtaken: Mapping[int, int] = field(default_factory=dict)
    """Row not to be sent → the row further down that was sent already."""


def held_against(
    rows: tuple[CheckedRow, ...],
    sent: Sequence[CheckedRow],
    same: Mapping[Name, Name],
    treatment: Treatment,
) -> Held:
    """What becomes of `rows`, which were settled among themselves.

    `sent` are rows of the sheet that are kept as an earlier run left them; `same` leads from a
    classroom's other name to the one that is used.
    """
    if not sent:
        return Held(rows)

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
    return Held(tuple([instead.get(row.row, row) for row in rows]), overtaken)


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
