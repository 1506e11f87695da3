"""A pause: nothing is sent while it lasts, and it counts as neither outage nor throttling."""

from pathlib import Path

import pytest

from bulkcast.dispatcher import Dispatcher, Progress
from bulkcast.dispatcher.circuit_breaker import BreakerState
from bulkcast.model import RowStatus, Stop
from bulkcast.sandbox import Sandbox, World
from tests.dispatcher_harness import (
    Dispatched,
    Schedule,
    classroom,
    dispatch,
    fault_between,
    request,
    requests,
)
from tests.virtual_loop import EPOCH, VirtualLoop


def paused_between(begins: float, ends: float | None) -> Schedule:
    """The user pauses the run, and goes on with it unless `ends` is None."""

    def schedule(loop: VirtualLoop, _: Sandbox, dispatcher: Dispatcher) -> None:
        if begins:
            loop.call_at(begins, dispatcher.pause)
        else:
            dispatcher.pause()
        if ends is not None:
            loop.call_at(ends, dispatcher.go_on)

    return schedule


def both(*schedules: Schedule) -> Schedule:
    def schedule(loop: VirtualLoop, sandbox: Sandbox, dispatcher: Dispatcher) -> None:
        for each in schedules:
            each(loop, sandbox, dispatcher)

    return schedule


def sent_at(dispatched: Dispatched) -> list[float]:
    """When each request arrived, in seconds of virtual time."""
    return [received.at - EPOCH for received in dispatched.log]


def test_nothing_is_sent_while_the_run_is_paused(tmp_path: Path) -> None:
    dispatched = dispatch(tmp_path, requests(200), schedule=paused_between(2.0, 3_600.0))

    assert dispatched.statuses == {RowStatus.APPLIED: 200}
    assert not [at for at in sent_at(dispatched) if 2.1 < at < 3_600.0]
    before = sum(at <= 2.1 for at in sent_at(dispatched))
    assert before == pytest.approx(2.0 * 950 / 60, abs=2)
    assert len(dispatched.log) == 200  # nothing twice
    assert dispatched.elapsed_s == pytest.approx(3_600.0 + (200 - before) * 60 / 950, abs=0.5)


def test_what_is_under_way_finishes_and_progress_says_so(tmp_path: Path) -> None:
    seen: list[Progress] = []

    def watch(loop: VirtualLoop, _: Sandbox, dispatcher: Dispatcher) -> None:
        for at in (2.01, 60.0, 70.0):
            loop.call_at(at, lambda: seen.append(dispatcher.progress()))

    world = World(latency_s=1.0)
    schedule = both(paused_between(2.0, 65.0), watch)
    dispatched = dispatch(tmp_path, requests(300), world, schedule=schedule)

    pausing, paused, going = seen
    assert pausing.paused
    assert pausing.under_way > 0
    assert paused.paused
    assert paused.under_way == 0
    assert paused.counts[RowStatus.APPLIED] > pausing.counts.get(RowStatus.APPLIED, 0)
    assert not going.paused
    assert going.under_way > 0
    assert dispatched.statuses == {RowStatus.APPLIED: 300}


def test_a_run_that_is_paused_before_it_begins_sends_nothing_until_it_goes_on(
    tmp_path: Path,
) -> None:
    dispatched = dispatch(tmp_path, requests(5), schedule=paused_between(0.0, 100.0))

    assert dispatched.statuses == {RowStatus.APPLIED: 5}
    assert min(sent_at(dispatched)) >= 100.0


def test_a_paused_run_can_be_stopped(tmp_path: Path) -> None:
    why = Stop("interrupted", "run.interrupted", exit_status=130)

    def stop(loop: VirtualLoop, _: Sandbox, dispatcher: Dispatcher) -> None:
        loop.call_at(50.0, dispatcher.stop, why)

    dispatched = dispatch(tmp_path, requests(200), schedule=both(paused_between(2.0, None), stop))

    assert dispatched.stopped == why
    assert dispatched.elapsed_s == pytest.approx(50.0, abs=0.5)
    assert dispatched.statuses[RowStatus.APPLIED] + dispatched.statuses[RowStatus.NOT_SENT] == 200
    assert dispatched.statuses[RowStatus.NOT_SENT] > 100


def test_a_pause_during_an_outage_is_no_part_of_it(tmp_path: Path) -> None:
    """Ten minutes of outage are waited out; two hours of pause within it do not use them up."""
    seen: list[Progress] = []

    def watch(loop: VirtualLoop, _: Sandbox, dispatcher: Dispatcher) -> None:
        loop.call_at(7_300.0, lambda: seen.append(dispatcher.progress()))

    schedule = both(fault_between("http:503", 10.0, 7_500.0), paused_between(60.0, 7_260.0), watch)
    dispatched = dispatch(tmp_path, requests(400), schedule=schedule, max_outage_s=600.0)

    assert seen[0].breaker_state is BreakerState.OPEN
    assert seen[0].open_s < 120.0
    assert dispatched.statuses == {RowStatus.APPLIED: 400}


def test_an_outage_that_begins_as_the_run_is_paused_counts_from_its_end(tmp_path: Path) -> None:
    """What is under way when the user pauses may be what shows the outage."""
    schedule = both(fault_between("http:503", 3.0, 7_300.0), paused_between(4.0, 7_204.0))
    dispatched = dispatch(tmp_path, requests(200), schedule=schedule, max_outage_s=300.0)

    assert dispatched.statuses == {RowStatus.APPLIED: 200}


def test_a_pause_does_not_lengthen_throttling(tmp_path: Path) -> None:
    """Throttling that lasts too long ends a run; a pause amid it does not add to that."""
    schedule = both(fault_between("code:101003001", 5.0, 7_280.0), paused_between(20.0, 7_220.0))
    dispatched = dispatch(tmp_path, requests(200), schedule=schedule, max_outage_s=300.0)

    assert dispatched.stopped is None
    assert dispatched.statuses[RowStatus.APPLIED] == 200


def test_rows_that_lock_during_a_pause_are_too_late(tmp_path: Path) -> None:
    """A pause does not stop the clock of a classroom."""
    wanted = [*requests(100), request(200, locks_at=int(EPOCH) + 600)]
    dispatched = dispatch(tmp_path, wanted, schedule=paused_between(2.0, 1_000.0))

    assert dispatched.outcome(200).status is RowStatus.TOO_LATE
    assert dispatched.sends(200) == 0


def test_a_row_that_waits_to_be_sent_again_waits_for_the_end_of_the_pause(tmp_path: Path) -> None:
    world = World(classrooms=(classroom(2, "http:503", "http:503"),), latency_s=0.2)
    dispatched = dispatch(tmp_path, requests(1), world, schedule=paused_between(0.1, 500.0))

    assert dispatched.statuses == {RowStatus.APPLIED: 1}
    first, *later = sent_at(dispatched)
    assert first < 0.1
    assert len(later) == 2
    assert min(later) >= 500.0
