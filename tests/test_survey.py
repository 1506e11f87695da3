"""The lean check of `validate` finds what the full one of `apply` finds, on every sample."""

from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulkcast import validator
from bulkcast.endpoints.webcast import WEBCAST
from bulkcast.loader import reference
from bulkcast.model import Block, Cell, Issue
from bulkcast.pipeline import SheetOptions, prepare, validate
from tests.make_samples import SAMPLES
from tests.sheets import RULES, loaded
from tests.test_samples import FOUND

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
    with closing(reference.Reference(Path(SAMPLES / name))) as book:
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
    survey = validator.survey(HEADERS, 1, WEBCAST, RULES)
    for first in range(0, len(rows), at_once):
        some = rows[first : first + at_once]
        numbers = range(first + 2, first + 2 + len(some))
        survey.take(Block(numbers, list(zip(*some, strict=True))))
    return list(survey.result().issues)


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
