"""When a request is sent again: one tenacity policy from its first attempt to its last."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from tenacity import AsyncRetrying, RetryCallState, retry_if_result, wait_random

from bulkcast.dispatcher.server_state import RETRY_AFTER_MOST_S
from bulkcast.dispatcher.tracker import RequestState, Shutdown, now, should_retry
from bulkcast.model import Outcome, ReplyClass, Stop
from bulkcast.pacing import Budget
from bulkcast.protocol import Verdict

PASS_SENDS: Final = 3
"""Sends of one pass: a request is repeated a few times close together, then pauses."""
PASS_GAP_S: Final = 30.0
"""Seconds between two passes."""
SAME_AGAIN_S: Final = 5.5
"""ClassIn refuses identical parameters within 5 s (101003002), whatever it said to the first."""

_JITTER_FIRST_S: Final = 0.5
_JITTER_MOST_S: Final = 30.0


def wants_retry(state: RequestState, found: Verdict | Outcome, stop: Stop | None) -> bool:
    """Whether another attempt may help after one that gave `found`, or an outcome unsent.

    Nearly all requests are sent once, and so do without a `RetryPolicy`, which costs as much as
    the ledger.
    """
    return not isinstance(found, Outcome) and should_retry(state, found, stop)


class RetryPolicy:
    """Decides whether, when and how often one request is sent again.

    A request has a policy of its own: tenacity keeps the state of a call in the object, so one
    shared between tasks mixes up their attempts and even their results (tenacity #93).
    """

    def __init__(
        self, state: RequestState, budget: Budget, shutdown: Shutdown, earlier_sends: int
    ) -> None:
        """`earlier_sends`: its sends before the first attempt."""
        self._state = state
        self._budget = budget
        self._shutdown = shutdown
        self._earlier_attempts = 0
        """Attempts before the present pass."""
        self._earlier_sends = earlier_sends
        """Sends before the present pass."""

    def policy(self, before_sleep: Callable[[RetryCallState], Awaitable[None]]) -> AsyncRetrying:
        """The policy for an attempt, which returns a verdict, or an outcome if nothing was sent.

        Calling it returns what the last attempt returned.  `before_sleep` is called after each
        attempt that will be repeated.
        """
        return AsyncRetrying(
            retry=retry_if_result(self._should_retry),
            stop=lambda _: self._state.is_exhausted,
            wait=self._schedule,
            sleep=self._shutdown.sleep,
            before_sleep=before_sleep,
            retry_error_callback=_result,
        )

    def _should_retry(self, found: Verdict | Outcome) -> bool:
        return wants_retry(self._state, found, self._shutdown.stopped)

    def _schedule(self, call: RetryCallState) -> float:
        """Seconds until the next attempt, noted for a slice that may come before it."""
        seconds = self._wait(call)
        self._state.next_at = now() + seconds
        return seconds

    def _wait(self, call: RetryCallState) -> float:
        """Seconds until the next attempt.

        If the retry budget is empty, the request waits for its next pass.
        """
        if self._state.is_exhausted:
            return 0.0  # tenacity asks how long to wait before it asks whether to stop
        verdict: Verdict = _result(call)
        sends = self._state.sends - self._earlier_sends
        if sends < PASS_SENDS and self._budget.take(verdict.kind):
            return _pause(verdict, call, call.attempt_number - self._earlier_attempts)
        self._earlier_attempts, self._earlier_sends = call.attempt_number, self._state.sends
        return PASS_GAP_S


def _pause(verdict: Verdict, call: RetryCallState, attempts: int) -> float:
    """Seconds between two attempts of a pass, `attempts` of which have been made.

    Throttling, maintenance and outages add nothing here: pacer and circuit breaker make every
    request wait for their end.
    """
    same_again = SAME_AGAIN_S if verdict.code.isdigit() else 0.0
    if verdict.kind is not ReplyClass.TRANSIENT:
        return same_again
    hint = min(verdict.retry_after or 0.0, RETRY_AFTER_MOST_S)
    most = min(_JITTER_MOST_S, _JITTER_FIRST_S * 2.0 ** (attempts - 1))
    return max(wait_random(max=most)(call), hint, same_again)


def _result(call: RetryCallState) -> Any:
    """What the last attempt returned; tenacity asks only after one."""
    return call.outcome.result() if call.outcome else None
