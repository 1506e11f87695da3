"""Finds a secret in somebody else's words, in whatever form those repeat it."""

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote, quote_plus

MASK: Final = "•••"

_LEAST: Final = 4
"""Characters of an encoded form from which on it is looked for: fewer stand in any sentence."""

_SIXTY_FOUR: Final = "[0-9a-z+/_-]"
_SPELLED: Final = {"+": r"(?:\+|-|%2b)", "/": r"(?:/|_|%2f)"}
"""The two letters that base64 has several spellings of."""


def masked(text: str, secrets: Iterable[str]) -> str:
    r"""`text` with each of `secrets` masked, in whatever case: plain, percent-encoded, escaped as
    in JSON or HTML, as hex digits, as base64 of its own or within that of a longer text.

    >>> masked("no: open sesame, b3BlbiBzZXNhbWU=, 6F70656E20736573616D65", ["open sesame"])
    'no: •••, •••, •••'
    """  # noqa: D205 - one sentence
    forms = dict.fromkeys(form for secret in secrets for form in _forms(secret))
    longest_first = sorted(forms, key=len, reverse=True)
    return re.sub("|".join(longest_first), MASK, text, flags=re.IGNORECASE) if forms else text


def longest_form(secret: str) -> int:
    r"""Characters that any form of `secret` has at most: `\\ud83d\\ude00` is one of it."""
    return 12 * len(secret)


def _forms(secret: str) -> Iterator[str]:
    """Patterns that match the secret."""
    plain = json.dumps(secret)[1:-1]
    unescaped = json.dumps(secret, ensure_ascii=False)[1:-1]
    for form in (
        secret, quote(secret, safe=""), quote(secret), quote_plus(secret), html.escape(secret),
        plain, unescaped, plain.replace("/", "\\/"), unescaped.replace("/", "\\/"),
    ):  # fmt: skip
        yield re.escape(form)
    raw = secret.encode("utf-8", "replace")
    if len(raw.hex()) >= _LEAST:
        yield raw.hex()
    for shift in range(3):
        yield from _in_base64(raw, shift)


def _in_base64(raw: bytes, shift: int) -> Iterator[str]:
    """How `raw` looks within the base64 of a longer text that it begins `shift` bytes into.

    The characters at either end hold bits of their neighbours too: any will do there.
    """
    packed = base64.b64encode(bytes(shift) + raw).decode()
    inner = packed[(8 * shift + 5) // 6 : 8 * (shift + len(raw)) // 6]
    if len(inner) >= _LEAST:
        letters = "".join(_SPELLED.get(letter, letter) for letter in inner)
        yield f"{_SIXTY_FOUR}?{letters}{_SIXTY_FOUR}?(?:=|%3d){{0,2}}"
