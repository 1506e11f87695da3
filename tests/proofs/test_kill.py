"""kill -9 at random moments, again and again: nothing lost, nothing claimed, sends bounded."""

import asyncio
import random
import sys
from pathlib import Path

import pytest

from bulkcast.pipeline import runs
from bulkcast.sandbox import SANDBOX_SECRET, Sandbox, World
from tests.audit import kept, violations
from tests.killable_worker import WORKER, surroundings
from tests.measured_figures import Record
from tests.scenario import sheet

ROWS = 240


async def start(term: Path, environment: dict[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, str(WORKER), str(term), env=environment, cwd=WORKER.parents[1]
    )


async def kill_at_random(
    sandbox: Sandbox, process: asyncio.subprocess.Process, dice: random.Random
) -> None:
    """Kill once requests arrive again, a random number of them later, or a random moment."""
    seen = sandbox.received
    more = dice.choice([1, 1, 2, 5, 10, 20])
    for _ in range(2000):
        if sandbox.received >= seen + more or process.returncode is not None:
            break
        await asyncio.sleep(0.005)
    await asyncio.sleep(dice.random() * 0.02)
    if process.returncode is None:
        process.kill()
    await process.wait()


def assert_sound(home: Path, sandbox: Sandbox, crashes: int) -> None:
    """The ledger has every row, claims nothing false and knows of every request."""
    for record in runs(home):
        assert sum(record.counts.values()) == ROWS
        found = kept(home, record.header.run)
        assert violations(found, sandbox.log, rows=ROWS, crashes=crashes) == []


async def endure(tmp_path: Path, kills: int, seed: int) -> int:
    """Kill one run again and again until it is through; how many programs died of it."""
    dice = random.Random(seed)
    term, home = sheet(tmp_path / "term.csv", ROWS), tmp_path / "home"
    world = World(latency_s=0.03, limit=None, fault_rate=0.2, seed=seed)
    sandbox = Sandbox(world, secret=SANDBOX_SECRET)
    died = 0
    async with sandbox.serving() as url:
        environment = surroundings(home, url)
        for crashes in range(kills):
            process = await start(term, environment)
            await kill_at_random(sandbox, process, dice)
            if process.returncode == 0:
                break
            died += 1
            assert_sound(home, sandbox, crashes + 1)
        assert died >= kills // 2, "the run ended before it was killed often enough"
        for _ in range(4):
            process = await start(term, environment)
            if await process.wait() == 0:
                break
        assert process.returncode == 0
    assert_sound(home, sandbox, kills)
    results = (tmp_path / "term.csv.results.csv").read_text("utf-8-sig").splitlines()
    assert len(results) == ROWS + 1
    assert all(",applied," in line for line in results[1:])
    return died


def note(record_property: Record, died: int) -> None:
    """What the report prints; a test that found anything wrong has not come this far."""
    record_property("kills", died)
    record_property("rows lost, claimed or unknown over kills", 0)


@pytest.mark.slow
async def test_killed_again_and_again_it_loses_nothing_and_claims_nothing(
    tmp_path: Path, record_property: Record
) -> None:
    note(record_property, await endure(tmp_path, kills=12, seed=10))


@pytest.mark.long
@pytest.mark.parametrize("seed", [11, 12, *range(100, 140)])
async def test_a_thousand_kills_lose_nothing_and_claim_nothing(
    seed: int, tmp_path: Path, record_property: Record
) -> None:
    note(record_property, await endure(tmp_path, kills=25, seed=seed))
