"""A program to be killed: applies a sheet or resumes its run, configured by the environment."""

import asyncio
import os
import sys
from pathlib import Path

from bulkcast import config, pipeline
from bulkcast.pacing import parse_rate
from bulkcast.sandbox import SANDBOX_SECRET, SANDBOX_SID

WORKER = Path(__file__)
"""This program."""


def surroundings(home: Path, url: str) -> dict[str, str]:
    """The environment to start it with."""
    return {
        **os.environ,
        "PYTHONPATH": str(WORKER.parents[1]),
        "BULKCAST_ROOT_URL": url,
        "BULKCAST_SID": SANDBOX_SID,
        "BULKCAST_SECRET": SANDBOX_SECRET.reveal(),
        "BULKCAST_HOME": str(home),
    }


async def main() -> int:
    settings = config.load(os.environ)
    options = pipeline.SendOptions(
        rate=parse_rate(os.environ.get("WORKER_RATE", "max")),
        concurrency=int(os.environ.get("WORKER_CONCURRENCY", "16")),
        timeout=2.0,
        existing="replace",
        results=Path(sys.argv[1] + ".results.csv"),
    )
    if pipeline.runs(settings.home):
        report = await pipeline.resume(settings, options=options)
    else:
        report = await pipeline.apply(pipeline.prepare(Path(sys.argv[1])), settings, options)
    return report.exit_status


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
