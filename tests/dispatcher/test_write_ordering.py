"""Write ordering: no older request may be applied after a newer one was acknowledged."""

import asyncio
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcast.dispatcher import Progress
from bulkcast.dispatcher.write_ordering import PendingWrites, UnansweredAttempt, ahead_of
from bulkcast.model import Body, Request, RequestKey, RowStatus, Target
from bulkcast.pipeline import Control, RunReport, apply, prepare
from bulkcast.protocol import MARGIN_S, STAMP_LIFE_S
from bulkcast.sandbox import Received, World
from tests.dispatcher_harness import classroom, dispatch, request
from tests.measured_figures import Record
from tests.pipeline_harness import Harness, with_sandbox
from tests.sheets import FIRST_ID

ON: Body = (("recordState", 1),)
OFF: Body = (("recordState", 0),)
ROOM = Target("activityId", 7)
SECONDS = st.floats(0.0, 1e7)


class NeverWaits(PendingWrites):
    """Never waits: shows what happens without write ordering."""

    def not_before(self, target: Target, body: Body) -> float:
        return 0.0


# ------------------------------------------------------------------ the rule


@given(SECONDS, st.floats(-1000.0, 300.0))
def test_another_body_waits_until_the_stamp_is_refused(sent_at: float, ahead_s: float) -> None:
    pending = PendingWrites([UnansweredAttempt(ROOM, ON, sent_at, ahead_s)])

    assert pending.not_before(ROOM, OFF) == sent_at + STAMP_LIFE_S + max(0.0, ahead_s) + MARGIN_S


@given(st.lists(st.tuples(SECONDS, st.sampled_from([ON, OFF])), max_size=6))
def test_the_last_of_several_counts_and_the_same_body_never_does(
    sends: list[tuple[float, Body]],
) -> None:
    pending_writes = PendingWrites(UnansweredAttempt(ROOM, body, at) for at, body in sends)
    others = [at + STAMP_LIFE_S + MARGIN_S for at, body in sends if body != OFF]

    assert pending_writes.not_before(ROOM, OFF) == max(others, default=float("-inf"))
    assert pending_writes.not_before(Target("classId", 7), OFF) == float("-inf")


@given(st.floats(-290.0, 290.0), st.floats(-1e4, 1e4))
def test_a_stamp_is_as_far_ahead_as_classins_clock_is_behind_it(
    wrong_by: float, skew: float
) -> None:
    stamp = 1_803_859_200.0
    signed = stamp + skew + wrong_by

    assert ahead_of(stamp, signed, skew) == pytest.approx(max(0.0, wrong_by), abs=1e-6)
    assert ahead_of(stamp, signed, None) == STAMP_LIFE_S


# ------------------------------------------------------------------ within a run


def pairs(rows: Iterable[int]) -> Iterator[Request]:
    """For each classroom a request, and a dependent one with other settings."""
    for row in rows:
        first = request(row, ON)
        yield first
        yield replace(
            request(row, OFF),
            key=RequestKey(str(row + 20_000)),
            rows=(row + 20_000,),
            after=first.key,
        )


def stale(log: Sequence[Received]) -> list[Target]:
    """Classrooms at which an older request was applied after a newer one was acknowledged."""
    held = {r.target: dict(r.body or {})["recordState"] for r in log if r.applied and r.target}
    return [target for target, state in held.items() if state != 0]


def test_a_dependent_waits_until_the_older_request_can_no_longer_arrive(tmp_path: Path) -> None:
    world = World(first_whole=False, classrooms=(classroom(3, "ghost:200"),))
    dispatched = dispatch(tmp_path, [request(2, OFF), *pairs([3])], world)

    sent = [r for r in dispatched.log if r.target == request(3).target]
    first, again, other = sorted(sent, key=lambda r: r.at)
    assert (again.at - first.at) < 5.0, "the same body goes again at once"
    assert 305.0 <= other.at - first.at <= 312.0
    assert stale(dispatched.log) == []
    assert set(dispatched.statuses) == {RowStatus.APPLIED}
    (said,) = [r for r in dispatched.dispatcher.remarks if "unanswered" in r.template]
    assert (said.args["n"], said.args["longest"]) == ("1", "5")


def test_a_request_that_waits_for_an_older_one_delays_no_other(tmp_path: Path) -> None:
    target = request(3).target
    dispatched = dispatch(
        tmp_path,
        [request(3, OFF), *(request(row) for row in range(4, 40))],
        pending_writes=PendingWrites([UnansweredAttempt(target, request(3, ON).body, 0.0)]),
    )

    *others, last = dispatched.log
    assert last.target == target
    assert max(r.at for r in others) - dispatched.log[0].at < 5.0
    assert dispatched.elapsed_s == pytest.approx(305.0, abs=1.0)


def delays(seed: int, n: int) -> list[float]:
    """How long requests are held up: 5 s to 15 min, evenly on a logarithmic scale."""
    dice = random.Random(seed)
    return [5.0 * 180.0 ** dice.random() for _ in range(n)]


def delayed(folder: Path, pending_writes: PendingWrites, seed: int, n: int) -> Sequence[Received]:
    """The server's log of `n` classrooms whose first request is carried out late."""
    rows = range(3, n + 3)
    rooms = tuple(
        classroom(row, f"ghost:{delay:.1f}")
        for row, delay in zip(rows, delays(seed, n), strict=True)
    )
    requests = [request(2, OFF), *pairs(rows)]
    world = World(first_whole=False, classrooms=rooms)
    dispatched = dispatch(folder, requests, world, pending_writes=pending_writes, linger_s=1000.0)

    assert set(dispatched.statuses) == {RowStatus.APPLIED}
    assert sum(r.answer == "101002006" for r in dispatched.log) > n // 6, "ghosts came too late"
    return dispatched.log


def none_is_the_last_word(log: Sequence[Received], record_property: Record) -> None:
    last_words = len(stale(log))
    record_property("requests carried out late", sum(r.acted_at - r.at > 4.0 for r in log))
    record_property("ghost writes", last_words)
    assert last_words == 0


@pytest.mark.slow
def test_of_three_hundred_delayed_requests_none_is_the_last_word(
    tmp_path: Path, record_property: Record
) -> None:
    none_is_the_last_word(delayed(tmp_path, PendingWrites(), seed=4, n=300), record_property)


@pytest.mark.long
def test_of_ten_thousand_delayed_requests_none_is_the_last_word(
    tmp_path: Path, record_property: Record
) -> None:
    none_is_the_last_word(delayed(tmp_path, PendingWrites(), seed=6, n=10_000), record_property)


@pytest.mark.slow
def test_without_write_ordering_many_are(tmp_path: Path) -> None:
    assert len(stale(delayed(tmp_path, NeverWaits(), seed=4, n=300))) > 100


# ------------------------------------------------------------------ from one run to the next


def sheet(path: Path, rows: Iterable[int], state: int) -> Path:
    lines = [f"{FIRST_ID + row},{state},0,0,0" for row in rows]
    head = "activityId,recordState,recordType,liveState,openState"
    path.write_text("\n".join([head, *lines]), "utf-8")
    return path


@pytest.mark.slow
def test_what_a_run_left_on_its_way_is_waited_for_by_the_next(
    tmp_path: Path, record_property: Record
) -> None:
    """Three hundred rows, applied at their second try; the first ones are still on their way."""
    rows = range(2, 302)
    older, newer = sheet(tmp_path / "1.csv", rows, 1), sheet(tmp_path / "2.csv", rows, 0)
    rooms = tuple(
        classroom(row, f"ghost:{delay:.1f}")
        for row, delay in zip(rows[1:], delays(5, 299), strict=True)
    )

    async def main(harness: Harness) -> tuple[list[RunReport], Sequence[Received]]:
        reports = [await harness.apply(prepare(older)), await harness.apply(prepare(newer))]
        await asyncio.sleep(1000.0)
        return reports, harness.log

    reports, log = with_sandbox(tmp_path, main, World(classrooms=rooms))

    assert [report.counts[RowStatus.APPLIED] for report in reports] == [300, 300]
    none_is_the_last_word(log, record_property)
    assert reports[1].elapsed_s == pytest.approx(305.0, abs=30.0)


def test_the_same_again_does_not_wait(tmp_path: Path) -> None:
    older, again = sheet(tmp_path / "1.csv", [2, 3], 1), sheet(tmp_path / "2.csv", [2, 3], 1)

    async def main(harness: Harness) -> RunReport:
        await harness.apply(prepare(older))
        return await harness.apply(prepare(again))

    world = World(classrooms=(classroom(2, "ghost:100"), classroom(3, "ghost:100")))
    assert with_sandbox(tmp_path, main, world).elapsed_s < 1.0


def test_a_run_torn_down_in_flight_is_waited_for_too(tmp_path: Path) -> None:
    """Nobody knows what became of it, nor how far ClassIn's clock was off: ten minutes."""
    older, newer = sheet(tmp_path / "1.csv", [2], 1), sheet(tmp_path / "2.csv", [2], 0)

    async def main(harness: Harness) -> tuple[RunReport, Sequence[Received]]:
        first = asyncio.create_task(harness.apply(prepare(older)))
        await asyncio.sleep(1.0)
        first.cancel()
        await first
        return await harness.apply(prepare(newer)), harness.log

    report, log = with_sandbox(tmp_path, main, World(classrooms=(classroom(2, "slow:290"),)))

    assert report.counts[RowStatus.APPLIED] == 1
    assert report.elapsed_s == pytest.approx(604.0, abs=2.0)
    assert [dict(r.body or {})["recordState"] for r in log] == [1, 0]


def test_progress_tells_how_long_requests_wait_and_why(tmp_path: Path) -> None:
    older, newer = sheet(tmp_path / "1.csv", [2, 3], 1), sheet(tmp_path / "2.csv", [2, 3], 0)
    seen: list[Progress] = []

    async def main(harness: Harness) -> RunReport:
        await harness.apply(prepare(older))
        return await apply(prepare(newer), harness.config, watch=seen.append, parts=harness.parts)

    report = with_sandbox(tmp_path, main, World(classrooms=(classroom(3, "ghost:100"),)))

    waits = [look.held_back_s for look in seen if look.held_back == 1]
    assert 300.0 < waits[0] < 305.0
    assert waits[-1] < 1.0
    assert (seen[-1].held_back, seen[-1].held_back_s) == (0, 0.0)
    assert "these waited until ClassIn would refuse it: 1, for up to 5 min." in str(
        report.remarks[-1]
    )


# ------------------------------------------------------------------ superseded


def test_a_row_that_a_newer_run_has_set_is_not_sent_again(tmp_path: Path) -> None:
    older = sheet(tmp_path / "1.csv", [2, 3, 4], 1)
    newer = sheet(tmp_path / "2.csv", [3, 4], 0)

    async def main(harness: Harness) -> tuple[list[RunReport], Sequence[Received]]:
        control = Control()
        control.stop(130)
        first = await apply(prepare(older), harness.config, control=control, parts=harness.parts)
        second = await harness.apply(prepare(newer))
        return [first, second, await harness.resume(first.run)], harness.log

    world = World(classrooms=(classroom(4, "code:121601031*"),))
    (first, second, third), log = with_sandbox(tmp_path, main, world)

    assert first.counts[RowStatus.NOT_SENT] == 3
    applied, superseded, refused = third.rows
    assert (applied.status, superseded.status) == (RowStatus.APPLIED, RowStatus.SUPERSEDED)
    assert second.run in superseded.message
    assert refused.status is RowStatus.REJECTED, "the newer run was refused there, so it is sent"
    assert [dict(r.body or {})["recordState"] for r in log if r.target == request(3).target] == [0]
    assert third.exit_status == 3
