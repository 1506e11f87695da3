"""`apply`, `resubmit` and `resume`: show the plan, ask, send, say how it ended and what is next."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from rich.text import Text

from bulkcast import pipeline
from bulkcast.cli import (
    asked,
    checking,
    documents,
    ended,
    failures,
    progress,
    render,
    signals,
    streams,
)
from bulkcast.cli.agreeing import agree
from bulkcast.cli.asked import Given
from bulkcast.cli.console import Voice, command, shown, voice
from bulkcast.cli.figures import Figures, figures
from bulkcast.cli.planned import plan
from bulkcast.cli.words import calling, tr, trn
from bulkcast.config import Config
from bulkcast.errors import CannotStart
from bulkcast.model import Severity
from bulkcast.pipeline import Control, Prepared, RunReport, SendOptions, Watch

_Use = Callable[[Config, Control, Watch], Awaitable[RunReport]]


def apply(sheet: Path, given: Given) -> int:
    """Plan a sheet, or take up a plan; ask, send it, hand it back; the exit status."""
    told = voice(given)
    _refuse_to_hang(given)
    options = asked.send_options(given)
    if pipeline.is_plan(sheet):
        return _apply_plan(told, sheet, options, given)
    prepared = pipeline.prepare(
        sheet, asked.sheet_options(given), asked.selection(given), keep_cells=False
    )
    if given["only"]:
        checking.require_results(prepared)
    elif prepared.is_results and (given["sandbox"] or not pipeline.is_rehearsed(prepared)):
        _ask_for_resubmit(told, prepared, given)
    prepared = pipeline.lean(prepared)
    return _apply(told, prepared, options, given)


def _ask_for_resubmit(told: Voice, prepared: Prepared, given: Given) -> None:
    """Say that `apply` sends all rows of a result sheet; where somebody is there, ask.

    Raises:
        click.Abort: `resubmit` was meant.

    """
    typed = asked.typed(*asked.OF_SHEET, *asked.OF_RUN)
    told.warn(
        tr(
            "{name} is a result sheet, and apply sends all its rows, also those that are done; what"
            " did not succeed is sent with {command}",
            name=shown(prepared.path.name),
            command=command("bulkcast", "resubmit", prepared.path, *typed),
        )
    )
    if not (given["yes"] or given["dry_run"]):
        agree(tr("Send all its rows, and not only what did not succeed?"))


def _apply_plan(told: Voice, path: Path, options: SendOptions, given: Given) -> int:
    """Send exactly what a plan file says, or nothing."""
    asked.require_plain(given)
    prepared, institution = pipeline.read_plan(path)
    config = _config(given)
    if config is None or given["sandbox"]:
        where = render.institution_said(institution)
        told.say(Text(tr("This plan is for {where}; it is only tried out here.", where=where)))
        return _carry_on(told, prepared, config, options, given)
    pipeline.require_for(institution, config.institution, path)
    prepared = pipeline.recall(prepared, config.home, config.institution)
    return _carry_on(told, prepared, config, options, given)


def resubmit(sheet: Path, given: Given) -> int:
    """Send again what did not succeed, by what a result sheet says; the exit status."""
    told = voice(given)
    _refuse_to_hang(given)
    options = asked.send_options(given)
    given = asked.resubmitted(given)
    prepared = pipeline.prepare(
        sheet, asked.sheet_options(given), asked.selection(given), keep_cells=False
    )
    checking.require_results(prepared)
    prepared = pipeline.lean(prepared)
    return _apply(told, prepared, options, given)


def resume(run: str, given: Given) -> int:
    """Go on with a run that ended early; the exit status."""
    told = voice(given)
    run, given = asked.located(run, given)
    options = asked.send_options(given)
    config = asked.config(given)
    is_over = not pipeline.left_to_send(config.home, run)

    async def use(config: Config, control: Control, watch: Watch) -> RunReport:
        return await pipeline.resume(config, run, options, control=control, watch=watch)

    during = _silent(told) if is_over else told
    report = asyncio.run(_carry_out(during, config, options, given, use))
    if is_over:
        told.say(Text(tr("Run {run} has nothing left to send.", run=report.run)))
    return _tell(told, report)


def _apply(told: Voice, prepared: Prepared, options: SendOptions, given: Given) -> int:
    config = _config(given)
    prepared = asked.recalled(prepared, config, given)
    return _carry_on(told, prepared, config, options, given)


def _config(given: Given) -> Config | None:
    """The institution; a dry run does without one, unless what it remembers is asked for."""
    try:
        return asked.config(given)
    except CannotStart:
        if given["dry_run"] and not asked.remembers(given):
            return None
        raise


def _carry_on(
    told: Voice, prepared: Prepared, config: Config | None, options: SendOptions, given: Given
) -> int:
    calling(prepared.names)
    pipeline.require_sendable(prepared, asked.home(given), config)
    if config is None or given["dry_run"]:
        return _dry_run(told, prepared, options, given)
    pipeline.require_place(prepared, options)
    _show_warnings(told, prepared, given)
    planned = _show_plan(told, prepared, options)
    checking.show_where_wrong(told, prepared)
    _require_expected(prepared, given)
    _agree(planned.sent, config, given)

    async def use(config: Config, control: Control, watch: Watch) -> RunReport:
        return await pipeline.apply(prepared, config, options, control=control, watch=watch)

    during = told if planned.sent else _silent(told)
    report = asyncio.run(_carry_out(during, config, options, given, use))
    return _tell(told, report)


def _silent(told: Voice) -> Voice:
    """Where nothing is sent, there is no progress to speak of."""
    return replace(told, quiet=True)


def _require_expected(prepared: Prepared, given: Given) -> None:
    pipeline.require_expected(prepared, given["max_changes"], given["approve"], now=time.time())


def _dry_run(told: Voice, prepared: Prepared, options: SendOptions, given: Given) -> int:
    if told.as_json:
        _require_expected(prepared, given)
        told.document(documents.dump(documents.dry_run(prepared)))
        return prepared.exit_status
    most = None if given["all_"] else render.PROBLEMS_MOST
    checking.show_problems(told, prepared, most=most)
    checking.show_verdict(told, prepared)
    _show_plan(told, prepared, options)
    _require_expected(prepared, given)
    told.say(
        Text(
            tr(
                "Dry run: nothing was sent. What only ClassIn can know (ids it does not have,"
                " editions without a feature) shows when it is."
            )
        )
    )
    return prepared.exit_status


# ------------------------------------------------------------------ before


def _refuse_to_hang(given: Given) -> None:
    """Without a terminal nobody can answer, so that must have been said beforehand."""
    if not (given["yes"] or given["dry_run"] or streams.is_interactive()):
        raise CannotStart(
            "there is no terminal to ask on; add --yes to send without asking, or --dry-run to send"
            " nothing"
        )


def _show_warnings(told: Voice, prepared: Prepared, given: Given) -> None:
    """What to know of the rows to be sent before agreeing to it."""
    of_the_sheet = [i for i in prepared.checked.issues if i.severity is Severity.ERROR]
    warnings = [i for i in prepared.issues if i.severity is Severity.WARNING]
    found = [*of_the_sheet, *warnings]
    listed = render.grouped(found, most=None if given["all_"] else _WARNINGS_MOST)
    told.say(*render.problems(listed, told.symbols))
    if listed.cut:
        told.say(Text(tr("and {n} more; --all lists them too", n=f"{listed.cut:,}")), Text(""))


_WARNINGS_MOST = 20


def _show_plan(told: Voice, prepared: Prepared, options: SendOptions) -> Figures:
    """What would be sent, counted; the rows that are wrong stand in the result sheet."""
    now = time.time()
    planned = figures(prepared, rate=options.rate, now=now)
    checking.show_remarks(told, prepared)
    checking.show_ignored(told.say, prepared)
    told.say(*plan(planned, told.symbols))
    checking.show_outlook(told.say, prepared, planned, options.rate, told.symbols)
    if planned.unchanged:
        told.say(Text(tr(checking.NOT_SEEN)))
    return planned


def _agree(n: int, config: Config, given: Given) -> None:
    """Ask, unless --yes was given or there is no row to send.

    Raises:
        click.Abort: the answer was no.

    """
    if given["yes"] or not n:
        return
    agree(
        trn("Send {n} row to {where}?", "Send {n} rows to {where}?", n, where=_where(config, given))
    )


def _where(config: Config, given: Given) -> str:
    """Where rows are sent, in words."""
    if given["sandbox"]:
        return tr("the sandbox on this computer")
    return render.institution_said(config.institution)


# ------------------------------------------------------------------ during


def _tell(told: Voice, report: RunReport) -> int:
    """Say how a run ended and what is next; the exit status."""
    if told.as_json:
        told.document(documents.dump(documents.run(report)))
    ended.show(told, report)
    if not told.as_json:
        told.say(ended.next_step(report))
    _tell_unwritten(told, report)
    return report.exit_status


def _tell_unwritten(told: Voice, report: RunReport) -> None:
    """Say which stream took less than the outcome; the status stays true of the rows."""
    for why in failures.unwritten():
        show = command("bulkcast", "runs", "show", report.run)
        sentence = tr("{why}; `{command}` shows how the rows ended", why=why, command=show)
        streams.complain(f"bulkcast: {sentence}", as_json=told.as_json)


def _require_streams() -> None:
    """Begin nothing that could not be told.

    Raises:
        CannotStart: a stream takes no more.

    """
    for why in failures.unwritten():
        raise CannotStart("{why}; nothing was sent", why=why)


async def _carry_out(
    told: Voice, config: Config, options: SendOptions, given: Given, use: _Use
) -> RunReport:
    async with asked.connected(config, given) as connected:
        told.say(Text(tr("Sending to {where}", where=_where(config, given))))
        _require_streams()
        return await watched(told, options.rate, lambda *doors: use(connected, *doors))


async def watched(
    told: Voice, rate: float, use: Callable[[Control, Watch], Awaitable[RunReport]]
) -> RunReport:
    """Carry out a use case with its progress shown, to be stopped by signals."""
    control = Control()
    with progress.shown_on(told, rate) as watch, signals.heeding(control, told.warn):
        return await use(control, watch)
