"""Makes texts safe to show: masks secrets in every form that they may have there."""

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote, quote_plus, unquote, unquote_plus

MASK: Final = "•••"

_FORM_MIN: Final = 4
"""Characters an encoded form must have to be searched; shorter ones occur in any sentence."""

_BASE64: Final = "[0-9a-z+/_-]"
_SPELLED: Final = {"+": r"(?:\+|-|%2b)", "/": r"(?:/|_|%2f)"}
"""The two base64 characters with several spellings."""


def masked(text: str, secrets: Iterable[str], most: int | None = None) -> str:
    r"""`text` with every form of each of `secrets` masked, ignoring case: plain, percent-encoded,
    escaped as in JSON or HTML, in hex digits, in base64 alone or inside that of a longer text.

    The result covers the first `most` characters; a secret that begins there is masked completely.
    A secret of a few characters is masked with the whole word around it, since the rest of a known
    word would reveal it.

    >>> masked("no: open sesame, b3BlbiBzZXNhbWU=, 6F70656E20736573616D65", ["open sesame"])
    'no: •••, •••, •••'
    >>> masked("less than 20 minutes; password=0", ["0"])
    'less than ••• minutes; password=•••'
    """  # noqa: D205 - one sentence
    forms = dict.fromkeys(form for secret in secrets for form in _forms(secret))
    if not forms:
        return text[:most]
    longest_first = sorted(forms, key=len, reverse=True)
    # The lookahead finds overlapping matches, too.
    pattern = re.compile(f"(?=({'|'.join(longest_first)}))", re.IGNORECASE)
    end = len(text) if most is None else most
    parts, at = [], 0
    for first, last in _merge_spans(found.span(1) for found in pattern.finditer(text)):
        if first >= end:
            break
        parts += [text[at:first], MASK]
        at = last
    return "".join([*parts, text[at:end]])


def _merge_spans(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Merge overlapping spans, which are sorted by their starts."""
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
    r"""The maximum length of an encoded form of a secret; `\\ud83d\\ude00` is one character."""
    return 12 * length


def is_short(secret: str) -> bool:
    """Whether a secret is so short that any sentence may contain it by chance."""
    return len(secret) < _FORM_MIN


class Secrets:
    """A set of secrets, possibly very many; `found_in` finds those that a text reveals.

    The text is decoded in every possible way, so no encoded forms are kept for each secret.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._known: dict[str, tuple[str, ...]] = {}
        for secret in secrets:
            folded = secret.casefold()
            folded = secret if folded == secret else folded  # share one string
            known = self._known.get(folded, ())
            if secret not in known:
                self._known[folded] = (*known, secret)
        self._lengths = sorted({len(folded) for folded in self._known})
        self.longest = max(map(len, self._known), default=0)
        """Length of the longest secret."""

    def found_in(self, text: str) -> set[str]:
        """The secrets that `text` contains in any form.

        A short one of letters or digits counts only as a whole word.
        """
        found: set[str] = set()
        if not self._known:
            return found
        for view in _views(text):
            folded = view.casefold()
            words = set(_WORDS.findall(folded))
            for length in self._lengths:
                for piece in _pieces(folded, length) & self._known.keys():
                    if length >= _FORM_MIN or piece in words or not _WORDS.fullmatch(piece):
                        found.update(self._known[piece])
        return found


def _pieces(text: str, length: int) -> set[str]:
    return {text[at : at + length] for at in range(len(text) - length + 1)}


_WORDS: Final = re.compile(r"[a-z0-9]+")
_HEX_RUN: Final = re.compile(r"[0-9a-f]{2,}", re.IGNORECASE)
_BASE64_RUN: Final = re.compile(r"[0-9a-z+/]{4,}", re.IGNORECASE)


def _views(text: str) -> Iterator[str]:
    """`text` as it is, and with every kind of escape and encoding in it decoded."""
    yield text
    percent = unquote(text)
    yield from (percent, unquote_plus(text), html.unescape(text), _decode_escapes(text))
    for run in _HEX_RUN.findall(text):
        for odd in (0, 1):
            digits = run[odd : len(run) - (len(run) - odd) % 2]
            yield bytes.fromhex(digits).decode("utf-8", "ignore")
    for run in _BASE64_RUN.findall(percent.replace("-", "+").replace("_", "/")):
        for odd in range(4):  # the start of the encoded part is unknown
            packed = run[odd:] + "A" * (-len(run[odd:]) % 4)
            yield base64.b64decode(packed).decode("utf-8", "ignore")


_ESCAPE: Final = re.compile(r"(?:\\u[0-9a-f]{4})+|\\.", re.IGNORECASE | re.DOTALL)


def _decode_escapes(text: str) -> str:
    """Decode JSON escapes in any text."""

    def undone(found: re.Match[str]) -> str:
        try:
            return str(json.loads(f'"{found[0]}"'))
        except ValueError:
            return found[0]

    return _ESCAPE.sub(undone, text).encode("utf-16", "replace").decode("utf-16", "replace")


def _forms(secret: str) -> Iterator[str]:
    """Patterns that match the secret."""
    if len(secret) < _FORM_MIN:
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
    if len(raw.hex()) >= _FORM_MIN:
        yield raw.hex()
    for shift in range(3):
        yield from _in_base64(raw, shift)


def _in_base64(raw: bytes, shift: int) -> Iterator[str]:
    """A pattern for `raw` inside the base64 of a longer text, `shift` bytes into a group of three.

    The characters at either end contain bits of their neighbours, so any character matches there.
    """
    packed = base64.b64encode(bytes(shift) + raw).decode()
    inner = packed[(8 * shift + 5) // 6 : 8 * (shift + len(raw)) // 6]
    if len(inner) >= _FORM_MIN:
        letters = "".join(_SPELLED.get(letter, letter) for letter in inner)
        yield f"{_BASE64}?{letters}{_BASE64}?(?:=|%3d){{0,2}}"
