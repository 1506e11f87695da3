"""The state of a run and of each of its requests: recorded in the journal, then counted."""

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final, Protocol, assert_never

from bulkcast.dispatcher.memory import Memory
from bulkcast.dispatcher.write_ordering import UnansweredAttempt, ahead_of
from bulkcast.errors import LedgerGone, LedgerUnwritable
from bulkcast.messages import LONG_TEXT
from bulkcast.model import (
    Attempt,
    History,
    Intent,
    Outcome,
    ReplyClass,
    Request,
    RequestKey,
    RowStatus,
    Stop,
)
from bulkcast.protocol import Counting, Verdict, signs_differ

SENDS_MOST: Final = 8
"""Unanswered sends of one request after which it ends unconfirmed."""
THROTTLES_MOST: Final = 12
"""Times one request may be throttled; with the sends above this makes 20."""


def now() -> float:
    """Seconds of the event loop's clock, which never jumps."""
    return asyncio.get_running_loop().time()


class RunStopped(Exception):
    """The run is ending: nothing more is sent."""


class Shutdown:
    """Whether the run has been told to stop, and why; the first reason stays."""

    def __init__(self) -> None:
        self.stopped: Stop | None = None
        """Why the run ends early; None if it does not."""
        self.hands_over = False
        """Whether the rest of the run is left to the next slice."""
        self._requested = asyncio.Event()
        self._changed = asyncio.Event()

    def request(self, why: Stop) -> None:
        """Send nothing more; requests under way may finish."""
        self.stopped = self.stopped or why
        self._requested.set()
        self.notify()

    def hand_over(self) -> None:
        """Send nothing more and leave the rest to the next slice."""
        self.hands_over = True
        self._requested.set()
        self.notify()

    @property
    def is_ending(self) -> bool:
        """Whether nothing more is sent."""
        return self.stopped is not None or self.hands_over

    def notify(self) -> None:
        """Wake everything that waits for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_for_change(self, *, until: float | None) -> None:
        """Wait for `notify`, or until a time of the event loop's clock."""
        try:
            async with asyncio.timeout_at(until):
                await self._changed.wait()
        except TimeoutError:
            return

    async def sleep(self, seconds: float) -> None:
        """Sleep; wake early if the run is stopped.

        Raises:
            RunStopped: the run is ending.

        """
        try:
            async with asyncio.timeout(seconds):
                await self._requested.wait()
        except TimeoutError:
            return
        raise RunStopped


# ------------------------------------------------------------------ one request


Repeats = tuple[int, int, int, float]
"""Sends, throttles, refusals of its stamp, and when a request may be sent again."""


def place_of(request: Request) -> str:
    """Names a request among all runs of an institution."""
    return f"{request.key} {request.target}"


@dataclass(slots=True)
class RequestState:
    """One request and what its attempts have shown so far."""

    request: Request
    attempts: int = 0
    sends: int = 0
    throttles: int = 0
    clock_refusals: int = 0
    ambiguous: bool = False
    """Whether an attempt may have been applied although no answer says so."""
    sent_at: float = 0.0
    """When the last attempt was stamped, in seconds of a clock that never jumps."""
    stamp: float = 0.0
    """The same in Unix seconds by this computer's clock."""
    signed: int = 0
    """The stamp that was sent, in Unix seconds by ClassIn's clock."""
    unanswered: list[tuple[float, float, int]] = field(default_factory=list)
    """`sent_at`, `stamp`, `signed` of each attempt of this program that may still arrive."""
    counting: Counting = "bytes"
    """What the signature's length limit counted at the last attempt."""
    counting_switched: bool = False
    """Whether the other signing rule has been tried, or cannot be."""
    last: Verdict | None = None
    next_at: float = -math.inf
    """When it may be sent again, on the event loop's clock."""
    unrecorded: Attempt | None = None
    """The attempt that could not be recorded yet."""

    def count(self, verdict: Verdict, *, outage_probe: bool) -> None:
        """Count one answer; a probe of an outage does not count as a send."""
        if verdict.ambiguous:
            self.ambiguous = True
            self.unanswered.append((self.sent_at, self.stamp, self.signed))
        if verdict.kind is ReplyClass.TRANSIENT and verdict.connected and not outage_probe:
            self.sends += 1
        if verdict.kind is ReplyClass.THROTTLED:
            self.throttles += 1
        if verdict.kind is ReplyClass.CLOCK:
            self.clock_refusals += 1

    def unanswered_attempts(self, skew: float | None) -> list[UnansweredAttempt]:
        """Its attempts that may still arrive; `skew` is how far ClassIn's clock is ahead, in s."""
        target, body = self.request.target, self.request.body
        return [
            UnansweredAttempt(target, body, sent_at, ahead_of(stamp, signed, skew))
            for sent_at, stamp, signed in self.unanswered
        ]

    def needs_other_counting(self, verdict: Verdict | None) -> bool:
        """Whether `verdict` may be due to signing a long text by the wrong rule."""
        refused = verdict is not None and verdict.kind is ReplyClass.CREDENTIALS
        return refused and not self.counting_switched and signs_differ(self.request.body)

    @property
    def repeats(self) -> Repeats:
        """What another slice has to know of it besides its history."""
        return self.sends, self.throttles, self.clock_refusals, self.next_at

    def restore(self, repeats: Repeats | None) -> None:
        """Go on from what an earlier slice counted."""
        if repeats:
            self.sends, self.throttles, self.clock_refusals, self.next_at = repeats

    @property
    def is_exhausted(self) -> bool:
        """Whether it has reached its limit of sends or throttles."""
        return self.sends >= SENDS_MOST or self.throttles >= THROTTLES_MOST


def should_retry(state: RequestState, verdict: Verdict, stop: Stop | None) -> bool:
    """Whether another attempt may help after this verdict; `stop` is why the run ends, if so."""
    return _final_status(state, verdict, stop) is None


def final_outcome(state: RequestState, verdict: Verdict, stop: Stop | None) -> Outcome:
    """The outcome of a request after its last verdict; `stop` is why the run ends, if it does."""
    status = _final_status(state, verdict, stop) or _unanswered_status(state, verdict)
    return _outcome_with(state, verdict, status)


def _final_status(state: RequestState, verdict: Verdict, stop: Stop | None) -> RowStatus | None:
    """The status that follows from a verdict; None if another attempt may help."""
    match verdict.kind:
        case ReplyClass.OK | ReplyClass.OK_WARNING:
            return RowStatus.APPLIED
        case ReplyClass.ROW | ReplyClass.INSTITUTION | ReplyClass.CREDENTIALS:
            return unless_ambiguous(state, RowStatus.REJECTED)
        case ReplyClass.TOO_LATE:
            return unless_ambiguous(state, RowStatus.TOO_LATE)
        case ReplyClass.STOP:
            return _unanswered_status(state, verdict)
        case ReplyClass.CLOCK:
            return _clock_refused(state, stop)
        case ReplyClass.TRANSIENT | ReplyClass.THROTTLED | ReplyClass.MAINTENANCE:
            return None
        case _:
            assert_never(verdict.kind)


def _clock_refused(state: RequestState, stop: Stop | None) -> RowStatus | None:
    """None after the first refusal, as a corrected stamp may help; a row refused twice is final."""
    if stop:
        return unless_ambiguous(state, RowStatus.NOT_SENT)
    if state.clock_refusals > 1:
        return unless_ambiguous(state, RowStatus.REJECTED)
    return None


def _outcome_with(state: RequestState, verdict: Verdict, status: RowStatus) -> Outcome:
    args = verdict.args
    if verdict.kind is ReplyClass.CREDENTIALS and signs_differ(state.request.body):
        args = {**args, LONG_TEXT: verdict.code}
    return Outcome(status, verdict.code, args)


def unless_ambiguous(state: RequestState, status: RowStatus) -> RowStatus:
    """`status`, or UNCONFIRMED if an earlier attempt may have been applied."""
    return RowStatus.UNCONFIRMED if state.ambiguous else status


def _unanswered_status(state: RequestState, verdict: Verdict) -> RowStatus:
    """The status without a reliable answer: NOT_SENT only if it cannot have been applied."""
    foreign = verdict.kind is ReplyClass.STOP and verdict.connected
    return RowStatus.UNCONFIRMED if state.ambiguous or foreign else RowStatus.NOT_SENT


def outcome_on_shutdown(state: RequestState, stop: Stop | None) -> Outcome:
    """The outcome of a request that is unsent or unanswered when the run ends."""
    last = state.last
    if state.ambiguous:
        if last is None or (state.unrecorded and state.unrecorded.outcome):
            # An earlier program died, or the outcome could not be recorded.
            return Outcome(RowStatus.UNCONFIRMED, "send.crashed")
        return _outcome_with(state, last, RowStatus.UNCONFIRMED)
    if stop is None and last and last.kind is ReplyClass.CREDENTIALS:
        return _outcome_with(state, last, RowStatus.REJECTED)
    if stop is None or stop.reason == "interrupted":
        return Outcome(RowStatus.NOT_SENT, "run.interrupted")
    return Outcome(RowStatus.NOT_SENT, stop.code, stop.args)


# ------------------------------------------------------------------ all requests


class Journal(Protocol):
    """Stores what the dispatcher records; both calls return once it is safely on disk.

    Either may raise `LedgerUnwritable`: then nothing more is sent.
    """

    async def record_intent(self, intents: Sequence[Intent]) -> None:
        """Record that these requests are about to be sent."""

    async def record(self, attempts: Sequence[Attempt]) -> None:
        """Record how these attempts ended."""


class RequestTracker:
    """Tracks the requests of one run; keeps what the journal cannot store until the end."""

    def __init__(self, journal: Journal, shutdown: Shutdown, wall: Callable[[], float]) -> None:
        self.outcomes: dict[RequestKey, Outcome] = {}
        """The outcomes of the finished requests."""
        self.counts: Counter[RowStatus] = Counter()
        """Finished rows, by status."""
        self.rows = 0
        """All rows of the run."""
        self.requests = 0
        """Attempts made so far."""
        self._journal = journal
        self._shutdown = shutdown
        self._wall = wall
        self._history: Mapping[RequestKey, History] = {}
        self._left: dict[str, Repeats] = {}
        """What earlier slices counted, of requests not begun here."""
        self.active: dict[RequestKey, RequestState] = {}
        """Requests begun and not finished; only these, as their states take up much memory."""

    def open(self, requests: Iterable[Request], history: Mapping[RequestKey, History]) -> None:
        """Start a run of these requests; `history` is what earlier programs attempted."""
        self._history = history
        self.rows = sum(len(request.rows) for request in requests)

    def recall(self, memory: Memory, at: float) -> None:
        """Go on from what earlier slices counted."""
        self._left = {
            place: (sends, throttles, clock_refusals, at + memory.left_s(next_s))
            for place, (sends, throttles, clock_refusals, next_s) in memory.rows.items()
        }

    def begin(self, request: Request) -> RequestState:
        """Start to track a request and return its state."""
        history = self._history.get(request.key, History())
        state = RequestState(request, attempts=history.attempts, ambiguous=history.ambiguous)
        if self._left:
            state.restore(self._left.pop(place_of(request), None))
        self.active[request.key] = state
        return state

    def repeats(self, at: float) -> dict[str, Repeats]:
        """What `Memory.rows` has to hold; the rows of other runs of the institution stay in it."""
        begun = {place_of(state.request): state.repeats for state in self.active.values()}
        return {
            place: (sends, throttles, clock_refusals, max(0.0, next_at - at))
            for place, (sends, throttles, clock_refusals, next_at) in {
                **self._left,
                **begun,
            }.items()
            if sends or throttles or clock_refusals or next_at > at
        }

    async def record_intent(self, state: RequestState, ahead_s: float) -> None:
        """Record that a request is about to be sent.

        Raises:
            RunStopped: the ledger cannot be written, so it must not be sent.

        """
        request, number = state.request, state.attempts + 1
        intent = Intent(request.key, number, state.stamp, ahead_s, request.target)
        try:
            await self._journal.record_intent((intent,))
        except LedgerUnwritable as exc:
            raise self._unwritable(exc) from exc
        state.attempts += 1
        self.requests += 1

    async def finish(
        self, state: RequestState, outcome: Outcome, verdict: Verdict | None = None
    ) -> None:
        """Record the outcome of a request, and only then count it.

        Raises:
            RunStopped: the ledger cannot be written.

        """
        final = Outcome(outcome.status, outcome.code, outcome.args, state.attempts, self._wall())
        await self.record(state, verdict, final)
        self._count_outcome(state, final)

    async def record(
        self, state: RequestState, verdict: Verdict | None, outcome: Outcome | None = None
    ) -> None:
        """Record how an attempt ended; keep it until the end of the run if that fails.

        Raises:
            RunStopped: the ledger cannot be written.

        """
        attempt = self._attempt_of(state, verdict, outcome)
        try:
            await self._journal.record((attempt,))
        except LedgerUnwritable as exc:
            state.unrecorded = attempt
            raise self._unwritable(exc) from exc

    def _unwritable(self, exc: LedgerUnwritable) -> RunStopped:
        """Stop the run: what is not recorded must not be sent."""
        code = "run.ledger_gone" if isinstance(exc, LedgerGone) else "run.ledger"
        self._shutdown.request(Stop("ledger", code, {"why": exc.text}, exc.exit_status))
        return RunStopped()

    async def close(self, waiting: Iterable[Request]) -> None:
        """Record the outcomes of all requests that are unsent or unanswered when the run ends.

        `waiting` are those that have not begun.
        """
        await self._record_again()
        for request in waiting:
            self.begin(request)
        ended = []
        for state in list(self.active.values()):
            outcome = outcome_on_shutdown(state, self._shutdown.stopped)
            outcome = replace(outcome, attempts=state.attempts)
            ended.append(self._attempt_of(state, None, outcome))
            self._count_outcome(state, outcome)
        # If the ledger cannot be written, the intents in it still tell that these are open.
        with suppress(LedgerUnwritable):
            await self._journal.record(ended)

    async def _record_again(self) -> None:
        """Try once more to record what could not be recorded, now that nothing is under way."""
        unrecorded = [
            (state, state.unrecorded) for state in self.active.values() if state.unrecorded
        ]
        try:
            await self._journal.record([attempt for _, attempt in unrecorded])
        except LedgerUnwritable:
            for state, _ in unrecorded:  # as its intent on disk says
                state.ambiguous = True
            return
        for state, attempt in unrecorded:
            if attempt.outcome:
                self._count_outcome(state, attempt.outcome)

    def _count_outcome(self, state: RequestState, outcome: Outcome) -> None:
        del self.active[state.request.key]
        self.outcomes[state.request.key] = outcome
        self.counts[outcome.status] += len(state.request.rows)

    def _attempt_of(
        self, state: RequestState, verdict: Verdict | None, outcome: Outcome | None
    ) -> Attempt:
        return Attempt(
            key=state.request.key,
            number=state.attempts if verdict else 0,
            ended=self._wall(),
            code=verdict.code if verdict else "",
            ambiguous=verdict.ambiguous if verdict else False,
            outcome=outcome,
        )
