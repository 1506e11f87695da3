"""Runs that belong together: what a sheet for several institutions came to, as one run."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from bulkcast.ledger import End, FrozenRun, Ledger, RunHeader, RunRecord, matching
from bulkcast.model import Institution, Stop, group_of, no_counts


@dataclass(frozen=True, slots=True)
class RunGroup:
    """What a name means: a run, or the runs of a group."""

    run: str
    """The name of the run, or of the group."""
    parts: tuple[str, ...] = ()
    """The names of the group's runs in their order; empty for a run."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the runs."""
        return self.parts or (self.run,)


@dataclass(frozen=True, slots=True)
class GroupRecord(RunRecord):
    """A group as one line of the list of runs; its header says of which institutions it is."""

    parts: tuple[RunRecord, ...] = ()


@dataclass(frozen=True)
class FrozenGroup(FrozenRun):
    """A group as one run; its header says of which institutions it is."""

    parts: tuple[FrozenRun, ...] = ()


def named(ledger: Ledger, run: str) -> RunGroup:
    """What `run`, a name or a part of one, stands for; the newest run or group if it is empty.

    Raises:
        CannotStart: there is no such run, or several match.
        LedgerDamaged: a checksum does not match.

    """
    names = ledger.names()
    found = set(matching(names, run) if run else names[:1])
    group = group_of(min(found, default=""))
    if group and run not in names:
        parts = [name for name in names if group_of(name) == group]
        if not run or found == set(parts):
            return RunGroup(group, tuple(sorted(parts, key=_number)))
    return RunGroup(ledger.newest(run).header.run)


def exactly(ledger: Ledger, run: str) -> RunGroup | None:
    """The run, or the group, of exactly this name; None if there is none."""
    if ledger.end(run) is not None:
        return RunGroup(run)
    parts = [name for name in ledger.names(f"{run}-") if group_of(name) == run]
    return RunGroup(run, tuple(sorted(parts, key=_number))) if parts else None


def end(ledger: Ledger, found: RunGroup) -> End:
    """When a run ended, or the last of a group."""
    ends = [one for name in found.names if (one := ledger.end(name))]
    return End(_last(one.finished_at for one in ends), _last(one.purged_at for one in ends))


def record(ledger: Ledger, found: RunGroup) -> RunRecord:
    """A run, or a group, as one line of the list of runs.

    Raises:
        LedgerDamaged: a checksum does not match.

    """
    records = [ledger.newest(name) for name in found.names]
    return as_one(records) if found.parts else records[0]


def as_one(records: Iterable[RunRecord]) -> RunRecord:
    """The record of the only run if it is of no group, else one of the group that they all are."""
    parts = sorted(records, key=lambda each: _number(each.header.run))
    group = parts[0].header.group
    if not group:
        return parts[0]
    return GroupRecord(
        header=header_of(group, [part.header for part in parts]),
        finished_at=_last(part.finished_at for part in parts),
        stop=gravest(part.stop for part in parts),
        counts={status: sum(part.counts[status] for part in parts) for status in no_counts()},
        under_way=any(part.under_way for part in parts),
        purged_at=_last(part.purged_at for part in parts),
        parts=tuple(parts),
    )


def _last(moments: Iterable[float | None]) -> float | None:
    """The last of some moments; None if one is still to come."""
    found = list(moments)
    known = [moment for moment in found if moment is not None]
    return max(known) if known and len(known) == len(found) else None


def _number(part: str) -> int:
    return int(part.rpartition("-")[2]) if group_of(part) else 0


def load(
    ledger: Ledger, run: str, *, with_requests: bool = False, purged: bool = False
) -> FrozenRun:
    """Load a run, or a group as one; with `purged` also what is left of one that was purged.

    Raises:
        CannotStart: there is no such run, or it was purged.
        LedgerDamaged: a checksum does not match.

    """
    found = named(ledger, run)
    read = ledger.remains if purged else ledger.load
    loaded = [read(name, with_requests=with_requests) for name in found.names]
    return joined(found.run, loaded) if found.parts else loaded[0]


def with_waiting(ledger: Ledger, frozen: FrozenRun) -> FrozenRun:
    """The run for people to look at: rows that are still to come are not interrupted ones."""
    if isinstance(frozen, FrozenGroup):
        return joined(frozen.header.run, [with_waiting(ledger, part) for part in frozen.parts])
    record = ledger.record(frozen.header.run)
    if record is None or not record.under_way:
        return frozen
    waits = {
        key: replace(outcome, code="run.waiting") if outcome.code == "run.interrupted" else outcome
        for key, outcome in frozen.outcomes.items()
    }
    return replace(frozen, outcomes=waits)


def header_of(group: str, headers: Sequence[RunHeader]) -> RunHeader:
    """The header of a group as one run."""
    whose = [header.institution for header in headers if header.institution.sid]
    return replace(
        headers[0],
        run=group,
        group="",
        profile="",
        institution=Institution(
            ", ".join(dict.fromkeys(each.root_url for each in whose)),
            ", ".join(dict.fromkeys(each.sid for each in whose)),
        ),
        n_rows=sum(each.n_rows for each in headers),
        n_requests=sum(each.n_requests for each in headers),
    )


def joined(group: str, parts: Sequence[FrozenRun]) -> FrozenGroup:
    """The runs of a group as one; each has rows of its own."""
    purged = [part.purged_at for part in parts if part.purged_at is not None]
    return FrozenGroup(
        header=header_of(group, [part.header for part in parts]),
        finished_at=_last(part.finished_at for part in parts),
        stop=gravest(part.stop for part in parts),
        stored=tuple(stored for part in parts for stored in part.stored),
        outcomes={key: outcome for part in parts for key, outcome in part.outcomes.items()},
        settled={row: outcome for part in parts for row, outcome in part.settled.items()},
        issues={row: issues for part in parts for row, issues in part.issues.items()},
        history={key: past for part in parts for key, past in part.history.items()},
        purged_at=max(purged, default=None),
        parts=tuple(parts),
    )


_GRAVEST_FIRST: Final = (143, 130, 1, 6, 5, 7, 4, 3, 0)
"""Exit statuses; an interrupt comes first, as it ended every part."""


def worst(statuses: Iterable[int]) -> int:
    """The exit status for several runs.

    >>> worst([0, 3, 6, 4]), worst([])
    (6, 0)
    """
    return min(statuses, key=_GRAVEST_FIRST.index, default=0)


def gravest(stops: Iterable[Stop | None]) -> Stop | None:
    """The stop that decides the exit status; None if no run was stopped."""
    found = [stop for stop in stops if stop is not None]
    return min(found, key=lambda s: _GRAVEST_FIRST.index(s.exit_status), default=None)
