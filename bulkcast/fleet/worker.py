"""The process that drains lanes: takes a lease, calls `drain` for a slice, gives the lane back."""

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Final

from bulkcast.errors import BulkcastError, DatabaseUnreachable
from bulkcast.fleet import control, fleet_status, jobs, schema
from bulkcast.fleet.database import Database, is_lost
from bulkcast.fleet.leases import TTL_S, Lease, Leases
from bulkcast.fleet.metrics import Metrics
from bulkcast.fleet.shared_pace import PaceState, SharedPace

_log = logging.getLogger(__name__)

CONCURRENCY: Final = 50
"""Lanes that one worker drains at once; two workers keep 150 institutions at their full rates."""

_PAUSED_S: Final = 2.0
"""Seconds before a paused lane is looked at again."""
_AFTER_DEFECT_S: Final = 10.0
"""Seconds before a lane is drained again whose slice ended with an exception."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds between what a worker does; tests choose shorter ones."""

    ttl_s: float = TTL_S
    renew_s: float = 2.5
    orders_s: float = 1.0
    reconcile_s: float = 2.0
    heartbeat_s: float = fleet_status.HEARTBEAT_S
    slice_s: float = 60.0
    grace_s: float = 30.0
    """How long a worker that is to end waits for what is under way."""


@dataclass(frozen=True, slots=True)
class LaneEnd:
    """How a slice ended."""

    more: bool
    """Whether anything is left to do for the institution."""
    delay_s: float = 0.0
    """Seconds before which it is of no use to go on."""
    memory: str = "{}"
    """For the next slice, on whichever worker."""


class Lane:
    """One slice of one institution's sending."""

    def __init__(self, worker: "_Worker", lease: Lease, deadline: float, pace: PaceState) -> None:
        self._worker = worker
        self.lease = lease
        """Asked right before each request leaves; its epoch goes with what is written."""
        self.institution = lease.institution
        self.memory = lease.memory
        """What the slice before left."""
        self.deadline = deadline
        """Loop time at which the slice ends."""
        self.stop = asyncio.Event()
        """Set when the worker is to end or has lost the lane: finish what is under way, return."""
        self.pace_state = pace
        """What the workers before left of the pace."""

    @property
    def paused(self) -> bool:
        """Whether somebody has paused the lane; known a second late at most."""
        return self.institution in self._worker.orders.paused

    def is_cancelled(self, run: str) -> bool:
        """Whether somebody wants the run to end; known a second late at most."""
        return run in self._worker.orders.cancelled

    async def forget_cancel(self, run: str) -> None:
        """Forget the request, as the run has ended.

        Raises:
            DatabaseUnreachable: the worker is to end.

        """
        database = self._worker.database
        await database.patiently(lambda: control.clear_cancel(database, run))

    async def slots(self, n: int, rate: float, within_s: float) -> list[float]:
        """Lease start times; see `SharedPace.slots`."""
        return await self._worker.pace.slots(self.institution, n, rate, within_s)

    async def give_back(self, first_unused: float | None) -> None:
        """Give start times back at the end of a slice; see `SharedPace.give_back`."""
        if first_unused is not None:
            with suppress(DatabaseUnreachable):  # they pass unused
                await self._worker.pace.give_back(self.institution, first_unused)

    async def note_pace(self, held_s: float, share: float) -> None:
        """Keep pause and slow-down for other workers; see `SharedPace.note`."""
        await self._worker.pace.note(self.institution, held_s, share)

    def count(self, outcome: str, n: int = 1) -> None:
        """Count `n` requests for the metrics."""
        self._worker.metrics.requests.labels(outcome).inc(n)


Drain = Callable[[Lane], Awaitable[LaneEnd]]
"""Sends for one lane until its deadline, its stop or its end."""
OpenInstitutions = Callable[[], Awaitable[Collection[str]]]
"""The institutions that have unfinished runs."""
Served = Callable[[], Awaitable[Collection[str]]]
"""The institutions that there are credentials for now."""


async def work(
    database_url: str,
    *,
    lanes: Collection[str],
    drain: Drain,
    open_institutions: OpenInstitutions,
    served: Served | None = None,
    concurrency: int = CONCURRENCY,
    name: str | None = None,
    metrics_port: int | None = None,
    stop: asyncio.Event | None = None,
    timing: Timing | None = None,
) -> None:
    """Drain the lanes of institutions until `stop` is set or the task is cancelled.

    `lanes`: the institutions that this worker has credentials for; `served` is asked for them
    every few seconds, if they may change.  Slices under way go on for one that is gone.  A database
    that is out of reach is waited for, once it was there at the start.  What is under way at the
    end is finished.

    Raises:
        CannotStart: the database's address or tables are not usable.
        DatabaseUnreachable: the database cannot be reached at the start.
        OSError: the port for the metrics is in use.

    """
    await asyncio.to_thread(schema.check_tables, database_url)
    metrics = Metrics()
    serving = metrics.start(metrics_port) if metrics_port is not None else None
    try:
        with _quiet("psycopg", "psycopg.pool", "procrastinate"):
            async with Database(database_url, on_error=metrics.database_errors.inc) as database:
                worker = _Worker(
                    database, metrics, name or default_name(), drain, timing or Timing()
                )
                worker.serves(lanes, open_institutions, served, concurrency)
                await worker.run(stop or asyncio.Event())
    finally:
        if serving:
            await asyncio.to_thread(serving[1])


def default_name() -> str:
    """A name for a worker: computer and process."""
    return f"{socket.gethostname()}:{os.getpid()}"


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Errors alone from loggers that warn at each attempt to reach a database that is gone."""
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


class _Worker:
    """What the lanes of one process share."""

    def __init__(
        self, database: Database, metrics: Metrics, name: str, drain: Drain, timing: Timing
    ) -> None:
        self.database = database
        self.metrics = metrics
        # A restarted container may have name and process number of the one before.
        self.name = f"{name}:{secrets.token_hex(3)}"
        self.orders = control.Orders()
        self.pace = SharedPace(database, metrics.slots.inc)
        self._drain = drain
        self._timing = timing
        self._leases = Leases(database, self.name, timing.ttl_s)
        self._running: dict[str, Lane] = {}
        self._is_ending = False
        self._lanes: frozenset[str] = frozenset()
        self._open_institutions: OpenInstitutions | None = None
        self._served: Served | None = None
        self._concurrency = CONCURRENCY

    def serves(
        self,
        lanes: Collection[str],
        open_institutions: OpenInstitutions,
        served: Served | None,
        concurrency: int,
    ) -> None:
        """Which lanes it drains, and how many at once."""
        self._lanes = frozenset(lanes)
        self._open_institutions = open_institutions
        self._served = served
        self._concurrency = concurrency

    async def run(self, stop: asyncio.Event) -> None:
        timing = self._timing
        beside = [
            asyncio.create_task(_every(seconds, action))
            for seconds, action in (
                (timing.renew_s, self._renew),
                (timing.orders_s, self._look_for_orders),
                (timing.reconcile_s, self._look_for_institutions),
                (timing.reconcile_s, self._reconcile),
                (timing.heartbeat_s, self._report),
            )
        ]
        engine = asyncio.create_task(self._run_engine())
        try:
            await stop.wait()
        finally:
            # Shielded: a second cancellation must not leave lanes without renewals of their leases.
            await asyncio.shield(self._end(engine, beside))

    async def _end(self, engine: asyncio.Task[None], beside: list[asyncio.Task[None]]) -> None:
        self._is_ending = True
        now = asyncio.get_running_loop().time()
        self.database.be_patient_until(now + self._timing.grace_s / 4)
        for lane in self._running.values():
            lane.stop.set()
        engine.cancel()
        # A database that neither answers nor refuses could take minutes to give up on.
        await asyncio.wait([engine], timeout=self._timing.grace_s + 5.0)
        for task in beside:
            task.cancel()
        await asyncio.wait(beside, timeout=5.0)
        with suppress(DatabaseUnreachable):
            await fleet_status.forget_worker(self.database, self.name)

    async def _run_engine(self) -> None:
        """Run Procrastinate's worker, again where it failed."""
        while True:
            app = jobs.make_app(self.database, self._run_slice, lambda: self._lanes)
            try:
                await jobs.run_engine(
                    self.database, app,
                    institutions=self._lanes, concurrency=self._concurrency, name=self.name,
                    heartbeat_s=self._timing.heartbeat_s, grace_s=self._timing.grace_s,
                )  # fmt: skip
            except Exception:  # noqa: BLE001 - lanes go on, whatever failed beside them
                if self._is_ending:
                    return
                _log.exception("the queue failed; it is started again")
            await asyncio.sleep(1.0)

    # -------------------------------------------------------------- one slice

    async def _run_slice(self, institution: str) -> None:
        """Take the lane and drain it; whoever holds it meanwhile goes on by itself."""
        with suppress(DatabaseUnreachable):  # the worker is to end; the lease expires
            lease = await self._leases.acquire(institution)
            if lease is None:
                return
            end = LaneEnd(more=True, memory=lease.memory)
            try:
                end = await self._drained(lease, end)
            finally:
                self._running.pop(institution, None)
                self.metrics.lanes_held.set(len(self._running))
                await self._leases.release(lease, end.memory)
            if end.more:
                await jobs.continue_later(self.database, institution, end.delay_s)

    async def _drained(self, lease: Lease, untouched: LaneEnd) -> LaneEnd:
        database, institution = self.database, lease.institution
        orders = await database.patiently(lambda: control.orders(database, [institution]))
        if institution in orders.paused and not orders.cancelled:
            return LaneEnd(more=False, memory=lease.memory)  # `resume` wakes it
        self.orders = await database.patiently(
            lambda: control.orders(database, [*self._running, institution])
        )
        pace = await self.pace.state(institution)
        deadline = asyncio.get_running_loop().time() + self._timing.slice_s
        lane = self._running[institution] = Lane(self, lease, deadline, pace)
        self.metrics.lanes_held.set(len(self._running))
        self.metrics.slices.inc()
        _log.info("sending for %s", institution)
        if self._is_ending:
            return untouched
        try:
            end = await self._drain(lane)
        except Exception as exc:  # noqa: BLE001 - one lane must not end the others
            if not is_lost(exc):
                _log.exception("the slice of %s failed", institution)
            end = LaneEnd(more=True, delay_s=_AFTER_DEFECT_S, memory=lease.memory)
        # A paused lane is drained for its cancelled runs alone; `resume` wakes it at once.
        return replace(end, delay_s=max(end.delay_s, _PAUSED_S)) if lane.paused else end

    # -------------------------------------------------------------- beside the lanes

    async def _renew(self) -> None:
        for lease in await self._leases.renew():
            _log.warning("another worker has taken over %s", lease.institution)
            lane = self._running.get(lease.institution)
            if lane and lane.lease is lease:
                lane.stop.set()

    async def _look_for_orders(self) -> None:
        if self._running:
            self.orders = await control.orders(self.database, list(self._running))

    async def _look_for_institutions(self) -> None:
        if self._served is not None:
            self._lanes = frozenset(await self._served())

    async def _reconcile(self) -> None:
        """Make missing jobs, and end those of dead workers.

        Not before the database has been there for as long as a lease lasts: workers that were cut
        off from it, too, are to renew theirs first.
        """
        if self.database.up_for(asyncio.get_running_loop().time()) >= self._timing.ttl_s:
            rescued = await jobs.rescue(self.database, self._timing.ttl_s / 2)
            self.metrics.rescued.inc(len(rescued))
        if self._open_institutions is not None:
            found = await self._open_institutions()
            await jobs.reconcile(self.database, self._lanes.intersection(found))
        self.metrics.oldest_wait.set(await jobs.oldest_wait(self.database))

    async def _report(self) -> None:
        await fleet_status.report_worker(
            self.database, self.name, self._concurrency, len(self._lanes)
        )


async def _every(seconds: float, action: Callable[[], Awaitable[None]]) -> None:
    """Call `action` again and again; a failure is told, and the next call comes all the same."""
    while True:
        try:
            await action()
        except BulkcastError as exc:
            if not isinstance(exc, DatabaseUnreachable):  # which the database tells once
                _log.warning("%s", exc)
        except Exception:  # noqa: BLE001 - a lease not renewed would end every lane
            _log.exception("%s failed", action.__qualname__)
        await asyncio.sleep(seconds)
