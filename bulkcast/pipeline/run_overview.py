"""How far runs have come: lists them, looks at one, names its newest failures; all cheap."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bulkcast.dispatcher import Progress
from bulkcast.dispatcher.circuit_breaker import BreakerState
from bulkcast.endpoints import WEBCAST
from bulkcast.home import Home
from bulkcast.i18n import header_names
from bulkcast.languages import translator
from bulkcast.ledger import End, Ledger, RunRecord, Standing, holder, is_begun, open_ledger
from bulkcast.messages import result_row
from bulkcast.model import UNFINISHED, Institution, ResultRow, RowStatus, Target, Text, no_counts
from bulkcast.pipeline.options import zone
from bulkcast.pipeline.preparation import one_spelling


@dataclass(frozen=True, slots=True)
class SomeRuns:
    """Some of the runs of an institution, newest first."""

    records: tuple[RunRecord, ...]
    total: int
    """How many there are."""


def some_runs(
    home: Home, *, institution: Institution | None = None, first: int = 0, most: int = 20
) -> SomeRuns:
    """At most `most` runs from the one at position `first`; creates no ledger.

    `institution` is whose runs are meant; None for all.
    """
    if not is_begun(home):
        return SomeRuns((), 0)
    whose = one_spelling(institution) if institution else None
    with open_ledger(home) as ledger:
        records, total = ledger.some_runs(whose, first, most)
    return SomeRuns(tuple(records), total)


def run_end(home: Home, run: str) -> End | None:
    """When the run of exactly this name ended; None if there is none.  It counts no rows."""
    if not is_begun(home):
        return None
    with open_ledger(home) as ledger:
        return ledger.end(run)


@dataclass(frozen=True, slots=True)
class RunState:
    """A run and how far it has come."""

    record: RunRecord
    standing: Standing
    held_by: Text | None
    """What holds its institution now; None if nothing does."""

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
    """The state of the run of exactly this name; None if there is none.

    `state` is the folder that the users of this computer share.
    """
    if not is_begun(home):
        return None
    with open_ledger(home) as ledger:
        return state_in(ledger, run, state)


def state_in(ledger: Ledger, run: str, state: Path | None = None) -> RunState | None:
    """As `run_state`, in an open ledger."""
    record = ledger.record(run)
    if record is None:
        return None
    institution = record.header.institution
    held_by = holder(ledger.home, institution, state) if not record.finished_at else None
    return RunState(record, ledger.standing(run), held_by)


@dataclass(frozen=True, slots=True)
class Base:
    """What a run had come to when it began or went on, to be added to its progress."""

    ended: Mapping[RowStatus, int]
    """Rows that are not sent in this part of the run."""
    open: int
    """Rows that are, or that a newer run has superseded."""

    @classmethod
    def of(cls, standing: Standing) -> "Base":
        """Rows that were sent and confirmed stay as they are; all others are sent."""
        ended = Counter(standing.settled)
        open_ = standing.waiting
        for status, n in standing.requested.items():
            if status in UNFINISHED:
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


@dataclass(frozen=True, slots=True)
class FailedRow:
    """A row that did not succeed."""

    classroom: Target
    row: ResultRow


def newest_failures(home: Home, run: str, *, most: int = 20, lang: str = "en") -> list[FailedRow]:
    """The rows of a run that failed last, newest first; one for rows that share a request."""
    with open_ledger(home) as ledger:
        record = ledger.record(run)
        failed = ledger.failures(run, most)
    if record is None:
        return []
    header = record.header
    speaks = translator(lang).with_headers(header_names(header.headers, WEBCAST, header.mapping))
    tz = zone(header.tz)
    return [
        FailedRow(
            target,
            result_row(rows[0], outcome, (), endpoint=WEBCAST, run=run, tz=tz, translator=speaks),
        )
        for rows, target, outcome in failed
    ]
