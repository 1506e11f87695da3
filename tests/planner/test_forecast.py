"""The forecast: foreseen with the real pace, then carried out in virtual time and compared."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcast.dispatcher import Dispatcher
from bulkcast.endpoints import WEBCAST
from bulkcast.model import Request, RowStatus
from bulkcast.pacing import DEFAULT_RATE
from bulkcast.pipeline.execution import LiveForecast
from bulkcast.planner.deadlines import LOCK_MARGIN_S
from bulkcast.planner.forecast import Forecast, Pace, forecast
from bulkcast.sandbox import Sandbox, World
from tests.dispatcher_harness import Dispatched, classroom, dispatch, request, requests
from tests.sheets import FIRST_ID
from tests.virtual_loop import EPOCH, VirtualLoop

NOW = int(EPOCH)


def foreseen(wanted: list[Request], rate: float, **more: object) -> Forecast:
    return forecast(wanted, Pace(rate, WEBCAST.limit, **more), now=NOW)  # type: ignore[arg-type] # test data


def dated(n: int, locks_in: int, *, first: int = 2) -> list[Request]:
    """n requests, all of which lock `locks_in` seconds from now."""
    return [request(row, locks_at=NOW + locks_in) for row in range(first, first + n)]


def too_late(dispatched: Dispatched) -> list[int]:
    return [
        int(key) for key, out in dispatched.outcomes.items() if out.status is RowStatus.TOO_LATE
    ]  # fmt: skip


# ------------------------------------------------------------------ carried out


def test_sixty_rows_foreseen_to_be_too_late_at_one_a_second_are_too_late(tmp_path: Path) -> None:
    wanted = [*dated(120, 60 + LOCK_MARGIN_S), *(request(row) for row in range(122, 142))]

    told = foreseen(wanted, 1.0)
    dispatched = dispatch(tmp_path, wanted, rate=1.0)

    late = too_late(dispatched)
    assert len(told.late) == 60
    assert abs(len(late) - 60) <= 6
    assert abs(late[0] - told.late[0].row) <= 6
    assert dispatched.elapsed_s == pytest.approx(told.duration_s, rel=0.1)
    assert len(dispatched.log) == len(wanted) - len(late), "locked rows cost no request"


def test_the_pace_that_would_save_them_does_and_a_slower_one_does_not(tmp_path: Path) -> None:
    wanted = dated(120, 60 + LOCK_MARGIN_S)
    needed = foreseen(wanted, 1.0).rate_needed

    assert needed is not None
    assert (needed * 60).is_integer()
    assert 119 / 60 < needed < 2.05
    assert foreseen(wanted, needed).late == ()
    assert foreseen(wanted, needed - 1 / 60).late
    assert too_late(dispatch(tmp_path, wanted, rate=needed * 1.02)) == []


def test_what_is_locked_already_is_saved_by_no_pace() -> None:
    told = foreseen([*dated(3, LOCK_MARGIN_S), *dated(5, 3600, first=5)], 1.0)

    assert (told.locked, len(told.late), told.rate_needed) == (3, 3, None)
    assert told.duration_s == 4.0, "they take no turn"


@given(
    st.lists(st.none() | st.integers(-60, 600), max_size=60),
    st.floats(0.05, 30.0),
    st.lists(st.integers(0, 61), max_size=40),
)
def test_the_pace_needed_loses_only_what_is_locked(
    locks: list[int | None], rate: float, earlier: list[int]
) -> None:
    ordered = sorted(locks, key=lambda lock: math.inf if lock is None else lock)
    wanted = [
        request(row, locks_at=None if lock is None else NOW + lock)
        for row, lock in enumerate(ordered, start=2)
    ]
    sent = tuple(float(NOW - ago) for ago in earlier)

    told = foreseen(wanted, rate, earlier=sent)

    assert told.duration_s >= 0
    assert (told.rate_needed is not None) == (len(told.late) > told.locked)
    if told.rate_needed is not None:
        assert len(foreseen(wanted, told.rate_needed, earlier=sent).late) == told.locked


def test_without_a_pace_nothing_takes_time() -> None:
    told = foreseen(dated(500, 60), math.inf)

    assert (told.duration_s, told.late) == (0.0, ())


def test_a_thousand_rows_take_what_the_limit_allows(tmp_path: Path) -> None:
    told = foreseen(requests(1000), DEFAULT_RATE)

    assert dispatch(tmp_path, requests(1000)).elapsed_s == pytest.approx(told.duration_s, rel=0.05)


def test_a_pace_that_classin_cut_recovers_in_the_forecast_as_it_does_in_a_run() -> None:
    wanted = requests(600)
    full, cut = foreseen(wanted, 10.0), foreseen(wanted, 10.0, at_present=5.0)

    assert full.duration_s < cut.duration_s < 2 * full.duration_s


def test_a_silence_asked_for_delays_everything() -> None:
    told = foreseen(dated(10, 60), 10.0, held_until=NOW + 40.0)

    assert len(told.late) == 10
    assert told.rate_needed is None, "no pace can begin sooner"


# ------------------------------------------------------------------ in the order of locks


def test_eighty_dated_rows_out_of_order_are_sent_in_the_order_of_their_locks(
    tmp_path: Path,
) -> None:
    rows = list(range(2, 82))
    locks = {row: 3600 + (row * 37 % 80) * 60 for row in rows}
    wanted = sorted(
        (request(row, locks_at=NOW + locks[row]) for row in rows), key=lambda r: r.locks_at or 0
    )

    dispatched = dispatch(tmp_path, wanted, rate=20.0)

    sent = [r.target.id - FIRST_ID for r in dispatched.log if r.target]
    assert sent == sorted(rows, key=lambda row: locks[row])


@pytest.mark.parametrize(("ahead", "late"), [(0.0, 0), (300.0, 39)])
def test_classins_clock_decides_what_is_too_late(tmp_path: Path, ahead: float, late: int) -> None:
    """Whatever is sent first learns its clock; this computer's says there is time for all."""
    wanted = [request(2), *dated(39, 200, first=3)]

    dispatched = dispatch(tmp_path, wanted, clock_offset_s=ahead, rate=20.0, concurrency=1)

    assert len(too_late(dispatched)) == late
    assert len(dispatched.log) <= 40 - late + 1


def test_a_row_that_locks_while_it_waits_for_its_turn_is_not_sent(tmp_path: Path) -> None:
    """A silence comes in between: the turn it had would have been in time."""
    wanted = [request(2), *dated(5, 30 + LOCK_MARGIN_S, first=3)]
    busy = World(classrooms=(classroom(2, "http:429:retry_after=60"),))

    dispatched = dispatch(tmp_path, wanted, busy, rate=1.0, concurrency=1)

    assert too_late(dispatched) == [3, 4, 5, 6, 7]
    assert {r.target.id for r in dispatched.log if r.target} == {FIRST_ID + 2}


def test_the_time_is_looked_at_once_more_when_a_turn_has_come(tmp_path: Path) -> None:
    """ClassIn's clock is set forward while 32 rows wait for turns they were granted before."""

    def schedule(loop: VirtualLoop, sandbox: Sandbox, _: Dispatcher) -> None:
        loop.call_at(5.5, setattr, sandbox, "_offset_s", 280.0)

    dispatched = dispatch(tmp_path, dated(40, 200), rate=1.0, schedule=schedule)

    assert len(too_late(dispatched)) >= 40 - 8
    assert len(dispatched.log) == 40 - len(too_late(dispatched))


# ------------------------------------------------------------------ while it runs


def test_a_run_under_way_foresees_more_late_rows_when_its_pace_falls(tmp_path: Path) -> None:
    seen: list[tuple[float, int]] = []

    def schedule(loop: VirtualLoop, sandbox: Sandbox, dispatcher: Dispatcher) -> None:
        foresight = LiveForecast(dispatcher, WEBCAST, 10.0, loop.time)

        def look() -> None:
            progress = dispatcher.progress()
            seen.append((progress.rate, foresight.late(progress)))
            if loop.time() < 20:
                loop.call_later(1.0, look)

        loop.call_at(1.0, look)
        loop.call_at(8.0, lambda: dispatcher._pacer.throttled(loop.time(), None, 0.0))

    dispatched = dispatch(tmp_path, dated(200, 22 + LOCK_MARGIN_S), rate=10.0, schedule=schedule)

    before = {late for rate, late in seen if rate == 10.0}
    first, *_ = (late for rate, late in seen if rate < 10.0)
    assert before == {0}
    assert first > 0
    assert len(too_late(dispatched)) == pytest.approx(first, abs=6)
