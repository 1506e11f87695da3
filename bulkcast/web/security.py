"""Who may talk to the page: one-time links, sessions, and what a request has to look like.

The threats and where the measures come from: a page on this computer that holds credentials is
reachable by every web page open in the same browser (cross-site requests, DNS rebinding) and by
every program of the computer.
"""

import hashlib
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Middleware

from bulkcast.home import write_private

IDLE_S: Final = 8 * 3600
"""Seconds after which an unused session ends."""
_TOKEN_BYTES: Final = 32
_SESSIONS_MOST: Final = 50
_READING: Final = frozenset({"GET", "HEAD"})
_METHODS: Final = _READING | {"POST"}

HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",  # with no-referrer, forms would be sent with `Origin: null`
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Sent with every answer."""


class Sessions:
    """One-time links and the sessions they begin.

    Only digests are kept, in a private file, so that a tab stays signed in when the page is started
    again.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self.key = secrets.token_urlsafe(_TOKEN_BYTES)
        """What another program of the same user shows to get a link."""
        self._links: set[str] = set()
        self._used = self._load()

    def new_link(self) -> str:
        """A token that begins one session."""
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        self._links.add(_digest(token))
        return token

    def redeem(self, token: str) -> str | None:
        """Begin a session with the token of a link; None if the link is unknown or was used."""
        digest = _digest(token)
        if digest not in self._links:
            return None
        self._links.discard(digest)
        session = secrets.token_urlsafe(_TOKEN_BYTES)
        self._used[_digest(session)] = self._clock()
        self._save()
        return session

    def is_valid(self, session: str) -> bool:
        """Whether a session has begun and was used lately; this counts as a use."""
        digest = _digest(session)
        last = self._used.get(digest)
        now = self._clock()
        if last is None or now - last > IDLE_S:
            return False
        self._used[digest] = now
        if now - last > 60:
            self._save()
        return True

    def _load(self) -> dict[str, float]:
        try:
            found = json.loads(self._path.read_text(encoding="ascii"))
            return {str(digest): float(at) for digest, at in found.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}  # everybody opens a new link

    def _save(self) -> None:
        newest = sorted(self._used.items(), key=lambda item: item[1])[-_SESSIONS_MOST:]
        self._used = dict(newest)
        with suppress(OSError):  # a full disk is no reason to lock out who would stop a run
            write_private(self._path, json.dumps(self._used))


def _digest(token: str) -> str:
    # A digest is looked up, not compared byte by byte, so time tells nothing of the token.
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def hosts(port: int) -> frozenset[str]:
    """The values of `Host` that mean this computer; any other is DNS rebinding."""
    names = ("127.0.0.1", "localhost", "localhost.")
    return frozenset(f"{name}:{port}" for name in names) | (
        frozenset(names) if port == _HTTP else frozenset()
    )


_HTTP: Final = 80


def refusal(request: web.BaseRequest, allowed: frozenset[str]) -> HTTPStatus | None:
    """Why a request is refused, whoever sends it; None for one that may go on."""
    sent = request.headers.getall("Host", [])
    if len(sent) != 1 or sent[0].lower() not in allowed:
        return HTTPStatus.FORBIDDEN
    if request.method not in _METHODS:
        return HTTPStatus.METHOD_NOT_ALLOWED
    if not _is_same_origin(request, sent[0].lower()):
        return HTTPStatus.FORBIDDEN
    return None


def _is_same_origin(request: web.BaseRequest, host: str) -> bool:
    """Whether the page itself sends the request, or the user opens it.

    `same-site` does not do: another port of this computer is the same site.
    """
    site = _single(request, "Sec-Fetch-Site")
    origin = _single(request, "Origin")
    if request.method in _READING:
        opened = _single(request, "Sec-Fetch-Mode") == "navigate" and (
            _single(request, "Sec-Fetch-Dest") == "document"
        )
        return site in {None, "none", "same-origin"} or opened
    if site is not None and site != "same-origin":
        return False
    if origin is not None:
        return origin.lower() == f"http://{host}"
    return site == "same-origin"


def _single(request: web.BaseRequest, name: str) -> str | None:
    """A header's value; `?` for one sent twice, which no browser does."""
    found = request.headers.getall(name, [])
    return "?" if len(found) > 1 else next(iter(found), None)


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_OPEN: Final = ("/static/",)
"""Paths whose answers say nothing about the user."""


def guard(sessions: Sessions, port: Callable[[], int]) -> Middleware:
    """The middleware that lets only the user's own browser through.

    `port` tells where the page listens, which is not known before it does.
    """

    @web.middleware
    async def checked(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path == LINK_PATH and request.method == "POST":
            return _another_link(request, sessions)
        why = refusal(request, hosts(port()))
        if why is not None:
            return web.Response(status=why, text=f"{why.value} {why.phrase}\n")
        if request.path.startswith(_OPEN):
            return await handler(request)
        cookie = cookie_name(port())
        if request.path == "/" and "token" in request.query:
            return _signed_in(request, sessions, cookie)
        if not sessions.is_valid(request.cookies.get(cookie, "")):
            return web.Response(status=HTTPStatus.FORBIDDEN, text=NOT_SIGNED_IN)
        return await handler(request)

    return checked


LINK_PATH: Final = "/link"
KEY_HEADER: Final = "X-Bulkcast-Key"


def _another_link(request: web.Request, sessions: Sessions) -> web.Response:
    """A new link for another `bulkcast serve` of the same user, who can read the key's file."""
    if not secrets.compare_digest(_single(request, KEY_HEADER) or "", sessions.key):
        return web.Response(status=HTTPStatus.FORBIDDEN)
    return web.json_response({"token": sessions.new_link()})


def cookie_name(port: int) -> str:
    """The session cookie's name; the ports of one host share their cookies."""
    return f"bulkcast-{port}"


NOT_SIGNED_IN: Final = (
    "Open the link that bulkcast serve has shown; it works once. "
    "A new one: run bulkcast serve again.\n"
    "请打开 bulkcast serve 显示的链接，每个链接只能用一次。"
    "需要新的链接时，请再运行一次 bulkcast serve。\n"
)
"""In both languages, as nothing is known of the reader."""


def _signed_in(request: web.Request, sessions: Sessions, cookie: str) -> web.Response:
    """Begin a session with a link's token; a link that was used is of no use to anybody else."""
    session = sessions.redeem(request.query["token"]) if request.method == "GET" else None
    known = session or sessions.is_valid(request.cookies.get(cookie, ""))
    if not known:
        return web.Response(status=HTTPStatus.FORBIDDEN, text=NOT_SIGNED_IN)
    answer = web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": "/"})
    if session:
        answer.set_cookie(cookie, session, httponly=True, samesite="Strict", path="/")
    return answer


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Put the security headers on an answer; a signal handler of aiohttp."""
    response.headers.update(HEADERS)
    response.headers.popall("Server", None)
