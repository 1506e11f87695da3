"""What comes of each faulty sheet in `samples/`: exactly these problems, or this refusal."""

import unicodedata
from datetime import datetime
from pathlib import Path

import pytest

from bulkcast.endpoints.webcast import WEBCAST
from bulkcast.errors import UnreadableSheet
from bulkcast.loader import ReadOptions
from bulkcast.model import Change, Invalid, Issue, Sheet
from bulkcast.problems import PROBLEMS
from bulkcast.validator import all_issues, check
from tests.make_samples import KEPT, SAMPLES, files
from tests.sample_findings import FOUND
from tests.sheets import RULES, loaded

HIDDEN_COLUMN = (
    "The column watchPassword is hidden and is read like the others; delete it if it is not meant."
)

REFUSED: dict[str, str] = {
    "cut-off.xlsx": " is cut off or damaged; copy or download it again.",
    "document.csv": " is no text but a PDF document; give the spreadsheet it was made from.",
    "empty.csv": " is empty.",
    "empty.xlsx": " is empty.",
    "header-in-row-11.csv": " has no header row within its first 10 rows",
    "no-header.csv": " has no header row within its first 10 rows",
    "not-a-workbook.xlsx": " is no workbook but text; name it .csv, or save it as .xlsx.",
    "old-kind-renamed.xlsx": " is an old .xls by another name",
    "old-kind-with-a-password.xls": ": The workbook has a password to open it",
    "open-document-with-a-password.ods": ": The workbook has a password to open it",
    "quote-in-the-middle.csv": ", line 2: a cell goes on after its closing quote",
    "saved-as-xml.xls": " is a workbook saved as XML, whatever its name says",
    "strict-open-xml.xlsx": ": The workbook is saved as Strict Open XML",
    "text-named-xls.xls": " is no workbook but text; name it .csv, or save it as .xlsx.",
    "two-encodings.csv": " is not utf-8 throughout: line 3 holds bytes that are none",
    "two-sheets.xlsx": " has more than one worksheet to read: 'Classes', 'Classes (2)'",
    "unclosed-quote.csv": ", line 3: a quote is opened in this line and never closed",
    "web-page.xls": " is a web page by another name; open it and save it as .xlsx.",
    "with-a-password.xlsx": " has a password to open it; save it as .xlsx without a password.",
    "workbook-named-csv.csv": " is no text but a zip archive, perhaps a workbook",
    "zero-bytes.csv": " is no text file: it holds zero bytes; save it as CSV UTF-8.",
}
"""What follows the file's name, or how that begins."""

GUESSED = "it was read as {}. If its words look wrong, say the encoding with --encoding."
SAID: dict[str, list[str]] = {
    "cells-without-a-place.xlsx": ["The header was found in row 3."],
    "cp1258.csv": ["The cells were taken to be separated by ;."],
    "filtered-rows.xlsx": ["1 hidden row is included; leave it out with --hidden skip."],
    "full-width-commas.csv": ["The cells were taken to be separated by ，."],
    "header-in-row-3.csv": ["The header was found in row 3."],
    "header-in-row-3.xlsx": ["The header was found in row 3."],
    "hidden-columns.xlsx": [HIDDEN_COLUMN],
    "hidden-rows.xlsx": ["2 hidden rows are included; leave them out with --hidden skip."],
    "line-breaks-in-cells.csv": ["The file's 6 lines are 4 rows: some cells hold line breaks."],
    "merged-title.xlsx": [
        "The header was found in row 2.",
        "1 row that begins with # was passed over as a comment.",
    ],
    "old-kind-damaged.xls": ["1 hidden row is included; leave it out with --hidden skip."],
    "open-document.ods": ["1 hidden row is included; leave it out with --hidden skip."],
    "pipes.csv": ["The cells were taken to be separated by |."],
    "semicolons.csv": ["The cells were taken to be separated by ;."],
    "tabs.csv": ["The cells were taken to be separated by tabs."],
    "table-from-b3.ods": ["The header was found in row 3."],
    "title-and-remarks.csv": [
        "The header was found in row 3.",
        "1 blank row between the others was passed over.",
        "1 row that begins with # was passed over as a comment.",
    ],
    "utf-16-the-other-way-round.csv": [GUESSED.format("utf-16-be")],
    "utf-16-without-a-mark.csv": [GUESSED.format("utf-16-le")],
}
"""What is told of how a sheet was read; of all others, nothing."""


def placed(issue: Issue) -> str:
    place = issue.cell or (f"row {issue.row}" if issue.row else "sheet")
    return f"{place} {issue.code}"


def issues(sheet: Sheet) -> list[Issue]:
    found = all_issues(check(sheet, WEBCAST, RULES))
    return [issue for issue in found if issue.code != "rule.partial_group"]


def bodies(sheet: Sheet) -> list[dict[str, object]]:
    rows = check(sheet, WEBCAST, RULES).rows
    return [dict(row.body) for row in rows if isinstance(row, Change)]


def test_every_sample_is_accounted_for() -> None:
    there = {path.name for path in SAMPLES.iterdir() if path.is_file()}

    assert there == {*files(), *KEPT} == {*FOUND, *REFUSED}
    assert not {*FOUND} & {*REFUSED}
    assert len(there) >= 90


@pytest.mark.parametrize("name", sorted(FOUND))
def test_a_sample_shows_its_fault_and_no_other(name: str) -> None:
    sheet = loaded(SAMPLES / name)

    assert [placed(issue) for issue in issues(sheet)] == FOUND[name]
    assert len(sheet.remarks) == len(SAID.get(name, ()))
    for remark, said in zip(sheet.remarks, SAID.get(name, ()), strict=True):
        assert said in str(remark)


@pytest.mark.parametrize("name", sorted(FOUND))
def test_what_is_said_of_a_sample_is_whole_sentences(name: str) -> None:
    for issue in issues(loaded(SAMPLES / name)):
        message, fix = str(issue.message), str(issue.fix)
        assert message.endswith(".")
        assert not {"{", "}"} & {*message, *fix}
        assert bool(fix) == bool(PROBLEMS[issue.code].fix)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_sample_that_cannot_be_read_is_refused_in_a_sentence(name: str) -> None:
    with pytest.raises(UnreadableSheet) as refusal:
        loaded(SAMPLES / name)

    assert str(refusal.value).startswith(name + REFUSED[name])
    assert str(refusal.value).endswith(".")
    assert refusal.value.exit_status == 2


# ------------------------------------------------------------------ read as it was meant

LIVE = {"recordState": 1, "webcastIntroduce": "高中数学"}


@pytest.mark.parametrize(
    "name",
    [
        *("gb18030.csv", "utf-16.tsv", "utf-16-without-a-mark.csv"),
        *("utf-16-the-other-way-round.csv", "full-width-commas.csv"),
    ],
)
def test_an_encoding_does_not_change_what_is_wanted(name: str) -> None:
    assert bodies(loaded(SAMPLES / name)) == [{"classId": 1152680, **LIVE}]


@pytest.mark.parametrize("name", ["pipes.csv", "tabs.csv", "sep-line.csv"])
def test_a_delimiter_does_not_change_what_is_wanted(name: str) -> None:
    assert bodies(loaded(SAMPLES / name)) == [{"activityId": 25096094, **LIVE}]


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("big5.csv", "高中數學，第一課"),
        ("cp949.csv", "고등학교 수학 첫 번째 수업"),
        ("shift-jis.csv", "はじめての数学のじゅぎょう"),
        ("cp1258.csv", "Toán học lớp 10 buổi sáng"),
    ],
)
def test_words_in_an_old_encoding_are_the_words_that_were_typed(name: str, cell: str) -> None:
    first, second = loaded(SAMPLES / name).rows

    assert unicodedata.normalize("NFC", str(first.cells[2])) == cell
    assert [dict(body)["recordState"] for body in bodies(loaded(SAMPLES / name))] == [1, 0]
    assert second.cells[0] == "1152687"


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("formula-saved.xlsx", [{"activityId": 25096094, "recordState": 1}]),
        ("hidden-sheets.xlsx", [{"activityId": 25096094, "recordState": 1}]),
        ("header-in-row-3.xlsx", [{"classId": 1152680, "recordState": 1}]),
        ("cells-without-a-place.xlsx", [{"classId": 1152680, "recordState": 1}]),
        ("rich-texts.xlsx", [{"activityId": 25096094, "webcastIntroduce": "高中数学 第一课"}]),
        ("table-from-b3.ods", [{"activityId": 25096094, "recordState": 1}]),
        ("stray-cell-far-off.xlsx", [{"activityId": 25096094, "recordState": 1}]),
        ("id-shown-as-something-else.xlsx", [{"activityId": 25096094, "recordState": 1}]),
        ("leading-zeros-shown.xlsx", [{"activityId": 96094, "recordState": 1}]),
        ("merged-title.xlsx", [
            {"activityId": 25096094, "recordState": 1}, {"activityId": 25096099, "recordState": 0},
        ]),
        ("invisible-characters.csv", [{"activityId": 25096094, "recordState": 1}]),
        ("old-mac-lines.csv", [
            {"activityId": 25096094, "recordState": 1}, {"activityId": 25096099, "recordState": 0},
        ]),
        ("binary.xlsb", [
            {"activityId": 25096094, "recordState": 1, "customColumn": "高中数学"},
            {"activityId": 25096095, "recordState": 0, "customColumn": "two\nlines"},
        ]),
    ],
)  # fmt: skip
def test_a_sample_is_read_as_its_owner_meant_it(name: str, wanted: list[dict[str, object]]) -> None:
    assert bodies(loaded(SAMPLES / name)) == wanted


@pytest.mark.parametrize("name", ["old-kind.xls", "saved-by-libreoffice.xlsx"])
def test_an_old_workbook_says_what_it_says_when_saved_anew(name: str) -> None:
    sheet = loaded(SAMPLES / name)

    assert [row.cells[:4] for row in sheet.rows] == [
        (25096094, "高一数学", datetime(2027, 3, 1, 8), "开"),  # noqa: DTZ001  # a cell has no zone
        ("25096095", "高一英语", datetime(2027, 3, 2, 8), "关"),  # noqa: DTZ001 - cells have no zone
    ]
    assert bodies(sheet)[0] == {
        "activityId": 25096094, "recordState": 1, "webcastIntroduce": "第一课",
    }  # fmt: skip


def test_dates_are_counted_from_the_day_the_workbook_says() -> None:
    new, old = (
        [row.cells[1] for row in loaded(SAMPLES / name).rows][:3]
        for name in ("dates-and-times.xlsx", "dates-counted-from-1904.xlsx")
    )

    days = [
        (b - a).days
        for a, b in zip(new, old, strict=True)
        if isinstance(a, datetime) and isinstance(b, datetime)
    ]
    assert new == [
        datetime(2027, 3, 1, 8), "2027-03-01 08:00", datetime(2027, 3, 1),  # noqa: DTZ001 - cells have no zone
    ]  # fmt: skip
    assert days == [1462, 1462], "1904-01-01 is day 0 of the one and day 1462 of the other"


def test_a_column_or_row_that_is_hidden_is_read_like_any_other() -> None:
    (row,) = check(loaded(SAMPLES / "hidden-columns.xlsx"), WEBCAST, RULES).rows
    skipped = loaded(SAMPLES / "filtered-rows.xlsx", ReadOptions(hidden="skip"))

    assert isinstance(row, Invalid)
    assert [row.number for row in skipped.rows] == [2]


@pytest.mark.parametrize("name", sorted({*FOUND} - KEPT))
def test_the_sample_on_disk_is_the_one_that_the_script_makes(name: str, tmp_path: Path) -> None:
    made = tmp_path / name
    made.write_bytes(files()[name])

    assert loaded(made) == loaded(SAMPLES / name), "run `python -m tests.make_samples`"
