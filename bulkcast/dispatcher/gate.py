"""When a request may leave: the weather lets it, the pace grants it a turn, nothing ends it."""

from typing import Final

from bulkcast.dispatcher.brake import Brake, Halt, now
from bulkcast.dispatcher.conditions import Conditions
from bulkcast.endings import SENDS_MOST, Entry
from bulkcast.model import Outcome, RequestKey, Stop
from bulkcast.weather import Sky

MAX_OUTAGE_S: Final = 45 * 60.0
"""Half an hour's outage is survived with time to spare."""


def _probed_after(entry: Entry) -> tuple[bool, bool, int]:
    """Orders probes: of the rows sent already the one sent least, then rows that were never sent.

    The bound leaves each a last try, for when ClassIn answers again.
    """
    return entry.attempts >= SENDS_MOST - 1, not entry.attempts, entry.attempts


class Gate:
    """Everything a request waits for before it is sent."""

    def __init__(self, conditions: Conditions, brake: Brake, max_outage_s: float) -> None:
        self._conditions = conditions
        self._brake = brake
        self._max_outage_s = max_outage_s
        self._taken = False
        self._waiting: dict[RequestKey, Entry] = {}
        self._next_probe: Entry | None = None

    async def pass_alone(self, entry: Entry) -> bool:
        """Wait until the weather allows a request; whether it has to go alone.

        One that goes alone gives the way free again with `leave`.

        Raises:
            Halt: the run is ending.

        """
        self._waiting[entry.request.key] = entry
        try:
            return await self._wait(entry)
        finally:
            del self._waiting[entry.request.key]
            if self._next_probe is entry:
                self._next_probe = None

    async def _wait(self, entry: Entry) -> bool:
        weather = self._conditions.weather
        while not self._brake.stopped:
            if weather.sky is Sky.FAIR:
                return False
            if weather.parked_for(now()) > self._max_outage_s:
                self._brake.pull(self._outlasted())
            elif self._taken:
                await self._brake.change(until=None)
            elif now() < weather.probe_at:
                await self._brake.change(until=weather.probe_at)
            elif weather.sky is Sky.PARKED and not self._is_next_probe(entry):
                await self._brake.change(until=None)
            else:
                self._taken = True
                return True
        raise Halt

    def _is_next_probe(self, entry: Entry) -> bool:
        """Whether the next probe of an outage is this one's; all who wait ask at the same moment.

        A probe may be applied without anybody's saying so: few rows share them, in turns.
        """
        if self._next_probe is None:
            self._next_probe = min(self._waiting.values(), key=_probed_after)
        return self._next_probe is entry

    def _outlasted(self) -> Stop:
        """Why the run ends that has waited long enough."""
        weather = self._conditions.weather
        minutes = f"{self._max_outage_s / 60:.0f}"
        if weather.is_maintenance:
            return Stop("maintenance", "run.maintenance", {"minutes": minutes}, exit_status=5)
        words = {"minutes": minutes, "what": weather.seen}
        return Stop("outage", "run.outage", words, exit_status=5)

    def leave(self) -> None:
        """The request that went alone is back."""
        self._taken = False
        self._brake.stir()

    async def turn(self, entry: Entry) -> Outcome | None:
        """Wait for a turn of the pace, and take another if silence was asked for meanwhile.

        How the request ends instead, where it needs no turn: a row that would be late by then
        leaves the turn to the next.

        Raises:
            Halt: the run is ending.

        """
        pacer = self._conditions.pacer
        while True:
            moment = now()
            early = self._conditions.ends_already(entry, pacer.due(moment) - moment)
            if early:
                return early
            turn = pacer.reserve(moment)
            if turn > moment:
                await self._brake.sleep(turn - moment)
            if self._brake.stopped:
                raise Halt
            if pacer.stands(turn):
                return self._conditions.ends_already(entry, 0.0)
