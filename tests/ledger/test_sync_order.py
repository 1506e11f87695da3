"""What the disk is told, and when: an intent before its request, an outcome before its claim.

kill -9 cannot show this, since what was written survives it unsynced; only a power cut does not.
So the system calls are looked at.
"""

import asyncio
import os
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from bulkcast.sandbox import SANDBOX_SECRET, Sandbox, World
from tests.killable_worker import WORKER, surroundings

CALLS = "fsync,fdatasync,pwrite64,sendto,sendmsg,write,writev,rename,renameat,renameat2,link,linkat"
ROWS = 12

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")


async def traced(tmp_path: Path) -> list[str]:
    """The calls of a run of one request at a time, one a line."""
    sheet, log = tmp_path / "term.csv", tmp_path / "calls"
    lines = [f"{25_096_000 + n},1,0,1,1" for n in range(ROWS)]
    head = "activityId,recordState,recordType,liveState,openState"
    await asyncio.to_thread(sheet.write_text, "\n".join([head, *lines]), "utf-8")
    sandbox = Sandbox(World(limit=None), secret=SANDBOX_SECRET)
    async with sandbox.serving() as url:
        process = await asyncio.create_subprocess_exec(
            "strace", "-f", "-y", "-qq", "-s", "16", "-o", str(log), "-e", f"trace={CALLS}",
            sys.executable, str(WORKER), str(sheet),
            env={**surroundings(tmp_path / "home", url), "WORKER_CONCURRENCY": "1"},
        )  # fmt: skip
        status = await process.wait()
    if status and not log.exists():
        pytest.skip("strace may not look at processes here")
    assert status == 0
    return (await asyncio.to_thread(log.read_text, "utf-8", "replace")).splitlines()


def events(calls: Iterable[str]) -> str:
    """The calls that matter, a letter each: wal Written, Synced, Posted, Results in their place."""
    found = []
    for call in calls:
        if "ledger.sqlite3-wal" in call:
            found.append("S" if re.search(r"\bf(data)?sync\(", call) else "W")
        elif '"POST /' in call:
            found.append("P")
        elif "results" in call and re.search(r"\b(rename|link)\w*\(", call):
            found.append("R")
    return "".join(found)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="strace is for Linux")
async def test_every_request_and_every_claim_is_preceded_by_its_sync(tmp_path: Path) -> None:
    order = events(await traced(tmp_path))

    before, *_ = order.partition("R")
    assert before.count("P") == ROWS
    assert "R" in order
    # From one request to the next: the outcome of the one, then the intent of the other, and
    # nothing written that is not synced.
    *between, last = before.split("P")
    assert re.search(r"W+S$", between[0]), "the first intent"
    for calls in between[1:]:
        assert re.fullmatch(r"(W+S){2,}", calls)
    # A commit for each: were an intent stored after its request had left, it would be a third.
    assert re.fullmatch(r"(W+S){2}", last), "the last outcome and the end, before the results"
