"""How a row ended, in the words of the result sheet."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, tzinfo
from typing import Final

from bulkcast.catalogue import Endpoint
from bulkcast.derive.sentences import clean, explain
from bulkcast.model import Issue, Outcome, ResultRow, RowStatus, Severity
from bulkcast.naming import short_header
from bulkcast.wording import ENGLISH, Tongue


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

    The message holds why the row is not simply applied, its errors included, then its warnings,
    named as such, and last how its cells were read where that is not as they stand.
    """
    told = [i for i in issues if i.severity is not Severity.NOTE]
    told.sort(key=lambda i: i.severity is not Severity.ERROR)
    errors = [i for i in told if i.severity is Severity.ERROR]
    code = outcome.code or (errors[0].code if errors else "")
    outcome = replace(outcome, args=_in_local_time(outcome.args, tz))
    message, fix = _own_words(outcome, code, errors, endpoint, tongue)
    reasons = [message, *(issue_sentence(i, tongue) for i in errors)]
    warnings = (i for i in told if i.severity is Severity.WARNING)
    warned = (
        tongue.tell("Warning: {sentence}", sentence=issue_sentence(i, tongue)) for i in warnings
    )
    sentences = [*reasons, *warned, *_notes(issues, tongue)]
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
        at=outcome.at,
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
