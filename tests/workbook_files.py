"""Workbooks for tests, taken apart and put together; and LibreOffice, which judges them."""

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
from openpyxl import Workbook
from openpyxl.worksheet.worksheet import Worksheet

HEADERS = ["Activity ID *\n活动ID", "Web live", "说明"]


def plain(path: Path, rows: Sequence[Sequence[Any]], headers: Sequence[str] = HEADERS) -> Path:
    book = Workbook()
    sheet = book.active
    assert isinstance(sheet, Worksheet)
    sheet.title = "Classes"
    sheet.append(list(headers))
    for row in rows:
        sheet.append(list(row))
    book.save(path)
    return path


def repacked(path: Path, change: Callable[[str, bytes], tuple[str, bytes]]) -> Path:
    """The workbook with each part passed through `change`."""
    with ZipFile(path) as book:
        parts = [change(name, book.read(name)) for name in book.namelist()]
    with ZipFile(path, "w", ZIP_DEFLATED) as book:
        for name, raw in parts:
            book.writestr(name, raw)
    return path


def ods(path: Path, headers: Sequence[str], body: str) -> Path:
    """A sheet of these headers, and below them rows as they stand in content.xml."""
    names = {
        "office": "urn:oasis:names:tc:opendocument:xmlns:office:1.0",
        "table": "urn:oasis:names:tc:opendocument:xmlns:table:1.0",
        "text": "urn:oasis:names:tc:opendocument:xmlns:text:1.0",
    }
    declared = "".join(f' xmlns:{name}="{uri}"' for name, uri in names.items())
    header = "".join(text_cell(name) for name in headers)
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    manifest = "urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"
    with ZipFile(path, "w") as book:
        book.writestr("mimetype", kind)
        book.writestr("META-INF/manifest.xml", f'<m:manifest xmlns:m="{manifest}"/>')
        book.writestr(
            "content.xml",
            f"<office:document-content{declared}><office:body><office:spreadsheet>"
            f'<table:table table:name="Classes"><table:table-row>{header}</table:table-row>'
            f"{body}</table:table></office:spreadsheet></office:body></office:document-content>",
        )
    return path


def text_cell(text: str) -> str:
    return (
        f'<table:table-cell office:value-type="string"><text:p>{text}</text:p></table:table-cell>'
    )


# In CI a judge that is missing is a failure, not a test to pass over.
needs_office = pytest.mark.skipif(
    shutil.which("soffice") is None and os.environ.get("CI") != "true",
    reason="soffice is not installed",
)


def converted(path: Path, kind: str) -> Path:
    """`path` as LibreOffice reads it, as another kind of file."""
    profile = (path.parent / "profile").as_uri()
    subprocess.run(
        [shutil.which("soffice") or "", f"-env:UserInstallation={profile}", "--headless",
         "--convert-to", kind, "--outdir", str(path.parent / kind), str(path)],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    return path.parent / kind / f"{path.stem}.{kind}"
