"""The demo: the sample term, end to end, as somebody sees it first."""

import csv
from datetime import datetime, timedelta
from pathlib import Path

import openpyxl
import pytest

from bulkcast import pipeline
from bulkcast.endpoints import WEBCAST
from bulkcast.reporter import sample
from tests.cli_runner import CliRunner
from tests.source_files import ROOT

TERM = ROOT / "samples" / "term"


@pytest.fixture
def cli(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> CliRunner:
    return CliRunner(tmp_path, monkeypatch, capsys)


@pytest.mark.slow
def test_the_demo_needs_nothing_names_its_result_sheets_and_ends_well(cli: CliRunner) -> None:
    folder = cli.folder / "shown"
    cli.set(BULKCAST_HOME=str(cli.folder / "home"), BULKCAST_SID="not digits")

    said = cli.spawn("demo", "--dir", folder)

    sheets = sorted(folder.glob("term.results-*.xlsx"))
    assert said.status == 0
    assert len(sheets) == 3  # of the first run, the mended copy, of the second run
    assert all(sheet.name in said.out for sheet in sheets)
    assert "1000 requests a minute" in said.out
    assert "487 ✓ applied" in said.out
    assert "15 ✗ invalid" in said.out
    assert "505 ✓ applied" in said.out
    assert not (cli.folder / "home").exists()


def moments(path: Path) -> list[datetime]:
    tab = openpyxl.load_workbook(path).active
    assert tab is not None
    return [c.value for c in tab["D"][1:] if isinstance(c.value, datetime)]


def test_classes_that_have_passed_move_by_whole_weeks_into_the_future(tmp_path: Path) -> None:
    before = moments(TERM / "term.xlsx")
    now = min(before) + timedelta(days=400)

    weeks = sample.lay_out(TERM / "term.xlsx", tmp_path / "t.xlsx", WEBCAST, now=now)

    after = moments(tmp_path / "t.xlsx")
    assert [new - old for new, old in zip(after, before, strict=True)] == [
        timedelta(weeks=weeks)
    ] * len(before)
    assert timedelta(days=1) <= min(after) - now <= timedelta(days=8)


def test_classes_that_lie_ahead_stay(tmp_path: Path) -> None:
    before = moments(TERM / "term.xlsx")

    weeks = sample.lay_out(
        TERM / "term.xlsx", tmp_path / "t.xlsx", WEBCAST, now=min(before) - timedelta(days=30)
    )

    assert weeks == 0
    assert moments(tmp_path / "t.xlsx") == before


def test_the_mended_term_has_no_row_that_is_wrong(tmp_path: Path) -> None:
    target = tmp_path / "mended.xlsx"
    with (TERM / "mended.csv").open(encoding="utf-8", newline="") as file:
        listed = {int(row["row"]) for row in csv.DictReader(file)}
    wrong = {i.row for i in pipeline.prepare(TERM / "term.xlsx").issues if i.severity == "error"}

    n = sample.mend(TERM / "term.xlsx", TERM / "mended.csv", target, WEBCAST, weeks=0)

    mended = pipeline.prepare(target)
    assert mended.exit_status == 0
    assert mended.valid == 510
    assert n == len(listed)
    assert wrong <= listed
