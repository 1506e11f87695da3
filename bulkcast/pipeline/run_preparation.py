"""Prepares a run: load, check and plan a sheet, then compare it with what the ledger knows."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bulkcast.catalogue import Endpoint
from bulkcast.endpoints import WEBCAST
from bulkcast.model import Institution
from bulkcast.pipeline.options import (
    RESUBMITTED,
    PlanOptions,
    Prepared,
    Selection,
    SendOptions,
    SheetOptions,
    Validation,
)
from bulkcast.pipeline.preparation import (
    FRAME_NAME,
    lean,
    prepare_sheet,
    recall,
    replan,
    schedule_of,
    validate,
)
from bulkcast.planner.summary import Schedule

if TYPE_CHECKING:
    from bulkcast.config import Config
    from bulkcast.frames import DataFrame

Account = Callable[[], "Config | None"]
"""Finds the configuration; None where a command does without one.

It is called once the sheet has been read, so that what is wrong with the sheet is told first.
"""


@dataclass(frozen=True, slots=True)
class PreparedRun:
    """What would be sent, and for whom; nothing stands in its way."""

    prepared: Prepared
    config: "Config | None"
    """None where nobody is configured, so that it cannot be sent."""


@dataclass(frozen=True, slots=True)
class SheetReport:
    """What is wrong with a sheet, and what would come too late."""

    validation: Validation
    schedule: Schedule | None
    """None where no row to be sent locks."""
    is_rehearsed: bool
    """Whether it is what a rehearsal came to, so that ClassIn has none of it."""


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
    prepared = prepare_sheet(source, options, selection, endpoint, name=name, keep_cells=keep_cells)
    if config is None:
        return prepared
    return compare_with_ledger(prepared, config.home, config, plan_options or PlanOptions())


def compare_with_ledger(
    prepared: Prepared, home: Path, config: "Config | None", plan_options: PlanOptions
) -> Prepared:
    """Plan a sheet by what the ledger in `home` knows, and refuse what `apply` would refuse.

    Without a configuration, only what its rows say of earlier runs is looked up.

    Raises:
        CannotStart: rows that were done have been edited since, or were done elsewhere.
        InstitutionBusy: another run holds the institution.
        LedgerDamaged: the ledger is not what was written.

    """
    from bulkcast.pipeline.resubmission import require_sendable, spare_overtaken, with_doubts

    prepared = with_doubts(prepared, home)
    if config is not None:
        prepared = replan(
            recall(prepared, config.home, config.institution),
            unchanged=plan_options.unchanged,
            once_locked=plan_options.once_locked,
        )
        prepared = spare_overtaken(prepared, config.home, config.institution)
    require_sendable(prepared, home, config)
    return prepared


def prepare_run(
    sheet: Path,
    options: SheetOptions,
    selection: Selection,
    plan_options: PlanOptions,
    *,
    home: Path,
    account: Account,
    review: Callable[[Prepared], None] | None = None,
    sending: SendOptions | None = None,
    keep_cells: bool = False,
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

    Raises:
        UnreadableSheet: the file cannot be read as a sheet.
        CannotStart: the sheet cannot be sent, or its results could not be written.
        InstitutionBusy: another run holds the institution.
        LedgerDamaged: the ledger is not what was written.

    """
    prepared = prepare_sheet(sheet, options, selection, keep_cells=keep_cells)
    if review is not None:
        review(prepared)
    if not keep_cells:
        prepared = lean(prepared)
    config = account()
    prepared = compare_with_ledger(prepared, home, config, plan_options)
    return _with_place(PreparedRun(prepared, config), sending)


def prepare_planned(
    path: Path,
    *,
    home: Path,
    account: Account,
    tried_out: Callable[[Institution], None],
    is_sandbox: bool = False,
    sending: SendOptions | None = None,
) -> PreparedRun:
    """The same for a plan file, which is sent as it is.

    To a sandbox, or where nobody is configured, it is only tried out, whomever it was made for;
    `tried_out` is then told who that is.

    Raises:
        CannotStart: the file is no plan, is for another institution, or its sheet has changed; or
            what `prepare_run` says.
        InstitutionBusy: another run holds the institution.
        LedgerDamaged: the ledger is not what was written.

    """
    from bulkcast.pipeline.plans import read_plan, require_for
    from bulkcast.pipeline.resubmission import require_sendable

    prepared, institution = read_plan(path)
    config = account()
    if config is None or is_sandbox:
        tried_out(institution)
    else:
        require_for(institution, config.institution, path)
        prepared = recall(prepared, config.home, config.institution)
    require_sendable(prepared, home, config)
    return _with_place(PreparedRun(prepared, config), sending)


def _with_place(run: PreparedRun, sending: SendOptions | None) -> PreparedRun:
    if run.config is not None and sending is not None:
        from bulkcast.pipeline.run import require_place

        require_place(run.prepared, sending)
    return run


def check_sheet(
    sheet: Path,
    options: SheetOptions,
    *,
    home: Callable[[], Path],
    account: Account,
    wall: Callable[[], float] = time.time,
) -> SheetReport:
    """Everything that is wrong with a sheet, and what would come too late if it were sent now.

    Raises:
        UnreadableSheet: the file cannot be read as a sheet.
        CannotStart: an option makes no sense, or it is a result sheet that `resubmit` would refuse.
        InstitutionBusy: it is a result sheet, and another run holds the institution.

    """
    found = validate(sheet, options)
    is_of_rehearsal = False
    if found.is_results:
        from bulkcast.pipeline.resubmission import is_rehearsed, require_sendable

        prepared = prepare_sheet(sheet, options, Selection(statuses=RESUBMITTED))
        is_of_rehearsal = is_rehearsed(prepared)
        if not is_of_rehearsal:
            require_sendable(prepared, home(), account())
    return SheetReport(found, schedule_of(found, options, now=wall()), is_of_rehearsal)
