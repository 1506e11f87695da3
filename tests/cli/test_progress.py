"""What is said of a run under way: how fast, how long yet, and when nobody can tell."""

from collections.abc import Mapping

import pytest

from bulkcast.catalogue import Limit
from bulkcast.cli.progress import Display
from bulkcast.dispatcher import Progress
from bulkcast.dispatcher.circuit_breaker import BreakerState
from bulkcast.model import RowStatus
from bulkcast.pacing import Pacer, cap_for

RATE = 950 / 60.0


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def told(display: Display, requests: int, **more: object) -> str:
    """What is said when that many of 10,000 rows have been sent."""
    values: dict[str, object] = {
        "counts": {RowStatus.APPLIED: requests}, "rows": 10_000, "requests": requests,
        "rate": RATE, "retrying": 0, "breaker_state": BreakerState.CLOSED,
        "held_s": 0.0, "open_s": 0.0,
    }  # fmt: skip
    return ". ".join(display.words(Progress(**{**values, **more})))  # type: ignore[arg-type] # test data


def test_time_left_is_told_at_an_even_pace() -> None:
    clock = Clock()
    display = Display(RATE, clock)
    told(display, 0)
    clock.now = 10.0

    assert "about 10 min " in told(display, 158)


@pytest.mark.parametrize(
    "held_up",
    [
        {"held_s": 41.0}, {"held_s": 0.5}, {"open_s": 3.0, "breaker_state": BreakerState.OPEN},
        {"breaker_state": BreakerState.HALF_OPEN}, {"retrying": 9_900},
        {"held_back": 1, "held_back_s": 9_999.0},
        {"slowed": True, "rate": RATE / 2},
    ],
)  # fmt: skip
def test_nobody_foretells_the_end_of_a_pause(held_up: Mapping[str, object]) -> None:
    clock = Clock()
    display = Display(RATE, clock)
    told(display, 0)
    clock.now = 5.0
    assert "to go" not in told(display, 100, **held_up)
    clock.now = 200.0
    assert "to go" not in told(display, 100, **held_up)
    clock.now = 210.0

    assert "about 10 min " in told(display, 258)


def test_a_request_more_by_chance_is_no_breach() -> None:
    clock = Clock()
    display = Display(RATE, clock)
    told(display, 0)
    clock.now = 10.0

    assert "950 of 950 a minute" in told(display, 159)


def test_maintenance_is_told_as_such() -> None:
    said = told(
        Display(RATE, Clock()), 5, open_s=90.0, breaker_state=BreakerState.OPEN, maintained=True
    )

    assert "ClassIn is under maintenance" in said


def test_a_pace_is_slowed_by_throttling_and_by_what_was_sent_before() -> None:
    limit = Limit(1000, 60.0, "")
    fresh = Pacer(RATE, cap_for(limit, RATE))
    assert not fresh.is_slowed(0.0)
    fresh.throttled(0.0, None, 0.5)
    assert fresh.is_slowed(0.0)

    full = Pacer(RATE, cap_for(limit, RATE), [-30.0] * 1000)
    assert full.is_slowed(0.0)
    assert not full.is_slowed(40.0)
