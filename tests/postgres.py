"""A PostgreSQL server for tests: its own, in a temporary folder, stopped at the end.

Each process of pytest starts one when its first test asks for a database: about two seconds.  A
test may stop and restart it, as no other test runs in the process meanwhile.
"""

import atexit
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

USER = "bulkcast"
_DEBIAN = Path("/usr/lib/postgresql")
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "logging_collector": "off",
    "timezone": "UTC",
}
_START_S = 30.0
"""Seconds that a server may take to start or to stop on a busy machine."""


class Server:
    """One PostgreSQL server on loopback, on the same port after every restart."""

    def __init__(self) -> None:
        """Create the cluster and start it.

        Raises:
            FileNotFoundError: PostgreSQL is not installed.
        """
        self._programs = programs()
        self._user, self._group = _account()
        self._password = secrets.token_hex(8)
        shm = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
        place = shm if os.access(shm, os.W_OK) else None
        self.folder = Path(tempfile.mkdtemp(prefix="bulkcast-postgres-", dir=place))
        if self._user is not None and self._group is not None:
            os.chown(self.folder, self._user, self._group)
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._create()
        self.start()

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://{USER}:{self._password}@127.0.0.1:{self.port}/{database}"

    def _create(self) -> None:
        words = self.folder / "password"
        words.write_text(self._password, encoding="ascii")
        words.chmod(0o644)  # the server's user reads it; the folder is closed to all others
        self._run(
            "initdb", "--pgdata", str(self.folder / "data"), "--username", USER,
            "--auth", "password", "--pwfile", str(words), "--encoding", "UTF8",
            "--locale", "C", "--no-sync", "--no-instructions",
        )  # fmt: skip
        words.unlink()

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        options = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    str(self._programs / "postgres"), "-D", str(self.folder / "data"),
                    "-p", str(self.port), "-h", "127.0.0.1", "-k", str(self.folder), *options,
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder,
                start_new_session=True,  # Ctrl-C ends the tests, and they end the server
                user=self._user, group=self._group,
            )  # fmt: skip
        self._wait()

    def _wait(self) -> None:
        until = time.monotonic() + _START_S
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=5).close()
            except psycopg.OperationalError:
                ended = self._process is None or self._process.poll() is not None
                if ended or time.monotonic() > until:
                    log = (self.folder / "log").read_text(errors="replace")[-2000:]
                    raise RuntimeError(f"PostgreSQL did not start:\n{log}") from None
                time.sleep(0.02)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT breaks connections, SIGQUIT is as good as a crash."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(how)
            try:
                self._process.wait(_START_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None

    def restart(self, how: signal.Signals = signal.SIGINT) -> None:
        self.stop(how)
        self.start()

    def remove(self) -> None:
        """Stop the server and delete its files."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._programs / program), *arguments],
            check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=self.folder,
            env=_environment(), user=self._user, group=self._group,
        )  # fmt: skip


def programs() -> Path:
    """The folder of PostgreSQL's programs; Debian keeps them off the PATH.

    Raises:
        FileNotFoundError: there is none.  On other systems than Linux the test is skipped instead,
            as `tests/check.py` installs programs on Linux alone.
    """
    versions = [path for path in _DEBIAN.glob("*/bin") if (path / "initdb").exists()]
    if versions:
        return max(versions, key=lambda path: int(path.parent.name))
    found = shutil.which("initdb")
    if not found and sys.platform != "linux":
        pytest.skip("PostgreSQL is not installed here")
    if not found:
        raise FileNotFoundError(
            "these tests start a PostgreSQL server of their own and found no PostgreSQL here:"
            " install Debian's package `postgresql` (apt-get install postgresql)"
        )
    return Path(found).resolve().parent


def _account() -> tuple[int | None, int | None]:
    """User and group of the server; None for our own.  PostgreSQL refuses to run as root."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return None, None
    import pwd

    names = [user.pw_name for user in pwd.getpwall()]
    user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    return user.pw_uid, user.pw_gid


def _environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith(("PG", "BULKCAST_"))}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# ------------------------------------------------------------------ databases


@cache
def server() -> Server:
    """This process's server, started by the first call."""
    found = Server()
    atexit.register(found.remove)
    return found


_NUMBERS = count()


def new_database(prepare: Callable[[str], object] | None = None) -> str:
    """The URL of a fresh database, made in about 30 ms.

    `prepare` gets the URL of an empty database once per process and fills it; each database is
    then a copy of it.
    """
    return _create_database(_template(prepare) if prepare else "template1")


def drop_database(url: str) -> None:
    """Delete a database, connections and all."""
    name = sql.Identifier(url.rpartition("/")[2])
    _execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))


@cache
def _template(prepare: Callable[[str], object]) -> str:
    url = _create_database("template1")
    prepare(url)
    return url.rpartition("/")[2]


def _create_database(template: str) -> str:
    name = f"test_{next(_NUMBERS)}"
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
    _execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
    return server().url(name)


def _execute(statement: sql.Composed) -> None:
    with psycopg.connect(server().url(), autocommit=True) as connection:
        connection.execute(statement)
