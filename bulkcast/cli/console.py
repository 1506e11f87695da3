"""How a command speaks and asks: rich on both streams, colourless where nobody looks."""

import os
import select
import signal
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
from rich.console import Console, RenderableType
from rich.text import Text

from bulkcast.cli.language import tr
from bulkcast.cli.streams import can_show
from bulkcast.headers import fold
from bulkcast.messages import clean

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

    stdout: Console
    stderr: Console
    symbols: Symbols
    as_json: bool
    quiet: bool
    verbose: bool

    def info(self, *parts: RenderableType) -> None:
        """Write prose to stderr."""
        if not self.quiet:
            _print(self.stderr, parts)

    def warn(self, text: str) -> None:
        """Write prose to stderr, even with --quiet."""
        self.stderr.print(Text(text), soft_wrap=not self.stderr.is_terminal)

    def out(self, *parts: RenderableType) -> None:
        """Write results to stdout; with --json nothing but the JSON object goes there."""
        if not (self.quiet or self.as_json):
            _print(self.stdout, parts)

    def problem(self, *parts: RenderableType) -> None:
        """Write problems: to stdout, as they are results; with --quiet to stderr, unless --json."""
        if self.quiet and not self.as_json:
            _print(self.stderr, parts)
        else:
            self.out(*parts)

    def json(self, text: str) -> None:
        """Write the JSON object of --json to stdout."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    @property
    def moving(self) -> bool:
        """Whether lines may be redrawn, as for a progress bar."""
        return self.stderr.is_terminal and not self.stderr.is_dumb_terminal


def _print(console: Console, parts: Iterable[RenderableType]) -> None:
    for part in parts:
        console.print(part, soft_wrap=_unbroken(part, console))


def output(*, as_json: bool = False, quiet: bool = False, verbose: bool = False) -> Output:
    """The output on this process's streams."""
    has_symbols = can_show("✓✗–→·", sys.stdout) and can_show("✓", sys.stderr)
    return Output(
        stdout=_console(to_stderr=False),
        stderr=_console(to_stderr=True),
        symbols=Symbols() if has_symbols else _PLAIN,
        as_json=as_json,
        quiet=quiet,
        verbose=verbose,
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


# ------------------------------------------------------------------ questions

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
