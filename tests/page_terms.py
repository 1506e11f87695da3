"""A short term for the page, and a school of its own to send it to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bulkcast.model import Secret
from bulkcast.sandbox import SANDBOX_SID, Sandbox, World
from tests.page_client import Answer, PageClient

SECRET = "school-secret-77"  # noqa: S105 - a word to look for
HEAD = "activityId,recordState,recordType,liveState,openState,startTime\n"


def term(n: int = 5, start: str = "2099-03-01 08:00") -> bytes:
    """A sheet of `n` classrooms that all begin at `start`."""
    rows = (f"{1001 + k},on,0,{'on' if k % 2 else 'off'},on,{start}\n" for k in range(n))
    return (HEAD + "".join(rows)).encode()


async def ended(client: PageClient, answer: Answer) -> Answer:
    """The results of the run that a screen shows, once it has ended."""
    run = answer.url.split("/runs/")[1].split("/")[0].split("?")[0]
    for _ in range(100):
        answer = await client.get(f"/runs/{run}/results")
        if answer.screen == "results":
            return answer
        await asyncio.sleep(0.1)
    raise AssertionError(answer.words)


@asynccontextmanager
async def classin() -> AsyncIterator[dict[str, str]]:
    """ClassIn for a school of its own; gives the environment."""
    async with Sandbox(World(limit=None), secret=Secret(SECRET)).serving() as root_url:
        yield {"BULKCAST_SID": SANDBOX_SID, "BULKCAST_SECRET": SECRET,
               "BULKCAST_ROOT_URL": root_url}  # fmt: skip
