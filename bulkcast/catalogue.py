"""The words in which an endpoint is declared, and the questions a declaration answers by itself.

A declaration (`endpoints/webcast.py`) says each thing once; loader, validator, planner, template,
schema, README, sandbox and dispatcher derive from it.
"""

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Final

from bulkcast.model import ReplyClass, Severity

INT64_MAX: Final = 2**63 - 1
"""The vendor types its ids Int64 in its message docs; no narrower bound is published."""

CLEAR_WORDS: Final = ("(clear)", "清空")
"""The only cell texts that empty a text or a list; a blank cell leaves it unchanged."""

RESULT_PREFIX: Final = "bulkcast_"
"""Headers that begin so are a result sheet's own: recognised, never data, always replaced."""


_SIMPLIFIED: Final = str.maketrans(
    "兩義雲體關動單啟啓員場學開錄録戶時權現碼簡類級紹網節觀課許設選閉間頁",
    "两义云体关动单启启员场学开录录户时权现码简类级绍网节观课许设选闭间页",
)
"""The traditional characters of the words declared with the endpoints, as in a Big5 sheet."""


def fold(text: str) -> str:
    r"""The form in which headers and words are compared.

    NFKC, case, white space, underscores, zero-width marks, the `*` of a required column and
    traditional writing are folded away.

    >>> fold("Activity ID *\n活動 ID"), fold("ｒｅｃｏｒｄ_State")
    ('activityid活动id', 'recordstate')
    """
    folded = unicodedata.normalize("NFKC", text).casefold().translate(_SIMPLIFIED)
    lines = (line.rstrip().rstrip("*") for line in folded.splitlines())
    kept = (c for c in "".join(lines) if not c.isspace() and c != "_")
    return "".join(c for c in kept if unicodedata.category(c) != "Cf")


# ------------------------------------------------------------------ settings


@dataclass(frozen=True, slots=True)
class Label:
    """A wording in the two languages of the sheet's users."""

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

    def spellings(self) -> Iterator[str]:
        """Every accepted spelling, unfolded; what the English template writes comes third."""
        yield str(self.value)
        yield self.label.en
        yield self.label.both
        yield self.label.zh
        yield self.label.pair("zh")
        # As instructions and messages list the choices: who copies them is understood.
        yield f"{self.value} {self.label.en}"
        yield f"{self.value} {self.label.zh}"
        yield f"{self.value} ({self.label.both})"
        yield from self.words


OFF: Final = Choice(
    0,
    Label("Off", "关"),
    ("no", "n", "false", "disable", "disabled", "否", "禁用", "关闭", "關", "關閉", "No 否"),
)
ON: Final = Choice(
    1,
    Label("On", "开"),
    ("yes", "y", "true", "enable", "enabled", "是", "启用", "开启", "打开", "開", "開啟", "Yes 是"),
)


@dataclass(frozen=True, slots=True)
class IdKind:
    """A positive integer up to Int64 that names something: ASCII digits in a sheet."""


@dataclass(frozen=True)
class ChoiceKind:
    """An integer out of a published list; a switch is the list Off, On."""

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
    """A text, sent exactly as it stands in the cell."""

    cut_at: int | None = None
    """Characters (code points) from which on siblings of this field are cut without a word."""
    secret: bool = False
    """Whether its value is masked wherever it is shown."""


@dataclass(frozen=True, slots=True)
class IdListKind:
    """A list of ids: one array of integers in the body, outside the signature."""


@dataclass(frozen=True, slots=True)
class MomentKind:
    """A point in time: Excel date, ISO text or Unix seconds; read, never sent."""


Kind = IdKind | ChoiceKind | IntegerKind | TextKind | IdListKind | MomentKind


class Role(Enum):
    """What a column is for."""

    TARGET = "names the classroom"
    CONTEXT = "goes with the target"
    SETTING = "is set"
    SCHEDULE = "is read, never sent"


class Lock(Enum):
    """When ClassIn stops accepting a setting."""

    NEVER = "no time limit is known"
    BEFORE_CLASS = "locked from 20 minutes before class"
    UNLESS_RECORDED = "locked like recording, unless the class is recorded"


@dataclass(frozen=True, slots=True)
class Setting:
    """One column of the sheet and, but for the schedule, one parameter of the body."""

    key: str
    kind: Kind
    label: Label
    help: Label
    role: Role = Role.SETTING
    aliases: tuple[str, ...] = ()
    lock: Lock = Lock.NEVER
    vendor_undefined: str = ""
    """What the vendor has not said about it; empty where its page says all that is needed."""
    billed: Label | None = None
    """What switching it on is billed by; None where nothing is known to be."""
    sources: tuple[str, ...] = ()
    """Where what is declared here beyond the endpoint's own page was read."""

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


# ------------------------------------------------------------------ rules across cells


@dataclass(frozen=True, slots=True)
class Clash:
    """`key` holding one of `values` cannot stand beside `other` holding one of `other_values`."""

    code: str
    severity: Severity
    key: str
    values: frozenset[int]
    other: str
    other_values: frozenset[int]


@dataclass(frozen=True, slots=True)
class Together:
    """The `keys` are one set to ClassIn: to give some and leave others blank is suspicious."""

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


Rule = Clash | Together | Needs


# ------------------------------------------------------------------ answers and limits


@dataclass(frozen=True, slots=True)
class ReplyCode:
    """One reply code, what it means here and what a person can do about it."""

    code: int
    kind: ReplyClass
    meaning: Label
    fix: Label
    features: tuple[str, ...] = ()
    """For institution codes: the settings the institution cannot switch on."""
    on_page: bool = False
    """Whether the endpoint's own page lists it; otherwise a sibling's does."""
    ambiguous: bool = False
    """Whether the setting may have been applied although the code is no success."""


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
    """A body that can only be refused, sent to learn what an answer tells of clock and access."""

    @cached_property
    def by_key(self) -> Mapping[str, Setting]:
        """Key → column."""
        return {column.key: column for column in self.columns}

    @cached_property
    def parameters(self) -> tuple[Setting, ...]:
        """The columns that are body parameters."""
        return tuple(c for c in self.columns if c.role is not Role.SCHEDULE)

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
    def _zh(self) -> Mapping[str, str]:
        choices = (
            c for s in self.columns if isinstance(s.kind, ChoiceKind) for c in s.kind.choices
        )
        billed = (s.billed for s in self.columns if s.billed is not None)
        labels = (*(s.label for s in self.columns), *(c.label for c in choices), *billed)
        return {label.en: label.zh for label in labels}

    def zh_of(self, english: str) -> str:
        """The Chinese name of a setting or a choice by its English one; itself for any other."""
        return self._zh.get(english, english)

    def column_for(self, header: str) -> Setting | None:
        """The column `header` names, or None; a key in its exact spelling always names itself."""
        exact = self.by_key.get(header.strip().rstrip("*").rstrip())
        return exact or self.by_header.get(fold(header))
