"""DataFrames in and out: a frame is checked as a sheet would be, and nothing in it is guessed."""

import asyncio
import datetime as dt
import os
import stat
import subprocess
import sys
from collections.abc import Sequence
from decimal import Decimal
from enum import IntEnum
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import openpyxl
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bulkcast
from bulkcast.endpoints import WEBCAST
from bulkcast.errors import CannotStart, UnreadableSheet
from bulkcast.frames import issues_frame, sheet_of
from bulkcast.i18n import ENGLISH
from bulkcast.loader import ReadOptions
from bulkcast.model import Cell, FlaggedCell, Institution, Issue, RowStatus, Severity
from bulkcast.pipeline import (
    RESUBMITTED,
    Control,
    Prepared,
    RunReport,
    Selection,
    SendOptions,
    SheetOptions,
    Undone,
    apply,
    crosstab,
    lean,
    prepare,
    results,
    undo,
    validate,
    write_plan,
)
from bulkcast.problems import issue
from bulkcast.sandbox import World
from tests.dispatcher_harness import classroom
from tests.pipeline_harness import APPLIED, Harness, counted, with_sandbox
from tests.sheets import FIRST_ID, HEAD, cells, read_rows
from tests.source_files import ROOT

SHANGHAI = dt.timezone(dt.timedelta(hours=8))
MORNING = dt.datetime(2027, 3, 1, 8, 0)  # noqa: DTZ001 - as a date cell has it
Frame = pd.DataFrame


def cells_of(values: object, label: str = "activityId") -> list[Cell]:
    """The cells of a column of these values."""
    frame = Frame({"recordState": "1", label: values}) if label != "recordState" else None
    assert frame is not None
    sheet = sheet_of(frame, name="term", endpoint=WEBCAST)
    return [row.cells[1] for row in sheet.rows]


def term(n: int, **more: Any) -> Frame:
    """A frame of `n` right rows."""
    return Frame([cells(row) for row in range(2, n + 2)], columns=list(HEAD)).assign(**more)


class Number(IntEnum):
    """An integer by another name."""

    SEVEN = 7


# ------------------------------------------------------------------ cells

OBJECTS: Sequence[tuple[object, Cell]] = (
    ("25096094", "25096094"),
    ("007", "007"),
    (" 7 ", " 7 "),
    ("nan", "nan"),
    (np.str_("七"), "七"),
    (25096094, 25096094),
    (Number.SEVEN, 7),
    (10**15 - 1, 10**15 - 1),
    (10**15, str(10**15)),
    (2**53 + 1, str(2**53 + 1)),
    (-(10**15), str(-(10**15))),
    (np.int32(7), 7),
    (np.uint64(2**63), str(2**63)),
    (7.0, 7),
    (7.5, 7.5),
    (2.0**53, 2.0**53),
    (np.float64(7), 7),
    (np.float32(7), 7),
    (np.float32(0.5), 0.5),
    (np.float16(7), 7),
    (1.2345678901234568e17, 1.2345678901234568e17),
    (123456789012.0, FlaggedCell("id.display_shortened", "1.23457E+11", 123456789012,
                                 {"read": "123456789012"})),
    (np.float32(25096094), FlaggedCell("id.precision_lost", "2.509609E+07", 25096094.0)),
    (np.float16(4096), FlaggedCell("id.precision_lost", "4096", 4096.0)),
    (Decimal(25096094), 25096094),
    (Decimal("7.00"), 7),
    (Decimal("7.5"), 7.5),
    (Decimal(2**53 + 1), str(2**53 + 1)),
    (True, True),
    (np.bool_(False), False),
    (MORNING, MORNING),
    (pd.Timestamp("2027-03-01 08:00"), MORNING),
    (np.datetime64("2027-03-01T08:00"), MORNING),
    (pd.Timestamp("2027-03-01 08:00", tz="Asia/Shanghai"),
     dt.datetime(2027, 3, 1, 8, 0, tzinfo=SHANGHAI)),
    (dt.date(2027, 3, 1), dt.datetime(2027, 3, 1)),  # noqa: DTZ001 - cells have no zone
    (dt.time(8, 0), FlaggedCell("cell.only_a_time", "08:00:00")),
    (pd.Timedelta(hours=1), FlaggedCell("cell.only_a_time", "0 days 01:00:00")),
)  # fmt: skip


@pytest.mark.parametrize(("value", "cell"), OBJECTS, ids=lambda v: repr(v)[:40])
def test_an_object_is_taken_as_it_is(value: object, cell: Cell) -> None:
    (found,) = cells_of(pd.Series([value], dtype="object"))

    assert found == cell
    assert type(found) is type(cell)


@pytest.mark.parametrize(
    "blank",
    [None, float("nan"), pd.NA, pd.NaT, np.float64("nan"), np.float32("nan"), Decimal("nan"),
     np.datetime64("NaT", "ns")],
    ids=repr,
)  # fmt: skip
def test_what_is_missing_is_a_blank_cell(blank: object) -> None:
    assert cells_of(pd.Series([blank, "7"], dtype="object")) == [None, "7"]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pd.Series([7, 8]), [7, 8]),
        (pd.Series([7, None]), [7, None]),
        (pd.Series([7, None], dtype="Int64"), [7, None]),
        (pd.Series([2**53 + 1, None], dtype="Int64"), [str(2**53 + 1), None]),
        (pd.Series([2**63], dtype="uint64"), [str(2**63)]),
        (pd.Series([7, 8], dtype="int8"), [7, 8]),
        (pd.Series([7.0, None], dtype="Float64"), [7, None]),
        (pd.Series([7, 25096094], dtype="float32"),
         [7, FlaggedCell("id.precision_lost", "2.509609E+07", 25096094.0)]),
        (pd.Series([25096094, None], dtype="Float32"),
         [FlaggedCell("id.precision_lost", "2.509609E+07", 25096094.0), None]),
        (pd.Series([25096094], dtype="float32").astype("category"),
         [FlaggedCell("id.precision_lost", "2.509609E+07", 25096094.0)]),
        (pd.Series(["7", None], dtype="string"), ["7", None]),
        (pd.Series(["7", None], dtype="category"), ["7", None]),
        (pd.Series([7, 8], dtype="category"), [7, 8]),
        (pd.Series([7, 7], dtype=pd.SparseDtype("int64", 0)), [7, 7]),
        (pd.Series([True, False]), [True, False]),
        (pd.Series([True, None], dtype="boolean"), [True, None]),
        (pd.Series([MORNING, None], dtype="datetime64[ns]"), [MORNING, None]),
        (pd.Series(pd.to_datetime(["2027-03-01 08:00"])).dt.tz_localize("Asia/Shanghai"),
         [dt.datetime(2027, 3, 1, 8, 0, tzinfo=SHANGHAI)]),
        (pd.Series(pd.to_timedelta(["1h"])), [FlaggedCell("cell.only_a_time", "0 days 01:00:00")]),
    ],
    ids=lambda v: str(getattr(v, "dtype", "")),
)  # fmt: skip
def test_every_dtype_gives_the_values_it_holds(column: "pd.Series[Any]", expected: object) -> None:
    frame = Frame({"recordState": ["1"] * len(column), "activityId": column})

    sheet = sheet_of(frame, name="term", endpoint=WEBCAST)

    assert [row.cells[1] for row in sheet.rows] == expected
    for row in sheet.rows:
        assert not isinstance(row.cells[1], np.generic | pd.Timestamp)


@pytest.mark.parametrize("value", [b"7", [7], {"a": 1}, 1j, pd.Period("2027-03"), np.array([7, 8])])
def test_what_no_cell_can_hold_is_refused_by_row_and_column(value: object) -> None:
    frame = Frame({"recordState": [1, 1], "activityId": pd.Series(["1", value], dtype="object")})

    with pytest.raises(UnreadableSheet, match=r"Row 3 of term holds a \w+ in 'activityId'"):
        sheet_of(frame, name="term", endpoint=WEBCAST)


def test_ids_that_floats_have_rounded_are_refused_and_whole_ones_read() -> None:
    ids = pd.Series([25096094, None, 2**53 + 1, 7.5, 10**15])  # a missing one makes them floats
    frame = Frame({"classId": ids, "recordState": 1, "activityId": ["", "25096095", "", "", ""]})

    prepared = prepare(frame)

    assert {r.rows: r.target.id for r in prepared.plan.requests} == {
        (2,): 25096094, (3,): 25096095,
    }  # fmt: skip
    wrong = [i for i in prepared.issues if i.severity is Severity.ERROR]
    assert {i.row: i.code for i in wrong if i.column == "classId"} == {
        4: "id.precision_lost", 5: "id.fraction", 6: "id.precision_lost",
    }  # fmt: skip


def test_an_id_of_many_digits_is_exact_where_it_is_an_integer() -> None:
    frame = Frame({"activityId": [2**62 + 1], "recordState": [1]})

    (request,) = prepare(frame).plan.requests

    assert request.target.id == 2**62 + 1


def test_a_password_that_is_a_number_is_refused_however_long_it_is() -> None:
    frame = Frame({"activityId": ["1", "2"], "观看密码": [1234, 10**17]})

    issues = prepare(frame).issues

    assert [i.code for i in issues if i.column == "观看密码"] == ["password.numeric"] * 2


def test_a_password_that_a_short_float_holds_is_told_to_nobody() -> None:
    frame = Frame({"activityId": ["1"], "watchPassword": pd.Series([87654321], dtype="float32")})

    prepared = prepare(frame)

    assert prepared.valid == 0
    assert "8.765" not in repr(prepared.issues)
    assert "8.765" not in validate(frame).to_frame().to_string()


def test_a_moment_with_a_zone_means_itself_whatever_tz_says() -> None:
    at = pd.Timestamp("2027-03-01 08:00", tz="America/New_York")
    frame = Frame({"activityId": ["1"], "recordState": [1], "startTime": [at]})

    (request,) = prepare(frame, SheetOptions(tz="Asia/Shanghai")).plan.requests

    assert request.locks_at == int(at.timestamp()) - WEBCAST.lock_before_s


# ------------------------------------------------------------------ labels and rows


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        (["activityId", 0], "has a column labelled 0, which is no text"),
        (["activityId", None], "which is no text"),
        (["activityId", "activityId"], "more than one column labelled 'activityId'"),
        (pd.MultiIndex.from_tuples([("a", "activityId"), ("a", "recordState")]), "on 2 levels"),
        (["teacher", "room"], "No column of DataFrame names a setting or a classroom"),
    ],
)
def test_labels_that_are_no_header_are_refused(columns: Any, sentence: str) -> None:
    frame = Frame([["1", "1"]], columns=columns)

    for use in (prepare, validate):
        with pytest.raises(UnreadableSheet, match=sentence):
            use(frame)


def test_a_frame_without_columns_is_refused() -> None:
    with pytest.raises(UnreadableSheet, match="No column"):
        prepare(Frame())


def test_a_frame_without_rows_is_a_sheet_without_rows() -> None:
    assert prepare(Frame(columns=["activityId", "recordState"])).plan.requests == ()


@pytest.mark.parametrize("other", [[["activityId"]], pd.Series(["1"], name="activityId"), None])
def test_what_is_neither_a_path_nor_a_frame_is_a_type_error(other: Any) -> None:
    with pytest.raises(TypeError, match="DataFrame"):
        prepare(other)


def test_rows_count_by_position_whatever_the_index_says() -> None:
    frame = term(3).set_index(pd.Index([40, 7, 7]))

    assert [row.number for row in prepare(frame).sheet.rows] == [2, 3, 4]


def test_a_header_can_be_told_its_meaning() -> None:
    frame = Frame({"Ours": ["1"], "recordState": [1]})
    options = SheetOptions(read=ReadOptions(mapping={"Ours": "activityId"}))

    (request,) = prepare(frame, options).plan.requests

    assert request.target.id == 1


def test_blank_and_comment_rows_are_passed_over_as_in_a_file() -> None:
    frame = Frame({"activityId": ["1", None, "# later", "2"], "recordState": [1, None, 1, 1]})

    prepared = prepare(frame)

    assert [row.number for row in prepared.sheet.rows] == [2, 5]
    assert len(prepared.remarks) == 2


def test_the_frame_may_change_once_it_was_read() -> None:
    frame = term(2)
    prepared = prepare(frame)
    frame.loc[:, "activityId"] = 1

    assert [r.target.id for r in prepared.plan.requests] == [FIRST_ID + 2, FIRST_ID + 3]


# ------------------------------------------------------------------ as a file would

TEXTS = st.text(
    st.characters(exclude_categories=("Cc", "Cs", "Cn", "Co"), exclude_characters="_\ufffe"),
    max_size=8,
)
MOMENTS = st.datetimes(dt.datetime(2026, 1, 1), dt.datetime(2030, 1, 1)).map(  # noqa: DTZ001 - cells have no zone
    lambda moment: moment.replace(microsecond=0)
)


def as_written(number: float) -> float:
    """With as many digits as openpyxl writes; a whole one below 2**53 all the same."""
    return float(f"{number:.15g}")


CELLS = st.one_of(
    TEXTS,
    st.sampled_from(["1", "0", "开", "on", "1.0", "#N/A", "# x", "(clear)", "25096094,25096095"]),
    st.integers(-5, 10**15 - 1),
    st.integers(0, 2),
    st.floats(-(2.0**53), 2.0**53, exclude_min=True, exclude_max=True).map(as_written),
    st.sampled_from([7.0, 7.5, 123456789012.0, 1.2e17]),
    st.booleans(),
    MOMENTS,
    st.none(),
)
LABELS = ("activityId", "classId", "recordState", "liveState", "watchPassword", "customColumn",
          "liveAndPlaybackStudentUids", "startTime", "teacher")  # fmt: skip


def saved(path: Path, labels: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    """The same values as a workbook; integers in cells wide enough for their digits."""
    book = openpyxl.Workbook()
    tab = book.worksheets[0]
    for number, row in enumerate([labels, *rows], start=1):
        for column, value in enumerate(row, start=1):
            cell = tab.cell(number, column)
            cell.value = value  # type: ignore[assignment] # what a cell may hold
            if isinstance(value, str):
                cell.data_type = "s"
            elif type(value) is int:
                cell.number_format = "0"
    book.save(path)
    return path


def told(issues: Sequence[Issue]) -> list[object]:
    return [
        (i.row, i.column, i.cell, i.value, i.code, i.severity, str(i.message), str(i.fix))
        for i in issues
    ]


@given(st.lists(st.tuples(*[CELLS] * len(LABELS)), min_size=1, max_size=6))
@settings(max_examples=60)
def test_a_frame_and_the_workbook_of_its_values_are_found_the_same(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[object, ...]]
) -> None:
    path = saved(tmp_path_factory.mktemp("same") / "term.xlsx", LABELS, rows)
    frame = Frame(rows, columns=list(LABELS), dtype="object")

    of_file, of_frame = prepare(path), prepare(frame, name="term")

    assert told(of_frame.issues) == told(of_file.issues)
    assert of_frame.plan == of_file.plan
    assert of_frame.remarks == of_file.remarks
    assert told(list(validate(frame).issues)) == told(list(validate(path).issues))


# ------------------------------------------------------------------ sent


def test_a_frame_is_sent_and_its_outcomes_come_back_as_a_frame_and_a_workbook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    frame = term(5)
    frame.loc[2, "recordState"] = 9
    world = World(classrooms=(classroom(5, foreign=True),))

    async def main(stage: Harness) -> RunReport:
        return await stage.apply(prepare(frame, name="term"))

    report = with_sandbox(tmp_path, main, world)

    assert counted(report) == {APPLIED: 3, RowStatus.INVALID: 1, RowStatus.REJECTED: 1}
    assert report.results == tmp_path / f"term.results-{report.run}.xlsx"
    back = read_rows(report.results)
    assert [line["bulkcast_status"] for line in back] == [
        "applied", "applied", "invalid", "rejected", "applied",
    ]  # fmt: skip
    assert [line["customColumn"] for line in back] == list(frame["customColumn"])
    outcomes = report.to_frame()
    assert list(outcomes["status"]) == [line["bulkcast_status"] for line in back]
    failed = frame.iloc[outcomes.loc[outcomes["status"] != "applied", "row"] - 2]
    assert list(failed["customColumn"]) == ["row 4", "row 5"]


def test_what_a_workbook_cannot_hold_comes_back_as_it_was_sent(tmp_path: Path) -> None:
    zone = ZoneInfo("America/New_York")
    at = dt.datetime(2027, 3, 1, 8, 0, tzinfo=zone)
    own = pd.Series(
        [2**62 + 1, at, "=1+1", "007", float("inf"), dt.date(1800, 1, 1)], dtype="object"
    )
    frame = term(6, own=own, startTime=at)
    frame.loc[0, "activityId"] = 2**62 + 1

    async def main(stage: Harness) -> RunReport:
        return await stage.apply(prepare(frame), results=tmp_path / "back.xlsx")

    report = with_sandbox(tmp_path, main)
    again = prepare(tmp_path / "back.xlsx")

    assert [line["own"] for line in read_rows(report.results)] == [
        str(2**62 + 1), "2027-03-01T08:00:00-05:00", "=1+1", "007", "inf", "1800-01-01 00:00:00",
    ]  # fmt: skip
    assert again.plan.requests == prepare(frame).plan.requests


def test_comments_and_blank_rows_keep_their_places_in_the_result(tmp_path: Path) -> None:
    frame = pd.concat([term(1), Frame({"activityId": ["# later", None]}), term(1)])

    async def main(stage: Harness) -> RunReport:
        return await stage.apply(lean(prepare(frame)), results=tmp_path / "back.xlsx")

    report = with_sandbox(tmp_path, main)

    back = read_rows(report.results)
    assert [line["activityId"] for line in back] == [
        str(FIRST_ID + 2), "# later", "", str(FIRST_ID + 2),
    ]  # fmt: skip
    assert [line["bulkcast_status"] for line in back] == ["applied", "", "", "applied"]


def test_a_run_of_a_frame_is_resumed_without_it(tmp_path: Path) -> None:
    control = Control()
    control.stop(130)

    async def main(stage: Harness) -> tuple[RunReport, RunReport, Path]:
        first = await apply(
            prepare(term(20)), stage.config, SendOptions(results=tmp_path / "back.xlsx"),
            control=control, parts=stage.parts,
        )  # fmt: skip
        return first, await stage.resume(), stage.config.home

    first, second, home = with_sandbox(tmp_path, main)

    assert counted(first) == {RowStatus.NOT_SENT: 20}
    assert counted(second) == {APPLIED: 20}
    assert second.run == first.run
    assert second.results == first.results
    assert {line["bulkcast_status"] for line in read_rows(second.results)} == {"applied"}
    assert len(second.to_frame()) == 20
    by_column = crosstab(home, first.run, "customColumn")
    assert by_column.counts[0] == ("row 2", (1,))
    written = results(home, first.run, target=tmp_path / "again.xlsx")
    assert read_rows(written.results) == read_rows(second.results)


def test_a_run_of_a_frame_is_undone_as_any_other(tmp_path: Path) -> None:
    async def main(stage: Harness) -> Undone:
        await stage.apply(prepare(term(2)), results=tmp_path / "1.xlsx")
        changed = term(2, recordState=0, liveState=0, openState=0)
        report = await stage.apply(prepare(changed), results=tmp_path / "2.xlsx")
        return undo(stage.config.home, report.run, target=tmp_path / "undo.xlsx")

    undone = with_sandbox(tmp_path, main)

    assert undone.path is not None
    assert (undone.classrooms, undone.lost) == (2, ())
    assert prepare(undone.path).valid == 2


@pytest.mark.parametrize("kind", ["workbook", "frame"])
def test_what_failed_is_sent_again_from_the_result(tmp_path: Path, kind: str) -> None:
    world = World(classrooms=(classroom(3, "code:140", "ok"),))

    async def main(stage: Harness) -> tuple[RunReport, RunReport]:
        first = await stage.apply(prepare(term(4)), results=tmp_path / "back.xlsx")
        assert first.results is not None
        source: Any = first.results
        if kind == "frame":
            source = pd.read_excel(first.results, dtype=object, engine="openpyxl")
        again = prepare(source, selection=Selection(statuses=RESUBMITTED))
        return first, await stage.apply(again, results=tmp_path / "second.xlsx")

    first, second = with_sandbox(tmp_path, main, world)

    assert counted(first) == {APPLIED: 3, RowStatus.TOO_LATE: 1}
    assert second.requests == 1
    assert list(second.to_frame()["run"]) == [first.run, second.run, first.run, first.run]


@pytest.mark.skipif(os.name != "posix", reason="Windows has no permission bits")
def test_nobody_else_may_read_what_was_in_a_frame(tmp_path: Path) -> None:
    frame = term(1, watchPassword="Xk7pQ2mm")

    async def main(stage: Harness) -> tuple[RunReport, Path]:
        return await stage.apply(prepare(frame), results=tmp_path / "b.xlsx"), stage.config.home

    report, home = with_sandbox(tmp_path, main)

    assert report.results is not None
    copies = list(home.rglob("frame.xlsx"))
    assert len(copies) == 1
    for path in (report.results, *copies):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_more_rows_than_a_worksheet_has_are_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bulkcast.reporter.xlsx_writer.ROWS_MAX", 5)

    async def main(stage: Harness) -> int:
        with pytest.raises(CannotStart, match="too few for 6 rows"):
            await stage.apply(prepare(term(5)), results=tmp_path / "b.xlsx")
        await stage.apply(prepare(term(4)), results=tmp_path / "b.xlsx")
        return len(stage.log)

    assert with_sandbox(tmp_path, main) == 4


def test_a_plan_is_not_kept_of_what_lies_in_no_file(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="save it as one first"):
        write_plan(
            prepare(term(1)), Institution("https://api.eeo.cn", "1"), tmp_path / "term.plan",
            selection=Selection(), existing="refuse", made_at=0.0,
        )  # fmt: skip

    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------ frames given


def dtypes(frame: Frame) -> dict[str, str]:
    return {str(name): str(dtype) for name, dtype in frame.dtypes.items()}


def test_issues_have_the_fields_of_json_and_no_password() -> None:
    frame = Frame({"activityId": ["1", "x"], "recordState": [9, 1], "watchPassword": ["ab c\n", 5]})

    found = bulkcast.validate(frame)
    issues = found.to_frame()

    assert dtypes(issues) == {
        "row": "Int64", "column": "string", "cell": "string", "value": "string", "code": "string",
        "severity": "string", "message": "string", "fix": "string",
    }  # fmt: skip
    assert [*issues["code"]] == [issue.code for issue in found.issues]
    bad = issues[issues["code"] == "id.not_a_number"].iloc[0]
    assert (bad["row"], bad["column"], bad["cell"], bad["value"]) == (3, "activityId", "A3", "x")
    assert "ab c" not in issues.to_string()
    assert "不" in found.to_frame("zh")["message"].str.cat()


def test_issues_of_the_sheet_as_a_whole_have_no_row() -> None:
    issues = issues_frame([issue("results.unknown_run", n="1", runs="r1")], ENGLISH)

    assert issues["row"].isna().all()
    assert str(issues["row"].dtype) == "Int64"


def test_requests_are_told_with_exact_ids_and_masked_passwords() -> None:
    frame = Frame(
        {
            "activityId": [2**62 + 1, 2**62 + 1, 7],
            "recordState": [1, 1, 0],
            "watchPassword": ["s3cret!", "s3cret!", "(clear)"],
            "customColumn": ["a", "a", None],
            "liveAndPlaybackStudentUids": ["7, 8", "7, 8", None],
            "startTime": [None, None, MORNING],
        },
        dtype="object",
    )

    plan = prepare(frame).to_frame()

    assert dtypes(plan) == {
        "row": "int64", "rows": "object", "request": "string", "after": "string",
        "target": "string", "target_id": "string", "locks_at": "datetime64[us, Asia/Shanghai]",
        "activityId": "string", "recordState": "Int64", "customColumn": "string",
        "watchPassword": "string", "liveAndPlaybackStudentUids": "string",
    }  # fmt: skip
    first, second = plan.iloc[1], plan.iloc[0]
    assert (first["row"], first["rows"], first["target"]) == (2, (2, 3), "activityId")
    assert first["target_id"] == first["activityId"] == str(2**62 + 1)
    assert (first["recordState"], first["customColumn"]) == (1, "a")
    assert (first["watchPassword"], second["watchPassword"]) == ("•••", "")
    assert first["liveAndPlaybackStudentUids"] == "7,8"
    assert second["customColumn"] is pd.NA
    assert second["locks_at"] == pd.Timestamp("2027-03-01 07:40", tz="Asia/Shanghai")


def test_outcomes_have_numbers_texts_and_moments(tmp_path: Path) -> None:
    async def main(stage: Harness) -> RunReport:
        frame = term(2, activityId=[FIRST_ID + 2, "x"])
        prepared = prepare(frame, SheetOptions(tz="Europe/Berlin"))
        return await stage.apply(prepared, results=tmp_path / "b.xlsx")

    report = with_sandbox(tmp_path, main)
    outcomes = report.to_frame()

    assert dtypes(outcomes) == {
        "row": "int64", "status": "string", "code": "string", "message": "string", "fix": "string",
        "attempts": "int64", "time": "datetime64[us, Europe/Berlin]", "run": "string",
    }  # fmt: skip
    assert [*outcomes["row"]] == [2, 3]
    assert outcomes["time"].isna().tolist() == [False, True]
    assert outcomes["time"][0].strftime("%Y-%m-%d %H:%M:%S") == report.rows[0].time
    assert outcomes["time"][0].timestamp() == report.rows[0].at


@pytest.mark.parametrize("empty", ["issues", "plan"])
def test_nothing_found_is_a_frame_with_the_same_columns(empty: str) -> None:
    frame = Frame(columns=["activityId", "recordState"])

    found = validate(frame).to_frame() if empty == "issues" else prepare(frame).to_frame()

    assert found.empty
    assert str(found["row"].dtype) in {"Int64", "int64"}


# ------------------------------------------------------------------ nothing for nothing


def test_pandas_is_not_loaded_where_no_frame_is_taken_or_given(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "import bulkcast\n"
        "from tests.pipeline_harness import with_sandbox\n"
        "from tests.sheets import plain\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "sheet = plain(folder / 'term.xlsx', 3)\n"
        "bulkcast.validate(sheet)\n"
        "report = with_sandbox(folder, lambda stage: stage.apply(bulkcast.prepare(sheet)))\n"
        "assert report.counts['applied'] == 3 and report.results.exists()\n"
        "print('pandas' in sys.modules)"
    )

    said = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, encoding="utf-8",
        timeout=60, cwd=ROOT,
    )  # fmt: skip

    assert said.stdout.splitlines()[-1] == "False"


def test_a_frame_is_prepared_where_a_loop_runs() -> None:
    async def main() -> Prepared:
        return prepare(term(1))

    assert asyncio.run(main()).valid == 1
