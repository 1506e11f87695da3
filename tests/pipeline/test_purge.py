"""Purging: nothing of what a row held can be found again; how it ended can."""

import base64
from pathlib import Path

import pytest

from bulkcast.errors import CannotStart
from bulkcast.ledger import claim, integrity, open_ledger
from bulkcast.ledger.integrity import drive_among, network_drive
from bulkcast.model import Institution
from tests.cli_runner import CANARY, FAST, CliRunner, clearing, lines, write_csv


def canaries(folder: Path) -> int:
    """How often the canary stands in any file under a folder, plain or encoded."""
    plain = CANARY.encode()
    forms = (plain, base64.b64encode(plain)[:-4], plain.hex().encode(), plain[::-1])
    contents = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    return sum(content.count(form) for content in contents for form in forms)


def run_with_canaries(cli: CliRunner, n: int = 200) -> str:
    """A run whose passwords, wrong cells and answers all hold the canary."""
    rows = lines(n)
    for cells in rows:
        cells[6] = CANARY
    rows += [[CANARY, "25096999", CANARY, "0", "0", "1", "pw"]]
    sheet = write_csv(cli.folder / "term.csv", rows)
    with clearing(cli):
        said = cli.call("apply", sheet, "-y", "--json", *FAST)
    run: str = said.document["run"]
    return run


def test_after_a_purge_no_file_holds_what_the_rows_held(cli: CliRunner) -> None:
    run = run_with_canaries(cli)
    home = cli.folder / "home"
    assert canaries(home) > 200

    said = cli.call("purge", "--older-than", "0d", "-y", "--json")

    assert said.document == {"schema": "bulkcast.purge/1", "runs": [run], "exit": 0}
    assert canaries(home) == 0
    (listed,) = cli.call("runs", "--json").document["runs"]
    assert listed["state"] == "purged"
    assert listed["counts"]["applied"] == 200
    assert listed["counts"]["invalid"] == 1
    assert "purged" in cli.call("runs").out


def test_a_purged_run_is_neither_resumed_nor_written_out_nor_purged_again(cli: CliRunner) -> None:
    run = run_with_canaries(cli, n=3)
    cli.call("purge", "--run", run, "-y")

    for argv in (("resume", run), ("results", run, "-o", cli.folder / "again.csv"), ("undo", run)):
        said = cli.call(*argv)
        assert said.status == 2
        assert f"run {run} was purged on 20" in said.err
        assert "how they ended (3 applied, 1 invalid)" in said.err
    assert "was purged before" in cli.call("purge", "--run", run, "-y").err
    assert "nothing to purge" in cli.call("purge", "--older-than", "0d", "-y").err


def test_what_is_left_of_a_purged_run_is_shown(cli: CliRunner) -> None:
    run = run_with_canaries(cli, n=3)
    before = cli.call("runs", "show", run, "--json").document
    cli.call("purge", "--run", run, "-y")

    said = cli.call("runs", "show", run, "--only", "invalid")
    after = cli.call("runs", "show", run, "--json").document
    page = cli.call("results", run, "-o", cli.folder / "page.html")

    assert (said.status, page.status) == (0, 0)
    assert "Purged on 20" in said.out
    assert "3 ✓ applied" in said.out
    assert "…" not in said.out
    assert after["counts"] == before["counts"]
    assert [c["rows"] for c in after["causes"]] == [c["rows"] for c in before["causes"]]
    assert (before["purged_at"], after["purged_at"] > 1e9) == (None, True)
    assert canaries(cli.folder / "home") == 0


def test_only_what_is_old_enough_is_purged(cli: CliRunner) -> None:
    run = run_with_canaries(cli, n=3)

    assert cli.call("purge", "-y", "--json").document["runs"] == []
    assert cli.call("purge", "-y", "--older-than", "1h", "--json").document["runs"] == []
    assert cli.call("purge", "-y", "--older-than", "0h", "--json").document["runs"] == [run]


def test_nothing_is_purged_while_a_run_is_under_way(cli: CliRunner) -> None:
    run = run_with_canaries(cli, n=3)
    home = cli.folder / "home"
    with open_ledger(home) as ledger:
        institution: Institution = ledger.newest(run).header.institution
        ledger.reopen(run)
    with claim(home, institution, run=run, since=""):
        said = cli.call("purge", "--run", run, "-y")

    assert said.status == 7
    assert f"run {run} is under way" in said.err
    assert canaries(home) > 0


def test_a_purged_run_still_overtakes_an_older_one(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(2))
    with clearing(cli):
        first, second = (
            cli.call("apply", sheet, "-y", "--json", *FAST).document["run"] for _ in range(2)
        )
    cli.call("purge", "--run", second, "-y")

    with open_ledger(cli.folder / "home") as ledger:
        assert set(ledger.superseded(first).values()) == {second}
        assert ledger.superseded(second) == {}


# ------------------------------------------------------------------ where a ledger may lie

MOUNTS = r"""
/dev/sda1 / ext4 rw,relatime 0 0
nas:/export /data nfs4 rw 0 0
/dev/sdb1 /data/li/fast xfs rw 0 0
//server/share /mnt/our\040share cifs rw 0 0
li@host:/ /mnt/far fuse.sshfs rw 0 0
tmpfs /ram tmpfs rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/data/li/bulkcast", "nfs4"),
        ("/data/li/fast/bulkcast", ""),
        ("/data", "nfs4"),
        ("/database", ""),
        ("/mnt/our share/x", "cifs"),
        ("/mnt/far/x", "fuse.sshfs"),
        ("/ram/x", ""),
        ("/", ""),
    ],
)
def test_a_network_drive_is_known_by_its_kind(folder: str, kind: str) -> None:
    assert drive_among(MOUNTS, Path(folder)) == kind


def test_a_ledger_on_a_network_drive_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    monkeypatch.setattr(integrity, "network_drive", lambda _: "nfs4")
    with pytest.raises(CannotStart, match=r"network drive \(nfs4\).*set BULKCAST_HOME"):
        open_ledger(home)

    assert not home.exists()


def test_this_disk_is_none(tmp_path: Path) -> None:
    assert network_drive(tmp_path) == ""
