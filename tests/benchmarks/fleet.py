"""A fleet on PostgreSQL: rows/s by workers, CPU a row beside SQLite, recovery, fairness.

Workers, sandbox and PostgreSQL are processes of their own on this computer, so more workers than
it has cores free bring nothing here.  The CPU of workers is without their start.
"""

import asyncio
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bulkcast.fleet.worker import Timing
from bulkcast.pipeline import Control, RunReport, SendOptions, apply_parts, submission
from tests.benchmarks.measuring import Figure, Spent, spend, table
from tests.fleet_processes import (
    FleetOfProcesses,
    SandboxProcess,
    School,
    WorkerProcess,
    fleet_of_processes,
    mixed_sheet,
)

SCHOOLS = 20
ROWS = int(os.environ.get("BENCH_FLEET_ROWS", "250"))
"""Of each institution."""
MORE_WORKERS = (2, 4)
GOES = 3
"""Of one worker and of SQLite, in turns."""
RATE = 10.0
"""Requests a second for each institution where the pace counts."""


def compare() -> list[Figure]:
    """Everything; about three minutes."""
    goes = [(asyncio.run(_send(1)), _embedded_us()) for _ in range(GOES)]
    worker_us, client_us = (
        median(getattr(sent, name) for sent, _ in goes) for name in ("worker_us", "client_us")
    )
    speeds = {1: median(sent.rows_s for sent, _ in goes)}
    speeds |= {workers: asyncio.run(_send(workers)).rows_s for workers in MORE_WORKERS}
    recovery_s, spread_s = asyncio.run(_recovery())
    return [
        *(Figure(f"rows/s, workers: {n}", f"{speed:,.0f}", "") for n, speed in speeds.items()),
        Figure("CPU a row, worker", f"{worker_us:.0f} µs", ""),
        Figure("CPU a row, who submits", f"{client_us:.0f} µs", ""),
        Figure("CPU a row, both", f"{worker_us + client_us:.0f} µs", "<= 340 µs"),
        Figure("CPU a row, SQLite", f"{median(us for _, us in goes):.0f} µs", ""),
        Figure("recovery after kill -9", f"{recovery_s:.1f} s", "< 15 s"),
        Figure(f"first to last of {SCHOOLS} to end", f"{spread_s:.1f} s", ""),
    ]


@dataclass(frozen=True, slots=True)
class _Sent:
    rows_s: float
    worker_us: float
    """CPU a row of the workers."""
    client_us: float
    """CPU a row of the process that hands in and reports, reading and checking included."""


async def _send(workers: int) -> _Sent:
    """Send as fast as it goes, with so many workers."""
    rows = SCHOOLS * ROWS
    with TemporaryDirectory() as name:
        folder = Path(name)
        sheet = mixed_sheet(folder / "term.csv", [ROWS] * SCHOOLS)
        sandbox = SandboxProcess(SCHOOLS, latency_s=0.0)
        async with fleet_of_processes(folder, sandbox, SCHOOLS, Timing()) as fleet:
            started = [fleet.start(f"{n}") for n in range(workers)]
            await fleet.until_alive(workers)
            await asyncio.sleep(1.0)
            before = sum(map(_cpu_s, started))
            began, own = time.perf_counter(), time.process_time()
            await _through(fleet, sheet, SendOptions(rate=math.inf))
            wall, own = time.perf_counter() - began, time.process_time() - own
            spent = sum(map(_cpu_s, started)) - before
    return _Sent(rows / wall, spent / rows * 1e6, own / rows * 1e6)


async def _through(fleet: FleetOfProcesses, sheet: Path, options: SendOptions) -> RunReport:
    run = fleet.prepare(sheet)
    done = await submission.submit(run, fleet.home, options, user="li")
    report = await submission.follow(fleet.home, done.run, options, "li", Control(), None)
    if report.exit_status:
        raise SystemExit(f"the run ended with {report.exit_status}: {dict(report.counts)}")
    return report


def _cpu_s(worker: WorkerProcess) -> float:
    """Seconds of CPU that a worker has used; Linux alone says so of others."""
    try:
        fields = Path(f"/proc/{worker.process.pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return math.nan
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _embedded_us() -> float:
    """CPU a row of the same sheet on SQLite, reading and checking included."""
    with TemporaryDirectory() as name, SandboxProcess(SCHOOLS, latency_s=0.0) as sandbox:
        folder = Path(name)
        sheet = mixed_sheet(folder / "term.csv", [ROWS] * SCHOOLS)
        schools = [School(n) for n in range(SCHOOLS)]
        alone = FleetOfProcesses(folder, "", sandbox, schools, Timing())

        def work() -> None:
            run = alone.prepare(sheet, folder / "home")
            asyncio.run(apply_parts(run, SendOptions(rate=math.inf), home=folder / "home"))

        spent: Spent = spend(work)
    return spent.cpu / (SCHOOLS * ROWS) * 1e6


async def _recovery() -> tuple[float, float]:
    """Seconds until all lanes of a killed worker go on, and from the first to the last end."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        sheet = mixed_sheet(folder / "term.csv", [300] * SCHOOLS)
        sandbox = SandboxProcess(SCHOOLS)
        async with fleet_of_processes(folder, sandbox, SCHOOLS, Timing()) as fleet:
            first, _ = fleet.start("first"), fleet.start("second")
            await fleet.until_alive(2)
            sending = asyncio.create_task(_through(fleet, sheet, SendOptions(rate=RATE)))
            await sandbox.until(SCHOOLS * 40)
            first.kill()
            killed = time.time()
            await sending
            log = sandbox.log(folder)
    lost = {sent.received.sid for sent in log if sent.worker == "first"}
    again = [
        min(s.received.at for s in log if s.received.sid == sid and s.worker == "second")
        for sid in lost
    ]
    ends = [max(s.received.at for s in log if s.received.sid == sid) for sid in _sids()]
    return max(again) - killed, max(ends) - min(ends)


def _sids() -> Sequence[str]:
    return [School(n).sid for n in range(SCHOOLS)]


if __name__ == "__main__":
    print(table(compare()))
