"""Every command and its options; what a command does is imported when it is called."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click

from bulkcast import __version__
from bulkcast.cli import exit_status, language, params, signals, streams
from bulkcast.cli.help import Command, Group
from bulkcast.cli.signals import Terminated
from bulkcast.languages import of_terminal


@click.command(cls=Command)
@click.argument("run", default="", shell_complete=params.runs_begun_so)
@click.option("--yes", "-y", is_flag=True, help="As for apply; resume asks nothing.")
@params.results
@params.force
@params.sending
@params.notifying
@params.profile
@params.sandbox
@params.world
@params.voice
def resume(run: str, **given: Any) -> int:
    """Go on where RUN, or the newest run, was interrupted."""
    from bulkcast.cli import apply, command_options

    return apply.resume(run, command_options.of_resume(given))


@click.group(cls=Group, invoke_without_command=True, subcommand_metavar="[COMMAND] [ARGS]...")
@params.which_runs
@params.sandbox
@params.voice
@click.pass_context
def runs(ctx: click.Context, /, **given: Any) -> int | None:
    """List every run, the newest first; `runs show RUN` for one."""
    if ctx.invoked_subcommand:
        return None
    from bulkcast.cli import run_options, runs

    return runs.runs(run_options.of_runs(given))


@runs.command()
@click.argument("run", default="", shell_complete=params.runs_begun_so)
@params.only
@click.option("--all", "all_", is_flag=True, help="List every such row, however many.")
@params.sandbox
@params.voice
def show(run: str, **given: Any) -> int:
    """Show what RUN, or the newest run, came to.

    With --only, the rows that ended so too.
    """
    from bulkcast.cli import run_options, runs

    return runs.show(run, run_options.of_show(given))


@click.command(cls=Command)
@click.argument("run", shell_complete=params.runs_begun_so)
@params.results
@params.force
@params.only_written
@click.option("--by", metavar="COLUMN", help="Count the rows by a column of the sheet.")
@params.sandbox
@params.voice
def results(run: str, **given: Any) -> int:
    """Write the result sheet of RUN again.

    With `--only rejected -o NAME.xlsx`, a sheet of the rows that ended so and no others.
    With `-o NAME.html`, a page with counts, times and causes to hand on.
    """
    from bulkcast.cli import run_options, runs

    return runs.results(run, run_options.of_results(given))


@click.command(cls=Command)
@click.option(
    "--older-than",
    type=params.Age(),
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
    shell_complete=params.runs_begun_so,
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@params.sandbox
@params.voice
def purge(**given: Any) -> int:
    """Take away what the rows of old runs held.

    Settings, passwords, what cells said and the copies of sheets are gone for good, and such a run
    cannot be resumed. How many rows ended how is left.
    """
    from bulkcast.cli import run_options, runs

    return runs.purge(run_options.of_purge(given))


@click.command(cls=Command)
@click.argument("run", shell_complete=params.runs_begun_so)
@click.option(
    "--out",
    "-o",
    "results",
    type=click.Path(path_type=Path),
    metavar="SHEET",
    help="Where it goes: .xlsx, .csv or .tsv.",
)
@params.force
@params.sandbox
@params.voice
def undo(run: str, **given: Any) -> int:
    """Write a sheet that brings RUN's settings back to what they were.

    Apply it like any other.  What was never acknowledged before RUN is listed: it stays.
    """
    from bulkcast.cli import run_options, runs

    return runs.undo(run, run_options.of_undo(given))


COMMANDS: Final = (resume, runs, results, purge, undo)
"""In the order in which `--help` lists them."""


def run(argv: Sequence[str]) -> int:
    """Run a command line and return the exit status; no error ends in a traceback."""
    streams.make_safe()
    typed = list(argv)
    with language.speaking(language.asked_for(typed) or _of_terminal()):
        try:
            with signals.in_order() as asked:
                return exit_status.after(_carry_out(typed, asked), argv=typed)
        except (
            KeyboardInterrupt,
            Terminated,
        ) as exc:  # at the very end, or while an error was being reported
            return exit_status.interrupted(exc)


def _of_terminal() -> str:
    """The terminal's language, if its encoding has the characters."""
    readable = all(streams.can_show("文", s) for s in (sys.stdout, sys.stderr) if s is not None)
    return of_terminal(os.environ) if readable else "en"


def _carry_out(typed: list[str], asked: signals.TerminationRequest) -> int:
    try:
        status = bulkcast.main(args=typed, prog_name="bulkcast", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as exc:
        click.echo(exc.format_message(), err=True)
        return exit_status.CANNOT_START
    except (Exception, KeyboardInterrupt, Terminated) as exc:  # noqa: BLE001 - the door: all of them end here
        return exit_status.tell(asked.behind(exc), argv=typed, environ=os.environ)
    return status if isinstance(status, int) else 0


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
def demo(folder: Path, lang: str) -> int:  # noqa: ARG001 - as above
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
@params.parsing
@params.voice
def template(out: Path, **given: Any) -> int:
    """Write the workbook to fill in."""
    from bulkcast.cli import run_options, runs

    return runs.template(out, run_options.of_template(given))


@bulkcast.command()
@params.sheet
@click.option("--all", "all_", is_flag=True, help="List every problem, however many.")
@params.reading
@params.voice
def validate(sheet: Path, **given: Any) -> int:
    """Check SHEET and list what is wrong; without an account."""
    from bulkcast.cli import command_options, validate

    return validate.validate(sheet, command_options.of_validate(given))


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
@params.choosing
@params.remembering
@params.pace
@params.profile
@params.reading
@params.voice
def plan(sheet: Path, **given: Any) -> int:
    """Show what would be sent, in which order, and when.

    With -o PLAN that is frozen: `bulkcast apply PLAN` sends exactly it.
    """
    from bulkcast.cli import command_options, validate

    return validate.plan(sheet, command_options.of_plan(given))


@bulkcast.command()
@params.sheet
@params.agreeing
@params.guarding
@params.results
@params.force
@params.only
@params.choosing
@params.remembering
@params.sending
@params.notifying
@params.profile
@params.sandbox
@params.world
@params.reading
@params.voice
def apply(sheet: Path, **given: Any) -> int:
    """Validate SHEET, show the plan, ask, send, report.

    The result sheet has every row of SHEET and how it ended.  SHEET may be a plan that
    `bulkcast plan -o` wrote.
    """
    from bulkcast.cli import apply, command_options

    return apply.apply(sheet, command_options.of_apply(given))


@bulkcast.command()
@params.sheet
@params.agreeing
@params.guarding
@params.results
@params.force
@params.choosing
@params.remembering
@params.sending
@params.notifying
@params.profile
@params.sandbox
@params.world
@params.reading
@params.voice
def resubmit(sheet: Path, **given: Any) -> int:
    """Send again what a result sheet says did not succeed.

    That is: rejected, invalid, too_late, unconfirmed, not_sent; and rows that were added since.
    """
    from bulkcast.cli import apply, command_options

    return apply.resubmit(sheet, command_options.of_apply(given))


for _command in COMMANDS:
    bulkcast.add_command(_command)


@bulkcast.command()
@click.argument("name", default="", shell_complete=params.names_begun_so)
@params.as_json
@params.lang
def explain(name: str, *, as_json: bool, lang: str) -> int:  # noqa: ARG001 - as above
    """Tell what a code, setting or state means, and what to do.

    NAME is what ClassIn answered (350), what stands beside a row or cell (header.near_miss), how a
    row ended (too_late), or a setting by any header that names it. Without NAME all are listed.
    """
    from bulkcast.cli import explain

    return explain.explain(name, as_json=as_json)


@bulkcast.command()
@params.profile
@params.sandbox
@params.world
@params.voice
def doctor(**given: Any) -> int:
    """Check ClassIn, credentials, clock and the ledger.

    It changes nothing at ClassIn.
    """
    from bulkcast.cli import run_options, runs

    return runs.doctor(run_options.of_doctor(given))


@bulkcast.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8350,
    show_default=True,
    help="0 for any free one.",
)
@params.world
@click.option("--fault-rate", type=params.Amount("SHARE", 0, 1), help="Requests that go wrong.")
@click.option("--seed", type=click.IntRange(0, 2**53), metavar="N", help="Of what goes wrong.")
@click.option("--limit", metavar="RATE", help="Its own limit: 1000/min, or max for none.")
@click.option(
    "--clock-offset",
    type=params.Amount("SECONDS", -1e9, 1e9),
    default=0.0,
    help="How far its clock is ahead.",
)
@params.voice
def sandbox(**given: Any) -> int:
    """Play ClassIn on this computer, with faults on demand."""
    from bulkcast.cli import demo, run_options

    return demo.sandbox(run_options.of_sandbox(given))


@bulkcast.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), help="8355 unless given; 0 for any free one."
)
@click.option("--no-open", is_flag=True, help="Open no browser.")
@params.notifying
@click.option(
    "--install",
    "installs",
    is_flag=True,
    help="Write a desktop entry that starts the page and opens the browser, and end.",
)
@click.option("--uninstall", "uninstalls", is_flag=True, help="Remove the desktop entry, and end.")
@params.force
@params.voice
def serve(**given: Any) -> int:
    """Open the page: all of this in the browser.

    It is for this computer alone, and ends with Ctrl-C.
    """
    from bulkcast.cli import serve as page
    from bulkcast.cli.command_options import existing, of_notifying, output_options

    options = page.PageOptions(
        output=output_options(given),
        port=given["port"],
        opens=not given["no_open"],
        recipients=of_notifying(given),
        installs=given["installs"],
        uninstalls=given["uninstalls"],
        force=existing(given) == "replace",
    )
    return page.serve(options)
