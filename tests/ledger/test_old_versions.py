"""The shelf of old ledgers: whatever version wrote one, its runs are gone on with."""

import asyncio
import shutil
import sqlite3
from collections.abc import Sequence
from datetime import UTC
from importlib.resources import files
from pathlib import Path

import psycopg
import pytest

from bulkcast.config import Config
from bulkcast.endpoints import WEBCAST
from bulkcast.errors import CannotStart
from bulkcast.fleet.schema import create_tables
from bulkcast.ledger import FILE_NAME, open_ledger, postgres
from bulkcast.ledger.codec import unpack_issues, unpack_outcome, unpack_stop
from bulkcast.ledger.sqlite import VERSION
from bulkcast.messages import explain_stop, issue_sentence, result_row
from bulkcast.model import Credentials, RowStatus
from bulkcast.pipeline import (
    Parts,
    RunReport,
    SendOptions,
    fleet_control,
    lanes,
    prepare,
    resume,
    runs,
)
from bulkcast.pipeline.fleet_control import lane_of
from bulkcast.sandbox import SANDBOX_SECRET, SANDBOX_SID, Received, Sandbox, World
from tests.fleet_harness import ended, fleet
from tests.make_ledgers import NEWER, OLDER, PORT, SCHOOL, SHELF, make
from tests.postgres import new_database
from tests.sheets import plain
from tests.virtual_loop import VirtualLoop, run

VERSIONS = sorted(folder.name for folder in SHELF.iterdir() if folder.is_dir())
A, R, S = RowStatus.APPLIED, RowStatus.REJECTED, RowStatus.SUPERSEDED


def contents(home: Path) -> list[str]:
    connection = sqlite3.connect(home / FILE_NAME)
    found = list(connection.iterdump())
    connection.close()
    return found


def test_every_version_has_its_place_on_the_shelf() -> None:
    assert [f"v{n}" for n in range(1, VERSION + 1)] == VERSIONS


def test_the_newest_on_the_shelf_is_as_ledgers_are_written_today(tmp_path: Path) -> None:
    """A change of what is written needs a new version, or, before a release, a new shelf."""
    make(tmp_path / "home")

    assert contents(tmp_path / "home") == contents(SHELF / f"v{VERSION}"), (
        "python tests/make_ledgers.py"
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_a_run_on_the_shelf_is_listed_and_gone_on_with(tmp_path: Path, version: str) -> None:
    home = tmp_path / "home"
    shutil.copytree(SHELF / version, home)
    before = {record.header.run: record.counts for record in runs(home)}

    async def main(loop: VirtualLoop) -> tuple[RunReport, Sequence[Received]]:
        sandbox = Sandbox(World(), secret=SANDBOX_SECRET, clock=loop.wall)
        async with sandbox.serving(port=PORT):
            config = Config(SCHOOL, Credentials(SANDBOX_SID, SANDBOX_SECRET), home)
            options = SendOptions(results=tmp_path / "out.csv")
            return await resume(config, OLDER, options, parts=Parts(wall=loop.wall)), sandbox.log

    report, log = run(main)

    assert {s: n for s, n in before[OLDER].items() if n} == {
        RowStatus.APPLIED: 4, RowStatus.REJECTED: 1, RowStatus.UNCONFIRMED: 2,
        RowStatus.NOT_SENT: 3, RowStatus.INVALID: 1,
    }  # fmt: skip
    assert {s: n for s, n in before[NEWER].items() if n} == {RowStatus.APPLIED: 1}
    assert [row.status for row in report.rows] == [A, A, A, A, R, A, A, A, A, S, RowStatus.INVALID]
    assert [row.attempts for row in report.rows] == [1, 1, 1, 1, 1, 3, 2, 2, 1, 0, 0]
    assert sorted(r.target.id for r in log if r.target) == [25_096_007, 25_096_008, 25_096_009,
                                                            25_096_010]  # fmt: skip
    assert len((tmp_path / "out.csv").read_text("utf-8-sig").splitlines()) == 12


def test_arguments_that_were_stored_as_plain_texts_are_still_read() -> None:
    """As bulkcast stored them before arguments had types."""
    late = unpack_outcome(
        '["too_late","plan.too_late_but_so",{"settings":"recordState, liveState",'
        '"locked_at":"1803859200","free":"watchPassword"},0,1803859300.5]'
    )
    unanswered = unpack_outcome(
        '["unconfirmed","send.not_connected",{"detail":"api.eeo.cn:443 does not answer'
        ' (it refuses connections)"},3,1803859300.5]'
    )
    (doubled,) = unpack_issues(
        '[{"code":"target.duplicate","severity":"error","at":[7,null,null,null],"message":'
        '"Rows {others} set the same classroom differently.","fix":"Keep one of the rows, or'
        ' choose with --duplicates in-order or last.","args":{"value":"","column":"","others":'
        '"5, 9 and 3 more","n":"5"}}]'
    )
    stop = unpack_stop('["ledger","run.ledger",{"why":"the ledger cannot be written: full"},5]')

    told = [result_row(7, outcome, (), endpoint=WEBCAST, run="r", tz=UTC).message
            for outcome in (late, unanswered)]  # fmt: skip

    assert told[0].startswith(
        "recordState, liveState cannot be changed after 2027-03-01 00:00, 20 minutes before class"
    )
    assert "api.eeo.cn:443 does not answer (it refuses connections)" in told[1]
    assert issue_sentence(doubled) == "Rows 5, 9 and 3 more set the same classroom differently."
    assert stop is not None
    assert explain_stop(stop, {}, WEBCAST)[0] == (
        "The run stopped: the ledger cannot be written: full."
    )


async def test_a_shared_ledger_of_an_older_version_is_brought_up_to_date_by_init(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with fleet(tmp_path, database=new_database(first_version)) as found:
        with monkeypatch.context() as older:
            older.setattr(postgres, "VERSION", 1)
            run = (await found.submit(prepare(plain(tmp_path / "term.csv", 3)))).run
        with pytest.raises(CannotStart, match=r"older bulkcast.*fleet init"):
            open_ledger(found.home)
        with pytest.raises(CannotStart, match=r"older bulkcast.*fleet init"):
            async with asyncio.timeout(20.0):
                await lanes.work(found.home, {lane_of(found.config.institution): found.config})
        for _ in range(2):
            fleet_control.init(found.home.database)
        async with found.worker():
            record = await ended(found, run)

    assert record.counts[RowStatus.APPLIED] == 3


def first_version(database: str) -> None:
    """The tables as version 1 had them."""
    with psycopg.connect(database) as connection:
        connection.execute((files("bulkcast.ledger") / "schema_postgres.sql").read_bytes())
    create_tables(database)
