"""Reads a run whole, every checksum verified."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bulkcast.errors import LedgerDamaged
from bulkcast.ledger.damage import damaged
from bulkcast.ledger.rows import (
    crc,
    end_crc,
    intent_crc,
    outcome_crc,
    pack_issues,
    request_crc,
    unpack_issues,
    unpack_outcome,
    unpack_rows,
)
from bulkcast.ledger.values import FrozenRun, RunRecord, Stored
from bulkcast.model import History, Issue, Outcome, RequestKey, RowStatus, Text


def load(
    connection: sqlite3.Connection, run_id: int, record: RunRecord, *, with_requests: bool = True
) -> FrozenRun:
    """A run with everything in it; what its requests say is left out where nobody asks for it.

    Raises:
        LedgerDamaged: what is stored is not what was written.

    """
    run = record.header.run
    stored, outcomes = _requests(connection, run_id, keep=with_requests)
    if len(stored) != record.header.n_requests:
        raise damaged(Text("run {run}, of which requests are missing", {"run": run}))
    settled, issues = _settled(connection, run_id)
    history = _history(connection, run_id, outcomes)
    for request in stored:
        ended = outcomes.get(request.key)
        past = history.get(request.key, History())
        # A resumed request keeps its earlier outcome until it ends again.
        if ended is None or past.attempts > ended.attempts:
            outcomes[request.key] = _caught(past)
    frozen = FrozenRun(
        header=record.header,
        finished_at=record.finished_at,
        stop=record.stop,
        stored=stored,
        outcomes=outcomes,
        settled=settled,
        issues=issues,
        history=history,
        purged_at=record.purged_at,
    )
    if len(frozen.by_row()) != record.header.n_rows:
        raise damaged(Text("run {run}, of which rows are missing", {"run": run}))
    return frozen


def look_over(connection: sqlite3.Connection, path: object) -> None:
    """Look for what no checksum can tell: a row that vanished has none that could fail.

    What moved from its run to one that does not exist, likewise.  34 ms for a run of 20,000 rows.

    Raises:
        LedgerDamaged: something is missing or astray.

    """
    (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok":
        raise LedgerDamaged(
            "{path} is damaged ({found}); its disk may be failing", path=path, found=found
        )
    if any(connection.execute(_STRAY).fetchone()):
        raise damaged(Text("something of which the run is gone"))


def _requests(
    connection: sqlite3.Connection, run_id: int, *, keep: bool
) -> tuple[tuple[Stored, ...], dict[RequestKey, Outcome]]:
    stored = []
    outcomes: dict[RequestKey, Outcome] = {}
    for seq, key, rows, n_rows, target, frozen, check, *ended in connection.execute(
        "SELECT r.seq, key, rows, n_rows, target, frozen, r.crc,"
        " status, attempts, outcome, o.crc"
        " FROM requests AS r LEFT JOIN outcomes AS o USING (run_id, seq)"
        " WHERE run_id = ? ORDER BY r.seq",
        (run_id,),
    ):
        request = Stored(key, unpack_rows(rows), (rows, frozen) if keep else None)
        if request_crc(seq, key, rows, target, frozen) != check or n_rows != len(request.rows):
            raise damaged(Text("request {key}", {"key": key}))
        stored.append(request)
        if ended[0] is not None:
            outcomes[key] = _outcome(run_id, seq, *ended)
    return tuple(stored), outcomes


def _settled(
    connection: sqlite3.Connection, run_id: int
) -> tuple[dict[int, Outcome], dict[int, tuple[Issue, ...]]]:
    settled: dict[int, Outcome] = {}
    issues: dict[int, tuple[Issue, ...]] = {}
    same: dict[str, Outcome] = {}  # thousands of rows are often left out for one reason
    for row, status, outcome, packed, check in connection.execute(
        "SELECT row, status, outcome, issues, crc FROM settled WHERE run_id = ? ORDER BY row",
        (run_id,),
    ):
        if crc(run_id, row, status, outcome, packed) != check:
            raise damaged(Text("row {row}", {"row": str(row)}))
        if packed != _NO_ISSUES:
            issues[row] = unpack_issues(packed)
        if outcome is not None:
            if outcome not in same:
                if len(same) >= _REMEMBERED:
                    same.clear()
                same[outcome] = unpack_outcome(outcome)
            settled[row] = same[outcome]
    return settled, issues


_NO_ISSUES: Final = pack_issues(())
_REMEMBERED: Final = 1_000


def _history(
    connection: sqlite3.Connection, run_id: int, outcomes: Mapping[RequestKey, Outcome]
) -> dict[RequestKey, History]:
    """What was tried for requests that are not over, by key.

    The last attempt of a request has no end of its own: where an outcome counts it, it ended
    with that; where none does, its program died while it was under way.
    """
    history: dict[RequestKey, History] = {}
    for key, *found in connection.execute(
        "SELECT key, run_id, seq, number, stamp, ahead_s, boot, tick, a.crc,"
        " ended, code, ambiguous, a.end_crc"
        " FROM attempts AS a JOIN requests USING (run_id, seq)"
        " LEFT JOIN outcomes AS o USING (run_id, seq)"
        " WHERE run_id = ? AND COALESCE(o.status, 'not_sent') IN ('not_sent', 'unconfirmed')"
        " ORDER BY seq, number",
        (run_id,),
    ):
        fields, check, end = found[:7], found[7], found[8:]
        number = fields[2]
        past = history.get(key, History())
        if intent_crc(tuple(fields)) != check or number != past.attempts + 1:
            raise damaged(Text("the attempts of request {key}", {"key": key}))
        ambiguous = _may_have_been_applied(number, outcomes.get(key), end)
        history[key] = History(number, past.ambiguous or ambiguous)
    return history


_STRAY: Final = """
    SELECT EXISTS (SELECT 1 FROM outcomes LEFT JOIN requests AS r USING (run_id, seq)
                   WHERE r.key IS NULL),
           EXISTS (SELECT 1 FROM attempts LEFT JOIN requests AS r USING (run_id, seq)
                   WHERE r.key IS NULL),
           EXISTS (SELECT 1 FROM settled LEFT JOIN runs AS r ON r.id = run_id WHERE r.id IS NULL)
"""


def _outcome(run_id: int, seq: int, status: str, attempts: int, packed: str, check: int) -> Outcome:
    """A stored outcome; the columns that SQL counts by must say the same as it does."""
    outcome = unpack_outcome(packed)
    if outcome_crc(run_id, seq, packed) != check or (status, attempts) != (
        outcome.status,
        outcome.attempts,
    ):
        raise damaged(Text("an outcome"))
    return outcome


def _may_have_been_applied(number: int, outcome: Outcome | None, end: Sequence[Any]) -> bool:
    """Whether an attempt that is not known to have failed may have come through."""
    ended, code, ambiguous, check = end
    if any(column is not None for column in end):
        if end_crc(number, ended, code, ambiguous) != check:
            raise damaged(Text("an attempt"))
        return bool(ambiguous)
    if outcome is None or number != outcome.attempts:  # its program died while it was under way
        return True
    return outcome.status is RowStatus.UNCONFIRMED


def _caught(history: History) -> Outcome:
    """How a request ends whose program died before it could say."""
    if history.ambiguous:
        return Outcome(RowStatus.UNCONFIRMED, "send.crashed", attempts=history.attempts)
    return Outcome(RowStatus.NOT_SENT, "run.interrupted", attempts=history.attempts)
