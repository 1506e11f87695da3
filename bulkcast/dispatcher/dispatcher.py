"""Sends the requests of a plan: admits, signs, sends, repeats and records each."""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

from tenacity import RetryCallState

from bulkcast.catalogue import Endpoint
from bulkcast.dispatcher.admission import Admission, Replenish
from bulkcast.dispatcher.circuit_breaker import BreakerState
from bulkcast.dispatcher.memory import Memory
from bulkcast.dispatcher.retry_policy import SAME_AGAIN_S, RetryPolicy, wants_retry
from bulkcast.dispatcher.server_state import ServerState
from bulkcast.dispatcher.tracker import (
    Journal,
    RequestState,
    RequestTracker,
    RunStopped,
    Shutdown,
    final_outcome,
    now,
    outcome_on_shutdown,
)
from bulkcast.dispatcher.write_ordering import PendingWrites, ahead_of
from bulkcast.model import (
    Body,
    History,
    Outcome,
    ReplyClass,
    Request,
    RequestKey,
    RowStatus,
    Stop,
    Text,
)
from bulkcast.pacing import CONCURRENCY, MAX_OUTAGE_S, Pacer
from bulkcast.planner import deadlines
from bulkcast.protocol import Listener, NoReply, Reply, Verdict, judge, own_secrets

Send = Callable[[Body, int], Awaitable[Reply | NoReply]]
"""Sends a body stamped with Unix seconds, once."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a run under way."""

    counts: Mapping[RowStatus, int]
    """Finished rows, by status."""
    rows: int
    """All rows of the run."""
    requests: int
    """Requests sent so far."""
    rate: float
    """Requests per second allowed at present."""
    retrying: int
    """Requests that failed at least once and will be sent again."""
    breaker_state: BreakerState
    held_s: float
    """Seconds left of a pause that ClassIn asked for."""
    open_s: float
    """Seconds since ClassIn stopped answering; 0 when it answers."""
    maintained: bool = False
    """Whether the run waits for the end of a maintenance."""
    slowed: bool = False
    """Whether throttling or the cap slows the run; for how long is unknown."""
    held_back: int = 0
    """Requests that wait because an older one may still reach their classroom."""
    held_back_s: float = 0.0
    """Seconds until the last of them may be sent."""
    late: int = 0
    """Rows not yet sent that will have locked by the time the present pace reaches them."""
    paused: bool = False
    """Whether the user has paused the run."""
    under_way: int = 0
    """Requests sent and not answered yet."""


_ASKED_AGAIN_S: Final = (0.0, 1.0, 5.0)
"""Seconds before each request for ClassIn's time, until one is answered."""


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
        replenish: Replenish | None = None,
        may_send: Callable[[], bool] | None = None,
        memory: str = "",
    ) -> None:
        """Get ready for one run.

        Args:
            endpoint: the endpoint to call.
            send: sends one request.
            journal: stores intents and outcomes.
            pacer: decides when the next request may start.
            wall: Unix seconds by this computer's clock.
            concurrency: requests under way at once.
            max_outage_s: seconds an outage is waited out.
            pending_writes: what earlier runs sent and may still arrive, on the loop's clock.
            chance: numbers in [0, 1).
            send_by_characters: as `send`, but the signature's length limit counts characters.
            replenish: gets start times for a pacer whose slots are leased.
            may_send: whether this program may still send for the institution, asked right before
                each request is sent; if not, the run stops for `lease`, and the attempt that was
                about to be made stays an intent.
            memory: what the slice before left (see `memory`); a damaged one is ignored.

        """
        self._endpoint = endpoint
        self._send = send
        self._send_by_characters = send_by_characters
        self._pacer = pacer
        self._wall = wall
        self._pending_writes = pending_writes or PendingWrites()
        self._concurrency = concurrency
        self._shutdown = Shutdown()
        self._server_state = ServerState(
            endpoint, pacer, wall=wall, chance=chance, max_throttled_s=max_outage_s
        )
        self._may_send = may_send
        self._memory = Memory.read(memory, wall())
        self._admission = Admission(self._server_state, self._shutdown, max_outage_s, replenish)
        self._tracker = RequestTracker(journal, self._shutdown, wall)
        self._queue: deque[Request] = deque()
        self._dependents: dict[RequestKey, Request] = {}
        self._repeating: set[RequestKey] = set()
        self._undecided: list[RequestState] = []
        """Refused for their signature before any success: the end of the run decides."""
        self._under_way = 0
        self._listener = Listener()
        self.handed_over = False
        """Whether the run has ended with rows left for the next slice."""

    # -------------------------------------------------------------- public

    async def run(
        self,
        requests: Iterable[Request],
        history: Mapping[RequestKey, History] | None = None,
        *,
        also_secret: Iterable[str] = (),
    ) -> Mapping[RequestKey, Outcome]:
        """Send every request and return the outcome of each.

        Secret settings of all requests and `also_secret` are masked in ClassIn's messages.
        A cancelled run leaves its outcomes to the journal; requests under way are intents there.
        """
        requests = tuple(requests)
        self._tracker.open(requests, history or {})
        if self._memory:
            self._server_state.recall(self._memory, now())
            self._tracker.recall(self._memory, now())
        secrets = (own_secrets(request.body, self._endpoint) for request in requests)
        self._listener = Listener(chain(also_secret, chain.from_iterable(secrets)))
        self._enqueue(requests)
        self._connections = asyncio.Semaphore(self._concurrency)
        with suppress(RunStopped):
            await self._ask_time()
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for _ in range(min(self._concurrency, len(self._queue))):
                tasks.create_task(self._work())
        unsent = [*self._queue, *self._dependents.values()]
        if await self._leaves_rest(unsent):
            self.handed_over = self.stopped is None
        else:
            refused = self._server_state.stop_conditions.credentials_refused()
            if refused:
                self.stop(refused)
            await self._tracker.close(unsent)
        return self._tracker.outcomes

    async def _leaves_rest(self, unsent: Sequence[Request]) -> bool:
        """Whether rows are left to whoever sends next, so that they get no outcome here."""
        if self.stopped:
            return self.stopped.reason == "lease"
        if not self._shutdown.hands_over:
            return False
        if self._server_state.stop_conditions.proven:
            with suppress(RunStopped):
                for state in self._undecided:
                    await self._tracker.finish(state, outcome_on_shutdown(state, None))
                self._undecided.clear()
        undecided = {state.request.key for state in self._undecided}
        return self.stopped is None and bool(unsent or self._tracker.active.keys() - undecided)

    def stop(self, why: Stop) -> None:
        """Send nothing more; requests under way may finish.  The first reason stays."""
        self._shutdown.request(why)

    def hand_over(self) -> None:
        """Send nothing more and leave the rest to the next slice; requests under way finish.

        Rows without an outcome get none: the next slice goes on from the journal and `memory`.
        """
        self._shutdown.hand_over()

    def memory(self) -> str:
        """What the next slice has to know besides the journal, as JSON; opaque to all others.

        It concerns the institution and the rows not finished; with no rows left it is of no use.
        """
        moment = now()
        rows = self._tracker.repeats(moment)
        return replace(self._server_state.remember(moment), rows=rows).write(self._wall())

    def pause(self) -> None:
        """Send nothing more until `go_on`; requests under way may finish."""
        self._admission.pause()

    def go_on(self) -> None:
        """Send again after a pause."""
        self._admission.go_on()

    @property
    def stopped(self) -> Stop | None:
        """Why the run ends early; None if it does not."""
        return self._shutdown.stopped

    @property
    def requests(self) -> int:
        """Attempts made so far."""
        return self._tracker.requests

    @property
    def remarks(self) -> list[Text]:
        """Remarks for the user: a wrong clock, an outage, requests that waited for older ones."""
        waited = self._pending_writes.remark
        return [*self._server_state.remarks, *((waited,) if waited else ())]

    def progress(self) -> Progress:
        """The progress of the run."""
        moment, breaker = now(), self._server_state.breaker
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
            paused=self._admission.is_paused,
            under_way=self._under_way,
        )

    @property
    def waiting(self) -> Sequence[Request]:
        """The requests not sent yet, in sending order."""
        return list(self._queue)

    @property
    def next_turn_s(self) -> float:
        """Seconds until the next free slot of the pacer."""
        return self._pacer.due(now()) - now()

    @property
    def server_time(self) -> float:
        """The time at ClassIn, Unix seconds."""
        return self._server_state.server_time

    # -------------------------------------------------------------- queue

    async def _ask_time(self) -> None:
        """Ask for ClassIn's time if rows look too late: this computer's clock may be wrong.

        The request cannot change anything, and takes a slot of the pacer like any other.
        """
        by_local_clock = self.server_time
        if not any(deadlines.is_late(request.locks_at, by_local_clock) for request in self._queue):
            return
        for gap_s in _ASKED_AGAIN_S:
            await self._shutdown.sleep(gap_s)
            await self._admission.acquire_turn()
            if not self._still_may_send():
                return
            reply = await self._send(self._endpoint.harmless, int(self._wall()))
            verdict = judge(reply, self._endpoint, now=self._wall(), listener=self._listener)
            stop = self._server_state.learn_time(verdict, reply, now())
            if stop:
                self.stop(stop)
            if stop or verdict.code.isdigit():  # a code of its own
                return

    def _enqueue(self, requests: Sequence[Request]) -> None:
        keys = {request.key for request in requests}
        for request in requests:
            if request.after in keys:
                self._dependents[request.after] = request
            else:
                self._queue.append(request)

    async def _work(self) -> None:
        """Take requests from the queue, each after the first attempt of the one before."""
        while self._queue and not self._shutdown.is_ending:
            state = self._tracker.begin(self._queue.popleft())
            if max(self._not_before(state), state.next_at) > now():  # it must not delay the others
                self._tasks.create_task(self._carry_out_in_order(state))
            else:
                await self._carry_out(state)

    async def _carry_out_in_order(self, state: RequestState) -> None:
        """Carry out a request once no older one can still reach its classroom."""
        not_before, moment = self._not_before(state), now()
        try:
            if not_before > moment:
                with self._pending_writes.waiting(state.request.key, moment, not_before):
                    await self._shutdown.sleep(not_before - moment)
            if state.next_at > now():  # a slice before this one has sent it
                await self._shutdown.sleep(state.next_at - now())
        except RunStopped:
            return
        await self._carry_out(state)

    def _not_before(self, state: RequestState) -> float:
        return self._pending_writes.not_before(state.request.target, state.request.body)

    def _start_dependent(self, dependent: RequestState, after: RequestState) -> None:
        """Start a request that had to wait for another row's request to the same classroom."""
        for attempt in after.unanswered_attempts(self._server_state.clock.skew):
            self._pending_writes.add(attempt)
        self._tasks.create_task(self._carry_out_in_order(dependent))

    # -------------------------------------------------------------- attempts

    async def _carry_out(self, state: RequestState) -> None:
        """Make the first attempt; leave all others, if there have to be any, to a task."""
        earlier_sends = state.sends
        try:
            found = await self._attempt(state)
            if wants_retry(state, found, self.stopped):
                self._tasks.create_task(self._repeat(state, found, earlier_sends))
            else:
                await self._conclude(state, found)
        except RunStopped:
            return

    async def _repeat(
        self, state: RequestState, first: Verdict | Outcome, earlier_sends: int
    ) -> None:
        """Send a request again until it has an outcome; `first` is what the first attempt gave."""
        made = [first]

        async def attempt() -> Verdict | Outcome:
            return made.pop() if made else await self._attempt(state)

        async def record_attempt(_: RetryCallState) -> None:
            await self._tracker.record(state, state.last)
            self._repeating.add(state.request.key)

        policy = RetryPolicy(state, self._pacer.budget, self._shutdown, earlier_sends)
        try:
            await self._conclude(state, await policy.policy(record_attempt)(attempt))
        except RunStopped:
            return
        finally:
            self._repeating.discard(state.request.key)

    async def _attempt(self, state: RequestState) -> Verdict | Outcome:
        """Make one attempt and return its verdict, or the outcome if it need not be sent.

        Raises:
            RunStopped: the run is ending.

        """
        is_probe = await self._admission.acquire_probe(state)
        try:
            async with self._connections:
                found = await self._send_in_slot(state, is_probe=is_probe)
                if isinstance(found, Verdict) and state.needs_other_counting(found):
                    # Try the other signing rule before more long texts are sent.
                    await self._tracker.record(state, found)
                    state.next_at = now() + SAME_AGAIN_S
                    await self._shutdown.sleep(SAME_AGAIN_S)
                    found = await self._send_in_slot(state, is_probe=is_probe)
                return found
        finally:
            if is_probe:
                self._admission.release_probe()

    async def _send_in_slot(self, state: RequestState, *, is_probe: bool) -> Verdict | Outcome:
        """Wait for a slot and send; return the verdict, or the outcome if it need not be sent."""
        outcome = await self._admission.acquire_slot(state)
        return outcome or self._judge(state, await self._send_once(state), is_probe=is_probe)

    async def _send_once(self, state: RequestState) -> Reply | NoReply:
        """Stamp, record the intent, send: the ledger has to know how long the stamp is valid."""
        clock = self._server_state.clock
        self._choose_counting(state)
        state.stamp, state.sent_at = self._wall(), now()
        state.signed = int(state.stamp + clock.offset)
        await self._tracker.record_intent(state, ahead_of(state.stamp, state.signed, clock.skew))
        if not self._still_may_send():
            raise RunStopped
        send = self._send
        if self._send_by_characters and state.counting == "characters":
            send = self._send_by_characters
        self._under_way += 1
        try:
            return await send(state.request.body, state.signed)
        finally:
            self._under_way -= 1

    def _still_may_send(self) -> bool:
        """Whether this program may still send; if not, the run stops."""
        if self._may_send is None or self._may_send():
            return True
        self.stop(Stop("lease", "run.lease"))
        return False

    def _choose_counting(self, state: RequestState) -> None:
        """Choose what the signature counts: as ClassIn last did, or once the other, if refused."""
        if self._send_by_characters is None:
            state.counting_switched = True
        elif state.needs_other_counting(state.last):
            state.counting_switched = True
            state.counting = "bytes" if state.counting == "characters" else "characters"
        elif not state.counting_switched:
            state.counting = self._server_state.counting

    def _judge(self, state: RequestState, reply: Reply | NoReply, *, is_probe: bool) -> Verdict:
        """The verdict on a request; the server state learns from the answer, too."""
        verdict = judge(
            reply,
            self._endpoint,
            now=self._wall(),
            body=state.request.body,
            listener=self._listener,
        )
        state.last = verdict
        before = self._server_state.breaker.state
        stop = self._server_state.learn(state, verdict, reply, now(), is_probe=is_probe)
        if stop:
            self.stop(stop)
        elif self._server_state.breaker.state is not before:
            self._shutdown.notify()
        return verdict

    async def _conclude(self, state: RequestState, found: Verdict | Outcome) -> None:
        """Record the outcome of a request after its last attempt."""
        if isinstance(found, Outcome):
            await self._finish(state, found)
        elif found.kind is ReplyClass.CREDENTIALS and not self._server_state.stop_conditions.proven:
            # Only the end of the run shows whether the secret is wrong or just this row.
            await self._tracker.record(state, found)
            self._undecided.append(state)
        else:
            outcome = final_outcome(state, found, self.stopped)
            if outcome.status is RowStatus.APPLIED:
                self._pacer.budget.succeeded(state.attempts)
            await self._finish(state, outcome, found)

    async def _finish(
        self, state: RequestState, outcome: Outcome, verdict: Verdict | None = None
    ) -> None:
        """Record the outcome of a request, and only then start the one that waits for it."""
        await self._tracker.finish(state, outcome, verdict)
        dependent = self._dependents.pop(state.request.key, None)
        if dependent:
            self._start_dependent(self._tracker.begin(dependent), state)
