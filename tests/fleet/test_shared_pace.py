"""The pace of an institution, whoever sends."""

import asyncio
import math
import subprocess
import sys
from bisect import bisect_left
from itertools import pairwise

import pytest

from bulkcast.fleet.database import Database
from bulkcast.fleet.shared_pace import SharedPace
from tests.fleet_worker import ROOT

INSTITUTION = "https://api.eeo.cn 7"


async def test_start_times_are_even_and_none_is_earlier_than_granted(fleet: Database) -> None:
    pace = SharedPace(fleet)
    before = asyncio.get_running_loop().time()

    first = await pace.slots(INSTITUTION, 5, 10.0)
    second = await pace.slots(INSTITUTION, 5, 10.0)

    gaps = [b - a for a, b in pairwise(first)]
    assert gaps == pytest.approx([0.1] * 4)
    assert first[0] >= before
    assert second[0] - first[0] == pytest.approx(0.5, abs=0.1)


async def test_start_times_that_nobody_used_are_gone(fleet: Database) -> None:
    pace = SharedPace(fleet)
    await pace.slots(INSTITUTION, 5, 50.0)
    await asyncio.sleep(0.3)

    now = asyncio.get_running_loop().time()
    slots = await pace.slots(INSTITUTION, 5, 50.0)

    assert slots[0] >= now - 0.001
    assert slots[-1] - slots[0] == pytest.approx(0.08)


async def test_start_times_given_back_are_leased_again_and_no_other(fleet: Database) -> None:
    pace, other = SharedPace(fleet), SharedPace(fleet)
    first = await pace.slots(INSTITUTION, 10, 10.0)
    await pace.give_back(INSTITUTION, first[4])
    await pace.give_back(INSTITUTION, first[4])

    second = await other.slots(INSTITUTION, 10, 10.0)
    assert second[0] == pytest.approx(first[4], abs=0.05)

    third = await pace.slots(INSTITUTION, 10, 10.0)
    await other.give_back(INSTITUTION, second[4])  # too late: others have gone on from there
    fourth = await other.slots(INSTITUTION, 10, 10.0)
    assert fourth[0] - third[0] == pytest.approx(1.0, abs=0.05)


async def test_a_pause_and_a_slow_down_survive_a_hand_over(fleet: Database) -> None:
    assert await SharedPace(fleet).state(INSTITUTION) == (0.0, 1.0)
    await SharedPace(fleet).note(INSTITUTION, 3.0, 0.7)
    await SharedPace(fleet).note(INSTITUTION, 0.0, 0.49)

    held_s, share = await SharedPace(fleet).state(INSTITUTION)
    now = asyncio.get_running_loop().time()
    slots = await SharedPace(fleet).slots(INSTITUTION, 2, 10.0)

    assert held_s == pytest.approx(3.0, abs=0.3)
    assert share == 0.49
    assert slots[0] - now == pytest.approx(3.0, abs=0.3)


@pytest.mark.proof
@pytest.mark.slow
async def test_a_batch_that_was_long_on_its_way_is_not_used(fleet: Database) -> None:
    pace = SharedPace(fleet)
    async with Database(fleet.url) as other, other.pool.connection() as connection:
        await pace.slots(INSTITUTION, 1, 10.0)
        async with connection.transaction():
            await connection.execute("SELECT FROM paces FOR UPDATE")
            waiting = asyncio.create_task(pace.slots(INSTITUTION, 17, 16.5))
            await asyncio.sleep(1.1)

    assert await waiting == []


async def test_without_a_limit_nothing_is_leased(fleet: Database) -> None:
    assert len(await SharedPace(fleet).slots(INSTITUTION, 17, math.inf)) == 17
    assert await fleet.fetch("SELECT FROM paces") == []


_ASK = """
import asyncio, sys, time
from bulkcast.fleet.database import Database
from bulkcast.fleet.shared_pace import SharedPace

async def main(url, seconds, rate):
    clock = asyncio.get_running_loop().time
    async with Database(url) as database:
        pace, sent, end = SharedPace(database), [], clock() + seconds
        while clock() < end:
            for slot in await pace.slots("x", 17, rate):
                await asyncio.sleep(slot - clock())
                if clock() - slot <= 1.0:
                    sent.append(time.time())
    print(*sent)

asyncio.run(main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))
"""


@pytest.mark.proof
@pytest.mark.slow
def test_many_processes_keep_one_pace(fleet_url: str) -> None:
    """990 a minute at sixty times the speed: a minute is a second."""
    rate, seconds = 990.0, 2.5
    asking = [
        subprocess.Popen(
            [sys.executable, "-c", _ASK, fleet_url, str(seconds), str(rate)],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        ) for _ in range(4)
    ]  # fmt: skip
    sent = sorted(float(at) for process in asking for at in process.communicate()[0].split())

    most = max(bisect_left(sent, at + 1.0) - n for n, at in enumerate(sent))
    # Processes wake a few ms late, which sixty times the speed makes a few rows.
    assert most <= rate * 1.03
    assert len(sent) >= 0.8 * rate * (sent[-1] - sent[0])


async def test_start_times_that_are_not_near_yet_can_be_left_to_others(fleet: Database) -> None:
    pace = SharedPace(fleet)
    await pace.slots(INSTITUTION, 4, 10.0)

    assert await pace.slots(INSTITUTION, 4, 10.0, 0.2) == []
    await asyncio.sleep(0.25)
    assert len(await pace.slots(INSTITUTION, 4, 10.0, 0.2)) == 4
