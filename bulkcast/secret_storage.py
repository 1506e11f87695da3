"""Where institutions' secrets are kept: in the operating system's keyring, or in private files."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bulkcast.errors import CannotStart
from bulkcast.i18n import marked
from bulkcast.model import Secret, Text

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

SERVICE: Final = "bulkcast"
"""The service's name in the keyring."""
_USABLE: Final = 1
"""The least priority of a keyring that its makers recommend: others keep plain text, or nothing."""


# ------------------------------------------------------------------ files


def read_file(path: Path) -> Secret:
    """The secret in a file that nobody else can read.

    Raises:
        CannotStart: it cannot be read, others can, or it holds anything but a secret.

    """
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8-sig").strip()
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or "it is no text in UTF-8"
        raise CannotStart(
            "the secret's file {path} cannot be read: {why}", path=path, why=reason
        ) from exc
    # Windows has no such bits; the user's profile folder is private there.
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise CannotStart(
            "others can read the secret's file {path}; run chmod 600 on it", path=path
        )
    if not text or "\n" in text:
        raise CannotStart("the secret's file {path} must hold one line: the secret", path=path)
    return printable(text, f"the secret's file {path}")


def printable(text: str, where: object) -> Secret:
    """The secret, if all its characters can be typed.

    Raises:
        CannotStart: `where` holds others.

    """
    if not text.isprintable():
        raise CannotStart(
            "{where} holds characters that cannot be typed; copy the secret again", where=where
        )
    return Secret(text)


# ------------------------------------------------------------------ the keyring


def has_keyring() -> bool:
    """Whether this computer has a keyring that keeps secrets; this may take a second."""
    return _backend() is not None


def read_keyring(profile: str, sid: str) -> Secret:
    """The secret of a profile in the keyring, which may ask the user to unlock it.

    Raises:
        CannotStart: there is no keyring, it is locked, or it does not have the secret.

    """
    backend = _backend()
    if backend is None:
        raise CannotStart(_NO_KEYRING, profile=profile)
    with _told(_UNREADABLE, profile):
        found = backend.get_password(SERVICE, _user(profile, sid))
    if not found:
        raise CannotStart(
            "the keyring has no secret for profile {profile!r} and institution {sid}; enter it"
            " again on the page (bulkcast serve)",
            profile=profile,
            sid=sid,
        )
    return printable(found, Text(_THE_KEYRING))


def store_in_keyring(profile: str, sid: str, secret: Secret) -> None:
    """Keep the secret of a profile in the keyring.

    Raises:
        CannotStart: there is no keyring, or it did not take the secret.

    """
    backend = _backend()
    if backend is None:
        raise CannotStart(_NO_KEYRING, profile=profile)
    with _told(_UNWRITABLE, profile):
        backend.set_password(SERVICE, _user(profile, sid), secret.reveal())


def forget_in_keyring(profile: str, sid: str) -> bool:
    """Take the secret of a profile out of the keyring; whether it is gone."""
    backend = _backend()
    if backend is None:
        return False
    try:
        backend.delete_password(SERVICE, _user(profile, sid))
    except Exception:  # noqa: BLE001 - a keyring raises what its own libraries do
        return False
    return True


_THE_KEYRING: Final = marked("the keyring")
_NO_KEYRING: Final = marked(
    "the secret of profile {profile!r} is in the keyring, but no keyring can be used here; enter it"
    " again on the page (bulkcast serve), or set BULKCAST_SECRET_FILE"
)
_UNREADABLE: Final = marked(
    "the keyring does not give the secret of profile {profile!r} ({kind}); unlock it and try again"
)
_UNWRITABLE: Final = marked(
    "the keyring does not take the secret of profile {profile!r} ({kind}); unlock it and try again"
)


@contextmanager
def _told(template: str, profile: str) -> Iterator[None]:
    """Turn an error of the keyring into one to show, without its words, which may quote anything.

    Raises:
        CannotStart: there was one.

    """
    try:
        yield
    except Exception as exc:  # noqa: BLE001 - a keyring raises what its own libraries do
        raise CannotStart(template, profile=profile, kind=type(exc).__name__) from None


def _user(profile: str, sid: str) -> str:
    return f"{profile}/{sid}"


def _backend() -> "KeyringBackend | None":
    """The keyring, if there is one that keeps secrets."""
    try:
        import keyring

        found = keyring.get_keyring()
        is_usable = found.priority >= _USABLE
    except Exception:  # noqa: BLE001 - none is installed, or the one that is set cannot be used
        return None
    return found if is_usable else None
