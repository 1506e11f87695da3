"""Sends one signed request over HTTP and returns the raw reply.

It follows no redirects, reads no proxy or netrc from the environment, keeps no cookies and cannot
switch TLS verification off.  It reads a limited number of bytes, decompresses them and converts
Chinese encodings to UTF-8.
"""

import errno
import os
import re
import socket
import ssl
import zlib
from collections.abc import Callable, Sequence, Set
from functools import lru_cache
from typing import Final, Self

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_exceptions import LineTooLong
from yarl import URL

from bulkcast.errors import CannotStart
from bulkcast.model import Body, Credentials, Text
from bulkcast.pacing import TIMEOUT_S
from bulkcast.protocol import LOOPBACK, Counting, NoReply, Reply, encode, headers, http_date
from bulkcast.version import VERSION

MAX_ANSWER: Final = 64 * 1024
"""Bytes of a reply that are read; ClassIn's have a few hundred."""

_CONNECT_S: Final = 5.0
_FIXED_HEADERS: Final = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": f"bulkcast/{VERSION}",
}


_HOST: Final = re.compile(
    r"\[[0-9a-f:.]+\]|(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?", re.ASCII | re.IGNORECASE
)


def check_root_url(text: str) -> str:
    """Normalise a root URL: lower case, without default port and trailing slash.

    Raises:
        CannotStart: it is not https to a host, or carries more than scheme, host and port.

    >>> check_root_url("HTTPS://API.EEO.CN:443/")
    'https://api.eeo.cn'

    """
    shown = repr(re.sub(r"//.*@", "//•••@", text))  # it may contain a password
    try:
        url = URL(text.strip())
        if (url.host or "").endswith("."):  # certificates have the name without the dot
            url = url.with_host((url.host or "").removesuffix("."))
        root = str(url.origin())
    except ValueError:
        raise CannotStart(
            "{shown} is no URL; give one such as https://api.eeo.cn", shown=shown
        ) from None
    more = "@" in text or url.path.strip("/") or url.query_string or url.fragment
    if more or url.port == 0 or not _HOST.fullmatch(url.host_subcomponent or ""):
        raise CannotStart(
            "{shown} is no root URL; give one such as https://api.eeo.cn", shown=shown
        )
    if url.scheme != "https" and not (url.scheme == "http" and url.host in LOOPBACK):
        raise CannotStart(
            "{shown} is not https; http is allowed for this computer only", shown=shown
        )
    return root


_cached_date: Final = lru_cache(maxsize=8)(http_date)  # one answer in a thousand has a new second


class Client:
    """Connections to one institution's API host; an async context manager."""

    def __init__(
        self,
        root_url: str,
        path: str,
        credentials: Credentials,
        *,
        connections: int,
        timeout: float = TIMEOUT_S,
        may_send: Callable[[], bool] | None = None,
    ) -> None:
        """`timeout` is in seconds, for one whole attempt.

        `may_send` is asked right before the first byte, when connecting may have taken seconds.
        """
        self._may_send = may_send
        self._url = URL(check_root_url(root_url) + path)
        self._credentials = credentials
        self._connections = connections
        self._timeout_s = timeout
        # No sock_read: the total limits slow replies, too, and one more timer for each request
        # would cost a tenth of it.
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=min(_CONNECT_S, timeout))
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._connections, ssl=_tls() if self._url.scheme == "https" else True
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            auto_decompress=False,
            trust_env=False,
            headers=_FIXED_HEADERS,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session:
            await self._session.close()

    async def send(self, body: Body, timestamp: int) -> Reply | NoReply:
        """Stamp, sign and send once; never raises for anything the server does.

        `timestamp` is in Unix seconds by ClassIn's clock.
        """
        return await self._post(body, timestamp, "bytes")

    async def send_by_characters(self, body: Body, timestamp: int) -> Reply | NoReply:
        """The same, signed by a rule that counts the characters of long texts, not their bytes."""
        return await self._post(body, timestamp, "characters")

    async def _post(self, body: Body, timestamp: int, counting: Counting) -> Reply | NoReply:
        if self._session is None:
            raise RuntimeError("the client is not open")
        try:
            payload = _TrackedBody(encode(body), content_type="application/json")
            signed = headers(body, self._credentials, timestamp, counting)
        except UnicodeEncodeError:
            return NoReply("send.unencodable", sent=False)
        payload.may_send = self._may_send
        private = (self._credentials.secret.reveal(), signed["X-EEO-SIGN"])
        try:
            async with self._session.post(
                self._url, data=payload, headers=signed, allow_redirects=False
            ) as response:
                return await _read(response, private)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as exc:
            return self._no_reply(exc, sent=payload.begun)

    def _no_reply(self, exc: Exception, *, sent: bool) -> NoReply:
        """Name a failure; `str(exc)` may contain a signature, so only selected parts are kept."""
        if isinstance(exc, ssl.SSLCertVerificationError | aiohttp.ClientSSLError):
            return NoReply("send.certificate", sent, _tls_reason(exc), fatal=True)
        if not sent and _cannot_connect_at_all(exc):
            return NoReply("send.exhausted", sent, fatal=True)
        if not sent:
            return NoReply("send.not_connected", sent, _reason(exc))
        if isinstance(exc, TimeoutError):
            return NoReply("send.timeout", sent, f"{self._timeout_s:g}")
        flaw = _http_flaw(exc)
        return NoReply("reply.not_json", sent, flaw) if flaw else NoReply("send.lost", sent)


class _TrackedBody(aiohttp.BytesPayload):
    """A body that records whether its first byte was passed to the connection.

    aiohttp (from 3.12 on) keeps the headers in a buffer until the body's first chunk is written;
    only with `Expect: 100-continue` or an empty body they are sent alone, and ours has neither.  If
    a cancellation at that moment sends them alone, they announce a body that does not come, and no
    server acts on that.  So a body that has not begun was never sent; one that has may still be in
    a buffer, which counts as sent to be safe.

    The trace hook for sent headers gives no more information: it is called when they are put in
    that buffer, and costs ten times as much.
    """

    begun = False
    may_send: Callable[[], bool] | None = None

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        if self.may_send and not self.may_send():
            raise aiohttp.ClientConnectionError
        self.begun = True
        await super().write_with_length(writer, content_length)


def _tls() -> ssl.SSLContext:
    # Not ssl.create_default_context(), which writes session keys to SSLKEYLOGFILE.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


async def _read(response: aiohttp.ClientResponse, private: tuple[str, ...]) -> Reply | NoReply:
    body = await _read_bounded(response)
    if len(body) <= MAX_ANSWER:
        coding = response.headers.get("Content-Encoding", "identity").strip().lower()
        try:
            body = _decompress(body, coding)
        except (zlib.error, ValueError):
            flaw = _DAMAGED if coding in _WBITS else _UNKNOWN_CODING
            return NoReply("reply.not_json", sent=True, detail=flaw)
    if len(body) > MAX_ANSWER:
        response.close()
        return NoReply("reply.too_large", sent=True, detail=str(MAX_ANSWER))
    body = _to_utf8(body, response.charset)
    return Reply(
        status=response.status,
        body=body,
        date=_cached_date(response.headers.get("Date", "")),
        retry_after=response.headers.get("Retry-After"),
        location=response.headers.get("Location"),
        private=private,
    )


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes:
    """Read at most one byte more than `MAX_ANSWER`."""
    chunks, size = [], 0
    while size <= MAX_ANSWER and not response.content.at_eof():
        chunk = await response.content.read(MAX_ANSWER + 1 - size)
        if not chunk:
            break
        chunks.append(chunk)
        size += len(chunk)
    return b"".join(chunks)


def _http_flaw(exc: BaseException | None) -> Text | None:
    """What is wrong with the HTTP of a reply; None if there was no reply."""
    if not isinstance(exc, aiohttp.ClientResponseError):
        return None
    of_parser = exc.__cause__ and (exc.__cause__.__cause__ or exc.__cause__.__context__)
    if isinstance(exc.__cause__, LineTooLong) or isinstance(of_parser, LineTooLong):
        return Text("a field of its header is longer than 8 KB")
    if "Too many headers" in exc.message:
        return Text("its header has too many fields")
    return Text("it is no HTTP that can be read")


_UNKNOWN_CODING: Final = Text("it is compressed in a way that was not asked for")
_DAMAGED: Final = Text("it is compressed, and damaged or cut short")
_WBITS: Final = {"gzip": 31, "x-gzip": 31, "deflate": 47}
"""`zlib`'s wbits for a gzip header, and for a gzip or zlib header."""


def _decompress(body: bytes, coding: str) -> bytes:
    """Decompress a body, up to one byte more than `MAX_ANSWER`.

    Raises:
        ValueError: the compression is unknown, or the body incomplete.
        zlib.error: the body is damaged.

    """
    if coding in {"", "identity"}:
        return body
    if coding not in _WBITS:
        raise ValueError(coding)
    opened = zlib.decompressobj(_WBITS[coding])
    found = opened.decompress(body, MAX_ANSWER + 1)
    if not opened.eof and len(found) <= MAX_ANSWER:
        raise ValueError(coding)
    return found


_CHINESE: Final = frozenset({"gbk", "gb2312", "gb18030", "cp936"})


def _to_utf8(body: bytes, charset: str | None) -> bytes:
    """Convert a body to UTF-8 if it is declared or looks like GB18030."""
    said = (charset or "").lower().replace("_", "-")
    if said not in _CHINESE and (said or _is_utf8(body)):
        return body
    try:
        return body.decode("gb18030").encode()
    except UnicodeDecodeError:
        return body


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


_TOO_SLOW: Final = Text("connecting took too long")


def _reason(exc: Exception) -> Text:
    if isinstance(exc, aiohttp.ClientConnectorDNSError):
        return Text("the name {host} is not known here", {"host": exc.host})
    if isinstance(exc, aiohttp.ClientConnectorError):
        host, why = f"{exc.host}:{exc.port}", _system_reason(exc.os_error)
        return Text("{host} does not answer ({why})", {"host": host, "why": why})
    if isinstance(exc, TimeoutError):
        return _TOO_SLOW
    return Text("the connection broke before anything was sent")


_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})


def _cannot_connect_at_all(exc: Exception) -> bool:
    """Whether this computer has no file descriptors or memory left for connections.

    A failed name lookup may be a sign of it, since that opens files, too.
    """
    if is_exhausted(exc.os_error if isinstance(exc, aiohttp.ClientConnectorError) else exc):
        return True
    try:
        socket.socket().close()
    except OSError as found:
        return is_exhausted(found)
    return False


def is_exhausted(exc: BaseException) -> bool:
    """Whether an exception means that the system's resources are exhausted."""
    return isinstance(exc, OSError) and exc.errno in _EXHAUSTED


def _system_reason(error: OSError) -> Text:
    """A system error as a translatable phrase; the system's own texts quote addresses."""
    for kinds, numbers, words in _SYSTEM:
        if isinstance(error, kinds) or error.errno in numbers:
            return words
    if error.errno:
        return Text("error {number} of the system", {"number": error.errno})
    return Text("the system gives no reason")


_REFUSES: Final = Text("it refuses connections")
_BREAKS_OFF: Final = Text("it breaks connections off")
_NO_WAY: Final = Text("no network leads there")
_NOT_ALLOWED: Final = Text("this computer does not allow it")
_SYSTEM: Final[Sequence[tuple[tuple[type[OSError], ...], Set[int], Text]]] = (
    ((ConnectionRefusedError,), frozenset(), _REFUSES),
    (
        (ConnectionResetError, ConnectionAbortedError, BrokenPipeError),
        frozenset(),
        _BREAKS_OFF,
    ),
    ((TimeoutError,), frozenset(), _TOO_SLOW),
    ((PermissionError,), frozenset(), _NOT_ALLOWED),
    (
        (),
        frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL}),
        _NO_WAY,
    ),
)


def _tls_reason(exc: Exception) -> Text:
    cause = getattr(exc, "certificate_error", exc)
    reason = _VERIFY_ERRORS.get(getattr(cause, "verify_code", 0), _NOT_TRUSTED)
    chosen = os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR")
    return _NOT_LISTED if chosen and reason is _UNTRUSTED_ISSUER else reason


_NOT_LISTED: Final = Text("nobody that SSL_CERT_FILE or SSL_CERT_DIR lists has signed it")
_NOT_TRUSTED: Final = Text("it does not speak TLS as it should")
_UNTRUSTED_ISSUER: Final = Text("nobody this computer trusts has signed it")
_WRONG_HOST: Final = Text("it is that of another host")
_VERIFY_ERRORS: Final = {
    2: _UNTRUSTED_ISSUER,
    9: Text("it is not valid yet"),
    10: Text("it has expired"),
    18: _UNTRUSTED_ISSUER,
    19: _UNTRUSTED_ISSUER,
    20: _UNTRUSTED_ISSUER,
    21: _UNTRUSTED_ISSUER,
    62: _WRONG_HOST,
    64: _WRONG_HOST,
}
"""OpenSSL's X509_V_ERR_ codes that occur in practice (docs.openssl.org, x509_vfy.h)."""
