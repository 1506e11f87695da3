"""What ClassIn acknowledged, classroom by classroom: read here, written by the schema itself.

A trigger enters each outcome that took effect, or may have, in the transaction that stores it.  An
entry holds no values: they lie in the frozen request, under its checksum.  Where that was purged
the entry still says that something was set, but not what.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from bulkcast.known import Entry
from bulkcast.ledger.rows import pack_target, request_crc, unpack_body
from bulkcast.model import Institution, Target, Text

_AT_ONCE: Final = 400
"""Classrooms asked for at a time: SQLite takes up to 999 values in one question."""

_REQUEST: Final = "r.seq, r.key, r.rows, r.target, r.frozen, r.crc"

_ENTERED: Final = f"""
    SELECT a.target, a.run, a.at, a.sure AND o.status = 'applied', {_REQUEST}
    FROM acknowledged AS a
    LEFT JOIN runs ON runs.run = a.run
    LEFT JOIN requests AS r ON r.run_id = runs.id AND r.seq = a.seq
    LEFT JOIN outcomes AS o ON o.run_id = runs.id AND o.seq = a.seq
    WHERE a.institution = ? AND a.target IN (%s)
    ORDER BY a.id
"""  # noqa: S608 - a constant; the placeholders are filled in by number

_UNDER_WAY: Final = f"""
    SELECT r.target, run, MAX(t.stamp), 0, {_REQUEST}
    FROM runs
    JOIN requests AS r ON r.run_id = runs.id
    JOIN attempts AS t ON t.run_id = r.run_id AND t.seq = r.seq
    LEFT JOIN outcomes AS o ON o.run_id = r.run_id AND o.seq = r.seq
    WHERE root_url = ? AND sid = ? AND (finished_at IS NULL OR stop IS NOT NULL)
    AND t.number > COALESCE(o.attempts, 0)
    GROUP BY r.run_id, r.seq
    ORDER BY MAX(t.stamp)
"""  # noqa: S608 - a constant
"""Requests whose program died or was torn down: they may have taken effect."""


class Damaged(ValueError):
    """An entry is not what was written."""

    def __init__(self, what: Text) -> None:
        super().__init__(str(what))
        self.what = what


def read(
    connection: sqlite3.Connection, institution: Institution, targets: Iterable[Target]
) -> dict[Target, list[Entry]]:
    """What is known of each of `targets`, the oldest entry first.

    Raises:
        Damaged: what is stored is not what was written.

    """
    found: dict[Target, list[Entry]] = {}
    wanted = {pack_target(target): target for target in targets}
    for row in _entered(connection, institution, list(wanted)):
        found.setdefault(wanted[row[0]], []).append(_entry(row))
    place = (institution.root_url, institution.sid)
    for row in connection.execute(_UNDER_WAY, place):
        if row[0] in wanted:
            _put_in(found.setdefault(wanted[row[0]], []), _entry(row))
    return found


def _entered(
    connection: sqlite3.Connection, institution: Institution, targets: Sequence[str]
) -> Iterator[Sequence[Any]]:
    name = f"{institution.root_url} {institution.sid}"
    for start in range(0, len(targets), _AT_ONCE):
        some = targets[start : start + _AT_ONCE]
        places = ", ".join("?" * len(some))
        yield from connection.execute(_ENTERED % places, (name, *some))


def _entry(row: Sequence[Any]) -> Entry:
    target, run, at, sure, seq, key, rows, of, frozen, check = row
    if not frozen:
        return Entry(run, at, None, sure=False)
    if request_crc(seq, key, rows, of, frozen) != check:
        raise Damaged(Text("request {key} of run {run}", {"key": key, "run": run}))
    _, body, *_ = json.loads(frozen)
    if of != target:
        words = {"key": key, "run": run}
        raise Damaged(Text("what request {key} of run {run} was for", words))
    return Entry(run, at, unpack_body(body), sure=bool(sure))


def _put_in(entries: list[Entry], doubt: Entry) -> None:
    """An entry nobody entered, where it belongs by its time."""
    place = next((n for n, entry in enumerate(entries) if entry.at > doubt.at), len(entries))
    entries.insert(place, doubt)
