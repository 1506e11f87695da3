"""Runs on disk: frozen when they begin, checked when they are read again."""

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Self

from bulkcast.errors import BulkcastError, CannotStart, LedgerDamaged
from bulkcast.ledger.claim import claimed_by
from bulkcast.ledger.journal import RunJournal
from bulkcast.ledger.rows import (
    crc,
    dump,
    end_crc,
    intent_crc,
    outcome_crc,
    pack_issues,
    pack_outcome,
    pack_request,
    pack_rows,
    pack_stop,
    request_crc,
    unpack_issues,
    unpack_outcome,
    unpack_request,
    unpack_rows,
    unpack_stop,
)
from bulkcast.model import (
    History,
    Institution,
    Issue,
    Layout,
    Outcome,
    Request,
    RequestKey,
    RowStatus,
    Stop,
    Text,
    no_counts,
)
from bulkcast.plan import Plan

FILE_NAME: Final = "ledger.sqlite3"
VERSION: Final = 1
_UNREADABLE: Final = (ValueError, TypeError, LookupError, AttributeError)
"""What a decoder says to bytes that were never written so; even SQLite's own messages may quote
such bytes."""
_APPLICATION_ID: Final = 0x62756C6B  # "bulk": tells a ledger from any other SQLite file


@dataclass(frozen=True, slots=True)
class RunHeader:
    """What a run was made from; written once."""

    run: str
    institution: Institution
    created_at: float
    sheet: str
    """The path of the user's file as given."""
    snapshot: str
    """The name, under the run's folder, of the copy of that file as it was read."""
    sha256: str
    layout: Layout
    headers: tuple[str, ...]
    n_rows: int
    n_requests: int
    target: str
    """Where the result sheet goes."""
    tz: str
    mapping: Mapping[str, str] = field(default_factory=dict)
    """Headers that the user said the meaning of."""
    parent: str = ""
    """The run this one resumes or resubmits; empty for a first one."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A line of the list of runs."""

    header: RunHeader
    finished_at: float | None
    """None while it runs, and for ever after a crash."""
    stop: Stop | None
    counts: Mapping[RowStatus, int]
    under_way: bool = False
    """Whether a program is at work on it now."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One request as it lies in the ledger, unread but for its rows."""

    key: RequestKey
    rows: tuple[int, ...]
    packed: tuple[str, str]


@dataclass(frozen=True)
class FrozenRun:
    """A run as the ledger has it."""

    header: RunHeader
    finished_at: float | None
    stop: Stop | None
    stored: tuple[Stored, ...]
    outcomes: Mapping[RequestKey, Outcome]
    """How each request ended; one that was under way when its program died is unconfirmed."""
    settled: Mapping[int, Outcome]
    issues: Mapping[int, tuple[Issue, ...]]
    history: Mapping[RequestKey, History]
    """What was tried, for the requests that could be resumed."""

    @cached_property
    def requests(self) -> tuple[Request, ...]:
        """In sending order."""
        return tuple(unpack_request(s.key, *s.packed) for s in self.stored)

    def by_row(self) -> dict[int, Outcome]:
        """Row → how it ended, for every row of the run."""
        ended = dict(self.settled)
        for request in self.stored:
            ended.update(dict.fromkeys(request.rows, self.outcomes[request.key]))
        return dict(sorted(ended.items()))


class Ledger:
    """All runs under one `BULKCAST_HOME`."""

    def __init__(self, home: Path) -> None:
        """Open the ledger, made where there is none.

        Raises:
            CannotStart: the folder cannot be used, or the file is of a newer version.
            LedgerDamaged: the file is no ledger, or a broken one.

        """
        self.home = home
        self.path = home / FILE_NAME
        _prepare(self.path)
        self._connection = self._connect()
        self._is_whole = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def _connect(self) -> sqlite3.Connection:
        try:
            with ExitStack() as closing:
                connection = sqlite3.connect(
                    self.path, timeout=30.0, isolation_level=None, check_same_thread=False
                )
                closing.callback(connection.close)
                _set_up(connection)
                closing.pop_all()
        except sqlite3.OperationalError as exc:
            raise CannotStart(
                "the ledger {path} cannot be opened: {exc}", path=self.path, exc=exc
            ) from exc
        except (sqlite3.Error, *_UNREADABLE) as exc:
            raise LedgerDamaged(
                "{path} is damaged or no ledger ({exc}); move it away to begin a new one",
                path=self.path,
                exc=exc,
            ) from exc
        return connection

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
            dump(_header_fields(header)),
        )
        with self._transaction() as connection:
            run_id = connection.execute(
                "INSERT INTO runs (run, root_url, sid, created_at, header, crc, end_crc)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*frozen, crc(*frozen), crc(None, None)),
            ).lastrowid
            connection.executemany(
                "INSERT INTO requests (run_id, seq, key, rows, n_rows, frozen, crc)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
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
    def journal(self, run: str) -> Iterator[RunJournal]:
        """The journal of a run, with a connection of its own."""
        with self._reading() as reader:
            run_id = self._id(run)
            places = {
                RequestKey(key): seq
                for seq, key in reader.execute(
                    "SELECT seq, key FROM requests WHERE run_id = ?", (run_id,)
                )
            }
        connection = self._connect()
        try:
            yield RunJournal(connection, run_id, places)
        finally:
            connection.close()

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
                (at, stop, crc(at, stop), run),
            )

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
                raise BulkcastError(
                    "the ledger {path} cannot be written: {exc}", path=self.path, exc=exc
                ) from exc
            raise

    # -------------------------------------------------------------- reading

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Whatever a damaged file makes SQLite or a decoder say is one and the same thing."""
        try:
            yield self._connection
        except (sqlite3.Error, *_UNREADABLE) as exc:
            if _is_busy(exc):
                raise BulkcastError(
                    "the ledger {path} cannot be read: {exc}", path=self.path, exc=exc
                ) from exc
            raise LedgerDamaged(
                "{path} is damaged ({exc}); its disk may be failing", path=self.path, exc=exc
            ) from exc

    def recent_stamps(self, institution: Institution, since: float) -> list[float]:
        """When requests were sent for an institution by any run since then, oldest first."""
        with self._reading() as connection:
            found = connection.execute(
                "SELECT stamp FROM attempts JOIN runs ON run_id = id"
                " WHERE stamp > ? AND root_url = ? AND sid = ? ORDER BY stamp",
                (since, institution.root_url, institution.sid),
            )
            return [stamp for (stamp,) in found]

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
        run_id, run, root_url, sid, created_at, packed, check, finished_at, stop, end_check = row
        if crc(run, root_url, sid, created_at, packed) != check:
            raise _damaged(Text("run {run}", {"run": run}))
        if crc(finished_at, stop) != end_check:
            raise _damaged(Text("the end of run {run}", {"run": run}))
        counts = no_counts()
        for status, n in self._connection.execute(_COUNT, {"run_id": run_id}):
            counts[RowStatus(status or RowStatus.NOT_SENT)] += n
        header = _header(packed)
        under_way = finished_at is None and claimed_by(self.home, header.institution) == run
        return RunRecord(header, finished_at, unpack_stop(stop), counts, under_way)

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
            LedgerDamaged: what is stored is not what was written.

        """
        with self._reading():
            self._look_it_over()
            run_id = self._id(run)
            record = self._record(run)
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

        34 ms for a run of 20,000 rows.
        """
        if not self._is_whole:
            (found,) = self._connection.execute("PRAGMA integrity_check(1)").fetchone()
            if found != "ok":
                raise LedgerDamaged(
                    "{path} is damaged ({found}); its disk may be failing",
                    path=self.path,
                    found=found,
                )
        self._is_whole = True

    def _requests(self, run_id: int) -> tuple[tuple[Stored, ...], dict[RequestKey, Outcome]]:
        stored = []
        outcomes: dict[RequestKey, Outcome] = {}
        for seq, key, rows, n_rows, frozen, check, *ended in self._connection.execute(
            "SELECT r.seq, key, rows, n_rows, frozen, r.crc, status, attempts, outcome, o.crc"
            " FROM requests AS r LEFT JOIN outcomes AS o USING (run_id, seq)"
            " WHERE run_id = ? ORDER BY r.seq",
            (run_id,),
        ):
            request = Stored(key, unpack_rows(rows), (rows, frozen))
            if request_crc(seq, key, rows, frozen) != check or n_rows != len(request.rows):
                raise _damaged(Text("request {key}", {"key": key}))
            stored.append(request)
            if ended[0] is not None:
                outcomes[key] = _outcome(seq, *ended)
        return tuple(stored), outcomes

    def _settled(self, run_id: int) -> tuple[dict[int, Outcome], dict[int, tuple[Issue, ...]]]:
        settled: dict[int, Outcome] = {}
        issues: dict[int, tuple[Issue, ...]] = {}
        for row, status, outcome, packed, check in self._connection.execute(
            "SELECT row, status, outcome, issues, crc FROM settled WHERE run_id = ? ORDER BY row",
            (run_id,),
        ):
            if crc(row, status, outcome, packed) != check:
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
        for key, seq, number, stamp, check, *end in self._connection.execute(
            "SELECT key, seq, number, stamp, a.crc, ended, code, ambiguous, a.end_crc"
            " FROM attempts AS a JOIN requests USING (run_id, seq)"
            " LEFT JOIN outcomes AS o USING (run_id, seq)"
            " WHERE run_id = ? AND COALESCE(o.status, 'not_sent') IN ('not_sent', 'unconfirmed')"
            " ORDER BY seq, number",
            (run_id,),
        ):
            past = history.get(key, History())
            if intent_crc(run_id, seq, number, stamp) != check or number != past.attempts + 1:
                raise _damaged(Text("the attempts of request {key}", {"key": key}))
            ambiguous = _may_have_been_applied(number, outcomes.get(key), end)
            history[key] = History(number, past.ambiguous or ambiguous)
        return history


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


def _outcome(seq: int, status: str, attempts: int, packed: str, check: int) -> Outcome:
    """A stored outcome; the columns that SQL counts by must say the same as it does."""
    outcome = unpack_outcome(packed)
    if outcome_crc(seq, packed) != check or (status, attempts) != (
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
    if outcome is None or number > outcome.attempts:
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


def _prepare(path: Path) -> None:
    """Make folder and file, readable by their owner alone; -wal and -shm inherit the mode."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as exc:
        raise CannotStart(
            "{folder} cannot be written ({why}); set BULKCAST_HOME to a folder that can",
            folder=path.parent,
            why=exc.strerror,
        ) from exc


def _set_up(connection: sqlite3.Connection) -> None:
    """Look before anything is changed: the file may be another program's."""
    if _version(connection) == 0:
        _create(connection)
    if (version := _version(connection)) > VERSION:
        raise CannotStart(
            "the ledger is of version {version} and this bulkcast reads up to "
            "{known}; install the newer bulkcast",
            version=version,
            known=VERSION,
        )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _version(connection: sqlite3.Connection) -> int:
    """Of a ledger, from 1 on; 0 for a file that nothing was written to yet."""
    connection.execute("BEGIN")  # all three of one moment: another program may be making it
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    connection.execute("COMMIT")
    if (owner, version > 0) != (_APPLICATION_ID, True) and (owner, version, tables) != (0, 0, 0):
        raise sqlite3.DatabaseError("it is another program's")
    return int(version)


def _create(connection: sqlite3.Connection) -> None:
    schema = (files("bulkcast.ledger") / "schema.sql").read_text(encoding="utf-8")
    try:
        connection.executescript(
            f"BEGIN EXCLUSIVE;{schema};PRAGMA application_id = {_APPLICATION_ID};"
            f"PRAGMA user_version = {VERSION};COMMIT;"
        )
    except sqlite3.OperationalError:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if _version(connection) == 0:  # otherwise another program was faster
            raise


def _is_busy(exc: Exception) -> bool:
    """Whether another process holds the file: nothing is wrong with it then."""
    return getattr(exc, "sqlite_errorcode", 0) & 0xFF in {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
    }


def _header_fields(header: RunHeader) -> dict[str, object]:
    return asdict(header)


def _header(packed: str) -> RunHeader:
    found = json.loads(packed)
    found["institution"] = Institution(**found["institution"])
    found["layout"] = Layout(**found["layout"])
    found["headers"] = tuple(found["headers"])
    return RunHeader(**found)


def _request_row(run_id: int | None, seq: int, request: Request) -> tuple[object, ...]:
    frozen, rows = pack_request(request), pack_rows(request.rows)
    check = request_crc(seq, request.key, rows, frozen)
    return (run_id, seq, request.key, rows, len(request.rows), frozen, check)


def _settled_row(
    run_id: int | None, row: int, outcome: Outcome | None, issues: Sequence[Issue]
) -> tuple[object, ...]:
    packed = pack_outcome(outcome) if outcome else None
    status = str(outcome.status) if outcome else None
    found = pack_issues(tuple(issues))
    return (run_id, row, status, packed, found, crc(row, status, packed, found))
