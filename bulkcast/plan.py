"""What will be sent, in which order, and what is settled before anything is sent.  Pure."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from bulkcast.catalogue import Endpoint, Lock
from bulkcast.model import (
    Body,
    Change,
    CheckedRow,
    Invalid,
    Issue,
    Outcome,
    Request,
    RequestKey,
    RowStatus,
    Severity,
    Target,
)

LOCK_MARGIN_S: Final = 30
"""A row is late this long before its lock: the vendor does not say which side of 20 minutes the
boundary is on, and a request takes its time."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All requests in sending order, and the rows that need none."""

    requests: tuple[Request, ...]
    settled: Mapping[int, Outcome] = field(default_factory=dict)
    """Row → how it ended without a request."""
    fingerprint: str = ""
    """SHA-256 over every request in order; the same plan has the same one."""


def body_hash(body: Body) -> str:
    """A short fingerprint of what a request would set."""
    return hashlib.sha256(json.dumps(body).encode()).hexdigest()[:16]


def locks_at(change: Change, endpoint: Endpoint) -> int | None:
    """When the first setting of a row locks, Unix seconds; None where nothing tells."""
    if change.starts_at is None or not locked_settings(change.settings, endpoint):
        return None
    return change.starts_at - endpoint.lock_before_s


def locked_settings(body: Body, endpoint: Endpoint) -> tuple[str, ...]:
    """The keys in a body that ClassIn refuses from 20 minutes before class on.

    Playback stays editable while recording is on; whether it is on cannot be read back, so it is
    never held against a row.
    """
    return tuple(key for key, _ in body if endpoint.by_key[key].lock is Lock.BEFORE_CLASS)


def make(
    rows: Sequence[CheckedRow],
    endpoint: Endpoint,
    *,
    left_out: Mapping[int, Outcome] | None = None,
    sheet_issues: Sequence[Issue] = (),
) -> Plan:
    """Plan a checked sheet.

    Rows of identical body share one request.  Rows that set the same classroom differently have
    passed validation only where the user chose an order: they are chained.  Requests whose
    settings lock come first, the earliest lock first; the others follow in sheet order.

    Args:
        rows: every row of the sheet, in order.
        endpoint: what the rows were checked against.
        left_out: rows not to plan, and how they end.
        sheet_issues: errors of the sheet as a whole, given to rows that have none of their own.

    """
    settled = dict(left_out or {})
    wanted: list[Change] = []
    for row in rows:
        if row.row in settled:
            continue
        if isinstance(row, Invalid):
            settled[row.row] = _invalid(row, sheet_issues)
        else:
            wanted.append(row)
    requests = _in_sending_order(_merge(wanted, endpoint))
    return Plan(requests, settled, fingerprint(requests))


def _invalid(row: Invalid, sheet_issues: Sequence[Issue]) -> Outcome:
    errors = [i for i in (*row.issues, *sheet_issues) if i.severity is Severity.ERROR]
    first = errors[0] if errors else None
    return Outcome(
        RowStatus.INVALID,
        first.code if first else "",
        first.message.args if first else {},
    )


def _merge(changes: Iterable[Change], endpoint: Endpoint) -> list[Request]:
    """One request for each run of identical rows of a classroom, chained per classroom.

    Only neighbours share: on, off, on in this order must end on.
    """
    groups: list[list[Change]] = []
    latest: dict[Target, list[Change]] = {}
    after: dict[int, RequestKey] = {}
    for change in changes:
        group = latest.get(change.target)
        if group and group[0].body == change.body:
            group.append(change)
            continue
        if group:
            after[change.row] = _key(group)
        latest[change.target] = [change]
        groups.append(latest[change.target])
    return [_request(group, endpoint, after.get(group[0].row)) for group in groups]


def _key(group: Sequence[Change]) -> RequestKey:
    return RequestKey(str(group[0].row))


def _request(group: Sequence[Change], endpoint: Endpoint, after: RequestKey | None) -> Request:
    locks = [at for change in group if (at := locks_at(change, endpoint)) is not None]
    return Request(
        key=_key(group),
        rows=tuple(change.row for change in group),
        target=group[0].target,
        body=group[0].body,
        locks_at=min(locks, default=None),
        after=after,
    )


def _in_sending_order(requests: Sequence[Request]) -> tuple[Request, ...]:
    """Earliest lock first, undated last, sheet order among equals."""
    return tuple(sorted(requests, key=lambda r: (r.locks_at is None, r.locks_at or 0)))


def fingerprint(requests: Iterable[Request]) -> str:
    """SHA-256 over what would be sent and in which order, 64 hex digits."""
    digest = hashlib.sha256()
    for request in requests:
        digest.update(json.dumps([request.key, request.rows, request.body]).encode())
    return digest.hexdigest()
