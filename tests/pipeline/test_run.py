"""The use cases end to end, in virtual time: a sheet in, requests at the sandbox, a sheet out."""

import asyncio
import csv
import itertools
import os
import shutil
import sqlite3
import subprocess
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from bulkcast.errors import CannotStart, InstitutionBusy, UnreadableSheet
from bulkcast.ledger import open_ledger
from bulkcast.model import Credentials, Institution, Intent, RequestKey, RowStatus, Secret
from bulkcast.pacing import parse_rate
from bulkcast.pipeline import (
    RESUBMITTED,
    Control,
    Prepared,
    RunReport,
    Selection,
    SendOptions,
    SheetOptions,
    apply,
    lean,
    prepare,
    results,
    resume,
    runs,
)
from bulkcast.planner import Plan
from bulkcast.sandbox import SANDBOX_SECRET, SANDBOX_SID, Received, Sandbox, World
from tests.audit import kept, most_in_window, violations
from tests.dispatcher_harness import classroom, header, request
from tests.killable_worker import surroundings
from tests.pipeline_harness import APPLIED, Harness, counted, sent_rows, with_sandbox
from tests.sheets import FIRST_ID, HEAD, cells, plain, read_rows, write_rows
from tests.source_files import ROOT
from tests.virtual_loop import EPOCH

T = TypeVar("T")
INVALID, NOT_SENT = RowStatus.INVALID, RowStatus.NOT_SENT


# ------------------------------------------------------------------ a whole sheet


def wanted_body(line: Mapping[str, str]) -> dict[str, object]:
    """What a row of `rich` asks for, read from its cells by hand."""
    texts = {"customColumn", "webcastIntroduce", "watchPassword"}
    body: dict[str, object] = {}
    for name, text in line.items():
        if name == "liveAndPlaybackStudentUids" and text:
            body[name] = [int(uid) for uid in text.split(",")]
        elif name in texts and text:
            body[name] = text
        elif name != "teacher" and text:
            body[name] = int(text)
    return body


def rich(path: Path, n: int) -> list[dict[str, str]]:
    """A sheet in which some cells are blank and no two rows are alike; as texts."""
    lines = []
    for row in range(2, n + 2):
        line = {
            "teacher": f"王老师 {row}", "courseId": str(414_000 + row) if row % 4 else "",
            "activityId": str(FIRST_ID + row), "recordState": "1", "recordType": str(row % 3),
            "liveState": str(row % 2), "openState": "1",
            "watchByLogin": "1" if row % 5 == 0 else "",
            "customColumn": f"第{row}课, “线上”" if row % 7 else "",
            "webcastIntroduce": "简介" * (row % 90),
            "watchPassword": f"00{row}" if row % 5 == 0 else "",
            "liveAndPlaybackStudentUids": f"{1000 + row},{2000 + row}" if row % 5 == 0 else "",
        }  # fmt: skip
        lines.append(line)
    write_rows(path, list(lines[0]), [list(line.values()) for line in lines])
    return lines


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_every_row_becomes_one_request_and_comes_back_in_its_place(
    tmp_path: Path, suffix: str
) -> None:
    sheet = tmp_path / f"term{suffix}"
    lines = rich(sheet, 300)
    before = sheet.read_bytes()

    async def main(harness: Harness) -> tuple[RunReport, Sequence[Received]]:
        return await harness.apply(prepare(sheet)), harness.log

    report, log = with_sandbox(tmp_path, main)

    assert counted(report) == {APPLIED: 300}
    assert (report.requests, report.exit_status, report.stop) == (300, 0, None)
    assert [dict(r.body or {}) for r in log] == [wanted_body(line) for line in lines]
    assert all(r.applied for r in log)
    assert [row.row for row in report.rows] == list(range(2, 302))
    back = read_rows(report.results)
    assert [{name: line[name] for name in lines[0]} for line in back] == lines
    assert {line["bulkcast_status"] for line in back} == {"applied"}
    assert {line["bulkcast_run"] for line in back} == {report.run}
    assert sheet.read_bytes() == before
    assert report.elapsed_s == pytest.approx(299 * 60 / 950, rel=0.03)


def test_what_came_back_adds_up_whatever_happened_to_the_rows(tmp_path: Path) -> None:
    world = World(
        classrooms=(
            classroom(3, foreign=True), classroom(5, "code:104*"), classroom(7, "code:140"),
            classroom(9, "http:500"),
        )
    )  # fmt: skip
    rows = [list(cells(row)) for row in range(2, 14)]
    rows[2][1] = "perhaps"
    sheet = write_rows(tmp_path / "term.csv", HEAD, rows)

    async def main(harness: Harness) -> RunReport:
        return await harness.apply(prepare(sheet))

    report = with_sandbox(tmp_path, main, world)

    assert counted(report) == {
        APPLIED: 8, INVALID: 1, RowStatus.TOO_LATE: 1, RowStatus.REJECTED: 1,
        RowStatus.UNCONFIRMED: 1,
    }  # fmt: skip
    assert report.exit_status == 4
    assert [row.status.value for row in report.rows] == [
        line["bulkcast_status"] for line in read_rows(report.results)
    ]
    assert {row.row: row.code for row in report.rows if row.status is not APPLIED} == {
        3: "121601031", 4: "cell.not_a_choice", 5: "104", 7: "140",
    }  # fmt: skip


def test_identical_rows_are_sent_once_and_share_the_outcome(tmp_path: Path) -> None:
    rows = [cells(2), cells(3), cells(2), cells(2)]
    sheet = write_rows(tmp_path / "term.csv", HEAD, rows)

    async def main(harness: Harness) -> tuple[RunReport, int]:
        return await harness.apply(prepare(sheet)), len(harness.log)

    report, sends = with_sandbox(tmp_path, main)

    assert counted(report) == {APPLIED: 4}
    assert sends == report.requests == 2


def test_rows_in_order_for_one_classroom_end_with_the_last(tmp_path: Path) -> None:
    head = ("activityId", "customColumn")
    rows = [(FIRST_ID, "one"), (FIRST_ID, "two"), (FIRST_ID, "one")]
    sheet = write_rows(tmp_path / "term.csv", head, rows)

    async def main(harness: Harness) -> tuple[RunReport, list[object]]:
        prepared = prepare(sheet, SheetOptions(duplicates="in-order"))
        report = await harness.apply(prepared, concurrency=8)
        return report, [(r.body or {})["customColumn"] for r in harness.log]

    world = World(classrooms=(classroom(0, "http:500", "reset:applied"),))
    report, said = with_sandbox(tmp_path, main, world)

    assert counted(report) == {APPLIED: 3}
    assert said == ["one", "one", "one", "two", "one"]


def test_rows_whose_settings_have_locked_cost_no_request(tmp_path: Path) -> None:
    head = ("activityId", "recordState", "startTime")
    rows = [
        (FIRST_ID + 2, 1, "2027-03-01 08:19"),
        (FIRST_ID + 3, 1, "2027-03-01 09:00"),
        (FIRST_ID + 4, 1, ""),
    ]
    sheet = write_rows(tmp_path / "term.csv", head, rows)

    async def main(harness: Harness) -> tuple[RunReport, list[int]]:
        return await harness.apply(prepare(sheet)), sent_rows(harness.log)

    report, sent = with_sandbox(tmp_path, main)

    assert [row.status for row in report.rows] == [RowStatus.TOO_LATE, APPLIED, APPLIED]
    assert sent == [3, 4]
    assert report.exit_status == 3


# ------------------------------------------------------------------ selections


@pytest.mark.parametrize(
    ("selection", "sent", "option"),
    [
        (Selection(limit=3), [2, 3, 4], "--limit"),
        (Selection(limit=0), [], "--limit"),
        (Selection(limit=99), list(range(2, 12)), "--limit"),
        (Selection(rows=frozenset({3, 7, 400})), [3, 7], "--rows"),
        (Selection(rows=frozenset(range(5, 12)), limit=2), [5, 6], "--limit"),
        (Selection(statuses=RESUBMITTED), list(range(2, 12)), "--only"),
    ],
)
def test_a_selection_sends_what_it_names_and_says_so_of_the_rest(
    tmp_path: Path, selection: Selection, sent: list[int], option: str
) -> None:
    sheet = plain(tmp_path / "term.csv", 10)

    async def main(harness: Harness) -> tuple[RunReport, list[int]]:
        report = await harness.apply(prepare(sheet, selection=selection))
        return report, sent_rows(harness.log)

    report, seen = with_sandbox(tmp_path, main)

    assert seen == sent
    assert report.exit_status == 0
    left_out = [row for row in report.rows if row.row not in sent]
    assert {row.code for row in left_out} <= {"plan.not_chosen"}
    assert all(row.status is NOT_SENT and row.attempts == 0 for row in left_out)
    if not selection.rows:
        assert all(option in row.message for row in left_out)


def test_rows_left_out_are_not_checked(tmp_path: Path) -> None:
    rows = [cells(2), ("2.5E+07", *cells(3)[1:]), cells(4)]
    sheet = write_rows(tmp_path / "term.csv", HEAD, rows)

    chosen = prepare(sheet, selection=Selection(rows=frozenset({2, 4})))

    assert (prepare(sheet).invalid, chosen.invalid, chosen.valid) == (1, 0, 2)


def test_an_invalid_row_can_stop_the_whole_sheet(tmp_path: Path) -> None:
    rows = [cells(2), ("2.5E+07", *cells(3)[1:]), cells(4)]
    sheet = write_rows(tmp_path / "term.csv", HEAD, rows)

    async def main(harness: Harness) -> tuple[RunReport, int]:
        return await harness.apply(prepare(sheet), on_invalid="stop"), len(harness.log)

    report, sends = with_sandbox(tmp_path, main)

    assert sends == report.requests == 0
    assert [row.code for row in report.rows] == [
        "run.invalid_rows", "id.scientific", "run.invalid_rows",
    ]  # fmt: skip
    assert counted(report) == {INVALID: 1, NOT_SENT: 2}
    assert report.exit_status == 4
    assert len(read_rows(report.results)) == 3


def test_on_invalid_stop_sends_a_sheet_in_which_nothing_is(tmp_path: Path) -> None:
    sheet = plain(tmp_path / "term.csv", 4)

    async def main(harness: Harness) -> RunReport:
        return await harness.apply(prepare(sheet), on_invalid="stop")

    assert counted(with_sandbox(tmp_path, main)) == {APPLIED: 4}


# ------------------------------------------------------------------ results sent again


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_of_a_result_sheet_only_what_failed_is_sent_again_and_the_rest_is_kept(
    tmp_path: Path, suffix: str
) -> None:
    sheet = plain(tmp_path / f"term{suffix}", 10)
    world = World(classrooms=tuple(classroom(row, "code:100") for row in (4, 8)))

    async def main(harness: Harness) -> tuple[RunReport, RunReport, list[int]]:
        first = await harness.apply(prepare(sheet))
        sends = len(harness.log)
        await asyncio.sleep(3600)
        assert first.results is not None
        again = prepare(first.results, selection=Selection(statuses=RESUBMITTED))
        return first, await harness.apply(again), sent_rows(harness.log)[sends:]

    first, second, sent = with_sandbox(tmp_path, main, world)

    assert counted(first) == {APPLIED: 8, RowStatus.REJECTED: 2}
    assert first.exit_status == 3
    assert sent == [4, 8]
    assert counted(second) == {APPLIED: 10}
    assert second.exit_status == 0
    before, after = read_rows(first.results), read_rows(second.results)
    assert list(before[0]) == list(after[0])
    for row, (old, new) in enumerate(zip(before, after, strict=True), 2):
        if row in {4, 8}:
            assert (new["bulkcast_status"], new["bulkcast_run"]) == ("applied", second.run)
        else:
            assert new == old
    assert second.results == tmp_path / f"term.results-{second.run}{suffix}"


def test_an_applied_row_that_was_edited_is_never_handed_back_as_applied(tmp_path: Path) -> None:
    sheet = plain(tmp_path / "term.csv", 4)

    async def main(harness: Harness) -> tuple[RunReport, str, int]:
        first = await harness.apply(prepare(sheet))
        assert first.results is not None
        lines = read_rows(first.results)
        value = next(k for k in lines[1] if k != "activityId" and lines[1][k] in {"0", "1"})
        lines[1][value] = "1" if lines[1][value] == "0" else "0"
        with first.results.open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.DictWriter(file, list(lines[0]))
            writer.writeheader()
            writer.writerows(lines)
        again = prepare(first.results, selection=Selection(statuses=RESUBMITTED))
        with pytest.raises(CannotStart) as refusal:
            await harness.apply(again)
        return first, str(refusal.value), len(harness.log)

    first, refused, sends = with_sandbox(tmp_path, main)

    assert counted(first) == {APPLIED: 4}
    assert refused.startswith("row 3 changed since an earlier run was done")
    assert sends == 4


def test_a_row_added_to_a_result_sheet_is_sent(tmp_path: Path) -> None:
    sheet = plain(tmp_path / "term.csv", 3)

    async def main(harness: Harness) -> tuple[RunReport, list[int]]:
        first = await harness.apply(prepare(sheet))
        assert first.results is not None
        with first.results.open("a", encoding="utf-8", newline="") as file:
            csv.writer(file).writerow([*cells(5), *[""] * 7])
        sends = len(harness.log)
        again = prepare(first.results, selection=Selection(statuses=RESUBMITTED))
        return await harness.apply(again), sent_rows(harness.log)[sends:]

    report, sent = with_sandbox(tmp_path, main)

    assert sent == [5]
    assert counted(report) == {APPLIED: 4}


# ------------------------------------------------------------------ refused before anything is sent


def refused(tmp_path: Path, prepared: Prepared, **options: Any) -> str:
    """The sentence of a run that did not begin; nothing was sent, nothing is left behind."""

    async def main(harness: Harness) -> str:
        with pytest.raises(CannotStart) as caught:
            await harness.apply(prepared, **options)
        assert harness.log == []
        home = harness.config.home
        assert not home.exists() or runs(home) == []
        assert not list(home.glob("runs/*"))
        return str(caught.value)

    return with_sandbox(tmp_path, main)


def test_results_that_would_replace_a_file_are_refused_first(tmp_path: Path) -> None:
    sheet = plain(tmp_path / "term.csv", 3)
    precious = tmp_path / "precious.csv"
    precious.write_text("mine", "utf-8")

    assert "exists already" in refused(tmp_path, prepare(sheet), results=precious)
    assert precious.read_text("utf-8") == "mine"


def test_results_in_no_folder_are_refused_first(tmp_path: Path) -> None:
    prepared = prepare(plain(tmp_path / "term.csv", 3))

    assert "is no folder" in refused(tmp_path, prepared, results=tmp_path / "no" / "out.csv")
    assert "is no folder" in refused(tmp_path, prepared, results=tmp_path / "term.csv" / "o.csv")


def test_results_of_a_kind_that_cannot_be_written_are_refused_first(tmp_path: Path) -> None:
    csv_sheet = prepare(plain(tmp_path / "term.csv", 3))
    book = prepare(plain(tmp_path / "term.xlsx", 3))

    assert "o.xlsm is no sheet that can be written" in refused(
        tmp_path, csv_sheet, results=tmp_path / "o.xlsm"
    )
    assert "use .xlsx, .csv" in refused(tmp_path, book, results=tmp_path / "o.ods")


def test_a_sheet_that_changed_since_it_was_read_is_refused(tmp_path: Path) -> None:
    sheet = plain(tmp_path / "term.csv", 3)
    prepared = prepare(sheet)
    plain(sheet, 4)

    assert refused(tmp_path, prepared) == f"{sheet} has changed since it was read; run it again"


def test_a_sheet_that_is_gone_is_refused(tmp_path: Path) -> None:
    sheet = plain(tmp_path / "term.csv", 3)
    prepared = prepare(sheet)
    sheet.unlink()

    assert "cannot be copied" in refused(tmp_path, prepared)


def test_a_sheet_that_was_only_touched_is_sent(tmp_path: Path) -> None:
    sheet = plain(tmp_path / "term.csv", 3)
    prepared = prepare(sheet)
    content = sheet.read_bytes()
    sheet.unlink()
    sheet.write_bytes(content)

    async def main(harness: Harness) -> RunReport:
        return await harness.apply(prepared)

    assert counted(with_sandbox(tmp_path, main)) == {APPLIED: 3}


def test_what_is_no_sheet_is_the_loaders_matter(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path, Path("a\0b.csv")):
        with pytest.raises(UnreadableSheet):
            prepare(path)


def test_a_time_zone_that_is_none_is_refused(tmp_path: Path) -> None:
    sheet = plain(tmp_path / "term.csv", 3)

    for name in ("Mars/Base", "../../etc/passwd", "", "\0"):
        with pytest.raises(CannotStart, match="is no time zone"):
            prepare(sheet, SheetOptions(tz=name))


# ------------------------------------------------------------------ interrupted and resumed


def test_a_run_interrupted_and_resumed_sends_every_row_once(tmp_path: Path) -> None:
    sheet = plain(tmp_path / "term.csv", 100)

    async def main(harness: Harness) -> tuple[RunReport, RunReport, list[int], str]:
        control = Control()
        harness.loop.call_at(3.0, control.stop, 130)
        first = await apply(prepare(sheet), harness.config, control=control, parts=harness.parts)
        sheet.unlink()  # the run keeps what it was begun with
        second = await harness.resume(first.run[:13])
        sql = kept(harness.config.home, first.run)
        return first, second, sent_rows(harness.log), str(violations(sql, harness.log, rows=100))

    first, second, sent, wrong = with_sandbox(tmp_path, main)

    assert first.exit_status == 130
    assert first.stop is not None
    assert first.stop.code == "run.interrupted"
    assert 30 < first.counts[APPLIED] < 70
    assert first.counts[APPLIED] + first.counts[NOT_SENT] == 100
    assert counted(second) == {APPLIED: 100}
    assert (second.run, second.exit_status, second.stop) == (first.run, 0, None)
    assert sorted(sent) == list(range(2, 102))
    assert first.requests + second.requests == 100
    assert second.results == first.results
    assert {line["bulkcast_status"] for line in read_rows(second.results)} == {"applied"}
    assert wrong == "[]"


def test_a_result_sheet_without_its_fingerprint_is_not_said_to_be_changed(tmp_path: Path) -> None:
    """A full disk may have taken the fingerprint."""
    sheet = plain(tmp_path / "term.csv", 100)

    async def main(harness: Harness) -> tuple[RunReport, RunReport]:
        control = Control()
        harness.loop.call_at(3.0, control.stop, 130)
        first = await apply(prepare(sheet), harness.config, control=control, parts=harness.parts)
        (seal,) = harness.config.home.rglob("results.sha256")
        seal.write_text("")
        return first, await harness.resume()

    first, second = with_sandbox(tmp_path, main)

    assert second.results != first.results
    assert "was changed" not in str(second.remarks[-1])
    assert "is there already and stays as it is" in str(second.remarks[-1])


def test_a_result_sheet_mended_before_the_resume_stays_as_it_is(tmp_path: Path) -> None:
    sheet = plain(tmp_path / "term.csv", 100)

    async def main(harness: Harness) -> tuple[RunReport, RunReport, RunReport]:
        control = Control()
        harness.loop.call_at(3.0, control.stop, 130)
        first = await apply(prepare(sheet), harness.config, control=control, parts=harness.parts)
        assert first.results is not None
        with first.results.open("a", encoding="utf-8") as file:
            file.write("mended")
        return first, await harness.resume(), await harness.resume()

    first, second, third = with_sandbox(tmp_path, main)

    assert first.results is not None
    assert second.results is not None
    assert first.results.read_text("utf-8").endswith("mended")
    assert second.results.name == f"{first.results.stem} (2).csv"
    assert first.results.name in str(second.remarks[-1])
    assert {line["bulkcast_status"] for line in read_rows(second.results)} == {"applied"}
    assert third.results not in {first.results, second.results}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_the_results_of_a_private_sheet_are_private(tmp_path: Path) -> None:
    sheet = plain(tmp_path / "term.csv", 2)
    sheet.chmod(0o600)

    async def main(harness: Harness) -> RunReport:
        return await apply(prepare(sheet), harness.config, parts=harness.parts)

    report = with_sandbox(tmp_path, main)

    assert report.results is not None
    assert report.results.stat().st_mode & 0o777 == 0o600


def test_a_run_stopped_before_it_began_sends_nothing(tmp_path: Path) -> None:
    sheet = plain(tmp_path / "term.csv", 5)

    async def main(harness: Harness) -> tuple[RunReport, int]:
        control = Control()
        control.stop(143)
        report = await apply(prepare(sheet), harness.config, control=control, parts=harness.parts)
        return report, len(harness.log)

    report, sends = with_sandbox(tmp_path, main)

    assert (counted(report), report.exit_status, sends) == ({NOT_SENT: 5}, 143, 0)
    assert len(read_rows(report.results)) == 5


def test_a_run_torn_down_leaves_what_was_under_way_unconfirmed(tmp_path: Path) -> None:
    sheet = plain(tmp_path / "term.csv", 60)

    async def main(harness: Harness) -> tuple[RunReport, RunReport, set[int]]:
        task = asyncio.create_task(harness.apply(prepare(sheet)))
        harness.loop.call_at(5.0, task.cancel)
        first = await task
        arrived = set(sent_rows(harness.log))
        return first, await harness.resume(), arrived

    first, second, arrived = with_sandbox(tmp_path, main, World(latency_s=2.0))

    unconfirmed = {r.row for r in first.rows if r.status is RowStatus.UNCONFIRMED}
    assert unconfirmed
    assert first.exit_status == 130
    assert {r.row for r in first.rows if r.status is APPLIED} <= arrived
    assert not {r.row for r in first.rows if r.status is NOT_SENT} & arrived
    assert counted(second) == {APPLIED: 60}


def test_what_may_have_been_applied_stays_unconfirmed_when_a_resume_ends_at_once(
    tmp_path: Path,
) -> None:
    """Nobody may read `not_sent` beside a row that an earlier program sent."""
    sheet = plain(tmp_path / "term.csv", 30)

    async def main(harness: Harness) -> tuple[RunReport, RunReport]:
        task = asyncio.create_task(harness.apply(prepare(sheet)))
        harness.loop.call_at(2.5, task.cancel)
        first = await task
        control = Control()
        control.stop(130)
        again = await resume(harness.config, control=control, parts=harness.parts)
        return first, again

    first, again = with_sandbox(tmp_path, main, World(latency_s=2.0))

    assert first.counts[RowStatus.UNCONFIRMED] > 0
    assert again.counts == first.counts


def test_what_may_have_been_applied_stays_unconfirmed_when_the_next_program_is_not_let_in(
    tmp_path: Path,
) -> None:
    sheet = plain(tmp_path / "term.csv", 30)

    async def main(harness: Harness) -> tuple[RunReport, RunReport, RunReport]:
        task = asyncio.create_task(harness.apply(prepare(sheet)))
        harness.loop.call_at(2.5, task.cancel)
        first = await task
        wrong = replace(harness.config, credentials=Credentials(SANDBOX_SID, Secret("wrong")))
        refused_ = await resume(wrong, parts=harness.parts)
        return first, refused_, await harness.resume()

    first, second, third = with_sandbox(tmp_path, main, World(latency_s=2.0))

    assert first.counts[RowStatus.UNCONFIRMED] > 0
    assert second.exit_status == 6
    assert second.counts == first.counts
    assert counted(third) == {APPLIED: 30}


def test_a_resume_of_a_finished_run_sends_nothing_and_writes_its_results_again(
    tmp_path: Path,
) -> None:
    sheet = plain(tmp_path / "term.csv", 4)

    async def main(harness: Harness) -> tuple[RunReport, RunReport, int]:
        first = await harness.apply(prepare(sheet))
        assert first.results is not None
        first.results.unlink()
        return first, await harness.resume(), len(harness.log)

    first, second, sends = with_sandbox(tmp_path, main)

    assert sends == 4
    assert second.results == first.results
    assert len(read_rows(second.results)) == 4


@pytest.mark.parametrize("limit", [None, 3])
def test_a_resume_with_nothing_left_says_so_from_counts_alone(
    tmp_path: Path, limit: int | None
) -> None:
    """As a result sheet that stands as it was written is left, so no row need be read."""
    rows = [cells(2), cells(3), ("no id", 1, 0, 0, 0, ""), cells(5), cells(6), cells(7)]
    sheet = write_rows(tmp_path / "term.csv", HEAD, rows)
    world = World(classrooms=(classroom(3, "code:121301015"),))

    async def main(harness: Harness) -> tuple[RunReport, RunReport, RunReport]:
        first = await harness.apply(prepare(sheet, selection=Selection(limit=limit)))
        assert first.results
        chosen = Selection(frozenset(RESUBMITTED))
        before = await harness.apply(prepare(first.results, selection=chosen))
        assert before.results
        stood = before.results.stat()
        again = await harness.resume()
        assert before.results.stat().st_ino == stood.st_ino
        assert not isinstance(again.rows, tuple), "the rows were read"
        return first, before, again

    _, before, again = with_sandbox(tmp_path, main, world)

    assert (again.run, again.results, again.requests) == (before.run, before.results, 0)
    assert again.counts == before.counts
    assert again.earlier == before.earlier
    assert again.earlier[APPLIED] > 0
    assert again.exit_status == before.exit_status
    assert len(again.rows) == len(before.rows)
    assert again.rows == before.rows


def test_cells_that_are_not_kept_are_never_held_together(tmp_path: Path) -> None:
    sheet = tmp_path / "term.csv"
    rows = "".join(f"{10_000 + n},开,{n:0300}\n" for n in range(5_000))
    sheet.write_text(f"activityId,recordState,our notes\n{rows}", encoding="utf-8")

    def held(*, keep_cells: bool) -> tuple[Prepared, int]:
        tracemalloc.start()
        prepared = prepare(sheet, keep_cells=keep_cells)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return prepared, peak

    prepare(sheet)  # what is loaded only once does not count
    whole, with_cells = held(keep_cells=True)
    bare, without = held(keep_cells=False)

    assert (bare.checked, bare.plan, bare.sha256) == (whole.checked, whole.plan, whole.sha256)
    assert [row.number for row in bare.sheet.rows] == [row.number for row in whole.sheet.rows]
    assert without < with_cells * 0.85


def test_what_many_rows_have_alike_is_kept_once(tmp_path: Path) -> None:
    sheet = plain(tmp_path / "term.csv", 50)

    async def main(harness: Harness) -> tuple[Prepared, RunReport]:
        prepared = lean(prepare(sheet, selection=Selection(limit=20)))
        return prepared, await harness.apply(prepared)

    prepared, report = with_sandbox(tmp_path, main)

    assert counted(report) == {APPLIED: 20, NOT_SENT: 30}
    assert report.results
    assert len(read_rows(report.results)) == 50
    assert not any(row.cells for row in prepared.sheet.rows), "cells that nobody needs any more"
    left_out = [o for o in prepared.plan.settled.values() if o.status is NOT_SENT]
    assert len({id(outcome) for outcome in left_out}) == 1
    pairs = [pair for request in prepared.plan.requests for pair in request.body]
    switches = [pair for pair in pairs if pair[0] == "recordState"]
    assert len({id(pair) for pair in switches}) == len(set(switches))
    assert "row 7" not in repr(report), "asyncio asks for it, rows and all"


def test_a_run_of_another_institution_is_not_resumed(tmp_path: Path) -> None:
    sheet = plain(tmp_path / "term.csv", 2)

    async def main(harness: Harness) -> None:
        first = await harness.apply(prepare(sheet))
        other = replace(harness.config, institution=replace(harness.config.institution, sid="7"))
        with pytest.raises(
            CannotStart, match=f"run {first.run} belongs to institution {SANDBOX_SID}"
        ):
            await resume(other, parts=harness.parts)
        with pytest.raises(CannotStart, match="there is no run 1999"):
            await harness.resume("1999")

    with_sandbox(tmp_path, main)


# ------------------------------------------------------------------ one at a time


def test_a_second_run_of_the_institution_is_refused_however_it_is_spelled(tmp_path: Path) -> None:
    one, other = plain(tmp_path / "one.csv", 40), plain(tmp_path / "two.csv", 40)

    async def main(harness: Harness) -> tuple[RunReport, str]:
        first = asyncio.create_task(harness.apply(prepare(one)))
        await asyncio.sleep(1.0)
        spelled = harness.config.institution.root_url.replace("http://", "HTTP://") + "/"
        again = replace(harness.config, institution=Institution(spelled, SANDBOX_SID))
        with pytest.raises(InstitutionBusy) as busy:
            await apply(prepare(other), again, parts=harness.parts)
        with pytest.raises(InstitutionBusy):
            await harness.resume()
        return await first, str(busy.value)

    report, sentence = with_sandbox(tmp_path, main)

    assert counted(report) == {APPLIED: 40}
    assert f"is held by run {report.run}" in sentence


# ------------------------------------------------------------------ results that cannot be written


def vanish(folder: Path) -> None:
    shutil.rmtree(folder)


def become_a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("", "utf-8")


def be_taken(folder: Path) -> None:
    (folder / "out.csv").write_text("mine", "utf-8")


@pytest.mark.parametrize("mishap", [vanish, become_a_file, be_taken])
def test_results_that_cannot_be_written_are_named_and_written_later(
    tmp_path: Path, mishap: Callable[[Path], None]
) -> None:
    sheet = plain(tmp_path / "term.csv", 20)
    folder = tmp_path / "out"
    folder.mkdir()

    async def main(harness: Harness) -> tuple[RunReport, RunReport]:
        harness.loop.call_at(0.5, mishap, folder)
        report = await harness.apply(prepare(sheet), results=folder / "out.csv")
        later = results(harness.config.home, report.run, target=tmp_path / "later.csv")
        return report, later

    report, later = with_sandbox(tmp_path, main)

    assert (counted(report), report.exit_status, report.results) == ({APPLIED: 20}, 0, None)
    (remark,) = [str(r) for r in report.remarks if "could not be written" in str(r)]
    assert "rows 2 to 21 are in the ledger" in remark
    assert f"`bulkcast results {report.run} -o FILE`" in remark
    assert later.rows == report.rows
    assert {line["bulkcast_status"] for line in read_rows(later.results)} == {"applied"}
    assert (
        folder.is_file()
        or not (folder / "out.csv").exists()
        or ((folder / "out.csv").read_text("utf-8") == "mine")
    )


def test_results_go_where_they_were_meant_to_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    plain(here / "term.csv", 2)

    async def main(harness: Harness) -> RunReport:
        report = await harness.apply(prepare(Path("term.csv")), results=Path("out.csv"))
        (here / "out.csv").unlink()
        monkeypatch.chdir(tmp_path)
        return results(harness.config.home, report.run)

    assert with_sandbox(tmp_path, main).results == here / "out.csv"


# ------------------------------------------------------------------ pace


def arrivals(log: Sequence[Received]) -> list[float]:
    return [received.at - EPOCH for received in log]


@pytest.mark.parametrize("rate", ["1200/min", "950/min", "5/s"])
def test_a_rate_is_kept_exactly(tmp_path: Path, rate: str) -> None:
    n, per_s = 400, parse_rate(rate)
    sheet = plain(tmp_path / "term.csv", n)

    async def main(harness: Harness) -> tuple[RunReport, list[float]]:
        report = await harness.apply(prepare(sheet), rate=per_s)
        return report, arrivals(harness.log)

    report, at = with_sandbox(tmp_path, main, World(limit=None, latency_s=0.2))

    assert counted(report) == {APPLIED: n}
    assert most_in_window(at, 1.0 - 1e-3) <= per_s + 1
    assert report.elapsed_s == pytest.approx(n / per_s, rel=0.03)
    # The canary goes alone; from its answer on the gaps are even.
    gaps = [later - earlier for earlier, later in itertools.pairwise(at[1:])]
    assert max(gaps) == pytest.approx(1 / per_s, abs=2e-3)


def test_a_new_program_waits_for_what_the_last_one_sent(tmp_path: Path) -> None:
    """A thousand requests of a moment ago: the next one has to wait until they are a minute old."""
    sheet = plain(tmp_path / "term.csv", 3)

    async def main(harness: Harness) -> tuple[float, list[float]]:
        before = harness.loop.wall()
        with open_ledger(harness.config.home) as ledger:
            head = header("earlier", 1, institution=harness.config.institution)
            ledger.create(head, Plan((request(2),)), {})
            with ledger.journal("earlier") as journal:
                key = RequestKey("2")
                await journal.record_intent([Intent(key, n, before - 10.0) for n in range(1, 1001)])
        await harness.apply(prepare(sheet))
        return before - EPOCH, arrivals(harness.log)

    before, at = with_sandbox(tmp_path, main)

    assert at[0] - before == pytest.approx(52.0, abs=0.1)


@pytest.mark.slow
def test_over_several_programs_no_minute_holds_more_than_the_limit(tmp_path: Path) -> None:
    """The first one in all haste, the next ones, interrupted again and again, at the usual pace."""
    sheet = plain(tmp_path / "term.csv", 1200)

    async def main(harness: Harness) -> tuple[list[int], list[float]]:
        async def go_on(report: RunReport | None) -> RunReport:
            control = Control()
            more = harness.sandbox.received + (800 if report is None else 100)
            waiting = asyncio.create_task(harness.sandbox.until(more))
            waiting.add_done_callback(lambda _: control.stop(130))
            known: dict[str, Any] = {"control": control, "parts": harness.parts}
            if report is None:
                hasty = SendOptions(rate=parse_rate("max"))
                report = await apply(prepare(sheet), harness.config, hasty, **known)
            else:
                report = await resume(harness.config, report.run, **known)
            waiting.cancel()
            return report

        reports = [await go_on(None)]
        while reports[-1].exit_status == 130:
            reports.append(await go_on(reports[-1]))
        return [report.counts[APPLIED] for report in reports], arrivals(harness.log)

    applied, at = with_sandbox(tmp_path, main, World(limit=None, latency_s=0.05))

    assert 800 <= applied[0] < 900
    assert applied[-1] == 1200
    assert len(applied) >= 4
    assert at[799] < 10.0
    assert most_in_window(at, 60.0) <= 1000
    assert len(at) == 1200


def test_whoever_watches_sees_the_counts_grow_to_the_end(tmp_path: Path) -> None:
    sheet = plain(tmp_path / "term.csv", 50)
    seen: list[int] = []

    async def main(harness: Harness) -> RunReport:
        return await apply(
            prepare(sheet),
            harness.config,
            watch=lambda progress: seen.append(sum(progress.counts.values())),
            parts=harness.parts,
        )

    report = with_sandbox(tmp_path, main)

    assert counted(report) == {APPLIED: 50}
    assert seen == sorted(seen)
    assert len(set(seen)) > 5
    assert seen[-1] == 50


# ------------------------------------------------------------------ secrets


@pytest.mark.skipif(os.name != "posix", reason="file modes mean little here")
def test_nobody_else_can_read_what_a_run_keeps(tmp_path: Path) -> None:
    sheet = plain(tmp_path / "term.csv", 2)
    sheet.chmod(0o644)

    async def main(harness: Harness) -> RunReport:
        return await harness.apply(prepare(sheet))

    with_sandbox(tmp_path, main)

    home = tmp_path / "home"
    open_to_others = [p for p in (home, *home.rglob("*")) if p.stat().st_mode & 0o077]
    assert open_to_others == []
    assert len(list(home.glob("runs/*/sheet.csv"))) == 1


def test_neither_secret_nor_password_lies_in_any_listing_or_remark(tmp_path: Path) -> None:
    head = ("activityId", "recordState", "watchByLogin", "watchPassword")
    password = "canary-4711"  # noqa: S105 - a word to look for
    sheet = write_rows(
        tmp_path / "term.csv", head, [(FIRST_ID + 2, 1, 1, password), ("x", 7, 1, password)]
    )

    async def main(harness: Harness) -> tuple[Prepared, RunReport]:
        prepared = prepare(sheet)
        return prepared, await harness.apply(prepared)

    prepared, report = with_sandbox(tmp_path, main, World(classrooms=(classroom(2, "code:100"),)))

    for shown in (repr(report), repr(prepared.issues), repr(report.remarks)):
        assert password not in shown
        assert SANDBOX_SECRET.reveal() not in shown
    for path in (tmp_path / "home").rglob("*"):
        assert path.is_dir() or SANDBOX_SECRET.reveal().encode() not in path.read_bytes()


# ------------------------------------------------------------------ a full disk

FULL = """
import asyncio, resource, sys
from tests import killable_worker
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
sys.exit(asyncio.run(killable_worker.main()))
"""


@pytest.mark.skipif(os.name != "posix", reason="needs a limit on the size of files")
async def test_a_full_disk_ends_the_run_in_order_and_it_can_be_resumed(
    tmp_path: Path,
) -> None:
    rows = 600
    sheet = plain(tmp_path / "term.csv", rows)
    root = ROOT
    sandbox = Sandbox(World(limit=None), secret=SANDBOX_SECRET)
    async with sandbox.serving() as url:
        environment = {
            **surroundings(tmp_path / "home", url),
            "WORKER_RATE": "300/s",
        }

        async def work(most_bytes: int) -> tuple[int | None, str]:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", FULL, str(sheet), str(most_bytes), env=environment,
                cwd=root, stdout=subprocess.PIPE,
            )  # fmt: skip
            said, _ = await process.communicate()
            return process.returncode, said.decode().strip()

        assert await work(400_000) == (5, "")
        (record,) = runs(tmp_path / "home")
        results = read_rows(Path(f"{sheet}.results.csv"))
        written = Counter(line["bulkcast_status"] for line in results)
        assert 0 < record.counts[APPLIED] < rows
        assert written == {status: n for status, n in record.counts.items() if n}
        assert await work(2**40) == (0, "")

    stored = kept(tmp_path / "home", record.header.run)
    assert violations(stored, sandbox.log, rows=rows, crashes=1) == []
    assert Counter(line["bulkcast_status"] for line in read_rows(Path(f"{sheet}.results.csv"))) == {
        "applied": rows
    }


def test_a_damaged_ledger_sends_nothing(tmp_path: Path) -> None:
    sheet = plain(tmp_path / "term.csv", 5)

    async def main(harness: Harness) -> int:
        first = await harness.apply(prepare(sheet), results=tmp_path / "one.csv")
        with sqlite3.connect(harness.config.home / "ledger.sqlite3") as meddler:
            meddler.execute("UPDATE outcomes SET status = 'not_sent'")
        meddler.close()
        with pytest.raises(Exception, match="does not hold") as refused:
            await harness.resume(first.run)
        assert getattr(refused.value, "exit_status", None) == 6
        return len(harness.log)

    assert with_sandbox(tmp_path, main) == 5


def test_a_fault_of_the_header_is_told_once_and_beside_each_row(tmp_path: Path) -> None:
    sheet = tmp_path / "term.csv"
    sheet.write_text("activityId,recrodState\n25096001,1\n25096002,1\n", "utf-8")

    prepared = prepare(sheet)

    found = [issue.code for issue in prepared.issues]
    assert found == ["header.near_miss", "rule.partial_group", "rule.partial_group"]
    assert {row.issues[0].code for row in prepared.checked.rows} == {"header.near_miss"}
    assert (prepared.valid, prepared.invalid, prepared.exit_status) == (0, 2, 3)
