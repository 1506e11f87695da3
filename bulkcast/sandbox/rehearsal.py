"""A sandbox inside this process, for rehearsals."""

import hashlib
import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from bulkcast import config as configuration
from bulkcast.config import Config, Member
from bulkcast.errors import CannotStart
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


def played(profile: str, home: Path, environ: Mapping[str, str]) -> Member:
    """The institution that a sandbox plays for a profile; it has the SID that config.toml says."""
    try:
        sid = configuration.institution_of(environ, profile).sid
    except CannotStart:
        sid = sid_of(profile)
    config = config_of(sid, home)
    return Member(profile, config.institution, config)


@asynccontextmanager
async def rehearsing_all(
    profiles: Iterable[str], find: Callable[[str], Member], world: World
) -> AsyncIterator[Callable[[str], Member]]:
    """`find`, of which `profiles` have each a sandbox that serves while the block runs."""
    found: dict[str, Member] = {}
    async with AsyncExitStack() as serving:
        for profile in profiles:
            member = find(profile)
            own = world.of(member.institution.sid)
            if member.config:
                config = await serving.enter_async_context(rehearsing(member.config, own))
                found[profile] = replace(member, config=config)
        yield lambda profile: found.get(profile) or find(profile)


@asynccontextmanager
async def rehearsing(config: Config, world: World) -> AsyncIterator[Config]:
    """`config` with the address of a sandbox that serves while the block runs.

    It keeps the changes of earlier sandboxes under the same home.
    """
    keeper = Keeper(config.home / WORLD.format(sid=config.institution.sid))
    world = replace(world, secret=None)  # a rehearsal's is known
    async with Sandbox(world, secret=SANDBOX_SECRET, keeper=keeper).serving() as root_url:
        yield replace(config, address=root_url)
