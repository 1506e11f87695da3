"""Rehearsals: a run in a sandbox says so everywhere, and never passes for one in earnest."""

import os
from pathlib import Path

import pytest

import bulkcast
from bulkcast.config import load as load_config
from bulkcast.ledger import claim
from bulkcast.model import Secret
from bulkcast.pipeline.preparation import one_spelling
from bulkcast.sandbox import Sandbox, World
from tests.cli_runner import FAST, CliRunner, clearing, lines, serving, write_csv
from tests.sheets import edited, read_rows

EARNEST = "earnest-only"
"""The secret of an institution that is no sandbox's, as far as bulkcast can know."""


def rehearsed(cli: CliRunner, n: int = 3) -> Path:
    """The result sheet of a rehearsal of n classes."""
    sheet = write_csv(cli.folder / "term.csv", lines(n))
    out = cli.folder / "out.csv"
    assert cli.call("apply", sheet, "--sandbox", "-y", "-o", out, *FAST).status == 0
    return out


def test_what_was_rehearsed_is_refused_in_earnest_and_sent_with_apply(cli: CliRunner) -> None:
    out = rehearsed(cli)
    sandbox = Sandbox(World(limit=None), secret=Secret(EARNEST))

    with serving(sandbox) as root_url:
        cli.use(root_url, EARNEST)
        refused = [
            cli.call(*words, *FAST)
            for words in (
                ("resubmit", out, "-y"),
                ("resubmit", out, "-n"),
                ("apply", out, "-y", "--only", "rejected"),
                ("plan", out, "--only", "rejected"),
            )
        ]
        received = sandbox.received
        sent = cli.call("apply", out, "-y", "--json", *FAST)

    assert [said.status for said in refused] == [2, 2, 2, 2]
    for said in refused:
        assert "rows 2, 3, 4 of out.csv" in said.err
        assert "bulkcast apply" in said.err
    assert received == 0
    assert sent.status == 0
    assert sandbox.received == 3
    assert not sent.document["run"].startswith("sandbox-")


def test_a_sandbox_in_another_terminal_is_known_too(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(2))

    with clearing(cli):
        done = cli.call("apply", sheet, "-y", "--json", *FAST).document
        again = cli.call("resubmit", done["results"], "-y", "--json", *FAST)
    sandbox = Sandbox(World(limit=None), secret=Secret(EARNEST))
    with serving(sandbox) as root_url:
        cli.use(root_url, EARNEST)
        refused = cli.call("resubmit", done["results"], "-y", *FAST)
        resumed = cli.call("resume", done["run"], "--yes", *FAST)

    assert done["run"].startswith("sandbox-")
    assert again.status == 0
    assert refused.status == resumed.status == 2
    assert "rehearsal" in refused.err
    assert "rehearsal" in resumed.err
    assert sandbox.received == 0


def test_a_rehearsal_is_marked_wherever_it_is_told(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(2))
    run = cli.call("apply", sheet, "--sandbox", "-y", "--json", *FAST).document
    page = cli.folder / "page.html"

    listed = cli.call("runs")
    shown = cli.call("runs", "show", run["run"][-4:])
    paged = cli.call("results", run["run"], "-o", page)

    assert Path(run["results"]).name == f"term.results-{run['run']}.csv"
    assert run["run"].startswith("sandbox-")
    assert {row["bulkcast_run"] for row in read_rows(Path(run["results"]))} == {run["run"]}
    assert run["run"] in listed.out
    assert "rehearsal" in shown.out
    assert f"{run['run']}.html --sandbox" in shown.err
    assert paged.status == 0
    assert "nothing of it was sent to ClassIn" in page.read_text(encoding="utf-8")


def test_a_rehearsal_remembers_what_the_last_one_set(cli: CliRunner) -> None:
    rehearsed(cli)
    off = [[name, number, "0", "0", "0", "0", word] for name, number, *_, word in lines(3)]
    changed = write_csv(cli.folder / "off.csv", off)
    words = ("--sandbox", "-y", "--json", *FAST)

    same = cli.call("apply", cli.folder / "term.csv", "--changed-only", *words)
    second = cli.call("apply", changed, *words)
    undone = cli.call("undo", second.document["run"], "--json")
    back = cli.call("apply", undone.document["sheet"], *words)
    resumed = cli.call("resume", *words)

    assert same.document["counts"]["unchanged"] == 3
    assert second.document["counts"]["applied"] == 3
    assert back.document["counts"]["applied"] == 3
    assert resumed.document["run"] == back.document["run"]


def test_what_a_sandbox_was_told_goes_with_the_runs_that_told_it(cli: CliRunner) -> None:
    rehearsed(cli)
    home = Path(cli.env["BULKCAST_HOME"])
    kept = [path for path in home.rglob("*") if path.is_file() and b"pw0001" in path.read_bytes()]

    cli.call("purge", "--sandbox", "--older-than", "0d", "-y")

    assert kept
    assert not any(b"pw0001" in p.read_bytes() for p in home.rglob("*") if p.is_file())


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX's")
def test_only_its_user_can_read_what_a_sandbox_was_told(cli: CliRunner) -> None:
    rehearsed(cli)

    (world,) = Path(cli.env["BULKCAST_HOME"]).rglob("world-*.jsonl")

    assert world.stat().st_mode & 0o077 == 0


# ------------------------------------------------------------------ dry run and run agree


@pytest.mark.parametrize(
    "words",
    [("validate",), ("plan", "--only", "rejected"), ("resubmit", "-n"), ("resubmit", "-y")],
    ids=" ".join,
)
def test_done_rows_that_were_edited_are_found_before_anybody_is_asked(
    cli: CliRunner, words: tuple[str, ...]
) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(2))
    sandbox = Sandbox(World(limit=None), secret=Secret(EARNEST))

    with serving(sandbox) as root_url:
        cli.use(root_url, EARNEST)
        out = cli.folder / "out.csv"
        cli.call("apply", sheet, "-y", "-o", out, *FAST)
        mended = edited(out, cli.folder / "mended.csv", watchPassword="another1")
        said = cli.call(words[0], mended, *words[1:])

    assert said.status == 2
    assert "row 2 changed since" in said.err
    assert sandbox.received == 2


@pytest.mark.parametrize(
    "words", [("plan",), ("apply", "-n"), ("apply", "-y"), ("resubmit", "-n")], ids=" ".join
)
def test_a_run_under_way_is_found_before_anybody_is_asked(
    cli: CliRunner, words: tuple[str, ...]
) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(2))

    with clearing(cli):
        out = cli.call("apply", sheet, "-y", "--json", *FAST).document["results"]
        config = load_config(cli.env)
        with claim(config.home, one_spelling(config.institution), run="r", since="now"):
            said = cli.call(words[0], out, *words[1:])

    assert said.status == 7


def test_apply_says_of_a_result_sheet_what_resubmit_would_do(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(2))

    with serving(Sandbox(World(limit=None), secret=Secret(EARNEST))) as root_url:
        cli.use(root_url, EARNEST)
        out = cli.call("apply", sheet, "-y", "--json", *FAST).document["results"]
        tried, sent = cli.call("apply", out, "-n"), cli.call("apply", out, "-y", *FAST)

    for said in (tried, sent):
        assert said.status == 0
        assert "is a result sheet, and apply sends all its rows" in said.err
        assert "bulkcast resubmit" in said.err


# ------------------------------------------------------------------ names of runs


def test_a_part_of_a_runs_name_is_enough_unless_several_have_it(cli: CliRunner) -> None:
    real = write_csv(cli.folder / "real.csv", lines(2))
    rehearsed(cli)
    with serving(Sandbox(World(limit=None), secret=Secret(EARNEST))) as root_url:
        cli.use(root_url, EARNEST)
        run = cli.call("apply", real, "-y", "--json", *FAST).document["run"]

    assert cli.call("runs", "show", run[-4:], "--json").document["run"] == run
    unknown = cli.call("runs", "show", "zzzz")
    assert unknown.status == 2
    both = cli.call("runs", "show", run[4:8])
    assert both.status == 2
    assert run in both.err
    assert "sandbox-" in both.err


def test_a_runs_name_has_the_time_that_is_told_beside_it(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(1))

    run = cli.call(
        "apply", sheet, "--sandbox", "-y", "--json", "--tz", "America/New_York", *FAST
    ).document["run"]
    shown = cli.call("runs", "show", run).out

    day, clock = run.split("-")[1:3]
    assert f"{day[:4]}-{day[4:6]}-{day[6:]} {clock[:2]}:{clock[2:4]}:{clock[4:]}" in shown


@pytest.mark.slow
def test_a_shell_is_offered_the_runs_there_are(cli: CliRunner) -> None:
    rehearsed(cli)
    cli.set(_BULKCAST_COMPLETE="bash_complete", COMP_WORDS="bulkcast undo sand", COMP_CWORD="2")

    said = cli.spawn("undo")

    assert "sandbox-" in said.out


# ------------------------------------------------------------------ the library


def test_the_library_takes_a_files_name_and_lists_what_it_has(tmp_path: Path) -> None:
    sheet = write_csv(tmp_path / "term.csv", lines(2))

    assert bulkcast.prepare(str(sheet)).valid == 2
    assert bulkcast.validate(str(sheet)).valid == 2
    assert set(bulkcast.__all__) <= set(dir(bulkcast))
