"""Every command and its options; what a command does is imported when it is called."""

from pathlib import Path
from typing import Any

import click

from bulkcast import __version__
from bulkcast.cli import params
from bulkcast.cli.help import Group
from bulkcast.model import RowStatus

Only = frozenset[RowStatus] | None
"""What --only named; None where it was not given."""


@click.group(
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Apply a spreadsheet of ClassIn webcast settings, one classroom a row.\n\n\b\n"
    "Begin with:  bulkcast demo        a sample term, end to end, without an account\n"
    "             bulkcast template    the workbook to fill in",
    epilog="Exit status: 0 all applied, 1 a defect, 2 cannot start, 3 rows need fixing, 4 rows"
    " unconfirmed or not sent, 5 stopped: try later, 6 stopped: needs a human, 7 another run is"
    " under way, 130 or 143 interrupted.",
)
@click.version_option(__version__, message="bulkcast %(version)s")
@params.lang
def bulkcast(lang: str) -> None:
    """Everything bulkcast can be asked to do."""


@bulkcast.command()
@click.option(
    "--dir",
    "folder",
    type=params.PATH,
    default=Path("bulkcast-demo"),
    show_default=True,
    metavar="D",
    help="Where the sample term goes.",
)
@params.lang
def demo(folder: Path, lang: str) -> int:  # noqa: ARG001 - `language` has looked for it
    """Take a sample term through a sandbox, end to end."""
    from bulkcast.cli import demo

    return demo.demo(folder)


@bulkcast.command()
@click.argument("out", type=params.PATH, default=Path("webcast-settings.xlsx"))
@click.option(
    "--from",
    "filled_from",
    type=params.PATH,
    metavar="SHEET",
    help="Take over the rows of SHEET: an older template, a result, a sheet of your own.",
)
@params.force
@params.read_options
@params.output
def template(out: Path, filled_from: Path | None, **given: Any) -> int:
    """Write the workbook to fill in."""
    from bulkcast.cli import context, runs

    return runs.template(
        out,
        context.output_of(given),
        context.read_options(given),
        filled_from=filled_from,
        existing=context.existing(given),
        lang=given["lang"],
    )


@bulkcast.command()
@params.sheet
@click.option("--all", "all_", is_flag=True, help="List every problem, however many.")
@params.sheet_options
@params.output
def validate(sheet: Path, *, all_: bool, **given: Any) -> int:
    """Check SHEET and list what is wrong; without an account."""
    from bulkcast.cli import context, validate

    options = context.sheet_options(given)
    return validate.validate(sheet, context.output_of(given), options, lists_all=all_)


@bulkcast.command()
@params.sheet
@click.option(
    "--out",
    "-o",
    type=click.Path(path_type=Path),
    metavar="PLAN",
    help="Freeze it in a file, to be looked at and applied as it is.",
)
@params.force
@params.only
@params.selection
@params.recall
@params.pace
@params.profile
@params.database
@params.sheet_options
@params.output
def plan(sheet: Path, **given: Any) -> int:
    """Show what would be sent, in which order, and when.

    With -o PLAN that is frozen: `bulkcast apply PLAN` sends exactly it.
    """
    from bulkcast.cli import context, validate

    return validate.plan(sheet, context.output_of(given), context.plan_command(given))


@bulkcast.command()
@params.sheet
@params.confirmation
@params.only
@params.run_of_sheet
def apply(sheet: Path, **given: Any) -> int:
    """Validate SHEET, show the plan, ask, send, report.

    The result sheet has every row of SHEET and how it ended.  SHEET may be a plan that
    `bulkcast plan -o` wrote.
    """
    from bulkcast.cli import apply, context

    return apply.apply(sheet, context.output_of(given), context.apply_command(given))


@bulkcast.command()
@params.sheet
@params.confirmation
@params.run_of_sheet
def resubmit(sheet: Path, **given: Any) -> int:
    """Send again what a result sheet says did not succeed.

    That is: rejected, invalid, too_late, unconfirmed, not_sent; and rows that were added since.
    """
    from bulkcast.cli import apply, context

    return apply.resubmit(sheet, context.output_of(given), context.apply_command(given))


@bulkcast.command()
@click.argument("run", default="", shell_complete=params.complete_runs)
@click.option("--yes", "-y", is_flag=True, help="As for apply; resume asks nothing.")
@params.results
@params.force
@params.send_options
@params.notification
@params.institution
@params.output
def resume(run: str, **given: Any) -> int:
    """Go on where RUN, or the newest run, was interrupted."""
    from bulkcast.cli import apply, context

    return apply.resume(
        run,
        context.output_of(given),
        context.send_options(given),
        context.destination(given),
        context.recipients_of(given),
    )


@bulkcast.group(invoke_without_command=True, subcommand_metavar="[COMMAND] [ARGS]...")
@params.run_filter
@params.sandbox
@params.database
@params.output
@click.pass_context
def runs(ctx: click.Context, /, **given: Any) -> int | None:
    """List every run, the newest first; `runs show RUN` for one."""
    if ctx.invoked_subcommand:
        return None
    from bulkcast.cli import context, runs

    wanted = {name: given[name] for name in ("state", "name", "since", "until")}
    return runs.runs(context.output_of(given), context.destination(given), **wanted)


@runs.command()
@click.argument("run", default="", shell_complete=params.complete_runs)
@params.only
@click.option("--all", "all_", is_flag=True, help="List every such row, however many.")
@params.sandbox
@params.database
@params.output
def show(run: str, only: Only, *, all_: bool, **given: Any) -> int:
    """Show what RUN, or the newest run, came to.

    With --only, the rows that ended so too.
    """
    from bulkcast.cli import context, runs

    return runs.show(
        run,
        context.output_of(given),
        context.destination(given),
        only=only or frozenset(),
        lists_all=all_,
    )


@bulkcast.command()
@click.argument("run", shell_complete=params.complete_runs)
@params.results
@params.force
@params.only_written
@click.option("--by", metavar="COLUMN", help="Count the rows by a column of the sheet.")
@params.sandbox
@params.database
@params.output
def results(run: str, only: Only, by: str | None, results: Path | None, **given: Any) -> int:
    """Write the result sheet of RUN again.

    With `--only rejected -o NAME.xlsx`, a sheet of the rows that ended so and no others.
    With `-o NAME.html`, a page with counts, times and causes to hand on.
    """
    from bulkcast.cli import context, runs

    return runs.results(
        run,
        context.output_of(given),
        context.destination(given),
        only=only or frozenset(),
        by=by,
        target=results,
        existing=context.existing(given),
    )


@bulkcast.command()
@click.option(
    "--older-than",
    type=params.AGE,
    default="30d",
    show_default=True,
    metavar="AGE",
    help="Runs that ended so long ago: 30d, 12h.",
)
@click.option(
    "--run",
    default="",
    metavar="RUN",
    help="Only this run, however old.",
    shell_complete=params.complete_runs,
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@params.sandbox
@params.database
@params.output
def purge(run: str, older_than: float, *, yes: bool, **given: Any) -> int:
    """Take away what the rows of old runs held.

    Settings, passwords, what cells said and the copies of sheets are gone for good, and such a run
    cannot be resumed. How many rows ended how is left.
    """
    from bulkcast.cli import context, runs

    output, destination = context.output_of(given), context.destination(given)
    return runs.purge(run, output, destination, older_than_s=older_than, yes=yes)


@bulkcast.command()
@click.argument("run", shell_complete=params.complete_runs)
@click.option(
    "--out",
    "-o",
    type=click.Path(path_type=Path),
    metavar="SHEET",
    help="Where it goes: .xlsx, .csv or .tsv.",
)
@params.force
@params.sandbox
@params.database
@params.output
def undo(run: str, out: Path | None, **given: Any) -> int:
    """Write a sheet that brings RUN's settings back to what they were.

    Apply it like any other.  What was never acknowledged before RUN is listed: it stays.
    """
    from bulkcast.cli import context, runs

    output, destination = context.output_of(given), context.destination(given)
    return runs.undo(run, output, destination, target=out, existing=context.existing(given))


@bulkcast.command()
@click.argument("name", default="", shell_complete=params.complete_names)
@params.as_json
@params.lang
def explain(name: str, *, as_json: bool, lang: str) -> int:  # noqa: ARG001 - `language` has looked for it
    """Tell what a code, setting or state means, and what to do.

    NAME is what ClassIn answered (350), what stands beside a row or cell (header.near_miss), how a
    row ended (too_late), or a setting by any header that names it. Without NAME all are listed.
    """
    from bulkcast.cli import explain

    return explain.explain(name, as_json=as_json)


@bulkcast.command()
@params.institution
@params.output
def doctor(**given: Any) -> int:
    """Check ClassIn, credentials, clock and the ledger.

    It changes nothing at ClassIn.
    """
    from bulkcast.cli import context, runs

    return runs.doctor(context.output_of(given), context.destination(given))


@bulkcast.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8350,
    show_default=True,
    help="0 for any free one.",
)
@params.world
@click.option("--fault-rate", type=params.amount("SHARE", 0, 1), help="Requests that go wrong.")
@click.option("--seed", type=click.IntRange(0, 2**53), metavar="N", help="Of what goes wrong.")
@click.option("--limit", metavar="RATE", help="Its own limit: 1000/min, or max for none.")
@click.option(
    "--clock-offset",
    "clock_offset_s",
    type=params.amount("SECONDS", -1e9, 1e9),
    default=0.0,
    help="How far its clock is ahead.",
)
@params.output
def sandbox(**given: Any) -> int:
    """Play ClassIn on this computer, with faults on demand."""
    from bulkcast.cli import context, demo

    names = ("world", "port", "fault_rate", "seed", "limit", "clock_offset_s")
    return demo.sandbox(context.output_of(given), **{name: given[name] for name in names})


@bulkcast.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), help="8355 unless given; 0 for any free one."
)
@click.option("--no-open", is_flag=True, help="Open no browser.")
@params.notification
@click.option(
    "--install",
    "installs",
    is_flag=True,
    help="Write a desktop entry that starts the page and opens the browser, and end.",
)
@click.option("--uninstall", "uninstalls", is_flag=True, help="Remove the desktop entry, and end.")
@params.force
@params.metrics
@params.database
@params.output
def serve(**given: Any) -> int:
    """Open the page: all of this in the browser.

    It is for this computer alone, and ends with Ctrl-C.
    """
    from bulkcast.cli import context
    from bulkcast.cli import serve as page

    return page.serve(
        context.output_of(given),
        port=given["port"],
        opens=not given["no_open"],
        recipients=context.recipients_of(given),
        installs=given["installs"],
        uninstalls=given["uninstalls"],
        force=given["force"],
        metrics=given["metrics"],
    )


@bulkcast.command()
@click.option(
    "--concurrency",
    type=click.IntRange(1, 1000),
    default=50,
    show_default=True,
    metavar="N",
    help="Institutions that are sent for at once.",
)
@params.metrics
@params.database
@params.output
def worker(concurrency: int, metrics: int | None, **given: Any) -> int:
    """Send what was handed in to a fleet.

    It does so for all institutions of config.toml. Any number of workers, on any machine, share the
    work. Ctrl-C or SIGTERM ends one in order: what is under way is finished.
    """
    from bulkcast.cli import context, fleet

    return fleet.worker(context.output_of(given), concurrency=concurrency, metrics=metrics)


@bulkcast.group()
@params.lang
def fleet(lang: str) -> None:
    """Look after workers that share a database."""


@fleet.command()
@params.database
@params.output
def init(**given: Any) -> int:
    """Make the tables in the database, as far as they are not there."""
    from bulkcast.cli import context, fleet

    return fleet.init(context.output_of(given))


@fleet.command()
@params.database
@params.output
def status(**given: Any) -> int:
    """Show workers, institutions, open runs, and how long they wait."""
    from bulkcast.cli import context, fleet

    return fleet.status(context.output_of(given))


@fleet.command()
@params.institutions
@params.database
@params.output
def pause(names: tuple[str, ...], *, all_: bool, **given: Any) -> int:
    """Send nothing more for INSTITUTIONS until `go-on`.

    They are named by profile, by SID, or as `status` shows them.
    """
    from bulkcast.cli import context, fleet

    return fleet.pause(context.output_of(given), names, all_=all_)


@fleet.command("go-on")
@params.institutions
@params.database
@params.output
def go_on(names: tuple[str, ...], *, all_: bool, **given: Any) -> int:
    """Send again for INSTITUTIONS that are paused."""
    from bulkcast.cli import context, fleet

    return fleet.go_on(context.output_of(given), names, all_=all_)


@fleet.command()
@click.argument("run", shell_complete=params.complete_runs)
@params.database
@params.output
def cancel(run: str, **given: Any) -> int:
    """End RUN, whoever sends it; `bulkcast resume RUN` goes on."""
    from bulkcast.cli import context, fleet

    return fleet.cancel(context.output_of(given), run)


@fleet.command()
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    metavar="N",
    help="Only the last N.",
)
@params.database
@params.output
def actions(limit: int, **given: Any) -> int:
    """List who submitted, paused and cancelled what, the newest first."""
    from bulkcast.cli import context, fleet

    return fleet.actions(context.output_of(given), limit)
