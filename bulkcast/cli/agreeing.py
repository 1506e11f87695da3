"""A question that is answered with yes or no, in either language."""

import os
import select
import signal
import sys
from typing import Final

import click

from bulkcast.catalogue import fold
from bulkcast.cli.words import tr

_YES: Final = frozenset({"y", "yes", "是", "好", "是的", "确认", "同意"})
_NO: Final = frozenset({"n", "no", "否", "不", "不是", "取消", ""})


def agree(question: str) -> None:
    """Ask; nothing typed is no.

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
            click.echo(err=True)  # the cursor stands behind the question yet
            raise click.Abort from exc
        if answer in _YES | _NO:
            return answer in _YES
        click.echo(tr("Answer y for yes or n for no."), err=True)


def _wait_for_a_line() -> None:
    """Wait until something was typed.

    `input` misses a signal that comes just before it begins to read, and would sit there as if
    nobody had asked it to end.
    """
    if os.name != "posix" or not sys.stdin.isatty():
        return
    heard, told = os.pipe()
    os.set_blocking(told, False)
    before = signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    try:
        select.select([sys.stdin, heard], [], [])
    finally:
        signal.set_wakeup_fd(before)
        os.close(heard)
        os.close(told)
