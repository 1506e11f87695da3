"""Who may talk to the page: every request that is not the user's own browser's is refused."""

import asyncio
import json
import socket
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import pytest

from bulkcast.web.page_server import ServeOptions, link_of_another, serving
from bulkcast.web.security import HEADERS, IDLE_S, Sessions
from tests.page_client import SAME_ORIGIN, PageClient, page

ORIGIN = "http://127.0.0.1:{port}"


def _port(client: PageClient) -> str:
    return client.root.rpartition(":")[2]


def _filled(headers: Mapping[str, str], client: PageClient) -> dict[str, str]:
    return {name: value.format(port=_port(client)) for name, value in headers.items()}


FOREIGN_HOSTS = (
    "evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost", "localhost:1",
    "127.0.0.1.evil.example:{port}", "127.0.0.1:{port}.evil.example", "0.0.0.0:{port}",
    "127.0.0.1:{port}@evil.example", "127.1:{port}", "2130706433:{port}", "[::1]:{port}",
    "evil.example/127.0.0.1:{port}", "localhost.evil.example:{port}", "127.0.0.1:{port},evil",
)  # fmt: skip


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
async def test_a_request_to_another_name_is_refused_even_with_the_session(
    tmp_path: Path, host: str
) -> None:
    async with page(tmp_path) as client:
        for path in ("/", "/static/style.css", "/nothing"):
            answer = await client.get(path, headers=_filled({"Host": host}, client))
            assert answer.status in {400, 403}, (path, answer.text)
            assert "bulkcast" not in answer.text


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}"])
async def test_names_of_this_computer_are_accepted(tmp_path: Path, host: str) -> None:
    async with page(tmp_path) as client:
        answer = await client.get("/static/style.css", headers=_filled({"Host": host}, client))
        assert answer.status == 200


FOREIGN_POSTS: tuple[Mapping[str, str], ...] = (
    {},  # no browser
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},  # another port of this computer
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "cross-site", "Origin": ORIGIN},
    {"Sec-Fetch-Site": "same-site", "Origin": ORIGIN},
    {"Sec-Fetch-Site": "none", "Origin": ORIGIN},
    {"Sec-Fetch-Site": "same-origin", "Origin": "http://evil.example"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "null"},
    {"Origin": "http://evil.example"},
    {"Origin": "http://127.0.0.1:1"},
    {"Origin": "https://127.0.0.1:{port}"},
    {"Origin": "http://localhost:{port}"},  # the cookie is 127.0.0.1's
    {"Origin": "null"},
    {"Referer": ORIGIN + "/"},
)


@pytest.mark.parametrize("headers", FOREIGN_POSTS)
async def test_nothing_is_changed_for_another_origin(
    tmp_path: Path, headers: Mapping[str, str]
) -> None:
    async with page(tmp_path) as client:
        assert await _choose_language(client, _filled(headers, client)) == 403


@pytest.mark.parametrize(
    "headers",
    [{"Sec-Fetch-Site": "same-origin", "Origin": ORIGIN}, {"Origin": ORIGIN}, SAME_ORIGIN],
)
async def test_the_page_itself_may_change_things(
    tmp_path: Path, headers: Mapping[str, str]
) -> None:
    async with page(tmp_path) as client:
        assert await _choose_language(client, _filled(headers, client)) == 303


async def _choose_language(client: PageClient, headers: Mapping[str, str]) -> int:
    url = f"{client.root}/language"
    async with client.session.post(
        url, data={"lang": "zh"}, headers=headers, allow_redirects=False
    ) as got:
        assert (got.status == 303) == ("Set-Cookie" in got.headers)
        return got.status


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
async def test_only_get_and_post_are_methods(tmp_path: Path, method: str) -> None:
    async with page(tmp_path) as client:
        url = client.root + "/"
        async with client.session.request(method, url, headers=SAME_ORIGIN) as got:
            assert got.status == 405
            assert not [name for name in got.headers if name.startswith("Access-Control")]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),  # <img>, <script>
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}, 403),  # fetch()
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        (
            {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate",
             "Sec-Fetch-Dest": "iframe"}, 403,
        ),
        (
            {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate",
             "Sec-Fetch-Dest": "document"}, 200,
        ),
        ({"Sec-Fetch-Site": "none"}, 200),
    ],
)  # fmt: skip
async def test_other_pages_cannot_embed_or_fetch_it(
    tmp_path: Path, headers: Mapping[str, str], status: int
) -> None:
    async with page(tmp_path) as client:
        assert (await client.get("/", headers=dict(headers))).status == status


async def test_nothing_is_shown_without_a_session(tmp_path: Path) -> None:
    async with page(tmp_path) as client, aiohttp.ClientSession() as stranger:
        for path in ("/", "/upload", "/settings", "/nothing", "/?token=", "/?token=" + "x" * 43):
            async with stranger.get(client.root + path) as got:
                assert got.status == 403
                assert "bulkcast serve" in await got.text()


async def test_a_link_begins_one_session_only(tmp_path: Path) -> None:
    async with page(tmp_path) as client, aiohttp.ClientSession() as stranger:
        async with stranger.get(client.link) as got:
            assert got.status == 403
        # The same browser, whose user opens the link a second time, goes on.
        assert (await client.get(f"/?token={client.token}")).status == 200


async def test_a_head_request_does_not_use_up_the_link(tmp_path: Path) -> None:
    options = ServeOptions({"BULKCAST_HOME": str(tmp_path)}, port=0)
    async with serving(options) as link, aiohttp.ClientSession() as session:
        async with session.head(link) as got:
            assert got.status == 403
        async with session.get(link, allow_redirects=False) as got:
            assert got.status == 303


async def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(tmp_path: Path) -> None:
    options = ServeOptions({"BULKCAST_HOME": str(tmp_path)}, port=0)
    async with (
        serving(options) as link,
        aiohttp.ClientSession() as session,
        session.get(link, allow_redirects=False) as got,
    ):
        cookie = got.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Domain" not in cookie
    port = link.split("/")[2].rpartition(":")[2]
    assert cookie.startswith(f"bulkcast-{port}=")


@pytest.mark.parametrize("path", ["/", "/static/style.css", "/static/run.js", "/nothing"])
async def test_every_answer_carries_the_headers(tmp_path: Path, path: str) -> None:
    async with page(tmp_path) as client:
        for headers in ({}, {"Host": "evil.example"}):
            answer = await client.get(path, headers=headers)
            assert {name: answer.headers[name] for name in HEADERS} == dict(HEADERS)
            assert "Server" not in answer.headers


def test_the_policy_allows_nothing_inline_and_no_other_host() -> None:
    policy = HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "*" not in policy


@pytest.mark.parametrize(
    "path",
    ["/static/../page_server.py", "/static/..%2fpage_server.py", "/static/%2e%2e/__init__.py",
     "/static/", "//evil.example/static/", "/static/..\\..\\pyproject.toml"],
)  # fmt: skip
async def test_no_path_leads_out_of_the_static_files(tmp_path: Path, path: str) -> None:
    async with page(tmp_path) as client:
        assert await _first_line(client, f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{_port(client)}")


async def test_two_hosts_in_one_request_are_refused(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        own = f"127.0.0.1:{_port(client)}"
        request = f"GET /static/style.css HTTP/1.1\r\nHost: {own}\r\nHost: evil.example"
        assert await _first_line(client, request) in {b"400", b"403"}


@pytest.mark.parametrize("head", ["GET / HTTP/1.1", "GET / HTTP/1.1\r\nHost:"])
async def test_a_request_without_a_host_is_refused(tmp_path: Path, head: str) -> None:
    async with page(tmp_path) as client:
        assert await _first_line(client, head) in {b"400", b"403"}


async def _first_line(client: PageClient, head: str) -> bytes:
    """The status of a request written by hand; none of these may succeed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(_port(client)))
    writer.write(f"{head}\r\nConnection: close\r\n\r\n".encode())
    status = (await reader.readline()).split()[1]
    writer.close()
    assert status in {b"400", b"403", b"404"}
    return status


@pytest.mark.parametrize("back", ["//evil.example", "/\\evil.example", "https://evil.example", "x"])
async def test_the_language_leads_back_to_this_page_only(tmp_path: Path, back: str) -> None:
    async with page(tmp_path) as client:
        url, form = f"{client.root}/language", {"lang": "zh", "back": back}
        async with client.session.post(
            url, data=form, headers=SAME_ORIGIN, allow_redirects=False
        ) as got:
            assert got.headers["Location"] == "/"


async def test_the_page_listens_on_this_computer_only(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        assert client.root.startswith("http://127.0.0.1:")
        other = _address_for_others()
        if other:
            with pytest.raises(OSError, match=r"refused|Connect"):
                await asyncio.open_connection(other, int(_port(client)))


def _address_for_others() -> str | None:
    """An address of this computer that others can reach, if it has one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing; TEST-NET-1 of RFC 5737
        except OSError:
            return None
        address = str(probe.getsockname()[0])
    return None if address.startswith("127.") else address


# ------------------------------------------------------------------ sessions and the second page


async def test_a_tab_stays_signed_in_when_the_page_is_started_again(tmp_path: Path) -> None:
    environ = {"BULKCAST_HOME": str(tmp_path)}
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        async with serving(ServeOptions(environ, port=0)) as link, session.get(link) as got:
            assert got.status == 200
        port = int(link.split("/")[2].rpartition(":")[2])
        address = link.partition("?")[0]
        async with serving(ServeOptions(environ, port=port)), session.get(address) as got:
            assert got.status == 200


def test_a_session_ends_when_it_is_not_used(tmp_path: Path) -> None:
    now = [1000.0]
    sessions = Sessions(tmp_path / "sessions.json", lambda: now[0])
    session = sessions.redeem(sessions.new_link())
    assert session is not None
    now[0] += IDLE_S - 1
    assert sessions.is_valid(session)
    now[0] += IDLE_S - 1
    assert sessions.is_valid(session)
    now[0] += IDLE_S + 1
    assert not sessions.is_valid(session)


def test_no_token_reaches_a_file(tmp_path: Path) -> None:
    place = tmp_path / "sessions.json"
    sessions = Sessions(place)
    token = sessions.new_link()
    session = sessions.redeem(token)
    assert session is not None
    written = place.read_text()
    assert token not in written
    assert session not in written
    if sys.platform != "win32":
        assert stat.S_IMODE(place.stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": "b"}', "\x00", "null"])
def test_a_damaged_file_of_sessions_signs_everybody_out(tmp_path: Path, text: str) -> None:
    place = tmp_path / "sessions.json"
    place.write_text(text)
    sessions = Sessions(place)
    assert not sessions.is_valid("a")
    session = sessions.redeem(sessions.new_link())
    assert session is not None
    assert Sessions(place).is_valid(session)


def test_a_full_disk_locks_nobody_out(tmp_path: Path) -> None:
    now = [1_000_000.0]
    (tmp_path / "file").touch()
    sessions = Sessions(tmp_path / "file" / "sessions.json", lambda: now[0])
    session = sessions.redeem(sessions.new_link())
    assert session is not None
    now[0] += 100
    assert sessions.is_valid(session)


async def test_a_second_serve_gets_a_link_to_the_first(tmp_path: Path) -> None:
    options = ServeOptions({"BULKCAST_HOME": str(tmp_path)}, port=0)
    assert await link_of_another(tmp_path) is None
    async with serving(options) as link:
        other = await link_of_another(tmp_path)
        assert other is not None
        assert other.partition("?")[0] == link.partition("?")[0]
        assert other != link
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(cookie_jar=jar) as session, session.get(other) as got:
            assert got.status == 200
    assert await link_of_another(tmp_path) is None


async def test_only_who_can_read_the_key_gets_a_link(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        url = f"{client.root}/link"
        for headers in ({}, {"X-Bulkcast-Key": ""}, {"X-Bulkcast-Key": "x" * 43}):
            async with client.session.post(url, headers=headers) as got:
                assert got.status == 403
        place = tmp_path / "page.json"
        if sys.platform != "win32":
            assert stat.S_IMODE(place.stat().st_mode) == 0o600
        key = json.loads(place.read_text())["key"]
        async with client.session.post(url, headers={"X-Bulkcast-Key": key}) as got:
            assert got.status == 200


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[1]", '{"url": "http://evil.example/", "key": "k"}',
     '{"url": "http://127.0.0.1:1/", "key": "k"}', '{"url": 7, "key": null}'],
)  # fmt: skip
async def test_a_stale_or_damaged_note_is_no_page(tmp_path: Path, text: str) -> None:
    (tmp_path / "page.json").write_text(text)
    assert await link_of_another(tmp_path) is None
