"""Sends what is left of a run under the pace and the fence of its institution, and reports it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from bulkcast import client as http
from bulkcast import pacing
from bulkcast.config import Config, of_proxy
from bulkcast.dispatcher import Dispatcher
from bulkcast.endpoints import WEBCAST
from bulkcast.errors import BulkcastError, LedgerUnwritable, NeedsHuman
from bulkcast.fence import Doubt, Fence
from bulkcast.ledger import FrozenRun, Ledger, Moment, Sends, Steady, boot_id
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
from bulkcast.pipeline.foreseeing import Foresight
from bulkcast.pipeline.parts import Parts
from bulkcast.pipeline.reporting import report
from bulkcast.pipeline.values import Control, RunReport, SendOptions, Watch
from bulkcast.protocol import own_secrets

OPEN: Final = frozenset({RowStatus.UNCONFIRMED, RowStatus.NOT_SENT})
"""What a resumed run sends."""
_WATCH_EVERY_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Doors:
    """What a run has to do with the world outside."""

    control: Control
    watch: Watch | None
    wall: Callable[[], float]
    steady: Steady | None
    parts: Parts
    sends: Sends | None = None
    """What all users of this computer sent for the institution."""

    def now(self) -> Moment:
        """The present moment, by every clock there is."""
        if self.steady is None:
            return Moment(self.wall())
        return Moment(self.wall(), self.steady.tick(), self.steady.boot)


def own_clock(wall: Callable[[], float]) -> Steady | None:
    """The steady clock of this computer, which goes with its wall clock and no other."""
    return Steady(time.monotonic, boot_id()) if wall is time.time else None


@dataclass(frozen=True, slots=True)
class Left:
    """What is left to send of a run."""

    requests: tuple[Request, ...]
    history: Mapping[RequestKey, History]
    overtaken: tuple[Attempt, ...] = ()
    """How those end that are not sent because a newer run has set their classroom since."""
    secrets: frozenset[str] = frozenset()
    """The secret settings of all rows of the run, sent or not."""

    @classmethod
    def of(cls, frozen: FrozenRun, newer: Mapping[RequestKey, str]) -> "Left":
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
    ledger: Ledger, run: str, left: Left, config: Config, options: SendOptions, doors: Doors
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
    ledger: Ledger, run: str, left: Left, config: Config, options: SendOptions, doors: Doors
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
    ledger: Ledger, run: str, left: Left, config: Config, options: SendOptions, doors: Doors
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
                fence=_fence(ledger, config, left, doors),
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


def _pacer(ledger: Ledger, config: Config, options: SendOptions, doors: Doors) -> Pacer:
    """The institution's pace, with what earlier programs sent in the window just past."""
    cap = pacing.cap_for(WEBCAST.limit, options.rate)
    if cap is None:
        return Pacer(options.rate, None)
    loop_now, now = asyncio.get_running_loop().time(), doors.now()
    ages = ledger.sent_lately(config.institution, now, cap.window_s)
    if doors.sends:
        ages = sorted([*ages, *doors.sends.lately(now, cap.window_s)], reverse=True)
    return Pacer(options.rate, cap, (loop_now - age for age in ages))


def _fence(ledger: Ledger, config: Config, left: Left, doors: Doors) -> Fence:
    """What earlier programs sent for the institution that may be carried out yet."""
    loop_now, now = asyncio.get_running_loop().time(), doors.now()
    fence = Fence(
        Doubt(sent.target, sent.body, loop_now - sent.age_s, sent.ahead_s)
        for sent in ledger.unanswered(config.institution, now)
    )
    for sent in doors.sends.unanswered(now, left.requests) if doors.sends else ():
        # What it set nobody here knows, so it counts as something else.
        fence.add(Doubt(sent.target, (), loop_now - sent.age_s, sent.ahead_s))
    return fence


@asynccontextmanager
async def _watched(dispatcher: Dispatcher, watch: Watch | None, rate: float) -> AsyncIterator[None]:
    """Show progress while the block runs, and once more at its end."""
    if watch is None:
        yield
        return

    foresight = Foresight(dispatcher, WEBCAST, rate, asyncio.get_running_loop().time)

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
