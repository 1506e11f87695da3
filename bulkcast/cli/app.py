"""The commands and their options; what they do is imported by the one that is called."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bulkcast import __version__
from bulkcast.cli import failures, options, past, quitting, streams, values, words
from bulkcast.cli.helping import Group
from bulkcast.cli.quitting import Quit
from bulkcast.languages import of_terminal


def run(argv: Sequence[str]) -> int:
    """Carry out a command line; the exit status.  Nothing it meets ends in a traceback."""
    streams.make_safe()
    typed = list(argv)
    with words.speaking(words.asked_for(typed) or _of_terminal()):
        try:
            with quitting.in_order() as asked:
                return failures.after(_carry_out(typed, asked), argv=typed)
        except (KeyboardInterrupt, Quit) as exc:  # at the very end, or while one was being told
            return failures.interrupted(exc)


def _of_terminal() -> str:
    """The terminal's language, where it has the characters for it."""
    readable = all(streams.can_show("文", s) for s in (sys.stdout, sys.stderr) if s is not None)
    return of_terminal(os.environ) if readable else "en"


def _carry_out(typed: list[str], asked: quitting.Asked) -> int:
    try:
        status = bulkcast.main(args=typed, prog_name="bulkcast", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as exc:
        click.echo(exc.format_message(), err=True)
        return failures.CANNOT_START
    except (Exception, KeyboardInterrupt, Quit) as exc:  # noqa: BLE001 - the door: all of them end here
        return failures.tell(asked.behind(exc), argv=typed, environ=os.environ)
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
@options.lang
def bulkcast(lang: str) -> None:
    """Everything bulkcast can be asked to do."""


@bulkcast.command()
@click.option(
    "--dir",
    "folder",
    type=options.PATH,
    default=Path("bulkcast-demo"),
    show_default=True,
    metavar="D",
    help="Where the sample term goes.",
)
@options.lang
def demo(folder: Path, lang: str) -> int:  # noqa: ARG001 - as above
    """Take a sample term through a sandbox, end to end."""
    from bulkcast.cli import story

    return story.demo(folder)


@bulkcast.command()
@click.argument("out", type=options.PATH, default=Path("webcast-settings.xlsx"))
@click.option(
    "--from",
    "filled_from",
    type=options.PATH,
    metavar="SHEET",
    help="Take over the rows of SHEET: an older template, a result, a sheet of your own.",
)
@options.force
@options.parsing
@options.voice
def template(out: Path, **given: Any) -> int:
    """Write the workbook to fill in."""
    from bulkcast.cli import looking

    return looking.template(out, given)


@bulkcast.command()
@options.sheet
@click.option("--all", "all_", is_flag=True, help="List every problem, however many.")
@options.reading
@options.voice
def validate(sheet: Path, **given: Any) -> int:
    """Check SHEET and list what is wrong; without an account."""
    from bulkcast.cli import checking

    return checking.validate(sheet, given)


@bulkcast.command()
@options.sheet
@click.option(
    "--out",
    "-o",
    type=click.Path(path_type=Path),
    metavar="PLAN",
    help="Freeze it in a file, to be looked at and applied as it is.",
)
@options.force
@options.only
@options.choosing
@options.remembering
@options.pace
@options.profile
@options.reading
@options.voice
def plan(sheet: Path, **given: Any) -> int:
    """Show what would be sent, in which order, and when.

    With -o PLAN that is frozen: `bulkcast apply PLAN` sends exactly it.
    """
    from bulkcast.cli import checking

    return checking.plan(sheet, given)


@bulkcast.command()
@options.sheet
@options.agreeing
@options.guarding
@options.results
@options.force
@options.only
@options.choosing
@options.remembering
@options.sending
@options.profile
@options.sandbox
@options.world
@options.reading
@options.voice
def apply(sheet: Path, **given: Any) -> int:
    """Validate SHEET, show the plan, ask, send, report.

    The result sheet has every row of SHEET and how it ended.  SHEET may be a plan that
    `bulkcast plan -o` wrote.
    """
    from bulkcast.cli import sending

    return sending.apply(sheet, given)


@bulkcast.command()
@options.sheet
@options.agreeing
@options.guarding
@options.results
@options.force
@options.choosing
@options.remembering
@options.sending
@options.profile
@options.sandbox
@options.world
@options.reading
@options.voice
def resubmit(sheet: Path, **given: Any) -> int:
    """Send again what a result sheet says did not succeed.

    That is: rejected, invalid, too_late, unconfirmed, not_sent; and rows that were added since.
    """
    from bulkcast.cli import sending

    return sending.resubmit(sheet, given)


for _command in past.COMMANDS:
    bulkcast.add_command(_command)


@bulkcast.command()
@click.argument("name", default="", shell_complete=values.names_begun_so)
@options.as_json
@options.lang
def explain(name: str, *, as_json: bool, lang: str) -> int:  # noqa: ARG001 - as above
    """Tell what a code, setting or state means, and what to do.

    NAME is what ClassIn answered (350), what stands beside a row or cell (header.near_miss), how a
    row ended (too_late), or a setting by any header that names it. Without NAME all are listed.
    """
    from bulkcast.cli import explaining

    return explaining.explain(name, as_json=as_json)


@bulkcast.command()
@options.profile
@options.sandbox
@options.world
@options.voice
def doctor(**given: Any) -> int:
    """Check ClassIn, credentials, clock and the ledger.

    It changes nothing at ClassIn.
    """
    from bulkcast.cli import looking

    return looking.doctor(given)


@bulkcast.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8350,
    show_default=True,
    help="0 for any free one.",
)
@options.world
@click.option("--fault-rate", type=values.Amount("SHARE", 0, 1), help="Requests that go wrong.")
@click.option("--seed", type=click.IntRange(0, 2**53), metavar="N", help="Of what goes wrong.")
@click.option("--limit", metavar="RATE", help="Its own limit: 1000/min, or max for none.")
@click.option(
    "--clock-offset",
    type=values.Amount("SECONDS", -1e9, 1e9),
    default=0.0,
    help="How far its clock is ahead.",
)
@options.voice
def sandbox(**given: Any) -> int:
    """Play ClassIn on this computer, with faults on demand."""
    from bulkcast.cli import playing

    return playing.sandbox(given)
