"""The marked-up copy: what is wrong stands beside each row, and it is a sheet like any other."""

from pathlib import Path

import openpyxl
import pytest

from bulkcast.pipeline import RESUBMITTED, Selection, mark_up, prepare
from tests.sheets import write
from tests.source_files import ROOT


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_only_rows_that_would_not_be_sent_are_marked(tmp_path: Path, lang: str) -> None:
    path = write(tmp_path / "a.csv", "activityId,recordState\n1,maybe\n2,1\n")
    place, _ = mark_up(prepare(path), tmp_path / "marked.csv", lang=lang)
    rows = place.read_text("utf-8-sig").splitlines()
    assert "invalid" in rows[1]
    assert "invalid" not in rows[2]


def test_a_marked_up_copy_is_a_valid_sheet_in_which_nothing_counts_as_done(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "activityId,recordState\n1,maybe\n2,1\n")
    place, _ = mark_up(prepare(path), tmp_path / "marked.csv", lang="en")
    again = prepare(place, selection=Selection(statuses=RESUBMITTED))
    assert not again.kept
    assert not again.again
    assert (again.valid, again.invalid) == (1, 1)


def test_a_workbook_stays_a_workbook(tmp_path: Path) -> None:
    source = ROOT / "samples" / "password-as-number.xlsx"
    place, _ = mark_up(prepare(source), tmp_path / "marked.xlsx", lang="en")
    tab = openpyxl.load_workbook(place).active
    assert tab is not None
    assert "bulkcast_status" in [cell.value for cell in tab[1]]


def test_another_kind_becomes_a_workbook(tmp_path: Path) -> None:
    prepared = prepare(ROOT / "samples" / "old-kind.xls")
    place, _ = mark_up(prepared, tmp_path / "marked.xls", lang="en")
    assert place.suffix == ".xlsx"
    assert prepare(place).valid == prepared.valid
