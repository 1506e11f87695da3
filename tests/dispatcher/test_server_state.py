"""What answers tell about ClassIn's time: whose count, and when a single one does."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

import pytest

from bulkcast.dispatcher.server_state import ServerState
from bulkcast.dispatcher.tracker import RequestState
from bulkcast.endpoints import WEBCAST
from bulkcast.model import RowStatus, Stop, Text
from bulkcast.pacing import Pacer
from bulkcast.protocol import Reply, judge
from tests.dispatcher_harness import request

WALL = 1_803_859_200.0
HOUR = 3600.0
T = TypeVar("T")


def server_state() -> ServerState:
    pacer = Pacer(1.0, None)
    return ServerState(
        WEBCAST, pacer, wall=lambda: WALL, chance=lambda: 0.0, max_throttled_s=2700.0
    )


def ask_of(server: ServerState, reply: Reply) -> Stop | None:
    return server.learn_time(judge(reply, WEBCAST, now=WALL), reply, 0.0)


def says(code: int, date: float | None = WALL) -> Reply:
    return Reply(200, b'{"code": %d, "msg": ""}' % code, date)


def shown(ask: Callable[[ServerState], T]) -> T:
    """What `ask` returns inside an event loop, whose clock the server state uses."""

    async def main() -> T:
        return ask(server_state())

    return asyncio.run(main())


@pytest.mark.parametrize(
    "foreign",
    [
        Reply(200, b"<html>log in first</html>", WALL + HOUR),
        Reply(200, b"", WALL + HOUR),
        Reply(302, b"", WALL + HOUR, location="http://portal.example/"),
        Reply(503, b"", WALL + HOUR),
        Reply(407, b"", WALL + HOUR),
    ],
    ids=lambda reply: str(reply.status),
)
def test_the_clock_of_whoever_answers_in_classins_place_is_does_not_count(foreign: Reply) -> None:
    def ask(server: ServerState) -> list[object]:
        ask_of(server, foreign)
        state = RequestState(request(2, locks_at=int(WALL + 600)))
        server.learn(state, judge(foreign, WEBCAST, now=WALL), foreign, 0.0, is_probe=True)
        return [server.server_time, server.clock.offset, server.outcome_without_sending(state, 0.0)]

    assert shown(ask) == [WALL, 0.0, None]


@pytest.mark.parametrize("code", [1, 101002006, 101002005, 121601031])
def test_what_classin_says_itself_tells_its_time(code: int) -> None:
    def ask(server: ServerState) -> float:
        ask_of(server, says(code, WALL + HOUR))
        return server.server_time

    assert shown(ask) == pytest.approx(WALL + HOUR, abs=1.0)


def test_remarks_on_a_clock_that_keeps_jumping_are_limited() -> None:
    def ask(server: ServerState) -> list[Text]:
        for n in range(500):
            ask_of(server, says(1, WALL + HOUR * (n % 2)))
        return server.remarks

    remarks = shown(ask)

    assert len(remarks) <= 11
    assert any("told no more" in str(remark) for remark in remarks)


def test_a_stamp_refused_by_one_who_tells_no_time_stops_the_run_before_rows_are_too_late() -> None:
    def ask(server: ServerState) -> Stop | None:
        return ask_of(server, says(101002006, date=None))

    stop = shown(ask)
    assert stop is not None
    assert (stop.reason, stop.code, stop.exit_status) == ("clock", "101002006", 6)


@pytest.mark.parametrize("off", [HOUR, -HOUR])
def test_one_answer_with_another_time_changes_no_rows_outcome(off: float) -> None:
    def ask(server: ServerState) -> list[RowStatus | None]:
        late, soon = (
            RequestState(request(n, locks_at=int(WALL + s))) for n, s in ((2, -60), (3, 600))
        )
        for date in (WALL, WALL + 1, WALL + off):
            ask_of(server, says(1, date))
        ended = [server.outcome_without_sending(state, 0.0) for state in (late, soon)]
        return [outcome.status if outcome else None for outcome in ended]

    assert shown(ask) == [RowStatus.TOO_LATE, None]
