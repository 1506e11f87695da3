"""The workbook to fill in."""

import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from zipfile import ZipFile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from bulkcast import loader
from bulkcast.catalogue import ChoiceKind, Role
from bulkcast.endpoints import WEBCAST
from bulkcast.errors import CannotStart
from bulkcast.headers import fold
from bulkcast.loader import ReadOptions
from bulkcast.model import Cell, Change, FlaggedCell, Layout, RawRow, Severity, Sheet
from bulkcast.reporter import write_template
from bulkcast.reporter.result_columns import writable
from bulkcast.validator import CheckRules, all_issues, check

Lang = Literal["en", "zh"]
COLUMNS = [column for column in WEBCAST.columns if column.role is not Role.INSTITUTION]
"""Those of the template: a sheet for one institution does not name it."""

LANGUAGES: tuple[Lang, ...] = ("en", "zh")


@pytest.fixture(params=LANGUAGES)
def template(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_template(tmp_path / "t.xlsx", WEBCAST, request.param).path


def classes(path: Path) -> Worksheet:
    sheet = load_workbook(path)["Classes 课堂"]
    assert isinstance(sheet, Worksheet)
    return sheet


def test_the_first_sheet_explains_and_the_active_one_is_to_fill_in(template: Path) -> None:
    book = load_workbook(template)

    states = {sheet.title: sheet.sheet_state for sheet in book.worksheets}
    assert states == {
        "Read me 说明": "visible",
        "Classes 课堂": "visible",
        "Lists": "hidden",
        "_bulkcast": "veryHidden",
    }
    assert book.active is not None
    assert book.active.title == "Classes 课堂"
    with ZipFile(template) as parts:
        assert b'name="bulkcast.schema"><vt:lpwstr>1<' in parts.read("docProps/custom.xml")


def test_every_column_has_a_header_a_note_and_a_format(template: Path) -> None:
    sheet = classes(template)

    assert sheet.max_column == len(COLUMNS)
    assert sheet.max_row == 1
    for index, setting in enumerate(COLUMNS, start=1):
        cell = sheet.cell(1, index)
        assert WEBCAST.column_for(str(cell.value)) is setting
        assert cell.comment is not None
        assert setting.key in cell.comment.text
        if setting.role is Role.TARGET or setting.secret:
            assert sheet.column_dimensions[get_column_letter(index)].number_format == "@"


def test_drop_downs_offer_names_and_nothing_else_is_restricted(template: Path) -> None:
    book = load_workbook(template)
    rules = {
        str(rule.sqref).split(":")[0].rstrip("2"): rule
        for rule in classes(template).data_validations.dataValidation
    }

    for index, setting in enumerate(COLUMNS, start=1):
        rule = rules[get_column_letter(index)]
        assert rule.prompt
        if isinstance(setting.kind, ChoiceKind):
            tab, cells = book.defined_names[rule.formula1].value.split("!")
            words = [row[0].value for row in book[tab][cells.replace("$", "")]]
            values = [setting.kind.by_word[fold(str(word))] for word in words]
            assert values == [choice.value for choice in setting.kind.choices]
        else:
            assert rule.type in {None, "none"}


@pytest.mark.parametrize(
    ("lang", "header"), [("en", "Web live\n网页直播"), ("zh", "网页直播\nWeb live")]
)
def test_headers_and_words_have_the_readers_language_first(
    tmp_path: Path, lang: Lang, header: str
) -> None:
    book = load_workbook(write_template(tmp_path / "t.xlsx", WEBCAST, lang).path)

    assert header in [cell.value for cell in book["Classes 课堂"][1]]
    assert book["Lists"]["A1"].value == {"en": "Off 关", "zh": "关 Off"}[lang]


def test_a_filled_in_template_is_read_and_valid(template: Path) -> None:
    book = load_workbook(template)
    sheet = book["Classes 课堂"]
    words = {"recordState": "On 开", "recordType": "Both 两个都录", "liveState": "Off 关",
             "openState": "Off 关", "activityId": "25096094", "watchPassword": "0123"}  # fmt: skip
    for index, setting in enumerate(COLUMNS, start=1):
        sheet.cell(2, index).value = words.get(setting.key)
    book.save(template)

    checked = check(loader.read(template, endpoint=WEBCAST), WEBCAST, CheckRules(UTC))

    (row,) = checked.rows
    assert isinstance(row, Change)
    assert row.settings == (
        ("recordState", 1), ("recordType", 2), ("liveState", 0), ("openState", 0),
        ("watchPassword", "0123"),
    )  # fmt: skip


# ------------------------------------------------------------------ filled from a sheet

OLD = ("note", "网页直播", "Activity ID", "观看密码", "bulkcast_status", "startTime", "")


def old_sheet(*rows: tuple[Cell, ...], headers: tuple[str, ...] = OLD) -> Sheet:
    raw = tuple(RawRow(number, row) for number, row in enumerate(rows, start=2))
    return Sheet("old.xlsx", Layout("xlsx", 1, "T"), headers, raw, ())


def errors(sheet: Sheet) -> list[tuple[str, str | None]]:
    issues = all_issues(check(sheet, WEBCAST, CheckRules(UTC)))
    wrong = [issue for issue in issues if issue.severity is Severity.ERROR]
    return [(i.code, WEBCAST.by_header[fold(i.column)].key if i.column else None) for i in wrong]


def filled(folder: Path, *rows: tuple[Cell, ...]) -> tuple[Path, list[dict[str, object]]]:
    path = folder / "new.xlsx"
    write_template(path, WEBCAST, "en", filled_from=old_sheet(*rows))
    top, *below = classes(path).iter_rows(values_only=True)
    named = [str(name or "").partition("\n")[0] for name in top]
    return path, [dict(zip(named, row, strict=True)) for row in below]


def test_a_sheets_rows_stand_under_their_columns_and_its_own_columns_behind(
    tmp_path: Path,
) -> None:
    when = datetime.fromisoformat("2027-03-01 08:30")
    path, (row,) = filled(tmp_path, ("=1+1", "开", 25096094, "0123", "applied", when, "beside"))

    assert row["Activity ID *"] == "25096094"
    assert (row["Web live"], row["Watch password"], row["Start time"]) == ("开", "0123", when)
    assert (row["note"], row[""]) == ("=1+1", "beside")
    assert "bulkcast_status" not in row
    sheet = classes(path)
    assert sheet["A2"].number_format == "@"
    assert next(c for c in sheet[2] if c.value == "=1+1").data_type == "s"


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        (2, 1.2345678901234568e17),
        (2, FlaggedCell("cell.formula_error", "#N/A")),
        (2, datetime.fromisoformat("2027-03-01 08:30")),
        (2, "25 096 094 a"),
        (3, 123),
        (3, "a\x00b"),
        (3, "a\ud800b"),
        (1, 0.5),
        (1, "maybe"),
        (5, "soon"),
    ],
)
def test_what_was_wrong_with_a_cell_is_wrong_in_the_template_too(
    tmp_path: Path, column: int, cell: Cell
) -> None:
    row: list[Cell] = [None, "On", "25096094", "pw", None, None, None]
    row[column] = cell

    path, _ = filled(tmp_path, tuple(row))

    assert errors(loader.read(path, endpoint=WEBCAST)) == errors(old_sheet(tuple(row))) != []


def test_a_number_that_is_only_shown_shortened_is_taken_over_whole(tmp_path: Path) -> None:
    cell = FlaggedCell("id.display_shortened", "1.23457E+11", 123456789012)

    _, (row,) = filled(tmp_path, (None, "On", cell, None, None, None, None))

    assert row["Activity ID *"] == "123456789012"


def test_two_columns_for_one_setting_stay_two_and_are_refused(tmp_path: Path) -> None:
    old = old_sheet(("25096094", "On", "Off"), headers=("activityId", "liveState", "网页直播"))
    path = write_template(tmp_path / "n.xlsx", WEBCAST, "en", filled_from=old).path

    assert {code for code, _ in errors(loader.read(path, endpoint=WEBCAST))} == {"header.duplicate"}


@pytest.mark.slow
@settings(deadline=None, max_examples=30)
@given(st.lists(st.text(st.characters(codec=None), max_size=9), min_size=5, max_size=5))
def test_any_texts_are_taken_over_as_texts(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    cells = (*texts[:4], None, *texts[4:], None)
    path = tmp_path_factory.mktemp("any") / "new.xlsx"

    write_template(path, WEBCAST, "en", filled_from=old_sheet(cells))

    assert all(cell.data_type in {"s", "n"} for row in classes(path).iter_rows() for cell in row)
    rows = loader.read(path, endpoint=WEBCAST, options=ReadOptions(tab="Classes 课堂")).rows
    kept = {cell for row in rows for cell in row.cells if cell}
    assert {writable(text) for text in texts if text} == kept or not rows


def test_drop_downs_and_formats_reach_down_to_the_last_row_there_can_be(template: Path) -> None:
    sheet = classes(template)

    assert {str(v.sqref).rpartition(":")[2][1:] for v in sheet.data_validations.dataValidation} == {
        "1048576"
    }
    last = get_column_letter(len(COLUMNS))
    assert f"A1:{last}1048576" in ZipFile(template).read("xl/worksheets/sheet2.xml").decode()


@pytest.mark.slow
def test_more_rows_than_a_term_has_are_filtered_and_coloured_too(tmp_path: Path) -> None:
    row: tuple[Cell, ...] = (None, "On", "25096094", None, None, None, None)

    path, rows = filled(tmp_path, *[row] * 20_500)

    assert len(rows) == 20_500
    sheet = classes(path)
    assert sheet.auto_filter.ref.endswith("20501")
    assert {str(area.sqref).rpartition(":")[2][1:] for area in sheet.conditional_formatting} == {
        "20501", "2001",
    }  # fmt: skip


@pytest.mark.parametrize(("lang", "told"), [("en", "Template version 1"), ("zh", "模板版本 1")])
def test_the_instructions_name_the_templates_version(tmp_path: Path, lang: Lang, told: str) -> None:
    book = load_workbook(write_template(tmp_path / "t.xlsx", WEBCAST, lang).path)

    assert book["Read me 说明"]["C1"].value == told


def test_an_existing_template_is_not_overwritten(template: Path) -> None:
    with pytest.raises(CannotStart, match="exists already"):
        write_template(template, WEBCAST, "en")


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("soffice") is None and os.environ.get("CI") != "true",
    reason="soffice is not installed",
)
def test_the_instructions_print_on_one_page(template: Path) -> None:
    book = load_workbook(template)
    del book["Classes 课堂"]
    book.save(template.with_name("read-me.xlsx"))
    profile = (template.parent / "profile").as_uri()

    subprocess.run(
        [shutil.which("soffice") or "", f"-env:UserInstallation={profile}", "--headless",
         "--convert-to", "pdf", "--outdir", str(template.parent),
         str(template.with_name("read-me.xlsx"))],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip

    pdf = template.with_name("read-me.pdf").read_bytes()
    assert pdf.count(b"/Type/Page") - pdf.count(b"/Type/Pages") == 1
