"""`import bulkcast`: what the README promises to programs."""

import gc
import subprocess
import sys
from pathlib import Path

import bulkcast
from tests.sheets import plain


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


def test_the_garbage_collector_is_left_as_its_program_has_set_it(tmp_path: Path) -> None:
    sheet = plain(tmp_path / "term.csv", 20_000)
    before, seen = (gc.get_threshold(), gc.get_freeze_count()), set()

    def look(*_: object) -> None:
        seen.add((gc.get_threshold(), gc.get_freeze_count()))

    gc.callbacks.append(look)
    try:
        bulkcast.prepare(sheet)
    finally:
        gc.callbacks.remove(look)

    assert seen == {before}
