"""Converts values to and from the ledger's columns, and computes the checksums over them."""

import json
import sys
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Final

from bulkcast.i18n import dump_args, load_args
from bulkcast.model import (
    Argument,
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

_NO_ARGS: Final[Mapping[str, Argument]] = {}
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), check_circular=False)


def dump(value: object) -> str:
    """Compact JSON; lone surrogates are escaped, so any text can be stored."""
    return _ENCODER.encode(value)


def crc(*parts: object) -> int:
    """CRC-32 over values as a JSON list, so that ('ab', 'c') and ('a', 'bc') differ."""
    return zlib.crc32(dump(parts).encode())


def request_crc(seq: int, key: str, rows: str, target: str, frozen: str) -> int:
    """The checksum of a stored request; cheap, since one is computed for every row of a sheet."""
    return zlib.crc32(f"{seq}|{key}|{rows}|{target}|{frozen}".encode())


def outcome_crc(run_id: int, seq: int, packed: str) -> int:
    """The checksum of a stored outcome."""
    return zlib.crc32(f"{run_id}|{seq}|{packed}".encode())


IntentFields = tuple[int, int, int, float, float, int | None, float | None]
"""Columns of an attempt: run, request, number, stamp, seconds ahead, boot, tick."""


def intent_crc(fields: IntentFields) -> int:
    """The checksum of a stored intent; cheap, since one is computed for every attempt."""
    return zlib.crc32(repr(fields).encode())


def end_crc(number: int, ended: float | None, code: str | None, ambiguous: int) -> int:
    """The checksum of the end of an attempt that was not its request's last."""
    return crc(number, ended, code, ambiguous)


def pack_outcome(outcome: Outcome) -> str:
    """An outcome as JSON."""
    fields = (outcome.status, outcome.code, dump_args(outcome.args), outcome.attempts, outcome.at)
    return dump(fields)


def unpack_outcome(packed: str) -> Outcome:
    """Reverse `pack_outcome`."""
    status, code, args, attempts, at = json.loads(packed)
    # Thousands of rows end the same way: their texts are kept once.
    return Outcome(
        RowStatus(status), sys.intern(code), load_args(args) if args else _NO_ARGS, attempts, at
    )


def pack_request(request: Request) -> str:
    """A request as JSON, without its key and rows, which have their own columns."""
    target = (request.target.key, request.target.id)
    late = (request.locks_at, request.after, request.free, request.once_locked)
    return dump((target, request.body, *late))


def pack_target(target: Target) -> str:
    """A classroom as JSON, for lookups; its key is one of few."""
    return f"[{_dumped(target.key)},{target.id}]"


_dumped: Final = lru_cache(maxsize=64)(dump)


def pack_rows(rows: tuple[int, ...]) -> str:
    """Row numbers as `5,9`."""
    return ",".join(map(str, rows))


def unpack_rows(packed: str) -> tuple[int, ...]:
    """Reverse `pack_rows`."""
    return tuple(map(int, packed.split(",")))


def unpack_request(key: str, rows: str, packed: str) -> Request:
    """Reverse `pack_request` and `pack_rows`."""
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
    """A body from its JSON lists."""
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
        "args": dump_args(issue.message.args),
    }


def unpack_issues(packed: str) -> tuple[Issue, ...]:
    """Reverse `pack_issues`."""
    return tuple(_issue_of(found) for found in json.loads(packed))


def _issue_of(found: Mapping[str, Any]) -> Issue:
    row, column, cell, value = found["at"]
    args = load_args(found["args"])
    return Issue(
        code=found["code"],
        severity=Severity(found["severity"]),
        row=row,
        column=column,
        cell=cell,
        value=value,
        message=Text(found["message"], args),
        fix=Text(found["fix"], args),
    )


def pack_stop(stop: Stop | None) -> str | None:
    """A stop as JSON; None for a run that was not stopped."""
    return dump([stop.reason, stop.code, dump_args(stop.args), stop.exit_status]) if stop else None


def unpack_stop(packed: str | None) -> Stop | None:
    """Reverse `pack_stop`."""
    if not packed:
        return None
    reason, code, args, exit_status = json.loads(packed)
    return Stop(reason, code, load_args(args), exit_status)


def pack_text(text: Text) -> str:
    """A sentence as JSON: its template and arguments."""
    return dump([text.template, dump_args(text.args)])


def unpack_text(packed: str) -> Text:
    """Reverse `pack_text`."""
    template, args = json.loads(packed)
    return Text(template, load_args(args))


@dataclass(frozen=True, slots=True)
class Sending:
    """How to send, as far as it matters to whoever does it."""

    rate: float | None
    """Requests per second; None for no pacing."""
    concurrency: int
    timeout: float
    """Seconds for one attempt."""
    max_outage_s: float
    """Seconds that an outage is waited out."""
    by: str
    """Who handed the run in."""


@dataclass(frozen=True, slots=True)
class RunHeader:
    """What a run was created from; written once."""

    run: str
    institution: Institution
    created_at: float
    sheet: str
    """The path of the file as given."""
    snapshot: str
    """The name, under the run's folder, of the copy of that file as it was read."""
    sha256: str
    layout: Layout
    headers: tuple[str, ...]
    n_rows: int
    n_requests: int
    target: str
    """The path of the result sheet."""
    tz: str
    mapping: Mapping[str, str] = field(default_factory=dict)
    """Header → setting, as the user mapped them."""
    parent: str = ""
    """The run that this one resumes or resubmits; empty for a first run."""
    name: str = ""
    """What the user calls the sheet, if its file has another name."""
    group: str = ""
    """The group of runs that this one is a part of, one for each institution of the sheet."""
    profile: str = ""
    """What the sheet calls the institution; empty if it has no such column."""
    sending: Sending | None = None
    """How a run of a shared ledger is sent, which other computers do."""

    @property
    def title(self) -> str:
        """What the user calls the sheet."""
        return self.name or self.sheet.replace("\\", "/").rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One line of the list of runs."""

    header: RunHeader
    finished_at: float | None
    """None while it runs, and after a crash until it is resumed."""
    stop: Stop | None
    counts: Mapping[RowStatus, int]
    under_way: bool = False
    """Whether a program is working on it now."""
    purged_at: float | None = None
    """When its row contents were erased; only how the rows ended is left."""

    @property
    def state(self) -> str:
        """One word: purged, running, crashed, stopped or finished."""
        if self.purged_at is not None:
            return "purged"
        if self.finished_at is None:
            return "running" if self.under_way else "crashed"
        return "stopped" if self.stop else "finished"


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored request; only its rows are decoded."""

    key: RequestKey
    rows: tuple[int, ...]
    packed: tuple[str, str] | None
    """Rows and request as stored; None if they were not loaded."""

    def request(self) -> Request:
        """Decode the request."""
        if self.packed is None:
            raise ValueError(f"request {self.key} was loaded without what it says")
        return unpack_request(self.key, *self.packed)


@dataclass(frozen=True)
class FrozenRun:
    """A run as loaded from the ledger."""

    header: RunHeader
    finished_at: float | None
    stop: Stop | None
    stored: tuple[Stored, ...]
    outcomes: Mapping[RequestKey, Outcome]
    """How each request ended; one that was being sent when the program died is unconfirmed."""
    settled: Mapping[int, Outcome]
    issues: Mapping[int, tuple[Issue, ...]]
    history: Mapping[RequestKey, History]
    """Earlier attempts of the requests that could be resumed."""
    purged_at: float | None = None
    """When its row contents were erased."""

    @cached_property
    def requests(self) -> tuple[Request, ...]:
        """The requests in sending order."""
        return tuple(stored.request() for stored in self.stored)

    def by_row(self) -> dict[int, Outcome]:
        """Row → how it ended, for every row of the run."""
        ended = dict(self.settled)
        for request in self.stored:
            ended.update(dict.fromkeys(request.rows, self.outcomes[request.key]))
        return {row: ended[row] for row in sorted(ended)}


_NOT_ALWAYS: Final = frozenset({"name", "group", "profile", "sending"})


def pack_header(header: RunHeader) -> str:
    """A header as JSON; what most sheets do not have, they do not have there, as ever."""
    fields = asdict(header)
    return dump({k: v for k, v in fields.items() if v or k not in _NOT_ALWAYS})


def unpack_header(packed: str) -> RunHeader:
    """Reverse `pack_header`."""
    found = json.loads(packed)
    found["institution"] = Institution(**found["institution"])
    found["layout"] = Layout(**found["layout"])
    found["headers"] = tuple(found["headers"])
    if sending := found.get("sending"):
        found["sending"] = Sending(**sending)
    return RunHeader(**found)
