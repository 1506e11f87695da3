"""The work of a fleet's worker: sends for one institution after another, a slice at a time."""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Final

from bulkcast.config import Config
from bulkcast.database_url import connect
from bulkcast.dispatcher import Dispatcher
from bulkcast.dispatcher.memory import for_another_run, left_by
from bulkcast.dispatcher.write_ordering import PendingWrites, UnansweredAttempt
from bulkcast.errors import DatabaseUnreachable, LaneLost, LedgerDamaged, LedgerUnwritable
from bulkcast.fleet import worker as fleet_worker
from bulkcast.fleet.shared_pace import AHEAD_S, EVER_S, LATE_S
from bulkcast.fleet.worker import Lane, LaneEnd
from bulkcast.home import SharedHome
from bulkcast.ledger import RunHeader, Timestamp
from bulkcast.ledger.group_commit import GroupCommit, LaneClaim, SharedJournal
from bulkcast.ledger.postgres import PostgresLedger
from bulkcast.ledger.queue import Waiting
from bulkcast.ledger.store import Journal
from bulkcast.model import Attempt, History, Intent, Stop
from bulkcast.pacing import CONCURRENCY, LeasedPacer
from bulkcast.pipeline import early_end, lane_remarks
from bulkcast.pipeline.execution import Parts, dispatcher_for, http_client, superseded_attempt
from bulkcast.pipeline.options import SendOptions

_log = logging.getLogger(__name__)

_LOOK_EVERY_S: Final = 0.5
_WINDOW_S: Final = 90.0
"""Requests are read for so many seconds of sending: a slice and a half."""
_WINDOW_MOST: Final = 20_000
_LEASE_S: Final = 2.0
"""Seconds that start times are waited for at once; then they are asked for again."""
_SLOTS_WAIT_S: Final = 0.5
"""Seconds that whoever waits for the next start times looks away."""
_REFUSED_S: Final = 0.1
"""Seconds before start times are asked for again that were not near yet."""
_REPLACED_S: Final = 30.0
"""Seconds that a request waits at most for a start time in place of one that has passed."""
_AGAIN_S: Final = 1.0
"""Seconds before a lane is looked at again whose slice could not go on."""
_OF_LANE: Final = frozenset({"lease", "ledger"})
"""Reasons that end a slice but not its run."""


@dataclass(frozen=True, slots=True)
class LaneWork:
    """What a slice is to send."""

    header: RunHeader
    config: Config
    """Whose credentials; they stay those with which the slice began."""
    waiting: Waiting
    superseded: tuple[Attempt, ...]
    pending: tuple[tuple[UnansweredAttempt, float], ...]
    """Attempts that ClassIn may still carry out, and how old they are in seconds."""
    journal: SharedJournal

    @property
    def options(self) -> SendOptions:
        """How to send."""
        return options_of(self.header)


def options_of(header: RunHeader) -> SendOptions:
    """How a run is to be sent."""
    sending = header.sending
    if sending is None:
        return SendOptions()
    return SendOptions(
        rate=math.inf if sending.rate is None else sending.rate,
        concurrency=sending.concurrency,
        timeout=sending.timeout,
        max_outage_s=sending.max_outage_s,
    )


ReadAgain = Callable[[], Mapping[str, Config] | None]
"""Lane → credentials if any have changed; None if not.  It is called in a thread."""


@dataclass(slots=True)
class Lanes:
    """Sends for the institutions that a worker has credentials for."""

    home: SharedHome
    configs: Mapping[str, Config]
    """Lane → whose credentials."""
    commits: GroupCommit
    parts: Parts = field(default_factory=Parts)
    read_again: ReadAgain = lambda: None

    async def served(self) -> Collection[str]:
        """The lanes that there are credentials for now; slices that begin use those."""
        found = await asyncio.to_thread(self.read_again)
        if found is not None:
            self.configs = found
        return self.configs.keys()

    async def open_institutions(self) -> frozenset[str]:
        """The lanes with runs that have not ended."""
        return await asyncio.to_thread(self._open)

    def _open(self) -> frozenset[str]:
        with PostgresLedger(self.home) as ledger:
            return ledger.open_institutions()

    async def drain(self, lane: Lane) -> LaneEnd:
        """Send the run that comes next until the slice ends."""
        claim = LaneClaim(lane.institution, lane.lease.epoch, self.commits)
        try:
            work = await asyncio.to_thread(self._next, lane, claim)
            if work is None:
                return LaneEnd(more=False, memory=lane.memory)
            return await self._send(lane, work, claim)
        except LaneLost:
            return LaneEnd(more=False, memory=lane.memory)
        except LedgerDamaged as exc:
            _log.error("%s", exc)
            return LaneEnd(more=True, delay_s=_AGAIN_S, memory=lane.memory)
        except (LedgerUnwritable, DatabaseUnreachable):
            return LaneEnd(more=True, delay_s=_AGAIN_S, memory=lane.memory)

    def _next(self, lane: Lane, claim: LaneClaim) -> LaneWork | None:
        with PostgresLedger(self.home) as ledger:
            config = self.configs.get(lane.institution)
            run = ledger.next_run(lane.institution, lane.is_cancelled)
            if run is None or config is None:
                return None
            try:
                return self._work_of(ledger, run, config, claim)
            except LedgerDamaged as exc:
                ledger.finish_in_lane(run, early_end.damaged(exc), claim)
                raise

    def _work_of(
        self, ledger: PostgresLedger, run: str, config: Config, claim: LaneClaim
    ) -> LaneWork:
        header = ledger.newest(run).header
        rate = options_of(header).rate
        window = _WINDOW_MOST if math.isinf(rate) else math.ceil(rate * _WINDOW_S) + CONCURRENCY
        waiting = ledger.waiting(run, min(window, _WINDOW_MOST))
        newer = ledger.superseded(run)
        unanswered = ledger.unanswered(header.institution, Timestamp(0.0))
        journal = ledger.lane_journal(run, claim)
        overtaken = [r for r in waiting.requests if r.key in newer]
        left = tuple(r for r in waiting.requests if r.key not in newer)
        return LaneWork(
            header,
            config,
            replace(waiting, requests=left),
            tuple(
                superseded_attempt(r.key, newer[r.key], waiting.history.get(r.key, History()))
                for r in overtaken
            ),
            tuple(
                (UnansweredAttempt(sent.target, sent.body, 0.0, sent.ahead_s), sent.age_s)
                for sent in unanswered
            ),
            journal,
        )

    async def _send(self, lane: Lane, work: LaneWork, claim: LaneClaim) -> LaneEnd:
        run, is_all = work.header.run, work.waiting.is_all
        await work.journal.record(work.superseded)
        memory = ""
        if lane.is_cancelled(run):
            stop: Stop | None = early_end.CANCELLED
            is_all = False
        else:
            dispatcher = await self._dispatch(lane, work)
            stop, memory = dispatcher.stopped, dispatcher.memory()
            _count(lane, dispatcher)
            await _keep_remarks(work, dispatcher)
            if stop and stop.reason in _OF_LANE:
                return LaneEnd(more=True, delay_s=_AGAIN_S, memory=remembered(run, memory))
            if dispatcher.handed_over or not (stop or is_all):
                return LaneEnd(more=True, memory=remembered(run, memory))
        if stop and not is_all:
            await early_end.leave(self.home, run, stop, work.journal)
        await asyncio.to_thread(early_end.finish, self.home, run, stop, claim)
        _log.info("run %s has ended%s", run, f" ({stop.reason})" if stop else "")
        if lane.is_cancelled(run):
            await lane.forget_cancel(run)
        # The next run waits out an outage of its own.
        return LaneEnd(more=True, memory="" if stop else remembered(run, memory))

    async def _dispatch(self, lane: Lane, work: LaneWork) -> Dispatcher:
        """Send until the slice ends, and return the dispatcher that did."""
        options, config = work.options, work.config
        clock = asyncio.get_running_loop().time
        pacer = _pacer_of(lane, options.rate, clock())
        slots = _Slots(lane, pacer)
        pending = PendingWrites(
            replace(attempt, sent_at=clock() - age_s) for attempt, age_s in work.pending
        )

        def may_send() -> bool:
            return lane.lease.may_send(clock())

        async with http_client(self.parts, config, options, may_send) as client:
            dispatcher = dispatcher_for(
                self.parts, client, _PunctualJournal(work.journal, slots), pacer, options, pending,
                replenish=slots.replenish,
                may_send=may_send,
                memory=recalled(
                    work.header.run, lane.memory, self.parts.wall() - lane.lease.memory_s
                ),
            )  # fmt: skip
            slots.dispatcher = dispatcher
            async with _steered(lane, dispatcher, slots, pacer, work.header.run):
                await dispatcher.run(work.waiting.requests, work.waiting.history)
            await lane.give_back(pacer.unused(clock()))
            return dispatcher


async def _keep_remarks(work: LaneWork, dispatcher: Dispatcher) -> None:
    """Store what the slice remarks, if anything; how its rows ended counts for more."""
    with suppress(LedgerUnwritable):
        await work.journal.remark(lane_remarks.of_slice(dispatcher, work.config))


def remembered(run: str, memory: str) -> str:
    """What a slice leaves for the next: what its dispatcher knows, and of which run."""
    return f"{run} {memory}"


def recalled(run: str, memory: str, left_at: float) -> str:
    """What a dispatcher is to know that sends a slice of `run`.

    `left_at` is when the memory was left, by the clock of whoever reads it.
    """
    whose, _, known = memory.partition(" ")
    return left_by(known if whose == run else for_another_run(known), left_at)


class _Slots:
    """The start times of one slice, leased as they come near.

    Requests ask for them one after the other, so whoever asks first waits for all.
    """

    def __init__(self, lane: Lane, pacer: LeasedPacer) -> None:
        self._lane = lane
        self._pacer = pacer
        self._next_at = -math.inf
        """Loop time before which there are none to be had."""
        self.dispatcher: Dispatcher | None = None
        """Who sends in them."""
        self.ending = False
        """Whether it hands over, so that nobody needs any more."""

    async def replenish(self) -> None:
        """Lease about a second of start times once those at hand are nearly used up."""
        clock = asyncio.get_running_loop().time
        away_s = self._next_at - clock()
        ending = self.ending or (self.dispatcher and self.dispatcher.stopped)
        if ending or not self._pacer.wanted(clock()):
            return
        if away_s > 0:
            await asyncio.sleep(min(away_s, _SLOTS_WAIT_S))
        if away_s <= _SLOTS_WAIT_S:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LEASE_S):
                    await self._lease(self._pacer.wanted(clock()))

    async def _lease(self, n: int) -> None:
        found = await self._lane.slots(n, self._pacer.rate, AHEAD_S) if n else []
        self._pacer.lease(found)
        if found:
            self._next_at = found[-1] + 1.0 / self._pacer.rate - AHEAD_S
        else:
            self._next_at = asyncio.get_running_loop().time() + _REFUSED_S

    async def replace_late(self) -> None:
        """Wait for another start time, as the one at hand has passed."""
        if math.isinf(self._pacer.rate):
            return
        clock = asyncio.get_running_loop().time
        with suppress(DatabaseUnreachable):
            for start in await self._lane.slots(1, self._pacer.rate, EVER_S):
                await asyncio.sleep(min(start - clock(), _REPLACED_S))


class _PunctualJournal:
    """A journal after whose delays requests do not leave all at once."""

    def __init__(self, journal: Journal, slots: _Slots) -> None:
        self._journal = journal
        self._slots = slots

    async def record_intent(self, intents: Sequence[Intent]) -> None:
        """As the journal does; where that took long, wait for another start time."""
        clock = asyncio.get_running_loop().time
        began = clock()
        await self._journal.record_intent(intents)
        if clock() - began > LATE_S:
            await self._slots.replace_late()

    async def record(self, attempts: Sequence[Attempt]) -> None:
        """As the journal does."""
        await self._journal.record(attempts)


def _pacer_of(lane: Lane, rate: float, now: float) -> LeasedPacer:
    """The lane's pacer, as the workers before left it."""
    pacer = LeasedPacer(rate)
    pacer.hold(now + lane.pace_state.held_s)
    if not math.isinf(rate):
        pacer.rate = rate * min(1.0, max(0.0, lane.pace_state.share)) or rate
    return pacer


class _PaceNotes:
    """Tells other workers what a pacer learns."""

    def __init__(self, lane: Lane, pacer: LeasedPacer) -> None:
        self._lane = lane
        self._pacer = pacer
        self._told = self._found  # what the slice before left is known

    @property
    def _found(self) -> tuple[float, float]:
        return self._pacer.held_until, self._pacer.rate

    async def write(self) -> None:
        """Write down what is new; a database out of reach gets it the next time."""
        found = self._found
        if found == self._told:
            return
        held_s = found[0] - asyncio.get_running_loop().time()
        with suppress(DatabaseUnreachable, TimeoutError):
            async with asyncio.timeout(_LEASE_S):
                await self._lane.note_pace(held_s, self._pacer.share)
                self._told = found


@asynccontextmanager
async def _steered(
    lane: Lane, dispatcher: Dispatcher, slots: _Slots, pacer: LeasedPacer, run: str
) -> AsyncIterator[None]:
    """Pass on to a dispatcher what its lane is told, and to other workers what it learns."""
    notes = _PaceNotes(lane, pacer)

    async def steer() -> None:
        clock = asyncio.get_running_loop().time
        while True:
            if lane.is_cancelled(run):
                dispatcher.stop(early_end.CANCELLED)
            elif lane.stop.is_set() or lane.paused or clock() >= lane.deadline:
                dispatcher.hand_over()
                slots.ending = True
            await notes.write()
            with suppress(TimeoutError):
                async with asyncio.timeout(min(_LOOK_EVERY_S, max(0.0, lane.deadline - clock()))):
                    await lane.stop.wait()
            if lane.stop.is_set() or clock() >= lane.deadline:
                await asyncio.sleep(0.05)

    steering = asyncio.create_task(steer())
    try:
        yield
    finally:
        steering.cancel()
        with suppress(asyncio.CancelledError):
            await steering
        await notes.write()


def _count(lane: Lane, dispatcher: Dispatcher) -> None:
    """Count the rows of a slice for the metrics."""
    for status, n in dispatcher.progress().counts.items():
        lane.count(status, n)


# ------------------------------------------------------------------ the worker


async def work(
    home: SharedHome,
    configs: Mapping[str, Config],
    *,
    read_again: ReadAgain = lambda: None,
    concurrency: int = fleet_worker.CONCURRENCY,
    metrics_port: int | None = None,
    stop: asyncio.Event | None = None,
    timing: fleet_worker.Timing | None = None,
    parts: Parts | None = None,
) -> None:
    """Send for institutions until `stop` is set; what is under way then is finished.

    `configs` has the credentials by lane; every few seconds `read_again` is asked for newer ones.
    What is under way for an institution that is gone then is finished with the slice.

    Raises:
        CannotStart: the database cannot be used, or has not the tables of this version.
        DatabaseUnreachable: it cannot be reached at the start.
        OSError: the port for the metrics is in use.

    """
    await asyncio.to_thread(_require_ledger, home)
    with GroupCommit(lambda: connect(home.database)) as commits:
        lanes = Lanes(home, configs, commits, parts or Parts(), read_again)
        await fleet_worker.work(
            home.database,
            lanes=configs.keys(),
            drain=lanes.drain,
            open_institutions=lanes.open_institutions,
            served=lanes.served,
            concurrency=concurrency,
            metrics_port=metrics_port,
            stop=stop,
            timing=timing,
        )


def _require_ledger(home: SharedHome) -> None:
    PostgresLedger(home).close()
