"""A setting in a few words: which values it takes, what a blank cell means, when it locks."""

from collections.abc import Mapping
from typing import Final, assert_never

from bulkcast.catalogue import (
    ChoiceKind,
    IdKind,
    IdListKind,
    IntegerKind,
    Kind,
    Label,
    Lock,
    MomentKind,
    Role,
    Setting,
    TextKind,
)

LOCKS: Final[Mapping[Lock, Label]] = {
    Lock.NEVER: Label("–", "–"),
    Lock.BEFORE_CLASS: Label("20 min before class", "开课前 20 分钟"),
    Lock.UNLESS_RECORDED: Label(
        "20 min before class, unless recorded", "开课前 20 分钟（录课的课堂除外）"
    ),
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


def blank_said(setting: Setting, lang: str = "en") -> str:
    """What it means to leave its cell blank, in a few words of `lang`."""
    match setting.role:
        case Role.TARGET:
            said = Label("One of the two ids is enough.", "两个 ID 填一个即可。")
        case Role.CONTEXT | Role.SCHEDULE:
            said = Label("Optional.", "可不填。")
        case Role.SETTING if setting.clearable:
            said = Label(
                "Blank = leave unchanged; (clear) empties it.", "留空 = 不修改；填“清空” = 清除。"
            )
        case Role.SETTING:
            said = Label("Blank = leave unchanged.", "留空 = 不修改。")
        case _:
            assert_never(setting.role)
    return said.say(lang)
