"""The objects of --json are what the reference says they are."""

import re
from pathlib import Path
from typing import Any, Final

import pytest

from tests.cli_runner import FAST, CliRunner, clearing, lines, write_csv
from tests.source_files import ROOT

SCRIPTING: Final = ROOT.joinpath("bulkcast/reference/scripting.md").read_text("utf-8")
ROW: Final = re.compile(
    r"^\|(?P<commands>[^|]+)\| `(?P<schema>bulkcast\.[a-z]+/\d+)` \|(?P<fields>.+)\|$", re.MULTILINE
)
PROMISED: Final = {
    found["schema"]: {"schema", *re.findall("`([a-z_]+)`", found["fields"])}
    for found in ROW.finditer(SCRIPTING)
}
OF_A_FLEET: Final = {
    f"bulkcast.{name}/1"
    for name in ("submitted", "database", "fleet", "lanes", "cancel", "actions")
}  # fmt: skip


@pytest.fixture
def cli(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> CliRunner:
    made = CliRunner(tmp_path, monkeypatch, capfd)
    made.set(BULKCAST_HOME=str(tmp_path / "home"))
    return made


def test_every_form_that_is_printed_is_described() -> None:
    source = "".join(path.read_text("utf-8") for path in ROOT.glob("bulkcast/cli/*.py"))

    assert set(re.findall(r'"schema": "(bulkcast\.[a-z]+/\d+)"', source)) == set(PROMISED)


@pytest.mark.slow
def test_every_object_has_the_fields_that_are_promised(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(3))
    template = cli.folder / "t.xlsx"

    with clearing(cli):
        applied = cli.call("apply", sheet, "-y", "--json", *FAST)
        run = applied.document["run"]
        said = [
            applied,
            cli.call("apply", sheet, "-n", "--json"),
            cli.call("resubmit", applied.document["results"], "-y", "--json", *FAST),
            cli.call("results", run, "--json"),
            cli.call("results", run, "--json", "--by", "activityId"),
            cli.call("validate", sheet, "--json"),
            cli.call("plan", sheet, "--json"),
            cli.call("runs", "--json"),
            cli.call("doctor", "--json"),
            cli.call("explain", "350", "--json"),
            cli.call("template", template, "--json"),
            cli.call("runs", "show", run, "--json"),
            cli.call("results", run, "-o", cli.folder / "a.html", "--json"),
            cli.call("undo", run, "-o", cli.folder / "back.csv", "--json"),
            cli.call("purge", "--older-than", "0d", "-y", "--json"),
        ]

    documents: list[dict[str, Any]] = [each.document for each in said]
    assert {d["schema"] for d in documents} == set(PROMISED) - {"bulkcast.sandbox/1"} - OF_A_FLEET
    for document in documents:
        assert set(document) == PROMISED[document["schema"]], document["schema"]
    assert all(
        document.get("exit", said[i].status) == said[i].status
        for i, document in enumerate(documents)
    )
    assert [each.out.count("\n") for each in said] == [1] * len(said)


def test_an_issue_has_the_fields_that_are_promised(cli: CliRunner) -> None:
    wrong = lines(1)
    wrong[0][2] = "maybe"
    promised = re.search(r"An issue has ((?:`[a-z]+` ?)+)\.", SCRIPTING)

    (first, *_) = cli.call("validate", write_csv(cli.folder / "t.csv", wrong), "--json").document[
        "issues"
    ]

    assert promised is not None
    assert set(first) == set(re.findall("`([a-z]+)`", promised[1]))


def test_every_object_of_a_fleet_has_the_fields_that_are_promised(
    cli: CliRunner, database: str
) -> None:
    cli.set(BULKCAST_DATABASE=database)
    sheet = write_csv(cli.folder / "term.csv", lines(2))

    with clearing(cli):
        made = cli.call("fleet", "init", "--json")
        handed_in = cli.call("apply", sheet, "--detach", "-y", "--json").document
        documents = [
            made.document,
            handed_in,
            cli.call("fleet", "status", "--json").document,
            cli.call("fleet", "pause", "--all", "--json").document,
            cli.call("fleet", "cancel", handed_in["run"], "--json").document,
            cli.call("fleet", "actions", "--json").document,
        ]

    assert {document["schema"] for document in documents} == OF_A_FLEET
    for document in documents:
        assert set(document) == PROMISED[document["schema"]]
