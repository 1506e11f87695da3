"""Writes again what is generated: blocks of the reference pages, templates, the JSON Schema.

    python tests/regenerate.py

Run it after a change of `endpoints/webcast.py`, `problems.py` or a command's help;
`test_generated.py` says when.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

import click

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bulkcast.cli.app import bulkcast
from bulkcast.endpoints import WEBCAST
from bulkcast.reporter import write_template
from tests.generated_pages import (
    codes_table,
    json_schema,
    problems_table,
    settings_table,
    states_table,
)

ROOT: Final = Path(__file__).resolve().parent.parent
PAGES: Final = "bulkcast/reference"
COMMAND: Final = "python tests/regenerate.py"
LANGUAGES: Final[tuple[Literal["en", "zh"], ...]] = ("en", "zh")
END: Final = "<!-- end -->"


def blocks() -> dict[str, str]:
    """Name of a block → what stands in it."""
    return {
        "settings": settings_table(WEBCAST),
        "codes": codes_table(WEBCAST),
        "problems": problems_table(),
        "states": states_table(),
        "help": "\n\n".join(f"```text\n{text}```" for text in help_texts()),
    }


def help_texts() -> tuple[str, ...]:
    """What bulkcast and each of its commands print with `--help` on a terminal of 80 columns."""
    return _helped(((), *_paths(bulkcast)))


def _paths(group: click.Group) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        yield (name,)
        if isinstance(command, click.Group):
            yield from ((name, *below) for below in _paths(command))


def _helped(commands: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """In a process of its own, which is all that heeds its surroundings."""
    wanted = [[*command, "--help"] for command in commands]
    program = (
        "import json, sys; from bulkcast.cli import run;"
        "[(run(argv), print(chr(0), end='')) for argv in json.loads(sys.argv[1])]"
    )
    surroundings = {
        **os.environ,
        "COLUMNS": "80",
        "LC_ALL": "C.UTF-8",
        "LANGUAGE": "",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        (sys.executable, "-c", program, json.dumps(wanted)),
        env=surroundings, capture_output=True, text=True, check=True, encoding="utf-8",
    )  # fmt: skip
    return tuple(done.stdout.split("\0")[:-1])


def start(name: str) -> str:
    """The line that opens a block."""
    return f"<!-- generated: {name} -->"


def page(text: str) -> str:
    """A page's `text` with every block written again; a block that is missing stays missing."""
    for name, content in blocks().items():
        before, opened, rest = text.partition(start(name))
        _, closed, after = rest.partition(END)
        if opened and closed:
            text = f"{before}{opened}\n{content}\n{closed}{after}"
    return text


def schema() -> str:
    """The JSON Schema as it is stored."""
    return json.dumps(json_schema(WEBCAST), ensure_ascii=False, indent=2) + "\n"


def template_path(folder: Path, lang: str) -> Path:
    """Where the template in `lang` is."""
    return folder / f"bulkcast-{lang}.xlsx"


def write_all(root: Path) -> None:
    """Write everything below `root`."""
    folder = root / "templates"
    folder.mkdir(exist_ok=True)
    for lang in LANGUAGES:
        write_template(template_path(folder, lang), WEBCAST, lang, existing="replace")
    (folder / "setwebcast.schema.json").write_text(schema(), "utf-8", newline="\n")
    pages = root / PAGES
    pages.mkdir(parents=True, exist_ok=True)
    there = sorted(pages.glob("*.md"))
    for path in there or [pages / f"{name}.md" for name in blocks()]:
        text = path.read_text("utf-8") if there else f"{start(path.stem)}\n{END}\n"
        path.write_text(page(text), "utf-8", newline="\n")


if __name__ == "__main__":
    write_all(ROOT)
