"""The command line: parses, calls one use case, prints, and chooses the exit status.

    app                                         the commands: light, for `--help` must not wait
    params, help                                their options, as click parses them; their help
    context                                     what was asked, as typed values, and for whom
    validate, apply, runs, demo, explain        what the commands do; loaded by who needs them
    render, run_view                            problems and plans, and runs, for people to read
    console, language, progress, json_output    how it is shown: to people, and as JSON
    signals, streams, exit_status               what can come in between

Data goes to stdout, progress and prose to stderr; cells are untrusted wherever they are shown.
"""

import os
import sys
from collections.abc import Sequence

import click

from bulkcast.cli import exit_status, language, signals, streams
from bulkcast.cli.app import bulkcast
from bulkcast.cli.signals import Terminated
from bulkcast.languages import of_terminal

__all__ = ["run"]


def run(argv: Sequence[str]) -> int:
    """Run a command line and return the exit status; no error ends in a traceback."""
    streams.make_safe()
    typed = list(argv)
    with language.speaking(language.asked_for(typed) or _of_terminal()):
        try:
            with signals.in_order() as asked:
                return exit_status.after(_carry_out(typed, asked), argv=typed)
        # It comes at the very end, or while an error was being reported.
        except (KeyboardInterrupt, Terminated) as exc:
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
