"""Workers killed, frozen, cut off and stopped while they send: every row is accounted for."""

import asyncio
import json
import signal
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, inf
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import psycopg
import pytest

from bulkcast.fleet.worker import Timing
from bulkcast.pipeline import Control, SendOptions, apply_parts, fleet_control, submission
from tests.audit import Ended, Evidence, most_in_window, verdict
from tests.fleet_processes import (
    QUICK,
    FleetOfProcesses,
    SandboxProcess,
    School,
    Sent,
    WorkerProcess,
    fleet_of_processes,
    mixed_sheet,
)
from tests.measured_figures import Record
from tests.postgres import programs, server
from tests.sheets import read_rows
from tests.toxic_proxy import Down, Proxy

pytestmark = [pytest.mark.proof, pytest.mark.slow]

CRASHES: Final = ("kill", "freeze", "cut")
"""After these, what was in flight is sent again."""


@dataclass
class Ordeal:
    """What happens to the workers of a fleet, and what is seen of it."""

    fleet: FleetOfProcesses
    rows: int
    limit: tuple[int, float]
    """The most requests for an institution in any window of so many seconds."""
    events: list[tuple[str, str, float]] = field(default_factory=list)
    """What happened to which worker, and when; Unix seconds."""

    def note(self, event: str, worker: WorkerProcess | None = None) -> None:
        self.events.append((event, worker.name if worker else "", time.time()))

    async def busiest(self) -> WorkerProcess:
        """The worker that holds most lanes, but for the one that is to lose its database."""
        while not (worker := self._busiest_now()):  # on a busy machine nobody may hold one just now
            await asyncio.sleep(0.1)
        return worker

    def _busiest_now(self) -> WorkerProcess | None:
        with psycopg.connect(self.fleet.database) as database:
            found = database.execute(
                "SELECT split_part(worker, ':', 2)::integer FROM lanes"
                " WHERE expires_at > clock_timestamp() GROUP BY 1 ORDER BY count(*) DESC"
            ).fetchall()
        alive = [each for each in self.fleet.workers[1:] if each.process.poll() is None]
        by_pid = {worker.process.pid: worker for worker in alive}
        return next((by_pid[pid] for (pid,) in found if pid in by_pid), None)

    async def at(self, share: float) -> None:
        """Wait until this share of the rows has come."""
        await self.fleet.sandbox.until(ceil(share * self.rows))

    async def kill(self, successor: str) -> None:
        """Kill -9 the busiest worker and start another one."""
        worker = await self.busiest()
        worker.kill()
        self.note("kill", worker)
        self.fleet.start(successor)

    async def freeze(self) -> None:
        """Freeze the busiest worker until its leases are another's, and wake it."""
        worker = await self.busiest()
        worker.send(signal.SIGSTOP)
        self.note("freeze", worker)
        await asyncio.sleep(self.fleet.timing.ttl_s + 3 * self.fleet.timing.reconcile_s + 1.0)
        worker.send(signal.SIGCONT)
        self.note("wake", worker)

    async def stop(self, worker: WorkerProcess, successor: str) -> None:
        """Stop a worker in order and start another one."""
        self.fleet.start(successor)
        self.note("stop", worker)
        assert await asyncio.to_thread(worker.end) == 0

    async def happen(self, proxy: Proxy, cut: WorkerProcess) -> None:
        """Everything that can happen; `cut` is the worker whose database is behind `proxy`."""
        await self.at(0.10)
        await self.kill("third")
        await self.at(0.25)
        await self.freeze()
        await self.kill("fourth")
        await self.at(0.55)
        await self.cut_off(proxy, cut)
        await self.at(0.70)
        await self.stop(cut, "fifth")
        await self.at(0.80)
        self.note("restart")
        await asyncio.to_thread(server().restart)

    async def cut_off(self, proxy: Proxy, worker: WorkerProcess) -> None:
        """Take the database away from the worker behind a proxy until its leases are over."""
        proxy.toxics["downstream"] = Down()
        proxy.hang_up()
        self.note("cut", worker)
        await asyncio.sleep(1.3 * self.fleet.timing.ttl_s)
        proxy.toxics.clear()


@dataclass(frozen=True)
class Seen:
    """What an ordeal left."""

    ordeal: Ordeal
    ended: Ended
    log: Sequence[Sent]
    held: Mapping[tuple[str, int], Mapping[str, object]]

    def evidence(self) -> Evidence:
        """For the auditor, the database as it is dumped with it."""
        fleet, papers = self.ordeal.fleet, self.ordeal.fleet.folder / "papers"
        command = (str(programs() / "pg_dump"), "--file", str(papers / "dump.sql"), fleet.database)
        subprocess.run(command, check=True)
        records = fleet_control.records_of(fleet.home, self.ended.run)
        return Evidence(
            home=fleet.home,
            rows={record.header.run: record.header.n_rows for record in records},
            log=[sent.received for sent in self.log],
            ended=[self.ended],
            crashes=sum(event in CRASHES for event, _, _ in self.ordeal.events),
            held={classroom: settings for (_, classroom), settings in self.held.items()},
            secrets={school.sid: school.secret for school in fleet.schools},
            papers=(papers, *([self.ended.results] if self.ended.results else ())),
            pace=self.ordeal.limit,
        )

    def outrun(self) -> Iterator[str]:
        """Requests that left under a lease which another worker's had followed."""
        newest: dict[str, int] = defaultdict(int)
        for sent in self.log:
            sid = sent.received.sid
            if sent.epoch < newest[sid]:
                yield f"{sent.worker} sent for {sid} under {sent.epoch} after {newest[sid]}"
            newest[sid] = max(newest[sid], sent.epoch)

    def repeats(self) -> Iterator[Sent]:
        """What had taken effect and was sent again all the same."""
        before: dict[tuple[str, int], Sent] = {}
        for sent in self.log:
            old = before.get(sent.key)
            if old and old.received.answer == "1":
                yield old
            before[sent.key] = sent

    def was_in_flight(self, sent: Sent) -> bool:
        """Whether its worker died, froze or lost the database as it was on its way."""
        return any(
            event in CRASHES and worker == sent.worker and -0.5 < at - sent.received.at < 2.0
            for event, worker, at in self.ordeal.events
        )

    def takeovers(self, event: str) -> list[float]:
        """Seconds until others went on with each lane of the workers that this happened to."""
        lanes: dict[str, list[Sent]] = defaultdict(list)
        for sent in self.log:
            lanes[sent.received.sid].append(sent)
        found = []
        for _, worker, at in (each for each in self.ordeal.events if each[0] == event):
            for lane in lanes.values():
                earlier = [sent for sent in lane if sent.received.at <= at]
                later = [sent for sent in lane if sent.received.at > at and sent.worker != worker]
                if earlier and earlier[-1].worker == worker and later:
                    found.append(later[0].received.at - at)
        return found

    def span(self, school: School) -> tuple[float, float]:
        """Seconds from the beginning to an institution's first and last request."""
        begun = self.ordeal.events[0][2]
        own = [sent.received.at - begun for sent in self.log if sent.received.sid == school.sid]
        return own[0], own[-1]


async def undergo(
    folder: Path, sizes: Sequence[int], rate: float, timing: Timing, **more: Any
) -> Seen:
    """Send a sheet while everything happens to the workers that can."""
    concurrency, limit = more["concurrency"], more["limit"]
    (folder / "papers").mkdir()
    sheet = mixed_sheet(folder / "term.csv", sizes)
    sandbox = SandboxProcess(len(sizes), scripts=scripted(sizes), limit=more.get("refuses"))
    async with fleet_of_processes(
        folder, sandbox, len(sizes), timing, concurrency=concurrency
    ) as fleet:
        proxy = Proxy(f"http://{urlsplit(fleet.database).netloc.rpartition('@')[2]}")
        async with proxy.serving():
            cut = fleet.start("cut-off", database=through(proxy, fleet.database))
            fleet.start("first")
            fleet.start("second")
            await fleet.until_alive(3)
            it = Ordeal(fleet, sum(sizes), limit)
            options = SendOptions(rate=rate, results=folder / "term.results.csv")
            run = (
                await submission.submit(fleet.prepare(sheet), fleet.home, options, user="li")
            ).run
            it.note("begin")
            await it.happen(proxy, cut)
            report = await submission.follow(fleet.home, run, options, "li", Control(), None)
            for worker in fleet.workers:
                if worker.process.poll() is None:
                    assert await asyncio.to_thread(worker.end) == 0
            ended = Ended(sheet, report.run, report.results, report.exit_status, said="")
            seen = Seen(it, ended, sandbox.log(folder), sandbox.held(folder))
            await asyncio.to_thread(judge, seen)
    return seen


def judge(seen: Seen) -> None:
    """Nothing is lost, claimed or sent by whom it must not; repeats are what was in flight."""
    assert verdict(seen.evidence()) == []
    assert list(seen.outrun()) == []
    repeats = list(seen.repeats())
    assert [each for each in repeats if not seen.was_in_flight(each)] == []
    assert seen.takeovers("kill")
    assert seen.takeovers("freeze")
    _, _, at = seen.ordeal.events[-1]
    assert any(sent.received.at > at for sent in seen.log), "it was over before all had happened"


async def on_sqlite(seen: Seen, sizes: Sequence[int]) -> Path:
    """The result sheet of the same sheet, sent from one computer."""
    folder = seen.ordeal.fleet.folder
    with SandboxProcess(len(sizes), scripts=scripted(sizes)) as sandbox:
        schools = [School(n) for n in range(len(sizes))]
        alone = FleetOfProcesses(folder, "", sandbox, schools, QUICK)
        run = alone.prepare(seen.ended.sheet, folder / "alone")
        options = SendOptions(rate=inf, results=folder / "alone.csv")
        report = await apply_parts(run, options, home=folder / "alone")
    assert report.results
    return report.results


def scripted(sizes: Sequence[int]) -> dict[str, list[tuple[int, list[str]]]]:
    """What some rows of each institution meet: a refusal, a lost answer, a refusal for good."""
    scripts = {5: ["code:104", "ok"], 6: ["reset:applied", "ok"], 9: ["code:121601031*"]}
    schools = [School(n) for n in range(len(sizes))]
    return {s.sid: [(s.classroom(row), faults) for row, faults in scripts.items()] for s in schools}


def through(proxy: Proxy, database: str) -> str:
    """A database's URL by way of a proxy."""
    return database.replace(f":{urlsplit(database).port}/", f":{proxy.port}/")


def lines(results: Path | None) -> list[dict[str, str]]:
    """The rows of a result sheet but for what differs from one run to the next."""
    own = {"bulkcast_time", "bulkcast_run", "bulkcast_attempts"}
    return [{k: v for k, v in row.items() if k not in own} for row in read_rows(results)]


async def test_workers_are_killed_frozen_cut_off_and_replaced_and_every_row_is_accounted_for(
    tmp_path: Path, record_property: Record
) -> None:
    sizes = (12, 24, 36, 60, 70, 70)
    seen = await undergo(
        tmp_path, sizes, 6.0, QUICK, concurrency=4, limit=(6 * 6 + 1, 5.0)
    )  # fmt: skip

    assert max(seen.takeovers("kill")) < 15.0
    assert lines(await on_sqlite(seen, sizes)) == lines(seen.ended.results)
    record_property("fleet: workers killed", 2)


@pytest.mark.long
async def test_twelve_thousand_rows_of_twenty_institutions_survive_the_same(
    tmp_path: Path, record_property: Record
) -> None:
    """With the timing of a real worker, and the limit of the real ClassIn."""
    sizes = (*([300] * 5), *([500] * 5), *([700] * 5), *([900] * 5))
    seen = await undergo(
        tmp_path, sizes, 950 / 60, Timing(), concurrency=12, limit=(1000, 60.0),
        refuses=(1000, 60.0),
    )  # fmt: skip

    recovery = max(seen.takeovers("kill"))
    ends = [seen.span(school)[1] for school in seen.ordeal.fleet.schools]
    figures = {
        "seconds": max(ends), "recovery_s": seen.takeovers("kill"),
        "taken over from the frozen one_s": seen.takeovers("freeze"),
        "repeats": len(list(seen.repeats())), "ends": ends, "events": seen.ordeal.events,
        "most in 60 s": max(
            most_in_window((s.received.at for s in seen.log if s.received.sid == school.sid), 60.0)
            for school in seen.ordeal.fleet.schools
        ),
    }  # fmt: skip
    (tmp_path / "figures.json").write_text(json.dumps(figures, indent=1))
    assert recovery < 15.0
    assert max(ends[:5]) < min(ends[15:]), "a small institution waited for a big one"
    assert lines(await on_sqlite(seen, sizes)) == lines(seen.ended.results)
    record_property("fleet: workers killed", 2)
