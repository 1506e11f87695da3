"""What is committed is what the table gives."""

import json
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import jsonschema
import pytest
from openpyxl import load_workbook

from bulkcast.endpoints import WEBCAST
from bulkcast.reporter import write_template
from tests import regenerate

STALE = f"is not what the table gives; run: {regenerate.COMMAND}"


def content(path: Path) -> list[Any]:
    """What a user meets in a workbook, whatever the version of the library that wrote it."""
    book = load_workbook(path)
    return [
        [
            sheet.title,
            sheet.sheet_state,
            [[(c.value, c.number_format, c.comment and c.comment.text) for c in r] for r in sheet],
            [(str(v.sqref), v.formula1, v.prompt) for v in sheet.data_validations.dataValidation],
            # Their priority decides, not where they stand; XlsxWriter has changed that.
            sorted(
                (str(a.sqref), [(r.priority, r.formula) for r in a.rules])
                for a in sheet.conditional_formatting
            ),
            {name: (d.width, d.number_format) for name, d in sheet.column_dimensions.items()},
        ]
        for sheet in book.worksheets
    ] + [{name: d.value for name, d in book.defined_names.items()}]


@pytest.mark.parametrize("lang", regenerate.LANGUAGES)
def test_the_committed_template_is_the_generated_one(tmp_path: Path, lang: Any) -> None:
    written = write_template(tmp_path / "t.xlsx", WEBCAST, lang)

    committed = regenerate.template_path(regenerate.ROOT / "templates", lang)

    assert content(committed) == content(written.path), f"{committed.name} {STALE}"


def test_the_same_table_gives_the_same_template(tmp_path: Path) -> None:
    for name in ("1.xlsx", "2.xlsx"):
        write_template(tmp_path / name, WEBCAST, "en")

    with ZipFile(tmp_path / "1.xlsx") as one, ZipFile(tmp_path / "2.xlsx") as two:
        assert [(i.filename, i.CRC, i.date_time) for i in one.infolist()] == [
            (i.filename, i.CRC, i.date_time) for i in two.infolist()
        ]


def test_the_committed_schema_is_the_generated_one_and_a_schema() -> None:
    path = regenerate.ROOT / "templates" / "setwebcast.schema.json"

    assert path.read_text("utf-8") == regenerate.schema(), f"{path.name} {STALE}"
    jsonschema.Draft202012Validator.check_schema(json.loads(regenerate.schema()))


PAGES = sorted((regenerate.ROOT / regenerate.PAGES).glob("*.md"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_what_is_generated_in_a_page_is_what_the_code_says(path: Path) -> None:
    text = path.read_text("utf-8")

    assert regenerate.page(text) == text, f"{path.name} {STALE}"


def test_every_block_is_in_one_page_and_none_in_readme() -> None:
    texts = [path.read_text("utf-8") for path in PAGES]
    readme = (regenerate.ROOT / "README.md").read_text("utf-8")

    held = {name: sum(regenerate.start(name) in t for t in texts) for name in regenerate.blocks()}
    assert held == dict.fromkeys(regenerate.blocks(), 1)
    assert "<!-- generated" not in readme


def test_everything_is_written_where_nothing_is_yet(tmp_path: Path) -> None:
    regenerate.write_all(tmp_path)

    written = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.*"))
    assert written == [
        *sorted(f"{regenerate.PAGES}/{name}.md" for name in regenerate.blocks()),
        "templates/bulkcast-en.xlsx",
        "templates/bulkcast-zh.xlsx",
        "templates/setwebcast.schema.json",
    ]
    pages = [p.read_text("utf-8") for p in (tmp_path / regenerate.PAGES).iterdir()]
    assert all(block in "".join(pages) for block in regenerate.blocks().values())
