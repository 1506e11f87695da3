"""The types an endpoint is declared with.

A declaration (`endpoints/webcast.py`) states each fact once; loader, validator, planner, template,
schema, README, sandbox and dispatcher derive from it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from typing import Final

from bulkcast.headers import HeaderIndex, fold
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
        return {header: self.by_key[key] for header, key in self._headers.by_header.items()}

    @cached_property
    def by_code(self) -> Mapping[int, ReplyCode]:
        """Reply code → its declaration."""
        return {reply.code: reply for reply in self.replies}

    @cached_property
    def by_cause(self) -> Mapping[Cause, int]:
        """Cause → the reply code for it."""
        return {reply.cause: reply.code for reply in self.replies if reply.cause}

    @cached_property
    def _headers(self) -> HeaderIndex:
        spellings = {column.key: tuple(column.spellings()) for column in self.columns}
        return HeaderIndex(spellings, self.ambiguous_headers)

    def column_for(self, header: str) -> Setting | None:
        """The column `header` names, or None; a key in its exact spelling always names itself."""
        key = self._headers.key_for(header)
        return None if key is None else self.by_key[key]

    def candidates(self, header: str) -> tuple[str, ...]:
        """The keys that `header` could mean if there are several; else empty."""
        return self._headers.candidates(header)

    def mapped_column(self, header: str, mapping: Mapping[str, str]) -> Setting | None:
        """The column `header` stands for; `mapping` (folded header → setting) comes first."""
        return self.column_for(mapping.get(fold(header), "")) or self.column_for(header)
