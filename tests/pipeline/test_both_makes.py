"""What the use cases say of runs is the same whichever ledger has them, and whoever sent them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bulkcast.config import Config
from bulkcast.errors import CannotStart
from bulkcast.home import Home
from bulkcast.ledger import open_ledger
from bulkcast.model import Credentials, Institution
from bulkcast.pipeline import (
    PlanOptions,
    RunReport,
    Selection,
    SendOptions,
    apply,
    doctor,
    newest_failures,
    outcomes,
    prepare,
    purge,
    purgeable,
    results,
    run_state,
    runs,
    some_runs,
    undo,
)
from bulkcast.pipeline.options import RESUBMITTED
from bulkcast.sandbox import SANDBOX_SECRET, SANDBOX_SID, Sandbox, World
from tests.dispatcher_harness import classroom
from tests.fleet_harness import fleet
from tests.ledgers import MAKES
from tests.sheets import plain, read_rows

MIXED = World(
    classrooms=(
        classroom(4, "code:121601003"),
        classroom(6, "code:350"),
        classroom(8, "close", "ok"),
    ),
    first_whole=False,
)
FAST = SendOptions(rate=6_000.0)


@asynccontextmanager
async def school(make: str, folder: Path, world: World = MIXED) -> AsyncIterator[Config]:
    """The configuration of a school whose runs are in a ledger of this make."""
    if make == "postgresql":
        async with fleet(folder, world) as found, found.worker():
            yield found.config
        return
    async with Sandbox(world, secret=SANDBOX_SECRET).serving() as url:
        credentials = Credentials(SANDBOX_SID, SANDBOX_SECRET)
        yield Config(Institution(url, SANDBOX_SID), credentials, folder / "home")


def told_of(home: Home, run: str) -> dict[str, Any]:
    """What is told of a run, without its name and times."""
    state = run_state(home, run)
    assert state is not None
    summary, rows = outcomes(home, run, lang="zh")
    failures = newest_failures(home, run)
    return {
        "standing": state.standing,
        "state": state.record.state,
        # Requests under way at the same time end in any order.
        "failures": sorted((f.row.row, f.row.status, f.row.message) for f in failures),
        "summary": summary.counts,
        "rows": [(row.row, row.status, row.message) for row in rows],
    }


def sheet_of(report: RunReport) -> list[dict[str, str]]:
    """The result sheet, without the run's name and times."""
    return [
        {k: v.replace(report.run, "RUN") for k, v in row.items() if k != "bulkcast_time"}
        for row in read_rows(report.results)
    ]


async def story(make: str, folder: Path) -> dict[str, Any]:
    """What is told of a run with failures, of its resubmission, and of its undoing."""
    async with school(make, folder) as config:
        home = config.ledger_home
        first = await apply(prepare(plain(folder / "term.csv", 12)), config, FAST)
        told = {"counts": first.counts, "exit": first.exit_status, "sheet": sheet_of(first)}
        told |= told_of(home, first.run)
        assert first.results is not None
        results(home, first.run, lang="en", target=folder / "again.csv")
        told["again"] = read_rows(folder / "again.csv") == read_rows(first.results)

        failed = Selection(statuses=RESUBMITTED)
        again = prepare(first.results, selection=failed, config=config)
        skipping = PlanOptions(unchanged="skip")
        unchanged = prepare(folder / "term.csv", config=config, plan_options=skipping)
        told["unchanged"] = sorted(unchanged.plan.settled)
        second = await apply(again, config, FAST)
        told["second"] = (second.counts, [request.rows for request in again.plan.requests])
        undone = undo(home, second.run, target=folder / "undo.csv")
        told["undone"] = len(undone.lost), undone.path is not None
        told["runs"] = [(r.state, r.counts) for r in (*runs(home), *some_runs(home).records)]
        purge(home, purgeable(home, run=first.run, older_than_s=0.0))
        with open_ledger(home) as ledger, pytest.raises(CannotStart, match="was purged"):
            ledger.load(first.run)
        told["left"] = [record.state for record in runs(home)]
        told["doctor"] = {status for _, status, _ in (await doctor(config)).findings}
    return told


async def test_the_same_is_told_of_the_same_runs(tmp_path: Path) -> None:
    folders = [tmp_path / make for make in MAKES]
    for folder in folders:
        folder.mkdir()
    told = [await story(make, folder) for make, folder in zip(MAKES, folders, strict=True)]

    assert told[0].keys() == told[1].keys()
    for what, embedded in told[0].items():
        assert told[1][what] == embedded, what
