"""What libraries log reaches a terminal without secret, signature or traceback."""

import os
import subprocess
import sys

from tests.source_files import ROOT

SECRET = "canary-Mb7SR6H"  # noqa: S105 - a word to look for
SIGNATURE = "4f97f55addf4921a05c2395617cd8a7b"
PROGRAM = f"""
import asyncio, logging
from bulkcast.cli.exit_status import keep_out_of_logs
from bulkcast.model import Secret

keep_out_of_logs(Secret({SECRET!r}))
keep_out_of_logs(Secret("another one"))

async def fails():
    raise ValueError("headers: X-EEO-SIGN {SIGNATURE}, key={SECRET}")

async def main():
    task = asyncio.create_task(fails())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del task

asyncio.run(main())
logging.getLogger("aiohttp.client").error("sent %s with %s\\nand more", {SECRET!r}, "{SIGNATURE}")
logging.getLogger("x").warning("stack", stack_info=True)
"""


def logged() -> list[str]:
    root = ROOT
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": str(root), "PYTHONIOENCODING": "utf-8"},
        capture_output=True, encoding="utf-8", check=True,
    )  # fmt: skip
    return done.stderr.splitlines()


def test_a_forgotten_task_is_told_in_a_line_without_its_words() -> None:
    forgotten, sent, stack = logged()

    assert "Task exception was never retrieved" in forgotten
    assert forgotten.endswith("(ValueError)")
    assert sent == "sent ••• with ••• and more"
    assert stack == "stack"
    assert SECRET not in forgotten
    assert SIGNATURE not in forgotten
