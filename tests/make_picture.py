"""The picture of a result sheet in README: a small term, rehearsed, as LibreOffice shows it.

`python -m tests.make_picture` draws it anew; it needs soffice (LibreOffice) and pdftoppm (poppler).
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import openpyxl
import xlsxwriter
from openpyxl.styles import Alignment
from openpyxl.worksheet.properties import PageSetupProperties

PICTURE: Final = Path(__file__).parents[1] / "bulkcast/reference/results.png"
DPI: Final = 110
MARGIN_PX: Final = 8

_HEADERS: Final = (
    "Class", "Start time", "Activity ID", "Recording", "Recording type", "Web live", "Web playback",
)  # fmt: skip
_ROWS: Final = (
    ("Maths 1", "2027-03-01 08:00", "25096001", "On", "Classroom", "On", "On"),
    ("Chinese 1", "2027-03-01 09:50", "25096002", "On", "Classroom", "Off", "On"),
    ("Physics 1", "2027-03-01 14:00", "25096003", "On", "Both", "On", "On"),
    ("English 1", "2027-03-02 08:00", "2.5096E+07", "On", "Classroom", "On", "On"),
    ("Biology 1", "2027-03-02 09:50", "25096005", "Off", "Classroom", "On", "Off"),
    ("History 1", "2020-09-01 08:00", "25096006", "On", "Classroom", "On", "On"),
    ("Maths 2", "2027-03-03 08:00", "25096007", "On", "Classroom", "On", "On"),
    ("Music 1", "2027-03-03 09:50", "25096008", "On", "On-site", "On", "On"),
    ("Physics 2", "2027-03-03 14:00", "25096009", "On", "Both", "On", "On"),
)
_WORLD: Final = {"limit": None, "classrooms": [{"activityId": 25096008, "deleted": True}]}
_WIDTHS: Final = {"A": 10, "B": 16, "C": 12, "D": 10, "E": 14, "F": 9, "G": 13}
_WIDTHS_OF_RESULTS: Final = {"H": 16, "I": 24, "J": 46, "K": 38}
_MESSAGE: Final = 9
_A3: Final = "8"


def sheet(path: Path) -> None:
    """Write the term, ids as texts."""
    with xlsxwriter.Workbook(path) as book:
        tab = book.add_worksheet("Term")
        bold = book.add_format({"bold": True, "bottom": 1})
        tab.write_row(0, 0, _HEADERS, bold)
        for number, row in enumerate(_ROWS, 1):
            for column, text in enumerate(row):
                tab.write_string(number, column, text)
        for name, width in _WIDTHS.items():
            tab.set_column(f"{name}:{name}", width)


def rehearsed(folder: Path) -> Path:
    """Send it to a sandbox; its result sheet."""
    term, world, target = (folder / name for name in ("term.xlsx", "world.json", "results.xlsx"))
    sheet(term)
    world.write_text(json.dumps(_WORLD), encoding="utf-8")
    command = (
        sys.executable, "-m", "bulkcast", "apply", term, "--sandbox", "--world", world, "--yes",
        "--lang", "en", "-o", target,
    )  # fmt: skip
    home = {"BULKCAST_HOME": str(folder / "home")}
    subprocess.run(command, check=False, env={**os.environ, **home}, capture_output=True)
    return target


def on_one_page(path: Path) -> None:
    """Make a printer put what is to be seen on one page: without attempts, time and run."""
    book = openpyxl.load_workbook(path)
    tab = book.worksheets[0]
    tab.page_setup.paperSize = _A3
    tab.page_setup.orientation = "landscape"
    tab.page_setup.fitToHeight = 0
    tab.sheet_properties.pageSetUpPr = PageSetupProperties(fitToPage=True)
    tab.print_options.gridLines = tab.print_options.headings = True
    for name, width in _WIDTHS_OF_RESULTS.items():
        tab.column_dimensions[name].width = width
    for number, row in enumerate(tab.iter_rows(min_row=2), 2):
        for place, cell in enumerate(row):
            cell.alignment = Alignment(wrap_text=place >= _MESSAGE, vertical="top")
        lines = 2 if len(str(row[_MESSAGE].value or "")) > 50 else 1
        tab.row_dimensions[number].height = 15 * lines
    tab.print_area = f"A1:K{tab.max_row}"
    book.save(path)


def inked(page: Path, folder: Path) -> tuple[str, ...]:
    """pdftoppm's options that cut away the white round what is printed."""
    grey = ("pdftoppm", "-gray", "-singlefile", "-r", str(DPI), page, folder / "grey")
    subprocess.run(grey, check=True)
    _, size, _, pixels = (folder / "grey.pgm").read_bytes().split(b"\n", 3)
    width, height = map(int, size.split())
    dark = [number for number, value in enumerate(pixels) if value < 255]
    left = min(n % width for n in dark) - MARGIN_PX
    right = max(n % width for n in dark) + MARGIN_PX
    top, bottom = dark[0] // width - MARGIN_PX, dark[-1] // width + MARGIN_PX
    box = {"-x": left, "-y": top, "-W": right - left, "-H": min(bottom, height) - top}
    return tuple(word for name, value in box.items() for word in (name, str(value)))


def draw() -> None:
    """Write the picture."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results = rehearsed(folder)
        on_one_page(results)
        convert = ("soffice", f"-env:UserInstallation={(folder / 'office').as_uri()}", "--headless")
        subprocess.run((*convert, "--convert-to", "pdf", "--outdir", folder, results), check=True)
        page = results.with_suffix(".pdf")
        box = inked(page, folder)
        subprocess.run(
            ("pdftoppm", "-png", "-singlefile", "-r", str(DPI), *box, page, folder / "page"),
            check=True,
        )
        PICTURE.write_bytes((folder / "page.png").read_bytes())


if __name__ == "__main__":
    draw()
