"""The files of the project, and what its modules import."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[1]
HEAVY = (
    "aiohttp", "asyncio", "lxml", "numpy", "openpyxl", "pandas", "rich", "sqlite3", "tenacity",
    "xlsxwriter", "bulkcast.pipeline", "bulkcast.sandbox",
)  # fmt: skip
"""Modules that take long to load."""

UNUSED_BY_VALIDATE = (
    "aiohttp", "asyncio", "charset_normalizer", "lxml", "numpy", "openpyxl", "pandas",
    "platformdirs", "sqlite3", "tenacity", "xlsxwriter", "zipfile", "bulkcast.client",
    "bulkcast.dispatcher", "bulkcast.ledger", "bulkcast.sandbox",
)  # fmt: skip
"""What `validate` of a csv file has no use for."""


def files_of_the_project() -> list[Path]:
    """Everything committed, or about to be."""
    command = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        pytest.skip("not a git checkout, so nothing tells the project's files from others")
    return [path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def modules(folder: str) -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted((ROOT / folder).rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def imported_modules(tree: ast.Module) -> set[str]:
    """The full names of the modules that one imports, or of what it imports from one."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def top_level_imports(tree: ast.Module) -> set[str]:
    names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    names |= {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    return {name.partition(".")[0] for name in names}
