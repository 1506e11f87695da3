"""What follows from the table: sentences for codes, result rows, JSON Schema, README, template.

Pure: a declaration in, values out.  Nothing here names a setting.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import Any, Final, assert_never

from bulkcast.catalogue import (
    INT64_MAX,
    ChoiceKind,
    Clash,
    Endpoint,
    IdKind,
    IdListKind,
    IntegerKind,
    Kind,
    Label,
    Lock,
    MomentKind,
    ReplyCode,
    Role,
    Setting,
    TextKind,
)
from bulkcast.model import Issue, Outcome, ReplyClass, ResultRow, RowStatus, Severity, Stop
from bulkcast.naming import short_header
from bulkcast.problems import PROBLEMS, STOPS, Problem
from bulkcast.wording import ENGLISH, Tongue

SAID_MAX: Final = 500
"""Characters of a server's own words that are repeated to the user."""

# ------------------------------------------------------------------ sentences for codes


def clean(text: str) -> str:
    r"""Untrusted text on one line: no control, format or surrogate characters, at most `SAID_MAX`.

    >>> clean("Ok\x1b[2J\n\u202eno  more")
    'Ok [2J no more'
    """
    shown = "".join(" " if unicodedata.category(c) in _UNSEEN else c for c in text[: 2 * SAID_MAX])
    return " ".join(shown.split())[:SAID_MAX]


_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def explain(
    code: str, args: Mapping[str, str], endpoint: Endpoint, tongue: Tongue = ENGLISH
) -> tuple[str, str]:
    """Message and fix for a reply code in digits or a dotted problem code.

    ClassIn's own words (`args["said"]`) are repeated verbatim but for control characters.

    >>> from bulkcast.endpoints.webcast import WEBCAST
    >>> explain("121601031", {"said": "课节不属于该机构"}, WEBCAST)[0]
    'The classroom does not belong to this institution. (ClassIn 121601031: 课节不属于该机构)'
    """
    number = int(code) if code.isascii() and code.isdigit() and len(code) <= 18 else None
    reply = None if number is None else endpoint.by_code.get(number)
    if reply is not None:
        return _explain_reply(reply, clean(args.get("said", "")), tongue.lang)
    if number is not None:
        unknown = PROBLEMS["reply.unknown_code"]
        return _fill(unknown, {"said": "", "number": code, **args}, tongue)
    problem = PROBLEMS.get(code)
    return _fill(problem, args, tongue) if problem else (code, "")


def explain_stop(
    stop: Stop, counts: Mapping[RowStatus, int], endpoint: Endpoint, tongue: Tongue = ENGLISH
) -> tuple[str, str]:
    """Message and fix for a run that ended early; `counts` are its rows by how they ended.

    An interruption that came when every row had ended leaves nothing to go on with.
    """
    problem = STOPS.get(stop.code)
    if problem is None:
        return explain(stop.code, stop.args, endpoint, tongue)
    message, fix = _fill(problem, stop.args, tongue)
    left = counts.get(RowStatus.NOT_SENT, 0) + counts.get(RowStatus.UNCONFIRMED, 0)
    return message, fix if left else ""


def _explain_reply(reply: ReplyCode, said: str, lang: str) -> tuple[str, str]:
    meaning, fix = reply.meaning.say(lang), reply.fix.say(lang)
    if reply.kind is ReplyClass.OK:
        return meaning, fix
    colon, opened, closed = ("：", "（", "）") if lang.startswith("zh") else (": ", " (", ")")
    known = {_bare(reply.meaning.en), _bare(reply.meaning.zh), ""}
    words = "" if _bare(said) in known else f"{colon}{said}"
    return f"{meaning}{opened}ClassIn {reply.code}{words}{closed}", fix


def _bare(sentence: str) -> str:
    return sentence.casefold().rstrip(".。")


def _fill(problem: Problem, args: Mapping[str, str], tongue: Tongue) -> tuple[str, str]:
    words = {name: clean(str(value)) for name, value in args.items()}
    message = tongue.tell(problem.said_of(args), **words).rstrip(" :：")
    return message, tongue.tell(problem.fix, **words)


# ------------------------------------------------------------------ result rows


def issue_sentence(issue: Issue, tongue: Tongue = ENGLISH) -> str:
    """The issue's message, led by its column in brackets where it has one."""
    name = short_header(issue.column or "")
    sentence = clean(tongue.say(issue.message))
    return f"[{name}] {sentence}" if name else sentence


def result_row(
    row: int,
    outcome: Outcome,
    issues: Sequence[Issue],
    *,
    endpoint: Endpoint,
    run: str,
    tz: tzinfo,
    tongue: Tongue = ENGLISH,
) -> ResultRow:
    """How `row` ended, in the words of the result sheet.

    The message holds why the row is not simply applied, then its errors and warnings, each led by
    its column in brackets, and last how its cells were read where that is not as they stand.
    """
    told = [i for i in issues if i.severity is not Severity.NOTE]
    told.sort(key=lambda i: i.severity is not Severity.ERROR)
    errors = [i for i in told if i.severity is Severity.ERROR]
    code = outcome.code or (errors[0].code if errors else "")
    outcome = replace(outcome, args=_in_local_time(outcome.args, tz))
    message, fix = _own_words(outcome, code, errors, endpoint, tongue)
    sentences = [message, *(issue_sentence(i, tongue) for i in told), *_notes(issues, tongue)]
    return ResultRow(
        row=row,
        status=outcome.status,
        code=code,
        message=_joined(sentences, tongue),
        fix=_joined([fix, *(clean(tongue.say(i.fix)) for i in told)], tongue),
        attempts=outcome.attempts,
        time=local_time(outcome.at, tz),
        run=run,
        issues=tuple(issues),
    )


def _in_local_time(args: Mapping[str, str], tz: tzinfo) -> Mapping[str, str]:
    """Arguments whose names end in `_at` are Unix seconds: as a reader of the sheet tells time."""
    return {
        name: local_time(float(value), tz)[:16] if name.endswith("_at") else value
        for name, value in args.items()
    }


def _notes(issues: Iterable[Issue], tongue: Tongue) -> Iterator[str]:
    """A row's notes, the first few of them.

    Without the brackets that make a workbook colour the cell: there is nothing to mend.  A row that
    was applied tells them too, since only here can its owner see that `１２３` was taken for 123.
    """
    notes = [issue for issue in issues if issue.severity is Severity.NOTE]
    for note in notes[:NOTES_MAX]:
        name = short_header(note.column or "")
        sentence = clean(tongue.say(note.message))
        if name:
            yield tongue.tell("Note on {name}: {sentence}", name=name, sentence=sentence)
        else:
            yield tongue.tell("Note: {sentence}", sentence=sentence)
    if (more := len(notes) - NOTES_MAX) > 0:
        yield tongue.count("And {n} more note.", "And {n} more notes.", more)


NOTES_MAX: Final = 3
"""Notes a message repeats; `validate` lists all of them."""


def _own_words(
    outcome: Outcome, code: str, errors: Sequence[Issue], endpoint: Endpoint, tongue: Tongue
) -> tuple[str, str]:
    """What the outcome itself says, where its status or its issues do not say it already."""
    said_by_issue = any(i.code == code for i in errors)
    if not code or said_by_issue or (outcome.status is RowStatus.APPLIED and code == "1"):
        return "", ""
    message, fix = explain(code, outcome.args, endpoint, tongue)
    if outcome.status is RowStatus.UNCONFIRMED and not _tells_of_doubt(code, endpoint):
        doubt, _ = explain("send.earlier", {}, endpoint, tongue)
        message = tongue.joined([message, doubt])
    return message, fix


def _tells_of_doubt(code: str, endpoint: Endpoint) -> bool:
    """Whether a code itself says that nobody knows; a refusal does not."""
    if code.isdigit():
        reply = endpoint.by_code.get(int(code))
        return reply is not None and reply.ambiguous
    return not code.startswith(("plan.", "run."))


def _joined(sentences: Iterable[str], tongue: Tongue) -> str:
    return tongue.joined(list(dict.fromkeys(s for s in sentences if s)))


def local_time(at: float | None, tz: tzinfo) -> str:
    """Unix seconds as `2027-03-01 08:00:00` in `tz`; empty for None.

    >>> from datetime import timezone
    >>> local_time(1803859200.7, timezone.utc)
    '2027-03-01 00:00:00'
    """
    if at is None:
        return ""
    return datetime.fromtimestamp(at, tz).strftime("%Y-%m-%d %H:%M:%S")


# ------------------------------------------------------------------ JSON Schema


def json_schema(endpoint: Endpoint) -> dict[str, Any]:
    """JSON Schema 2020-12 of the request body; `x-vendor-undefined` marks what is a guess."""
    clashes = (r for r in endpoint.rules if isinstance(r, Clash) and r.severity is Severity.ERROR)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Body of POST {endpoint.path}",
        "type": "object",
        "properties": {s.key: _property(s) for s in endpoint.parameters},
        "additionalProperties": False,
        "allOf": [
            {"anyOf": [{"required": [s.key]} for s in endpoint.targets]},
            {"anyOf": [{"required": [s.key]} for s in endpoint.settings]},
            *({"not": _holds(c)} for c in clashes),
        ],
    }


def _property(setting: Setting) -> dict[str, Any]:
    described: dict[str, Any] = {
        "title": setting.label.en,
        "description": setting.help.en,
        **_type(setting.kind),
    }
    if setting.secret:
        described["writeOnly"] = True
    if setting.lock is not Lock.NEVER:
        described["x-lock"] = setting.lock.value
    if setting.vendor_undefined:
        described["x-vendor-undefined"] = setting.vendor_undefined
    return described


_ID_TYPE: Final = {"type": "integer", "minimum": 1, "maximum": INT64_MAX}


def _type(kind: Kind) -> dict[str, Any]:
    match kind:
        case IdKind():
            return dict(_ID_TYPE)
        case ChoiceKind():
            return {"type": "integer", "enum": [c.value for c in kind.choices]}
        case IntegerKind():
            return {"type": "integer", "minimum": 0}
        case TextKind():
            return {"type": "string"}
        case IdListKind():
            return {"type": "array", "items": dict(_ID_TYPE), "uniqueItems": True}
        case MomentKind():
            return {"type": "integer", "minimum": 0}
        case _:
            assert_never(kind)


def _holds(clash: Clash) -> dict[str, Any]:
    return {
        "properties": {
            clash.key: {"enum": sorted(clash.values)},
            clash.other: {"enum": sorted(clash.other_values)},
        },
        "required": [clash.key, clash.other],
    }


# ------------------------------------------------------------------ README tables


def settings_table(endpoint: Endpoint) -> str:
    """Every column of a sheet as a Markdown table: meaning, values, lock, what is not known."""
    head = ("Column", "Meaning", "Values", "Locks", "The vendor has not said")
    return _markdown(head, (_settings_line(s) for s in endpoint.columns))


def _settings_line(s: Setting) -> tuple[str, ...]:
    name = f"`{s.key}`<br>{s.label.en}<br>{s.label.zh}"
    return name, s.help.en, values_said(s.kind), _LOCKS[s.lock], s.vendor_undefined or "–"


_LOCKS: Final = {
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


_FATES: Final = {
    ReplyClass.OK: "`applied`",
    ReplyClass.OK_WARNING: "`applied`, with a warning",
    ReplyClass.TRANSIENT: "repeated; in the end `unconfirmed`",
    ReplyClass.THROTTLED: "everyone slows down, then repeated",
    ReplyClass.CLOCK: "the stamp is corrected once, then the run stops",
    ReplyClass.CREDENTIALS: "the run stops",
    ReplyClass.INSTITUTION: "`rejected`; after several in a row, not sent where the feature is on",
    ReplyClass.ROW: "`rejected`",
    ReplyClass.TOO_LATE: "`too_late`",
    ReplyClass.MAINTENANCE: "the run stops; resume later",
    ReplyClass.STOP: "the run stops",
}


def codes_table(endpoint: Endpoint) -> str:
    """Every reply code as a Markdown table, those of the endpoint's own page first."""
    listed = sorted(endpoint.replies, key=lambda r: (not r.on_page, r.code))
    lines = (
        (f"`{r.code}`", r.meaning.en, _FATES[r.kind], "this endpoint" if r.on_page else "siblings")
        for r in listed
    )
    return _markdown(("Code", "Meaning", "What becomes of the row", "Listed for"), lines)


def problems_table() -> str:
    """Every dotted code as a Markdown table."""
    lines = (
        (f"`{code}`", p.severity.value, p.many or p.message, p.fix or "–")
        for code, p in PROBLEMS.items()
    )
    return _markdown(("Code", "Weight", "Sentence", "Fix"), lines)


def _markdown(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rule = ("---",) * len(head)
    escaped = ([cell.replace("|", "\\|").replace("\n", "<br>") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *escaped))


# ------------------------------------------------------------------ the template


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
        prompt=_prompt(s, lang),
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
    lock = Label(f"Locks {_LOCKS[s.lock]}.", "开课前 20 分钟起锁定。").say(lang)
    lines = [s.help.say(lang), f"{values}: {values_said(s.kind, lang)}"]
    return "\n".join([*lines, *([lock] if s.lock is not Lock.NEVER else []), s.key])


def _prompt(s: Setting, lang: str) -> str:
    match s.role:
        case Role.TARGET:
            said = Label("One of the two ids is enough.", "两个 ID 填一个即可。")
        case Role.CONTEXT | Role.SCHEDULE:
            said = Label("Optional.", "可不填。")
        case Role.SETTING if s.clearable:
            said = Label(
                "Blank = leave unchanged; (clear) empties it.", "留空 = 不修改；填“清空” = 清除。"
            )
        case Role.SETTING:
            said = Label("Blank = leave unchanged.", "留空 = 不修改。")
        case _:
            assert_never(s.role)
    return said.say(lang)
