"""From bytes to text: which encoding a delimited file is in.

The ladder: a byte order mark, strict UTF-8, the zero bytes of UTF-16, and only then a guess, which
is always told.  Excel saves "CSV" in the encoding of its language (GBK in Chinese), "CSV UTF-8"
with a mark and "Unicode Text" as UTF-16.
"""

import codecs
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import charset_normalizer

from bulkcast.errors import CannotStart, UnreadableSheet
from bulkcast.model import Text

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_HOME_ENCODING: Final = "gb18030"
"""What an unmarked file of this API's users is most often in; it includes GBK and GB2312."""
_HOME_ADVANTAGE: Final = 0.04
"""How much messier, on charset-normalizer's scale of 0 to 1, the home encoding may look: among
short Chinese, Japanese and Korean texts the scale cannot tell the encodings apart any finer."""
_ZEROS_LOOKED_AT: Final = 4096


@dataclass(frozen=True, slots=True)
class Decoded:
    """A file's text and the encoding it was in."""

    text: str
    encoding: str
    remark: Text | None = None
    """Set where the encoding is a guess."""


def decode(raw: bytes, *, name: str, encoding: str | None, score: Callable[[str], int]) -> Decoded:
    """The text of `raw`; `score` says how many headers of a candidate text mean something.

    Raises:
        UnreadableSheet: no encoding fits, or not the one asked for.
        CannotStart: `encoding` is none that Python knows.

    """
    if encoding is not None:
        return _as_told(raw, name, encoding)
    for mark, marked in _MARKS:
        if raw.startswith(mark):
            return _strict(raw, name, marked)
    try:
        return _by_zeros(raw, name) or Decoded(raw.decode("utf-8"), "utf-8")
    except UnicodeDecodeError:
        return _guess(raw, name, score)


def _as_told(raw: bytes, name: str, encoding: str) -> Decoded:
    try:
        known = codecs.lookup(encoding).name
        "".encode(known)
    except LookupError as exc:
        raise CannotStart(
            "--encoding {encoding} is no encoding that can be read; try utf-8, gb18030 or big5.",
            encoding=encoding,
        ) from exc
    marked = known == "utf-8" and raw.startswith(codecs.BOM_UTF8)
    return _strict(raw, name, "utf-8-sig" if marked else known)


def _strict(raw: bytes, name: str, encoding: str) -> Decoded:
    try:
        return Decoded(raw.decode(encoding), encoding)
    except UnicodeDecodeError as exc:
        line = raw.count(b"\n", 0, exc.start) + 1
        raise UnreadableSheet(
            "{name} is not {encoding} throughout: line {line} holds bytes that are none; "
            "save it as CSV UTF-8, or say which encoding it is in with --encoding.",
            name=name,
            encoding=encoding,
            line=line,
        ) from exc


def _by_zeros(raw: bytes, name: str) -> Decoded | None:
    """UTF-16 without a mark, told by where its zero bytes stand; None where there are none."""
    head = raw[:_ZEROS_LOOKED_AT]
    at_even, at_odd = head[::2].count(0), head[1::2].count(0)
    if not at_even and not at_odd:
        return None
    if min(at_even, at_odd) * 10 > max(at_even, at_odd) or max(at_even, at_odd) * 8 < len(head):
        raise UnreadableSheet(
            "{name} is no text file: it holds zero bytes; save it as CSV UTF-8.", name=name
        )
    found = _strict(raw, name, "utf-16-le" if at_odd > at_even else "utf-16-be")
    return Decoded(found.text, found.encoding, _guessed(found.encoding))


def _guess(raw: bytes, name: str, score: Callable[[str], int]) -> Decoded:
    candidates = [
        (-score(str(match)), match.chaos - _advantage(match.encoding), order, match)
        for order, match in enumerate(charset_normalizer.from_bytes(raw))
    ]
    if not candidates:
        raise UnreadableSheet(
            "{name} is in no encoding that can be recognised; save it as CSV UTF-8, or "
            "say which one it is with --encoding.",
            name=name,
        )
    best = min(candidates, key=lambda candidate: candidate[:3])[3]
    return Decoded(str(best), best.encoding, _guessed(best.encoding))


def _advantage(encoding: str) -> float:
    return _HOME_ADVANTAGE if encoding == _HOME_ENCODING else 0.0


def _guessed(encoding: str) -> Text:
    return Text(
        "The file does not say how it is encoded; it was read as {encoding}. If its words look "
        "wrong, say the encoding with --encoding.",
        {"encoding": encoding},
    )
