"""How an answer leaves the sandbox: whole, late, in part, or not at all."""

import asyncio
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiohttp import web

from bulkcast.sandbox.faults import Answer, Drip, End, Fault, Hang, Smuggle

Pause = Callable[[float], Awaitable[None]]

_SECOND_ANSWER: Final = b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"code":1}'
_LINGER: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
"""No lingering: closing a socket so sends a reset.  Windows has shorts in `struct linger`."""


async def deliver(
    request: web.BaseRequest,
    *,
    fault: Fault | None,
    text: bytes,
    headers: Mapping[str, str],
    pause: Pause,
) -> web.StreamResponse:
    """Answer `request` as `fault` has it; where it leaves ClassIn's own answer, that is `text`."""
    match fault.deed if fault else None:
        case Answer(status, body, own):
            return web.Response(status=status, body=body, headers={**headers, **own})
        case Hang(seconds):
            await pause(seconds)
            return cut_off(request, End.CLOSE)
        case End() as end:
            return await _ending(request, text, headers, end)
        case Drip(gap_s):
            return await _dripping(request, text, headers, gap_s, pause)
        case Smuggle():
            return await _smuggling(request, text, headers)
        case _:
            return web.Response(body=text, headers=headers)


def cut_off(request: web.BaseRequest, end: End) -> web.Response:
    """End the connection now, with a reset or an orderly close; the response goes nowhere."""
    transport = request.transport
    if transport is not None and end is End.RESET:
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
        transport.abort()
    elif transport is not None:
        transport.close()
    return web.Response()


async def _begin(
    request: web.BaseRequest, text: bytes, headers: Mapping[str, str]
) -> web.StreamResponse:
    response = web.StreamResponse(headers=headers)
    response.content_length = len(text)
    await response.prepare(request)
    return response


async def _ending(
    request: web.BaseRequest, text: bytes, headers: Mapping[str, str], end: End
) -> web.StreamResponse:
    if end is not End.TRUNCATED:
        return cut_off(request, end)
    response = await _begin(request, text, headers)
    await response.write(text[: len(text) // 2])
    cut_off(request, End.CLOSE)
    return response


async def _dripping(
    request: web.BaseRequest, text: bytes, headers: Mapping[str, str], gap_s: float, pause: Pause
) -> web.StreamResponse:
    response = await _begin(request, text, headers)
    for position in range(len(text)):
        if request.transport is None:  # whoever asked has gone
            return response
        await response.write(text[position : position + 1])
        await pause(gap_s)
    return response


async def _smuggling(
    request: web.BaseRequest, text: bytes, headers: Mapping[str, str]
) -> web.StreamResponse:
    response = await _begin(request, text, headers)
    await response.write(text)
    await response.write_eof()
    if isinstance(request.transport, asyncio.WriteTransport):
        request.transport.write(_SECOND_ANSWER)
    return response
