"""A sheet for several institutions, from the command line."""

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
    other = World(sid=SOUTH, limit=None, secret=Secret(SECRETS["south"]), **south)  # type: ignore[arg-type]
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
