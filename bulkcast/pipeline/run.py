"""Applies a prepared sheet, and resumes a run that ended early."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bulkcast import client as http
from bulkcast import pacing
from bulkcast.catalogue import Endpoint
from bulkcast.config import Config, of_proxy
from bulkcast.dispatcher import Dispatcher, Progress
from bulkcast.dispatcher.write_ordering import PendingWrites, UnansweredAttempt
from bulkcast.endpoints import WEBCAST
from bulkcast.errors import BulkcastError, CannotStart, LedgerUnwritable, NeedsHuman
from bulkcast.ledger import FrozenRun, Ledger, MonotonicClock, Sends, Timestamp, boot_id, claim
from bulkcast.messages import local_time
from bulkcast.model import (
    Attempt,
    History,
    Outcome,
    Request,
    RequestKey,
    RowStatus,
    Stop,
    Text,
    is_rehearsal,
)
from bulkcast.pacing import Pacer
from bulkcast.pipeline.options import Control, Prepared, RunReport, SendOptions, Watch
from bulkcast.pipeline.parts import PARTS, Parts
from bulkcast.pipeline.preparation import one_spelling, require_unchanged, zone
from bulkcast.pipeline.reports import as_told, report, resumed_place
from bulkcast.pipeline.resubmission import require_as_done, without_overtaken
from bulkcast.pipeline.run_creation import freeze, header_of, held_back, new_name, target_of
from bulkcast.planner.forecast import Pace, forecast
from bulkcast.protocol import own_secrets

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
            self._late, self._locked = self._foresee(progress)
        # Rows in the forecast that were refused since do not count; rows that had locked
        # already are refused first.
        refused = _refused(progress) - self._refused
        return max(0, self._late - max(0, refused - self._locked))

    def _foresee(self, progress: Progress) -> tuple[int, int]:
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


OPEN: Final = frozenset({RowStatus.UNCONFIRMED, RowStatus.NOT_SENT})
"""Statuses of the rows that a resumed run sends."""
_WATCH_EVERY_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class RunContext:
    """The parts and callbacks that a run works with."""

    control: Control
    watch: Watch | None
    wall: Callable[[], float]
    steady: MonotonicClock | None
    parts: Parts
    sends: Sends | None = None
    """What all users of this computer have sent for the institution."""

    def now(self) -> Timestamp:
        """The present time, by every clock."""
        if self.steady is None:
            return Timestamp(self.wall())
        return Timestamp(self.wall(), self.steady.tick(), self.steady.boot)


def own_clock(wall: Callable[[], float]) -> MonotonicClock | None:
    """The computer's monotonic clock; None if `wall` is not its wall clock."""
    return MonotonicClock(time.monotonic, boot_id()) if wall is time.time else None


@dataclass(frozen=True, slots=True)
class RemainingWork:
    """The rest of a run: what is still to be sent."""

    requests: tuple[Request, ...]
    history: Mapping[RequestKey, History]
    overtaken: tuple[Attempt, ...] = ()
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
        overtaken = (_overtaken(frozen, r.key, newer[r.key]) for r in open_ if r.key in newer)
        left = (r for r in open_ if r.key not in newer)
        bodies = {request.body for request in frozen.requests}
        secrets = frozenset(s for body in bodies for s in own_secrets(body, WEBCAST))
        return cls(tuple(left), frozen.history, tuple(overtaken), secrets)


def _overtaken(frozen: FrozenRun, key: RequestKey, newer: str) -> Attempt:
    tries = frozen.history.get(key, History()).attempts
    outcome = Outcome(RowStatus.SUPERSEDED, "run.superseded", {"newer": newer}, tries)
    return Attempt(key, number=0, ended=0.0, code="", ambiguous=False, outcome=outcome)


async def carry_out(
    ledger: Ledger,
    run: str,
    left: RemainingWork,
    config: Config,
    options: SendOptions,
    context: RunContext,
) -> RunReport:
    """Send the rest of a run, then report the whole run."""
    started = asyncio.get_running_loop().time()
    stop, requests, remarks = await _send(ledger, run, left, config, options, context)
    if (gone := ledger.gone()) and (stop is None or stop.exit_status < gone.exit_status):
        stop = Stop("ledger", "run.ledger_gone", {"why": str(gone)}, gone.exit_status)
    remarks += _finish(ledger, run, stop, context.wall())
    elapsed = asyncio.get_running_loop().time() - started
    return report(
        ledger, run, options, stop=stop, requests=requests, elapsed_s=elapsed, remarks=remarks
    )


def _finish(ledger: Ledger, run: str, stop: Stop | None, at: float) -> list[Text]:
    """Record that a run has ended; if that fails, the records of its rows remain."""
    try:
        ledger.finish(run, stop, at)
    except LedgerUnwritable as exc:
        why = {name: str(word) for name, word in exc.words.items()}
        return [Text("That the run has ended could not be noted."), Text(exc.template, why)]
    return []


async def _send(
    ledger: Ledger,
    run: str,
    left: RemainingWork,
    config: Config,
    options: SendOptions,
    context: RunContext,
) -> tuple[Stop | None, int, list[Text]]:
    """Send the open requests; return why it ended early, the number of attempts, and remarks."""
    if not left.requests and not left.overtaken:
        return None, 0, []
    try:
        return await _sent(ledger, run, left, config, options, context)
    except asyncio.CancelledError:
        # Cancelled by a second interrupt: the intents on disk say what was under way.
        return context.control.torn_down()


async def _sent(
    ledger: Ledger,
    run: str,
    left: RemainingWork,
    config: Config,
    options: SendOptions,
    context: RunContext,
) -> tuple[Stop | None, int, list[Text]]:
    async with _client(config, options, context.parts) as client:
        with ledger.journal(run, context.steady, context.sends) as journal:
            await journal.record(left.overtaken)
            dispatcher = context.parts.dispatcher(
                WEBCAST,
                client.send,
                journal,
                _pacer(ledger, config, options, context),
                wall=context.wall,
                concurrency=options.concurrency,
                max_outage_s=options.max_outage_s,
                pending_writes=_pending_writes(ledger, config, left, context),
                send_by_characters=client.send_by_characters,
            )
            context.control.attach(dispatcher)
            try:
                async with _watched(dispatcher, context.watch, options.rate):
                    await dispatcher.run(left.requests, left.history, also_secret=left.secrets)
            except ExceptionGroup as group:
                plain = _told_plainly(group, run)
                if plain is None:
                    raise
                raise plain from group
            context.control.detach()
            unused = of_proxy(config)
            remarks = [*((unused,) if unused else ()), *dispatcher.remarks]
            return dispatcher.stopped, dispatcher.requests, remarks


def _told_plainly(group: ExceptionGroup[Exception], run: str) -> NeedsHuman | None:
    """One error for those of all workers when the ledger cannot be written; None if it can.

    That happens when this computer is so full that not even a module can be imported.
    """
    told = group.subgroup(BulkcastError)
    first: BaseException | None = told
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


def _client(config: Config, options: SendOptions, parts: Parts) -> http.Client:
    return parts.client(
        config.connects_to,
        WEBCAST.path,
        config.credentials,
        connections=options.concurrency,
        timeout=options.timeout,
    )


def _pacer(ledger: Ledger, config: Config, options: SendOptions, context: RunContext) -> Pacer:
    """The institution's pacer, which counts what earlier processes sent within the window."""
    cap = pacing.cap_for(WEBCAST.limit, options.rate)
    if cap is None:
        return Pacer(options.rate, None)
    loop_now, now = asyncio.get_running_loop().time(), context.now()
    ages = ledger.sent_lately(config.institution, now, cap.window_s)
    if context.sends:
        ages = sorted([*ages, *context.sends.lately(now, cap.window_s)], reverse=True)
    return Pacer(options.rate, cap, (loop_now - age for age in ages))


def _pending_writes(
    ledger: Ledger, config: Config, left: RemainingWork, context: RunContext
) -> PendingWrites:
    """Attempts of earlier processes for the institution that may still arrive."""
    loop_now, now = asyncio.get_running_loop().time(), context.now()
    pending_writes = PendingWrites(
        UnansweredAttempt(sent.target, sent.body, loop_now - sent.age_s, sent.ahead_s)
        for sent in ledger.unanswered(config.institution, now)
    )
    for sent in context.sends.unanswered(now, left.requests) if context.sends else ():
        # Its settings are unknown here, so it counts as different from any body.
        pending_writes.add(UnansweredAttempt(sent.target, (), loop_now - sent.age_s, sent.ahead_s))
    return pending_writes


@asynccontextmanager
async def _watched(dispatcher: Dispatcher, watch: Watch | None, rate: float) -> AsyncIterator[None]:
    """Report progress while the block runs, and once more at its end."""
    if watch is None:
        yield
        return

    foresight = LiveForecast(dispatcher, WEBCAST, rate, asyncio.get_running_loop().time)

    async def show() -> None:
        while True:
            progress = dispatcher.progress()
            watch(replace(progress, late=foresight.late(progress)))
            await asyncio.sleep(_WATCH_EVERY_S)

    task = asyncio.create_task(show())
    try:
        yield
    finally:
        task.cancel()
        watch(dispatcher.progress())


async def apply(
    prepared: Prepared,
    config: Config,
    options: SendOptions | None = None,
    *,
    control: Control | None = None,
    watch: Watch | None = None,
    wall: Callable[[], float] = time.time,
    parts: Parts = PARTS,
    steady: MonotonicClock | None = None,
) -> RunReport:
    """Send a prepared sheet, and write the result sheet with every row's outcome.

    `steady` is the monotonic clock that goes with `wall`, if that is not this computer's.

    Raises:
        InstitutionBusy: another run holds the institution's lock.
        CannotStart: the sheet has changed since it was read, or the result sheet cannot be
            written; nothing was sent.

    """
    options = options or SendOptions()
    started = wall()
    run = new_name(started, zone(prepared.options.tz), is_sandbox=config.credentials.is_sandbox)
    target = target_of(prepared, options, run)
    config = replace(config, institution=one_spelling(config.institution))
    prepared = held_back(prepared, options)
    with parts.ledger(config.home) as ledger:
        since = _told(started, prepared.options.tz)
        with claim(
            config.home, config.institution, run=run, since=since, state=config.state
        ) as sends:
            require_unchanged(ledger, config.institution, prepared)
            require_as_done(ledger, config, prepared)
            prepared = without_overtaken(ledger, config.institution, prepared)
            header = header_of(prepared, config, run=run, created_at=started, target=target)
            freeze(ledger, header, prepared)
            left = RemainingWork(prepared.plan.requests, {})
            context = RunContext(
                control or Control(), watch, wall, steady or own_clock(wall), parts, sends
            )
            done = await carry_out(ledger, run, left, config, options, context)
            return replace(
                done,
                issues=prepared.checked.issues,
                ignored_columns=prepared.ignored_columns,
            )


async def resume(
    config: Config,
    run: str = "",
    options: SendOptions | None = None,
    *,
    control: Control | None = None,
    watch: Watch | None = None,
    wall: Callable[[], float] = time.time,
    parts: Parts = PARTS,
    steady: MonotonicClock | None = None,
) -> RunReport:
    """Resume a run that ended early: send what was not sent or not confirmed.

    Raises:
        CannotStart: there is no such run, or it belongs to another institution.
        InstitutionBusy: another run, or this run, is under way.

    """
    config = replace(config, institution=one_spelling(config.institution))
    with parts.ledger(config.home) as ledger:
        record = ledger.newest(run)
        header = record.header
        is_away = header.institution != config.institution
        if is_away and is_rehearsal(header.run) and not config.credentials.is_sandbox:
            raise CannotStart(
                "run {run} is a rehearsal: ClassIn never got its rows; go on with it with"
                " --sandbox, or send the sheet in earnest with `bulkcast apply`",
                run=header.run,
            )
        if is_away:
            raise CannotStart(
                "run {run} belongs to institution {sid} at {root_url}, the configuration to"
                " institution {other} at {other_url}; choose the other with --profile",
                run=header.run,
                sid=header.institution.sid,
                root_url=header.institution.root_url,
                other=config.institution.sid,
                other_url=config.institution.root_url,
            )
        options = options or SendOptions()
        place, told = resumed_place(ledger, header, options.results)
        options = replace(options, existing="replace", results=place)
        since = _told(wall(), header.tz)
        with claim(
            config.home, header.institution, run=header.run, since=since, state=config.state
        ) as sends:
            if told_before := as_told(ledger, record, options):
                return replace(told_before, remarks=told)
            clock = steady or own_clock(wall)
            context = RunContext(control or Control(), watch, wall, clock, parts, sends)
            left = RemainingWork.of(ledger.load(header.run), ledger.superseded(header.run))
            ledger.reopen(header.run)
            done = await carry_out(ledger, header.run, left, config, options, context)
            return replace(done, remarks=(*done.remarks, *told))


def left_to_send(home: Path, run: str = "") -> int:
    """The number of rows of a run, or of the newest one, that were not sent or not confirmed."""
    with Ledger(home) as ledger:
        record = ledger.newest(run)
        if record.purged_at is not None:
            ledger.load(record.header.run)
        return ledger.left(record.header.run)


def _told(at: float, name: str) -> str:
    """A time as messages show it: in the time zone of the run's sheet."""
    return f"{local_time(at, zone(name))} {name}"
