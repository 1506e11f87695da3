"""Ends a run of a fleet before its last row: says beside the rest why it was not sent."""

import asyncio
import os
import secrets
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bulkcast.database_url import connect
from bulkcast.errors import LaneLost, LedgerDamaged
from bulkcast.fleet import control
from bulkcast.fleet.database import Database
from bulkcast.fleet.leases import Leases
from bulkcast.home import SharedHome
from bulkcast.ledger.group_commit import GroupCommit, LaneClaim, SharedJournal
from bulkcast.ledger.postgres import PostgresLedger
from bulkcast.model import Attempt, History, Outcome, RequestKey, RowStatus, Stop
from bulkcast.pipeline.execution import superseded_attempt

CANCELLED: Final = Stop("interrupted", "run.interrupted", exit_status=130)
_ALL: Final = 10**9
_LOOK_EVERY_S: Final = 0.25
_PATIENCE_S: Final = 30.0
"""Seconds that a database out of reach is waited for by whoever cancels."""


async def leave(home: SharedHome, run: str, stop: Stop, journal: SharedJournal) -> None:
    """Record why the rest of a run that ends early is not sent.

    Raises:
        LaneLost: the lane of the journal is another's now.
        LedgerUnwritable: it could not be stored.

    """
    await journal.record(await asyncio.to_thread(_rest, home, run, stop))


def _rest(home: SharedHome, run: str, stop: Stop) -> list[Attempt]:
    with PostgresLedger(home) as ledger:
        rest, newer = ledger.waiting(run, _ALL), ledger.superseded(run)
    return [
        superseded_attempt(key, newer[key], rest.history.get(key, History()))
        if key in newer
        else _unsent(key, rest.history.get(key, History()), stop)
        for key in (request.key for request in rest.requests)
    ]


def _unsent(key: RequestKey, past: History, stop: Stop) -> Attempt:
    """How a request ends that is not sent any more."""
    if past.ambiguous:
        outcome = Outcome(RowStatus.UNCONFIRMED, "send.crashed", {}, past.attempts)
    else:
        outcome = Outcome(RowStatus.NOT_SENT, stop.code, stop.args, past.attempts)
    return Attempt(key, number=0, ended=0.0, code="", ambiguous=False, outcome=outcome)


def finish(home: SharedHome, run: str, stop: Stop | None, claim: LaneClaim) -> None:
    """Store that a run has ended; raises what `leave` does."""
    with PostgresLedger(home) as ledger:
        ledger.finish_in_lane(run, stop, claim)


def damaged(exc: LedgerDamaged) -> Stop:
    """Why a run ends that cannot be read: those behind it are not to wait for ever."""
    return Stop("ledger", "run.ledger", {"why": exc.text}, exc.exit_status)


# ------------------------------------------------------------------ by whoever cancels


async def end_unheld(
    home: SharedHome, database: Database, runs: Mapping[str, Sequence[str]]
) -> None:
    """End runs whose end was asked for, unless workers do; `runs` has them by lane.

    A lane that nobody holds is taken for it.  One that a worker holds is left to the worker: once
    it has renewed its lease it is about to learn of the end.  If it is gone, the lease ends.

    Raises:
        DatabaseUnreachable, LedgerUnwritable: the database is out of reach; the first worker that
            has the credentials ends the runs.

    """
    database.be_patient_until(asyncio.get_running_loop().time() + _PATIENCE_S)
    leases = Leases(database, f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}")
    with GroupCommit(lambda: connect(home.database)) as commits:
        canceller = _Canceller(home, database, leases, commits)
        ended = await asyncio.gather(
            *(canceller.end(lane, some) for lane, some in runs.items()), return_exceptions=True
        )
    for failure in ended:
        if failure is not None:
            raise failure


@dataclass(frozen=True, slots=True)
class _Canceller:
    home: SharedHome
    database: Database
    leases: Leases
    commits: GroupCommit

    async def end(self, lane: str, runs: Sequence[str]) -> None:
        """End runs of a lane as soon as it can be taken; leave them to a worker that is alive."""
        seen = None
        while (lease := await self.leases.acquire(lane)) is None:
            held = await self.leases.held(lane)
            if seen and held and held != seen:
                return
            seen = held or seen
            await asyncio.sleep(_LOOK_EVERY_S)
        memory = lease.memory
        try:
            for run in runs:
                if await self._end(run, LaneClaim(lane, lease.epoch, self.commits)):
                    memory = ""  # as after any run that was stopped
        except LaneLost:
            return  # to a worker that came when the lease had expired, and ends the run
        finally:
            await self.leases.release(lease, memory)

    async def _end(self, run: str, claim: LaneClaim) -> bool:
        """End a run, unless it has ended or was resumed meanwhile; whether it did."""
        journal = await asyncio.to_thread(self._journal, run, claim)
        orders = await control.orders(self.database, [claim.institution])
        if journal is None or run not in orders.cancelled:
            return False
        stop = CANCELLED
        try:
            await leave(self.home, run, stop, journal)
        except LedgerDamaged as exc:
            stop = damaged(exc)
        await asyncio.to_thread(finish, self.home, run, stop, claim)
        await control.clear_cancel(self.database, run)
        return True

    def _journal(self, run: str, claim: LaneClaim) -> SharedJournal | None:
        """The journal of a run; None if it has ended."""
        with PostgresLedger(self.home) as ledger:
            end = ledger.end(run)
            is_open = end is not None and end.finished_at is None
            return ledger.lane_journal(run, claim) if is_open else None
