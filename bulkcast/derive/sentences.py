"""What a user is told for a code: ClassIn's reply codes and our own dotted ones."""

import unicodedata
from collections.abc import Mapping
from typing import Final

from bulkcast.catalogue import Endpoint, ReplyCode
from bulkcast.model import ReplyClass, RowStatus, Stop
from bulkcast.problems import PROBLEMS, STOPS, Problem
from bulkcast.wording import ENGLISH, LONG_TEXT, Tongue

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
    if reply is not None and LONG_TEXT in args:
        return _fill(PROBLEMS["reply.long_text"], args, tongue)
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
