"""For whom the page works: a profile with credentials, or the sandbox where there are none."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bulkcast import config as configuration
from bulkcast.config import Config
from bulkcast.errors import BulkcastError, CannotStart
from bulkcast.sandbox import World
from bulkcast.sandbox.rehearsal import FOLDER, config_of, rehearsing


@dataclass(frozen=True, slots=True)
class Account:
    """For whom the page works at present."""

    is_demo: bool
    """Whether the sandbox plays ClassIn."""
    config: Config | None
    """None if the credentials cannot be used."""
    home: Path
    """The folder of its runs and uploads."""
    problem: BulkcastError | None = None
    """Why the credentials cannot be used."""


class Accounts:
    """The profiles of this computer, and the one in use."""

    def __init__(self, home: Path, environ: Mapping[str, str]) -> None:
        self._home = home
        self._environ = environ
        self._demo: Config | None = None

    @asynccontextmanager
    async def rehearsals(self) -> AsyncIterator[None]:
        """Have the sandbox answer while the block runs."""
        folder = self._home / FOLDER
        async with rehearsing(config_of(World().sid, folder), World()) as self._demo:
            yield

    def current(self) -> Account:
        """The account in use: the profile's, or the sandbox where no credentials are set."""
        try:
            found = configuration.load(self._environ)
        except CannotStart:
            return Account(is_demo=True, config=self._demo, home=self._home / FOLDER)
        return Account(is_demo=False, config=found, home=found.home)
