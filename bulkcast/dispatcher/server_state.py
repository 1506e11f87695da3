"""What the answers tell about ClassIn: outages, its clock, its limits, reasons to stop."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from bulkcast.catalogue import Endpoint
from bulkcast.dispatcher.circuit_breaker import BreakerState, CircuitBreaker, StopConditions
from bulkcast.dispatcher.memory import LIFE_S, Memory
from bulkcast.dispatcher.server_clock import ServerClock
from bulkcast.dispatcher.tracker import RequestState, now, unless_ambiguous
from bulkcast.i18n import marked
from bulkcast.model import Outcome, ReplyClass, Stop, Text
from bulkcast.pacing import Pacer
from bulkcast.planner import deadlines
from bulkcast.protocol import Counting, NoReply, Reply, Verdict, signs_differ

RETRY_AFTER_MOST_S: Final = 300.0
"""A longer pause than this ends the run, to be resumed later."""

_OUTAGE: Final = marked("ClassIn gives no answer of its own ({what}); waiting for it.")
_CHARACTERS_COUNTED: Final = marked(
    "ClassIn counts the characters of a long text when it checks a signature, not its bytes as its"
    " documentation says; such rows were signed once more."
)
_MAINTENANCE: Final = marked("ClassIn is under maintenance; waiting for its end.")
_RECOVERED: Final = marked("ClassIn answers again; going on gently.")
_SUPPRESSED: Final = Text(marked("That went on and on; it is told no more."))
_REPEATS_MOST: Final = 5
"""Times that a remark is repeated."""


def add_remark(remarks: list[Text], remark: Text, most: int = _REPEATS_MOST) -> None:
    """Add a remark, but not for ever: a clock may jump back and forth for hours."""
    repeats = sum(earlier.template == remark.template for earlier in remarks)
    if repeats < most:
        remarks.append(remark)
    elif repeats == most > 1 and _SUPPRESSED not in remarks:
        remarks.append(_SUPPRESSED)


class ServerState:
    """What the run knows about ClassIn, updated with each answer."""

    def __init__(
        self,
        endpoint: Endpoint,
        pacer: Pacer,
        *,
        wall: Callable[[], float],
        chance: Callable[[], float],
        max_throttled_s: float,
    ) -> None:
        """Throttling that lasts longer than `max_throttled_s` seconds ends the run."""
        self.pacer = pacer
        self.breaker = CircuitBreaker()
        self.stop_conditions = StopConditions(endpoint)
        self.clock = ServerClock()
        self.counting: Counting = "bytes"
        """What the length limit of the signature counts, as far as ClassIn's answers have shown."""
        self.remarks: list[Text] = []
        """Remarks for the user, on a wrong clock or an outage for example."""
        self._endpoint = endpoint
        self._wall = wall
        self._chance = chance
        self._max_throttled_s = max_throttled_s
        self._throttled_since = math.inf
        self._proven_at = -math.inf

    def recall(self, memory: Memory, at: float) -> None:
        """Go on from what an earlier slice knew; but its clock may have been another's."""
        self.breaker.recall(memory, at)
        self.stop_conditions.recall(memory)
        self.counting = "characters" if memory.counting == "characters" else "bytes"
        if memory.proven_s is not None:
            self._proven_at = at - memory.proven_s - memory.passed_s
        if memory.throttled_s is not None:
            self._throttled_since = at - memory.throttled_s - memory.silence_s
        left_s, eased_s = memory.left_s(memory.held_s), memory.eased_s + memory.passed_s
        if memory.budget is not None:
            self.pacer.budget.left = min(self.pacer.budget.left, memory.budget)
        self.pacer.go_on(at, memory.share, left_s, eased_s, memory.throttles)

    def remember(self, at: float) -> Memory:
        """All that `recall` reads."""
        pacer = self.pacer
        return Memory(
            **self.breaker.remember(at),
            **self.stop_conditions.remember(),
            counting=self.counting,
            proven_s=None if math.isinf(self._proven_at) else at - self._proven_at,
            throttled_s=(
                None if math.isinf(self._throttled_since) else max(0.0, at - self._throttled_since)
            ),
            share=pacer.share,
            held_s=max(0.0, pacer.held_until - at),
            eased_s=min(LIFE_S, at - pacer.eased_at),
            throttles=pacer.throttles,
            budget=pacer.budget.left,
        )

    @property
    def server_time(self) -> float:
        """The time at ClassIn, Unix seconds.

        This computer's clock serves only until the first answer: setting it forward during the
        run would make all remaining rows too late.
        """
        known = self.clock.lower_bound(now())
        return self._wall() + self.clock.offset if known is None else known

    # -------------------------------------------------------------- before an attempt

    def outcome_without_sending(self, state: RequestState, wait: float) -> Outcome | None:
        """The outcome of a request that need not be sent in `wait` seconds; None if it has to be.

        Its settings will have locked by then, or the institution lacks a feature it switches on.
        """
        outcome = self._outcome_if_locked(state, wait) or self.stop_conditions.outcome_if_blocked(
            state.request
        )
        return replace(outcome, status=unless_ambiguous(state, outcome.status)) if outcome else None

    def _outcome_if_locked(self, state: RequestState, wait: float) -> Outcome | None:
        """The outcome if settings have locked by then; or drop those settings from the request."""
        request = state.request
        if not deadlines.is_late(request.locks_at, self.server_time + wait):
            return None
        if request.once_locked == "refuse":
            return deadlines.refusal(request, self._endpoint)
        state.request = deadlines.only_free(request, self._endpoint)
        return None

    def excuse(self, since: float, until: float) -> None:
        """Count the time between, a pause of the user, as neither outage nor throttling."""
        self.breaker.excuse(since, until)
        if self._throttled_since < until:
            self._throttled_since += until - max(since, self._throttled_since)

    # -------------------------------------------------------------- after an attempt

    def learn(
        self,
        state: RequestState,
        verdict: Verdict,
        reply: Reply | NoReply,
        at: float,
        *,
        is_probe: bool,
    ) -> Stop | None:
        """Take one answer into account; return a `Stop` if it is a reason to end the run.

        `is_probe` says that it answers a canary or a probe.
        """
        before = self.breaker.state
        self.breaker.observe(state.request.key, verdict, at, self._chance(), is_probe=is_probe)
        self._note_breaker_change(before, at)
        self._measure_clock(verdict, reply)
        state.count(verdict, outage_probe=is_probe and before is BreakerState.OPEN)
        stop = self._clock_stop(state, verdict, at)
        if verdict.kind is ReplyClass.THROTTLED:
            stop = stop or self._slow_down(verdict, at)
        elif verdict.proves_access:
            self._throttled_since, self._proven_at = math.inf, at
            self.clock.stamp_accepted()
            self.pacer.answered(at)
        if stop or state.needs_other_counting(verdict):
            return stop
        self._learn_counting(state, verdict)
        return self.stop_conditions.observe(state.request, verdict)

    def _learn_counting(self, state: RequestState, verdict: Verdict) -> None:
        """Remember what the signature of an accepted long text counted."""
        if not verdict.proves_access or state.counting == self.counting:
            return
        if signs_differ(state.request.body):
            self.counting = state.counting
            add_remark(self.remarks, Text(_CHARACTERS_COUNTED), most=1)

    def _note_breaker_change(self, before: BreakerState, at: float) -> None:
        after = self.breaker.state
        if after is before:
            return
        if after is BreakerState.OPEN and self.breaker.is_maintenance:
            add_remark(self.remarks, Text(_MAINTENANCE))
        elif after is BreakerState.OPEN:
            add_remark(self.remarks, Text(_OUTAGE, {"what": self.breaker.failure}))
        if before is BreakerState.OPEN:
            add_remark(self.remarks, Text(_RECOVERED))
            self.pacer.resume_gently(at)

    def learn_time(self, verdict: Verdict, reply: Reply | NoReply, at: float) -> Stop | None:
        """Take the answer to a request for the time into account; a `Stop` as from `learn`."""
        self._measure_clock(verdict, reply)
        match verdict.kind:
            case ReplyClass.THROTTLED:
                return self._slow_down(verdict, at)
            case ReplyClass.STOP:
                return Stop("refused", verdict.code, verdict.args)
            case ReplyClass.CLOCK if not self.clock.is_known:
                # The right time stays unknown, and by the wrong one rows would be called too late.
                return Stop("clock", verdict.code, verdict.args)
            case _:
                return None

    def _measure_clock(self, verdict: Verdict, reply: Reply | NoReply) -> None:
        """Read ClassIn's time from an answer, if it is ClassIn's own.

        The clock of another server, such as one with a login page, does not count.
        """
        if isinstance(reply, NoReply) or reply.date is None or not verdict.code.isdigit():
            return
        self.clock.observe(reply.date, now())
        remark = self.clock.measure(reply.date, self._wall())
        if remark:
            add_remark(self.remarks, remark)

    def _clock_stop(self, state: RequestState, verdict: Verdict, at: float) -> Stop | None:
        """A `Stop` if a corrected stamp was refused; the first refusal only corrects the stamps."""
        if verdict.kind is ReplyClass.CLOCK and self.clock.stamp_refused(state.sent_at, at):
            return Stop("clock", verdict.code, verdict.args)
        return None

    def _slow_down(self, verdict: Verdict, at: float) -> Stop | None:
        self._throttled_since = min(self._throttled_since, at)
        hint = verdict.retry_after or 0.0
        if hint > RETRY_AFTER_MOST_S or at - self._throttled_since > self._max_throttled_s:
            seconds = f"{max(hint, at - self._throttled_since):.0f}"
            return Stop("throttled", "run.throttled", {"seconds": seconds}, exit_status=5)
        self.pacer.throttled(at, verdict.retry_after, self._chance())
        return None
