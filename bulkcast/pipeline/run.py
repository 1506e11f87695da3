"""Sends what is left of a run, and goes on with one that was interrupted."""

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
from bulkcast.write_ordering import PendingWrites, UnansweredAttempt

_EVERY_S: Final = 5.0
_CHANGED: Final = 0.02
"""By how much the pace has to change for a forecast to be made at once."""


class LiveForecast:
    """Forecasts of one run, made anew when the pace has changed and every few seconds."""

    def __init__(
        self, dispatcher: Dispatcher, endpoint: Endpoint, rate: float, clock: Callable[[], float]
    ) -> None:
        """`rate` is what was asked for; `clock` never jumps."""
        self._dispatcher = dispatcher
        self._endpoint = endpoint
        self._rate = rate
        self._clock = clock
        self._made_at = -_EVERY_S
        self._made_for = 0.0
        self._late = self._locked = self._refused = 0

    def late(self, progress: Progress) -> int:
        """Rows that wait and would be too late at the present pace."""
        is_old = self._clock() - self._made_at >= _EVERY_S
        is_other = abs(progress.rate - self._made_for) > _CHANGED * self._made_for
        if is_old or is_other:
            self._made_at, self._made_for = self._clock(), progress.rate
            self._refused = _refused(progress)
            self._late, self._locked = self._foresee(progress)
        # Those that were foreseen and have been refused since are no longer to come; what had
        # locked already is refused first.
        refused = _refused(progress) - self._refused
        return max(0, self._late - max(0, refused - self._locked))

    def _foresee(self, progress: Progress) -> tuple[int, int]:
        """Rows that will lock before their turn, and rows that have locked already."""
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
"""What a resumed run sends."""
_WATCH_EVERY_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class RunContext:
    """What a run has to do with the world outside."""

    control: Control
    watch: Watch | None
    wall: Callable[[], float]
    steady: MonotonicClock | None
    parts: Parts
    sends: Sends | None = None
    """What all users of this computer sent for the institution."""

    def now(self) -> Timestamp:
        """The present moment, by every clock there is."""
        if self.steady is None:
            return Timestamp(self.wall())
        return Timestamp(self.wall(), self.steady.tick(), self.steady.boot)


def own_clock(wall: Callable[[], float]) -> MonotonicClock | None:
    """The steady clock of this computer, which goes with its wall clock and no other."""
    return MonotonicClock(time.monotonic, boot_id()) if wall is time.time else None


@dataclass(frozen=True, slots=True)
class RemainingWork:
    """What is left to send of a run."""

    requests: tuple[Request, ...]
    history: Mapping[RequestKey, History]
    overtaken: tuple[Attempt, ...] = ()
    """How those end that are not sent because a newer run has set their classroom since."""
    secrets: frozenset[str] = frozenset()
    """The secret settings of all rows of the run, sent or not."""

    @classmethod
    def of(cls, frozen: FrozenRun, newer: Mapping[RequestKey, str]) -> "RemainingWork":
        """What a run that ended early has left: what was not sent, and what nobody confirmed.

        `newer` names the run that has overtaken a request.
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
    doors: RunContext,
) -> RunReport:
    """Send what is left of a run, then report all of it."""
    started = asyncio.get_running_loop().time()
    stop, requests, remarks = await _send(ledger, run, left, config, options, doors)
    if (gone := ledger.gone()) and (stop is None or stop.exit_status < gone.exit_status):
        stop = Stop("ledger", "run.ledger_gone", {"why": str(gone)}, gone.exit_status)
    remarks += _finish(ledger, run, stop, doors.wall())
    elapsed = asyncio.get_running_loop().time() - started
    return report(
        ledger, run, options, stop=stop, requests=requests, elapsed_s=elapsed, remarks=remarks
    )


def _finish(ledger: Ledger, run: str, stop: Stop | None, at: float) -> list[Text]:
    """Note that a run has ended; where even that cannot be written, its rows are there to see."""
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
    doors: RunContext,
) -> tuple[Stop | None, int, list[Text]]:
    """Send the open requests; why it ended early, how many requests it took, what to tell."""
    if not left.requests and not left.overtaken:
        return None, 0, []
    try:
        return await _sent(ledger, run, left, config, options, doors)
    except asyncio.CancelledError:
        # Torn down by a second interrupt: the intents on disk say what was under way.
        return doors.control.torn_down()


async def _sent(
    ledger: Ledger,
    run: str,
    left: RemainingWork,
    config: Config,
    options: SendOptions,
    doors: RunContext,
) -> tuple[Stop | None, int, list[Text]]:
    async with _client(config, options, doors.parts) as client:
        with ledger.journal(run, doors.steady, doors.sends) as journal:
            await journal.record(left.overtaken)
            dispatcher = doors.parts.dispatcher(
                WEBCAST,
                client.send,
                journal,
                _pacer(ledger, config, options, doors),
                wall=doors.wall,
                concurrency=options.concurrency,
                max_outage_s=options.max_outage_s,
                pending_writes=_pending_writes(ledger, config, left, doors),
                send_by_characters=client.send_by_characters,
            )
            doors.control.attach(dispatcher)
            try:
                async with _watched(dispatcher, doors.watch, options.rate):
                    await dispatcher.run(left.requests, left.history, also_secret=left.secrets)
            except ExceptionGroup as group:
                plain = _told_plainly(group, run)
                if plain is None:
                    raise
                raise plain from group
            doors.control.detach()
            unused = of_proxy(config)
            remarks = [*((unused,) if unused else ()), *dispatcher.remarks]
            return dispatcher.stopped, dispatcher.requests, remarks


def _told_plainly(group: ExceptionGroup[Exception], run: str) -> NeedsHuman | None:
    """The one sentence in what every worker said when the ledger could not be written.

    So it is where this computer is so full that not even a module can be loaded any more.
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


def _pacer(ledger: Ledger, config: Config, options: SendOptions, doors: RunContext) -> Pacer:
    """The institution's pace, with what earlier programs sent in the window just past."""
    cap = pacing.cap_for(WEBCAST.limit, options.rate)
    if cap is None:
        return Pacer(options.rate, None)
    loop_now, now = asyncio.get_running_loop().time(), doors.now()
    ages = ledger.sent_lately(config.institution, now, cap.window_s)
    if doors.sends:
        ages = sorted([*ages, *doors.sends.lately(now, cap.window_s)], reverse=True)
    return Pacer(options.rate, cap, (loop_now - age for age in ages))


def _pending_writes(
    ledger: Ledger, config: Config, left: RemainingWork, doors: RunContext
) -> PendingWrites:
    """What earlier programs sent for the institution that may be carried out yet."""
    loop_now, now = asyncio.get_running_loop().time(), doors.now()
    pending_writes = PendingWrites(
        UnansweredAttempt(sent.target, sent.body, loop_now - sent.age_s, sent.ahead_s)
        for sent in ledger.unanswered(config.institution, now)
    )
    for sent in doors.sends.unanswered(now, left.requests) if doors.sends else ():
        # What it set nobody here knows, so it counts as something else.
        pending_writes.add(UnansweredAttempt(sent.target, (), loop_now - sent.age_s, sent.ahead_s))
    return pending_writes


@asynccontextmanager
async def _watched(dispatcher: Dispatcher, watch: Watch | None, rate: float) -> AsyncIterator[None]:
    """Show progress while the block runs, and once more at its end."""
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
    """Send a prepared sheet and hand it back with every row's outcome.

    `steady` is a clock that nobody sets, for another `wall` than this computer's.

    Raises:
        InstitutionBusy: another run holds the institution.
        CannotStart: the sheet changed since it was read, or the results cannot go where they
            should; nothing was sent.

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
            doors = RunContext(
                control or Control(), watch, wall, steady or own_clock(wall), parts, sends
            )
            done = await carry_out(ledger, run, left, config, options, doors)
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
    """Go on with a run that ended early: send what was not sent, and what nobody confirmed.

    Raises:
        CannotStart: there is no such run, or it belongs to another institution.
        InstitutionBusy: another run, or this one itself, is under way.

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
            doors = RunContext(control or Control(), watch, wall, clock, parts, sends)
            left = RemainingWork.of(ledger.load(header.run), ledger.superseded(header.run))
            ledger.reopen(header.run)
            done = await carry_out(ledger, header.run, left, config, options, doors)
            return replace(done, remarks=(*done.remarks, *told))


def left_to_send(home: Path, run: str = "") -> int:
    """How many rows of a run, or of the newest one, were not sent or not confirmed."""
    with Ledger(home) as ledger:
        record = ledger.newest(run)
        if record.purged_at is not None:
            ledger.load(record.header.run)
        return ledger.left(record.header.run)


def _told(at: float, name: str) -> str:
    """A moment as whoever waits for this run is told it: in the time zone of its sheet."""
    return f"{local_time(at, zone(name))} {name}"
