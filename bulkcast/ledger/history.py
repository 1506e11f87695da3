"""What earlier runs sent: recent sends, unanswered attempts, acknowledged settings."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bulkcast.errors import LedgerDamaged
from bulkcast.ledger.codec import (
    crc,
    intent_crc,
    pack_target,
    request_crc,
    unpack_body,
    unpack_request,
)
from bulkcast.ledger.connection import Connection
from bulkcast.ledger.integrity import damaged
from bulkcast.model import Body, Institution, RequestKey, Target, Text
from bulkcast.planner.last_known import Acknowledgement
from bulkcast.protocol import STAMP_LIFE_S, expires_after

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
"""Linux's id of the current boot; containers see their host's."""

_SAME_START_S: Final = 2.0
"""Seconds a clock may drift between two programs before it counts as set by someone."""


@dataclass(frozen=True, slots=True)
class MonotonicClock:
    """A clock that cannot be set: seconds since the boot of this computer."""

    tick: Callable[[], float]
    boot: str
    """Id of the boot; empty if the system does not give one."""


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A point in time by the wall clock and, if known, by the monotonic clock."""

    wall: float
    """Unix seconds by this computer's clock."""
    tick: float | None = None
    """Seconds since the boot; None if not recorded."""
    boot: str = ""


def boot_id() -> str:
    """The system's id of the current boot; empty if it does not give one."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def age(then: Timestamp, now: Timestamp) -> float:
    """Seconds that have certainly passed between two moments.

    Within one boot the monotonic clock is exact.  After a reboot at least the time since the boot
    has passed.  If the wall clock may have been set, the result is 0.

    >>> age(Timestamp(1000.0, 50.0, "a"), Timestamp(9000.0, 57.0, "a"))
    7.0
    >>> age(Timestamp(1000.0, 50.0, "a"), Timestamp(1001.0, 30.0, "b"))
    30.0
    """
    if then.tick is None or now.tick is None:
        return max(0.0, now.wall - then.wall)
    if then.boot and now.boot and then.boot != now.boot:
        return now.tick
    unset = abs((now.wall - now.tick) - (then.wall - then.tick)) < _SAME_START_S
    if then.boot == now.boot and (now.boot or unset):
        return max(0.0, now.tick - then.tick)
    return 0.0


_AT_ONCE: Final = 400
"""Classrooms per query: SQLite takes up to 999 parameters."""

_REQUEST: Final = "r.seq, r.key, r.rows, r.target, r.frozen, r.crc"

_ACKNOWLEDGED: Final = f"""
    SELECT a.target, a.run, a.at, a.sure = 1 AND o.status = 'applied', {_REQUEST}
    FROM acknowledged AS a
    LEFT JOIN runs ON runs.run = a.run
    LEFT JOIN requests AS r ON r.run_id = runs.id AND r.seq = a.seq
    LEFT JOIN outcomes AS o ON o.run_id = runs.id AND o.seq = a.seq
    WHERE a.institution = ? AND a.target IN (%s)
    ORDER BY a.id
"""  # noqa: S608 - a constant; the placeholders are filled in by number

_UNDER_WAY: Final = f"""
    SELECT r.target, run, MAX(t.stamp), FALSE, {_REQUEST}
    FROM runs
    JOIN requests AS r ON r.run_id = runs.id
    JOIN attempts AS t ON t.run_id = r.run_id AND t.seq = r.seq
    LEFT JOIN outcomes AS o ON o.run_id = r.run_id AND o.seq = r.seq
    WHERE root_url = ? AND sid = ? AND (finished_at IS NULL OR stop IS NOT NULL)
    AND t.number > COALESCE(o.attempts, 0)
    GROUP BY runs.id, r.run_id, r.seq
    ORDER BY MAX(t.stamp)
"""  # noqa: S608 - a constant
"""Requests whose program died or was terminated: they may have taken effect."""


def acknowledged(
    connection: Connection, institution: Institution, targets: Iterable[Target]
) -> dict[Target, list[Acknowledgement]]:
    """The acknowledgements for each of `targets`, oldest first.

    Raises:
        LedgerDamaged: a stored value does not match its checksum.

    """
    found: dict[Target, list[Acknowledgement]] = {}
    wanted = {pack_target(target): target for target in targets}
    for row in _acknowledged(connection, institution, list(wanted)):
        found.setdefault(wanted[row[0]], []).append(_entry(row))
    place = (institution.root_url, institution.sid)
    for row in connection.execute(_UNDER_WAY, place):
        if row[0] in wanted:
            _insert(found.setdefault(wanted[row[0]], []), _entry(row))
    return found


def _acknowledged(
    connection: Connection, institution: Institution, targets: Sequence[str]
) -> Iterator[Sequence[Any]]:
    name = f"{institution.root_url} {institution.sid}"
    for start in range(0, len(targets), _AT_ONCE):
        some = targets[start : start + _AT_ONCE]
        places = ", ".join("?" * len(some))
        yield from connection.execute(_ACKNOWLEDGED % places, (name, *some))


def _entry(row: Sequence[Any]) -> Acknowledgement:
    target, run, at, sure, seq, key, rows, of, frozen, check = row
    if not frozen:
        return Acknowledgement(run, at, None, sure=False)
    if request_crc(seq, key, rows, of, frozen) != check:
        raise damaged(Text("request {key} of run {run}", {"key": key, "run": run}))
    _, body, *_ = json.loads(frozen)
    if of != target:
        words = {"key": key, "run": run}
        raise damaged(Text("what request {key} of run {run} was for", words))
    return Acknowledgement(run, at, unpack_body(body), sure=bool(sure))


def _insert(entries: list[Acknowledgement], doubt: Acknowledgement) -> None:
    """Insert an unconfirmed entry in order of time."""
    place = next((n for n, entry in enumerate(entries) if entry.at > doubt.at), len(entries))
    entries.insert(place, doubt)


_ALWAYS_READ: Final = 5_000
"""Latest attempts that are always read, even if a wrong clock makes them look old: five minutes
of sending."""

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
    """An attempt without a conclusive answer."""

    target: Target
    body: Body
    age_s: float
    ahead_s: float


def sends(
    connection: Connection, institution: Institution, now: Timestamp, within_s: float
) -> list[float]:
    """Ages in seconds of the requests sent in the last `within_s` seconds, oldest first."""
    found = _attempts(connection, _SENDS, institution, now.wall - within_s)
    ages = (age(then, now) for then, _, _ in found)
    return sorted((a for a in ages if a < within_s), reverse=True)


def unanswered(
    connection: Connection, institution: Institution, now: Timestamp
) -> list[Unanswered]:
    """The attempts that ClassIn may still carry out."""
    longest_s = expires_after(STAMP_LIFE_S)
    found = _attempts(connection, _UNANSWERED, institution, now.wall - longest_s)
    recent = []
    for then, ahead_s, (key, rows, frozen) in found:
        age_s = age(then, now)
        if age_s < expires_after(ahead_s):
            request = unpack_request(RequestKey(key), rows, frozen)
            recent.append(Unanswered(request.target, request.body, age_s, ahead_s))
    return recent


def _attempts(
    connection: Connection, statement: str, institution: Institution, since: float
) -> Iterator[tuple[Timestamp, float, list[Any]]]:
    words = {
        "root_url": institution.root_url,
        "sid": institution.sid,
        "since": since,
        "looked_through": _ALWAYS_READ,
    }
    for row in connection.execute(statement, words):
        fields, (check, boot, boot_check), more = row[:7], row[7:10], row[10:]
        known = boot is None or crc(boot) == boot_check
        if not known or intent_crc(fields) != check or (boot is None) != (fields[5] is None):
            raise LedgerDamaged("the ledger does not hold an attempt as it was written")
        _, _, _, stamp, ahead_s, _, tick = fields
        yield Timestamp(stamp, tick, boot or ""), ahead_s, list(more)


def superseded(connection: Connection, run_id: int) -> dict[RequestKey, str]:
    """Requests whose classroom a newer run has set, or may have → the newest such run."""
    return dict(connection.execute(_SUPERSEDED, {"run_id": run_id}).fetchall())


_SUPERSEDED: Final = """
    SELECT mine.key, newer.run
    FROM requests AS mine JOIN runs AS ours ON ours.id = mine.run_id
    JOIN requests AS theirs ON theirs.target = mine.target AND theirs.run_id > mine.run_id
    JOIN runs AS newer ON newer.id = theirs.run_id
        AND newer.root_url = ours.root_url AND newer.sid = ours.sid
    LEFT JOIN outcomes AS o ON o.run_id = theirs.run_id AND o.seq = theirs.seq
    WHERE mine.run_id = :run_id AND (o.status IN ('applied', 'unconfirmed') OR EXISTS (
        SELECT 1 FROM attempts AS a WHERE a.run_id = theirs.run_id AND a.seq = theirs.seq
        AND (a.ambiguous = 1 OR (a.ambiguous IS NULL AND a.number > COALESCE(o.attempts, 0)))
    ))
    ORDER BY newer.id
"""
"""Includes classrooms that a newer run only may have set: an older body could revert it."""
