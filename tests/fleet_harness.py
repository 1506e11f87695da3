"""A fleet for tests: a database of its own, a sandbox, and workers in this process or in others."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from bulkcast.config import Config
from bulkcast.fleet.worker import Timing
from bulkcast.home import SharedHome
from bulkcast.ledger import RunRecord, open_ledger
from bulkcast.model import Credentials, Institution, Secret
from bulkcast.pipeline import Prepared, PreparedRun, SendOptions, fleet_control, lanes, submission
from bulkcast.pipeline.execution import Parts
from bulkcast.pipeline.fleet_control import lane_of
from bulkcast.pipeline.lanes import ReadAgain
from bulkcast.pipeline.submission import Submitted
from bulkcast.sandbox import SANDBOX_SECRET, SANDBOX_SID, Sandbox, World
from tests.postgres import drop_database, new_database

QUICK: Final = Timing(
    ttl_s=4.0, renew_s=0.5, orders_s=0.1, reconcile_s=0.3, heartbeat_s=0.5, slice_s=2.0, grace_s=5.0
)
"""The timing of a worker that does in seconds what usually takes a minute."""


@dataclass
class Fleet:
    """A database, a sandbox, and who sends to it."""

    home: SharedHome
    sandbox: Sandbox
    config: Config
    timing: Timing = QUICK
    workers: list["asyncio.Task[None]"] = field(default_factory=list)

    async def submit(self, prepared: Prepared, **options: Any) -> Submitted:
        run = PreparedRun(prepared, self.config)
        return await submission.submit(run, self.home, SendOptions(**options), user="li")

    async def alive(self) -> int:
        """How many workers have reported."""
        found = await fleet_control.status(self.home)
        return sum(worker.is_alive for worker in found.status.workers)

    @asynccontextmanager
    async def worker(
        self,
        *,
        secret: str = "",
        sids: Sequence[str] = (SANDBOX_SID,),
        parts: Parts | None = None,
        read_again: ReadAgain = lambda: None,
    ) -> AsyncIterator["asyncio.Task[None]"]:
        """A worker in this process for these institutions, which ends in order."""
        stop = asyncio.Event()
        configs = {}
        for sid in sids:
            config = replace(
                self.config,
                institution=replace(self.config.institution, sid=sid),
                credentials=Credentials(sid, Secret(secret) if secret else SANDBOX_SECRET),
            )
            configs[lane_of(config.institution)] = config
        task = asyncio.create_task(
            lanes.work(
                self.home,
                configs,
                stop=stop,
                timing=self.timing,
                parts=parts,
                read_again=read_again,
            )
        )
        try:
            while not task.done() and not await self.alive():
                await asyncio.sleep(0.02)
            yield task
        finally:
            stop.set()
            await task


@asynccontextmanager
async def fleet(
    folder: Path, world: World | None = None, database: str = ""
) -> AsyncIterator[Fleet]:
    """A fleet whose home is in `folder`; its database is new unless one is given."""
    database = database or await asyncio.to_thread(new_database, fleet_control.init)
    sandbox = Sandbox(world or World(first_whole=False), secret=SANDBOX_SECRET)
    try:
        async with sandbox.serving() as url:
            config = Config(
                Institution(url, SANDBOX_SID), Credentials(SANDBOX_SID, SANDBOX_SECRET),
                folder / "home", database=database, user="li",
            )  # fmt: skip
            yield Fleet(SharedHome(folder / "home", database), sandbox, config)
    finally:
        await asyncio.to_thread(drop_database, database)


async def ended(found: Fleet, run: str) -> RunRecord:
    """The run once it has ended."""
    while True:
        record = await asyncio.to_thread(record_of, found.home, run)
        if record.finished_at is not None:
            return record
        await asyncio.sleep(0.1)


def record_of(home: SharedHome, run: str) -> RunRecord:
    """The run as it is."""
    with open_ledger(home) as ledger:
        return ledger.newest(run)
