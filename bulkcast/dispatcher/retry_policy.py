"""When a request is tried again: one tenacity policy from its first try to its last."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from tenacity import AsyncRetrying, RetryCallState, retry_if_result, wait_random

from bulkcast.dispatcher.server_state import RETRY_AFTER_MOST_S
from bulkcast.dispatcher.shutdown import Shutdown
from bulkcast.dispatcher.tracker import RequestState, may_be_mended
from bulkcast.model import Outcome, ReplyClass, Verdict
from bulkcast.pacing import Budget

PASS_SENDS: Final = 3
"""Sends of one pass: a request is repeated a few times close together, then let rest."""
PASS_GAP_S: Final = 30.0
"""Seconds between two passes."""
SAME_AGAIN_S: Final = 5.5
"""ClassIn refuses identical parameters within 5 s (101003002), whatever it said to the first."""

_JITTER_FIRST_S: Final = 0.5
_JITTER_MOST_S: Final = 30.0


class RetryPolicy:
    """What is repeated of one request, after what wait, and how often.

    A request has a policy of its own: tenacity keeps the state of a call in the object, so one
    shared between tasks mixes up their attempts and even their results (tenacity #93).
    """

    def __init__(self, entry: RequestState, budget: Budget, shutdown: Shutdown) -> None:
        self._entry = entry
        self._budget = budget
        self._shutdown = shutdown
        self._earlier_tries = 0
        """Tries before the present pass."""
        self._earlier_sends = 0
        """Sends before it."""

    def policy(self, before_sleep: Callable[[RetryCallState], Awaitable[None]]) -> AsyncRetrying:
        """The policy for a try that returns a verdict, or the outcome of what needs no try.

        It returns what the last try did.  `before_sleep` hears of each that will be repeated.
        """
        return AsyncRetrying(
            retry=retry_if_result(self._may_be_mended),
            stop=lambda _: self._entry.is_spent,
            wait=self._wait,
            sleep=self._shutdown.sleep,
            before_sleep=before_sleep,
            retry_error_callback=_result,
        )

    def _may_be_mended(self, found: Verdict | Outcome) -> bool:
        """Whether another try may help."""
        if isinstance(found, Outcome):
            return False
        return may_be_mended(self._entry, found, self._shutdown.stopped)

    def _wait(self, state: RetryCallState) -> float:
        """Seconds until the next try.

        With an empty budget a pass is over after its first try: the row waits for the next pass.
        """
        if self._entry.is_spent:
            return 0.0  # tenacity asks how long to wait before it asks whether to stop
        verdict: Verdict = _result(state)
        sends = self._entry.sends - self._earlier_sends
        if sends < PASS_SENDS and self._budget.take(verdict.kind):
            return _pause(verdict, state, state.attempt_number - self._earlier_tries)
        self._earlier_tries, self._earlier_sends = state.attempt_number, self._entry.sends
        return PASS_GAP_S


def _pause(verdict: Verdict, state: RetryCallState, tries: int) -> float:
    """Seconds between two tries of a pass, `tries` of which have been made.

    Throttling, maintenance and outages are waited out at the pace and the breaker, together with
    every other row.
    """
    said_itself = SAME_AGAIN_S if verdict.code.isdigit() else 0.0
    if verdict.kind is not ReplyClass.TRANSIENT:
        return said_itself
    hint = min(verdict.retry_after or 0.0, RETRY_AFTER_MOST_S)
    most = min(_JITTER_MOST_S, _JITTER_FIRST_S * 2.0 ** (tries - 1))
    return max(wait_random(max=most)(state), hint, said_itself)


def _result(state: RetryCallState) -> Any:
    """What the last try returned; there has been one when tenacity asks."""
    return state.outcome.result() if state.outcome else None
