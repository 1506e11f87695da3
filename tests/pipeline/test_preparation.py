"""`prepare` with a configuration: what `plan` and `apply` find, a program finds too."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bulkcast import PlanOptions, planner
from bulkcast.endpoints import WEBCAST
from bulkcast.errors import CannotStart
from bulkcast.model import CheckedRow, RowStatus, Target
from bulkcast.pipeline import (
    RESUBMITTED,
    Prepared,
    RunReport,
    Selection,
    SheetOptions,
    check_sheet,
    prepare,
)
from bulkcast.sandbox import Classroom, World
from bulkcast.sandbox.faults import read_script
from tests.pipeline_harness import Harness, with_sandbox
from tests.sheets import edited

REFUSED_ONCE = World(
    limit=None,
    first_whole=False,
    classrooms=(
        Classroom((Target("activityId", 9),), script=read_script(["code:121601031"], WEBCAST)),
    ),
)
SKIP = PlanOptions(unchanged="skip")
AGAIN = Selection(statuses=RESUBMITTED)


def wishes(path: Path, *rows: tuple[int, int]) -> Path:
    text = "".join(f"{target},{login}\n" for target, login in rows)
    path.write_text(f"activityId,watchByLogin\n{text}", encoding="utf-8")
    return path


def statuses(prepared: Prepared) -> list[RowStatus]:
    return [outcome.status for outcome in prepared.plan.settled.values()]


def test_what_was_acknowledged_is_known_and_skipped_where_that_is_asked_for(
    tmp_path: Path,
) -> None:
    sheet = wishes(tmp_path / "t.csv", (1, 1), (2, 1))

    async def main(harness: Harness) -> tuple[Prepared, Prepared]:
        await harness.apply(prepare(sheet), rate=1e3, results=tmp_path / "out.csv")
        sent = prepare(sheet, config=harness.config)
        return sent, prepare(sheet, config=harness.config, plan_options=SKIP)

    sent, skipped = with_sandbox(tmp_path, main)

    assert len(sent.plan.requests) == 2
    (login,) = sent.summary().settings
    assert [(step.old, step.new, step.rows) for step in login.transitions] == [(1, 1, 2)]
    assert statuses(skipped) == [RowStatus.UNCHANGED] * 2


def test_a_row_that_a_newer_run_has_superseded_is_settled_before_it_is_sent(
    tmp_path: Path,
) -> None:
    sheet, out = wishes(tmp_path / "t.csv", (9, 1), (2, 1)), tmp_path / "out.csv"

    async def main(harness: Harness) -> tuple[Prepared, Prepared]:
        await harness.apply(prepare(sheet), rate=1e3, results=out)
        mended = edited(out, tmp_path / "mended.csv", watchByLogin="0")
        await harness.apply(
            prepare(mended, selection=AGAIN), rate=1e3, results=tmp_path / "mended-out.csv"
        )
        return prepare(out, selection=AGAIN), prepare(out, selection=AGAIN, config=harness.config)

    offline, compared = with_sandbox(tmp_path, main, REFUSED_ONCE)

    assert [request.rows for request in offline.plan.requests] == [(2,)]
    assert compared.plan.requests == ()
    assert RowStatus.SUPERSEDED in statuses(compared)


def test_rows_that_were_done_and_edited_are_refused_before_anyone_is_asked(
    tmp_path: Path,
) -> None:
    sheet, out = wishes(tmp_path / "t.csv", (1, 1), (9, 1)), tmp_path / "out.csv"

    async def main(harness: Harness) -> None:
        await harness.apply(prepare(sheet), rate=1e3, results=out)
        changed = edited(out, tmp_path / "edited.csv", watchByLogin="0")
        prepare(changed, selection=AGAIN)
        with pytest.raises(CannotStart, match="changed since an earlier run"):
            prepare(changed, selection=AGAIN, config=harness.config)

    with_sandbox(tmp_path, main, REFUSED_ONCE)


def test_a_sheet_that_a_rehearsal_came_to_is_told_apart(tmp_path: Path) -> None:
    sheet, out = wishes(tmp_path / "t.csv", (1, 1), (9, 1)), tmp_path / "out.csv"

    async def main(harness: Harness) -> list[bool]:
        await harness.apply(prepare(sheet), rate=1e3, results=out)
        home = harness.config.home
        reports = [
            check_sheet(path, SheetOptions(), home=lambda: home, account=lambda: None)
            for path in (sheet, out)
        ]
        return [report.is_rehearsed for report in reports]

    assert with_sandbox(tmp_path, main, REFUSED_ONCE) == [False, True]


def test_a_row_that_a_run_overtakes_between_plan_and_apply_is_not_sent(tmp_path: Path) -> None:
    sheet, out = wishes(tmp_path / "t.csv", (9, 1), (2, 1)), tmp_path / "out.csv"

    async def main(harness: Harness) -> tuple[Prepared, RunReport, int]:
        await harness.apply(prepare(sheet), rate=1e3, results=out)
        before = prepare(out, selection=AGAIN, config=harness.config)
        mended = edited(out, tmp_path / "mended.csv", watchByLogin="0")
        await harness.apply(
            prepare(mended, selection=AGAIN), rate=1e3, results=tmp_path / "mended-out.csv"
        )
        sends = len(harness.log)
        report = await harness.apply(before, rate=1e3, results=tmp_path / "late.csv")
        return before, report, len(harness.log) - sends

    before, report, sent = with_sandbox(tmp_path, main, REFUSED_ONCE)

    assert [request.rows for request in before.plan.requests] == [(2,)]
    assert report.counts[RowStatus.SUPERSEDED] == 1
    assert sent == 0


@pytest.mark.parametrize("options", [PlanOptions(), SKIP])
def test_a_sheet_is_planned_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: PlanOptions
) -> None:
    sheet, out = wishes(tmp_path / "t.csv", (9, 1), (2, 1)), tmp_path / "out.csv"
    plans: list[int] = []

    def make(rows: Sequence[CheckedRow], *args: Any, **how: Any) -> planner.Plan:
        plans.append(len(rows))
        return planned(rows, *args, **how)

    planned = planner.make
    monkeypatch.setattr(planner, "make", make)

    async def main(harness: Harness) -> None:
        await harness.apply(prepare(sheet), rate=1e3, results=out)
        plans.clear()
        again = prepare(out, selection=AGAIN, config=harness.config, plan_options=options)
        await harness.apply(again, rate=1e3, results=tmp_path / "again.csv")

    with_sandbox(tmp_path, main, REFUSED_ONCE)

    assert plans == [1]
