"""The runs that this page has started, and what is known of any run under way.

Those of a shared database are sent by workers.  Each other runs in an event loop of its own, in a
thread: freezing 50,000 rows and writing their workbook take seconds, in which the page has to
answer.
"""

import asyncio
import logging
import math
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from bulkcast import pipeline
from bulkcast.errors import BulkcastError, CannotStart, DatabaseUnreachable, LedgerUnwritable
from bulkcast.home import Home, SharedHome
from bulkcast.model import RowStatus, Text
from bulkcast.pipeline import (
    Base,
    Control,
    FailedRow,
    Figures,
    Gauge,
    PreparedRun,
    Progress,
    RunReport,
    RunState,
    SendOptions,
)
from bulkcast.web import shared_runs
from bulkcast.web.accounts import Account
from bulkcast.web.run_sending import Use, profiles_left, resuming, sending, usable
from bulkcast.web.shared_runs import Order

if TYPE_CHECKING:
    from bulkcast.pipeline import RunStanding

_log = logging.getLogger(__name__)

Phase = Literal[
    "running", "waiting", "pausing", "paused", "stopping", "elsewhere", "interrupted", "finished"
]
"""What a run is about; `elsewhere` is under way in another program, `waiting` is for workers."""
OUT_OF_REACH: Final = (DatabaseUnreachable, LedgerUnwritable)
"""What is raised where a shared database cannot be used just now."""
_INTERRUPTED: Final = 130
_LOOK_EVERY_S: Final = 1.0
"""How often the ledger is asked about a run, however many tabs show it."""
_KEPT_MOST: Final = 20


@dataclass(frozen=True, slots=True)
class RunView:
    """A run at one moment, whoever has it under way."""

    state: RunState
    phase: Phase
    counts: dict[RowStatus, int]
    """Of all its rows."""
    figures: Figures
    pace: Gauge
    progress: Progress | None = None
    """None unless this page has it under way."""
    failure: BaseException | None = None
    """What broke it off."""
    shared: "RunStanding | None" = None
    """How it stands in the fleet; None unless workers send it."""
    lost: BulkcastError | None = None
    """Why the shared database could not be asked just now; the rest is what it said last."""

    @property
    def failed(self) -> int:
        """How many rows have failed in ways that `newest_failures` lists."""
        return sum(self.counts[status] for status in _LISTED)

    @property
    def held_by(self) -> Text | None:
        """What holds its institution."""
        return self.state.held_by


_LISTED: Final = (RowStatus.REJECTED, RowStatus.TOO_LATE, RowStatus.UNCONFIRMED)


@dataclass(slots=True, eq=False)
class LiveRun:
    """A run under way; its own thread sets what it has come to, and the page reads it."""

    home: Home
    options: SendOptions
    institutions: int = 1
    """How many it is sent for, each at the pace asked for."""
    run: str = ""
    """Its name, once the ledger has it."""
    is_paused: bool = False
    is_stopping: bool = False
    begun: Future[str] = field(default_factory=Future)
    ended: Future[RunReport] = field(default_factory=Future)
    _at_begin: tuple[RunState, Base] | None = None
    _seen: tuple[Progress, Figures] | None = None
    _gauge: Gauge = field(init=False)
    _loop: asyncio.AbstractEventLoop | None = None
    _task: asyncio.Task[Any] | None = None
    _control: Control | None = None

    def __post_init__(self) -> None:
        self._gauge = Gauge(self.options.rate * max(1, self.institutions), time.monotonic)

    def start(self, use: Use) -> None:
        """Begin, in a thread."""
        threading.Thread(target=self._work, args=(use,), name="bulkcast run").start()

    def _work(self, use: Use) -> None:
        try:
            report = asyncio.run(self._carry_out(use))
        except BaseException as exc:  # noqa: BLE001 - raised where the run is awaited
            self.ended.set_exception(exc)
        else:
            self.ended.set_result(report)

    async def _carry_out(self, use: Use) -> RunReport:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        self._control = Control(self._note_begin)
        if self.is_stopping:
            self._control.stop(_INTERRUPTED)
        return await use(self._control, self._watch)

    def _note_begin(self, run: str) -> None:
        state = pipeline.run_state(self.home, run)
        sent = self._control.sent if self._control else ()
        self._at_begin = (state, Base.of_group(state, sent)) if state else None
        self.run = run
        self.begun.set_result(run)

    def _watch(self, progress: Progress) -> None:
        self._seen = (progress, self._gauge.figures(progress))

    def view(self) -> RunView | None:
        """The run now; None as long as nothing is known."""
        if self._at_begin is None:
            return None
        state, base = self._at_begin
        seen = self._seen
        if seen is None:
            figures = Figures(0, 0, base.open, 0, 0.0, None)
            return RunView(state, self._phase(None), base.plus({}, base.open), figures, self._gauge)
        progress, figures = seen
        counts = base.plus(progress.counts, progress.rows)
        return RunView(state, self._phase(progress), counts, figures, self._gauge, progress)

    def _phase(self, progress: Progress | None) -> Phase:
        if self.is_stopping:
            return "stopping"
        if self.is_paused:
            return "pausing" if progress and progress.under_way else "paused"
        return "running"

    def pause(self) -> None:
        """Send nothing more until `go_on`."""
        self.is_paused = True
        self._call(lambda control: control.pause())

    def go_on(self) -> None:
        """Send again."""
        self.is_paused = False
        self._call(lambda control: control.go_on())

    def stop(self) -> None:
        """Send nothing more, and write the results."""
        self.is_stopping = True
        self._call(lambda control: control.stop(_INTERRUPTED))

    def cancel(self) -> None:
        """End at once; rows that are on their way end unconfirmed."""
        if self._loop and self._task and not self.ended.done():
            self._loop.call_soon_threadsafe(self._task.cancel)

    def _call(self, do: Callable[[Control], None]) -> None:
        if self._loop and self._control and not self.ended.done():
            self._loop.call_soon_threadsafe(do, self._control)


@dataclass(slots=True)
class _Observed:
    """A run that the ledger is asked about."""

    gauge: Gauge = field(default_factory=lambda: Gauge(math.inf, time.monotonic))
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    at: float = -math.inf
    view: RunView | None = None


@dataclass(slots=True)
class _Failures:
    """The newest failures of a run in one language."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    at: float = -math.inf
    n: int = 0
    rows: list[FailedRow] = field(default_factory=list)


class LiveRuns:
    """Starts, pauses and stops runs, one for each institution at a time, and looks at all."""

    def __init__(self) -> None:
        self._live: list[LiveRun] = []
        self._broken: dict[str, BaseException] = {}
        self._options: dict[str, SendOptions] = {}
        self._observed: dict[tuple[Home, str], _Observed] = {}
        self._failures: dict[tuple[Home, str, str], _Failures] = {}
        self.closing = asyncio.Event()
        """Set when the page ends."""
        self.on_end: Callable[[RunReport], Awaitable[None]] | None = None
        """Is told of each run of the page that has ended."""
        self._telling: set[asyncio.Task[None]] = set()
        self._awaiting: set[asyncio.Task[None]] = set()

    # -------------------------------------------------------------- starting and steering

    async def start(
        self, account: Account, planned: PreparedRun, options: SendOptions, *, name: str
    ) -> str:
        """Begin to send a prepared sheet, and return the run's name once the ledger has it.

        Of a sheet whose rows name institutions it is the name of the group.

        `name` is what the user calls the sheet; it is only ever shown.

        Raises:
            InstitutionBusy: another run holds the institution.
            CannotStart: the sheet has changed since it was read, or there are no credentials.

        """
        options = replace(options, name=name)
        if not planned.parts:
            planned = replace(planned, config=usable(account))
        if isinstance(account.home, SharedHome):
            run = await shared_runs.submit(planned, account.home, options, account.user)
            self._tell_at_end(account.home, run, options, account.user)
            return run
        live = LiveRun(account.home, options, len(planned.reached) or 1)
        return await self._begin(live, sending(account, planned, options))

    async def resume(self, account: Account, run: str, *, lang: str = "en") -> str:
        """Go on with a run that ended early, and return its name once it is under way again.

        It has the pace it had before, if this page has sent it, else the usual one; its messages
        are in `lang`.

        Raises:
            InstitutionBusy: another run, or this one, holds the institution.
            CannotStart: there is no such run, or it belongs to another institution.

        """
        if isinstance(account.home, SharedHome):
            await shared_runs.reopen(account.home, run, account.user)
            self._look_anew(account.home, run)
            self._tell_at_end(account.home, run, SendOptions(lang=lang), account.user)
            return run
        chosen = replace(self._options.get(run, SendOptions()), lang=lang)
        profiles = await asyncio.to_thread(profiles_left, account.home, run)
        use = resuming(account, run, profiles, chosen)
        return await self._begin(LiveRun(account.home, chosen, len(profiles or ())), use)

    async def _begin(self, live: LiveRun, use: Use) -> str:
        if self.closing.is_set():
            raise CannotStart("the page is being closed")
        live.start(use)
        self._live.append(live)  # only once there is a thread that will end it
        begun, ended = asyncio.wrap_future(live.begun), asyncio.wrap_future(live.ended)
        ended.add_done_callback(lambda future: self._note_end(live, future))
        either: set[asyncio.Future[Any]] = {begun, ended}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if begun.done():
            self._broken.pop(live.run, None)
            return live.run
        return ended.result().run  # it had nothing left to send; or raises why it cannot begin

    def _note_end(self, live: LiveRun, ended: "asyncio.Future[RunReport]") -> None:
        self._live.remove(live)
        if live.run:
            self._options[live.run] = live.options
            _forget_oldest(self._options)
        self._observed.pop((live.home, live.run), None)  # it was true before the end
        why = None if ended.cancelled() else ended.exception()
        if why is None and self.on_end and live.run:
            telling = asyncio.ensure_future(self.on_end(ended.result()))
            self._telling.add(telling)
            telling.add_done_callback(self._telling.discard)
        if why is not None and live.run:
            if not isinstance(why, BulkcastError):
                _log.error("a defect of bulkcast ended run %s", live.run, exc_info=why)
            self._broken[live.run] = _without_frames(why)
            _forget_oldest(self._broken)

    def _tell_at_end(self, home: SharedHome, run: str, options: SendOptions, user: str) -> None:
        """Tell of the end of a run that workers send, unless the page ends before."""

        async def awaited(tell: Callable[[RunReport], Awaitable[None]]) -> None:
            try:
                await tell(await shared_runs.report(home, run, options, user))
            except BulkcastError as exc:
                _log.warning("nobody was told of the end of run %s: %s", run, exc)

        if self.on_end:
            task = asyncio.create_task(awaited(self.on_end))
            self._awaiting.add(task)
            task.add_done_callback(self._awaiting.discard)

    def find(self, run: str) -> LiveRun | None:
        """The run of this name, if this page has it under way."""
        return next((live for live in self._live if live.run == run), None)

    async def steer(self, account: Account, run: str, order: Order) -> None:
        """Pause, continue or stop a run of this page, or one that workers send.

        Raises:
            CannotStart: the shared database cannot be used.
            DatabaseUnreachable: likewise.

        """
        if live := self.find(run):
            {"pause": live.pause, "go_on": live.go_on, "stop": live.stop}[order]()
        elif isinstance(account.home, SharedHome):
            await shared_runs.steer(account.home, run, order, account.user)
            self._look_anew(account.home, run)

    def _look_anew(self, home: Home, run: str) -> None:
        """Have the ledger asked at the next look, however lately it was."""
        if seen := self._observed.get((home, run)):
            seen.at = -math.inf

    def pause(self, run: str) -> None:
        """Send nothing more until `go_on`; what is under way finishes."""
        if live := self.find(run):
            live.pause()

    def go_on(self, run: str) -> None:
        """Send again."""
        if live := self.find(run):
            live.go_on()

    def stop(self, run: str) -> None:
        """Send nothing more; what is under way finishes, then the results are written."""
        if live := self.find(run):
            live.stop()

    async def close(self) -> None:
        """Stop every run, and wait until its outcomes are in the ledger and its sheet is written.

        If this is cancelled, by a second signal, they end at once.
        """
        self.closing.set()
        for task in self._awaiting:
            task.cancel()  # workers go on
        live = list(self._live)
        for each in live:
            each.stop()
        ended = [asyncio.wrap_future(each.ended) for each in live]
        try:
            await asyncio.gather(*ended, return_exceptions=True)
            await asyncio.gather(*self._telling, return_exceptions=True)
        except asyncio.CancelledError:
            for each in live:
                each.cancel()
            raise

    # -------------------------------------------------------------- looking

    async def look(self, account: Account, run: str) -> RunView | None:
        """The run now, whoever has it under way; None if there is none of this name.

        Raises:
            LedgerDamaged: the ledger is not what was written.

        """
        live = self.find(run)
        if live and (view := live.view()):
            return view
        seen = self._observed.setdefault((account.home, run), _Observed())
        _forget_oldest(self._observed)
        async with seen.lock:
            if time.monotonic() - seen.at >= _LOOK_EVERY_S:
                seen.view = await self._looked(account, run, seen)
                seen.at = time.monotonic()
        return seen.view

    async def _looked(self, account: Account, run: str, seen: _Observed) -> RunView | None:
        """A run as the ledger has it now, or as it was when a shared one could last be asked."""
        if isinstance(account.home, SharedHome):
            try:
                found = await asyncio.to_thread(pipeline.run_standing, account.home, run)
            except OUT_OF_REACH as exc:
                if seen.view is None:
                    raise
                _without_frames(exc)
                return replace(seen.view, lost=exc)
            return _viewed_in_fleet(found, seen.gauge) if found else None
        shared = account.config.state if account.config else None
        state = await asyncio.to_thread(pipeline.run_state, account.home, run, shared)
        return _viewed(state, seen.gauge, self._broken.get(run)) if state else None

    async def failures(self, home: Home, view: RunView, lang: str) -> list[FailedRow]:
        """The rows that failed last; read again at most once a second, and if there are more."""
        run = view.state.record.header.run
        known = self._failures.setdefault((home, run, lang), _Failures())
        _forget_oldest(self._failures)
        async with known.lock:
            is_old = time.monotonic() - known.at >= _LOOK_EVERY_S
            if is_old and view.failed != known.n and not view.lost:
                known.rows = await asyncio.to_thread(pipeline.newest_failures, home, run, lang=lang)
                known.at, known.n = time.monotonic(), view.failed
        return known.rows


def _viewed(state: RunState, gauge: Gauge, broken: BaseException | None) -> RunView:
    """A run as the ledger has it."""
    phases: dict[str, Phase] = {"running": "elsewhere", "crashed": "interrupted"}
    phase = phases.get(state.record.state, "finished")
    figures = gauge.figures(state.progress)
    return RunView(state, phase, dict(state.record.counts), figures, gauge, failure=broken)


def _viewed_in_fleet(found: "RunStanding", gauge: Gauge) -> RunView:
    """A run that workers send."""
    state = found.state
    figures = gauge.figures(state.progress)
    phase = _phase_in_fleet(found)
    sends = phase != "finished" and found.lane.worker is not None
    counts = _without_those_on_their_way(state) if sends else dict(state.record.counts)
    return RunView(state, phase, counts, figures, gauge, shared=found)


def _without_those_on_their_way(state: RunState) -> dict[RowStatus, int]:
    """The counts of a run that a worker sends: a row on its way is not unconfirmed yet."""
    standing = state.standing
    counts = dict.fromkeys(state.record.counts, 0)
    for part in (standing.settled, standing.requested, {RowStatus.NOT_SENT: standing.waiting}):
        for status, n in part.items():
            counts[status] += n
    return counts


def _phase_in_fleet(found: "RunStanding") -> Phase:
    lane = found.lane
    if found.state.record.state != "running":
        return "finished"
    if lane.cancelled:
        return "stopping"
    if lane.paused:
        return "pausing" if lane.worker else "paused"
    return "running" if lane.worker and not found.before else "waiting"


def _without_frames(exc: BaseException) -> BaseException:
    """The error without what its frames hold, such as the whole sheet."""
    link: BaseException | None = exc
    while link is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
    return exc


def _forget_oldest(known: dict[Any, Any]) -> None:
    while len(known) > _KEPT_MOST:
        del known[next(iter(known))]
