"""A sandbox inside this process, for rehearsals."""

import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from bulkcast.config import Config
from bulkcast.model import SANDBOX_SECRET, Credentials, Institution
from bulkcast.sandbox.server import Sandbox
from bulkcast.sandbox.world import Keeper, World

WORLD: Final = "world-{sid}.jsonl"
"""The file in which an embedded sandbox stores changes, beside its runs."""


def config_of(sid: str, home: Path, address: str = "") -> Config:
    """The configuration for a sandbox whose runs are in `home`.

    Its port changes each time, but the institution stays the same.
    """
    mark = hashlib.sha256(os.fspath(home.absolute()).encode("utf-8", "surrogateescape")).hexdigest()
    institution = Institution(f"https://sandbox-{mark[:8]}.localhost", sid)
    return Config(institution, Credentials(sid, SANDBOX_SECRET), home, address=address)


def sid_of(profile: str) -> str:
    """The SID that a sandbox takes for a profile that has none of its own.

    >>> sid_of("north") == sid_of("north") != sid_of("south")
    True
    """
    number = int.from_bytes(hashlib.sha256(profile.encode("utf-8", "surrogateescape")).digest()[:4])
    return str(99_100_000 + number % 899_999)


@asynccontextmanager
async def rehearsing(config: Config, world: World) -> AsyncIterator[Config]:
    """`config` with the address of a sandbox that serves while the block runs.

    It keeps the changes of earlier sandboxes under the same home.
    """
    keeper = Keeper(config.home / WORLD.format(sid=config.institution.sid))
    world = replace(world, secret=None)  # a rehearsal's is known
    async with Sandbox(world, secret=SANDBOX_SECRET, keeper=keeper).serving() as root_url:
        yield replace(config, address=root_url)
