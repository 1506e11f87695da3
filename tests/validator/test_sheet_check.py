"""The check of a sheet in blocks of rows: what it finds, and what it keeps."""

import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulkcast import validator
from bulkcast.endpoints.webcast import WEBCAST
from bulkcast.loader import xlsx_reader
from bulkcast.model import Block, Cell, FlaggedCell, Issue
from bulkcast.pipeline import SheetOptions, prepare, validate
from bulkcast.validator.parsing import CellCache, Reading, refused
from tests.make_samples import SAMPLES
from tests.sample_findings import FOUND
from tests.sheets import RULES, changed, checked, loaded

WORKBOOKS = sorted(name for name in FOUND if name.endswith(".xlsx"))


@pytest.mark.parametrize("name", [*sorted(FOUND), "term/term.csv", "term/term.xlsx"])
@pytest.mark.parametrize("strict", [False, True])
def test_validate_finds_what_apply_would(name: str, strict: bool) -> None:
    options = SheetOptions(strict=strict)

    lean, full = validate(SAMPLES / name, options), prepare(SAMPLES / name, options)

    assert list(lean.issues) == list(full.issues)
    assert (lean.rows, lean.valid) == (len(full.checked.rows), full.valid)
    assert (lean.remarks, lean.ignored_columns) == (full.remarks, full.ignored_columns)
    assert lean.exit_status == full.exit_status


@pytest.mark.parametrize("name", [*WORKBOOKS, "term/term.xlsx"])
def test_the_fast_reader_and_openpyxl_agree_cell_by_cell(name: str) -> None:
    sheet = loaded(SAMPLES / name)
    with closing(xlsx_reader.XlsxParser(Path(SAMPLES / name))) as book:
        lines = {n: cells for (n, cells), _ in book.lines(sheet.layout.tab or "")}

    width = len(sheet.headers)
    assert sheet.rows
    for row in sheet.rows:
        cells = (*lines[row.number], *(None,) * width)[:width]
        assert row.cells == cells
        assert list(map(type, row.cells)) == list(map(type, cells))


HEADERS = ("activityId", "class name", "teacher", "customColumn")
RUN = st.tuples(
    st.integers(1, 3), st.integers(1, 9), st.sampled_from("ab"), st.sampled_from(["", "c"])
)


def _rows(runs: list[tuple[int, int, str, str]]) -> list[tuple[Cell, ...]]:
    """Stretches of ids that count up beside names that stay; a gap, or a blank id, between them."""
    rows: list[tuple[Cell, ...]] = []
    last = 100
    for gap, length, name, teacher in runs:
        rows.extend((str(last + gap + i), name, teacher, "x") for i in range(length))
        last += gap + length - 1
        if gap == 3:
            rows.append((None, name, teacher, "x"))
    return rows


def _found(rows: list[tuple[Cell, ...]], at_once: int) -> list[Issue]:
    checking = validator.Validator(HEADERS, 1, WEBCAST, RULES)
    for first in range(0, len(rows), at_once):
        some = rows[first : first + at_once]
        numbers = range(first + 2, first + 2 + len(some))
        checking.take(Block(numbers, list(zip(*some, strict=True))))
    return list(checking.result().issues)


@given(st.lists(RUN, min_size=1, max_size=6))
@settings(deadline=None)
def test_what_is_suspected_does_not_depend_on_how_many_rows_are_seen_at_once(
    runs: list[tuple[int, int, str, str]],
) -> None:
    rows = _rows(runs)

    one_by_one = _found(rows, 1)

    assert _found(rows, 4) == one_by_one
    assert _found(rows, len(rows)) == one_by_one


def test_a_run_of_ids_that_count_up_is_suspected_across_blocks() -> None:
    rows: list[tuple[Cell, ...]] = [(str(100 + i), "same", "", "x") for i in range(5)]

    assert [i.code for i in _found(rows, 3)] == ["column.counts_up"]
    assert [i.code for i in _found([*rows[:2], *rows[3:]], 2)] == []


def test_the_first_and_the_last_row_of_a_block_are_no_neighbours() -> None:
    ids = (940, 100, 101, 102, 103, 950, 960, 104)
    rows: list[tuple[Cell, ...]] = [
        (str(id_), "same" if id_ < 200 else f"other {id_}", "", "x") for id_ in ids
    ]

    assert _found(rows, 4) == []


# ------------------------------------------------------------------ cells that repeat


SOME_TIME = datetime.fromisoformat("2027-03-01")


class Reader:
    """Says how a cell is written in Python; refuses the word no."""

    def __init__(self) -> None:
        self.read: list[Cell] = []

    def __call__(self, cell: Cell) -> Reading:
        self.read.append(cell)
        return refused("cell.not_a_choice", choices="yes") if cell == "no" else Reading(repr(cell))


def test_cells_that_are_alike_are_read_once_and_found_at_each_place() -> None:
    reader = Reader()
    cache = CellCache(reader)

    values, remarkable = cache.read(["a", "no", "a", None, "no"])
    again, _ = cache.read(["no", "a"])

    assert reader.read == ["a", "no", None]
    assert values == ["'a'", None, "'a'", "None", None]
    assert again == [None, "'a'"]
    assert list(remarkable) == [1, 4]


@given(st.permutations([1, 1.0, True, "1", 0, 0.0, -0.0, False, "0", "", None, SOME_TIME]))
def test_cells_that_are_equal_and_not_the_same_are_told_apart(cells: list[Cell]) -> None:
    cache = CellCache(lambda cell: Reading(repr(cell)))

    assert cache.read(cells)[0] == cache.read(cells)[0] == list(map(repr, cells))


def test_a_flagged_cell_is_read_wherever_it_stands() -> None:
    flagged = FlaggedCell("cell.merged", "1", 1, {"range": "A1:A2"})

    values, _ = CellCache(lambda cell: Reading(type(cell).__name__)).read([1, flagged, 1])

    assert values == ["int", "FlaggedCell", "int"]


def test_a_switch_is_read_as_what_it_is_stored_as() -> None:
    rows = checked("activityId,recordState", ("1", 1), ("2", True), ("3", 1.0), ("4", "1.0")).rows

    assert [dict(changed(row).settings) for row in rows] == [{"recordState": 1}] * 4
    assert [[i.code for i in row.issues if i.column] for row in rows] == [
        [],
        [],
        [],
        ["read.cleaned"],
    ]


def test_cells_that_never_repeat_do_not_fill_the_cache() -> None:
    cache = CellCache(lambda cell: Reading(str(cell)))

    for start in range(0, 100_000, 500):
        cache.read([f"{n} {'x' * 1000}" for n in range(start, start + 500)])

    assert len(cache) < 2000
    assert cache.read(["99999"])[0] == ["99999"]


def _blocks(n: int, of_row: Any, at_once: int = 500) -> Iterator[Block]:
    for first in range(2, n + 2, at_once):
        numbers = range(first, min(first + at_once, n + 2))
        yield Block(numbers, list(zip(*map(of_row, numbers), strict=True)))


def test_a_row_takes_some_bytes_whatever_stands_in_it_and_whatever_is_said_of_it() -> None:
    headers = ("activityId", "recordState", "webcastIntroduce")
    n = 60_000
    checking = validator.Validator(headers, 1, WEBCAST, RULES)
    blocks = _blocks(n, lambda row: (str(10**8 + row * 7), "on", f"{row} {'text ' * 40}"))

    tracemalloc.start()
    try:
        for number, block in enumerate(blocks):
            checking.take(block)
            if number == 60:
                before, _ = tracemalloc.get_traced_memory()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert (after - before) / (n - 61 * 500) < 100
    found = checking.result()
    assert (found.rows, found.valid, len(found.issues)) == (n, n, n)
    assert {issue.code for issue in found.issues} == {"rule.partial_group"}


# ------------------------------------------------------------------ the same classroom, far apart


@pytest.mark.parametrize("treatment", ["error", "last", "in-order"])
def test_rows_that_contradict_each_other_are_found_however_far_apart(
    treatment: Literal["error", "last", "in-order"], tmp_path: Path
) -> None:
    lines = [f"{10_000 + n},1,{n}" for n in range(3000)]
    lines[0], lines[2990], lines[2995] = "7,1,a", "7,0,b", "7,1,a"
    path = tmp_path / "a.csv"
    path.write_text(
        "\n".join(["activityId,recordState,webcastIntroduce", *lines]), encoding="utf-8"
    )
    options = SheetOptions(duplicates=treatment)

    lean, full = validate(path, options), prepare(path, options)

    told = [(i.row, i.code) for i in lean.issues if i.code.startswith("target.")]
    assert (
        told
        == {
            "error": [(row, "target.duplicate") for row in (2, 2992, 2997)],
            "last": [(2992, "target.overruled")],
            "in-order": [],
        }[treatment]
    )
    assert list(lean.issues) == list(full.issues)
    assert len(lean.issues) == len(list(lean.issues))
    assert (lean.valid, lean.exit_status) == (full.valid, full.exit_status)


def test_a_classroom_by_both_of_its_ids_contradicts_rows_with_either(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("activityId,classId,recordState\n1,7,1\n,7,0\n2,,1\n1,,1\n", encoding="utf-8")

    found = validate(path)

    told = [
        (i.row, str(i.message.args["others"])) for i in found.issues if i.code == "target.duplicate"
    ]
    assert told == [(2, "3, 5"), (3, "2, 5"), (5, "2, 3")]
    assert found.valid == 1
