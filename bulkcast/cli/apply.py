"""`apply`, `resubmit` and `resume`: show the plan, confirm, send, report."""

import asyncio
import os
import select
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import click
from rich.text import Text

from bulkcast import config as configuration
from bulkcast import pipeline
from bulkcast.catalogue import fold
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
from bulkcast.cli.console import Output, command, shown, whole
from bulkcast.cli.context import ApplyCommand, Destination
from bulkcast.cli.language import calling, current_translator, said, tr, trn
from bulkcast.cli.render import plan
from bulkcast.config import Config
from bulkcast.errors import CannotStart
from bulkcast.model import Institution, RowStatus, Severity
from bulkcast.notification import Recipients, notify
from bulkcast.pipeline import (
    CheckedSheet,
    Control,
    NextStep,
    PlanOptions,
    Prepared,
    PreparedRun,
    RunReport,
    SendOptions,
    Watch,
)
from bulkcast.planner.summary import PlanSummary

_YES: Final = frozenset({"y", "yes", "是", "好", "是的", "确认", "同意"})
_NO: Final = frozenset({"n", "no", "否", "不", "不是", "取消", ""})


def confirm(question: str) -> None:
    """Ask for confirmation; an empty answer means no.

    Raises:
        click.Abort: the answer was no, or the terminal is gone.

    """
    if not _answer(question):
        raise click.Abort


def _answer(question: str) -> bool:
    while True:
        click.echo(f"{question} {tr('[y/N]')}{tr(': ')}", nl=False, err=True)
        try:
            _wait_for_a_line()
            answer = fold(input())
        except (KeyboardInterrupt, EOFError) as exc:
            click.echo(err=True)  # the cursor is still behind the question
            raise click.Abort from exc
        if answer in _YES | _NO:
            return answer in _YES
        click.echo(tr("Answer y for yes or n for no."), err=True)


def _wait_for_a_line() -> None:
    """Wait until the terminal has input.

    `input` misses a signal that comes just before it starts to read, and would go on waiting.
    """
    if os.name != "posix" or not sys.stdin.isatty():
        return
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    before = signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    try:
        select.select([sys.stdin, woken], [], [])
    finally:
        signal.set_wakeup_fd(before)
        os.close(woken)
        os.close(wakes)


_WELL: Final = frozenset({RowStatus.APPLIED, RowStatus.UNCHANGED, RowStatus.SUPERSEDED})


def show_ended(output: Output, report: RunReport) -> None:
    """Show the counts, why the run stopped, and where the result sheet is."""
    well = report.results is not None and not report.exit_status
    for remark in report.remarks:
        if not (output.quiet and well):
            output.warn(shown(said(remark)))
    if output.as_json:
        return
    stopped = tuple(run_view.why_ended(report, output.symbols))
    if output.quiet:
        if report.exit_status:
            _show_wrong(output, report, stopped)
        return
    earlier = report.earlier
    output.out(Text(""), run_view.outcome(report.counts, earlier, output.symbols))
    output.out(run_view.total(report, output.symbols))
    output.out(*_left_out_said(report))
    output.out(*stopped)
    if report.results:
        output.out(whole(tr("Result sheet: "), shown(report.results)))


def _show_wrong(output: Output, report: RunReport, stopped: Iterable[Text]) -> None:
    """Show the counts of the rows that failed, and where to look."""
    wrong = Counter({s: n for s, n in report.counts.items() if s not in _WELL})
    output.problem(run_view.outcome(wrong, {}, output.symbols), *stopped)
    if report.results:
        output.problem(whole(tr("Result sheet: "), shown(report.results)))


def _left_out_said(report: RunReport) -> Iterable[Text]:
    if n := _left_out(report):
        said = trn(
            "{n} row is left out, as asked; the exit status, {status}, tells of the others.",
            "{n} rows are left out, as asked; the exit status, {status}, tells of the others.",
            n,
            status=str(report.exit_status),
        )
        yield Text(said)


def _left_out(report: RunReport) -> int:
    """The number of rows that an option such as --limit left out."""
    return sum(row.code == "plan.not_chosen" for row in report.rows)


def next_step(report: RunReport) -> Text:
    """What to do next: the command to run, or that nothing is left to do."""
    of_run = tuple(context.typed(*context.OF_RUN))
    if not report.rows:
        return Text(tr(validate.NO_ROWS))
    again = command(
        "bulkcast",
        "resubmit",
        report.results or "FILE",
        *context.typed(*context.OF_READING),
        *of_run,
    )
    go_on = command("bulkcast", "resume", report.run, *of_run)
    match pipeline.next_step(report.counts, report.stop, left_out=_left_out(report)):
        case NextStep.RESUME:
            return whole(tr("Next, to go on where it stopped: "), go_on)
        case NextStep.MEND:
            return whole(tr("Next: mend the marked rows in the result sheet, then "), again)
        case NextStep.SEND_REST:
            return whole(tr("Next, to send the rest: "), again)
        case NextStep.SEND_AGAIN:
            return whole(tr("Next, to send those rows again: "), again)
        case NextStep.NOTHING:
            return Text(tr("Nothing is left to do."))


_Use = Callable[[Config, Control, Watch], Awaitable[RunReport]]


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
    if pipeline.runs_called(home, run) and pipeline.is_group(home, run):
        return _resume_parts(run, output, options, destination, recipients)
    config = context.config(destination)
    is_over = not pipeline.left_to_send(home, run)

    async def use(config: Config, control: Control, watch: Watch) -> RunReport:
        return await pipeline.resume(config, run, options, control=control, watch=watch)

    during = _silent(output) if is_over else output
    report = asyncio.run(_carry_out(during, config, options.rate, destination, use))
    return _show_resumed(output, report, recipients, is_over=is_over)


def _resume_parts(
    run: str,
    output: Output,
    options: SendOptions,
    destination: Destination,
    recipients: Recipients,
) -> int:
    """Resume the runs of a sheet for several institutions; return the exit status."""
    home = context.home(destination)
    is_over = not pipeline.left_to_send(home, run)
    during = _silent(output) if is_over else output

    async def send() -> RunReport:
        profiles = pipeline.profiles_of(home, run)
        async with context.connected_members(profiles, destination) as members:
            where = _where_all(profiles, destination)
            during.info(Text(tr("Sending to {where}", where=where)))
            _require_streams()
            rate = options.rate * max(1, len(profiles))
            return await watched(
                during,
                rate,
                lambda control, watch: pipeline.resume_parts(
                    home, members, run, options, control=control, watch=watch
                ),
            )

    return _show_resumed(output, asyncio.run(send()), recipients, is_over=is_over)


def _show_resumed(
    output: Output, report: RunReport, recipients: Recipients, *, is_over: bool
) -> int:
    if is_over:
        output.info(Text(tr("Run {run} has nothing left to send.", run=report.run)))
        return _show_report(output, report)
    status = _show_report(output, report)
    _notify(output, report, recipients)
    return status


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
        report = asyncio.run(_carry_out_parts(during, run, options))
    else:
        _agree(planned.sent, _where(config, options.destination), options)

        async def use(config: Config, control: Control, watch: Watch) -> RunReport:
            return await pipeline.apply(
                prepared, config, options.send, control=control, watch=watch
            )

        sending = _carry_out(during, config, options.send.rate, options.destination, use)
        report = asyncio.run(sending)
    status = _show_report(output, report)
    _notify(output, report, options.recipients)
    return status


def _submit(output: Output, run: PreparedRun, n: int, options: ApplyCommand) -> int:
    """Hand a run in to a fleet; `n` rows would be sent.  Return the exit status."""
    from bulkcast.cli import fleet

    n -= _show_unreachable(output, run)
    config = run.config
    where = _where(config, options.destination) if config else _where_of(run, options)
    _agree(n, where, options)
    _require_streams()
    user = configuration.user(context.environ())
    done = asyncio.run(pipeline.submit(run, context.fleet(), options.send, user=user))
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


def _show_report(output: Output, report: RunReport) -> int:
    """Show how a run ended and what to do next; return the exit status."""
    if output.as_json:
        output.json(json_output.dump(json_output.run(report)))
    show_ended(output, report)
    if not output.as_json:
        output.info(next_step(report))
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
        output.info(Text(tr("Sending to {where}", where=_where(config, destination))))
        _require_streams()
        return await watched(output, rate, lambda *doors: use(connected, *doors))


async def _carry_out_parts(output: Output, run: PreparedRun, options: ApplyCommand) -> RunReport:
    """Send a sheet for several institutions."""
    destination, sent = options.destination, [p for p in run.parts if p.member and not p.problem]
    async with context.connected_members([p.profile for p in sent], destination) as members:
        output.info(Text(tr("Sending to {where}", where=_where_of(run, options))))
        _require_streams()
        return await watched(
            output,
            options.send.rate * max(1, len(run.reached)),
            lambda control, watch: pipeline.apply_parts(
                run.reached_through(members),
                options.send,
                home=context.home(destination),
                control=control,
                watch=watch,
            ),
        )


async def watched(
    output: Output, rate: float, use: Callable[[Control, Watch], Awaitable[RunReport]]
) -> RunReport:
    """Run a use case, show its progress, and pass signals on to it."""
    control = Control()
    with progress.shown_on(output, rate) as watch, signals.heeding(control, output.warn):
        return await use(control, watch)
