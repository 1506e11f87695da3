"""A question that is answered with yes or no, in either language."""

from typing import Any, Final

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
    try:
        answer: bool = click.prompt(
            question,
            default="",
            show_default=False,
            prompt_suffix=f" {tr('[y/N]')}{tr(': ')}",
            value_proc=_understood,
            err=True,
        )
    except click.Abort:
        click.echo(err=True)  # the cursor stands behind the question yet
        raise
    return answer


def _understood(answer: Any) -> bool:
    word = fold(str(answer))
    if word not in _YES | _NO:
        raise click.UsageError(tr("Answer y for yes or n for no."))
    return word in _YES
