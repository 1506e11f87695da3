"""Lets requests through one by one: after the user, the circuit breaker and the pacer."""

import asyncio
from collections.abc import Awaitable, Callable

from bulkcast.dispatcher.circuit_breaker import BreakerState
from bulkcast.dispatcher.server_state import ServerState
from bulkcast.dispatcher.tracker import SENDS_MOST, RequestState, RunStopped, Shutdown, now
from bulkcast.model import Outcome, RequestKey, Stop

Replenish = Callable[[], Awaitable[None]]
"""Gets start times for a `LeasedPacer` that wants some.  It has to return within a second or two
even if there are none; it is called again then, and never twice at once."""


def _probe_order(state: RequestState) -> tuple[bool, bool, int]:
    """The sort key of probes: rows sent least first, rows never sent last.

    A row with one attempt left comes after all others, so that it can still succeed afterwards.
    """
    return state.attempts >= SENDS_MOST - 1, not state.attempts, state.attempts


class Admission:
    """Makes each request wait for the user, the circuit breaker, then a slot of the pacer."""

    def __init__(
        self,
        server_state: ServerState,
        shutdown: Shutdown,
        max_outage_s: float,
        replenish: Replenish | None = None,
    ) -> None:
        self._server_state = server_state
        self._replenish = replenish
        self._replenishing = asyncio.Lock()
        self._shutdown = shutdown
        self._max_outage_s = max_outage_s
        self._probe_under_way = False
        self._waiting: dict[RequestKey, RequestState] = {}
        self._next_probe: RequestState | None = None
        self._paused_at: float | None = None

    @property
    def is_paused(self) -> bool:
        """Whether the user has paused the run."""
        return self._paused_at is not None

    def pause(self) -> None:
        """Let no request through until `go_on`."""
        self._paused_at = now() if self._paused_at is None else self._paused_at

    def go_on(self) -> None:
        """Let requests through again; a pause is neither outage nor throttling."""
        if self._paused_at is not None:
            self._server_state.excuse(self._paused_at, now())
            self._paused_at = None
            self._shutdown.notify()

    async def wait_while_paused(self) -> None:
        """Wait for the end of a pause.

        Raises:
            RunStopped: the run is ending.

        """
        while self.is_paused and not self._shutdown.is_ending:
            await self._shutdown.wait_for_change(until=None)
        if self._shutdown.is_ending:
            raise RunStopped

    async def acquire_probe(self, state: RequestState) -> bool:
        """Wait until the circuit breaker allows a request; return whether it is a probe.

        A probe is sent while nothing else is; it has to call `release_probe` when it is over.

        Raises:
            RunStopped: the run is ending.

        """
        self._waiting[state.request.key] = state
        try:
            return await self._wait_for_breaker(state)
        finally:
            del self._waiting[state.request.key]
            if self._next_probe is state:
                self._next_probe = None

    async def _wait_for_breaker(self, state: RequestState) -> bool:
        breaker = self._server_state.breaker
        while not self._shutdown.is_ending:
            if self.is_paused:
                await self.wait_while_paused()
            elif breaker.state is BreakerState.CLOSED:
                return False
            if breaker.open_for(now()) > self._max_outage_s:
                self._shutdown.request(self._outage_stop())
            elif self._probe_under_way:
                await self._shutdown.wait_for_change(until=None)
            elif now() < breaker.probe_at:
                await self._shutdown.wait_for_change(until=breaker.probe_at)
            elif breaker.state is BreakerState.OPEN and not self._is_next_probe(state):
                await self._shutdown.wait_for_change(until=None)
            else:
                self._probe_under_way = True
                return True
        raise RunStopped

    def _is_next_probe(self, state: RequestState) -> bool:
        """Whether this request is the outage's next probe; all that wait ask at the same moment.

        A probe may be applied without an answer, so only a few rows serve as probes, in turns.
        """
        if self._next_probe is None:
            self._next_probe = min(self._waiting.values(), key=_probe_order)
        return self._next_probe is state

    def _outage_stop(self) -> Stop:
        """The reason to stop a run that has waited `max_outage_s`."""
        breaker = self._server_state.breaker
        minutes = f"{self._max_outage_s / 60:.0f}"
        if breaker.is_maintenance:
            return Stop("maintenance", "run.maintenance", {"minutes": minutes}, exit_status=5)
        words = {"minutes": minutes, "what": breaker.failure}
        return Stop("outage", "run.outage", words, exit_status=5)

    def release_probe(self) -> None:
        """Let the next probe start."""
        self._probe_under_way = False
        self._shutdown.notify()

    async def acquire_slot(self, state: RequestState) -> Outcome | None:
        """Wait for a slot of the pacer; take another if ClassIn or the user paused meanwhile.

        Returns the outcome of a request that need not be sent, and None otherwise: a row that
        would be too late by then leaves the slot to the next one.

        Raises:
            RunStopped: the run is ending.

        """
        pacer = self._server_state.pacer
        while True:
            moment = now()
            outcome = self._server_state.outcome_without_sending(state, pacer.due(moment) - moment)
            if outcome:
                return outcome
            slot = await self._reserve(moment)
            if slot <= moment and not (self._replenish or self.is_paused):
                return None  # no time has passed
            if self.is_paused:
                await self.wait_while_paused()
            elif pacer.stands(slot, now()):
                return self._server_state.outcome_without_sending(state, 0.0)

    async def acquire_turn(self) -> None:
        """Wait for a slot of the pacer for a request that belongs to no row.

        Raises:
            RunStopped: the run is ending.

        """
        while not self._server_state.pacer.stands(await self._reserve(now()), now()):
            pass
        await self.wait_while_paused()

    async def _reserve(self, moment: float) -> float:
        """Reserve a slot, wait until it begins, and return it."""
        pacer = self._server_state.pacer
        if self._replenish:
            async with self._replenishing:  # whoever came first has the first of the new slots
                moment, slot = await self._reserve_leased(self._replenish)
        else:
            slot = pacer.reserve(moment)
        if slot > moment:
            await self._shutdown.sleep(slot - moment)
        if self._shutdown.is_ending:
            raise RunStopped
        return slot

    async def _reserve_leased(self, replenish: Replenish) -> tuple[float, float]:
        """Reserve a slot once there is one; return the present time and the slot.

        During a pause of the user it is one that does not stand.
        """
        pacer = self._server_state.pacer
        while True:
            await replenish()
            moment = now()
            slot = pacer.reserve(moment)
            if pacer.stands(slot, moment) or self.is_paused or self._shutdown.is_ending:
                return moment, slot
            await self._shutdown.sleep(slot - moment)
