"""The dispatcher against the sandbox: what each answer leads to, and how often anything is sent."""

import itertools
import math
from collections import Counter
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path

import pytest

from bulkcast.arguments import SettingNames
from bulkcast.catalogue import ReplyCode
from bulkcast.dispatcher import Dispatcher
from bulkcast.dispatcher.tracker import SENDS_MOST, THROTTLES_MOST
from bulkcast.endpoints import WEBCAST
from bulkcast.messages import explain
from bulkcast.model import History, ReplyClass, Request, RequestKey, RowStatus, Secret, Stop
from bulkcast.pacing import DEFAULT_RATE
from bulkcast.protocol import COUNTINGS
from bulkcast.sandbox import Sandbox, World
from tests.dispatcher_harness import (
    ALL_ON,
    Dispatched,
    Schedule,
    classroom,
    dispatch,
    fault_between,
    request,
    requests,
)
from tests.virtual_loop import EPOCH, VirtualLoop

ENDS = {
    ReplyClass.OK: RowStatus.APPLIED,
    ReplyClass.OK_WARNING: RowStatus.APPLIED,
    ReplyClass.TRANSIENT: RowStatus.UNCONFIRMED,
    ReplyClass.THROTTLED: RowStatus.NOT_SENT,
    ReplyClass.CREDENTIALS: RowStatus.REJECTED,
    ReplyClass.INSTITUTION: RowStatus.REJECTED,
    ReplyClass.ROW: RowStatus.REJECTED,
    ReplyClass.TOO_LATE: RowStatus.TOO_LATE,
}


def assert_honest(dispatched: Dispatched) -> None:
    """No row counts as applied without the server's acknowledgement; the ledger agrees."""
    acknowledged = {
        r.target for r in dispatched.log if r.applied and r.answer in {"1", "121601002"}
    }
    for key, outcome in dispatched.outcomes.items():
        assert dispatched.stored[int(key)] == outcome
        if outcome.status is RowStatus.APPLIED:
            assert request(int(key)).target in acknowledged


def test_every_row_is_sent_once_in_order_at_an_even_pace(tmp_path: Path) -> None:
    dispatched = dispatch(tmp_path, requests(60))

    assert dispatched.statuses == {RowStatus.APPLIED: 60}
    assert [r.target for r in dispatched.log] == [q.target for q in requests(60)]
    assert dispatched.elapsed_s == pytest.approx(59 * 60 / 950, abs=0.1)
    assert_honest(dispatched)


@pytest.mark.parametrize(
    "reply", [r for r in WEBCAST.replies if r.kind in ENDS], ids=lambda reply: str(reply.code)
)
def test_each_reply_code_leads_to_the_state_of_its_class(tmp_path: Path, reply: ReplyCode) -> None:
    dispatched = dispatch(
        tmp_path,
        requests(12),
        World(limit=None, classrooms=(classroom(7, f"code:{reply.code}*"),)),
    )

    outcome = dispatched.outcome(7)
    expected = ENDS[reply.kind]
    if reply.kind is ReplyClass.THROTTLED and reply.ambiguous:
        expected = RowStatus.UNCONFIRMED
    assert (outcome.status, outcome.code) == (expected, str(reply.code))
    assert dispatched.statuses[RowStatus.APPLIED] >= 11
    assert dispatched.stopped is None


def test_an_unlisted_code_is_rejected_verbatim_and_not_repeated(tmp_path: Path) -> None:
    dispatched = dispatch(tmp_path, requests(3), World(classrooms=(classroom(3, "code:987654*"),)))

    outcome = dispatched.outcome(3)
    assert (outcome.status, outcome.code) == (RowStatus.REJECTED, "987654")
    assert dispatched.sends(3) == 1


@pytest.mark.parametrize(
    "fault",
    ["http:500", "http:503", "http:429", "code:104", "code:104:applied", "reset",
     "reset:applied", "truncated", "truncated:applied", "html", "empty", "hang:60:applied",
     "slow:3", "code:101003001", "wrong_type:true", "wrong_type:float", "code:901", "http:901"],
)  # fmt: skip
def test_a_passing_fault_costs_no_row(tmp_path: Path, fault: str) -> None:
    """One bad answer, then good ones: the row is applied in the end."""
    dispatched = dispatch(tmp_path, requests(8), World(classrooms=(classroom(5, fault),)))

    assert dispatched.statuses == {RowStatus.APPLIED: 8}
    assert dispatched.sends(5) == (1 if fault.startswith("slow") else 2)
    assert_honest(dispatched)


@pytest.mark.parametrize("fault", ["http:502", "code:104", "reset", "truncated:applied", "html"])
def test_a_row_that_never_gets_an_answer_ends_unconfirmed_within_its_bound(
    tmp_path: Path, fault: str
) -> None:
    dispatched = dispatch(tmp_path, requests(30), World(classrooms=(classroom(9, f"{fault}*"),)))

    assert dispatched.outcome(9).status is RowStatus.UNCONFIRMED
    assert dispatched.sends(9) == SENDS_MOST
    assert dispatched.outcome(9).attempts == SENDS_MOST
    assert dispatched.statuses[RowStatus.APPLIED] == 29
    assert dispatched.stopped is None


@pytest.mark.parametrize("code", ["121601031", "121601005", "101001001", "350", "987654"])
def test_a_refusal_after_an_unanswered_attempt_stays_unconfirmed(tmp_path: Path, code: str) -> None:
    """The first attempt may have been applied, and no answer to the second one tells."""
    world = World(classrooms=(classroom(4, "hang:60:applied", f"code:{code}*"),))
    dispatched = dispatch(tmp_path, requests(6), world)

    outcome = dispatched.outcome(4)
    assert (outcome.status, outcome.code) == (RowStatus.UNCONFIRMED, code)
    assert dispatched.sends(4) == 2, "a refusal is not repeated"
    assert_honest(dispatched)


def test_a_tail_of_rows_that_alone_keep_failing_is_no_outage(tmp_path: Path) -> None:
    """Three hanging rows at the end finish within minutes, and open no breaker."""
    tail = tuple(classroom(row, "hang:60*") for row in (39, 40, 41))
    dispatched = dispatch(tmp_path, requests(40), World(classrooms=tail))

    assert dispatched.statuses == {RowStatus.APPLIED: 37, RowStatus.UNCONFIRMED: 3}
    assert dispatched.stopped is None
    assert dispatched.elapsed_s < 10 * 60


def test_a_row_told_to_slow_down_for_ever_ends_not_sent(tmp_path: Path) -> None:
    dispatched = dispatch(
        tmp_path, requests(4), World(classrooms=(classroom(4, "code:101003001*"),))
    )

    assert dispatched.outcome(4).status is RowStatus.NOT_SENT
    assert dispatched.sends(4) == THROTTLES_MOST


# ------------------------------------------------------------------ credentials and clock


def test_a_wrong_secret_costs_two_requests_and_stops_the_run(tmp_path: Path) -> None:
    dispatched = dispatch(tmp_path, requests(300), secret=Secret("wrong"))

    assert len(dispatched.log) == 2
    assert dispatched.stopped == Stop("credentials", "101002005", exit_status=6)
    assert dispatched.statuses == {RowStatus.NOT_SENT: 300}


def test_a_wrong_secret_is_named_even_for_a_single_row(tmp_path: Path) -> None:
    dispatched = dispatch(tmp_path, requests(1), secret=Secret("wrong"))

    assert dispatched.stopped is not None
    assert dispatched.stopped.reason == "credentials"
    assert dispatched.outcome(2).status is RowStatus.NOT_SENT


def test_a_first_row_refused_for_its_signature_is_its_own_matter_once_others_pass(
    tmp_path: Path,
) -> None:
    dispatched = dispatch(
        tmp_path, requests(9), World(classrooms=(classroom(2, "code:101002005*"),))
    )

    assert dispatched.outcome(2).status is RowStatus.REJECTED
    assert dispatched.statuses[RowStatus.APPLIED] == 8
    assert dispatched.stopped is None


def test_one_row_refused_for_its_signature_after_successes_is_that_rows_matter(
    tmp_path: Path,
) -> None:
    dispatched = dispatch(
        tmp_path, requests(9), World(classrooms=(classroom(6, "code:101002005*"),))
    )

    assert dispatched.outcome(6).status is RowStatus.REJECTED
    assert dispatched.statuses[RowStatus.APPLIED] == 8
    assert dispatched.stopped is None


@pytest.mark.parametrize("fault", ["code:901", "http:901"])
def test_maintenance_that_outlasts_the_wait_is_told_as_such(tmp_path: Path, fault: str) -> None:
    dispatched = dispatch(
        tmp_path, requests(40), schedule=fault_between(fault, 0.0, 1e9), max_outage_s=600.0
    )

    assert dispatched.stopped == Stop("maintenance", "run.maintenance", {"minutes": "10"}, 5)
    message, fix = explain(dispatched.stopped.code, dispatched.stopped.args, WEBCAST)
    assert "under maintenance" in message
    assert "network" not in message + fix
    assert {o.code for o in dispatched.outcomes.values()} == {"run.maintenance"}
    assert "under maintenance" in str(dispatched.dispatcher.remarks[0])


@pytest.mark.slow
@pytest.mark.parametrize("hours", [2, pytest.param(7, marks=pytest.mark.long)])
def test_maintenance_of_hours_is_waited_out_where_that_is_wanted(
    tmp_path: Path, hours: int
) -> None:
    dispatched = dispatch(
        tmp_path,
        requests(40),
        schedule=fault_between("code:901", 1.0, hours * 3600.0),
        max_outage_s=(hours + 1) * 3600.0,
    )

    assert dispatched.statuses == {RowStatus.APPLIED: 40}


def with_text(row: int, n: int) -> Request:
    """A row whose introduction has `n` Chinese characters."""
    return request(row, (*ALL_ON, ("webcastIntroduce", "课" * n)))


@pytest.mark.parametrize("n", [342, 700, 1024])
def test_a_long_text_signed_by_another_rule_is_signed_by_it_from_then_on(
    tmp_path: Path, n: int
) -> None:
    wanted = [with_text(row, n) for row in range(2, 42)]
    dispatched = dispatch(tmp_path, wanted, World(counts="characters"), concurrency=1)

    assert dispatched.statuses == {RowStatus.APPLIED: 40}
    assert dispatched.stopped is None
    assert len(dispatched.log) < 45
    assert len(dispatched.dispatcher.remarks) == 1
    assert "counts the characters" in str(dispatched.dispatcher.remarks[0])


def test_many_long_texts_at_once_stop_nothing_whatever_the_rule(tmp_path: Path) -> None:
    wanted = [*requests(4), *(with_text(row, 400) for row in range(6, 70))]

    for counting in COUNTINGS:
        world = World(counts=counting, latency_s=2.0)
        dispatched = dispatch(tmp_path / counting, wanted, world)
        assert dispatched.statuses == {RowStatus.APPLIED: len(wanted)}
        assert dispatched.stopped is None


def test_a_long_text_that_no_rule_lets_in_is_that_rows_matter_and_told_so(tmp_path: Path) -> None:
    rooms = tuple(classroom(row, "code:101002005*") for row in (2, 3, 4, 5))
    wanted = [*(with_text(row, 400) for row in (2, 3, 4, 5)), request(6)]
    dispatched = dispatch(tmp_path, wanted, World(classrooms=rooms))

    assert dispatched.stopped is None
    assert [dispatched.sends(row) for row in (2, 3, 4, 5, 6)] == [2, 2, 2, 2, 1]
    outcome = dispatched.stored[2]
    assert outcome.status is RowStatus.REJECTED
    message, fix = explain(outcome.code, outcome.args, WEBCAST)
    assert "secret do not belong" not in message
    assert "341 Chinese characters" in fix


def test_a_wrong_secret_with_long_texts_only_stops_the_run_all_the_same(tmp_path: Path) -> None:
    wanted = [with_text(row, 400) for row in range(2, 302)]
    dispatched = dispatch(tmp_path, wanted, secret=Secret("wrong"))

    assert dispatched.stopped is not None
    assert len(dispatched.log) <= 60


@pytest.mark.parametrize("minutes", [15, -15])
def test_a_clock_that_is_off_is_corrected_and_told(tmp_path: Path, minutes: int) -> None:
    dispatched = dispatch(tmp_path, requests(40), clock_offset_s=minutes * 60.0)

    assert dispatched.statuses == {RowStatus.APPLIED: 40}
    assert len(dispatched.log) == 41
    side = "behind" if minutes > 0 else "ahead of"
    assert f"15 min {side} ClassIn's" in str(dispatched.dispatcher.remarks[0])


def test_a_stamp_refused_twice_stops_the_run(tmp_path: Path) -> None:
    world = World(classrooms=tuple(classroom(row, "code:101002006*") for row in range(2, 12)))
    dispatched = dispatch(tmp_path, requests(10), world)

    assert dispatched.stopped == Stop("clock", "101002006", dispatched.outcome(2).args, 6)
    assert len(dispatched.log) == 2


def test_a_clock_that_is_set_again_during_the_run_is_corrected_again(tmp_path: Path) -> None:
    world = World(classrooms=tuple(classroom(row, "code:101002006") for row in (20, 60)))

    dispatched = dispatch(tmp_path, requests(80), world, concurrency=1)

    assert dispatched.statuses == {RowStatus.APPLIED: 80}
    assert len(dispatched.log) == 82


def test_a_redirect_stops_the_run_and_is_not_followed(tmp_path: Path) -> None:
    dispatched = dispatch(tmp_path, requests(50), schedule=fault_between("redirect", 0.0, math.inf))

    assert dispatched.stopped is not None
    assert (dispatched.stopped.reason, dispatched.stopped.exit_status) == ("refused", 6)
    assert len(dispatched.log) == 1
    assert dispatched.statuses == {RowStatus.UNCONFIRMED: 1, RowStatus.NOT_SENT: 49}


# ------------------------------------------------------------------ stop conditions


def test_a_missing_feature_stops_only_the_rows_that_switch_it_on(tmp_path: Path) -> None:
    live = [request(row, (("liveState", 1), ("recordState", 1))) for row in range(2, 42)]
    plain = [request(row, (("recordState", 1),)) for row in range(42, 72)]
    mixed = [q for pair in zip(live, plain, strict=False) for q in pair] + live[30:]

    world = World(first_whole=False, lacks=frozenset({"liveState"}))
    dispatched = dispatch(tmp_path, mixed, world, concurrency=1)

    assert dispatched.statuses[RowStatus.APPLIED] == 30
    assert dispatched.statuses[RowStatus.REJECTED] == 5
    assert dispatched.statuses[RowStatus.NOT_SENT] == 35
    assert dispatched.outcome(41).args["feature"] == SettingNames(("liveState",))
    assert dispatched.stopped is None


def test_a_feature_found_missing_holds_back_rows_that_wait_for_their_turn(tmp_path: Path) -> None:
    live = [request(row, (("liveState", 1), ("recordState", 1))) for row in range(2, 102)]

    dispatched = dispatch(tmp_path, live, World(lacks=frozenset({"liveState"})), rate=5.0)

    assert dispatched.statuses[RowStatus.REJECTED] <= 5 + 1
    assert len(dispatched.log) <= 5 + 1


def test_twenty_equal_refusals_in_a_row_stop_the_run(tmp_path: Path) -> None:
    foreign = tuple(classroom(row, foreign=True) for row in range(2, 102))
    dispatched = dispatch(tmp_path, requests(100), World(classrooms=foreign), concurrency=1)

    assert dispatched.stopped is not None
    assert (dispatched.stopped.reason, dispatched.stopped.code) == ("guard", "run.systematic")
    assert len(dispatched.log) == 20


# ------------------------------------------------------------------ throttling and outages


def test_a_throttle_slows_everyone_and_the_pace_recovers(tmp_path: Path) -> None:
    dispatched = dispatch(
        tmp_path,
        requests(200),
        World(classrooms=(classroom(20, "http:429:retry_after=7"),)),
    )

    arrivals = [r.at for r in dispatched.log]
    gaps = [b - a for a, b in itertools.pairwise(arrivals)]
    assert max(gaps) == pytest.approx(7.0, abs=0.6)
    assert dispatched.statuses == {RowStatus.APPLIED: 200}
    assert gaps[-1] < max(gaps[30:60])


def test_a_silence_too_long_to_wait_ends_the_run_for_later(tmp_path: Path) -> None:
    dispatched = dispatch(
        tmp_path, requests(50), World(classrooms=(classroom(9, "http:429:retry_after=3600"),))
    )

    assert dispatched.stopped is not None
    assert (dispatched.stopped.reason, dispatched.stopped.exit_status) == ("throttled", 5)
    assert dispatched.statuses[RowStatus.NOT_SENT] > 0


def at(seconds: float) -> str:
    """A moment of virtual time as an HTTP date."""
    return formatdate(EPOCH + seconds, usegmt=True)


@pytest.mark.parametrize(
    ("hint", "least", "most"),
    [
        ("9", 9.0, 9.6),
        (at(12.0), 8.0, 13.0),
        (at(12.0).replace("GMT", "-0000"), 8.0, 13.0),
        (at(-3600.0), 0.0, 1.5),
        ("0", 0.0, 1.5), ("-9", 0.0, 1.5), ("soon", 0.0, 1.5), ("9.5", 0.0, 1.5),
        ("9, 9", 0.0, 1.5), ("٩", 0.0, 1.5),
    ],
)  # fmt: skip
@pytest.mark.parametrize("offset", [0.0, 600.0])
def test_a_silence_asked_for_is_kept_by_everyone_and_nonsense_is_not(
    tmp_path: Path, hint: str, least: float, most: float, offset: float
) -> None:
    """The 20th of 60 requests is answered so a second in; a date counts by the server's clock."""
    if "GMT" in hint or "-0000" in hint:
        moment = parsedate_to_datetime(hint).timestamp() + offset
        hint = formatdate(moment, usegmt=True)
    world = World(classrooms=(classroom(21, f"http:429:retry_after={hint}"),))
    dispatched = dispatch(tmp_path, requests(60), world, clock_offset_s=offset)

    asked = next(r.at for r in dispatched.log if r.target == request(21).target)
    after = [r.at for r in sorted(dispatched.log, key=lambda r: r.at) if r.at > asked + 1e-6]
    assert least - 1.0 <= after[0] - asked <= most
    assert dispatched.statuses == {RowStatus.APPLIED: 60}


@pytest.mark.parametrize("code", ["101003002", "104", "101003001", "460", "901"])
def test_the_same_parameters_wait_more_than_five_seconds(tmp_path: Path, code: str) -> None:
    world = World(classrooms=(classroom(4, "reset:applied", f"code:{code}"),))
    dispatched = dispatch(tmp_path, requests(8), world)

    sent = [r.at for r in dispatched.log if r.target == request(4).target]
    assert len(sent) == 3
    assert sent[2] - sent[1] > 5.0
    assert dispatched.outcome(4).status is RowStatus.APPLIED


def test_a_row_is_repeated_in_passes_of_three_with_a_rest_between(tmp_path: Path) -> None:
    dispatched = dispatch(tmp_path, requests(8), World(classrooms=(classroom(5, "code:104*"),)))

    sent = [r.at for r in dispatched.log if r.target == request(5).target]
    gaps = [later - earlier for earlier, later in itertools.pairwise(sent)]
    assert gaps == pytest.approx([5.5, 5.5, 30.0, 5.5, 5.5, 30.0, 5.5], abs=0.5)
    assert len(sent) == SENDS_MOST


@pytest.mark.parametrize("code", [460, 464, 101003001])
def test_a_code_that_asks_for_fewer_requests_slows_everyone(tmp_path: Path, code: int) -> None:
    world = World(limit=None, classrooms=(classroom(20, f"code:{code}"),))
    slowed = dispatch(tmp_path / "a", requests(100), world)
    as_usual = dispatch(tmp_path / "b", requests(100), World(limit=None))

    assert slowed.statuses == {RowStatus.APPLIED: 100}
    assert slowed.elapsed_s > as_usual.elapsed_s * 1.2


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["http:503", "hang:60", "reset", "code:901", "http:901", "html"])
def test_half_an_hours_outage_is_waited_out(tmp_path: Path, fault: str) -> None:
    dispatched = dispatch(
        tmp_path, requests(600), schedule=fault_between(fault, 10.0, 10.0 + 1800.0)
    )

    assert dispatched.statuses == {RowStatus.APPLIED: 600}
    assert len(dispatched.log) <= 600 + 120
    assert_honest(dispatched)


def test_probes_of_an_outage_do_not_count_as_sends(tmp_path: Path) -> None:
    dispatched = dispatch(tmp_path, requests(5), schedule=fault_between("http:503", 0.0, 43 * 60.0))

    assert max(dispatched.sends(row) for row in range(2, 7)) > SENDS_MOST
    assert dispatched.statuses == {RowStatus.APPLIED: 5}


def test_requests_under_way_when_an_outage_is_noticed_do_not_put_off_its_first_probe(
    tmp_path: Path,
) -> None:
    dispatched = dispatch(
        tmp_path, requests(300), schedule=fault_between("hang:60", 10.0, 33.0), timeout=20.0
    )

    noticed = min(r.at for r in dispatched.log if r.answer != "1") + 20.0
    answered = min(r.at for r in dispatched.log if r.at > noticed and r.answer == "1")
    assert answered - noticed <= 10.0
    assert dispatched.statuses == {RowStatus.APPLIED: 300}


def test_after_an_outage_it_goes_on_at_a_quarter_of_the_pace(tmp_path: Path) -> None:
    dispatched = dispatch(tmp_path, requests(600), schedule=fault_between("http:503", 10.0, 130.0))

    begun = dispatched.log[0].at
    answered = next(r.at for r in dispatched.log if r.at - begun > 125.0 and r.answer == "1")
    soon_after = sum(answered < r.at <= answered + 10.0 for r in dispatched.log)
    assert soon_after <= 0.25 * DEFAULT_RATE * 10.0 + 5


def test_throttling_counts_anew_once_anything_went_through(tmp_path: Path) -> None:
    def schedule(loop: VirtualLoop, sandbox: Sandbox, dispatcher: Dispatcher) -> None:
        for begins in (60.0, 230.0):
            fault_between("http:429", begins, begins + 70.0)(loop, sandbox, dispatcher)

    dispatched = dispatch(tmp_path, requests(400), rate=2.0, max_outage_s=120.0, schedule=schedule)

    assert dispatched.stopped is None
    assert dispatched.statuses[RowStatus.APPLIED] == 400


def test_an_outage_from_the_first_request_on_ends_the_run_for_later(tmp_path: Path) -> None:
    dispatched = dispatch(
        tmp_path, requests(300), schedule=fault_between("http:503", 0.0, math.inf)
    )

    assert dispatched.stopped is not None
    assert (dispatched.stopped.reason, dispatched.stopped.exit_status) == ("outage", 5)
    assert dispatched.elapsed_s == pytest.approx(45 * 60, abs=120)
    assert len(dispatched.log) <= 90


@pytest.mark.long
def test_twenty_thousand_rows_in_a_brown_out_leave_at_most_five_unconfirmed(
    tmp_path: Path,
) -> None:
    dispatched = dispatch(tmp_path, requests(20_000), World(fault_rate=0.3, seed=7))

    assert dispatched.statuses[RowStatus.APPLIED] >= 20_000 - 5
    assert max(Counter(r.target for r in dispatched.log).values()) <= SENDS_MOST


@pytest.mark.long
@pytest.mark.parametrize("fault", ["http:503", "hang:60"])
def test_half_an_hours_outage_wastes_one_send_in_a_hundred_at_most(
    tmp_path: Path, fault: str
) -> None:
    dispatched = dispatch(
        tmp_path, requests(20_000), schedule=fault_between(fault, 60.0, 60.0 + 1800.0)
    )

    assert dispatched.statuses == {RowStatus.APPLIED: 20_000}
    assert len(dispatched.log) <= 20_000 * 1.01


@pytest.mark.slow
@pytest.mark.parametrize("rows", [800, pytest.param(2000, marks=pytest.mark.long)])
def test_a_brown_out_gives_up_almost_nothing(tmp_path: Path, rows: int) -> None:
    dispatched = dispatch(tmp_path, requests(rows), World(fault_rate=0.3, seed=3))

    assert dispatched.statuses[RowStatus.APPLIED] >= rows - 2
    assert max(Counter(r.target for r in dispatched.log).values()) <= SENDS_MOST
    assert_honest(dispatched)


# ------------------------------------------------------------------ ends


def interrupt_at(moment: float) -> Schedule:
    def schedule(loop: VirtualLoop, _: Sandbox, dispatcher: Dispatcher) -> None:
        why = Stop("interrupted", "run.interrupted", exit_status=130)
        loop.call_at(moment, dispatcher.stop, why)

    return schedule


def test_an_interrupt_lets_finish_what_is_under_way(tmp_path: Path) -> None:
    dispatched = dispatch(tmp_path, requests(200), World(latency_s=1.0), schedule=interrupt_at(5.0))

    sent = len(dispatched.log)
    assert 0 < sent < 200
    assert dispatched.statuses == {RowStatus.APPLIED: sent, RowStatus.NOT_SENT: 200 - sent}
    assert dispatched.elapsed_s < 7.0
    assert_honest(dispatched)


def test_a_stop_is_not_kept_waiting_by_what_only_waits_and_its_first_reason_stays(
    tmp_path: Path,
) -> None:
    def schedule(loop: VirtualLoop, sandbox: Sandbox, dispatcher: Dispatcher) -> None:
        def stop() -> None:
            dispatcher.stop(Stop("interrupted", "run.interrupted", {}, 130))
            dispatcher.stop(Stop("outage", "run.outage", {}, 5))

        loop.call_at(20.0, stop)

    world = World(classrooms=(classroom(3, "http:503*"),))
    dispatched = dispatch(tmp_path, requests(200), world, rate=5.0, schedule=schedule)

    assert dispatched.stopped == Stop("interrupted", "run.interrupted", {}, 130)
    assert dispatched.elapsed_s < 22.0


def test_an_interrupt_leaves_a_row_that_waits_to_be_repeated_unconfirmed(tmp_path: Path) -> None:
    world = World(classrooms=(classroom(2, "code:1"), classroom(3, "reset:applied*")))
    dispatched = dispatch(tmp_path, requests(2), world, schedule=interrupt_at(20.0))

    assert dispatched.outcome(3).status is RowStatus.UNCONFIRMED


def test_a_row_whose_settings_have_locked_costs_no_request(tmp_path: Path) -> None:
    locked = [request(2, locks_at=int(EPOCH) - 1), request(3, locks_at=int(EPOCH) + 20)]
    open_ = [request(4, locks_at=int(EPOCH) + 3600), request(5)]
    dispatched = dispatch(tmp_path, [*locked, *open_])

    assert [dispatched.outcome(row).status for row in (2, 3)] == [RowStatus.TOO_LATE] * 2
    assert dispatched.outcome(2).args["settings"] == SettingNames(
        ("recordState", "recordType", "liveState")
    )
    assert dispatched.statuses[RowStatus.APPLIED] == 2
    assert [received.target for received in dispatched.log if received.target] == [
        request(row).target for row in (4, 5)
    ]
    assert len(dispatched.log) == 3, "and once it was asked what time it is"


def test_silence_asked_for_in_place_of_the_time_is_kept(tmp_path: Path) -> None:
    wanted = [request(2, locks_at=int(EPOCH) - 1), request(3)]
    dispatched = dispatch(
        tmp_path, wanted, schedule=fault_between("http:429:retry_after=40", 0.0, 1.0)
    )

    asked, again, sent = dispatched.log
    assert again.at - asked.at == pytest.approx(40.0, abs=1.0)
    assert (again.target, sent.target) == (None, wanted[1].target)
    assert dispatched.outcome(3).status is RowStatus.APPLIED


def test_a_dependent_waits_for_the_row_before_it_on_the_same_classroom(tmp_path: Path) -> None:
    on, off = (("recordState", 1),), (("recordState", 0),)
    first = request(2, on)
    second = request(2, off)
    chained = [
        first,
        type(second)(RequestKey("3"), (3,), first.target, second.body, after=first.key),
    ]
    rooms = (classroom(2, "http:500", "http:500"),)
    dispatched = dispatch(tmp_path, chained, World(first_whole=False, classrooms=rooms))

    assert [dict(r.body or {})["recordState"] for r in dispatched.log] == [1, 1, 1, 0]
    assert dispatched.statuses == {RowStatus.APPLIED: 2}


def test_attempts_are_counted_on_from_an_earlier_program(tmp_path: Path) -> None:
    history = {RequestKey("2"): History(attempts=3, ambiguous=True)}
    late = request(2, locks_at=int(EPOCH) - 1)
    dispatched = dispatch(tmp_path, [late, request(3)], history=history)

    assert dispatched.outcome(2).status is RowStatus.UNCONFIRMED
    assert dispatched.outcome(2).attempts == 3
