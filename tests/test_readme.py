"""README and the reference pages: short, complete, and every command in them runs."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from bulkcast.cli.app import bulkcast
from tests.cli_runner import CliRunner, clearing, lines, write_xlsx
from tests.regenerate import PAGES
from tests.source_files import ROOT

LINES_MOST = 220
PICTURE_MOST_BYTES = 150_000

README = (ROOT / "README.md").read_text("utf-8")
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / PAGES).glob("*.md"))]
HEADINGS = [
    "Two commands", "The page", "中文快速上手", "What is not known of ClassIn",
    "A term in five steps", "Rehearse", "Mend and resubmit", "When something stops", "Exit codes",
    "Scripting and library", "Many machines", "Windows", "For developers", "Links",
]  # fmt: skip

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_FENCED = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


@pytest.fixture
def cli(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> CliRunner:
    made = CliRunner(tmp_path, monkeypatch, capfd)
    made.set(BULKCAST_HOME=str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return made


# ------------------------------------------------------------------ what it holds


def test_readme_is_short_enough_to_be_read() -> None:
    assert len(README.splitlines()) <= LINES_MOST


def test_readme_goes_from_what_it_is_to_where_more_is_told() -> None:
    assert re.findall(r"^## (.+)$", README, re.MULTILINE) == HEADINGS


def test_readme_shows_a_result_sheet_before_anything_else_and_then_the_page() -> None:
    results, page = re.findall(r"!\[.+\]\((.+)\)", README)

    assert README.index(results) < README.index("## ")
    assert README.index("## The page") < README.index(page)
    for picture in (results, page):
        raw = (ROOT / picture).read_bytes()
        assert raw.startswith(b"\x89PNG")
        assert len(raw) < PICTURE_MOST_BYTES


# ------------------------------------------------------------------ where it leads


def _anchors(path: Path) -> set[str]:
    """The headings of a page as links name them."""
    found = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.casefold()).replace(" ", "-") for h in found}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path: Path) -> None:
    lost = []
    for link in _LINK.findall(path.read_text("utf-8")):
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            lost.append(link)

    assert lost == []


def test_every_page_is_linked_from_readme() -> None:
    linked = {link.partition("#")[0] for link in _LINK.findall(README)}

    assert {f"{PAGES}/{path.name}" for path in DOCUMENTS[1:]} <= linked


# ------------------------------------------------------------------ the commands in it


def _typed(text: str) -> Iterator[list[str]]:
    """Every command of bulkcast that stands in a text, in words."""
    blocks = "\n".join(body for _, body in _FENCED.findall(text))
    prose = _FENCED.sub("", text)
    found = re.findall(r"^ *(?:\.venv\S*)?bulkcast (.+)$", blocks, re.MULTILINE)
    found += re.findall(r"`bulkcast ([^`]+)`", prose)
    for line in found:
        if not line.startswith("[OPTIONS]"):
            yield shlex.split(line, comments=True)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_that_is_named_can_be_typed_so(path: Path) -> None:
    for words in _typed(_without_help(path.read_text("utf-8"))):
        _parse(bulkcast, words)


def _without_help(text: str) -> str:
    return re.sub(r"```text\n.*?```", "", text, flags=re.DOTALL)


def _parse(command: click.Command, words: list[str]) -> None:
    """Raises click.UsageError: there is no such command, argument or option."""
    name, *rest = words
    below = command.commands[name] if isinstance(command, click.Group) else None
    assert below is not None, name
    if isinstance(below, click.Group) and rest and rest[0] in below.commands:
        _parse(below, rest)
    elif rest and rest != ["--help"]:  # a command that is only named has no arguments
        below.make_context(name, list(rest))


def test_the_commands_of_readme_run_one_after_another(cli: CliRunner) -> None:
    commands = [
        shlex.split(line, comments=True)[1:]
        for kind, body in _FENCED.findall(README)
        if kind == "sh"
        for line in map(str.strip, body.splitlines())
        if line.startswith("bulkcast ")
    ]
    ended = {}

    with clearing(cli):
        for words in commands:
            said = cli.call(*_answered(words))
            ended[" ".join(words)] = said.status
            assert said.status == 0, (words, said)
            if words[0] == "template":
                write_xlsx(cli.folder / "classes.xlsx", lines(3))

    assert len(ended) > 10
    assert {words[0] for words in commands} >= {
        "template", "validate", "doctor", "apply", "explain", "resubmit", "resume", "runs",
    }  # fmt: skip


def _answered(words: list[str]) -> list[str]:
    """As somebody types it who says yes, and has a first run's results at hand."""
    written = sorted(Path().glob("classes.results-*.xlsx"), key=lambda p: p.stat().st_mtime_ns)
    named = [str(written[0]) if "<run>" in word else word for word in words]
    asks = named[0] in {"apply", "resubmit"} and not {"--yes", "--dry-run"} & set(named)
    return [*named, *(["--yes"] if asks else [])]
