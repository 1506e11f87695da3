"""`sandbox`: the stand-in for ClassIn, until Ctrl-C."""

import asyncio
import os
from dataclasses import replace
from typing import Any

from rich.text import Text

from bulkcast.catalogue import Limit
from bulkcast.cli import documents, signals
from bulkcast.cli.asked import Given
from bulkcast.cli.console import Voice, voice
from bulkcast.cli.words import tr, trn
from bulkcast.pacing import parse_rate
from bulkcast.sandbox import SANDBOX_SECRET, Sandbox, World, read_world


def sandbox(given: Given) -> int:
    """Serve until a signal ends it."""
    told = voice(given)
    world = _changed(read_world(given["world"]) if given["world"] else World(), given)
    playing = Sandbox(world, secret=SANDBOX_SECRET, clock_offset_s=given["clock_offset"])
    asyncio.run(_serve(told, playing, world.sid, given["port"]))
    one = "The sandbox has ended after {n} request."
    told.say(Text(trn(one, "The sandbox has ended after {n} requests.", playing.received)))
    return 0


def _changed(world: World, given: Given) -> World:
    """The world with what the options say of it."""
    changes: dict[str, Any] = {
        field: given[field] for field in ("fault_rate", "seed") if given[field] is not None
    }
    if given["limit"] is not None:
        changes["limit"] = _limit(given["limit"])
    return replace(world, **changes)


def _limit(text: str) -> Limit | None:
    """Calls in any minute; `max` is no limit."""
    per_s = parse_rate(text)
    return None if per_s == float("inf") else Limit(max(1, round(per_s * 60)), 60.0, "--limit")


async def _serve(told: Voice, playing: Sandbox, sid: str, port: int) -> None:
    ended = _Ended()
    async with playing.serving(port=port) as root_url:
        with signals.heeding(ended, lambda _: None):
            _introduce(told, root_url, sid)
            await ended.wait()


class _Ended:
    """A server's only way to stop in order is to stop."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def stop(self, exit_status: int) -> None:  # noqa: ARG002 - Ctrl-C is how a server ends well
        """End the wait."""
        self._event.set()

    async def wait(self) -> None:
        """Until stopped."""
        await self._event.wait()


def _introduce(told: Voice, root_url: str, sid: str) -> None:
    secret = SANDBOX_SECRET.reveal()
    env = {"BULKCAST_ROOT_URL": root_url, "BULKCAST_SID": sid, "BULKCAST_SECRET": secret}
    if told.as_json:
        document = {"schema": "bulkcast.sandbox/1", "url": root_url, "env": env}
        told.document(documents.dump(document))
        return
    told.document(tr("The sandbox answers at {url}", url=root_url))
    told.say(
        Text(tr("Everything sent to it stays on this computer.  To use it, in another terminal:"))
    )
    form = '$env:{} = "{}"' if os.name == "nt" else "export {}={}"
    for name, value in env.items():
        told.say(Text("    " + form.format(name, value)))
    told.say(Text(tr("Ctrl-C ends it.")))
