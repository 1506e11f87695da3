"""The whole of `validate`, against the fastest readers that only walk over the cells.

For xlsx that is python-calamine, for csv `csv.reader`.  Each go is a process of its own, so that
its memory is its own too.
"""

import csv
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal

import python_calamine
import xlsxwriter

from bulkcast.pipeline import validate
from tests.benchmarks.measuring import Figure, height_mb, spend

XLSX_ROWS: Final = 100_000
CSV_ROWS: Final = 1_000_000
GOES: Final = 3
Texts = Literal["shared", "inline"]
TEXTS: Final[tuple[Texts, ...]] = ("shared", "inline")
HEADERS: Final = (
    "activityId", "courseId", "上课时间", "云端录课", "recordType", "liveState", "openState",
    "watchByLogin", "allowUnloggedChat", "watchPassword", "liveAndPlaybackViewingSet",
    "liveAndPlaybackStudentUids", "webcastIntroduce", "customColumn", "teacher", "room", "term",
    "lesson", "note", "checked by",
)  # fmt: skip
BEGIN: Final = datetime(2027, 3, 1, 8)  # noqa: DTZ001  # a cell has no zone


def compare() -> list[Figure]:
    """CPU of a process for each way, in turns, and the memory that ours needs at its height."""
    with TemporaryDirectory() as name:
        figures: list[Figure] = []
        for texts in TEXTS:
            xlsx = Path(name) / f"{texts}.xlsx"
            # Written elsewhere: a process that once was large passes its height on to its children.
            _measured(f"write-{texts}", xlsx)
            kind = f"xlsx, texts {texts}"
            found = _figures(kind, "calamine", xlsx, "<= 3.5")
            *_, idle = _measured("nothing", xlsx)
            per_row = (max(mb for _, mb in found.ours) - idle) * 2**20 / XLSX_ROWS
            memory = Figure(f"{kind}, memory a row", f"{per_row:.0f} B", "<= 2500 B")
            figures += [*found.figures, memory]
            xlsx.unlink()
        found = _figures("csv", "csv.reader", write_csv(Path(name) / "term.csv"), "<= 6")
        height = max(mb for _, mb in found.ours)
        return [*figures, *found.figures, Figure("csv, memory", f"{height:.0f} MB", "<= 200 MB")]


class _Found:
    def __init__(self, kind: str, reader: str, source: Path, goal: str) -> None:
        goes = [(_measured("validate", source), _measured(reader, source)) for _ in range(GOES)]
        self.ours, theirs = ([go[i] for go in goes] for i in (0, 1))
        mine, other = (median(cpu for cpu, _ in each) for each in (self.ours, theirs))
        self.figures = [
            Figure(f"{kind}, CPU of {reader}", f"{other:.1f} s", ""),
            Figure(f"{kind}, CPU of validate", f"{mine:.1f} s", ""),
            Figure(f"{kind}, validate over {reader}", f"{mine / other:.2f}", goal),
        ]


_figures = _Found


def rows(n: int) -> Iterator[tuple[Any, ...]]:
    """A term of `n` classrooms, one in 200 of them with something to be said about it."""
    for i in range(n):
        switch = ("On 开", "Off 关")
        yield (
            str(25_096_094 + i), str(7_000_000 + i // 40),
            BEGIN + timedelta(minutes=5 * (i % 9000)),
            "On 开" if i % 200 else "maybe", ("0", "1", "2")[i % 3], switch[0], switch[i % 2],
            switch[0], switch[i % 3 == 0], f"pw-{i * 7919 % 1_000_003}", 1,
            f"{1_001_000 + i},{1_001_001 + i}" if i % 4 == 0 else None,
            f"高中数学 第{i % 500}讲", f"tag {i % 90}", f"老师 {i % 300}", f"A{i % 77}",
            "2027 spring", i % 40 + 1, f"note {i}" if i % 3 else None, "",
        )  # fmt: skip


def write_xlsx(path: Path, n: int = XLSX_ROWS, *, texts: Texts) -> None:
    """The term as a workbook: ids and passwords as text, times as dates.

    Spreadsheet programs share equal texts between cells; programs that export put them inline.
    """
    options = {"constant_memory": texts == "inline", "default_date_format": "yyyy-mm-dd hh:mm"}
    with xlsxwriter.Workbook(path, options) as book:
        tab = book.add_worksheet("Classes")
        text = book.add_format({"num_format": "@"})
        tab.write_row(0, 0, HEADERS)
        for number, row in enumerate(rows(n), start=1):
            for column, cell in enumerate(row):
                if isinstance(cell, str) and cell:
                    tab.write_string(number, column, cell, text)
                elif cell is not None:
                    tab.write(number, column, cell)


def write_csv(path: Path, n: int = CSV_ROWS) -> Path:
    """The same as text."""
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        out = csv.writer(file)
        out.writerow(HEADERS)
        out.writerows(rows(n))
    return path


def _measured(way: str, source: Path) -> tuple[float, float]:
    """CPU seconds of the work alone and the process's height in MB."""
    command = (sys.executable, "-m", "tests.benchmarks.reading", way, str(source))
    said = subprocess.run(command, stdout=subprocess.PIPE, check=True, encoding="utf-8").stdout
    cpu, height = map(float, said.split())
    return cpu, height


def _by_calamine(source: Path) -> None:
    for _ in python_calamine.load_workbook(source).get_sheet_by_index(0).iter_rows():
        pass


def _by_csv(source: Path) -> None:
    with source.open(encoding="utf-8-sig", newline="") as file:
        for _ in csv.reader(file):
            pass


def _by_validate(source: Path) -> None:
    found = validate(source)
    assert found.rows - found.valid == found.rows // 200, found


_WAYS: Final[Mapping[str, Callable[[Path], None]]] = {
    "calamine": _by_calamine,
    "csv.reader": _by_csv,
    "validate": _by_validate,
    "nothing": lambda _: None,
    "write-shared": partial(write_xlsx, texts="shared"),
    "write-inline": partial(write_xlsx, texts="inline"),
}

if __name__ == "__main__":
    spent = spend(lambda: _WAYS[sys.argv[1]](Path(sys.argv[2])))
    print(spent.cpu, height_mb())
