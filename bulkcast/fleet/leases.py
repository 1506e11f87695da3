"""The right to a lane: held by one worker at a time, for some seconds after each renewal.

Times that decide whether a worker may send are its own, measured from before it asked: however
long the answer takes and whatever its clock shows, PostgreSQL's lease ends later.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime
from typing import Final

from bulkcast.fleet.database import Database, Row

TTL_S: Final = 10.0
"""Seconds from a renewal to the end of a lease."""
MARGIN_S: Final = 2.0
"""Seconds before that end from which nothing is sent any more."""

_ACQUIRE: Final = """
INSERT INTO lanes AS lane (institution, epoch, worker, expires_at)
VALUES (%(institution)s, 1, %(worker)s, clock_timestamp() + make_interval(secs => %(ttl)s))
ON CONFLICT (institution) DO UPDATE
SET epoch = lane.epoch + 1, worker = excluded.worker,
    expires_at = clock_timestamp() + make_interval(secs => %(ttl)s)
WHERE lane.expires_at < clock_timestamp() OR lane.worker = excluded.worker
RETURNING epoch, memory,
    coalesce(extract(epoch FROM clock_timestamp() - lane.left_at), 0)::float8
"""
# Rows are locked in one order, as commits of the ledger do, so that the two never wait for each
# other in a circle.  A lane released meanwhile has its epoch still, but no worker.
_RENEW: Final = """
WITH locked AS MATERIALIZED (
    SELECT lane.institution
    FROM lanes AS lane
    JOIN unnest(%(institutions)s::text[], %(epochs)s::bigint[]) AS mine (institution, epoch)
        USING (institution, epoch)
    WHERE lane.worker = %(worker)s
    ORDER BY lane.institution
    FOR NO KEY UPDATE OF lane
)
UPDATE lanes SET expires_at = clock_timestamp() + make_interval(secs => %(ttl)s)
FROM locked WHERE lanes.institution = locked.institution
RETURNING lanes.institution
"""
_HELD: Final = """
SELECT epoch, expires_at FROM lanes
WHERE institution = %(institution)s AND expires_at > clock_timestamp()
"""
_RELEASE: Final = """
UPDATE lanes SET expires_at = '-infinity', worker = NULL, memory = %(memory)s,
    left_at = CASE WHEN memory = %(memory)s THEN left_at ELSE clock_timestamp() END
WHERE institution = %(institution)s AND epoch = %(epoch)s
"""


def _awake_and_asleep() -> float:
    """Seconds of a clock that goes on while the computer sleeps, as the loop's may not."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.time() if boot is None else time.clock_gettime(boot)


class Lease:
    """The right to one lane."""

    __slots__ = ("_sleepless_until", "_until", "epoch", "institution", "lost", "memory",
                 "memory_s")  # fmt: skip

    def __init__(self, institution: str, epoch: int, memory: str, memory_s: float) -> None:
        """`epoch`: the fence; `memory`: what a slice left, `memory_s` seconds ago."""
        self.institution = institution
        self.epoch = epoch
        self.memory = memory
        self.memory_s = memory_s
        self.lost = False
        """Whether another worker has the lane now, so that nothing may be written for it."""
        self._until = self._sleepless_until = 0.0

    def may_send(self, loop_time: float) -> bool:
        """Whether a request may leave now; False for a worker that was frozen or cut off."""
        return (
            not self.lost
            and loop_time < self._until
            and _awake_and_asleep() < self._sleepless_until
        )

    def extend(self, start: tuple[float, float], seconds: float) -> None:
        """Allow sending until `seconds` after `start`."""
        loop_time, sleepless = start
        self._until, self._sleepless_until = loop_time + seconds, sleepless + seconds


class Leases:
    """The leases of one worker."""

    def __init__(self, database: Database, worker: str, ttl_s: float = TTL_S) -> None:
        """`worker`: a name that no other process has."""
        self._database = database
        self._worker = worker
        self._ttl_s = ttl_s
        self._sending_s = ttl_s - min(MARGIN_S, ttl_s / 4)
        self._held: dict[str, Lease] = {}

    def __iter__(self) -> Iterator[Lease]:
        return iter(list(self._held.values()))

    def __len__(self) -> int:
        return len(self._held)

    async def acquire(self, institution: str) -> Lease | None:
        """Take a lane; None while another worker holds it, or this one does already."""
        if institution in self._held:
            return None
        values = {"institution": institution, "worker": self._worker, "ttl": self._ttl_s}
        start, found = await self._timed(lambda: self._database.fetch(_ACQUIRE, values))
        if not found:
            return None
        lease = Lease(institution, *found[0])
        lease.extend(start, self._sending_s)
        self._held[institution] = lease
        return lease

    async def held(self, institution: str) -> tuple[int, datetime] | None:
        """The epoch and the end of whoever's lease on a lane; None while nobody has one.

        Raises:
            DatabaseUnreachable: the database is out of reach.

        """
        found = await self._database.fetch(_HELD, {"institution": institution})
        return found[0] if found else None

    async def renew(self) -> list[Lease]:
        """Renew all leases, also expired ones that nobody took; return those that were lost.

        Raises:
            DatabaseUnreachable: no lease was renewed, and none was found to be lost.

        """
        asked = dict(self._held)
        if not asked:
            return []
        values = {
            "institutions": list(asked),
            "epochs": [lease.epoch for lease in asked.values()],
            "worker": self._worker,
            "ttl": self._ttl_s,
        }
        start = _moment()
        renewed = {row[0] for row in await self._database.fetch(_RENEW, values)}
        lost = []
        for institution, lease in asked.items():
            if institution in renewed:
                lease.extend(start, self._sending_s)
            elif self._held.get(institution) is lease:
                lease.lost = True
                lost.append(lease)
        return lost

    async def release(self, lease: Lease, memory: str) -> None:
        """Give a lane back and leave `memory` for the next slice.

        Raises:
            DatabaseUnreachable: the worker is to end; the lease expires by itself.

        """
        if self._held.get(lease.institution) is lease:
            del self._held[lease.institution]
        values = {"institution": lease.institution, "epoch": lease.epoch, "memory": memory}
        if not lease.lost:
            await self._database.fetch_patiently(_RELEASE, values)

    async def _timed(
        self, ask: Callable[[], Awaitable[list[Row]]]
    ) -> tuple[tuple[float, float], list[Row]]:
        """The answer, and the moment just before the attempt that brought it."""
        start = _moment()

        async def attempt() -> list[Row]:
            nonlocal start
            start = _moment()
            return await ask()

        found = await self._database.patiently(attempt)
        return start, found


def _moment() -> tuple[float, float]:
    return asyncio.get_running_loop().time(), _awake_and_asleep()
