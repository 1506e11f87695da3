"""All runs of a home: what every ledger can be asked, whichever database keeps it."""

import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol, Self

from bulkcast.errors import LedgerGone
from bulkcast.home import Home
from bulkcast.ledger import history, run_progress, run_records
from bulkcast.ledger.codec import FrozenRun, RunHeader, RunRecord
from bulkcast.ledger.connection import Connection
from bulkcast.ledger.history import MonotonicClock, Timestamp
from bulkcast.ledger.integrity import RUNS
from bulkcast.ledger.lock import Sends
from bulkcast.model import Attempt, Institution, Intent, Issue, RequestKey, Stop, Target
from bulkcast.planner import Plan
from bulkcast.planner.last_known import Acknowledgement

if TYPE_CHECKING:
    from bulkcast.ledger.group_commit import LaneClaim


class Journal(Protocol):
    """Where a run records its requests; both calls return once it is safely stored.

    Either raises `LedgerUnwritable` if it is not: then nothing more may be sent.
    """

    async def record_intent(self, intents: Sequence[Intent]) -> None:
        """Store that these requests are about to be sent."""

    async def record(self, attempts: Sequence[Attempt]) -> None:
        """Store how these attempts ended; with an outcome, how their requests ended."""


class Ledger(ABC):
    """All runs of one home; a context manager that closes it."""

    _connection: Connection
    is_wiped_alone: ClassVar[bool]
    """Whether a purge has to wait until no run is under way."""

    def __init__(self, home: Home, place: str) -> None:
        """`place` names the ledger in messages."""
        self.home = home
        self.place = place

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Close the ledger."""

    def folder(self, run: str) -> Path:
        """The folder with a run's copy of the sheet."""
        return self.home / RUNS / run

    def sheet(self, header: RunHeader) -> Path:
        """The copy of a run's sheet, as it was read."""
        return self.folder(header.run) / header.snapshot

    # -------------------------------------------------------------- what differs

    @abstractmethod
    def gone(self) -> LedgerGone | None:
        """The error if the ledger's files were removed or replaced since they were opened."""

    @abstractmethod
    def examine(self) -> None:
        """Check before a run that the ledger is undamaged and can be written.

        Raises:
            LedgerDamaged: it is damaged.
            LedgerUnwritable: it cannot be written now, or its disk is full.

        """

    @abstractmethod
    def journal(
        self,
        run: str,
        steady: MonotonicClock | None = None,
        claim: "Sends | LaneClaim | None" = None,
    ) -> AbstractContextManager[Journal]:
        """The journal of a run, with its own connection.

        `steady` is a monotonic clock; without one, setting the clock forward makes recent sends
        look old.  `claim` is what allows to send: it shows the sends to other users of this
        computer, or refuses what is recorded once another worker sends.
        """

    @abstractmethod
    def sent_lately(self, institution: Institution, now: Timestamp, within_s: float) -> list[float]:
        """Ages in seconds of the requests any run sent for an institution, oldest first.

        If the age of a request is unknown, it counts as just sent.
        """

    @abstractmethod
    def unanswered(self, institution: Institution, now: Timestamp) -> list[history.Unanswered]:
        """The attempts of any run for an institution that ClassIn may still carry out."""

    @abstractmethod
    def _transaction(self) -> AbstractContextManager[Connection]:
        """Store all that is done in the block, or nothing of it.

        Raises:
            LedgerUnwritable: nothing was stored.

        """

    @abstractmethod
    def _reading(self) -> AbstractContextManager[Connection]:
        """A connection to read with; damage becomes LedgerDamaged."""

    @abstractmethod
    def _snapshot(self) -> AbstractContextManager[Connection]:
        """One snapshot for several queries, even while a run is writing."""

    @abstractmethod
    def _check_once(self) -> None:
        """Check the whole ledger, once for each opening."""

    @abstractmethod
    def _refuse_lost_entries(self, run: str = "*") -> None:
        """Refuse a ledger that has lost entries of a run, or of any."""

    @abstractmethod
    def _wipe(self) -> None:
        """Remove copies of what was erased."""

    @abstractmethod
    def _is_under_way(self, header: RunHeader) -> bool:
        """Whether a program works on a run that has not ended."""

    # -------------------------------------------------------------- writing

    def create(
        self, header: RunHeader, plan: Plan, issues: Mapping[int, tuple[Issue, ...]]
    ) -> None:
        """Store a new run with its plan in one transaction."""
        with self._transaction() as connection:
            run_records.freeze(connection, header, plan, issues)

    def finish(self, run: str, stop: Stop | None, at: float) -> None:
        """Store that a run has ended, and why if it ended early."""
        with self._transaction() as connection:
            run_records.set_end(connection, run, float(at), stop)

    def reopen(self, run: str) -> None:
        """Store that a run goes on."""
        with self._transaction() as connection:
            run_records.set_end(connection, run, None, None)

    def purge(self, runs: Sequence[str], at: float) -> None:
        """Erase the row contents of some runs for good; how the rows ended is kept.

        Raises:
            LedgerUnwritable: another program is using the ledger, or its disk is full.

        """
        for run in runs:
            shutil.rmtree(self.folder(run), ignore_errors=True)
        with self._transaction() as connection:
            for run in runs:
                self._erase(connection, self._id(run), float(at))
        self._wipe()

    def _erase(self, connection: Connection, run_id: int, at: float) -> None:
        """Erase what the run's rows contained."""
        run_records.erase(connection, run_id, at)

    # -------------------------------------------------------------- reading

    def superseded(self, run: str) -> dict[RequestKey, str]:
        """Requests whose classroom a newer run has set, or may have → the newest such run."""
        with self._reading() as connection:
            return history.superseded(connection, self._id(run))

    def acknowledged(
        self, institution: Institution, targets: Iterable[Target]
    ) -> dict[Target, list[Acknowledgement]]:
        """The requests that took effect at each of `targets`, or may have; oldest first.

        Raises:
            LedgerDamaged: a checksum does not match.

        """
        with self._reading() as connection:
            self._check_once()
            return history.acknowledged(connection, institution, targets)

    def runs(self) -> list[RunRecord]:
        """Every run, newest first."""
        with self._snapshot() as connection:
            names = run_records.names(connection)
            return [run_records.record(connection, run, self._is_under_way) for run in names]

    def some_runs(
        self, institution: Institution | None, first: int, most: int, *, and_groups: bool
    ) -> tuple[list[list[RunRecord]], int]:
        """Some runs, newest first from the one at position `first`, and how many there are.

        The runs of a group stand together, and count as one.  `institution` is whose runs are
        meant, None for all; with `and_groups` every group is meant, too.
        """
        place = (institution.root_url, institution.sid) if institution else None
        with self._snapshot() as connection:
            found, total = run_progress.newest(
                connection, place, first, most, and_groups=and_groups
            )
            records = [
                [run_records.record(connection, run, self._is_under_way) for run in names]
                for names in found
            ]
            return records, total

    def record(self, run: str) -> RunRecord | None:
        """The run of exactly this name; None if there is none."""
        with self._snapshot() as connection:
            name = (run_records.askable(run),)
            found = connection.execute("SELECT 1 FROM runs WHERE run = ?", name).fetchone()
            return run_records.record(connection, run, self._is_under_way) if found else None

    def end(self, run: str) -> run_progress.End | None:
        """When a run ended, without counting its rows; None if there is no such run."""
        with self._reading() as connection:
            return run_progress.end(connection, run)

    def standing(self, run: str) -> run_progress.Standing:
        """How many rows of a run ended how, so far."""
        with self._snapshot() as connection:
            return run_progress.standing(connection, self._id(run))

    def failures(self, run: str, most: int) -> list[run_progress.FailedRequest]:
        """The requests of a run that failed last, newest first."""
        with self._snapshot() as connection:
            return run_progress.failures(connection, self._id(run), most)

    def targets(self, run: str) -> dict[int, Target]:
        """Row → its classroom, for the rows of a run that had a request."""
        with self._snapshot() as connection:
            return run_progress.targets(connection, self._id(run))

    def names(self, begins: str = "") -> list[str]:
        """The names of all runs, or of those that begin so, newest first."""
        with self._snapshot() as connection:
            return run_records.names(connection, begins)

    def ended(self, run: str) -> list[run_records.Ended]:
        """Counts of how the rows of a run ended, without loading them."""
        with self._reading() as connection:
            return run_records.ended(connection, self._id(run), run)

    def left(self, run: str) -> int:
        """Number of rows still to be sent: those not sent or not confirmed."""
        with self._reading() as connection:
            return run_records.left(connection, self._id(run))

    def newest(self, run: str = "") -> RunRecord:
        """The run that `run`, a name or a part of one, stands for; the newest if it is empty.

        Raises:
            CannotStart: there is no such run, or several match.
            LedgerDamaged: a checksum does not match.

        """
        with self._snapshot() as connection:
            chosen = run_records.chosen(run_records.names(connection), run, self.place)
            return run_records.record(connection, chosen, self._is_under_way)

    def _id(self, run: str) -> int:
        name = (run_records.askable(run),)
        found = self._connection.execute("SELECT id FROM runs WHERE run = ?", name).fetchone()
        if found is None:
            raise run_records.no_run(run, self.place)
        return int(found[0])

    def load(self, run: str, *, with_requests: bool = True) -> FrozenRun:
        """Load a run, its checksums verified.

        The contents of requests take the most memory; without them requests cannot be sent or
        compared.

        Raises:
            CannotStart: the run was purged.
            LedgerDamaged: a checksum does not match.

        """
        frozen = self.remains(run, with_requests=with_requests)
        if frozen.purged_at is not None:
            raise run_records.was_purged(frozen)
        return frozen

    def remains(self, run: str, *, with_requests: bool = False) -> FrozenRun:
        """Load a run even if it was purged; then only how its rows ended is left.

        Raises:
            LedgerDamaged: a checksum does not match.

        """
        self._check_once()
        self._refuse_lost_entries(run)
        with self._snapshot() as connection:
            run_id = self._id(run)
            record = run_records.record(connection, run, self._is_under_way)
            return run_records.load(connection, run_id, record, with_requests=with_requests)
