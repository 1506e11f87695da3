"""Results counted by one of the user's own columns."""

import subprocess
import sys

import pytest

from bulkcast.endpoints import WEBCAST
from bulkcast.errors import CannotStart
from bulkcast.frames import crosstab
from bulkcast.model import Cell, FlaggedCell, Layout, RawRow, ResultRow, RowStatus, Sheet


def sheet(*values: Cell, header: str = "Campus 校区") -> Sheet:
    rows = tuple(RawRow(n, ("1", value)) for n, value in enumerate(values, start=2))
    return Sheet("term.xlsx", Layout("xlsx", 1), ("activityId", header), rows)


def results(*statuses: RowStatus) -> list[ResultRow]:
    return [ResultRow(n, s, "", "", "", 0, "", "r1") for n, s in enumerate(statuses, start=2)]


def test_rows_are_counted_by_value_and_status_in_the_order_of_the_sheet() -> None:
    done, bad = RowStatus.APPLIED, RowStatus.INVALID

    table = crosstab(sheet("West", "East", "West", None), results(bad, done, done, done),
                     "campus校区", WEBCAST)  # fmt: skip

    assert table.column == "Campus 校区"
    assert table.statuses == (done, bad)
    assert table.counts == (("West", (1, 1)), ("East", (1, 0)), ("", (1, 0)))


def test_numbers_and_flagged_cells_count_as_they_show() -> None:
    cells = sheet(7.0, 7, FlaggedCell("cell.formula_error", "#N/A"))

    table = crosstab(cells, results(*[RowStatus.APPLIED] * 3), "Campus 校区", WEBCAST)

    assert table.counts == (("7", (2,)), ("#N/A", (1,)))


def test_a_run_without_rows_gives_an_empty_table() -> None:
    assert crosstab(sheet(), [], "Campus 校区", WEBCAST).counts == ()


def test_an_unknown_column_is_refused_with_those_there_are() -> None:
    with pytest.raises(CannotStart, match="it has activityId, Campus"):
        crosstab(sheet("West"), results(RowStatus.APPLIED), "Teacher", WEBCAST)


def test_nothing_is_counted_by_a_secret() -> None:
    with pytest.raises(CannotStart, match="secret") as refused:
        crosstab(
            sheet("s3cret", header="观看密码"), results(RowStatus.APPLIED), "观看密码", WEBCAST
        )

    assert "s3cret" not in str(refused.value)


def test_pandas_is_not_loaded_by_writing_results() -> None:
    program = "import bulkcast.reporter, sys; print('pandas' in sys.modules)"

    said = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
    )

    assert said.stdout.strip() == "False"
