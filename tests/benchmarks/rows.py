"""The whole pipeline against a bare loop that posts the same bodies, both to the same sandbox.

The pipeline reads and checks a CSV file, plans it, freezes it in the ledger, signs, sends, judges
and records every row and writes the result sheet.  The bare loop serialises, signs and posts
bodies that lie ready, as many at a time, and looks at nothing but the HTTP status.
"""

import asyncio
import csv
import math
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from bulkcast import pipeline
from bulkcast.config import Config
from bulkcast.model import Institution
from bulkcast.sandbox import SANDBOX_SID
from tests.benchmarks.bare_loop import AT_ONCE, CREDENTIALS, post_all
from tests.benchmarks.measuring import Figure, height_mb, take_turns

N_ROWS = 5_000
GOES = 5
FEW, MANY = 1_000, 21_000
"""Rows between which the memory is compared."""

_HEADERS = (
    "课堂名称", "startTime", "courseId", "activityId", "recordState", "recordType", "liveState",
    "openState", "watchByLogin", "watchPassword", "webcastIntroduce",
)  # fmt: skip


def compare() -> list[Figure]:
    """Rows a second, and the client's own CPU a row, which a slow server cannot flatter."""
    with TemporaryDirectory() as folder, sandbox() as root_url:
        sheet = write_sheet(Path(folder) / "term.csv", N_ROWS)
        bodies = [request.body for request in pipeline.prepare(sheet).plan.requests]
        whole = _Pipeline(sheet, root_url, Path(folder))
        bare, ours = take_turns(
            lambda: asyncio.run(post_all(bodies, root_url)), whole.run, times=GOES
        )
        few, many = (_height_mb(Path(folder), n, root_url) for n in (FEW, MANY))
    per_row = (many - few) * 2**20 / (MANY - FEW)
    return [
        Figure("rows/s, bare loop", f"{N_ROWS / bare.wall:,.0f}", ""),
        Figure("rows/s, pipeline", f"{N_ROWS / ours.wall:,.0f}", ""),
        Figure("ratio of rows/s", f"{bare.wall / ours.wall:.2f}", ">= 0.6"),
        Figure("CPU a row, bare loop", f"{bare.cpu / N_ROWS * 1e6:.0f} µs", ""),
        Figure("CPU a row, pipeline", f"{ours.cpu / N_ROWS * 1e6:.0f} µs", ""),
        Figure("ratio of CPU", f"{bare.cpu / ours.cpu:.2f}", ""),
        Figure("memory a row, pipeline", f"{per_row:.0f} B", "<= 2100 B"),
    ]


def _height_mb(folder: Path, n_rows: int, root_url: str) -> float:
    """The height of a process of its own that sends so many rows."""
    sheet = write_sheet(folder / f"{n_rows}.csv", n_rows)
    command = (sys.executable, "-m", "tests.benchmarks.rows", str(sheet), root_url)
    return float(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


class _Pipeline:
    def __init__(self, sheet: Path, root_url: str, folder: Path) -> None:
        self._sheet = sheet
        self._root_url = root_url
        self._folder = folder
        self._numbers = count()

    def run(self) -> None:
        """One run with a fresh ledger, as a new user's would be."""
        home = self._folder / f"home-{next(self._numbers)}"
        config = Config(Institution(self._root_url, SANDBOX_SID), CREDENTIALS, home)
        options = pipeline.SendOptions(
            rate=math.inf, concurrency=AT_ONCE, results=home.with_suffix(".csv")
        )
        prepared = pipeline.prepare(self._sheet, keep_cells=False)
        report = asyncio.run(pipeline.apply(prepared, config, options))
        if report.exit_status:
            raise SystemExit(f"the run ended with {report.exit_status}: {dict(report.counts)}")


def write_sheet(path: Path, n_rows: int) -> Path:
    """A clean sheet of classrooms far in the future, no two alike."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_HEADERS)
        for n in range(n_rows):
            day, hour = 1 + n % 28, 8 + n % 10
            writer.writerow((
                f"高中数学 {n}", f"2099-03-{day:02} {hour:02}:00", 414193, 25_000_000 + n, "是", 0,
                n % 2, 1, "", f"pw{n:05}", f"第{n}讲",
            ))  # fmt: skip
    return path


@contextmanager
def sandbox() -> Iterator[str]:
    """A sandbox in its own process, as its root URL."""
    command = (sys.executable, "-m", "tests.benchmarks.server")
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    ) as process:
        if process.stdin is None or process.stdout is None:
            raise SystemExit("the sandbox has no pipes")
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


if __name__ == "__main__":
    with TemporaryDirectory() as place:
        _Pipeline(Path(sys.argv[1]), sys.argv[2], Path(place)).run()
    print(height_mb())
