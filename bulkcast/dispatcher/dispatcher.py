"""Sends the requests of a plan: admits, signs, sends, repeats and records each."""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Final

from tenacity import RetryCallState

from bulkcast.catalogue import Endpoint
from bulkcast.dispatcher.circuit_breaker import BreakerState
from bulkcast.dispatcher.protocols import Journal, Progress, Send
from bulkcast.dispatcher.retry_policy import SAME_AGAIN_S, RetryPolicy
from bulkcast.dispatcher.server_state import ServerState
from bulkcast.dispatcher.shutdown import RunStopped, Shutdown, now
from bulkcast.dispatcher.tracker import SENDS_MOST, RequestState, RequestTracker, final_outcome
from bulkcast.model import (
    History,
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
from bulkcast.pacing import CONCURRENCY, MAX_OUTAGE_S, Pacer
from bulkcast.planner import deadlines
from bulkcast.protocol import Listener, judge, own_secrets
from bulkcast.write_ordering import PendingWrites, ahead_of


def _probed_after(entry: RequestState) -> tuple[bool, bool, int]:
    """Orders probes: of the rows sent already the one sent least, then rows that were never sent.

    The bound leaves each a last try, for when ClassIn answers again.
    """
    return entry.attempts >= SENDS_MOST - 1, not entry.attempts, entry.attempts


class Admission:
    """Everything a request waits for before it is sent."""

    def __init__(self, conditions: ServerState, shutdown: Shutdown, max_outage_s: float) -> None:
        self._conditions = conditions
        self._shutdown = shutdown
        self._max_outage_s = max_outage_s
        self._taken = False
        self._waiting: dict[RequestKey, RequestState] = {}
        self._next_probe: RequestState | None = None

    async def acquire_probe(self, entry: RequestState) -> bool:
        """Wait until the circuit breaker allows a request; whether it has to go alone.

        One that goes alone gives the way free again with `leave`.

        Raises:
            RunStopped: the run is ending.

        """
        self._waiting[entry.request.key] = entry
        try:
            return await self._wait(entry)
        finally:
            del self._waiting[entry.request.key]
            if self._next_probe is entry:
                self._next_probe = None

    async def _wait(self, entry: RequestState) -> bool:
        breaker = self._conditions.breaker
        while not self._shutdown.stopped:
            if breaker.state is BreakerState.CLOSED:
                return False
            if breaker.open_for(now()) > self._max_outage_s:
                self._shutdown.request(self._outlasted())
            elif self._taken:
                await self._shutdown.change(until=None)
            elif now() < breaker.probe_at:
                await self._shutdown.change(until=breaker.probe_at)
            elif breaker.state is BreakerState.OPEN and not self._is_next_probe(entry):
                await self._shutdown.change(until=None)
            else:
                self._taken = True
                return True
        raise RunStopped

    def _is_next_probe(self, entry: RequestState) -> bool:
        """Whether the next probe of an outage is this one's; all who wait ask at the same moment.

        A probe may be applied without anybody's saying so: few rows share them, in turns.
        """
        if self._next_probe is None:
            self._next_probe = min(self._waiting.values(), key=_probed_after)
        return self._next_probe is entry

    def _outlasted(self) -> Stop:
        """Why the run ends that has waited long enough."""
        breaker = self._conditions.breaker
        minutes = f"{self._max_outage_s / 60:.0f}"
        if breaker.is_maintenance:
            return Stop("maintenance", "run.maintenance", {"minutes": minutes}, exit_status=5)
        words = {"minutes": minutes, "what": breaker.seen}
        return Stop("outage", "run.outage", words, exit_status=5)

    def leave(self) -> None:
        """The request that went alone is back."""
        self._taken = False
        self._shutdown.notify()

    async def acquire_slot(self, entry: RequestState) -> Outcome | None:
        """Wait for a turn of the pace, and take another if silence was asked for meanwhile.

        How the request ends instead, where it needs no turn: a row that would be late by then
        leaves the turn to the next.

        Raises:
            RunStopped: the run is ending.

        """
        pacer = self._conditions.pacer
        while True:
            moment = now()
            early = self._conditions.ends_already(entry, pacer.due(moment) - moment)
            if early:
                return early
            turn = pacer.reserve(moment)
            if turn > moment:
                await self._shutdown.sleep(turn - moment)
            if self._shutdown.stopped:
                raise RunStopped
            if pacer.stands(turn):
                return self._conditions.ends_already(entry, 0.0)


_ASKED_AGAIN_S: Final = (0.0, 1.0, 5.0)
"""Seconds before each time that ClassIn is asked what time it is, while it gives no answer."""


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
        pending_writes: PendingWrites | None = None,
        chance: Callable[[], float] = random.random,  # noqa: S311 - jitter, not secrecy
        send_by_characters: Send | None = None,
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
            pending_writes: what earlier programs sent and may yet arrive, on the loop's clock.
            chance: numbers in [0, 1).
            send_by_characters: as `send`, but signs as if characters of long texts were counted.

        """
        self._endpoint = endpoint
        self._send = send
        self._send_by_characters = send_by_characters
        self._pacer = pacer
        self._wall = wall
        self._pending_writes = pending_writes or PendingWrites()
        self._concurrency = concurrency
        self._shutdown = Shutdown()
        self._conditions = ServerState(
            endpoint, pacer, wall=wall, chance=chance, max_throttled_s=max_outage_s
        )
        self._admission = Admission(self._conditions, self._shutdown, max_outage_s)
        self._tracker = RequestTracker(journal, self._shutdown, wall)
        self._queue: deque[Request] = deque()
        self._dependents: dict[RequestKey, Request] = {}
        self._repeating: set[RequestKey] = set()
        self._listener = Listener()

    # -------------------------------------------------------------- from outside

    async def run(
        self,
        requests: Iterable[Request],
        history: Mapping[RequestKey, History] | None = None,
        *,
        also_secret: Iterable[str] = (),
    ) -> Mapping[RequestKey, Outcome]:
        """Send every request and return how each one ended.

        What ClassIn says is masked of the secret settings of them all, and of `also_secret`.
        A cancelled run leaves its outcomes to the journal: what was under way is an intent there.
        """
        requests = tuple(requests)
        self._tracker.open(requests, history or {})
        secrets = (own_secrets(request.body, self._endpoint) for request in requests)
        self._listener = Listener(chain(also_secret, chain.from_iterable(secrets)))
        self._line_up(requests)
        self._slots = asyncio.Semaphore(self._concurrency)
        with suppress(RunStopped):
            await self._ask_the_time()
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for _ in range(min(self._concurrency, len(self._queue))):
                tasks.create_task(self._work())
        refused = self._conditions.guards.credentials_refused()
        if refused:
            self.stop(refused)
        await self._tracker.close([*self._queue, *self._dependents.values()])
        return self._tracker.outcomes

    def stop(self, why: Stop) -> None:
        """Send nothing more; what is under way may finish.  The first reason stays."""
        self._shutdown.request(why)

    @property
    def stopped(self) -> Stop | None:
        """Why the run ended early; None while or if it did not."""
        return self._shutdown.stopped

    @property
    def requests(self) -> int:
        """Attempts made so far."""
        return self._tracker.requests

    @property
    def remarks(self) -> list[Text]:
        """What the user should hear of: a wrong clock, an outage, a pending_writes."""
        waited = self._pending_writes.remark
        return [*self._conditions.remarks, *((waited,) if waited else ())]

    def progress(self) -> Progress:
        """How far the run is."""
        moment, breaker = now(), self._conditions.breaker
        return Progress(
            counts=dict(self._tracker.counts),
            rows=self._tracker.rows,
            requests=self._tracker.requests,
            rate=self._pacer.rate,
            retrying=len(self._repeating),
            breaker_state=breaker.state,
            held_s=max(0.0, self._pacer.held_until - moment),
            open_s=breaker.open_for(moment),
            maintained=breaker.is_maintenance,
            slowed=self._pacer.is_slowed(moment),
            held_back=len(self._pending_writes.held),
            held_back_s=max(self._pending_writes.held.values(), default=moment) - moment,
        )

    @property
    def waiting(self) -> Sequence[Request]:
        """The requests that have not been tried yet, in sending order."""
        return list(self._queue)

    @property
    def next_turn_s(self) -> float:
        """Seconds until the next turn that nobody has taken yet."""
        return self._pacer.due(now()) - now()

    @property
    def server_time(self) -> float:
        """What time it is at ClassIn, Unix seconds."""
        return self._conditions.server_time

    # -------------------------------------------------------------- in line

    async def _ask_the_time(self) -> None:
        """Where rows look too late already: it may be this computer's clock that is wrong.

        What is sent can change nothing, and is a turn of the pace like any other.
        """
        by_own_clock = self.server_time
        if not any(deadlines.is_late(request.locks_at, by_own_clock) for request in self._queue):
            return
        for gap_s in _ASKED_AGAIN_S:
            await self._shutdown.sleep(max(gap_s, self._pacer.reserve(now() + gap_s) - now()))
            reply = await self._send(self._endpoint.harmless, int(self._wall()))
            verdict = judge(reply, self._endpoint, now=self._wall(), listener=self._listener)
            stop = self._conditions.learn_the_time(verdict, reply, now())
            if stop:
                self.stop(stop)
            if stop or verdict.code.isdigit():  # a code of its own
                return

    def _line_up(self, requests: Sequence[Request]) -> None:
        keys = {request.key for request in requests}
        for request in requests:
            if request.after in keys:
                self._dependents[request.after] = request
            else:
                self._queue.append(request)

    async def _work(self) -> None:
        """Take requests out of the line, each when the one before has had its first try."""
        while self._queue and not self.stopped:
            entry = self._tracker.begin(self._queue.popleft())
            if self._opens_at(entry) > now():  # and so do not hold up the others
                self._tasks.create_task(self._when_open(entry))
            else:
                tried = asyncio.Event()
                self._tasks.create_task(self._carry_out(entry, tried))
                await tried.wait()

    async def _when_open(self, entry: RequestState) -> None:
        """Carry out a request once nothing older can arrive at its classroom any more."""
        opens_at, moment = self._opens_at(entry), now()
        if opens_at > moment:
            try:
                with self._pending_writes.waiting(entry.request.key, moment, opens_at):
                    await self._shutdown.sleep(opens_at - moment)
            except RunStopped:
                return
        await self._carry_out(entry, asyncio.Event())

    def _opens_at(self, entry: RequestState) -> float:
        return self._pending_writes.opens_at(entry.request.target, entry.request.body)

    def _let_go(self, follower: RequestState, after: RequestState) -> None:
        """A request whose classroom another row of the sheet was to set first."""
        for doubt in after.doubts(self._conditions.clock.skew):
            self._pending_writes.add(doubt)
        self._tasks.create_task(self._when_open(follower))

    # -------------------------------------------------------------- tries

    async def _carry_out(self, entry: RequestState, tried: asyncio.Event) -> None:
        """Try a request until it has ended; `tried` is set once its first try is over."""

        async def note(_: RetryCallState) -> None:
            await self._tracker.record(entry, entry.last)
            self._repeating.add(entry.request.key)
            tried.set()

        policy = RetryPolicy(entry, self._pacer.budget, self._shutdown).policy(before_sleep=note)
        try:
            await self._conclude(entry, await policy(self._try, entry))
        except RunStopped:
            return
        finally:
            self._repeating.discard(entry.request.key)
            tried.set()

    async def _try(self, entry: RequestState) -> Verdict | Outcome:
        """One try, recorded as an intent; an outcome where the request ends without one.

        Raises:
            RunStopped: the run is ending.

        """
        alone = await self._admission.acquire_probe(entry)
        try:
            async with self._slots:
                found = await self._in_turn(entry, alone=alone)
                if isinstance(found, Verdict) and entry.is_to_be_recounted(found):
                    # Signed by the other rule, before others of its kind leave.
                    await self._tracker.record(entry, found)
                    await self._shutdown.sleep(SAME_AGAIN_S)
                    found = await self._in_turn(entry, alone=alone)
                return found
        finally:
            if alone:
                self._admission.leave()

    async def _in_turn(self, entry: RequestState, *, alone: bool) -> Verdict | Outcome:
        """What is answered to a request in its turn, or how it ends without one."""
        early = await self._admission.acquire_slot(entry)
        return early or self._judge(entry, await self._send_once(entry), alone=alone)

    async def _send_once(self, entry: RequestState) -> Reply | NoReply:
        """Stamp it before the intent is on disk: the ledger has to know how long a stamp lives."""
        clock = self._conditions.clock
        self._choose_counting(entry)
        entry.stamp, entry.sent_at = self._wall(), now()
        entry.signed = int(entry.stamp + clock.offset)
        await self._tracker.record_intent(entry, ahead_of(entry.stamp, entry.signed, clock.skew))
        send = self._send
        if self._send_by_characters and entry.counting == "characters":
            send = self._send_by_characters
        return await send(entry.request.body, entry.signed)

    def _choose_counting(self, entry: RequestState) -> None:
        """By which rule a try is signed: as ClassIn was seen to do, else once by the other."""
        if self._send_by_characters is None:
            entry.recounted = True
        elif entry.is_to_be_recounted(entry.last):
            entry.recounted = True
            entry.counting = "bytes" if entry.counting == "characters" else "characters"
        elif not entry.recounted:
            entry.counting = self._conditions.counting

    def _judge(self, entry: RequestState, reply: Reply | NoReply, *, alone: bool) -> Verdict:
        """What an answer says of its request; what it says of the others is learned."""
        verdict = judge(
            reply,
            self._endpoint,
            now=self._wall(),
            body=entry.request.body,
            listener=self._listener,
        )
        entry.last = verdict
        before = self._conditions.breaker.state
        stop = self._conditions.learn(entry, verdict, reply, now(), alone=alone)
        if stop:
            self.stop(stop)
        elif self._conditions.breaker.state is not before:
            self._shutdown.notify()
        return verdict

    async def _conclude(self, entry: RequestState, found: Verdict | Outcome) -> None:
        """Write down how a request ended."""
        if isinstance(found, Outcome):
            await self._settle(entry, found)
        elif found.kind is ReplyClass.CREDENTIALS and not self._conditions.guards.proven:
            # Whose fault it is shows at the end: the secret's, or this row's alone.
            await self._tracker.record(entry, found)
        else:
            outcome = final_outcome(entry, found, self.stopped)
            if outcome.status is RowStatus.APPLIED:
                self._pacer.budget.succeeded(entry.attempts)
            await self._settle(entry, outcome, found)

    async def _settle(
        self, entry: RequestState, outcome: Outcome, verdict: Verdict | None = None
    ) -> None:
        """Write down how a request ended; only then let its successor go."""
        await self._tracker.finish(entry, outcome, verdict)
        follower = self._dependents.pop(entry.request.key, None)
        if follower:
            self._let_go(self._tracker.begin(follower), entry)
