"""Faults on demand: how a world file spells them, and how a request is answered with one.

    NAME[:ARGUMENT][:retry_after=…][:location=…][:applied][*]

    ok                  the answer ClassIn would give
    http:503            an HTTP status; 901 too
    code:104            a reply code, listed or not
    reset · close       the connection is reset, or closed, without an answer
    hang:30             30 s of silence, then closed
    truncated           the connection ends in the middle of the answer
    slow:0.5            delayed by 0.5 s before it is acted on
    ghost:2             reset at once, and acted on 2 s later all the same
    drip:0.5            a right answer, one byte every 0.5 s
    smuggle             a right answer with a second one behind it
    throttle:3          for the next 3 s every request is answered 101003001
    html · empty · cut  a login page, no bytes, half a JSON text; all of them HTTP 200
    redirect:307        to `location`
    wrong_type:text     `code` is not an integer: true, float, text, list, null, missing
    garbage:nan         no JSON to act on: deep, number, nan, twice, utf8, trailing
    big:1000000         that many bytes
    gzip:1000000        that many bytes once unpacked

`applied` says that the settings take effect although the answer does not say so; an answer that
claims success is always true.  A `*` after a script's last fault repeats it for ever.
"""

import asyncio
import gzip
import json
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from aiohttp import web

from bulkcast.arguments import Series
from bulkcast.catalogue import Endpoint
from bulkcast.errors import BulkcastError
from bulkcast.protocol import SUCCESS

SECONDS_MAX: Final = 3600.0
BYTES_MAX: Final = 1 << 30
_NOWHERE: Final = "https://login.example.invalid/?token=not-for-logs"
_JSON: Final = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete HTTP answer instead of ClassIn's."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=lambda: _JSON)
    claims_success: bool = False


class End(Enum):
    """How a connection ends without a complete answer."""

    RESET = "reset"
    CLOSE = "close"
    TRUNCATED = "truncated"


@dataclass(frozen=True, slots=True)
class Hang:
    """No answer for some seconds, then the connection is closed."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Slow:
    """The request is delayed; the answer is ClassIn's own."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Ghost:
    """The connection is reset at once; the request is acted on later."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Drip:
    """ClassIn's own answer, byte by byte."""

    gap_s: float


@dataclass(frozen=True, slots=True)
class Smuggle:
    """ClassIn's own answer, followed by bytes that look like another answer."""


@dataclass(frozen=True, slots=True)
class Throttle:
    """Every request of the institution is throttled for some seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Plain:
    """No fault; a placeholder in a script."""


Action = Answer | End | Hang | Slow | Ghost | Drip | Smuggle | Throttle | Plain


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one request."""

    spelled: str
    action: Action
    applied: bool = False
    """Whether the settings take effect although the answer does not say so."""

    @property
    def hides_code(self) -> bool:
        """Whether it replaces ClassIn's answer."""
        return isinstance(self.action, Answer | End | Hang)


@dataclass(frozen=True, slots=True)
class Script:
    """The faults of successive requests; afterwards there are none, unless the last one repeats."""

    faults: tuple[Fault, ...] = ()
    repeats_last: bool = False

    def fault_for(self, visit: int) -> Fault | None:
        """The fault of request number `visit`, counted from 0."""
        if visit < len(self.faults):
            return self.faults[visit]
        return self.faults[-1] if self.repeats_last else None


NO_FAULTS: Final = Script()


def reply_text(code: int, endpoint: Endpoint) -> bytes:
    """The body of an answer with `code`, as ClassIn words it.

    >>> from bulkcast.endpoints.webcast import WEBCAST
    >>> reply_text(350, WEBCAST)
    b'{"code":350,"msg":"Class begins in less than 20 minutes.","data":null}'
    """
    known = endpoint.by_code.get(code)
    said = known.meaning.en if known else "Unlisted"
    reply = {"code": code, "msg": said, "data": None}
    return json.dumps(reply, separators=(",", ":")).encode()


# ------------------------------------------------------------------ answering

Pause = Callable[[float], Awaitable[None]]

_SECOND_ANSWER: Final = b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"code":1}'
_LINGER: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
"""Makes closing the socket send a reset.  Windows has shorts in `struct linger`."""


async def deliver(
    request: web.BaseRequest,
    *,
    fault: Fault | None,
    text: bytes,
    headers: Mapping[str, str],
    pause: Pause,
) -> web.StreamResponse:
    """Answer `request` as `fault` says; ClassIn's own answer is `text`."""
    match fault.action if fault else None:
        case Answer(status, body, own):
            return web.Response(status=status, body=body, headers={**headers, **own})
        case Hang(seconds):
            await pause(seconds)
            return cut_off(request, End.CLOSE)
        case End() as end:
            return await _end_early(request, text, headers, end)
        case Drip(gap_s):
            return await _drip(request, text, headers, gap_s, pause)
        case Smuggle():
            return await _smuggle(request, text, headers)
        case _:
            return web.Response(body=text, headers=headers)


def cut_off(request: web.BaseRequest, end: End) -> web.Response:
    """End the connection now, by a reset or a close; the returned response is never sent."""
    transport = request.transport
    if isinstance(transport, asyncio.WriteTransport) and end is End.RESET:
        reset(transport)
    elif transport is not None:
        transport.close()
    return web.Response()


def reset(transport: asyncio.WriteTransport) -> None:
    """End a connection with a reset."""
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
    transport.abort()


async def _begin(
    request: web.BaseRequest, text: bytes, headers: Mapping[str, str]
) -> web.StreamResponse:
    response = web.StreamResponse(headers=headers)
    response.content_length = len(text)
    await response.prepare(request)
    return response


async def _end_early(
    request: web.BaseRequest, text: bytes, headers: Mapping[str, str], end: End
) -> web.StreamResponse:
    if end is not End.TRUNCATED:
        return cut_off(request, end)
    response = await _begin(request, text, headers)
    await response.write(text[: len(text) // 2])
    cut_off(request, End.CLOSE)
    return response


async def _drip(
    request: web.BaseRequest, text: bytes, headers: Mapping[str, str], gap_s: float, pause: Pause
) -> web.StreamResponse:
    response = await _begin(request, text, headers)
    for position in range(len(text)):
        if request.transport is None:  # the client has disconnected
            return response
        await response.write(text[position : position + 1])
        await pause(gap_s)
    return response


async def _smuggle(
    request: web.BaseRequest, text: bytes, headers: Mapping[str, str]
) -> web.StreamResponse:
    response = await _begin(request, text, headers)
    await response.write(text)
    await response.write_eof()
    if isinstance(request.transport, asyncio.WriteTransport):
        request.transport.write(_SECOND_ANSWER)
    return response


# ------------------------------------------------------------------ reading scripts


class NoFault(BulkcastError, ValueError):
    """A text that does not spell a fault."""


def read_script(texts: list[str], endpoint: Endpoint) -> Script:
    """The script that `texts` spell.

    Raises:
        NoFault: a text does not spell a fault, or a repeated one is not the last.

    """
    for text in texts[:-1]:
        if text.endswith("*"):
            raise NoFault(
                "{text} repeats for ever, so it must be the last of its script", text=text
            )
    repeats = bool(texts) and texts[-1].endswith("*")
    faults = tuple(read_fault(text.removesuffix("*"), endpoint) for text in texts)
    return Script(faults, repeats_last=repeats)


def read_fault(text: str, endpoint: Endpoint) -> Fault:
    """The fault that `text` spells; a `*` belongs to a script, not to a fault.

    >>> from bulkcast.endpoints.webcast import WEBCAST
    >>> read_fault("hang:30:applied", WEBCAST)
    Fault(spelled='hang:30:applied', action=Hang(seconds=30.0), applied=True)

    Raises:
        NoFault: it spells none; the message lists the known faults.

    """
    words = text.removesuffix(":applied")
    words, _, location = words.partition(":location=")
    words, _, retry_after = words.partition(":retry_after=")
    name, _, argument = words.partition(":")
    maker = _MAKERS.get(name)
    if maker is None:
        raise NoFault(
            "{text} is no fault; those are {known}", text=text, known=Series(tuple(_MAKERS))
        )
    try:
        action = _with_hints(maker(argument, endpoint), location, retry_after)
    except (ValueError, KeyError) as exc:
        raise NoFault(
            "{text} is no fault: {exc} does not fit {name}", text=text, exc=exc, name=name
        ) from exc
    is_success = isinstance(action, Answer) and action.claims_success
    return Fault(text, action, applied=text.endswith(":applied") or is_success)


def _with_hints(action: Action, location: str, retry_after: str) -> Action:
    hints = {"Location": location, "Retry-After": retry_after}
    given = {name: value for name, value in hints.items() if value}
    if not given:
        return action
    if not isinstance(action, Answer) or "\n" in location + retry_after:
        raise ValueError("a hint")
    return replace(action, headers={**action.headers, **given})


def _seconds(argument: str) -> float:
    seconds = float(argument)
    if not 0 <= seconds <= SECONDS_MAX:
        raise ValueError(argument)
    return seconds


def _whole(argument: str, least: int, most: int) -> int:
    number = int(argument)
    if not least <= number <= most:
        raise ValueError(argument)
    return number


def _status(argument: str, _: Endpoint) -> Answer:
    status = _whole(argument, 200, 999)
    return Answer(status, b"<html><body>error</body></html>", {"Content-Type": "text/html"})


def _code(argument: str, endpoint: Endpoint) -> Answer:
    code = _whole(argument, -(2**31), 2**63)
    known = endpoint.by_code.get(code)
    success = known is not None and known.kind in SUCCESS
    return Answer(body=reply_text(code, endpoint), claims_success=success)


def _redirect(argument: str, _: Endpoint) -> Answer:
    return Answer(_whole(argument or "302", 300, 399), b"", {"Location": _NOWHERE})


def _wrong_type(argument: str, _: Endpoint) -> Answer:
    code = _WRONG_TYPES[argument or "true"]
    body = b'{%b"msg":"Execution successful","data":null}' % code
    return Answer(body=body, claims_success=argument == "text")


def _garbage(argument: str, _: Endpoint) -> Answer:
    return Answer(body=_GARBAGE[argument])


def _big(argument: str, _: Endpoint) -> Answer:
    return Answer(body=b"x" * _whole(argument, 0, BYTES_MAX))


def _gzip(argument: str, _: Endpoint) -> Answer:
    packed = gzip.compress(bytes(_whole(argument, 0, BYTES_MAX)), mtime=0)
    return Answer(body=packed, headers={**_JSON, "Content-Encoding": "gzip"})


def _bare(action: Action) -> Callable[[str, Endpoint], Action]:
    def make(argument: str, _: Endpoint) -> Action:
        if argument:
            raise ValueError(argument)
        return action

    return make


_LOGIN_PAGE: Final = "<html><body><h1>网络登录 Login</h1></body></html>".encode()
_WRONG_TYPES: Final = {
    "true": b'"code":true,',
    "float": b'"code":1.0,',
    "text": b'"code":"1",',
    "list": b'"code":[1],',
    "null": b'"code":null,',
    "missing": b"",
}
_GARBAGE: Final = {
    "deep": b'{"code":1,"data":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "number": b'{"code":' + b"1" * 5000 + b"}",
    "nan": b'{"code":1,"data":NaN}',
    "twice": b'{"code":104,"code":1}',
    "utf8": b'{"code":1,"msg":"\xff\xfe"}',
    "trailing": b'{"code":1}{"code":1}',
}
_MAKERS: Final[Mapping[str, Callable[[str, Endpoint], Action]]] = {
    "ok": _bare(Plain()),
    "http": _status,
    "code": _code,
    "reset": _bare(End.RESET),
    "close": _bare(End.CLOSE),
    "truncated": _bare(End.TRUNCATED),
    "hang": lambda argument, _: Hang(_seconds(argument)),
    "slow": lambda argument, _: Slow(_seconds(argument)),
    "ghost": lambda argument, _: Ghost(_seconds(argument)),
    "drip": lambda argument, _: Drip(_seconds(argument)),
    "smuggle": _bare(Smuggle()),
    "throttle": lambda argument, _: Throttle(_seconds(argument)),
    "html": _bare(Answer(200, _LOGIN_PAGE, {"Content-Type": "text/html; charset=utf-8"})),
    "empty": _bare(Answer()),
    "cut": _bare(Answer(body=b'{"code":1,"msg":"Execut')),
    "redirect": _redirect,
    "wrong_type": _wrong_type,
    "garbage": _garbage,
    "big": _big,
    "gzip": _gzip,
}
