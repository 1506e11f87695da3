"""Runs of the page: its server and a sandbox in the test's event loop, over real HTTP."""

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import openpyxl

from bulkcast import pipeline
from bulkcast.endpoints import WEBCAST
from bulkcast.pipeline import PreparedRun, SendOptions
from bulkcast.sandbox import (
    SANDBOX_SECRET,
    SANDBOX_SID,
    Classroom,
    Sandbox,
    World,
    read_fault,
)
from bulkcast.web.accounts import Account
from bulkcast.web.live_runs import LiveRuns
from bulkcast.web.page_server import ServeOptions, link, opened
from bulkcast.web.page_state import PageState
from tests.dispatcher_harness import classroom
from tests.page_client import SAME_ORIGIN, Answer, PageClient
from tests.sheets import FIRST_ID, HEAD, cells, write_rows

FAST = SendOptions(rate=2_000.0)
NAME = "学期 Term 1.xlsx"
NOT_OURS = "code:121601031*"
"""The fault of a classroom that is not the institution's."""


@dataclass(frozen=True)
class Page:
    """The page, a browser without JavaScript, and the ClassIn it sends to."""

    client: PageClient
    state: PageState
    sandbox: Sandbox

    @property
    def runs(self) -> LiveRuns:
        return self.state.runs

    @property
    def account(self) -> Account:
        return self.state.accounts.current()

    async def start(
        self, sheet: Path, options: SendOptions = FAST, name: str = NAME, **choice: Any
    ) -> str:
        """Begin to send a sheet, as the plan screen does; returns the run's name."""
        prepared = await asyncio.to_thread(pipeline.prepare, sheet, **choice)
        planned = PreparedRun(prepared, self.account.config)
        return await self.runs.start(self.account, planned, options, name=name)

    async def over(self, run: str) -> None:
        """Wait until the page has no such run under way."""
        await until(lambda: self.runs.find(run) is None)

    async def done(self, sheet: Path, options: SendOptions = FAST, **more: Any) -> str:
        """Send a sheet, and wait for the end."""
        run = await self.start(sheet, options, **more)
        await self.over(run)
        return run

    async def snapshot(self, run: str) -> dict[str, Any]:
        """What a tab that nobody looks at asks for."""
        answer = await self.client.get(f"/runs/{run}/events?once=1")
        assert answer.status == 200, answer.text
        return dict(json.loads(answer.text))

    async def posted(self, path: str) -> tuple[int, str]:
        """Send a form; the status, and where it leads, which is not followed."""
        async with self.client.session.post(
            self.client.root + path, headers=dict(SAME_ORIGIN), allow_redirects=False
        ) as got:
            return got.status, got.headers.get("Location", "")

    def fault(self, text: str) -> None:
        """Every request meets this fault from now on; empty for none."""
        self.sandbox.fault_for_all = read_fault(text, WEBCAST) if text else None


async def until(true: Callable[[], object], within_s: float = 30.0) -> None:
    """Wait until something is true."""
    ends = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < ends, "it never became true"
        await asyncio.sleep(0.01)


def environ_of(home: Path, root_url: str) -> dict[str, str]:
    """What a program is started with that sends to a sandbox."""
    return {
        "BULKCAST_HOME": str(home),
        "BULKCAST_STATE": str(home / "state"),
        "BULKCAST_ROOT_URL": root_url,
        "BULKCAST_SID": SANDBOX_SID,
        "BULKCAST_SECRET": SANDBOX_SECRET.reveal(),
    }


@asynccontextmanager
async def client_of(state: PageState) -> AsyncIterator[PageClient]:
    """A browser that has opened a link of a page."""
    jar = aiohttp.CookieJar(unsafe=True)  # cookies of an address, too
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        client = PageClient(session, link(state.address, state.sessions.new_link()))
        await client.sign_in()
        yield client


@asynccontextmanager
async def run_page(home: Path, world: World | None = None) -> AsyncIterator[Page]:
    """The page with the credentials of a sandbox of the test's own."""
    sandbox = Sandbox(world or World(first_whole=False, limit=None), secret=SANDBOX_SECRET)
    async with sandbox.serving() as url:
        options = ServeOptions(environ_of(home, url), port=0)
        async with opened(options) as state, client_of(state) as client:
            yield Page(client, state, sandbox)


def next_steps(answer: Answer) -> list[str]:
    """The texts of the next steps that are not hidden; there has to be one."""
    found = answer.tree.xpath("//main//*[@data-next][not(@hidden)]")
    return [" ".join(one.text_content().split()) for one in found]


def next_action(answer: Answer) -> str:
    """Where the one next step leads."""
    (found,) = answer.tree.xpath("//main//*[@data-next][not(@hidden)]")
    own = found.get("formaction") or found.get("href")
    return str(own or found.xpath("ancestor::form")[0].get("action"))


def banners(answer: Answer) -> list[str]:
    """The sentences of the banners that are shown."""
    found = answer.tree.xpath(
        "//main//*[contains(concat(' ', @class, ' '), ' banner ')]"
        "[not(ancestor-or-self::*[@hidden])][not(ancestor::template)]"
    )
    return [" ".join(one.text_content().split()) for one in found]


# ------------------------------------------------------------------ results


def world(*scripts: Classroom) -> World:
    """An institution with these classrooms, and any others."""
    return World(first_whole=False, limit=None, classrooms=scripts)


def figures(answer: Answer) -> dict[str, int]:
    """Status → number, from the filters."""
    found = {}
    for chip in answer.tree.xpath("//main//a[contains(@class, 'chip')][span]"):
        count = chip.xpath("span[@class='chip-count']")
        if count:
            words = chip.text_content().replace(count[0].text_content(), "").strip()
            found[words] = int(count[0].text_content().replace(",", ""))
    return found


def rows(answer: Answer) -> list[int]:
    """The numbers of the rows in the table."""
    return [int(n) for n in answer.tree.xpath("//table[@data-rows]//tr/@data-row")]


def book(answer: Answer) -> list[dict[str, object]]:
    """The rows of a workbook that was handed out."""
    sheet = openpyxl.load_workbook(io.BytesIO(answer.body)).worksheets[0]
    head, *lines = sheet.iter_rows(values_only=True)
    return [dict(zip(map(str, head), line, strict=True)) for line in lines]


async def mixed(page: Page, folder: Path) -> str:
    """A run of 8 rows: two refused, one invalid."""
    lines = [cells(row) for row in range(2, 10)]
    lines[3] = (FIRST_ID + 5, "perhaps", 1, 1, 1, "row 5")
    return await page.done(write_rows(folder / "sheet.xlsx", HEAD, lines))


MIXED = world(classroom(4, NOT_OURS), classroom(7, NOT_OURS))
