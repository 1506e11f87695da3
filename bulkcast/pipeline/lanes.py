"""The work of a fleet's worker: sends for one institution after another, a slice at a time."""

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from bulkcast.config import Config
from bulkcast.dispatcher.write_ordering import UnansweredAttempt
from bulkcast.errors import LaneLost, LedgerUnwritable
from bulkcast.fleet.worker import Lane, LaneEnd
from bulkcast.home import SharedHome
from bulkcast.ledger import RunHeader, Timestamp
from bulkcast.ledger.group_commit import GroupCommit, LaneClaim
from bulkcast.ledger.postgres import PostgresLedger
from bulkcast.ledger.queue import Waiting
from bulkcast.model import Attempt, History, Stop
from bulkcast.pacing import CONCURRENCY
from bulkcast.pipeline.execution import Parts, superseded_attempt
from bulkcast.pipeline.options import SendOptions

_LOOK_EVERY_S: Final = 0.5
_WINDOW_S: Final = 90.0
"""Requests are read for so many seconds of sending: a slice and a half."""
_WINDOW_MOST: Final = 20_000
_ALL: Final = 10**9
_CANCELLED: Final = Stop("interrupted", "run.interrupted", exit_status=130)


@dataclass(frozen=True, slots=True)
class LaneWork:
    """What a slice is to send."""

    header: RunHeader
    waiting: Waiting
    superseded: tuple[Attempt, ...]
    pending: tuple[tuple[UnansweredAttempt, float], ...]
    """Attempts that ClassIn may still carry out, and how old they are in seconds."""

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


@dataclass(frozen=True, slots=True)
class Lanes:
    """Sends for the institutions that a worker has credentials for."""

    home: SharedHome
    configs: Mapping[str, Config]
    """Lane → whose credentials."""
    commits: GroupCommit
    parts: Parts = field(default_factory=Parts)

    async def open_institutions(self) -> frozenset[str]:
        """The lanes with runs that have not ended."""
        return await asyncio.to_thread(self._open)

    def _open(self) -> frozenset[str]:
        with PostgresLedger(self.home) as ledger:
            return ledger.open_institutions()

    async def drain(self, lane: Lane) -> LaneEnd:
        """Send the run that comes next until the slice ends."""
        work = await asyncio.to_thread(self._next, lane.institution)
        if work is None:
            return LaneEnd(more=False, memory=lane.memory)
        claim = LaneClaim(lane.institution, lane.lease.epoch, self.commits)
        try:
            return await self._send(lane, work, claim)
        except LaneLost:
            return LaneEnd(more=False, memory=lane.memory)
        except LedgerUnwritable:
            return LaneEnd(more=True, delay_s=1.0, memory=lane.memory)

    def _next(self, institution: str) -> LaneWork | None:
        with PostgresLedger(self.home) as ledger:
            run = ledger.next_run(institution)
            if run is None:
                return None
            header = ledger.newest(run).header
            rate = options_of(header).rate
            window = _WINDOW_MOST if math.isinf(rate) else math.ceil(rate * _WINDOW_S) + CONCURRENCY
            waiting = ledger.waiting(run, min(window, _WINDOW_MOST))
            newer = ledger.superseded(run)
            unanswered = ledger.unanswered(header.institution, Timestamp(0.0))
        overtaken = [r for r in waiting.requests if r.key in newer]
        left = tuple(r for r in waiting.requests if r.key not in newer)
        return LaneWork(
            header,
            replace(waiting, requests=left),
            tuple(
                superseded_attempt(r.key, newer[r.key], waiting.history.get(r.key, History()))
                for r in overtaken
            ),
            tuple(
                (UnansweredAttempt(sent.target, sent.body, 0.0, sent.ahead_s), sent.age_s)
                for sent in unanswered
            ),
        )

    async def _send(self, lane: Lane, work: LaneWork, claim: LaneClaim) -> LaneEnd:
        run, waiting = work.header.run, work.waiting
        with PostgresLedger(self.home) as ledger:
            with ledger.journal(run, None, claim) as journal:
                await journal.record(work.superseded)
                if lane.is_cancelled(run):
                    stop: Stop | None = _CANCELLED
                    await self._leave(ledger, run, journal, _CANCELLED)
                    memory = lane.memory
                else:
                    dispatcher = await self._dispatch(lane, work, journal)
                    stop, memory = dispatcher.stopped, dispatcher.memory()
                    _count(lane, dispatcher)
                    if stop and stop.reason == "lease":
                        return LaneEnd(more=False, memory=memory)
                    if stop and stop.reason == "ledger":
                        return LaneEnd(more=True, delay_s=1.0, memory=lane.memory)
                    if dispatcher.handed_over or (not stop and not waiting.is_all):
                        return LaneEnd(more=True, memory=memory)
                    if stop and not waiting.is_all:
                        await self._leave(ledger, run, journal, stop)
            await asyncio.to_thread(ledger.finish_in_lane, run, stop, self.parts.wall(), claim)
        if lane.is_cancelled(run):
            await lane.forget_cancel(run)
        return LaneEnd(more=True, memory=memory)
