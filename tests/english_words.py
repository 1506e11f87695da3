"""Which words of a text are English, where all of it should be Chinese."""

import re
from collections.abc import Iterator

import click

from bulkcast.catalogue import RESULT_PREFIX
from bulkcast.cli.app import bulkcast
from bulkcast.endpoints import WEBCAST
from bulkcast.model import RowStatus
from bulkcast.problems import PROBLEMS
from bulkcast.reporter.result_columns import FIELDS
from tests import translations


def strings(message: object) -> tuple[str, ...]:
    string_ = getattr(message, "string", "")
    return string_ if isinstance(string_, tuple) else (string_,)


_RUN = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}|\b[0-9a-f]{16}\b")
"""A run's name, or a plan's fingerprint."""
_WORD = re.compile(r"[A-Za-z]{2,}")


def _words(*texts: str) -> set[str]:
    return {word.casefold() for text in texts for word in _WORD.findall(text)}


def _of_tree(command: click.Command) -> Iterator[str]:
    for parameter in command.params:
        yield from (*parameter.opts, parameter.make_metavar(click.Context(command)))
        yield str(parameter.default)
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield name
            yield from _of_tree(below)


def _names() -> set[str]:
    """Words that are the same in every language: what is typed, keys, codes, states."""
    told = (s for m in translations.read("zh") if m.id for s in strings(m))
    table = (w for c in WEBCAST.columns for w in (*c.spellings(), c.help.zh))
    choices = (
        w for c in WEBCAST.columns for x in getattr(c.kind, "choices", ()) for w in x.spellings()
    )
    replies = (r.meaning.zh + r.fix.zh for r in WEBCAST.replies)
    return _words(
        *(re.sub(r"\{\w*(![rs])?\}", " ", text) for text in told),
        *table, *choices, *replies, *PROBLEMS, *RowStatus, *_of_tree(bulkcast),
        "bulkcast https http csv xlsx xls ods tsv utf gb18030 utf-16-le utf-16-be cp932 big5",
        "min GMT Asia Shanghai COMMAND ARGS OPTIONS Ctrl MB ledger sqlite",
        *FIELDS, RESULT_PREFIX,
    )  # fmt: skip


NAMES = _names()


def english_in(text: str, *data: str) -> set[str]:
    """English words of `text` that are neither names nor part of its `data`."""
    return _words(_RUN.sub("", text)) - NAMES - _words(*data)
