"""How values lie in the ledger's columns, and the checksums over them."""

import json
import sys
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Final

from bulkcast.model import (
    Body,
    History,
    Institution,
    Issue,
    Layout,
    Outcome,
    Request,
    RequestKey,
    RowStatus,
    Severity,
    Stop,
    Target,
    Text,
)

_NO_ARGS: Final[Mapping[str, str]] = {}
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), check_circular=False)


def dump(value: object) -> str:
    """Compact JSON; lone surrogates are escaped, so any text can be stored."""
    return _ENCODER.encode(value)


def crc(*parts: object) -> int:
    """CRC-32 over values, told apart from their concatenation."""
    return zlib.crc32(dump(parts).encode())


def request_crc(seq: int, key: str, rows: str, target: str, frozen: str) -> int:
    """The checksum of a stored request; cheap, since one is computed for every row of a sheet."""
    return zlib.crc32(f"{seq}|{key}|{rows}|{target}|{frozen}".encode())


def outcome_crc(run_id: int, seq: int, packed: str) -> int:
    """The checksum of a stored outcome."""
    return zlib.crc32(f"{run_id}|{seq}|{packed}".encode())


IntentFields = tuple[int, int, int, float, float, int | None, float | None]
"""Run, request, number, stamp, how far that was ahead, boot, tick: as the columns have them."""


def intent_crc(fields: IntentFields) -> int:
    """The checksum of a stored intent; cheap, since one is computed for every attempt."""
    return zlib.crc32(repr(fields).encode())


def end_crc(number: int, ended: float | None, code: str | None, ambiguous: int) -> int:
    """The checksum of how an attempt ended that was not its request's last."""
    return crc(number, ended, code, ambiguous)


def pack_outcome(outcome: Outcome) -> str:
    """An outcome as JSON."""
    fields = (outcome.status, outcome.code, dict(outcome.args), outcome.attempts, outcome.at)
    return dump(fields)


def unpack_outcome(packed: str) -> Outcome:
    """What `pack_outcome` packed."""
    status, code, args, attempts, at = json.loads(packed)
    # Thousands of rows end alike: their words are kept once.
    return Outcome(RowStatus(status), sys.intern(code), args or _NO_ARGS, attempts, at)


def pack_request(request: Request) -> str:
    """A request without its key and rows, which have columns of their own, as JSON."""
    target = (request.target.key, request.target.id)
    late = (request.locks_at, request.after, request.free, request.once_locked)
    return dump((target, request.body, *late))


def pack_target(target: Target) -> str:
    """A classroom as JSON, to be found by."""
    return dump((target.key, target.id))


def pack_rows(rows: tuple[int, ...]) -> str:
    """Row numbers as `5,9`."""
    return ",".join(map(str, rows))


def unpack_rows(packed: str) -> tuple[int, ...]:
    """What `pack_rows` packed."""
    return tuple(map(int, packed.split(",")))


def unpack_request(key: str, rows: str, packed: str) -> Request:
    """What `pack_request` and `pack_rows` packed."""
    target, body, locks_at, after, free, once_locked = json.loads(packed)
    return Request(
        key=RequestKey(key),
        rows=unpack_rows(rows),
        target=Target(*target),
        body=unpack_body(body),
        locks_at=locks_at,
        after=after,
        free=tuple(free),
        once_locked=once_locked,
    )


def unpack_body(pairs: list[list[Any]]) -> Body:
    """A body out of its JSON lists."""
    return tuple((key, tuple(v) if isinstance(v, list) else v) for key, v in pairs)


def pack_issues(issues: tuple[Issue, ...]) -> str:
    """Issues as a JSON list."""
    return dump([_issue(issue) for issue in issues])


def _issue(issue: Issue) -> Mapping[str, object]:
    return {
        "code": issue.code,
        "severity": issue.severity,
        "at": (issue.row, issue.column, issue.cell, issue.value),
        "message": issue.message.template,
        "fix": issue.fix.template,
        "args": dict(issue.message.args),
    }


def unpack_issues(packed: str) -> tuple[Issue, ...]:
    """What `pack_issues` packed."""
    return tuple(_issue_of(found) for found in json.loads(packed))


def _issue_of(found: Mapping[str, Any]) -> Issue:
    row, column, cell, value = found["at"]
    return Issue(
        code=found["code"],
        severity=Severity(found["severity"]),
        row=row,
        column=column,
        cell=cell,
        value=value,
        message=Text(found["message"], found["args"]),
        fix=Text(found["fix"], found["args"]),
    )


def pack_stop(stop: Stop | None) -> str | None:
    """A stop as JSON; None for a run that went through."""
    return dump([stop.reason, stop.code, dict(stop.args), stop.exit_status]) if stop else None


def unpack_stop(packed: str | None) -> Stop | None:
    """What `pack_stop` packed."""
    return Stop(*json.loads(packed)) if packed else None


@dataclass(frozen=True, slots=True)
class RunHeader:
    """What a run was made from; written once."""

    run: str
    institution: Institution
    created_at: float
    sheet: str
    """The path of the user's file as given."""
    snapshot: str
    """The name, under the run's folder, of the copy of that file as it was read."""
    sha256: str
    layout: Layout
    headers: tuple[str, ...]
    n_rows: int
    n_requests: int
    target: str
    """Where the result sheet goes."""
    tz: str
    mapping: Mapping[str, str] = field(default_factory=dict)
    """Headers that the user said the meaning of."""
    parent: str = ""
    """The run this one resumes or resubmits; empty for a first one."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A line of the list of runs."""

    header: RunHeader
    finished_at: float | None
    """None while it runs, and for ever after a crash."""
    stop: Stop | None
    counts: Mapping[RowStatus, int]
    under_way: bool = False
    """Whether a program is at work on it now."""
    purged_at: float | None = None
    """When what its rows held was taken away; only how they ended is left."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One request as it lies in the ledger, unread but for its rows."""

    key: RequestKey
    rows: tuple[int, ...]
    packed: tuple[str, str] | None
    """None where it was not asked for."""

    def request(self) -> Request:
        """What it says."""
        if self.packed is None:
            raise ValueError(f"request {self.key} was loaded without what it says")
        return unpack_request(self.key, *self.packed)


@dataclass(frozen=True)
class FrozenRun:
    """A run as the ledger has it."""

    header: RunHeader
    finished_at: float | None
    stop: Stop | None
    stored: tuple[Stored, ...]
    outcomes: Mapping[RequestKey, Outcome]
    """How each request ended; one that was under way when its program died is unconfirmed."""
    settled: Mapping[int, Outcome]
    issues: Mapping[int, tuple[Issue, ...]]
    history: Mapping[RequestKey, History]
    """What was tried, for the requests that could be resumed."""
    purged_at: float | None = None
    """When what its rows held was taken away."""

    @cached_property
    def requests(self) -> tuple[Request, ...]:
        """In sending order."""
        return tuple(stored.request() for stored in self.stored)

    def by_row(self) -> dict[int, Outcome]:
        """Row → how it ended, for every row of the run."""
        ended = dict(self.settled)
        for request in self.stored:
            ended.update(dict.fromkeys(request.rows, self.outcomes[request.key]))
        return {row: ended[row] for row in sorted(ended)}


def pack_header(header: RunHeader) -> str:
    """A header as JSON."""
    return dump(asdict(header))


def unpack_header(packed: str) -> RunHeader:
    """What `pack_header` packed."""
    found = json.loads(packed)
    found["institution"] = Institution(**found["institution"])
    found["layout"] = Layout(**found["layout"])
    found["headers"] = tuple(found["headers"])
    return RunHeader(**found)
