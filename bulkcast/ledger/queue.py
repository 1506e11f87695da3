"""The open runs of a shared ledger: which of an institution comes next, and what of it is left."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from bulkcast.ledger.codec import end_crc, pack_target, request_crc, unpack_outcome, unpack_request
from bulkcast.ledger.connection import Connection
from bulkcast.ledger.integrity import damaged
from bulkcast.ledger.lock import canonical
from bulkcast.ledger.run_records import histories
from bulkcast.model import History, Institution, Request, RequestKey, RowStatus, Target, Text
from bulkcast.planner.last_known import Acknowledgement


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is left of an open run, or the first part of that."""

    run: str
    requests: tuple[Request, ...]
    """In sending order."""
    history: Mapping[RequestKey, History]
    """Earlier attempts of these requests."""
    is_all: bool
    """Whether nothing is left beyond these."""


_OPEN: Final = """
    SELECT id, run, root_url, sid FROM runs WHERE finished_at IS NULL AND purged_at IS NULL
    ORDER BY id
"""
_DEADLINE: Final = """
    SELECT MIN(CAST(json_extract(frozen, '$[2]') AS DOUBLE PRECISION))
    FROM requests LEFT JOIN outcomes AS o USING (run_id, seq)
    WHERE run_id = ? AND o.seq IS NULL
"""
_WAITING: Final = """
    SELECT r.seq, r.key, r.rows, r.target, r.frozen, r.crc
    FROM requests AS r LEFT JOIN outcomes AS o USING (run_id, seq)
    WHERE run_id = ? AND o.seq IS NULL ORDER BY r.seq LIMIT ?
"""


def open_institutions(connection: Connection) -> frozenset[str]:
    """The institutions with runs that have not ended, as `canonical` spells them."""
    return frozenset(lane for _, _, lane in _open(connection))


def open_runs(connection: Connection) -> list[str]:
    """The names of the runs that have not ended, oldest first."""
    return [run for _, run, _ in _open(connection)]


def _open(connection: Connection) -> list[tuple[int, str, str]]:
    return [
        (run_id, run, canonical(Institution(root_url, sid)))
        for run_id, run, root_url, sid in connection.execute(_OPEN).fetchall()
    ]


def next_run(connection: Connection, lane: str, is_cancelled: Callable[[str], bool]) -> str | None:
    """The open run of an institution with the earliest deadline, else the oldest; None if none.

    One that is to be cancelled comes before all others.
    """
    found = [(run_id, run) for run_id, run, whose in _open(connection) if whose == lane]
    cancelled = [run for _, run in found if is_cancelled(run)]
    if cancelled:
        return cancelled[0]
    if len(found) < 2:
        return found[0][1] if found else None

    def deadline(run_id: int) -> float:
        (earliest,) = connection.execute(_DEADLINE, (run_id,)).fetchone()
        return float("inf") if earliest is None else float(earliest)

    return min(found, key=lambda each: (deadline(each[0]), each[0]))[1]


def waiting(connection: Connection, run_id: int, run: str, most: int) -> Waiting:
    """The first `most` requests of an open run that have not ended.

    Raises:
        LedgerDamaged: a checksum does not match.

    """
    requests = []
    for seq, key, rows, target, frozen, check in connection.execute(_WAITING, (run_id, most + 1)):
        if request_crc(seq, key, rows, target, frozen) != check:
            raise damaged(Text("request {key}", {"key": key}))
        requests.append(unpack_request(key, rows, frozen))
    first = tuple(requests[:most])
    past = histories(connection, run_id, {})
    keys = {request.key for request in first}
    history = {key: found for key, found in past.items() if key in keys}
    return Waiting(run, first, history, is_all=len(requests) <= most)


_WAITING_FOR: Final = """
    SELECT r.target, run, created_at, r.seq, r.key, r.rows, r.frozen, r.crc
    FROM runs JOIN requests AS r ON r.run_id = runs.id
    LEFT JOIN outcomes AS o ON o.run_id = r.run_id AND o.seq = r.seq
    WHERE root_url = ? AND sid = ? AND finished_at IS NULL AND o.seq IS NULL
    ORDER BY runs.id, r.seq
"""


def waiting_for(
    connection: Connection, institution: Institution, targets: Iterable[Target]
) -> Iterator[tuple[Target, Acknowledgement]]:
    """The requests of open runs to some classrooms, which nobody has confirmed yet.

    Raises:
        LedgerDamaged: a checksum does not match.

    """
    wanted = {pack_target(target): target for target in targets}
    place = (institution.root_url, institution.sid)
    for target, run, at, seq, key, rows, frozen, check in connection.execute(_WAITING_FOR, place):
        if target not in wanted:
            continue
        if request_crc(seq, key, rows, target, frozen) != check:
            raise damaged(Text("request {key}", {"key": key}))
        body = unpack_request(key, rows, frozen).body
        yield wanted[target], Acknowledgement(run, at, body, sure=False)


_REOPENED: Final = """
    SELECT seq, attempts, outcome FROM outcomes
    WHERE run_id = ? AND status IN ('not_sent', 'unconfirmed')
"""


def reopen(connection: Connection, run_id: int) -> None:
    """Make requests that were not sent or not confirmed wait again; their attempts are kept."""
    ends = []
    found = connection.execute(_REOPENED, (run_id,)).fetchall()
    for seq, attempts, packed in found:
        outcome = unpack_outcome(packed)
        ambiguous = int(outcome.status is RowStatus.UNCONFIRMED)
        end = (float(outcome.at or 0.0), outcome.code, ambiguous)
        ends.append((*end, end_crc(attempts, *end), run_id, seq, attempts))
    connection.executemany(
        "UPDATE attempts SET ended = ?, code = ?, ambiguous = ?, end_crc = ?"
        " WHERE run_id = ? AND seq = ? AND number = ? AND ended IS NULL",
        ends,
    )
    connection.executemany(
        "DELETE FROM outcomes WHERE run_id = ? AND seq = ?", [(run_id, seq) for seq, _, _ in found]
    )
