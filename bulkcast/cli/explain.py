"""`explain`: what a name means and what to do.  Needs no sheet, ledger or network."""

import difflib
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final

import click

from bulkcast.cli.help import Formatter
from bulkcast.cli.language import current_translator, status_of, status_written, tr
from bulkcast.endpoints import WEBCAST
from bulkcast.explanations import FACTS, Entry, EntryKind, lexicon
from bulkcast.headers import fold
from bulkcast.i18n import marked
from bulkcast.model import RowStatus

_WIDTH_MOST: Final = 100
"""Columns of a terminal that are used, as `--help` does."""
_NEAR_MOST: Final = 5
_LOOKED_AT: Final = 100
"""Characters of an unknown word that are compared with known names."""

_LISTED: Final = {
    EntryKind.STATE: marked("How a row ends"),
    EntryKind.SETTING: marked("Settings, also by any header that names them"),
    EntryKind.REPLY: marked("ClassIn's reply codes"),
    EntryKind.PROBLEM: marked("Problems"),
}
_TITLES: Final = {
    EntryKind.STATE: marked("State {name}"),
    EntryKind.SETTING: marked("Setting {name}"),
    EntryKind.REPLY: marked("ClassIn's reply code {name}"),
    EntryKind.PROBLEM: marked("Problem {name}"),
}


def explain(word: str, *, as_json: bool) -> int:
    """Explain `word`, or list every name; return the exit status.

    Raises:
        click.UsageError: there is no such name.

    """
    known = tuple(lexicon(WEBCAST, current_translator()))
    found = _called(word, known) if word else known
    if not found:
        raise click.UsageError(_unknown(word, known))
    if as_json:
        document = {
            "schema": "bulkcast.explanation/1",
            "entries": [{"kind": e.kind, "name": e.name, **e.facts} for e in found],
        }
        click.echo(json.dumps(document, ensure_ascii=False))
        return 0
    click.echo(_page(found) if word else _names(known), nl=False)
    if not word:
        click.echo(tr("`bulkcast explain NAME` tells what one means and what to do."), err=True)
    return 0


def names() -> Iterator[str]:
    """Every name, for shell completion."""
    return (entry.name for entry in lexicon(WEBCAST))


def _called(word: str, known: Sequence[Entry]) -> tuple[Entry, ...]:
    """The entries of this name; settings by any header, states by their displayed word, too."""
    wanted = fold(word)
    column = WEBCAST.column_for(word)
    keys = {column.key} if column else set(WEBCAST.candidates(word))
    status = status_of(wanted)
    also = {(EntryKind.SETTING, key) for key in keys} | {(EntryKind.STATE, status)}
    return tuple(e for e in known if fold(e.name) == wanted or (e.kind, e.name) in also)


def _page(found: Iterable[Entry]) -> str:
    page = Formatter(max_width=_WIDTH_MOST)
    for entry in found:
        with page.section(tr(_TITLES[entry.kind], name=_shown(entry))):
            page.write_dl(list(zip(_even(entry.facts), entry.facts.values(), strict=True)))
    return page.getvalue().lstrip("\n")


def _even(keys: Iterable[str]) -> list[str]:
    """The labels, padded to equal width; click would count a wide character as one column."""
    labels = [tr(FACTS[key]) for key in keys]
    longest = max(map(len, labels))
    return labels if labels[0].isascii() else [n.ljust(longest, _WIDE_SPACE) for n in labels]


_WIDE_SPACE: Final = "\u3000"


def _shown(entry: Entry) -> str:
    """An entry's name as in a result sheet; for a state with its displayed word."""
    if entry.kind is not EntryKind.STATE or current_translator().lang == "en":
        return entry.name
    return status_written(RowStatus(entry.name))


def _names(known: Iterable[Entry]) -> str:
    page = Formatter(max_width=_WIDTH_MOST)
    for kind, entries in groupby(known, key=lambda e: e.kind):
        with page.section(tr(_LISTED[kind])):
            page.write_text(", ".join(e.name for e in entries))
    return page.getvalue().lstrip("\n")


def _unknown(word: str, known: Iterable[Entry]) -> str:
    near = _nearest(fold(word[:_LOOKED_AT]), known)
    if not near:
        return tr("{word!r} is no code, setting or state", word=word)
    said = "{word!r} is no code, setting or state; nearest: {names}"
    return tr(said, word=word, names=current_translator().listed(near))


def _nearest(wanted: str, known: Iterable[Entry]) -> list[str]:
    """The names that contain the word or are spelled similarly."""
    called = {fold(entry.name): entry.name for entry in known}
    called |= {fold(s): c.key for c in WEBCAST.columns for s in c.spellings()}
    within = [name for folded, name in called.items() if len(wanted) > 2 and wanted in folded]
    close = difflib.get_close_matches(wanted, called, n=_NEAR_MOST)
    return list(dict.fromkeys([*within, *(called[c] for c in close)]))[:_NEAR_MOST]
