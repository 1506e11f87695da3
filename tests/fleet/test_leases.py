"""One worker at a time may send for an institution."""

import asyncio

import pytest

from bulkcast.errors import DatabaseUnreachable
from bulkcast.fleet.database import Database
from bulkcast.fleet.leases import Lease, Leases
from tests.postgres import server

INSTITUTION = "https://api.eeo.cn 7"


def clock() -> float:
    return asyncio.get_running_loop().time()


async def taken(leases: Leases, institution: str = INSTITUTION) -> Lease:
    lease = await leases.acquire(institution)
    assert lease is not None
    return lease


async def test_two_workers_exclude_each_other_and_hand_over_with_memory(fleet: Database) -> None:
    one, other = Leases(fleet, "one"), Leases(fleet, "other")

    first = await taken(one)
    assert (first.epoch, first.memory) == (1, "{}")
    assert first.may_send(clock())
    assert await other.acquire(INSTITUTION) is None
    assert await one.acquire(INSTITUTION) is None
    await one.release(first, '{"cut": 0.7}')

    second = await taken(other)
    assert (second.epoch, second.memory) == (2, '{"cut": 0.7}')


async def test_how_old_a_memory_is_comes_from_the_clock_of_the_database(fleet: Database) -> None:
    leases = Leases(fleet, "one")
    first = await taken(leases)
    await leases.release(first, "left")
    await fleet.fetch("UPDATE lanes SET left_at = left_at - interval '1 hour'")
    second = await taken(leases)
    await leases.release(second, "left")  # by a slice that had nothing to do
    third = await taken(leases)
    await leases.release(third, "news")
    fourth = await taken(leases)

    assert first.memory_s == 0.0
    assert 3_600.0 <= second.memory_s < 3_660.0
    assert second.memory_s < third.memory_s < 3_660.0
    assert fourth.memory_s < 60.0


async def test_a_lane_is_asked_for_by_all_at_once_and_one_gets_it(fleet: Database) -> None:
    workers = [Leases(fleet, f"worker {n}") for n in range(12)]

    got = await asyncio.gather(*(worker.acquire(INSTITUTION) for worker in workers))

    assert sum(lease is not None for lease in got) == 1


async def test_an_expired_lease_is_taken_over_and_its_holder_may_not_send(fleet: Database) -> None:
    one, other = Leases(fleet, "one", ttl_s=0.4), Leases(fleet, "other", ttl_s=0.4)
    old = await taken(one)
    assert await one.renew() == []

    await asyncio.sleep(0.45)

    assert not old.may_send(clock())  # it ends before PostgreSQL gives the lane to anybody else
    new = await taken(other)
    assert new.epoch == old.epoch + 1
    assert await one.renew() == [old]
    assert old.lost
    await one.release(old, "from the past")
    assert await other.renew() == []
    assert new.may_send(clock())


async def test_sending_ends_before_the_lease_does(fleet: Database) -> None:
    before = clock()
    lease = await taken(Leases(fleet, "one", ttl_s=10.0))

    assert lease.may_send(before + 7.99)
    assert not lease.may_send(clock() + 8.0)


async def test_a_computer_that_slept_may_not_send(
    fleet: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = await taken(Leases(fleet, "one"))
    assert lease.may_send(clock())

    # The loop's clock stands still meanwhile, on Linux and macOS.
    monkeypatch.setattr("bulkcast.fleet.leases._awake_and_asleep", lambda: 10.0**12)

    assert not lease.may_send(clock())


@pytest.mark.proof
@pytest.mark.slow
async def test_a_lease_is_regained_after_a_restart_while_nobody_took_the_lane(
    fleet: Database,
) -> None:
    one = Leases(fleet, "one", ttl_s=0.4)
    lease = await taken(one)

    server().stop()
    with pytest.raises(DatabaseUnreachable):
        await one.renew()
    await asyncio.sleep(0.4)
    assert not lease.may_send(clock())
    assert not lease.lost
    server().start()
    assert await fleet.patiently(one.renew) == []

    assert lease.may_send(clock())
    assert lease.epoch == 1


async def test_a_lane_whose_taking_went_unanswered_is_taken_again_at_once(fleet: Database) -> None:
    await taken(Leases(fleet, "one"))

    assert (await taken(Leases(fleet, "one"))).epoch == 2


async def test_renewing_locks_lanes_in_the_order_that_commits_do(fleet: Database) -> None:
    one = Leases(fleet, "one")
    names = [f"lane {n:02}" for n in range(20)]
    for name in reversed(names):
        await taken(one, name)
    share = "SELECT FROM lanes WHERE institution = ANY (%s) ORDER BY institution FOR SHARE"

    for _ in range(20):
        await asyncio.gather(one.renew(), *(fleet.fetch(share, (names,)) for _ in range(3)))

    assert all(lease.may_send(clock()) for lease in one)


async def test_a_renewal_under_way_does_not_keep_a_lane_that_is_released(fleet: Database) -> None:
    workers = [Leases(fleet, "one"), Leases(fleet, "other")]

    for n in range(60):
        leases = workers[n % 2]
        lease = await taken(leases)
        renewals = [asyncio.create_task(leases.renew()) for _ in range(2)]
        await asyncio.gather(asyncio.sleep(0), leases.release(lease, "{}"))
        assert await asyncio.gather(*renewals) == [[], []]
