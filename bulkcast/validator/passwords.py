"""Characters in a password that its reader cannot see, or takes for others.

A password is sent exactly as it stands in its cell, and viewers have to type exactly that: what
came along with a paste locks them out.  Which character it is may be said, but for those that show
what the password holds there.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from bulkcast.validator.reading import Finding, make_finding
from bulkcast.wording import marked

_MOST_NAMED: Final = 5
_WHAT: Final = {
    " ": marked("a space at its edge"),
    "\t": marked("a tab"),
    "\n": marked("a line break"),
    "\r": marked("a line break"),
    "\u00a0": marked("a no-break space"),
    "\u3000": marked("a full-width space"),
    "\u200b": marked("a zero-width space"),
    "\ufeff": marked("a byte order mark"),
}
_BLANK: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters and marks that are drawn as nothing: Unicode, Default_Ignorable_Code_Point and U+2800."""
_UNSEEN: Final = frozenset({"Cf", "Zs", "Zl", "Zp"})
_VARIATION: Final = re.compile("[\ufe00-\ufe0f]")
_DIRECTION: Final = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def is_unseen(password: str) -> bool:
    """Whether nothing of it can be seen.

    >>> is_unseen(" \u200b"), is_unseen(" x")
    (True, False)
    """
    return all(c.isspace() or _is_unseen(c) for c in password)


def oddities(password: str) -> Iterator[Finding]:
    """The warning about characters that are unseen, or taken for others, if there are any."""
    if password.isascii() and password.isprintable() and password == password.strip():
        return
    has_latin = re.search("[A-Za-z]", password) is not None
    found = [
        (place, what)
        for place, character in enumerate(password, start=1)
        if (what := _odd(character, password, place, has_latin=has_latin))
    ]
    if found:
        named = [str(place) for place, _ in found[:_MOST_NAMED]]
        places = ", ".join([*named, *["…"][: len(found) - len(named)]])
        yield make_finding(
            "password.unseen_character", what=found[0][1], places=places, n=str(len(found))
        )


def _odd(character: str, password: str, place: int, *, has_latin: bool) -> str | None:
    """What is odd about the character at a place of a password, from 1; None for nothing."""
    if character == " ":
        at_edge = not password[: place - 1].strip() or not password[place:].strip()
        return _WHAT[" "] if at_edge else None
    if character in _WHAT:
        return _WHAT[character]
    if _DIRECTION.fullmatch(character):
        return marked("a mark of writing direction")
    if _is_unseen(character):
        return marked("a character that cannot be seen")
    return _mistaken(character, has_latin=has_latin)


def _is_unseen(character: str) -> bool:
    is_mark = character in _BLANK or _VARIATION.fullmatch(character) is not None
    return is_mark or (character != " " and unicodedata.category(character) in _UNSEEN)


def _mistaken(character: str, *, has_latin: bool) -> str | None:
    if character.isascii():
        return None
    plain = unicodedata.normalize("NFKC", character)
    if "\uff01" <= character <= "\uff5e":
        return marked("a full-width character")
    if plain.isascii():
        return marked("a character that only looks like a plain one")
    if has_latin and unicodedata.name(character, "").startswith(("CYRILLIC", "GREEK")):
        return marked("a Greek or Cyrillic letter among Latin ones")
    return None
