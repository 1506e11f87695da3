"""Telling others that a run has ended: a real command, a real server, and what goes wrong there."""

import asyncio
import json
import os
import shlex
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bulkcast import notification
from bulkcast.errors import CannotStart
from bulkcast.model import ResultRow, RowStatus, Stop, Text
from bulkcast.notification import Recipients, document, notify, recipients
from bulkcast.pipeline import RunReport

SECRET = "school-secret-77"  # noqa: S105 - a word to look for
REPORT = RunReport(
    "20270301-1", "term.xlsx", 5, 2.34567, Path("term.results.xlsx"), None, 3,
    (
        ResultRow(2, RowStatus.APPLIED, "1", "", "", 1, "", "20270301-1"),
        ResultRow(3, RowStatus.REJECTED, "350", "cell text", "", 1, "", "20270301-1"),
    ),
)  # fmt: skip
WANTED = {
    "schema": "bulkcast.notification/1",
    "run": "20270301-1",
    "state": "finished",
    "exit": 3,
    "rows": 2,
    "counts": {status.value: 0 for status in RowStatus} | {"applied": 1, "rejected": 1},
    "elapsed_s": 2.346,
}


def program(tmp_path: Path, body: str) -> str:
    """A command that runs a Python program."""
    path = tmp_path / "with a space" / "told.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(body, "utf-8")
    return shlex.join([sys.executable, str(path)])


KEEPS = """
import json, os, sys
out = {out!r}
text = sys.stdin.read()
print("this is not for stdout")
json.dump({{"told": text, "env": dict(os.environ)}}, open(out, "w"))
"""


@asynccontextmanager
async def server(
    answer: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> AsyncIterator[str]:
    """A web server on this computer."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def answering(status: int) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Always the same answer."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status)

    return answer


# ------------------------------------------------------------------ what is told


def test_a_notification_has_counts_and_no_cell() -> None:
    assert document(REPORT) == WANTED
    stopped = replace(REPORT, stop=Stop("outage", "run.outage", exit_status=5), exit_status=5)
    assert document(stopped)["state"] == "stopped"


# ------------------------------------------------------------------ a command


async def test_a_command_gets_the_notification_and_no_secret(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.json"
    told = recipients(program(tmp_path, KEEPS.format(out=str(out))), None)
    environ = {**os.environ, "BULKCAST_SECRET": SECRET, "BULKCAST_SID": "1000082"}

    assert await notify(told, REPORT, environ) == []

    found = json.loads(out.read_text("utf-8"))
    assert json.loads(found["told"]) == WANTED
    assert found["env"]["BULKCAST_SID"] == "1000082"
    assert SECRET not in str(found)
    assert capfd.readouterr().out == ""


async def test_a_command_is_no_shell(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    command = program(tmp_path, KEEPS.format(out=str(out)))

    remarks = await notify(
        recipients(f"{command} ; touch {tmp_path / 'made'} && $(id) `id` | cat", None), REPORT, {}
    )

    assert remarks == []
    assert not (tmp_path / "made").exists()


async def test_a_command_that_reads_nothing_does_no_harm(tmp_path: Path) -> None:
    told = recipients(program(tmp_path, "import os; os.close(0)"), None)

    assert await notify(told, REPORT, os.environ) == []


@pytest.mark.parametrize(
    ("body", "said"), [("raise SystemExit(3)", "ended with 3."), ("1 / 0", "ended with 1.")]
)
async def test_a_command_that_fails_is_a_remark(tmp_path: Path, body: str, said: str) -> None:
    (remark,) = await notify(recipients(program(tmp_path, body), None), REPORT, os.environ)

    assert str(remark).endswith(said)


@pytest.mark.parametrize("command", ["no-such-program-here --x", "/", "a\0b"])
async def test_a_command_that_is_not_there_is_a_remark(command: str) -> None:
    (remark,) = await notify(recipients(command, None), REPORT, os.environ)

    assert "cannot be run" in str(remark)


async def test_a_command_that_hangs_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notification, "COMMAND_S", 0.3)
    told = recipients(program(tmp_path, "import time; time.sleep(60)"), None)

    (remark,) = await notify(told, REPORT, os.environ)

    assert "was ended after 0.3 seconds" in str(remark)


def test_quotes_that_do_not_match_are_refused() -> None:
    with pytest.raises(CannotStart, match="quotes"):
        recipients("'a", None)
    assert recipients(None, None) == recipients(" ", "") == Recipients()


# ------------------------------------------------------------------ a web address


async def test_a_web_address_gets_the_same_as_json() -> None:
    seen: list[tuple[str, str, Any]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append((request.method, request.content_type, await request.json()))
        return web.Response(status=204)

    async with server(answer) as url:
        assert await notify(recipients(None, f"{url}/hook?token=abc"), REPORT, {}) == []

    assert seen == [("POST", "application/json", WANTED)]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.path)
        return web.Response(status=status, headers={"Location": "/elsewhere"})

    async with server(answer) as url:
        (remark,) = await notify(recipients(None, f"{url}/hook"), REPORT, {})

    assert seen == ["/hook"]
    assert str(remark) == f"127.0.0.1 of --webhook answered HTTP {status}."


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with server(answering(200)) as url:
        assert await notify(recipients(None, url), REPORT, {}) == []


async def test_a_server_that_fails_hangs_or_is_gone_is_a_remark_without_the_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def hang(_: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    monkeypatch.setattr(notification, "WEBHOOK_S", 0.3)
    said: list[Text] = []
    async with server(answering(500)) as url:
        said += await notify(recipients(None, f"{url}/?token=abc"), REPORT, {})
    said += await notify(recipients(None, f"{url}/?token=abc"), REPORT, {})
    async with server(hang) as url:
        said += await notify(recipients(None, f"{url}/?token=abc"), REPORT, {})

    assert [str(remark) for remark in said] == [
        "127.0.0.1 of --webhook answered HTTP 500.",
        "127.0.0.1 of --webhook cannot be reached (ClientConnectorError).",
        "127.0.0.1 of --webhook did not answer within 0.3 seconds.",
    ]


@pytest.mark.parametrize(
    "address",
    [
        "http://hooks.example/x", "ftp://hooks.example", "hooks.example", "file:///etc/passwd",
        "https://user:token@hooks.example", "http://10.0.0.1/", "https://", "http://localhost.evil",
    ],
)  # fmt: skip
def test_an_address_that_is_not_https_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(CannotStart) as caught:
        recipients(None, address)
    assert str(caught.value) == (
        "--webhook must be an https address; http is for this computer only"
    )


def test_an_address_may_have_a_path_and_a_query() -> None:
    address = "https://hooks.example/services/T0/B0?x=1"

    assert recipients(None, address).webhook == address
