"""How a command ends that somebody ends: in every phase in order, with a status that says so."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bulkcast.cli.signals import Terminated, in_order
from bulkcast.errors import CannotStart
from tests.cli_runner import CANARY, HEADERS, CliRunner, clearing, line, lines, write_csv
from tests.workbook_files import ods, text_cell

posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no such signals and terminals")
linux = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="only Linux shows them")


@posix
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_polite_kill_runs_what_has_to_run_at_the_end(name: str) -> None:
    before = signal.getsignal(getattr(signal, name))
    cleaned = False

    def command() -> None:
        nonlocal cleaned
        with in_order():
            try:
                signal.raise_signal(getattr(signal, name))
            finally:
                cleaned = True

    with pytest.raises(Terminated) as ended:
        command()

    assert (cleaned, ended.value.exit_status) == (True, 143)
    assert signal.getsignal(getattr(signal, name)) is before


@posix
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_that_an_import_makes_another_error_of_is_told_as_what_it_was(name: str) -> None:
    """Up to Python 3.11 whatever is raised while a class is made comes out as a RuntimeError."""

    class Telling:
        def __set_name__(self, owner: type, attribute: str) -> None:
            signal.raise_signal(getattr(signal, name))

    with in_order() as asked:
        with pytest.raises((Terminated, RuntimeError)) as chained:
            type("Made", (), {"attribute": Telling()})
        silent = asked.behind(ImportError("initialization failed"))

    assert isinstance(asked.behind(chained.value), Terminated)
    assert isinstance(silent, Terminated), "C forgets the cause"


def test_an_error_that_no_signal_is_behind_stays_what_it_is() -> None:
    error, own = ImportError("not there"), CannotStart("a sentence")

    with in_order() as asked:
        assert asked.behind(error) is error
        assert asked.behind(own) is own


@posix
def test_what_nohup_has_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with in_order():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.slow
@posix
@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 143)])
def test_while_it_asks_nothing_has_begun_and_a_signal_ends_it(
    cli: CliRunner, name: str, status: int
) -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    sheet = write_csv(cli.folder / "term.csv", lines(3))

    with clearing(cli) as sandbox:
        process = cli.start("apply", sheet, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        seen = b""
        while b"[y/N]" not in seen:
            seen += os.read(ours, 65536)
        process.send_signal(getattr(signal, name))
        ended = process.wait(30)
        seen += b"".join(rest(ours))

    assert ended == status
    assert b"Traceback" not in seen
    assert sandbox.received == 0
    assert not (cli.folder / "home" / "runs").exists()


def rest(terminal: int) -> Iterator[bytes]:
    """What a terminal still shows after its last program has ended."""
    try:
        while chunk := os.read(terminal, 65536):
            yield chunk
    except OSError:  # Linux's way to say that the other end is closed
        return
    finally:
        os.close(terminal)


# ------------------------------------------------------------------ who may look


def children(process: subprocess.Popen[str]) -> list[Path]:
    """The folders under /proc of what a process has started."""
    try:
        found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text("ascii")
    except OSError:
        return []
    return [Path("/proc") / pid for pid in found.split()]


@pytest.mark.slow
@linux
def test_neither_arguments_nor_a_readers_environment_show_the_secret(cli: CliRunner) -> None:
    """Everybody on the computer sees arguments; a file that crashes its reader sees its memory."""
    row = "<table:table-row>" + "".join(map(text_cell, line(0))) + "</table:table-row>"
    sheet = ods(cli.folder / "term.ods", HEADERS, row * 3000)
    cli.set(BULKCAST_SID="1000082", BULKCAST_SECRET=CANARY)
    process = cli.start("validate", sheet, "--json")
    seen: dict[str, bytes] = {}
    until = time.monotonic() + 30

    while process.poll() is None and time.monotonic() < until:
        for folder in children(process):
            try:
                environ = (folder / "environ").read_bytes()
                arguments = (folder / "cmdline").read_bytes()
            except OSError:  # it has ended
                continue
            if b"bulkcast.loader" in arguments:  # and not its parent's own, just before it begins
                seen[folder.name] = environ + arguments
    process.communicate(timeout=30)

    assert seen, "no reader was seen"
    assert not any(CANARY.encode() in found or b"BULKCAST_S" in found for found in seen.values())
