"""Signs and posts bodies that lie ready: `python -m tests.benchmarks.bare_loop BODIES URL`."""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp

from bulkcast import protocol
from bulkcast.endpoints import WEBCAST
from bulkcast.model import Body, Credentials, Secret

AT_ONCE = 64
CREDENTIALS = Credentials("99000001", Secret("sandbox-secret"))


async def post_all(bodies: Sequence[Body], root_url: str) -> None:
    """Serialise, sign and post every body, `AT_ONCE` at a time; nothing else."""
    left = iter(bodies)
    connector = aiohttp.TCPConnector(limit=AT_ONCE)
    async with aiohttp.ClientSession(root_url, connector=connector) as session:

        async def work() -> None:
            for body in left:
                data = json.dumps(dict(body), ensure_ascii=False).encode()
                headers = protocol.headers(body, CREDENTIALS, int(time.time()))
                async with session.post(WEBCAST.path, data=data, headers=headers) as response:
                    response.raise_for_status()
                    await response.read()

        async with asyncio.TaskGroup() as tasks:
            for _ in range(AT_ONCE):
                tasks.create_task(work())


if __name__ == "__main__":
    found = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    asyncio.run(post_all([tuple(map(tuple, body)) for body in found], sys.argv[2]))
