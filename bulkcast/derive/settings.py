"""A setting in a few words: which values it takes, and when it locks."""

from collections.abc import Mapping
from typing import Final

from bulkcast.catalogue import (
    ChoiceKind,
    IdKind,
    IdListKind,
    IntegerKind,
    Kind,
    Label,
    Lock,
    MomentKind,
    TextKind,
)

LOCKS: Final = {
    Lock.NEVER: "–",
    Lock.BEFORE_CLASS: "20 min before class",
    Lock.UNLESS_RECORDED: "20 min before class, unless recorded",
}


def values_said(kind: Kind, lang: str = "en") -> str:
    """What may stand in a cell, in a few words of `lang`.

    >>> values_said(ChoiceKind()), values_said(TextKind(cut_at=50), "zh")
    ('0 Off, 1 On', '文本，最多 50 个字符')
    """
    match kind:
        case ChoiceKind():
            comma = Label(", ", "，").say(lang)
            return comma.join(f"{c.value} {c.label.say(lang)}" for c in kind.choices)
        case TextKind(cut_at=int(most)):
            return Label(f"text, up to {most} characters", f"文本，最多 {most} 个字符").say(lang)
        case _:
            return _SAID[type(kind)].say(lang)


_SAID: Final[Mapping[type[Kind], Label]] = {
    IdKind: Label("digits", "仅数字"),
    IntegerKind: Label("a whole number", "0 或更大的整数"),
    TextKind: Label("text", "文本"),
    IdListKind: Label("UIDs, separated by commas", "用逗号分隔的 UID"),
    MomentKind: Label("date and time", "日期和时间"),
}
