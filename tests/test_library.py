"""`import bulkcast`: what the README promises to programs."""

import subprocess
import sys

import bulkcast


def test_every_public_name_is_there() -> None:
    for name in bulkcast.__all__:
        assert getattr(bulkcast, name) is not None


def test_an_unknown_name_is_no_attribute() -> None:
    assert not hasattr(bulkcast, "undo_everything")


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, bulkcast; heavy = {'aiohttp', 'openpyxl', 'pandas', 'lxml', 'sqlite3'};"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
