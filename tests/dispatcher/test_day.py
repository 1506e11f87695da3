"""Hours of faults, simulated in seconds: rows given up, sends wasted, and the highest rate."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from bulkcast.dispatcher import Dispatcher
from bulkcast.endpoints import WEBCAST
from bulkcast.model import Request, RequestKey, RowStatus, Target
from bulkcast.pacing import DEFAULT_RATE, Pacer, cap_for
from tests.audit import LIMIT, WINDOW_S, most_in_window
from tests.measured_figures import Record
from tests.modelled_server import HEALTHY, SCENARIOS, Memory, Model, Period, mixed_periods
from tests.virtual_loop import VirtualLoop, run


@dataclass(frozen=True)
class Simulated:
    """The results of a simulation."""

    model: Model
    hours: float
    rows: int
    statuses: Counter[RowStatus]
    left: int
    """Rows that an outage of more than 45 minutes left for a resume."""
    false: int
    """Rows claimed applied without an acknowledgement, and sends without an intent."""
    most_sends: int

    @property
    def sends_per_row(self) -> float:
        return len(self.model.arrivals) / self.rows

    @property
    def given_up(self) -> int:
        return self.rows - self.statuses[RowStatus.APPLIED] - self.left

    @property
    def violations(self) -> int:
        """Minutes with more requests than the limit, and false claims."""
        return self.false + (most_in_window(self.model.arrivals, WINDOW_S) > LIMIT)


def term(rows: int) -> list[Request]:
    """A sheet of classrooms."""
    return [
        Request(RequestKey(str(n)), (n,), target, (("activityId", target.id), ("recordState", 1)))
        for n in range(2, rows + 2)
        for target in [Target("activityId", 25_000_000 + n)]
    ]


def simulate(
    periods: Sequence[Period], rows: int, *, hours: float = 0.0, seed: int = 1
) -> Simulated:
    """Send sheets of so many rows, one after another, until so many hours are over."""

    random.seed(seed)  # tenacity's own dice

    async def main(loop: VirtualLoop) -> Simulated:
        model = Model([*periods, HEALTHY], loop.time, seed)
        requests, statuses = term(rows), Counter[RowStatus]()
        total = false = most = left = 0
        earlier: list[float] = []
        while not total or loop.time() < hours * 3600.0:
            journal = Memory()
            model.acknowledged.clear()
            sent = len(model.arrivals)
            dispatcher = Dispatcher(
                WEBCAST,
                model.send,
                journal,
                Pacer(DEFAULT_RATE, cap_for(WEBCAST.limit, DEFAULT_RATE), earlier),
                wall=loop.wall,
                chance=random.Random(seed).random,
            )
            ended = await dispatcher.run(requests)
            claims = {k for k, o in ended.items() if o.status is RowStatus.APPLIED}
            known = {request.key: request.body for request in requests}
            false += sum(known[key] not in model.acknowledged for key in claims)
            false += journal.outcomes != ended
            false += len(model.arrivals) - sent > sum(journal.intents.values())
            most = max(most, *journal.intents.values())
            here = Counter(outcome.status for outcome in ended.values())
            if dispatcher.stopped:
                assert dispatcher.stopped.reason in {"outage", "maintenance"}
                left += here[RowStatus.NOT_SENT]
            statuses += here
            total += rows
            earlier = [stamp - loop.wall() + loop.time() for stamp in journal.stamps[-1000:]]
        return Simulated(model, loop.time() / 3600.0, total, statuses, left, false, most)

    return run(main)


ROWS = 20_000
GIVEN_UP = {"30 % brown-out": 5}
"""Rows of 20,000 that a scenario may cost; otherwise none."""
SENDS = {"30 % brown-out": 1.6, "limit cut to 300": 1.1, "limit shared": 1.1}
"""Sends for each row that a scenario may take; otherwise 1.01."""


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_twenty_thousand_rows_come_through_any_scenario(
    scenario: str, record_property: Record
) -> None:
    done = simulate(SCENARIOS[scenario], ROWS)

    record_property(f"rows of 20,000 given up, {scenario}", done.given_up)
    record_property(f"sends for each row, {scenario}", f"{done.sends_per_row:.3f}")
    record_property("simulated hours", done.hours)
    record_property("limit violations over simulated hours", done.violations)
    assert done.given_up <= GIVEN_UP.get(scenario, 0)
    assert done.sends_per_row <= SENDS.get(scenario, 1.01)
    assert done.violations == 0


@pytest.mark.slow
def test_three_hours_of_mixed_faults_break_no_promise(record_property: Record) -> None:
    day(seed=7, record_property=record_property, hours=3.0)


@pytest.mark.long
@pytest.mark.parametrize("seed", [7, *range(100, 109)])
def test_days_of_mixed_faults_break_no_promise(seed: int, record_property: Record) -> None:
    day(seed=seed, record_property=record_property)


def day(*, seed: int, record_property: Record, hours: float = 24.0) -> None:
    done = simulate(mixed_periods(hours, seed), 20_000, hours=hours, seed=seed)

    record_property("simulated hours", done.hours)
    record_property("limit violations over simulated hours", done.violations)
    assert done.hours >= hours
    assert done.violations == 0
    assert done.most_sends <= 20 + 60
    assert done.given_up <= 1e-3 * done.rows
