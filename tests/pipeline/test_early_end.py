"""Runs that are cancelled while no worker sends for their institution."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from bulkcast.database_url import connect
from bulkcast.errors import LaneLost
from bulkcast.fleet.database import Database
from bulkcast.fleet.leases import Leases
from bulkcast.home import SharedHome
from bulkcast.ledger.group_commit import GroupCommit, LaneClaim
from bulkcast.ledger.postgres import PostgresLedger
from bulkcast.model import Attempt, Intent, Outcome, RowStatus
from bulkcast.pipeline import Control, SendOptions, apply, early_end, fleet_control, prepare, resume
from bulkcast.pipeline.fleet_control import lane_of
from bulkcast.sandbox import World
from tests.fleet_harness import Fleet, ended, fleet, record_of
from tests.ledgers import meddle
from tests.sheets import plain

FAST = SendOptions(rate=6_000.0)


def cancellations(home: SharedHome) -> list[tuple[str, ...]]:
    with psycopg.connect(home.database) as connection:
        return connection.execute("SELECT run FROM cancellations").fetchall()


def lane_row(home: SharedHome) -> tuple[int, bool]:
    """The epoch of the only lane, and whether somebody holds it."""
    with psycopg.connect(home.database) as connection:
        statement = "SELECT epoch, expires_at > clock_timestamp() FROM lanes"
        ((epoch, is_held),) = connection.execute(statement).fetchall()
        return epoch, is_held


@asynccontextmanager
async def held(found: Fleet, ttl_s: float) -> AsyncIterator[Leases]:
    """A lane that somebody has taken, and holds for so long unless it is renewed."""
    async with Database(found.home.database) as database:
        leases = Leases(database, "another", ttl_s)
        assert await leases.acquire(lane_of(found.config.institution))
        yield leases


async def test_a_cancelled_run_that_no_worker_sends_ends_at_once(tmp_path: Path) -> None:
    """Of its rows one was answered, one was on its way when the worker died."""
    async with fleet(tmp_path) as found:
        run = (await found.submit(prepare(plain(tmp_path / "term.csv", 10)))).run
        with PostgresLedger(found.home) as ledger, ledger.journal(run) as journal:
            first, second, *_ = (request.key for request in ledger.waiting(run, 10).requests)
            await journal.record_intent([Intent(first, 1, 1.0, 0.0), Intent(second, 1, 1.0, 0.0)])
            applied = Outcome(RowStatus.APPLIED, "1", {}, 1, 1.0)
            await journal.record([Attempt(first, 1, 1.0, "1", ambiguous=False, outcome=applied)])
        assert await fleet_control.cancel(found.home, run, user="li") == (run,)
        record = record_of(found.home, run)
        assert cancellations(found.home) == []
        assert lane_row(found.home) == (1, False)
        assert await fleet_control.cancel(found.home, run, user="li") == ()
        async with found.worker():
            report = await resume(found.config, run, FAST)

    assert record.stop == early_end.CANCELLED
    assert {status: n for status, n in record.counts.items() if n} == {
        RowStatus.APPLIED: 1, RowStatus.UNCONFIRMED: 1, RowStatus.NOT_SENT: 8,
    }  # fmt: skip
    assert report.counts[RowStatus.APPLIED] == 10
    assert len(found.sandbox.log) == 9


async def test_whoever_follows_a_run_that_no_worker_can_send_ends_it(tmp_path: Path) -> None:
    """As with Ctrl-C: the only worker has no secret of that institution."""
    async with fleet(tmp_path) as found, found.worker(), asyncio.timeout(20.0):
        institution = replace(found.config.institution, sid="77000001")
        credentials = replace(found.config.credentials, sid="77000001")
        config = replace(found.config, institution=institution, credentials=credentials)
        control = Control(begun=lambda _: control.stop(130))
        report = await apply(prepare(plain(tmp_path / "term.csv", 3)), config, control=control)

    assert report.exit_status == 130
    assert report.counts[RowStatus.NOT_SENT] == 3


async def test_rows_that_a_newer_run_has_set_end_as_a_worker_would_end_them(
    tmp_path: Path,
) -> None:
    async with fleet(tmp_path) as found:
        prepared = prepare(plain(tmp_path / "term.csv", 2))
        older, newer = [(await found.submit(prepared)).run for _ in range(2)]
        with PostgresLedger(found.home) as ledger, ledger.journal(newer) as journal:
            (request,) = ledger.waiting(newer, 1).requests
            await journal.record_intent([Intent(request.key, 1, 1.0, 0.0)])
            applied = Outcome(RowStatus.APPLIED, "1", {}, 1, 1.0)
            end = Attempt(request.key, 1, 1.0, "1", ambiguous=False, outcome=applied)
            await journal.record([end])
        await fleet_control.cancel(found.home, older, user="li")
        counts = record_of(found.home, older).counts

    assert (counts[RowStatus.SUPERSEDED], counts[RowStatus.NOT_SENT]) == (1, 1)


async def test_a_damaged_run_that_is_cancelled_ends_too(tmp_path: Path) -> None:
    async with fleet(tmp_path) as found:
        run = (await found.submit(prepare(plain(tmp_path / "term.csv", 3)))).run
        assert meddle(found.home, "UPDATE requests SET key = 'x' WHERE seq = 1") == 1
        await fleet_control.cancel(found.home, run, user="li")
        record = record_of(found.home, run)

    assert record.stop is not None
    assert record.stop.code == "run.ledger"


async def test_the_lane_of_a_worker_that_died_is_waited_for(tmp_path: Path) -> None:
    async with fleet(tmp_path) as found, held(found, ttl_s=1.0):
        run = (await found.submit(prepare(plain(tmp_path / "term.csv", 3)))).run
        await fleet_control.cancel(found.home, run, user="li")
        record = record_of(found.home, run)
        assert lane_row(found.home) == (2, False)

    assert record.counts[RowStatus.NOT_SENT] == 3
    assert record.finished_at is not None


async def test_a_lane_that_a_worker_holds_is_left_to_it(tmp_path: Path) -> None:
    """It has renewed its lease after the end was asked for, so it will learn of that."""
    async with fleet(tmp_path) as found, held(found, ttl_s=30.0) as leases:
        run = (await found.submit(prepare(plain(tmp_path / "term.csv", 3)))).run
        cancelling = asyncio.create_task(fleet_control.cancel(found.home, run, user="li"))
        while not await asyncio.to_thread(cancellations, found.home):
            await asyncio.sleep(0.02)
        while not cancelling.done():
            assert await leases.renew() == []
            await asyncio.wait([cancelling], timeout=0.1)
        record = record_of(found.home, run)
        assert lane_row(found.home) == (1, True)
        assert cancellations(found.home) == [(run,)]

    assert cancelling.result() == (run,)
    assert record.finished_at is None


async def test_whoever_cancels_writes_nothing_once_a_worker_has_the_lane(tmp_path: Path) -> None:
    """Its lease had expired, as on a computer that fell asleep."""
    async with fleet(tmp_path) as found, held(found, ttl_s=30.0):
        run = (await found.submit(prepare(plain(tmp_path / "term.csv", 3)))).run
        with (
            GroupCommit(lambda: connect(found.home.database)) as commits,
            PostgresLedger(found.home) as ledger,
        ):
            stale = LaneClaim(lane_of(found.config.institution), 0, commits)
            journal = ledger.lane_journal(run, stale)
            with pytest.raises(LaneLost):
                await early_end.leave(found.home, run, early_end.CANCELLED, journal)
            with pytest.raises(LaneLost):
                early_end.finish(found.home, run, early_end.CANCELLED, stale)
            assert len(ledger.waiting(run, 3).requests) == 3


async def test_who_resumes_a_run_is_not_overruled_by_an_older_wish_to_end_it(
    tmp_path: Path,
) -> None:
    async with fleet(tmp_path) as found, Database(found.home.database) as database:
        run = (await found.submit(prepare(plain(tmp_path / "term.csv", 3)))).run
        await early_end.end_unheld(found.home, database, {lane_of(found.config.institution): [run]})
        record = record_of(found.home, run)

    assert record.finished_at is None


@pytest.mark.parametrize("after", [0, 1, 20])
async def test_a_worker_that_starts_as_a_run_is_cancelled_and_whoever_cancels_agree(
    tmp_path: Path, after: int
) -> None:
    async with fleet(tmp_path, World(first_whole=False, latency_s=0.05)) as found:
        run = (await found.submit(prepare(plain(tmp_path / "term.csv", 60)), rate=20.0)).run
        async with found.worker(), asyncio.timeout(30.0):
            await found.sandbox.until(after)
            await fleet_control.cancel(found.home, run, user="li")
            record = await ended(found, run)
            assert await asyncio.to_thread(cancellations, found.home) == []

    sent = Counter(received.target.id for received in found.sandbox.log if received.target)
    assert max(sent.values(), default=0) <= 1
    assert record.stop == early_end.CANCELLED
    assert record.counts[RowStatus.APPLIED] == len(sent)
    assert record.counts[RowStatus.NOT_SENT] == 60 - len(sent)
