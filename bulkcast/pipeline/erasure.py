"""Erases the contents of old runs: settings, passwords, cells, copies of sheets."""

import time
from collections.abc import Callable
from pathlib import Path

from bulkcast.errors import CannotStart, InstitutionBusy
from bulkcast.ledger import Ledger, RunRecord


def purgeable(
    home: Path, *, run: str = "", older_than_s: float, wall: Callable[[], float] = time.time
) -> list[RunRecord]:
    """The run named, or every run that ended (or broke off) that long ago; newest first.

    Raises:
        CannotStart: there is no such run, or it has been purged already.

    """
    with Ledger(home) as ledger:
        if run:
            record = ledger.newest(run)
            if record.purged_at is not None:
                raise CannotStart("run {run} was purged before", run=record.header.run)
            return [record]
        before = wall() - older_than_s
        return [r for r in ledger.runs() if r.purged_at is None and _ended_at(r) <= before]


def _ended_at(record: RunRecord) -> float:
    return record.finished_at or record.header.created_at


def purge(home: Path, records: list[RunRecord], *, wall: Callable[[], float] = time.time) -> None:
    """Erase the contents of these runs beyond recovery; the outcomes of their rows stay.

    Raises:
        InstitutionBusy: a run is under way, and the file cannot be wiped while it is written.
        LedgerUnwritable: likewise, or the disk is full.

    """
    with Ledger(home) as ledger:
        busy = [record.header.run for record in ledger.runs() if record.under_way]
        if busy:
            raise InstitutionBusy("run {run} is under way; purge when it has ended", run=busy[0])
        ledger.purge([record.header.run for record in records], wall())
