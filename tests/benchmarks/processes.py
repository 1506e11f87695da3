"""Whole processes that set the same rows: `bulkcast apply`, a bare loop, and a naive script.

All talk to one sandbox on this computer, in turns.  The bare loop signs and posts bodies that lie
ready and looks at nothing but the HTTP status.  The naive script is what one writes in an hour:
pandas reads the sheet, aiohttp posts, tenacity repeats, pandas writes a column with the answers.
CPU is that of the client's process, starting included.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from subprocess import run as run_process
from tempfile import TemporaryDirectory

import pandas as pd
import xlsxwriter

from bulkcast import pipeline
from bulkcast.sandbox import SANDBOX_SECRET, SANDBOX_SID
from tests.benchmarks.bare_loop import AT_ONCE
from tests.benchmarks.measuring import Figure, spend, table
from tests.benchmarks.rows import sandbox, write_sheet

N_ROWS = int(os.environ.get("BENCH_ROWS", "20000"))
GOES = int(os.environ.get("BENCH_GOES", "3"))
SUFFIXES = ("csv", "xlsx")


def compare() -> list[Figure]:
    """CPU a row of each process, medians of several goes, and what the bare loop has of ours."""
    with TemporaryDirectory() as folder, sandbox() as root_url:
        commands = _commands(Path(folder), root_url)
        with _OnOneCore():
            goes = [
                {name: _cost(command, root_url) for name, command in commands.items()}
                for _ in range(GOES)
            ]
    cost = {name: median(go[name] for go in goes) for name in commands}
    figures = [Figure(f"CPU a row, {name}", f"{cost[name]:.0f} µs", "") for name in cost]
    for suffix in SUFFIXES:
        ours, theirs = cost[f"bulkcast apply, {suffix}"], cost[f"naive script, {suffix}"]
        figures += [
            Figure(f"bare loop over ours, {suffix}", f"{cost['bare loop'] / ours:.2f}", ">= 0.6"),
            Figure(f"naive script over ours, {suffix}", f"{theirs / ours:.2f}", "> 1"),
        ]
    return figures


def _commands(folder: Path, root_url: str) -> Mapping[str, Sequence[str]]:
    """Contestant → the arguments of its process."""
    sheets = {"csv": write_sheet(folder / "term.csv", N_ROWS), "xlsx": folder / "term.xlsx"}
    _as_workbook(sheets["csv"], sheets["xlsx"])
    bodies = folder / "bodies.json"
    plan = pipeline.prepare(sheets["csv"]).plan
    bodies.write_text(json.dumps([request.body for request in plan.requests]), encoding="utf-8")
    commands: dict[str, Sequence[str]] = {
        "bare loop": ("tests.benchmarks.bare_loop", str(bodies), root_url),
    }
    for suffix, sheet in sheets.items():
        script = ("tests.benchmarks.naive_script", str(sheet), root_url)
        commands[f"naive script, {suffix}"] = script
        commands[f"bulkcast apply, {suffix}"] = ("bulkcast", "apply", str(sheet), *_OPTIONS)
    return commands


_OPTIONS = ("--yes", "--quiet", "--rate", "max", "--concurrency", str(AT_ONCE), "--force")


def _as_workbook(source: Path, target: Path) -> None:
    frame = pd.read_csv(source, dtype=str, keep_default_na=False)
    with xlsxwriter.Workbook(target) as book:
        tab = book.add_worksheet()
        tab.write_row(0, 0, list(frame.columns))
        for n, row in enumerate(frame.itertuples(index=False), start=1):
            tab.write_row(n, 0, row)


class _OnOneCore:
    """Keeps what is started meanwhile to one core; the sandbox may have the others."""

    def __enter__(self) -> None:
        self._cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
        if len(self._cores) > 1:
            os.sched_setaffinity(0, {min(self._cores)})

    def __exit__(self, *_: object) -> None:
        if self._cores:
            os.sched_setaffinity(0, self._cores)


def _cost(command: Sequence[str], root_url: str) -> float:
    """Microseconds of CPU a row, with a ledger as a new user has it."""
    with TemporaryDirectory() as home:
        return spend(lambda: _run(command, root_url, Path(home))).cpu / N_ROWS * 1e6


def _run(command: Sequence[str], root_url: str, home: Path) -> None:
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environ |= {
        "BULKCAST_ROOT_URL": root_url,
        "BULKCAST_SID": SANDBOX_SID,
        "BULKCAST_SECRET": SANDBOX_SECRET.reveal(),
        "BULKCAST_HOME": str(home),
        "BULKCAST_STATE": str(home / "state"),
    }
    run_process((sys.executable, "-m", *command), env=environ, check=True, capture_output=True)


if __name__ == "__main__":
    print(table(compare()))
