"""Which rows of a run under way will lock before their turn, while its pace changes."""

from collections.abc import Callable
from typing import Final

from bulkcast.catalogue import Endpoint
from bulkcast.dispatcher import Dispatcher, Progress
from bulkcast.forecast import Pace, forecast
from bulkcast.model import RowStatus

_EVERY_S: Final = 5.0
_CHANGED: Final = 0.02
"""By how much the pace has to change for a forecast to be made at once."""


class Foresight:
    """Forecasts of one run, made anew when the pace has changed and every few seconds."""

    def __init__(
        self, dispatcher: Dispatcher, endpoint: Endpoint, rate: float, clock: Callable[[], float]
    ) -> None:
        """`rate` is what was asked for; `clock` never jumps."""
        self._dispatcher = dispatcher
        self._endpoint = endpoint
        self._rate = rate
        self._clock = clock
        self._made_at = -_EVERY_S
        self._made_for = 0.0
        self._late = self._locked = self._refused = 0

    def late(self, progress: Progress) -> int:
        """Rows that wait and would be too late at the present pace."""
        is_old = self._clock() - self._made_at >= _EVERY_S
        is_other = abs(progress.rate - self._made_for) > _CHANGED * self._made_for
        if is_old or is_other:
            self._made_at, self._made_for = self._clock(), progress.rate
            self._refused = _refused(progress)
            self._late, self._locked = self._foresee(progress)
        # Those that were foreseen and have been refused since are no longer to come; what had
        # locked already is refused first.
        refused = _refused(progress) - self._refused
        return max(0, self._late - max(0, refused - self._locked))

    def _foresee(self, progress: Progress) -> tuple[int, int]:
        """Rows that will lock before their turn, and rows that have locked already."""
        requests = self._dispatcher.waiting
        if all(request.locks_at is None for request in requests):
            return 0, 0
        now = self._dispatcher.server_time
        pace = Pace(
            self._rate,
            self._endpoint.limit,
            at_present=progress.rate,
            held_until=now + self._dispatcher.next_turn_s,
        )
        found = forecast(requests, pace, now=now)
        return len(found.late) - found.locked, found.locked


def _refused(progress: Progress) -> int:
    return progress.counts.get(RowStatus.TOO_LATE, 0)
