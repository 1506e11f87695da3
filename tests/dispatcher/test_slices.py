"""A run in slices ends as an uninterrupted one does, with about as many requests."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from bulkcast.dispatcher import Dispatcher
from bulkcast.dispatcher.tracker import SENDS_MOST
from bulkcast.endpoints import WEBCAST
from bulkcast.model import Request, RequestKey, RowStatus, Stop
from bulkcast.sandbox import Sandbox, World, read_fault
from tests.audit import most_in_window
from tests.dispatcher_harness import (
    Dispatched,
    classroom,
    dispatch,
    fault_between,
    request,
    requests,
)
from tests.dispatcher_slices import Schedule, Slices, dispatch_in_slices
from tests.sheets import FIRST_ID
from tests.virtual_loop import EPOCH, VirtualLoop


def between(fault: str, begins: float, ends: float) -> Schedule:
    def schedule(loop: VirtualLoop, sandbox: Sandbox) -> None:
        def set_fault(text: str) -> None:
            sandbox.fault_for_all = read_fault(text, WEBCAST) if text else None

        loop.call_at(begins, set_fault, fault)
        loop.call_at(ends, set_fault, "")

    return schedule


def sent_at(found: Slices | Dispatched) -> list[float]:
    """When each request arrived, in seconds of virtual time."""
    return [received.at - EPOCH for received in found.log]


def sends(found: Slices, row: int) -> int:
    return rows(found).count(row)


def rows(found: Slices) -> list[int]:
    """The row of each request, in the order of their arrival."""
    return [received.target.id - FIRST_ID for received in found.log if received.target]


def settled_as_told(found: Slices) -> None:
    """The ledger holds an outcome for exactly the rows that have one."""
    assert found.settled[-1] == found.outcomes.keys()
    assert all(earlier <= later for earlier, later in pairwise(found.settled))


# ------------------------------------------------------------------ handing over


@pytest.mark.parametrize("leased", [False, True])
def test_a_long_run_is_sent_in_slices_each_row_once(tmp_path: Path, leased: bool) -> None:
    found = dispatch_in_slices(tmp_path, requests(400), slice_s=5.0, leased=leased)

    assert found.statuses == {RowStatus.APPLIED: 400}
    assert len(found.log) == 400
    assert len(found.dispatchers) == pytest.approx(400 * 60 / 950 / 5.0, abs=1.6)
    assert [each.handed_over for each in found.dispatchers][-2:] == [True, False]
    assert all(each.stopped is None for each in found.dispatchers)
    assert most_in_window(sent_at(found), 0.999) <= 18
    settled_as_told(found)


def test_no_row_waits_behind_later_ones_for_a_start_time(tmp_path: Path) -> None:
    """Whoever finds no start time left keeps its turn until there are new ones."""
    found = dispatch_in_slices(tmp_path, requests(90), rate=10.0, leased=True)

    sent = [received.target.id for received in found.log if received.target]
    assert sent == sorted(sent)
    assert len(sent) == 90


def test_what_is_under_way_finishes_and_what_waits_gets_no_outcome(tmp_path: Path) -> None:
    world = World(latency_s=2.0, classrooms=(classroom(4, "http:503", "http:503"),))
    found = dispatch_in_slices(tmp_path, requests(100), world, slice_s=3.1)

    assert found.ended_at[0] == pytest.approx(5.1, abs=0.3)
    assert "4" not in found.settled[0]
    assert found.statuses == {RowStatus.APPLIED: 100}
    assert sends(found, 4) == 3
    assert len(found.log) == 102
    settled_as_told(found)


def test_a_run_that_has_finished_anyway_is_not_handed_over(tmp_path: Path) -> None:
    world = World(latency_s=2.0)
    found = dispatch_in_slices(tmp_path, requests(3), world, slice_s=3.0)

    assert len(found.dispatchers) == 1
    assert not found.dispatchers[0].handed_over
    assert found.statuses == {RowStatus.APPLIED: 3}


def test_a_paused_run_is_handed_over(tmp_path: Path) -> None:
    def pause(loop: VirtualLoop, dispatcher: Dispatcher, n: int) -> None:
        if n < 2:
            loop.call_at(loop.time() + 1.0, dispatcher.pause)

    found = dispatch_in_slices(tmp_path, requests(200), of_slice=pause)

    assert found.ended_at[:2] == pytest.approx([60.0, 120.5], abs=0.1)
    assert found.statuses == {RowStatus.APPLIED: 200}
    assert len(found.log) == 200


def test_writes_that_are_held_back_wait_on_in_the_next_slices(tmp_path: Path) -> None:
    """An older request may still reach the classroom for five minutes, over all slices."""
    older = request(3, (("recordState", 1),))
    body = (*older.body[:1], ("recordState", 0))
    newer = Request(RequestKey("newer"), (9,), older.target, body, after=older.key)
    world = World(classrooms=(classroom(3, *["hang:60:applied"] * SENDS_MOST),))
    whole = dispatch(tmp_path / "whole", [older, newer], world)
    found = dispatch_in_slices(tmp_path / "slices", [older, newer], world)

    assert found.statuses == whole.statuses
    assert len(found.log) == len(whole.log)
    assert sent_at(found)[-1] == pytest.approx(sent_at(whole)[-1], abs=60.0)
    assert sent_at(found)[-1] - sent_at(found)[-2] >= 300.0


def test_an_interruption_while_handing_over_is_an_interruption(tmp_path: Path) -> None:
    why = Stop("interrupted", "run.interrupted", exit_status=130)

    def stop(loop: VirtualLoop, dispatcher: Dispatcher, n: int) -> None:
        loop.call_at(3.0, dispatcher.hand_over)
        loop.call_at(3.5, dispatcher.stop, why)

    found = dispatch_in_slices(tmp_path, requests(200), World(latency_s=2.0), of_slice=stop)

    assert found.stopped == why
    assert not found.dispatchers[0].handed_over
    assert len(found.outcomes) == 200
    settled_as_told(found)


# ------------------------------------------------------------------ the lease


def test_without_the_lease_nothing_is_sent_and_the_attempt_stays_open(tmp_path: Path) -> None:
    found = dispatch_in_slices(
        tmp_path, requests(200), may_send=lambda loop: loop.time() < 2.0, most=1
    )

    assert found.stopped is not None
    assert found.stopped.reason == "lease"
    assert max(sent_at(found)) <= 2.0
    assert len(found.log) == len(found.outcomes) == found.dispatchers[0].requests - 1
    settled_as_told(found)


def test_a_stalled_program_sends_no_burst(tmp_path: Path) -> None:
    def stall(loop: VirtualLoop, dispatcher: Dispatcher, n: int) -> None:
        if n == 0:
            loop.call_at(3.0, loop.sleeps, 8.0)

    found = dispatch_in_slices(tmp_path, requests(400), leased=True, of_slice=stall)

    assert found.statuses == {RowStatus.APPLIED: 400}
    assert most_in_window([at for at in sent_at(found) if at > 10.9], 0.999) <= 18


# ------------------------------------------------------------------ what the next slice knows


def test_an_outage_over_many_slices_is_waited_out_without_spending_attempts(
    tmp_path: Path,
) -> None:
    fault = ("http:503", 20.0, 1_300.0)
    whole = dispatch(tmp_path / "whole", requests(600), schedule=fault_between(*fault))
    found = dispatch_in_slices(tmp_path / "slices", requests(600), schedule=between(*fault))

    assert whole.statuses == found.statuses == {RowStatus.APPLIED: 600}
    assert len(found.dispatchers) > 20
    assert len(found.log) == pytest.approx(len(whole.log), abs=12)
    during = [at for at in sent_at(found) if 120.0 < at < 1_300.0]
    assert len(during) <= (1_300 - 120) / 30 + 1
    assert found.ended_at[-1] == pytest.approx(whole.elapsed_s, abs=90.0)


def test_an_outage_that_is_too_long_is_counted_over_all_slices(tmp_path: Path) -> None:
    fault = ("reset", 5.0, 9_999.0)
    whole = dispatch(
        tmp_path / "whole", requests(200), schedule=fault_between(*fault), max_outage_s=600.0
    )
    found = dispatch_in_slices(
        tmp_path / "slices", requests(200), schedule=between(*fault), max_outage_s=600.0
    )

    assert found.stopped == whole.stopped
    assert found.stopped is not None
    assert found.stopped.reason == "outage"
    assert found.statuses == whole.statuses
    assert found.ended_at[-1] == pytest.approx(whole.elapsed_s, abs=30.0)


def test_hours_without_any_slice_are_no_outage(tmp_path: Path) -> None:
    found = dispatch_in_slices(
        tmp_path,
        requests(200),
        schedule=between("http:503", 5.0, 6_000.0),
        max_outage_s=1_800.0,
        gap_s=900.0,
    )

    assert found.statuses == {RowStatus.APPLIED: 200}


def test_throttling_over_slices_slows_the_pace_as_in_one_run(tmp_path: Path) -> None:
    fault = ("code:101003001", 20.0, 200.0)
    whole = dispatch(tmp_path / "whole", requests(900), schedule=fault_between(*fault))
    found = dispatch_in_slices(tmp_path / "slices", requests(900), schedule=between(*fault))

    assert found.statuses == whole.statuses
    assert found.stopped == whole.stopped
    assert len(found.log) == pytest.approx(len(whole.log), rel=0.1)
    assert found.ended_at[-1] == pytest.approx(whole.elapsed_s, rel=0.25)


def test_throttling_that_lasts_too_long_ends_the_run_over_slices_too(tmp_path: Path) -> None:
    found = dispatch_in_slices(
        tmp_path,
        requests(900),
        schedule=between("code:101003001", 20.0, 9_999.0),
        max_outage_s=300.0,
    )

    assert found.stopped is not None
    assert found.stopped.reason == "throttled"
    assert 300.0 < found.ended_at[-1] < 420.0


def test_a_missing_feature_stays_missing_in_the_next_slices(tmp_path: Path) -> None:
    world = World(classrooms=tuple(classroom(row, "code:121601010*") for row in range(2, 102)))
    whole = dispatch(tmp_path / "whole", requests(100), world)
    found = dispatch_in_slices(tmp_path / "slices", requests(100), world, slice_s=0.1)

    assert len(found.dispatchers) > 2
    assert found.statuses == whole.statuses == {RowStatus.REJECTED: 5, RowStatus.NOT_SENT: 95}
    assert len(found.log) == len(whole.log) == 5


def test_a_row_that_never_gets_an_answer_ends_within_its_bound(tmp_path: Path) -> None:
    world = World(classrooms=(classroom(9, "http:502*"),))
    found = dispatch_in_slices(tmp_path, requests(30), world, slice_s=20.0)

    assert found.outcomes[request(9).key].status is RowStatus.UNCONFIRMED
    assert sends(found, 9) == SENDS_MOST
    assert found.statuses[RowStatus.APPLIED] == 29


def test_a_repeat_is_not_sent_early_by_the_next_slice(tmp_path: Path) -> None:
    """ClassIn refuses identical parameters within five seconds."""
    world = World(classrooms=(classroom(30, "code:104", "code:104"),))
    found = dispatch_in_slices(tmp_path, requests(40), world, slice_s=2.0, gap_s=0.1)

    assert found.statuses == {RowStatus.APPLIED: 40}
    times = [at for at, row in zip(sent_at(found), rows(found), strict=True) if row == 30]
    assert len(times) == 3
    assert min(b - a for a, b in pairwise(times)) >= 5.0


def canaries(found: Slices, slice_ends: float) -> int:
    """Requests in the first second after a slice began."""
    return sum(slice_ends < at < slice_ends + 1.5 for at in sent_at(found))


def test_credentials_are_proven_anew_after_two_minutes_only(tmp_path: Path) -> None:
    """A canary is alone until it is answered, which here takes two seconds."""
    world = World(latency_s=2.0)
    soon = dispatch_in_slices(tmp_path / "soon", requests(300), world, slice_s=10.0)
    later = dispatch_in_slices(tmp_path / "later", requests(300), world, slice_s=10.0, gap_s=130.0)

    assert canaries(soon, soon.ended_at[0] + 0.5) > 10
    assert canaries(later, later.ended_at[0] + 130.0) == 1


def test_a_wrong_secret_stops_the_run_after_two_rows_over_slices(tmp_path: Path) -> None:
    """A row that both slices send counts once."""

    def short(loop: VirtualLoop, dispatcher: Dispatcher, n: int) -> None:
        if n == 0:
            loop.call_at(0.05, dispatcher.hand_over)

    world = World(classrooms=tuple(classroom(row, "code:101002005*") for row in range(2, 50)))
    whole = dispatch(tmp_path / "whole", requests(30), world)
    found = dispatch_in_slices(tmp_path / "slices", requests(30), world, of_slice=short)

    assert whole.stopped is not None
    assert found.stopped == whole.stopped
    assert rows(found) == [2, 2, 3]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: "",
        lambda text: text[:-20],
        lambda text: "[]",
        lambda text: "null",
        lambda text: "[" * 100_000,
        lambda text: json.dumps({**json.loads(text), "version": 99}),
        lambda text: json.dumps({**json.loads(text), "open_s": -5}),
        lambda text: json.dumps({**json.loads(text), "open_s": float("nan")}),
        lambda text: json.dumps({**json.loads(text), "share": 0}),
        lambda text: json.dumps({**json.loads(text), "rows": {"2": [1]}}),
        lambda text: json.dumps({**json.loads(text), "features": {"x": "y"}}),
        lambda text: json.dumps({**json.loads(text), "counting": []}),
        lambda text: json.dumps({**json.loads(text), "failure": ["new", "unheard-of"]}),
        lambda text: json.dumps({**json.loads(text), "at": 9e99}),
    ],
)
def test_a_damaged_memory_costs_no_row(tmp_path: Path, spoil: Callable[[str], str]) -> None:
    memory = dispatch_in_slices(tmp_path / "a", requests(60), slice_s=1.0, most=1).memories[-1]
    found = dispatch_in_slices(tmp_path / "b", requests(30), memory=spoil(memory))

    assert found.statuses == {RowStatus.APPLIED: 30}
