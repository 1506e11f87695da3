"""The types an endpoint is declared with, and how headers are matched to its settings.

A declaration (`endpoints/webcast.py`) states each fact once; loader, validator, planner, template,
schema, README, sandbox and dispatcher derive from it.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from typing import Final

from bulkcast.header_hints import SIMPLIFIED, bare_names, names_in_brackets
from bulkcast.model import ReplyClass, Severity

INT64_MAX: Final = 2**63 - 1
"""The vendor types its ids Int64 in its message docs; no narrower bound is published."""

CLEAR_WORDS: Final = ("(clear)", "清空")
"""The only cell texts that empty a text or a list; a blank cell leaves it unchanged."""

RESULT_PREFIX: Final = "bulkcast_"
"""Start of the headers of result columns; such columns are never data and always replaced."""


def is_result_column(header: str) -> bool:
    """Whether `header` is that of a column written by an earlier run."""
    return header.strip().casefold().startswith(RESULT_PREFIX)


def fold(text: str) -> str:
    r"""The form in which headers and words are compared.

    Removes differences of NFKC, case, white space, underscores, zero-width marks, traditional
    characters, and the `*` of a required column.

    >>> fold("Activity ID *\n活動 ID"), fold("ｒｅｃｏｒｄ_State")
    ('activityid活动id', 'recordstate')
    """
    folded = unicodedata.normalize("NFKC", text).casefold().translate(SIMPLIFIED)
    lines = (line.rstrip().rstrip("*") for line in folded.splitlines())
    kept = (c for c in "".join(lines) if not c.isspace() and c != "_")
    return "".join(c for c in kept if unicodedata.category(c) != "Cf" and c not in _PRESENTATION)


_PRESENTATION: Final = "\ufe0e\ufe0f"
"""Variation selectors, which telephones add to a sign such as ✔."""
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

# ------------------------------------------------------------------ settings


@dataclass(frozen=True, slots=True)
class Label:
    """A text in English and Chinese."""

    en: str
    zh: str

    @property
    def both(self) -> str:
        """Both in one cell, English first."""
        return self.pair("en")

    def pair(self, lang: str) -> str:
        """Both in one cell, as the template's drop-downs show them, the one in `lang` first."""
        return " ".join(self.ordered(lang))

    def ordered(self, lang: str) -> tuple[str, str]:
        """Both wordings, the one in `lang` first."""
        return (self.zh, self.en) if lang.startswith("zh") else (self.en, self.zh)

    def say(self, lang: str) -> str:
        """The wording in `lang`, a language tag; English for any but Chinese."""
        return self.zh if lang.startswith("zh") else self.en


@dataclass(frozen=True, slots=True)
class Choice:
    """One allowed value of a setting, and the words a sheet may use for it."""

    value: int
    label: Label
    words: tuple[str, ...] = ()

    def with_words(self, *words: str) -> "Choice":
        """The same choice with more words for it."""
        return replace(self, words=(*self.words, *words))

    def without_words(self, *words: str) -> "Choice":
        """The same choice without some of its words."""
        return replace(self, words=tuple(word for word in self.words if word not in words))

    def spellings(self) -> Iterator[str]:
        """Every accepted spelling, unfolded; the English template writes the third one."""
        yield str(self.value)
        yield self.label.en
        yield self.label.both
        yield self.label.zh
        yield self.label.pair("zh")
        # Users copy these from instructions and messages, which list choices this way.
        yield f"{self.value} {self.label.en}"
        yield f"{self.value} {self.label.zh}"
        yield f"{self.value} ({self.label.both})"
        yield from self.words


OFF: Final = Choice(
    0,
    Label("Off", "关"),
    (
        *("no", "n", "false", "disable", "disabled", "不", "否", "无", "無", "错", "錯", "No 否"),
        *("关闭", "关掉", "已关闭", "關", "關閉", "禁用", "已禁用", "停用", "已停用"),
        *("未启用", "未开启", "不启用", "不开启", "不打开", "不开", "不要开"),
        *("不用", "不使用", "不要", "不需要", "不需", "无需", "無需"),
        *("không", "tắt", "아니오", "아니요", "いいえ", "オフ"),
        *("×", "✗", "✘", "✕", "✖", "❌", "☐"),
    ),
)
ON: Final = Choice(
    1,
    Label("On", "开"),
    (
        *("yes", "y", "true", "enable", "enabled", "是", "是的", "有", "对", "對", "Yes 是"),
        *("开启", "已开启", "打开", "已打开", "启用", "已启用", "開", "開啟"),
        *("使用", "要", "要开", "需要", "需"),
        *("có", "bật", "예", "네", "はい", "オン"),
        *("√", "✓", "✔", "✅", "☑"),
    ),
)
"""Without words and signs that some use for the opposite, such as ☒, x and v."""


@dataclass(frozen=True, slots=True)
class IdKind:
    """An id: a positive integer up to Int64, written as ASCII digits in a sheet."""


@dataclass(frozen=True)
class ChoiceKind:
    """An integer from a published list; a switch is the list Off, On."""

    choices: tuple[Choice, ...] = (OFF, ON)

    @cached_property
    def by_word(self) -> Mapping[str, int]:
        """Folded spelling → value."""
        return {fold(word): c.value for c in self.choices for word in c.spellings()}


@dataclass(frozen=True, slots=True)
class IntegerKind:
    """A non-negative integer whose meaning the vendor has not published: passed through."""


@dataclass(frozen=True, slots=True)
class TextKind:
    """A text, sent exactly as it is in the cell."""

    cut_at: int | None = None
    """Characters (code points) at which ClassIn silently cuts similar fields."""
    secret: bool = False
    """Whether its value is masked wherever it is shown."""


@dataclass(frozen=True, slots=True)
class IdListKind:
    """A list of ids: one array of integers in the body, outside the signature."""


@dataclass(frozen=True, slots=True)
class MomentKind:
    """A point in time: Excel date, ISO text or Unix seconds; read, never sent."""


@dataclass(frozen=True, slots=True)
class NameKind:
    """The name of a profile in config.toml; read, never sent."""


Kind = IdKind | ChoiceKind | IntegerKind | TextKind | IdListKind | MomentKind | NameKind


class Role(Enum):
    """What a column is for."""

    TARGET = "names the classroom"
    CONTEXT = "goes with the target"
    SETTING = "is set"
    SCHEDULE = "is read, never sent"
    INSTITUTION = "says for whom the row is, never sent"


class Lock(Enum):
    """When ClassIn stops accepting a setting."""

    NEVER = "no time limit is known"
    BEFORE_CLASS = "locked from 20 minutes before class"
    UNLESS_RECORDED = "locked like recording, unless the class is recorded"


@dataclass(frozen=True, slots=True)
class Setting:
    """One column of the sheet and, but for schedule and institution, one body parameter."""

    key: str
    kind: Kind
    label: Label
    help: Label
    role: Role = Role.SETTING
    aliases: tuple[str, ...] = ()
    lock: Lock = Lock.NEVER
    vendor_undefined: Label | None = None
    """What the vendor leaves undefined about it; None if its page says all that is needed."""
    billed: Label | None = None
    """The unit ClassIn bills when it is on; None if it is not known to be billed."""
    sources: tuple[str, ...] = ()
    """Sources of facts that are not on the endpoint's own page."""

    @property
    def secret(self) -> bool:
        """Whether its value is masked wherever it is shown."""
        return isinstance(self.kind, TextKind) and self.kind.secret

    @property
    def clearable(self) -> bool:
        """Whether `(clear)` means something in its cells."""
        return isinstance(self.kind, TextKind | IdListKind)

    def spellings(self) -> Iterator[str]:
        """Every header that names this column, unfolded; its key comes first."""
        yield self.key
        yield self.label.en
        yield self.label.zh
        yield self.label.both
        yield self.label.pair("zh")
        yield from self.aliases


# ------------------------------------------------------------------ cross-field rules


@dataclass(frozen=True, slots=True)
class Clash:
    """`key` with one of `values` contradicts `other` with one of `other_values`."""

    code: str
    severity: Severity
    key: str
    values: frozenset[int]
    other: str
    other_values: frozenset[int]


@dataclass(frozen=True, slots=True)
class Together:
    """ClassIn treats `keys` as one set: a row that gives only some of them is suspicious."""

    code: str
    severity: Severity
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Needs:
    """Any of `keys` given and not empty (0, blank text, empty list) needs `other` to be `value`."""

    code: str
    severity: Severity
    keys: tuple[str, ...]
    other: str
    value: int


@dataclass(frozen=True, slots=True)
class TooFew:
    """`key` with one of `values` needs `least` of `others` on; blank ones may be on already."""

    code: str
    severity: Severity
    key: str
    values: frozenset[int]
    others: tuple[str, ...]
    least: int


Rule = Clash | Together | Needs | TooFew


# ------------------------------------------------------------------ replies and limits


class Cause(Enum):
    """Why ClassIn gives a reply code, for the codes that the sandbox gives."""

    APPLIED = "applied"
    MALFORMED = "unknown keys, wrong types, no settings"
    WRONG_SIGNATURE = "SID and secret do not belong together"
    WRONG_STAMP = "the stamp is too far off the server's clock"
    NO_STAMP = "the header with the stamp is missing"
    TOO_OFTEN = "more requests than the limit allows"
    OTHER_INSTITUTION = "the classroom is another institution's"
    DELETED = "the classroom has been deleted"
    OTHER_COURSE = "the classroom is another course's"
    STARTS_SOON = "too shortly before class for the setting"
    ENDED = "the class has ended"
    NOT_DUAL_TEACHER = "the setting is for dual-teacher sub-classrooms"
    MISMATCH = "settings contradict each other"


@dataclass(frozen=True, slots=True)
class ReplyCode:
    """One reply code, its meaning, and what the user can do about it."""

    code: int
    kind: ReplyClass
    meaning: Label
    fix: Label
    features: tuple[str, ...] = ()
    """For institution codes: the settings the institution cannot switch on."""
    on_page: bool = False
    """Whether the endpoint's own page lists it; otherwise a sibling's does."""
    ambiguous: bool = False
    """Whether the setting may have been applied although the code means failure."""
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """How often the endpoint may be called."""

    calls: int
    per_s: float
    source: str


@dataclass(frozen=True)
class Endpoint:
    """One API call, declared."""

    name: str
    path: str
    columns: tuple[Setting, ...]
    """In the order in which template, README and body list them."""
    ambiguous_headers: Mapping[str, tuple[str, ...]]
    """Folded header → the keys it could mean; the exact spelling of a key is never ambiguous."""
    rules: tuple[Rule, ...]
    replies: tuple[ReplyCode, ...]
    limit: Limit
    lock_before_s: int
    """Seconds before class from which on `Lock.BEFORE_CLASS` settings are refused."""
    harmless: tuple[tuple[str, int], ...]
    """A body that ClassIn always refuses; the reply tests clock and credentials."""

    @cached_property
    def by_key(self) -> Mapping[str, Setting]:
        """Key → column."""
        return {column.key: column for column in self.columns}

    @cached_property
    def parameters(self) -> tuple[Setting, ...]:
        """The columns that are body parameters."""
        unsent = {Role.SCHEDULE, Role.INSTITUTION}
        return tuple(c for c in self.columns if c.role not in unsent)

    @cached_property
    def institution(self) -> Setting | None:
        """The column that says for whom a row is."""
        return next((c for c in self.columns if c.role is Role.INSTITUTION), None)

    @cached_property
    def targets(self) -> tuple[Setting, ...]:
        """The columns that can name the classroom; the first one given wins."""
        return tuple(c for c in self.columns if c.role is Role.TARGET)

    @cached_property
    def settings(self) -> tuple[Setting, ...]:
        """The columns that are set."""
        return tuple(c for c in self.columns if c.role is Role.SETTING)

    @cached_property
    def by_header(self) -> Mapping[str, Setting]:
        """Folded header → column, for every header that is not ambiguous."""
        named = {fold(s): column for column in self.columns for s in column.spellings()}
        return {header: c for header, c in named.items() if header not in self.ambiguous_headers}

    @cached_property
    def by_code(self) -> Mapping[int, ReplyCode]:
        """Reply code → its declaration."""
        return {reply.code: reply for reply in self.replies}

    @cached_property
    def by_cause(self) -> Mapping[Cause, int]:
        """Cause → the reply code for it."""
        return {reply.cause: reply.code for reply in self.replies if reply.cause}

    def column_for(self, header: str) -> Setting | None:
        """The column `header` names, or None; a key in its exact spelling always names itself."""
        if len(header) > _LONGEST_CACHED:
            return self._column_for(header)
        if header not in self._columns_by_header:
            if len(self._columns_by_header) >= _CACHED:
                self._columns_by_header.clear()
            self._columns_by_header[header] = self._column_for(header)
        return self._columns_by_header[header]

    def mapped_column(self, header: str, mapping: Mapping[str, str]) -> Setting | None:
        """The column `header` stands for; `mapping` (folded header → setting) comes first."""
        return self.column_for(mapping.get(fold(header), "")) or self.column_for(header)

    @cached_property
    def _columns_by_header(self) -> dict[str, Setting | None]:
        """Header → column, cached: a CSV file is tried with many encodings and delimiters."""
        return {}

    def _column_for(self, header: str) -> Setting | None:
        exact = self.by_key.get(header.strip().rstrip("*").rstrip())
        named = exact or self.by_header.get(fold(header))
        if named or self.candidates(header):
            return named
        bracketed = [
            c for part in names_in_brackets(header) if (c := self._column_in_brackets(part))
        ]
        if bracketed and self._could_be(header):
            return bracketed[0]
        # Hints are removed only if the header as it stands names no column.
        names = [self.by_header.get(fold(name)) for name in bare_names(header)]
        return next(filter(None, names), None) or self._named_twice(header)

    def candidates(self, header: str) -> tuple[str, ...]:
        """The keys that `header` could mean if there are several; else empty."""
        if fold(header) in self.by_header or header.strip().rstrip("*").rstrip() in self.by_key:
            return ()
        bare = list(map(fold, (header, *bare_names(header))))
        could = self._could_be(header)
        named = next((c.key for b in bare if (c := self.by_header.get(b))), None)
        inner = [self._column_in_brackets(part) for part in names_in_brackets(header)]
        others = tuple(dict.fromkeys(column.key for column in inner if column))
        if could:
            return () if len(others) == 1 and others[0] in could else could
        of_parts = (named,) if named else self._of_parts(header)
        several = tuple(dict.fromkeys(filter(None, (*of_parts, *others))))
        return several if len(several) > 1 else ()

    def _named_twice(self, header: str) -> Setting | None:
        """The column that each part of a header names, as in `Recording / 云端录课`."""
        keys = self._of_parts(header)
        return self.by_key[keys[0]] if len(keys) == 1 else None

    def _of_parts(self, header: str) -> tuple[str, ...]:
        """The key that all parts of a header name, or the keys of parts that name different ones.

        Empty if a part names no setting: `录课备注` is a remark on recordings.
        """
        folded = fold(header)
        if not any(name in folded for name in (*self.by_header, *self.ambiguous_headers)):
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
                    return tuple(key for key in self.by_key if key in named)
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
            if column := self.by_header.get(name):
                return frozenset({column.key})
            if keys := self.ambiguous_headers.get(name):
                return frozenset(keys)
        return frozenset()

    def _could_be(self, header: str) -> tuple[str, ...]:
        names = map(fold, (header, *bare_names(header)))
        return next((k for name in names if (k := self.ambiguous_headers.get(name))), ())

    def _column_in_brackets(self, part: str) -> Setting | None:
        return self.by_key.get(part) or self.by_header.get(fold(part))
