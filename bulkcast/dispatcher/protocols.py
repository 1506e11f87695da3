"""What the dispatcher is given to work with, and the progress it reports."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bulkcast.dispatcher.circuit_breaker import BreakerState
from bulkcast.model import Attempt, Body, Intent, NoReply, Reply, RowStatus

Send = Callable[[Body, int], Awaitable[Reply | NoReply]]
"""Sends a body stamped with Unix seconds, once."""


class Journal(Protocol):
    """Stores what the dispatcher records; both calls return once it is safely on disk.

    Either may raise `LedgerUnwritable`: then nothing more is sent.
    """

    async def record_intent(self, intents: Sequence[Intent]) -> None:
        """Record that these requests are about to be sent."""

    async def record(self, attempts: Sequence[Attempt]) -> None:
        """Record how these attempts ended."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a run under way."""

    counts: Mapping[RowStatus, int]
    """Finished rows, by status."""
    rows: int
    """All rows of the run."""
    requests: int
    """Requests sent so far."""
    rate: float
    """Requests per second allowed at present."""
    retrying: int
    """Requests that failed at least once and will be sent again."""
    breaker_state: BreakerState
    held_s: float
    """Seconds left of a pause that ClassIn asked for."""
    open_s: float
    """Seconds since ClassIn stopped answering; 0 when it answers."""
    maintained: bool = False
    """Whether the run waits for the end of a maintenance."""
    slowed: bool = False
    """Whether throttling or the cap slows the run; for how long is unknown."""
    held_back: int = 0
    """Requests that wait because an older one may still reach their classroom."""
    held_back_s: float = 0.0
    """Seconds until the last of them may be sent."""
    late: int = 0
    """Rows not yet sent that will have locked by the time the present pace reaches them."""
    paused: bool = False
    """Whether the user has paused the run."""
    under_way: int = 0
    """Requests sent and not answered yet."""
