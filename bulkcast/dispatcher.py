"""Carries out a plan: takes turns, signs late, sends, repeats what is worth repeating, records.

The order that nothing may change: a turn is granted, the intent is on disk, the request is
stamped, signed and sent, the outcome is on disk, and only then anybody hears of it.

The dispatcher knows neither network nor database: it is given a `Send` and a `Journal`.  Time is
the event loop's; `wall` is only for stamps.
"""

import asyncio
import math
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, Protocol

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type
from tenacity import wait_random_exponential as full_jitter

from bulkcast import locks
from bulkcast.catalogue import Endpoint
from bulkcast.endings import (
    SENDS_MOST,
    THROTTLES_MOST,
    Entry,
    caught,
    ending,
    unless_ambiguous,
)
from bulkcast.errors import LedgerUnwritable
from bulkcast.fence import Fence, ahead_of
from bulkcast.guards import Guards
from bulkcast.model import (
    Attempt,
    Body,
    History,
    Intent,
    NoReply,
    Outcome,
    Reply,
    ReplyClass,
    Request,
    RequestKey,
    RowStatus,
    Stop,
    Text,
    Verdict,
)
from bulkcast.pacing import Pacer
from bulkcast.protocol import discreet, judge
from bulkcast.stamps import ServerClock
from bulkcast.weather import Sky, Weather
from bulkcast.wording import marked

__all__ = [
    "CONCURRENCY",
    "MAX_OUTAGE_S",
    "PASS_GAP_S",
    "PASS_SENDS",
    "RETRY_AFTER_MOST_S",
    "SAME_AGAIN_S",
    "SENDS_MOST",
    "THROTTLES_MOST",
    "Dispatcher",
    "Journal",
    "Progress",
    "Send",
]

CONCURRENCY: Final = 32
"""Requests under way at once: twice what 950 a minute needs when an answer takes 2 s."""

PASS_SENDS: Final = 3
PASS_GAP_S: Final = 30.0
RETRY_AFTER_MOST_S: Final = 300.0
"""A longer silence than this ends the run, to be resumed later."""
MAX_OUTAGE_S: Final = 45 * 60.0
"""Half an hour's outage is survived with time to spare."""
SAME_AGAIN_S: Final = 5.5
"""ClassIn refuses identical parameters within 5 s (101003002)."""

_FENCE: Final = marked(
    "An older request to the same classroom had gone unanswered and could still have arrived, so"
    " these waited until ClassIn would refuse it: {n}, for up to {longest} min."
)

_UNANSWERED_WAIT: Final = full_jitter(multiplier=0.5, max=30)

_DARK: Final = marked("ClassIn gives no answer of its own ({what}); waiting for it.")

Send = Callable[[Body, int], Awaitable[Reply | NoReply]]
"""Sends a body stamped with Unix seconds, once."""


class Journal(Protocol):
    """What the dispatcher writes down; both calls return when it is safely stored.

    Either may raise `LedgerUnwritable`: then nothing more is sent.
    """

    async def intend(self, intents: Sequence[Intent]) -> None:
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
    sky: Sky
    held_s: float
    """Seconds of silence left that ClassIn asked for."""
    parked_s: float
    fenced: int = 0
    """Requests that wait because an older one may yet arrive at their classroom."""
    fenced_s: float = 0.0
    """Seconds until the last of them may go."""
    late: int = 0
    """Rows still to be sent whose turn, at the present pace, comes after their lock."""


class _Halt(Exception):
    """The run is ending: nothing more is sent."""


class _Again(Exception):
    """An attempt that is worth repeating."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.code)
        self.verdict = verdict


class Dispatcher:
    """Sends the requests of one run; use once."""

    def __init__(
        self,
        endpoint: Endpoint,
        send: Send,
        journal: Journal,
        pacer: Pacer,
        *,
        wall: Callable[[], float],
        concurrency: int = CONCURRENCY,
        max_outage_s: float = MAX_OUTAGE_S,
        fence: Fence | None = None,
        chance: Callable[[], float] = random.random,  # noqa: S311 - jitter, not secrecy
    ) -> None:
        """Get ready for one run.

        Args:
            endpoint: what is called.
            send: sends one request.
            journal: what is written down.
            pacer: when the next request may start.
            wall: Unix seconds by this computer's clock.
            concurrency: requests under way at once.
            max_outage_s: how long an outage is waited out.
            fence: what earlier programs sent that may arrive yet, on the event loop's clock.
            chance: numbers in [0, 1).

        """
        self._endpoint = endpoint
        self._send = send
        self._journal = journal
        self._pacer = pacer
        self._wall = wall
        self._fence = fence or Fence()
        self._chance = chance
        self._concurrency = concurrency
        self._max_outage_s = max_outage_s
        self._weather = Weather()
        self._guards = Guards(endpoint)
        self._clock = ServerClock()
        self._stopping = asyncio.Event()
        self._changed = asyncio.Event()
        self._alone = False
        self._throttled_since = math.inf
        self._entries: dict[RequestKey, Entry] = {}
        self._queue: deque[Entry] = deque()
        self._dependents: dict[RequestKey, Entry] = {}
        self._repeating = 0
        self._counts: Counter[RowStatus] = Counter()
        self._rows = 0
        self.stopped: Stop | None = None
        """Why the run ended early; None while or if it did not."""
        self.requests = 0
        """Attempts made so far."""
        self.remarks: list[Text] = []
        """What the user should hear of: a wrong clock, a silence asked for, an outage."""

    # -------------------------------------------------------------- from outside

    async def run(
        self, requests: Iterable[Request], history: Mapping[RequestKey, History] | None = None
    ) -> Mapping[RequestKey, Outcome]:
        """Send every request and return how each one ended.

        A cancelled run leaves its outcomes to the journal: what was under way is an intent there.
        """
        self._take(requests, history or {})
        self._slots = asyncio.Semaphore(self._concurrency)
        with suppress(_Halt):
            await self._ask_the_time()
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for _ in range(min(self._concurrency, len(self._queue))):
                tasks.create_task(self._work())
        self.stopped = self.stopped or self._guards.credentials_refused()
        self._tell_of_the_fence()
        await self._end_the_rest()
        return {key: entry.outcome for key, entry in self._entries.items() if entry.outcome}

    def stop(self, why: Stop) -> None:
        """Send nothing more; what is under way may finish.  The first reason stays."""
        self.stopped = self.stopped or why
        self._stopping.set()
        self._stir()

    def progress(self) -> Progress:
        """How far the run is."""
        now = _now()
        return Progress(
            counts=dict(self._counts),
            rows=self._rows,
            requests=self.requests,
            rate=self._pacer.rate,
            retrying=self._repeating,
            sky=self._weather.sky,
            held_s=max(0.0, self._pacer.held_until - now),
            parked_s=self._weather.parked_for(now),
            fenced=len(self._fence.held),
            fenced_s=max(self._fence.held.values(), default=now) - now,
        )

    @property
    def waiting(self) -> Sequence[Request]:
        """The requests that have not been tried yet, in sending order."""
        return [entry.request for entry in self._queue]

    @property
    def next_turn_s(self) -> float:
        """Seconds until the next turn that nobody has taken yet."""
        return self._pacer.due(_now()) - _now()

    @property
    def server_time(self) -> float:
        """What time it is at ClassIn, Unix seconds.

        By this computer's clock only until ClassIn has told: one that is set forward during the
        run would make all rows too late that are left.
        """
        known = self._clock.at_least(_now())
        return self._wall() + self._clock.offset if known is None else known

    async def _ask_the_time(self) -> None:
        """Where rows look too late already: it may be this computer's clock that is wrong.

        What is sent can change nothing, and is a turn of the pace like any other.
        """
        by_own_clock = self.server_time
        if any(locks.is_late(entry.request.locks_at, by_own_clock) for entry in self._queue):
            turn = self._pacer.reserve(_now())
            await self._sleep(max(0.0, turn - _now()))
            stamp = int(self._wall())
            self._measure_clock(await self._send(self._endpoint.harmless, stamp))

    # -------------------------------------------------------------- the way of a request

    def _take(self, requests: Iterable[Request], history: Mapping[RequestKey, History]) -> None:
        for request in requests:
            past = history.get(request.key, History())
            entry = Entry(request, attempts=past.attempts, ambiguous=past.ambiguous)
            self._entries[request.key] = entry
            self._rows += len(request.rows)
        for entry in self._entries.values():
            if entry.request.after in self._entries:
                self._dependents[entry.request.after] = entry
            else:
                self._queue.append(entry)

    async def _work(self) -> None:
        while self._queue and not self.stopped:
            entry = self._queue.popleft()
            if self._opens_at(entry) > _now():  # and so do not hold up the others
                self._tasks.create_task(self._when_open(entry))
            else:
                await self._first(entry)

    async def _when_open(self, entry: Entry) -> None:
        """The first try, once nothing older can arrive at the classroom any more."""
        opens_at, now = self._opens_at(entry), _now()
        if opens_at > now:
            try:
                with self._fence.waiting(entry.request.key, now, opens_at):
                    await self._sleep(opens_at - now)
            except _Halt:
                return
        await self._first(entry)

    def _opens_at(self, entry: Entry) -> float:
        return self._fence.opens_at(entry.request.target, entry.request.body)

    async def _first(self, entry: Entry) -> None:
        """The first try; tenacity is only called in where it was not the last."""
        try:
            verdict = await self._attempt(entry)
            ended = verdict is None or await self._conclude(entry, verdict)
        except _Halt:
            return
        if verdict and not ended:
            self._tasks.create_task(self._repeat(entry, verdict))

    async def _repeat(self, entry: Entry, verdict: Verdict) -> None:
        """Further tries: a few close together, then more in later passes."""
        self._repeating += 1
        try:
            while not await self._pass(entry, verdict):
                await self._sleep(PASS_GAP_S)
                entry.passes += 1
                entry.pass_sends = 0
        except _Halt:
            return
        finally:
            self._repeating -= 1

    async def _pass(self, entry: Entry, verdict: Verdict) -> bool:
        """Up to three sends with a growing wait; whether the request has ended.

        With an empty budget it is over after the first: the row waits for its next pass.

        A new AsyncRetrying each time: its state is per object, so one shared between tasks mixes
        up their attempts and even their results (tenacity #93).
        """
        known = [] if entry.passes else [verdict]

        async def one_try() -> None:
            if known:  # the first try was made without tenacity; only its wait is left
                raise _Again(known.pop())
            found = await self._attempt(entry)
            if found and not await self._conclude(entry, found):
                raise _Again(found)

        retrying = AsyncRetrying(
            retry=retry_if_exception_type(_Again),
            stop=lambda _: self._is_over(entry),
            wait=self._wait,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            await retrying(one_try)
        except _Again:
            return False
        return True

    def _is_over(self, entry: Entry) -> bool:
        """Whether a pass is, after a try that failed."""
        kind = entry.last.kind if entry.last else ReplyClass.TRANSIENT
        bound = entry.is_spent or entry.pass_sends >= PASS_SENDS
        return bound or not self._pacer.budget.take(kind)

    async def _attempt(self, entry: Entry) -> Verdict | None:
        """One try, recorded as an intent; None where the request ended without one.

        Raises:
            _Halt: the run is ending.

        """
        alone = await self._may_go()
        try:
            async with self._slots:
                early = await self._turn(entry)
                if early is None:
                    reply = await self._send_once(entry)
            if early:
                await self._settle(entry, early)
                return None
            verdict = judge(reply, self._endpoint, now=self._wall())
            verdict = discreet(verdict, entry.request.body, self._endpoint)
            self._learn(entry, verdict, reply, alone=alone)
            return verdict
        finally:
            if alone:
                self._alone = False
                self._stir()

    async def _send_once(self, entry: Entry) -> Reply | NoReply:
        """Stamp it before the intent is on disk: the ledger has to know how long a stamp lives."""
        entry.stamp, entry.sent_at = self._wall(), _now()
        entry.signed = int(entry.stamp + self._clock.offset)
        ahead_s = ahead_of(entry.stamp, entry.signed, self._clock.skew)
        intent = Intent(entry.request.key, entry.attempts + 1, entry.stamp, ahead_s)
        try:
            await self._journal.intend((intent,))
        except LedgerUnwritable as exc:
            raise self._unwritable(exc) from exc
        entry.attempts += 1
        self.requests += 1
        return await self._send(entry.request.body, entry.signed)

    async def _conclude(self, entry: Entry, verdict: Verdict) -> bool:
        """Whether `verdict` ends its tries; what it says is recorded either way."""
        entry.last = verdict
        if verdict.kind is ReplyClass.CREDENTIALS and not self._guards.proven:
            # Whose fault it is shows at the end: the secret's, or this row's alone.
            await self._record(entry, verdict, None)
            return True
        outcome = ending(entry, verdict, self.stopped)
        if outcome is None:
            await self._record(entry, verdict, None)
            return False
        if outcome.status is RowStatus.APPLIED:
            self._pacer.budget.succeeded(entry.attempts)
        await self._settle(entry, outcome, verdict)
        return True

    # -------------------------------------------------------------- waiting

    async def _may_go(self) -> bool:
        """Wait until the weather allows a request; whether it has to go alone."""
        while not self.stopped:
            if self._weather.sky is Sky.FAIR:
                return False
            now = _now()
            if self._weather.parked_for(now) > self._max_outage_s:
                words = {"minutes": f"{self._max_outage_s / 60:.0f}", "what": self._weather.seen}
                self.stop(Stop("outage", "run.outage", words, exit_status=5))
            elif not self._alone and now >= self._weather.probe_at:
                self._alone = True
                return True
            else:
                await self._wait_for_change(until=self._weather.probe_at)
        raise _Halt

    async def _wait_for_change(self, *, until: float) -> None:
        deadline = until if until > _now() and not self._alone else None
        try:
            async with asyncio.timeout_at(deadline):
                await self._changed.wait()
        except TimeoutError:
            return

    def _stir(self) -> None:
        """Let everyone who waits look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def _turn(self, entry: Entry) -> Outcome | None:
        """Wait for a turn of the pace, and take another if silence was asked for meanwhile.

        How the request ends instead, where it needs no turn: a row that would be late by then
        leaves the turn to the next.
        """
        while True:
            early = self._ended_already(entry, self._pacer.due(_now()) - _now())
            if early:
                return early
            turn = self._pacer.reserve(_now())
            wait = turn - _now()
            if wait > 0:
                await self._sleep(wait)
            if self.stopped:
                raise _Halt
            if self._pacer.stands(turn):
                return self._ended_already(entry, 0.0)

    async def _sleep(self, seconds: float) -> None:
        """Sleep, but not beyond the end of the run."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return
        raise _Halt

    def _wait(self, state: RetryCallState) -> float:
        """Seconds until a repeat, tenacity's wait strategy.

        Throttling, maintenance and outages are waited out at the pace and the weather, together
        with every other row.
        """
        failure = state.outcome.exception() if state.outcome else None
        if not isinstance(failure, _Again):
            return 0.0
        verdict = failure.verdict
        if verdict.kind is ReplyClass.TRANSIENT:
            hint = min(verdict.retry_after or 0.0, RETRY_AFTER_MOST_S)
            return max(_UNANSWERED_WAIT(state), hint)
        return SAME_AGAIN_S if verdict.ambiguous else 0.0

    # -------------------------------------------------------------- learning

    def _learn(
        self, entry: Entry, verdict: Verdict, reply: Reply | NoReply, *, alone: bool
    ) -> None:
        """What one answer means for everybody."""
        now = _now()
        before = self._weather.sky
        self._weather.observe(entry.request.key, verdict, now, self._chance())
        self._note_sky(before, now)
        self._measure_clock(reply)
        # The first refusal has the stamps corrected; one of a corrected stamp ends the run.
        if verdict.kind is ReplyClass.CLOCK and self._clock.refused(entry.sent_at, now):
            self.stop(Stop("clock", verdict.code, verdict.args))
        entry.count(verdict, probing=alone and before is Sky.PARKED)
        if verdict.kind is ReplyClass.THROTTLED:
            self._slow_down(verdict, now)
        elif verdict.proves_access:
            self._throttled_since = math.inf
            self._clock.accepted()
            self._pacer.answered(now)
        stop = self._guards.observe(entry.request, verdict)
        if stop:
            self.stop(stop)

    def _note_sky(self, before: Sky, now: float) -> None:
        after = self._weather.sky
        if after is before:
            return
        if after is Sky.PARKED:
            self.remarks.append(Text(_DARK, {"what": self._weather.seen}))
        if before is Sky.PARKED:
            self.remarks.append(Text("ClassIn answers again; going on gently."))
            self._pacer.resume_gently(now)
        self._stir()

    def _tell_of_the_fence(self) -> None:
        waits = self._fence.waits_s
        if waits:
            words = {"n": str(len(waits)), "longest": str(max(1, round(max(waits) / 60)))}
            self.remarks.append(Text(_FENCE, words))

    def _measure_clock(self, reply: Reply | NoReply) -> None:
        if isinstance(reply, NoReply) or reply.date is None:
            return
        self._clock.seen(reply.date, _now())
        remark = self._clock.measure(reply.date, self._wall())
        if remark:
            self.remarks.append(remark)

    def _slow_down(self, verdict: Verdict, now: float) -> None:
        self._throttled_since = min(self._throttled_since, now)
        hint = verdict.retry_after or 0.0
        if hint > RETRY_AFTER_MOST_S or now - self._throttled_since > self._max_outage_s:
            seconds = f"{max(hint, now - self._throttled_since):.0f}"
            self.stop(Stop("throttled", "run.throttled", {"seconds": seconds}, exit_status=5))
        else:
            self._pacer.throttled(now, verdict.retry_after, self._chance())

    # -------------------------------------------------------------- ending

    def _ended_already(self, entry: Entry, wait: float) -> Outcome | None:
        """How a request that would leave in `wait` seconds ends without a try.

        It is locked by then, or in need of a feature that is not there.
        """
        early = self._too_late(entry, wait) or self._guards.blocks(entry.request)
        return replace(early, status=unless_ambiguous(entry, early.status)) if early else None

    def _too_late(self, entry: Entry, wait: float) -> Outcome | None:
        """How a request ends whose settings will have locked by ClassIn's clock."""
        request = entry.request
        if not locks.is_late(request.locks_at, self.server_time + wait):
            return None
        if request.once_locked == "refuse":
            return locks.refusal(request, self._endpoint)
        entry.request = locks.only_free(request, self._endpoint)
        return None

    async def _settle(self, entry: Entry, outcome: Outcome, verdict: Verdict | None = None) -> None:
        """Write down how a request ended; only then count it and let its successor go."""
        final = Outcome(outcome.status, outcome.code, outcome.args, entry.attempts, self._wall())
        await self._record(entry, verdict, final)
        self._end(entry, final)
        follower = self._dependents.pop(entry.request.key, None)
        if follower is None:
            return
        for doubt in entry.doubts(self._clock.skew):
            self._fence.add(doubt)
        if self.stopped:
            self._queue.append(follower)
        else:
            self._tasks.create_task(self._when_open(follower))

    def _end(self, entry: Entry, outcome: Outcome) -> None:
        entry.outcome = outcome
        self._counts[outcome.status] += len(entry.request.rows)

    async def _record(self, entry: Entry, verdict: Verdict | None, outcome: Outcome | None) -> None:
        """Write down how a try ended, or hold it until the end of the run.

        Raises:
            _Halt: the ledger cannot be written.

        """
        attempt = self._ended(entry, verdict, outcome)
        try:
            await self._journal.record((attempt,))
        except LedgerUnwritable as exc:
            entry.held = attempt
            raise self._unwritable(exc) from exc

    def _unwritable(self, exc: LedgerUnwritable) -> _Halt:
        """Nothing more may leave: nobody would know of it."""
        self.stop(Stop("ledger", "run.ledger", {"why": str(exc)}, exit_status=5))
        return _Halt()

    async def _record_held(self) -> None:
        """Try once more to write down what could not be, now that nothing is under way."""
        held = {key: entry.held for key, entry in self._entries.items() if entry.held}
        try:
            await self._journal.record(tuple(held.values()))
        except LedgerUnwritable:
            for key in held:  # its intent is on disk, and says as much
                self._entries[key].ambiguous = True
            return
        for key, attempt in held.items():
            if attempt.outcome:
                self._end(self._entries[key], attempt.outcome)

    def _ended(self, entry: Entry, verdict: Verdict | None, outcome: Outcome | None) -> Attempt:
        return Attempt(
            key=entry.request.key,
            number=entry.attempts if verdict else 0,
            ended=self._wall(),
            code=verdict.code if verdict else "",
            ambiguous=verdict.ambiguous if verdict else False,
            outcome=outcome,
        )

    async def _end_the_rest(self) -> None:
        """Whatever the end of the run caught unsent or unanswered."""
        await self._record_held()
        rest = [entry for entry in self._entries.values() if entry.outcome is None]
        for entry in rest:
            self._end(entry, caught(entry, self.stopped))
        # Where the ledger cannot be written, it says of these what their intents say.
        with suppress(LedgerUnwritable):
            await self._journal.record([self._ended(e, None, e.outcome) for e in rest])


def _now() -> float:
    return asyncio.get_running_loop().time()
