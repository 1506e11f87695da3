"""Applies a prepared sheet, and resumes a run that ended early."""

import secrets
import shutil
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Final

from bulkcast import planner as planning
from bulkcast import reporter
from bulkcast.config import Config
from bulkcast.errors import CannotStart, system_reason
from bulkcast.home import Home, SharedHome
from bulkcast.ledger import Ledger, RunHeader, RunRecord, Sending, claim, open_ledger
from bulkcast.messages import local_time
from bulkcast.model import SANDBOX_RUN, Institution, Outcome, ResultRow, RowStatus, is_rehearsal
from bulkcast.pipeline import run_group
from bulkcast.pipeline.execution import Control, Parts, RemainingWork, RunContext, Watch, carry_out
from bulkcast.pipeline.options import SendOptions, zone
from bulkcast.pipeline.preparation import Prepared, PreparedRun, one_spelling, require_unchanged
from bulkcast.pipeline.resubmission import require_as_done, without_superseded
from bulkcast.pipeline.result_sheet import FRAME_COPY, RunReport, finished_report, resumed_place
from bulkcast.pipeline.validation import require_one_institution, sha256_of

_PARTS: Final = Parts()


async def apply(
    prepared: Prepared,
    config: Config,
    options: SendOptions | None = None,
    *,
    control: Control | None = None,
    watch: Watch | None = None,
    parts: Parts = _PARTS,
) -> RunReport:
    """Send a prepared sheet, and write the result sheet with every row's outcome.

    Raises:
        InstitutionBusy: another run holds the institution's lock.
        CannotStart: the sheet has changed since it was read, or the result sheet cannot be
            written; nothing was sent.

    """
    options = options or SendOptions()
    require_one_institution(prepared)
    if isinstance(home := config.ledger_home, SharedHome):
        from bulkcast.pipeline import submission

        return await submission.apply(
            PreparedRun(prepared, config), home, options,
            user=config.user, control=control or Control(), watch=watch, wall=parts.wall,
        )  # fmt: skip
    started, tz = parts.wall(), zone(prepared.options.tz)
    run = new_name(started, tz, is_sandbox=config.credentials.is_sandbox)
    new = NewRun(run, started, target_of(prepared, options, run))
    prepared = held_back(prepared, options)
    return await send(prepared, config, options, new, control=control, watch=watch, parts=parts)


@dataclass(frozen=True, slots=True)
class NewRun:
    """What a run is to be called, and where its results go."""

    run: str
    started: float
    target: Path
    group: str = ""
    profile: str = ""


async def send(
    prepared: Prepared,
    config: Config,
    options: SendOptions,
    new: NewRun,
    *,
    control: Control | None,
    watch: Watch | None,
    parts: Parts,
) -> RunReport:
    """Send the rows of one institution as the run `new`; raises what `apply` does."""
    run = new.run
    config = replace(config, institution=one_spelling(config.institution))
    since = _with_zone(new.started, prepared.options.tz)
    with (
        parts.ledger(config.ledger_home) as ledger,
        claim(config.home, config.institution, run=run, since=since, state=config.state) as sends,
    ):
        prepared = store(ledger, prepared, config, options, new)
        context = RunContext(
            ledger, run, config, options, control or Control(), watch, parts, parts.monotonic(),
            sends,
        )  # fmt: skip
        done = await carry_out(context, RemainingWork(prepared.plan.requests, {}))
        issues, ignored = prepared.checked.issues, prepared.ignored_columns
        return replace(done, issues=issues, ignored_columns=ignored)


def store(
    ledger: Ledger,
    prepared: Prepared,
    config: Config,
    options: SendOptions,
    new: NewRun,
    *,
    sending: Sending | None = None,
) -> Prepared:
    """Store a new run, and return what it is to send; raises what `apply` does.

    Call it while no other run of the institution can begin.
    """
    require_unchanged(ledger, config.institution, prepared)
    require_as_done(ledger, config, prepared)
    prepared = without_superseded(ledger, config.institution, prepared)
    header = header_of(prepared, config.institution, new, name=options.name)
    freeze(ledger, replace(header, sending=sending), prepared)
    return prepared


async def resume(
    config: Config,
    run: str = "",
    options: SendOptions | None = None,
    *,
    control: Control | None = None,
    watch: Watch | None = None,
    parts: Parts = _PARTS,
) -> RunReport:
    """Resume a run that ended early: send what was not sent or not confirmed.

    Raises:
        CannotStart: there is no such run, or it belongs to another institution.
        InstitutionBusy: another run, or this run, is under way.

    """
    config = replace(config, institution=one_spelling(config.institution))
    with parts.ledger(config.ledger_home) as ledger:
        record = ledger.newest(run)
        header = record.header
        require_own(header, config)
        place, remarks = resumed_place(ledger, header, (options or SendOptions()).results)
        options = replace(options or SendOptions(), existing="replace", results=place)
        if isinstance(home := config.ledger_home, SharedHome):
            from bulkcast.pipeline import submission

            done = await submission.resume(
                home, header.run, options,
                user=config.user, control=control or Control(), watch=watch,
            )  # fmt: skip
        else:
            done = await go_on(
                ledger, record, config, options, control=control, watch=watch, parts=parts
            )
        return replace(done, remarks=(*done.remarks, *remarks))


async def go_on(
    ledger: Ledger,
    record: RunRecord,
    config: Config,
    options: SendOptions,
    *,
    control: Control | None,
    watch: Watch | None,
    parts: Parts,
) -> RunReport:
    """Send what is left of a run; raises what `resume` does."""
    header = record.header
    since = _with_zone(parts.wall(), header.tz)
    with claim(
        config.home, header.institution, run=header.run, since=since, state=config.state
    ) as sends:
        if finished := finished_report(ledger, record, options):
            return finished
        context = RunContext(
            ledger, header.run, config, options, control or Control(), watch, parts,
            parts.monotonic(), sends,
        )  # fmt: skip
        left = RemainingWork.of(ledger.load(header.run), ledger.superseded(header.run))
        ledger.reopen(header.run)
        return await carry_out(context, left)


def require_own(header: RunHeader, config: Config) -> None:
    """Refuse to resume a run of another institution."""
    if header.institution == config.institution:
        return
    if is_rehearsal(header.run) and not config.credentials.is_sandbox:
        raise CannotStart(
            "run {run} is a rehearsal: ClassIn never got its rows; go on with it with"
            " --sandbox, or send the sheet in earnest with `bulkcast apply`",
            run=header.run,
        )
    raise CannotStart(
        "run {run} belongs to institution {sid} at {root_url}, the configuration to"
        " institution {other} at {other_url}; choose the other with --profile",
        run=header.run,
        sid=header.institution.sid,
        root_url=header.institution.root_url,
        other=config.institution.sid,
        other_url=config.institution.root_url,
    )


def left_to_send(home: Home, run: str = "") -> int:
    """The number of rows of a run, or of the newest one, that were not sent or not confirmed."""
    with open_ledger(home) as ledger:
        names = run_group.named(ledger, run).names
        for name in names:
            if ledger.newest(name).purged_at is not None:
                ledger.load(name)
        return sum(map(ledger.left, names))


def _with_zone(at: float, name: str) -> str:
    """A time as messages show it: in the time zone of the run's sheet."""
    return f"{local_time(at, zone(name))} {name}"


# ------------------------------------------------------------------ a new run


def target_of(prepared: Prepared, options: SendOptions, run: str) -> Path:
    """The path of the result sheet; checked first, as after the last row it would be too late."""
    default = reporter.default_name(prepared.path, run)
    target = (options.results or default).absolute()
    reporter.refuse_existing(target, options.existing)
    reporter.refuse_other_kind(target, prepared.sheet.layout.kind)
    reporter.refuse_unwritable(target)
    return target


def require_place(prepared: Prepared, options: SendOptions) -> None:
    """Raise CannotStart if the results could not be written; called before the user is asked."""
    target_of(prepared, options, run=new_name(0.0, zone(prepared.options.tz)))


def held_back(prepared: Prepared, options: SendOptions) -> Prepared:
    """Empty the plan if --on-invalid is stop and any row is invalid."""
    if options.on_invalid == "skip" or not prepared.invalid:
        return prepared
    return emptied(prepared)


def emptied(prepared: Prepared) -> Prepared:
    """The sheet with a plan that sends nothing, because rows are invalid."""
    settled = dict(prepared.plan.settled)
    for request in prepared.plan.requests:
        settled.update(dict.fromkeys(request.rows, Outcome(RowStatus.NOT_SENT, "run.invalid_rows")))
    return replace(prepared, plan=planning.Plan((), settled, planning.fingerprint(())))


def header_of(prepared: Prepared, institution: Institution, new: NewRun, *, name: str) -> RunHeader:
    """The run's header for the ledger."""
    return RunHeader(
        run=new.run,
        institution=institution,
        created_at=new.started,
        sheet=str(prepared.path),
        snapshot=FRAME_COPY
        if prepared.cells is not None
        else f"sheet{prepared.path.suffix.lower()}",
        sha256=prepared.sha256,
        layout=prepared.sheet.layout,
        headers=prepared.sheet.headers,
        n_rows=len(prepared.sheet.rows),
        n_requests=len(prepared.plan.requests),
        target=str(new.target),
        tz=prepared.options.tz,
        mapping=dict(prepared.options.read.mapping),
        name=name,
        group=new.group,
        profile=new.profile,
    )


def freeze(ledger: Ledger, header: RunHeader, prepared: Prepared) -> None:
    """Store the sheet as it was read, and the plan, in the ledger."""
    sha256 = _keep_sheet(ledger.folder(header.run), header.snapshot, prepared)
    header = replace(header, sha256=sha256)
    issues = {row.row: row.issues for row in prepared.checked.rows if row.issues}
    kept = {number: _as_kept(row) for number, row in prepared.kept.items()}
    plan = replace(prepared.plan, settled={**prepared.plan.settled, **kept})
    ledger.create(header, plan, issues)


def _keep_sheet(folder: Path, name: str, prepared: Prepared) -> str:
    """Copy the sheet and return the copy's fingerprint; remove a partial copy."""
    try:
        folder.parent.mkdir(mode=0o700, exist_ok=True)  # `parents` would ignore the mode
        folder.mkdir(mode=0o700)
        copy = folder / name
        if prepared.cells is None:
            shutil.copyfile(prepared.path, copy)
            copy.chmod(0o600)
        else:
            copy.touch(mode=0o600)
            reporter.write_cells(copy, prepared.sheet.layout, prepared.cells)
        sha256 = sha256_of(copy)
        whole = sha256 == prepared.sha256 or prepared.cells is not None
    except CannotStart:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    except OSError as exc:
        shutil.rmtree(folder, ignore_errors=True)
        why = system_reason(exc)
        raise CannotStart(
            "{path} cannot be copied to {folder}: {why}", path=prepared.path, folder=folder, why=why
        ) from exc
    if not whole:
        shutil.rmtree(folder, ignore_errors=True)
        raise CannotStart("{path} has changed since it was read; run it again", path=prepared.path)
    return sha256


def _as_kept(row: ResultRow) -> Outcome:
    """The outcome that `result_rows` turns back into this earlier result."""
    words = {"message": row.message, "fix": row.fix, "time": row.time, "run": row.run}
    return Outcome(row.status, row.code, {"kept": "1", **words}, row.attempts)


def new_name(now: float, tz: tzinfo, *, is_sandbox: bool = False) -> str:
    """A run's name: its start in `tz`, and four random hex digits to make it unique."""
    mark = SANDBOX_RUN if is_sandbox else ""
    return f"{mark}{datetime.fromtimestamp(now, tz):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
