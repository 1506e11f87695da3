"""What a fleet is doing: workers, lanes, paces, the oldest wait; and how workers report."""

import os
import socket
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bulkcast.fleet.database import Database
from bulkcast.fleet.jobs import TASK, oldest_wait
from bulkcast.version import VERSION

HEARTBEAT_S: Final = 10.0
"""Seconds between two reports of a worker; after three it counts as gone."""

_SEEN: Final = """
INSERT INTO workers (worker, host, pid, concurrency, version, lanes)
VALUES (%(worker)s, %(host)s, %(pid)s, %(concurrency)s, %(version)s, %(lanes)s)
ON CONFLICT (worker) DO UPDATE SET seen_at = clock_timestamp(), lanes = excluded.lanes
"""
_FORGET: Final = """
DELETE FROM workers
WHERE worker = %(worker)s OR seen_at < clock_timestamp() - interval '1 day'
"""
_WORKERS: Final = """
SELECT worker, host, pid, concurrency, version, lanes, started_at,
    extract(epoch FROM clock_timestamp() - seen_at)::float8
FROM workers ORDER BY started_at, worker
"""
_LANES: Final = """
SELECT institution, CASE WHEN expires_at > clock_timestamp() THEN worker END, epoch,
    extract(epoch FROM greatest(expires_at, clock_timestamp()) - clock_timestamp())::float8,
    paused, waiting.since IS NOT NULL,
    extract(epoch FROM clock_timestamp() - least(waiting.since, clock_timestamp()))::float8
FROM lanes
FULL JOIN (
    SELECT job.lock AS institution, coalesce(job.scheduled_at, event.at) AS since
    FROM procrastinate_jobs AS job
    JOIN procrastinate_events AS event ON event.job_id = job.id AND event.type = 'deferred'
    WHERE job.status = 'todo' AND job.task_name = %(task)s
) AS waiting USING (institution)
ORDER BY institution
"""
_PACES: Final = """
SELECT institution,
    extract(epoch FROM greatest(held_until, clock_timestamp()) - clock_timestamp())::float8,
    share,
    extract(epoch FROM greatest(tat, clock_timestamp()) - clock_timestamp())::float8
FROM paces ORDER BY institution
"""


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One worker."""

    worker: str
    host: str
    pid: int
    concurrency: int
    version: str
    lanes: int
    """Institutions that it has credentials for."""
    started_at: datetime
    seen_s: float
    """Seconds since it last reported."""

    @property
    def is_alive(self) -> bool:
        """Whether it has reported lately."""
        return self.seen_s < 3 * HEARTBEAT_S


@dataclass(frozen=True, slots=True)
class LaneStatus:
    """One institution's sending."""

    institution: str
    worker: str | None
    """Who drains it at present."""
    epoch: int
    expires_s: float
    """Seconds left of the lease."""
    paused: bool
    is_waiting: bool
    """Whether a job waits for a worker."""
    waiting_s: float
    """For how many seconds; 0 for one that is to begin later."""

    @property
    def state(self) -> str:
        """One word: paused, sending, waiting or idle."""
        if self.paused:
            return "paused"
        if self.worker:
            return "sending"
        return "waiting" if self.is_waiting else "idle"


@dataclass(frozen=True, slots=True)
class PaceStatus:
    """One institution's pace."""

    institution: str
    held_s: float
    """Seconds left of a pause that ClassIn asked for."""
    share: float
    """Of the full rate: what throttling left of it."""
    ahead_s: float
    """Seconds for which start times are given out already."""


@dataclass(frozen=True, slots=True)
class FleetStatus:
    """The whole fleet at one moment."""

    workers: tuple[WorkerStatus, ...]
    lanes: tuple[LaneStatus, ...]
    paces: tuple[PaceStatus, ...]
    oldest_wait_s: float
    """Seconds for which the oldest job has waited for a worker."""


async def status(database: Database) -> FleetStatus:
    """Look at the fleet.

    Raises:
        DatabaseUnreachable: the database is out of reach.

    """
    lanes = await database.fetch(_LANES, {"task": TASK})
    return FleetStatus(
        tuple(WorkerStatus(*row) for row in await database.fetch(_WORKERS)),
        tuple(_lane(*row) for row in lanes),
        tuple(PaceStatus(*row) for row in await database.fetch(_PACES)),
        await oldest_wait(database),
    )


def _lane(
    institution: str, worker: str | None, epoch: int | None, expires_s: float | None, *rest: object
) -> LaneStatus:
    """`rest`: paused, is_waiting, waiting_s.  A lane that nobody took yet has no row."""
    paused, is_waiting, waiting_s = rest
    waited = waiting_s if isinstance(waiting_s, float) and is_waiting else 0.0
    return LaneStatus(
        institution, worker, epoch or 0, expires_s or 0.0, bool(paused), bool(is_waiting), waited
    )


async def report_worker(database: Database, worker: str, concurrency: int, lanes: int) -> None:
    """Say that a worker is alive.

    Raises:
        DatabaseUnreachable: the database is out of reach.

    """
    values = {
        "worker": worker, "host": socket.gethostname(), "pid": os.getpid(),
        "concurrency": concurrency, "version": VERSION, "lanes": lanes,
    }  # fmt: skip
    await database.fetch(_SEEN, values)


async def forget_worker(database: Database, worker: str) -> None:
    """Say that a worker ends; drop those that have not reported for a day.

    Raises:
        DatabaseUnreachable: the database is out of reach.

    """
    await database.fetch(_FORGET, {"worker": worker})
