"""Somebody sets the computer's clock, before a run, during it or between two: nothing is lost."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bulkcast.endpoints import WEBCAST
from bulkcast.ledger import MonotonicClock, open_ledger
from bulkcast.model import RowStatus
from bulkcast.pipeline import Parts, RunReport, SendOptions, apply, prepare, resume
from bulkcast.sandbox import read_fault
from tests.audit import most_in_window
from tests.pipeline_harness import APPLIED, Harness, counted, with_sandbox
from tests.sheets import FIRST_ID, write_rows
from tests.virtual_loop import EPOCH

DAY = 86_400.0
N = 40


def dated(path: Path, begins_in: float, n: int = N) -> Path:
    """A sheet of classes that all begin so many seconds after virtual time does."""
    begins = datetime.fromtimestamp(EPOCH + begins_in, UTC).isoformat()
    rows = [(FIRST_ID + row, 1, begins) for row in range(2, 2 + n)]
    return write_rows(path, ("activityId", "recordState", "startTime"), rows)


def set_by(harness: Harness, seconds: float, *, at: float) -> Callable[[], float]:
    """A wall clock that is set so far forward, or back, at a moment of virtual time."""

    def wall() -> float:
        return harness.loop.wall() + (seconds if harness.loop.time() >= at else 0.0)

    return wall


@pytest.mark.parametrize("at", [0.0, 3.0])
@pytest.mark.parametrize("seconds", [DAY, -DAY, 600.0, -600.0])
def test_a_clock_that_is_set_makes_no_row_too_late_and_none_in_time(
    tmp_path: Path, seconds: float, at: float
) -> None:
    async def main(harness: Harness) -> RunReport:
        sheet = prepare(dated(tmp_path / "t.csv", begins_in=36_000.0))
        wall = set_by(harness, seconds, at=at)
        return await apply(sheet, harness.config, SendOptions(rate=5), parts=Parts(wall=wall))

    report = with_sandbox(tmp_path, main)

    assert counted(report) == {APPLIED: N}
    assert report.stop is None
    (remark,) = [str(remark) for remark in report.remarks]
    assert ("ahead of" if seconds > 0 else "behind") in remark


@pytest.mark.parametrize("seconds", [0.0, DAY, -DAY])
def test_what_is_locked_at_classin_is_not_sent_whatever_this_computer_shows(
    tmp_path: Path, seconds: float
) -> None:
    async def main(harness: Harness) -> tuple[RunReport, int]:
        sheet = prepare(dated(tmp_path / "t.csv", begins_in=600.0))
        wall = set_by(harness, seconds, at=0.0)
        report = await apply(sheet, harness.config, SendOptions(rate=5), parts=Parts(wall=wall))
        return report, sum(received.applied for received in harness.log)

    report, applied = with_sandbox(tmp_path, main)

    assert counted(report)[RowStatus.TOO_LATE] >= N - 1
    assert applied <= 1, "the canary of a clock that is behind"


@pytest.mark.parametrize("fault", ["http:503", "html", "reset", "hang:60", "http:429"])
def test_a_moment_of_bad_weather_leaves_no_row_to_the_judgement_of_a_wrong_clock(
    tmp_path: Path, fault: str
) -> None:
    async def main(harness: Harness) -> RunReport:
        sheet = prepare(dated(tmp_path / "t.csv", begins_in=1400.0))
        harness.sandbox.fault_for_all = read_fault(fault, WEBCAST)
        harness.loop.call_at(0.9, setattr, harness.sandbox, "fault_for_all", None)
        parts = Parts(wall=set_by(harness, 280.0, at=0.0))
        return await apply(sheet, harness.config, SendOptions(rate=5), parts=parts)

    assert counted(with_sandbox(tmp_path, main)) == {APPLIED: N}


def test_a_login_page_on_the_way_stops_the_run_before_it_calls_rows_too_late(
    tmp_path: Path,
) -> None:
    async def main(harness: Harness) -> RunReport:
        sheet = prepare(dated(tmp_path / "t.csv", begins_in=600.0))
        harness.sandbox.fault_for_all = read_fault("redirect:302", WEBCAST)
        return await apply(sheet, harness.config, SendOptions(rate=5), parts=harness.parts)

    report = with_sandbox(tmp_path, main)

    assert report.stop is not None
    assert (report.stop.reason, report.exit_status) == ("refused", 6)
    assert counted(report) == {RowStatus.NOT_SENT: N}


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [DAY, -DAY])
def test_between_two_runs_the_newest_stays_the_newest_and_the_pace_is_kept(
    tmp_path: Path, seconds: float
) -> None:
    async def main(harness: Harness) -> list[str]:
        steady = MonotonicClock(harness.loop.time, "boot")
        options, runs = SendOptions(rate=float("inf")), []
        for number, wall in enumerate((harness.loop.wall, set_by(harness, seconds, at=0.0))):
            rows = [(FIRST_ID + row + 700 * number, 1) for row in range(700)]
            sheet = write_rows(tmp_path / f"{number}.csv", ("activityId", "recordState"), rows)
            options = SendOptions(rate=990 / 60)
            parts = Parts(wall=wall, steady=steady)
            report = await apply(prepare(sheet), harness.config, options, parts=parts)
            runs.append(report.run)
        with open_ledger(harness.config.home) as ledger:
            assert [record.header.run for record in ledger.runs()] == runs[::-1]
            assert ledger.newest().header.run == runs[1]
        assert (await resume(harness.config, parts=harness.parts)).run == runs[1]
        assert most_in_window([r.at for r in harness.log], 60.0) <= 1000
        return runs

    with_sandbox(tmp_path, main)
