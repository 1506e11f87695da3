"""The workbook to fill in."""

import os
import shutil
import subprocess
from datetime import UTC
from pathlib import Path
from typing import Literal
from zipfile import ZipFile

import pytest
from openpyxl import load_workbook
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet

from bulkcast import loader
from bulkcast.catalogue import ChoiceKind, Role, fold
from bulkcast.endpoints import WEBCAST
from bulkcast.errors import CannotStart
from bulkcast.model import Change
from bulkcast.reporter import write_template
from bulkcast.validator import CheckRules, check

Lang = Literal["en", "zh"]
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

    assert sheet.max_column == len(WEBCAST.columns)
    assert sheet.max_row == 1
    for index, setting in enumerate(WEBCAST.columns, start=1):
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

    for index, setting in enumerate(WEBCAST.columns, start=1):
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
    for index, setting in enumerate(WEBCAST.columns, start=1):
        sheet.cell(2, index).value = words.get(setting.key)
    book.save(template)

    checked = check(loader.read(template, endpoint=WEBCAST), WEBCAST, CheckRules(UTC))

    (row,) = checked.rows
    assert isinstance(row, Change)
    assert row.settings == (
        ("recordState", 1), ("recordType", 2), ("liveState", 0), ("openState", 0),
        ("watchPassword", "0123"),
    )  # fmt: skip


def test_an_existing_template_is_not_overwritten(template: Path) -> None:
    with pytest.raises(CannotStart, match="exists already"):
        write_template(template, WEBCAST, "en")


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
