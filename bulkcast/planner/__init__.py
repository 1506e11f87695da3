"""Plans which requests to send in which order, and which rows need no request."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from bulkcast.arguments import Moment
from bulkcast.catalogue import Endpoint
from bulkcast.model import (
    Argument,
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
from bulkcast.planner.deadlines import free_settings, locks_at
from bulkcast.planner.last_known import NOTHING_KNOWN, Holdings, Known, KnownValue, already_set

Unchanged = Literal["send", "skip"]
OnceLocked = Literal["refuse", "send_free"]


@dataclass(frozen=True, slots=True)
class Plan:
    """All requests in sending order, and the rows that need none."""

    requests: tuple[Request, ...]
    settled: Mapping[int, Outcome] = field(default_factory=dict)
    """Row → how it ended without a request."""
    fingerprint: str = ""
    """SHA-256 over every request in order; equal plans have equal fingerprints."""


def make(
    rows: Sequence[CheckedRow],
    endpoint: Endpoint,
    *,
    left_out: Mapping[int, Outcome] | None = None,
    sheet_issues: Sequence[Issue] = (),
    known: Known = NOTHING_KNOWN,
    unchanged: Unchanged = "send",
    once_locked: OnceLocked = "refuse",
) -> Plan:
    """Plan a checked sheet.

    Rows with identical bodies share one request.  Rows that set the same classroom differently pass
    validation only if the user chose an order; their requests are chained.  Requests with a lock
    time come first, earliest lock first; the others follow in sheet order.  A request that another
    one waits for uses the earlier lock of the two.

    Args:
        rows: every row of the sheet, in order.
        endpoint: what the rows were checked against.
        left_out: rows not to plan, with their outcomes.
        sheet_issues: errors of the sheet as a whole, for rows without errors of their own.
        known: the settings ClassIn last acknowledged.
        unchanged: whether to send rows whose settings are known to be set already.
        once_locked: whether to send only the free settings of a row that is too late.

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
    merger = _Merger(endpoint, known, once_locked)
    for change in wanted:
        held = merger.acknowledged_before(change) if unchanged == "skip" else None
        if held is None:
            merger.take(change)
        else:
            settled[change.row] = _unchanged(held)
    requests = _in_sending_order(merger.requests())
    return Plan(requests, settled, fingerprint(requests))


def joined(plans: Sequence[Plan]) -> Plan:
    """One plan of those of several institutions, of which each has rows of its own."""
    every = (request for plan in plans for request in plan.requests)
    requests = _in_sending_order(sorted(every, key=lambda request: request.rows[0]))
    settled = {row: outcome for plan in plans for row, outcome in plan.settled.items()}
    return Plan(requests, settled, fingerprint(requests))


def _invalid(row: Invalid, sheet_issues: Sequence[Issue]) -> Outcome:
    errors = [i for i in (*row.issues, *sheet_issues) if i.severity is Severity.ERROR]
    first = errors[0] if errors else None
    return Outcome(
        RowStatus.INVALID,
        first.code if first else "",
        first.message.args if first else {},
    )


def _unchanged(held: KnownValue) -> Outcome:
    """The outcome of a row that changes nothing; `held` is its oldest acknowledgement."""
    args: Mapping[str, Argument] = {"acknowledged_at": Moment(held.at), "by": held.run}
    return Outcome(RowStatus.UNCHANGED, "plan.unchanged", args)


class _Merger:
    """Merges consecutive identical rows of a classroom into one request; chains the requests.

    Only consecutive rows are merged: on, off, on in this order must end with on.
    """

    def __init__(self, endpoint: Endpoint, known: Known, once_locked: OnceLocked) -> None:
        self._endpoint = endpoint
        self._known = known
        self._once_locked = once_locked
        self._groups: list[list[Change]] = []
        self._latest: dict[Target | tuple[str, Target], list[Change]] = {}
        self._after: dict[RequestKey, RequestKey] = {}

    def acknowledged_before(self, change: Change) -> KnownValue | None:
        """The oldest acknowledgement of a row that would change nothing; None for any other row.

        After a row that is sent for the same classroom, the settings are no longer known.
        """
        holdings = self._known.get(change.target)
        if not holdings or _classroom(change) in self._latest:
            return None
        if not already_set(change.settings, holdings):
            return None
        return min((holdings[key] for key, _ in change.settings), key=lambda held: held.at)

    def take(self, change: Change) -> None:
        """Plan a row after all rows taken before."""
        classroom = _classroom(change)
        group = self._latest.get(classroom)
        if group and group[0].body == change.body:
            group.append(change)
            return
        if group:
            self._after[_key([change])] = _key(group)
        self._latest[classroom] = alone = [change]
        self._groups.append(alone)

    def requests(self) -> list[Request]:
        """The requests in sheet order."""
        return [self._request(group) for group in self._groups]

    def _request(self, group: Sequence[Change]) -> Request:
        first, after = group[0], self._after.get(_key(group))
        # After an earlier row of the same classroom its settings are not known.
        holdings: Holdings = {} if after else self._known.get(first.target, {})
        found = (locks_at(change, self._endpoint, holdings) for change in group)
        lock = min((at for at in found if at is not None), default=None)
        free = () if lock is None else free_settings(first.settings, self._endpoint, holdings)
        return Request(
            key=_key(group),
            rows=tuple([change.row for change in group]),
            target=first.target,
            body=first.body,
            locks_at=lock,
            after=after,
            free=free,
            once_locked=self._once_locked if free else "refuse",
            institution=first.institution,
        )


def _classroom(change: Change) -> Target | tuple[str, Target]:
    return (change.institution, change.target) if change.institution else change.target


def _key(group: Sequence[Change]) -> RequestKey:
    return RequestKey(str(group[0].row))


def _in_sending_order(requests: Sequence[Request]) -> tuple[Request, ...]:
    """Earliest lock first, no lock last, then sheet order; chained requests keep their order."""
    awaited: dict[RequestKey, tuple[bool, int]] = {}

    def urgency(request: Request) -> tuple[bool, int]:
        own = (request.locks_at is None, request.locks_at or 0)
        return min(own, awaited.get(request.key, own))

    for request in reversed(requests):  # backwards: a request comes after the one it waits for
        if request.after is not None:
            awaited[request.after] = urgency(request)
    return tuple(sorted(requests, key=urgency))


def fingerprint(requests: Iterable[Request]) -> str:
    """SHA-256 over what would be sent and in which order, 64 hex digits."""
    import hashlib

    digest = hashlib.sha256()
    for request in requests:
        whose = [request.institution] if request.institution else []
        digest.update(json.dumps([request.key, request.rows, request.body, *whose]).encode())
    return digest.hexdigest()
