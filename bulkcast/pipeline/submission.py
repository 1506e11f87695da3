"""Hands runs in to a fleet, whose workers send them, and follows them until they have ended."""

import asyncio
import shutil
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from bulkcast.config import Config
from bulkcast.database_url import reason, shown
from bulkcast.dispatcher import Progress
from bulkcast.errors import CannotStart, DatabaseUnreachable, LedgerUnwritable
from bulkcast.fleet import control as fleet_orders
from bulkcast.fleet import fleet_status, jobs
from bulkcast.fleet.database import Database
from bulkcast.home import SharedHome
from bulkcast.ledger import RunRecord, Sending, canonical
from bulkcast.ledger.integrity import RUNS
from bulkcast.ledger.postgres import PostgresLedger
from bulkcast.model import Credentials, Institution, Secret, Stop, Text
from bulkcast.pipeline import fleet_control, institutions, lane_remarks, run_group
from bulkcast.pipeline import run_creation as creation
from bulkcast.pipeline.execution import Control, Watch
from bulkcast.pipeline.group_progress import total
from bulkcast.pipeline.options import SendOptions, zone
from bulkcast.pipeline.preparation import Prepared, PreparedRun, one_spelling
from bulkcast.pipeline.result_sheet import RunReport, report
from bulkcast.pipeline.run_overview import RunState, state_in
from bulkcast.pipeline.sheet_parts import Part

_LOOK_EVERY_S: Final = 1.0
_TRIES: Final = 5
_PATIENCE_S: Final = 60.0
"""Seconds that a database out of reach is waited for while a run is followed."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """A run, or the runs of a group, that wait for workers."""

    run: str
    rows: int
    requests: int
    workers: int
    """Workers that have reported lately."""


async def submit(
    run: PreparedRun,
    home: SharedHome,
    options: SendOptions,
    *,
    user: str,
    wall: Callable[[], float] = time.time,
) -> Submitted:
    """Hand in what was prepared, without waiting for its end.

    Raises:
        CannotStart: the sheet has changed since it was read, or the database cannot be used.

    """
    whole, started = run.prepared, wall()
    is_sandbox = institutions.is_rehearsed(run)
    name = creation.new_name(started, zone(whole.options.tz), is_sandbox=is_sandbox)
    target = creation.target_of(whole, options, name)
    wanted = _runs_of(run, creation.NewRun(name, started, target), options)
    await asyncio.to_thread(_store, wanted, home, options, user)
    alive = await _announce(home, name, user)
    return Submitted(name, len(whole.sheet.rows), len(whole.plan.requests), alive)


async def _announce(home: SharedHome, run: str, user: str) -> int:
    """Wake workers for a run that is stored and note who handed it in; how many workers there are.

    A database that breaks off just then does not make it fail, or it would be handed in twice:
    workers find what is stored by themselves.
    """
    for _ in range(_TRIES):
        with suppress(DatabaseUnreachable, LedgerUnwritable):
            async with Database(home.database) as database:
                await _hand_in(database, home, run, "submit", user)
                workers = (await fleet_status.status(database)).workers
            return sum(worker.is_alive for worker in workers)
        await asyncio.sleep(1.0)
    return 0


_Run = tuple[Prepared, Config | None, creation.NewRun]
"""A run to be stored, and for whom; None if no row of it can be sent."""


def _runs_of(run: PreparedRun, new: creation.NewRun, options: SendOptions) -> list[_Run]:
    """The run that a sheet becomes, or its runs if its rows name institutions."""
    if not run.parts:
        if run.config is None:
            raise CannotStart("there are no credentials; say for which institution this is")
        return [(creation.held_back(run.prepared, options), run.config, new)]
    emptied = options.on_invalid == "stop" and bool(run.prepared.invalid)
    parts = institutions.numbered(run, new.run, new.started, new.target, emptied=emptied)
    return [(part.prepared, _config_of(part), numbered) for part, numbered in parts]


def _config_of(part: Part) -> Config | None:
    """For whom a part is; workers have the secret, whether this computer has it or not."""
    if part.member is None:
        return None
    institution = one_spelling(part.member.institution)
    nothing = Credentials(institution.sid, Secret(""))
    config = part.member.config or Config(institution, nothing, Path())
    return replace(config, institution=institution)


def _store(wanted: Sequence[_Run], home: SharedHome, options: SendOptions, user: str) -> None:
    """Store runs, all or none; they wait for workers as soon as they are stored."""
    names = [new.run for _, _, new in wanted]
    try:
        _store_at_once(wanted, home, options, user)
    except BaseException as exc:
        # A commit whose answer was lost may have come about; whoever repeats it sends twice.
        if isinstance(exc, LedgerUnwritable) and _is_stored(home, wanted[0][2]):
            return
        for name in names:
            shutil.rmtree(home.folder / RUNS / name, ignore_errors=True)
        raise


def _is_stored(home: SharedHome, new: creation.NewRun) -> bool:
    """Whether this very run is in the ledger; False if that cannot be learnt in a few seconds."""
    for _ in range(_TRIES):
        with suppress(DatabaseUnreachable, LedgerUnwritable), PostgresLedger(home) as ledger:
            found = ledger.record(new.run)
            return found is not None and found.header.created_at == new.started
        time.sleep(1.0)
    return False


def _store_at_once(
    wanted: Sequence[_Run], home: SharedHome, options: SendOptions, user: str
) -> None:
    whose = {c.institution for _, c, _ in wanted if c}
    with PostgresLedger(home) as ledger, ledger.submitting(whose):
        checked = [
            (creation.as_planned(ledger, prepared, config) if config else prepared, config, new)
            for prepared, config, new in wanted
        ]
        with ledger.together():
            for prepared, config, new in checked:
                institution = config.institution if config else Institution("", "")
                header = creation.header_of(prepared, institution, new, name=options.name)
                header = replace(header, sending=sending_of(options, user))
                creation.freeze(ledger, header, prepared)
                if not prepared.plan.requests:
                    ledger.finish(new.run, None, new.started)


def sending_of(options: SendOptions, user: str) -> Sending:
    """What workers need of the options."""
    return Sending(
        rate=None if options.rate == float("inf") else options.rate,
        concurrency=options.concurrency,
        timeout=options.timeout,
        max_outage_s=options.max_outage_s,
        by=user,
    )


async def _hand_in(database: Database, home: SharedHome, run: str, action: str, user: str) -> None:
    """Wake the lanes of a run, or of the runs of a group, and note who did that."""
    records = await asyncio.to_thread(fleet_control.records_of, home, run)
    lanes = {canonical(r.header.institution) for r in records if r.finished_at is None}
    await jobs.wake(database, lanes)
    await fleet_control.record(database, action, user=user, run=run, lanes=lanes)


# ------------------------------------------------------------------ as if it were sent here


async def apply(
    run: PreparedRun,
    home: SharedHome,
    options: SendOptions,
    *,
    user: str,
    control: Control,
    watch: Watch | None,
    wall: Callable[[], float] = time.time,
) -> RunReport:
    """Hand in what was prepared and follow it until it has ended; then write the result sheet.

    Raises:
        CannotStart: no worker is there, or what `submit` says.

    """
    await _require_workers(home)
    done = await submit(run, home, options, user=user, wall=wall)
    target = creation.target_of(run.prepared, options, done.run)
    report = await follow(home, done.run, replace(options, results=target), user, control, watch)
    issues, ignored = run.prepared.checked.issues, run.prepared.ignored_columns
    return replace(report, issues=issues, ignored_columns=ignored)


async def resume(
    home: SharedHome,
    run: str,
    options: SendOptions,
    *,
    user: str,
    control: Control,
    watch: Watch | None,
) -> RunReport:
    """Let workers send what was not sent or not confirmed, and follow them.

    A run that is still open is only followed.

    Raises:
        CannotStart: there is no such run, it was purged, or no worker is there.

    """
    await _require_workers(home)
    await reopen(home, run, user=user)
    return await follow(home, run, options, user, control, watch)


async def reopen(home: SharedHome, run: str, *, user: str) -> None:
    """Hand in what was not sent or not confirmed of a run again, without waiting for its end.

    Raises:
        CannotStart: there is no such run, or it was purged.
        DatabaseUnreachable: the database is out of reach.

    """
    records = await asyncio.to_thread(fleet_control.records_of, home, run)
    async with Database(home.database) as database:
        for record in records:  # who asked for its end before did not mean what is sent now
            await fleet_orders.clear_cancel(database, record.header.run)
        await asyncio.to_thread(_reopen, home, records)
        await _hand_in(database, home, run, "resume", user)


def _reopen(home: SharedHome, records: Sequence[RunRecord]) -> None:
    with PostgresLedger(home) as ledger:
        for record in records:
            run = record.header.run
            if record.purged_at is not None:
                ledger.load(run)  # raises that it was purged
            if record.finished_at is not None and ledger.left(run):
                ledger.reopen(run)


async def _require_workers(home: SharedHome) -> None:
    async with Database(home.database) as database:
        workers = (await fleet_status.status(database)).workers
    if not any(worker.is_alive for worker in workers):
        raise CannotStart(
            "no worker is there to send it: start one with `bulkcast worker`, or hand the run in"
            " with --detach and start one later"
        )


async def follow(
    home: SharedHome,
    run: str,
    options: SendOptions,
    user: str,
    control: Control,
    watch: Watch | None,
) -> RunReport:
    """Show how far a run has come until it has ended, then report it.

    Whoever stops it has it cancelled: workers end it and what they have under way.  Whoever breaks
    off leaves it to the workers.

    Raises:
        DatabaseUnreachable: it cannot be followed to its end; the message says that it goes on.

    """
    try:
        return await _follow(home, run, options, user, control, watch)
    except (DatabaseUnreachable, LedgerUnwritable) as exc:
        raise DatabaseUnreachable(
            "run {run} is handed in and workers go on with it, so do not hand it in again; it"
            " cannot be followed, as the database {database} cannot be reached ({why}). Later see"
            " its end with `bulkcast resume {run}`",
            run=run,
            database=shown(home.database),
            why=reason(exc.__cause__ or exc),
        ) from exc


async def _follow(
    home: SharedHome,
    run: str,
    options: SendOptions,
    user: str,
    control: Control,
    watch: Watch | None,
) -> RunReport:
    following = _Following(home, run, user)
    control.attach(following)
    control.begun(run)
    started = asyncio.get_running_loop().time()
    with suppress(asyncio.CancelledError):
        await following.until_ended(watch)
    await following.close()
    control.detach()
    elapsed_s = asyncio.get_running_loop().time() - started
    return await asyncio.to_thread(_report, home, run, options, elapsed_s)


class _Following:
    """Steers a run that workers send."""

    def __init__(self, home: SharedHome, run: str, user: str) -> None:
        self.stopped: Stop | None = None
        self.requests = 0
        self.remarks: list[Text] = []
        self._home = home
        self._run = run
        self._user = user
        self._asking: set[asyncio.Task[None]] = set()

    def stop(self, why: Stop) -> None:
        """Have the run cancelled."""
        self.stopped = self.stopped or why
        self._ask(fleet_control.cancel(self._home, self._run, user=self._user))

    def pause(self) -> None:
        """Have its institutions paused."""
        self._ask(fleet_control.pause_run(self._home, self._run, user=self._user))

    def go_on(self) -> None:
        """End the pause."""
        self._ask(fleet_control.go_on_with(self._home, self._run, user=self._user))

    def _ask(self, order: Coroutine[Any, Any, object]) -> None:
        task = asyncio.get_running_loop().create_task(_quietly(order))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def close(self) -> None:
        """Wait until what was asked has arrived."""
        await asyncio.gather(*self._asking, return_exceptions=True)

    async def until_ended(self, watch: Watch | None) -> None:
        lost_at: float | None = None
        clock = asyncio.get_running_loop().time
        while True:
            try:
                states = await asyncio.to_thread(_states, self._home, self._run)
                lost_at = None
            except (DatabaseUnreachable, LedgerUnwritable):
                lost_at = lost_at or clock()
                if clock() - lost_at > _PATIENCE_S:
                    raise
            else:
                if watch:
                    watch(_progress(states))
                if all(state.record.finished_at is not None for state in states):
                    return
            await asyncio.sleep(_LOOK_EVERY_S)


async def _quietly(order: Coroutine[Any, Any, object]) -> None:
    with suppress(DatabaseUnreachable, LedgerUnwritable):
        await order


def _states(home: SharedHome, run: str) -> list[RunState]:
    with PostgresLedger(home) as ledger:
        names = run_group.named(ledger, run).names
        return [state for name in names if (state := state_in(ledger, name))]


def _progress(states: Sequence[RunState]) -> Progress:
    """The progress of all runs together; rows that needed no request are not in it."""
    return total([state.progress for state in states])


def _stop_of(record: RunRecord) -> Stop | None:
    """Why a run ended early; whoever leaves it before its end has broken off."""
    if record.finished_at is None:
        return Stop("interrupted", "run.interrupted", exit_status=130)
    return record.stop


def _report(home: SharedHome, run: str, options: SendOptions, elapsed_s: float) -> RunReport:
    with PostgresLedger(home) as ledger:
        found = run_group.named(ledger, run)
        records = [ledger.newest(name) for name in found.names]
        reports = [
            report(
                ledger, record.header.run, options, stop=_stop_of(record), elapsed_s=elapsed_s,
                requests=ledger.attempts(record.header.run),
                remarks=lane_remarks.told(ledger.remarks(record.header.run)),
            )
            for record in records
        ]  # fmt: skip
        return (
            institutions.summed_up(ledger, found.run, reports, options)
            if found.parts
            else reports[0]
        )
