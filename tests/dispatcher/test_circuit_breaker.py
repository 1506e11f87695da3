"""The weather: alone until proven, parked when many rows stay dark, fair when ClassIn answers."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcast.dispatcher.circuit_breaker import BreakerState, CircuitBreaker, is_unanswered
from bulkcast.model import ReplyClass, RequestKey, Verdict

OK = Verdict(ReplyClass.OK, "1", proves_access=True)
REFUSED = Verdict(ReplyClass.ROW, "121601031", proves_access=True)
WRONG_SECRET = Verdict(ReplyClass.CREDENTIALS, "101002005")
THROTTLED = Verdict(ReplyClass.THROTTLED, "101003001")
UNKNOWN_ERROR = Verdict(ReplyClass.TRANSIENT, "104", ambiguous=True, proves_access=True)
SILENT = Verdict(ReplyClass.TRANSIENT, "send.timeout", ambiguous=True)
UNREACHABLE = Verdict(ReplyClass.TRANSIENT, "send.not_connected", connected=False)
MAINTENANCE = Verdict(ReplyClass.MAINTENANCE, "901")
ANY = st.sampled_from(
    [OK, REFUSED, WRONG_SECRET, THROTTLED, UNKNOWN_ERROR, SILENT, UNREACHABLE, MAINTENANCE]
)


def key(n: int) -> RequestKey:
    return RequestKey(str(n))


def weather(*verdicts: Verdict, same_row: bool = False) -> CircuitBreaker:
    """What so many answers, a second apart, of different rows make of it."""
    made = CircuitBreaker()
    for n, verdict in enumerate(verdicts):
        made.observe(key(0 if same_row else n), verdict, float(n), 0.0)
    return made


def fair() -> CircuitBreaker:
    return weather(OK)


# ------------------------------------------------------------------ proving


def test_at_first_requests_go_alone() -> None:
    begun = CircuitBreaker()

    assert begun.state is BreakerState.HALF_OPEN
    assert begun.probe_at == -math.inf
    assert begun.open_for(100.0) == 0.0


@pytest.mark.parametrize("verdict", [OK, REFUSED, UNKNOWN_ERROR])
def test_any_answer_that_shows_the_credentials_to_be_right_clears_the_sky(
    verdict: Verdict,
) -> None:
    assert weather(verdict).state is BreakerState.CLOSED


@pytest.mark.parametrize("verdict", [WRONG_SECRET, THROTTLED, SILENT, UNREACHABLE])
def test_an_answer_that_proves_nothing_leaves_it_as_it_was(verdict: Verdict) -> None:
    assert weather(verdict, verdict).state is BreakerState.HALF_OPEN


def test_five_different_dark_canaries_are_an_outage_and_one_row_again_and_again_is_not() -> None:
    assert weather(*[SILENT] * 4).state is BreakerState.HALF_OPEN
    assert weather(*[SILENT] * 5).state is BreakerState.OPEN
    assert weather(*[SILENT] * 50, same_row=True).state is BreakerState.HALF_OPEN


def test_an_outage_before_anything_was_proven_ends_in_proving() -> None:
    dark = [SILENT] * 5

    assert weather(*dark, THROTTLED).state is BreakerState.HALF_OPEN
    assert weather(*dark, THROTTLED, OK).state is BreakerState.CLOSED


# ------------------------------------------------------------------ parking


def test_many_different_rows_in_the_dark_are_an_outage() -> None:
    assert weather(OK, *[SILENT] * 11).state is BreakerState.CLOSED
    assert weather(OK, *[SILENT] * 12).state is BreakerState.OPEN


def test_a_few_rows_that_alone_keep_failing_are_none() -> None:
    made = fair()
    for n in range(200):
        made.observe(key(n % 9), SILENT, float(n), 0.0)

    assert made.state is BreakerState.CLOSED


def test_four_in_ten_unanswered_is_a_brown_out_not_an_outage() -> None:
    pattern = [SILENT, OK, SILENT, OK, OK, SILENT, OK, OK, SILENT, OK]

    assert weather(*pattern * 30).state is BreakerState.CLOSED


def test_answers_of_classins_own_are_no_outage_however_bad() -> None:
    assert not is_unanswered(UNKNOWN_ERROR)
    assert weather(OK, *[UNKNOWN_ERROR, THROTTLED, REFUSED] * 50).state is BreakerState.CLOSED


def test_five_failed_connections_in_a_row_are_an_outage() -> None:
    assert weather(OK, *[UNREACHABLE] * 4).state is BreakerState.CLOSED
    assert weather(OK, *[UNREACHABLE] * 5).state is BreakerState.OPEN
    assert weather(OK, *[UNREACHABLE] * 4, SILENT, *[UNREACHABLE] * 4).state is BreakerState.CLOSED


@pytest.mark.parametrize("before", [[], [OK]])
def test_maintenance_parks_at_once(before: list[Verdict]) -> None:
    assert weather(*before, MAINTENANCE).state is BreakerState.OPEN


# ------------------------------------------------------------------ probing


def test_probes_come_after_five_seconds_then_twice_as_late_up_to_a_minute() -> None:
    parked = weather(OK, MAINTENANCE)
    now, gaps = 1.0, []
    for n in range(7):
        gaps.append(parked.probe_at - now)
        now = parked.probe_at
        parked.observe(key(n), SILENT, now, 0.0)

    assert gaps == [2.5, 5.0, 10.0, 20.0, 30.0, 30.0, 30.0]
    assert parked.open_for(now) == now - 1.0


@given(st.floats(0.0, 1.0, exclude_max=True), st.integers(0, 2000))
def test_a_probe_waits_between_half_and_the_whole_of_its_gap(chance: float, failed: int) -> None:
    parked = weather(OK, MAINTENANCE)
    for n in range(failed):
        parked.observe(key(n), SILENT, 100.0, chance)
    parked.observe(key(-1), SILENT, 100.0, chance)

    assert 2.5 <= parked.probe_at - 100.0 <= 60.0


def test_one_answer_ends_an_outage_and_the_dark_is_forgotten() -> None:
    parked = weather(OK, *[SILENT] * 12)
    parked.observe(key(99), OK, 60.0, 0.0)

    assert (parked.state, parked.open_for(61.0)) == (BreakerState.CLOSED, 0.0)
    for n in range(11):
        parked.observe(key(n), SILENT, 70.0, 0.0)
    assert parked.state is BreakerState.CLOSED


@given(st.lists(st.tuples(st.integers(0, 30), ANY, st.floats(0.0, 0.99)), max_size=120))
def test_whatever_comes_the_sky_is_told_consistently(
    answers: list[tuple[int, Verdict, float]],
) -> None:
    made = CircuitBreaker()
    for n, (row, verdict, chance) in enumerate(answers):
        now = float(n)
        made.observe(key(row), verdict, now, chance)
        parked = made.state is BreakerState.OPEN
        assert (made.opened_at <= now) == parked
        assert (now < made.probe_at <= now + 60.0) or not (parked and is_unanswered(verdict))
        assert not parked or is_unanswered(verdict)
        assert made.state is not BreakerState.CLOSED or any(
            v.proves_access for _, v, _ in answers[: n + 1]
        )
