"""The circuit breaker: half-open until access is proven, open in an outage, else closed."""

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


def breaker_after(*verdicts: Verdict, same_row: bool = False) -> CircuitBreaker:
    """The breaker after these answers, a second apart, of different rows."""
    breaker = CircuitBreaker()
    for n, verdict in enumerate(verdicts):
        breaker.observe(key(0 if same_row else n), verdict, float(n), 0.0, is_probe=True)
    return breaker


def closed_breaker() -> CircuitBreaker:
    return breaker_after(OK)


# ------------------------------------------------------------------ half-open


def test_at_first_requests_go_alone() -> None:
    breaker = CircuitBreaker()

    assert breaker.state is BreakerState.HALF_OPEN
    assert breaker.probe_at == -math.inf
    assert breaker.open_for(100.0) == 0.0


@pytest.mark.parametrize("verdict", [OK, REFUSED, UNKNOWN_ERROR])
def test_any_answer_that_proves_access_closes_the_breaker(
    verdict: Verdict,
) -> None:
    assert breaker_after(verdict).state is BreakerState.CLOSED


@pytest.mark.parametrize("verdict", [WRONG_SECRET, THROTTLED, SILENT, UNREACHABLE])
def test_an_answer_that_proves_nothing_leaves_it_half_open(verdict: Verdict) -> None:
    assert breaker_after(verdict, verdict).state is BreakerState.HALF_OPEN


def test_five_different_unanswered_canaries_are_an_outage_and_one_row_repeated_is_not() -> None:
    assert breaker_after(*[SILENT] * 4).state is BreakerState.HALF_OPEN
    assert breaker_after(*[SILENT] * 5).state is BreakerState.OPEN
    assert breaker_after(*[SILENT] * 50, same_row=True).state is BreakerState.HALF_OPEN


def test_an_outage_before_access_was_proven_ends_half_open() -> None:
    outage = [SILENT] * 5

    assert breaker_after(*outage, THROTTLED).state is BreakerState.HALF_OPEN
    assert breaker_after(*outage, THROTTLED, OK).state is BreakerState.CLOSED


# ------------------------------------------------------------------ opening


def test_many_different_unanswered_rows_are_an_outage() -> None:
    assert breaker_after(OK, *[SILENT] * 11).state is BreakerState.CLOSED
    assert breaker_after(OK, *[SILENT] * 12).state is BreakerState.OPEN


def test_a_few_rows_that_keep_failing_are_no_outage() -> None:
    breaker = closed_breaker()
    for n in range(200):
        breaker.observe(key(n % 9), SILENT, float(n), 0.0, is_probe=True)

    assert breaker.state is BreakerState.CLOSED


def test_four_in_ten_unanswered_is_a_brown_out_not_an_outage() -> None:
    pattern = [SILENT, OK, SILENT, OK, OK, SILENT, OK, OK, SILENT, OK]

    assert breaker_after(*pattern * 30).state is BreakerState.CLOSED


def test_answers_of_classins_own_are_no_outage_however_bad() -> None:
    assert not is_unanswered(UNKNOWN_ERROR)
    assert breaker_after(OK, *[UNKNOWN_ERROR, THROTTLED, REFUSED] * 50).state is BreakerState.CLOSED


def test_five_failed_connections_in_a_row_are_an_outage() -> None:
    assert breaker_after(OK, *[UNREACHABLE] * 4).state is BreakerState.CLOSED
    assert breaker_after(OK, *[UNREACHABLE] * 5).state is BreakerState.OPEN
    assert (
        breaker_after(OK, *[UNREACHABLE] * 4, SILENT, *[UNREACHABLE] * 4).state
        is BreakerState.CLOSED
    )


@pytest.mark.parametrize("before", [[], [OK]])
def test_maintenance_opens_the_breaker_at_once(before: list[Verdict]) -> None:
    assert breaker_after(*before, MAINTENANCE).state is BreakerState.OPEN


# ------------------------------------------------------------------ probing


def test_probes_come_after_five_seconds_then_twice_as_late_up_to_a_minute() -> None:
    breaker = breaker_after(OK, MAINTENANCE)
    now, gaps = 1.0, []
    for n in range(7):
        gaps.append(breaker.probe_at - now)
        now = breaker.probe_at
        breaker.observe(key(n), SILENT, now, 0.0, is_probe=True)

    assert gaps == [2.5, 5.0, 10.0, 20.0, 30.0, 30.0, 30.0]
    assert breaker.open_for(now) == now - 1.0


@given(st.floats(0.0, 1.0, exclude_max=True), st.integers(0, 2000))
def test_a_probe_waits_between_half_and_the_whole_of_its_gap(chance: float, failed: int) -> None:
    breaker = breaker_after(OK, MAINTENANCE)
    for n in range(failed):
        breaker.observe(key(n), SILENT, 100.0, chance, is_probe=True)
    breaker.observe(key(-1), SILENT, 100.0, chance, is_probe=True)

    assert 2.5 <= breaker.probe_at - 100.0 <= 60.0


def test_one_answer_ends_an_outage_and_resets_the_counts() -> None:
    breaker = breaker_after(OK, *[SILENT] * 12)
    breaker.observe(key(99), OK, 60.0, 0.0, is_probe=True)

    assert (breaker.state, breaker.open_for(61.0)) == (BreakerState.CLOSED, 0.0)
    for n in range(11):
        breaker.observe(key(n), SILENT, 70.0, 0.0, is_probe=True)
    assert breaker.state is BreakerState.CLOSED


@given(st.lists(st.tuples(st.integers(0, 30), ANY, st.floats(0.0, 0.99)), max_size=120))
def test_whatever_comes_state_and_times_are_consistent(
    answers: list[tuple[int, Verdict, float]],
) -> None:
    breaker = CircuitBreaker()
    for n, (row, verdict, chance) in enumerate(answers):
        now = float(n)
        breaker.observe(key(row), verdict, now, chance, is_probe=True)
        is_open = breaker.state is BreakerState.OPEN
        assert (breaker.opened_at <= now) == is_open
        assert (now < breaker.probe_at <= now + 60.0) or not (is_open and is_unanswered(verdict))
        assert not is_open or is_unanswered(verdict)
        assert breaker.state is not BreakerState.CLOSED or any(
            v.proves_access for _, v, _ in answers[: n + 1]
        )
