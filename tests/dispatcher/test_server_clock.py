"""ClassIn's clock: what is corrected, when the user is told, and when the run gives up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcast.dispatcher.server_clock import SKEW_TOLERANCE_S, ServerClock, clock_off

WALL = 1_803_859_200.0


@given(st.floats(-29.9, 29.9))
def test_a_clock_that_is_nearly_right_is_left_alone(skew: float) -> None:
    clock = ServerClock()

    assert clock.measure(WALL + skew, WALL) is None
    assert clock.offset == 0.0


@pytest.mark.parametrize(
    ("skew", "sentence"),
    [
        (900.0, "This computer's clock is 15 min behind ClassIn's; stamps are corrected."),
        (-45.0, "This computer's clock is 45 s ahead of ClassIn's; stamps are corrected."),
        (SKEW_TOLERANCE_S, "This computer's clock is 30 s behind ClassIn's; stamps are corrected."),
    ],
)
def test_a_clock_that_is_off_is_corrected_and_told_once(skew: float, sentence: str) -> None:
    clock = ServerClock()
    remark = clock.measure(WALL + skew, WALL)

    assert str(remark) == sentence
    assert clock.offset == skew
    assert clock.measure(WALL + 60 + skew + 1, WALL + 60) is None
    assert clock.offset == skew


def test_a_clock_that_jumps_is_corrected_again() -> None:
    clock = ServerClock()
    clock.measure(WALL + 600, WALL)

    assert clock.measure(WALL, WALL) is not None
    assert clock.offset == 0.0


@given(st.lists(st.floats(-1e6, 1e6), min_size=1))
def test_the_corrected_time_is_never_further_off_than_what_is_tolerated(
    skews: list[float],
) -> None:
    clock = ServerClock()
    for skew in skews:
        clock.measure(WALL + skew, WALL)
        assert abs(clock.offset - skew) <= SKEW_TOLERANCE_S


def test_only_a_stamp_made_after_the_correction_speaks_against_it() -> None:
    clock = ServerClock()

    assert not clock.stamp_refused(stamped_at=10.0, now=11.0)
    assert not clock.stamp_refused(stamped_at=10.5, now=11.5), "it was on its way already"
    assert clock.stamp_refused(stamped_at=11.0, now=12.0)


def test_an_accepted_stamp_clears_the_record() -> None:
    clock = ServerClock()
    clock.stamp_refused(stamped_at=10.0, now=11.0)
    clock.stamp_accepted()

    assert not clock.stamp_refused(stamped_at=5000.0, now=5001.0)


@pytest.mark.parametrize(
    ("skew", "words"),
    [
        (0.4, "0 s behind"), (-119.0, "119 s ahead of"), (120.0, "2 min behind"),
        (-7200.0, "120 min ahead of"),
    ],
)  # fmt: skip
def test_how_far_off_the_clock_is_is_told_in_seconds_or_minutes(skew: float, words: str) -> None:
    assert f"clock is {words} ClassIn's" in str(clock_off(skew))


def test_what_time_it_is_there_is_told_by_the_answer_that_knows_best() -> None:
    clock = ServerClock()

    assert clock.lower_bound(10.0) is None
    for date, now in ((WALL, 10.9), (WALL + 1, 11.05), (WALL + 1, 11.9), (WALL + 1, 13.0)):
        clock.observe(date, now)
    assert clock.lower_bound(20.0) == pytest.approx(WALL + 9.95)


@pytest.mark.parametrize("leap", [-3600.0, -6.0, 31.0, 7200.0])
def test_another_time_altogether_counts_once_a_second_answer_tells_it_too(leap: float) -> None:
    clock = ServerClock()
    clock.observe(WALL, 10.0)

    clock.observe(WALL + leap, 10.0)
    assert clock.lower_bound(10.0) == WALL, "it may be of a machine whose clock is wrong"
    clock.observe(WALL + 1, 11.0)
    clock.observe(WALL + 2 + leap, 12.0)
    assert clock.lower_bound(10.0) == WALL, "and not twice running"
    clock.observe(WALL + 3 + leap, 13.0)
    assert clock.lower_bound(13.0) == WALL + 3 + leap, "this computer slept, or it was set there"
    clock.observe(WALL + 4 + leap, 14.0)
    assert clock.lower_bound(14.0) == WALL + 4 + leap
