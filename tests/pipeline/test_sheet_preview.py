"""The first lines of a file, whatever is known of how it is read."""

from pathlib import Path

import pytest

from bulkcast.errors import CannotStart, UnreadableSheet
from bulkcast.pipeline import ReadOptions, SheetOptions, is_certain, prepare, preview
from tests.sheets import write
from tests.source_files import ROOT

SAMPLES = ROOT / "samples"


def test_the_lines_show_how_a_file_was_read() -> None:
    seen = preview(SAMPLES / "gb18030.csv")
    assert (seen.encoding, seen.delimiter, seen.header_row) == ("gb18030", ",", 1)
    assert seen.lines[0] == (1, ("课堂ID", "云端录课", "直播介绍"))


def test_another_encoding_shows_at_once() -> None:
    seen = preview(SAMPLES / "gb18030.csv", ReadOptions(encoding="big5"))
    assert seen.lines[0][1][0] != "课堂ID"


def test_an_option_that_does_not_fit_counts_as_not_given() -> None:
    seen = preview(SAMPLES / "gb18030.csv", ReadOptions(encoding="utf-8"))
    assert seen.lines[0][1][0] == "课堂ID"


def test_lines_are_shown_where_no_header_is_among_them() -> None:
    seen = preview(SAMPLES / "no-header.csv")
    assert seen.header_row is None
    assert seen.lines


def test_the_worksheets_are_named_where_several_could_be_meant() -> None:
    seen = preview(SAMPLES / "two-sheets.xlsx")
    assert [name for name, _ in seen.tabs] == ["Classes", "Classes (2)"]
    other = preview(SAMPLES / "two-sheets.xlsx", ReadOptions(tab="Classes (2)"))
    assert other.tab == "Classes (2)"


def test_hidden_worksheets_are_named_as_such() -> None:
    seen = preview(SAMPLES / "hidden-sheets.xlsx")
    assert False in [visible for _, visible in seen.tabs]


@pytest.mark.parametrize("name", ["old-kind.xls", "binary.xlsb", "open-document.ods"])
def test_other_kinds_of_workbooks_are_shown(name: str) -> None:
    seen = preview(SAMPLES / name)
    assert seen.tabs
    assert seen.header_row == 1


@pytest.mark.parametrize("name", ["with-a-password.xlsx", "empty.csv", "not-a-workbook.xlsx"])
def test_what_no_option_makes_readable_is_refused(name: str) -> None:
    with pytest.raises(UnreadableSheet):
        preview(SAMPLES / name)


def test_an_option_without_sense_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "activityId,recordState\n1,1\n")
    with pytest.raises(CannotStart):
        preview(path, ReadOptions(delimiter='"'))


def test_the_header_row_of_the_users_choice(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "Term 1,\nRaum,Aufnahme\n1001,1\n")
    with pytest.raises(UnreadableSheet):
        prepare(path)
    read = ReadOptions(header_row=2, mapping={"Raum": "activityId", "Aufnahme": "recordState"})
    prepared = prepare(path, SheetOptions(read))
    assert (prepared.sheet.layout.header_row, prepared.valid) == (2, 1)
    assert preview(path, ReadOptions(header_row=2)).header_row == 2


@pytest.mark.parametrize(
    ("name", "certain"), [("gb18030.csv", False), ("with-a-mark.csv", True), ("tabs.csv", True)]
)
def test_a_guess_is_no_certainty(name: str, certain: bool) -> None:
    assert is_certain(prepare(SAMPLES / name)) is certain
