"""Names in a header without what stands beside them: numbers, brackets, required marks, 是否."""

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

SIMPLIFIED: Final = str.maketrans(
    "兩義雲體關動單啟啓員場學開錄録戶時權現碼簡類級紹網節觀課許設選閉間頁",
    "两义云体关动单启启员场学开录录户时权现码简类级绍网节观课许设选闭间页",
)
"""Traditional → simplified, for the characters in declared names; Big5 sheets use traditional."""


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
    text = unicodedata.normalize("NFKC", header).casefold().translate(SIMPLIFIED)
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
