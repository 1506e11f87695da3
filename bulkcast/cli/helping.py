"""What `--help` shows, in the language of the command line.

click keeps a command's help as it was written when it was declared, before anyone knows who will
read it; so a translated copy is what is shown.
"""

import copy
import inspect
from typing import Any

import click

from bulkcast.cli.words import tr


class Command(click.Command):
    """A command whose help is told in the language spoken."""

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help page."""
        super(Command, _translated(self)).format_help(ctx, formatter)

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """`--help` itself, which click keeps in the language in which it was first asked for."""
        option = copy.copy(super().get_help_option(ctx))
        if option:
            option.help = tr("Show this message and exit.")
        return option

    def get_short_help_str(self, limit: int = 45) -> str:
        """The line in the list of commands."""
        return super(Command, _translated(self)).get_short_help_str(limit)


class Group(Command, click.Group):
    """Lists its commands as they are used, not by the alphabet."""

    command_class = Command
    group_class = type
    """Groups within are of this kind too."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """The names, in the order in which they were declared."""
        return list(self.commands)


def _translated(command: Command) -> Any:
    told: Any = copy.copy(command)
    # Python before 3.13 leaves the indentation of a docstring in it.
    told.help = tr(inspect.cleandoc(command.help or ""))
    told.epilog = tr(inspect.cleandoc(command.epilog or ""))
    told.params = [_parameter(parameter) for parameter in command.params]
    return told


def _parameter(parameter: click.Parameter) -> click.Parameter:
    told = copy.copy(parameter)
    if isinstance(told, click.Option) and told.help:
        told.help = tr(inspect.cleandoc(told.help))
    return told
