"""The way of a request: its turn, its intent, its answer, until it has ended."""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Final

from tenacity import RetryCallState

from bulkcast import locks
from bulkcast.catalogue import Endpoint
from bulkcast.dispatcher.book import Book
from bulkcast.dispatcher.brake import Brake, Halt, now
from bulkcast.dispatcher.conditions import Conditions
from bulkcast.dispatcher.gate import MAX_OUTAGE_S, Gate
from bulkcast.dispatcher.ports import Journal, Progress, Send
from bulkcast.dispatcher.repeating import SAME_AGAIN_S, Repeats
from bulkcast.endings import Entry, ending
from bulkcast.fence import Fence, ahead_of
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
from bulkcast.pacing import Pacer
from bulkcast.protocol import Listener, judge, own_secrets

CONCURRENCY: Final = 32
"""Requests under way at once: twice what 950 a minute needs when an answer takes 2 s."""

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
        fence: Fence | None = None,
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
            fence: what earlier programs sent that may arrive yet, on the event loop's clock.
            chance: numbers in [0, 1).
            send_by_characters: as `send`, but signs as if characters of long texts were counted.

        """
        self._endpoint = endpoint
        self._send = send
        self._send_by_characters = send_by_characters
        self._pacer = pacer
        self._wall = wall
        self._fence = fence or Fence()
        self._concurrency = concurrency
        self._brake = Brake()
        self._conditions = Conditions(
            endpoint, pacer, wall=wall, chance=chance, max_throttled_s=max_outage_s
        )
        self._gate = Gate(self._conditions, self._brake, max_outage_s)
        self._book = Book(journal, self._brake, wall)
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
        self._book.open(requests, history or {})
        secrets = (own_secrets(request.body, self._endpoint) for request in requests)
        self._listener = Listener(chain(also_secret, chain.from_iterable(secrets)))
        self._line_up(requests)
        self._slots = asyncio.Semaphore(self._concurrency)
        with suppress(Halt):
            await self._ask_the_time()
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for _ in range(min(self._concurrency, len(self._queue))):
                tasks.create_task(self._work())
        refused = self._conditions.guards.credentials_refused()
        if refused:
            self.stop(refused)
        await self._book.close([*self._queue, *self._dependents.values()])
        return self._book.outcomes

    def stop(self, why: Stop) -> None:
        """Send nothing more; what is under way may finish.  The first reason stays."""
        self._brake.pull(why)

    @property
    def stopped(self) -> Stop | None:
        """Why the run ended early; None while or if it did not."""
        return self._brake.stopped

    @property
    def requests(self) -> int:
        """Attempts made so far."""
        return self._book.requests

    @property
    def remarks(self) -> list[Text]:
        """What the user should hear of: a wrong clock, an outage, a fence."""
        waited = self._fence.remark
        return [*self._conditions.remarks, *((waited,) if waited else ())]

    def progress(self) -> Progress:
        """How far the run is."""
        moment, weather = now(), self._conditions.weather
        return Progress(
            counts=dict(self._book.counts),
            rows=self._book.rows,
            requests=self._book.requests,
            rate=self._pacer.rate,
            retrying=len(self._repeating),
            sky=weather.sky,
            held_s=max(0.0, self._pacer.held_until - moment),
            parked_s=weather.parked_for(moment),
            maintained=weather.is_maintenance,
            slowed=self._pacer.is_slowed(moment),
            fenced=len(self._fence.held),
            fenced_s=max(self._fence.held.values(), default=moment) - moment,
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
        if not any(locks.is_late(request.locks_at, by_own_clock) for request in self._queue):
            return
        for gap_s in _ASKED_AGAIN_S:
            await self._brake.sleep(max(gap_s, self._pacer.reserve(now() + gap_s) - now()))
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
            entry = self._book.begin(self._queue.popleft())
            if self._opens_at(entry) > now():  # and so do not hold up the others
                self._tasks.create_task(self._when_open(entry))
            else:
                tried = asyncio.Event()
                self._tasks.create_task(self._carry_out(entry, tried))
                await tried.wait()

    async def _when_open(self, entry: Entry) -> None:
        """Carry out a request once nothing older can arrive at its classroom any more."""
        opens_at, moment = self._opens_at(entry), now()
        if opens_at > moment:
            try:
                with self._fence.waiting(entry.request.key, moment, opens_at):
                    await self._brake.sleep(opens_at - moment)
            except Halt:
                return
        await self._carry_out(entry, asyncio.Event())

    def _opens_at(self, entry: Entry) -> float:
        return self._fence.opens_at(entry.request.target, entry.request.body)

    def _let_go(self, follower: Entry, after: Entry) -> None:
        """A request whose classroom another row of the sheet was to set first."""
        for doubt in after.doubts(self._conditions.clock.skew):
            self._fence.add(doubt)
        self._tasks.create_task(self._when_open(follower))

    # -------------------------------------------------------------- tries

    async def _carry_out(self, entry: Entry, tried: asyncio.Event) -> None:
        """Try a request until it has ended; `tried` is set once its first try is over."""

        async def note(_: RetryCallState) -> None:
            await self._book.record(entry, entry.last)
            self._repeating.add(entry.request.key)
            tried.set()

        policy = Repeats(entry, self._pacer.budget, self._brake).policy(before_sleep=note)
        try:
            await self._conclude(entry, await policy(self._try, entry))
        except Halt:
            return
        finally:
            self._repeating.discard(entry.request.key)
            tried.set()

    async def _try(self, entry: Entry) -> Verdict | Outcome:
        """One try, recorded as an intent; an outcome where the request ends without one.

        Raises:
            Halt: the run is ending.

        """
        alone = await self._gate.pass_alone(entry)
        try:
            async with self._slots:
                found = await self._in_turn(entry, alone=alone)
                if isinstance(found, Verdict) and entry.is_to_be_recounted(found):
                    # Signed by the other rule, before others of its kind leave.
                    await self._book.record(entry, found)
                    await self._brake.sleep(SAME_AGAIN_S)
                    found = await self._in_turn(entry, alone=alone)
                return found
        finally:
            if alone:
                self._gate.leave()

    async def _in_turn(self, entry: Entry, *, alone: bool) -> Verdict | Outcome:
        """What is answered to a request in its turn, or how it ends without one."""
        early = await self._gate.turn(entry)
        return early or self._judge(entry, await self._send_once(entry), alone=alone)

    async def _send_once(self, entry: Entry) -> Reply | NoReply:
        """Stamp it before the intent is on disk: the ledger has to know how long a stamp lives."""
        clock = self._conditions.clock
        self._choose_counting(entry)
        entry.stamp, entry.sent_at = self._wall(), now()
        entry.signed = int(entry.stamp + clock.offset)
        await self._book.intend(entry, ahead_of(entry.stamp, entry.signed, clock.skew))
        send = self._send
        if self._send_by_characters and entry.counting == "characters":
            send = self._send_by_characters
        return await send(entry.request.body, entry.signed)

    def _choose_counting(self, entry: Entry) -> None:
        """By which rule a try is signed: as ClassIn was seen to do, else once by the other."""
        if self._send_by_characters is None:
            entry.recounted = True
        elif entry.is_to_be_recounted(entry.last):
            entry.recounted = True
            entry.counting = "bytes" if entry.counting == "characters" else "characters"
        elif not entry.recounted:
            entry.counting = self._conditions.counting

    def _judge(self, entry: Entry, reply: Reply | NoReply, *, alone: bool) -> Verdict:
        """What an answer says of its request; what it says of the others is learned."""
        verdict = judge(
            reply,
            self._endpoint,
            now=self._wall(),
            body=entry.request.body,
            listener=self._listener,
        )
        entry.last = verdict
        sky = self._conditions.weather.sky
        stop = self._conditions.learn(entry, verdict, reply, now(), alone=alone)
        if stop:
            self.stop(stop)
        elif self._conditions.weather.sky is not sky:
            self._brake.stir()
        return verdict

    async def _conclude(self, entry: Entry, found: Verdict | Outcome) -> None:
        """Write down how a request ended."""
        if isinstance(found, Outcome):
            await self._settle(entry, found)
        elif found.kind is ReplyClass.CREDENTIALS and not self._conditions.guards.proven:
            # Whose fault it is shows at the end: the secret's, or this row's alone.
            await self._book.record(entry, found)
        else:
            outcome = ending(entry, found, self.stopped)
            if outcome.status is RowStatus.APPLIED:
                self._pacer.budget.succeeded(entry.attempts)
            await self._settle(entry, outcome, found)

    async def _settle(self, entry: Entry, outcome: Outcome, verdict: Verdict | None = None) -> None:
        """Write down how a request ended; only then let its successor go."""
        await self._book.settle(entry, outcome, verdict)
        follower = self._dependents.pop(entry.request.key, None)
        if follower:
            self._let_go(self._book.begin(follower), entry)
