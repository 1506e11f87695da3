"""The first lines of a file, the header row of the user's choice, and names that are no sheet's."""

from pathlib import Path

import pytest

from bulkcast.endpoints import WEBCAST
from bulkcast.errors import UnreadableSheet
from bulkcast.loader import Head, ReadOptions, first_lines, read, require_kind
from tests.sheets import write
from tests.source_files import ROOT

SAMPLES = ROOT / "samples"


def head(path: Path, **options: object) -> Head:
    return first_lines(path, endpoint=WEBCAST, options=ReadOptions(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "encoding", "delimiter"),
    [("gb18030.csv", "gb18030", ","), ("semicolons.csv", "utf-8", ";"), ("tabs.csv", "utf-8", "\t"),
     ("pipes.csv", "utf-8", "|"), ("utf-16.tsv", "utf-16", "\t")],
)  # fmt: skip
def test_how_a_text_is_read(name: str, encoding: str, delimiter: str) -> None:
    found = head(SAMPLES / name)
    assert (found.encoding, found.delimiter, found.header_row) == (encoding, delimiter, 1)


def test_lines_are_read_even_if_the_rest_cannot_be(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "activityId\n" + "1\n" * 20 + '"never closed\n')
    assert len(head(path).lines) == 10
    with pytest.raises(UnreadableSheet):
        read(path, endpoint=WEBCAST)


def test_the_likeliest_worksheet_is_shown() -> None:
    assert head(SAMPLES / "instructions-first.xlsx").header_row == 1
    hidden = head(SAMPLES / "hidden-sheets.xlsx")
    assert dict(hidden.tabs)[hidden.tab or ""]


@pytest.mark.parametrize("name", ["header-in-row-3.csv", "header-in-row-3.xlsx"])
def test_the_header_row_is_found_or_chosen(name: str) -> None:
    assert head(SAMPLES / name).header_row == 3
    assert head(SAMPLES / name, header_row=1).header_row == 1
    chosen = read(SAMPLES / name, endpoint=WEBCAST, options=ReadOptions(header_row=1))
    assert chosen.layout.header_row == 1


@pytest.mark.parametrize("row", [0, 9, 11, 1_000])
def test_a_header_row_that_is_not_there(tmp_path: Path, row: int) -> None:
    path = write(tmp_path / "a.csv", "activityId,recordState\n1,1\n")
    assert head(path, header_row=row).header_row is None
    with pytest.raises(UnreadableSheet):
        read(path, endpoint=WEBCAST, options=ReadOptions(header_row=row))


@pytest.mark.parametrize(
    "name",
    ["~$term.xlsx", "term.numbers", "term.et", "term.gsheet", "term.plan", "term.docx", "term"],
)
def test_a_name_that_is_no_sheets(name: str) -> None:
    with pytest.raises(UnreadableSheet, match=name.replace("$", r"\$").replace(".", r"\.")):
        require_kind(name)


@pytest.mark.parametrize("name", ["term.xlsx", "term.CSV", "学期.ods", ".xlsx.csv"])
def test_a_name_that_is_a_sheets(name: str) -> None:
    require_kind(name)
