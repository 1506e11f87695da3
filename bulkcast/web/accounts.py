"""For whom the page works: a profile with credentials, or the sandbox where there are none.

The account is chosen for the page as a whole, and remembered in a private file.
"""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Final, Literal, NamedTuple

from bulkcast import config as configuration
from bulkcast import pipeline, profiles
from bulkcast.arguments import Series
from bulkcast.config import SANDBOX_FOLDER, Config, Member
from bulkcast.errors import BulkcastError, CannotStart
from bulkcast.home import Home, SharedHome, write_private
from bulkcast.model import Secret
from bulkcast.pipeline import Diagnosis, Members
from bulkcast.profiles import Profile
from bulkcast.sandbox import World
from bulkcast.sandbox.rehearsal import config_of, played, rehearsing, rehearsing_all

_FILE: Final = "page-account.json"
_TRIED_S: Final = 600.0
"""Seconds for which credentials that were tried wait to be saved."""


class Choice(NamedTuple):
    """Which account is meant."""

    kind: Literal["demo", "environment", "profile"]
    profile: str = ""
    """The profile's name in config.toml."""

    def __str__(self) -> str:
        """As the value of a form's field."""
        return f"profile:{self.profile}" if self.kind == "profile" else self.kind


DEMO: Final = Choice("demo")
ENVIRONMENT: Final = Choice("environment")
_NOT_CHOSEN: Final = Choice("profile")
"""None of the profiles: whoever has real ones is not to rehearse unawares."""
_NAMED_MOST: Final = 8


def choice_of(text: str) -> Choice | None:
    """The inverse of `str` of a choice; None for anything else.

    >>> choice_of("profile:branch"), choice_of("demo"), choice_of("x")
    (Choice(kind='profile', profile='branch'), Choice(kind='demo', profile=''), None)
    """
    kind, colon, name = text.partition(":")
    if kind == "profile" and colon and name:
        return Choice("profile", name)
    return next((c for c in (DEMO, ENVIRONMENT) if str(c) == text), None)


@dataclass(frozen=True, slots=True)
class Account:
    """For whom the page works at present."""

    is_demo: bool
    """Whether the sandbox plays ClassIn."""
    config: Config | None
    """None if the credentials cannot be used."""
    home: Home
    """The folder of its runs and uploads, and the ledger."""
    problem: BulkcastError | None = None
    """Why the credentials cannot be used."""
    choice: Choice = DEMO
    user: str = ""
    """Who acts, for the list of actions of a shared database."""
    named: "NamedInstitutions | None" = field(default=None, repr=False, compare=False)
    """Those that rows of a sheet name."""

    @property
    def is_chosen(self) -> bool:
        """Whether it is known which of the profiles is meant."""
        return self.choice != _NOT_CHOSEN

    @property
    def members(self) -> Members | None:
        """Finds the institutions that rows of a sheet name."""
        return self.named.find if self.named else None

    @property
    def profiles(self) -> Callable[[], frozenset[str] | None]:
        """The names that rows of a sheet may hold; the callable gives None for any."""
        return self.named.names if self.named else lambda: None

    @property
    def is_shared(self) -> bool:
        """Whether its runs are in a database that others use as well, and workers send them."""
        return isinstance(self.home, SharedHome)

    @property
    def database(self) -> str:
        """The shared database as it is shown, without user and password; empty if there is none."""
        if not isinstance(self.home, SharedHome):
            return ""
        try:
            return pipeline.shown_database(self.home)
        except CannotStart:  # its address is none
            return "PostgreSQL"

    @property
    def other_root_url(self) -> str:
        """The root URL; empty if it is the usual one, or not known."""
        root_url = self.config.institution.root_url if self.config else ""
        return "" if root_url == configuration.DEFAULT_ROOT_URL else root_url


@dataclass(frozen=True, slots=True)
class NamedInstitutions:
    """The institutions that rows of a sheet name: the profiles of config.toml.

    For a demonstration the sandbox plays any.
    """

    environ: Mapping[str, str]
    played_in: Path | None
    """The folder of a demonstration's runs; None if it is in earnest."""
    learn: Callable[[Secret], None]
    """Is given each secret that is loaded, to keep it out of logs."""

    def names(self) -> frozenset[str] | None:
        """The names of the profiles; None if config.toml cannot be read, as `find` then says.

        A demonstration takes any name if there are none.
        """
        try:
            found = configuration.profile_names(self.environ)
        except CannotStart:
            return None
        return found or (None if self.played_in else frozenset())

    def find(self, profile: str) -> Member:
        """The institution of a profile; raises what `configuration.member` does."""
        if self.played_in:
            return played(profile, self.played_in, self.environ)
        found = configuration.member(self.environ, profile)
        if found.config and found.config.missing is None:
            self.learn(found.config.credentials.secret)
        return found

    @asynccontextmanager
    async def serving(self, profiles: Iterable[str]) -> AsyncIterator[Members]:
        """`find`, of which `profiles` can be sent for while the block runs."""
        if self.played_in is None:
            yield self.find
            return
        async with rehearsing_all(profiles, self.find, World()) as found:
            yield found


@dataclass(frozen=True, slots=True)
class Examined:
    """What `doctor` found of an account."""

    diagnosis: Diagnosis
    lang: str
    """The language of the diagnosis."""
    at: float = field(default_factory=time.monotonic)

    @property
    def is_old(self) -> bool:
        """Whether it is of no use any more."""
        return time.monotonic() - self.at > _TRIED_S


@dataclass(frozen=True, slots=True)
class Tried:
    """Credentials that were tried and wait to be saved."""

    profile: Profile
    secret: Secret | None
    """None for the one that the profile has."""
    examined: Examined

    @property
    def is_well(self) -> bool:
        """Whether ClassIn accepts them; a run under way is no fault of theirs."""
        return self.examined.diagnosis.exit_status in {0, _BUSY}


_BUSY: Final = 7


class Accounts:
    """The profiles of this computer, and the one in use."""

    def __init__(
        self,
        home: Path,
        environ: Mapping[str, str],
        learn: Callable[[Secret], None] = lambda _: None,
    ) -> None:
        """`learn` is given each secret that is loaded, to keep it out of logs."""
        self._home = home
        self._environ = environ
        self._learn = learn
        self._demo: Config | None = None
        self._loaded: tuple[object, Account] | None = None
        self._tried: dict[str, Tried] = {}
        self._examined: tuple[Choice, Examined] | None = None
        file = environ.get("BULKCAST_SECRET_FILE", "").strip()
        self._watched = [home / profiles.FILE, home / _FILE, *([Path(file)] if file else [])]
        self._secret_file: Path | None = None
        self._loading = Lock()

    @asynccontextmanager
    async def rehearsals(self) -> AsyncIterator[None]:
        """Have the sandbox answer while the block runs."""
        folder = self._home / SANDBOX_FOLDER
        async with rehearsing(config_of(World().sid, folder), World()) as self._demo:
            yield

    # ------------------------------------------------------------------ the one in use

    def current(self) -> Account:
        """The account in use; it is read again only when its files have changed."""
        with self._loading:  # a keyring that is locked is asked once, not by each thread
            state = self._state()
            if self._loaded is None or self._loaded[0] != state:
                self._loaded = (state, self._load())
            found = self._loaded[1]
        return replace(found, config=self._demo) if found.is_demo else found

    async def refresh(self) -> None:
        """Read the account now, so that `current` need not wait, as for a keyring."""
        if self._loaded is None or self._loaded[0] != self._state():
            await asyncio.to_thread(self.current)

    def reload(self) -> None:
        """Read the account again when it is asked for next, as after a keyring was unlocked."""
        self._loaded = None

    def choose(self, choice: Choice) -> None:
        """Work for another account from now on.

        Raises:
            CannotStart: there is no such account.

        """
        if choice != DEMO and choice not in self.choices():
            raise CannotStart("there is no such profile any more")
        write_private(self._home / _FILE, json.dumps({"use": str(choice)}))
        self.reload()

    def choices(self) -> Sequence[Choice]:
        """What can be chosen, DEMO first.

        Raises:
            CannotStart: config.toml cannot be read.

        """
        named = [Choice("profile", profile.name) for profile in self.profiles()]
        own = [ENVIRONMENT] if self.has_environment else []
        return [DEMO, *own, *named]

    @property
    def has_environment(self) -> bool:
        """Whether the environment names credentials."""
        return configuration.is_in_environment(self._environ)

    def profiles(self) -> Sequence[Profile]:
        """The profiles of config.toml.

        Raises:
            CannotStart: config.toml cannot be read.

        """
        return profiles.listed(self._home)

    def _state(self) -> object:
        """What differs when a file has changed that the account is read from."""
        own = [self._secret_file] if self._secret_file else []
        return tuple(_stamp(place) for place in (*self._watched, *own))

    def _load(self) -> Account:
        choice = self._chosen()
        self._secret_file = self._file_of(choice)
        if choice == DEMO:
            folder = self._home / SANDBOX_FOLDER
            named = NamedInstitutions(self._environ, folder, self._learn)
            return Account(is_demo=True, config=None, home=folder, choice=DEMO, named=named)
        url, user = configuration.database(self._environ), configuration.user(self._environ)
        home = SharedHome(self._home, url) if url else self._home
        named = NamedInstitutions(self._environ, None, self._learn)
        none = Account(is_demo=False, config=None, home=home, choice=choice, user=user, named=named)
        try:
            found = self._config(choice)
        except BulkcastError as exc:
            return replace(none, problem=exc)
        if found.missing is None:
            self._learn(found.credentials.secret)
        return replace(none, config=found, home=found.ledger_home)

    def _config(self, choice: Choice) -> Config:
        if choice == _NOT_CHOSEN:
            names = [profile.name for profile in self.profiles()]
            left = max(0, len(names) - _NAMED_MOST)
            raise CannotStart(
                "no institution is chosen yet; in Settings choose one of {names}",
                names=Series(tuple(names[:_NAMED_MOST]), more=left),
            )
        if choice == ENVIRONMENT:
            return configuration.load(self._environ)
        return configuration.load(self._environ_of(choice.profile), profile=choice.profile)

    def _environ_of(self, name: str) -> Mapping[str, str]:
        """The environment without credentials: what it names is an account of its own."""
        own = self._profile(name)
        left_out = {*configuration.OF_CREDENTIALS, "BULKCAST_PROFILE"}
        if own and own.root_url:
            left_out.add("BULKCAST_ROOT_URL")
        return {key: value for key, value in self._environ.items() if key not in left_out}

    def _profile(self, name: str) -> Profile | None:
        return next((p for p in self.profiles() if p.name == name), None)

    def _file_of(self, choice: Choice) -> Path | None:
        """The file of a profile's secret, which is read again when it changes."""
        try:
            own = self._profile(choice.profile) if choice.profile else None
        except CannotStart:
            return None
        return self._home / own.secret_file if own and own.secret_file else None

    def _chosen(self) -> Choice:
        """The account that was chosen, else the one that a command in the terminal would use."""
        try:
            remembered = json.loads((self._home / _FILE).read_text(encoding="utf-8"))
            choice = choice_of(str(remembered["use"]))
        except (OSError, ValueError, TypeError, KeyError):
            choice = None
        is_set = self.has_environment
        if choice and (choice != ENVIRONMENT or is_set):
            return choice
        return ENVIRONMENT if is_set else self._usual()

    def _usual(self) -> Choice:
        named = self._environ.get("BULKCAST_PROFILE", "").strip()
        usual = Choice("profile", named or configuration.DEFAULT_PROFILE)
        try:
            if named or usual in self.choices():
                return usual
            return _NOT_CHOSEN if self.profiles() else DEMO
        except CannotStart:
            return usual  # whose problem is shown: a broken file is no reason to rehearse

    # ------------------------------------------------------------------ changing profiles

    async def examine(self, lang: str) -> None:
        """Have `doctor` look at the account in use; `examined` has what it finds.

        The credentials are read again first, as a keyring may have been unlocked.
        """
        self.reload()
        await self.refresh()
        account = self.current()
        if account.config is not None:
            diagnosis = await pipeline.doctor(account.config, lang=lang)
            self._examined = (account.choice, Examined(diagnosis, lang))

    def examined(self, lang: str) -> Examined | None:
        """What `doctor` found lately of the account in use, if that was told in `lang`."""
        if self._examined is None or self._examined[0] != self.current().choice:
            return None
        found = self._examined[1]
        return None if found.is_old or found.lang != lang else found

    async def try_out(self, profile: Profile, secret: Secret | None, lang: str) -> str:
        """Have `doctor` try credentials; returns a name under which they wait to be saved.

        `secret` is None for the one that the profile has.

        Raises:
            CannotStart: the profile has none.

        """
        name = secrets.token_hex(8)
        self._tried = {n: t for n, t in self._tried.items() if not t.examined.is_old}
        self._tried[name] = Tried(profile, secret, await self._examination(profile, secret, lang))
        return name

    async def retold(self, name: str, lang: str) -> Tried | None:
        """The same as `tried`; if that was told in another language, it is tried again."""
        found = self.tried(name)
        if found is None or found.examined.lang == lang:
            return found
        examined = await self._examination(found.profile, found.secret, lang)
        self._tried[name] = replace(found, examined=examined)
        return self._tried[name]

    async def _examination(self, profile: Profile, secret: Secret | None, lang: str) -> Examined:
        if secret is None:
            secret = await asyncio.to_thread(self._secret_of, profile.name)
        self._learn(secret)
        config = configuration.entered(
            self._environ, sid=profile.sid, root_url=profile.root_url, secret=secret
        )
        return Examined(await pipeline.doctor(config, lang=lang), lang)

    def tried(self, name: str) -> Tried | None:
        """Credentials that were tried; None if they were saved or the wait was too long."""
        found = self._tried.get(name)
        return None if found is None or found.examined.is_old else found

    async def save(self, name: str) -> Profile:
        """Save credentials that were tried, and work for them from now on.

        Raises:
            CannotStart: they wait no more, or cannot be saved.

        """
        tried = self.tried(name)
        if tried is None:
            raise CannotStart("what was entered is not kept any more; enter it again")
        saved = await asyncio.to_thread(profiles.save, self._home, tried.profile, tried.secret)
        self._tried.pop(name, None)
        choice = Choice("profile", saved.name)
        self.choose(choice)
        self._examined = (choice, tried.examined)
        return saved

    async def remove(self, name: str) -> None:
        """Remove a profile with its secret; where it was in use, DEMO takes its place.

        Raises:
            CannotStart: config.toml cannot be changed so.

        """
        was_in_use = self.current().choice == Choice("profile", name)
        await asyncio.to_thread(profiles.remove, self._home, name)
        if was_in_use:
            self.choose(DEMO)
        self.reload()

    def _secret_of(self, name: str) -> Secret:
        return self._config(Choice("profile", name)).credentials.secret


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
