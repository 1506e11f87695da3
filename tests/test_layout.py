"""What lies where, and that README, CI and code say the same."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from bulkcast.errors import BulkcastError
from bulkcast.model import RowStatus
from bulkcast.sandbox import SANDBOX_SECRET, SANDBOX_SID
from tests import check
from tests.benchmarks.rows import sandbox, write_sheet
from tests.source_files import (
    ROOT,
    files_of_the_project,
    imported_modules,
    modules,
    top_level_imports,
)

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {p.stem: p.read_text(encoding="utf-8") for p in (ROOT / "bulkcast/reference").glob("*.md")}
SET_UP_AND_RUN = "python3 -m venv .venv && .venv/bin/pip install -q . && .venv/bin/bulkcast demo"
CHECK_EVERYTHING = "python3 tests/check.py"

TOP_LEVEL = {"LICENSE", "README.md", "bulkcast", "pyproject.toml", "samples", "templates", "tests"}


def section(heading: str, text: str) -> str:
    """What stands under a heading of the second level."""
    found = re.search(
        rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL
    )
    assert found, f"there is no section {heading!r}"
    return found[1]


def first_cells(text: str) -> list[str]:
    """The first cell of each row of a table, bare of back ticks."""
    rows = re.findall(r"^\| *([^|]*?) *\|", text, re.MULTILINE)
    return [cell.strip("`") for cell in rows[2:]]


# ------------------------------------------------------------------ files


def test_the_top_level_holds_the_named_things_and_dot_files_only() -> None:
    top = {path.relative_to(ROOT).parts[0] for path in files_of_the_project()}

    assert {name for name in top if not name.startswith(".")} == TOP_LEVEL


@pytest.mark.parametrize("folder", ["bulkcast", "tests"])
def test_every_module_says_what_it_is(folder: str) -> None:
    silent = [path.name for path, tree in modules(folder) if not ast.get_docstring(tree)]

    assert not silent


def test_no_test_module_is_imported_by_another() -> None:
    """What several of them need has a module of its own, named for what it is."""
    found = [
        f"{path.name} imports {name}"
        for path, tree in modules("tests")
        for name in imported_modules(tree)
        if name.startswith("tests.") and name.rpartition(".")[2].startswith("test_")
    ]

    assert not found


def test_no_two_modules_have_one_name() -> None:
    names = Counter(path.name for path in (ROOT / "bulkcast").rglob("*.py"))

    assert [name for name, n in names.items() if n > 1] == ["__init__.py"]


def test_no_file_names_a_place_on_somebodys_machine_or_a_package_registry() -> None:
    place = re.compile(rb"(?<![\w./<>:-])/(?:work|root|home|tmp|opt|Users)/[\w.]")
    registry = re.compile(rb"\bpypi\.(?:org|python)|pythonhosted|registry\.npmjs|deb\.debian")
    texts = {p: raw for p in files_of_the_project() if b"\0" not in (raw := p.read_bytes())}

    named = {p.name: found[0] for p, raw in texts.items() if (found := place.search(raw))}
    asked = {p.name: found[0] for p, raw in texts.items() if (found := registry.search(raw))}

    assert not named
    assert asked.keys() <= {Path(__file__).name}
    assert len(texts) > len(TOP_LEVEL)


def test_the_contracts_between_layers_are_complete_and_name_the_core() -> None:
    found = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers, core, *doors = found["tool"]["importlinter"]["contracts"]

    assert layers["type"] == "layers"
    assert layers["exhaustive"] is True
    assert core["type"] == "forbidden"
    assert {"aiohttp", "asyncio", "os", "random", "sqlite3", "time"} <= set(
        core["forbidden_modules"]
    )
    assert len(doors) >= 3


def test_ci_runs_what_a_person_runs() -> None:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()

    command = f"exec {CHECK_EVERYTHING} --all-pythons"
    assert [line for line in lines if "check.py" in line] == [command]


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no executable bit")
def test_ci_can_be_started_as_a_program() -> None:
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_the_checks_need_nothing_but_the_standard_library() -> None:
    tree = ast.parse(Path(check.__file__).read_text(encoding="utf-8"))

    assert top_level_imports(tree) <= sys.stdlib_module_names


# ------------------------------------------------------------------ README


@pytest.mark.parametrize("command", [SET_UP_AND_RUN, CHECK_EVERYTHING])
def test_readme_gives_each_of_the_two_commands_on_a_line_of_its_own(command: str) -> None:
    assert README.splitlines().count(command) == 1


def test_the_reference_explains_every_row_state() -> None:
    assert first_cells(PAGES["states"]) == list(RowStatus)


@pytest.mark.slow
def test_readme_explains_every_exit_status_there_is() -> None:
    explained = [int(cell) for cell in first_cells(section("Exit codes", README))]

    assert explained == [*range(8), 130, 143]
    assert exit_statuses_in_the_code() <= set(explained)
    assert {2, 3, 5, 6, 7, 130} <= exit_statuses_in_the_code()


def exit_statuses_in_the_code() -> set[int]:
    """Of the exceptions, and every literal that the package assigns to an `exit_status`."""
    kinds: list[type[BulkcastError]] = [BulkcastError, *descendants(BulkcastError)]
    found = {kind.exit_status for kind in kinds}
    for _, tree in modules("bulkcast"):
        for node in ast.walk(tree):
            found |= set(literal_statuses(node))
    return found


def descendants(kind: type[BulkcastError]) -> Iterator[type[BulkcastError]]:
    for child in kind.__subclasses__():
        yield child
        yield from descendants(child)


def literal_statuses(node: ast.AST) -> Iterator[int]:
    match node:
        case ast.keyword(arg="exit_status", value=value):
            yield from integers(value)
        case ast.FunctionDef(name=name) if name.endswith("exit_status"):
            for inner in ast.walk(node):
                if isinstance(inner, ast.Return) and inner.value:
                    yield from integers(inner.value)


def integers(node: ast.expr) -> Iterator[int]:
    branches = (node.body, node.orelse) if isinstance(node, ast.IfExp) else (node,)
    for branch in branches:
        if isinstance(branch, ast.Constant) and isinstance(branch.value, int):
            yield branch.value


def test_the_reference_explains_every_variable_that_is_read_and_no_other() -> None:
    read = {
        node.value
        for _, tree in modules("bulkcast")
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if re.fullmatch(r"BULKCAST_[A-Z_]+", node.value)
    }

    explained = first_cells(section("Environment", PAGES["behaviour"]))
    assert {c for c in explained if c.startswith("BULKCAST_")} == read


@pytest.mark.slow
def test_the_example_for_programs_works_as_it_stands(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    write_sheet(tmp_path / "classes.csv", 3)

    with sandbox() as root_url:
        environ = {
            **os.environ,
            "BULKCAST_ROOT_URL": root_url,
            "BULKCAST_SID": SANDBOX_SID,
            "BULKCAST_SECRET": SANDBOX_SECRET.reveal(),
            "BULKCAST_HOME": str(tmp_path / "home"),
            "PYTHONPATH": str(ROOT),
        }
        done = subprocess.run(
            (sys.executable, "-c", example), cwd=tmp_path, env=environ, capture_output=True,
            encoding="utf-8", check=False,
        )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert re.search(r"applied[^,]*: 3\b", done.stdout)
    assert list(tmp_path.glob("classes.results-*.csv"))


def test_every_file_that_is_named_is_there() -> None:
    texts = "".join((README, *PAGES.values()))
    named = set(re.findall(r"`((?:tests|samples|templates|bulkcast)/[\w./-]*)", texts))

    assert len(named) > 5
    assert not [name for name in named if not (ROOT / name).exists()]
