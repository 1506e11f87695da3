"""What any run sent lately for an institution: what the pace counts and the fence waits for."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from bulkcast.errors import LedgerDamaged
from bulkcast.fence import MARGIN_S, STAMP_LIFE_S
from bulkcast.ledger.moments import Moment, age
from bulkcast.ledger.rows import crc, intent_crc, unpack_request
from bulkcast.model import Body, Institution, RequestKey, Target

_LOOKED_THROUGH: Final = 5_000
"""Attempts that are looked at however old the clock makes them look: five minutes of sending."""

_ATTEMPTS: Final = """
    SELECT a.run_id, a.seq, a.number, a.stamp, a.ahead_s, a.boot, a.tick, a.crc,
           boots.boot, boots.crc {more}
    FROM attempts AS a JOIN runs ON runs.id = a.run_id LEFT JOIN boots ON boots.id = a.boot {joined}
    WHERE root_url = :root_url AND sid = :sid AND stamp >= MIN(:since, COALESCE(
        (SELECT stamp FROM attempts ORDER BY stamp DESC LIMIT 1 OFFSET :looked_through), 0
    )) {chosen}
    ORDER BY stamp
"""
_SENDS: Final = _ATTEMPTS.format(more="", joined="", chosen="")
_UNANSWERED: Final = _ATTEMPTS.format(
    more=", r.key, r.rows, r.frozen",
    joined="JOIN requests AS r USING (run_id, seq) LEFT JOIN outcomes AS o USING (run_id, seq)",
    chosen="AND COALESCE(a.ambiguous, o.attempts IS NULL OR a.number <> o.attempts"
    " OR o.status = 'unconfirmed') AND r.frozen <> ''",
)


@dataclass(frozen=True, slots=True)
class Unanswered:
    """An attempt that nobody answered for certain."""

    target: Target
    body: Body
    age_s: float
    ahead_s: float


def sends(
    connection: sqlite3.Connection, institution: Institution, now: Moment, within_s: float
) -> list[float]:
    """How long ago requests were sent within so many seconds, the longest ago first."""
    found = _found(connection, _SENDS, institution, now.wall - within_s)
    ages = (age(then, now) for then, _, _ in found)
    return sorted((a for a in ages if a < within_s), reverse=True)


def unanswered(
    connection: sqlite3.Connection, institution: Institution, now: Moment
) -> list[Unanswered]:
    """The attempts that ClassIn may yet carry out."""
    longest_s = 2 * STAMP_LIFE_S + MARGIN_S
    found = _found(connection, _UNANSWERED, institution, now.wall - longest_s)
    recent = []
    for then, ahead_s, (key, rows, frozen) in found:
        age_s = age(then, now)
        if age_s < STAMP_LIFE_S + ahead_s + MARGIN_S:
            request = unpack_request(RequestKey(key), rows, frozen)
            recent.append(Unanswered(request.target, request.body, age_s, ahead_s))
    return recent


def _found(
    connection: sqlite3.Connection, statement: str, institution: Institution, since: float
) -> Iterator[tuple[Moment, float, list[Any]]]:
    words = {
        "root_url": institution.root_url,
        "sid": institution.sid,
        "since": since,
        "looked_through": _LOOKED_THROUGH,
    }
    for row in connection.execute(statement, words):
        fields, (check, boot, boot_check), more = row[:7], row[7:10], row[10:]
        known = boot is None or crc(boot) == boot_check
        if not known or intent_crc(fields) != check or (boot is None) != (fields[5] is None):
            raise LedgerDamaged("the ledger does not hold an attempt as it was written")
        _, _, _, stamp, ahead_s, _, tick = fields
        yield Moment(stamp, tick, boot or ""), ahead_s, list(more)
