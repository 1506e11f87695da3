"""A sheet for several institutions, from the command line."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bulkcast.model import Secret
from bulkcast.sandbox import SANDBOX_SECRET, Sandbox, World
from tests.cli_runner import FAST, CliRunner, Said, serving
from tests.sheets import read_rows

NORTH, SOUTH = "1000082", "1000083"
SECRETS = {"north": "of-the-north-1", "south": "of-the-south-2"}


@dataclass
class Schools:
    """Two institutions at one address, each with a secret of its own."""

    cli: CliRunner
    sandbox: Sandbox

    @property
    def north(self) -> Sandbox:
        return self.sandbox

    @property
    def south(self) -> Sandbox:
        return self.sandbox.others[SOUTH]

    def call(self, *argv: str | Path) -> Said:
        return self.cli.call(*argv)


@contextmanager
def schools(cli: CliRunner, **south: object) -> Iterator[Schools]:
    other = World(sid=SOUTH, limit=None, secret=Secret(SECRETS["south"]), **south)  # type: ignore[arg-type] # test data
    world = World(sid=NORTH, limit=None, secret=Secret(SECRETS["north"]), others=(other,))
    sandbox = Sandbox(world, secret=SANDBOX_SECRET)
    with serving(sandbox) as url:
        home = cli.folder / "home"
        home.mkdir(exist_ok=True)
        (home / "config.toml").write_text(
            f'[profiles.north]\nsid = "{NORTH}"\nroot_url = "{url}"\nsecret_env = "NORTH_SECRET"\n'
            f'[profiles.south]\nsid = "{SOUTH}"\nroot_url = "{url}"\nsecret_env = "SOUTH_SECRET"\n'
        )
        cli.set(
            BULKCAST_HOME=str(home),
            NORTH_SECRET=SECRETS["north"],
            SOUTH_SECRET=SECRETS["south"],
        )
        yield Schools(cli, sandbox)


def sheet(path: Path, *whose: str, word: str = "row") -> Path:
    lines = [f"{name},{25096000 + n},1,0,1,1,{word} {n}" for n, name in enumerate(whose)]
    head = "机构,activityId,recordState,recordType,liveState,openState,customColumn"
    path.write_text("\n".join([head, *lines]) + "\n", "utf-8")
    return path


def test_a_sheet_for_two_institutions_is_sent_to_both(cli: CliRunner, tmp_path: Path) -> None:
    term = sheet(tmp_path / "term.csv", "north", "south", "north", "south", "south")
    with schools(cli) as found:
        said = found.call("apply", term, "--yes", "--json", *FAST)
        assert said.status == 0, said
        document = said.document
        assert document["counts"]["applied"] == document["rows"] == 5
        assert [part["institution"] for part in document["parts"]] == ["north", "south"]
        assert len(found.north.log) == 2
        assert len(found.south.log) == 3
        rows = read_rows(Path(document["results"]))
        group = document["run"]
        assert [row["bulkcast_run"][len(group) :] for row in rows] == ["-1", "-2", "-1", "-2", "-2"]
        assert {row["bulkcast_status"] for row in rows} == {"applied"}


def test_the_environments_own_credentials_are_not_for_such_a_sheet(
    cli: CliRunner, tmp_path: Path
) -> None:
    term = sheet(tmp_path / "term.csv", "north", "south")
    with schools(cli) as found:
        others = {"BULKCAST_SID": "42", "BULKCAST_SECRET": "another", "BULKCAST_PROFILE": "north"}
        cli.set(**others)
        assert found.call("apply", term, "--yes", "--quiet", *FAST).status == 0
        assert len(found.north.log) == len(found.south.log) == 1


def test_a_group_is_named_in_every_command(cli: CliRunner, tmp_path: Path) -> None:
    term = sheet(tmp_path / "term.csv", "north", "south", "nobody")
    with schools(cli) as found:
        ended = found.call("apply", term, "--yes", "--json", *FAST)
        assert ended.status == 3
        group = ended.document["run"]
        shown = found.call("runs", "show", group, "--json").document
        assert (shown["run"], shown["rows"]) == (group, 3)
        assert shown["counts"]["applied"] == 2
        assert shown["institution"]["sid"] == f"{NORTH}, {SOUTH}"
        part = found.call("runs", "show", f"{group}-2", "--json").document
        assert (part["rows"], part["institution"]["sid"]) == (1, SOUTH)
        listed = found.call("runs", "--json").document["runs"]
        assert [(each["run"], each["group"], each["profile"]) for each in listed] == [
            (f"{group}-2", group, "south"), (f"{group}-1", group, "north"),
        ]  # fmt: skip
        again = found.call("results", group, "-o", tmp_path / "again.csv", "--json")
        assert (again.status, again.document["run"]) == (0, group)
        assert read_rows(tmp_path / "again.csv") == read_rows(Path(ended.document["results"]))
        back = found.call("undo", group, "-o", tmp_path / "undo.csv", "--json")
        assert (back.status, back.document["run"]) == (3, group)  # nothing is known before it
        went_on = found.call("resume", group)
        assert (went_on.status, "has nothing left to send" in went_on.err) == (3, True)
        assert found.call("purge", "--run", group, "--yes").status == 0
        assert found.call("results", group).status == 2


def test_one_without_its_secret_is_told_and_resumed(cli: CliRunner, tmp_path: Path) -> None:
    term = sheet(tmp_path / "term.csv", "north", "south", "south")
    with schools(cli) as found:
        without = {"SOUTH_SECRET": " "}
        cli.set(**without)
        said = found.call("apply", term, "--yes", *FAST)
        assert said.status == 6
        why = "the variable SOUTH_SECRET, which profile 'south' names for its secret, is not set"
        assert f"Nothing will be sent for south: {why}" in said.err
        assert "1 institution (north)" in said.err
        assert "Stopped (credentials): Nothing was sent for south" in " ".join(said.out.split())
        assert "bulkcast resume 20" in said.err
        cli.set(SOUTH_SECRET=SECRETS["south"])
        then = found.call("resume", "--json", *FAST)
        assert (then.status, then.document["counts"]["applied"]) == (0, 3)
        assert [part["exit"] for part in then.document["parts"]] == [0, 0]
        assert len(found.north.log) == 1


def test_a_wrong_secret_costs_a_handful_of_requests_and_no_other_row(
    cli: CliRunner, tmp_path: Path
) -> None:
    term = sheet(tmp_path / "term.csv", *["north", "south"] * 40)
    with schools(cli) as found:
        wrong = {"SOUTH_SECRET": "not-this-one"}
        cli.set(**wrong)
        said = found.call("apply", term, "--yes", "--json", *FAST)
        assert said.status == 6
        counts = said.document["counts"]
        assert (counts["applied"], counts["not_sent"]) == (40, 40)
        assert said.document["stopped"]["reason"] == "credentials"
        assert len(found.south.log) < 10
        assert "not-this-one" not in said.out + said.err


def test_a_profile_cannot_be_given_beside_the_column(cli: CliRunner, tmp_path: Path) -> None:
    term = sheet(tmp_path / "term.csv", "north", "south")
    with schools(cli) as found:
        for argv in (
            ("apply", term, "--yes", "--profile", "north"),
            ("plan", term, "--profile", "north"),
        ):
            said = found.call(*argv)
            assert (said.status, "leave out --profile" in said.err) == (2, True), said
        assert not found.north.log


def test_a_plan_counts_all_and_a_plan_file_is_refused(cli: CliRunner, tmp_path: Path) -> None:
    term = sheet(tmp_path / "term.csv", "north", "south", "south")
    with schools(cli) as found:
        said = found.call("plan", term, "--json")
        plain = found.call("plan", term)
        assert (said.status, said.document["to_send"], said.document["requests"]) == (0, 3, 3)
        assert "Rows of each institution: north 1, south 2" in plain.out
        file = tmp_path / "term.plan"
        refused = found.call("plan", term, "-o", file)
        assert (refused.status, file.exists()) == (2, False)
        assert "name institutions, and this is for one; `bulkcast apply`" in refused.err
        dry = found.call("apply", term, "--dry-run", "--json")
        assert (dry.status, dry.document["counts"]["not_sent"]) == (0, 3)
        assert not found.north.log


def test_validate_knows_the_profiles_of_config_toml(cli: CliRunner, tmp_path: Path) -> None:
    term = sheet(tmp_path / "term.csv", "north", "sooth", "", "x")
    assert [i["code"] for i in cli.call("validate", term, "--json").document["issues"]] == [
        "institution.missing"
    ]
    with schools(cli) as found:
        said = found.call("validate", term, "--json")
    assert said.status == 3
    assert [(i["code"], i["cell"], i["value"]) for i in said.document["issues"]] == [
        ("institution.near_miss", "A3", "sooth"),
        ("institution.missing", "A4", ""),
        ("institution.unknown", "A5", "x"),
    ]
    assert "nearly south" in said.document["issues"][0]["message"]
    (cli.folder / "home" / "config.toml").write_text("profiles = [")
    assert cli.call("apply", term, "--yes").status == 2


def test_a_rehearsal_plays_every_institution(cli: CliRunner, tmp_path: Path) -> None:
    term = sheet(tmp_path / "term.csv", "one", "other", "one")
    said = cli.call("apply", term, "--sandbox", "--yes", "--json", *FAST)
    assert said.status == 0, said
    group = said.document["run"]
    assert group.startswith("sandbox-")
    assert said.document["counts"]["applied"] == 3
    assert {row["bulkcast_run"] for row in read_rows(Path(said.document["results"]))} == {
        f"{group}-1", f"{group}-2",
    }  # fmt: skip
    again = cli.call("apply", term, "--sandbox", "--yes", "--json", "--changed-only", *FAST)
    assert again.document["counts"]["unchanged"] == 3
    assert cli.call("resume", group, "--sandbox").status == 0


def test_what_failed_is_resubmitted(cli: CliRunner, tmp_path: Path) -> None:
    term = sheet(tmp_path / "term.csv", "north", "south", "nobody")
    with schools(cli) as found:
        first = found.call("apply", term, "--yes", "--json", *FAST)
        results = Path(first.document["results"])
        results.write_text(results.read_text("utf-8-sig").replace("nobody", "south"), "utf-8")
        said = found.call("resubmit", results, "--yes", "--json", *FAST)
        assert (said.status, said.document["counts"]["applied"]) == (0, 3), said
        assert (len(found.north.log), len(found.south.log)) == (1, 2)
        swapped = Path(said.document["results"])
        swapped.write_text(swapped.read_text("utf-8-sig").replace("north", "south"), "utf-8")
        refused = found.call("resubmit", swapped, "--yes", *FAST)
        assert (refused.status, "nothing was sent" in refused.err) == (2, True)


def test_a_result_sheet_of_a_group_is_validated_whoever_is_configured(
    cli: CliRunner, tmp_path: Path
) -> None:
    term = sheet(tmp_path / "term.csv", "north", "south")
    with schools(cli) as found:
        done = found.call("apply", term, "--yes", "--json", *FAST).document
        others = {"BULKCAST_SID": "42", "BULKCAST_SECRET": "another"}
        cli.set(**others)
        assert found.call("validate", done["results"]).status == 0


def test_a_killed_program_is_resumed_for_all(cli: CliRunner, tmp_path: Path) -> None:
    term = sheet(tmp_path / "term.csv", *["north", "south"] * 30)
    with schools(cli) as found:
        process = cli.start("apply", term, "--yes", "--rate", "600/min")
        until = time.monotonic() + 30
        while min(len(found.north.log), len(found.south.log)) < 4 and time.monotonic() < until:
            time.sleep(0.05)
        process.kill()
        process.communicate()
        states = {run["state"] for run in found.call("runs", "--json").document["runs"]}
        assert states == {"crashed"}
        said = found.call("resume", "--json", *FAST)
        assert (said.status, said.document["counts"]["applied"]) == (0, 60), said
        assert len(found.north.state) == len(found.south.state) == 30
        assert len(read_rows(Path(said.document["results"]))) == 60
