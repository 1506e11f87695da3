"""Texts made safe: secrets are masked, and a spreadsheet takes none for a formula."""

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote, quote_plus, unquote, unquote_plus

MASK: Final = "•••"

_LEAST: Final = 4
"""Characters of an encoded form from which on it is looked for: fewer stand in any sentence."""

_SIXTY_FOUR: Final = "[0-9a-z+/_-]"
_SPELLED: Final = {"+": r"(?:\+|-|%2b)", "/": r"(?:/|_|%2f)"}
"""The two letters that base64 has several spellings of."""


def masked(text: str, secrets: Iterable[str], most: int | None = None) -> str:
    r"""`text` with each of `secrets` masked, in whatever case: plain, percent-encoded, escaped as
    in JSON or HTML, as hex digits, as base64 of its own or within that of a longer text.

    Of more than `most` characters the rest is left out; a secret that begins before is masked all
    the same.  One of a few characters is masked with the whole word it stands in: what is left of
    a known word would tell it.

    >>> masked("no: open sesame, b3BlbiBzZXNhbWU=, 6F70656E20736573616D65", ["open sesame"])
    'no: •••, •••, •••'
    >>> masked("less than 20 minutes; password=0", ["0"])
    'less than ••• minutes; password=•••'
    """  # noqa: D205 - one sentence
    forms = dict.fromkeys(form for secret in secrets for form in _forms(secret))
    if not forms:
        return text[:most]
    longest_first = sorted(forms, key=len, reverse=True)
    # Looking ahead finds those that overlap, too.
    pattern = re.compile(f"(?=({'|'.join(longest_first)}))", re.IGNORECASE)
    end = len(text) if most is None else most
    told, at = [], 0
    for first, last in _merged(found.span(1) for found in pattern.finditer(text)):
        if first >= end:
            break
        told += [text[at:first], MASK]
        at = last
    return "".join([*told, text[at:end]])


def _merged(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Spans that overlap as one; they come in the order of their beginnings."""
    first, last = 0, 0
    for begin, end in spans:
        if begin < last:
            last = max(last, end)
            continue
        if last:
            yield first, last
        first, last = begin, end
    if last:
        yield first, last


def longest_form(length: int) -> int:
    r"""Characters that any form of a secret has at most: `\\ud83d\\ude00` is one of one."""
    return 12 * length


def is_short(secret: str) -> bool:
    """Whether it may stand in any sentence by chance."""
    return len(secret) < _LEAST


class Secrets:
    """Secrets of which few or very many may be repeated; `told_in` names those that a text tells.

    The text is read in every form that it may hold one in, so nothing is kept for each secret.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._known: dict[str, tuple[str, ...]] = {}
        for secret in secrets:
            folded = secret.casefold()
            folded = secret if folded == secret else folded  # one text for both
            known = self._known.get(folded, ())
            if secret not in known:
                self._known[folded] = (*known, secret)
        self._lengths = sorted({len(folded) for folded in self._known})
        self.longest = max(map(len, self._known), default=0)
        """Characters of the longest."""

    def told_in(self, text: str) -> set[str]:
        """Those that stand in `text`, in whatever form.

        One of a few letters or digits only where it is a word of its own: any other word may hold
        it by chance.
        """
        found: set[str] = set()
        if not self._known:
            return found
        for view in _views(text):
            folded = view.casefold()
            words = set(_WORDS.findall(folded))
            for length in self._lengths:
                for piece in _pieces(folded, length) & self._known.keys():
                    if length >= _LEAST or piece in words or not _WORDS.fullmatch(piece):
                        found.update(self._known[piece])
        return found


def _pieces(text: str, length: int) -> set[str]:
    return {text[at : at + length] for at in range(len(text) - length + 1)}


_WORDS: Final = re.compile(r"[a-z0-9]+")
_HEX_RUN: Final = re.compile(r"[0-9a-f]{2,}", re.IGNORECASE)
_SIXTY_FOUR_RUN: Final = re.compile(r"[0-9a-z+/]{4,}", re.IGNORECASE)


def _views(text: str) -> Iterator[str]:
    """`text` as it is, and as it reads once what may be packed or escaped in it is undone."""
    yield text
    percent = unquote(text)
    yield from (percent, unquote_plus(text), html.unescape(text), _unescaped(text))
    for run in _HEX_RUN.findall(text):
        for odd in (0, 1):
            digits = run[odd : len(run) - (len(run) - odd) % 2]
            yield bytes.fromhex(digits).decode("utf-8", "ignore")
    for run in _SIXTY_FOUR_RUN.findall(percent.replace("-", "+").replace("_", "/")):
        for odd in range(4):  # what stands before it may be of the same letters
            packed = run[odd:] + "A" * (-len(run[odd:]) % 4)
            yield base64.b64decode(packed).decode("utf-8", "ignore")


_ESCAPE: Final = re.compile(r"(?:\\u[0-9a-f]{4})+|\\.", re.IGNORECASE | re.DOTALL)


def _unescaped(text: str) -> str:
    """Without the escapes of JSON, which need not be a whole text of it."""

    def undone(found: re.Match[str]) -> str:
        try:
            return str(json.loads(f'"{found[0]}"'))
        except ValueError:
            return found[0]

    return _ESCAPE.sub(undone, text).encode("utf-16", "replace").decode("utf-16", "replace")


def _forms(secret: str) -> Iterator[str]:
    """Patterns that match the secret."""
    if len(secret) < _LEAST:
        yield (
            rf"(?<![a-z0-9])[a-z0-9]*{re.escape(secret)}[a-z0-9]*"
            if secret.isascii()
            else (re.escape(secret))
        )
    plain = json.dumps(secret)[1:-1]
    unescaped = json.dumps(secret, ensure_ascii=False)[1:-1]
    for form in (
        secret, quote(secret, "", errors="replace"), quote(secret, errors="replace"),
        quote_plus(secret, errors="replace"), html.escape(secret),
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


_STARTS_A_FORMULA: Final = frozenset("=+-@\t\r\n＝＋－＠")
_MARK: Final = "'"


def guard(text: str) -> str:
    """`text`, with one apostrophe before it where a spreadsheet would run it.

    Apostrophes that already stand there are counted as no protection, so that `unguard` need not
    guess whose they are.

    >>> guard("=1+1"), guard("'=1+1"), guard("a=b"), guard("it's")
    ("'=1+1", "''=1+1", 'a=b', "it's")
    """
    return _MARK + text if _is_formula(text) else text


def unguard(text: str) -> str:
    """What `guard` was given; a text it would not have written comes back unchanged.

    >>> unguard("'=1+1"), unguard("''=1+1"), unguard("'tis")
    ('=1+1', "'=1+1", "'tis")
    """
    return text[1:] if text.startswith(_MARK) and _is_formula(text) else text


def _is_formula(text: str) -> bool:
    return text.lstrip(_MARK)[:1] in _STARTS_A_FORMULA
