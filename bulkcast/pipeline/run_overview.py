"""How far runs have come: lists them, looks at one, names its newest failures; all cheap."""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bulkcast.dispatcher import Progress
from bulkcast.dispatcher.circuit_breaker import BreakerState
from bulkcast.endpoints import WEBCAST
from bulkcast.home import Home
from bulkcast.i18n import header_names
from bulkcast.languages import translator
from bulkcast.ledger import (
    End,
    FailedRequest,
    Ledger,
    RunHeader,
    RunRecord,
    Standing,
    holder,
    is_begun,
    open_ledger,
)
from bulkcast.messages import result_row
from bulkcast.model import Institution, ResultRow, RowStatus, Target, Text, no_counts
from bulkcast.pipeline import run_group
from bulkcast.pipeline.options import zone
from bulkcast.pipeline.preparation import one_spelling


@dataclass(frozen=True, slots=True)
class SomeRuns:
    """Some of the runs of an institution, newest first."""

    records: tuple[RunRecord, ...]
    total: int
    """How many there are."""


def some_runs(
    home: Home,
    *,
    institution: Institution | None = None,
    and_groups: bool = False,
    first: int = 0,
    most: int = 20,
) -> SomeRuns:
    """At most `most` runs from the one at position `first`; creates no ledger.

    The runs of a group are one.  `institution` is whose runs are meant, None for all; with
    `and_groups` every group is meant, too.
    """
    if not is_begun(home):
        return SomeRuns((), 0)
    whose = one_spelling(institution) if institution else None
    with open_ledger(home) as ledger:
        found, total = ledger.some_runs(whose, first, most, and_groups=and_groups)
    return SomeRuns(tuple(map(run_group.as_one, found)), total)


def run_end(home: Home, run: str) -> End | None:
    """When the run, or group, of exactly this name ended; None if there is none.

    It counts no rows.
    """
    if not is_begun(home):
        return None
    with open_ledger(home) as ledger:
        found = run_group.exactly(ledger, run)
        return run_group.end(ledger, found) if found else None


@dataclass(frozen=True, slots=True)
class RunState:
    """A run, or a group of runs, and how far it has come."""

    record: RunRecord
    standing: Standing
    held_by: Text | None
    """What holds its institution now; None if nothing does."""
    parts: tuple["RunState", ...] = ()
    """Those of a group."""

    @property
    def progress(self) -> Progress:
        """How far it has come, as far as the ledger shows: not what delays it."""
        ended = self.standing.requested
        done = sum(n for status, n in ended.items() if status is not RowStatus.NOT_SENT)
        return Progress(
            counts=ended, rows=sum(ended.values()) + self.standing.waiting, requests=done,
            rate=math.inf, retrying=0, breaker_state=BreakerState.CLOSED, held_s=0.0, open_s=0.0,
        )  # fmt: skip


def run_state(home: Home, run: str, state: Path | None = None) -> RunState | None:
    """The state of the run, or group, of exactly this name; None if there is none.

    `state` is the folder that the users of this computer share.
    """
    if not is_begun(home):
        return None
    with open_ledger(home) as ledger:
        return state_in(ledger, run, state)


def state_in(ledger: Ledger, run: str, state: Path | None = None) -> RunState | None:
    """As `run_state`, in an open ledger."""
    found = run_group.exactly(ledger, run)
    if found is None:
        return None
    states = [_state_of(ledger, ledger.newest(name), state) for name in found.names]
    return joined_states(states) if found.parts else states[0]


def _state_of(ledger: Ledger, record: RunRecord, state: Path | None) -> RunState:
    header = record.header
    held_by = holder(ledger.home, header.institution, state) if not record.finished_at else None
    return RunState(record, ledger.standing(header.run), held_by)


def joined_states(states: Sequence[RunState]) -> RunState:
    """The state of a group."""
    settled: Counter[RowStatus] = Counter()
    requested: Counter[RowStatus] = Counter()
    for each in states:
        settled.update(each.standing.settled)
        requested.update(each.standing.requested)
    waiting = sum(each.standing.waiting for each in states)
    record = run_group.as_one(each.record for each in states)
    open_ = [each for each in states if each.record.finished_at is None]
    held = [each.held_by for each in open_ if each.held_by]
    hinders = record.under_way or len(held) == len(open_)  # else the others can go on
    standing = Standing(settled, requested, waiting)
    return RunState(record, standing, held[0] if held and hinders else None, tuple(states))


@dataclass(frozen=True, slots=True)
class Base:
    """What a run had come to when it began or went on, to be added to its progress."""

    ended: Mapping[RowStatus, int]
    """Rows that are not sent in this part of the run."""
    open: int
    """Rows that are, or that a newer run has superseded."""

    @classmethod
    def of_group(cls, state: RunState, sent: Collection[str]) -> "Base":
        """Of a run, or of a group of which only the runs `sent` are sent."""
        ended: Counter[RowStatus] = Counter()
        open_ = 0
        for part in state.parts or (state,):
            own = cls.of(part.standing)
            if state.parts and part.record.header.run not in sent:
                own = cls(part.record.counts, 0)
            ended.update(own.ended)
            open_ += own.open
        return cls(ended, open_)

    @classmethod
    def of(cls, standing: Standing) -> "Base":
        """Rows that were sent and confirmed stay as they are; all others are sent."""
        ended = Counter(standing.settled)
        open_ = standing.waiting
        for status, n in standing.requested.items():
            if status in _OPEN:
                open_ += n
            else:
                ended[status] += n
        return cls(ended, open_)

    def plus(self, counts: Mapping[RowStatus, int], rows: int) -> dict[RowStatus, int]:
        """The counts of all rows of the run; `counts` are those of `rows` rows being sent."""
        total = Counter(self.ended)
        total.update(counts)
        total[RowStatus.SUPERSEDED] += self.open - rows
        total[RowStatus.NOT_SENT] += rows - sum(counts.values())
        return {status: total[status] for status in no_counts()}


_OPEN: Final = frozenset({RowStatus.UNCONFIRMED, RowStatus.NOT_SENT})


@dataclass(frozen=True, slots=True)
class FailedRow:
    """A row that did not succeed."""

    classroom: Target
    row: ResultRow


def newest_failures(home: Home, run: str, *, most: int = 20, lang: str = "en") -> list[FailedRow]:
    """The rows of a run, or a group, that failed last, newest first.

    One for rows that share a request.
    """
    with open_ledger(home) as ledger:
        found = run_group.exactly(ledger, run)
        names = found.names if found else ()
        failed = [
            (ledger.newest(name).header, failure)
            for name in names
            for failure in ledger.failures(name, most)
        ]
    failed.sort(key=lambda each: each[1].outcome.at or 0.0, reverse=True)
    return [_failed_row(header, failure, lang) for header, failure in failed[:most]]


def _failed_row(header: RunHeader, failure: FailedRequest, lang: str) -> FailedRow:
    rows, target, outcome = failure
    speaks = translator(lang).with_headers(header_names(header.headers, WEBCAST, header.mapping))
    row = result_row(
        rows[0], outcome, (),
        endpoint=WEBCAST, run=header.run, tz=zone(header.tz), translator=speaks,
    )  # fmt: skip
    return FailedRow(target, row)
