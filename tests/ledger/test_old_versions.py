"""The shelf of old ledgers: whatever version wrote one, its runs are gone on with."""

import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from bulkcast.config import Config
from bulkcast.ledger import FILE_NAME
from bulkcast.ledger.store import VERSION
from bulkcast.model import Credentials, RowStatus
from bulkcast.pipeline import Parts, RunReport, SendOptions, resume, runs
from bulkcast.sandbox import SANDBOX_SECRET, SANDBOX_SID, Received, Sandbox, World
from tests.make_ledgers import NEWER, OLDER, PORT, SCHOOL, SHELF, make
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
