"""The page in the test's own event loop, and a client that signs in as a browser does."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import aiohttp
from lxml import html

from bulkcast.notification import Recipients
from bulkcast.web.page_server import ServeOptions, serving

SAME_ORIGIN: Mapping[str, str] = {"Sec-Fetch-Site": "same-origin"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the page answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def tree(self) -> html.HtmlElement:
        """The screen."""
        return html.document_fromstring(self.text)

    @property
    def screen(self) -> str:
        """Which screen it is."""
        return str(self.tree.xpath("string(//main/@data-screen)"))

    @property
    def words(self) -> str:
        """The text of the screen, spaces folded."""
        return " ".join(self.tree.xpath("string(//main)").split())


class PageClient:
    """A browser without JavaScript: it follows links and sends forms."""

    def __init__(self, session: aiohttp.ClientSession, link: str) -> None:
        self.link = link
        self.session = session
        parts = urlsplit(link)
        self.root = f"{parts.scheme}://{parts.netloc}"
        self.token = parse_qs(parts.query)["token"][0]

    async def get(self, path: str, **more: object) -> Answer:
        """Open a path of the page."""
        return await self._ask("GET", path, **more)

    async def post(self, path: str, data: object = None, **more: object) -> Answer:
        """Send a form, and follow where it leads."""
        return await self._ask("POST", path, data=data, headers=dict(SAME_ORIGIN), **more)

    async def sign_in(self) -> None:
        """Open the link."""
        answer = await self._ask("GET", f"/?token={self.token}")
        assert answer.status == 200, answer.text

    async def _ask(self, method: str, path: str, **more: object) -> Answer:
        async with self.session.request(method, self.root + path, **more) as got:  # type: ignore[arg-type] # aiohttp checks
            return Answer(got.status, dict(got.headers), await got.read(), str(got.url))


@asynccontextmanager
async def page(
    home: Path, environ: Mapping[str, str] | None = None, told: Recipients | None = None
) -> AsyncIterator[PageClient]:
    """The page with a home of its own, and a client that has signed in."""
    own = {"BULKCAST_HOME": str(home), **(environ or {})}
    options = ServeOptions(own, port=0, recipients=told or Recipients())
    jar = aiohttp.CookieJar(unsafe=True)  # cookies of an address, too
    async with serving(options) as link, aiohttp.ClientSession(cookie_jar=jar) as session:
        client = PageClient(session, link)
        await client.sign_in()
        yield client
