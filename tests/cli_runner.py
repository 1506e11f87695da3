"""Helpers for tests of the command line: sheets, a sandbox, ways to call it."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter

from bulkcast.cli import run
from bulkcast.sandbox import SANDBOX_SECRET, SANDBOX_SID, Sandbox, World
from tests.source_files import ROOT

HEADERS = (
    "lesson",
    "activityId",
    "recordState",
    "recordType",
    "liveState",
    "openState",
    "watchPassword",
)
FAST = ("--rate", "max")
CANARY = "correct-horse-battery"
"""A secret, or a password, that no output may show."""


def line(number: int) -> list[str]:
    """The cells of the nth class, all of them right."""
    return [
        f"课 {number}",
        str(25096000 + number),
        "1",
        "0",
        str(number % 2),
        "1",
        f"pw{number:04d}",
    ]


def write_csv(path: Path, lines: list[list[str]]) -> Path:
    """A sheet of these rows."""
    text = "\n".join(",".join(cells) for cells in [list(HEADERS), *lines])
    path.write_text(text + "\n", encoding="utf-8")
    return path


def write_xlsx(path: Path, lines: list[list[str]]) -> Path:
    """The same as a workbook, every cell a text."""
    with xlsxwriter.Workbook(path) as book:
        tab = book.add_worksheet()
        for number, cells in enumerate([list(HEADERS), *lines]):
            tab.write_row(number, 0, cells)
    return path


def lines(n: int) -> list[list[str]]:
    """n classes."""
    return [line(number) for number in range(n)]


# ------------------------------------------------------------------ a sandbox beside the test


@contextmanager
def serving(sandbox: Sandbox) -> Iterator[str]:
    """Serve a sandbox in a thread with its own event loop; yields its root URL."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    context = sandbox.serving()
    try:
        yield asyncio.run_coroutine_threadsafe(context.__aenter__(), loop).result(10)
        asyncio.run_coroutine_threadsafe(context.__aexit__(None, None, None), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class Reached:
    """A sandbox's clock that signals when it has been read often enough."""

    def __init__(self, looks: int) -> None:
        self._left = looks
        self._event = threading.Event()

    def __call__(self) -> float:
        self._left -= 1
        if self._left <= 0:
            self._event.set()
        return time.time()

    def wait(self) -> None:
        """Wait until then; each request reads the clock at least once."""
        assert self._event.wait(20), "too few requests arrived"


# ------------------------------------------------------------------ calling


@dataclass(frozen=True)
class Said:
    """The exit status and output of a command."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one object on stdout."""
        return json.loads(self.out)


@dataclass
class CliRunner:
    """A folder to work in, its environment, and a command line."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    capture: pytest.CaptureFixture[str]
    env: dict[str, str] = field(default_factory=dict)

    def set(self, **env: str) -> None:
        """Change the environment of later commands."""
        self.env.update(env)
        for name, value in env.items():
            self.monkeypatch.setenv(name, value)

    def use(self, root_url: str, secret: str = SANDBOX_SECRET.reveal()) -> None:
        """Point the environment at a sandbox."""
        self.set(BULKCAST_ROOT_URL=root_url, BULKCAST_SID=SANDBOX_SID, BULKCAST_SECRET=secret)

    def call(self, *argv: str | Path) -> Said:
        """Run a command in this process."""
        out, err = sys.stdout, sys.stderr
        try:
            status = run([str(word) for word in argv])
        finally:
            sys.stdout, sys.stderr = out, err
        said = self.capture.readouterr()
        return Said(status, said.out, said.err)

    def start(self, *argv: str | Path, **options: Any) -> "subprocess.Popen[str]":
        """Start a command in its own process."""
        return subprocess.Popen(
            [sys.executable, "-m", "bulkcast", *map(str, argv)],
            env=self.environment(),
            stdin=options.pop("stdin", subprocess.DEVNULL),
            stdout=options.pop("stdout", subprocess.PIPE),
            stderr=options.pop("stderr", subprocess.PIPE),
            encoding="utf-8",
            **options,
        )

    def spawn(self, *argv: str | Path) -> Said:
        """Run a command in its own process and wait for its end."""
        process = self.start(*argv)
        out, err = process.communicate(timeout=60)
        return Said(process.returncode, out, err)

    def environment(self) -> Mapping[str, str]:
        """The environment of a started process."""
        return {**os.environ, **self.env, "PYTHONPATH": str(ROOT)}


@contextmanager
def clearing(cli: CliRunner, world: World | None = None, **options: Any) -> Iterator[Sandbox]:
    """A sandbox without a limit, to which the environment of `cli` points."""
    sandbox = Sandbox(world or World(limit=None), secret=SANDBOX_SECRET, **options)
    with serving(sandbox) as root_url:
        cli.use(root_url)
        yield sandbox
