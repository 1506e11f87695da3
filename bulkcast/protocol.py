"""ClassIn's API v2: signs and encodes requests, classifies replies.

The signature rule: docs.eeo.cn/api/en/appendix/signature.html, read 2026-11-23; pinned by the
vendor's published vectors.  HTTP statuses and retry hints: RFC 9110.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, Final, Literal

from bulkcast.catalogue import INT64_MAX, Endpoint
from bulkcast.i18n import marked
from bulkcast.model import Argument, Body, Credentials, ReplyClass, SettingValue, Text
from bulkcast.safe_text import Secrets, is_short, longest_form, masked

SIGNED_BYTES_MAX: Final = 1024
"""A value is part of the signature up to this many UTF-8 bytes, 1024 included."""

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
"""The hosts that are this computer."""

SUCCESS: Final = frozenset({ReplyClass.OK, ReplyClass.OK_WARNING})

STAMP_LIFE_S: Final = 300.0
"""Seconds a stamp may differ from ClassIn's clock (the page's 101002006: 5 minutes)."""

MARGIN_S: Final = 5.0
"""Seconds for the rounding of stamps and of the `Date` header, and for latency."""

_SAID_MOST: Final = 500
"""Characters kept of a reply's message."""
_LOCATION_MOST: Final = 200

_TRANSIENT_STATUSES: Final = frozenset({408, 425, 500, 502, 503, 504})
_MAINTENANCE: Final = 901
"""The docs say "status code 901" without saying whether HTTP status or body code: both count."""


Counting = Literal["bytes", "characters"]
"""What the 1024 counts: bytes by the written rule, characters in the vendor's Python samples."""
COUNTINGS: Final[tuple[Counting, ...]] = ("bytes", "characters")


def signature(
    body: Iterable[tuple[str, SettingValue]] | Mapping[str, object],
    credentials: Credentials,
    timestamp: int,
    counting: Counting = "bytes",
) -> str:
    """MD5, 32 lower-case hex digits, over the scalars of the body's first level.

    Lists, mappings and values of more than 1024 UTF-8 bytes are left out; names are in byte order;
    nothing is escaped.  `timestamp` is in Unix seconds.  The published example:

    >>> from bulkcast.model import Secret
    >>> signature({"courseId": 132323, "unitJson": []}, Credentials("1000082", Secret("Mb7SR6H")),
    ...           1721095405)
    '4f97f55addf4921a05c2395617cd8a7b'
    """
    pairs = body.items() if isinstance(body, Mapping) else body
    signed = {"sid": credentials.sid, "timeStamp": str(timestamp)}
    for name, value in pairs:
        if isinstance(value, int):
            signed[name] = str(value)
        elif isinstance(value, str) and _takes_part(value, counting):
            signed[name] = value
    joined = "&".join(f"{name}={signed[name]}" for name in sorted(signed))
    keyed = f"{joined}&key={credentials.secret.reveal()}"
    return hashlib.md5(keyed.encode(), usedforsecurity=False).hexdigest()


def _takes_part(value: str, counting: Counting = "bytes") -> bool:
    short = len(value) <= SIGNED_BYTES_MAX
    return short and (counting == "characters" or len(value.encode()) <= SIGNED_BYTES_MAX)


def signs_differ(body: Body) -> bool:
    """Whether a value of `body` is signed by one way of counting and left out by the other.

    >>> [signs_differ((("webcastIntroduce", "课" * n),)) for n in (341, 342, 1024, 1025)]
    [False, True, True, False]
    """
    texts = (value for _, value in body if isinstance(value, str))
    return any(_takes_part(text, "characters") and not _takes_part(text) for text in texts)


def headers(
    body: Body, credentials: Credentials, timestamp: int, counting: Counting = "bytes"
) -> dict[str, str]:
    """The four headers of one attempt, stamped and signed."""
    return {
        "X-EEO-SIGN": signature(body, credentials, timestamp, counting),
        "X-EEO-UID": credentials.sid,
        "X-EEO-TS": str(timestamp),
        "Content-Type": "application/json",
    }


def expires_after(ahead_s: float) -> float:
    """Seconds after sending from which ClassIn refuses a stamp `ahead_s` ahead of its clock."""
    return STAMP_LIFE_S + max(0.0, ahead_s) + MARGIN_S


def encode(body: Body) -> bytes:
    """The body as compact UTF-8 JSON, in the given order.

    >>> encode((("activityId", 7), ("liveAndPlaybackStudentUids", (1, 2))))
    b'{"activityId":7,"liveAndPlaybackStudentUids":[1,2]}'
    """
    return _COMPACT.encode(dict(body)).encode()


_COMPACT: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False)


# ------------------------------------------------------------------ classifying replies


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP reply, not yet classified."""

    status: int
    body: bytes
    """At most `client.MAX_ANSWER` bytes; longer answers arrive as `NoReply`."""
    date: float | None = None
    """The `Date` header."""
    retry_after: str | None = None
    location: str | None = None
    private: tuple[str, ...] = field(default=(), repr=False, compare=False)
    """Secret and signature of the request; a reply may repeat them, so they are masked."""


@dataclass(frozen=True, slots=True)
class NoReply:
    """No complete reply came back."""

    code: str
    """A problem of `problems.PROBLEMS`, such as `send.timeout`."""
    sent: bool
    """Whether the request had left this machine, so that ClassIn may have acted on it."""
    detail: Argument = ""
    fatal: bool = False
    """Whether every other row would fail, too, as with an invalid certificate."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A classified reply."""

    kind: ReplyClass
    code: str
    """ClassIn's reply code in digits, or a dotted problem code if there is none."""
    args: Mapping[str, Argument] = field(default_factory=dict)
    """Arguments of the sentence for `code`; `said` is ClassIn's own message, verbatim."""
    ambiguous: bool = False
    """Whether the setting may have been applied nevertheless."""
    connected: bool = True
    """False if the request was not sent; such an attempt does not count as a try."""
    proves_access: bool = False
    """Whether this reply shows that credentials and clock are right."""
    retry_after: float | None = None
    """Seconds of silence the server asked for."""


class _Malformed(ValueError):
    """The text is not strictly valid JSON."""


def decode(raw: bytes) -> dict[str, Any]:
    """Decode one JSON object strictly; a leading BOM is allowed.

    Raises:
        ValueError: anything else: truncated, trailing bytes, not an object, duplicate keys, NaN,
            bad UTF-8, nested too deep, an integer of thousands of digits.

    """
    try:
        text = raw.decode("utf-8-sig")
        found = _STRICT.decode(text)
    except (ValueError, RecursionError) as exc:
        raise _Malformed(_flaw(exc, raw)) from exc
    if not isinstance(found, dict):
        raise _Malformed(marked("it is JSON, but no object"))
    return found


def _flaw(exc: Exception, raw: bytes) -> str:
    """What is wrong with a reply, as a translatable phrase."""
    match exc:
        case _Malformed():
            return str(exc)
        case UnicodeDecodeError():
            return marked("it is no text in UTF-8")
        case json.JSONDecodeError():
            return _no_json(raw.lstrip(b"\xef\xbb\xbf \t\r\n"))
        case RecursionError():
            return marked("it is nested too deep")
        case _:
            return marked("it holds a number of thousands of digits")


def _no_json(raw: bytes) -> str:
    if not raw:
        return marked("it is empty")
    if raw.startswith(b"<"):
        return marked("it is a web page")
    if raw.startswith(b"{"):
        return marked("it is JSON that was cut short or spoiled")
    return marked("it is no JSON")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Malformed(marked("a key stands in it twice"))
    return found


def _refuse(_: str) -> Any:
    raise _Malformed(marked("it holds a number that JSON does not have"))


_STRICT: Final = json.JSONDecoder(object_pairs_hook=_no_duplicates, parse_constant=_refuse)


class Listener:
    """Masks the secrets of a run in texts from the server."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """`secrets`: the secrets of all rows of the run."""
        self._secrets = Secrets(secrets)

    def said(self, words: str, own: Iterable[str], most: int) -> str:
        """At most `most` characters of `words`, with every secret masked.

        `own` are the secrets of the request itself; short ones are masked even inside words.
        """
        own = tuple(own)
        sent = Secrets(own)
        reach = most + longest_form(max(self._secrets.longest, sent.longest))
        heard = _writable(words[:reach])
        found = self._secrets.found_in(heard) | sent.found_in(heard)
        found.update(secret for secret in own if is_short(secret))
        return masked(heard, sorted(found), most)[:most]


_NO_SECRETS: Final = Listener()


def own_secrets(body: Body, endpoint: Endpoint) -> tuple[str, ...]:
    """The values of a body's secret settings."""
    return tuple(str(value) for key, value in body if endpoint.by_key[key].secret and value)


def judge(
    reply: Reply | NoReply,
    endpoint: Endpoint,
    *,
    now: float,
    body: Body = (),
    listener: Listener = _NO_SECRETS,
) -> Verdict:
    """Classify `reply`, the reply to `body`.

    `now` (Unix seconds) is only used for a Retry-After date from a server that sends no `Date`.
    Only here do texts from the server enter the program; they are masked.
    """

    def mask(words: str, most: int) -> str:
        private = reply.private if isinstance(reply, Reply) else ()
        return listener.said(words, (*own_secrets(body, endpoint), *private), most)

    match reply:
        case NoReply():
            return _judge_silence(reply)
        case Reply(status=200):
            return _judge_answer(reply, endpoint, mask)
        case _:
            return _judge_status(reply, endpoint, now, mask)


def _judge_silence(reply: NoReply) -> Verdict:
    if reply.code == "send.unencodable":
        return Verdict(ReplyClass.ROW, reply.code, connected=False)
    kind = ReplyClass.STOP if reply.fatal else ReplyClass.TRANSIENT
    args = {"detail": reply.detail}
    return Verdict(kind, reply.code, args, ambiguous=reply.sent, connected=reply.sent)


_Mask = Callable[[str, int], str]
"""A text from the server, and the characters to keep → the masked text."""


def _judge_answer(reply: Reply, endpoint: Endpoint, mask: _Mask) -> Verdict:
    try:
        answer = decode(reply.body)
    except ValueError as exc:
        return _not_ours(str(exc))
    code = _code_of(answer)
    if code is None:
        return _not_ours(marked("no reply code stands in it"))
    return _judge_code(code, answer, endpoint, mask)


def _not_ours(why: str) -> Verdict:
    return Verdict(ReplyClass.TRANSIENT, "reply.not_json", {"detail": Text(why)}, ambiguous=True)


def _code_of(answer: Mapping[str, Any]) -> int | None:
    """The reply code, an integer or a text of ASCII digits; True and 1.0 are not accepted."""
    code = answer.get("code")
    if type(code) is int:
        return code if abs(code) <= INT64_MAX else None
    if isinstance(code, str) and code.isascii() and code.isdigit() and len(code) <= 18:
        return int(code)
    return None


_NO_WORDS: Final[Mapping[str, str]] = {}
"""Shared by all applied rows."""


@lru_cache(maxsize=8)
def _accepted(code: int) -> Verdict:
    """The verdict shared by all applied rows."""
    return Verdict(ReplyClass.OK, str(code), _NO_WORDS, proves_access=True)


def _judge_code(code: int, answer: Mapping[str, Any], endpoint: Endpoint, mask: _Mask) -> Verdict:
    known = endpoint.by_code.get(code)
    if known is not None and known.kind is ReplyClass.OK and type(answer["code"]) is int:
        # Its message is never shown.
        return _accepted(code)
    said = mask(str(answer.get("msg", "")), _SAID_MOST)
    if known is None:
        args = {"said": said, "number": str(code)}
        return Verdict(ReplyClass.ROW, str(code), args, proves_access=True)
    kind = ReplyClass.OK_WARNING if known.kind is ReplyClass.OK else known.kind
    return Verdict(
        kind,
        str(code),
        {"said": said},
        ambiguous=known.ambiguous,
        proves_access=kind not in _SAYS_NOTHING_OF_ACCESS,
    )


def _writable(text: str) -> str:
    """`text` with lone surrogates replaced, which files and the ledger cannot store."""
    return text.encode("utf-8", "replace").decode()


_SAYS_NOTHING_OF_ACCESS: Final = frozenset(
    {ReplyClass.CLOCK, ReplyClass.CREDENTIALS, ReplyClass.MAINTENANCE, ReplyClass.THROTTLED}
)


def _judge_status(reply: Reply, endpoint: Endpoint, now: float, mask: _Mask) -> Verdict:
    status = {"status": str(reply.status)}
    hint = retry_after(reply.retry_after, now=now if reply.date is None else reply.date)
    if reply.status == _MAINTENANCE:
        return Verdict(ReplyClass.MAINTENANCE, "reply.maintenance", retry_after=hint)
    refusal = _judge_refusal(reply, endpoint, mask)
    if refusal and refusal.kind is ReplyClass.MAINTENANCE:
        return refusal
    if reply.status == 429:
        return Verdict(ReplyClass.THROTTLED, "reply.throttled", retry_after=hint)
    if reply.status in _TRANSIENT_STATUSES or reply.status >= 500:
        return Verdict(ReplyClass.TRANSIENT, "reply.http", status, ambiguous=True, retry_after=hint)
    if 300 <= reply.status < 400:
        where = {**status, "location": mask(_without_query(reply.location), _LOCATION_MOST)}
        return Verdict(ReplyClass.STOP, "reply.redirect", where)
    return refusal or Verdict(ReplyClass.STOP, "reply.refused", status)


def _judge_refusal(reply: Reply, endpoint: Endpoint, mask: _Mask) -> Verdict | None:
    """The verdict for a listed code in a reply with another status than 200; never success."""
    verdict = _judge_answer(reply, endpoint, mask)
    listed = verdict.code.isdigit() and int(verdict.code) in endpoint.by_code
    return verdict if listed and verdict.kind not in SUCCESS else None


def _without_query(location: str | None) -> str:
    return (location or "nowhere").partition("?")[0]


def retry_after(header: str | None, *, now: float) -> float | None:
    """Seconds to wait according to a Retry-After header; None if it is not usable.

    >>> retry_after("7", now=0.0), retry_after("soon", now=0.0), retry_after("-1", now=0.0)
    (7.0, None, None)
    """
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit() and len(text) <= 12:
        return float(text)
    moment = http_date(text)
    return None if moment is None else max(0.0, moment - now)


def http_date(header: str) -> float | None:
    """The Unix seconds of an HTTP date; None if it is none.

    >>> http_date("Thu, 01 Jan 1970 00:01:00 GMT"), http_date("soon")
    (60.0, None)
    """
    try:
        moment = parsedate_to_datetime(header)
        # Without a zone, or with "-0000", it is still UTC: RFC 9110 knows no other.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
