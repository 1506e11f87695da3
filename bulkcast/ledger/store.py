"""Runs on disk: frozen when they begin, checked when they are read again."""

import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from bulkcast.errors import BulkcastError, CannotStart, LedgerDamaged, LedgerUnwritable
from bulkcast.known import Entry
from bulkcast.ledger import acknowledged, purging, recent
from bulkcast.ledger.ballast import Ballast
from bulkcast.ledger.claim import claimed_by
from bulkcast.ledger.journal import Keepsakes, RunJournal, Started
from bulkcast.ledger.mark import Mark, noted
from bulkcast.ledger.moments import Moment, Steady
from bulkcast.ledger.opening import UNREADABLE, connect, prepare
from bulkcast.ledger.place import network_drive, refuse_network_drive
from bulkcast.ledger.rows import (
    crc,
    end_crc,
    intent_crc,
    outcome_crc,
    pack_issues,
    pack_outcome,
    pack_request,
    pack_rows,
    pack_stop,
    pack_target,
    request_crc,
    unpack_issues,
    unpack_outcome,
    unpack_rows,
    unpack_stop,
)
from bulkcast.ledger.values import (
    FrozenRun,
    RunHeader,
    RunRecord,
    Stored,
    pack_header,
    unpack_header,
)
from bulkcast.model import (
    History,
    Institution,
    Issue,
    Outcome,
    Request,
    RequestKey,
    RowStatus,
    Stop,
    Target,
    Text,
    no_counts,
)
from bulkcast.plan import Plan

FILE_NAME: Final = "ledger.sqlite3"


class Ledger:
    """All runs under one `BULKCAST_HOME`."""

    def __init__(self, home: Path, drive_of: Callable[[Path], str] = network_drive) -> None:
        """Open the ledger, made where there is none.

        `drive_of` tells what kind of network drive a folder lies on.

        Raises:
            CannotStart: the folder cannot be used or lies on a network drive, or the file is of a
                newer version.
            LedgerDamaged: the file is no ledger, or a broken one.

        """
        self.home = home
        self.path = home / FILE_NAME
        refuse_network_drive(home, drive_of(home))
        prepare(self.path)
        self._connection = connect(self.path)
        self._is_whole = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def folder(self, run: str) -> Path:
        """Where a run keeps its copy of the sheet."""
        return self.home / "runs" / run

    # -------------------------------------------------------------- writing

    def create(
        self, header: RunHeader, plan: Plan, issues: Mapping[int, tuple[Issue, ...]]
    ) -> None:
        """Freeze a plan, whole or not at all."""
        run = header.run
        institution = header.institution
        frozen = (
            run,
            institution.root_url,
            institution.sid,
            float(header.created_at),
            pack_header(header),
        )
        with self._transaction() as connection:
            run_id = connection.execute(
                "INSERT INTO runs (run, root_url, sid, created_at, header, crc, end_crc)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*frozen, crc(*frozen), crc(None, None, None)),
            ).lastrowid
            connection.executemany(
                "INSERT INTO requests (run_id, seq, key, rows, n_rows, target, frozen, crc)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (_request_row(run_id, seq, request) for seq, request in enumerate(plan.requests)),
            )
            connection.executemany(
                "INSERT INTO settled (run_id, row, status, outcome, issues, crc)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (
                    _settled_row(run_id, row, plan.settled.get(row), issues.get(row, ()))
                    for row in sorted(plan.settled.keys() | issues.keys())
                ),
            )

    @contextmanager
    def journal(self, run: str, steady: Steady | None = None) -> Iterator[RunJournal]:
        """The journal of a run, with a connection of its own.

        `steady` is a clock that nobody sets; without one a clock that is set forward makes what
        was just sent look old.
        """
        with self._reading() as reader:
            run_id = self._id(run)
            places = {
                RequestKey(key): seq
                for seq, key in reader.execute(
                    "SELECT seq, key FROM requests WHERE run_id = ?", (run_id,)
                )
            }
            written, settled = self._counts(run_id)
        with closing(connect(self.path)) as connection, Mark(self.folder(run)) as mark:
            started = Started(self._boot(steady.boot), steady.tick) if steady else None
            keepsakes = Keepsakes(Ballast(self.home), mark, written, settled)
            keepsakes.ballast.keep()
            yield RunJournal(connection, run_id, places, started, keepsakes)

    def _counts(self, run_id: int) -> tuple[int, set[int]]:
        """How many intents a run has, and which of its requests have an outcome."""
        intents = self._connection.execute(
            "SELECT count(*) FROM attempts WHERE run_id = ?", (run_id,)
        ).fetchone()
        settled = self._connection.execute("SELECT seq FROM outcomes WHERE run_id = ?", (run_id,))
        return int(intents[0]), {seq for (seq,) in settled}

    def _boot(self, boot: str) -> int:
        """The ledger's number for a start of this computer."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO boots (boot, crc) VALUES (?, ?) ON CONFLICT DO NOTHING",
                (boot, crc(boot)),
            )
            found = connection.execute("SELECT id FROM boots WHERE boot = ?", (boot,)).fetchone()
        return int(found[0])

    def finish(self, run: str, stop: Stop | None, at: float) -> None:
        """Note that a run has ended, and why where it ended early."""
        self._set_end(run, float(at), pack_stop(stop))

    def reopen(self, run: str) -> None:
        """Note that a run goes on."""
        self._set_end(run, None, None)

    def _set_end(self, run: str, at: float | None, stop: str | None) -> None:
        with self._transaction() as connection:
            connection.execute(
                "UPDATE runs SET finished_at = ?, stop = ?, end_crc = ? WHERE run = ?",
                (at, stop, crc(at, stop, None), run),
            )

    def purge(self, runs: Sequence[str], at: float) -> None:
        """Take away what the rows of some runs held, beyond recovery; how they ended is left.

        Raises:
            LedgerUnwritable: another program is at work on the ledger, or its disk is full.

        """
        for run in runs:
            shutil.rmtree(self.folder(run), ignore_errors=True)
        with self._transaction() as connection:
            for run in runs:
                purging.forget(connection, self._id(run), float(at))
        try:
            purging.wipe(self._connection)
        except sqlite3.Error as exc:
            raise LedgerUnwritable(
                "the ledger {path} cannot be wiped now: {exc}; purge again later",
                path=self.path,
                exc=exc,
            ) from exc

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield self._connection
            self._connection.execute("COMMIT")
        except BaseException as exc:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            if isinstance(exc, sqlite3.Error):
                raise LedgerUnwritable(
                    "the ledger {path} cannot be written: {exc}", path=self.path, exc=exc
                ) from exc
            raise

    # -------------------------------------------------------------- reading

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Whatever a damaged file makes SQLite or a decoder say is one and the same thing."""
        try:
            yield self._connection
        except (sqlite3.Error, *UNREADABLE) as exc:
            if _is_busy(exc):
                raise BulkcastError(
                    "the ledger {path} cannot be read: {exc}", path=self.path, exc=exc
                ) from exc
            raise LedgerDamaged(
                "{path} is damaged ({exc}); its disk may be failing", path=self.path, exc=exc
            ) from exc

    def sent_lately(self, institution: Institution, now: Moment, within_s: float) -> list[float]:
        """How long ago any run sent for an institution, the longest ago first, in seconds.

        What cannot be told from something sent just now counts as that.
        """
        with self._reading() as connection:
            return recent.sends(connection, institution, now, within_s)

    def unanswered(self, institution: Institution, now: Moment) -> list[recent.Unanswered]:
        """What any run sent for an institution that may be carried out yet."""
        with self._reading() as connection:
            return recent.unanswered(connection, institution, now)

    def superseded(self, run: str) -> dict[RequestKey, str]:
        """The requests whose classroom a newer run may have set since, and the newest such run."""
        with self._reading() as connection:
            return dict(connection.execute(_SUPERSEDED, {"run_id": self._id(run)}).fetchall())

    def acknowledged(
        self, institution: Institution, targets: Iterable[Target]
    ) -> dict[Target, list[Entry]]:
        """What took effect at each of `targets`, or may have, the oldest first.

        Raises:
            LedgerDamaged: what is stored is not what was written.

        """
        with self._reading() as connection:
            self._look_it_over()
            try:
                return acknowledged.read(connection, institution, targets)
            except acknowledged.Damaged as exc:
                raise _damaged(exc.what) from exc

    def runs(self) -> list[RunRecord]:
        """Every run, the newest first."""
        with self._reading():
            return [self._record(run) for run in self._names()]

    def _names(self) -> list[str]:
        """The names of all runs, the newest first."""
        found = self._connection.execute("SELECT run FROM runs ORDER BY created_at DESC, run DESC")
        return [run for (run,) in found.fetchall()]

    def _record(self, run: str) -> RunRecord:
        row = self._connection.execute("SELECT * FROM runs WHERE run = ?", (run,)).fetchone()
        run_id, run, root_url, sid, created_at, packed, check, *end, end_check = row
        if crc(run, root_url, sid, created_at, packed) != check:
            raise _damaged(Text("run {run}", {"run": run}))
        if crc(*end) != end_check:
            raise _damaged(Text("the end of run {run}", {"run": run}))
        finished_at, stop, purged_at = end
        counts = no_counts()
        for status, n in self._connection.execute(_COUNT, {"run_id": run_id}):
            counts[RowStatus(status or RowStatus.NOT_SENT)] += n
        header = unpack_header(packed)
        under_way = finished_at is None and claimed_by(self.home, header.institution) == run
        return RunRecord(header, finished_at, unpack_stop(stop), counts, under_way, purged_at)

    def _id(self, run: str) -> int:
        found = self._connection.execute("SELECT id FROM runs WHERE run = ?", (run,)).fetchone()
        if found is None:
            raise self._no_run(run)
        return int(found[0])

    def newest(self, run: str = "") -> RunRecord:
        """The run named, by its full name or its beginning; the newest where none is named.

        Raises:
            CannotStart: there is none, or several begin so.
            LedgerDamaged: what is stored is not what was written.

        """
        with self._reading():
            found = [name for name in self._names() if name.startswith(run)]
            if not found:
                raise self._no_run(run)
            if run and len(found) > 1 and run not in found:
                names = ", ".join(found[:3])
                raise CannotStart(
                    "several runs begin with {run}: {names}; give more of the name",
                    run=run,
                    names=names,
                )
            return self._record(run if run in found else found[0])

    def _no_run(self, run: str) -> CannotStart:
        if not run:
            return CannotStart("there is no run yet in {path}", path=self.path)
        return CannotStart(
            "there is no run {run} in {path}; `bulkcast runs` lists them", run=run, path=self.path
        )

    def load(self, run: str) -> FrozenRun:
        """A run with everything in it, its checksums verified.

        Raises:
            CannotStart: it was purged.
            LedgerDamaged: what is stored is not what was written.

        """
        with self._reading():
            self._look_it_over()
            run_id = self._id(run)
            record = self._record(run)
            _refuse_purged(record)
            self._refuse_lost(run, run_id)
            stored, outcomes = self._requests(run_id)
            if len(stored) != record.header.n_requests:
                raise _damaged(Text("run {run}, of which requests are missing", {"run": run}))
            settled, issues = self._settled(run_id)
            history = self._history(run_id, outcomes)
        for request in stored:
            ended = outcomes.get(request.key)
            past = history.get(request.key, History())
            # A resumed request keeps its earlier outcome until it ends again.
            if ended is None or past.attempts > ended.attempts:
                outcomes[request.key] = _caught(past)
        frozen = FrozenRun(
            header=record.header,
            finished_at=record.finished_at,
            stop=record.stop,
            stored=stored,
            outcomes=outcomes,
            settled=settled,
            issues=issues,
            history=history,
        )
        if len(frozen.by_row()) != record.header.n_rows:
            raise _damaged(Text("run {run}, of which rows are missing", {"run": run}))
        return frozen

    def _look_it_over(self) -> None:
        """Once for each opening: a row that vanished has no checksum that could fail.

        What moved from its run to one that does not exist, likewise.  34 ms for a run of 20,000
        rows.
        """
        if not self._is_whole:
            (found,) = self._connection.execute("PRAGMA integrity_check(1)").fetchone()
            if found != "ok":
                raise LedgerDamaged(
                    "{path} is damaged ({found}); its disk may be failing",
                    path=self.path,
                    found=found,
                )
            if any(self._connection.execute(_STRAY).fetchone()):
                raise _damaged(Text("something of which the run is gone"))
        self._is_whole = True

    def _refuse_lost(self, run: str, run_id: int) -> None:
        """Compare with the note beside the ledger."""
        intents, settled = self._counts(run_id)
        known = noted(self.folder(run))
        lost = max(0, known.intents - intents), max(0, known.outcomes - len(settled))
        if any(lost):
            raise LedgerDamaged(
                "{path} has lost {sends} sends and {outcomes} outcomes of run {run}: the last "
                "part of its file or of the -wal beside it is gone; send the sheet again "
                "with `bulkcast apply`, which does no harm to what was applied",
                path=self.path,
                sends=lost[0],
                outcomes=lost[1],
                run=run,
            )

    def _requests(self, run_id: int) -> tuple[tuple[Stored, ...], dict[RequestKey, Outcome]]:
        stored = []
        outcomes: dict[RequestKey, Outcome] = {}
        for seq, key, rows, n_rows, target, frozen, check, *ended in self._connection.execute(
            "SELECT r.seq, key, rows, n_rows, target, frozen, r.crc,"
            " status, attempts, outcome, o.crc"
            " FROM requests AS r LEFT JOIN outcomes AS o USING (run_id, seq)"
            " WHERE run_id = ? ORDER BY r.seq",
            (run_id,),
        ):
            request = Stored(key, unpack_rows(rows), (rows, frozen))
            if request_crc(seq, key, rows, target, frozen) != check or n_rows != len(request.rows):
                raise _damaged(Text("request {key}", {"key": key}))
            stored.append(request)
            if ended[0] is not None:
                outcomes[key] = _outcome(run_id, seq, *ended)
        return tuple(stored), outcomes

    def _settled(self, run_id: int) -> tuple[dict[int, Outcome], dict[int, tuple[Issue, ...]]]:
        settled: dict[int, Outcome] = {}
        issues: dict[int, tuple[Issue, ...]] = {}
        for row, status, outcome, packed, check in self._connection.execute(
            "SELECT row, status, outcome, issues, crc FROM settled WHERE run_id = ? ORDER BY row",
            (run_id,),
        ):
            if crc(run_id, row, status, outcome, packed) != check:
                raise _damaged(Text("row {row}", {"row": str(row)}))
            issues[row] = unpack_issues(packed)
            if outcome is not None:
                settled[row] = unpack_outcome(outcome)
        return settled, issues

    def _history(
        self, run_id: int, outcomes: Mapping[RequestKey, Outcome]
    ) -> dict[RequestKey, History]:
        """What was tried for requests that are not over, by key.

        The last attempt of a request has no end of its own: where an outcome counts it, it ended
        with that; where none does, its program died while it was under way.
        """
        history: dict[RequestKey, History] = {}
        for key, *found in self._connection.execute(
            "SELECT key, run_id, seq, number, stamp, ahead_s, boot, tick, a.crc,"
            " ended, code, ambiguous, a.end_crc"
            " FROM attempts AS a JOIN requests USING (run_id, seq)"
            " LEFT JOIN outcomes AS o USING (run_id, seq)"
            " WHERE run_id = ? AND COALESCE(o.status, 'not_sent') IN ('not_sent', 'unconfirmed')"
            " ORDER BY seq, number",
            (run_id,),
        ):
            fields, check, end = found[:7], found[7], found[8:]
            number = fields[2]
            past = history.get(key, History())
            if intent_crc(tuple(fields)) != check or number != past.attempts + 1:
                raise _damaged(Text("the attempts of request {key}", {"key": key}))
            ambiguous = _may_have_been_applied(number, outcomes.get(key), end)
            history[key] = History(number, past.ambiguous or ambiguous)
        return history


_STRAY: Final = """
    SELECT EXISTS (SELECT 1 FROM outcomes LEFT JOIN requests AS r USING (run_id, seq)
                   WHERE r.key IS NULL),
           EXISTS (SELECT 1 FROM attempts LEFT JOIN requests AS r USING (run_id, seq)
                   WHERE r.key IS NULL),
           EXISTS (SELECT 1 FROM settled LEFT JOIN runs AS r ON r.id = run_id WHERE r.id IS NULL)
"""

_SUPERSEDED: Final = """
    SELECT mine.key, newer.run
    FROM requests AS mine JOIN runs AS ours ON ours.id = mine.run_id
    JOIN requests AS theirs ON theirs.target = mine.target AND theirs.run_id > mine.run_id
    JOIN runs AS newer ON newer.id = theirs.run_id
        AND newer.root_url = ours.root_url AND newer.sid = ours.sid
    LEFT JOIN outcomes AS o ON o.run_id = theirs.run_id AND o.seq = theirs.seq
    WHERE mine.run_id = :run_id AND (o.status IN ('applied', 'unconfirmed') OR EXISTS (
        SELECT 1 FROM attempts AS a WHERE a.run_id = theirs.run_id AND a.seq = theirs.seq
        AND COALESCE(a.ambiguous, a.number > COALESCE(o.attempts, 0))
    ))
    ORDER BY newer.id
"""
"""What a newer run may have set is overtaken too: an older body would take it back."""

_COUNT: Final = """
    SELECT CASE WHEN COALESCE(status, 'not_sent') = 'not_sent' AND EXISTS (
        SELECT 1 FROM attempts AS a WHERE a.run_id = r.run_id AND a.seq = r.seq
        AND COALESCE(a.ambiguous, a.number > COALESCE(o.attempts, 0))
    ) THEN 'unconfirmed' ELSE status END AS ended, SUM(n_rows)
    FROM requests AS r LEFT JOIN outcomes AS o USING (run_id, seq)
    WHERE run_id = :run_id GROUP BY ended
    UNION ALL
    SELECT status, COUNT(*) FROM settled
    WHERE run_id = :run_id AND status IS NOT NULL GROUP BY status
"""


def _outcome(run_id: int, seq: int, status: str, attempts: int, packed: str, check: int) -> Outcome:
    """A stored outcome; the columns that SQL counts by must say the same as it does."""
    outcome = unpack_outcome(packed)
    if outcome_crc(run_id, seq, packed) != check or (status, attempts) != (
        outcome.status,
        outcome.attempts,
    ):
        raise _damaged(Text("an outcome"))
    return outcome


def _may_have_been_applied(number: int, outcome: Outcome | None, end: Sequence[Any]) -> bool:
    """Whether an attempt that is not known to have failed may have come through."""
    ended, code, ambiguous, check = end
    if any(column is not None for column in end):
        if end_crc(number, ended, code, ambiguous) != check:
            raise _damaged(Text("an attempt"))
        return bool(ambiguous)
    if outcome is None or number != outcome.attempts:  # its program died while it was under way
        return True
    return outcome.status is RowStatus.UNCONFIRMED


def _caught(history: History) -> Outcome:
    """How a request ends whose program died before it could say."""
    if history.ambiguous:
        return Outcome(RowStatus.UNCONFIRMED, "send.crashed", attempts=history.attempts)
    return Outcome(RowStatus.NOT_SENT, "run.interrupted", attempts=history.attempts)


def _damaged(what: Text) -> LedgerDamaged:
    return LedgerDamaged(
        "the ledger does not hold {what} as it was written; its disk may be failing", what=what
    )


def _refuse_purged(record: RunRecord) -> None:
    if record.purged_at is not None:
        day = datetime.fromtimestamp(record.purged_at, UTC).date()
        raise CannotStart(
            "run {run} was purged on {day}: how many of its rows ended how is all that "
            "is left; begin anew with `bulkcast apply`",
            run=record.header.run,
            day=day,
        )


def _is_busy(exc: Exception) -> bool:
    """Whether another process holds the file: nothing is wrong with it then."""
    return getattr(exc, "sqlite_errorcode", 0) & 0xFF in {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
    }


def _request_row(run_id: int | None, seq: int, request: Request) -> tuple[object, ...]:
    frozen, rows, target = (
        pack_request(request),
        pack_rows(request.rows),
        pack_target(request.target),
    )
    check = request_crc(seq, request.key, rows, target, frozen)
    return (run_id, seq, request.key, rows, len(request.rows), target, frozen, check)


def _settled_row(
    run_id: int | None, row: int, outcome: Outcome | None, issues: Sequence[Issue]
) -> tuple[object, ...]:
    packed = pack_outcome(outcome) if outcome else None
    status = str(outcome.status) if outcome else None
    found = pack_issues(tuple(issues))
    return (run_id, row, status, packed, found, crc(run_id, row, status, packed, found))
