"""Explains every name a user can meet: states, settings, reply codes, problems."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, assert_never

from bulkcast.catalogue import (
    ChoiceKind,
    Endpoint,
    IdKind,
    IdListKind,
    IntegerKind,
    Kind,
    Label,
    Lock,
    MomentKind,
    NameKind,
    ReplyCode,
    Role,
    Setting,
    TextKind,
)
from bulkcast.i18n import ENGLISH, Translator, marked
from bulkcast.model import ReplyClass, RowStatus
from bulkcast.problems import PROBLEMS

LOCKS: Final[Mapping[Lock, Label]] = {
    Lock.NEVER: Label("–", "–"),
    Lock.BEFORE_CLASS: Label("20 min before class", "开课前 20 分钟"),
    Lock.UNLESS_RECORDED: Label(
        "20 min before class, unless recorded", "开课前 20 分钟（录课的课堂除外）"
    ),
}


def allowed_values(kind: Kind, lang: str = "en") -> str:
    """The allowed values of a cell, in a few words of `lang`.

    >>> allowed_values(ChoiceKind()), allowed_values(TextKind(cut_at=50), "zh")
    ('0 Off, 1 On', '文本，最多 50 个字符')
    """
    match kind:
        case ChoiceKind():
            comma = Label(", ", "，").say(lang)
            return comma.join(f"{c.value} {c.label.say(lang)}" for c in kind.choices)
        case TextKind(cut_at=int(most)):
            return Label(f"text, up to {most} characters", f"文本，最多 {most} 个字符").say(lang)
        case _:
            return _VALUES[type(kind)].say(lang)


_VALUES: Final[Mapping[type[Kind], Label]] = {
    IdKind: Label("digits", "仅数字"),
    IntegerKind: Label("a whole number", "0 或更大的整数"),
    TextKind: Label("text", "文本"),
    IdListKind: Label("UIDs, separated by commas", "用逗号分隔的 UID"),
    MomentKind: Label("date and time", "日期和时间"),
    NameKind: Label("the name of a profile", "配置的名称"),
}


def blank_meaning(setting: Setting, lang: str = "en") -> str:
    """What a blank cell of the setting means, in a few words of `lang`."""
    match setting.role:
        case Role.TARGET:
            meaning = Label("One of the two ids is enough.", "两个 ID 填一个即可。")
        case Role.INSTITUTION:
            meaning = Label(
                "Needed in every row once the sheet has the column.", "表中有这一列时每行必填。"
            )
        case Role.CONTEXT | Role.SCHEDULE:
            meaning = Label("Optional.", "可不填。")
        case Role.SETTING if setting.clearable:
            meaning = Label(
                "Blank = leave unchanged; (clear) empties it.", "留空 = 不修改；填“清空” = 清除。"
            )
        case Role.SETTING:
            meaning = Label("Blank = leave unchanged.", "留空 = 不修改。")
        case _:
            assert_never(setting.role)
    return meaning.say(lang)


STATUS_LABELS: Final[Mapping[str, Label]] = {
    RowStatus.APPLIED: Label("applied", "已应用"),
    RowStatus.UNCHANGED: Label("unchanged", "未变"),
    RowStatus.INVALID: Label("invalid", "无效"),
    RowStatus.TOO_LATE: Label("too late", "太迟"),
    RowStatus.REJECTED: Label("rejected", "被拒绝"),
    RowStatus.UNCONFIRMED: Label("unconfirmed", "未确认"),
    RowStatus.NOT_SENT: Label("not sent", "未发送"),
    RowStatus.SUPERSEDED: Label("superseded", "已被取代"),
}
"""Row status → its name on screens and pages; sheets and JSON have the status itself."""

STATUS_MEANINGS: Final[Mapping[RowStatus, str]] = {
    RowStatus.APPLIED: marked("ClassIn acknowledged them"),
    RowStatus.UNCHANGED: marked("skipped: they would have changed nothing"),
    RowStatus.INVALID: marked("the sheet is wrong there; never sent"),
    RowStatus.TOO_LATE: marked("their settings are locked"),
    RowStatus.REJECTED: marked("ClassIn refused them"),
    RowStatus.UNCONFIRMED: marked("sent without an answer to trust; safe to send again"),
    RowStatus.NOT_SENT: marked("the reason stands beside each"),
    RowStatus.SUPERSEDED: marked("a newer run has set them since"),
}
"""Row status → what became of the rows that have it."""

STATE_LABELS: Final[Mapping[str, Label]] = {
    "finished": Label("finished", "已完成"),
    "stopped": Label("stopped", "已停止"),
    "running": Label("running", "进行中"),
    "crashed": Label("cut off", "中断"),
    "purged": Label("purged", "已清理"),
}
"""State of a run → its name."""

REASON_LABELS: Final[Mapping[str, Label]] = {
    "outage": Label("outage", "无法连接"),
    "throttled": Label("throttled", "限流"),
    "maintenance": Label("maintenance", "系统维护"),
    "credentials": Label("credentials", "凭据"),
    "clock": Label("clock", "时钟"),
    "refused": Label("refused", "被拒绝"),
    "guard": Label("guard", "保护"),
    "ledger": Label("ledger", "台账"),
    "interrupted": Label("interrupted", "已中断"),
    "busy": Label("busy", "机构占用"),
}
"""Why a run stopped → the reason in one word."""

STATES: Final[Mapping[RowStatus, tuple[str, str]]] = {
    RowStatus.APPLIED: (marked("ClassIn acknowledged the row."), marked("Nothing to do.")),
    RowStatus.UNCHANGED: (
        marked("The row was skipped, because it would have changed nothing (--changed-only)."),
        marked("Nothing to do."),
    ),
    RowStatus.INVALID: (
        marked("The sheet is wrong in this row; it was never sent."),
        marked("Mend the cells that the message names, then `bulkcast resubmit`."),
    ),
    RowStatus.TOO_LATE: (
        marked(
            "Settings of the row are locked: it was never sent, or ClassIn refused it with a code"
            " that says so."
        ),
        marked("Take the locked settings out of the row, then `bulkcast resubmit`."),
    ),
    RowStatus.REJECTED: (
        marked("ClassIn refused the row."),
        marked("Read its code and its fix, mend the row, then `bulkcast resubmit`."),
    ),
    RowStatus.UNCONFIRMED: (
        marked("The row was sent, but no answer could be trusted; it may have been applied."),
        marked("`bulkcast resubmit` or `bulkcast resume`: sending it again is safe."),
    ),
    RowStatus.NOT_SENT: (
        marked("The run ended before the row's turn, or the row was never connected."),
        marked("`bulkcast resume`; the message says what stopped the run."),
    ),
    RowStatus.SUPERSEDED: (
        marked("A newer run has set this classroom since, or may have."),
        marked("Nothing to do."),
    ),
}
"""Row status → what it means, and what to do."""

FATES: Final[Mapping[ReplyClass, str]] = {
    ReplyClass.OK: marked("`applied`"),
    ReplyClass.OK_WARNING: marked("`applied`, with a warning"),
    ReplyClass.TRANSIENT: marked("repeated; in the end `unconfirmed`"),
    ReplyClass.THROTTLED: marked("everyone slows down, then repeated"),
    ReplyClass.CLOCK: marked("the stamp is corrected once, then the run stops"),
    ReplyClass.CREDENTIALS: marked("the run stops"),
    ReplyClass.INSTITUTION: marked(
        "`rejected`; after several in a row, not sent where the feature is on"
    ),
    ReplyClass.ROW: marked("`rejected`"),
    ReplyClass.TOO_LATE: marked("`too_late`"),
    ReplyClass.MAINTENANCE: marked(
        "the run waits, and asks now and then, for up to `--max-outage`"
    ),
    ReplyClass.STOP: marked("the run stops"),
}
"""Class of a reply → what becomes of its row."""

HERE: Final = marked("this endpoint")
SIBLINGS: Final = marked("sibling calls")
"""Whose page lists a reply code."""


class EntryKind(StrEnum):
    """The kinds of names, in the order of listing."""

    STATE = "state"
    SETTING = "setting"
    REPLY = "reply"
    PROBLEM = "problem"


FACTS: Final[Mapping[str, str]] = {
    "severity": marked("Weight"),
    "meaning": marked("Meaning"),
    "outcome": marked("The row"),
    "fix": marked("What to do"),
    "headers": marked("Headers"),
    "values": marked("Values"),
    "filling": marked("Filling in"),
    "locks": marked("Locks"),
    "billed": marked("Billed by"),
    "unknown": marked("Not known"),
    "listed": marked("Listed for"),
}
"""The facts an entry can have, in order → their captions."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One name and its explanation."""

    kind: EntryKind
    name: str
    facts: Mapping[str, str] = field(default_factory=dict)
    """By the keys of `FACTS`, in their order; none is empty."""


def lexicon(endpoint: Endpoint, translator: Translator = ENGLISH) -> Iterator[Entry]:
    """Every entry, kind after kind; reply codes by number."""
    for status, (meaning, fix) in STATES.items():
        facts = {"meaning": translator.tell(meaning), "fix": translator.tell(fix)}
        yield _entry(EntryKind.STATE, status, facts)
    for setting in endpoint.columns:
        yield _entry(EntryKind.SETTING, setting.key, _setting_facts(setting, translator))
    for reply in sorted(endpoint.replies, key=lambda r: r.code):
        yield _entry(EntryKind.REPLY, str(reply.code), _reply_facts(reply, translator))
    for code, problem in PROBLEMS.items():
        facts = {
            "severity": translator.tell(problem.severity),
            "meaning": translator.tell(problem.many or problem.message),
            "fix": translator.tell(problem.fix),
        }
        yield _entry(EntryKind.PROBLEM, code, facts)


def _entry(kind: EntryKind, name: str, facts: Mapping[str, str]) -> Entry:
    return Entry(kind, str(name), {key: facts[key] for key in FACTS if facts.get(key)})


def _setting_facts(setting: Setting, translator: Translator) -> Mapping[str, str]:
    lang = translator.lang
    return {
        "meaning": setting.help.say(lang),
        "headers": translator.listed(
            (setting.key, setting.label.en, setting.label.zh, *setting.aliases)
        ),
        "values": allowed_values(setting.kind, lang),
        "filling": blank_meaning(setting, lang),
        "locks": "" if setting.lock is Lock.NEVER else LOCKS[setting.lock].say(lang),
        "billed": setting.billed.say(lang) if setting.billed else "",
        "unknown": setting.vendor_undefined.say(lang) if setting.vendor_undefined else "",
    }


def _reply_facts(reply: ReplyCode, translator: Translator) -> Mapping[str, str]:
    return {
        "meaning": reply.meaning.say(translator.lang),
        "outcome": translator.tell(FATES[reply.kind]),
        "fix": reply.fix.say(translator.lang),
        "listed": translator.tell(HERE if reply.on_page else SIBLINGS),
    }
