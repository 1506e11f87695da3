"""A worker in a process of its own, for tests to kill, freeze and stop.

    python -m tests.fleet_worker URL NAME INSTITUTION…

Its work is a table of numbers per institution, `work`; what it "sends" goes into `sends`.  Like the
real one it records an intent under its lane's epoch first, and asks the lease right before sending.
"""

import asyncio
import secrets
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psycopg

from bulkcast.errors import DatabaseUnreachable
from bulkcast.fleet.database import Database
from bulkcast.fleet.schema import create_tables
from bulkcast.fleet.worker import Lane, LaneEnd, Timing, work
from bulkcast.ledger.postgres import create_schema

ROOT: Final = Path(__file__).resolve().parent.parent
QUICK: Final = Timing(
    ttl_s=1.5, renew_s=0.3, orders_s=0.1, reconcile_s=0.2, heartbeat_s=0.5, slice_s=1.0, grace_s=2.0
)
"""A minute of the real worker in a second or two."""
TABLES: Final = """
CREATE TABLE work (institution text, n integer, done boolean NOT NULL DEFAULT false,
    PRIMARY KEY (institution, n));
CREATE TABLE sends (attempt text PRIMARY KEY, institution text, n integer, worker text,
    epoch bigint, at timestamptz NOT NULL DEFAULT clock_timestamp());
"""
_NEXT: Final = """
SELECT n FROM work WHERE institution = %s AND NOT done ORDER BY n LIMIT 1
"""
_INTEND: Final = """
INSERT INTO sends (attempt, institution, n, worker, epoch)
SELECT %(attempt)s, institution, %(n)s, %(worker)s, epoch FROM lanes
WHERE institution = %(institution)s AND epoch = %(epoch)s FOR SHARE
ON CONFLICT DO NOTHING
"""
_DONE: Final = """
UPDATE work SET done = true WHERE institution = %(institution)s AND n = %(n)s AND EXISTS (
    SELECT FROM lanes WHERE institution = %(institution)s AND epoch = %(epoch)s)
"""
_OPEN: Final = "SELECT DISTINCT institution FROM work WHERE NOT done"


def prepare(url: str) -> None:
    """Fill an empty database with the tables of ledger, fleet and work."""
    create_schema(url)
    create_tables(url)
    with psycopg.connect(url) as connection:
        connection.execute(TABLES)


def add_work(url: str, institution: str, n: int) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO work SELECT %s, generate_series(1, %s)", (institution, n)
        )  # fmt: skip


class Numbers:
    """Sends an institution's numbers, one each `every_s`."""

    def __init__(self, database: Database, name: str, every_s: float = 0.02) -> None:
        self._database = database
        self._name = name
        self._every_s = every_s

    async def drain(self, lane: Lane) -> LaneEnd:
        clock = asyncio.get_running_loop().time
        slices = int(lane.memory.strip("{}") or 0) + 1
        while not lane.stop.is_set() and clock() < lane.deadline:
            if lane.paused:
                await asyncio.sleep(0.05)
                continue
            left = await self._database.fetch_patiently(_NEXT, (lane.institution,))
            if not left:
                return LaneEnd(more=False, memory=f"{{{slices}}}")
            await self._send(lane, left[0][0])
        return LaneEnd(more=True, memory=f"{{{slices}}}")

    async def _send(self, lane: Lane, n: int) -> None:
        values = {"institution": lane.institution, "n": n, "worker": self._name,
                  "epoch": lane.lease.epoch, "attempt": secrets.token_hex(8)}  # fmt: skip
        if lane.lease.may_send(asyncio.get_running_loop().time()):
            await self._database.fetch_patiently(_INTEND, values)
            await asyncio.sleep(self._every_s)
            await self._database.fetch_patiently(_DONE, values)
            lane.count("applied")
        else:
            await asyncio.sleep(0.05)

    async def open_institutions(self) -> list[str]:
        return [row[0] for row in await self._database.fetch(_OPEN)]


async def run_worker(
    url: str, name: str, lanes: Sequence[str], stop: asyncio.Event, timing: Timing = QUICK
) -> None:
    async with Database(url) as database:
        numbers = Numbers(database, name)
        giving_up = asyncio.create_task(give_up(database, stop))
        await work(
            url, lanes=lanes, drain=numbers.drain, open_institutions=numbers.open_institutions,
            name=name, stop=stop, timing=timing,
        )  # fmt: skip
        await giving_up


async def give_up(database: Database, stop: asyncio.Event) -> None:
    await stop.wait()
    database.be_patient_until(asyncio.get_running_loop().time() + 0.5)


def start_worker(url: str, name: str, *lanes: str) -> subprocess.Popen[str]:
    """Start a worker process; its stderr is to be read by the caller."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.fleet_worker", url, name, *lanes],
        cwd=ROOT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


async def main(url: str, name: str, *lanes: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    timing = Timing() if name.startswith("real") else QUICK
    try:
        await run_worker(url, name, lanes, stop, timing)
    except DatabaseUnreachable as exc:
        sys.exit(f"{exc}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
