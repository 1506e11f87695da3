"""Commits to a shared ledger: fenced by the lane, repeatable, and each lane for itself."""

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bulkcast.database_url import connect
from bulkcast.errors import LaneLost, LedgerUnwritable
from bulkcast.fleet.database import Database
from bulkcast.fleet.leases import Leases
from bulkcast.ledger.group_commit import GroupCommit, LaneClaim, SharedJournal
from bulkcast.ledger.postgres import PostgresLedger
from bulkcast.ledger.queue import Waiting
from bulkcast.model import Attempt, History, Intent, Outcome, RowStatus
from bulkcast.pipeline import prepare
from bulkcast.pipeline.fleet_control import lane_of
from tests.fleet_harness import fleet
from tests.sheets import plain


@dataclass
class Lane:
    """A lane with a run of five rows, and the database that it is in."""

    database: str
    institution: str
    run: str
    waiting: Waiting
    ledger: PostgresLedger
    leases: Leases

    def take(self, ttl: str = "10 s") -> int:
        """Take the lane, whoever has it; the new epoch."""
        with psycopg.connect(self.database) as connection:
            row = connection.execute(
                "INSERT INTO lanes AS l (institution, epoch, worker, expires_at)"
                " VALUES (%s, 1, 'me', clock_timestamp() + %s::interval) ON CONFLICT (institution)"
                " DO UPDATE SET epoch = l.epoch + 1, worker = 'me',"
                " expires_at = excluded.expires_at RETURNING epoch",
                (self.institution, ttl),
            ).fetchone()
        assert row
        return int(row[0])

    def journal(self, commits: GroupCommit, epoch: int) -> SharedJournal:
        return self.ledger.lane_journal(self.run, LaneClaim(self.institution, epoch, commits))

    def intent(self, place: int = 0) -> Intent:
        return Intent(self.waiting.requests[place].key, 1, 1_795_000_000.0, 0.0)

    def applied(self, place: int = 0) -> Attempt:
        outcome = Outcome(RowStatus.APPLIED, "1", {}, 1, 1_795_000_001.0)
        key = self.waiting.requests[place].key
        return Attempt(key, 1, 1_795_000_001.0, "1", ambiguous=False, outcome=outcome)

    def stored(self, what: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database) as connection:
            return connection.execute(f"SELECT * FROM {what}").fetchall()  # noqa: S608 - a table's name


@asynccontextmanager
async def lane(folder: Path) -> AsyncIterator[Lane]:
    async with fleet(folder) as found, Database(found.home.database) as database:
        run = (await found.submit(prepare(plain(folder / "term.csv", 5)))).run
        with PostgresLedger(found.home) as ledger:
            yield Lane(
                found.home.database, lane_of(found.config.institution), run,
                ledger.waiting(run, 5), ledger, Leases(database, "another", 5.0),
            )  # fmt: skip


async def test_whoever_has_lost_the_lane_stores_nothing(tmp_path: Path) -> None:
    async with lane(tmp_path) as found:
        epoch = found.take()
        with GroupCommit(lambda: connect(found.database)) as commits:
            journal = found.journal(commits, epoch)
            await journal.record_intent([found.intent()])
            found.take()
            with pytest.raises(LaneLost):
                await journal.record_intent([found.intent(1)])
            with pytest.raises(LaneLost):
                await found.journal(commits, epoch).record([found.applied()])
            claim = LaneClaim(found.institution, epoch, commits)
            with pytest.raises(LaneLost):
                found.ledger.finish_in_lane(found.run, None, claim)
            assert found.ledger.open_runs() == [found.run]
        assert len(found.stored("attempts")) == 1
        assert found.stored("outcomes") == []


async def test_a_lane_that_is_lost_does_not_hold_up_others_in_the_same_commit(
    tmp_path: Path,
) -> None:
    async with lane(tmp_path) as found:
        epoch = found.take()
        with GroupCommit(lambda: connect(found.database)) as commits:
            lost, held = found.journal(commits, epoch - 1), found.journal(commits, epoch)
            ends = await asyncio.gather(
                lost.record_intent([found.intent(0)]),
                held.record_intent([found.intent(1)]),
                return_exceptions=True,
            )
        assert [type(end) for end in ends] == [LaneLost, type(None)]
        assert [row[1] for row in found.stored("attempts")] == [1]


async def test_whoever_takes_a_lane_waits_for_the_commit_under_way(tmp_path: Path) -> None:
    """Else it would not see an outcome, and send its request again."""
    async with lane(tmp_path) as found:
        epoch = found.take("-1 s")
        with GroupCommit(lambda: connect(found.database)) as commits:
            journal = found.journal(commits, epoch)
            await journal.record_intent([found.intent()])
            with psycopg.connect(found.database) as blocking:
                blocking.execute("LOCK outcomes IN EXCLUSIVE MODE")
                storing = asyncio.create_task(journal.record([found.applied()]))
                await asyncio.sleep(0.3)
                taking = asyncio.create_task(found.leases.acquire(found.institution))
                await asyncio.sleep(0.5)
                assert not taking.done()
                blocking.rollback()
            await storing
            lease = await taking
        assert lease
        assert lease.epoch == epoch + 1
        assert len(found.ledger.waiting(found.run, 5).requests) == 4


class _AnswersLost(GroupCommit):
    """Each commit's first answer does not arrive."""

    lost = 0

    def _try(self, batch: Sequence[Any]) -> Mapping[int, Exception]:
        found = super()._try(batch)
        self.lost += 1
        if self.lost % 2:
            raise psycopg.OperationalError("the answer was lost")
        return found


async def test_a_commit_whose_answer_was_lost_is_repeated_and_stores_everything_once(
    tmp_path: Path,
) -> None:
    async with lane(tmp_path) as found:
        epoch = found.take()
        commits = _AnswersLost(lambda: connect(found.database))
        with commits:
            journal = found.journal(commits, epoch)
            await journal.record_intent([found.intent()])
            await journal.record([found.applied()])
        assert commits.lost == 4
        assert len(found.stored("attempts")) == 1
        assert len(found.stored("outcomes")) == 1
        assert len(found.stored("acknowledged")) == 1


@pytest.mark.parametrize("status", [RowStatus.NOT_SENT, RowStatus.UNCONFIRMED])
async def test_a_reopened_request_is_in_doubt_only_if_it_was(
    status: RowStatus, tmp_path: Path
) -> None:
    async with lane(tmp_path) as found:
        epoch = found.take()
        with GroupCommit(lambda: connect(found.database)) as commits:
            journal, applied = found.journal(commits, epoch), found.applied()
            await journal.record_intent([found.intent()])
            outcome = Outcome(status, "104", {}, 1, 1_795_000_001.0)
            await journal.record([replace(applied, outcome=outcome)])
        found.ledger.finish(found.run, None, 1_795_000_002.0)
        found.ledger.reopen(found.run)
        waiting = found.ledger.waiting(found.run, 5)

    assert len(waiting.requests) == 5
    doubted = status is RowStatus.UNCONFIRMED
    assert waiting.history == {applied.key: History(1, ambiguous=doubted)}


async def test_a_database_that_is_read_only_for_a_while_gets_what_was_answered(
    tmp_path: Path,
) -> None:
    """As after a failover; without its outcome the request would be sent again."""
    async with lane(tmp_path) as found:
        epoch = found.take()
        name = found.database.rpartition("/")[2]
        with (
            GroupCommit(lambda: connect(found.database)) as commits,
            connect(found.database) as owner,
        ):
            journal = found.journal(commits, epoch)
            await journal.record_intent([found.intent()])
            owner.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
            owner.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            storing = asyncio.create_task(journal.record([found.applied()]))
            await asyncio.sleep(0.5)
            assert not storing.done()
            owner.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
            await storing
        assert len(found.stored("outcomes")) == 1


async def test_rows_that_cannot_be_stored_are_refused_alone(tmp_path: Path) -> None:
    """A defect of one lane's must not end the commits of all."""
    async with lane(tmp_path) as found:
        epoch = found.take()
        with GroupCommit(lambda: connect(found.database)) as commits:
            claim = LaneClaim(found.institution, epoch, commits)
            end = (0.0, "\ud800", 0, 0, 1, 1, 1)
            nul = (0.0, "\0", 0, 0, 1, 1, 1)
            ends = await asyncio.gather(
                commits.store("ends", [end], claim),
                found.journal(commits, epoch).record_intent([found.intent()]),
                commits.store("ends", [nul], claim),
                return_exceptions=True,
            )
            await found.journal(commits, epoch).record_intent([found.intent(1)])
        assert [type(end) for end in ends] == [LedgerUnwritable, type(None), LedgerUnwritable]
        assert len(found.stored("attempts")) == 2


async def test_what_was_given_is_stored_before_the_end_and_a_dead_database_does_not_hold_it_up(
    tmp_path: Path,
) -> None:
    async with lane(tmp_path) as found:
        epoch = found.take()
        with GroupCommit(lambda: connect(found.database)) as commits:
            storing = asyncio.create_task(
                found.journal(commits, epoch).record_intent([found.intent()])
            )
            await asyncio.sleep(0)
        await storing
        assert len(found.stored("attempts")) == 1

    def gone() -> Any:
        raise psycopg.OperationalError("nobody is there")

    commits = GroupCommit(gone)
    with commits:
        storing = asyncio.create_task(commits.store("ends", [(0.0, "", 0, 0, 1, 1, 1)], None))
        await asyncio.sleep(0.05)
        closing = threading.Thread(target=commits.__exit__)
        closing.start()
        with suppress(LedgerUnwritable):
            async with asyncio.timeout(5.0):
                await storing
        closing.join(5.0)
        assert not closing.is_alive()
