"""The ghost write: nothing older may land on a classroom after something newer was acknowledged."""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcast.fence import MARGIN_S, STAMP_LIFE_S, Doubt, Fence, ahead_of
from bulkcast.model import Body, Request, RequestKey, RowStatus, Target
from bulkcast.sandbox import Received, World
from tests.stage import classroom, play, request

ON: Body = (("recordState", 1),)
OFF: Body = (("recordState", 0),)
ROOM = Target("activityId", 7)
SECONDS = st.floats(0.0, 1e7)


class Open(Fence):
    """No fence at all: what happens without one."""

    def opens_at(self, target: Target, body: Body) -> float:
        return 0.0


# ------------------------------------------------------------------ the rule


@given(SECONDS, st.floats(-1000.0, 300.0))
def test_another_body_waits_until_the_stamp_is_refused(sent_at: float, ahead_s: float) -> None:
    opens_at = Fence([Doubt(ROOM, ON, sent_at, ahead_s)]).opens_at(ROOM, OFF)

    assert opens_at == sent_at + STAMP_LIFE_S + max(0.0, ahead_s) + MARGIN_S


@given(st.lists(st.tuples(SECONDS, st.sampled_from([ON, OFF])), max_size=6))
def test_the_last_of_several_counts_and_the_same_body_never_does(
    sends: list[tuple[float, Body]],
) -> None:
    fence = Fence(Doubt(ROOM, body, at) for at, body in sends)
    others = [at + STAMP_LIFE_S + MARGIN_S for at, body in sends if body != OFF]

    assert fence.opens_at(ROOM, OFF) == max(others, default=float("-inf"))
    assert fence.opens_at(Target("classId", 7), OFF) == float("-inf")


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
    """For each classroom a request, and one that must follow it and says otherwise."""
    for row in rows:
        first = request(row, ON)
        yield first
        yield replace(
            request(row, OFF), key=RequestKey(str(row + 1000)), rows=(row + 1000,), after=first.key
        )


def stale(log: Sequence[Received]) -> list[Target]:
    """Classrooms at which something older was carried out after something newer was answered."""
    held = {r.target: dict(r.body or {})["recordState"] for r in log if r.applied and r.target}
    return [target for target, state in held.items() if state != 0]


def test_a_follower_waits_until_the_older_request_can_no_longer_arrive(tmp_path: Path) -> None:
    world = World(classrooms=(classroom(3, "ghost:200"),))
    played = play(tmp_path, [request(2, OFF), *pairs([3])], world)

    sent = [r for r in played.log if r.target == request(3).target]
    first, again, other = sorted(sent, key=lambda r: r.at)
    assert (again.at - first.at) < 5.0, "the same body goes again at once"
    assert 305.0 <= other.at - first.at <= 312.0
    assert stale(played.log) == []
    assert set(played.statuses) == {RowStatus.APPLIED}
    (said,) = [r for r in played.dispatcher.remarks if "unanswered" in r.template]
    assert (said.args["n"], said.args["longest"]) == ("1", "5 min")


def test_whoever_waits_at_the_fence_holds_up_nobody_else(tmp_path: Path) -> None:
    target = request(3).target
    played = play(
        tmp_path,
        [request(3, OFF), *(request(row) for row in range(4, 40))],
        fence=Fence([Doubt(target, request(3, ON).body, 0.0)]),
    )

    *others, last = played.log
    assert last.target == target
    assert max(r.at for r in others) - played.log[0].at < 5.0
    assert played.elapsed_s == pytest.approx(305.0, abs=1.0)


def delays(seed: int, n: int) -> list[float]:
    """How long requests are held up: 5 s to 15 min, evenly on a logarithmic scale."""
    dice = random.Random(seed)
    return [5.0 * 180.0 ** dice.random() for _ in range(n)]


@pytest.mark.parametrize(("fence", "fenced"), [(Fence(), True), (Open(), False)])
def test_of_three_hundred_delayed_requests_none_is_the_last_word(
    tmp_path: Path, fence: Fence, fenced: bool
) -> None:
    rows = range(3, 303)
    rooms = tuple(
        classroom(row, f"ghost:{delay:.1f}")
        for row, delay in zip(rows, delays(4, 300), strict=True)
    )
    played = play(tmp_path, [request(2, OFF), *pairs(rows)], World(classrooms=rooms), fence=fence,
                  linger_s=1000.0)  # fmt: skip

    assert set(played.statuses) == {RowStatus.APPLIED}
    assert sum(r.answer == "101002006" for r in played.log) > 50, "ghosts came too late"
    if fenced:
        assert stale(played.log) == []
    else:
        assert len(stale(played.log)) > 100
