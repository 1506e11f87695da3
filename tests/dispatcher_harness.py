"""Runs the dispatcher in virtual time, with real client, sandbox (over HTTP) and ledger."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bulkcast.client import Client
from bulkcast.dispatcher import Dispatcher
from bulkcast.dispatcher.write_ordering import PendingWrites
from bulkcast.endpoints import WEBCAST
from bulkcast.ledger import RunHeader, open_ledger
from bulkcast.model import (
    Body,
    Credentials,
    History,
    Institution,
    Layout,
    Outcome,
    Request,
    RequestKey,
    RowStatus,
    Secret,
    Stop,
    Target,
)
from bulkcast.pacing import DEFAULT_RATE, Pacer, cap_for
from bulkcast.planner import Plan
from bulkcast.protocol import NoReply, Reply
from bulkcast.sandbox import (
    SANDBOX_SECRET,
    SANDBOX_SID,
    Classroom,
    Received,
    Sandbox,
    World,
    read_fault,
)
from bulkcast.sandbox.faults import Script, read_script
from tests.sheets import FIRST_ID
from tests.virtual_loop import VirtualLoop, run

ALL_ON = (("recordState", 1), ("recordType", 0), ("liveState", 1), ("openState", 1))


def request(row: int, settings: Body = ALL_ON, **more: object) -> Request:
    """The request of one row; classroom ids follow row numbers."""
    target = Target("activityId", FIRST_ID + row)
    body: Body = (("activityId", target.id), *settings)
    return Request(RequestKey(str(row)), (row,), target, body, **more)  # type: ignore[arg-type] # test data


def requests(n: int) -> list[Request]:
    """Requests for rows 2 to n + 1."""
    return [request(row) for row in range(2, n + 2)]


def classroom(row: int, *faults: str, **facts: object) -> Classroom:
    """The classroom of a row, with the faults its requests meet, one after another."""
    script = read_script(list(faults), WEBCAST) if faults else Script(())
    return Classroom((Target("activityId", FIRST_ID + row),), script=script, **facts)  # type: ignore[arg-type] # test data


def header(run: str, n_requests: int, **more: object) -> RunHeader:
    """A run's header, with an invented sheet."""
    values: dict[str, object] = {
        "run": run,
        "institution": Institution("https://api.eeo.cn", SANDBOX_SID),
        "created_at": 1.0,
        "sheet": "term.csv",
        "snapshot": "sheet.csv",
        "sha256": "",
        "layout": Layout("csv", 1),
        "headers": ("activityId",),
        "n_rows": n_requests,
        "n_requests": n_requests,
        "target": "out.csv",
        "tz": "Asia/Shanghai",
    }
    return RunHeader(**{**values, **more})  # type: ignore[arg-type] # test data


@dataclass(frozen=True)
class Dispatched:
    """The results of a dispatch."""

    outcomes: Mapping[RequestKey, Outcome]
    log: Sequence[Received]
    dispatcher: Dispatcher
    elapsed_s: float
    stored: Mapping[int, Outcome]
    """Row → outcome, from the ledger."""

    @property
    def statuses(self) -> Counter[RowStatus]:
        return Counter(outcome.status for outcome in self.outcomes.values())

    @property
    def stopped(self) -> Stop | None:
        return self.dispatcher.stopped

    def sends(self, row: int) -> int:
        """The number of requests for a row at the server."""
        wanted = Target("activityId", FIRST_ID + row)
        return sum(received.target == wanted for received in self.log)

    def outcome(self, row: int) -> Outcome:
        return self.outcomes[RequestKey(str(row))]


Schedule = Callable[[VirtualLoop, Sandbox, Dispatcher], None]
"""Schedules events during the run, with `loop.call_at`."""


def dispatch(
    home: Path,
    wanted: Sequence[Request],
    world: World | None = None,
    *,
    secret: Secret = SANDBOX_SECRET,
    clock_offset_s: float = 0.0,
    rate: float = DEFAULT_RATE,
    timeout: float = 20.0,
    concurrency: int = 32,
    max_outage_s: float = 45 * 60.0,
    history: Mapping[RequestKey, History] | None = None,
    schedule: Schedule | None = None,
    pending_writes: PendingWrites | None = None,
    linger_s: float = 0.0,
) -> Dispatched:
    """Send `wanted` to a sandbox in virtual time, which stays open for `linger_s` seconds."""

    async def main(loop: VirtualLoop) -> Dispatched:
        sandbox = Sandbox(
            world or World(),
            secret=SANDBOX_SECRET,
            clock=loop.wall,
            clock_offset_s=clock_offset_s,
        )
        credentials = Credentials(SANDBOX_SID, secret)
        with open_ledger(home) as ledger:
            ledger.create(header("r1", len(wanted)), Plan(tuple(wanted)), {})
            async with (
                sandbox.serving() as url,
                Client(
                    url, WEBCAST.path, credentials, connections=concurrency, timeout=timeout
                ) as client,
            ):
                with ledger.journal("r1") as journal:
                    dispatcher = Dispatcher(
                        WEBCAST,
                        client.send,
                        journal,
                        Pacer(rate, cap_for(WEBCAST.limit, rate)),
                        wall=loop.wall,
                        concurrency=concurrency,
                        max_outage_s=max_outage_s,
                        pending_writes=pending_writes,
                        send_by_characters=client.send_by_characters,
                    )
                    if schedule:
                        schedule(loop, sandbox, dispatcher)
                    outcomes = await dispatcher.run(wanted, history)
                    elapsed_s = loop.time()
                    await asyncio.sleep(linger_s)  # in virtual time: delayed requests still arrive
            stored = ledger.load("r1").by_row()
        return Dispatched(outcomes, sandbox.log, dispatcher, elapsed_s, stored)

    return run(main)


def fault_between(fault: str, begins: float, ends: float) -> Schedule:
    """Every request meets `fault` between two times, in seconds of virtual time."""

    def schedule(loop: VirtualLoop, sandbox: Sandbox, _: Dispatcher) -> None:
        def set_fault(text: str) -> None:
            sandbox.fault_for_all = read_fault(text, WEBCAST) if text else None

        loop.call_at(begins, set_fault, fault)
        loop.call_at(ends, set_fault, "")

    return schedule


def met(fault: str) -> Reply | NoReply:
    """What the client returns for a request that meets a fault."""

    async def main(loop: VirtualLoop) -> Reply | NoReply:
        world = World(classrooms=(classroom(2, fault),))
        sandbox = Sandbox(world, secret=SANDBOX_SECRET, clock=loop.wall)
        known = Credentials(SANDBOX_SID, SANDBOX_SECRET)
        async with (
            sandbox.serving() as url,
            Client(url, WEBCAST.path, known, connections=1) as one,
        ):
            return await one.send(request(2).body, int(loop.wall()))

    return run(main)
