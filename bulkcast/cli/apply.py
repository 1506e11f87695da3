"""`apply`, `resubmit` and `resume`: show the plan, confirm, send, report."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import click
from rich.text import Text

from bulkcast import config as configuration
from bulkcast import pipeline
from bulkcast.cli import (
    context,
    exit_status,
    json_output,
    progress,
    render,
    run_view,
    signals,
    streams,
    validate,
)
from bulkcast.cli.console import Output, command, confirm, shown
from bulkcast.cli.context import ApplyCommand, Destination
from bulkcast.cli.language import calling, current_translator, said, tr, trn
from bulkcast.cli.render import plan
from bulkcast.config import Config
from bulkcast.errors import CannotStart
from bulkcast.model import Institution, Severity
from bulkcast.notification import Recipients, notify
from bulkcast.pipeline import (
    CheckedSheet,
    Control,
    PlanOptions,
    Prepared,
    PreparedRun,
    RunReport,
    SendOptions,
    Watch,
)
from bulkcast.planner.summary import PlanSummary

_Use = Callable[[Config, Control, Watch], Awaitable[RunReport]]
_Watched = Callable[[Control, Watch], Awaitable[RunReport]]


def apply(sheet: Path, output: Output, options: ApplyCommand) -> int:
    """Plan a sheet or load a plan, confirm, send, report; return the exit status."""
    _refuse_to_hang(options)
    if pipeline.is_plan(sheet):
        return _apply_plan(output, sheet, options)

    def review(prepared: CheckedSheet) -> None:
        if options.selection.statuses:
            validate.require_results(prepared)
        elif prepared.is_results and (
            options.destination.sandbox or not pipeline.is_rehearsed(prepared)
        ):
            _ask_for_resubmit(output, prepared, options)

    return _apply(output, sheet, options, review)


def _ask_for_resubmit(output: Output, prepared: CheckedSheet, options: ApplyCommand) -> None:
    """Warn that `apply` sends all rows of a result sheet; ask, if the terminal is interactive.

    Raises:
        click.Abort: the user meant `resubmit`.

    """
    typed = context.typed(*context.OF_SHEET, *context.OF_RUN)
    output.warn(
        tr(
            "{name} is a result sheet, and apply sends all its rows, also those that are done; what"
            " did not succeed is sent with {command}",
            name=shown(prepared.path.name),
            command=command("bulkcast", "resubmit", prepared.path, *typed),
        )
    )
    if not (options.yes or options.dry_run):
        confirm(tr("Send all its rows, and not only what did not succeed?"))


def _apply_plan(output: Output, path: Path, options: ApplyCommand) -> int:
    """Send exactly the plan of a plan file, or nothing."""
    context.require_plain(options.sheet, options.selection, options.recall)

    def tried_out(institution: Institution) -> None:
        where = render.institution_said(institution)
        output.info(Text(tr("This plan is for {where}; it is only tried out here.", where=where)))

    run = pipeline.prepare_planned(
        path,
        home=context.home(options.destination),
        account=lambda: _config(options),
        tried_out=tried_out,
        is_sandbox=options.destination.sandbox,
        sending=None if options.dry_run else options.send,
    )
    return _carry_on(output, run, options)


def resubmit(sheet: Path, output: Output, options: ApplyCommand) -> int:
    """Send the failed rows of a result sheet again; return the exit status."""
    _refuse_to_hang(options)
    chosen = replace(options.selection, statuses=pipeline.RESUBMITTED)
    options = replace(options, selection=chosen)
    return _apply(output, sheet, options, validate.require_results)


def resume(
    run: str,
    output: Output,
    options: SendOptions,
    destination: Destination,
    recipients: Recipients,
) -> int:
    """Resume a run that ended early; return the exit status."""
    run, destination = context.located(run, destination)
    home = context.home(destination)
    is_group = bool(pipeline.runs_called(home, run)) and pipeline.is_group(home, run)
    config = None if is_group else context.config(destination)
    is_over = not pipeline.left_to_send(home, run)
    during = _silent(output) if is_over else output
    if config is None:
        report = context.run_async(_resume_parts(run, during, options, destination))
    else:

        async def use(config: Config, control: Control, watch: Watch) -> RunReport:
            return await pipeline.resume(config, run, options, control=control, watch=watch)

        report = context.run_async(_carry_out(during, config, options.rate, destination, use))
    if is_over:
        output.info(Text(tr("Run {run} has nothing left to send.", run=report.run)))
        return _show_report(output, report)
    return _finish(output, report, recipients)


def _apply(
    output: Output, sheet: Path, options: ApplyCommand, review: Callable[[CheckedSheet], None]
) -> int:
    run = pipeline.prepare_run(
        sheet,
        options.sheet,
        options.selection,
        options.recall,
        home=context.home(options.destination),
        account=lambda: _config(options),
        review=review,
        sending=None if options.dry_run else options.send,
        members=context.members(options.destination),
    )
    return _carry_on(output, run, options)


def _config(options: ApplyCommand) -> Config | None:
    """The configuration; a dry run needs none, unless last known settings are asked for."""
    try:
        return context.config(options.destination)
    except CannotStart:
        if options.dry_run and options.recall == PlanOptions():
            return None
        raise


def _carry_on(output: Output, run: PreparedRun, options: ApplyCommand) -> int:
    prepared, config = run.prepared, run.config
    calling(prepared.names)
    if options.dry_run or (config is None and not run.parts):
        return _dry_run(output, prepared, options)
    _show_warnings(output, prepared, options)
    planned = _show_plan(output, prepared, options.send.rate)
    validate.show_parts(output.info, run)
    validate.show_where_wrong(output, prepared)
    _require_expected(prepared, options)
    if options.detach:
        return _submit(output, run, planned.sent, options)
    during = output if planned.sent else _silent(output)
    if config is None:
        _agree(planned.sent - _show_unreachable(output, run), _where_of(run, options), options)
        report = context.run_async(_carry_out_parts(during, run, options))
    else:
        _agree(planned.sent, _where(config, options.destination), options)

        async def use(config: Config, control: Control, watch: Watch) -> RunReport:
            return await pipeline.apply(
                prepared, config, options.send, control=control, watch=watch
            )

        sending = _carry_out(during, config, options.send.rate, options.destination, use)
        report = context.run_async(sending)
    return _finish(output, report, options.recipients)


def _submit(output: Output, run: PreparedRun, n: int, options: ApplyCommand) -> int:
    """Hand a run in to a fleet; `n` rows would be sent.  Return the exit status."""
    from bulkcast.cli import fleet

    n -= _show_unreachable(output, run)
    config = run.config
    where = _where(config, options.destination) if config else _where_of(run, options)
    _agree(n, where, options)
    _require_streams()
    user = configuration.user(context.environ())
    done = context.run_async(pipeline.submit(run, context.fleet(), options.send, user=user))
    fleet.show_submitted(output, done)
    return 0


def _silent(output: Output) -> Output:
    """The output without prose, for runs that send nothing."""
    return replace(output, quiet=True)


def _require_expected(prepared: Prepared, options: ApplyCommand) -> None:
    pipeline.require_expected(prepared, options.max_changes, options.approve, now=time.time())


def _dry_run(output: Output, prepared: Prepared, options: ApplyCommand) -> int:
    if output.as_json:
        _require_expected(prepared, options)
        output.json(json_output.dump(json_output.dry_run(prepared)))
        return prepared.exit_status
    most = None if options.lists_all else render.PROBLEMS_MOST
    validate.show_problems(output, prepared, most=most)
    validate.show_verdict(output, prepared)
    _show_plan(output, prepared, options.send.rate)
    _require_expected(prepared, options)
    output.info(
        Text(
            tr(
                "Dry run: nothing was sent. What only ClassIn can know (ids it does not have,"
                " editions without a feature) shows when it is."
            )
        )
    )
    return prepared.exit_status


# ------------------------------------------------------------------ before


def _refuse_to_hang(options: ApplyCommand) -> None:
    """Refuse to ask without a terminal: --yes is required then; and to detach without a fleet."""
    if options.detach and options.destination.sandbox:
        raise click.UsageError(tr("--sandbox is on this computer, so it takes no --detach"))
    if options.detach:
        context.fleet()
    if not (options.yes or options.dry_run or streams.is_interactive()):
        raise CannotStart(
            "there is no terminal to ask on; add --yes to send without asking, or --dry-run to send"
            " nothing"
        )


def _show_warnings(output: Output, prepared: Prepared, options: ApplyCommand) -> None:
    """Show warnings about the rows to be sent, before the confirmation."""
    of_the_sheet = [i for i in prepared.checked.issues if i.severity is Severity.ERROR]
    warnings = [i for i in prepared.issues if i.severity is Severity.WARNING]
    found = [*of_the_sheet, *warnings]
    listed = render.grouped(found, most=None if options.lists_all else _WARNINGS_MOST)
    output.info(*render.problems(listed, output.symbols))
    if listed.cut:
        output.info(Text(tr("and {n} more; --all lists them too", n=f"{listed.cut:,}")), Text(""))


_WARNINGS_MOST = 20


def _show_plan(output: Output, prepared: Prepared, rate: float) -> PlanSummary:
    """Show what would be sent, in numbers; invalid rows are listed in the result sheet."""
    now = time.time()
    planned = prepared.summary(rate=rate, now=now)
    validate.show_remarks(output, prepared)
    validate.show_ignored(output.info, prepared)
    output.info(*plan(planned, output.symbols))
    validate.show_outlook(output.info, prepared, planned, rate, output.symbols)
    if planned.unchanged:
        output.info(Text(tr(validate.NOT_SEEN)))
    return planned


def _show_unreachable(output: Output, run: PreparedRun) -> int:
    """Warn of institutions for which nothing can be sent; return the number of their rows."""
    for part, problem in run.unreached:
        why = current_translator().error(problem)
        said = tr("Nothing will be sent for {profile}: {why}", profile=part.profile, why=why)
        output.warn(shown(said))
    return sum(part.rows for part, _ in run.unreached)


def _where_of(run: PreparedRun, options: ApplyCommand) -> str:
    """The destination of a sheet's parts, in words."""
    return _where_all([part.profile for part in run.reached], options.destination)


def _where_all(profiles: Sequence[str], destination: Destination) -> str:
    if destination.sandbox:
        return tr("the sandbox on this computer")
    some = [shown(name) for name in profiles[:_PROFILES_MOST]]
    names = current_translator().listed([*some, *["…"][: len(profiles) - len(some)]])
    return trn(
        "{n} institution ({names})", "{n} institutions ({names})", len(profiles), names=names
    )


_PROFILES_MOST: Final = 8


def _agree(n: int, where: str, options: ApplyCommand) -> None:
    """Ask for confirmation, unless --yes was given or there is no row to send.

    Raises:
        click.Abort: the answer was no.

    """
    if options.yes or not n:
        return
    confirm(trn("Send {n} row to {where}?", "Send {n} rows to {where}?", n, where=where))


def _where(config: Config, destination: Destination) -> str:
    """The destination of the rows, in words."""
    if destination.sandbox:
        return tr("the sandbox on this computer")
    return render.institution_said(config.institution)


# ------------------------------------------------------------------ during


def _finish(output: Output, report: RunReport, recipients: Recipients) -> int:
    """Show how a run ended, and tell others; return the exit status."""
    status = _show_report(output, report)
    _notify(output, report, recipients)
    return status


def _show_report(output: Output, report: RunReport) -> int:
    """Show how a run ended and what to do next; return the exit status."""
    if output.as_json:
        output.json(json_output.dump(json_output.run(report)))
    run_view.show_ended(output, report)
    if not output.as_json:
        output.info(run_view.next_step(report))
    _show_unwritten(output, report)
    return report.exit_status


def _notify(output: Output, report: RunReport, recipients: Recipients) -> None:
    """Tell others that the run has ended; whatever comes of that, the exit status stays."""
    if not (recipients.command or recipients.webhook):
        return
    try:
        remarks = asyncio.run(notify(recipients, report, os.environ))
    except (KeyboardInterrupt, signals.Terminated):
        return  # nobody waits for it any more; the run has ended before
    for remark in remarks:
        output.warn(shown(said(remark)))


def _show_unwritten(output: Output, report: RunReport) -> None:
    """Report a stream that could not be written; the exit status still describes the rows."""
    for why in exit_status.unwritten():
        show = command("bulkcast", "runs", "show", report.run)
        sentence = tr("{why}; `{command}` shows how the rows ended", why=why, command=show)
        streams.complain(f"bulkcast: {sentence}", as_json=output.as_json)


def _require_streams() -> None:
    """Refuse to start if stdout or stderr cannot be written.

    Raises:
        CannotStart: a stream cannot be written.

    """
    for why in exit_status.unwritten():
        raise CannotStart("{why}; nothing was sent", why=why)


async def _carry_out(
    output: Output, config: Config, rate: float, destination: Destination, use: _Use
) -> RunReport:
    async with context.connected(config, destination) as connected:
        where = _where(config, destination)
        return await _send(output, where, rate, lambda *doors: use(connected, *doors))


async def _carry_out_parts(output: Output, run: PreparedRun, options: ApplyCommand) -> RunReport:
    """Send a sheet for several institutions."""
    destination, sent = options.destination, [p for p in run.parts if p.member and not p.problem]
    async with context.connected_members([p.profile for p in sent], destination) as members:
        return await _send(
            output,
            _where_of(run, options),
            options.send.rate * max(1, len(run.reached)),
            lambda control, watch: pipeline.apply_parts(
                run.reached_through(members),
                options.send,
                home=context.home(destination),
                control=control,
                watch=watch,
            ),
        )


async def _resume_parts(
    run: str, output: Output, options: SendOptions, destination: Destination
) -> RunReport:
    """Resume the runs of a sheet for several institutions."""
    home = context.home(destination)
    profiles = pipeline.profiles_of(home, run)
    async with context.connected_members(profiles, destination) as members:
        return await _send(
            output,
            _where_all(profiles, destination),
            options.rate * max(1, len(profiles)),
            lambda control, watch: pipeline.resume_parts(
                home, members, run, options, control=control, watch=watch
            ),
        )


async def _send(output: Output, where: str, rate: float, use: _Watched) -> RunReport:
    output.info(Text(tr("Sending to {where}", where=where)))
    _require_streams()
    return await watched(output, rate, use)


async def watched(output: Output, rate: float, use: _Watched) -> RunReport:
    """Run a use case, show its progress, and pass signals on to it."""
    control = Control()
    with progress.shown_on(output, rate) as watch, signals.heeding(control, output.warn):
        return await use(control, watch)
