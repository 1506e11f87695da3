"""Carries out a run: sends its open requests at the pace asked for, then reports all of it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final, Protocol, TypedDict, Unpack

from bulkcast import client as http
from bulkcast import pacing
from bulkcast.catalogue import Endpoint
from bulkcast.config import Config, of_proxy
from bulkcast.dispatcher import Dispatcher, Progress
from bulkcast.dispatcher.admission import Replenish
from bulkcast.dispatcher.write_ordering import PendingWrites, UnansweredAttempt
from bulkcast.endpoints import WEBCAST
from bulkcast.errors import BulkcastError, LedgerUnwritable, NeedsHuman
from bulkcast.home import Home
from bulkcast.ledger import (
    FrozenRun,
    Journal,
    Ledger,
    MonotonicClock,
    Sends,
    Timestamp,
    boot_id,
    open_ledger,
)
from bulkcast.model import (
    Attempt,
    History,
    Outcome,
    Request,
    RequestKey,
    RowStatus,
    Stop,
    Text,
)
from bulkcast.pacing import Pacer
from bulkcast.pipeline.options import SendOptions
from bulkcast.pipeline.result_sheet import RunReport, report
from bulkcast.planner.forecast import Pace, forecast
from bulkcast.protocol import own_secrets

_WATCH_EVERY_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Parts:
    """What a run is made of; the proofs put broken parts and other clocks in their place."""

    ledger: Callable[[Home], Ledger] = open_ledger
    client: type[http.Client] = http.Client
    dispatcher: type[Dispatcher] = Dispatcher
    wall: Callable[[], float] = time.time
    """The wall clock: Unix seconds."""
    steady: MonotonicClock | None = None
    """The monotonic clock that goes with `wall`, if that is not this computer's."""

    def monotonic(self) -> MonotonicClock | None:
        """The monotonic clock; None if there is none that goes with `wall`."""
        if self.steady is None and self.wall is time.time:
            return MonotonicClock(time.monotonic, boot_id())
        return self.steady


class Steered(Protocol):
    """What a `Control` steers: a dispatcher, or a run that others send."""

    @property
    def stopped(self) -> Stop | None:
        """Why it ends early; None if it does not."""

    @property
    def requests(self) -> int:
        """Attempts made so far."""

    @property
    def remarks(self) -> list[Text]:
        """Remarks for the user."""

    def stop(self, why: Stop) -> None:
        """Send nothing more."""

    def pause(self) -> None:
        """Send nothing more until `go_on`."""

    def go_on(self) -> None:
        """Send again."""


class Control:
    """How a door pauses a run or ends it early; for use in the thread of the run's event loop."""

    def __init__(self, begun: Callable[[str], None] | None = None) -> None:
        """`begun` is called with the run's name once the ledger has it and sending begins."""
        self.begun = begun or (lambda _: None)
        self.sent: tuple[str, ...] = ()
        """The runs of a group that are sent, when it begins."""
        self._dispatcher: Steered | None = None
        self._early: Stop | None = None
        self._paused = False
        self._children: list[Control] = []

    def child(self) -> "Control":
        """The control of one of several runs, which follows this one and tells nobody it begins."""
        found = Control()
        found._early, found._paused = self._early, self._paused
        self._children.append(found)
        return found

    def stop(self, exit_status: int) -> None:
        """Send nothing more, let requests under way finish, and write the result sheet."""
        why = Stop("interrupted", "run.interrupted", exit_status=exit_status)
        self._early = self._early or why
        if self._dispatcher:
            self._dispatcher.stop(why)
        for each in self._children:
            each.stop(exit_status)

    def pause(self) -> None:
        """Send nothing more until `go_on`; requests under way finish."""
        self._paused = True
        if self._dispatcher:
            self._dispatcher.pause()
        for each in self._children:
            each.pause()

    def go_on(self) -> None:
        """Send again after a pause."""
        self._paused = False
        if self._dispatcher:
            self._dispatcher.go_on()
        for each in self._children:
            each.go_on()

    def attach(self, dispatcher: Steered) -> None:
        """Control this run; it ends at once if it was stopped before it started."""
        self._dispatcher = dispatcher
        if self._paused:
            dispatcher.pause()
        if self._early:
            dispatcher.stop(self._early)

    def detach(self) -> None:
        """Release a finished run and its dispatcher."""
        self._dispatcher = None

    def torn_down(self) -> tuple[Stop, int, list[Text]]:
        """Why a run ended that could not say so itself, how many requests it made, its remarks."""
        why = self._early or Stop("interrupted", "run.interrupted", exit_status=130)
        if self._dispatcher is None:
            return why, 0, []
        ended = self._dispatcher
        return ended.stopped or why, ended.requests, ended.remarks


Watch = Callable[[Progress], None]
"""Called with a run's progress a few times a second."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """A run in the ledger, and what it is carried out with."""

    ledger: Ledger
    run: str
    config: Config
    options: SendOptions
    control: Control
    watch: Watch | None
    parts: Parts
    steady: MonotonicClock | None
    sends: Sends
    """What all users of this computer have sent for the institution."""

    def now(self) -> Timestamp:
        """The present time, by every clock."""
        wall = self.parts.wall()
        if self.steady is None:
            return Timestamp(wall)
        return Timestamp(wall, self.steady.tick(), self.steady.boot)


OPEN: Final = frozenset({RowStatus.UNCONFIRMED, RowStatus.NOT_SENT})
"""Statuses of the rows that a resumed run sends."""


@dataclass(frozen=True, slots=True)
class RemainingWork:
    """The rest of a run: what is still to be sent."""

    requests: tuple[Request, ...]
    history: Mapping[RequestKey, History]
    superseded: tuple[Attempt, ...] = ()
    """The outcomes of requests that a newer run has superseded."""
    secrets: frozenset[str] = frozenset()
    """The secret settings of all rows of the run, sent or not."""

    @classmethod
    def of(cls, frozen: FrozenRun, newer: Mapping[RequestKey, str]) -> "RemainingWork":
        """The rest of a run that ended early: what was not sent or not confirmed.

        `newer` names the run that has superseded a request.
        """
        stored = (s for s in frozen.stored if frozen.outcomes[s.key].status in OPEN)
        open_ = [s.request() for s in stored]
        superseded = (
            superseded_attempt(r.key, newer[r.key], frozen.history.get(r.key, History()))
            for r in open_
            if r.key in newer
        )
        left = (r for r in open_ if r.key not in newer)
        bodies = {request.body for request in frozen.requests}
        secrets = frozenset(s for body in bodies for s in own_secrets(body, WEBCAST))
        return cls(tuple(left), frozen.history, tuple(superseded), secrets)


def superseded_attempt(key: RequestKey, newer: str, past: History) -> Attempt:
    """How a request ends whose classroom the run `newer` has set since."""
    outcome = Outcome(RowStatus.SUPERSEDED, "run.superseded", {"newer": newer}, past.attempts)
    return Attempt(key, number=0, ended=0.0, code="", ambiguous=False, outcome=outcome)


async def carry_out(context: RunContext, left: RemainingWork) -> RunReport:
    """Send the rest of a run, then report the whole run."""
    ledger, run = context.ledger, context.run
    context.control.begun(run)
    started = asyncio.get_running_loop().time()
    stop, requests, remarks = await _send(context, left)
    if (gone := ledger.gone()) and (stop is None or stop.exit_status < gone.exit_status):
        stop = Stop("ledger", "run.ledger_gone", {"why": gone.text}, gone.exit_status)
    remarks += _finish(ledger, run, stop, context.parts.wall())
    elapsed = asyncio.get_running_loop().time() - started
    return report(
        ledger,
        run,
        context.options,
        stop=stop,
        requests=requests,
        elapsed_s=elapsed,
        remarks=remarks,
    )


def _finish(ledger: Ledger, run: str, stop: Stop | None, at: float) -> list[Text]:
    """Record that a run has ended; if that fails, the records of its rows remain."""
    try:
        ledger.finish(run, stop, at)
    except LedgerUnwritable as exc:
        return [Text("That the run has ended could not be noted."), exc.text]
    return []


_Ended = tuple[Stop | None, int, list[Text]]
"""Why sending ended early, the number of attempts, and remarks."""


async def _send(context: RunContext, left: RemainingWork) -> _Ended:
    if not left.requests and not left.superseded:
        return None, 0, []
    try:
        return await _dispatch(context, left)
    except asyncio.CancelledError:
        # Cancelled by a second interrupt: the intents on disk say what was under way.
        return context.control.torn_down()


async def _dispatch(context: RunContext, left: RemainingWork) -> _Ended:
    ledger, options, parts = context.ledger, context.options, context.parts
    async with http_client(parts, context.config, options) as client:
        with ledger.journal(context.run, context.steady, context.sends) as journal:
            await journal.record(left.superseded)
            dispatcher = dispatcher_for(
                parts, client, journal, _pacer(context), options, _pending_writes(context, left)
            )
            context.control.attach(dispatcher)
            try:
                async with _watched(dispatcher, context.watch, options.rate):
                    await dispatcher.run(left.requests, left.history, also_secret=left.secrets)
            except ExceptionGroup as group:
                plain = _as_one_error(group, context.run)
                if plain is None:
                    raise
                raise plain from group
            context.control.detach()
            unused = of_proxy(context.config)
            remarks = [*((unused,) if unused else ()), *dispatcher.remarks]
            return dispatcher.stopped, dispatcher.requests, remarks


def _as_one_error(group: ExceptionGroup[Exception], run: str) -> NeedsHuman | None:
    """One error for those of all workers when the ledger cannot be written; None if it can.

    That happens when this computer is so full that not even a module can be imported.
    """
    on_purpose = group.subgroup(BulkcastError)
    first: BaseException | None = on_purpose
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    if first is None and group.subgroup(http.is_exhausted):
        first = BulkcastError("this computer has no file descriptor or no memory left")
    if first is None:
        return None
    return NeedsHuman(
        "{what}; nothing more was sent, so mend that and go on with `bulkcast resume {run}`",
        what=first,
        run=run,
    )


class OfLane(TypedDict, total=False):
    """What a dispatcher needs besides that sends a slice of a lane."""

    replenish: Replenish
    may_send: Callable[[], bool]
    memory: str


def dispatcher_for(
    parts: Parts,
    client: http.Client,
    journal: Journal,
    pacer: Pacer,
    options: SendOptions,
    pending: PendingWrites,
    **of_lane: Unpack[OfLane],
) -> Dispatcher:
    """The dispatcher of a run, or of a slice of it; `pending` may still arrive at ClassIn."""
    return parts.dispatcher(
        WEBCAST,
        client.send,
        journal,
        pacer,
        wall=parts.wall,
        concurrency=options.concurrency,
        max_outage_s=options.max_outage_s,
        pending_writes=pending,
        send_by_characters=client.send_by_characters,
        **of_lane,
    )


def http_client(
    parts: Parts,
    config: Config,
    options: SendOptions,
    may_send: Callable[[], bool] | None = None,
) -> http.Client:
    """The connections to ClassIn; `may_send` is asked right before each request leaves."""
    return parts.client(
        config.connects_to,
        WEBCAST.path,
        config.credentials,
        connections=options.concurrency,
        timeout=options.timeout,
        may_send=may_send,
    )


def _pacer(context: RunContext) -> Pacer:
    """The institution's pacer, which counts what earlier processes sent within the window."""
    rate = context.options.rate
    cap = pacing.cap_for(WEBCAST.limit, rate)
    if cap is None:
        return Pacer(rate, None)
    loop_now, now = asyncio.get_running_loop().time(), context.now()
    own = context.ledger.sent_lately(context.config.institution, now, cap.window_s)
    ages = sorted([*own, *context.sends.lately(now, cap.window_s)], reverse=True)
    return Pacer(rate, cap, (loop_now - age for age in ages))


def _pending_writes(context: RunContext, left: RemainingWork) -> PendingWrites:
    """Attempts of earlier processes for the institution that may still arrive."""
    loop_now, now = asyncio.get_running_loop().time(), context.now()
    pending_writes = PendingWrites(
        UnansweredAttempt(sent.target, sent.body, loop_now - sent.age_s, sent.ahead_s)
        for sent in context.ledger.unanswered(context.config.institution, now)
    )
    for sent in context.sends.unanswered(now, left.requests):
        # Its settings are unknown here, so it counts as different from any body.
        pending_writes.add(UnansweredAttempt(sent.target, (), loop_now - sent.age_s, sent.ahead_s))
    return pending_writes


# ------------------------------------------------------------------ progress


@asynccontextmanager
async def _watched(dispatcher: Dispatcher, watch: Watch | None, rate: float) -> AsyncIterator[None]:
    """Report progress while the block runs, and once more at its end."""
    if watch is None:
        yield
        return

    live = LiveForecast(dispatcher, WEBCAST, rate, asyncio.get_running_loop().time)

    async def show() -> None:
        while True:
            progress = dispatcher.progress()
            watch(replace(progress, late=live.late(progress)))
            await asyncio.sleep(_WATCH_EVERY_S)

    task = asyncio.create_task(show())
    try:
        yield
    finally:
        task.cancel()
        watch(dispatcher.progress())


_EVERY_S: Final = 5.0
_CHANGED: Final = 0.02
"""The relative change of pace that triggers a new forecast at once."""


class LiveForecast:
    """Forecasts for one run, renewed every few seconds and when the pace changes."""

    def __init__(
        self, dispatcher: Dispatcher, endpoint: Endpoint, rate: float, clock: Callable[[], float]
    ) -> None:
        """`rate` is the requested one, in requests per second; `clock` never jumps."""
        self._dispatcher = dispatcher
        self._endpoint = endpoint
        self._rate = rate
        self._clock = clock
        self._made_at = -_EVERY_S
        self._made_for = 0.0
        self._late = self._locked = self._refused = 0

    def late(self, progress: Progress) -> int:
        """Rows not sent yet that will be too late at the present pace."""
        is_old = self._clock() - self._made_at >= _EVERY_S
        is_other = abs(progress.rate - self._made_for) > _CHANGED * self._made_for
        if is_old or is_other:
            self._made_at, self._made_for = self._clock(), progress.rate
            self._refused = _refused(progress)
            self._late, self._locked = self._forecast(progress)
        # Rows in the forecast that were refused since do not count; rows that had locked
        # already are refused first.
        refused = _refused(progress) - self._refused
        return max(0, self._late - max(0, refused - self._locked))

    def _forecast(self, progress: Progress) -> tuple[int, int]:
        """Rows that will lock before they are sent, and rows that have locked already."""
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
