"""Formats `--help` in the language of the command line."""

import copy
import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

import click

from bulkcast.cli.language import tr
from bulkcast.i18n import text_width

_AS_IT_IS: Final = "\b"
"""The line before a paragraph that click does not wrap."""


class Formatter(click.HelpFormatter):
    """Wraps lines by terminal columns; click counts characters."""

    def write_heading(self, heading: str) -> None:
        """Write a heading."""
        self.write(f"{'':>{self.current_indent}}{heading}{tr(': ').rstrip()}\n")

    def write_text(self, text: str) -> None:
        """Write paragraphs."""
        super().write_text(_folded(text, self.width - self.current_indent))

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        """Write names and, in a second column, their meanings."""
        listed = list(rows)
        beside = min(max(len(name) for name, _ in listed), col_max) + col_spacing
        width = max(self.width - beside - self.current_indent, 10)
        super().write_dl([(n, _folded(said, width)) for n, said in listed], col_max, col_spacing)


def _folded(text: str, width: int) -> str:
    """Wrap paragraphs with wide characters to `width` columns; leave others to click."""
    paragraphs = (
        p if p.isascii() or p.startswith(_AS_IT_IS) else "\n".join([_AS_IT_IS, *_lines(p, width)])
        for p in text.split("\n\n")
    )
    return "\n\n".join(paragraphs)


def _lines(paragraph: str, width: int) -> Iterator[str]:
    """Wrap a paragraph: between any two Chinese characters, but not before closing punctuation."""
    line = ""
    for piece in _PIECES.findall(" ".join(paragraph.split())):
        if text_width(line) + text_width(piece.rstrip()) > width:
            yield line.rstrip()
            line = ""
        line += piece if line else piece.lstrip()
    yield line.rstrip()


_PIECES: Final = re.compile(r"(?:[!-~]+|[^!-~])[，。、；：？！）”’》…]*\s*")
"""A word in Latin letters or one other character, with its closing punctuation."""


class Context(click.Context):
    """Uses our help formatter."""

    formatter_class = Formatter


class Command(click.Command):
    """A command with help in the current language."""

    context_class = Context

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help page."""
        super(Command, _translated(self)).format_help(ctx, formatter)

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """The `--help` option; click would keep the language of its first use."""
        option = copy.copy(super().get_help_option(ctx))
        if option:
            option.help = tr("Show this message and exit.")
        return option

    def get_short_help_str(self, limit: int = 45) -> str:
        """The line in the list of commands."""
        return super(Command, _translated(self)).get_short_help_str(limit)


class Group(Command, click.Group):
    """Lists its commands in the order of use, not alphabetically."""

    command_class = Command
    group_class = type
    """Nested groups are of this class, too."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """The names, in the order in which they were declared."""
        return list(self.commands)


def _translated(command: Command) -> Any:
    translated: Any = copy.copy(command)
    # Python before 3.13 does not strip a docstring's indentation.
    translated.help = tr(inspect.cleandoc(command.help or ""))
    translated.epilog = tr(inspect.cleandoc(command.epilog or ""))
    translated.params = [_parameter(parameter) for parameter in command.params]
    return translated


def _parameter(parameter: click.Parameter) -> click.Parameter:
    translated = copy.copy(parameter)
    if isinstance(translated, click.Option) and translated.help:
        translated.help = tr(inspect.cleandoc(translated.help))
    return translated
