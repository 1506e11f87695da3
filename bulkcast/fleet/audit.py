"""Who did what in a fleet, when and from where."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bulkcast.fleet.database import Database

_RECORD: Final = """
INSERT INTO audit (action, run, institution, who, host, details)
VALUES (%s, %s, %s, %s, %s, %s)
"""
_RECENT: Final = """
SELECT id, at, action, run, institution, who, host, details FROM audit
WHERE %(before)s::bigint IS NULL OR id < %(before)s
ORDER BY id DESC LIMIT %(n)s
"""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One action of a person."""

    id: int
    at: datetime
    action: str
    """submit, pause, resume, cancel, undo …"""
    run: str | None
    institution: str | None
    who: str
    host: str
    details: str


async def record(
    database: Database, action: str, *, who: str, host: str,
    run: str | None = None, institution: str | None = None, details: str = "",
) -> None:  # fmt: skip
    """Record an action.

    Raises:
        DatabaseUnreachable: the database is out of reach.

    """
    await database.fetch(_RECORD, (action, run, institution, who, host, details))


async def recent(database: Database, n: int = 50, before: int | None = None) -> list[AuditEntry]:
    """The last `n` actions, newest first; those before the entry with the id `before`.

    Raises:
        DatabaseUnreachable: the database is out of reach.

    """
    rows = await database.fetch(_RECENT, {"n": n, "before": before})
    return [AuditEntry(*row) for row in rows]
