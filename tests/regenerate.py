"""Writes again what is generated: README blocks, templates, the JSON Schema.

    python tests/regenerate.py

Run it after a change of `endpoints/webcast.py`, `problems.py` or a command's help;
`test_generated.py` says when.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final, Literal

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bulkcast.derive import codes_table, json_schema, problems_table, settings_table
from bulkcast.endpoints import WEBCAST
from bulkcast.reporter import write_template

ROOT: Final = Path(__file__).resolve().parent.parent
COMMAND: Final = "python tests/regenerate.py"
LANGUAGES: Final[tuple[Literal["en", "zh"], ...]] = ("en", "zh")
END: Final = "<!-- end -->"


def blocks() -> dict[str, str]:
    """Name of a README block → what stands in it."""
    return {
        "settings": settings_table(WEBCAST),
        "codes": codes_table(WEBCAST),
        "problems": problems_table(),
        "help": f"```text\n{help_text()}```",
    }


def help_text() -> str:
    """What `bulkcast --help` prints on a terminal of 80 columns."""
    command = (sys.executable, "-m", "bulkcast", "--help")
    surroundings = {
        **os.environ,
        "COLUMNS": "80",
        "LC_ALL": "C.UTF-8",
        "LANGUAGE": "",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        command, env=surroundings, capture_output=True, text=True, check=True, encoding="utf-8"
    )
    return done.stdout


def start(name: str) -> str:
    """The line that opens a block."""
    return f"<!-- generated: {name} -->"


def readme(text: str) -> str:
    """`text` with every block written again; a block that is missing stays missing."""
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
    path = root / "README.md"
    empty = "\n\n".join(["# bulkcast", *(f"{start(n)}\n{END}" for n in blocks())]) + "\n"
    text = path.read_text("utf-8") if path.exists() else empty
    path.write_text(readme(text), "utf-8", newline="\n")


if __name__ == "__main__":
    write_all(ROOT)
