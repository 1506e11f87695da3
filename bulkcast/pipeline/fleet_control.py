"""What people tell a fleet: make its tables, look at it, pause institutions, cancel runs."""

import asyncio
import socket
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bulkcast.database_url import shown
from bulkcast.fleet import audit, control, fleet_status, lane_standing, schema
from bulkcast.fleet.audit import AuditEntry
from bulkcast.fleet.database import Database
from bulkcast.fleet.fleet_status import FleetStatus
from bulkcast.fleet.lane_standing import LaneStanding
from bulkcast.home import SharedHome
from bulkcast.ledger import RunRecord, canonical
from bulkcast.ledger.postgres import PostgresLedger, create_schema
from bulkcast.model import Institution
from bulkcast.pipeline import early_end, run_group
from bulkcast.pipeline.preparation import one_spelling
from bulkcast.pipeline.run_overview import RunState, joined_states


@dataclass(frozen=True, slots=True)
class Fleet:
    """A fleet at one moment."""

    status: FleetStatus
    runs: tuple[RunRecord, ...]
    """Those that have not ended, oldest first."""


def init(database: str) -> None:
    """Make the tables of the ledger, the fleet and the queue, as far as they are not there.

    Raises:
        CannotStart: the database is out of reach, or its tables are of a newer version.
        DatabaseUnreachable: it broke off.

    """
    create_schema(database)
    schema.create_tables(database)


def shown_database(home: SharedHome) -> str:
    """The database as messages show it, without user and password."""
    return shown(home.database)


@asynccontextmanager
async def opened(home: SharedHome) -> AsyncIterator[Database]:
    """The fleet's database while the block runs.

    Raises:
        CannotStart: its tables are not there, or those of a newer version.
        DatabaseUnreachable: it is out of reach.

    """
    await asyncio.to_thread(schema.check_tables, home.database)
    async with Database(home.database) as database:
        yield database


async def known_lanes(home: SharedHome) -> frozenset[str]:
    """The institutions that were ever sent for, or wait; raises what `opened` does."""
    async with opened(home) as database:
        found = await fleet_status.status(database)
    return frozenset(lane.institution for lane in found.lanes)


async def status(home: SharedHome) -> Fleet:
    """Look at workers, lanes, paces and open runs.

    Raises:
        CannotStart: the database cannot be used.
        DatabaseUnreachable: the database is out of reach.

    """
    async with opened(home) as database:
        runs = await asyncio.to_thread(_open_runs, home)
        return Fleet(await fleet_status.status(database), runs)


def _open_runs(home: SharedHome) -> tuple[RunRecord, ...]:
    with PostgresLedger(home) as ledger:
        return tuple(ledger.newest(run) for run in ledger.open_runs())


@dataclass(frozen=True, slots=True)
class RunStanding:
    """A run, how far it has come, and what it waits for."""

    state: RunState
    lane: LaneStanding = field(default_factory=LaneStanding)
    before: str = ""
    """The run of the institution that is sent before it; empty if none is."""


def run_standing(home: SharedHome, run: str) -> RunStanding | None:
    """How the run, or group, of exactly this name stands; None if there is none.

    Raises:
        CannotStart: the database cannot be used.
        LedgerUnwritable, DatabaseUnreachable: it broke off.

    """
    with PostgresLedger(home) as ledger:
        named = run_group.exactly(ledger, run)
        names = named.names if named else ()
        found = [_standing(ledger, home, ledger.newest(name)) for name in names]
    if named and named.parts:
        return _joined(found)
    return found[0] if found else None


def _standing(ledger: PostgresLedger, home: SharedHome, record: RunRecord) -> RunStanding:
    run = record.header.run
    state = RunState(record, ledger.standing(run), None)
    if record.state != "running":
        return RunStanding(state)
    lane = canonical(record.header.institution)
    first = ledger.next_run(lane, lambda _: False)
    standing = lane_standing.lane_standing(home.database, lane, run)
    return RunStanding(state, standing, first if first and first != run else "")


def _joined(parts: Sequence[RunStanding]) -> RunStanding:
    """How a group stands: it waits, is paused or stopped where all are that have not ended."""
    state = joined_states([part.state for part in parts])
    open_ = [part for part in parts if part.state.record.state == "running"]
    if not open_:
        return RunStanding(state)
    lanes = [part.lane for part in open_]
    sending = [part for part in open_ if part.lane.worker and not part.before]
    lane = LaneStanding(
        paused=all(lane.paused for lane in lanes),
        worker=next((part.lane.worker for part in sending), None),
        workers=max(lane.workers for lane in lanes),
        cancelled=all(lane.cancelled for lane in lanes),
    )
    waits = not sending and all(part.before for part in open_)
    return RunStanding(state, lane, open_[0].before if waits else "")


def busy_lanes(home: SharedHome) -> Mapping[str, str]:
    """The lanes that are `paused`, and those that are `held`: a worker sends for them.

    Raises:
        DatabaseUnreachable: the database is out of reach.

    """
    return lane_standing.busy_lanes(home.database)


def lane_of(institution: Institution) -> str:
    """An institution as the fleet calls it."""
    return canonical(one_spelling(institution))


async def pause(home: SharedHome, lanes: Collection[str] | None, *, user: str) -> list[str]:
    """Have nothing more sent for institutions, or for any; return those not paused before.

    Raises:
        DatabaseUnreachable: the database is out of reach.

    """
    async with opened(home) as database:
        paused = await control.pause(database, lanes)
        await record(database, "pause", user=user, lanes=paused)
        return paused


async def go_on(home: SharedHome, lanes: Collection[str] | None, *, user: str) -> list[str]:
    """End the pause of institutions, or of all; return those that were paused.

    Raises:
        DatabaseUnreachable: the database is out of reach.

    """
    async with opened(home) as database:
        resumed = await control.resume(database, lanes)
        await record(database, "go on", user=user, lanes=resumed)
        return resumed


async def pause_run(home: SharedHome, run: str, *, user: str) -> list[str]:
    """Pause the institutions of a run; raises what `pause` does."""
    return await pause(home, await _lanes_of(home, run), user=user)


async def go_on_with(home: SharedHome, run: str, *, user: str) -> list[str]:
    """End the pause of the institutions of a run; raises what `go_on` does."""
    return await go_on(home, await _lanes_of(home, run), user=user)


async def _lanes_of(home: SharedHome, run: str) -> list[str]:
    records = await asyncio.to_thread(records_of, home, run)
    return sorted({canonical(record.header.institution) for record in records})


async def cancel(home: SharedHome, run: str, *, user: str) -> tuple[str, ...]:
    """Have a run ended, or the runs of a group; return the names of those that were open.

    Workers end those that they send; the others have ended when this returns.

    Raises:
        CannotStart: there is no such run.
        DatabaseUnreachable, LedgerUnwritable: the database is out of reach.

    """
    found = [r for r in await asyncio.to_thread(records_of, home, run) if r.finished_at is None]
    lanes: dict[str, list[str]] = {}
    async with opened(home) as database:
        for each in found:
            lane = canonical(each.header.institution)
            await control.request_cancel(database, each.header.run, lane)
            await record(database, "cancel", user=user, run=each.header.run, lanes=[lane])
            lanes.setdefault(lane, []).append(each.header.run)
        await early_end.end_unheld(home, database, lanes)
    return tuple(each.header.run for each in found)


def records_of(home: SharedHome, run: str) -> list[RunRecord]:
    """The run that `run` stands for, or the runs of the group.

    Raises:
        CannotStart: there is no such run, or several match.

    """
    with PostgresLedger(home) as ledger:
        return [ledger.newest(name) for name in run_group.named(ledger, run).names]


async def record(
    database: Database, action: str, *, user: str, run: str = "", lanes: Iterable[str] = ()
) -> None:
    """Note who did something, from this computer, at institutions or with a run."""
    found = sorted(lanes)
    if found or run:
        await audit.record(
            database, action, who=user, host=socket.gethostname(), run=run or None,
            institution=", ".join(found) or None,
        )  # fmt: skip


async def note_action(home: SharedHome, action: str, run: str, *, user: str) -> None:
    """Note that somebody did something with a run, or several; raises what `opened` does."""
    async with opened(home) as database:
        await record(database, action, user=user, run=run)


async def actions(home: SharedHome, n: int = 50, before: int | None = None) -> list[AuditEntry]:
    """The last `n` things that people did, newest first; those before the entry `before`.

    Raises:
        DatabaseUnreachable: the database is out of reach.

    """
    async with opened(home) as database:
        return await audit.recent(database, n, before)
