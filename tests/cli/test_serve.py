"""`serve --install`, what tells of a run's end, and where `doctor` says a secret is from."""

import json
import shlex
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bulkcast.model import Secret
from bulkcast.sandbox import SANDBOX_SECRET, SANDBOX_SID, Sandbox, World
from tests.cli_runner import FAST, CliRunner, clearing, lines, serving, write_csv
from tests.file_keyring import VARIABLE, FileKeyring


def keeping(cli: CliRunner) -> tuple[str, Path]:
    """A command that keeps what it is told, and where."""
    out = cli.folder / "told.json"
    program = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text(sys.stdin.read())"
    return shlex.join([sys.executable, "-c", program, str(out)]), out


@contextmanager
def hook(status: int = 200) -> Iterator[tuple[str, list[Any]]]:
    """A web server that keeps what is sent to it."""
    told: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# ------------------------------------------------------------------ the end of a run


def test_a_command_and_a_web_address_are_told_when_apply_resubmit_and_resume_end(
    cli: CliRunner,
) -> None:
    command, out = keeping(cli)
    sheet = write_csv(cli.folder / "classes.csv", lines(3))
    with clearing(cli), hook() as (url, told):
        tell = ("--notify-command", command, "--webhook", url)
        said = cli.call("apply", sheet, "--yes", "--json", "--limit", "1", *FAST, *tell)
        again = cli.call("resubmit", said.document["results"], "--yes", "--json", *FAST, *tell)
        over = cli.call("resume", again.document["run"], *FAST, *tell)

    assert (said.status, again.status, over.status) == (0, 0, 0)
    assert [one["run"] for one in told] == [said.document["run"], again.document["run"]]
    assert [one["exit"] for one in told] == [0, 0]
    assert told[0]["counts"] == said.document["counts"]
    assert told[0]["rows"] == 3
    assert json.loads(out.read_text("utf-8")) == told[1]
    assert SANDBOX_SECRET.reveal() not in str(told)
    assert "pw0000" not in str(told)


def test_who_cannot_be_told_is_a_remark_and_the_exit_status_stays(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "classes.csv", lines(2))
    with clearing(cli), hook(500) as (url, _):
        tell = ("--notify-command", "no-such-program-here", "--webhook", f"{url}?token=abc")
        said = cli.call("apply", sheet, "--yes", "--json", *FAST, *tell)

    assert said.status == 0
    assert said.document["exit"] == 0
    assert "no-such-program-here of --notify-command cannot be run" in said.err
    assert "127.0.0.1 of --webhook answered HTTP 500." in said.err
    assert "abc" not in said.err


def test_nobody_is_told_of_a_dry_run_or_of_a_run_that_did_not_begin(cli: CliRunner) -> None:
    command, out = keeping(cli)
    sheet = write_csv(cli.folder / "classes.csv", lines(2))
    with clearing(cli):
        cli.call("apply", sheet, "--dry-run", "--notify-command", command)
        cli.call("apply", cli.folder / "missing.csv", "--yes", "--notify-command", command)

    assert not out.exists()


@pytest.mark.parametrize(
    "tell", [("--webhook", "http://hooks.example"), ("--notify-command", "'a")]
)
def test_what_could_not_be_told_is_refused_before_anything_is_sent(
    cli: CliRunner, tell: tuple[str, str]
) -> None:
    sheet = write_csv(cli.folder / "classes.csv", lines(2))
    with clearing(cli) as sandbox:
        said = cli.call("apply", sheet, "--yes", *tell)
        assert said.status == 2
        assert not sandbox.log
    assert cli.call("serve", "--no-open", *tell).status == 2


# ------------------------------------------------------------------ the desktop


@pytest.mark.skipif(sys.platform != "linux", reason="where the entry lies differs")
def test_install_writes_a_desktop_entry_and_uninstall_removes_it(cli: CliRunner) -> None:
    cli.set(XDG_DATA_HOME=str(cli.folder / "data"))
    entry = cli.folder / "data/applications/bulkcast.desktop"

    written = cli.call("serve", "--install", "--port", "8400")
    assert (written.status, written.out) == (0, "")
    assert f"Written: {entry}" in written.err
    assert "--port 8400" in entry.read_text("utf-8")
    assert f"Replaced: {entry}" in cli.call("serve", "--install").err
    assert f"Removed: {entry}" in cli.call("serve", "--uninstall").err
    assert not entry.exists()
    assert f"There is none: {entry}" in cli.call("serve", "--uninstall").err

    told = cli.call("serve", "--uninstall", "--json").document
    assert told == {
        "schema": "bulkcast.desktop_entry/1", "path": str(entry), "done": "none",
    }  # fmt: skip

    entry.write_text("mine", "utf-8")
    refused = cli.call("serve", "--install")
    assert refused.status == 2
    assert "--force" in refused.err
    assert entry.read_text("utf-8") == "mine"
    assert cli.call("serve", "--install", "--force").status == 0
    assert cli.call("serve", "--install", "--uninstall").status == 2


# ------------------------------------------------------------------ where a secret is from


def test_the_terminal_reads_the_keyring_that_the_page_has_filled(cli: CliRunner) -> None:
    ring = FileKeyring(cli.folder / "ring.json")
    ring.set_password("bulkcast", f"branch/{SANDBOX_SID}", "school-secret-77")
    home = Path(cli.env["BULKCAST_HOME"])
    home.mkdir(parents=True)
    backend = "tests.file_keyring.FileKeyring"
    cli.set(PYTHON_KEYRING_BACKEND=backend, **{VARIABLE: str(ring.path)})
    with serving(Sandbox(World(limit=None), secret=Secret("school-secret-77"))) as root_url:
        (home / "config.toml").write_text(
            f'[profiles.branch]\nsid = "{SANDBOX_SID}"\nroot_url = "{root_url}"\n'
            'secret_in = "keyring"\n',
            "utf-8",
        )
        well = cli.spawn("doctor", "--profile", "branch")
        ring.delete_password("bulkcast", f"branch/{SANDBOX_SID}")
        gone = cli.spawn("doctor", "--profile", "branch")

    assert well.status == 0, well
    assert "The SID is from config.toml, the secret from the keyring." in well.out
    assert gone.status == 2
    assert "the keyring has no secret for profile 'branch'" in gone.out
