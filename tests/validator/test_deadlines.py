"""`validate` foresees exactly what a plan of the same sheet would."""

import csv
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bulkcast.endpoints.webcast import WEBCAST
from bulkcast.model import Target
from bulkcast.pacing import DEFAULT_RATE
from bulkcast.pipeline import SheetOptions, prepare, validate
from bulkcast.planner.forecast import Pace, forecast
from tests.make_samples import SAMPLES
from tests.sample_findings import FOUND

HEAD = ("activityId", "classId", "startTime", "recordState", "openState", "watchPassword")
Turns = list[tuple[tuple[int, ...], Target, int | None]]

ROW = st.tuples(
    st.sampled_from(["", "1", "2", "３", "4", "x"]),
    st.sampled_from(["", "", "1", "7"]),
    st.sampled_from(["", "2027-03-01 08:00", "2027-03-01 07:00", "2027年3月1日 下午1:00", "08:00"]),
    st.sampled_from(["", "", "1", "on", "0", "maybe"]),
    st.sampled_from(["", "0"]),
    st.sampled_from(["", "a", "b", " "]),
)


def both(path: Path, options: SheetOptions) -> tuple[Turns, Turns]:
    """The turns that a look at the sheet gives, and those of its plan."""
    timetable = validate(path, options).timetable
    looked: Turns = [] if timetable is None else [turn[:3] for turn in timetable]
    planned = [(r.rows, r.target, r.locks_at) for r in prepare(path, options).plan.requests]
    return looked, planned


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    rows=st.lists(ROW, min_size=1, max_size=12),
    duplicates=st.sampled_from(["error", "last"]),
    strict=st.booleans(),
)
def test_the_turns_are_those_of_the_plan(
    rows: list[tuple[str, ...]],
    duplicates: Literal["error", "last"],
    strict: bool,
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([HEAD, *rows])

    looked, planned = both(path, SheetOptions(duplicates=duplicates, strict=strict))

    if validate(path, SheetOptions(duplicates=duplicates, strict=strict)).valid:
        assert looked == planned
    else:
        assert planned == []


@pytest.mark.parametrize("name", [*sorted(FOUND), "term/term.csv", "term/term.xlsx"])
def test_the_forecast_of_a_sample_is_that_of_its_plan(name: str) -> None:
    found, prepared = validate(SAMPLES / name), prepare(SAMPLES / name)
    pace, now = Pace(DEFAULT_RATE, WEBCAST.limit), 1803859200.0 - 3600

    if found.timetable is not None and found.valid:
        requests = prepared.plan.requests
        assert forecast(found.timetable, pace, now=now) == forecast(requests, pace, now=now)
        dated = sum(len(r.rows) for r in requests if r.locks_at is not None)
        assert found.timetable.dated() == dated
    elif found.valid:
        assert all(request.locks_at is None for request in prepared.plan.requests)


def test_a_sheet_is_foreseen_as_often_as_asked(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "activityId,startTime,recordState\n1,2027-03-01 08:00,1\n2,,1\n3,2027-03-01 07:00,1\n",
        encoding="utf-8",
    )
    timetable = validate(path).timetable

    assert timetable is not None
    assert [turn.rows for turn in timetable] == [(4,), (2,), (3,)]
    assert list(timetable) == list(timetable)
    assert timetable.dated() == 2


def test_a_row_that_is_sent_as_the_last_of_its_classroom_locks_with_it(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "activityId,startTime,recordState\n1,2027-03-01 07:00,1\n1,2027-03-01 08:00,0\n",
        encoding="utf-8",
    )

    looked, planned = both(path, SheetOptions(duplicates="last"))

    assert looked == planned == [((2, 3), Target("activityId", 1), 1803859200 - 1200)]
