"""The lean check of `validate` finds what the full one of `apply` finds, on every sample."""

from pathlib import Path

import pytest

from bulkcast.loader import reference
from bulkcast.pipeline import SheetOptions, prepare, validate
from tests.make_samples import SAMPLES
from tests.sheets import loaded
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
    book = reference.Reference(Path(SAMPLES / name))
    lines = {n: cells for (n, cells), _ in book.lines(sheet.layout.tab or "")}

    width = len(sheet.headers)
    assert sheet.rows
    for row in sheet.rows:
        cells = (*lines[row.number], *(None,) * width)[:width]
        assert row.cells == cells
        assert list(map(type, row.cells)) == list(map(type, cells))
