"""How far a guessed encoding can be trusted, by the cells that it makes.

Bytes of one East Asian encoding nearly always make characters in another one, too.  What tells
them apart is which: ordinary Chinese consists of everyday characters in its own encoding and of
rare ones, kana and Cyrillic in another.  A guess that what would be sent depends on, and that
nothing bears out, is an error: what a cell meant is never guessed.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final

from bulkcast.catalogue import Endpoint, Setting, TextKind, fold
from bulkcast.loader.table import Cells
from bulkcast.model import Issue
from bulkcast.problems import issue

GUESSED_AMONG: Final = (
    *("gb18030", "big5", "cp950", "cp949", "cp932", "euc_jp", "cp1258", "cp1252", "cp1251"),
)
"""What spreadsheet programs in the countries of this API's users save "CSV" in.  Others would fit
any bytes at all and turn a damaged file into a readable one of nonsense."""
HOME_ENCODING: Final = "gb18030"
"""What an unmarked file of this API's users is most often in; it includes GBK and GB2312."""

_ENOUGH: Final = 4096
"""Different cells that are looked at; more of them say nothing new."""
_MOSTLY_EVERYDAY: Final = 0.8
"""Share of everyday characters.  Of Big5 read as GBK less than half are; names of people, which
have the rarest characters, stay above it where they stand among other words."""
_LONG_ENOUGH: Final = 8
"""Characters from which on it is no accident that all of them are everyday ones elsewhere, too."""
_TOO_SHORT: Final = 3
"""Characters up to which nobody can tell."""
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
        encoding, whole = self.guess.encoding, "".join(self._cells)
        if encoding == "utf-8":
            return HOME_ENCODING if perhaps_home(whole) else None
        own = _everyday(whole, encoding)
        rivals = {
            other: _everyday(text, other)
            for other in GUESSED_AMONG
            if other != encoding and (text := self._made_by(other)) is not None
        }
        if not rivals:
            return None
        best = max(rivals, key=lambda other: rivals[other].share)
        if encoding == HOME_ENCODING:
            is_borne_out = _looks_like_home(whole) and not rivals[best].is_as_likely
        else:
            is_borne_out = _MOSTLY_EVERYDAY <= own.share > rivals[best].share
        return None if is_borne_out else best

    def _made_by(self, other: str) -> str | None:
        """All cells as another encoding has them; None where it does not fit or changes nothing."""
        made = [_made(cell, self.guess.encoding, other) for cell in self._cells]
        if None in made or made == list(self._cells):
            return None
        return "".join(cell for cell in made if cell)


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

    @property
    def is_as_likely(self) -> bool:
        """Whether they may be meant, though they look like home in the home encoding."""
        return self.share == 1 and not _TOO_SHORT < self.n < _LONG_ENOUGH


def perhaps_home(text: str) -> bool:
    """Whether a text in UTF-8 may be a short one in the home encoding, as `һ` is of 一.

    Letters of no script that is written here, two bytes each, and not one with an accent.
    """
    odd = [c for c in text if not c.isascii()]
    if (
        not 0 < len(set(odd)) <= _TOO_SHORT
        or max(odd) > _TWO_BYTES
        or any(unicodedata.name(c, "")[:5] == "LATIN" for c in odd)
    ):
        return False
    made = _made("".join(odd), "utf-8", HOME_ENCODING)
    return made is not None and _looks_like_home(made)


def oddness(encoding: str, texts: Mapping[str, str]) -> int:
    """How unlikely a file is in `encoding`, of which `texts` are what each encoding makes; 0 to 2.

    Where Chinese of home is as likely as anything else, it is the likelier.
    """
    found = _everyday(texts[encoding], encoding)
    if encoding != HOME_ENCODING:
        return 1 if encoding in _EVERYDAY and found.share >= _MOSTLY_EVERYDAY else 2
    rivals = _EVERYDAY.keys() & texts.keys() - {HOME_ENCODING}
    others = (_everyday(texts[rival], rival) for rival in rivals)
    is_alone = not any(other.share == 1 and other.n >= _LONG_ENOUGH for other in others)
    return 0 if is_alone and _looks_like_home(texts[encoding]) else 1


def _looks_like_home(text: str) -> bool:
    """Whether a text is what Chinese looks like that was saved in the home encoding."""
    odd = [c for c in text if not c.isascii()]
    is_common = _everyday(text, HOME_ENCODING).share >= _MOSTLY_EVERYDAY
    return is_common or (len(odd) >= _ORDINARY_FROM and all(map(_is_of_core, odd)))


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
