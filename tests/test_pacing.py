"""The pace: evenly spaced, never early, never beyond its cap, slower on demand, and back again."""

import itertools
import math
from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bulkcast.catalogue import Limit
from bulkcast.endpoints import WEBCAST
from bulkcast.errors import CannotStart
from bulkcast.model import ReplyClass
from bulkcast.pacing import (
    CAP_WINDOW_S,
    DEFAULT_RATE,
    FLOOR_RATE,
    Budget,
    Cap,
    LeasedPacer,
    Pacer,
    cap_for,
    parse_rate,
    show_rate,
)
from tests.audit import most_in_window

GAPS = st.lists(st.floats(0.0, 30.0), min_size=1, max_size=150)
RATES = st.floats(0.5, 2000.0)
CAPS = st.builds(Cap, st.integers(1, 40), st.floats(1.0, 90.0))


def reserved(pacer: Pacer, gaps: Sequence[float]) -> list[tuple[float, float]]:
    """When each turn was asked for and when it begins."""
    return [(now, pacer.reserve(now)) for now in itertools.accumulate(gaps)]


# ------------------------------------------------------------------ turns


@given(RATES, CAPS, GAPS, st.lists(st.floats(-100.0, 0.0), max_size=60))
def test_no_window_ever_holds_more_turns_than_the_cap(
    rate: float, cap: Cap, gaps: list[float], earlier: list[float]
) -> None:
    """Also counted: what an earlier program sent, as far as it kept to the cap itself."""
    kept: list[float] = []
    for moment in sorted(earlier):
        if len(kept) < cap.calls or moment >= kept[-cap.calls] + cap.window_s:
            kept.append(moment)
    turns = [turn for _, turn in reserved(Pacer(rate, cap, kept), gaps)]

    # Sums of floats: a window shorter by a rounding error is meant.
    assert most_in_window([*kept, *turns], cap.window_s * (1 - 1e-9)) <= cap.calls


@given(RATES, st.none() | CAPS, GAPS)
def test_turns_are_never_early_never_backwards_and_never_closer_than_the_pace(
    rate: float, cap: Cap | None, gaps: list[float]
) -> None:
    asked = reserved(Pacer(rate, cap), gaps)

    assert all(turn >= now for now, turn in asked)
    for (_, one), (_, next_) in itertools.pairwise(asked):
        assert next_ - one >= (1 / rate) * (1 - 1e-6) - 1e-9


@given(GAPS)
def test_a_pause_is_not_made_up_for_by_a_burst(gaps: list[float]) -> None:
    turns = [turn for _, turn in reserved(Pacer(10.0, None), gaps)]

    assert most_in_window(turns, 0.999) <= 10


@pytest.mark.parametrize("rate", ["950/min", "1200/min", "5/s", "60/min"])
def test_so_many_turns_take_so_long(rate: str) -> None:
    per_s = parse_rate(rate)
    pacer = Pacer(per_s, cap_for(WEBCAST.limit, per_s))

    turns = [pacer.reserve(0.0) for _ in range(3000)]

    assert turns[-1] == pytest.approx(2999 / per_s)
    assert most_in_window(turns, 60.0 * (1 - 1e-9)) == math.ceil(per_s * 60)


def test_without_a_limit_every_turn_is_now() -> None:
    pacer = Pacer(math.inf, None)

    assert [pacer.reserve(3.0) for _ in range(5000)] == [3.0] * 5000


def test_a_thousand_recent_sends_of_another_program_are_waited_for() -> None:
    earlier = [-50.0 + n / 1000 for n in range(1000)]
    pacer = Pacer(DEFAULT_RATE, cap_for(WEBCAST.limit, DEFAULT_RATE), reversed(earlier))

    assert pacer.reserve(0.0) == pytest.approx(-50.0 + CAP_WINDOW_S)


def test_sends_that_have_left_the_window_cost_nothing() -> None:
    pacer = Pacer(DEFAULT_RATE, cap_for(WEBCAST.limit, DEFAULT_RATE), [-62.1] * 1000)

    assert pacer.reserve(0.0) == 0.0


# ------------------------------------------------------------------ the cap


def test_the_default_pace_is_capped_at_the_documented_limit_in_a_little_more_than_its_time() -> (
    None
):
    assert cap_for(WEBCAST.limit, DEFAULT_RATE) == Cap(1000, 62.0)
    assert cap_for(Limit(10, 1.0, ""), 5.0) == Cap(16, 3.0)


@given(st.floats(0.01, 5000.0))
def test_the_cap_never_slows_the_pace_it_goes_with(rate: float) -> None:
    cap = cap_for(WEBCAST.limit, rate)

    assert cap is not None
    assert cap.calls >= 1000
    assert rate * cap.window_s < cap.calls or rate <= 1000 / 62.0


def test_no_pace_has_no_cap() -> None:
    assert cap_for(WEBCAST.limit, math.inf) is None


# ------------------------------------------------------------------ silence


@given(GAPS, st.floats(0.0, 300.0))
def test_no_turn_begins_in_a_silence(gaps: list[float], until: float) -> None:
    pacer = Pacer(10.0, None)
    pacer.hold(until)

    assert all(turn >= until for _, turn in reserved(pacer, gaps))


def test_a_turn_reserved_before_a_silence_does_not_stand() -> None:
    pacer = Pacer(10.0, None)
    turn = pacer.reserve(5.0)
    assert pacer.stands(turn, turn)

    pacer.hold(7.0)

    assert not pacer.stands(turn, turn)
    assert pacer.stands(pacer.reserve(5.0), 5.0)


def test_a_shorter_silence_does_not_end_a_longer_one() -> None:
    pacer = Pacer(math.inf, None)
    pacer.hold(60.0)
    pacer.hold(5.0)

    assert pacer.reserve(0.0) == 60.0


# ------------------------------------------------------------------ throttling


@given(st.floats(0.0, 1e6), st.none() | st.floats(0.0, 300.0), st.floats(0.0, 0.999))
def test_a_throttle_keeps_everyone_silent_for_as_long_as_was_asked(
    now: float, hint: float | None, chance: float
) -> None:
    pacer = Pacer(10.0, None)
    pacer.throttled(now, hint, chance)

    assert pacer.reserve(now) >= now + (hint or 0.0)
    assert pacer.reserve(now) <= now + max(hint or 0.0, 1.0) + 1.0


def test_the_wait_grows_with_each_throttle_up_to_a_minute_and_begins_anew() -> None:
    pacer = Pacer(1000.0, None)
    waits = []
    for n in range(12):
        now = 1000.0 * n
        pacer.throttled(now, None, 0.999)
        waits.append(pacer.held_until - now)

    assert waits[:6] == pytest.approx([0.999 * 2**n for n in range(6)])
    assert waits[6:] == pytest.approx([0.999 * 60] * 6)

    pacer.answered(20_000.0)
    pacer.throttled(20_001.0, None, 0.999)
    assert pacer.held_until == pytest.approx(20_001.999)


def test_throttles_at_the_same_time_cut_the_pace_once() -> None:
    pacer = Pacer(10.0, None)
    for _ in range(32):
        pacer.throttled(100.0, None, 0.0)
    assert pacer.rate == pytest.approx(7.0)

    pacer.throttled(105.0, None, 0.0)
    assert pacer.rate == pytest.approx(4.9)


@given(st.sampled_from([0.5, 1.0, 2.0, 15.8, 500.0]), st.integers(1, 60))
def test_the_pace_falls_no_lower_than_its_floor(full: float, times: int) -> None:
    pacer = Pacer(full, None)
    for n in range(times):
        pacer.throttled(10.0 * n, None, 0.0)

    assert min(full, FLOOR_RATE) <= pacer.rate <= full


def test_the_pace_recovers_a_twentieth_every_fifteen_seconds_and_no_further_than_full() -> None:
    pacer = Pacer(20.0, None)
    pacer.throttled(0.0, None, 0.0)
    seen = []
    for second in range(600):
        pacer.answered(float(second))
        seen.append(pacer.rate)

    assert seen[14] == pytest.approx(14.0)
    assert seen[15] == pytest.approx(15.0)
    assert seen[29] == pytest.approx(15.0)
    assert seen[-1] == 20.0
    assert seen == sorted(seen)


def test_after_an_outage_it_goes_on_at_a_quarter() -> None:
    pacer = Pacer(16.0, None)
    pacer.resume_gently(100.0)
    assert pacer.rate == 4.0

    pacer.answered(114.0)
    assert pacer.rate == 4.0
    pacer.answered(115.0)
    assert pacer.rate == pytest.approx(4.8)


def test_without_a_pace_a_throttle_still_silences_and_nothing_is_cut() -> None:
    pacer = Pacer(math.inf, None)
    pacer.throttled(0.0, 7.0, 0.0)
    pacer.resume_gently(1.0)
    pacer.answered(100.0)

    assert (pacer.rate, pacer.reserve(2.0)) == (math.inf, 7.0)


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(st.sampled_from(["reserve", "throttled", "answered", "outage"]), st.floats(0, 5)),
        max_size=200,
    )
)
def test_whatever_happens_the_cap_holds_and_turns_go_forward(
    steps: list[tuple[str, float]],
) -> None:
    cap = Cap(10, 20.0)
    pacer, now, turns = Pacer(5.0, cap), 0.0, [0.0]
    for what, gap in steps:
        now += gap
        match what:
            case "reserve":
                turns.append(pacer.reserve(now))
                assert turns[-1] >= max(now, turns[-2])
            case "throttled":
                pacer.throttled(now, gap, 0.5)
            case "answered":
                pacer.answered(now)
            case _:
                pacer.resume_gently(now)

    assert most_in_window(turns[1:], 20.0 * (1 - 1e-9)) <= 10


# ------------------------------------------------------------------ rates in words


@pytest.mark.parametrize(
    ("text", "per_s"),
    [
        ("950/min", 950 / 60), ("5/s", 5.0), ("5/sec", 5.0), (" 12.5 / MIN ", 12.5 / 60),
        ("60/m", 1.0), ("3600/h", 1.0), ("1/h", 1 / 3600), ("max", math.inf), (" MAX ", math.inf),
    ],
)  # fmt: skip
def test_a_rate_in_words_is_read(text: str, per_s: float) -> None:
    assert parse_rate(text) == pytest.approx(per_s)


@pytest.mark.parametrize(
    "text",
    [
        "", "950", "/min", "950/", "0/min", "0.0/s", "-5/s", "+5/s", "5/day", "5 per min",
        "1e3/s", "nan/s", "inf/s", "５/s", "5/s/s", "5//s", "1,000/min", "maximum", "0.5/h",
        "0." + "0" * 322 + "1/h", "9" * 400 + "/s", "5/ſ", "\n", "5/s; rm",
    ],
)  # fmt: skip
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(CannotStart, match="is no rate; give one such as"):
        parse_rate(text)


@given(st.text(max_size=20))
@example("0/s")
def test_no_text_is_a_rate_that_cannot_be_kept(text: str) -> None:
    try:
        rate = parse_rate(text)
    except CannotStart:
        return
    assert math.isfinite(1.0 / rate)
    assert rate > 0


@given(st.integers(1, 100_000), st.sampled_from(["s", "min", "h"]))
def test_a_rate_is_shown_as_it_can_be_given_again(calls: int, unit: str) -> None:
    rate = parse_rate(f"{calls}/{unit}")

    assert parse_rate(show_rate(rate)) == pytest.approx(rate, rel=1e-3)


# ------------------------------------------------------------------ repeats


@given(st.lists(st.sampled_from(["fail", "slow", "first", "again"]), max_size=200))
def test_a_budget_is_never_overdrawn_and_never_more_than_full(steps: list[str]) -> None:
    budget = Budget()
    for step in steps:
        before = budget.left
        match step:
            case "fail":
                assert budget.take(ReplyClass.TRANSIENT) == (before >= 14)
            case "slow":
                assert budget.take(ReplyClass.THROTTLED) == (before >= 5)
            case "first":
                budget.succeeded(1)
            case _:
                budget.succeeded(2)
        assert 0 <= budget.left <= 500


def test_a_repeat_that_succeeds_has_cost_nothing() -> None:
    budget = Budget()
    for _ in range(1000):
        assert budget.take(ReplyClass.TRANSIENT)
        budget.succeeded(2)

    assert budget.left == 500


# ------------------------------------------------------------------ leased start times


def leased(
    pacer: LeasedPacer, gaps: Sequence[float], asleep_s: float = 0.0
) -> list[tuple[float, float]]:
    """The slots that were used, and when; each is waited for, and `asleep_s` longer."""
    used, now, due = [], 0.0, 0.0
    for gap in gaps:
        now += gap
        while True:
            if n := pacer.wanted(now):
                due = max(due, now)
                pacer.lease([due + k / pacer.rate for k in range(n)])
                due += n / pacer.rate
            turn = pacer.reserve(now)
            now = max(now, turn) + asleep_s
            if pacer.stands(turn, now):
                used.append((turn, now))
                break
    return used


@given(RATES, GAPS)
def test_leased_slots_are_used_in_order_and_never_early(rate: float, gaps: list[float]) -> None:
    used = leased(LeasedPacer(rate), gaps)

    assert all(turn <= at <= turn + 1.0 for turn, at in used)
    for (one, _), (next_, _) in itertools.pairwise(used):
        assert next_ - one >= (1 / rate) * (1 - 1e-6) - 1e-9


@given(RATES, GAPS, st.floats(0.0, 0.9))
def test_a_leased_slot_is_used_within_a_second_or_not_at_all(
    rate: float, gaps: list[float], asleep_s: float
) -> None:
    used = leased(LeasedPacer(rate), gaps, asleep_s)

    assert all(turn <= at <= turn + 1.0 for turn, at in used)


@given(GAPS, st.floats(0.0, 300.0))
def test_no_leased_slot_is_used_in_a_silence(gaps: list[float], until: float) -> None:
    pacer = LeasedPacer(10.0)
    pacer.lease([0.0, 0.1, 0.2])
    before = pacer.reserve(0.0)
    pacer.hold(until + 0.1)

    assert not pacer.stands(before, 0.0)
    assert all(turn >= until + 0.1 for turn, _ in leased(pacer, gaps))


def test_a_stall_is_followed_by_no_burst_of_leased_slots() -> None:
    pacer = LeasedPacer(10.0)
    pacer.lease([k / 10 for k in range(10)])
    turns = [pacer.reserve(0.0) for _ in range(10)]

    assert [pacer.stands(turn, 60.0) for turn in turns] == [False] * 10
    assert pacer.wanted(60.0) == 10


def test_throttling_drops_the_slots_leased_at_the_faster_pace() -> None:
    pacer = LeasedPacer(10.0)
    pacer.lease([k / 10 for k in range(10)])
    pacer.throttled(0.0, None, 0.5)

    assert pacer.wanted(0.4) == 0
    assert pacer.wanted(0.5) == 7
    assert pacer.rate == pytest.approx(7.0)
    assert pacer.is_slowed(0.5)


@pytest.mark.parametrize("kind", [Pacer, LeasedPacer])
def test_a_pace_goes_on_where_another_left_it(kind: type[Pacer]) -> None:
    pacer = Pacer(10.0, None) if kind is Pacer else LeasedPacer(10.0)
    pacer.go_on(100.0, share=0.5, held_s=3.0, eased_s=5.0, throttles=2)

    assert (pacer.rate, pacer.share, pacer.held_until) == (5.0, 0.5, 103.0)
    pacer.answered(109.0)
    assert pacer.rate == 5.0
    pacer.answered(111.0)
    assert pacer.rate == 5.5
