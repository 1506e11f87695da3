"""What the use cases say of runs is the same whichever ledger has them, and whoever sent them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bulkcast.config import Config
from bulkcast.errors import CannotStart
from bulkcast.ledger import open_ledger
from bulkcast.model import Credentials, Institution
from bulkcast.pipeline import (
    PlanOptions,
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


def masked(told: Any, run: str) -> str:
    return str(told).replace(run, "RUN")


async def story(make: str, folder: Path) -> dict[str, Any]:
    """What is told of a run with failures, of its resubmission, and of its undoing."""
    told: dict[str, Any] = {}
    folder.mkdir()
    async with school(make, folder) as config:
        home = config.ledger_home
        first = await apply(prepare(plain(folder / "term.csv", 12)), config, FAST)
        told["counts"] = first.counts
        told["exit"] = first.exit_status
        told["sheet"] = [
            {k: masked(v, first.run) for k, v in row.items() if k != "bulkcast_time"}
            for row in read_rows(first.results)
        ]
        state = run_state(home, first.run)
        assert state is not None
        told["standing"] = state.standing
        told["state"] = state.record.state
        told["failures"] = [
            (row.classroom, row.row.row, row.row.status, row.row.message)
            for row in newest_failures(home, first.run)
        ]
        summary, rows = outcomes(home, first.run, lang="zh")
        told["summary"] = (summary.counts, [(row.row, row.status, row.message) for row in rows])
        written = results(home, first.run, lang="en", target=folder / "again.csv")
        told["again"] = read_rows(folder / "again.csv") == read_rows(first.results), bool(written)

        again = prepare(
            first.results or Path(), selection=Selection(statuses=RESUBMITTED), config=config
        )
        told["resubmitted"] = [request.rows for request in again.plan.requests]
        unchanged = prepare(
            folder / "term.csv", config=config, plan_options=PlanOptions(unchanged="skip")
        )
        told["unchanged"] = sorted(unchanged.plan.settled)
        second = await apply(again, config, FAST)
        told["second"] = second.counts
        undone = undo(home, second.run, target=folder / "undo.csv")
        told["undone"] = len(undone.lost), undone.path is not None
        told["runs"] = [
            (record.state, record.counts) for record in (*runs(home), *some_runs(home).records)
        ]
        purge(home, purgeable(home, run=first.run, older_than_s=0.0))
        with open_ledger(home) as ledger, pytest.raises(CannotStart, match="was purged"):
            ledger.load(first.run)
        told["left"] = [record.state for record in runs(home)]
        told["doctor"] = [status for _, status, _ in (await doctor(config)).findings]
    return told


async def test_the_same_is_told_of_the_same_runs(tmp_path: Path) -> None:
    told = [await story(make, tmp_path / make) for make in MAKES]

    assert told[0].keys() == told[1].keys()
    for what, embedded in told[0].items():
        assert told[1][what] == embedded, what
