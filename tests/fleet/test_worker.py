"""Workers that are killed, frozen, stopped and cut off: nothing lost, one sender a lane."""

import asyncio
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from bulkcast.errors import CannotStart
from bulkcast.fleet import control, fleet_status
from bulkcast.fleet.database import POOL_S, Database
from bulkcast.fleet.worker import Lane, LaneEnd, work
from tests.fleet_worker import QUICK, add_work, run_worker, start_worker
from tests.postgres import server

A, B = "https://api.eeo.cn 1", "https://api.eeo.cn 2"

_LEFT = "SELECT count(*) FROM work WHERE NOT done"
_EPOCHS = """
SELECT institution, epoch, count(DISTINCT worker), min(at), max(at) FROM sends
GROUP BY institution, epoch ORDER BY institution, epoch
"""


async def until(
    asked: Callable[[], Awaitable[object]], within_s: float = 10.0
) -> float:  # fmt: skip
    """Wait until the answer is true; return how many seconds it took."""
    start = time.monotonic()
    while not await asked():
        assert time.monotonic() - start < within_s
        await asyncio.sleep(0.05)
    return time.monotonic() - start


class Watch:
    """What a test asks about the work."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def number(self, statement: str, *values: object) -> int:
        rows = await self.database.fetch_patiently(statement, values)
        return int(rows[0][0])

    async def all_done(self) -> bool:
        return not await self.number(_LEFT)

    async def sent_by(self, worker: str) -> int:
        return await self.number("SELECT count(*) FROM sends WHERE worker = %s", worker)

    async def is_held_by(self, worker: str) -> bool:
        held = "SELECT count(*) FROM lanes WHERE worker LIKE %s AND expires_at > clock_timestamp()"
        return bool(await self.number(held, f"{worker}:%"))

    async def stop_soon(self) -> int:
        """Take back the work after the next few numbers; return how many there are then."""
        most = await self.number("SELECT max(n) + 10 FROM sends")
        await self.database.fetch("DELETE FROM work WHERE n > %s", (most,))
        return most

    async def check(self, numbers: int, most_repeats: int) -> None:
        """Everything was sent, by one worker per epoch, one epoch after the other."""
        sends = await self.number("SELECT count(*) FROM sends")
        assert await self.number("SELECT count(DISTINCT (institution, n)) FROM sends") == numbers
        assert sends - numbers <= most_repeats
        before: dict[str, object] = {}
        for institution, _, workers, first, last in await self.database.fetch(_EPOCHS):
            assert workers == 1
            assert institution not in before or first > before[institution]
            before[institution] = last


@pytest.fixture
def watch(fleet: Database) -> Watch:
    return Watch(fleet)


@asynccontextmanager
async def workers(url: str, *names: str, lanes: tuple[str, ...] = (A,)) -> AsyncIterator[
    list["subprocess.Popen[str]"]
]:  # fmt: skip
    started = [start_worker(url, name, *lanes) for name in names]
    try:
        yield started
    finally:
        for process in started:
            process.send_signal(signal.SIGCONT)
            process.kill()
        for process in started:
            said = (await asyncio.to_thread(process.communicate))[1]
            assert "Traceback" not in said, said
            assert "never retrieved" not in said, said


async def ended(process: "subprocess.Popen[str]") -> int:
    return await asyncio.to_thread(process.wait, 20)


@pytest.mark.proof
@pytest.mark.slow
async def test_a_lane_is_drained_slice_after_slice_by_one_worker_at_a_time(
    fleet_url: str, watch: Watch
) -> None:
    add_work(fleet_url, A, 60)
    add_work(fleet_url, B, 5)
    async with workers(fleet_url, "one", "two", lanes=(A, B)):
        await until(watch.all_done)

    await watch.check(65, most_repeats=0)
    memory = await watch.database.fetch("SELECT memory FROM lanes WHERE institution = %s", (A,))
    assert int(memory[0][0].strip("{}")) >= 2


@pytest.mark.proof
@pytest.mark.slow
async def test_a_killed_worker_is_followed_by_another_within_its_lease(
    fleet_url: str, watch: Watch
) -> None:
    add_work(fleet_url, A, 5000)
    async with workers(fleet_url, "one") as (one,):
        await until(lambda: watch.sent_by("one"))
        async with workers(fleet_url, "two"):
            await asyncio.sleep(QUICK.ttl_s + 0.7)  # it knows the database long enough
            await until(lambda: watch.is_held_by("one"))
            one.kill()
            await until(lambda: watch.is_held_by("two"), within_s=QUICK.ttl_s + 1.5)
            sent = await watch.stop_soon()
            await until(watch.all_done)

    await watch.check(sent, most_repeats=1)


@pytest.mark.proof
@pytest.mark.slow
async def test_a_frozen_worker_that_wakes_sends_nothing_more(fleet_url: str, watch: Watch) -> None:
    add_work(fleet_url, A, 5000)
    async with workers(fleet_url, "one") as (one,):
        await until(lambda: watch.sent_by("one"))
        one.send_signal(signal.SIGSTOP)
        async with workers(fleet_url, "two") as (two,):
            await until(lambda: watch.sent_by("two"))
            one.send_signal(signal.SIGCONT)
            await asyncio.sleep(0.5)
            sent = await watch.stop_soon()
            await until(watch.all_done)
            two.terminate()
            assert await ended(two) == 0
        one.terminate()
        assert await ended(one) == 0

    await watch.check(sent, most_repeats=1)


@pytest.mark.proof
@pytest.mark.slow
async def test_a_worker_that_is_told_to_end_hands_over_at_once_and_repeats_nothing(
    fleet_url: str, watch: Watch
) -> None:
    add_work(fleet_url, A, 80)
    async with workers(fleet_url, "one") as (one,):
        await until(lambda: watch.sent_by("one"))
        async with workers(fleet_url, "two"):
            await until(lambda: _workers(watch.database, 2))
            start = time.monotonic()
            one.terminate()
            assert await ended(one) == 0
            assert time.monotonic() - start < 2.0
            await until(lambda: watch.sent_by("two"), within_s=QUICK.ttl_s)
            await until(watch.all_done)
            assert await _workers(watch.database, 1)

    await watch.check(80, most_repeats=0)


async def _workers(database: Database, n: int) -> bool:
    return len((await fleet_status.status(database)).workers) == n


@pytest.mark.proof
@pytest.mark.slow
async def test_a_restart_of_the_database_interrupts_and_repeats_nothing(
    fleet_url: str, watch: Watch
) -> None:
    await watch.database.fetch(  # what a server has said to be stored survives its crash
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %%I SET synchronous_commit = on',"
        " current_database()); END $$"
    )
    add_work(fleet_url, A, 60)
    add_work(fleet_url, B, 60)
    async with workers(fleet_url, "one", "two", lanes=(A, B)) as processes:
        await until(lambda: watch.number("SELECT count(*) FROM sends"))
        await until(lambda: _workers(watch.database, 2))
        server().stop(signal.SIGQUIT)
        # In a shorter one an idle worker would notice nothing, and rescue at once.
        await asyncio.sleep(POOL_S + QUICK.ttl_s)
        server().start()
        await until(watch.all_done)
        for process in processes:
            process.terminate()
            assert await ended(process) == 0

    await watch.check(120, most_repeats=0)


@pytest.mark.proof
@pytest.mark.slow
async def test_a_worker_ends_although_the_database_is_gone(fleet_url: str, watch: Watch) -> None:
    add_work(fleet_url, A, 1000)
    async with workers(fleet_url, "one") as (one,):
        await until(lambda: watch.sent_by("one"))
        server().stop()
        try:
            one.terminate()
            assert await ended(one) == 0
        finally:
            server().start()


@pytest.mark.proof
@pytest.mark.slow
async def test_jobs_deleted_under_the_workers_are_made_again(fleet_url: str, watch: Watch) -> None:
    add_work(fleet_url, A, 60)
    async with workers(fleet_url, "one", "two"):
        await until(lambda: watch.number("SELECT count(*) FROM sends"))
        await watch.database.fetch("TRUNCATE procrastinate_jobs CASCADE")
        await until(watch.all_done)

    await watch.check(60, most_repeats=1)


@pytest.mark.proof
@pytest.mark.slow
async def test_a_paused_lane_stands_still_until_it_is_resumed(fleet_url: str, watch: Watch) -> None:
    add_work(fleet_url, A, 60)
    async with _worker(fleet_url):
        await until(lambda: watch.sent_by("one"))
        await control.pause(watch.database)
        await asyncio.sleep(0.3)
        before = await watch.sent_by("one")
        await asyncio.sleep(1.2)  # past the slice's end
        assert await watch.sent_by("one") == before
        await control.resume(watch.database)
        await until(watch.all_done)

    await watch.check(60, most_repeats=0)


@asynccontextmanager
async def _worker(url: str) -> AsyncIterator[None]:
    """A worker in this process."""
    stop = asyncio.Event()
    working = asyncio.create_task(run_worker(url, "one", [A], stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(working, 5)


async def test_a_lane_with_little_to_do_does_not_wait_for_a_long_one(
    fleet_url: str, watch: Watch
) -> None:
    big = [f"big {n}" for n in range(3)]
    for name in big:
        add_work(fleet_url, name, 1000)
    stop = asyncio.Event()
    database = watch.database
    order: list[str] = []

    async def drain(lane: Lane) -> LaneEnd:
        order.append(lane.institution)
        await asyncio.sleep(0.05)
        done = lane.institution not in big
        if done:
            await database.fetch("DELETE FROM work WHERE institution = %s", (lane.institution,))
        return LaneEnd(more=not done)

    async def open_institutions() -> list[str]:
        return [row[0] for row in await database.fetch("SELECT DISTINCT institution FROM work")]

    working = asyncio.create_task(
        work(
            fleet_url, lanes=[*big, "small"], drain=drain, open_institutions=open_institutions,
            concurrency=1, stop=stop, timing=QUICK,
        )
    )  # fmt: skip
    await until(lambda: _is(len(order) > 3))
    add_work(fleet_url, "small", 1)
    seen = len(order)
    await until(lambda: _is("small" in order))
    await until(lambda: _is(len(order) > seen + 8))
    stop.set()
    await working

    turns = {name: order.count(name) for name in big}
    assert max(turns.values()) - min(turns.values()) <= 1
    assert order.count("small") == 1


async def _is(value: object) -> object:
    return value


async def test_a_slice_that_fails_ends_neither_the_worker_nor_other_lanes(
    fleet_url: str, watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    add_work(fleet_url, A, 1)
    drained: list[str] = []

    async def drain(lane: Lane) -> LaneEnd:
        drained.append(lane.institution)
        if lane.institution == A:
            raise ZeroDivisionError
        return LaneEnd(more=True, delay_s=0.1)

    async def open_institutions() -> list[str]:
        return [A, B]

    stop = asyncio.Event()
    working = asyncio.create_task(
        work(fleet_url, lanes=[A, B], drain=drain, open_institutions=open_institutions,
             concurrency=1, stop=stop, timing=QUICK)
    )  # fmt: skip
    await until(lambda: _is(A in drained and drained.count(B) >= 2))
    stop.set()
    await working

    assert "ZeroDivisionError" in caplog.text


async def test_a_worker_does_not_start_on_a_database_without_tables(database: str) -> None:
    with pytest.raises(CannotStart, match="fleet init"):
        await run_worker(database, "one", [A], asyncio.Event())
