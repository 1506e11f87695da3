"""How far a guessed encoding can be trusted, by the cells that it makes.

Bytes of one East Asian encoding nearly always make characters in another one, too.  What tells
them apart is which: ordinary Chinese consists of everyday characters in its own encoding and of
rare ones, kana and Cyrillic in another.  A guess that what would be sent depends on, and that
nothing bears out, is an error: what a cell meant is never guessed.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final

from bulkcast.catalogue import Endpoint, Setting, TextKind, fold
from bulkcast.loader.frequent import chineseness
from bulkcast.loader.table import Cells
from bulkcast.model import Issue
from bulkcast.problems import issue

GUESSED_AMONG: Final = (
    *("gb18030", "big5", "cp950", "cp949", "cp932", "euc_jp", "cp1258", "cp1252", "cp1251"),
)
"""What spreadsheet programs in the countries of this API's users save "CSV" in.  Others would fit
any bytes at all and turn a damaged file into a readable one of nonsense."""
OF_LETTERS: Final = ("cp1258", "cp1252", "cp1251")
"""Those with a byte for each character; no Chinese is made of them."""
ALSO_KNOWN: Final = (
    *("cp1250", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp874", "koi8_r", "cp866"),
    *("mac_roman", "mac_cyrillic", "iso8859_2", "iso8859_5", "iso8859_7", "iso8859_15"),
)
"""Nothing is read in them unasked, but a header that they make as well bears out no other one."""
HOME_ENCODING: Final = "gb18030"
"""What an unmarked file of this API's users is most often in; it includes GBK and GB2312."""

_ENOUGH: Final = 4096
"""Different cells that are looked at; more of them say nothing new."""
_MOSTLY_EVERYDAY: Final = 0.8
"""Share of everyday characters.  Of Big5 read as GBK less than half are; names of people, which
have the rarest characters, stay above it where they stand among other words."""
_LONG_ENOUGH: Final = 8
"""Characters from which on it is no accident that all of them are everyday ones elsewhere, too."""
_BORNE_OUT: Final = 7.0
"""How Chinese a text is that can hardly be anything else: of a thousand texts that are none, read
so by accident, one comes near it."""
_ORDINARY_FROM: Final = 6
"""Characters from which on it is no accident that all of them are of the home encoding's core."""
_TWO_BYTES: Final = "\u07ff"
"""The last character that has two bytes in UTF-8."""
_NEAR: Final = 0.6
"""How like a secret's name another one is that may be a slip of the pen for it; 1 is the same."""
_SHOWN: Final = 2
_LONGEST_SHOWN: Final = 24


@dataclass(frozen=True, slots=True)
class Guess:
    """A guessed encoding, before any cell was looked at."""

    encoding: str
    by_header: bool
    """Whether the header has words that only this encoding makes of its bytes."""


@dataclass(slots=True)
class Doubts:
    """The cells of a file of which the encoding was guessed."""

    guess: Guess
    headers: Sequence[str]
    endpoint: Endpoint
    mapping: Mapping[str, str]
    _settings: list[Setting | None] = field(init=False)
    _cells: dict[str, None] = field(default_factory=dict)
    """Different cells that not all encodings make the same of, as they were met."""
    _texts: dict[str, None] = field(default_factory=dict)
    """Those of them that would be sent, but for secret ones."""
    _is_sent: bool = False

    def __post_init__(self) -> None:
        mapped = {fold(header): key for header, key in self.mapping.items()}
        self._settings = [
            self.endpoint.by_key.get(mapped.get(fold(header), ""))
            or self.endpoint.column_for(header)
            for header in self.headers
        ]
        self._cells.update((header, None) for header in self.headers if not header.isascii())

    def see(self, rows: Sequence[Cells]) -> None:
        """Look at some rows."""
        for row in rows:
            for place, cell in enumerate(row):
                if isinstance(cell, str) and not cell.isascii():
                    self._see(cell, place)

    def _see(self, cell: str, place: int) -> None:
        setting = self._settings[place] if place < len(self._settings) else None
        if len(self._cells) < _ENOUGH:
            self._cells[cell] = None
        if setting and isinstance(setting.kind, TextKind):
            self._is_sent = True
            if not setting.secret and len(self._texts) < _SHOWN:
                self._texts[cell] = None

    def issues(self) -> tuple[Issue, ...]:
        """What to say of the guess; complete once all rows were seen."""
        encoding = self.guess.encoding
        samples = " / ".join(f"“{_short(cell)}”" for cell in self._samples()) or "•••"
        rival = None if self.guess.by_header or not self._is_sent else self._rival()
        if rival is None and encoding == "utf-8":
            return ()
        if rival is None:
            return (issue("file.encoding_guessed", encoding=encoding, samples=samples),)
        seen = next(iter(self._texts), "")
        return (
            issue(
                "file.encoding_doubtful",
                encoding=encoding,
                sample=_short(seen) or "•••",
                other=rival,
                other_sample=_short(_made(seen, encoding, rival) or "") or "•••",
            ),
        )

    def _samples(self) -> Iterator[str]:
        """Two cells: such that are sent, else headers, else any."""
        headers = (header for header in self.headers if not header.isascii())
        open_cells = () if self._has_secret() else self._cells
        found = dict.fromkeys((*self._texts, *headers, *open_cells))
        yield from list(found)[:_SHOWN]

    def _has_secret(self) -> bool:
        """Whether a column holds secrets, or may by the look of its name."""
        if any(setting is not None and setting.secret for setting in self._settings):
            return True
        secret = [fold(s) for c in self.endpoint.columns if c.secret for s in c.spellings()]
        return any(get_close_matches(fold(h), secret, n=1, cutoff=_NEAR) for h in self.headers)

    def _rival(self) -> str | None:
        """Another encoding that may as well be meant; None where the guess is borne out."""
        encoding, whole = self.guess.encoding, " ".join(self._cells)
        if encoding == "utf-8":
            return HOME_ENCODING if perhaps_home(self._cells) else None
        made = {other: self._made_by(other) for other in GUESSED_AMONG if other != encoding}
        rivals = {other: text for other, text in made.items() if text is not None}
        if not any(map(_is_japanese, (whole, *rivals.values()))) and not self._is_of_an_alphabet():
            best = max((chineseness(text, other) for other, text in rivals.items()), default=0)
            if chineseness(whole, encoding) >= _BORNE_OUT + max(best, 0):
                return None
        likeliest = max(rivals, key=lambda o: _everyday(rivals[o], o).share, default=None)
        return likeliest or (HOME_ENCODING if encoding != HOME_ENCODING else "big5")

    def _is_of_an_alphabet(self) -> bool:
        """Whether all words are such in an encoding of letters, too: none, one or only capitals."""
        readings = (self._made_by(other) for other in (*OF_LETTERS, *ALSO_KNOWN))
        return any(made is not None and _is_of_sane_words(made) for made in readings)

    def _made_by(self, other: str) -> str | None:
        """All cells as another encoding has them; None where it does not fit or changes nothing."""
        made = [_made(cell, self.guess.encoding, other) for cell in self._cells]
        if None in made or made == list(self._cells):
            return None
        return " ".join(cell for cell in made if cell)


def _made(cell: str, encoding: str, other: str) -> str | None:
    try:
        return cell.encode(encoding).decode(other)
    except UnicodeError:
        return None


def _short(cell: str) -> str:
    line = " ".join(cell.split())
    return line if len(line) <= _LONGEST_SHOWN else f"{line[:_LONGEST_SHOWN]}…"


@dataclass(frozen=True, slots=True)
class _Everyday:
    n: int
    """Characters that are not ASCII."""
    share: float
    """Of those, how many are everyday ones."""


def perhaps_home(cells: Iterable[str]) -> bool:
    """Whether cells read as UTF-8 may be in the home encoding, as `ƽʱ` is 平时.

    Most characters of the home encoding are letters of two bytes in UTF-8 where they can be read so
    at all.  What no accident makes shows that UTF-8 is meant: an accented letter in a Latin word,
    a word in the letters of one alphabet, Chinese, Korean.
    """
    odd = [cell for cell in cells if not cell.isascii()]
    return bool(odd) and sum(map(_is_utf8, odd)) * 2 <= len(odd)


def _is_utf8(cell: str) -> bool:
    """Whether a cell that was read as UTF-8 can hardly be meant as anything else."""
    odd = "".join(c for c in cell if not c.isascii())
    made = _made(odd, "utf-8", HOME_ENCODING)
    is_home = made is not None and all(map(_is_of_core, made))
    if long := [c for c in odd if c > _TWO_BYTES]:
        if not all(map(_IS_WRITTEN, long)) or sum(map(_is_usual, long)) * 2 < len(long):
            return False
        share, other = (_everyday(t or "", HOME_ENCODING).share for t in (odd, made))
        return not is_home or other < share
    plain = [c for c in cell if c.isascii()]
    n_plain = sum(map(str.isalpha if is_home else str.isalnum, plain))
    if all(map(_IS_LATIN, odd)) and n_plain >= max(_LATIN_FROM, len(odd)):
        return True
    letters = [c for c in odd if c.isalpha()]
    return not is_home and len(letters) >= _ALPHABETIC_FROM and _is_of_one_alphabet(odd)


def _is_usual(character: str) -> bool:
    """Whether a character is no rarity: an accident makes mostly such."""
    if not _IS_EAST_ASIAN(character):
        return True
    return _is_of_core(character) or any(test(character) for test in _EVERYDAY.values())


def _is_of_one_alphabet(text: str) -> bool:
    """Whether the letters are those of one alphabet that is written today."""
    return any(all(map(one, text)) for one in _ALPHABETS)


def _among(ranges: str) -> Callable[[str], bool]:
    """Whether a character stands in a class of regular expressions."""
    found = re.compile(f"[{ranges}]").match
    return lambda character: found(character) is not None


_LATIN: Final = "\u00a0-\u017f\u01a0\u01a1\u01af\u01b0\u0218-\u021b\u0300-\u0323"
_IS_LATIN: Final = _among(_LATIN)
"""Letters and signs that languages in Latin script are written with; the rarer ones of phonetics
and of old alphabets are what an accident makes."""
_IS_WRITTEN: Final = _among(
    "\u0e00-\u0e5b\u0900-\u0dff\u1e00-\u1fff\u2000-\u22ff\u2460-\u27bf\u3000-\u30ff"
    "\u3400-\u9fff\uac00-\ud7a3\ufe0f\ufeff\uff00-\uffee\U0001f000-\U0001faff"
)
"""Of three bytes and more in UTF-8: what is written today, and no private or broken character."""
_IS_EAST_ASIAN: Final = _among("\u3400-\u9fff\uac00-\ud7a3")
_ALPHABETS: Final = (
    _IS_LATIN,
    _among("\u0370-\u03ff\u00a0-\u00bf"),
    _among("\u0400-\u045f\u0490-\u04e9\u00a0-\u00bf"),
    _among("\u0591-\u05f4\u00a0-\u00bf"),
    _among("\u060c-\u06d5\u06f0-\u06f9\u00a0-\u00bf"),
    _among("\u0531-\u058a\u00a0-\u00bf"),
)
_LATIN_FROM: Final = 2
"""Plain letters beside accented ones."""
_ALPHABETIC_FROM: Final = 3


def oddness(encoding: str, texts: Mapping[str, str]) -> tuple[float, int]:
    """How unlikely a file is in `encoding`, of which `texts` are what each encoding makes.

    Frequent Chinese is the likeliest; where Chinese of home is as likely as anything else, it is.
    """
    text = texts[encoding]
    shown = -max(chineseness(text, encoding), 0)
    found = _everyday(text, encoding)
    if encoding != HOME_ENCODING:
        return shown, 1 if encoding in _EVERYDAY and found.share >= _MOSTLY_EVERYDAY else 2
    rivals = _EVERYDAY.keys() & texts.keys() - {HOME_ENCODING}
    others = (_everyday(texts[rival], rival) for rival in rivals)
    is_alone = not any(other.share == 1 and other.n >= _LONG_ENOUGH for other in others)
    return shown, 0 if is_alone and _looks_like_home(text) else 1


def _looks_like_home(text: str) -> bool:
    """Whether a text is what Chinese looks like that was saved in the home encoding."""
    odd = [c for c in text if not c.isascii()]
    is_common = _everyday(text, HOME_ENCODING).share >= _MOSTLY_EVERYDAY
    return is_common or (len(odd) >= _ORDINARY_FROM and all(map(_is_of_core, odd)))


def _is_of_sane_words(text: str) -> bool:
    odd = [word for word in _WORD_SIGNS.sub(" ", text).split() if not word.isascii()]
    return all(w.isalpha() and (w[1:].islower() or w.isupper() or w == w.lower()) for w in odd)


def _is_japanese(text: str) -> bool:
    odd = [c for c in text if not c.isascii()]
    return bool(odd) and len(_KANA.findall(text)) * 3 >= len(odd)


def _everyday(text: str, encoding: str) -> _Everyday:
    is_everyday = _EVERYDAY.get(encoding, str.isalpha)
    found = [is_everyday(c) for c in text if not c.isascii()]
    if encoding in _JAPANESE and not _KANA.search(text):
        return _Everyday(len(found), 0.0)
    return _Everyday(len(found), sum(found) / len(found) if found else 0.0)


def _in(encoding: str, *ranges: tuple[int, int]) -> Callable[[str], bool]:
    """Whether a character has two bytes in `encoding`, of which the first lies in a range."""

    def test(character: str) -> bool:
        try:
            code = character.encode(encoding)
        except UnicodeEncodeError:
            return False
        return len(code) == 2 and any(first <= code[0] <= last for first, last in ranges)

    return test


_is_of_core: Final = _in("gb2312", (0xA1, 0xA1), (0xA3, 0xA3), (0xB0, 0xF7))
"""Both levels of GB 2312."""

_JAPANESE: Final = frozenset({"cp932", "euc_jp"})
_WORD_SIGNS: Final = re.compile("[-!-/:-@«»“”„’…–—\u00a0]")
"""What stands between words."""
_KANA: Final = re.compile("[\u3041-\u30ff]")
"""Without which nothing longer than a name is written in Japanese."""
_EVERYDAY: Final[Mapping[str, Callable[[str], bool]]] = {
    # The first level of GB 2312 has the 3,755 characters in daily use, that of Big5 5,401, that of
    # JIS X 0208 2,965, KS X 1001 the 2,350 syllables; before them come punctuation, full-width
    # letters and kana.
    "gb18030": _in("gb2312", (0xA1, 0xA1), (0xA3, 0xA3), (0xB0, 0xD7)),
    "big5": _in("big5", (0xA1, 0xA2), (0xA4, 0xC6)),
    "cp950": _in("big5", (0xA1, 0xA2), (0xA4, 0xC6)),
    "cp932": _in("euc_jp", (0xA1, 0xA1), (0xA3, 0xA5), (0xB0, 0xCF)),
    "euc_jp": _in("euc_jp", (0xA1, 0xA1), (0xA3, 0xA5), (0xB0, 0xCF)),
    "cp949": _in("euc_kr", (0xA1, 0xA3), (0xB0, 0xC8)),
}
