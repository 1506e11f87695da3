"""One waiting job a lane; what is lost is made again, what is stalled is ended."""

import asyncio

from bulkcast.fleet import control, fleet_status, jobs
from bulkcast.fleet.database import Database
from bulkcast.fleet.leases import Leases

A, B = "https://api.eeo.cn 1", "https://api.eeo.cn 2"

_JOBS = """
SELECT lock, status::text, priority FROM procrastinate_jobs ORDER BY priority DESC, id
"""


async def fetch_one(database: Database, *institutions: str) -> str | None:
    """What a worker that is then killed does: fetch a job."""
    worker = await database.fetch("SELECT worker_id FROM procrastinate_register_worker_v1()")
    queues = [jobs.queue_name(institution) for institution in institutions]
    rows = await database.fetch(
        "SELECT lock FROM procrastinate_fetch_job_v2(%s::varchar[], %s)", (queues, worker[0][0])
    )
    lock: str | None = rows[0][0]
    return lock


async def test_a_lane_has_one_waiting_job_however_often_it_is_woken(fleet: Database) -> None:
    await asyncio.gather(*(jobs.wake(fleet, [A, B]) for _ in range(8)))

    assert [row[0] for row in await fleet.fetch(_JOBS)] in ([A, B], [B, A])


async def test_new_work_hastens_a_lane_that_was_to_wait(fleet: Database) -> None:
    await jobs.continue_later(fleet, A, 3600.0)
    assert await fetch_one(fleet, A) is None
    assert await jobs.oldest_wait(fleet) == 0

    await jobs.wake(fleet, [A])

    assert await fetch_one(fleet, A) == A


async def test_a_new_lane_comes_before_those_that_had_a_slice(fleet: Database) -> None:
    await jobs.continue_later(fleet, A, 0.0)
    await jobs.wake(fleet, [B])

    assert [await fetch_one(fleet, A, B) for _ in range(3)] == [B, A, None]


async def test_a_worker_fetches_lanes_that_it_has_credentials_for(fleet: Database) -> None:
    long = "https://" + "a-long-name." * 9 + "example:8443 1000082"
    await jobs.wake(fleet, [A, B, long])

    assert [await fetch_one(fleet, B, long) for _ in range(3)] == [B, long, None]


async def test_jobs_that_are_lost_are_made_again(fleet: Database) -> None:
    await jobs.wake(fleet, [A])
    assert await jobs.reconcile(fleet, [A, B]) == [B]
    await fleet.fetch("TRUNCATE procrastinate_jobs CASCADE")

    assert sorted(await jobs.reconcile(fleet, [A, B])) == [A, B]
    assert await jobs.reconcile(fleet, [A, B]) == []


async def test_a_paused_lane_is_woken_for_a_cancellation_only(fleet: Database) -> None:
    await control.pause(fleet, [A])
    assert await jobs.reconcile(fleet, [A]) == []

    await control.request_cancel(fleet, "run-1", A)

    assert await fetch_one(fleet, A) == A


async def test_a_stalled_job_is_ended_even_where_another_waits_for_the_lane(
    fleet: Database,
) -> None:
    """Retried instead, it would collide with the waiting one (procrastinate #1446, #1543)."""
    dead = Leases(fleet, "dead", ttl_s=0.3)
    await jobs.wake(fleet, [A])
    assert await fetch_one(fleet, A) == A
    assert await dead.acquire(A)
    await jobs.wake(fleet, [A])
    assert await fetch_one(fleet, A) is None  # it waits for the one under way
    assert await jobs.rescue(fleet, grace_s=0.0) == []  # the lease is good

    await asyncio.sleep(0.35)

    rescued = await asyncio.gather(*(jobs.rescue(fleet, grace_s=0.0) for _ in range(5)))
    assert sorted(rescued) == [[], [], [], [], [A]]
    assert await fetch_one(fleet, A) == A


async def test_a_job_just_fetched_is_left_alone(fleet: Database) -> None:
    await jobs.wake(fleet, [A])
    await fetch_one(fleet, A)

    assert await jobs.rescue(fleet, grace_s=60.0) == []
    assert await jobs.rescue(fleet, grace_s=0.0) == [A]


async def test_the_status_names_workers_lanes_paces_and_the_oldest_wait(fleet: Database) -> None:
    await jobs.wake(fleet, [A])
    assert await Leases(fleet, "one").acquire(B)
    await control.pause(fleet, [B])
    await fleet_status.report_worker(fleet, "one", 50, 2)
    await asyncio.sleep(0.05)

    found = await fleet_status.status(fleet)

    waiting, held = found.lanes
    assert (waiting.institution, waiting.worker, waiting.is_waiting) == (A, None, True)
    assert (held.institution, held.worker, held.epoch, held.paused) == (B, "one", 1, True)
    assert not held.is_waiting
    assert 9 < held.expires_s <= 10
    assert 0.05 <= waiting.waiting_s <= found.oldest_wait_s < 10
    assert [(w.worker, w.concurrency, w.is_alive) for w in found.workers] == [("one", 50, True)]
