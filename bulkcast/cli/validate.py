"""`validate` and `plan`, which need neither network nor credentials."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.text import Text

from bulkcast import pipeline
from bulkcast.cli import context, render
from bulkcast.cli.console import Output, Symbols, command, shown, whole
from bulkcast.cli.context import Destination, PlanCommand
from bulkcast.cli.language import calling, current_translator, said, tr, trn
from bulkcast.errors import CannotStart
from bulkcast.i18n import marked
from bulkcast.model import Institution, Severity
from bulkcast.pacing import DEFAULT_RATE
from bulkcast.pipeline import (
    CheckedSheet,
    PlanOptions,
    PreparedRun,
    SheetOptions,
    Validation,
    zone,
)

if TYPE_CHECKING:
    from bulkcast.config import Config
    from bulkcast.pipeline import Prepared
    from bulkcast.planner.summary import PlanSummary, Schedule

Checked = CheckedSheet | Validation
"""A sheet that was read and checked."""


def validate(sheet: Path, output: Output, options: SheetOptions, *, lists_all: bool) -> int:
    """List every problem of the sheet; return the exit status."""
    report = pipeline.check_sheet(
        sheet,
        options,
        home=lambda: context.home(Destination(sandbox=False)),
        account=_anyone,
    )
    found, foreseen = report.validation, report.schedule
    calling(found.names)
    if report.is_rehearsed:
        _show_rehearsed(output, sheet)
    if output.as_json:
        from bulkcast.cli import json_output

        document = json_output.validation(found, foreseen.forecast if foreseen else None)
        output.json(json_output.dump(document))
        return found.exit_status
    show_remarks(output, found)
    show_problems(output, found, most=None if lists_all else render.PROBLEMS_MOST)
    show_verdict(output, found)
    if foreseen:
        _foresee(output, foreseen, options.tz)
    output.info(_next(found, found.valid - (foreseen.locked if foreseen else 0)))
    return found.exit_status


def _anyone() -> "Config | None":
    """Whoever is configured here; `validate` does without an account."""
    from bulkcast import config

    try:
        return config.load(os.environ)
    except CannotStart:
        return None


def _show_rehearsed(output: Output, sheet: Path) -> None:
    said = "{name} comes from a rehearsal, so ClassIn has none of it: send it in earnest with"
    output.info(
        whole(
            f"{tr(said, name=shown(sheet.name))} ",
            command("bulkcast", "apply", sheet, *context.typed(*context.OF_SHEET)),
        )
    )


def _foresee(output: Output, foreseen: "Schedule", tz: str) -> None:
    """Show what would be too late if the valid rows were sent now."""
    if foreseen.sent:
        output.out(render.pace(foreseen, DEFAULT_RATE, zone(tz), tz))
    output.out(*render.in_time(foreseen), *render.locked(foreseen, zone(tz), output.symbols))
    output.out(*render.late(foreseen, zone(tz), output.symbols))


def show_remarks(output: Output, prepared: Checked) -> None:
    """Show what was guessed or ignored while reading the sheet."""
    for remark in prepared.remarks:
        output.info(Text(tr("Note: {sentence}", sentence=shown(said(remark)))))


def show_doubts(output: Output, prepared: "Prepared") -> None:
    """Show the issues of the sheet as a whole."""
    if output.quiet and not prepared.exit_status:
        return
    found = [i for i in prepared.checked.issues if i.severity is not Severity.NOTE]
    doubts = render.problems(render.grouped(found, most=None), output.symbols)
    output.problem(*doubts) if output.quiet else output.info(*doubts)


def show_problems(output: Output, prepared: Checked, *, most: int | None) -> None:
    """Show errors and warnings, with --verbose notes too."""
    if output.quiet and not prepared.exit_status:
        return
    notes = output.verbose and not output.quiet
    issues = [i for i in prepared.issues if notes or i.severity is not Severity.NOTE]
    found = render.grouped(issues, most=most)
    output.problem(*render.problems(found, output.symbols))
    if found.cut:
        more = tr("and {n} more; --all, --json or a result sheet has them all", n=f"{found.cut:,}")
        output.problem(Text(more), Text(""))


def show_verdict(output: Output, prepared: Checked) -> None:
    """Show the counts, and which columns are not used."""
    output.out(render.verdict(prepared.valid, prepared.invalid, prepared.issues, output.symbols))
    show_ignored(output.out, prepared)


def show_ignored(show: Callable[..., None], prepared: Checked) -> None:
    """Show the columns that are ignored."""
    ignored = [shown(name) for name in prepared.ignored_columns]
    if ignored:
        names = current_translator().listed(ignored)
        show(Text(tr("Columns that name no setting, kept as they are: {names}", names=names)))


def show_parts(show: Callable[..., None], run: PreparedRun) -> None:
    """Show how many of the rows to send are for each institution of the sheet."""
    said = [f"{shown(part.profile)} {part.rows:,}" for part in run.parts if part.rows]
    if len(said) > 1:
        more = ["…"] if len(said) > _PARTS_MOST else []
        listed = current_translator().listed([*said[:_PARTS_MOST], *more])
        show(Text(tr("Rows of each institution: {listed}", listed=listed)))


_PARTS_MOST: Final = 20


def _next(prepared: Validation, n: int) -> Text:
    """What to do next; `n` rows could be sent."""
    apply = command("bulkcast", "apply", prepared.path, *context.typed(*context.OF_SHEET))
    if not prepared.rows:
        return Text(tr(NO_ROWS))
    if not n:
        return Text(tr("Nothing can be sent as it is: mend the sheet and validate it again."))
    if prepared.invalid:
        lead = trn(
            "Mend them and validate again, or send the {n} valid row now: ",
            "Mend them and validate again, or send the {n} valid rows now: ",
            n,
        )
        return whole(lead, apply)
    return whole(tr("Next: "), apply)


# ------------------------------------------------------------------ plan


def plan(sheet: Path, output: Output, options: PlanCommand) -> int:
    """Show what would be sent, and save the plan with -o; return the exit status."""
    from bulkcast.cli import json_output

    def review(checked: CheckedSheet) -> None:
        if options.selection.statuses:
            require_results(checked)
        if options.out:
            pipeline.require_one_institution(checked)

    run = pipeline.prepare_run(
        sheet,
        options.sheet,
        options.selection,
        options.recall,
        home=context.home(options.destination),
        account=lambda: _institution(options),
        review=review,
        keep_cells=options.out is not None,
        members=context.members(options.destination),
    )
    prepared, config = run.prepared, run.config
    calling(prepared.names)
    now = time.time()
    planned = prepared.summary(rate=options.rate, now=now)
    if output.as_json:
        output.json(json_output.dump(json_output.plan(prepared, planned)))
    show_remarks(output, prepared)
    show_doubts(output, prepared)
    show_ignored(output.out, prepared)
    output.out(*render.plan(planned, output.symbols))
    show_parts(output.out, run)
    show_outlook(output.out, prepared, planned, options.rate, output.symbols)
    if output.verbose and (config or run.parts):
        output.out(*render.row_by_row(prepared, output.symbols))
    _show_limits(output, prepared, planned, options)
    if options.out and config:
        _freeze(output, prepared, config.institution, options, options.out)
    return prepared.exit_status


def require_results(prepared: CheckedSheet) -> None:
    """Refuse a sheet that is not a result sheet.

    Raises:
        CannotStart: it has no status column.

    """
    if not prepared.is_results:
        raise CannotStart(
            "{name} is no result sheet: it has no column {status}; send it with {command}",
            name=prepared.path.name,
            status=pipeline.STATUS_COLUMN,
            command=command(
                "bulkcast",
                "apply",
                prepared.path,
                *context.typed(*context.OF_SHEET, *context.OF_RUN),
            ),
        )


def _institution(options: PlanCommand) -> "Config | None":
    """The configuration for last known settings and plan files; None if not needed.

    Raises:
        CannotStart: a configuration is needed and missing.

    """
    from bulkcast import config

    try:
        return config.load(context.environ(), profile=options.destination.profile)
    except CannotStart:
        if options.out or options.destination.profile or options.recall != PlanOptions():
            raise
        return None


def show_outlook(
    show: Callable[..., None],
    prepared: "Prepared",
    planned: "PlanSummary",
    rate: float,
    symbols: Symbols,
) -> None:
    """Show the sending order, the duration, and what is too late."""
    name = prepared.options.tz
    tz = zone(name)
    if planned.sent:
        show(render.order(planned))
        show(render.pace(planned.schedule, rate, tz, name), *render.too_fast(rate, symbols))
    show(*render.in_time(planned.schedule), *render.locked(planned.schedule, tz, symbols))
    show(*render.late(planned.schedule, tz, symbols))


def _show_limits(
    output: Output, prepared: "Prepared", planned: "PlanSummary", options: PlanCommand
) -> None:
    """Show what the plan leaves out or cannot know."""
    show_where_wrong(output, prepared)
    if options.recall.unchanged == "skip" and planned.unchanged:
        output.info(Text(tr(NOT_SEEN)))
    if planned.sent:
        mark = prepared.plan.fingerprint[:16]
        output.info(Text(tr("Fingerprint of this plan: {fingerprint}", fingerprint=mark)))


def show_where_wrong(output: Output, prepared: "Prepared") -> None:
    """Show the command that lists the problems of the rows not sent."""
    if prepared.invalid:
        options = context.typed(*context.OF_SHEET)
        validate = command("bulkcast", "validate", prepared.path, *options)
        line = whole(tr("What is wrong with the invalid rows: "), validate)
        output.problem(line) if output.quiet else output.info(line)


NO_ROWS = marked("There are no rows below the header yet.")
NOT_SEEN = marked(
    "Unchanged is what ClassIn acknowledged to bulkcast on this computer; what was changed since in"
    " ClassIn's console, or from another computer, is not seen."
)


def _freeze(
    output: Output, prepared: "Prepared", institution: Institution, options: PlanCommand, out: Path
) -> None:
    path = pipeline.write_plan(
        prepared,
        institution,
        out,
        selection=options.selection,
        existing=options.existing,
        made_at=time.time(),
    )
    output.info(
        whole(tr("Plan: "), shown(path)),
        Text(
            tr(
                "For {where}. It holds the passwords of the sheet as they are, so that it can be"
                " sent; only you can read it.",
                where=render.institution_said(institution),
            )
        ),
        whole(
            tr("Next, to send exactly that: "),
            command("bulkcast", "apply", path, *context.typed(*context.OF_RUN)),
        ),
    )
