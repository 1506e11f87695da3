"""What is shipped: the wheel and what it asks for."""

import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement

import bulkcast
from tests.source_files import ROOT, modules, top_level_imports

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REQUIRED = [Requirement(line) for line in PROJECT["dependencies"]]
OF_A_FLEET = [Requirement(line) for line in PROJECT["optional-dependencies"]["fleet"]]


def run(*command: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command with nothing of the user's own settings."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("BULKCAST_")}
    return subprocess.run(
        command, env={**environ, "PYTHONUTF8": "1", **more}, capture_output=True, encoding="utf-8",
        check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    done = run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.slow
def test_the_wheel_carries_what_the_program_reads_at_run_time(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
    data = {p.relative_to(ROOT).as_posix() for p in (ROOT / "bulkcast").rglob("*") if is_data(p)}
    term = {f"bulkcast/_samples/{p.name}" for p in (ROOT / "samples/term").iterdir()}

    assert {"bulkcast/py.typed", "bulkcast/ledger/schema.sql"} <= data
    assert data <= names
    assert term
    assert term <= names


def is_data(path: Path) -> bool:
    return path.is_file() and path.suffix not in {".py", ".pyc"}


def test_the_wheel_carries_the_package_and_nothing_else(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}

    assert tops == {"bulkcast", f"bulkcast-{PROJECT['version']}.dist-info"}


@pytest.mark.slow
def test_the_wheel_runs_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "site"
    done = run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "-t", place, wheel)
    assert done.returncode == 0, done.stderr

    where = run(
        sys.executable, "-P", "-c", "import bulkcast; print(bulkcast.__file__)",
        PYTHONPATH=str(place),
    )  # fmt: skip
    version = run(sys.executable, "-P", "-m", "bulkcast", "--version", PYTHONPATH=str(place))

    assert Path(where.stdout.strip()).is_relative_to(place)
    assert version.returncode == 0, version.stderr
    assert PROJECT["version"] in version.stdout


def test_the_package_knows_its_own_version() -> None:
    assert bulkcast.__version__ == PROJECT["version"]


# ------------------------------------------------------------------ what it asks for


def distributions_imported() -> set[str]:
    """The distributions that the package's imports come from, by their normal names."""
    by_module = importlib.metadata.packages_distributions()
    imported = set().union(*(top_level_imports(tree) for _, tree in modules("bulkcast")))
    outside = imported - sys.stdlib_module_names - {"bulkcast"}
    return {normal(name) for module in outside for name in by_module[module]}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_everything_imported_is_asked_for_and_nothing_else() -> None:
    used_unseen = {"tzdata"}  # zoneinfo reads it where the system has no time zones

    asked = {normal(r.name) for r in (*REQUIRED, *OF_A_FLEET)} - used_unseen
    asked |= {f"psycopg-{extra}" for r in OF_A_FLEET for extra in r.extras} - {"psycopg-binary"}

    assert distributions_imported() == asked


@pytest.mark.parametrize("requirement", [*REQUIRED, *OF_A_FLEET], ids=lambda r: r.name)
def test_every_requirement_says_from_which_version_on(requirement: Requirement) -> None:
    assert [s.operator for s in requirement.specifier] == [">="]


def lowest() -> Iterator[str]:
    """Each requirement, pinned to the oldest version it allows."""
    for requirement in REQUIRED:
        (bound,) = requirement.specifier
        marker = f"; {requirement.marker}" if requirement.marker else ""
        yield f"{requirement.name}=={bound.version}{marker}"


@pytest.mark.long
def test_the_oldest_versions_asked_for_are_enough_for_the_demo(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "venv"
    venv.create(home, with_pip=True)
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    installed = run(python, "-m", "pip", "install", "-q", wheel, *lowest())
    assert installed.returncode == 0, installed.stderr

    demo = run(python, "-P", "-m", "bulkcast", "demo", "--dir", tmp_path / "demo")

    assert demo.returncode == 0, demo.stdout + demo.stderr
