"""Handing a workbook back, against loading it with openpyxl, adding seven cells a row and saving.

Each go is a process of its own, so that its memory is its own too.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import xlsxwriter
from openpyxl import load_workbook

from bulkcast.model import Layout, ResultRow, RowStatus
from bulkcast.reporter import write_results
from bulkcast.reporter.result_columns import FIELDS, texts
from tests.benchmarks.measuring import Figure, height_mb, spend

N_ROWS = 100_000
GOES = 3
TAB = "Classes"
HEADERS = ("activityId", "recordState", "liveState", *(f"note {n}" for n in range(17)))


def compare() -> list[Figure]:
    """CPU of a process for each way, in turns, and the memory that ours needs at its height."""
    with TemporaryDirectory() as name:
        source = write_term(Path(name) / "term.xlsx")
        goes = [(_measured("ours", source), _measured("openpyxl", source)) for _ in range(GOES)]
    ours, theirs = ([go[i] for go in goes] for i in (0, 1))
    ratio = median(cpu for cpu, _ in theirs) / median(cpu for cpu, _ in ours)
    return [
        Figure("CPU, openpyxl adds results", f"{median(cpu for cpu, _ in theirs):.1f} s", ""),
        Figure("CPU, bulkcast adds results", f"{median(cpu for cpu, _ in ours):.1f} s", ""),
        Figure("openpyxl over bulkcast", f"{ratio:.1f}", ">= 10"),
        Figure("memory, openpyxl", f"{max(mb for _, mb in theirs):.0f} MB", ""),
        Figure("memory, bulkcast", f"{max(mb for _, mb in ours):.0f} MB", "< 150 MB"),
    ]


def write_term(path: Path) -> Path:
    """A term of `N_ROWS` classrooms, texts and numbers, some of them formatted."""
    with xlsxwriter.Workbook(path, {"constant_memory": True}) as book:
        tab = book.add_worksheet(TAB)
        text = book.add_format({"num_format": "@"})
        tab.write_row(0, 0, HEADERS)
        for row in range(1, N_ROWS + 1):
            tab.write_string(row, 0, str(25_000_000 + row), text)
            tab.write_row(row, 1, ("On 开", "Off 关"))
            for column in range(3, len(HEADERS)):
                if column % 3:
                    tab.write_string(row, column, f"高中数学 {row % 500} {column}", text)
                else:
                    tab.write_number(row, column, row * column)
    return path


def _measured(way: str, source: Path) -> tuple[float, float]:
    """CPU seconds of the work alone and the process's height in MB."""
    command = (sys.executable, "-m", "tests.benchmarks.writing", way, str(source))
    said = subprocess.run(command, stdout=subprocess.PIPE, check=True, encoding="utf-8").stdout
    cpu, height = map(float, said.split())
    return cpu, height


def _results() -> Iterator[ResultRow]:
    """One row in seven was refused."""
    refused = "The classroom does not belong to this institution. (ClassIn 121601031)"
    for row in range(2, N_ROWS + 2):
        at = f"2027-03-01 08:{row // 60 % 60:02}:{row % 60:02}"
        if row % 7:
            yield ResultRow(row, RowStatus.APPLIED, "1", "", "", 1, at, "r1")
        else:
            yield ResultRow(row, RowStatus.REJECTED, "121601031", refused, "Mend it.", 1, at, "r1")


def _by_openpyxl(source: Path, results: Sequence[ResultRow]) -> None:
    book = load_workbook(source)
    tab = book[TAB]
    for index, field in enumerate(FIELDS, start=len(HEADERS) + 1):
        tab.cell(1, index).value = f"bulkcast_{field}"
    for result in results:
        for index, text in enumerate(texts(result).values(), start=len(HEADERS) + 1):
            tab.cell(result.row, index).value = text
    book.save(source.with_name("theirs.xlsx"))


def _by_bulkcast(source: Path, results: Sequence[ResultRow]) -> None:
    target = source.with_name("ours.xlsx")
    write_results(source, target, Layout("xlsx", 1, TAB), HEADERS, results, existing="replace")


if __name__ == "__main__":
    work = {"ours": _by_bulkcast, "openpyxl": _by_openpyxl}[sys.argv[1]]
    rows = list(_results())
    spent = spend(lambda: work(Path(sys.argv[2]), rows))
    print(spent.cpu, height_mb())
