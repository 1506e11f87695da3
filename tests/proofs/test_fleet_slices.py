"""What a slice leaves for the next, on whichever worker: pace, pauses, outages, and turns."""

import asyncio
import json
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bulkcast.endpoints import WEBCAST
from bulkcast.fleet.worker import Lane, LaneEnd
from bulkcast.ledger.group_commit import GroupCommit
from bulkcast.model import RowStatus
from bulkcast.pipeline import SendOptions, fleet_control, lanes, prepare, resume, submission
from bulkcast.sandbox import World, read_fault
from tests.audit import most_in_window
from tests.dispatcher_harness import classroom
from tests.fleet_harness import ended, fleet
from tests.fleet_processes import (
    QUICK,
    FleetOfProcesses,
    SandboxProcess,
    School,
    fleet_of_processes,
    mixed_sheet,
)
from tests.sheets import plain

pytestmark = [pytest.mark.proof, pytest.mark.slow]


async def test_a_pace_that_a_slice_cannot_use_up_comes_to_its_turn_all_the_same(
    tmp_path: Path,
) -> None:
    """Requests wait for start times by the dozen; not all of them take one at once."""
    async with fleet(tmp_path) as found, asyncio.timeout(30.0):
        run = (await found.submit(prepare(plain(tmp_path / "term.csv", 24)), rate=4.0)).run
        async with found.worker():
            record = await ended(found, run)

    assert record.counts[RowStatus.APPLIED] == 24
    times = [received.at for received in found.sandbox.log]
    assert most_in_window(times, 2.0) <= 4 * 3 + 1


async def test_a_database_that_stalls_does_not_bunch_up_what_waited_for_it(
    tmp_path: Path,
) -> None:
    async with fleet(tmp_path) as found:
        found.timing = replace(found.timing, ttl_s=15.0, slice_s=30.0)
        run = (await found.submit(prepare(plain(tmp_path / "term.csv", 70)), rate=10.0)).run
        async with found.worker():
            await found.sandbox.until(15)
            with psycopg.connect(found.home.database) as blocking:
                blocking.execute("LOCK attempts IN EXCLUSIVE MODE")
                await asyncio.sleep(2.5)
                blocking.rollback()
            await ended(found, run)

    times = [received.at for received in found.sandbox.log]
    assert most_in_window(times, 1.0) <= 10 * 2 + 1


async def test_an_outage_costs_few_attempts_over_many_slices_and_workers(tmp_path: Path) -> None:
    async with fleet(tmp_path) as found, AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(found.worker())
        sheet = plain(tmp_path / "term.csv", 150)
        run = (await found.submit(prepare(sheet), rate=50.0, concurrency=1)).run
        await found.sandbox.until(40)
        found.sandbox.fault_for_all = read_fault("close", WEBCAST)
        await asyncio.sleep(6.0)
        unanswered = sum(received.answer == "close" for received in found.sandbox.log)
        found.sandbox.fault_for_all = None
        async with asyncio.timeout(40.0):
            record = await ended(found, run)

    assert record.counts[RowStatus.APPLIED] == 150
    assert unanswered <= 20 + 3  # the window that tells an outage, and a probe now and then
    sent = Counter(received.target.id for received in found.sandbox.log if received.target)
    lost = sum(received.answer == "close" for received in found.sandbox.log)
    assert lost <= 20 + 3
    # Which row is repeated how often depends on jitter; that nothing is repeated in vain does not.
    assert sum(sent.values()) == 150 + lost


async def test_a_lease_that_ends_while_an_intent_is_stored_sends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a worker that froze between the two, and wakes when the lane is another's."""
    found_lanes: list[Lane] = []
    drain, store = lanes.Lanes.drain, GroupCommit.store

    async def noted(self: lanes.Lanes, lane: Lane) -> LaneEnd:
        found_lanes.append(lane)
        return await drain(self, lane)

    async def slow(self: GroupCommit, kind: str, *args: Any) -> None:
        await store(self, kind, *args)
        if kind == "intents":
            found_lanes[-1].lease.lost = True

    monkeypatch.setattr(lanes.Lanes, "drain", noted)
    monkeypatch.setattr(GroupCommit, "store", slow)
    async with fleet(tmp_path) as found:
        await found.submit(prepare(plain(tmp_path / "term.csv", 20)), rate=50.0)
        async with found.worker():
            while not found_lanes:
                await asyncio.sleep(0.02)
            await asyncio.sleep(1.0)
        with psycopg.connect(found.home.database) as database:
            intents = database.execute("SELECT count(*) FROM attempts").fetchone()

    assert intents != (0,)
    assert found.sandbox.log == []


async def test_a_resumed_run_counts_on_from_the_attempts_it_had(tmp_path: Path) -> None:
    async with fleet(tmp_path) as found:
        sheet = plain(tmp_path / "term.csv", 40)
        run = (await found.submit(prepare(sheet), rate=50.0, concurrency=4)).run
        async with found.worker():
            await found.sandbox.until(15)
            found.sandbox.fault_for_all = read_fault("close:applied", WEBCAST)
            await found.sandbox.until(20)
            await fleet_control.cancel(found.home, run, user="li")
            stopped = await ended(found, run)
            found.sandbox.fault_for_all = None
            report = await resume(found.config, run, SendOptions())
        with psycopg.connect(found.home.database) as database:
            rows = database.execute(
                "SELECT target, array_agg(a.number ORDER BY a.number),"
                " count(*) FILTER (WHERE ended IS NULL) FROM attempts AS a"
                " JOIN requests USING (run_id, seq) GROUP BY 1"
            ).fetchall()

    assert stopped.counts[RowStatus.UNCONFIRMED]
    assert report.counts[RowStatus.APPLIED] == 40
    sent = Counter(received.target.id for received in found.sandbox.log if received.target)
    for target, numbers, open_ends in rows:
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) == sent[json.loads(target)[1]]
        assert open_ends <= 1, "only the outcome says how the last one ended"


async def test_a_resumed_row_that_was_surely_not_applied_is_not_doubted(tmp_path: Path) -> None:
    faults = (*["code:101003001"] * 3, "code:121601031*")
    world = World(classrooms=(classroom(5, *faults),), first_whole=False)
    async with fleet(tmp_path, world) as found:
        run = (await found.submit(prepare(plain(tmp_path / "term.csv", 10)), rate=50.0)).run
        async with found.worker():
            await found.sandbox.until(10)
            await fleet_control.cancel(found.home, run, user="li")
            stopped = await ended(found, run)
            report = await resume(found.config, run, SendOptions())

    assert stopped.counts[RowStatus.NOT_SENT]
    assert (report.counts[RowStatus.APPLIED], report.counts[RowStatus.REJECTED]) == (9, 1)


async def test_a_run_cancelled_before_a_worker_came_has_an_outcome_for_every_row(
    tmp_path: Path,
) -> None:
    async with fleet(tmp_path) as found:
        run = (await found.submit(prepare(plain(tmp_path / "term.csv", 20)))).run
        await fleet_control.cancel(found.home, run, user="li")
        async with found.worker():
            await ended(found, run)
        with psycopg.connect(found.home.database) as database:
            stored = database.execute("SELECT status, count(*) FROM outcomes GROUP BY 1").fetchall()

    assert stored == [("not_sent", 20)]
    assert found.sandbox.log == []


async def sent_by_one_school(fleet: FleetOfProcesses, rows: int, rate: float) -> str:
    sheet = mixed_sheet(fleet.folder / "term.csv", [rows])
    done = await submission.submit(
        fleet.prepare(sheet), fleet.home, SendOptions(rate=rate), user="li"
    )
    return done.run


async def all_ended(fleet: FleetOfProcesses, run: str) -> None:
    while True:
        records = await asyncio.to_thread(fleet_control.records_of, fleet.home, run)
        if all(record.finished_at is not None for record in records):
            return
        await asyncio.sleep(0.1)


async def test_a_pause_that_classin_asked_for_outlives_a_killed_worker(tmp_path: Path) -> None:
    script = {School(0).sid: [(School(0).classroom(20), ["http:429:retry_after=8", "ok"])]}
    async with fleet_of_processes(tmp_path, SandboxProcess(1, scripts=script), 1) as found:
        first = found.start("first")
        await found.until_alive(1)
        run = await sent_by_one_school(found, 60, 20.0)
        await found.sandbox.until(21)
        await asyncio.sleep(1.0)
        first.kill()
        found.start("second")
        await all_ended(found, run)
        log = found.sandbox.log(tmp_path)
        with psycopg.connect(found.database) as database:
            row = database.execute("SELECT share FROM paces").fetchone()

    (asked_at,) = [s.received.at for s in log if s.received.answer.startswith("http:429")]
    second = [sent.received.at for sent in log if sent.worker == "second"]
    assert second[0] - asked_at >= 7.9
    assert row
    assert row[0] < 1.0
    assert most_in_window(second, 1.0) <= 20 * 0.7 * 2 + 1, "the slower pace was forgotten"


async def test_workers_that_take_turns_keep_one_pace(tmp_path: Path) -> None:
    timing = replace(QUICK, slice_s=1.5)
    async with fleet_of_processes(tmp_path, SandboxProcess(1), 1, timing) as found:
        found.start("first")
        found.start("second")
        await found.until_alive(2)
        run = await sent_by_one_school(found, 160, 20.0)
        await all_ended(found, run)
        log = found.sandbox.log(tmp_path)

    times = [sent.received.at for sent in log]
    assert len({sent.epoch for sent in log}) > 3
    assert len(log) == 160
    assert most_in_window(times, 2.0) <= 20 * 3 + 1
    assert most_in_window(times, 4.0) <= 20 * 5 + 1
    assert times[-1] - times[0] < 2 * 160 / 20, "start times were lost between slices"


async def test_a_worker_that_can_do_one_thing_at_a_time_starves_nobody(tmp_path: Path) -> None:
    sizes = [100, 8, 8, 8, 8]
    timing = replace(QUICK, slice_s=0.7)
    async with fleet_of_processes(tmp_path, SandboxProcess(5), 5, timing, concurrency=1) as found:
        found.start("only")
        await found.until_alive(1)
        sheet = mixed_sheet(tmp_path / "term.csv", sizes)
        done = await submission.submit(
            found.prepare(sheet), found.home, SendOptions(rate=20.0), user="li"
        )
        await all_ended(found, done.run)
        log = found.sandbox.log(tmp_path)

    last = {sent.received.sid: number for number, sent in enumerate(log)}
    big, *small = (last[School(n).sid] for n in range(5))
    assert len(log) == sum(sizes)
    assert max(small) < 80 < big
