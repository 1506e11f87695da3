"""How a command speaks: rich on both streams, colourless where nobody looks."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console, RenderableType
from rich.text import Text

from bulkcast.cli.streams import can_show
from bulkcast.messages import clean

if TYPE_CHECKING:
    from bulkcast.cli.command_options import OutputOptions

_PIPED_WIDTH: Final = 160
"""Columns if not on a terminal: wide enough for tables, narrow enough to read."""


@dataclass(frozen=True, slots=True)
class Symbols:
    """Symbols shown beside words, never instead of them."""

    good: str = "✓"
    bad: str = "✗"
    warning: str = "!"
    unknown: str = "?"
    left: str = "–"
    arrow: str = "→"
    dot: str = "·"


_PLAIN: Final = Symbols("ok", "x", "!", "?", "-", "->", "-")


@dataclass(frozen=True, slots=True)
class Output:
    """The output of a command: what goes to stdout, what to stderr, and how much."""

    out: Console
    err: Console
    symbols: Symbols
    as_json: bool
    quiet: bool
    verbose: bool

    def say(self, *parts: RenderableType) -> None:
        """Write prose to stderr."""
        if not self.quiet:
            for part in parts:
                self.err.print(part, soft_wrap=_unbroken(part, self.err))

    def warn(self, text: str) -> None:
        """Write prose to stderr, even with --quiet."""
        self.err.print(Text(text), soft_wrap=not self.err.is_terminal)

    def show(self, *parts: RenderableType) -> None:
        """Write results to stdout; with --json nothing but the JSON object goes there."""
        if not (self.quiet or self.as_json):
            for part in parts:
                self.out.print(part, soft_wrap=_unbroken(part, self.out))

    def trouble(self, *parts: RenderableType) -> None:
        """Write problems: to stdout, as they are results; with --quiet to stderr, unless --json."""
        if self.quiet and not self.as_json:
            for part in parts:
                self.err.print(part, soft_wrap=_unbroken(part, self.err))
        else:
            self.show(*parts)

    def document(self, text: str) -> None:
        """Write the JSON object of --json to stdout."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    @property
    def moving(self) -> bool:
        """Whether lines may be redrawn, as for a progress bar."""
        return self.err.is_terminal and not self.err.is_dumb_terminal


def output(options: "OutputOptions") -> Output:
    """The output for --json, --quiet and --verbose, on this process's streams."""
    return Output(
        out=_console(to_stderr=False),
        err=_console(to_stderr=True),
        symbols=Symbols()
        if can_show("✓✗–→·", sys.stdout) and can_show("✓", sys.stderr)
        else _PLAIN,
        as_json=options.as_json,
        quiet=options.quiet,
        verbose=options.verbose,
    )


def _console(*, to_stderr: bool) -> Console:
    stream = sys.stderr if to_stderr else sys.stdout
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    looked_at = stream.isatty()
    return Console(
        stderr=to_stderr,
        force_terminal=looked_at,
        color_system=None if plain or not looked_at else "auto",
        width=None if looked_at else _PIPED_WIDTH,
        markup=False,
        emoji=False,
        highlight=False,
    )


def whole(before: str, copied: str | Path) -> Text:
    """A line that ends in text to copy, which must not be wrapped."""
    return Text(before, no_wrap=True).append(str(copied), "bold")


def _unbroken(part: RenderableType, console: Console) -> bool:
    """Whether a line must not be wrapped: it is not on a terminal, or holds text to copy."""
    return isinstance(part, Text) and (bool(part.no_wrap) or not console.is_terminal)


def shown(text: str | Path | None) -> str:
    r"""Make untrusted text safe for a terminal: one line without control characters.

    >>> shown("a\x1b[31mred\nb")
    'a [31mred b'
    """
    return clean(str(text or ""))


def command(*words: str | Path) -> str:
    """A command to copy and paste, quoted as this system's shell wants it."""
    parts = [shown(word) for word in words]
    if os.name == "nt":
        import subprocess

        return subprocess.list2cmdline(parts)
    import shlex

    return shlex.join(parts)
