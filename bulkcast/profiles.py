"""Writes config.toml: adds, changes and removes profiles, and keeps what else stands there."""

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import tomlkit
from tomlkit import TOMLDocument
from tomlkit.exceptions import TOMLKitError

from bulkcast import secret_storage
from bulkcast.client import check_root_url
from bulkcast.config import DEFAULT_ROOT_URL, KEYRING, is_sid, profiles_of
from bulkcast.errors import CannotStart
from bulkcast.home import write_private
from bulkcast.model import Secret

FILE: Final = "config.toml"
NAME_MOST: Final = 60
"""Characters of a profile's name."""


@dataclass(frozen=True, slots=True)
class Profile:
    """An institution, as config.toml has it."""

    name: str
    sid: str
    root_url: str = ""
    """Empty for the usual one."""
    secret_in: str = ""
    """`keyring`, or empty."""
    secret_file: str = ""
    """The secret's file, relative to the folder of config.toml; empty if there is none."""
    secret_env: str = ""
    """The variable that holds the secret; empty if there is none."""


def listed(home: Path) -> tuple[Profile, ...]:
    """The profiles in a home folder, in the order of the file.

    Raises:
        CannotStart: config.toml cannot be read.

    """
    found = profiles_of(home / FILE)
    return tuple(_profile(name, settings) for name, settings in found.items() if name)


def _profile(name: str, found: Any) -> Profile:
    """What can be shown of a profile; whether it is valid is told when it is used."""
    texts = found if isinstance(found, dict) else {}
    values = {key: texts[key] for key in _WRITTEN if isinstance(texts.get(key), str)}
    return Profile(name, **{"sid": "", **values})


_WRITTEN: Final = ("sid", "root_url", "secret_in", "secret_env", "secret_file")


# ------------------------------------------------------------------ what is accepted


def checked_name(text: str) -> str:
    """A profile's name, trimmed.

    Raises:
        CannotStart: it is empty, too long or has characters that cannot be typed.

    """
    name = text.strip()
    if not name:
        raise CannotStart("give the profile a name, such as the school's")
    if len(name) > NAME_MOST or not name.isprintable():
        raise CannotStart(
            "a profile's name has at most {most} characters that can be typed", most=NAME_MOST
        )
    return name


def checked_sid(text: str) -> str:
    """An institution's SID, trimmed.

    Raises:
        CannotStart: it is no number; the value is not repeated, as it may be the secret.

    """
    sid = text.strip()
    if not is_sid(sid) or len(sid) > _SID_MOST:
        raise CannotStart("the SID should be digits, such as 1000082")
    return sid


_SID_MOST: Final = 20


def checked_url(text: str) -> str:
    """A root URL; empty for the usual one.

    Raises:
        CannotStart: it is neither https nor this computer, or carries more than host and port.

    """
    root_url = check_root_url(text) if text.strip() else ""
    return "" if root_url == DEFAULT_ROOT_URL else root_url


def checked_secret(text: str) -> Secret:
    """A secret as it was entered, trimmed.

    Raises:
        CannotStart: it is empty, or has characters that cannot be typed.

    """
    secret = text.strip()
    if not secret:
        raise CannotStart(
            "enter the secret; it is in the ClassIn console under My institution > API"
        )
    if not secret.isprintable():
        raise CannotStart("the secret holds characters that cannot be typed; copy it again")
    return Secret(secret)


# ------------------------------------------------------------------ changes


def save(home: Path, profile: Profile, secret: Secret | None) -> Profile:
    """Add a profile or change it, and keep its secret: in the keyring if there is one.

    `secret` is None to leave it where it is.

    Raises:
        CannotStart: config.toml cannot be changed so, or the keyring does not take the secret.

    """
    document = _read(home / FILE)
    before = next((p for p in listed(home) if p.name == profile.name), None)
    if secret is not None:
        kept = _keep(home, profile, secret)
    else:
        places = before or profile
        kept = replace(
            profile,
            secret_in=places.secret_in,
            secret_env=places.secret_env,
            secret_file=places.secret_file,
        )
    _write(home / FILE, document, kept.name, _settings(kept))
    if before:
        _forget(home, before, kept)
    return kept


def remove(home: Path, name: str) -> None:
    """Remove a profile, and its secret unless that is in a file of the user's own.

    Raises:
        CannotStart: config.toml cannot be changed so.

    """
    before = next((p for p in listed(home) if p.name == name), None)
    if before is None:
        return
    _write(home / FILE, _read(home / FILE), name, None)
    _forget(home, before, None)


def own_file(name: str) -> str:
    """The name of the file for a profile's secret; nothing in it is taken for a path."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.casefold()).strip("-")[:30]
    mark = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{plain or 'profile'}-{mark}.secret"


def _settings(profile: Profile) -> dict[str, str]:
    return {key: value for key in _WRITTEN if (value := getattr(profile, key))}


def _keep(home: Path, profile: Profile, secret: Secret) -> Profile:
    """Keep the secret; returns the profile that says where."""
    if secret_storage.has_keyring():
        secret_storage.store_in_keyring(profile.name, profile.sid, secret)
        return replace(profile, secret_in=KEYRING, secret_env="", secret_file="")
    name = own_file(profile.name)
    write_private(home / name, secret.reveal() + "\n")
    return replace(profile, secret_in="", secret_env="", secret_file=name)


def _forget(home: Path, before: Profile, after: Profile | None) -> None:
    """Take away a secret that is kept elsewhere by now; a file of the user's own stays."""
    of_keyring = (before.name, before.sid)
    if before.secret_in and (not after or (after.secret_in, after.sid) != (KEYRING, before.sid)):
        secret_storage.forget_in_keyring(*of_keyring)
    file = own_file(before.name)
    if before.secret_file == file and (not after or after.secret_file != file):
        (home / file).unlink(missing_ok=True)


# ------------------------------------------------------------------ the file


def _read(path: Path) -> TOMLDocument:
    try:
        return tomlkit.parse(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        return tomlkit.document()
    except (OSError, ValueError, TOMLKitError) as exc:
        raise CannotStart("{path} cannot be read as TOML: {exc}", path=path, exc=exc) from exc


def _write(
    path: Path, document: TOMLDocument, name: str, settings: Mapping[str, str] | None
) -> None:
    """Write the document with a profile changed, added or, for None, removed.

    Raises:
        CannotStart: it would not say what it should; nothing is written then.

    """
    wanted = document.unwrap()
    before = wanted.setdefault("profiles", {})
    is_new = isinstance(before, dict) and name not in before
    ways = (_appended, _edited) if is_new and settings is not None else (_edited,)
    for way in ways:
        try:
            _change(before, name, settings)
            text = way(document, name, settings)
            is_so = {"profiles": {}, **tomllib.loads(text)} == wanted
        except (TypeError, ValueError, AttributeError):
            continue
        if is_so:
            write_private(path.resolve(), text)
            return
    raise CannotStart(
        "{path} is written in a way that bulkcast cannot change; change [profiles.{name}] with an"
        " editor",
        path=path,
        name=name,
    )


def _appended(document: TOMLDocument, name: str, settings: Mapping[str, str] | None) -> str:
    """The document with a profile behind everything else."""
    text = document.as_string()
    gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
    return f"{text}{gap}{tomlkit.dumps({'profiles': {name: dict(settings or {})}})}"


def _edited(document: TOMLDocument, name: str, settings: Mapping[str, str] | None) -> str:
    """The document with a profile changed in its place."""
    if "profiles" not in document:
        document["profiles"] = tomlkit.table(is_super_table=True)
    _change(document["profiles"], name, settings)
    return document.as_string()


def _change(profiles: Any, name: str, settings: Mapping[str, str] | None) -> None:
    """Set a profile's known settings; the other ones, and comments, stay."""
    if settings is None:
        profiles.pop(name, None)
        return
    if not isinstance(profiles.get(name), dict):
        profiles[name] = {}
    for key in _WRITTEN:
        if key in settings:
            profiles[name][key] = settings[key]
        else:
            profiles[name].pop(key, None)
