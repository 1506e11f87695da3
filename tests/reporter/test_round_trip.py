"""A sheet, its result, the result mended, the result of that: the user's cells stay what they are.

`data/awkward.json` holds texts that files, parsers, terminals and spreadsheet programs trip over.
"""

import csv
import html
import json
import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook

from bulkcast import loader
from bulkcast.catalogue import CLEAR_WORDS
from bulkcast.endpoints.webcast import WEBCAST
from bulkcast.model import ResultRow, RowStatus, Sheet
from bulkcast.reporter import write_results
from bulkcast.reporter.result_columns import FIELDS, storable, title
from bulkcast.sandbox import World
from tests.cli_runner import FAST, CliRunner, clearing
from tests.source_files import ROOT
from tests.workbook_files import converted, needs_office, plain, repacked

AWKWARD: Final[dict[str, list[str]]] = json.loads(
    (ROOT / "tests/data/awkward.json").read_text("ascii")
)
ALL: Final = [text for texts in AWKWARD.values() for text in texts]
HEADERS: Final = ("activityId", "liveState", "webcastIntroduce", "my own note")
TITLES: Final = tuple(title(field) for field in FIELDS)
Writer = Callable[[Path, Sequence[str]], Path]


def ids(texts: Sequence[str]) -> list[str]:
    return [str(25096000 + n) for n in range(len(texts))]


def as_csv(path: Path, texts: Sequence[str]) -> Path:
    """A csv file with each text in a column that is sent and in one that is not.

    Half of a surrogate pair cannot stand in it.  It has a mark, without which a file with NUL
    bytes passes for UTF-16.
    """
    texts = [text for text in texts if not re.search("[\ud800-\udfff]", text)]
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        out = csv.writer(file)
        out.writerow(HEADERS)
        out.writerows([n, "1", text, text] for n, text in zip(ids(texts), texts, strict=True))
    return path


def as_xlsx(path: Path, texts: Sequence[str]) -> Path:
    """The same as a workbook, put as Excel puts what XML cannot say (`_x0007_`)."""
    rows = [HEADERS, *([n, "1", text, text] for n, text in zip(ids(texts), texts, strict=True))]
    written = "".join(f"<row>{''.join(map(stored, row))}</row>" for row in rows)
    empty = re.compile(rb"<sheetData ?/>|<sheetData>.*</sheetData>", re.DOTALL)

    def fill(name: str, raw: bytes) -> tuple[str, bytes]:
        if name != "xl/worksheets/sheet1.xml":
            return name, raw
        return name, empty.sub(lambda _: f"<sheetData>{written}</sheetData>".encode(), raw)

    return repacked(plain(path, []), fill)


def stored(text: str) -> str:
    text = re.sub("_(?=x[0-9A-Fa-f]{4}_)", "_x005F_", text)
    beyond = re.compile("[\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]")
    text = beyond.sub(lambda c: f"_x{ord(c[0]):04X}_", text)
    return f'<c t="inlineStr"><is><t xml:space="preserve">{html.escape(text)}</t></is></c>'


def mend_csv(path: Path) -> None:
    """Set one cell anew and save, as a program would that treats csv as text."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    rows[1][1] = "0"
    rows[1][rows[0].index("bulkcast_status")] = ""
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows(rows)


def mend_xlsx(path: Path) -> None:
    book = load_workbook(path)
    sheet = book.worksheets[0]
    status = next(c.column for c in sheet[1] if c.value == "bulkcast_status")
    sheet["B2"].value = "0"
    sheet.cell(2, status).value = None
    book.save(path)


WAYS: Final = {".csv": (as_csv, mend_csv), ".xlsx": (as_xlsx, mend_xlsx)}


def read(path: Path) -> Sheet:
    return loader.read(path, endpoint=WEBCAST)


def hand_back(path: Path, run: str, texts: Sequence[str]) -> Path:
    """The result of a run in which every row was refused in the words of `texts`."""
    sheet = read(path)
    results = [
        ResultRow(row.number, RowStatus.REJECTED, "121601031", text, text, 1, "", run)
        for row, text in zip(sheet.rows, texts, strict=False)
    ]
    target = path.with_name(f"{run}{path.suffix}")
    write_results(path, target, sheet.layout, sheet.headers, results, existing="refuse")
    return target


def cells(sheet: Sheet) -> list[tuple[object, ...]]:
    """The user's own; an empty text and no cell at all are the same to everyone."""
    return [tuple(cell or None for cell in row.cells[: len(HEADERS)]) for row in sheet.rows]


def prove_round_trip(folder: Path, suffix: str, texts: Sequence[str]) -> None:
    write, mend = WAYS[suffix]
    source = write(folder / f"term{suffix}", texts)
    expected = cells(read(source))

    first = hand_back(source, "first", texts)
    assert cells(read(first)) == expected
    told = loader.previous_results(read(first))
    assert [r["message"] for r in told.values()] == [storable(t) for t in texts[: len(told)]]

    mend(first)
    expected[0] = (expected[0][0], "0", *expected[0][2:])
    assert cells(read(first)) == expected
    second = hand_back(first, "second", texts)
    assert cells(read(second)) == expected
    assert read(second).headers == (*HEADERS, *TITLES)

    third = hand_back(second, "third", texts)
    assert cells(read(third)) == expected
    assert {r["run"] for r in loader.previous_results(read(third)).values()} == {"third"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", AWKWARD)
@pytest.mark.parametrize("suffix", WAYS)
def test_awkward_texts_come_back_as_they_were(tmp_path: Path, suffix: str, kind: str) -> None:
    if suffix == ".csv" and kind == "lone surrogates":
        assert read(as_csv(tmp_path / "t.csv", AWKWARD[kind])).rows == ()
        return

    prove_round_trip(tmp_path, suffix, AWKWARD[kind])

    sheet = read(tmp_path / f"term{suffix}")
    assert [row.cells[3] or "" for row in sheet.rows] == AWKWARD[kind]


ANY_TEXT: Final = st.text(st.characters(codec=None), max_size=20) | st.lists(
    st.sampled_from(
        [*"'\"=+-@\t\r\n ,;_x0041", "_x", "\x00", "\ufeff", "＝", "课", "👍", "\ufffe"]
    ),
    max_size=8,
).map("".join)
BATCH: Final = 40


def generated(examples: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Runs a test with `examples` lists of `BATCH` texts of any kind."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
        tuned = settings(max_examples=examples, deadline=None, suppress_health_check=slow)
        return tuned(given(texts=st.lists(ANY_TEXT, min_size=BATCH, max_size=BATCH))(test))

    return decorate


@pytest.mark.slow
@pytest.mark.parametrize("suffix", WAYS)
@generated(400 // BATCH)
def test_any_texts_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, texts: list[str]
) -> None:
    prove_round_trip(tmp_path_factory.mktemp("any"), suffix, texts)


@pytest.mark.long
@pytest.mark.parametrize("suffix", WAYS)
@generated(10_000 // BATCH)
def test_ten_thousand_texts_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, texts: list[str]
) -> None:
    prove_round_trip(tmp_path_factory.mktemp("long"), suffix, texts)


# ------------------------------------------------------------------ through a run


@pytest.fixture
def cli(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> CliRunner:
    made = CliRunner(tmp_path, monkeypatch, capfd)
    made.set(BULKCAST_HOME=str(tmp_path / "home"))
    return made


def meant(text: str) -> str | None:
    """What a text in a sheet asks ClassIn to set; nothing where it is blank."""
    return "" if text in CLEAR_WORDS else text if text.strip() else None


def strange_texts(count: int, seed: int) -> list[str]:
    """Texts of any characters, among them many that files and programs trip over."""
    chance = random.Random(seed)
    parts = [
        *sorted({c for text in ALL for c in text}),
        *"'\"=+-@\t\r\n ,;",
        "_x0041_",
        "=1+1",
        "课",
        "(clear)",
    ]

    def one() -> str:
        if chance.random() < 0.5:
            return "".join(chance.choices(parts, k=chance.randrange(12)))
        points = (chance.randrange(chance.choice((0x80, 0x3000, 0x110000))) for _ in range(8))
        return "".join(map(chr, points))[: chance.randrange(1, 9)]

    return [one() for _ in range(count)]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", WAYS)
def test_awkward_texts_go_through_a_run_and_a_resubmission(cli: CliRunner, suffix: str) -> None:
    prove_runs(cli, suffix, ALL)


@pytest.mark.long
@needs_office
@pytest.mark.parametrize("suffix", WAYS)
def test_ten_thousand_texts_go_through_runs_and_none_becomes_a_formula(
    cli: CliRunner, suffix: str
) -> None:
    result = prove_runs(cli, suffix, strange_texts(10_000, seed=7))

    assert formulas(result) == 0


def prove_runs(cli: CliRunner, suffix: str, texts: Sequence[str]) -> Path:
    """Apply a sheet of `texts`, mend the result, resubmit it; the last result."""
    write, mend = WAYS[suffix]
    sheet = write(cli.folder / f"term{suffix}", texts)
    first, second = (cli.folder / f"{name}{suffix}" for name in ("first", "second"))

    with clearing(cli, World(limit=None, first_whole=False)) as sandbox:
        said = cli.call("apply", sheet, "-y", "-o", first, "--json", *FAST)
        sent = {entry.body["activityId"]: entry.body for entry in sandbox.log if entry.body}
        mend(first)
        again = cli.call("resubmit", first, "-y", "-o", second, "--json", *FAST)

    assert {said.status, again.status} <= {0, 3}
    assert "Traceback" not in said.err + again.err
    before, after = cells(read(sheet)), cells(read(second))
    assert after == [(before[0][0], "0", *before[0][2:]), *before[1:]]
    told = loader.previous_results(read(second))
    changed = {
        text: sent[number].get("webcastIntroduce")
        for row in read(sheet).rows
        if (number := int(str(row.cells[0]))) in sent
        and sent[number].get("webcastIntroduce") != meant(text := str(row.cells[2] or ""))
    }
    assert changed == {}
    assert len(sent) > len(before) / 2
    assert len(told) == len(before)
    return second


# ------------------------------------------------------------------ LibreOffice as judge


def formulas(path: Path) -> int:
    return converted(path, "fods").read_text("utf-8").count("table:formula")


@pytest.mark.slow
@needs_office
@pytest.mark.parametrize("suffix", WAYS)
def test_no_awkward_text_becomes_a_formula(tmp_path: Path, suffix: str) -> None:
    write, _ = WAYS[suffix]
    source = write(tmp_path / f"term{suffix}", ALL)

    result = hand_back(hand_back(source, "first", ALL), "second", ALL)

    assert formulas(result) == 0
    if suffix == ".csv":  # the judge does see those of the sheet itself
        assert formulas(source) > 20
