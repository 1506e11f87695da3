"""Reads how far a run has come without loading its rows: cheap enough to ask every second."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from bulkcast.ledger.codec import outcome_crc, unpack_outcome, unpack_rows
from bulkcast.ledger.connection import Connection
from bulkcast.ledger.integrity import damaged
from bulkcast.ledger.run_records import askable
from bulkcast.model import Outcome, RowStatus, Target, Text, group_of


class Standing(NamedTuple):
    """How many rows of a run ended how, so far."""

    settled: Mapping[RowStatus, int]
    """Rows that needed no request."""
    requested: Mapping[RowStatus, int]
    """Rows whose request has ended; those of a resumed run keep an earlier end until the next."""
    waiting: int
    """Rows whose request has not ended."""


class FailedRequest(NamedTuple):
    """A request that did not succeed."""

    rows: tuple[int, ...]
    target: Target
    outcome: Outcome


class End(NamedTuple):
    """When a run ended, and when it was purged, in Unix seconds; None if it has not."""

    finished_at: float | None
    purged_at: float | None


def end(connection: Connection, run: str) -> End | None:
    """The end of the run of exactly this name; None if there is no such run."""
    found = connection.execute(
        "SELECT finished_at, purged_at FROM runs WHERE run = ?", (askable(run),)
    ).fetchone()
    return None if found is None else End(*found)


def standing(connection: Connection, run_id: int) -> Standing:
    """How far a run has come."""
    requested: Counter[RowStatus] = Counter()
    waiting = 0
    for status, n in connection.execute(_REQUESTED, (run_id,)):
        if status is None:
            waiting += n
        else:
            requested[RowStatus(status)] += n
    settled = connection.execute(_SETTLED, (run_id,))
    return Standing({RowStatus(status): n for status, n in settled}, requested, waiting)


_REQUESTED: Final = """
    SELECT status, SUM(n_rows) FROM requests LEFT JOIN outcomes USING (run_id, seq)
    WHERE run_id = ? GROUP BY status
"""
_SETTLED: Final = """
    SELECT status, COUNT(*) FROM settled WHERE run_id = ? AND status IS NOT NULL GROUP BY status
"""


def failures(connection: Connection, run_id: int, most: int) -> list[FailedRequest]:
    """The requests that failed last, newest first; those never tried are no failures.

    Raises:
        LedgerDamaged: a checksum does not match.

    """
    found = []
    for seq, rows, target, packed, check in connection.execute(_FAILURES, (run_id, most)):
        if outcome_crc(run_id, seq, packed) != check:
            raise damaged(Text("an outcome"))
        failed = FailedRequest(unpack_rows(rows), _target(target), unpack_outcome(packed))
        found.append(failed)
    return found


_FAILURES: Final = """
    SELECT seq, rows, target, outcome, o.crc
    FROM outcomes AS o JOIN requests USING (run_id, seq)
    WHERE run_id = ? AND status IN ('rejected', 'too_late', 'unconfirmed')
    ORDER BY CAST(json_extract(outcome, '$[4]') AS DOUBLE PRECISION) DESC, seq DESC LIMIT ?
"""


def targets(connection: Connection, run_id: int) -> dict[int, Target]:
    """Row → its classroom, for the rows that had a request."""
    found = connection.execute("SELECT rows, target FROM requests WHERE run_id = ?", (run_id,))
    return {row: target for rows, target in _decoded(found) for row in rows}


def _decoded(found: Iterable[tuple[str, str]]) -> Iterable[tuple[tuple[int, ...], Target]]:
    return ((unpack_rows(rows), _target(target)) for rows, target in found)


def _target(packed: str) -> Target:
    return Target(*json.loads(packed))


def newest(
    connection: Connection,
    institution: tuple[str, str] | None,
    first: int,
    most: int,
    *,
    and_groups: bool,
) -> tuple[list[list[str]], int]:
    """The names of some runs, newest first from position `first` on, and how many there are.

    The runs of a group stand together, and count as one.  `institution` is a root URL and a SID;
    None for every institution.  With `and_groups` every group is meant, else those with a run of
    that institution.
    """
    found: dict[str, list[str]] = {}
    wanted: dict[str, None] = {}
    for run, *whose in connection.execute("SELECT run, root_url, sid FROM runs ORDER BY id DESC"):
        group = group_of(run)
        found.setdefault(group or run, []).append(run)
        if institution in {None, tuple(whose)} or (group and and_groups):
            wanted[group or run] = None
    chosen = list(wanted)[first : first + most]
    return [found[name] for name in chosen], len(wanted)
