"""Start times of requests, leased in batches from one row per institution.

PostgreSQL's clock spaces them, so an institution's pace holds however many processes ask.
"""

import asyncio
import math
from collections.abc import Callable
from datetime import datetime
from typing import Final, NamedTuple

from bulkcast.fleet.database import Database

LATE_S: Final = 1.0
"""Seconds by which a start time may be late; a batch that takes longer to come is not used."""
AHEAD_S: Final = 0.25
"""Seconds before the next start time from which a lane leases it.  What a slice leaves unused may
be lost, so one that leased all it will ever need would leave the next ones nothing to send in."""
EVER_S: Final = 1e9

_LEASE: Final = """
INSERT INTO paces AS pace (institution, tat)
VALUES (%(institution)s, clock_timestamp() + make_interval(secs => %(span)s))
ON CONFLICT (institution) DO UPDATE
SET tat = greatest(pace.tat, pace.held_until, clock_timestamp()) + make_interval(secs => %(span)s)
WHERE pace.tat <= clock_timestamp() + make_interval(secs => %(within)s)
RETURNING extract(epoch FROM tat - clock_timestamp())::float8, tat
"""
_GIVE_BACK: Final = """
UPDATE paces SET tat = tat - make_interval(secs => %(unused)s)
WHERE institution = %(institution)s AND tat = %(tat)s
"""
_NOTE: Final = """
INSERT INTO paces AS pace (institution, held_until, share)
VALUES (%(institution)s, clock_timestamp() + make_interval(secs => %(held)s), %(share)s)
ON CONFLICT (institution) DO UPDATE
SET held_until = greatest(pace.held_until, excluded.held_until), share = excluded.share
"""
_STATE: Final = """
SELECT
    extract(epoch FROM greatest(held_until, clock_timestamp()) - clock_timestamp())::float8,
    share
FROM paces WHERE institution = %(institution)s
"""


class PaceState(NamedTuple):
    """What one worker leaves to the next."""

    held_s: float
    """Seconds left of a pause that ClassIn asked for."""
    share: float
    """Of the full rate, in (0, 1]: what throttling left of it."""


class _Batch(NamedTuple):
    """The last start times that this process leased for an institution."""

    tat: datetime
    """The moment after them, by PostgreSQL's clock."""
    end: float
    """The same by the loop's."""
    span_s: float


class SharedPace:
    """The paces of all institutions."""

    def __init__(
        self, database: Database, on_lease: Callable[[int], None] = lambda n: None
    ) -> None:
        """`on_lease` is told how many start times came."""
        self._database = database
        self._on_lease = on_lease
        self._batches: dict[str, _Batch] = {}

    async def slots(
        self, institution: str, n: int, rate: float, within_s: float = EVER_S
    ) -> list[float]:
        """Lease the next `n` start times, `rate` a second, by the running loop's clock.

        None is earlier than PostgreSQL granted it.  There are none where the first of them is not
        due `within_s`, or where the answer took so long that they may be late.  Waits while the
        database is out of reach.
        """
        if math.isinf(rate):
            return [asyncio.get_running_loop().time()] * n
        return await self._database.patiently(
            lambda: self._lease(institution, n, 1.0 / rate, within_s)
        )

    async def _lease(self, institution: str, n: int, step: float, within_s: float) -> list[float]:
        clock = asyncio.get_running_loop().time
        asked = clock()
        values = {"institution": institution, "span": n * step, "within": within_s}
        rows = await self._database.fetch(_LEASE, values)
        # The answer was true at a moment before now, so what it says is not yet due.
        now = clock()
        if not rows or now - asked > LATE_S:
            return []
        self._on_lease(n)
        end = now + rows[0][0]
        self._batches[institution] = _Batch(rows[0][1], end, n * step)
        return [end - (n - i) * step for i in range(n)]

    async def give_back(self, institution: str, first_unused: float) -> None:
        """Let whoever asks next have the start times from `first_unused` on, by the loop's clock.

        Nothing changes where another process has leased later ones, and none before the last
        batch are given back: their places by PostgreSQL's clock are not known as exactly.

        Raises:
            DatabaseUnreachable: the database is out of reach; the start times pass unused.

        """
        batch = self._batches.pop(institution, None)
        if batch is None:
            return
        unused = min(batch.end - first_unused, batch.span_s)
        if unused > 0:
            values = {"institution": institution, "tat": batch.tat, "unused": unused}
            await self._database.fetch(_GIVE_BACK, values)

    async def note(self, institution: str, held_s: float, share: float) -> None:
        """Keep a pause of `held_s` seconds from now and the share of the rate for other workers."""
        values = {"institution": institution, "held": max(0.0, held_s), "share": share}
        await self._database.fetch_patiently(_NOTE, values)

    async def state(self, institution: str) -> PaceState:
        """What the workers before left."""
        rows = await self._database.fetch_patiently(_STATE, {"institution": institution})
        return PaceState(*rows[0]) if rows else PaceState(0.0, 1.0)
