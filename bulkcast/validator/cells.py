"""Reads choices, switches and integers; chooses the reader for each column."""

import re
from collections.abc import Collection, Mapping
from datetime import tzinfo
from typing import Final, assert_never

from bulkcast.arguments import Series
from bulkcast.catalogue import (
    INT64_MAX,
    ChoiceKind,
    IdKind,
    IdListKind,
    IntegerKind,
    MomentKind,
    NameKind,
    Setting,
    TextKind,
    fold,
)
from bulkcast.model import Cell, FlaggedCell, Severity
from bulkcast.validator.ids import POINT_ZERO, digits_of, plain_id, plain_ids, read_id, read_ids
from bulkcast.validator.parsing import (
    EXACT_BELOW,
    CellCache,
    Plain,
    Reader,
    Reading,
    cleaned_finding,
    is_digits,
    make_finding,
    never_plain,
    plain,
    refused,
    with_common_cells,
)
from bulkcast.validator.texts import plain_text, text_reader

_NUMBER_FIRST: Final = re.compile(
    r"(?P<number>\d)[\s=:.、,;/–—-]*[(\[【]?\s*(?P<word>[^\d\s=:.()-].*?)[)\]】]?"
)
_NUMBER_LAST: Final = re.compile(
    r"(?P<word>.*?[^\d\s=:.(-])[\s=:.、,;/–—-]*[(\[【]?\s*(?P<number>\d)[)\]】]?"
)

_BETWEEN: Final = re.compile(r"[\s/|、,;:()\[\]【】-]+")
_STOPS: Final = "。，、,.;!"
"""Punctuation that may follow a folded word and is ignored."""


def choice_reader(kind: ChoiceKind) -> Reader:
    """A reader of the values of `kind` and of the words for them."""
    values = frozenset(choice.value for choice in kind.choices)
    words = kind.by_word
    choices = tuple(f"{choice.value} ({choice.label.both})" for choice in kind.choices)
    wrong = refused("cell.not_a_choice", choices=Series(choices))

    def read(cell: Cell) -> Reading:
        if isinstance(cell, bool):
            cell = "true" if cell else "false"
        if isinstance(cell, int | float):
            return Reading(int(cell)) if cell in values else wrong
        if not isinstance(cell, str):
            return wrong
        value = words.get(fold(cell), _number_and_word(cell, words))
        if value is None:
            value = words.get(fold(cell).rstrip(_STOPS), _agreeing_words(cell, words))
        return _with_point(cell) if value is None else Reading(value)

    def _with_point(cell: str) -> Reading:
        """A choice written as `1.0`, as data tools do in a column with blanks."""
        whole = POINT_ZERO.fullmatch(cell.strip())
        value = words.get(whole[1]) if whole else None
        if value is None:
            return wrong
        return Reading(value, (cleaned_finding(cell, value, Severity.WARNING),))

    return read


def _number_and_word(cell: str, words: Mapping[str, int]) -> int | None:
    """The choice that a number and a word both name, as in `1-开` and `开(1)`."""
    text = plain(cell)
    found = _NUMBER_FIRST.fullmatch(text) or _NUMBER_LAST.fullmatch(text)
    if found is None:
        return None
    value = words.get(fold(found["word"]))
    return value if value == words.get(found["number"]) else None


def _agreeing_words(cell: str, words: Mapping[str, int]) -> int | None:
    """The choice that all of several words name, as in `Yes/是` and `否，不录`."""
    parts = [part for part in _BETWEEN.split(plain(cell)) if part]
    values = {words.get(fold(part)) for part in parts}
    if len(parts) < 2 or len(values) > 1 or all(map(is_digits, parts)):
        return None
    return values.pop()


def read_integer(cell: Cell) -> Reading:
    """An integer of 0 or more."""
    if isinstance(cell, bool):
        return refused("cell.not_an_integer")
    if isinstance(cell, int | float):
        whole = 0 <= cell < EXACT_BELOW and cell == int(cell)
        return Reading(int(cell)) if whole else refused("cell.not_an_integer")
    if not isinstance(cell, str):
        return refused("cell.not_an_integer")
    digits, note = digits_of(cell)
    if digits is None or len(digits) > 19 or int(digits) > INT64_MAX:
        return refused("cell.not_an_integer")
    return Reading(int(digits), (note,) if note else ())


def named(cell: Cell) -> str:
    """The profile that a cell names, known or not; empty if it names none."""
    value = name_reader(None)(cell).value
    return value if isinstance(value, str) else ""


_NEAR: Final = 0.6
"""difflib's ratio from which a profile's name is suggested."""
_NAMED_MOST: Final = 8


def name_reader(known: Collection[str] | None) -> Reader:
    """A reader of profiles' names; any name is taken if `known` is None."""

    def read(cell: Cell) -> Reading:
        if isinstance(cell, FlaggedCell):
            finding = make_finding(cell.code, **cell.args)
            if finding.severity is Severity.ERROR:
                return Reading(None, (finding,))
            cell = cell.shown
        if isinstance(cell, float) and cell.is_integer():
            cell = int(cell)
        name = plain(str(cell)) if cell is not None else ""
        if not name:
            return refused("institution.missing")
        if known is None or name in known:
            return Reading(name)
        return _unknown_name(name, known)

    return read


def _unknown_name(name: str, known: Collection[str]) -> Reading:
    from difflib import get_close_matches

    folded = {fold(each): each for each in known}
    near = get_close_matches(fold(name), folded, n=3, cutoff=_NEAR)
    if near:
        # Letters that are only out of order are likelier than a wrong one.
        nearest = min(near, key=lambda each: sorted(each) != sorted(fold(name)))
        return refused("institution.near_miss", suggestion=folded[nearest])
    names = sorted(known)
    some = Series(tuple(names[:_NAMED_MOST]), more=max(0, len(names) - _NAMED_MOST))
    return refused("institution.unknown", known=some)


def cell_cache(
    column: Setting, *, tz: tzinfo, profiles: Collection[str] | None = None
) -> CellCache:
    """A caching reader of `column`'s cells.

    Times without an offset are in `tz`; `profiles` are the known names, None if nobody knows them.
    """
    return CellCache(_reader_for(column, tz, profiles), _plain_for(column))


def _plain_for(column: Setting) -> Plain:
    match column.kind:
        case IdKind():
            return plain_id
        case IdListKind():
            return plain_ids
        case TextKind() as kind:
            return plain_text(kind)
        case _:
            return never_plain


def _reader_for(column: Setting, tz: tzinfo, profiles: Collection[str] | None) -> Reader:
    reader: Reader
    match column.kind:
        case TextKind() as kind:
            return text_reader(kind)
        case NameKind():
            return name_reader(profiles)
        case IdKind():
            reader = read_id
        case ChoiceKind() as kind:
            reader = choice_reader(kind)
        case IntegerKind():
            reader = read_integer
        case IdListKind():
            reader = read_ids
        case MomentKind():
            from bulkcast.validator.datetimes import moment_reader

            reader = moment_reader(tz)
        case _ as never:
            assert_never(never)
    return with_common_cells(reader, column)
