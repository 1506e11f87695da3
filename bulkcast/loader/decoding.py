"""From bytes to text: which encoding a delimited file is in.

The ladder: a byte order mark, strict UTF-8, the zero bytes of UTF-16, and only then a guess, which
is always told (`guessing`).  Excel saves "CSV" in the encoding of its language (GBK in Chinese),
"CSV UTF-8" with a mark and "Unicode Text" as UTF-16.
"""

import codecs
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import charset_normalizer

from bulkcast.errors import CannotStart, UnreadableSheet
from bulkcast.loader.guessing import (
    ALSO_KNOWN,
    GUESSED_AMONG,
    HOME_ENCODING,
    OF_LETTERS,
    Guess,
    oddness,
)
from bulkcast.model import Text

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_ZEROS_LOOKED_AT: Final = 4096
_HEAD: Final = 1 << 18
_AT_ONCE: Final = 1 << 20
_LONGEST_LINE: Final = 16 * 2**20
_NO_ACCIDENT: Final = 2
"""Characters of three bytes; single ones come of other encodings too."""
_MOST_GUESSED_FROM: Final = 4 * 2**20
"""Bytes that a guess is made from; whichever is guessed is then proved for the whole file."""


@dataclass(frozen=True, slots=True)
class Found:
    """Which encoding a file is in, proved for all of it, and how its text begins."""

    encoding: str
    head: str
    """The first lines, all of them whole."""
    remark: Text | None = None
    """Set where the file does not say its encoding, and its bytes leave no doubt."""
    guess: Guess | None = None
    """Set where it is a guess."""


def detect(path: Path, *, encoding: str | None, score: Callable[[str], int]) -> Found:
    """The encoding of the file; `score` says how many headers of a text mean something.

    Raises:
        UnreadableSheet: no encoding fits, or not the one asked for.
        CannotStart: `encoding` is none that Python knows.

    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if encoding is not None:
        return _as_told(path, head, encoding)
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise UnreadableSheet("{name} is in UTF-32; save it as CSV UTF-8.", name=path.name)
    for mark, marked in _MARKS:
        if head.startswith(mark):
            return _proved(path, head, marked)
    zeros = _by_zeros(path.name, head)
    if zeros:
        return _proved(path, head, zeros, _guessed(zeros))
    if _first_fault(path, "utf-8") is None:
        text = _whole_lines(head, "utf-8")
        by_header = score(text) > score(_whole_lines(head, HOME_ENCODING))
        guess = None if by_header or _is_ascii(path) else Guess("utf-8", by_header=False)
        return Found("utf-8", text, guess=guess)
    return _guess(path, head, score)


def not_throughout(path: Path, encoding: str) -> UnreadableSheet:
    """The refusal of a file that holds bytes which are none of `encoding`."""
    line = _first_fault(path, encoding) or 1
    return UnreadableSheet(
        "{name} is not {encoding} throughout: line {line} holds bytes that are none; "
        "save it as CSV UTF-8, or say which encoding it is in with --encoding.",
        name=path.name,
        encoding=encoding,
        line=line,
    )


def _as_told(path: Path, head: bytes, encoding: str) -> Found:
    try:
        known = codecs.lookup(encoding).name
        "".encode(known)
    except LookupError as exc:
        raise CannotStart(
            "--encoding {encoding} is no encoding that can be read; try utf-8, gb18030 or big5.",
            encoding=encoding,
        ) from exc
    marked = known == "utf-8" and head.startswith(codecs.BOM_UTF8)
    return _proved(path, head, "utf-8-sig" if marked else known)


def _proved(path: Path, head: bytes, encoding: str, remark: Text | None = None) -> Found:
    if _first_fault(path, encoding) is not None:
        raise not_throughout(path, encoding)
    return Found(encoding, _whole_lines(head, encoding), remark)


def _first_fault(path: Path, encoding: str) -> int | None:
    """The line in which bytes stand that are none of `encoding`; None where all are.

    Raises:
        UnreadableSheet: a line is longer than any row: the memory would fill with it.

    """
    decoder = codecs.getincrementaldecoder(encoding)()
    line, since = 1, 0
    with path.open("rb") as file:
        while raw := file.read(_AT_ONCE):
            try:
                decoder.decode(raw)
            except UnicodeDecodeError as exc:
                return line + exc.object.count(b"\n", 0, exc.start)
            line += raw.count(b"\n")
            last = max(raw.rfind(b"\n"), raw.rfind(b"\r"))
            since = len(raw) - last - 1 if last >= 0 else since + len(raw)
            if since > _LONGEST_LINE:
                raise UnreadableSheet(
                    "{name}, line {line}: it is longer than {size} MB, which no row is.",
                    name=path.name,
                    line=line,
                    size=_LONGEST_LINE // 2**20,
                )
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return line
    return None


def _is_ascii(path: Path) -> bool:
    with path.open("rb") as file:
        return all(piece.isascii() for piece in iter(lambda: file.read(_AT_ONCE), b""))


def _whole_lines(head: bytes, encoding: str) -> str:
    """The text of `head`, but for what is cut off at its end."""
    text = codecs.getincrementaldecoder(encoding)(errors="replace").decode(head)
    end = max(text.rfind("\n"), text.rfind("\r"))
    return text if len(head) < _HEAD or end < 0 else text[: end + 1]


def _by_zeros(name: str, head: bytes) -> str | None:
    """UTF-16 without a mark, told by where its zero bytes stand; None where there are none."""
    head = head[:_ZEROS_LOOKED_AT]
    at_even, at_odd = head[::2].count(0), head[1::2].count(0)
    if not at_even and not at_odd:
        return None
    if min(at_even, at_odd) * 10 > max(at_even, at_odd) or max(at_even, at_odd) * 8 < len(head):
        raise UnreadableSheet(
            "{name} is no text file: it holds zero bytes; save it as CSV UTF-8.", name=name
        )
    return "utf-16-le" if at_odd > at_even else "utf-16-be"


def _guess(path: Path, head: bytes, score: Callable[[str], int]) -> Found:
    with path.open("rb") as file:
        sample = file.read(_MOST_GUESSED_FROM)
    if len(sample) == _MOST_GUESSED_FROM:
        sample = sample[: sample.rfind(b"\n") + 1]
    matches = list(charset_normalizer.from_bytes(sample, cp_isolation=list(GUESSED_AMONG)))
    texts = {match.encoding: _whole_lines(head, match.encoding) for match in matches}
    candidates = sorted(
        (-score(texts[match.encoding]), *odd, match.chaos, order, match.encoding)
        for order, match in enumerate(matches)
        for odd in [oddness(match.encoding, texts)]
    )
    best = -candidates[0][0] if candidates else 0
    as_utf8 = score(_whole_lines(head, "utf-8"))
    if as_utf8 > best or (as_utf8 == best and any(map(_is_in_utf8, sample.splitlines()))):
        # Other bytes were pasted or appended, or the end is cut off: no other encoding is meant.
        raise not_throughout(path, "utf-8")
    for *_, encoding in candidates:
        if _first_fault(path, encoding) is None:
            text = _whole_lines(head, encoding)
            also = ALSO_KNOWN if encoding in OF_LETTERS else ()
            others = {_whole_lines(head, other) for other in (*GUESSED_AMONG, *also)} - {text}
            by_header = all(score(other) < score(text) for other in others)
            return Found(encoding, text, guess=Guess(encoding, by_header=by_header))
    raise UnreadableSheet(
        "{name} is in no encoding that can be recognised; save it as CSV UTF-8, or "
        "say which one it is with --encoding.",
        name=path.name,
    )


def _is_in_utf8(line: bytes) -> bool:
    """Whether a line can hardly be anything else: some characters of three bytes, and no fault."""
    if line.isascii():
        return False
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(line)
    except UnicodeDecodeError:
        return False
    return sum(character >= "\u0800" for character in text) >= _NO_ACCIDENT


def _guessed(encoding: str) -> Text:
    return Text(
        "The file does not say how it is encoded; it was read as {encoding}. If its words look "
        "wrong, say the encoding with --encoding.",
        {"encoding": encoding},
    )
