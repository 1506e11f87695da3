"""Stop conditions: how many refusals stop a run, and which ones stop only some rows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcast.arguments import SettingNames
from bulkcast.dispatcher.circuit_breaker import (
    CREDENTIALS_AT_START,
    CREDENTIALS_LATER,
    FEATURE_REFUSALS,
    SAME_REFUSAL,
    StopConditions,
    switched_on,
)
from bulkcast.endpoints import WEBCAST
from bulkcast.model import Argument, Body, Outcome, ReplyClass, RowStatus, Stop
from bulkcast.protocol import Verdict
from tests.dispatcher_harness import request

OK = Verdict(ReplyClass.OK, "1", proves_access=True)
FOREIGN = Verdict(ReplyClass.ROW, "121601031", proves_access=True)
DELETED = Verdict(ReplyClass.ROW, "121601045", proves_access=True)
WRONG_SECRET = Verdict(ReplyClass.CREDENTIALS, "101002005")
NO_CONTRACT = Verdict(ReplyClass.CREDENTIALS, "102")
LATE = Verdict(ReplyClass.TOO_LATE, "350", proves_access=True)
SILENT = Verdict(ReplyClass.TRANSIENT, "send.timeout")
LOGIN_PAGE = Verdict(ReplyClass.STOP, "reply.redirect", {"status": "302"})
LIVE: Body = (("recordState", 1), ("liveState", 1))
PLAIN: Body = (("recordState", 1), ("liveState", 0))
FEATURES = [(reply.code, key) for reply in WEBCAST.replies for key in reply.features]
UNNAMED = [
    reply.code
    for reply in WEBCAST.replies
    if reply.kind is ReplyClass.INSTITUTION and not reply.features
]


def told(*verdicts: Verdict, settings: Body = LIVE) -> tuple[StopConditions, list[Stop | None]]:
    """The stop conditions, and what they returned for each of these answers of different rows."""
    conditions = StopConditions(WEBCAST)
    return conditions, [
        conditions.observe(request(row, settings), verdict)
        for row, verdict in enumerate(verdicts, 2)
    ]


def first_stop(*verdicts: Verdict, settings: Body = LIVE) -> tuple[int, Stop] | None:
    """After how many answers the run stops, and why."""
    _, said = told(*verdicts, settings=settings)
    return next(((n, stop) for n, stop in enumerate(said, 1) if stop), None)


def lacks(code: int) -> Verdict:
    return Verdict(ReplyClass.INSTITUTION, str(code), proves_access=True)


# ------------------------------------------------------------------ credentials


def test_two_rows_refused_for_their_signature_at_the_start_stop_the_run() -> None:
    assert CREDENTIALS_AT_START == 2
    assert first_stop(*[WRONG_SECRET] * 9) == (2, Stop("credentials", "101002005"))


def test_once_proven_it_takes_three_in_a_row() -> None:
    assert CREDENTIALS_LATER == 3
    assert first_stop(OK, *[WRONG_SECRET] * 9) == (4, Stop("credentials", "101002005"))
    assert first_stop(*[OK, WRONG_SECRET, WRONG_SECRET] * 20) is None


def test_silence_between_refusals_does_not_excuse_them() -> None:
    assert first_stop(WRONG_SECRET, SILENT, NO_CONTRACT) == (3, Stop("credentials", "102"))


def test_a_run_that_ends_on_its_only_refusal_says_so_with_that_code() -> None:
    for verdict in (WRONG_SECRET, NO_CONTRACT):
        conditions, _ = told(verdict)
        assert conditions.credentials_refused() == Stop("credentials", verdict.code)


@pytest.mark.parametrize("verdicts", [[], [OK], [OK, WRONG_SECRET], [SILENT]])
def test_a_run_that_was_let_in_or_told_nothing_ends_without_a_word(
    verdicts: list[Verdict],
) -> None:
    conditions, _ = told(*verdicts)

    assert conditions.credentials_refused() is None


# ------------------------------------------------------------------ the same refusal


def test_twenty_equal_refusals_in_a_row_stop_the_run() -> None:
    stop = Stop("guard", "run.systematic", {"n": "20", "code": "121601031"})

    assert SAME_REFUSAL == 20
    assert first_stop(*[FOREIGN] * 30) == (20, stop)


def test_another_refusal_or_a_success_begins_the_count_anew() -> None:
    assert first_stop(*([FOREIGN] * 19 + [DELETED]) * 5) is None
    assert first_stop(*([FOREIGN] * 19 + [OK]) * 5) is None


@pytest.mark.parametrize("code", UNNAMED)
def test_a_refusal_of_the_whole_institution_that_names_no_feature_stops_the_run(code: int) -> None:
    found = first_stop(*[lacks(code)] * 30)

    assert found is not None
    assert found[0] == 20


@given(st.lists(st.sampled_from([OK, LATE, SILENT]), max_size=100))
def test_rows_that_are_late_or_silent_stop_nothing(verdicts: list[Verdict]) -> None:
    assert first_stop(*verdicts) is None


def test_an_answer_that_is_not_classins_stops_at_once() -> None:
    assert first_stop(OK, LOGIN_PAGE) == (2, Stop("refused", "reply.redirect", {"status": "302"}))


# ------------------------------------------------------------------ features


@pytest.mark.parametrize(("code", "feature"), FEATURES)
def test_five_refusals_of_a_feature_keep_back_the_rows_that_switch_it_on(
    code: int, feature: str
) -> None:
    with_it: Body = ((feature, 1), ("customColumn", "x"))
    without: Body = ((feature, 0), ("customColumn", "x"))
    four, said = told(*[lacks(code)] * (FEATURE_REFUSALS - 1), settings=with_it)
    assert four.outcome_if_blocked(request(99, with_it)) is None

    five, _ = told(*[lacks(code)] * FEATURE_REFUSALS, settings=with_it)

    args: dict[str, Argument] = {"feature": SettingNames((feature,)), "n": "5", "code": str(code)}
    assert five.outcome_if_blocked(request(99, with_it)) == Outcome(
        RowStatus.NOT_SENT, "run.feature_missing", args
    )
    assert five.outcome_if_blocked(request(99, without)) is None
    assert said == [None] * 4


def test_a_row_that_got_the_feature_through_begins_the_count_anew() -> None:
    code = next(code for code, feature in FEATURES if feature == "liveState")
    conditions, _ = told(*[*[lacks(code)] * 4, OK] * 5)

    assert conditions.outcome_if_blocked(request(99, LIVE)) is None


def test_a_success_without_the_feature_says_nothing_about_it() -> None:
    code = next(code for code, feature in FEATURES if feature == "liveState")
    conditions = StopConditions(WEBCAST)
    for row in range(2, 7):
        conditions.observe(request(row, LIVE), lacks(code))
        conditions.observe(request(row + 100, PLAIN), OK)

    assert conditions.outcome_if_blocked(request(99, LIVE)) is not None
    assert conditions.outcome_if_blocked(request(99, PLAIN)) is None


def test_refusals_of_a_feature_never_stop_the_run() -> None:
    code = next(code for code, feature in FEATURES if feature == "liveState")

    assert first_stop(*[lacks(code)] * 40) is None


def test_a_feature_code_for_rows_that_do_not_switch_it_on_is_like_any_refusal() -> None:
    code = next(code for code, feature in FEATURES if feature == "liveState")
    found = first_stop(*[lacks(code)] * 40, settings=PLAIN)

    assert found is not None
    assert found[0] == 20


def test_what_is_switched_on_is_what_has_a_value() -> None:
    settings: Body = (
        ("recordState", 1), ("liveState", 0), ("customColumn", ""), ("webcastIntroduce", "x"),
        ("liveAndPlaybackStudentUids", ()), ("recordType", 2),
    )  # fmt: skip
    on = switched_on(request(2, settings))

    assert on == {"activityId", "recordState", "webcastIntroduce", "recordType"}
