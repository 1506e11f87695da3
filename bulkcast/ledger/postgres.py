"""The ledger in a PostgreSQL database, which several computers share."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import errors, sql

from bulkcast.database_url import (
    LOST,
    UNUSABLE,
    connect,
    connection_string,
    reason,
    shown,
    unreachable,
    unusable,
)
from bulkcast.errors import CannotStart, LedgerDamaged, LedgerGone, LedgerUnwritable, system_reason
from bulkcast.home import Home, SharedHome, make_private, write_private
from bulkcast.ledger import queue, run_records
from bulkcast.ledger.codec import RunHeader, crc, intent_crc, unpack_request, unpack_text
from bulkcast.ledger.connection import Connection, Cursor
from bulkcast.ledger.group_commit import (
    GroupCommit,
    LaneClaim,
    SharedJournal,
    lane_lost,
    unwritable,
)
from bulkcast.ledger.history import MonotonicClock, Timestamp, Unanswered
from bulkcast.ledger.integrity import UNREADABLE, damaged
from bulkcast.ledger.journal import JournalRows
from bulkcast.ledger.lock import Sends, canonical
from bulkcast.ledger.store import Journal, Ledger
from bulkcast.model import Institution, Issue, RequestKey, Stop, Target, Text
from bulkcast.planner import Plan
from bulkcast.planner.last_known import Acknowledgement
from bulkcast.protocol import STAMP_LIFE_S, expires_after

_STEPS: Final = ("schema_postgres.sql", "schema_postgres_2.sql")
"""What makes each version of the tables from the one before; the first makes them."""
VERSION: Final = len(_STEPS)
_EMPTIED: Final = ("sheets", "remarks")
"""The tables of which a purge leaves nothing of a run."""
_WIPED: Final = ("requests", "outcomes", "settled", *_EMPTIED)

# The name of an SQL parameter as SQLite has it, but not a cast.
_PLACEHOLDER: Final = re.compile(r"\?|(?<!:):([a-z_]+)")


@cache
def _translated(statement: str) -> str:
    """A statement with psycopg's placeholders.

    >>> _translated("SELECT 1 WHERE a = ? AND b = :run_id")
    'SELECT 1 WHERE a = %s AND b = %(run_id)s'
    """
    return _PLACEHOLDER.sub(lambda m: f"%({m[1]})s" if m[1] else "%s", statement)


class _Translating:
    """A connection that takes the ledger's statements."""

    def __init__(self, connection: "psycopg.Connection[Any]") -> None:
        self._inner = connection

    def execute(
        self, statement: str, parameters: Sequence[Any] | Mapping[str, Any] = (), /
    ) -> Cursor:
        return self._inner.execute(_translated(statement), parameters)

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]], /) -> object:
        cursor = self._inner.cursor()
        cursor.executemany(_translated(statement), rows)
        return cursor


def create_schema(database: str) -> None:
    """Make the ledger's tables, or bring those of an older version up to date.

    Raises:
        CannotStart: the database cannot be used, or its ledger is of a newer version.
        DatabaseUnreachable: it is out of reach.

    """
    with _started(database), connect(database) as connection, connection.transaction():
        # Two who begin together: the second one waits and finds the tables.
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        for step in _STEPS[_version(connection, database) :]:
            connection.execute((files("bulkcast.ledger") / step).read_bytes())


_LOCK: Final = 0x62756C6B
"""The advisory lock of whoever changes the tables."""


def _version(connection: "psycopg.Connection[Any]", database: str) -> int:
    """The version of the ledger's tables; 0 where there are none.

    Raises:
        CannotStart: it is newer.

    """
    if not connection.execute("SELECT to_regclass('ledger_version')").fetchone()[0]:  # type: ignore[index] # one row
        return 0
    (version,) = connection.execute("SELECT version FROM ledger_version").fetchone()  # type: ignore[misc] # one row
    if version > VERSION:
        raise CannotStart(
            "the ledger in {database} is of version {version} and this bulkcast reads up to "
            "{known}; install the newer bulkcast",
            database=shown(database),
            version=version,
            known=VERSION,
        )
    return int(version)


def _require_made(connection: "psycopg.Connection[Any]", database: str) -> None:
    """Raise CannotStart if a database has no ledger, or one of another version."""
    version = _version(connection, database)
    if 0 < version < VERSION:
        raise CannotStart(
            "the ledger in {database} was made by an older bulkcast; bring it up to date with"
            " `bulkcast fleet init`, and have all workers run the same bulkcast",
            database=shown(database),
        )
    if version == 0:
        raise CannotStart(
            "there is no ledger in {database} yet; make it with `bulkcast fleet init`",
            database=shown(database),
        )


@contextmanager
def _started(database: str) -> Iterator[None]:
    """Turn errors of a database that cannot be used into ours."""
    try:
        yield
    except LOST as exc:
        raise unreachable(database, exc) from exc
    except psycopg.Error as exc:
        raise unusable(database, exc) from exc


class PostgresLedger(Ledger):
    """All runs in a database that several computers share."""

    is_wiped_alone = False

    def __init__(self, home: Home) -> None:
        """Connect to the database.

        Raises:
            CannotStart: it cannot be used, has no ledger yet, or one of another version.
            DatabaseUnreachable: it is out of reach.

        """
        if not isinstance(home, SharedHome):
            raise TypeError("a folder alone names no database")
        super().__init__(home, shown(home.database))
        try:
            make_private(home.folder)
        except OSError as exc:
            raise CannotStart(
                "{folder} cannot be written ({why}); set BULKCAST_HOME to a folder that can",
                folder=home.folder,
                why=system_reason(exc),
            ) from exc
        self._database = home.database
        with _started(home.database):
            self._raw = connect(home.database)
        with ExitStack() as opened:
            opened.callback(self._raw.close)
            with _started(home.database):
                _require_made(self._raw, home.database)
            opened.pop_all()
        self._connection: Connection = _Translating(self._raw)

    def close(self) -> None:
        """Close the connection."""
        self._raw.close()

    def gone(self) -> LedgerGone | None:
        """Nothing: a database does not vanish while it is used."""
        return None

    def sheet(self, header: RunHeader) -> Path:
        """The copy of a run's sheet, fetched if it is not on this computer."""
        path = super().sheet(header)
        if not path.exists():
            with self._reading() as connection:
                found = connection.execute(
                    "SELECT content FROM sheets JOIN runs ON id = run_id WHERE run = ?",
                    (header.run,),
                ).fetchone()
            if found:
                write_private(path, bytes(found[0]))
        return path

    # -------------------------------------------------------------- writing

    def create(
        self, header: RunHeader, plan: Plan, issues: Mapping[int, tuple[Issue, ...]]
    ) -> None:
        """Store a new run with its plan and its sheet in one transaction."""
        copy = super().sheet(header)
        with self._transaction() as connection:
            run_id = run_records.freeze(connection, header, plan, issues)
            if copy.is_file():
                connection.execute(
                    "INSERT INTO sheets (run_id, content) VALUES (?, ?)",
                    (run_id, copy.read_bytes()),
                )

    @contextmanager
    def journal(
        self,
        run: str,
        steady: MonotonicClock | None = None,  # noqa: ARG002 - the database's clock counts here
        claim: Sends | LaneClaim | None = None,
    ) -> Iterator[Journal]:
        """The journal of a run, fenced by the lane in `claim`."""
        if isinstance(claim, LaneClaim):
            yield self.lane_journal(run, claim)
            return
        with GroupCommit(lambda: connect(self._database)) as commits:
            yield SharedJournal(self._rows(run), commits, None)

    def lane_journal(self, run: str, claim: LaneClaim) -> SharedJournal:
        """The journal of a run, fenced by a lane; it works on once this ledger is closed."""
        return SharedJournal(self._rows(run), claim.commits, claim)

    def _rows(self, run: str) -> JournalRows:
        with self._reading() as connection:
            run_id = self._id(run)
            found = connection.execute("SELECT seq, key FROM requests WHERE run_id = ?", (run_id,))
            return JournalRows(run_id, {RequestKey(key): seq for seq, key in found})

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with self._raw.transaction():
                yield self._connection
        except psycopg.Error as exc:
            raise unwritable(exc) from exc

    def reopen(self, run: str) -> None:
        """Let a run go on: what was not sent or not confirmed waits for a worker again.

        Nothing changes for one that somebody else has just reopened, or purged.
        """
        with self._transaction() as connection:
            if not connection.execute(_ENDED, (run,)).fetchone():
                return
            queue.reopen(connection, self._id(run))
            run_records.set_end(connection, run, None, None)

    def finish_in_lane(self, run: str, stop: Stop | None, claim: LaneClaim) -> None:
        """Store that a run has ended, by the database's clock, if its lane is still ours.

        Raises:
            LaneLost: another worker has it now.
            LedgerUnwritable: it could not be stored.

        """
        with self._transaction() as connection:
            held = connection.execute(_HELD, (claim.institution,)).fetchone()
            epoch, at = held or (None, None)
            if epoch != claim.epoch:
                raise lane_lost(claim.institution)
            run_records.set_end(connection, run, at, stop)

    @contextmanager
    def submitting(self, institutions: Iterable[Institution]) -> Iterator[None]:
        """Wait until nobody else submits runs for these institutions, and keep others out.

        What was checked in the block still holds when a run is created in it.

        Raises:
            LedgerUnwritable: somebody else has been submitting for a minute.
            DatabaseUnreachable: the database is out of reach.

        """
        # A transaction of its own holds the locks: a pooler may give each other statement another
        # session, so those of a session would stay behind in it.
        with _started(self._database):
            guard = psycopg.connect(connection_string(self._database))
        with closing(guard):
            try:
                guard.execute("SELECT set_config('lock_timeout', '60s', true)")
                for lane in sorted(map(canonical, institutions)):
                    guard.execute(_ALONE, ("bulkcast submits", lane))
            except errors.LockNotAvailable as exc:
                raise LedgerUnwritable(
                    "somebody else has been handing in a run for the same institution for a minute;"
                    " try again later"
                ) from exc
            except psycopg.Error as exc:
                raise unreachable(self._database, exc) from exc
            yield

    def together(self) -> AbstractContextManager[object]:
        """Store all runs that are created in the block, or none of them.

        Raises:
            LedgerUnwritable: nothing was stored.

        """
        return self._transaction()

    def _erase(self, connection: Connection, run_id: int, at: float) -> None:
        super()._erase(connection, run_id, at)
        for table in _EMPTIED:
            connection.execute(f"DELETE FROM {table} WHERE run_id = ?", (run_id,))  # noqa: S608 - constants

    def _wipe(self) -> None:
        """Make room of what was erased; copies in the server's log and backups are its owner's."""
        try:
            for table in _WIPED:
                self._raw.execute(sql.SQL("VACUUM {}").format(sql.Identifier(table)))
        except psycopg.Error as exc:
            raise unwritable(exc) from exc

    # -------------------------------------------------------------- reading

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        try:
            yield self._connection
        except psycopg.OperationalError as exc:
            raise LedgerUnwritable(
                "the shared ledger cannot be read: {why}", why=reason(exc)
            ) from exc
        except UNUSABLE as exc:
            raise unusable(self._database, exc) from exc
        except (psycopg.Error, *UNREADABLE) as exc:
            raise LedgerDamaged(
                "{path} is damaged ({exc}); its disk may be failing", path=self.place, exc=exc
            ) from exc

    @contextmanager
    def _snapshot(self) -> Iterator[Connection]:
        with self._reading() as connection, self._raw.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield connection

    def acknowledged(
        self, institution: Institution, targets: Iterable[Target]
    ) -> dict[Target, list[Acknowledgement]]:
        """As in `Ledger`; at the end what still waits to be sent, and will take effect last."""
        wanted = list(targets)
        found = super().acknowledged(institution, wanted)
        with self._reading() as connection:
            for target, doubt in queue.waiting_for(connection, institution, wanted):
                found.setdefault(target, []).append(doubt)
        return found

    def open_institutions(self) -> frozenset[str]:
        """The institutions with runs that have not ended, as `canonical` spells them."""
        with self._reading() as connection:
            return queue.open_institutions(connection)

    def open_runs(self) -> list[str]:
        """The names of the runs that have not ended, oldest first."""
        with self._reading() as connection:
            return queue.open_runs(connection)

    def next_run(self, lane: str, is_cancelled: Callable[[str], bool]) -> str | None:
        """The run that comes next in a lane: the one with the earliest deadline, else the oldest.

        One that is to be cancelled comes before all others.  None if no run is open.
        """
        with self._snapshot() as connection:
            return queue.next_run(connection, lane, is_cancelled)

    def waiting(self, run: str, most: int) -> queue.Waiting:
        """The first `most` requests of an open run that have not ended.

        Raises:
            LedgerDamaged: a checksum does not match.

        """
        with self._snapshot() as connection:
            return queue.waiting(connection, self._id(run), run, most)

    def attempts(self, run: str) -> int:
        """How often requests of a run have been sent."""
        with self._reading() as connection:
            (found,) = connection.execute(
                "SELECT count(*) FROM attempts WHERE run_id = ?", (self._id(run),)
            ).fetchone()
            return int(found)

    def remarks(self, run: str) -> list[Text]:
        """What workers remarked while they sent a run, in the order in which it was stored.

        Raises:
            LedgerDamaged: a checksum does not match.

        """
        with self._reading() as connection:
            run_id, found = self._id(run), []
            for packed, check in connection.execute(_REMARKS, (run_id,)):
                if crc(run_id, packed) != check:
                    raise damaged(Text("a remark"))
                found.append(unpack_text(packed))
            return found

    def examine(self) -> None:
        """Check that the database can be written."""
        with self._transaction() as connection:
            connection.execute("UPDATE ledger_version SET version = version WHERE false")

    def sent_lately(
        self,
        institution: Institution,  # noqa: ARG002 - as of any ledger
        now: Timestamp,  # noqa: ARG002 - as of any ledger
        within_s: float,  # noqa: ARG002 - as of any ledger
    ) -> list[float]:
        """None: the pace is kept in the database itself."""
        return []

    def unanswered(
        self,
        institution: Institution,
        now: Timestamp,  # noqa: ARG002 - the database's clock counts here
    ) -> list[Unanswered]:
        """The attempts of any run for an institution that ClassIn may still carry out."""
        place = (institution.root_url, institution.sid, expires_after(STAMP_LIFE_S))
        recent = []
        with self._reading() as connection:
            for age_s, key, rows, frozen, check, *fields in connection.execute(_UNANSWERED, place):
                if intent_crc(tuple(fields)) != check:
                    raise damaged(Text("the attempts of request {key}", {"key": key}))
                ahead_s = fields[4]
                if age_s < expires_after(ahead_s):
                    request = unpack_request(RequestKey(key), rows, frozen)
                    recent.append(Unanswered(request.target, request.body, age_s, ahead_s))
        return recent

    def _check_once(self) -> None:
        """Nothing: the server checks its own files."""

    def _refuse_lost_entries(self, run: str = "*") -> None:
        """Nothing: there are no side files to compare with."""

    def _is_under_way(self, header: RunHeader) -> bool:  # noqa: ARG002 - as of any ledger
        """Every run that has not ended: it waits for a worker, or one works on it."""
        return True


_ENDED: Final = """
    SELECT 1 FROM runs WHERE run = ? AND finished_at IS NOT NULL AND purged_at IS NULL FOR UPDATE
"""
_REMARKS: Final = "SELECT remark, crc FROM remarks WHERE run_id = ? ORDER BY id"
_HELD: Final = """
    SELECT epoch, CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)
    FROM lanes WHERE institution = ? FOR SHARE
"""
_ALONE: Final = "SELECT pg_advisory_xact_lock(hashtext(%s), hashtext(%s))"
_UNANSWERED: Final = """
    SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp() - recorded_at) AS DOUBLE PRECISION),
           r.key, r.rows, r.frozen,
           a.crc, a.run_id, a.seq, a.number, a.stamp, a.ahead_s, a.boot, a.tick
    FROM attempts AS a JOIN runs ON runs.id = a.run_id
    JOIN requests AS r USING (run_id, seq) LEFT JOIN outcomes AS o USING (run_id, seq)
    WHERE root_url = ? AND sid = ?
    AND recorded_at > clock_timestamp() - make_interval(secs => ?)
    AND (a.ambiguous = 1 OR (a.ambiguous IS NULL AND (
        o.attempts IS NULL OR a.number <> o.attempts OR o.status = 'unconfirmed'
    )))
    AND r.frozen <> ''
    ORDER BY recorded_at
"""
