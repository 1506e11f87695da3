"""The columns of the workbook to fill in."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bulkcast.catalogue import (
    ChoiceKind,
    Endpoint,
    IdKind,
    IdListKind,
    Kind,
    Label,
    Lock,
    MomentKind,
    Role,
    Setting,
    TextKind,
)
from bulkcast.derive.settings import LOCKS, blank_said, values_said


@dataclass(frozen=True, slots=True)
class TemplateColumn:
    """One column of the workbook to fill in."""

    key: str
    header: str
    """Both languages, the reader's own above, so that either half and both name the column."""
    width: int
    """In characters, as spreadsheets count column widths."""
    note: str
    """What the header's note says."""
    prompt: str
    """What a chosen cell says, at most 255 characters."""
    words: tuple[str, ...] = ()
    """The drop-down's words; empty where any value may be typed."""
    list_name: str = ""
    """The defined name of the drop-down's list; equal lists share one."""
    number_format: str = "General"
    """`@` keeps what is typed as text."""
    role: Role = Role.SETTING


def template_columns(endpoint: Endpoint, lang: str) -> tuple[TemplateColumn, ...]:
    """The template's columns, in the table's order."""
    return tuple(_template_column(s, lang) for s in endpoint.columns)


def _template_column(s: Setting, lang: str) -> TemplateColumn:
    mark = " *" if s.role is Role.TARGET else ""
    choices = s.kind.choices if isinstance(s.kind, ChoiceKind) else ()
    words = tuple(c.label.pair(lang) for c in choices)
    longest = max(len(s.label.en) + len(mark), 2 * len(s.label.zh), *map(_wide, words), 0)
    first, second = s.label.ordered(lang)
    return TemplateColumn(
        key=s.key,
        header=f"{first}{mark}\n{second}",
        width=max(min(longest + 3, 22), _WIDTHS.get(type(s.kind), 12)),
        note=_note(s, lang),
        prompt=blank_said(s, lang),
        words=words,
        list_name="List_" + "_".join(re.sub(r"\W", "", c.label.en) for c in choices) if words
        else "",
        number_format=_FORMATS.get(type(s.kind), "General"),
        role=s.role,
    )  # fmt: skip


_WIDTHS: Final[Mapping[type[Kind], int]] = {
    IdKind: 16,
    TextKind: 24,
    IdListKind: 30,
    MomentKind: 18,
}
_FORMATS: Final[Mapping[type[Kind], str]] = {
    IdKind: "@", TextKind: "@", IdListKind: "@", MomentKind: "yyyy-mm-dd hh:mm",
}  # fmt: skip


def _wide(text: str) -> int:
    """The text's width in characters; a Chinese one is two wide."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _note(s: Setting, lang: str) -> str:
    values = Label("Values", "取值").say(lang)
    lock = Label(f"Locks {LOCKS[s.lock].en}.", "开课前 20 分钟起锁定。").say(lang)
    lines = [s.help.say(lang), f"{values}: {values_said(s.kind, lang)}"]
    return "\n".join([*lines, *([lock] if s.lock is not Lock.NEVER else []), s.key])
