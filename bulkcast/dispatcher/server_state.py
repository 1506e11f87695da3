"""What each answer means for every other request: outage, clock, pace, reasons to stop."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from bulkcast.catalogue import Endpoint
from bulkcast.dispatcher.circuit_breaker import BreakerState, CircuitBreaker, StopConditions
from bulkcast.dispatcher.server_clock import ServerClock
from bulkcast.dispatcher.shutdown import now
from bulkcast.dispatcher.tracker import RequestState, unless_ambiguous
from bulkcast.i18n import marked
from bulkcast.model import NoReply, Outcome, Reply, ReplyClass, Stop, Text, Verdict
from bulkcast.pacing import Pacer
from bulkcast.planner import deadlines
from bulkcast.protocol import Counting, signs_differ

RETRY_AFTER_MOST_S: Final = 300.0
"""A longer silence than this ends the run, to be resumed later."""

_DARK: Final = marked("ClassIn gives no answer of its own ({what}); waiting for it.")
_COUNTED: Final = marked(
    "ClassIn counts the characters of a long text when it checks a signature, not its bytes as its"
    " documentation says; such rows were signed once more."
)
_MAINTAINED: Final = marked("ClassIn is under maintenance; waiting for its end.")
_BACK: Final = marked("ClassIn answers again; going on gently.")


_NO_MORE: Final = Text(marked("That went on and on; it is told no more."))
_TOLD_MOST: Final = 5
"""Times that one thing is told."""


class ServerState:
    """What the run knows of ClassIn, learned from answer to answer."""

    def __init__(
        self,
        endpoint: Endpoint,
        pacer: Pacer,
        *,
        wall: Callable[[], float],
        chance: Callable[[], float],
        max_throttled_s: float,
    ) -> None:
        """`max_throttled_s` is how long nothing but throttling is borne."""
        self.pacer = pacer
        self.breaker = CircuitBreaker()
        self.guards = StopConditions(endpoint)
        self.clock = ServerClock()
        self.counting: Counting = "bytes"
        """How long texts are counted when they are signed, as ClassIn was last seen to do."""
        self.remarks: list[Text] = []
        """What the user should hear of: a wrong clock, an outage."""
        self._endpoint = endpoint
        self._wall = wall
        self._chance = chance
        self._max_throttled_s = max_throttled_s
        self._throttled_since = math.inf

    @property
    def server_time(self) -> float:
        """What time it is at ClassIn, Unix seconds.

        By this computer's clock only until ClassIn has told: one that is set forward during the
        run would make all rows too late that are left.
        """
        known = self.clock.at_least(now())
        return self._wall() + self.clock.offset if known is None else known

    # -------------------------------------------------------------- before a try

    def ends_already(self, entry: RequestState, wait: float) -> Outcome | None:
        """How a request that would leave in `wait` seconds ends without a try.

        It is locked by then, or in need of a feature that is not there.
        """
        early = self._too_late(entry, wait) or self.guards.blocks(entry.request)
        return replace(early, status=unless_ambiguous(entry, early.status)) if early else None

    def _too_late(self, entry: RequestState, wait: float) -> Outcome | None:
        """How a request ends whose settings will have locked by ClassIn's clock."""
        request = entry.request
        if not deadlines.is_late(request.locks_at, self.server_time + wait):
            return None
        if request.once_locked == "refuse":
            return deadlines.refusal(request, self._endpoint)
        entry.request = deadlines.only_free(request, self._endpoint)
        return None

    # -------------------------------------------------------------- after a try

    def learn(
        self,
        entry: RequestState,
        verdict: Verdict,
        reply: Reply | NoReply,
        at: float,
        *,
        alone: bool,
    ) -> Stop | None:
        """Take one answer into account; a `Stop` where it is a reason to end the run.

        `alone` says that it answers a canary or a probe.
        """
        before = self.breaker.state
        self.breaker.observe(entry.request.key, verdict, at, self._chance())
        self._note_sky(before, at)
        self._measure_clock(verdict, reply)
        entry.count(verdict, probing=alone and before is BreakerState.OPEN)
        stop = self._clock_wrong(entry, verdict, at)
        if verdict.kind is ReplyClass.THROTTLED:
            stop = stop or self._slow_down(verdict, at)
        elif verdict.proves_access:
            self._throttled_since = math.inf
            self.clock.accepted()
            self.pacer.answered(at)
        if stop or entry.is_to_be_recounted(verdict):
            return stop
        self._learn_counting(entry, verdict)
        return self.guards.observe(entry.request, verdict)

    def _learn_counting(self, entry: RequestState, verdict: Verdict) -> None:
        """Remember by which rule a long text was signed that was let in."""
        if not verdict.proves_access or entry.counting == self.counting:
            return
        if signs_differ(entry.request.body):
            self.counting = entry.counting
            self._remark(Text(_COUNTED), most=1)

    def _remark(self, remark: Text, most: int = _TOLD_MOST) -> None:
        """Tell it, but not again and again: a clock that jumps back and forth does so for hours."""
        told = sum(earlier.template == remark.template for earlier in self.remarks)
        if told < most:
            self.remarks.append(remark)
        elif told == most > 1 and _NO_MORE not in self.remarks:
            self.remarks.append(_NO_MORE)

    def _note_sky(self, before: BreakerState, at: float) -> None:
        after = self.breaker.state
        if after is before:
            return
        if after is BreakerState.OPEN and self.breaker.is_maintenance:
            self._remark(Text(_MAINTAINED))
        elif after is BreakerState.OPEN:
            self._remark(Text(_DARK, {"what": self.breaker.seen}))
        if before is BreakerState.OPEN:
            self._remark(Text(_BACK))
            self.pacer.resume_gently(at)

    def learn_the_time(self, verdict: Verdict, reply: Reply | NoReply, at: float) -> Stop | None:
        """Take an answer into account that speaks of no row; a `Stop` as from `learn`."""
        self._measure_clock(verdict, reply)
        match verdict.kind:
            case ReplyClass.THROTTLED:
                return self._slow_down(verdict, at)
            case ReplyClass.STOP:
                return Stop("refused", verdict.code, verdict.args)
            case ReplyClass.CLOCK if not self.clock.is_known:
                # Nobody tells the right time, and by the wrong one rows would be called too late.
                return Stop("clock", verdict.code, verdict.args)
            case _:
                return None

    def _measure_clock(self, verdict: Verdict, reply: Reply | NoReply) -> None:
        """Take the time that an answer tells into account, if it is ClassIn's own.

        The clock of whatever else answers, a login page on the way say, is nobody's measure.
        """
        if isinstance(reply, NoReply) or reply.date is None or not verdict.code.isdigit():
            return
        self.clock.seen(reply.date, now())
        remark = self.clock.measure(reply.date, self._wall())
        if remark:
            self._remark(remark)

    def _clock_wrong(self, entry: RequestState, verdict: Verdict, at: float) -> Stop | None:
        """The first refusal has the stamps corrected; one of a corrected stamp ends the run."""
        if verdict.kind is ReplyClass.CLOCK and self.clock.refused(entry.sent_at, at):
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
