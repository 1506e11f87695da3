"""Ledgers that were damaged while they were in use: what is gone is noticed before it is built on.

A picture of the files is taken while a run has them open, as a crash leaves them, and spoiled.
"""

import asyncio
import csv
import io
import os
import random
import shutil
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import openpyxl
import pytest
import xlsxwriter

from bulkcast import pipeline
from bulkcast.config import Config
from bulkcast.dispatcher import Progress
from bulkcast.errors import BulkcastError, CannotStart, LedgerDamaged
from bulkcast.ledger import FILE_NAME, FrozenRun, open_ledger
from bulkcast.model import (
    Attempt,
    Credentials,
    Institution,
    Intent,
    Outcome,
    RequestKey,
    ResultRow,
    RowStatus,
)
from bulkcast.planner import Plan
from bulkcast.sandbox import SANDBOX_SECRET, SANDBOX_SID, Sandbox, World
from tests.dispatcher_harness import header, requests
from tests.ledgers import sqlite_of
from tests.measured_figures import Record
from tests.virtual_loop import VirtualLoop, run

WAL, SHM = f"{FILE_NAME}-wal", f"{FILE_NAME}-shm"
ROWS = 60


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a run of which half was checkpointed and half lies in the WAL."""
    home, taken = (tmp_path_factory.mktemp(name) for name in ("home", "picture"))

    async def main() -> None:
        with open_ledger(home) as ledger:
            ledger.create(header("r1", ROWS), Plan(tuple(requests(ROWS))), {})
            with ledger.journal("r1") as journal:
                for row in range(2, ROWS + 2):
                    if row == ROWS // 2:
                        sqlite_of(journal).execute("PRAGMA wal_checkpoint(TRUNCATE)")
                    key = RequestKey(str(row))
                    await journal.record_intent((Intent(key, 1, 1000.0 + row),))
                    outcome = Outcome(RowStatus.APPLIED, "1", {}, 1, 1000.5 + row)
                    await journal.record((Attempt(key, 1, 1.0, "1", False, outcome),))
                shutil.copytree(home, taken, dirs_exist_ok=True)

    asyncio.run(main())
    return taken


def read(home: Path) -> FrozenRun:
    with open_ledger(home) as ledger:
        return ledger.load("r1")


def spoiled(picture: Path, home: Path, spoil: Callable[[Path], object]) -> Path:
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(picture, home)
    spoil(home)
    return home


def test_a_picture_of_a_run_is_whole(picture: Path, tmp_path: Path) -> None:
    frozen = read(spoiled(picture, tmp_path / "home", lambda _: None))

    assert Counter(o.status for o in frozen.outcomes.values()) == {RowStatus.APPLIED: ROWS}


def test_without_its_shared_memory_it_is_as_good_as_before(picture: Path, tmp_path: Path) -> None:
    home = spoiled(picture, tmp_path / "home", lambda home: (home / SHM).unlink())

    assert read(home).outcomes == read(spoiled(picture, home, lambda _: None)).outcomes


def swap_wal(home: Path) -> None:
    """Put the WAL of another ledger in its place."""
    other = home.parent / "other"
    other.mkdir()
    with open_ledger(other) as ledger:
        ledger.create(header("r1", ROWS), Plan(tuple(requests(ROWS))), {})
        shutil.copy(other / WAL, home / WAL)


@pytest.mark.parametrize(
    "spoil",
    [lambda home: (home / WAL).unlink(), lambda home: (home / WAL).write_bytes(b""), swap_wal],
    ids=["deleted", "emptied", "swapped"],
)
def test_a_wal_that_is_gone_is_noticed(
    picture: Path, tmp_path: Path, spoil: Callable[[Path], object]
) -> None:
    home = spoiled(picture, tmp_path / "home", spoil)

    with pytest.raises(LedgerDamaged, match=r"lacks part of run r1 \(sends: \d+, outcomes: \d+\)"):
        read(home)


def damages(dice: random.Random, wal: bytes) -> Iterator[bytes]:
    """WALs cut short, and WALs with a bit flipped, in turn."""
    while True:
        yield wal[: dice.randrange(len(wal))]
        flipped = bytearray(wal)
        bit = dice.randrange(len(wal) * 8)
        flipped[bit // 8] ^= 1 << bit % 8
        yield bytes(flipped)


def unnoticed(picture: Path, home: Path, seed: int, times: int) -> tuple[int, int]:
    """How many spoiled WALs were refused, and how many did harm that nobody noticed."""
    written = read(spoiled(picture, home, lambda _: None))
    spoiling = damages(random.Random(seed), (picture / WAL).read_bytes())
    refused = silent = 0
    for _ in range(times):
        wal = next(spoiling)
        spoiled(picture, home, lambda home, wal=wal: (home / WAL).write_bytes(wal))  # type: ignore[misc] # bound now
        try:
            found = read(home)
        except (LedgerDamaged, CannotStart):
            refused += 1
        else:
            silent += found != written
    return refused, silent


def noted(times: int, silent: int, record_property: Record) -> None:
    record_property("damaged ledgers tried", times)
    record_property("damaged ledgers resumed unnoticed", silent)
    assert silent == 0


def test_a_spoiled_wal_is_noticed_or_changes_nothing(
    picture: Path, tmp_path: Path, record_property: Record
) -> None:
    refused, silent = unnoticed(picture, tmp_path / "home", seed=3, times=120)

    noted(120, silent, record_property)
    assert refused > 60


@pytest.mark.long
def test_no_spoiled_wal_of_five_thousand_goes_unnoticed(
    picture: Path, tmp_path: Path, record_property: Record
) -> None:
    silent = unnoticed(picture, tmp_path / "home", seed=4, times=5_000)[1]
    noted(5_000, silent, record_property)


def test_a_note_that_fell_behind_or_is_unreadable_is_no_alarm(
    picture: Path, tmp_path: Path
) -> None:
    """It is never synced, so a power cut may take it back; the ledger is what counts."""
    note = Path("runs") / "r1" / "mark"
    for text in ("5 3", "", "\xff\0", "1 2 3", "-5 x"):
        home = spoiled(
            picture,
            tmp_path / "home",
            lambda h, text=text: (h / note).write_text(text, "utf-8"),  # type: ignore[misc] # bound now
        )
        assert len(read(home).outcomes) == ROWS


def test_another_programs_lock_is_waited_for_and_then_said(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        ledger.create(header("r1", 1), Plan(tuple(requests(1))), {})
        sqlite_of(ledger).execute("PRAGMA busy_timeout = 50")
        other = sqlite3.connect(tmp_path / FILE_NAME)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(BulkcastError, match="cannot be written: database is locked"):
            ledger.finish("r1", None, 1.0)
        other.close()


# ------------------------------------------------------------------ everything under a home

HEADERS = "activityId,recordState,note\r\n"


def sheet_bytes(kind: str) -> bytes:
    """A sheet of eleven rows."""
    rows = [[str(25_096_001 + n), str(n % 2), f"课 {n}"] for n in range(11)]
    if kind == "csv":
        return (HEADERS + "".join(",".join(row) + "\r\n" for row in rows)).encode()
    book = io.BytesIO()
    with xlsxwriter.Workbook(book) as written:
        tab = written.add_worksheet()
        for number, cells in enumerate([HEADERS.strip().split(","), *rows]):
            tab.write_row(number, 0, cells)
    return book.getvalue()


@dataclass(frozen=True)
class Handed:
    """What `results` hands back."""

    rows: tuple[ResultRow, ...]
    cells: tuple[tuple[object, ...], ...]
    told: str


@dataclass(frozen=True)
class Sent:
    """A run that is over, its sheet since gone."""

    home: Path
    sheet: Path
    content: bytes
    whole: Handed

    @classmethod
    def of(cls, folder: Path, kind: str) -> "Sent":
        sheet, home = folder / f"term.{kind}", folder / "home"
        sheet.write_bytes(content := sheet_bytes(kind))

        async def main(loop: VirtualLoop) -> None:
            sandbox = Sandbox(World(), secret=SANDBOX_SECRET, clock=loop.wall)
            async with sandbox.serving() as url:
                school = Institution(url, SANDBOX_SID)
                config = Config(school, Credentials(SANDBOX_SID, SANDBOX_SECRET), home)
                await pipeline.apply(
                    pipeline.prepare(sheet), config, parts=pipeline.Parts(wall=loop.wall)
                )

        run(main)
        sheet.unlink()
        return cls(home, sheet, content, handed(home, sheet.suffix))

    @property
    def copy(self) -> Path:
        return next(self.home.glob("runs/*/sheet.*"))


def handed(home: Path, suffix: str) -> Handed:
    """The result sheet of the only run, read as any program would."""
    target = home.parent / f"handed{suffix}"
    target.unlink(missing_ok=True)
    report = pipeline.results(home, "", target=target)
    told = " ".join(map(str, report.remarks))
    if suffix == ".csv":
        records = csv.reader(target.read_text("utf-8-sig").splitlines())
        cells: tuple[tuple[object, ...], ...] = tuple(map(tuple, records))
    else:
        book = openpyxl.load_workbook(target)
        cells = tuple(book.worksheets[0].iter_rows(values_only=True))
    return Handed(tuple(report.rows), cells, told)


@pytest.fixture(scope="module", params=["csv", "xlsx"])
def sent(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sent:
    return Sent.of(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture
def broken(sent: Sent, tmp_path: Path) -> Sent:
    """A copy of it to be spoiled."""
    home = tmp_path / "home"
    shutil.copytree(sent.home, home)
    sent.sheet.unlink(missing_ok=True)
    return replace(sent, home=home)


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def bare(found: Handed, whole: Handed) -> bool:
    """Whether a result sheet has the outcome of every row in its place, and no cell of it."""
    none = {None, ""}
    return (
        found.rows == whole.rows
        and found.cells[0] == whole.cells[0]
        and all(set(row[:3]) <= none for row in found.cells[1:])
        and [row[3:] for row in found.cells] == [row[3:] for row in whole.cells]
        and "none of its cells" in found.told
    )


def test_a_copy_of_the_sheet_that_differs_is_told_and_never_used(broken: Sent) -> None:
    flip(broken.copy, len(broken.content) * 4)

    assert bare(handed(broken.home, broken.sheet.suffix), broken.whole)


def test_a_copy_that_is_gone_leaves_the_outcomes(broken: Sent) -> None:
    broken.copy.unlink()

    assert bare(handed(broken.home, broken.sheet.suffix), broken.whole)


def test_the_users_own_sheet_serves_where_it_is_as_it_was(broken: Sent) -> None:
    flip(broken.copy, len(broken.content) * 4)
    broken.sheet.write_bytes(broken.content)

    found = handed(broken.home, broken.sheet.suffix)

    assert (found.rows, found.cells) == (broken.whole.rows, broken.whole.cells)
    assert "was not used" in found.told
    flip(broken.sheet, 99)
    assert bare(handed(broken.home, broken.sheet.suffix), broken.whole)


def test_a_result_sheet_that_has_the_cells_is_not_replaced_by_one_without(broken: Sent) -> None:
    target = broken.home.parent / f"kept{broken.sheet.suffix}"
    target.write_bytes(b"has the cells")
    flip(broken.copy, 99)

    report = pipeline.results(broken.home, "", target=target, existing="replace")

    assert report.results == target.with_name(f"kept (2){target.suffix}")
    assert target.read_bytes() == b"has the cells"


def unnoticed_anywhere(sent: Sent, folder: Path, seed: int, times: int) -> list[tuple[str, int]]:
    """Single flipped bits, in any file under a home, that changed what was handed back."""
    dice, silent = random.Random(seed), []
    for _ in range(times):
        home = folder / "spoiled"
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(sent.home, home)
        files = sorted(p for p in home.rglob("*") if p.is_file() and p.stat().st_size)
        path = dice.choice(files)
        bit = dice.randrange(path.stat().st_size * 8)
        flip(path, bit)
        try:
            found = handed(home, sent.sheet.suffix)
        except BulkcastError:
            continue
        if found != sent.whole and not bare(found, sent.whole):
            silent.append((path.name, bit))
    return silent


@pytest.mark.slow
def test_a_bit_flipped_in_any_file_is_noticed_or_changes_nothing(
    broken: Sent, tmp_path: Path, record_property: Record
) -> None:
    silent = unnoticed_anywhere(broken, tmp_path, seed=5, times=60)
    noted(60, len(silent), record_property)


@pytest.mark.long
def test_no_bit_of_three_thousand_in_any_file_goes_unnoticed(
    broken: Sent, tmp_path: Path, record_property: Record
) -> None:
    silent = unnoticed_anywhere(broken, tmp_path, seed=6, times=3_000)
    noted(3_000, len(silent), record_property)


# ------------------------------------------------------------------ taken away during a run


def replace_with_older(home: Path, older: Path) -> None:
    """What a backup does that is brought back."""
    home.rename(home.with_name("before"))
    shutil.copytree(older, home)


TAKEN: list[Callable[[Path, Path], object]] = [
    lambda home, _: (home / FILE_NAME).unlink(),
    lambda home, _: (home / WAL).unlink(),
    lambda home, _: shutil.rmtree(home),
    lambda home, _: home.rename(home.with_name("elsewhere")),
    replace_with_older,
    lambda home, older: (older / FILE_NAME).replace(home / FILE_NAME),
]
NAMES = ["file", "wal", "home", "moved", "older home", "older file"]


@pytest.mark.skipif(os.name != "posix", reason="Windows lets nobody take open files away")
@pytest.mark.parametrize("after", [10, 60])
@pytest.mark.parametrize("take", TAKEN, ids=NAMES)
def test_a_ledger_that_is_taken_away_stops_the_run(
    tmp_path: Path, take: Callable[[Path, Path], object], after: int
) -> None:
    home, older, sheet = tmp_path / "home", tmp_path / "older", tmp_path / "term.csv"
    rows = [f"{25_096_003 + row},1,0,1,1" for row in range(60)]
    head = "activityId,recordState,recordType,liveState,openState"
    sheet.write_text("\n".join([head, *rows]), "utf-8")
    with open_ledger(home):
        pass
    shutil.copytree(home, older)

    async def main(loop: VirtualLoop) -> tuple[pipeline.RunReport, int]:
        sandbox = Sandbox(World(), secret=SANDBOX_SECRET, clock=loop.wall)
        takes = iter((take,))

        def watch(progress: Progress) -> None:
            if progress.counts.get(RowStatus.APPLIED, 0) >= after:
                next(takes, lambda *_: None)(home, older)

        async with sandbox.serving() as url:
            school = Institution(url, SANDBOX_SID)
            config = Config(school, Credentials(SANDBOX_SID, SANDBOX_SECRET), home)
            report = await pipeline.apply(
                pipeline.prepare(sheet), config, parts=pipeline.Parts(wall=loop.wall), watch=watch
            )
        return report, len(sandbox.log)

    report, sent = run(main)

    assert report.stop
    assert (report.stop.code, report.exit_status) == ("run.ledger_gone", 6)
    assert "was removed or replaced while the run was under way" in str(report.stop.args["why"])
    assert report.counts[RowStatus.APPLIED] == sent
    assert after <= sent < after + 10
    assert report.counts[RowStatus.NOT_SENT] == 60 - sent
    assert report.results
    told = [row[5] for row in csv.reader(report.results.read_text("utf-8-sig").splitlines())]
    assert Counter(told[1:]) == {k.value: v for k, v in report.counts.items() if v}
    assert "in the ledger" not in " ".join(map(str, report.remarks))


# ------------------------------------------------------------------ read-only


@pytest.fixture
def read_only_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder that nobody can write, not even root: it is mounted so."""
    place = tmp_path / "disk"
    place.mkdir()
    if shutil.which("mount") is None or subprocess.call(
        ["mount", "-t", "tmpfs", "tmpfs", str(place)], stderr=subprocess.DEVNULL
    ):
        pytest.skip("nothing can be mounted here")
    try:
        with open_ledger(place / "home") as ledger:
            ledger.create(header("r1", 1), Plan(tuple(requests(1))), {})
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_read_only_disk_is_refused_before_anything_is_sent(read_only_disk: Path) -> None:
    with pytest.raises(CannotStart, match=r"cannot be (opened|written)"):
        open_ledger(read_only_disk / "home")
    with pytest.raises(CannotStart, match="set BULKCAST_HOME to a folder that can"):
        open_ledger(read_only_disk / "elsewhere")
