"""Starts the page, tells where it is, and stops it.

One page serves one BULKCAST_HOME: where it runs already, it is asked for a new link.
"""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp import web

from bulkcast import config, pipeline
from bulkcast.errors import CannotStart
from bulkcast.home import write_private
from bulkcast.model import Secret
from bulkcast.notification import Recipients
from bulkcast.web import application, security
from bulkcast.web.accounts import Accounts
from bulkcast.web.page_state import PageState
from bulkcast.web.security import Sessions

HOST: Final = "127.0.0.1"
PORT: Final = 8355
"""The same each time, so that open tabs find the page again when it is started again."""
_FILE: Final = "page.json"
_SESSIONS: Final = "page-sessions.json"
_SHUTDOWN_S: Final = 5.0
_ANSWER_S: Final = 3.0


def _learn_nothing(_secret: Secret) -> None:
    """Nothing is logged."""


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """How to serve the page."""

    environ: Mapping[str, str]
    port: int | None = None
    """None for the usual one, or any free one where that is taken; 0 for any free one."""
    recipients: Recipients = field(default_factory=Recipients)
    learn: Callable[[Secret], None] = _learn_nothing
    """Is given each secret that is used, to keep it out of logs."""


@asynccontextmanager
async def serving(options: ServeOptions) -> AsyncIterator[str]:
    """Serve the page while the block runs; gives a link that works once.

    Raises:
        CannotStart: the port is taken.

    """
    async with opened(options) as state:
        yield link(state.address, state.sessions.new_link())


@asynccontextmanager
async def opened(options: ServeOptions) -> AsyncIterator[PageState]:
    """The same; gives what the screens share.

    At the end runs are stopped, while their sandbox still answers, and then the screens.
    """
    home = config.home(options.environ)
    accounts = Accounts(home, options.environ, options.learn)
    sessions = Sessions(home / _SESSIONS)
    state = PageState(home, options.environ, sessions, accounts, recipients=options.recipients)
    pipeline.remove_handed_out(home)
    pipeline.remove_handed_out(home / config.SANDBOX_FOLDER)
    runner = web.AppRunner(application.make(state), access_log=None, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    try:
        state.port = await _listen(runner, options.port)
        async with accounts.rehearsals():
            place = home / _FILE
            written = {"url": state.address, "key": state.sessions.key}
            write_private(place, json.dumps(written))
            try:
                yield state
            finally:
                await state.runs.close()
                _forget(place, state.sessions.key)
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, port: int | None) -> int:
    """Listen on this computer's own address; returns the port."""
    for wanted in (PORT, 0) if port is None else (port,):
        try:
            await web.TCPSite(runner, HOST, wanted).start()
        except OSError as exc:
            taken = exc
            continue
        return int(runner.addresses[0][1])
    raise CannotStart(
        "port {port} cannot be used: {why}; choose another with --port, or 0 for any free one",
        port=port,
        why=taken.strerror or taken,
    )


def link(address: str, token: str) -> str:
    """The link that begins a session."""
    return f"{address}?token={token}"


def _forget(place: Path, key: str) -> None:
    """Remove the file that says where the page is, unless it is another page's by now."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        if json.loads(place.read_text(encoding="utf-8"))["key"] == key:
            place.unlink()


async def link_of_another(home: Path) -> str | None:
    """A new link to the page that serves `home` already; None if there is none."""
    try:
        found = json.loads((home / _FILE).read_text(encoding="utf-8"))
        address, key = str(found["url"]), str(found["key"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    if not address.startswith(f"http://{HOST}:"):
        return None
    timeout = aiohttp.ClientTimeout(total=_ANSWER_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
            session.post(
                address.rstrip("/") + security.LINK_PATH,
                headers={security.KEY_HEADER: key},
                allow_redirects=False,
            ) as answer,
        ):
            said = await answer.json()
            return link(address, str(said["token"]))
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError, TypeError, KeyError):
        return None
