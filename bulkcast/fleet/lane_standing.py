"""How lanes stand, asked often and in threads: one statement on a connection of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bulkcast.fleet.database import connect_once
from bulkcast.fleet.fleet_status import HEARTBEAT_S

_STANDING: Final = """
SELECT
    coalesce((SELECT paused FROM lanes WHERE institution = %(lane)s), false),
    (SELECT worker FROM lanes
     WHERE institution = %(lane)s AND expires_at > clock_timestamp()),
    (SELECT count(*) FROM workers
     WHERE seen_at > clock_timestamp() - make_interval(secs => %(alive)s)),
    EXISTS (SELECT FROM cancellations WHERE run = %(run)s)
"""
_BUSY: Final = """
SELECT institution, paused, expires_at > clock_timestamp() FROM lanes
WHERE paused OR expires_at > clock_timestamp()
"""


@dataclass(frozen=True, slots=True)
class LaneStanding:
    """How an institution's sending stands, and one of its runs."""

    paused: bool = False
    worker: str | None = None
    """Who sends for it at present."""
    workers: int = 0
    """How many workers have reported lately, for whatever institutions."""
    cancelled: bool = False
    """Whether somebody has asked for the end of the run."""


def lane_standing(url: str, lane: str, run: str) -> LaneStanding:
    """Look at a lane and a run of it.

    Raises:
        DatabaseUnreachable: the database is out of reach.

    """
    values = {"lane": lane, "run": run, "alive": 3 * HEARTBEAT_S}
    with connect_once(url) as connection:
        found = connection.execute(_STANDING, values).fetchone()
    return LaneStanding(*found) if found else LaneStanding()


def busy_lanes(url: str) -> Mapping[str, str]:
    """The lanes that are `paused`, and those that are `held` by a worker.

    Raises:
        DatabaseUnreachable: the database is out of reach.

    """
    with connect_once(url) as connection:
        found = connection.execute(_BUSY).fetchall()
    return {lane: "paused" if paused else "held" for lane, paused, _ in found}
