"""Files made to harm whoever opens them: a sentence or a sheet, in bounded time and memory.

Each is read by `bulkcast validate` in a process of its own, as an admin would have it read; the
kernel says how much memory that process and its child took at most.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
from lxml import etree

from tests.make_samples import SAMPLES

pytestmark = pytest.mark.skipif(os.name == "nt", reason="only POSIX tells a child's memory")

MOST_MB: Final = 300
MOST_SECONDS: Final = 60
_MEASURE: Final = """
import json, resource, subprocess, sys
child = subprocess.run([sys.executable, "-m", "bulkcast", "validate", "--json", sys.argv[1]],
                       capture_output=True, text=True, encoding="utf-8")
unit = 1 if sys.platform == "darwin" else 1024
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit // 2**20
print(json.dumps([child.returncode, peak, child.stdout, child.stderr]))
"""
MAIN: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
SHEET: Final = "xl/worksheets/sheet1.xml"
START: Final = (
    f'<?xml version="1.0" encoding="UTF-8"?><worksheet xmlns="{MAIN}"><sheetData>'
    '<row r="1"><c r="A1" t="inlineStr"><is><t>classId</t></is></c>'
    '<c r="B1" t="inlineStr"><is><t>recordState</t></is></c></row>'
)
ROW: Final = '<row r="2"><c r="A2"><v>1152680</v></c><c r="B2"><v>1</v></c></row>'
END: Final = "</sheetData></worksheet>"
GOOD: Final = START + ROW + END
LAUGHS: Final = (
    '<!DOCTYPE x [<!ENTITY a0 "ha">'
    + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    + "]>"
)
JARGON: Final = ("Error", "Traceback", "Exception", "None", "calamine", "openpyxl", "XML", "errno")

Pieces = Iterable[str | bytes]


def book(path: Path, sheet: Pieces, **parts: Pieces) -> Path:
    """A workbook of one worksheet; `parts` by name, / written as __ and . as _dot_."""
    relation = f'<Relationship Id="r1" Type="{OFFICE}/worksheet" Target="worksheets/sheet1.xml"/>'
    strings = f'<Relationship Id="r2" Type="{OFFICE}/sharedStrings" Target="sharedStrings.xml"/>'
    styles = f'<Relationship Id="r3" Type="{OFFICE}/styles" Target="styles.xml"/>'
    given = {name.replace("__", "/").replace("_dot_", "."): part for name, part in parts.items()}
    whole: dict[str, Pieces] = {
        "[Content_Types].xml": [(
            '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/'
            'content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-'
            'package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/>'
            '<Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-'
            'officedocument.spreadsheetml.sheet.main+xml"/></Types>'
        )],
        "_rels/.rels": [_relations(f'<Relationship Id="r1" Type="{OFFICE}/officeDocument" '
                                   'Target="xl/workbook.xml"/>')],
        "xl/workbook.xml": [workbook(1)],
        "xl/_rels/workbook.xml.rels": [_relations(
            relation + (strings if "xl/sharedStrings.xml" in given else "")
            + (styles if "xl/styles.xml" in given else "")
        )],
        SHEET: sheet,
        **given,
    }  # fmt: skip
    with ZipFile(path, "w", ZIP_DEFLATED) as packed:
        for name, pieces in whole.items():
            with packed.open(name, "w", force_zip64=True) as part:
                for piece in pieces:
                    part.write(piece if isinstance(piece, bytes) else piece.encode())
    return path


def _relations(inner: str) -> str:
    package = "http://schemas.openxmlformats.org/package/2006/relationships"
    return f'<?xml version="1.0"?><Relationships xmlns="{package}">{inner}</Relationships>'


def workbook(n: int) -> str:
    sheets = "".join(f'<sheet name="S{i}" sheetId="{i}" r:id="r1"/>' for i in range(1, n + 1))
    return (
        f'<?xml version="1.0"?><workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>{sheets}'
        "</sheets></workbook>"
    )


def strings(inner: str, attributes: str = "", before: str = "") -> Pieces:
    return [f'<?xml version="1.0"?>{before}<sst xmlns="{MAIN}"{attributes}>{inner}</sst>']


def cell(text: str) -> str:
    return f'<row r="2"><c r="A2" t="inlineStr"><is><t>{text}</t></is></c></row>'


def validated(path: Path) -> tuple[int, str]:
    """The exit status of `bulkcast validate`, and all it said; memory and time are checked."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(path)],
        capture_output=True, text=True, encoding="utf-8", timeout=MOST_SECONDS, check=True,
    )  # fmt: skip
    status, peak, out, err = json.loads(done.stdout)
    assert time.monotonic() - began < MOST_SECONDS
    assert peak <= MOST_MB, f"{peak} MB"
    return status, out + err


def refused(path: Path) -> str:
    """The sentence in which the file is refused."""
    status, said = validated(path)
    assert status == 2, said
    assert path.name in said
    assert not [word for word in JARGON if word in said], said
    return said


# ------------------------------------------------------------------ xlsx


def _entity(text: str) -> Pieces:
    return [(START + cell(text) + END).replace("?>", "?>" + LAUGHS, 1)]


BOMBS: Final[dict[str, tuple[Callable[[Path], Path], str]]] = {
    "zip bomb": (
        lambda p: book(p, [START, *[b" " * 2**20] * 400, END]), "unpacks to"),
    "laughs in the sheet": (lambda p: book(p, _entity("&a9;")), "document type"),
    "laughs in the strings": (
        lambda p: book(p, [GOOD], xl__sharedStrings_dot_xml=strings("<si><t>&a9;</t></si>",
                                                                    before=LAUGHS)),
        "document type"),
    "laughs in UTF-16": (
        lambda p: book(p, ["".join(map(str, _entity("&a9;"))).replace("UTF-8", "UTF-16")
                           .encode("utf-16")]),
        ""),
    "laughs in the styles": (
        lambda p: book(p, [GOOD], xl__styles_dot_xml=[
            f'<?xml version="1.0"?>{LAUGHS}<styleSheet xmlns="{MAIN}">&a9;</styleSheet>']),
        ""),
    "laughs in the relations": (
        lambda p: book(p, [GOOD], xl___rels__workbook_dot_xml_dot_rels=[
            f'<?xml version="1.0"?>{LAUGHS}<Relationships>&a9;</Relationships>']),
        "document type"),
    "another file's text": (
        lambda p: book(p, [GOOD.replace("?>", '?><!DOCTYPE x [<!ENTITY e SYSTEM '
                                        '"file:///etc/hostname">]>').replace("1152680", "&e;")]),
        "document type"),
    "a far corner": (
        lambda p: book(p, [START, ROW, '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>',
                           END]),
        "beyond column 256"),
    "four thousand million strings": (
        lambda p: book(p, [GOOD], xl__sharedStrings_dot_xml=strings(
            "<si><t>a</t></si>", ' uniqueCount="4294967295"')),
        "claims to hold 4294967295"),
    "merges over all": (
        lambda p: book(p, [START, ROW, "</sheetData><mergeCells>",
                           '<mergeCell ref="A1:XFD1048576"/>' * 100_000,
                           "</mergeCells></worksheet>"]),
        "too many merged cells"),
    "fifty thousand worksheets": (
        lambda p: book(p, [GOOD], xl__workbook_dot_xml=[workbook(50_000)]),
        "50000 worksheets"),
    "a cell of 30 MB": (
        lambda p: book(p, [START, cell("".join(map(chr, range(97, 123))) * 1_200_000), END]),
        ""),
    "200,000 deep": (
        lambda p: book(p, [START, '<row r="2">', "<c>" * 200_000, "</c>" * 200_000, "</row>",
                           END]),
        "damaged"),
    "row after row in the wrong order": (
        lambda p: book(p, [START, ROW, ROW, END]), "row 2 comes after 2"),
    "an endless number": (
        lambda p: book(p, [START, ROW.replace("1152680", "9" * 100_000), END]), ""),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", BOMBS)
def test_a_hostile_workbook_is_refused_in_a_sentence(kind: str, tmp_path: Path) -> None:
    make, sentence = BOMBS[kind]

    assert sentence in refused(make(tmp_path / "a.xlsx"))


@pytest.mark.slow
def test_two_parts_of_one_name_are_refused(tmp_path: Path) -> None:
    path = book(tmp_path / "a.xlsx", [GOOD])
    with ZipFile(path, "a") as packed, pytest.warns(UserWarning, match="Duplicate"):
        packed.writestr(SHEET, GOOD.replace("1152680", "1152681"))

    assert "two parts of one name" in refused(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "blank", ['<row r="{n}" s="3" customFormat="1"/>', '<row r="{n}"><c r="A{n}" s="0"/></row>']
)
def test_a_million_blank_rows_are_no_rows(blank: str, tmp_path: Path) -> None:
    rows = ("".join(blank.format(n=n) for n in range(k, k + 1000)) for k in range(3, 10**6, 1000))

    status, said = validated(book(tmp_path / "a.xlsx", [START, ROW, *rows, END]))

    assert (status, json.loads(said)["rows"]) == (0, 1)


@pytest.mark.slow
def test_names_that_lead_out_of_the_archive_lead_nowhere(tmp_path: Path) -> None:
    path = book(tmp_path / "a.xlsx", [GOOD])
    with ZipFile(path, "a") as packed:
        packed.writestr("../../outside", "x")

    assert validated(path)[0] == 0
    assert {entry.name for entry in tmp_path.iterdir()} == {"a.xlsx"}


# ------------------------------------------------------------------ other kinds


def ods(path: Path, table: str) -> Path:
    office = "urn:oasis:names:tc:opendocument:xmlns:"
    content = (
        f'<?xml version="1.0"?><office:document-content xmlns:office="{office}office:1.0" '
        f'xmlns:table="{office}table:1.0" xmlns:text="{office}text:1.0"><office:body>'
        f'<office:spreadsheet><table:table table:name="S">{table}</table:table>'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    etree.fromstring(content)
    with ZipFile(path, "w", ZIP_DEFLATED) as packed:
        packed.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        packed.writestr("META-INF/manifest.xml", "<manifest/>")
        packed.writestr("content.xml", content)
    return path


ODS_CELL: Final = (
    '<table:table-cell office:value-type="string"><text:p>{}</text:p></table:table-cell>'
)
ODS_HEAD: Final = "".join(ODS_CELL.format(name) for name in ("classId", "recordState"))


FAR: Final = {
    "a million rows of 16,384 cells": (
        '<table:table-row table:number-rows-repeated="1000000"><table:table-cell '
        'table:number-columns-repeated="16384" office:value-type="float" office:value="1"/>'
        "</table:table-row>"
    ),
    "ninety million cells": (
        '<table:table-row table:number-rows-repeated="1000000"><table:table-cell '
        'table:number-columns-repeated="90" office:value-type="float" office:value="1"/>'
        "</table:table-row>"
    ),
    "a cell in the far corner": (
        '<table:table-row table:number-rows-repeated="1000000"><table:table-cell/>'
        '</table:table-row><table:table-row><table:table-cell table:number-columns-repeated="16000"'
        '/><table:table-cell office:value-type="float" office:value="1"/></table:table-row>'
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", FAR)
def test_repeated_cells_of_an_open_document_do_not_fill_the_memory(
    kind: str, tmp_path: Path
) -> None:
    head = f"<table:table-row>{ODS_HEAD}</table:table-row>"

    assert "larger" in refused(ods(tmp_path / "a.ods", head + FAR[kind]))


@pytest.mark.slow
def test_a_million_blank_rows_of_an_open_document_are_no_rows(tmp_path: Path) -> None:
    blank = '<table:table-row table:number-rows-repeated="1000000"><table:table-cell/>'
    last = f"<table:table-row>{ODS_CELL.format(1152680)}{ODS_CELL.format(1)}</table:table-row>"
    table = f"<table:table-row>{ODS_HEAD}</table:table-row>{blank}</table:table-row>{last}"

    status, said = validated(ods(tmp_path / "a.ods", table))

    assert (status, json.loads(said)["rows"]) == (0, 1)
    assert '"row": 1000002' in said


REAL: Final = ("binary.xlsb", "old-kind.xls", "open-document.ods")


def flipped(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(6):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_damaged_workbooks_of_other_kinds_end_in_a_sentence_or_a_sheet(
    name: str, tmp_path: Path
) -> None:
    chance = random.Random(20261123)  # the same damage every time
    whole = (SAMPLES / name).read_bytes()
    path = tmp_path / name
    for damaged in [whole[: len(whole) // 2], *(flipped(whole, chance) for _ in range(2))]:
        path.write_bytes(damaged)
        status, said = validated(path)
        assert status in {0, 2, 3}, said
        assert "Traceback" not in said


# ------------------------------------------------------------------ nothing outlives the parent


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for the child in /proc")
def test_the_child_ends_with_its_parent(tmp_path: Path) -> None:
    script = (
        "import sys, time\nfrom pathlib import Path\n"
        "from bulkcast.loader.isolation import IsolatedReader\n"
        "with IsolatedReader(Path(sys.argv[1]), 'calamine') as child:\n"
        "    child.tabs()\n    print(child._child.pid, flush=True)\n    time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(SAMPLES / "old-kind.xls")],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert parent.stdout is not None
    child = Path("/proc") / parent.stdout.readline().strip()
    assert child.is_dir()

    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()

    for _ in range(500):
        if not child.is_dir():
            break
        time.sleep(0.01)
    assert not child.is_dir()
