"""Keyrings of the `keyring` library's own interface, kept in a file, for tests."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keyring
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked, PasswordDeleteError

VARIABLE = "TEST_KEYRING_FILE"
"""Where a started program finds the file; PYTHON_KEYRING_BACKEND names the class for it."""


class FileKeyring(KeyringBackend):
    """Keeps passwords in a JSON file."""

    priority = 5

    def __init__(self, path: Path | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # the library's
        self.path = path or Path(os.environ[VARIABLE])

    def get_password(self, service: str, username: str) -> str | None:
        """The password, if there is one."""
        return self.entries().get(f"{service} {username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep a password."""
        self._write({**self.entries(), f"{service} {username}": password})

    def delete_password(self, service: str, username: str) -> None:
        """Forget a password."""
        entries = self.entries()
        if entries.pop(f"{service} {username}", None) is None:
            raise PasswordDeleteError("not found")
        self._write(entries)

    def entries(self) -> dict[str, str]:
        """Service and user → password."""
        if not self.path.exists():
            return {}
        found: dict[str, str] = json.loads(self.path.read_text("utf-8"))
        return found

    def _write(self, entries: dict[str, str]) -> None:
        self.path.write_text(json.dumps(entries), "utf-8")


class LockedKeyring(FileKeyring):
    """One whose owner does not unlock it."""

    def get_password(self, service: str, username: str) -> str | None:
        """Never."""
        raise KeyringLocked(f"{service} {username} is locked")

    def set_password(self, service: str, username: str, password: str) -> None:
        """Never; the words of a real one might quote anything."""
        raise KeyringLocked(f"{password} cannot be stored")


@contextmanager
def using(backend: KeyringBackend) -> Iterator[None]:
    """Have this process use a keyring while the block runs."""
    before = keyring.get_keyring()
    keyring.set_keyring(backend)
    try:
        yield
    finally:
        keyring.set_keyring(before)
