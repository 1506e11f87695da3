"""Reads cells: choices, integers, texts and passwords, profiles; chooses each column's reader."""

import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime, tzinfo
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
)
from bulkcast.headers import fold
from bulkcast.model import Cell, FlaggedCell, Severity, Text
from bulkcast.problems import PROBLEMS
from bulkcast.validator.ids import POINT_ZERO, digits_of, plain_id, plain_ids, read_id, read_ids
from bulkcast.validator.parsing import (
    BLANK,
    ERROR_WORDS,
    EXACT_BELOW,
    CellCache,
    Finding,
    Plain,
    Reader,
    Reading,
    cleaned_finding,
    is_clear,
    is_digits,
    make_finding,
    never_plain,
    plain,
    refused,
    with_common_cells,
)

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


# ------------------------------------------------------------------ texts and passwords

_PLACES_MOST: Final = 5
_UNUSUAL: Final = {
    " ": Text("a space at its edge"),
    "\t": Text("a tab"),
    "\n": Text("a line break"),
    "\r": Text("a line break"),
    "\u00a0": Text("a no-break space"),
    "\u3000": Text("a full-width space"),
    "\u200b": Text("a zero-width space"),
    "\ufeff": Text("a byte order mark"),
}
_INVISIBLE: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters and marks without a visible shape: Unicode Default_Ignorable_Code_Point, and U+2800."""
_INVISIBLE_CATEGORIES: Final = frozenset({"Cf", "Zs", "Zl", "Zp"})
_VARIATION: Final = re.compile("[\ufe00-\ufe0f]")
_DIRECTION: Final = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def is_invisible(password: str) -> bool:
    """Whether a password consists of invisible characters only.

    >>> is_invisible(" \u200b"), is_invisible(" x")
    (True, False)
    """
    return all(c.isspace() or _is_invisible(c) for c in password)


def character_warnings(password: str) -> Iterator[Finding]:
    """The warning about invisible or confusable characters, if there are any."""
    if password.isascii() and password.isprintable() and password == password.strip():
        return
    has_latin = re.search("[A-Za-z]", password) is not None
    found = [
        (place, what)
        for place, character in enumerate(password, start=1)
        if (what := _unusual(character, password, place, has_latin=has_latin))
    ]
    if found:
        named = [str(place) for place, _ in found[:_PLACES_MOST]]
        places = Series((*named, *["…"][: len(found) - len(named)]))
        yield make_finding(
            "password.unseen_character", what=found[0][1], places=places, n=str(len(found))
        )


def _unusual(character: str, password: str, place: int, *, has_latin: bool) -> Text | None:
    """What is unusual about the character at `place`, from 1, of a password; else None."""
    if character == " ":
        at_edge = not password[: place - 1].strip() or not password[place:].strip()
        return _UNUSUAL[" "] if at_edge else None
    if character in _UNUSUAL:
        return _UNUSUAL[character]
    if _DIRECTION.fullmatch(character):
        return Text("a mark of writing direction")
    if _is_invisible(character):
        return Text("a character that cannot be seen")
    return _confusable(character, has_latin=has_latin)


def _is_invisible(character: str) -> bool:
    is_mark = character in _INVISIBLE or _VARIATION.fullmatch(character) is not None
    return is_mark or (
        character != " " and unicodedata.category(character) in _INVISIBLE_CATEGORIES
    )


def _confusable(character: str, *, has_latin: bool) -> Text | None:
    if character.isascii():
        return None
    folded = unicodedata.normalize("NFKC", character)
    if "\uff01" <= character <= "\uff5e":
        return Text("a full-width character")
    if folded.isascii():
        return Text("a character that only looks like a plain one")
    if has_latin and unicodedata.name(character, "").startswith(("CYRILLIC", "GREEK")):
        return Text("a Greek or Cyrillic letter among Latin ones")
    return None


_LONGEST_TEXT: Final = 32_767
"""Characters in a cell: Microsoft, Excel specifications and limits, read 2026-11-23."""
LONGEST_PASSWORD: Final = 20
"""Characters of a password: a private description of the vendor's table, not its own page."""
_SIGNED_EVERYWHERE: Final = 1023
"""Bytes up to which all official samples sign a text the same way."""
_UNSENDABLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
"""Characters no cell can show: control characters except tab and line breaks, lone surrogates, and
the two characters that XML, and so a result workbook, cannot hold."""


def text_reader(kind: TextKind) -> Reader:
    """A reader of texts, exactly as they are in the cell."""

    def read(cell: Cell) -> Reading:
        match cell:
            case str():
                return _read_text(cell, kind)
            case None:
                return BLANK
            case FlaggedCell():
                return _read_flagged_text(cell, kind)
            case _:
                return _read_as_text(cell, kind)

    return read


def plain_text(kind: TextKind) -> Callable[[str], str | None]:
    """A fast reader: gives a text back that certainly has no findings, None for any other.

    Such a text is printable ASCII and begins with a letter or digit, as no clear word does.
    """
    longest = LONGEST_PASSWORD if kind.secret else _SIGNED_EVERYWHERE
    most = min(kind.cut_at or longest, longest)
    is_plain = re.compile(rf"[0-9A-Za-z][!-~]{{0,{most - 1}}}").fullmatch
    return lambda cell: cell if is_plain(cell) else None


def _read_text(cell: str, kind: TextKind) -> Reading:
    word = cell.strip()
    if not word or (kind.secret and is_invisible(word)):
        is_noted = kind.secret and cell
        return Reading(None, (make_finding("password.only_spaces"),)) if is_noted else BLANK
    if word in ERROR_WORDS:
        return refused("cell.formula_error")
    if is_clear(word):
        return Reading("")
    if unsendable := _UNSENDABLE.search(cell):
        return refused("cell.control_character", what=f"U+{ord(unsendable[0]):04X}")
    if len(cell) > _LONGEST_TEXT:
        return refused("cell.too_long", n=str(len(cell)), most=str(_LONGEST_TEXT))
    odd = [*character_warnings(cell)] if kind.secret else []
    if kind.secret and len(cell) > LONGEST_PASSWORD:
        odd.append(make_finding("password.long", n=str(len(cell)), most=str(LONGEST_PASSWORD)))
    return Reading(cell, (*odd, *_lengths(cell, kind)))


def _lengths(text: str, kind: TextKind) -> Iterator[Finding]:
    if kind.cut_at is not None and len(text) > kind.cut_at:
        yield make_finding("text.cut", n=str(len(text)), most=str(kind.cut_at))
    size = len(text.encode())
    if size > _SIGNED_EVERYWHERE:
        yield make_finding("text.unsigned", n=str(size))


def _read_flagged_text(cell: FlaggedCell, kind: TextKind) -> Reading:
    if PROBLEMS[cell.code].severity is Severity.ERROR:
        return refused(cell.code, **cell.args)
    # A number that is shown differently from what is stored; neither is a text.
    return refused("password.numeric" if kind.secret else "cell.not_a_text", what=Text("a number"))


def _read_as_text(cell: Cell, kind: TextKind) -> Reading:
    """Read a cell that is stored as another type than text."""
    number = isinstance(cell, int | float) and not isinstance(cell, bool)
    if number and kind.secret:
        return refused("password.numeric")
    if type(cell) is int and abs(cell) < EXACT_BELOW:
        note = make_finding("read.number_as_text", read=str(cell))
        return Reading(str(cell), (note,))
    return refused("cell.not_a_text", what=_OTHER_TYPES.get(type(cell), Text("something else")))


_OTHER_TYPES: Final[Mapping[type, Text]] = {
    bool: Text("a truth value"),
    int: Text("a number"),
    float: Text("a number"),
    datetime: Text("a date"),
}


# ------------------------------------------------------------------ profiles


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


# ------------------------------------------------------------------ any column


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
