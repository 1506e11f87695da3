"""A plan in numbers, as the library, `--json` and the screen have it."""

from dataclasses import replace
from pathlib import Path

import pytest

import bulkcast
from bulkcast.endpoints import WEBCAST
from bulkcast.model import Target
from bulkcast.pacing import DEFAULT_RATE
from bulkcast.planner.forecast import Pace
from bulkcast.planner.last_known import KnownValue
from bulkcast.planner.summary import BilledSetting, Content, Transition, schedule

SHEET = """\
activityId,recordState,recordType,liveState,openState,customColumn,startTime
7,on,1,on,,hello,2027-03-01 09:00
8,on,1,on,,(clear),2027-03-01 10:00
9,off,,,,,
"""
NINE = 1_803_862_800
"""2027-03-01 09:00 in Shanghai."""


@pytest.fixture
def prepared(tmp_path: Path) -> bulkcast.Prepared:
    sheet = tmp_path / "term.csv"
    sheet.write_text(SHEET, "utf-8")
    return bulkcast.prepare(sheet)


def test_every_setting_is_counted_by_its_value(prepared: bulkcast.Prepared) -> None:
    found = {setting.key: setting for setting in prepared.summary().settings}

    assert found["recordState"].values == {1: 2, 0: 1}
    assert found["liveState"].untouched == 1
    assert found["recordState"].transitions == (
        Transition(None, 1, is_same=False, rows=2),
        Transition(None, 0, is_same=False, rows=1),
    )


def test_of_a_text_only_whether_it_is_set_is_told(prepared: bulkcast.Prepared) -> None:
    found = {setting.key: setting for setting in prepared.summary().settings}

    assert found["customColumn"].values == {Content.SET: 1, Content.CLEARED: 1}


def test_what_is_known_is_the_old_value(prepared: bulkcast.Prepared) -> None:
    holdings = {
        "recordState": KnownValue(1, 0.0, "r"), "customColumn": KnownValue("bye", 0.0, "r"),
    }  # fmt: skip
    known = replace(prepared, known={Target("activityId", 7): holdings})

    found = {s.key: s.transitions for s in known.summary().settings}

    assert Transition(1, 1, is_same=True, rows=1) in found["recordState"]
    assert Transition(Content.ANOTHER, Content.SET, is_same=False) in found["customColumn"]


def test_what_is_switched_on_and_known_to_be_off_is_billed(prepared: bulkcast.Prepared) -> None:
    on = {"liveState": KnownValue(1, 0.0, "r")}
    known = replace(prepared, known={Target("activityId", 7): on})

    assert BilledSetting("liveState", 2) in prepared.summary().billed
    assert BilledSetting("liveState", 1) in known.summary().billed


def test_rows_that_have_locked_are_not_counted_as_sent(prepared: bulkcast.Prepared) -> None:
    early, late = prepared.summary(now=NINE - 86_400.0), prepared.summary(now=NINE + 60.0)

    assert (early.sent, early.locked, early.schedule.dated) == (3, 0, 2)
    assert (late.rows, late.sent, late.locked) == (3, 2, 1)
    assert [row.row for row in late.forecast.late] == [2]


def test_a_schedule_of_requests_alone_is_that_of_their_plan(prepared: bulkcast.Prepared) -> None:
    for now in (NINE - 86_400.0, NINE + 60.0):
        alone = schedule(prepared.plan.requests, Pace(DEFAULT_RATE, WEBCAST.limit), now=now)

        assert replace(alone, free=0) == replace(prepared.summary(now=now).schedule, free=0)
