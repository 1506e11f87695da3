"""Freeze a plan, send it, go on with it; what is claimed is read back from the ledger."""

import asyncio
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bulkcast import client as http
from bulkcast import pacing, reporter
from bulkcast import plan as planning
from bulkcast.config import Config
from bulkcast.derive import local_time
from bulkcast.dispatcher import Dispatcher
from bulkcast.endpoints import WEBCAST
from bulkcast.errors import BulkcastError, CannotStart, LedgerUnwritable, NeedsHuman
from bulkcast.fence import Doubt, Fence
from bulkcast.ledger import FrozenRun, Ledger, Moment, RunHeader, Steady, boot_id, claim
from bulkcast.model import (
    Attempt,
    History,
    Outcome,
    Request,
    RequestKey,
    ResultRow,
    RowStatus,
    Stop,
    Text,
)
from bulkcast.pacing import Pacer
from bulkcast.pipeline.believing import require_as_done
from bulkcast.pipeline.foreseeing import Foresight
from bulkcast.pipeline.memory import rows_uncollected
from bulkcast.pipeline.overtaking import without_overtaken
from bulkcast.pipeline.parts import PARTS, Parts
from bulkcast.pipeline.preparing import sha256_of, zone
from bulkcast.pipeline.remembering import one_spelling, require_unchanged
from bulkcast.pipeline.reporting import report, resumed_place
from bulkcast.pipeline.values import Control, Prepared, RunReport, SendOptions, Watch

_OPEN: Final = frozenset({RowStatus.UNCONFIRMED, RowStatus.NOT_SENT})
"""What a resumed run sends."""
_WATCH_EVERY_S: Final = 0.2


async def apply(
    prepared: Prepared,
    config: Config,
    options: SendOptions | None = None,
    *,
    control: Control | None = None,
    watch: Watch | None = None,
    wall: Callable[[], float] = time.time,
    parts: Parts = PARTS,
    steady: Steady | None = None,
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
    run = _new_name(started)
    target = _target(prepared, options, run)
    config = replace(config, institution=one_spelling(config.institution))
    prepared = _held_back(prepared, options)
    with parts.ledger(config.home) as ledger:
        since = _told(started, prepared.options.tz)
        with claim(config.home, config.institution, run=run, since=since):
            require_unchanged(ledger, config.institution, prepared)
            require_as_done(ledger, config.institution, prepared)
            prepared = without_overtaken(ledger, config.institution, prepared)
            header = _header(prepared, config, run=run, created_at=started, target=target)
            _freeze(ledger, header, prepared)
            left = _Left(prepared.plan.requests, {})
            doors = _Doors(control or Control(), watch, wall, steady or _own_clock(wall), parts)
            done = await _carry_out(ledger, run, left, config, options, doors)
            return replace(done, issues=prepared.checked.issues)


async def resume(
    config: Config,
    run: str = "",
    options: SendOptions | None = None,
    *,
    control: Control | None = None,
    watch: Watch | None = None,
    wall: Callable[[], float] = time.time,
    parts: Parts = PARTS,
    steady: Steady | None = None,
) -> RunReport:
    """Go on with a run that ended early: send what was not sent, and what nobody confirmed.

    Raises:
        CannotStart: there is no such run, or it belongs to another institution.
        InstitutionBusy: another run, or this one itself, is under way.

    """
    config = replace(config, institution=one_spelling(config.institution))
    with parts.ledger(config.home) as ledger:
        header = ledger.newest(run).header
        if header.institution != config.institution:
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
        with claim(config.home, header.institution, run=header.run, since=_told(wall(), header.tz)):
            doors = _Doors(control or Control(), watch, wall, steady or _own_clock(wall), parts)
            left = _Left.of(ledger.load(header.run), ledger.superseded(header.run))
            ledger.reopen(header.run)
            done = await _carry_out(ledger, header.run, left, config, options, doors)
            return replace(done, remarks=(*done.remarks, *told))


def left_to_send(home: Path, run: str = "") -> int:
    """How many rows of a run, or of the newest one, were not sent or not confirmed."""
    with Ledger(home) as ledger:
        frozen = ledger.load(ledger.newest(run).header.run)
    open_ = (s for s in frozen.stored if frozen.outcomes[s.key].status in _OPEN)
    return sum(len(stored.rows) for stored in open_)


@dataclass(frozen=True, slots=True)
class _Doors:
    """What a run has to do with the world outside."""

    control: Control
    watch: Watch | None
    wall: Callable[[], float]
    steady: Steady | None
    parts: Parts

    def now(self) -> Moment:
        """The present moment, by every clock there is."""
        if self.steady is None:
            return Moment(self.wall())
        return Moment(self.wall(), self.steady.tick(), self.steady.boot)


def _own_clock(wall: Callable[[], float]) -> Steady | None:
    """The steady clock of this computer, which goes with its wall clock and no other."""
    return Steady(time.monotonic, boot_id()) if wall is time.time else None


def _target(prepared: Prepared, options: SendOptions, run: str) -> Path:
    """Where the results go, if they can: to find out after the last row is too late."""
    default = reporter.default_name(prepared.path, run)
    target = (options.results or default).absolute()
    reporter.refuse_existing(target, options.existing)
    reporter.refuse_other_kind(target, prepared.sheet.layout.kind)
    reporter.refuse_unwritable(target)
    return target


def require_place(prepared: Prepared, options: SendOptions) -> None:
    """Raise CannotStart if the results could not be written: to be known before anyone is asked."""
    _target(prepared, options, run=_new_name(0.0))


def _held_back(prepared: Prepared, options: SendOptions) -> Prepared:
    """With `--on-invalid stop` and a row that is, nothing is sent."""
    if options.on_invalid == "skip" or not prepared.invalid:
        return prepared
    settled = dict(prepared.plan.settled)
    for request in prepared.plan.requests:
        settled.update(dict.fromkeys(request.rows, Outcome(RowStatus.NOT_SENT, "run.invalid_rows")))
    return replace(prepared, plan=planning.Plan((), settled, planning.fingerprint(())))


def _header(
    prepared: Prepared, config: Config, *, run: str, created_at: float, target: Path
) -> RunHeader:
    return RunHeader(
        run=run,
        institution=config.institution,
        created_at=created_at,
        sheet=str(prepared.path),
        snapshot=f"sheet{prepared.path.suffix.lower()}",
        sha256=prepared.sha256,
        layout=prepared.sheet.layout,
        headers=prepared.sheet.headers,
        n_rows=len(prepared.sheet.rows),
        n_requests=len(prepared.plan.requests),
        target=str(target),
        tz=prepared.options.tz,
        mapping=dict(prepared.options.read.mapping),
    )


def _freeze(ledger: Ledger, header: RunHeader, prepared: Prepared) -> None:
    """Keep the sheet as it was read, and the plan."""
    _keep_sheet(ledger.folder(header.run), header.snapshot, prepared)
    issues = {row.row: row.issues for row in prepared.checked.rows if row.issues}
    kept = {number: _as_kept(row) for number, row in prepared.kept.items()}
    plan = replace(prepared.plan, settled={**prepared.plan.settled, **kept})
    ledger.create(header, plan, issues)


def _keep_sheet(folder: Path, name: str, prepared: Prepared) -> None:
    """Copy the sheet, or leave nothing behind."""
    try:
        folder.parent.mkdir(mode=0o700, exist_ok=True)  # `parents` would leave it open to others
        folder.mkdir(mode=0o700)
        copy = folder / name
        shutil.copyfile(prepared.path, copy)
        copy.chmod(0o600)
        whole = sha256_of(copy) == prepared.sha256
    except OSError as exc:
        shutil.rmtree(folder, ignore_errors=True)
        why = exc.strerror or type(exc).__name__
        raise CannotStart(
            "{path} cannot be copied to {folder}: {why}", path=prepared.path, folder=folder, why=why
        ) from exc
    if not whole:
        shutil.rmtree(folder, ignore_errors=True)
        raise CannotStart("{path} has changed since it was read; run it again", path=prepared.path)


def _as_kept(row: ResultRow) -> Outcome:
    """An earlier result as an outcome that `_result_rows` turns back into itself."""
    words = {"message": row.message, "fix": row.fix, "time": row.time, "run": row.run}
    return Outcome(row.status, row.code, {"kept": "1", **words}, row.attempts)


@dataclass(frozen=True, slots=True)
class _Left:
    """What is left to send of a run."""

    requests: tuple[Request, ...]
    history: Mapping[RequestKey, History]
    overtaken: tuple[Attempt, ...] = ()
    """How those end that are not sent because a newer run has set their classroom since."""

    @classmethod
    def of(cls, frozen: FrozenRun, newer: Mapping[RequestKey, str]) -> "_Left":
        """What a run that ended early has left: what was not sent, and what nobody confirmed.

        `newer` names the run that has overtaken a request.
        """
        open_ = [r for r in frozen.requests if frozen.outcomes[r.key].status in _OPEN]
        overtaken = (_overtaken(frozen, r.key, newer[r.key]) for r in open_ if r.key in newer)
        left = (r for r in open_ if r.key not in newer)
        return cls(tuple(left), frozen.history, tuple(overtaken))


def _overtaken(frozen: FrozenRun, key: RequestKey, newer: str) -> Attempt:
    tries = frozen.history.get(key, History()).attempts
    outcome = Outcome(RowStatus.SUPERSEDED, "run.superseded", {"newer": newer}, tries)
    return Attempt(key, number=0, ended=0.0, code="", ambiguous=False, outcome=outcome)


async def _carry_out(
    ledger: Ledger, run: str, left: _Left, config: Config, options: SendOptions, doors: _Doors
) -> RunReport:
    """Send what is left of a run, then report all of it."""
    started = asyncio.get_running_loop().time()
    with rows_uncollected():
        stop, requests, remarks = await _send(ledger, run, left, config, options, doors)
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
    ledger: Ledger, run: str, left: _Left, config: Config, options: SendOptions, doors: _Doors
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
    ledger: Ledger, run: str, left: _Left, config: Config, options: SendOptions, doors: _Doors
) -> tuple[Stop | None, int, list[Text]]:
    async with _client(config, options, doors.parts) as client:
        with ledger.journal(run, doors.steady) as journal:
            await journal.record(left.overtaken)
            dispatcher = doors.parts.dispatcher(
                WEBCAST,
                client.send,
                journal,
                _pacer(ledger, config, options, doors.now()),
                wall=doors.wall,
                concurrency=options.concurrency,
                max_outage_s=options.max_outage_s,
                fence=_fence(ledger, config, doors.now()),
            )
            doors.control.attach(dispatcher)
            try:
                async with _watched(dispatcher, doors.watch, options.rate):
                    await dispatcher.run(left.requests, left.history)
            except ExceptionGroup as group:
                raise _told_plainly(group, run) from group
            return dispatcher.stopped, dispatcher.requests, dispatcher.remarks


def _told_plainly(group: ExceptionGroup[Exception], run: str) -> Exception:
    """The one sentence in what every worker said when the ledger could not be written."""
    told = group.subgroup(BulkcastError)
    if told is None:
        return group
    first: BaseException = told
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return NeedsHuman(
        "{what}; nothing more was sent, so mend that and go on with `bulkcast resume {run}`",
        what=first,
        run=run,
    )


def _client(config: Config, options: SendOptions, parts: Parts) -> http.Client:
    return parts.client(
        config.institution.root_url,
        WEBCAST.path,
        config.credentials,
        connections=options.concurrency,
        timeout=options.timeout,
    )


def _pacer(ledger: Ledger, config: Config, options: SendOptions, now: Moment) -> Pacer:
    """The institution's pace, with what earlier programs sent in the window just past."""
    cap = pacing.cap_for(WEBCAST.limit, options.rate)
    if cap is None:
        return Pacer(options.rate, None)
    loop_now = asyncio.get_running_loop().time()
    ages = ledger.sent_lately(config.institution, now, cap.window_s)
    return Pacer(options.rate, cap, (loop_now - age for age in ages))


def _fence(ledger: Ledger, config: Config, now: Moment) -> Fence:
    """What earlier programs sent for the institution that may be carried out yet."""
    loop_now = asyncio.get_running_loop().time()
    return Fence(
        Doubt(sent.target, sent.body, loop_now - sent.age_s, sent.ahead_s)
        for sent in ledger.unanswered(config.institution, now)
    )


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


def _new_name(now: float) -> str:
    """A run's name: sorts by time, unique by four random hex digits."""
    return f"{datetime.fromtimestamp(now, UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def _told(at: float, name: str) -> str:
    """A moment as whoever waits for this run is told it: in the time zone of its sheet."""
    return f"{local_time(at, zone(name))} {name}"
