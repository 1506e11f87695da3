"""Scenarios made up by dice: several sheets for the same classrooms, and every kind of bad luck."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from bulkcast.endpoints import WEBCAST
from bulkcast.pipeline import Parts
from bulkcast.sandbox import World, read_fault
from tests.audit import Evidence, verdict
from tests.measured_figures import Record
from tests.mutants import Impatient
from tests.scenario import Program, run_scenario, sheet

ROOMS = 25
FAULTS = (
    "ghost:20", "ghost:90", "ghost:250", "ghost:290", "ghost:400", "slow:3", "slow:30",
    "reset:applied", "reset", "http:503", "http:503:applied", "code:104:applied",
    "truncated:applied", "hang:60:applied", "html", "http:429:retry_after=2", "drip:2",
)  # fmt: skip


def programs(sheets: Sequence[Path], dice: random.Random) -> Iterator[Program]:
    """Programs that apply the sheets in turn, and die, and are resumed, not always the newest."""
    for number, term in enumerate(sheets):
        yield Program(term, killed_after=_moment(dice), pause=dice.choice([0.0, 5.0, 100.0]))
        for _ in range(dice.randrange(4)):
            yield Program(
                resumed=dice.randrange(number + 1),
                killed_after=_moment(dice),
                interrupted_after=dice.choice([(), (1.0,), (0.5, 2.0)]),
                pause=dice.choice([0.0, 0.0, 20.0, 310.0]),
            )
    for number in reversed(range(len(sheets))):
        yield Program(resumed=number)
    yield Program(pause=1000.0)


def _moment(dice: random.Random) -> float | None:
    return dice.choice([None, dice.random() * 2.0, dice.random() * 60.0])


def chaos(folder: Path, seed: int, parts: Parts | None = None) -> Evidence:
    dice = random.Random(seed)
    sheets = [sheet(folder / f"{n}.csv", ROOMS, word=f"version {n} of") for n in range(3)]
    world = World(
        latency_s=dice.choice([0.0, 0.1, 0.8]),
        fault_rate=dice.choice([0.1, 0.3, 0.5]),
        seed=seed,
        random_faults=tuple(read_fault(text, WEBCAST) for text in FAULTS),
    )
    return run_scenario(
        folder,
        list(programs(sheets, dice)),
        world,
        parts=parts,
        open_rows=3 * ROOMS,
        longest_s=24 * 3600.0,
    )


# With the last three a newer run had died without knowing what it had set.
@pytest.mark.slow
@pytest.mark.parametrize("seed", [*range(9), 106, 112, 351])
def test_whatever_happens_every_promise_is_kept(
    seed: int, tmp_path: Path, record_property: Record
) -> None:
    evidence = chaos(tmp_path, seed)

    found = verdict(evidence)
    late = sum(received.acted_at - received.at > 10.0 for received in evidence.log)
    record_property("requests carried out late", late)
    record_property("ghost writes", sum(violation.startswith("I4") for violation in found))
    record_property("deaths in virtual time", evidence.crashes)
    assert found == []


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 600))
def test_whatever_happens_five_hundred_times(seed: int, tmp_path: Path) -> None:
    assert verdict(chaos(tmp_path, seed)) == []


@pytest.mark.slow
def test_without_write_ordering_the_same_seeds_find_late_writes(tmp_path: Path) -> None:
    found = [
        violation
        for seed in range(4)
        for violation in verdict(chaos(_made(tmp_path / str(seed)), seed, UNORDERED))
    ]

    assert any(violation.startswith("I4") for violation in found)


UNORDERED = Parts(dispatcher=Impatient)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
