"""What starting costs, against a bare interpreter that imports two standard modules."""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks.measuring import Figure, take_turns

GOES = 11

_HELP = ("-m", "bulkcast", "--help")
_ROWS = 10


def compare() -> list[Figure]:
    """CPU of a whole process each, in milliseconds, and their ratios."""
    with TemporaryDirectory() as folder:
        sheet = Path(folder, "ten.csv")
        lines = [f"{10_001 + n},1,1,0,1" for n in range(_ROWS)]
        head = "activityId,recordState,liveState,recordType,openState"
        sheet.write_text("\n".join([head, *lines]), encoding="utf-8")
        return [
            *_compared("bulkcast --help", _HELP, "asyncio, argparse", "<= 4"),
            *_compared(
                f"bulkcast validate, {_ROWS} rows",
                ("-m", "bulkcast", "validate", str(sheet)),
                "csv, argparse",
                "<= 2.5",
            ),
        ]


def _compared(name: str, ours: tuple[str, ...], modules: str, goal: str) -> list[Figure]:
    """One command against an interpreter that imports `modules`."""
    bare, it = take_turns(lambda: _run("-c", f"import {modules}"), lambda: _run(*ours), times=GOES)
    ratio = f"{it.cpu / bare.cpu:.2f}" if bare.cpu else "not measured on this system"
    return [
        Figure(f"CPU, python -c 'import {modules}'", f"{bare.cpu * 1e3:.0f} ms", ""),
        Figure(f"CPU, {name}", f"{it.cpu * 1e3:.0f} ms", ""),
        Figure("ratio of CPU", ratio, goal),
    ]


def _run(*arguments: str) -> None:
    # As installed: the round that is not counted compiles every module.
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    subprocess.run(
        (sys.executable, *arguments),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environ,
        check=True,
    )
