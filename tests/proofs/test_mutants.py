"""Broken programs, each wrong in one way: the auditor must see every one of them.

The same scenario with the parts as they are must pass, or its verdict would mean nothing.
"""

import contextlib
import random
import shutil
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from bulkcast.endpoints import WEBCAST
from bulkcast.errors import BulkcastError
from bulkcast.ledger import FILE_NAME, Timestamp, open_ledger
from bulkcast.model import Target
from bulkcast.pipeline import Parts
from bulkcast.sandbox import Classroom, Sandbox, World, read_fault, read_script
from tests.audit import Evidence, verdict
from tests.dispatcher_harness import classroom
from tests.measured_figures import Record
from tests.mutants import (
    BelievesStatus,
    CallsItFailed,
    ClaimsEarly,
    FollowsRedirects,
    Forgets,
    Gossips,
    Impatient,
    IntendsNothing,
    RepeatsRefusals,
    SignsOnce,
    WillNotDie,
    keeping,
)
from tests.scenario import Program, run_scenario, sheet, twice
from tests.sheets import FIRST_ID
from tests.virtual_loop import EPOCH, VirtualLoop

Scenario = Callable[[Path, Parts], Evidence]


# ------------------------------------------------------------------ scenarios


def killed_in_a_brown_out(folder: Path, parts: Parts) -> Evidence:
    """Every third answer is bad, and the program dies three times on its way."""
    term = sheet(folder / "term.csv", 150)
    programs = [Program(term, killed_after=2.0), *[Program(killed_after=2.5)] * 2, Program()]
    world = World(fault_rate=0.3, seed=5, latency_s=0.3)
    return run_scenario(folder, programs, world, parts=parts, open_rows=1)


def a_row_that_stays_unanswered(folder: Path, parts: Parts) -> Evidence:
    """Rows that take effect although no answer ever says so, and one that is cut off."""
    term = sheet(folder / "term.csv", 20)
    unanswered = (classroom(5, "code:104:applied*"), classroom(9, "reset:applied*"))
    return run_scenario(
        folder, [Program(term)], World(classrooms=unanswered), parts=parts, open_rows=2
    )


def refused_rows(folder: Path, parts: Parts) -> Evidence:
    """Rows that ClassIn refuses for good."""
    term = sheet(folder / "term.csv", 20)
    gone = tuple(classroom(row, deleted=True) for row in (6, 11, 15))
    return run_scenario(folder, [Program(term)], World(classrooms=gone), parts=parts)


def turned_away(folder: Path, parts: Parts) -> Evidence:
    """In the middle of the run somebody answers with a redirect to another host."""
    term = sheet(folder / "term.csv", 30)

    def world(elsewhere: str) -> World:
        fault = f"redirect:307:location={elsewhere}/lms/activity/setWebcast"
        return World(classrooms=(classroom(9, f"{fault}*"),))

    return run_scenario(folder, [Program(term)], world, parts=parts)


def held_up(folder: Path, parts: Parts) -> Evidence:
    """Seven minutes in which ClassIn answers nobody."""
    term = sheet(folder / "term.csv", 60)

    def direct(loop: VirtualLoop, sandbox: Sandbox) -> None:
        loop.call_at(2.0, setattr, sandbox, "fault_for_all", read_fault("http:503", WEBCAST))
        loop.call_at(422.0, setattr, sandbox, "fault_for_all", None)

    return run_scenario(folder, [Program(term)], World(), parts=parts, direct=direct)


def told_to_end(folder: Path, parts: Parts) -> Evidence:
    """Two interrupts while the server is slow."""
    term = sheet(folder / "term.csv", 60)
    programs = [Program(term, interrupted_after=(3.0, 5.0))]
    return run_scenario(folder, programs, World(latency_s=15.0), parts=parts, open_rows=60)


def a_quick_run_before(folder: Path, parts: Parts) -> Evidence:
    """A run without a pace, and right behind it one with it."""
    first, second = sheet(folder / "a.csv", 900), sheet(folder / "b.csv", 400, first=2000)
    programs = [Program(first, rate=float("inf")), Program(second)]
    return run_scenario(folder, programs, World(limit=None), parts=parts)


def ghosts(folder: Path, parts: Parts) -> Evidence:
    """Requests that are lost, and carried out minutes later all the same."""
    term = twice(folder / "term.csv", 8)
    late = tuple(
        Classroom(
            (Target("activityId", FIRST_ID + n),), script=read_script([f"ghost:{30 * n}"], WEBCAST)
        )
        for n in range(1, 8)
    )
    return run_scenario(
        folder, [Program(term), Program(pause=600.0)], World(classrooms=late), parts=parts
    )


# ------------------------------------------------------------------ mutants


@dataclass(frozen=True)
class Mutant:
    """One way to be wrong, the scenario it fails in, and the promise it breaks."""

    scenario: Scenario
    parts: Parts
    breaks: str


MUTANTS: Mapping[str, Mutant] = {
    "success recorded before the answer": Mutant(killed_in_a_brown_out, keeping(ClaimsEarly), "I2"),
    "no intent": Mutant(killed_in_a_brown_out, keeping(IntendsNothing), "I3"),
    "HTTP 200 is success": Mutant(killed_in_a_brown_out, Parts(client=BelievesStatus), "I2"),
    "pace kept only in memory": Mutant(a_quick_run_before, Parts(ledger=Forgets), "I5"),
    "no write ordering": Mutant(ghosts, Parts(dispatcher=Impatient), "I4"),
    "redirects followed": Mutant(turned_away, Parts(client=FollowsRedirects), "I9"),
    "stale stamp": Mutant(held_up, Parts(client=SignsOnce), "I10"),
    "retry of permanent codes": Mutant(refused_rows, Parts(dispatcher=RepeatsRefusals), "I3"),
    "cancellation swallowed": Mutant(told_to_end, Parts(dispatcher=WillNotDie), "I7"),
    "unknown as failed": Mutant(a_row_that_stays_unanswered, keeping(CallsItFailed), "I2"),
    "secret in an error": Mutant(a_row_that_stays_unanswered, Parts(client=Gossips), "I6"),
}
SCENARIOS = sorted({mutant.scenario for mutant in MUTANTS.values()}, key=lambda s: s.__name__)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.__name__)
def test_the_program_as_it_is_keeps_every_promise(scenario: Scenario, tmp_path: Path) -> None:
    assert verdict(scenario(tmp_path, Parts())) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_caught(name: str, tmp_path: Path, record_property: Record) -> None:
    mutant = MUTANTS[name]

    found = verdict(mutant.scenario(tmp_path, mutant.parts))

    shutil.rmtree(tmp_path)  # some leave secrets behind, which the suite's last test would find
    assert any(violation.startswith(f"{mutant.breaks}:") for violation in found), found
    record_property("mutants caught", 1)


# ------------------------------------------------------------------ checksums


def damaged(folder: Path, times: int) -> int:
    """How many of so many ledgers with one flipped bit are resumed as if nothing had happened."""
    term = sheet(folder / "term.csv", 40)
    run_scenario(folder, [Program(term, killed_after=1.5)], World(latency_s=0.2))
    whole, written = (folder / "home" / FILE_NAME).read_bytes(), truth(folder / "home")
    broken, dice, silent = folder / "broken", random.Random(7), 0
    broken.mkdir()
    for _ in range(times):
        flip(broken, whole, dice.randrange(len(whole) * 8))
        with contextlib.suppress(BulkcastError):
            silent += truth(broken) != written
    return silent


def flip(home: Path, whole: bytes, bit: int) -> None:
    for file in home.glob(f"{FILE_NAME}*"):
        file.unlink()
    data = bytearray(whole)
    data[bit // 8] ^= 1 << bit % 8
    (home / FILE_NAME).write_bytes(data)


def truth(home: Path) -> object:
    """All that a resume goes by."""
    with open_ledger(home) as ledger:
        newest = ledger.newest()
        header, now = newest.header, Timestamp(EPOCH + 3.0)
        lately = ledger.sent_lately(header.institution, now, 62.0)
        return (ledger.load(header.run), newest, lately, ledger.unanswered(header.institution, now))


def test_no_flipped_bit_is_resumed_from_unnoticed(tmp_path: Path, record_property: Record) -> None:
    silent = damaged(tmp_path, 300)

    record_property("damaged ledgers tried", 300)
    record_property("damaged ledgers resumed unnoticed", silent)
    assert silent == 0


def test_without_checksums_flipped_bits_are(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Record,
) -> None:
    """The mutant `no checksum`: every sum is the same."""
    monkeypatch.setattr(zlib, "crc32", lambda *_: 0)

    assert damaged(tmp_path, 300) > 10
    record_property("mutants caught", 1)
