"""What the dispatcher is given to work with, and what it tells of its progress."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bulkcast.dispatcher.circuit_breaker import BreakerState
from bulkcast.model import Attempt, Body, Intent, NoReply, Reply, RowStatus

Send = Callable[[Body, int], Awaitable[Reply | NoReply]]
"""Sends a body stamped with Unix seconds, once."""


class Journal(Protocol):
    """What the dispatcher writes down; both calls return when it is safely stored.

    Either may raise `LedgerUnwritable`: then nothing more is sent.
    """

    async def record_intent(self, intents: Sequence[Intent]) -> None:
        """These requests are about to leave."""

    async def record(self, attempts: Sequence[Attempt]) -> None:
        """These attempts have ended."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A look at a run under way."""

    counts: Mapping[RowStatus, int]
    """Rows that have ended, by status."""
    rows: int
    """Rows that will have ended when the run is through."""
    requests: int
    """Requests sent so far."""
    rate: float
    """Turns per second granted at present."""
    retrying: int
    breaker_state: BreakerState
    held_s: float
    """Seconds of silence left that ClassIn asked for."""
    open_s: float
    maintained: bool = False
    """Whether what the run waits for is the end of a maintenance."""
    slowed: bool = False
    """Whether it goes slower than asked for, or waits for the cap: how long is not foreseen."""
    held_back: int = 0
    """Requests that wait because an older one may yet arrive at their classroom."""
    held_back_s: float = 0.0
    """Seconds until the last of them may go."""
    late: int = 0
    """Rows still to be sent whose turn, at the present pace, comes after their lock."""
