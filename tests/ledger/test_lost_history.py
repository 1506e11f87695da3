"""A ledger that vanished: runs whose notes lie beside it are not forgotten without a word."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bulkcast.errors import LedgerDamaged
from bulkcast.ledger import FILE_NAME, open_ledger
from bulkcast.ledger.integrity import Counts, WriteCounter
from bulkcast.planner import Plan
from tests.cli_runner import FAST, CliRunner, clearing, lines, write_csv
from tests.dispatcher_harness import header, requests


def ledger_of(cli: CliRunner) -> Path:
    return cli.folder / "home" / FILE_NAME


def applied(cli: CliRunner, number: int = 0) -> str:
    """A run of three rows that went through; another number, other classrooms."""
    sheet = write_csv(cli.folder / f"term{number}.csv", lines(3 * number + 3)[-3:])
    said = cli.call("apply", sheet, "-y", "--json", *FAST)
    run: str = said.document["run"]
    return run


def emptied(ledger: Path) -> None:
    ledger.write_bytes(b"")


def anothers(ledger: Path) -> None:
    """A ledger that is whole, of a run nobody here knows."""
    with open_ledger(ledger.parent.parent / "other") as other:
        other.create(header("r1", 1), Plan(tuple(requests(1))), {})
        other.finish("r1", None, 2.0)
    shutil.copy(other.place, ledger)


@pytest.mark.parametrize("lose", [Path.unlink, emptied, anothers])
def test_a_ledger_that_is_gone_is_refused_by_whatever_builds_on_it(
    cli: CliRunner, lose: Callable[[Path], object]
) -> None:
    with clearing(cli) as sandbox:
        run = applied(cli)
        lose(ledger_of(cli))
        before = ledger_of(cli).read_bytes() if ledger_of(cli).exists() else None
        seen = len(sandbox.log)

        sheet = cli.folder / "term0.csv"
        for argv in (
            ("apply", sheet, "-y"), ("resume", run), ("runs",), ("results", run), ("plan", sheet),
            ("undo", run), ("purge", "-y"),
        ):  # fmt: skip
            said = cli.call(*argv)
            assert said.status == 6, argv
            assert f"lacks part of run {run} (sends: 3, outcomes: 3)" in said.err
            assert f"move {cli.folder / 'home' / 'runs' / run} elsewhere" in said.err

        assert len(sandbox.log) == seen
    after = ledger_of(cli).read_bytes() if ledger_of(cli).exists() else None
    assert after == before


def test_what_needs_no_ledger_goes_on_without_one(cli: CliRunner) -> None:
    with clearing(cli):
        applied(cli)
    ledger_of(cli).unlink()

    assert cli.call("validate", cli.folder / "term0.csv").status == 0
    assert cli.call("template", cli.folder / "new.xlsx").status == 0


def test_an_older_copy_put_back_is_refused_until_the_right_one_is_there(cli: CliRunner) -> None:
    ledger, copy = ledger_of(cli), cli.folder / "copy"
    with clearing(cli):
        applied(cli)
        shutil.copy(ledger, copy)
        newer = applied(cli, 1)
    right = ledger.read_bytes()

    shutil.copy(copy, ledger)
    refused = cli.call("runs")
    ledger.write_bytes(right)

    assert (refused.status, f"of run {newer}" in refused.err) == (6, True)
    assert cli.call("runs").status == 0


def test_with_the_folders_moved_away_it_begins_anew(cli: CliRunner) -> None:
    with clearing(cli):
        for number in range(4):
            applied(cli, number)
        ledger_of(cli).unlink()
        said = cli.call("runs")
        assert "(sends: 12, outcomes: 12)" in said.err
        assert " and 1 more" in said.err
        assert f"move {cli.folder / 'home' / 'runs'} elsewhere" in said.err
        (cli.folder / "home" / "runs").rename(cli.folder / "away")

        run = applied(cli, 4)

    assert [run] == [r["run"] for r in cli.call("runs", "--json").document["runs"]]


def test_a_program_that_died_before_it_froze_its_run_blocks_nothing(tmp_path: Path) -> None:
    (tmp_path / "runs" / "r1").mkdir(parents=True)
    (tmp_path / "runs" / "r1" / "sheet.csv").write_text("activityId", encoding="utf-8")
    with WriteCounter(tmp_path / "runs" / "r2"):
        pass
    (tmp_path / "runs" / "notes of mine.txt").write_text("5 5", encoding="utf-8")

    with open_ledger(tmp_path) as ledger:
        assert ledger.runs() == []


@pytest.mark.parametrize("named", ["{} - Copy", "{} copy", "{} (1)", "{}.old", "copy of {}"])
def test_a_runs_folder_that_somebody_copied_by_hand_blocks_nothing(
    cli: CliRunner, named: str
) -> None:
    with clearing(cli):
        folder = cli.folder / "home" / "runs" / applied(cli)
    shutil.copytree(folder, folder.with_name(named.format(folder.name)))

    assert cli.call("runs").status == 0


def test_a_run_that_went_on_after_the_copy_was_made_is_noticed(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        ledger.create(header("r1", 2), Plan(tuple(requests(2))), {})
        ledger.finish("r1", None, 100.0)
    with WriteCounter(ledger.folder("r1")) as mark:
        mark.note(Counts(2, 1))
    note = ledger.folder("r1") / "mark"

    os.utime(note, (101.0, 101.0))
    lost = r"lacks part of run r1 \(sends: 2, outcomes: 1\)"
    with pytest.raises(LedgerDamaged, match=lost) as told:
        open_ledger(tmp_path)
    note.unlink()

    assert f"move {note} elsewhere" in str(told.value)
    with open_ledger(tmp_path) as ledger:
        assert len(ledger.runs()) == 1
