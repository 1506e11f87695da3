"""Runs the dispatcher in slices, as workers of a fleet do: each knows the ledger and a memory."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bulkcast.client import Client
from bulkcast.dispatcher import Dispatcher
from bulkcast.dispatcher.write_ordering import PendingWrites, UnansweredAttempt
from bulkcast.endpoints import WEBCAST
from bulkcast.ledger import Ledger, Timestamp, open_ledger
from bulkcast.ledger.sqlite import SqliteLedger
from bulkcast.model import Credentials, Institution, Outcome, Request, RequestKey, RowStatus, Stop
from bulkcast.pacing import DEFAULT_RATE, LeasedPacer, Pacer
from bulkcast.planner import Plan
from bulkcast.sandbox import SANDBOX_SECRET, SANDBOX_SID, Received, Sandbox, World
from tests.dispatcher_harness import header
from tests.virtual_loop import VirtualLoop, run

NEAR_S = 0.25
INSTITUTION = Institution("https://api.eeo.cn", SANDBOX_SID)


@dataclass
class Slices:
    """The results of a run in slices."""

    outcomes: dict[RequestKey, Outcome] = field(default_factory=dict)
    log: Sequence[Received] = ()
    memories: list[str] = field(default_factory=list)
    """What the first slice was given, then what each left behind."""
    dispatchers: list[Dispatcher] = field(default_factory=list)
    ended_at: list[float] = field(default_factory=list)
    settled: list[frozenset[RequestKey]] = field(default_factory=list)
    """After each slice, the requests that have an outcome in the ledger."""
    due: float = 0.0
    """When the next slot may begin."""

    @property
    def stopped(self) -> Stop | None:
        return self.dispatchers[-1].stopped

    @property
    def statuses(self) -> Mapping[RowStatus, int]:
        found: dict[RowStatus, int] = {}
        for outcome in self.outcomes.values():
            found[outcome.status] = found.get(outcome.status, 0) + 1
        return found


Schedule = Callable[[VirtualLoop, Sandbox], None]
"""Schedules events of the whole run."""
SliceSchedule = Callable[[VirtualLoop, Dispatcher, int], None]
"""Schedules events of one slice, counted from 0."""


class LeasedElsewhere:
    """The pace that all workers share, in the place of the database."""

    def __init__(self, pacer: LeasedPacer, time: Callable[[], float], due: float) -> None:
        self.pacer, self.time, self.due = pacer, time, due

    async def replenish(self) -> None:
        n = self.pacer.wanted(self.time())
        await asyncio.sleep(0.002 if n else 0)
        first = max(self.due, self.time())
        if first - self.time() > NEAR_S:  # as the database refuses what is not near yet
            return
        step = 1.0 / self.pacer.rate
        self.pacer.lease([first + step * each for each in range(n)])
        self.due = first + step * n

    def given_back(self) -> float:
        """When the next slot may begin, now that nothing uses those leased."""
        return self.pacer.unused(self.time()) or self.due


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What all slices of a run have in common."""

    wanted: Sequence[Request]
    slice_s: float
    rate: float
    max_outage_s: float
    of_slice: SliceSchedule | None
    leased: bool
    may_send: Callable[[VirtualLoop], bool] | None


def dispatch_in_slices(
    home: Path,
    wanted: Sequence[Request],
    world: World | None = None,
    *,
    slice_s: float = 60.0,
    gap_s: float = 0.5,
    rate: float = DEFAULT_RATE,
    max_outage_s: float = 45 * 60.0,
    schedule: Schedule | None = None,
    of_slice: SliceSchedule | None = None,
    leased: bool = False,
    may_send: Callable[[VirtualLoop], bool] | None = None,
    memory: str = "",
    most: int = 500,
) -> Slices:
    """Send `wanted` in virtual time in slices of `slice_s`, until nothing is left."""
    setup = Setup(
        wanted=wanted,
        slice_s=slice_s,
        rate=rate,
        max_outage_s=max_outage_s,
        of_slice=of_slice,
        leased=leased,
        may_send=may_send,
    )

    async def main(loop: VirtualLoop) -> Slices:
        found = Slices(memories=[memory])
        sandbox = Sandbox(world or World(), secret=SANDBOX_SECRET, clock=loop.wall)
        with open_ledger(home) as ledger:
            ledger.create(header("r1", len(wanted)), Plan(tuple(wanted)), {})
        async with sandbox.serving() as url:
            if schedule:
                schedule(loop, sandbox)
            while len(found.dispatchers) < most:
                with open_ledger(home) as ledger:
                    await one_slice(loop, ledger, url, setup, found)
                if not found.dispatchers[-1].handed_over:
                    break
                await asyncio.sleep(gap_s)
        found.log = sandbox.log
        return found

    return run(main)


async def one_slice(
    loop: VirtualLoop, ledger: Ledger, url: str, setup: Setup, found: Slices
) -> None:
    """Send for one slice what the slices before have left."""
    known = Credentials(SANDBOX_SID, SANDBOX_SECRET)
    may_send = setup.may_send
    elsewhere = LeasedElsewhere(LeasedPacer(setup.rate), loop.time, found.due)
    async with Client(url, WEBCAST.path, known, connections=32) as client:
        with ledger.journal("r1") as journal:
            dispatcher = Dispatcher(
                WEBCAST,
                client.send,
                journal,
                elsewhere.pacer if setup.leased else Pacer(setup.rate, None),
                wall=loop.wall,
                max_outage_s=setup.max_outage_s,
                pending_writes=pending_writes(ledger, loop),
                send_by_characters=client.send_by_characters,
                replenish=elsewhere.replenish if setup.leased else None,
                may_send=(lambda: may_send(loop)) if may_send else None,
                memory=found.memories[-1],
            )
            end = loop.call_at(loop.time() + setup.slice_s, dispatcher.hand_over)
            if setup.of_slice:
                setup.of_slice(loop, dispatcher, len(found.dispatchers))
            left = [q for q in setup.wanted if q.key not in found.outcomes]
            outcomes = await dispatcher.run(left, ledger.load("r1").history)
            end.cancel()
    found.outcomes.update(outcomes)
    found.due = elsewhere.given_back()
    found.memories.append(dispatcher.memory())
    found.dispatchers.append(dispatcher)
    found.ended_at.append(loop.time())
    found.settled.append(settled(ledger))


def pending_writes(ledger: Ledger, loop: VirtualLoop) -> PendingWrites:
    """What earlier slices sent and may still arrive."""
    return PendingWrites(
        UnansweredAttempt(sent.target, sent.body, loop.time() - sent.age_s, sent.ahead_s)
        for sent in ledger.unanswered(INSTITUTION, Timestamp(loop.wall()))
    )


def settled(ledger: Ledger) -> frozenset[RequestKey]:
    """The requests with an outcome in the ledger."""
    assert isinstance(ledger, SqliteLedger)
    with ledger._reading() as connection:
        rows = connection.execute(
            "SELECT r.key FROM outcomes JOIN requests AS r USING (run_id, seq)"
        )
        return frozenset(RequestKey(key) for (key,) in rows)
