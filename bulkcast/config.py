"""Reads the configuration: the institution, its credentials, and the home directory.

The environment comes first, then a profile.  `config.toml` is in `BULKCAST_HOME` and never contains
a secret, only the path of its file, the name of a variable, or that it is in the keyring:

    [profiles.default]
    sid = "1000082"
    secret_file = "classin.secret"

    [profiles.branch]
    sid = "1000083"
    root_url = "https://api.eeo.cn"
    secret_file = "C:/Users/me/branch.secret"

    [profiles.college]
    sid = "1000084"
    secret_in = "keyring"

    [profiles.server]
    sid = "1000085"
    secret_env = "SERVER_SECRET"
"""

import getpass
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bulkcast.arguments import Series
from bulkcast.errors import CannotStart
from bulkcast.home import Home, SharedHome
from bulkcast.i18n import marked
from bulkcast.model import Credentials, Institution, Secret, Text
from bulkcast.secret_storage import printable, read_file, read_keyring

DEFAULT_ROOT_URL: Final = "https://api.eeo.cn"
DEFAULT_PROFILE: Final = "default"
SANDBOX_FOLDER: Final = "sandbox"
"""The folder under BULKCAST_HOME for rehearsals, apart from real runs."""
UPLOADS_FOLDER: Final = "uploads"
"""Where sheets lie that were given to the page, each in a folder of its own."""
OF_CREDENTIALS: Final = ("BULKCAST_SID", "BULKCAST_SECRET", "BULKCAST_SECRET_FILE")
"""The variables that say who sends."""
KEYRING: Final = "keyring"
"""The value of a profile's `secret_in`."""
_KEYS: Final = frozenset({"sid", "root_url", "secret_file", "secret_in", "secret_env"})
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Config:
    """Everything needed to send for one institution."""

    institution: Institution
    credentials: Credentials
    home: Path
    origins: Mapping[str, str] = field(default_factory=dict)
    """Value → where it came from, for `doctor`."""
    proxy: str = ""
    """The environment variable that names a proxy, if any; bulkcast uses none."""
    address: str = ""
    """The root URL to connect to, if it differs from the institution's own."""
    state: Path | None = None
    """The folder in which this computer's users share their sends; None to use only this home."""
    database: str = field(default="", repr=False)
    """The URL of the PostgreSQL database with the ledger; empty for a ledger in `home`."""
    user: str = ""
    """Who acts, for the list of actions of a shared ledger."""
    missing: CannotStart | None = None
    """Why there is no secret here, which the workers of a fleet have; None if there is one."""

    @property
    def ledger_home(self) -> Home:
        """The home folder together with its ledger."""
        return SharedHome(self.home, self.database) if self.database else self.home

    @property
    def connects_to(self) -> str:
        """The root URL to connect to."""
        return self.address or self.institution.root_url


def home(environ: Mapping[str, str]) -> Path:
    """The folder of the ledger, the copies of sheets and `config.toml`; it is not created here.

    Raises:
        CannotStart: BULKCAST_HOME names the folder of a user who does not exist.

    """
    named = environ.get("BULKCAST_HOME", "").strip()
    if named:
        return _expand_user(named)
    from platformdirs import user_state_path

    return user_state_path("bulkcast", appauthor=False)


def database(environ: Mapping[str, str]) -> str:
    """The URL of the shared ledger's database; empty for a ledger in the home folder."""
    return environ.get("BULKCAST_DATABASE", "").strip()


def ledger_home(environ: Mapping[str, str]) -> Home:
    """The home folder, together with its ledger.

    Raises:
        CannotStart: BULKCAST_HOME names the folder of a user who does not exist.

    """
    url = database(environ)
    return SharedHome(home(environ), url) if url else home(environ)


def user(environ: Mapping[str, str]) -> str:
    """Who acts, for the list of actions of a shared ledger: BULKCAST_USER, else the login name."""
    named = environ.get("BULKCAST_USER", "").strip()
    try:
        found = named or getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"
    # Bytes that are no UTF-8, which a database refuses.
    return found.encode("utf-8", "replace").decode()


def state(environ: Mapping[str, str]) -> Path:
    """The folder that all users of this computer share; it is not created here.

    Raises:
        CannotStart: BULKCAST_STATE names the folder of a user who does not exist.

    """
    named = environ.get("BULKCAST_STATE", "").strip()
    if named:
        return _expand_user(named)
    if os.name == "nt":
        return Path(environ.get("PROGRAMDATA", "C:/ProgramData")) / "bulkcast"
    return Path("/var/tmp/bulkcast")  # noqa: S108 - not TMPDIR, of which each user may have another


def load(environ: Mapping[str, str], *, profile: str | None = None) -> Config:
    """Load the institution and its credentials.

    With a database the secret may be missing, as its workers send; see `Config.missing`.

    Raises:
        CannotStart: something is missing or contradictory, or others can read a secret; the
            sentence says where and what would be right.

    """
    folder = home(environ)
    name = profile or environ.get("BULKCAST_PROFILE", "").strip() or DEFAULT_PROFILE
    asked = bool(profile or environ.get("BULKCAST_PROFILE", "").strip())
    settings = _profile(folder / "config.toml", name, asked=asked)
    origins: dict[str, str] = {}
    sid = _value("BULKCAST_SID", "sid", environ, settings, origins)
    known = profile_names(environ) if not sid else None
    if known:
        raise CannotStart(
            "none of the institutions in config.toml is chosen: add --profile with one of {names}",
            names=Series(tuple(sorted(known)[:_NAMED_MOST]), more=max(0, len(known) - _NAMED_MOST)),
        )
    if not sid:
        raise CannotStart(
            "the institution's SID is not set: set BULKCAST_SID, or use --sandbox to try without"
            " an account"
        )
    if not is_sid(sid):
        # The value is not shown: it may be the secret by mistake.
        raise CannotStart(
            "the SID from {origin} should be digits, such as 1000082", origin=origins["sid"]
        )
    held = _held(environ, settings, (folder, name, sid), origins)
    root_url = _value("BULKCAST_ROOT_URL", "root_url", environ, settings, origins)
    origins.setdefault("root_url", "default")
    return _config(environ, sid, root_url, held, origins)


@dataclass(frozen=True, slots=True)
class Member:
    """An institution that rows of a sheet name, and whether it can be sent for."""

    profile: str
    institution: Institution
    config: Config | None
    problem: CannotStart | None = None
    """Why it cannot be sent for."""


_NAMED_MOST: Final = 8


def profile_names(environ: Mapping[str, str]) -> frozenset[str] | None:
    """The names of the profiles; None if there is no config.toml.

    Raises:
        CannotStart: config.toml cannot be read.

    """
    path = home(environ) / "config.toml"
    return frozenset(profiles_of(path)) if path.exists() else None


def files_state(environ: Mapping[str, str]) -> object:
    """What differs once a file has changed that profiles or their secrets are read from."""
    path = home(environ) / "config.toml"
    try:
        found = list(profiles_of(path).values())
    except CannotStart:
        found = []
    named = [each.get("secret_file") for each in found if isinstance(each, dict)]
    own = environ.get("BULKCAST_SECRET_FILE", "").strip()
    secrets = [path.parent / name for name in named if isinstance(name, str)]
    return tuple(_stamp(each) for each in (path, *secrets, *([Path(own)] if own else ())))


def _stamp(path: Path) -> tuple[str, int, int, int] | None:
    try:
        found = _expand_user(str(path)).stat()
    except (OSError, CannotStart):
        return None
    # Permissions decide too whether a secret is read; they change no time but this one.
    return str(path), found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def secret_variables(environ: Mapping[str, str]) -> frozenset[str]:
    """The variables that hold a secret, by themselves or because a profile says so."""
    try:
        found = list(profiles_of(home(environ) / "config.toml").values())
    except CannotStart:
        found = []
    named = (each.get("secret_env") for each in found if isinstance(each, dict))
    return frozenset({"BULKCAST_SECRET", *(name for name in named if isinstance(name, str))})


def institution_of(environ: Mapping[str, str], profile: str) -> Institution:
    """The institution of a profile; its secret is not read.

    Only for a profile without a root URL the environment's counts.

    Raises:
        CannotStart: there is no such profile, or it does not say which institution it is.

    """
    path = home(environ) / "config.toml"
    settings = _profile(path, profile, asked=True)
    sid = settings.get("sid", "")
    if not is_sid(sid):
        raise CannotStart(
            "the SID of profile {name!r} in {path} should be digits, such as 1000082",
            name=profile,
            path=path,
        )
    url = settings.get("root_url") or environ.get("BULKCAST_ROOT_URL", "").strip()
    return Institution((url or DEFAULT_ROOT_URL).rstrip("/"), sid)


def member(environ: Mapping[str, str], profile: str) -> Member:
    """The institution of a profile that rows of a sheet name.

    SID and secret in the environment are for sheets that name none.  With a database the secret
    may be missing, as for `load`.

    Raises:
        CannotStart: there is no such profile, or it does not say which institution it is.

    """
    institution, path = institution_of(environ, profile), home(environ) / "config.toml"
    settings, sid = _profile(path, profile, asked=True), institution.sid
    plain = {k: v for k, v in environ.items() if k not in OF_CREDENTIALS}
    origins = {"sid": "config.toml", "root_url": "config.toml"}
    try:
        held = _held(plain, settings, (path.parent, profile, sid), origins)
    except CannotStart as exc:
        return Member(profile, institution, None, exc)
    config = _config(plain, sid, institution.root_url, held, origins)
    return Member(profile, institution, config)


def load_all(environ: Mapping[str, str], *profiles: str) -> dict[str, Config]:
    """Load the institutions of config.toml, by the names that rows of a sheet call them.

    `profiles` are the names of those that are wanted; all if none is given.  SID and secret in the
    environment are for sheets that name none.

    Raises:
        CannotStart: there is no such profile, or none at all, or something of one is missing or
            wrong.

    """
    names = profiles or sorted(profile_names(environ) or ())
    if not names:
        raise CannotStart(
            "{path} has no profile; each institution needs one", path=home(environ) / "config.toml"
        )
    members = [member(environ, name) for name in names]
    for each in members:
        if each.problem:
            raise each.problem
    return {each.profile: each.config for each in members if each.config}


def entered(environ: Mapping[str, str], *, sid: str, root_url: str, secret: Secret) -> Config:
    """The configuration of credentials that were just entered and are kept nowhere yet.

    Raises:
        CannotStart: BULKCAST_HOME or BULKCAST_STATE names the folder of a user who does not exist.

    """
    return _config(environ, sid, root_url, (secret, None), {})


def is_sid(text: str) -> bool:
    """Whether a text can be an institution's SID.

    >>> is_sid("1000082"), is_sid("１０００"), is_sid("")
    (True, False, False)
    """
    return text.isascii() and text.isdigit()


def is_in_environment(environ: Mapping[str, str]) -> bool:
    """Whether the environment says, at least in part, who sends."""
    return any(environ.get(name, "").strip() for name in OF_CREDENTIALS)


def _config(
    environ: Mapping[str, str],
    sid: str,
    root_url: str,
    held: "_Held",
    origins: Mapping[str, str],
) -> Config:
    secret, missing = held
    institution = Institution((root_url or DEFAULT_ROOT_URL).rstrip("/"), sid)
    proxy = next((name for name in _PROXIES if environ.get(name, "").strip()), "")
    if not institution.root_url.startswith("https:"):
        proxy = ""  # this computer itself
    return Config(
        institution,
        Credentials(sid, secret),
        home(environ),
        origins,
        proxy,
        state=state(environ),
        database=database(environ),
        user=user(environ),
        missing=missing,
    )


_PROXIES: Final = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


def of_proxy(config: Config) -> Text | None:
    """The remark that a proxy named in the environment is not used; None if there is none."""
    return Text(_NO_PROXY, {"name": config.proxy}) if config.proxy else None


_NO_PROXY: Final = marked(
    "{name} is set, but bulkcast uses no proxy: a signature goes to ClassIn itself and nobody else."
)


def _value(
    variable: str,
    key: str,
    environ: Mapping[str, str],
    settings: Mapping[str, str],
    origins: dict[str, str],
) -> str:
    from_environment = environ.get(variable, "").strip()
    found = from_environment or settings.get(key, "")
    if found:
        origins[key] = variable if from_environment else "config.toml"
    return found


def _profile(path: Path, name: str, *, asked: bool) -> Mapping[str, str]:
    found = profiles_of(path).get(name)
    if found is None:
        if asked:
            raise CannotStart(
                "{path} has no profile {name!r}; add [profiles.{name}]", path=path, name=name
            )
        return {}
    return _require_valid(found, path, name)


def profiles_of(path: Path) -> Mapping[str, Any]:
    """The profiles in a config.toml, as they stand there; none if there is no such file.

    Raises:
        CannotStart: it cannot be read as TOML.

    """
    import tomllib

    try:
        found: Any = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as exc:
        raise CannotStart("{path} cannot be read as TOML: {exc}", path=path, exc=exc) from exc
    profiles = found.get("profiles", {})
    return profiles if isinstance(profiles, dict) else {}


def _require_valid(settings: Any, path: Path, name: str) -> Mapping[str, str]:
    if not isinstance(settings, dict) or not all(isinstance(v, str) for v in settings.values()):
        raise CannotStart(
            "profile {name!r} in {path} must hold texts in quotes only", name=name, path=path
        )
    if "secret" in settings:
        raise CannotStart(
            "profile {name!r} in {path} holds a secret; put it in a file of its own and "
            "name that with secret_file",
            name=name,
            path=path,
        )
    if settings.get("secret_in", KEYRING) != KEYRING:
        raise CannotStart(
            "profile {name!r} in {path} has an unknown secret_in; it may be {keyring!r}, or name a"
            " file with secret_file",
            name=name,
            path=path,
            keyring=KEYRING,
        )
    if not _VARIABLE.fullmatch(settings.get("secret_env", "_")):
        raise CannotStart(
            "profile {name!r} in {path} has a secret_env that is no name of a variable; it may be"
            " one such as BRANCH_SECRET",
            name=name,
            path=path,
        )
    strange = sorted(settings.keys() - _KEYS)
    if strange:
        known = Series(tuple(sorted(_KEYS)))
        raise CannotStart(
            "profile {name!r} in {path} has {strange!r}; it may have {known}",
            name=name,
            path=path,
            strange=strange[0],
            known=known,
        )
    return settings


_Held = tuple[Secret, CannotStart | None]
"""The secret; or an empty one, and why it is missing."""


def _held(
    environ: Mapping[str, str],
    settings: Mapping[str, str],
    profile: tuple[Path, str, str],
    origins: dict[str, str],
) -> _Held:
    try:
        return _secret(environ, settings, profile, origins), None
    except CannotStart as exc:
        if not database(environ):
            raise
        for key in ("secret", "secret_file"):
            origins.pop(key, None)
        return Secret(""), exc


def _secret(
    environ: Mapping[str, str],
    settings: Mapping[str, str],
    profile: tuple[Path, str, str],
    origins: dict[str, str],
) -> Secret:
    folder, name, sid = profile
    direct = environ.get("BULKCAST_SECRET", "").strip()
    if direct:
        origins["secret"] = "BULKCAST_SECRET"  # noqa: S105 - the name of a variable
        return printable(direct, "BULKCAST_SECRET")
    if settings.get("secret_in") and not environ.get("BULKCAST_SECRET_FILE", "").strip():
        origins["secret"] = KEYRING
        return read_keyring(name, sid)
    variable = settings.get("secret_env", "")
    if variable and not environ.get("BULKCAST_SECRET_FILE", "").strip():
        origins["secret"] = variable
        return _of_variable(environ, variable, name)
    named = _value("BULKCAST_SECRET_FILE", "secret_file", environ, settings, origins)
    if not named:
        raise CannotStart(
            "the institution's secret is not set: set BULKCAST_SECRET or BULKCAST_SECRET_FILE, or"
            " use --sandbox to try without an account"
        )
    origins["secret"] = origins.pop("secret_file")
    # A path in the environment is relative to the current folder, as in a shell.
    beside = folder if origins["secret"] == "config.toml" else Path()  # noqa: S105 - a file's name
    return read_file(beside / _expand_user(named))


def _of_variable(environ: Mapping[str, str], variable: str, profile: str) -> Secret:
    found = environ.get(variable, "").strip()
    if not found:
        raise CannotStart(
            "the variable {variable}, which profile {profile!r} names for its secret, is not set",
            variable=variable,
            profile=profile,
        )
    return printable(found, variable)


def _expand_user(named: str) -> Path:
    try:
        return Path(named).expanduser()
    except RuntimeError:
        raise CannotStart(
            "{named!r} names the folder of a user who is not known here", named=named
        ) from None
