"""Problems, reply codes and outcomes of rows as sentences in the reader's language."""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, tzinfo
from typing import Final

from bulkcast.catalogue import Endpoint, ReplyCode
from bulkcast.i18n import ENGLISH, Translator, short_header
from bulkcast.model import (
    UNFINISHED,
    Argument,
    Issue,
    Outcome,
    ReplyClass,
    ResultRow,
    RowStatus,
    Severity,
    Stop,
)
from bulkcast.problems import PROBLEMS, STOPS, Problem

LONG_TEXT: Final = "number"
"""The argument, ClassIn's code, of a refused signature that a long text may have caused."""

SAID_MAX: Final = 500
"""Characters of a server's own words that are repeated to the user."""


def clean(text: str) -> str:
    r"""Untrusted text on one line: no control, format or surrogate characters, at most `SAID_MAX`.

    >>> clean("Ok\x1b[2J\n\u202eno  more")
    'Ok [2J no more'
    """
    shown = "".join(" " if unicodedata.category(c) in _UNSEEN else c for c in text[: 2 * SAID_MAX])
    return " ".join(shown.split())[:SAID_MAX]


_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def explain(
    code: str, args: Mapping[str, Argument], endpoint: Endpoint, translator: Translator = ENGLISH
) -> tuple[str, str]:
    """Message and fix for a reply code in digits or a dotted problem code.

    ClassIn's own words (`args["said"]`) are repeated verbatim but for control characters.

    >>> from bulkcast.endpoints.webcast import WEBCAST
    >>> explain("121601031", {"said": "课节不属于该机构"}, WEBCAST)[0]
    'The classroom does not belong to this institution. (ClassIn 121601031: 课节不属于该机构)'
    """
    number = int(code) if code.isascii() and code.isdigit() and len(code) <= 18 else None
    reply = None if number is None else endpoint.by_code.get(number)
    if reply is not None and LONG_TEXT in args:
        return _fill(PROBLEMS["reply.long_text"], args, translator)
    if reply is not None:
        return _explain_reply(reply, clean(str(args.get("said", ""))), translator.lang)
    if number is not None:
        unknown = PROBLEMS["reply.unknown_code"]
        return _fill(unknown, {"said": "", "number": code, **args}, translator)
    problem = PROBLEMS.get(code)
    return _fill(problem, args, translator) if problem else (code, "")


def explain_stop(
    stop: Stop,
    counts: Mapping[RowStatus, int],
    endpoint: Endpoint,
    translator: Translator = ENGLISH,
) -> tuple[str, str]:
    """Message and fix for a run that ended early; `counts` are its rows by status.

    The fix is empty if an interruption came when every row had ended.
    """
    problem = STOPS.get(stop.code)
    if problem is None:
        return explain(stop.code, stop.args, endpoint, translator)
    message, fix = _fill(problem, stop.args, translator)
    left = any(counts.get(status) for status in UNFINISHED)
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


def _fill(
    problem: Problem, args: Mapping[str, Argument], translator: Translator
) -> tuple[str, str]:
    shown = {name: clean(str(translator.argument(value))) for name, value in args.items()}
    message = translator.tell(problem.template(args), **shown).rstrip(" :：")
    return message, translator.tell(problem.fix, **shown)


def issue_sentence(issue: Issue, translator: Translator = ENGLISH) -> str:
    """The issue's message, with its column, if any, in brackets before it."""
    name = short_header(issue.column or "")
    sentence = clean(translator.say(issue.message))
    return f"[{name}] {sentence}" if name else sentence


def result_row(
    row: int,
    outcome: Outcome,
    issues: Sequence[Issue],
    *,
    endpoint: Endpoint,
    run: str,
    tz: tzinfo,
    translator: Translator = ENGLISH,
) -> ResultRow:
    """How `row` ended, in the words of the result sheet.

    The message has the reason for the status with all errors, then warnings, marked as such, and
    last the notes about cells that were read differently.
    """
    shown = [i for i in issues if i.severity is not Severity.NOTE]
    shown.sort(key=lambda i: i.severity is not Severity.ERROR)
    errors = [i for i in shown if i.severity is Severity.ERROR]
    code = outcome.code or (errors[0].code if errors else "")
    translator = replace(translator, tz=tz)
    message, fix = _outcome_sentences(outcome, code, errors, endpoint, translator)
    reasons = [message, *(issue_sentence(i, translator) for i in errors)]
    warnings = (i for i in shown if i.severity is Severity.WARNING)
    warned = (
        translator.tell("Warning: {sentence}", sentence=issue_sentence(i, translator))
        for i in warnings
    )
    sentences = [*reasons, *warned, *_notes(issues, translator)]
    return ResultRow(
        row=row,
        status=outcome.status,
        code=code,
        message=_join(sentences, translator),
        fix=_join([fix, *(clean(translator.say(i.fix)) for i in shown)], translator),
        attempts=outcome.attempts,
        time=local_time(outcome.at, tz),
        run=run,
        issues=tuple(issues),
        at=outcome.at,
    )


def _notes(issues: Iterable[Issue], translator: Translator) -> Iterator[str]:
    """The first `NOTES_MAX` notes of a row.

    Without brackets, which would colour the cell: nothing needs fixing.  Applied rows have notes,
    too, since only here the user can see that `１２３` was read as 123.
    """
    notes = [issue for issue in issues if issue.severity is Severity.NOTE]
    for note in notes[:NOTES_MAX]:
        name = short_header(note.column or "")
        sentence = clean(translator.say(note.message))
        if name:
            yield translator.tell("Note on {name}: {sentence}", name=name, sentence=sentence)
        else:
            yield translator.tell("Note: {sentence}", sentence=sentence)
    if (more := len(notes) - NOTES_MAX) > 0:
        yield translator.count("And {n} more note.", "And {n} more notes.", more)


NOTES_MAX: Final = 3
"""Notes a message repeats; `validate` lists all of them."""


def _outcome_sentences(
    outcome: Outcome, code: str, errors: Sequence[Issue], endpoint: Endpoint, translator: Translator
) -> tuple[str, str]:
    """Message and fix of the outcome; empty if its status or issues say the same."""
    is_issue = any(i.code == code for i in errors)
    if not code or is_issue or (outcome.status is RowStatus.APPLIED and code == "1"):
        return "", ""
    message, fix = explain(code, outcome.args, endpoint, translator)
    if outcome.status is RowStatus.UNCONFIRMED and not _says_unconfirmed(code, endpoint):
        unconfirmed, _ = explain("send.earlier", {}, endpoint, translator)
        message = translator.joined([message, unconfirmed])
    return message, fix


def _says_unconfirmed(code: str, endpoint: Endpoint) -> bool:
    """Whether a code's message says that the row may have been applied."""
    if code.isdigit():
        reply = endpoint.by_code.get(int(code))
        return reply is not None and reply.ambiguous
    return not code.startswith(("plan.", "run."))


def _join(sentences: Iterable[str], translator: Translator) -> str:
    return translator.joined(list(dict.fromkeys(s for s in sentences if s)))


def local_time(at: float | None, tz: tzinfo) -> str:
    """Unix seconds as `2027-03-01 08:00:00` in `tz`; empty for None.

    >>> from datetime import timezone
    >>> local_time(1803859200.7, timezone.utc)
    '2027-03-01 00:00:00'
    """
    if at is None:
        return ""
    return datetime.fromtimestamp(at, tz).isoformat(" ", "seconds")[: len("2027-03-01 08:00:00")]
