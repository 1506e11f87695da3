"""What `bulkcast --help` costs, against a bare interpreter that imports two standard modules."""

import subprocess
import sys

from tests.benchmarks.measuring import Figure, take_turns

GOES = 11

_BARE = (sys.executable, "-c", "import asyncio, argparse")
_HELP = (sys.executable, "-m", "bulkcast", "--help")


def compare() -> list[Figure]:
    """CPU of a whole process each, in milliseconds, and their ratio."""
    bare, ours = take_turns(lambda: _run(_BARE), lambda: _run(_HELP), times=GOES)
    ratio = f"{ours.cpu / bare.cpu:.2f}" if bare.cpu else "not measured on this system"
    return [
        Figure("CPU, bare interpreter", f"{bare.cpu * 1e3:.0f} ms", ""),
        Figure("CPU, bulkcast --help", f"{ours.cpu * 1e3:.0f} ms", ""),
        Figure("ratio of CPU", ratio, "<= 4"),
    ]


def _run(command: tuple[str, ...]) -> None:
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
