"""Runs on disk: frozen when they begin, checked when they are read again."""

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Self

from bulkcast.errors import CannotStart, LedgerDamaged
from bulkcast.ledger.journal import RunJournal
from bulkcast.ledger.rows import (
    crc,
    dump,
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
    no_counts,
)
from bulkcast.plan import Plan

FILE_NAME: Final = "ledger.sqlite3"
VERSION: Final = 1
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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def _connect(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(
                self.path, timeout=30.0, isolation_level=None, check_same_thread=False
            )
            _set_up(connection)
        except sqlite3.OperationalError as exc:
            raise CannotStart(f"the ledger {self.path} cannot be opened: {exc}") from exc
        except sqlite3.DatabaseError as exc:
            raise LedgerDamaged(
                f"{self.path} is damaged or no ledger ({exc}); move it away to begin a new one"
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
        packed = dump(_header_fields(header))
        check = crc(run, institution.root_url, institution.sid, header.created_at, packed)
        first = (run, institution.root_url, institution.sid, header.created_at, packed, check)
        with self._transaction() as connection:
            run_id = connection.execute(
                "INSERT INTO runs (run, root_url, sid, created_at, header, crc)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                first,
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
        run_id, connection = self._id(run), self._connect()
        places = {
            RequestKey(key): seq
            for seq, key in connection.execute(
                "SELECT seq, key FROM requests WHERE run_id = ?", (run_id,)
            )
        }
        try:
            yield RunJournal(connection, run_id, places)
        finally:
            connection.close()

    def finish(self, run: str, stop: Stop | None, at: float) -> None:
        """Note that a run has ended, and why where it ended early."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE runs SET finished_at = ?, stop = ? WHERE run = ?",
                (at, pack_stop(stop), run),
            )

    def reopen(self, run: str) -> None:
        """Note that a run goes on."""
        with self._transaction() as connection:
            connection.execute(
                "UPDATE runs SET finished_at = NULL, stop = NULL WHERE run = ?", (run,)
            )

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    # -------------------------------------------------------------- reading

    def recent_stamps(self, institution: Institution, since: float) -> list[float]:
        """When requests were sent for an institution by any run since then, oldest first."""
        found = self._connection.execute(
            "SELECT stamp FROM attempts JOIN runs ON run_id = id"
            " WHERE stamp > ? AND root_url = ? AND sid = ? ORDER BY stamp",
            (since, institution.root_url, institution.sid),
        )
        return [stamp for (stamp,) in found]

    def runs(self) -> list[RunRecord]:
        """Every run, the newest first."""
        rows = self._connection.execute("SELECT * FROM runs ORDER BY created_at DESC, run DESC")
        return [self._record(row) for row in rows.fetchall()]

    def _record(self, row: tuple[Any, ...]) -> RunRecord:
        run_id, run, root_url, sid, created_at, packed, check, finished_at, stop = row
        if crc(run, root_url, sid, created_at, packed) != check:
            raise _damaged(f"run {run}")
        counts = no_counts()
        for status, n in self._connection.execute(_COUNT, {"run_id": run_id}):
            counts[RowStatus(status or RowStatus.NOT_SENT)] += n
        return RunRecord(_header(packed), finished_at, unpack_stop(stop), counts)

    def _id(self, run: str) -> int:
        (run_id,) = self._connection.execute("SELECT id FROM runs WHERE run = ?", (run,)).fetchone()
        return int(run_id)

    def newest(self, run: str = "") -> RunRecord:
        """The run named, by its full name or its beginning; the newest where none is named.

        Raises:
            CannotStart: there is none, or several begin so.

        """
        found = [record for record in self.runs() if record.header.run.startswith(run)]
        if not found:
            what = f"no run {run}" if run else "no run yet"
            raise CannotStart(f"there is {what} in {self.path}; `bulkcast runs` lists them")
        if run and len(found) > 1 and found[0].header.run != run:
            names = ", ".join(record.header.run for record in found[:3])
            raise CannotStart(f"several runs begin with {run}: {names}; give more of the name")
        return found[0]

    def load(self, run: str) -> FrozenRun:
        """A run with everything in it, its checksums verified.

        Raises:
            LedgerDamaged: what is stored is not what was written.

        """
        record = self.newest(run)
        run_id = self._id(record.header.run)
        stored, outcomes = self._requests(run_id)
        settled, issues = self._settled(run_id)
        if len(stored) != record.header.n_requests:
            raise _damaged(f"run {run}, of which requests are missing")
        history = self._history(run_id)
        for request in stored:
            ended = outcomes.get(request.key)
            past = history.get(request.key, History())
            # A resumed request keeps its earlier outcome until it ends again.
            if ended is None or past.attempts > ended.attempts:
                outcomes[request.key] = _caught(past)
        return FrozenRun(
            header=record.header,
            finished_at=record.finished_at,
            stop=record.stop,
            stored=stored,
            outcomes=outcomes,
            settled=settled,
            issues=issues,
            history=history,
        )

    def _requests(self, run_id: int) -> tuple[tuple[Stored, ...], dict[RequestKey, Outcome]]:
        stored = []
        outcomes: dict[RequestKey, Outcome] = {}
        for seq, key, rows, frozen, check, outcome, ended_check in self._connection.execute(
            "SELECT r.seq, key, rows, frozen, r.crc, outcome, o.crc"
            " FROM requests AS r LEFT JOIN outcomes AS o USING (run_id, seq)"
            " WHERE run_id = ? ORDER BY r.seq",
            (run_id,),
        ):
            if request_crc(seq, key, rows, frozen) != check:
                raise _damaged(f"request {key}")
            stored.append(Stored(key, unpack_rows(rows), (rows, frozen)))
            if outcome is not None:
                if outcome_crc(seq, outcome) != ended_check:
                    raise _damaged(f"the outcome of request {key}")
                outcomes[key] = unpack_outcome(outcome)
        return tuple(stored), outcomes

    def _settled(self, run_id: int) -> tuple[dict[int, Outcome], dict[int, tuple[Issue, ...]]]:
        settled: dict[int, Outcome] = {}
        issues: dict[int, tuple[Issue, ...]] = {}
        for row, status, outcome, packed, check in self._connection.execute(
            "SELECT row, status, outcome, issues, crc FROM settled WHERE run_id = ? ORDER BY row",
            (run_id,),
        ):
            if crc(row, status, outcome, packed) != check:
                raise _damaged(f"row {row}")
            issues[row] = unpack_issues(packed)
            if outcome is not None:
                settled[row] = unpack_outcome(outcome)
        return settled, issues

    def _history(self, run_id: int) -> dict[RequestKey, History]:
        """What was tried for requests that are not over, by key.

        The last attempt of a request has no end of its own: where an outcome counts it, it ended
        with that; where none does, its program died while it was under way.
        """
        found = self._connection.execute(
            "SELECT key, MAX(number), MAX(COALESCE(a.ambiguous, number > COALESCE(o.attempts, 0)))"
            " OR COALESCE(o.status = 'unconfirmed', 0)"
            " FROM attempts AS a JOIN requests USING (run_id, seq)"
            " LEFT JOIN outcomes AS o USING (run_id, seq)"
            " WHERE run_id = ? AND COALESCE(o.status, 'not_sent') IN ('not_sent', 'unconfirmed')"
            " GROUP BY seq",
            (run_id,),
        )
        return {RequestKey(key): History(n, bool(ambiguous)) for key, n, ambiguous in found}


_COUNT: Final = """
    SELECT status, SUM(n_rows) FROM requests LEFT JOIN outcomes USING (run_id, seq)
    WHERE run_id = :run_id GROUP BY status
    UNION ALL
    SELECT status, COUNT(*) FROM settled
    WHERE run_id = :run_id AND status IS NOT NULL GROUP BY status
"""


def _caught(history: History) -> Outcome:
    """How a request ends whose program died before it could say."""
    if history.ambiguous:
        return Outcome(RowStatus.UNCONFIRMED, "send.crashed", attempts=history.attempts)
    return Outcome(RowStatus.NOT_SENT, "run.interrupted", attempts=history.attempts)


def _damaged(what: str) -> LedgerDamaged:
    return LedgerDamaged(
        f"the ledger does not hold {what} as it was written; its disk may be failing"
    )


def _prepare(path: Path) -> None:
    """Make folder and file, readable by their owner alone; -wal and -shm inherit the mode."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as exc:
        raise CannotStart(
            f"{path.parent} cannot be written ({exc.strerror});"
            " set BULKCAST_HOME to a folder that can"
        ) from exc


def _set_up(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == 0:
        _create(connection)
    elif version > VERSION:
        raise CannotStart(
            f"the ledger is of version {version} and this bulkcast reads up to {VERSION};"
            " install the newer bulkcast"
        )


def _create(connection: sqlite3.Connection) -> None:
    schema = (files("bulkcast.ledger") / "schema.sql").read_text(encoding="utf-8")
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables != (0,):
        raise sqlite3.DatabaseError("it holds another program's tables")
    connection.executescript(
        f"BEGIN;{schema};PRAGMA application_id = {_APPLICATION_ID};"
        f"PRAGMA user_version = {VERSION};COMMIT;"
    )


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
