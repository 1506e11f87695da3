"""What people tell the workers: pause a lane, cancel a run.  A worker looks once a second."""

from collections.abc import Collection
from typing import Final, NamedTuple

from bulkcast.fleet.database import Database
from bulkcast.fleet.jobs import wake

_PAUSE: Final = """
INSERT INTO lanes AS lane (institution, paused) SELECT unnest(%(lanes)s::text[]), true
ON CONFLICT (institution) DO UPDATE SET paused = true WHERE NOT lane.paused
RETURNING institution
"""
_RESUME: Final = """
UPDATE lanes SET paused = false
WHERE paused AND institution = ANY (%(lanes)s)
RETURNING institution
"""
_ALL: Final = "SELECT institution FROM lanes"
_CANCEL: Final = """
INSERT INTO cancellations (run, institution) VALUES (%(run)s, %(institution)s)
ON CONFLICT (run) DO UPDATE SET asked_at = clock_timestamp()
"""
_UNCANCEL: Final = "DELETE FROM cancellations WHERE run = %(run)s"
_LOOK: Final = """
SELECT institution, NULL FROM lanes WHERE paused AND institution = ANY (%(lanes)s)
UNION ALL
SELECT institution, run FROM cancellations WHERE institution = ANY (%(lanes)s)
"""


class Orders(NamedTuple):
    """What people have told workers about some lanes."""

    paused: frozenset[str] = frozenset()
    """Institutions."""
    cancelled: frozenset[str] = frozenset()
    """Runs."""


async def pause(database: Database, institutions: Collection[str] | None = None) -> list[str]:
    """Let nothing more be sent for institutions, or for all; return those not paused before.

    Raises:
        DatabaseUnreachable: the database is out of reach.

    """
    lanes = await _named(database, institutions)
    return sorted(row[0] for row in await database.fetch(_PAUSE, {"lanes": lanes}))


async def resume(database: Database, institutions: Collection[str] | None = None) -> list[str]:
    """End a pause of institutions, or of all; return those that were paused.

    Raises:
        DatabaseUnreachable: the database is out of reach.

    """
    lanes = await _named(database, institutions)
    resumed = sorted(row[0] for row in await database.fetch(_RESUME, {"lanes": lanes}))
    await wake(database, resumed)
    return resumed


async def _named(database: Database, institutions: Collection[str] | None) -> list[str]:
    if institutions is not None:
        return sorted(institutions)
    return [row[0] for row in await database.fetch(_ALL)]


async def request_cancel(database: Database, run: str, institution: str) -> None:
    """Ask whoever drains the lane to end a run; a lane that nobody drains is woken for it.

    Raises:
        DatabaseUnreachable: the database is out of reach.

    """
    await database.fetch(_CANCEL, {"run": run, "institution": institution})
    await wake(database, [institution])


async def clear_cancel(database: Database, run: str) -> None:
    """Forget a request to cancel: the run has ended, or is resumed.

    Raises:
        DatabaseUnreachable: the database is out of reach.

    """
    await database.fetch(_UNCANCEL, {"run": run})


async def orders(database: Database, institutions: Collection[str]) -> Orders:
    """What was told about these institutions.

    Raises:
        DatabaseUnreachable: the database is out of reach.

    """
    rows = await database.fetch(_LOOK, {"lanes": list(institutions)})
    return Orders(
        frozenset(institution for institution, run in rows if run is None),
        frozenset(run for _, run in rows if run is not None),
    )
