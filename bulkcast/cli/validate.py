"""`validate` and `plan`, which need neither network nor credentials."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from bulkcast import config as configuration
from bulkcast import pipeline
from bulkcast.cli import context, render
from bulkcast.cli.command_options import Destination, PlanOptions, ValidateOptions
from bulkcast.cli.console import Output, Symbols, command, output, shown, whole
from bulkcast.cli.language import calling, current_translator, said, tr, trn
from bulkcast.config import Config
from bulkcast.errors import CannotStart
from bulkcast.i18n import marked
from bulkcast.model import Institution, Severity
from bulkcast.pacing import DEFAULT_RATE
from bulkcast.pipeline import CheckedSheet, Prepared, Validation, zone

if TYPE_CHECKING:
    from bulkcast.planner.summary import PlanSummary, Schedule

Checked = CheckedSheet | Validation
"""A sheet that was read and checked."""


def validate(sheet: Path, options: ValidateOptions) -> int:
    """List every problem of the sheet; return the exit status."""
    told = output(options.output)
    report = pipeline.check_sheet(
        sheet,
        options.sheet,
        home=lambda: context.home(Destination(sandbox=False)),
        account=_anyone,
    )
    found, foreseen = report.validation, report.schedule
    calling(found.names)
    if report.is_rehearsed:
        _tell_rehearsed(told, sheet)
    if told.as_json:
        from bulkcast.cli import json_output

        document = json_output.validation(found, foreseen.forecast if foreseen else None)
        told.document(json_output.dump(document))
        return found.exit_status
    show_remarks(told, found)
    show_problems(told, found, most=None if options.lists_all else render.PROBLEMS_MOST)
    show_verdict(told, found)
    if foreseen:
        _foresee(told, foreseen, options.sheet.tz)
    told.say(_next(found, found.valid - (foreseen.locked if foreseen else 0)))
    return found.exit_status


def _anyone() -> Config | None:
    """Whoever is configured here; `validate` does without an account."""
    try:
        return configuration.load(os.environ)
    except CannotStart:
        return None


def _tell_rehearsed(told: Output, sheet: Path) -> None:
    said = "{name} comes from a rehearsal, so ClassIn has none of it: send it in earnest with"
    told.say(
        whole(
            f"{tr(said, name=shown(sheet.name))} ",
            command("bulkcast", "apply", sheet, *context.typed(*context.OF_SHEET)),
        )
    )


def _foresee(told: Output, foreseen: "Schedule", tz: str) -> None:
    """Show what would be too late if the valid rows were sent now."""
    from bulkcast.cli import plan_view

    if foreseen.sent:
        told.show(plan_view.pace(foreseen, DEFAULT_RATE, zone(tz), tz))
    told.show(*plan_view.in_time(foreseen), *plan_view.locked(foreseen, zone(tz), told.symbols))
    told.show(*plan_view.late(foreseen, zone(tz), told.symbols))


def show_remarks(told: Output, prepared: Checked) -> None:
    """Show what was guessed or ignored while reading the sheet."""
    for remark in prepared.remarks:
        told.say(Text(tr("Note: {sentence}", sentence=shown(said(remark)))))


def show_doubts(told: Output, prepared: Prepared) -> None:
    """Show the issues of the sheet as a whole."""
    if told.quiet and not prepared.exit_status:
        return
    found = [i for i in prepared.checked.issues if i.severity is not Severity.NOTE]
    doubts = render.problems(render.grouped(found, most=None), told.symbols)
    told.trouble(*doubts) if told.quiet else told.say(*doubts)


def show_problems(told: Output, prepared: Checked, *, most: int | None) -> None:
    """Show errors and warnings, with --verbose notes too."""
    if told.quiet and not prepared.exit_status:
        return
    notes = told.verbose and not told.quiet
    issues = [i for i in prepared.issues if notes or i.severity is not Severity.NOTE]
    found = render.grouped(issues, most=most)
    told.trouble(*render.problems(found, told.symbols))
    if found.cut:
        more = tr("and {n} more; --all, --json or a result sheet has them all", n=f"{found.cut:,}")
        told.trouble(Text(more), Text(""))


def show_verdict(told: Output, prepared: Checked) -> None:
    """Show the counts, and which columns are not used."""
    told.show(render.verdict(prepared.valid, prepared.invalid, prepared.issues, told.symbols))
    show_ignored(told.show, prepared)


def show_ignored(show: Callable[..., None], prepared: Checked) -> None:
    """Show the columns that are ignored."""
    ignored = [shown(name) for name in prepared.ignored_columns]
    if ignored:
        names = current_translator().listed(ignored)
        show(Text(tr("Columns that name no setting, kept as they are: {names}", names=names)))


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


def plan(sheet: Path, options: PlanOptions) -> int:
    """Show what would be sent, and save the plan with -o; return the exit status."""
    from bulkcast.cli import json_output, plan_view

    told = output(options.output)
    config = _institution(options)
    prepared = pipeline.prepare_run(
        sheet,
        options.sheet,
        options.selection,
        context.plan_options(options.recall),
        home=context.home(options.destination),
        account=lambda: config,
        review=require_results if options.selection.statuses else None,
        keep_cells=options.out is not None,
    ).prepared
    calling(prepared.names)
    now = time.time()
    planned = prepared.summary(rate=options.rate, now=now)
    if told.as_json:
        told.document(json_output.dump(json_output.plan(prepared, planned)))
    show_remarks(told, prepared)
    show_doubts(told, prepared)
    show_ignored(told.show, prepared)
    told.show(*plan_view.plan(planned, told.symbols))
    show_outlook(told.show, prepared, planned, options.rate, told.symbols)
    if told.verbose and config:
        told.show(*plan_view.row_by_row(prepared, told.symbols))
    _tell_limits(told, prepared, planned, options)
    if options.out and config:
        _freeze(told, prepared, config.institution, options, options.out)
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


def _institution(options: PlanOptions) -> Config | None:
    """The configuration for last known settings and plan files; None if not needed.

    Raises:
        CannotStart: a configuration is needed and missing.

    """
    try:
        return configuration.load(os.environ, profile=options.destination.profile)
    except CannotStart:
        if options.out or options.destination.profile or options.recall.is_asked:
            raise
        return None


def show_outlook(
    show: Callable[..., None],
    prepared: Prepared,
    planned: "PlanSummary",
    rate: float,
    symbols: Symbols,
) -> None:
    """Show the sending order, the duration, and what is too late."""
    from bulkcast.cli import plan_view

    name = prepared.options.tz
    tz = zone(name)
    if planned.sent:
        show(plan_view.order(planned))
        show(plan_view.pace(planned.schedule, rate, tz, name), *plan_view.too_fast(rate, symbols))
    show(*plan_view.in_time(planned.schedule), *plan_view.locked(planned.schedule, tz, symbols))
    show(*plan_view.late(planned.schedule, tz, symbols))


def _tell_limits(
    told: Output, prepared: Prepared, planned: "PlanSummary", options: PlanOptions
) -> None:
    """Show what the plan leaves out or cannot know."""
    show_where_wrong(told, prepared)
    if options.recall.changed_only and planned.unchanged:
        told.say(Text(tr(NOT_SEEN)))
    if planned.sent:
        mark = prepared.plan.fingerprint[:16]
        told.say(Text(tr("Fingerprint of this plan: {fingerprint}", fingerprint=mark)))


def show_where_wrong(told: Output, prepared: Prepared) -> None:
    """Show the command that lists the problems of the rows not sent."""
    if prepared.invalid:
        options = context.typed(*context.OF_SHEET)
        validate = command("bulkcast", "validate", prepared.path, *options)
        line = whole(tr("What is wrong with the invalid rows: "), validate)
        told.trouble(line) if told.quiet else told.say(line)


NO_ROWS = marked("There are no rows below the header yet.")
NOT_SEEN = marked(
    "Unchanged is what ClassIn acknowledged to bulkcast on this computer; what was changed since in"
    " ClassIn's console, or from another computer, is not seen."
)


def _freeze(
    told: Output, prepared: Prepared, institution: Institution, options: PlanOptions, out: Path
) -> None:
    path = pipeline.write_plan(
        prepared,
        institution,
        out,
        selection=options.selection,
        existing=options.existing,
        made_at=time.time(),
    )
    told.say(
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
