"""A fleet from the command line: a database, real workers, and runs that others hand in."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from bulkcast.model import Secret
from bulkcast.pipeline import fleet_control
from bulkcast.sandbox import SANDBOX_SECRET, SANDBOX_SID, Sandbox, World
from tests.cli_runner import (
    CANARY,
    FAST,
    CliRunner,
    clearing,
    line,
    lines,
    serving,
    write_csv,
)
from tests.postgres import drop_database, new_database
from tests.sheets import read_rows
from tests.source_files import ROOT

PATIENCE_S: Final = 40.0
posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no such signals")


@pytest.fixture
def fleet(cli: CliRunner) -> Iterator[CliRunner]:
    """A user of a fleet whose tables are there."""
    url = new_database(fleet_control.init)
    cli.set(BULKCAST_DATABASE=url, BULKCAST_USER="li")
    yield cli
    drop_database(url)


def awaited(look: Callable[[], Any]) -> Any:
    """What `look` gives as soon as it gives something."""
    until = time.monotonic() + PATIENCE_S
    while not (found := look()):
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.1)
    return found


def status(cli: CliRunner) -> Any:
    return cli.call("fleet", "status", "--json").document


def shown(cli: CliRunner, run: str) -> Any:
    return cli.call("runs", "show", run, "--json").document


def ended(cli: CliRunner, run: str) -> Any:
    """The run when it has ended."""
    return awaited(lambda: (found := shown(cli, run))["finished_at"] and found)


@contextmanager
def working(cli: CliRunner, *options: str) -> Iterator["subprocess.Popen[str]"]:
    """A worker, once it has reported; it ends in order."""
    process = cli.start("worker", *options)
    try:
        awaited(lambda: process.poll() is not None or status(cli)["workers"])
        assert process.poll() is None, process.communicate()
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=PATIENCE_S)
    assert "Traceback" not in err, err
    assert out == ""


def handed_in(cli: CliRunner, sheet: Path, *options: str) -> Any:
    said = cli.call("apply", sheet, "--detach", "--yes", "--json", *options)
    assert said.status == 0, said
    return said.document


# ------------------------------------------------------------------ a run


@posix
@pytest.mark.slow
def test_a_run_that_is_handed_in_ends_as_one_that_is_sent_from_here(
    fleet: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = ["课 x", "x", "1", "0", "1", "1", "pw"]
    sheet = write_csv(fleet.folder / "term.csv", [*lines(12), wrong])
    with clearing(fleet) as sandbox:
        with working(fleet) as process:
            done = handed_in(fleet, sheet, *FAST)
            found = ended(fleet, done["run"])
            fleet.call("results", done["run"], "-o", fleet.folder / "fleet.csv")
            sent = sandbox.received
        monkeypatch.delenv("BULKCAST_DATABASE")
        fleet.set(BULKCAST_HOME=str(fleet.folder / "alone"))
        fleet.call("apply", sheet, "-y", *FAST, "-o", fleet.folder / "alone.csv")

    assert process.returncode == 0
    assert done == {
        "schema": "bulkcast.submitted/1", "run": done["run"], "rows": 13, "requests": 12,
        "workers": 1,
    }  # fmt: skip
    assert found["counts"] == {**dict.fromkeys(found["counts"], 0), "applied": 12, "invalid": 1}
    assert sent == 12
    assert told(fleet.folder / "fleet.csv") == told(fleet.folder / "alone.csv")


def told(path: Path) -> list[dict[str, str]]:
    """The rows of a result sheet, but for what differs between any two runs."""
    own = {"bulkcast_time", "bulkcast_run"}
    return [{k: v for k, v in row.items() if k not in own} for row in read_rows(path)]


@posix
@pytest.mark.slow
def test_an_apply_that_waits_reports_what_workers_did(fleet: CliRunner) -> None:
    sheet = write_csv(fleet.folder / "term.csv", lines(5))
    with clearing(fleet), working(fleet):
        said = fleet.call("apply", sheet, "-y", "--json", *FAST)
        again = fleet.call("resubmit", said.document["results"], "-y", "--json", *FAST)
        listed = fleet.call("runs", "--json").document["runs"]

    assert said.status == 0, said
    assert said.document["counts"]["applied"] == 5
    assert again.document["requests"] == 0
    assert {run["state"] for run in listed} == {"finished"}


@posix
@pytest.mark.slow
def test_a_run_that_is_cancelled_ends_and_goes_on_when_it_is_resumed(fleet: CliRunner) -> None:
    sheet = write_csv(fleet.folder / "term.csv", lines(12))
    with clearing(fleet) as sandbox, working(fleet):
        run = handed_in(fleet, sheet, "--rate", "120/min")["run"]
        awaited(lambda: sandbox.received)
        cancelled = fleet.call("fleet", "cancel", run, "--json").document
        found = ended(fleet, run)
        late = fleet.call("fleet", "cancel", run)
        resumed = fleet.call("resume", run, "--json")

    assert cancelled == {"schema": "bulkcast.cancel/1", "runs": [run]}
    assert found["stopped"]["reason"] == "interrupted"
    assert found["counts"]["not_sent"]
    assert "ended already" in late.out
    assert resumed.status == 0, resumed
    assert resumed.document["counts"]["applied"] == 12


def test_a_run_that_nobody_could_send_ends_when_it_is_cancelled(fleet: CliRunner) -> None:
    sheet = write_csv(fleet.folder / "term.csv", lines(2))
    with clearing(fleet) as sandbox:
        run = handed_in(fleet, sheet, *FAST)["run"]
        cancelled = fleet.call("fleet", "cancel", run)
        found = shown(fleet, run)
        again = fleet.call("fleet", "cancel", run)
        lane = status(fleet)["lanes"][0]["state"]

    assert run in cancelled.out
    assert found["finished_at"] is not None
    assert found["stopped"]["reason"] == "interrupted"
    assert found["counts"]["not_sent"] == 2
    assert "ended already" in again.out
    assert lane in {"idle", "waiting"}
    assert sandbox.received == 0


@posix
@pytest.mark.slow
def test_an_institution_that_is_paused_gets_nothing_until_it_may_go_on(fleet: CliRunner) -> None:
    sheet = write_csv(fleet.folder / "term.csv", lines(3))
    with clearing(fleet) as sandbox:
        run = handed_in(fleet, sheet, *FAST)["run"]
        paused = fleet.call("fleet", "pause", SANDBOX_SID, "--json").document
        with working(fleet):
            seen = status(fleet)
            again = fleet.call("fleet", "pause", "--all")
            waiting = fleet.call("runs", "show", run)
            sent = sandbox.received
            going = fleet.call("fleet", "go-on", paused["institutions"][0])
            found = ended(fleet, run)
        listed = fleet.call("fleet", "actions", "--json").document["actions"]
        table = fleet.call("fleet", "actions")

    assert "not yet" in waiting.out
    assert "its run is still under way" in waiting.out
    assert "interrupted" not in waiting.out
    assert "Asia/Shanghai" in table.out
    assert paused["institutions"] == [lane["institution"] for lane in seen["lanes"]]
    assert [lane["state"] for lane in seen["lanes"]] == ["paused"]
    assert [one["run"] for one in seen["runs"]] == [run]
    assert sent == 0
    assert "paused already" in again.out
    assert paused["institutions"][0] in going.out
    assert found["counts"]["applied"] == 3
    assert [each["action"] for each in listed] == ["go on", "pause", "submit"]
    assert {(each["who"], each["host"]) for each in listed} == {("li", socket.gethostname())}


@posix
@pytest.mark.slow
def test_ctrl_c_of_an_apply_that_waits_cancels_the_run(fleet: CliRunner) -> None:
    sheet = write_csv(fleet.folder / "term.csv", lines(30))
    with clearing(fleet) as sandbox, working(fleet):
        process = fleet.start("apply", sheet, "-y", "--json", "--rate", "120/min")
        awaited(lambda: sandbox.received)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_S)
        found = shown(fleet, json.loads(out)["run"])

    assert process.returncode == 130, err
    assert found["stopped"]["reason"] == "interrupted"
    assert found["counts"]["not_sent"]


@posix
@pytest.mark.slow
def test_a_sheet_for_several_institutions_comes_back_as_one(fleet: CliRunner) -> None:
    secrets = {"north": ("1000082", "of-the-north-1"), "south": ("1000083", "of-the-south-2")}
    worlds = [World(sid=sid, limit=None, secret=Secret(key)) for sid, key in secrets.values()]
    sandbox = Sandbox(replace(worlds[0], others=(worlds[1],)), secret=SANDBOX_SECRET)
    whose = ["north", "south", "south", "north"]
    rows = [f"{name},{25096000 + n},1,0,1,1" for n, name in enumerate(whose)]
    sheet = fleet.folder / "term.csv"
    head = "institution,activityId,recordState,recordType,liveState,openState"
    sheet.write_text("\n".join([head, *rows]), "utf-8")
    home = fleet.folder / "home"
    home.mkdir()
    with serving(sandbox) as url:
        (home / "config.toml").write_text(
            "\n".join(
                f'[profiles.{name}]\nsid = "{sid}"\nroot_url = "{url}"\nsecret_env = "OF_{name}"'
                for name, (sid, _) in secrets.items()
            )
        )
        theirs = {**fleet.env, **{f"OF_{name}": key for name, (_, key) in secrets.items()}}
        with working(CliRunner(fleet.folder, fleet.monkeypatch, fleet.capture, theirs)):
            run = handed_in(fleet, sheet, *FAST)["run"]
            found = ended(fleet, run)
            fleet.set(BULKCAST_HOME=str(fleet.folder / "another"))
            fleet.call("results", run, "-o", fleet.folder / "out.csv")

    results = read_rows(fleet.folder / "out.csv")
    assert found["counts"]["applied"] == 4
    assert [row["institution"] for row in results] == whose
    assert len({row["bulkcast_run"] for row in results}) == 2


@posix
@pytest.mark.slow
def test_what_is_taken_back_and_purged_is_in_the_list_of_actions(fleet: CliRunner) -> None:
    sheet = write_csv(fleet.folder / "term.csv", lines(2))
    with clearing(fleet), working(fleet):
        run = fleet.call("apply", sheet, "-y", "--json", *FAST).document["run"]
    fleet.call("undo", run, "-o", fleet.folder / "back.csv")
    purged = fleet.call("purge", "--run", run, "-y")
    listed = fleet.call("fleet", "actions", "--json").document["actions"]
    people = fleet.call("fleet", "actions", "--limit", "1")

    assert purged.status == 0, purged
    assert [(each["action"], each["run"]) for each in listed] == [
        ("purge", run), ("undo", run), ("submit", run),
    ]  # fmt: skip
    assert "purged" in people.out
    assert "submitted" not in people.out


# ------------------------------------------------------------------ who may send


@posix
@pytest.mark.slow
def test_an_admin_hands_in_without_a_secret_and_the_worker_has_it(
    fleet: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    sheet = write_csv(fleet.folder / "term.csv", lines(2))
    with clearing(fleet), working(fleet):
        monkeypatch.delenv("BULKCAST_SECRET")
        said = fleet.call("apply", sheet, "-y", "--json", *FAST)
        doctor = fleet.call("doctor")
        alone = fleet.call("worker")

    assert said.document["counts"]["applied"] == 2
    assert doctor.status == 0, doctor
    assert "The secret is not here" in doctor.out
    assert "1 worker is there" in doctor.out
    assert alone.status == 2
    assert "Nothing will be sent for the environment" in alone.err
    assert "no secret it could send with" in alone.err


@posix
@pytest.mark.slow
def test_a_worker_names_the_profiles_it_cannot_send_for_and_serves_the_others(
    fleet: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    sheet = write_csv(fleet.folder / "term.csv", lines(2))
    home = fleet.folder / "home"
    home.mkdir()
    with clearing(fleet):
        url = os.environ["BULKCAST_ROOT_URL"]
        for name in ("BULKCAST_SID", "BULKCAST_SECRET", "BULKCAST_ROOT_URL"):
            monkeypatch.delenv(name)
            del fleet.env[name]
        fleet.set(NORTH_SECRET=SANDBOX_SECRET.reveal())
        (home / "config.toml").write_text(
            f'[profiles.north]\nsid = "{SANDBOX_SID}"\nroot_url = "{url}"\n'
            'secret_env = "NORTH_SECRET"\n[profiles.south]\nsid = "1000083"\n'
            'secret_env = "SOUTH_SECRET"\n[profiles.west]\nsid = "west"\n'
        )
        process = fleet.start("worker", "-v")
        awaited(lambda: status(fleet)["workers"])
        run = handed_in(fleet, sheet, *FAST, "--profile", "north")["run"]
        found = ended(fleet, run)
        people = awaited(
            lambda: "nothing to" in (told := fleet.call("fleet", "status").out) and told
        )
        unknown = fleet.call("fleet", "pause", "east")
        paused = fleet.call("fleet", "pause", "north", "--json").document
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=PATIENCE_S)

    assert process.returncode == 0
    assert found["counts"]["applied"] == 2
    assert "sends for 1 institution: north" in err
    assert "Ctrl-C ends it in order." in err
    assert re.search("Nothing will be sent for south: .*SOUTH_SECRET", err)
    assert re.search("Nothing will be sent for west: .*digits", err)
    assert f"run {run} has ended" in err
    assert re.search(r"north\s+nothing to send", people)
    assert unknown.status == 2
    assert len(paused["institutions"]) == 1


class Profiles:
    """A worker, the profiles of its computer, and an admin who has all of them elsewhere."""

    OF: Final = {"north": ("1000082", "of-the-north-1"), "south": ("1000083", "of-the-south-2")}

    def __init__(self, admin: CliRunner, url: str) -> None:
        self.admin, self._url = admin, url
        self.folder = admin.folder / "home"
        self._sheet = write_csv(admin.folder / "term.csv", lines(2))
        self.process: subprocess.Popen[str]

    def write(self, *names: str, folder: Path | None = None) -> None:
        (folder or self.folder).mkdir(exist_ok=True)
        profiles = (
            f'[profiles.{name}]\nsid = "{self.OF[name][0]}"\nroot_url = "{self._url}"\n'
            f'secret_file = "{name}.secret"'
            for name in names
        )
        ((folder or self.folder) / "config.toml").write_text("\n".join(profiles))

    def keep(self, name: str, secret: str = "") -> Path:
        """Have a profile's secret in its file, or one that is not its own."""
        file = self.folder / f"{name}.secret"
        file.touch(mode=0o600)
        file.write_text(secret or self.OF[name][1])
        return file

    def begin(self) -> None:
        self.process = self.admin.start("worker", "-v")
        self.said("Ctrl-C")
        self.admin.set(BULKCAST_HOME=str(self.admin.folder / "own"))
        self.write(*self.OF, folder=self.admin.folder / "own")

    def said(self, words: str) -> str:
        """The next line of the worker's log that says so."""
        assert self.process.stderr
        line = self.process.stderr.readline()
        while words not in line:
            assert line, f"the worker ended without saying {words!r}"
            line = self.process.stderr.readline()
        return line

    def hand_in(self, name: str) -> str:
        return str(handed_in(self.admin, self._sheet, *FAST, "--profile", name)["run"])

    def applied(self, name: str) -> int:
        """The rows of a run for a profile that ended well."""
        return int(ended(self.admin, self.hand_in(name))["counts"]["applied"])

    def end(self) -> str:
        """End the worker; what it had not said before."""
        self.process.send_signal(signal.SIGTERM)
        _, err = self.process.communicate(timeout=PATIENCE_S)
        assert self.process.returncode == 0
        assert "Traceback" not in err
        for _, key in self.OF.values():
            assert key not in err
        return err


@pytest.fixture
def profiles(fleet: CliRunner) -> Iterator[Profiles]:
    worlds = [World(sid=sid, limit=None, secret=Secret(key)) for sid, key in Profiles.OF.values()]
    sandbox = Sandbox(replace(worlds[0], others=(worlds[1],)), secret=SANDBOX_SECRET)
    with serving(sandbox) as url:
        found = Profiles(fleet, url)
        found.write("north")
        yield found
        found.process.kill()
        found.process.communicate()


@posix
@pytest.mark.slow
def test_a_worker_uses_new_profiles_and_changed_secrets_without_a_restart(
    profiles: Profiles,
) -> None:
    profiles.keep("north", "wrong")
    profiles.begin()
    refused = ended(profiles.admin, profiles.hand_in("north"))
    waiting = profiles.hand_in("south")

    profiles.keep("north")
    profiles.said("sends for 1 institution: north")
    assert profiles.applied("north") == 2
    profiles.keep("south")
    profiles.write("north", "south")

    assert ended(profiles.admin, waiting)["counts"]["applied"] == 2
    assert refused["stopped"]["reason"] == "credentials"
    profiles.end()


@posix
@pytest.mark.slow
def test_a_worker_keeps_the_profiles_that_it_cannot_read_any_more(profiles: Profiles) -> None:
    """It tells each once."""
    secret = profiles.keep("north")
    profiles.begin()

    (profiles.folder / "config.toml").write_text("[profiles")
    broken = profiles.said("stay as they were")
    assert profiles.applied("north") == 2
    (profiles.folder / "config.toml").unlink()
    gone = profiles.said("stay as they were")
    profiles.write("north", "south")
    profiles.said("Nothing will be sent for south")
    secret.chmod(0o644)
    doubted = profiles.said("north is sent for as before")
    assert profiles.applied("north") == 2
    later = profiles.end()

    assert "cannot be read as TOML" in broken
    assert "not there any more" in gone
    assert "others can read" in doubted
    assert "as before" not in later
    assert "Nothing will be sent" not in later


@posix
@pytest.mark.slow
def test_a_worker_leaves_an_institution_whose_profile_is_removed(profiles: Profiles) -> None:
    profiles.keep("north")
    profiles.keep("south")
    profiles.begin()
    assert profiles.applied("north") == 2

    profiles.write("south")
    profiles.said("sends for 1 institution: south")
    waiting = profiles.hand_in("north")
    assert profiles.applied("south") == 2
    profiles.write()
    profiles.said("for no institution any more")
    awaited(lambda: status(profiles.admin)["workers"][0]["institutions"] == 0)
    left = shown(profiles.admin, waiting)
    profiles.write("north")

    assert left["finished_at"] is None
    assert ended(profiles.admin, waiting)["counts"]["applied"] == 2
    profiles.end()


def test_without_a_worker_everybody_says_so(fleet: CliRunner) -> None:
    sheet = write_csv(fleet.folder / "term.csv", lines(2))
    with clearing(fleet) as sandbox:
        waits = fleet.call("apply", sheet, "-y")
        detached = fleet.call("apply", sheet, "-y", "--detach")
        people = fleet.call("fleet", "status")
        quiet = fleet.call("fleet", "status", "-q")
        doctor = fleet.call("doctor")

    assert waits.status == 2
    assert "start one with `bulkcast worker`" in waits.err
    assert detached.status == 0
    assert "Handed in as run" in detached.out
    assert "bulkcast runs show" in detached.err
    assert "No worker is there" in detached.err
    for said in (people.out, quiet.err):
        assert "Start one: bulkcast worker" in said
    assert re.search("0 of 2", people.out)
    assert doctor.status == 5
    assert sandbox.received == 1  # doctor's


# ------------------------------------------------------------------ signals


@posix
@pytest.mark.slow
@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_second_signal_ends_a_worker_at_once(fleet: CliRunner, name: str, status: int) -> None:
    sheet = write_csv(fleet.folder / "term.csv", lines(3))
    with clearing(fleet, World(limit=None, latency_s=8.0)) as sandbox, working(fleet) as process:
        handed_in(fleet, sheet, *FAST)
        awaited(lambda: sandbox.received)
        process.send_signal(getattr(signal, name))
        assert process.stderr
        awaited(lambda: "Again to stop at once" in (process.stderr.readline()))  # type: ignore[union-attr] # it is piped
        assert process.poll() is None
        process.send_signal(getattr(signal, name))
        process.wait(5)  # and not as long as ClassIn takes to answer

    assert process.returncode == status


# ------------------------------------------------------------------ the database


def test_init_makes_the_tables_once_and_changes_nothing_after(
    cli: CliRunner, database: str
) -> None:
    before = [cli.call(*c, "--database", database) for c in (("fleet", "status"), ("runs",))]
    first = cli.call("fleet", "init", "--database", database)
    second = cli.call("fleet", "init", "--database", database, "--json")
    after = cli.call("fleet", "status", "--database", database)

    for said in before:
        assert said.status == 2
        assert "bulkcast fleet init" in said.err
    assert (first.status, second.status, after.status) == (0, 0, 0)
    assert second.document["database"] == re.sub("//.*@", "//", database)
    assert re.search(r"worker --database postgresql://bulkcast@127", first.err), first


COMMANDS: Final = (
    ("fleet", "init"), ("fleet", "status"), ("fleet", "pause", "--all"), ("fleet", "actions"),
    ("fleet", "go-on", "--all"), ("fleet", "cancel", "20270301"), ("runs",), ("worker",),
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_newer_database_is_refused(fleet: CliRunner, command: tuple[str, ...]) -> None:
    fleet.use("http://127.0.0.1:9")
    with psycopg.connect(os.environ["BULKCAST_DATABASE"]) as connection:
        connection.execute("UPDATE fleet_version SET version = 99")
        connection.execute("UPDATE ledger_version SET version = 99")

    said = fleet.call(*command)

    assert said.status == 2
    assert "99" in said.err


@pytest.mark.parametrize("command", [*COMMANDS, ("doctor",)], ids=" ".join)
@pytest.mark.parametrize("granted", ["", "ledger_version"])
def test_a_user_of_the_database_who_may_not_is_told_so(
    fleet: CliRunner, command: tuple[str, ...], granted: str
) -> None:
    fleet.use("http://127.0.0.1:9")
    url = os.environ["BULKCAST_DATABASE"]
    with psycopg.connect(url) as connection:
        connection.execute(f"CREATE ROLE newcomer LOGIN PASSWORD '{CANARY}'")
        if granted:
            connection.execute(f"GRANT SELECT ON {granted} TO newcomer")
    try:
        fleet.set(BULKCAST_DATABASE=f"postgresql://newcomer:{CANARY}@{url.rpartition('@')[2]}")
        said = fleet.call(*command)
    finally:
        with psycopg.connect(url) as connection:
            connection.execute("DROP OWNED BY newcomer")
            connection.execute("DROP ROLE newcomer")

    assert said.status == 2
    assert "permission denied" in said.out + said.err
    assert CANARY not in said.out + said.err


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://li:{CANARY}@127.0.0.1:9/bulkcast",
        f"postgre://li:{CANARY}@127.0.0.1:9/bulkcast",
        f"host=127.0.0.1 port=9 password={CANARY} dbname=bulkcast",
        f"postgresql://127.0.0.1:9/bulkcast?password={CANARY}",
    ],
)
def test_a_database_out_of_reach_is_one_sentence_without_its_password(
    cli: CliRunner, command: tuple[str, ...], url: str
) -> None:
    cli.use("http://127.0.0.1:9")
    said = cli.call(*command, "--database", url, "-v")
    cli.set(BULKCAST_DATABASE=url)
    other = cli.call(*command, "--json")

    assert {said.status, other.status} <= {2, 5}
    assert said.err.splitlines()[-1].startswith("bulkcast: ")
    for each in (said, other):
        assert CANARY not in each.out + each.err
        assert "Traceback" not in each.err


def test_what_needs_a_fleet_says_so_without_one(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "term.csv", [line(0)])
    said = [
        cli.call("apply", sheet, "-y", "--detach"),
        cli.call("fleet", "status"),
        cli.call("worker"),
    ]
    sandbox = cli.call("apply", sheet, "-y", "--detach", "--sandbox")
    unnamed = cli.call("fleet", "pause")

    for each in said:
        assert each.status == 2
        assert "BULKCAST_DATABASE or --database" in each.err
    assert sandbox.status == unnamed.status == 2
    assert "--detach" in sandbox.err
    assert "--all" in unnamed.err


def test_a_rehearsal_stays_on_this_computer(cli: CliRunner) -> None:
    cli.set(BULKCAST_DATABASE="postgresql://127.0.0.1:9/bulkcast")
    sheet = write_csv(cli.folder / "term.csv", lines(2))

    said = cli.call("apply", sheet, "-y", "--sandbox", "--json", *FAST)
    listed = cli.call("runs", "--sandbox", "--json")

    assert said.status == 0, said
    assert [run["run"] for run in listed.document["runs"]] == [said.document["run"]]


PAGE: Final = ("serve", "--metrics", "9")


@pytest.mark.parametrize(
    ("command", "module"),
    [
        *product([("fleet", "status"), ("worker",)], ["psycopg", "procrastinate"]),
        (("worker",), "prometheus_client"),
        (PAGE, "prometheus_client"),
    ],
)
def test_without_the_extra_one_sentence_says_what_to_install(
    cli: CliRunner, command: tuple[str, ...], module: str
) -> None:
    program = (
        f"import sys; sys.modules[{module!r}] = None\n"
        f"from bulkcast.cli import run; sys.exit(run({[*command]!r}))"
    )
    cli.set(BULKCAST_DATABASE="" if command == PAGE else "postgresql://127.0.0.1:9/x")

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=cli.environment(), capture_output=True,
        encoding="utf-8", timeout=60, check=False,
    )  # fmt: skip

    assert done.returncode == 2, done.stderr
    assert "pip install 'bulkcast[fleet]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


# ------------------------------------------------------------------ figures


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def figures(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in found}


@posix
@pytest.mark.slow
def test_a_worker_and_the_page_give_figures_to_prometheus(fleet: CliRunner) -> None:
    sheet, port, other = write_csv(fleet.folder / "term.csv", lines(4)), _free_port(), _free_port()
    with clearing(fleet), working(fleet, "--metrics", str(port)):
        ended(fleet, handed_in(fleet, sheet, *FAST)["run"])
        found = figures(port)
        page = fleet.start("serve", "--no-open", "--port", "0", "--metrics", str(other))
        assert page.stdout
        page.stdout.readline()
        told_by_page = figures(other)
        page.send_signal(signal.SIGINT)
        page.communicate(timeout=PATIENCE_S)
        taken = fleet.call("worker", "--metrics", str(port))

    assert found['bulkcast_requests_total{outcome="applied"}'] == 4
    assert told_by_page['bulkcast_runs{state="finished"}'] == 1
    assert told_by_page['bulkcast_rows{status="applied"}'] == 4
    assert taken.status == 2
    assert f"port {port} cannot be used" in taken.err
