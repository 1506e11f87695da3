"""Procrastinate hands lanes to workers: one waiting job a lane, one job under way.

The ledger is the truth and jobs are hints.  Whoever has work for a lane wakes it; each worker
makes jobs again that are missing, and ends those of workers that are gone.  Such a job is ended,
never retried: a retry collides with a job that already waits for the same lane.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import suppress
from typing import Any, Final, LiteralString

import procrastinate
import psycopg
from procrastinate import jobs as procrastinate_jobs
from procrastinate.connector import Notify
from procrastinate.exceptions import ConnectorException
from procrastinate.manager import JobManager
from psycopg import errors

from bulkcast.errors import DatabaseUnreachable
from bulkcast.fleet.database import Database, is_lost

TASK: Final = "bulkcast.lane"
_NEW, _CONTINUED = 1, 0
"""Priorities: a lane with new work comes before those that had a slice already."""

_QUEUE_BYTES: Final = 63 - len("procrastinate_queue_v1#")
"""The longest name of a queue: PostgreSQL's channels have 63 bytes, and a longer one fails."""

# Procrastinate's own function, documented for use from SQL; its Python counterpart finds out by an
# English error message that a job waits already, which a server in another language never sends.
_DEFER: Final = """
SELECT procrastinate_defer_jobs_v1(array_agg(
    ROW (
        queue, %(task)s, %(priority)s::integer, institution, institution,
        jsonb_build_object('institution', institution),
        CASE WHEN %(delay)s > 0 THEN clock_timestamp() + make_interval(secs => %(delay)s) END
    )::procrastinate_job_to_defer_v1 ORDER BY place
))
FROM unnest(%(institutions)s::text[], %(queues)s::text[])
    WITH ORDINALITY AS wanted (institution, queue, place)
WHERE NOT EXISTS (
    SELECT FROM procrastinate_jobs AS job
    WHERE job.queueing_lock = wanted.institution AND job.status = 'todo'
)
"""
_HASTEN: Final = """
UPDATE procrastinate_jobs SET scheduled_at = NULL, priority = %(priority)s
WHERE queueing_lock = ANY (%(institutions)s) AND status = 'todo' AND scheduled_at IS NOT NULL
"""
_WITHOUT_JOB: Final = """
SELECT institution
FROM unnest(%(institutions)s::text[]) AS open (institution)
LEFT JOIN lanes USING (institution)
WHERE NOT EXISTS (
    SELECT FROM procrastinate_jobs AS job
    WHERE job.lock = open.institution AND job.status IN ('todo', 'doing')
) AND (
    NOT coalesce(lanes.paused, false)
    OR EXISTS (SELECT FROM cancellations AS c WHERE c.institution = open.institution)
)
"""
# A job just fetched is spared: its worker has not got round to taking the lease yet.
_RESCUE: Final = """
WITH stalled AS MATERIALIZED (
    SELECT job.id, job.lock
    FROM procrastinate_jobs AS job
    LEFT JOIN lanes ON lanes.institution = job.lock
    WHERE job.status = 'doing' AND job.task_name = %(task)s
      AND (lanes.expires_at IS NULL OR lanes.expires_at < clock_timestamp())
      AND NOT EXISTS (
          SELECT FROM procrastinate_events AS event
          WHERE event.job_id = job.id AND event.type = 'started'
            AND event.at > clock_timestamp() - make_interval(secs => %(grace)s)
      )
    FOR UPDATE OF job SKIP LOCKED
)
SELECT lock, procrastinate_finish_job_v1(id, 'failed', true) FROM stalled
"""
_OLDEST_WAIT: Final = """
SELECT extract(
    epoch FROM coalesce(max(clock_timestamp() - coalesce(job.scheduled_at, event.at)), '0 s')
)::float8
FROM procrastinate_jobs AS job
JOIN procrastinate_events AS event ON event.job_id = job.id AND event.type = 'deferred'
WHERE job.status = 'todo' AND job.task_name = %(task)s
  AND (job.scheduled_at IS NULL OR job.scheduled_at <= clock_timestamp())
"""


def queue_name(institution: str) -> str:
    """The queue of an institution: its name, or a hash of one that is too long.

    >>> queue_name("https://api.eeo.cn 1000082")
    'https://api.eeo.cn 1000082'
    >>> len(queue_name("https://" + "long." * 20 + "example 7"))
    40
    """
    if len(institution.encode()) <= _QUEUE_BYTES:
        return institution
    return hashlib.sha256(institution.encode()).hexdigest()[:_QUEUE_BYTES]


async def wake(database: Database, institutions: Iterable[str]) -> None:
    """Have each lane drained soon; nothing changes for one that waits already.

    Raises:
        DatabaseUnreachable: the database is out of reach; the workers find the work by themselves.

    """
    lanes = list(institutions)
    if lanes:
        await _defer(database, lanes, _NEW, 0.0)
        await database.fetch(_HASTEN, {"institutions": lanes, "priority": _NEW})


async def continue_later(database: Database, institution: str, delay_s: float) -> None:
    """Have a lane drained again, behind those that wait already and not before `delay_s`.

    Raises:
        DatabaseUnreachable: the worker is to end; other workers find the work by themselves.

    """
    await database.patiently(lambda: _defer(database, [institution], _CONTINUED, delay_s))


async def _defer(database: Database, lanes: list[str], priority: int, delay_s: float) -> None:
    values = {
        "institutions": lanes, "queues": [queue_name(lane) for lane in lanes],
        "task": TASK, "priority": priority, "delay": delay_s,
    }  # fmt: skip
    try:
        await database.fetch(_DEFER, values)
    except errors.UniqueViolation:
        # Another process was faster with one of them, and none was made.
        for lane in lanes if len(lanes) > 1 else ():
            await _defer(database, [lane], priority, delay_s)


async def reconcile(database: Database, institutions: Collection[str]) -> list[str]:
    """Make a job for each lane that has work and no job; return those lanes.

    Raises:
        DatabaseUnreachable: the database is out of reach.

    """
    if not institutions:
        return []
    rows = await database.fetch(_WITHOUT_JOB, {"institutions": list(institutions)})
    lanes = [row[0] for row in rows]
    await wake(database, lanes)
    return lanes


async def rescue(database: Database, grace_s: float) -> list[str]:
    """End the jobs whose lanes nobody holds any more, and wake those lanes; return them.

    A job fetched less than `grace_s` seconds ago is left alone.

    Raises:
        DatabaseUnreachable: the database is out of reach.

    """
    rows = await database.fetch(_RESCUE, {"task": TASK, "grace": grace_s})
    lanes = [row[0] for row in rows]
    await wake(database, lanes)
    return lanes


async def oldest_wait(database: Database) -> float:
    """Seconds for which the oldest job has been waiting; 0 where none waits.

    Raises:
        DatabaseUnreachable: the database is out of reach.

    """
    rows = await database.fetch(_OLDEST_WAIT, {"task": TASK})
    return float(rows[0][0])


# ------------------------------------------------------------------ Procrastinate's worker


Institutions = Callable[[], Collection[str]]
"""Those whose jobs a worker takes, asked anew before each."""


def make_app(
    database: Database, drain: Callable[[str], Awaitable[None]], institutions: Institutions
) -> procrastinate.App:
    """The application whose worker calls `drain` with the institution of each job.

    Its worker waits out a database that is gone, where Procrastinate's own would end.
    """
    connector = _Connector(database)
    app = procrastinate.App(connector=connector)
    app.job_manager = _JobManager(connector, institutions)

    @app.task(name=TASK)
    async def lane(institution: str) -> None:
        await drain(institution)

    return app


async def run_engine(
    database: Database, app: procrastinate.App, *,
    institutions: Collection[str], concurrency: int, name: str, heartbeat_s: float, grace_s: float,
) -> None:  # fmt: skip
    """Fetch and run jobs until cancelled; then wait up to `grace_s` for those under way.

    It is notified of new jobs for `institutions`, and looks for those of others once a second.
    """
    async with app.open_async(database.pool):
        await app.run_worker_async(
            queues=sorted(map(queue_name, institutions)),
            concurrency=concurrency,
            name=name,
            fetch_job_polling_interval=1.0,
            update_heartbeat_interval=heartbeat_s,
            # Leases say who is alive.  A worker that was frozen for an hour is to find its own
            # entry when it wakes: without, it could fetch no job.
            stalled_worker_timeout=24 * 3600.0,
            shutdown_graceful_timeout=grace_s,
            delete_jobs="always",
            install_signal_handlers=False,
        )


class _Connector(procrastinate.PsycopgConnector):
    """Waits out a database that is out of reach."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database

    async def execute_query_async(self, query: LiteralString, **arguments: Any) -> None:
        execute = super().execute_query_async
        await self._database.patiently(lambda: execute(query, **arguments))

    async def execute_query_one_async(
        self, query: LiteralString, **arguments: Any
    ) -> dict[str, Any]:
        execute = super().execute_query_one_async
        return await self._database.patiently(lambda: execute(query, **arguments))

    async def execute_query_all_async(
        self, query: LiteralString, **arguments: Any
    ) -> list[dict[str, Any]]:
        execute = super().execute_query_all_async
        return await self._database.patiently(lambda: execute(query, **arguments))

    async def listen_notify(self, on_notification: Notify, channels: Iterable[str]) -> None:
        while True:
            try:
                await super().listen_notify(on_notification, channels)
            except (ConnectorException, psycopg.Error, OSError) as exc:
                if not is_lost(exc):
                    raise
                await asyncio.sleep(1.0)  # jobs are looked for once a second meanwhile


class _JobManager(JobManager):
    """Takes jobs of the institutions that are served now, whichever were when the engine started.

    That another worker has ended a job it takes calmly.
    """

    def __init__(self, connector: _Connector, institutions: Institutions) -> None:
        super().__init__(connector)
        self._institutions = institutions

    async def fetch_job(
        self, queues: Iterable[str] | None, worker_id: int
    ) -> procrastinate_jobs.Job | None:
        queues = sorted(map(queue_name, self._institutions()))
        return await super().fetch_job(queues, worker_id) if queues else None

    async def finish_job(
        self,
        job: procrastinate_jobs.Job,
        status: procrastinate_jobs.Status,
        delete_job: bool,  # noqa: FBT001 - as Procrastinate has it
    ) -> None:
        with suppress(DatabaseUnreachable):  # the worker is to end: others will rescue the job
            try:
                await super().finish_job(job, status, delete_job)
            except ConnectorException as exc:
                if not isinstance(exc.__cause__, errors.RaiseException):
                    raise
