"""An auditor that trusts nobody: compares the server's own log with the ledger's bare tables."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bulkcast.sandbox import Received

_SUCCESSES = {"1", "121601002"}


@dataclass(frozen=True)
class Kept:
    """One request as the ledger keeps it."""

    rows: tuple[int, ...]
    target: int
    body: Mapping[str, object]
    status: str | None
    attempts: int


def kept(home: Path, run: str) -> list[Kept]:
    """Every request of a run, read with SQL of the auditor's own."""
    with sqlite3.connect(home / "ledger.sqlite3") as connection:
        found = connection.execute(
            "SELECT rows, frozen, status, (SELECT count(*) FROM attempts AS a"
            " WHERE a.run_id = r.run_id AND a.seq = r.seq)"
            " FROM requests AS r LEFT JOIN outcomes USING (run_id, seq)"
            " WHERE run_id = (SELECT id FROM runs WHERE run = ?)",
            (run,),
        ).fetchall()
    connection.close()
    kept = []
    for rows, packed, status, attempts in found:
        (_, target), body, *_ = json.loads(packed)
        numbers = tuple(map(int, rows.split(",")))
        kept.append(Kept(numbers, target, dict(body), status, attempts))
    return kept


def violations(
    requests: Iterable[Kept], log: Sequence[Received], *, rows: int, crashes: int = 0
) -> list[str]:
    """What contradicts the promises; empty when all hold.

    I1 no row lost, I2 no false success, I3 no send the ledger does not know, and none without
    bound.
    """
    found = []
    requests = list(requests)
    if sum(len(request.rows) for request in requests) != rows:
        found.append("I1: the ledger has not every row")
    applied = {_fingerprint(r.body or {}) for r in log if r.applied and r.answer in _SUCCESSES}
    sends = Counter(r.target.id for r in log if r.target)
    for request in requests:
        name = f"rows {request.rows}"
        if request.status == "applied" and _fingerprint(request.body) not in applied:
            found.append(f"I2: {name} are claimed, and the server never acknowledged them")
        if sends[request.target] > request.attempts:
            found.append(
                f"I3: {name} were sent {sends[request.target]}, intents {request.attempts}"
            )
        if sends[request.target] > 8 + crashes:
            found.append(f"I3: {name} were sent {sends[request.target]} times")
    return found


def _fingerprint(body: Mapping[str, object]) -> str:
    return json.dumps(body, sort_keys=True)


def most_in_window(times: Iterable[float], window_s: float) -> int:
    """The most moments that any window of that many seconds holds."""
    ordered = sorted(times)
    most = first = 0
    for last, moment in enumerate(ordered):
        while moment - ordered[first] >= window_s:
            first += 1
        most = max(most, last - first + 1)
    return most
