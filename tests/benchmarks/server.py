"""A sandbox in a process of its own, for the benchmark: no log, no limit, every id a classroom.

Prints its root URL and serves until standard input ends, which it does when whoever started it
does.
"""

import asyncio
import sys

from bulkcast.sandbox import SANDBOX_SECRET, KeepLog, Sandbox, World


async def serve() -> None:
    sandbox = Sandbox(World(limit=None), secret=SANDBOX_SECRET, keep_log=KeepLog.NONE)
    async with sandbox.serving() as root_url:
        print(root_url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve())
