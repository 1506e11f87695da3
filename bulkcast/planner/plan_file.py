"""Reads and writes plan files: a plan as JSON, with the facts it was made from."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bulkcast.errors import CannotStart
from bulkcast.i18n import dump_args, load_args
from bulkcast.model import (
    Cell,
    FlaggedCell,
    Institution,
    Outcome,
    Request,
    RequestKey,
    RowStatus,
    Sheet,
    Target,
)
from bulkcast.planner import Plan, fingerprint

FAMILY: Final = "bulkcast.planfile/"
SCHEMA: Final = f"{FAMILY}1"
SUFFIX: Final = ".plan"
"""Suffix of plan files."""
_START: Final = 200
"""Bytes or characters at the start of a file in which the schema is looked for."""
_NOTE: Final = (
    "Made by bulkcast; changed by hand it is refused. It can be sent as it stands, so it holds"
    " every password that the sheet sets."
)


@dataclass(frozen=True, slots=True)
class PlanFile:
    """The content of a plan file."""

    made_at: float
    institution: Institution
    sheet: str
    """The path of the sheet."""
    sha256: str
    """SHA-256 of the sheet's bytes."""
    rows: Mapping[str, str]
    """Row number → fingerprint of its cells, the header row included."""
    reading: Mapping[str, Any]
    """How the sheet was read and which rows were selected, as JSON values."""
    plan: Plan


def row_hashes(sheet: Sheet) -> dict[str, str]:
    """A short fingerprint of every row of a sheet, and of its header."""
    hashes = {str(row.number): _hash([_cell(c) for c in row.cells]) for row in sheet.rows}
    return {str(sheet.layout.header_row): _hash(list(sheet.headers)), **hashes}


def _cell(cell: Cell) -> object:
    if isinstance(cell, FlaggedCell):
        return [cell.code, cell.shown, str(cell.value)]
    return cell if isinstance(cell, str | None) else repr(cell)


def _hash(value: object) -> str:
    import hashlib

    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def dumps(frozen: PlanFile) -> str:
    """The text of a plan file."""
    content = {
        "schema": SCHEMA,
        "note": _NOTE,
        "made_at": frozen.made_at,
        "institution": {"root_url": frozen.institution.root_url, "sid": frozen.institution.sid},
        "sheet": frozen.sheet,
        "sha256": frozen.sha256,
        "reading": frozen.reading,
        "rows": dict(frozen.rows),
        "fingerprint": frozen.plan.fingerprint,
        "requests": [_request(request) for request in frozen.plan.requests],
        "settled": [
            {"row": row, "status": out.status, "code": out.code, "args": dump_args(out.args),
             "attempts": out.attempts}
            for row, out in frozen.plan.settled.items()
        ],
    }  # fmt: skip
    return json.dumps({**content, "check": _check(content)}, indent=1) + "\n"


def _check(content: Mapping[str, Any]) -> str:
    import hashlib

    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _request(request: Request) -> dict[str, Any]:
    return {
        "key": request.key,
        "rows": request.rows,
        "target": [request.target.key, request.target.id],
        "body": request.body,
        "locks_at": request.locks_at,
        "after": request.after,
        "free": request.free,
        "once_locked": request.once_locked,
    }


def is_one(start: bytes) -> bool:
    """Whether a file with these first bytes is a plan file of any version."""
    return FAMILY.encode() in start[:_START]


def loads(text: str, *, name: str) -> PlanFile:
    """Read a plan file's text; `name` is the file's name.

    Raises:
        CannotStart: it is no plan file, or was changed since it was written.

    """
    start = text[:_START]
    if FAMILY not in start:
        raise CannotStart(
            "{name} is no plan, whatever its name says; `bulkcast plan SHEET -o FILE` makes one",
            name=name,
        )
    if f'"{SCHEMA}"' not in start:
        raise CannotStart(
            "{name} was planned by another version of bulkcast, whose plans this one cannot read;"
            " plan the sheet again",
            name=name,
        )
    try:
        content: Any = json.loads(text)
        check = content.pop("check")
        is_whole = content["schema"] == SCHEMA and _check(content) == check
        frozen = _read(content) if is_whole else None
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        frozen = None
    if frozen is None or fingerprint(frozen.plan.requests) != frozen.plan.fingerprint:
        raise CannotStart(
            "{name} is not as `bulkcast plan` wrote it; plan the sheet again, for a plan "
            "cannot be edited",
            name=name,
        )
    return frozen


def _read(content: Any) -> PlanFile:
    requests = tuple(_read_request(found) for found in content["requests"])
    settled = {
        int(s["row"]): Outcome(
            RowStatus(s["status"]), s["code"], load_args(s["args"]), int(s["attempts"])
        )
        for s in content["settled"]
    }
    return PlanFile(
        made_at=float(content["made_at"]),
        institution=Institution(**content["institution"]),
        sheet=str(content["sheet"]),
        sha256=str(content["sha256"]),
        rows=dict(content["rows"]),
        reading=dict(content["reading"]),
        plan=Plan(requests, settled, str(content["fingerprint"])),
    )


def _read_request(found: Any) -> Request:
    key, number = found["target"]
    body = ((name, tuple(v) if isinstance(v, list) else v) for name, v in found["body"])
    return Request(
        key=RequestKey(found["key"]),
        rows=tuple(found["rows"]),
        target=Target(key, number),
        body=tuple(body),
        locks_at=found["locks_at"],
        after=found["after"],
        free=tuple(found["free"]),
        once_locked=found["once_locked"],
    )
