"""Freezes a run when it begins, and notes its end; each inside the caller's transaction."""

import sqlite3
from collections.abc import Mapping, Sequence

from bulkcast.ledger.rows import (
    crc,
    pack_issues,
    pack_outcome,
    pack_request,
    pack_rows,
    pack_stop,
    pack_target,
    request_crc,
)
from bulkcast.ledger.values import RunHeader, pack_header
from bulkcast.model import Issue, Outcome, Request, Stop
from bulkcast.plan import Plan


def freeze(
    connection: sqlite3.Connection,
    header: RunHeader,
    plan: Plan,
    issues: Mapping[int, tuple[Issue, ...]],
) -> None:
    """Write down a plan and what was found in its rows."""
    run = header.run
    institution = header.institution
    frozen = (
        run,
        institution.root_url,
        institution.sid,
        float(header.created_at),
        pack_header(header),
    )
    run_id = connection.execute(
        "INSERT INTO runs (run, root_url, sid, created_at, header, crc, end_crc)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (*frozen, crc(*frozen), crc(None, None, None)),
    ).lastrowid
    connection.executemany(
        "INSERT INTO requests (run_id, seq, key, rows, n_rows, target, frozen, crc)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (_request_row(run_id, seq, request) for seq, request in enumerate(plan.requests)),
    )
    connection.executemany(
        "INSERT INTO settled (run_id, row, status, outcome, issues, crc) VALUES (?, ?, ?, ?, ?, ?)",
        (
            _settled_row(run_id, row, plan.settled.get(row), issues.get(row, ()))
            for row in sorted(plan.settled.keys() | issues.keys())
        ),
    )


def set_end(connection: sqlite3.Connection, run: str, at: float | None, stop: Stop | None) -> None:
    """Note when a run ended, and why where it ended early; None for one that goes on."""
    packed = pack_stop(stop)
    connection.execute(
        "UPDATE runs SET finished_at = ?, stop = ?, end_crc = ? WHERE run = ?",
        (at, packed, crc(at, packed, None), run),
    )


def boot_number(connection: sqlite3.Connection, boot: str) -> int:
    """The ledger's number for a start of this computer."""
    connection.execute(
        "INSERT INTO boots (boot, crc) VALUES (?, ?) ON CONFLICT DO NOTHING", (boot, crc(boot))
    )
    found = connection.execute("SELECT id FROM boots WHERE boot = ?", (boot,)).fetchone()
    return int(found[0])


def _request_row(run_id: int | None, seq: int, request: Request) -> tuple[object, ...]:
    frozen, rows, target = (
        pack_request(request),
        pack_rows(request.rows),
        pack_target(request.target),
    )
    check = request_crc(seq, request.key, rows, target, frozen)
    return (run_id, seq, request.key, rows, len(request.rows), target, frozen, check)


def _settled_row(
    run_id: int | None, row: int, outcome: Outcome | None, issues: Sequence[Issue]
) -> tuple[object, ...]:
    packed = pack_outcome(outcome) if outcome else None
    status = str(outcome.status) if outcome else None
    found = pack_issues(tuple(issues))
    return (run_id, row, status, packed, found, crc(run_id, row, status, packed, found))
