"""Creates a run in the ledger: its name, its header, the copy of the sheet, the plan."""

import secrets
import shutil
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from pathlib import Path

from bulkcast import planner as planning
from bulkcast import reporter
from bulkcast.config import Config
from bulkcast.errors import CannotStart, system_reason
from bulkcast.ledger import Ledger, RunHeader
from bulkcast.model import SANDBOX_RUN, Institution, Outcome, ResultRow, RowStatus
from bulkcast.pipeline.options import SendOptions, zone
from bulkcast.pipeline.preparation import Prepared, require_unchanged
from bulkcast.pipeline.resubmission import require_as_done, without_superseded
from bulkcast.pipeline.result_sheet import FRAME_COPY
from bulkcast.pipeline.validation import sha256_of


@dataclass(frozen=True, slots=True)
class NewRun:
    """What a run is to be called, and where its results go."""

    run: str
    started: float
    target: Path
    group: str = ""
    profile: str = ""


def as_planned(ledger: Ledger, prepared: Prepared, config: Config) -> Prepared:
    """Check that a plan still holds, and return it without rows that newer runs have superseded.

    Call it while no other run of the institution can begin; raises what `apply` does.
    """
    require_unchanged(ledger, config.institution, prepared)
    require_as_done(ledger, config, prepared)
    return without_superseded(ledger, config.institution, prepared)


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
    """A run's name: its start in `tz`, and six random hex digits.

    With four, two runs of the same second had one name once in 65,536 times.
    """
    mark = SANDBOX_RUN if is_sandbox else ""
    return f"{mark}{datetime.fromtimestamp(now, tz):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
