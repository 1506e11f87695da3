"""The results of a run as a table, and as files that are written for this once."""

import os
from pathlib import Path

import openpyxl
import pytest

from bulkcast.errors import CannotStart
from bulkcast.model import RowStatus
from bulkcast.pipeline import (
    RESUBMITTED,
    Control,
    NextStep,
    Selection,
    SendOptions,
    apply,
    next_step,
    prepare,
    purge,
    purgeable,
    remove_handed_out,
    result_file,
    result_table,
    summary_file,
    template_file,
    undo_file,
    undo_outlook,
)
from bulkcast.sandbox import World
from tests.dispatcher_harness import classroom
from tests.pipeline_harness import Harness, with_sandbox
from tests.sheets import FIRST_ID, HEAD, cells, write_rows

A, R, N = RowStatus.APPLIED, RowStatus.REJECTED, RowStatus.NOT_SENT


def sent(folder: Path, suffix: str = ".xlsx", *, stop_after: float | None = None) -> str:
    """A run of 8 rows: 4 and 7 refused, 5 invalid; in the ledger of `home`."""
    lines = [cells(row) for row in range(2, 10)]
    lines[3] = (FIRST_ID + 5, "perhaps", 1, 1, 1, "row 5")
    sheet = write_rows(folder / f"sheet{suffix}", HEAD, lines)
    rooms = (classroom(4, "code:121601031*"), classroom(7, "code:121601031*"))

    async def main(harness: Harness) -> str:
        control = Control()
        if stop_after is not None:
            harness.loop.call_later(stop_after, control.stop, 130)
        report = await apply(
            prepare(sheet), harness.config, SendOptions(rate=2.0, name=f"Term{suffix}"),
            control=control, parts=harness.parts,
        )  # fmt: skip
        return report.run

    return with_sandbox(folder, main, World(first_whole=False, classrooms=rooms))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_the_table_has_every_row_counts_and_reasons(tmp_path: Path, home: Path) -> None:
    table = result_table(home, sent(tmp_path), lang="en")

    assert [row.row for row in table.rows] == list(range(2, 10))
    assert {s: n for s, n in table.counts.items() if n} == {A: 5, R: 2, RowStatus.INVALID: 1}
    assert table.classrooms[4].id == FIRST_ID + 4
    assert 5 not in table.classrooms  # it was never a request
    assert [(p.status, p.code, p.rows) for p in table.problems] == [
        (R, "121601031", 2), (RowStatus.INVALID, "cell.not_a_choice", 1),
    ]  # fmt: skip
    assert "does not belong" in table.problems[0].message
    assert table.next_step is NextStep.MEND
    assert table.stop == ("", "")


def test_rows_are_chosen_by_status_and_code(tmp_path: Path, home: Path) -> None:
    table = result_table(home, sent(tmp_path), lang="en")

    assert len(table.chosen()) == 8
    assert [row.row for row in table.chosen(frozenset({R}))] == [4, 7]
    assert [row.row for row in table.chosen(RESUBMITTED)] == [4, 5, 7]
    assert [row.row for row in table.chosen(code="cell.not_a_choice")] == [5]
    assert table.chosen(frozenset({A}), "cell.not_a_choice") == []


def test_a_stopped_run_says_why(tmp_path: Path, home: Path) -> None:
    table = result_table(home, sent(tmp_path, stop_after=1.2), lang="zh")

    assert table.next_step is NextStep.RESUME
    assert table.stop[0] == "运行被中断了。"


@pytest.mark.parametrize(
    ("counts", "left_out", "expected"),
    [
        ({A: 3}, 0, NextStep.NOTHING),
        ({A: 3, R: 1}, 0, NextStep.MEND),
        ({A: 3, R: 1, N: 1}, 0, NextStep.MEND),
        ({A: 3, N: 2}, 2, NextStep.SEND_REST),
        ({A: 3, N: 2}, 1, NextStep.SEND_AGAIN),
        ({A: 3, RowStatus.UNCONFIRMED: 1}, 0, NextStep.SEND_AGAIN),
        ({A: 3, RowStatus.SUPERSEDED: 1, RowStatus.UNCHANGED: 1}, 0, NextStep.NOTHING),
    ],
)
def test_the_next_step_follows_from_the_counts(
    counts: dict[RowStatus, int], left_out: int, expected: NextStep
) -> None:
    assert next_step(counts, None, left_out=left_out) is expected


@pytest.mark.parametrize("suffix", [".xlsx", ".csv"])
def test_the_result_sheet_is_handed_out_and_removed(
    tmp_path: Path, home: Path, suffix: str
) -> None:
    run = sent(tmp_path, suffix)
    with result_file(home, run) as file:
        assert file is not None
        assert file.name == f"Term.results-{run}{suffix}"
        assert file.path.parent.stat().st_mode & 0o077 == 0
        prepared = prepare(file.path, None, Selection(statuses=RESUBMITTED))
    assert prepared.is_results
    assert sorted(r for request in prepared.plan.requests for r in request.rows) == [4, 7]
    assert not file.path.exists()
    assert not list(home.glob(".handed-out-*"))


def test_some_rows_only_and_another_kind(tmp_path: Path, home: Path) -> None:
    run = sent(tmp_path)
    with result_file(home, run, only=frozenset({R}), kind="csv") as file:
        assert file is not None
        assert file.name == f"Term.failed-{run}.csv"
        assert len(file.path.read_text("utf-8-sig").splitlines()) == 3
    with result_file(home, run, only=frozenset({RowStatus.TOO_LATE})) as none:
        assert none is None


def test_the_summary_and_the_template_are_handed_out(tmp_path: Path, home: Path) -> None:
    run = sent(tmp_path)
    with summary_file(home, run, lang="zh") as file:
        assert file.name == f"Term.summary-{run}.html"
        assert "Term.xlsx" in file.path.read_text("utf-8")
    with template_file(tmp_path / "new", lang="zh") as template:
        assert openpyxl.load_workbook(template.path).worksheets
    assert not list(tmp_path.glob("*/.handed-out-*"))


def test_an_undo_is_foretold_and_handed_out(tmp_path: Path, home: Path) -> None:
    first = sent(tmp_path)
    foretold = undo_outlook(home, first)
    assert (foretold.path, foretold.classrooms) == (None, 0)
    assert {item.why for item in foretold.lost} == {"unknown"}
    with undo_file(home, first) as none:
        assert none is None


def test_a_purged_run_has_its_counts_and_no_file(tmp_path: Path, home: Path) -> None:
    run = sent(tmp_path)
    purge(home, purgeable(home, run=run, older_than_s=0.0))
    table = result_table(home, run, lang="en")

    assert table.counts[A] == 5
    assert not any("perhaps" in row.message for row in table.rows)
    with pytest.raises(CannotStart, match="purged"), result_file(home, run):
        pass


def test_what_a_killed_program_left_is_removed(home: Path) -> None:
    old, new = home / ".handed-out-old", home / ".handed-out-new"
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / "results.csv").touch()
    os.utime(old, (0, 0))
    remove_handed_out(home)

    assert not old.exists()
    assert new.exists()  # another program may be writing it
    remove_handed_out(home / "nothing")
