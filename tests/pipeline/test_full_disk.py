"""A disk that becomes full under a run: nothing more is sent, and nothing unwritten is claimed."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from bulkcast.config import Config
from bulkcast.dispatcher import Dispatcher
from bulkcast.endpoints import WEBCAST
from bulkcast.errors import LedgerUnwritable
from bulkcast.ledger import open_ledger
from bulkcast.model import (
    Attempt,
    Body,
    Credentials,
    Institution,
    Intent,
    Outcome,
    RequestKey,
    RowStatus,
)
from bulkcast.pacing import Pacer
from bulkcast.pipeline import Control, SendOptions, apply, prepare, results, resume, runs
from bulkcast.planner import Plan
from bulkcast.protocol import Reply
from bulkcast.sandbox import SANDBOX_SECRET, SANDBOX_SID, Sandbox, World
from tests.audit import kept, violations
from tests.dispatcher_harness import header, requests
from tests.ledgers import sqlite_of
from tests.sheets import plain, read_rows

OK = Reply(200, b'{"code":1,"msg":"ok"}')


class Paper:
    """A journal whose paper is used up after so many writes, and for so many more."""

    def __init__(self, good: int, bad: int) -> None:
        self.intents: list[RequestKey] = []
        self.ends: list[Attempt] = []
        self._writes = iter([True] * good + [False] * bad)

    async def record_intent(self, intents: Sequence[Intent]) -> None:
        self._write()
        self.intents += [intent.key for intent in intents]

    async def record(self, attempts: Sequence[Attempt]) -> None:
        self._write()
        self.ends += attempts

    def _write(self) -> None:
        if not next(self._writes, True):
            raise LedgerUnwritable("the ledger cannot be written: disk full")


async def dispatched(journal: Paper) -> tuple[Dispatcher, dict[RequestKey, Outcome], int]:
    sent = 0

    async def send(_: Body, stamp: int) -> Reply:
        nonlocal sent
        sent += 1
        return OK

    dispatcher = Dispatcher(WEBCAST, send, journal, Pacer(1e9, None), wall=lambda: 1.0,
                            concurrency=1)  # fmt: skip
    outcomes = await dispatcher.run(requests(20))
    return dispatcher, dict(outcomes), sent


async def test_without_an_intent_nothing_is_sent_and_nothing_more_is_tried() -> None:
    journal = Paper(good=10, bad=1)
    dispatcher, outcomes, sent = await dispatched(journal)

    assert sent == len(journal.intents) == 5
    assert dispatcher.stopped is not None
    assert (dispatcher.stopped.reason, dispatcher.stopped.exit_status) == ("ledger", 5)
    statuses = [outcome.status for outcome in outcomes.values()]
    assert statuses == [RowStatus.APPLIED] * 5 + [RowStatus.NOT_SENT] * 15
    assert len(journal.ends) == 20


async def test_an_outcome_that_could_not_be_written_is_written_at_the_end() -> None:
    journal = Paper(good=9, bad=1)
    _, outcomes, sent = await dispatched(journal)

    assert sent == 5
    assert [o.status for o in outcomes.values()].count(RowStatus.APPLIED) == 5
    ended = {attempt.key for attempt in journal.ends if attempt.outcome
             and attempt.outcome.status is RowStatus.APPLIED}  # fmt: skip
    assert ended == set(journal.intents)


async def test_an_outcome_that_can_never_be_written_is_claimed_by_nobody() -> None:
    journal = Paper(good=9, bad=100)
    dispatcher, outcomes, sent = await dispatched(journal)

    assert sent == 5
    statuses = [outcome.status for outcome in outcomes.values()]
    assert statuses == [RowStatus.APPLIED] * 4 + [RowStatus.UNCONFIRMED] + [RowStatus.NOT_SENT] * 15
    assert [*outcomes.values()][4].code == "send.crashed", "not the answer that nobody can prove"
    assert sum(dispatcher.progress().counts.values()) == 20


async def test_outcomes_that_find_no_room_leave_their_rows_unconfirmed(tmp_path: Path) -> None:
    """SQLite's own limit on pages stands for the disk."""
    with open_ledger(tmp_path) as ledger:
        ledger.create(header("r1", 300), Plan(tuple(requests(300))), {})
        with ledger.journal("r1") as journal:
            keys = [RequestKey(str(row)) for row in range(2, 302)]
            for key in keys:
                await journal.record_intent((Intent(key, 1, 1.0),))
            (pages,) = sqlite_of(journal).execute("PRAGMA page_count").fetchone()
            sqlite_of(journal).execute(f"PRAGMA max_page_count = {pages}")
            outcome = Outcome(RowStatus.APPLIED, "1", {"said": "ok" * 40}, 1, 2.0)
            ends = [Attempt(key, 1, 2.0, "1", ambiguous=False, outcome=outcome) for key in keys]
            with pytest.raises(LedgerUnwritable):
                await journal.record(ends)
            with pytest.raises(LedgerUnwritable):
                await journal.record_intent((Intent(keys[0], 2, 3.0),))
        stored = ledger.load("r1")

    ended = {(o.status, o.code, o.attempts) for o in stored.outcomes.values()}
    assert ended == {(RowStatus.UNCONFIRMED, "send.crashed", 1)}


def test_the_room_that_an_early_version_reserved_is_given_back(tmp_path: Path) -> None:
    (tmp_path / "ballast").write_bytes(bytes(1 << 20))

    with open_ledger(tmp_path):
        assert "ballast" not in names(tmp_path)


# ------------------------------------------------------------------ a real one


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 12 MB, which only root can mount."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    options = ["-t", "tmpfs", "-o", "size=12m", "tmpfs", str(place)]
    if os.name != "posix" or mount is None or subprocess.call([mount, *options]):
        pytest.skip("no small disk can be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


async def test_a_disk_that_fills_up_stops_the_run_which_can_be_resumed(
    small_disk: Path, tmp_path: Path
) -> None:
    rows = 400
    sheet = plain(tmp_path / "term.csv", rows)
    sandbox = Sandbox(World(limit=None, latency_s=0.01), secret=SANDBOX_SECRET)
    hog = small_disk / "hog"
    async with sandbox.serving() as url:
        config = Config(
            Institution(url, SANDBOX_SID), Credentials(SANDBOX_SID, SANDBOX_SECRET),
            small_disk / "home",
        )  # fmt: skip

        async def fill() -> None:
            await sandbox.until(60)
            with hog.open("wb", buffering=0) as file, suppress(OSError):
                while file.write(bytes(65536)):
                    pass

        options = SendOptions(rate=300.0)
        filling = asyncio.create_task(fill())
        first = await apply(prepare(sheet), config, options, control=Control())
        await filling
        hog.unlink()
        second = await resume(config, first.run, options)

    assert (first.exit_status, second.exit_status) == (5, 0)
    assert first.stop is not None
    assert first.stop.reason == "ledger"
    assert str(first.stop.args["why"]) == "the ledger cannot be written: database or disk is full"
    applied, unconfirmed = (first.counts[s] for s in (RowStatus.APPLIED, RowStatus.UNCONFIRMED))
    assert unconfirmed, "what was answered and could not be written down"
    assert applied + unconfirmed == first.requests
    assert sum(first.counts.values()) == len(read_rows(first.results)) == rows
    assert second.counts[RowStatus.APPLIED] == rows
    (record,) = runs(config.home)
    stored = kept(config.home, record.header.run)
    assert violations(stored, sandbox.log, rows=rows, crashes=0) == []
    assert len(sandbox.log) == rows + unconfirmed, "only what was in doubt was sent again"


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_results_that_find_a_full_disk_cost_no_outcome(
    small_disk: Path, tmp_path: Path
) -> None:
    sheet = plain(tmp_path / "term.csv", 30)
    sandbox = Sandbox(World(limit=None), secret=SANDBOX_SECRET)
    hog = small_disk / "hog"
    with hog.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(65536)):
            pass
    async with sandbox.serving() as url:
        config = Config(
            Institution(url, SANDBOX_SID), Credentials(SANDBOX_SID, SANDBOX_SECRET),
            tmp_path / "home",
        )  # fmt: skip
        options = SendOptions(rate=1000.0, results=small_disk / "out.csv")
        report = await apply(prepare(sheet), config, options)

    assert report.results is None
    assert report.counts[RowStatus.APPLIED] == 30
    (told,) = [str(remark) for remark in report.remarks]
    assert "No space left on device" in told
    assert "rows 2 to 31 are in the ledger" in told
    assert names(small_disk) == ["hog"], "no half of a sheet is left"
    later = results(config.home, report.run, target=tmp_path / "later.csv")
    assert len(read_rows(later.results)) == 30


def test_a_ledger_on_a_full_disk_is_for_later_and_says_why(small_disk: Path) -> None:
    home = small_disk / "home"
    with open_ledger(home) as ledger:
        ledger.create(header("r1", 1), Plan(tuple(requests(1))), {})
    hog = small_disk / "hog"
    with suppress(OSError), hog.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass

    with pytest.raises(LedgerUnwritable, match="because its disk is full; make room there"):
        open_ledger(home)
    hog.write_bytes(bytes(11 << 20))
    with open_ledger(home) as ledger, pytest.raises(LedgerUnwritable, match="make room there"):
        ledger.examine()
    hog.unlink()
    with open_ledger(home) as ledger:
        ledger.examine()
