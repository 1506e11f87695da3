"""The client against servers of every kind: what it follows, reads, believes and gives away."""

import asyncio
import contextlib
import gzip
import os
import shutil
import socket
import ssl
import subprocess
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcast.client import MAX_ANSWER, Client, check_root_url
from bulkcast.endpoints import WEBCAST
from bulkcast.errors import CannotStart
from bulkcast.model import Credentials, Secret, Text
from bulkcast.protocol import NoReply, Reply, signature
from bulkcast.version import VERSION
from tests.dispatcher_harness import met
from tests.virtual_loop import VirtualLoop, run

SECRET = "canary-Mb7SR6H"  # noqa: S105 - a word to look for
PASSWORD = "canary-4711"  # noqa: S105 - as above
CREDENTIALS = Credentials("1000082", Secret(SECRET))
STAMP = 1_803_859_200
BODY = (("activityId", 25_096_094), ("watchPassword", PASSWORD))
GOOD = b'{"code":1}'

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def http(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """A whole answer."""
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(head).encode() + body


@dataclass
class Server:
    """What a raw server saw."""

    port: int = 0
    connections: int = 0
    received: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextlib.asynccontextmanager
async def serving(
    answer: bytes | Answer, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    """A server that reads whole requests and answers each of them alike."""
    seen = Server()
    under_way: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.connections += 1
        if task := asyncio.current_task():
            under_way[task] = writer
        with contextlib.suppress(OSError, EOFError):
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r")[0])
                seen.received.append(head + await reader.readexactly(length))
                if isinstance(answer, bytes):
                    writer.write(answer)
                else:
                    await answer(reader, writer)
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    seen.port = server.sockets[0].getsockname()[1]
    try:
        yield seen
    finally:
        server.close()
        for writer in under_way.values():
            writer.transport.abort()
        await asyncio.gather(*under_way)


def client(root_url: str, *, timeout: float = 20.0, connections: int = 4) -> Client:
    return Client(root_url, WEBCAST.path, CREDENTIALS, connections=connections, timeout=timeout)


async def send_once(root_url: str, *, timeout: float = 20.0) -> Reply | NoReply:
    async with client(root_url, timeout=timeout) as opened:
        return await opened.send(BODY, STAMP)


def answer_to(answer: bytes | Answer, *, timeout: float = 20.0) -> tuple[Reply | NoReply, float]:
    """What comes of one send, and how long it took in virtual time."""

    async def main(loop: VirtualLoop) -> tuple[Reply | NoReply, float]:
        async with serving(answer) as server:
            began = loop.time()
            reply = await send_once(server.url, timeout=timeout)
            return reply, loop.time() - began

    return run(main)


def assert_discreet(reply: Reply | NoReply) -> NoReply:
    """No reply, and neither secret nor signature in what is said of it."""
    assert isinstance(reply, NoReply)
    for word in (SECRET, PASSWORD, signature(BODY, CREDENTIALS, STAMP)):
        assert word not in repr(reply)
    return reply


# ------------------------------------------------------------------ what is sent


async def test_a_request_is_one_signed_post_with_nothing_more_than_it_needs() -> None:
    async with serving(http(GOOD)) as server:
        reply = await send_once(server.url)

    assert reply == Reply(200, GOOD)
    head, _, body = server.received[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    names = {line.partition(":")[0].lower() for line in lines[1:]}
    assert lines[0] == "POST /lms/activity/setWebcast HTTP/1.1"
    assert body == b'{"activityId":25096094,"watchPassword":"canary-4711"}'
    assert f"X-EEO-SIGN: {signature(BODY, CREDENTIALS, STAMP)}" in lines
    assert f"X-EEO-TS: {STAMP}" in lines
    assert "Accept-Encoding: identity" in lines
    assert f"User-Agent: bulkcast/{VERSION}" in lines
    assert names == {
        "host", "accept", "accept-encoding", "x-eeo-sign", "x-eeo-uid", "x-eeo-ts",
        "content-type", "user-agent", "content-length",
    }  # fmt: skip


async def test_a_program_that_may_no_longer_send_sends_nothing_even_on_an_open_connection() -> None:
    may_send = iter([True, False, False])
    async with serving(http(GOOD)) as server:
        one = Client(
            server.url,
            WEBCAST.path,
            CREDENTIALS,
            connections=1,
            may_send=lambda: next(may_send),
        )
        async with one:
            replies = [await one.send(BODY, STAMP) for _ in range(3)]

    assert replies[0] == Reply(200, GOOD)
    assert [assert_discreet(reply).sent for reply in replies[1:]] == [False, False]
    assert len(server.received) == 1


async def test_cookies_are_not_kept() -> None:
    async with serving(http(GOOD, "Set-Cookie: a=b; Path=/")) as server, client(server.url) as one:
        for _ in range(2):
            await one.send(BODY, STAMP)

    assert all(b"cookie" not in request.lower() for request in server.received)


async def test_a_connection_is_kept_for_the_next_request() -> None:
    async with serving(http(GOOD)) as server, client(server.url) as one:
        for _ in range(5):
            assert isinstance(await one.send(BODY, STAMP), Reply)

    assert (server.connections, len(server.received)) == (1, 5)


# ------------------------------------------------------------------ where it goes


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("elsewhere", ["same", "other"])
async def test_a_redirect_is_never_followed(status: int, elsewhere: str) -> None:
    async with serving(http(GOOD)) as other:
        where = f"{other.url if elsewhere == 'other' else ''}/lms/activity/setWebcast"
        answer = http(b"", f"Location: {where}", status=f"{status} Moved")
        async with serving(answer) as server:
            reply = await send_once(server.url)

    assert isinstance(reply, Reply)
    assert (reply.status, reply.location) == (status, where)
    assert (len(server.received), other.connections) == (1, 0)


async def test_proxies_and_netrc_of_the_environment_are_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password hunter2\n", "utf-8")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    async with serving(http(GOOD)) as proxy, serving(http(GOOD)) as server:
        for name in ("http_proxy", "https_proxy", "all_proxy", "ws_proxy"):
            monkeypatch.setenv(name, proxy.url)
            monkeypatch.setenv(name.upper(), proxy.url)
        monkeypatch.setenv("no_proxy", "")
        await send_once(server.url)

    assert proxy.connections == 0
    assert b"authorization" not in server.received[0].lower()


@pytest.mark.parametrize(
    ("text", "root"),
    [
        ("https://api.eeo.cn", "https://api.eeo.cn"),
        (" HTTPS://API.EEO.CN:443/ ", "https://api.eeo.cn"),
        ("https://api.eeo.cn:8443", "https://api.eeo.cn:8443"),
        ("https://Api.eeo.cn./", "https://api.eeo.cn"),
        ("http://localhost.:8080", "http://localhost:8080"),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
        ("http://localhost:80/", "http://localhost"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_a_root_url_has_one_spelling(text: str, root: str) -> None:
    assert check_root_url(text) == root
    assert check_root_url(root) == root


@pytest.mark.parametrize(
    "text",
    [
        "", "   ", "api.eeo.cn", "//api.eeo.cn", "https://", "https:///x", "ftp://api.eeo.cn",
        "javascript:alert(1)", "https://api.eeo.cn/v2", "https://api.eeo.cn//x",
        "https://api.eeo.cn?x=1", "https://api.eeo.cn#x", "https://api.eeo.cn:0",
        "https://api.eeo.cn:65536", "https://api.eeo.cn:-1", "https://api.eeo.cn:x",
        "https://[::1", "https://a b.cn", "https://a\\b", "https://a\x00", "https://a%2eb",
        "https://a\u202e.cn", "https://*", "https://a..b", "https://" + "a" * 64 + ".cn",
        "http://api.eeo.cn", "http://127.0.0.2", "http://0.0.0.0", "http://10.0.0.1",
        "http://localhost.evil.example", "http://127.0.0.1.evil.example", "http://0x7f.1",
        "http://127.0.0.1@evil.example", "https://@api.eeo.cn", "file:///etc/passwd",
    ],
)  # fmt: skip
def test_what_is_no_root_url_is_refused(text: str) -> None:
    with pytest.raises(CannotStart):
        check_root_url(text)


@pytest.mark.parametrize("text", ["https://me:hunter2@api.eeo.cn", "https://:hunter2@api.eeo.cn"])
def test_a_password_in_a_root_url_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(CannotStart, match="is no root URL") as refused:
        check_root_url(text)

    assert "hunter2" not in str(refused.value)


@given(st.text(max_size=60))
def test_no_text_makes_the_root_url_check_stumble(text: str) -> None:
    for candidate in (text, f"https://{text}", f"http://{text}"):
        with contextlib.suppress(CannotStart):
            root = check_root_url(candidate)
            assert root.startswith("https://") or "localhost" in root or "[::1]" in root


# ------------------------------------------------------------------ connecting


async def test_a_closed_port_is_not_sent_and_names_the_host() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        reply = assert_discreet(await send_once(f"http://127.0.0.1:{port}"))

    assert (reply.code, reply.sent, reply.fatal) == ("send.not_connected", False, False)
    assert str(reply.detail) == f"127.0.0.1:{port} does not answer (it refuses connections)"


async def test_an_unknown_name_is_not_sent() -> None:
    reply = assert_discreet(await send_once("https://no-such-host.invalid"))

    assert (reply.code, reply.sent, reply.fatal) == ("send.not_connected", False, False)


@pytest.mark.skipif(os.name == "nt", reason="Windows refuses where others let wait")
def test_a_server_too_busy_to_accept_is_given_up_after_five_seconds() -> None:
    async def main(loop: VirtualLoop) -> tuple[Reply | NoReply, float]:
        with contextlib.ExitStack() as stack:
            busy = stack.enter_context(socket.socket())
            busy.bind(("127.0.0.1", 0))
            busy.listen(0)
            for _ in range(3):
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(busy.getsockname())
            began = loop.time()
            reply = await send_once(f"http://127.0.0.1:{busy.getsockname()[1]}")
            return reply, loop.time() - began

    reply, took = run(main)

    assert assert_discreet(reply) == NoReply(
        "send.not_connected", False, Text("connecting took too long")
    )
    assert took == pytest.approx(5.0, abs=0.5)


# ------------------------------------------------------------------ TLS


class Authority:
    """A certificate authority of our own, and what it signs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "ca.pem"
        self.openssl(
            "req", "-x509", *_KEY, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca"
        )

    def openssl(self, *words: str) -> None:
        done = subprocess.run(
            ["openssl", *words], cwd=self.folder, capture_output=True, check=False, text=True
        )
        if done.returncode:
            pytest.skip(f"this openssl cannot do that: {done.stderr[-200:]}")

    def context(self, name: str, days: int = 2) -> ssl.SSLContext:
        """A server with a certificate for `name`."""
        (self.folder / "names").write_text(f"subjectAltName={name}\n", "utf-8")
        self.openssl("req", "-new", *_KEY, "-keyout", "a.key", "-out", "a.csr", "-subj", "/CN=x")
        self.openssl(
            "x509", "-req", "-in", "a.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-CAcreateserial", "-days", str(days), "-extfile", "names", "-out", "a.pem",
        )  # fmt: skip
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "a.pem", self.folder / "a.key")
        return context


_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
HERE = "DNS:localhost,IP:127.0.0.1"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make certificates with")
    return Authority(tmp_path)


async def over_tls(context: ssl.SSLContext) -> tuple[Reply | NoReply, Server]:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda *_: None)  # the server's side of a failed handshake
    async with serving(http(GOOD), tls=context) as server:
        return await send_once(f"https://localhost:{server.port}"), server


async def test_a_certificate_the_system_trusts_is_accepted(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))

    reply, _ = await over_tls(authority.context(HERE))

    assert reply == Reply(200, GOOD)


@pytest.mark.parametrize(
    ("trusted", "name", "days", "why"),
    [
        (False, HERE, 2, "nobody this computer trusts has signed it"),
        (True, HERE, -1, "it has expired"),
        (True, "DNS:api.eeo.cn", 2, "it is that of another host"),
    ],
    ids=["untrusted", "expired", "another host's"],
)
async def test_a_certificate_that_does_not_verify_is_fatal_and_nothing_is_sent(
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    trusted: bool,
    name: str,
    days: int,
    why: str,
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))

    reply, server = await over_tls(authority.context(name, days))

    refused = assert_discreet(reply)
    assert (refused.code, refused.sent, refused.fatal) == ("send.certificate", False, True)
    assert why in str(refused.detail)
    assert server.received == []


async def test_a_file_that_replaces_the_trusted_ones_is_named(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "none.pem").write_text("", "utf-8")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))

    reply, _ = await over_tls(authority.context(HERE))

    assert "SSL_CERT_FILE" in str(assert_discreet(reply).detail)


async def test_an_old_tls_is_refused(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    context = authority.context(HERE)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")

    reply, server = await over_tls(context)

    assert assert_discreet(reply).sent is False
    assert server.received == []


async def test_a_server_without_tls_on_a_tls_url_is_fatal() -> None:
    async def talk_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(http(GOOD))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk_first, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        reply = assert_discreet(await send_once(f"https://127.0.0.1:{port}"))

    assert (reply.code, reply.sent, reply.fatal) == ("send.certificate", False, True)


async def test_a_connection_that_breaks_in_the_handshake_is_no_certificate_problem() -> None:
    """A load balancer that goes down does this; it is worth another try."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(64)
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        reply = assert_discreet(await send_once(f"https://127.0.0.1:{port}"))

    assert (reply.code, reply.sent, reply.fatal) == ("send.not_connected", False, False)


async def test_session_keys_are_not_written_out(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = authority.folder / "keys.log"
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    monkeypatch.setenv("SSLKEYLOGFILE", str(keys))

    reply, _ = await over_tls(authority.context(HERE))

    assert isinstance(reply, Reply)
    assert not keys.exists()


# ------------------------------------------------------------------ in flight


async def hang_up_after_reading(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def test_a_server_that_reads_and_hangs_up_may_have_acted() -> None:
    async with serving(hang_up_after_reading) as server:
        reply = assert_discreet(await send_once(server.url))

    assert (reply.code, reply.sent, reply.fatal) == ("send.lost", True, False)
    assert len(server.received) == 1


@pytest.mark.parametrize("read", [0, 1, 20, 200, 100_000])
@pytest.mark.parametrize("abort", [True, False])
async def test_what_has_arrived_in_part_is_never_called_unsent(read: int, abort: bool) -> None:
    """A server that hangs up in the middle of the request, and of a long body."""
    arrived = 0

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal arrived
        arrived = len(await reader.read(read)) if read else 0
        if abort:
            writer.transport.abort()
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    body = (*BODY, ("webcastIntroduce", "x" * 900_000))
    async with server, client(url) as one:
        reply = await one.send(body, STAMP)

    assert isinstance(reply, NoReply)
    assert reply.sent or not arrived
    assert not reply.fatal


async def test_a_kept_connection_that_the_server_closes_is_not_sent_on_again_unasked() -> None:
    """aiohttp would repeat an idempotent method by itself; a POST it must not."""
    answers = iter([http(GOOD), b"", http(GOOD)])

    async def second_is_lost(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = next(answers)
        writer.write(answer)
        if not answer:
            writer.close()

    async with serving(second_is_lost) as server, client(server.url, connections=1) as one:
        replies = [await one.send(BODY, STAMP) for _ in range(3)]

    assert [isinstance(reply, Reply) for reply in replies] == [True, False, True]
    assert assert_discreet(replies[1]).sent is True
    assert len(server.received) == 3


@pytest.mark.parametrize("kept", range(len(http(GOOD))))
async def test_an_answer_cut_at_any_byte_is_lost(kept: int) -> None:
    async def cut(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(http(GOOD)[:kept])
        writer.close()

    async with serving(cut) as server:
        reply = assert_discreet(await send_once(server.url))

    assert (reply.code, reply.sent) == ("send.lost", True)


def drip(every: float) -> Answer:
    async def one_byte_after_another(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in http(GOOD, "X-Padding: " + "x" * 100):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(every)

    return one_byte_after_another


def test_an_answer_that_drips_is_cut_by_the_total_timeout() -> None:
    reply, took = answer_to(drip(0.5))

    assert assert_discreet(reply) == NoReply("send.timeout", True, "20")
    assert took == pytest.approx(20.0, abs=1.0)


def test_an_answer_that_drips_fast_enough_arrives() -> None:
    reply, _ = answer_to(drip(0.05))

    assert reply == Reply(200, GOOD)


@pytest.mark.parametrize("timeout", [2.0, 20.0])
def test_silence_is_given_up_after_the_time_for_one_attempt(timeout: float) -> None:
    async def nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    reply, took = answer_to(nothing, timeout=timeout)

    assert assert_discreet(reply) == NoReply("send.timeout", True, f"{timeout:g}")
    assert took == pytest.approx(timeout, abs=1.0)


# ------------------------------------------------------------------ answers


@pytest.mark.parametrize("more", [-1, 0, 1, 5000])
async def test_an_answer_is_read_up_to_its_bound(more: int) -> None:
    size = MAX_ANSWER + more
    async with serving(http(b"x" * size)) as server:
        reply = await send_once(server.url)

    if more <= 0:
        assert reply == Reply(200, b"x" * size)
    else:
        assert assert_discreet(reply) == NoReply("reply.too_large", True, str(MAX_ANSWER))


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_of_an_endless_answer_only_a_little_is_read(framing: str) -> None:
    """200 MB: what the server could get rid of tells how much was taken."""
    written = 0
    block = b"x" * 65536

    async def pour(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        if framing == "length":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 200000000\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        piece = block if framing == "length" else b"10000\r\n" + block + b"\r\n"
        while written < 200_000_000:
            writer.write(piece)
            await writer.drain()
            written += len(block)

    async with serving(pour) as server:
        reply = assert_discreet(await send_once(server.url))

    assert reply.code == "reply.too_large"
    assert written < 20_000_000


@pytest.mark.parametrize(
    ("coding", "pack"),
    [("gzip", gzip.compress), ("X-GZIP", gzip.compress), ("deflate", zlib.compress)],
)
async def test_a_compressed_answer_is_unpacked(coding: str, pack: Callable[[bytes], bytes]) -> None:
    packed = pack(GOOD)
    async with serving(http(packed, f"Content-Encoding: {coding}")) as server:
        assert await send_once(server.url) == Reply(200, GOOD)
    for cut in (0, 1, len(packed) // 2, len(packed) - 1):
        async with serving(http(packed[:cut], f"Content-Encoding: {coding}")) as server:
            reply = assert_discreet(await send_once(server.url))
        assert (reply.code, str(reply.detail)) == (
            "reply.not_json", "it is compressed, and damaged or cut short",
        )  # fmt: skip


@pytest.mark.parametrize("coding", ["br", "zstd", "x-unknown", "gzip, gzip"])
async def test_what_is_compressed_in_another_way_is_not_read(coding: str) -> None:
    async with serving(http(gzip.compress(GOOD), f"Content-Encoding: {coding}")) as server:
        reply = assert_discreet(await send_once(server.url))

    assert (reply.code, reply.sent) == ("reply.not_json", True)


async def test_of_a_bomb_only_a_little_is_unpacked() -> None:
    bomb = gzip.compress(bytes(60_000_000))
    async with serving(http(bomb, "Content-Encoding: gzip")) as server:
        reply = assert_discreet(await send_once(server.url))

    assert (reply.code, reply.sent) == ("reply.too_large", True)


SPOKEN = '{"code":101001001,"msg":"平时：课堂不存在，水平"}'


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("gbk", "; charset=GBK"), ("gb18030", "; charset=gb18030"), ("gbk", "; charset=gb2312"),
        ("gbk", ""), ("utf-8", ""), ("utf-8", "; charset=utf-8"),
    ],
)  # fmt: skip
async def test_an_answer_in_chinese_of_another_encoding_is_understood(
    encoding: str, said: str
) -> None:
    answer = http(SPOKEN.encode(encoding), f"Content-Type: application/json{said}")
    async with serving(answer) as server:
        reply = await send_once(server.url)

    assert reply == Reply(200, SPOKEN.encode())


@pytest.mark.parametrize(
    ("fields", "flaw"),
    [
        (["X: " + "y" * 100_000], "a field of its header is longer than 8 KB"),
        (["X: y"] * 20_000, "its header has too many fields"),
    ],
)
async def test_a_header_that_is_too_long_is_named(fields: list[str], flaw: str) -> None:
    async with serving(http(GOOD, *fields)) as server:
        reply = assert_discreet(await send_once(server.url))

    assert reply == NoReply("reply.not_json", True, Text(flaw))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_computer_without_a_descriptor_left_is_not_out_of_reach(host: str) -> None:
    resource = pytest.importorskip("resource")
    async with serving(http(GOOD)) as server, client(server.url.replace("127.0.0.1", host)) as one:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        held = [os.dup(0)]
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(held) + 8, hard))
        try:
            with contextlib.suppress(OSError):
                while True:
                    held.append(os.dup(0))
            reply = await one.send(BODY, STAMP)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for number in held:
                os.close(number)

    assert assert_discreet(reply) == NoReply("send.exhausted", False, fatal=True)


async def test_a_second_answer_behind_the_first_is_not_the_next_rows() -> None:
    answers = iter([http(b'{"code":1}') + http(b'{"code":666}'), http(b'{"code":2}')])

    async def smuggle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(next(answers))

    async with serving(smuggle) as server, client(server.url, connections=1) as one:
        replies = [await one.send(BODY, STAMP) for _ in range(2)]

    bodies = [reply.body for reply in replies if isinstance(reply, Reply)]
    assert bodies[0] == b'{"code":1}'
    assert b'{"code":666}' not in bodies


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n", b"\0" * 100, b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 9\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX\x00: y\r\n\r\n", b"\r\n" * 1000,
    ],
)  # fmt: skip
async def test_what_is_no_http_ends_in_no_reply_or_an_unjudged_one(answer: bytes) -> None:
    async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    async with serving(speak) as server:
        reply = await send_once(server.url, timeout=2.0)

    if isinstance(reply, NoReply):
        assert assert_discreet(reply).sent is True
    else:
        assert reply.body != GOOD


@pytest.mark.parametrize("start", [b"HTTP/1.1 ", b"HTTP/1.1 200 OK\r\nX\0", b"\0"])
async def test_a_request_thrown_back_is_not_quoted(start: bytes) -> None:
    """A parser's complaint quotes what it could not read; here that is our own signature."""

    async def throw_back(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sign = signature(BODY, CREDENTIALS, STAMP).encode()
        writer.write(start + b" X-EEO-SIGN: " + sign + b" " + PASSWORD.encode() + b"\r\n\r\n")
        writer.close()

    async with serving(throw_back) as server:
        reply = assert_discreet(await send_once(server.url))

    assert (reply.code, reply.sent) == ("reply.not_json", True)
    assert str(reply.detail) == "it is no HTTP that can be read"


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This computer's own time is none of the server's."""
    if not hasattr(time, "tzset"):
        pytest.skip("the time zone cannot be changed here")
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "America/New_York")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (formatdate(STAMP, usegmt=True), STAMP),
        ("Mon, 01 Mar 2027 00:00:00 -0000", STAMP),
        ("Mon, 01 Mar 2027 08:00:00 +0800", STAMP),
        ("Mon, 01 Mar 2027 00:00:00", STAMP),
        ("yesterday", None),
        ("Mon, 99 Mar 2027 00:00:00 GMT", None),
        ("", None),
    ],
)
async def test_the_servers_time_is_read_as_utc(
    header: str, seconds: float | None, elsewhere: None
) -> None:
    async with serving(http(GOOD, f"Date: {header}")) as server:
        reply = await send_once(server.url)

    assert isinstance(reply, Reply)
    assert reply.date == seconds


async def test_what_the_judge_needs_of_an_answer_comes_along() -> None:
    answer = http(b"later", "Retry-After: 7", status="429 Too Many Requests")
    async with serving(answer) as server:
        reply = await send_once(server.url)

    assert reply == Reply(429, b"later", retry_after="7")


async def test_a_body_with_half_a_surrogate_pair_is_no_traceback() -> None:
    async with serving(http(GOOD)) as server, client(server.url) as one:
        reply = await one.send((("activityId", 1), ("customColumn", "\ud800")), STAMP)

    assert reply == NoReply("send.unencodable", sent=False)
    assert server.received == []


async def test_a_client_that_is_not_open_says_so() -> None:
    with pytest.raises(RuntimeError, match="not open"):
        await client("https://api.eeo.cn").send(BODY, STAMP)


# ------------------------------------------------------------------ the sandbox's faults


@pytest.mark.parametrize(
    ("fault", "code", "sent"),
    [
        ("reset", "send.lost", True), ("close", "send.lost", True),
        ("truncated", "send.lost", True), ("hang:60", "send.timeout", True),
        ("drip:1", "send.timeout", True), ("big:1000000", "reply.too_large", True),
        ("gzip:1000000", "reply.too_large", True), ("ghost:2", "send.lost", True),
    ],
)  # fmt: skip
def test_each_fault_of_the_sandbox_has_its_name(fault: str, code: str, sent: bool) -> None:
    reply = met(fault)

    assert isinstance(reply, NoReply)
    assert (reply.code, reply.sent, reply.fatal) == (code, sent, False)
