"""Which setting a header names, also with numbers, brackets, required marks or 是否 beside it."""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

_SIMPLIFIED: Final = str.maketrans(
    "兩義雲體關動單啟啓員場學開錄録戶時權現碼簡類級紹網節觀課許設選閉間頁",
    "两义云体关动单启启员场学开录录户时权现码简类级绍网节观课许设选闭间页",
)
"""Traditional → simplified, for the characters in declared names; Big5 sheets use traditional."""


def fold(text: str) -> str:
    r"""The form in which headers and words are compared.

    Removes differences of NFKC, case, white space, underscores, zero-width marks, traditional
    characters, and the `*` of a required column.

    >>> fold("Activity ID *\n活動 ID"), fold("ｒｅｃｏｒｄ_State")
    ('activityid活动id', 'recordstate')
    """
    folded = unicodedata.normalize("NFKC", text).casefold().translate(_SIMPLIFIED)
    lines = (line.rstrip().rstrip("*") for line in folded.splitlines())
    kept = (c for c in "".join(lines) if not c.isspace() and c != "_")
    return "".join(c for c in kept if unicodedata.category(c) != "Cf" and c not in _PRESENTATION)


_PRESENTATION: Final = "\ufe0e\ufe0f"
"""Variation selectors, which telephones add to a sign such as ✔."""


# ------------------------------------------------------------------ names without hints

_OPENING: Final = "([{<【〔〖《〈「『«‹"
_CLOSING: Final = ")]}>】〕〗》〉」』»›"
"""Brackets after NFKC, which turns full-width and vertical ones into plain ones."""
_EDGES: Final = " \t\r\n\"'`´“”‘’„‟″′＂*※★☆●•·✱✳⁎∗!?:;,.、。，：；！？_-–—|/\\"
"""Quotation marks, required marks and other characters round a name."""
_LISTED: Final = re.compile(
    r"[❶-➓⓫-⓿]|(?:no\.?|q|第)?\s*\d+(?:\.\d+)*\s*[列项題题]?|[a-z](?=[.)、:])|[一二三四五六七八九十]+(?=[、.)])"
)
"""A list number or letter before a name."""
_BESIDE: Final = r"非必填|必填|选填|必选|可选|可空|required|mandatory|optional"
_ASKED: Final = r"(?:是否|要不要)(?:要|需要|需|允许|进行|开启|启用|打开|开通)?|开启|启用|enable"
_VALUES: Final = (
    r"(?:[0-9是否开关/=,;:、或|\s-]|启用|禁用|\byes\b|\bno\b|\bon\b|\boff\b"
    r"|\btrue\b|\bfalse\b|\b[yn]\b)+"
)
_BEFORE: Final = re.compile(rf"(?:{_BESIDE}|{_ASKED})")
_BEHIND: Final = re.compile(rf"(?:{_BESIDE}|是否(?:开启|启用|打开)?|开关|switch|吗|{_VALUES})\Z")


def bare_names(header: str) -> Iterator[str]:
    """Possible names in `header` without its hints: the most likely first, unfolded.

    Hints are brackets with their content, list numbers, quotation and required marks, and words
    such as 是否; the content of brackets is a name only if nothing else is left.

    >>> "云端录课" in set(bare_names("1.【必填】是否开启云端录课（0/1）"))
    True
    """
    text = unicodedata.normalize("NFKC", header).casefold().translate(_SIMPLIFIED)
    text = "".join(c for c in text if unicodedata.category(c) != "Cf")
    outside, inside = _split_brackets(text)
    names = [outside] if outside.strip(_EDGES) else inside
    for name in names:
        yield from _without_hints(name)


def names_in_brackets(header: str) -> tuple[str, ...]:
    """The texts in the brackets of `header`."""
    return tuple(filter(None, (part.strip(_EDGES) for part in _split_brackets(header)[1])))


def _split_brackets(text: str) -> tuple[str, list[str]]:
    """The text outside brackets, and the text in each outermost pair of brackets."""
    outside, inside, depth = "", [""], 0
    for character in unicodedata.normalize("NFKC", text):
        if character in _OPENING:
            depth += 1
            inside.append("")
        elif character in _CLOSING:
            outside += "" if depth else "."
            depth = max(depth - 1, 0)
        elif depth:
            inside[-1] += character
        else:
            outside += character
    return outside, inside


def _without_hints(name: str) -> Iterator[str]:
    """`name`, then the same with more and more hints removed from its ends."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        now = waiting.pop(0).strip(_EDGES)
        if not now or now in seen:
            continue
        seen.add(now)
        yield now
        ends = (p.match(now) for p in (_LISTED, _BEFORE))
        waiting.extend(now[found.end() :] for found in ends if found)
        if found := _BEHIND.search(now):
            waiting.append(now[: found.start()])
        if now.startswith("是否"):
            waiting.append(now[2:])


# ------------------------------------------------------------------ names of settings

_PARTS: Final = (
    re.compile(r"[a-z0-9]+|[^\W\d_a-z]+"),
    re.compile(r"[a-z0-9]+(?:[ \t]+[a-z0-9]+)*|[^\W\d_a-z]+"),
)
"""Splits a header into runs of one script.  The second pattern keeps words of one phrase together,
such as "Live playback", which is not a list of two settings."""
_MOST_PARTS: Final = 12
_CACHED: Final = 1024
_LONGEST_CACHED: Final = 4096
"""Headers whose columns are cached, and the longest header to cache; both bound the memory."""


class HeaderIndex:
    """Finds the setting that a header names."""

    def __init__(
        self, spellings: Mapping[str, Sequence[str]], ambiguous: Mapping[str, tuple[str, ...]]
    ) -> None:
        """`spellings` are each key's; `ambiguous`: folded header → the keys it could mean."""
        self._keys = dict.fromkeys(spellings)
        self._ambiguous = ambiguous
        named = {fold(s): key for key, each in spellings.items() for s in each}
        self.by_header = {header: key for header, key in named.items() if header not in ambiguous}
        """Folded header → key, for every header that is not ambiguous."""
        self._cached: dict[str, str | None] = {}
        """Header → key: a CSV file is tried with many encodings and delimiters."""

    def key_for(self, header: str) -> str | None:
        """The key of the setting `header` names; a key in its exact spelling names itself."""
        if len(header) > _LONGEST_CACHED:
            return self._key_for(header)
        if header not in self._cached:
            if len(self._cached) >= _CACHED:
                self._cached.clear()
            self._cached[header] = self._key_for(header)
        return self._cached[header]

    def _key_for(self, header: str) -> str | None:
        exact = header.strip().rstrip("*").rstrip()
        named = exact if exact in self._keys else self.by_header.get(fold(header))
        if named or self.candidates(header):
            return named
        bracketed = [
            key for part in names_in_brackets(header) if (key := self._key_in_brackets(part))
        ]
        if bracketed and self._could_be(header):
            return bracketed[0]
        # Hints are removed only if the header as it stands names no column.
        names = [self.by_header.get(fold(name)) for name in bare_names(header)]
        return next(filter(None, names), None) or self._named_twice(header)

    def candidates(self, header: str) -> tuple[str, ...]:
        """The keys that `header` could mean if there are several; else empty."""
        if fold(header) in self.by_header or header.strip().rstrip("*").rstrip() in self._keys:
            return ()
        bare = list(map(fold, (header, *bare_names(header))))
        could = self._could_be(header)
        named = next((key for b in bare if (key := self.by_header.get(b))), None)
        inner = [self._key_in_brackets(part) for part in names_in_brackets(header)]
        others = tuple(dict.fromkeys(filter(None, inner)))
        if could:
            return () if len(others) == 1 and others[0] in could else could
        of_parts = (named,) if named else self._of_parts(header)
        several = tuple(dict.fromkeys(filter(None, (*of_parts, *others))))
        return several if len(several) > 1 else ()

    def _named_twice(self, header: str) -> str | None:
        """The key that each part of a header names, as in `Recording / 云端录课`."""
        keys = self._of_parts(header)
        return keys[0] if len(keys) == 1 else None

    def _of_parts(self, header: str) -> tuple[str, ...]:
        """The key that all parts of a header name, or the keys of parts that name different ones.

        Empty if a part names no setting: `录课备注` is a remark on recordings.
        """
        folded = fold(header)
        if not any(name in folded for name in (*self.by_header, *self._ambiguous)):
            return ()
        for name in bare_names(header):
            for pattern in _PARTS:
                spans = [found.span() for found in pattern.finditer(name)][: _MOST_PARTS + 1]
                parts = self._covering(name, spans) if len(spans) <= _MOST_PARTS else ()
                agreed = frozenset[str].intersection(*parts) if len(parts) > 1 else ()
                if len(agreed) == 1:
                    return tuple(agreed)
                if len(parts) > 1 and pattern is _PARTS[-1]:
                    named = frozenset[str].union(*parts)
                    return tuple(key for key in self._keys if key in named)
        return ()

    def _covering(self, name: str, spans: Sequence[tuple[int, int]]) -> tuple[frozenset[str], ...]:
        """The keys each part of `name` could mean, longest parts first; empty if a part means none.

        `spans` are the positions of its words.
        """
        for n in range(len(spans), 0, -1):
            keys = self._keys_of(name[spans[0][0] : spans[n - 1][1]])
            if keys and n == len(spans):
                return (keys,)
            if keys and (rest := self._covering(name, spans[n:])):
                return (keys, *rest)
        return ()

    def _keys_of(self, part: str) -> frozenset[str]:
        for name in map(fold, (part, *bare_names(part))):
            if key := self.by_header.get(name):
                return frozenset({key})
            if keys := self._ambiguous.get(name):
                return frozenset(keys)
        return frozenset()

    def _could_be(self, header: str) -> tuple[str, ...]:
        names = map(fold, (header, *bare_names(header)))
        return next((k for name in names if (k := self._ambiguous.get(name))), ())

    def _key_in_brackets(self, part: str) -> str | None:
        return part if part in self._keys else self.by_header.get(fold(part))
