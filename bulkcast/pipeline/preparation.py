"""Prepares a run: a sheet is read, checked and planned once, by what the ledger knows of it."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from bulkcast import planner as planning
from bulkcast.catalogue import Endpoint
from bulkcast.endpoints import WEBCAST
from bulkcast.errors import BulkcastError, CannotStart, InstitutionBusy
from bulkcast.home import Home
from bulkcast.model import Change, Institution, RowStatus
from bulkcast.pacing import DEFAULT_RATE
from bulkcast.pipeline.options import PlanOptions, Selection, SendOptions, SheetOptions
from bulkcast.pipeline.validation import (
    FRAME_NAME,
    Account,
    CheckedSheet,
    lean,
    read_sheet,
    require_one_institution,
    rows_named,
)
from bulkcast.planner.forecast import Pace
from bulkcast.planner.last_known import NOTHING_KNOWN, Known, already_set, replay
from bulkcast.planner.summary import PlanSummary, summarize

if TYPE_CHECKING:
    from bulkcast.config import Config
    from bulkcast.frames import DataFrame
    from bulkcast.ledger import Ledger
    from bulkcast.pipeline.sheet_parts import Members, Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared(CheckedSheet):
    """A sheet that was read, checked and planned; nothing has been sent."""

    plan: planning.Plan
    known: Known = field(default_factory=dict)
    """The classrooms' last known settings, if they were looked up."""

    def to_frame(self) -> "DataFrame":
        """The requests that would be made, one a row, in sending order.

        `row` (int64) and `rows` (tuples): the first and all of the rows that share the request;
        `request`, `after` (string): its name, and that of the one it waits for; `target` and
        `target_id` (string): the classroom; `locks_at` (a moment in the sheet's time zone).  Then
        each parameter that any of them sends: Int64 where it is a number, string where it is a
        text or an id; missing where it is not sent, ids of a list with commas between them.
        Passwords are masked.
        """
        from bulkcast import frames

        tz = ZoneInfo(self.options.tz)
        return frames.requests_frame(self.plan.requests, self.endpoint, tz)

    def summary(self, *, rate: float = DEFAULT_RATE, now: float | None = None) -> PlanSummary:
        """The plan in numbers: settings, billing, locked rows, forecast.

        `rate` in requests per second; `now`, when sending would begin, in Unix seconds, None for
        at once.
        """
        return summarize(
            self.plan, self.checked, self.endpoint, Pace(rate, self.endpoint.limit),
            rows=len(self.sheet.rows), kept=self.kept, known=self.known,
            now=time.time() if now is None else now,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class PreparedRun:
    """What would be sent, and for whom; nothing stands in its way."""

    prepared: Prepared
    config: "Config | None"
    """None where nobody is configured, so that it cannot be sent."""
    parts: tuple["Part", ...] = ()
    """The rows of each institution, where the sheet names several."""

    @property
    def sendable(self) -> Prepared:
        """The plan without the requests of institutions that cannot be sent for."""
        lost = {part.profile for part, _ in self.unreached}
        if not lost:
            return self.prepared
        plan = self.prepared.plan
        left = tuple(request for request in plan.requests if request.institution not in lost)
        return replace(self.prepared, plan=replace(plan, requests=left))

    @property
    def reached(self) -> tuple["Part", ...]:
        """The parts of which something can be sent."""
        return tuple(part for part in self.parts if part.rows and not part.problem)

    @property
    def unreached(self) -> tuple[tuple["Part", BulkcastError], ...]:
        """The parts of which nothing can be sent though something should, and why."""
        return tuple((part, part.problem) for part in self.parts if part.rows and part.problem)

    def reached_through(self, members: "Members") -> "PreparedRun":
        """The same, each part with the configuration that `members` has for it."""
        parts = tuple(
            replace(part, member=replace(part.member, config=members(part.profile).config))
            if part.member and not part.problem
            else part
            for part in self.parts
        )
        return replace(self, parts=parts)


def prepare(
    source: "Path | str | DataFrame",
    options: SheetOptions | None = None,
    selection: Selection | None = None,
    endpoint: Endpoint = WEBCAST,
    *,
    name: str = FRAME_NAME,
    keep_cells: bool = True,
    config: "Config | None" = None,
    plan_options: PlanOptions | None = None,
) -> Prepared:
    """Read, check and plan a sheet, offline; with `config`, in the light of its ledger.

    Args:
        source: the path of a file, or a pandas DataFrame, of which the row at position 0 is row 2
            as if its labels stood in row 1; `bulkcast.frames.sheet_of` says how it is read.
        options: how to read and check it.
        selection: the rows to send; None for all.
        endpoint: what the rows are checked against.
        name: what a DataFrame is called; its results go to `NAME.results-RUN.xlsx`.
        keep_cells: False to keep the sheet without the cells that sending it does not need: most
            of what it takes up.  They stay in rows of which an earlier run has written how they
            ended.
        config: for whom it is planned: what its ledger last saw acknowledged is looked up, and
            rows that a newer run has superseded are left out, as the commands do.
        plan_options: how what is known changes the plan; only with `config`.

    Raises:
        UnreadableSheet: the file cannot be read as a sheet.
        CannotStart: an option makes no sense, or none of the rows it names is there; with
            `config` also where `apply` would refuse the sheet.
        InstitutionBusy: another run holds the institution of `config`.
        LedgerDamaged: its ledger is not what was written.

    """
    sheet = read_sheet(source, options, selection, endpoint, name=name, keep_cells=keep_cells)
    if config is None:
        return plan_alone(sheet)
    return compare_with_ledger(sheet, config.ledger_home, config, plan_options or PlanOptions())


def prepare_run(
    sheet: Path,
    options: SheetOptions,
    selection: Selection,
    plan_options: PlanOptions,
    *,
    home: Home,
    account: Account,
    review: Callable[[CheckedSheet], None] | None = None,
    sending: SendOptions | None = None,
    keep_cells: bool = False,
    members: "Members | None" = None,
) -> PreparedRun:
    """Everything that `apply` and `resubmit` do before they ask, and `plan` before it shows.

    Args:
        sheet: the file.
        options: how to read and check it.
        selection: the rows to send.
        plan_options: how what is known changes the plan.
        home: where the ledger lies.
        account: for whom it is.
        review: is given the sheet as it was read, and raises to go no further.
        sending: how it will be sent, so that its results have a place; None where it will not be.
        keep_cells: True where the plan will be written to a file.
        members: finds the institutions that the sheet names, if it does; None refuses such a sheet.

    Raises:
        UnreadableSheet: the file cannot be read as a sheet.
        CannotStart: the sheet cannot be sent, or its results could not be written.
        InstitutionBusy: another run holds the institution.
        LedgerDamaged: the ledger is not what was written.

    """
    checked = read_sheet(sheet, options, selection, keep_cells=keep_cells)
    if review is not None:
        review(checked)
    if not keep_cells:
        checked = lean(checked)
    found = prepare_checked(
        checked, plan_options,
        home=home, account=account, members=members, is_sent=sending is not None,
    )  # fmt: skip
    return _with_place(found, sending)


def prepare_checked(
    sheet: CheckedSheet,
    options: PlanOptions,
    *,
    home: Home,
    account: Account,
    members: "Members | None" = None,
    is_sent: bool = True,
) -> PreparedRun:
    """Plan a sheet that was read and checked, for the account or for those that its rows name.

    `is_sent` where it will be sent, so that it is refused if nothing of it can be.  The other
    arguments, and what it raises, are those of `prepare_run`.
    """
    if members is None:
        require_one_institution(sheet)
    if members is not None and sheet.has_institutions:
        from bulkcast.pipeline.sheet_parts import plan_parts

        return plan_parts(sheet, home, members, options, is_sent=is_sent)
    config = account()
    return PreparedRun(compare_with_ledger(sheet, home, config, options), config)


def prepare_planned(
    path: Path,
    *,
    home: Home,
    account: Account,
    tried_out: Callable[[Institution], None],
    is_sandbox: bool = False,
    sending: SendOptions | None = None,
) -> PreparedRun:
    """The same for a plan file, which is sent as it is.

    To a sandbox, or where nobody is configured, it is only tried out, whomever it was made for;
    `tried_out` then gets that institution.

    Raises:
        CannotStart: the file is no plan, is for another institution, or its sheet has changed; or
            what `prepare_run` says.
        InstitutionBusy: another run holds the institution.
        LedgerDamaged: the ledger is not what was written.

    """
    from bulkcast.pipeline.plans import read_plan, require_for
    from bulkcast.pipeline.resubmission import require_as_done

    prepared, institution = read_plan(path)
    config = account()
    if config is None or is_sandbox:
        tried_out(institution)
    else:
        require_for(institution, config.institution, path)
    with ledger_for(home, config) as ledger:
        if ledger is not None and config is not None:
            here = one_spelling(config.institution)
            if not is_sandbox:
                prepared = replace(prepared, known=_known(ledger, here, _changes(prepared)))
            require_unchanged(ledger, here, prepared)
        require_as_done(ledger, config, prepared)
    return _with_place(PreparedRun(prepared, config), sending)


def _with_place(run: PreparedRun, sending: SendOptions | None) -> PreparedRun:
    if (run.config is not None or run.parts) and sending is not None:
        from bulkcast.pipeline.run_creation import require_place

        require_place(run.prepared, sending)
    return run


# ------------------------------------------------------------------ the plan


def plan_alone(
    sheet: CheckedSheet, options: PlanOptions | None = None, known: Known = NOTHING_KNOWN
) -> Prepared:
    """Plan a sheet by the last known settings of its classrooms."""
    return with_plan(sheet, _plan(sheet, options or PlanOptions(), known), known)


def with_plan(sheet: CheckedSheet, plan: planning.Plan, known: Known = NOTHING_KNOWN) -> Prepared:
    """A sheet, prepared with this plan."""
    values: dict[str, Any] = {f.name: getattr(sheet, f.name) for f in fields(CheckedSheet)}
    return Prepared(**values, plan=plan, known=known)


def _plan(sheet: CheckedSheet, options: PlanOptions, known: Known) -> planning.Plan:
    return planning.make(
        sheet.checked.rows,
        sheet.endpoint,
        left_out=sheet.left_out,
        sheet_issues=sheet.checked.issues,
        known=known,
        unchanged=options.unchanged,
        once_locked=options.once_locked,
    )


def compare_with_ledger(
    sheet: CheckedSheet, home: Home, config: "Config | None", options: PlanOptions
) -> Prepared:
    """Plan a sheet by what the ledger in `home` knows, and refuse what `apply` would refuse.

    Without a configuration, only what its rows say of earlier runs is looked up.

    Raises:
        CannotStart: rows that were done have been edited since, or were done elsewhere.
        InstitutionBusy: another run holds the institution.
        LedgerDamaged: the ledger is not what was written.

    """
    from bulkcast.pipeline.resubmission import require_as_done, superseded, with_unknown_runs

    with ledger_for(home, config) as ledger:
        sheet = with_unknown_runs(ledger, sheet)
        require_as_done(ledger, config, sheet)
        if config is None:
            return plan_alone(sheet)
        if ledger is None:
            return plan_alone(sheet, options)
        institution = one_spelling(config.institution)
        known = _known(ledger, institution, _changes(sheet))
        newer = superseded(ledger, institution, _changes(sheet), sheet.again)
    return plan_alone(replace(sheet, left_out={**sheet.left_out, **newer}), options, known)


def ledger_for(home: Home, config: "Config | None") -> "AbstractContextManager[Ledger | None]":
    """The ledger in `home`, None where there is none yet.

    Raises:
        InstitutionBusy: another run holds the institution.

    """
    from bulkcast.ledger import is_begun, open_ledger

    if not is_begun(home):
        return nullcontext()
    if config is not None:
        require_free(home, one_spelling(config.institution))
    return open_ledger(home)


def require_free(home: Home, institution: Institution) -> None:
    """Refuse to begin while another run holds the institution.

    Raises:
        InstitutionBusy: it does.

    """
    from bulkcast.ledger import holder

    if what := holder(home, institution):
        raise InstitutionBusy(
            "institution {sid} at {root_url} is held by {what}; wait for it",
            sid=institution.sid,
            root_url=institution.root_url,
            what=what,
        )


# ------------------------------------------------------------------ last known settings


def recall(prepared: Prepared, home: Home, institution: Institution) -> Prepared:
    """Add the last known settings of the sheet's classrooms at `institution`; the plan stays.

    Only what the ledger in `home` saw acknowledged is known, not changes made in ClassIn's console
    or from another computer.

    Raises:
        LedgerDamaged: the ledger does not hold what was written.

    """
    from bulkcast.ledger import is_begun, open_ledger

    if not is_begun(home):
        return prepared
    with open_ledger(home) as ledger:
        known = _known(ledger, one_spelling(institution), _changes(prepared))
    return replace(prepared, known=known)


def replan(
    prepared: Prepared,
    *,
    unchanged: planning.Unchanged = "send",
    once_locked: planning.OnceLocked = "refuse",
) -> Prepared:
    """Plan a prepared sheet again with the last known settings of its classrooms."""
    options = PlanOptions(unchanged, once_locked)
    return replace(prepared, plan=_plan(prepared, options, prepared.known))


def one_spelling(institution: Institution) -> Institution:
    """Normalize an institution: pace, lock and last known settings are looked up by its name."""
    from bulkcast import client as http

    return replace(institution, root_url=http.check_root_url(institution.root_url))


def _changes(sheet: CheckedSheet) -> list[Change]:
    return [row for row in sheet.checked.rows if isinstance(row, Change)]


def _known(ledger: "Ledger", institution: Institution, changes: list[Change]) -> Known:
    targets = dict.fromkeys(change.target for change in changes)
    found = ledger.acknowledged(institution, targets)
    return {target: replay(entries) for target, entries in found.items()}


def require_unchanged(ledger: "Ledger", institution: Institution, prepared: Prepared) -> None:
    """Refuse a plan if rows it leaves unchanged have been changed by another run.

    Call it while holding the institution's lock, so that no other run can change them.

    Raises:
        CannotStart: another run has set one of their classrooms since.

    """
    settled = prepared.plan.settled
    skipped = [
        change
        for change in _changes(prepared)
        if change.row in settled and settled[change.row].status is RowStatus.UNCHANGED
    ]
    if not skipped:
        return
    stale = list(_stale(skipped, _known(ledger, institution, skipped)))
    if stale:
        raise CannotStart(
            "{rows} would be left as unchanged, but another run has set the same "
            "classrooms since; plan again",
            rows=rows_named(stale),
        )


def _stale(skipped: list[Change], known: Known) -> Iterator[int]:
    for change in skipped:
        if not already_set(change.settings, known.get(change.target, {})):
            yield change.row
