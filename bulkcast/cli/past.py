"""The commands about runs that are over, or were cut off; see `app`."""

from pathlib import Path
from typing import Any, Final

import click

from bulkcast.cli import options, values
from bulkcast.cli.helping import Command, Group


@click.command(cls=Command)
@click.argument("run", default="", shell_complete=values.runs_begun_so)
@click.option("--yes", "-y", is_flag=True, help="As for apply; resume asks nothing.")
@options.results
@options.force
@options.sending
@options.profile
@options.sandbox
@options.world
@options.voice
def resume(run: str, **given: Any) -> int:
    """Go on where RUN, or the newest run, was interrupted."""
    from bulkcast.cli import sending

    return sending.resume(run, given)


@click.group(cls=Group, invoke_without_command=True, subcommand_metavar="[COMMAND] [ARGS]...")
@options.which_runs
@options.sandbox
@options.voice
@click.pass_context
def runs(ctx: click.Context, /, **given: Any) -> int | None:
    """List every run, the newest first; `runs show RUN` for one."""
    if ctx.invoked_subcommand:
        return None
    from bulkcast.cli import looking

    return looking.runs(given)


@runs.command()
@click.argument("run", default="", shell_complete=values.runs_begun_so)
@options.only
@click.option("--all", "all_", is_flag=True, help="List every such row, however many.")
@options.sandbox
@options.voice
def show(run: str, **given: Any) -> int:
    """Show what RUN, or the newest run, came to.

    With --only, the rows that ended so too.
    """
    from bulkcast.cli import looking

    return looking.show(run, given)


@click.command(cls=Command)
@click.argument("run", shell_complete=values.runs_begun_so)
@options.results
@options.force
@options.only_written
@click.option("--by", metavar="COLUMN", help="Count the rows by a column of the sheet.")
@options.sandbox
@options.voice
def results(run: str, **given: Any) -> int:
    """Write the result sheet of RUN again.

    With `--only rejected -o NAME.xlsx`, a sheet of the rows that ended so and no others.
    With `-o NAME.html`, a page with counts, times and causes to hand on.
    """
    from bulkcast.cli import looking

    return looking.results(run, given)


@click.command(cls=Command)
@click.option(
    "--older-than",
    type=values.Age(),
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
    shell_complete=values.runs_begun_so,
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@options.sandbox
@options.voice
def purge(**given: Any) -> int:
    """Take away what the rows of old runs held.

    Settings, passwords, what cells said and the copies of sheets are gone for good, and such a run
    cannot be resumed. How many rows ended how is left.
    """
    from bulkcast.cli import forgetting

    return forgetting.purge(given)


@click.command(cls=Command)
@click.argument("run", shell_complete=values.runs_begun_so)
@click.option(
    "--out",
    "-o",
    "results",
    type=click.Path(path_type=Path),
    metavar="SHEET",
    help="Where it goes: .xlsx, .csv or .tsv.",
)
@options.force
@options.sandbox
@options.voice
def undo(run: str, **given: Any) -> int:
    """Write a sheet that brings RUN's settings back to what they were.

    Apply it like any other.  What was never acknowledged before RUN is listed: it stays.
    """
    from bulkcast.cli import undoing

    return undoing.undo(run, given)


COMMANDS: Final = (resume, runs, results, purge, undo)
"""In the order in which they are listed."""
