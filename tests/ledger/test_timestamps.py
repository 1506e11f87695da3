"""How long ago something was sent, whatever was done to the clock since."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcast.ledger import Ledger, MonotonicClock, Timestamp, boot_id, open_ledger
from bulkcast.ledger.history import age
from bulkcast.model import Intent, RequestKey
from bulkcast.pacing import parse_rate
from bulkcast.pipeline import Parts, SendOptions, apply, prepare
from bulkcast.planner import Plan
from bulkcast.sandbox import World
from tests.audit import most_in_window
from tests.dispatcher_harness import header, request
from tests.pipeline_harness import Harness, with_sandbox
from tests.sheets import plain

WALL = 1_803_859_200.0
SET = st.floats(-1e8, 1e8)
PASSED = st.floats(0.0, 1e5)
KEY = RequestKey("2")
SCHOOL = header("r1", 1).institution


@given(PASSED, SET)
def test_a_clock_that_was_set_changes_no_age_within_one_start(passed: float, by: float) -> None:
    now = Timestamp(WALL + passed + by, 50.0 + passed, "a")

    assert age(Timestamp(WALL, 50.0, "a"), now) == pytest.approx(passed)


@given(PASSED, PASSED, SET)
def test_no_age_is_ever_too_great(up: float, passed: float, by: float) -> None:
    """Whatever is known of the start of the computer, and however its clock was set."""
    same, other = (
        Timestamp(WALL + passed + by, up + passed),
        Timestamp(WALL + passed + by, passed, "b"),
    )

    assert age(Timestamp(WALL, up), same) <= passed + 2.0
    assert age(Timestamp(WALL, up, "a"), other) <= passed + 1e-6


@given(PASSED, PASSED)
def test_a_system_that_does_not_name_its_starts_is_trusted_while_its_clock_was_not_set(
    up: float, passed: float
) -> None:
    assert age(Timestamp(WALL, up), Timestamp(WALL + passed, up + passed)) == pytest.approx(passed)


def test_moments_without_ticks_go_by_the_clock() -> None:
    assert age(Timestamp(WALL), Timestamp(WALL + 9.0)) == 9.0
    assert age(Timestamp(WALL), Timestamp(WALL - 9.0)) == 0.0, "it was set back since: just now"
    assert age(Timestamp(WALL, 5.0, "a"), Timestamp(WALL + 9.0)) == 9.0


def test_linux_names_its_start_and_goes_on_doing_so() -> None:
    assert boot_id() == boot_id()
    assert bool(boot_id()) == Path("/proc/sys/kernel/random/boot_id").exists()


async def sent(ledger: Ledger, ticks: list[float], boot: str, *, first: int = 1) -> None:
    """Write down a request for each tick, all at the same time of an unreliable clock."""
    left = iter(ticks)
    with ledger.journal("r1", MonotonicClock(lambda: next(left), boot)) as journal:
        for number, _ in enumerate(ticks, first):
            await journal.record_intent((Intent(KEY, number, WALL),))


async def test_what_was_just_sent_still_counts_after_the_clock_was_set_forward(
    tmp_path: Path,
) -> None:
    with open_ledger(tmp_path) as ledger:
        ledger.create(header("r1", 1), Plan((request(2),)), {})
        await sent(ledger, [100.0, 150.0, 159.0], "a")
        forward = Timestamp(WALL + 86_400.0, 160.0, "a")

        assert ledger.sent_lately(SCHOOL, forward, 62.0) == [60.0, 10.0, 1.0]
        assert len(ledger.unanswered(SCHOOL, forward)) == 3


def test_a_clock_set_forward_between_two_programs_does_not_lift_the_cap(tmp_path: Path) -> None:
    """The first in all haste, the second an hour later by the clock, and at once in truth."""
    hasty, usual = plain(tmp_path / "1.csv", 990), plain(tmp_path / "2.csv", 200)

    async def main(harness: Harness) -> list[float]:
        steady = MonotonicClock(harness.loop.time, "one start")
        for sheet, rate, forward_s in ((hasty, "max", 0.0), (usual, "950/min", 3600.0)):
            parts = Parts(
                wall=lambda forward_s=forward_s: harness.loop.wall() + forward_s,  # type: ignore[misc] # bound now
                steady=steady,
            )
            options = SendOptions(rate=parse_rate(rate))
            await apply(prepare(sheet), harness.config, options, parts=parts)
        return [received.at for received in harness.log]

    at = with_sandbox(tmp_path, main, World(limit=None, latency_s=0.05))

    assert len(at) == 1191, "one of them had its stamp corrected"
    assert most_in_window(at, 60.0) <= 1000


async def test_after_a_restart_all_is_at_least_as_old_as_that(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        ledger.create(header("r1", 1), Plan((request(2),)), {})
        await sent(ledger, [100.0, 159.0], "a")
        await sent(ledger, [7.0], "b", first=3)

        assert ledger.sent_lately(SCHOOL, Timestamp(WALL, 40.0, "b"), 62.0) == [40.0, 40.0, 33.0]
        assert ledger.sent_lately(SCHOOL, Timestamp(WALL, 65.0, "b"), 62.0) == [58.0]


async def test_without_a_name_of_its_start_a_clock_that_was_set_makes_all_seem_new(
    tmp_path: Path,
) -> None:
    with open_ledger(tmp_path) as ledger:
        ledger.create(header("r1", 1), Plan((request(2),)), {})
        await sent(ledger, [100.0, 100.0], "")

        assert ledger.sent_lately(SCHOOL, Timestamp(WALL + 30.0, 130.0, ""), 62.0) == [30.0, 30.0]
        assert ledger.sent_lately(SCHOOL, Timestamp(WALL + 9000.0, 130.0, ""), 62.0) == [0.0, 0.0]
