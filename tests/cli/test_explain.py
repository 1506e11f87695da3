"""`explain`: every name a user can meet, by itself, in both languages, without anything else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bulkcast.catalogue import Setting
from bulkcast.endpoints import WEBCAST
from bulkcast.explanations import FACTS, EntryKind, lexicon
from bulkcast.headers import fold
from bulkcast.languages import translator
from bulkcast.model import RowStatus
from bulkcast.problems import PROBLEMS
from tests.cli_runner import CliRunner
from tests.english_words import english_in
from tests.source_files import HEAVY, ROOT

ENTRIES = tuple(lexicon(WEBCAST))
NAMES = {kind: [e.name for e in ENTRIES if e.kind is kind] for kind in EntryKind}


@pytest.fixture
def cli(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> CliRunner:
    made = CliRunner(tmp_path, monkeypatch, capfd)
    made.set(BULKCAST_HOME=str(tmp_path / "home"), COLUMNS="80")
    return made


def found(cli: CliRunner, word: str) -> list[tuple[str, str]]:
    """Kind and name of what a word is."""
    said = cli.call("explain", word, "--json")
    assert said.status == 0, said.err
    return [(entry["kind"], entry["name"]) for entry in said.document["entries"]]


# ------------------------------------------------------------------ what there is


def test_every_state_setting_reply_code_and_problem_is_there_once() -> None:
    there = {
        EntryKind.STATE: list(RowStatus),
        EntryKind.SETTING: [s.key for s in WEBCAST.columns],
        EntryKind.REPLY: [str(code) for code in sorted(WEBCAST.by_code)],
        EntryKind.PROBLEM: list(PROBLEMS),
    }

    assert there == NAMES


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_entry_says_what_it_means_and_leaves_no_blank_to_fill(lang: str) -> None:
    for entry in lexicon(WEBCAST, translator(lang)):
        assert set(entry.facts) <= set(FACTS)
        assert entry.facts["meaning"]
        assert not any("{" in said for said in entry.facts.values()), entry


def test_whoever_is_told_that_a_row_failed_is_told_what_to_do() -> None:
    silent = {e.name for e in ENTRIES if "fix" not in e.facts and e.kind is not EntryKind.SETTING}

    assert silent == {"1"} | {code for code, problem in PROBLEMS.items() if not problem.fix}


def test_without_a_name_the_four_kinds_and_every_name_are_listed(cli: CliRunner) -> None:
    said = cli.call("explain")

    assert said.status == 0
    assert [line for line in said.out.splitlines() if line.endswith(":")] == [
        "How a row ends:",
        "Settings, also by any header that names them:",
        "ClassIn's reply codes:",
        "Problems:",
    ]
    assert {e.name for e in ENTRIES} <= set(said.out.replace(",", " ").split())
    assert len(said.out.splitlines()) < 60
    assert "explain NAME" in said.err


# ------------------------------------------------------------------ how it is found


def test_every_name_is_found_by_itself(cli: CliRunner) -> None:
    for entry in ENTRIES:
        assert found(cli, entry.name) == [(entry.kind, entry.name)]


@pytest.mark.parametrize("setting", WEBCAST.columns, ids=lambda s: s.key)
def test_a_setting_is_found_by_every_header_that_names_it(cli: CliRunner, setting: Setting) -> None:
    for header in setting.spellings():
        if fold(header) not in WEBCAST.ambiguous_headers:
            assert found(cli, header) == [("setting", setting.key)]


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("TOO_LATE", ["too_late"]),
        ("too late", ["too_late"]),
        ("太迟", ["too_late"]),
        ("ｎｏｔ＿ｓｅｎｔ", ["not_sent"]),
        ("３５０", ["350"]),
        ("Header.Near_Miss", ["header.near_miss"]),
        ("１.【必填】是否开启云端录课（0/1）", ["recordState"]),
        ("WEB live *", ["liveState"]),
        ("Class ID", ["classId", "courseId"]),
        ("classId", ["classId"]),
    ],
)
def test_case_width_and_hints_do_not_matter_and_a_word_may_be_several_things(
    cli: CliRunner, word: str, names: list[str]
) -> None:
    assert [name for _, name in found(cli, word)] == names


@pytest.mark.parametrize(
    ("word", "nearest"),
    [
        ("recrodState", "recordState"),
        ("near_miss", "header.near_miss"),
        ("rejekted", "rejected"),
        ("观看密马", "watchPassword"),
        ("351", "350"),
        ("zzzzzz\x1b[2J", "is no code"),
        ("z" * 9000, "is no code"),
    ],
)
def test_a_word_that_is_nothing_is_a_usage_error_with_what_comes_near(
    cli: CliRunner, word: str, nearest: str
) -> None:
    said = cli.call("explain", word)

    assert said.status == 2
    assert said.out == ""
    assert nearest in said.err
    assert "\x1b" not in said.err


# ------------------------------------------------------------------ how it is told


def test_a_reply_code_is_told_with_what_becomes_of_its_row(cli: CliRunner) -> None:
    assert cli.call("explain", "145").out.splitlines() == [
        "ClassIn's reply code 145:",
        "  Meaning     The class has already ended.",
        "  The row     `too_late`",
        "  What to do  Settings of this class can no longer be changed; take the locked",
        "              ones out of the row.",
        "  Listed for  this endpoint",
    ]


def test_a_setting_is_told_with_its_values_and_what_the_vendor_has_not_said(
    cli: CliRunner,
) -> None:
    said = cli.call("explain", "观看密码", "--lang", "zh").out

    assert said.startswith("设置 watchPassword：\n")
    assert "0123" in said
    assert "Watch password" in said
    assert "清空" in said
    assert "空文本是否会关闭密码" in said


def test_no_english_is_left_in_any_entry(cli: CliRunner) -> None:
    told = [cli.call("explain", entry.name, "--lang", "zh") for entry in ENTRIES]
    told.append(cli.call("explain", "--lang", "zh"))
    told.append(cli.call("explain", "zzzzzz", "--lang", "zh"))

    for said in told:
        assert english_in(said.out + said.err, "zzzzzz NAME editClass") == set(), said


def test_an_entry_as_an_object_has_the_facts_and_nothing_else(cli: CliRunner) -> None:
    entries = cli.call("explain", "--json").document["entries"]

    assert len(entries) == len(ENTRIES)
    assert {key for entry in entries for key in entry} == {"kind", "name", *FACTS}
    assert entries[0] == {
        "kind": "state",
        "name": "applied",
        "meaning": "ClassIn acknowledged the row.",
        "fix": "Nothing to do.",
    }


def test_it_loads_nothing_heavy_and_needs_no_home(tmp_path: Path) -> None:
    program = (
        "import sys; from bulkcast.cli import run; status = run(['explain', 'Live', '--json']);"
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr); sys.exit(status)"
    )
    home = tmp_path / "home"

    said = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, check=False, timeout=30,
        encoding="utf-8", env={"PYTHONPATH": str(ROOT), "BULKCAST_HOME": str(home)},
    )  # fmt: skip

    assert said.stderr.strip() == "[]"
    assert said.returncode == 0
    assert json.loads(said.stdout)["entries"][0]["name"] == "liveState"
    assert not home.exists()


def test_a_shell_offers_the_names(cli: CliRunner) -> None:
    cli.set(
        _BULKCAST_COMPLETE="bash_complete", COMP_WORDS="bulkcast explain header.", COMP_CWORD="2"
    )

    said = cli.spawn()

    offered = [line.partition(",")[2] for line in said.out.splitlines()]
    assert offered == [code for code in PROBLEMS if code.startswith("header.")]
    assert said.err == ""
