"""Detects the encoding of a delimited file, and how far to trust the result."""

import codecs
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bulkcast.catalogue import Endpoint, Setting, TextKind
from bulkcast.errors import CannotStart, UnreadableSheet
from bulkcast.headers import fold
from bulkcast.loader import plausibility
from bulkcast.loader.plausibility import (
    DEFAULT_ENCODING,
    GUESSED_AMONG,
    NEVER_GUESSED,
    SINGLE_BYTE,
    chinese_score,
    could_be_legacy,
    implausibility,
    reread,
)
from bulkcast.loader.table import Cells, mapped_columns
from bulkcast.model import Issue, Text
from bulkcast.problems import issue

_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_ZEROS_LOOKED_AT: Final = 4096
_HEAD: Final = 1 << 18
_AT_ONCE: Final = 1 << 20
_LONGEST_LINE: Final = 16 * 2**20
_PROOF: Final = 2
"""Three-byte characters that prove UTF-8; a single one may occur in other encodings."""
_MOST_GUESSED_FROM: Final = 4 * 2**20
"""Bytes to guess from; the guess is then verified for the whole file."""


@dataclass(frozen=True, slots=True)
class DetectedEncoding:
    """The encoding of a file, verified for all of it, and the start of its text."""

    encoding: str
    head: str
    """The first lines, each of them complete."""
    remark: Text | None = None
    """Set if the file does not say its encoding, but its bytes leave no doubt."""
    is_guess: bool = False
    by_header: bool = False
    """Of a guess: whether the header has known names in this encoding only."""


def detect(path: Path, *, encoding: str | None, score: Callable[[str], int]) -> DetectedEncoding:
    """Detect the encoding of the file; `score` counts the known headers in a text.

    Raises:
        UnreadableSheet: no encoding fits, or not the requested one.
        CannotStart: Python does not know `encoding`.

    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if encoding is not None:
        return _use_requested(path, head, encoding)
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise UnreadableSheet("{name} is in UTF-32; save it as CSV UTF-8.", name=path.name)
    for bom, named in _BOMS:
        if head.startswith(bom):
            return _verify(path, head, named)
    if zeros := _utf16_without_bom(path.name, head):
        remark = Text(
            "The file does not say how it is encoded; it was read as {encoding}. If its words look "
            "wrong, say the encoding with --encoding.",
            {"encoding": zeros},
        )
        return _verify(path, head, zeros, remark)
    if _first_bad_line(path, "utf-8") is None:
        text = _whole_lines(head, "utf-8")
        by_header = score(text) > score(_whole_lines(head, DEFAULT_ENCODING))
        is_ascii = _first_bad_line(path, "ascii") is None
        return DetectedEncoding("utf-8", text, is_guess=not by_header and not is_ascii)
    return _guess(path, head, score)


def invalid_bytes(path: Path, encoding: str) -> UnreadableSheet:
    """The error for a file with bytes that are invalid in `encoding`."""
    line = _first_bad_line(path, encoding) or 1
    return UnreadableSheet(
        "{name} is not {encoding} throughout: line {line} holds bytes that are none; "
        "save it as CSV UTF-8, or say which encoding it is in with --encoding.",
        name=path.name,
        encoding=encoding,
        line=line,
    )


def _use_requested(path: Path, head: bytes, encoding: str) -> DetectedEncoding:
    try:
        known = codecs.lookup(encoding).name
        "".encode(known)
    except LookupError as exc:
        raise CannotStart(
            "--encoding {encoding} is no encoding that can be read; try utf-8, gb18030 or big5.",
            encoding=encoding,
        ) from exc
    named = known == "utf-8" and head.startswith(codecs.BOM_UTF8)
    return _verify(path, head, "utf-8-sig" if named else known)


def _verify(path: Path, head: bytes, encoding: str, remark: Text | None = None) -> DetectedEncoding:
    if _first_bad_line(path, encoding) is not None:
        raise invalid_bytes(path, encoding)
    return DetectedEncoding(encoding, _whole_lines(head, encoding), remark)


def _first_bad_line(path: Path, encoding: str) -> int | None:
    """The first line with bytes that are invalid in `encoding`; None if there is none.

    Raises:
        UnreadableSheet: a line is so long that it would fill the memory.

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


def _whole_lines(head: bytes, encoding: str) -> str:
    """The text of `head` without an incomplete line at its end."""
    text = codecs.getincrementaldecoder(encoding)(errors="replace").decode(head)
    end = max(text.rfind("\n"), text.rfind("\r"))
    return text if len(head) < _HEAD or end < 0 else text[: end + 1]


def _utf16_without_bom(name: str, head: bytes) -> str | None:
    """UTF-16 without a BOM, recognised by the positions of zero bytes; None if there are none."""
    head = head[:_ZEROS_LOOKED_AT]
    at_even, at_odd = head[::2].count(0), head[1::2].count(0)
    if not at_even and not at_odd:
        return None
    if min(at_even, at_odd) * 10 > max(at_even, at_odd) or max(at_even, at_odd) * 8 < len(head):
        raise UnreadableSheet(
            "{name} is no text file: it holds zero bytes; save it as CSV UTF-8.", name=name
        )
    return "utf-16-le" if at_odd > at_even else "utf-16-be"


def _guess(path: Path, head: bytes, score: Callable[[str], int]) -> DetectedEncoding:
    import charset_normalizer

    with path.open("rb") as file:
        sample = file.read(_MOST_GUESSED_FROM)
    if len(sample) == _MOST_GUESSED_FROM:
        sample = sample[: sample.rfind(b"\n") + 1]
    matches = list(charset_normalizer.from_bytes(sample, cp_isolation=list(GUESSED_AMONG)))
    texts = {match.encoding: _whole_lines(head, match.encoding) for match in matches}
    candidates = sorted(
        (-score(texts[match.encoding]), *unlikely, match.chaos, order, match.encoding)
        for order, match in enumerate(matches)
        for unlikely in [implausibility(match.encoding, texts)]
    )
    best = -candidates[0][0] if candidates else 0
    as_utf8 = score(_whole_lines(head, "utf-8"))
    if as_utf8 > best or (as_utf8 == best and any(map(_is_in_utf8, sample.splitlines()))):
        # UTF-8 with other bytes pasted or appended, or with its end cut off.
        raise invalid_bytes(path, "utf-8")
    for *_, encoding in candidates:
        if _first_bad_line(path, encoding) is None:
            text = _whole_lines(head, encoding)
            also = NEVER_GUESSED if encoding in SINGLE_BYTE else ()
            others = {_whole_lines(head, other) for other in (*GUESSED_AMONG, *also)} - {text}
            by_header = all(score(other) < score(text) for other in others)
            return DetectedEncoding(encoding, text, is_guess=True, by_header=by_header)
    raise UnreadableSheet(
        "{name} is in no encoding that can be recognised; save it as CSV UTF-8, or "
        "say which one it is with --encoding.",
        name=path.name,
    )


def _is_in_utf8(line: bytes) -> bool:
    """Whether a line is certainly UTF-8: valid, with several three-byte characters."""
    if line.isascii():
        return False
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(line)
    except UnicodeDecodeError:
        return False
    return sum(character >= "\u0800" for character in text) >= _PROOF


# ------------------------------------------------------------------ how far to trust a guess

_CELLS_MAX: Final = 4096
"""Different cells to examine; more of them add no evidence."""
_CERTAIN: Final = 7.0
"""Score from which a text is certainly Chinese: of a thousand misread texts one comes near it."""
_SIMILAR: Final = 0.6
"""difflib's ratio from which a header may be a misspelt name of a secret; 1 is equal."""
_SHOWN: Final = 2
_LONGEST_SHOWN: Final = 24


@dataclass(slots=True)
class EncodingConfidence:
    """Examines the cells of a file whose encoding may have been guessed."""

    found: DetectedEncoding
    headers: Sequence[str]
    endpoint: Endpoint
    mapping: Mapping[str, str]
    _settings: Sequence[Setting | None] = field(init=False)
    _cells: dict[str, None] = field(default_factory=dict)
    """Different cells with characters outside ASCII, in order of appearance."""
    _texts: dict[str, None] = field(default_factory=dict)
    """The first of these that would be sent, without secret ones."""
    _is_sent: bool = False

    def __post_init__(self) -> None:
        self._settings = mapped_columns(self.headers, self.endpoint, self.mapping)
        self._cells.update((header, None) for header in self.headers if not header.isascii())

    def examine(self, rows: Sequence[Cells]) -> None:
        """Examine some rows."""
        if not self.found.is_guess:
            return
        for row in rows:
            for place, cell in enumerate(row):
                if isinstance(cell, str) and not cell.isascii():
                    self._examine(cell, place)

    def _examine(self, cell: str, place: int) -> None:
        setting = self._settings[place] if place < len(self._settings) else None
        if len(self._cells) < _CELLS_MAX:
            self._cells[cell] = None
        if setting and isinstance(setting.kind, TextKind):
            self._is_sent = True
            if not setting.secret and len(self._texts) < _SHOWN:
                self._texts[cell] = None

    def issues(self) -> tuple[Issue, ...]:
        """The issues about the guess; complete once all rows were examined."""
        if not self.found.is_guess:
            return ()
        encoding = self.found.encoding
        samples = " / ".join(f"“{_short(cell)}”" for cell in self._samples()) or "•••"
        rival = None if self.found.by_header or not self._is_sent else self._rival()
        if rival is None and encoding == "utf-8":
            return ()
        if rival is None:
            return (issue("file.encoding_guessed", encoding=encoding, samples=samples),)
        sample = next(iter(self._texts), "")
        return (
            issue(
                "file.encoding_doubtful",
                encoding=encoding,
                sample=_short(sample) or "•••",
                other=rival,
                other_sample=_short(reread(sample, encoding, rival) or "") or "•••",
            ),
        )

    def _samples(self) -> Iterator[str]:
        """Two cells to show: ones that are sent, else headers, else any."""
        headers = (header for header in self.headers if not header.isascii())
        open_cells = () if self._has_secret() else self._cells
        found = dict.fromkeys((*self._texts, *headers, *open_cells))
        yield from list(found)[:_SHOWN]

    def _has_secret(self) -> bool:
        """Whether a column holds secrets, or its header is similar to the name of one that does."""
        if any(setting is not None and setting.secret for setting in self._settings):
            return True
        secret = [fold(s) for c in self.endpoint.columns if c.secret for s in c.spellings()]
        from difflib import get_close_matches

        return any(get_close_matches(fold(h), secret, n=1, cutoff=_SIMILAR) for h in self.headers)

    def _rival(self) -> str | None:
        """Another plausible encoding; None if the cells confirm the guess."""
        encoding, whole = self.found.encoding, " ".join(self._cells)
        if encoding == "utf-8":
            return DEFAULT_ENCODING if could_be_legacy(self._cells) else None
        made = {other: self._reread_cells(other) for other in GUESSED_AMONG if other != encoding}
        rivals = {other: text for other, text in made.items() if text is not None}
        if (
            not any(map(plausibility.is_japanese, (whole, *rivals.values())))
            and not self._has_sane_words()
        ):
            best = max((chinese_score(text, other) for other, text in rivals.items()), default=0)
            if chinese_score(whole, encoding) >= _CERTAIN + max(best, 0):
                return None
        likeliest = max(
            rivals, key=lambda o: plausibility.everyday(rivals[o], o).share, default=None
        )
        return likeliest or (DEFAULT_ENCODING if encoding != DEFAULT_ENCODING else "big5")

    def _has_sane_words(self) -> bool:
        """Whether the cells have only well-formed words in a single-byte encoding, too."""
        readings = (self._reread_cells(other) for other in (*SINGLE_BYTE, *NEVER_GUESSED))
        return any(made is not None and plausibility.are_sane_words(made) for made in readings)

    def _reread_cells(self, other: str) -> str | None:
        """All cells read in another encoding; None if it does not fit or changes nothing."""
        made = [reread(cell, self.found.encoding, other) for cell in self._cells]
        if None in made or made == list(self._cells):
            return None
        return " ".join(cell for cell in made if cell)


def _short(cell: str) -> str:
    line = " ".join(cell.split())
    return line if len(line) <= _LONGEST_SHOWN else f"{line[:_LONGEST_SHOWN]}…"
