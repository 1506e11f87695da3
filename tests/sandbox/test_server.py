"""The sandbox over real HTTP: what it accepts, refuses, stores and logs, and its faults."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcast import protocol
from bulkcast.catalogue import ChoiceKind, IdListKind, Limit, Lock, Setting, TextKind
from bulkcast.endpoints import WEBCAST
from bulkcast.errors import CannotStart
from bulkcast.model import Credentials, Secret, Target
from bulkcast.sandbox import (
    SANDBOX_SECRET,
    SANDBOX_SID,
    Classroom,
    Keeper,
    KeepLog,
    PointInTime,
    Sandbox,
    World,
    parse_world,
    read_fault,
    read_script,
    read_world,
)
from tests.virtual_loop import VirtualLoop, run

NOW = 1_803_859_200.0
CREDENTIALS = Credentials(SANDBOX_SID, SANDBOX_SECRET)
ROOM = Target("activityId", 25096094)
BODY: dict[str, object] = {
    "activityId": ROOM.id,
    "recordState": 1,
    "recordType": 0,
    "liveState": 1,
    "openState": 1,
}
PARAMETER_ERROR, FOREIGN, DELETED, LOCKED, ENDED = 101001001, 121601031, 121601045, 350, 145


@dataclass
class Clock:
    """A clock that tests set by hand."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now


@dataclass
class LoopClock(Clock):
    """The clock of a loop in virtual time."""

    loop: VirtualLoop = field(kw_only=True)

    def __call__(self) -> float:
        return self.loop.wall()


@dataclass
class Visitor:
    """A client that sends requests to a sandbox."""

    sandbox: Sandbox
    root_url: str
    session: aiohttp.ClientSession
    clock: Clock

    async def post(
        self, body: object, *, headers: Mapping[str, str | None] | None = None, stamp: int = 0
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """Send `body`, rightly signed but for what `headers` replaces or, with None, drops."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        signed = body if isinstance(body, dict) else {}
        right: dict[str, str | None] = {
            **protocol.headers((), CREDENTIALS, stamp or int(self.clock())),
            "X-EEO-SIGN": protocol.signature(signed, CREDENTIALS, stamp or int(self.clock())),
        }
        sent = {name: v for name, v in (right | dict(headers or {})).items() if v is not None}
        url = self.root_url + WEBCAST.path
        async with self.session.post(
            url,
            data=raw,
            headers=sent,
            allow_redirects=False,
            skip_auto_headers=["Content-Type"],
        ) as answer:
            return answer.status, await answer.read(), answer.headers

    async def code(self, body: object, **more: Any) -> int:
        """The reply code that `body` gets."""
        _, raw, _ = await self.post(body, **more)
        code = json.loads(raw)["code"]
        assert type(code) is int
        return code


@asynccontextmanager
async def visiting(
    world: World | None = None, *, clock: Clock | None = None, **options: Any
) -> AsyncIterator[Visitor]:
    """A visitor to a sandbox that plays `world`."""
    clock = clock or Clock()
    sandbox = Sandbox(world or World(), secret=SANDBOX_SECRET, clock=clock, **options)
    timeout = aiohttp.ClientTimeout(total=1000)
    async with (
        sandbox.serving() as root_url,
        aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session,
    ):
        yield Visitor(sandbox, root_url, session, clock)


def scripted(*faults: str, **facts: Any) -> World:
    """A world with one classroom, whose requests meet `faults`."""
    room = Classroom((ROOM,), script=read_script(list(faults), WEBCAST), **facts)
    return World(classrooms=(room,))


# ------------------------------------------------------------------ access and limit


async def test_a_rightly_signed_request_is_applied_and_written_down() -> None:
    async with visiting() as visitor:
        status, raw, headers = await visitor.post(BODY)

        assert status == 200
        assert json.loads(raw).keys() == {"code", "msg", "data"}
        assert json.loads(raw)["code"] == 1
        assert headers["Date"] == "Mon, 01 Mar 2027 00:00:00 GMT"
        [received] = visitor.sandbox.log
        assert (received.number, received.at, received.sid) == (1, NOW, SANDBOX_SID)
        assert (received.target, received.body) == (ROOM, BODY)
        assert (received.answer, received.applied) == ("1", True)
        assert received.timestamp == int(NOW)


async def test_a_parameter_changed_on_the_way_breaks_the_signature() -> None:
    async with visiting() as visitor:
        sign = protocol.signature(BODY | {"liveState": 0}, CREDENTIALS, int(NOW))

        assert await visitor.code(BODY, headers={"X-EEO-SIGN": sign}) == 101002005


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"X-EEO-SIGN": None}, 101002005),
        ({"X-EEO-SIGN": ""}, 101002005),
        ({"X-EEO-SIGN": "0" * 32}, 101002005),
        ({"X-EEO-SIGN": "é"}, 101002005),
        ({"X-EEO-UID": None}, 101002005),
        ({"X-EEO-UID": "1000082"}, 101002005),
        ({"X-EEO-TS": None}, 101002008),
        ({"X-EEO-TS": ""}, 101002008),
        ({"X-EEO-TS": "now"}, 101002006),
        ({"X-EEO-TS": "9" * 5000}, 101002006),
        ({"Content-Type": None}, PARAMETER_ERROR),
        ({"Content-Type": "text/plain"}, PARAMETER_ERROR),
        ({"Content-Type": "application/json; charset=utf-8"}, 1),
    ],
)
async def test_every_header_is_checked(headers: dict[str, str | None], code: int) -> None:
    async with visiting() as visitor:
        assert await visitor.code(BODY, headers=headers) == code
        assert [received.applied for received in visitor.sandbox.log] == [code == 1]


async def test_another_secret_is_refused() -> None:
    other = Credentials(SANDBOX_SID, Secret(SANDBOX_SID))
    async with visiting() as visitor:
        sign = protocol.signature(BODY, other, int(NOW))

        assert await visitor.code(BODY, headers={"X-EEO-SIGN": sign}) == 101002005


@pytest.mark.parametrize(
    ("off", "code"), [(300, 1), (-300, 1), (301, 101002006), (-301, 101002006)]
)
async def test_a_stamp_counts_for_five_minutes_either_way(off: int, code: int) -> None:
    async with visiting() as visitor:
        assert await visitor.code(BODY, stamp=int(NOW) + off) == code


async def test_the_servers_clock_can_be_wrong_and_says_so_in_its_date() -> None:
    async with visiting(clock_offset_s=600.0) as visitor:
        _, raw, headers = await visitor.post(BODY)

        assert json.loads(raw)["code"] == 101002006
        assert headers["Date"] == "Mon, 01 Mar 2027 00:10:00 GMT"
        assert await visitor.code(BODY, stamp=int(NOW) + 600) == 1


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", WEBCAST.path, 405), ("POST", "/", 404), ("POST", WEBCAST.path + "/", 404)],
)
async def test_only_a_post_to_the_endpoints_path_is_heard(
    method: str, path: str, status: int
) -> None:
    async with visiting() as visitor:
        async with visitor.session.request(method, visitor.root_url + path) as answer:
            assert answer.status == status
        assert visitor.sandbox.log == []


async def test_a_port_that_is_taken_is_one_sentence() -> None:
    async with visiting() as visitor:
        port = int(visitor.root_url.rpartition(":")[2])
        second = Sandbox(World(), secret=SANDBOX_SECRET)

        with pytest.raises(CannotStart, match=f"port {port}"):
            await second.serving(port=port).__aenter__()


# ------------------------------------------------------------------ form and rules

WRONG_FOR_EVERY_KIND: list[object] = [True, False, None, 1.0, [1.0], {}, {"a": 1}, [True], [[1]]]


def wrong_values(column: Setting) -> list[object]:
    """Values that no strictly typed reader takes for `column`."""
    match column.kind:
        case TextKind():
            return [*WRONG_FOR_EVERY_KIND, 1, [1]]
        case IdListKind():
            return [*WRONG_FOR_EVERY_KIND, 1, "1", ["1"], [0], [-1], [2**63]]
        case ChoiceKind():
            beyond = max(choice.value for choice in column.kind.choices) + 1
            return [*WRONG_FOR_EVERY_KIND, "1", "", [1], -1, beyond]
        case _:
            return [*WRONG_FOR_EVERY_KIND, "1", "", [1], -1, 2**63]


@pytest.mark.parametrize("column", WEBCAST.parameters, ids=lambda column: column.key)
async def test_every_parameter_is_strictly_typed(column: Setting) -> None:
    async with visiting(World(limit=None)) as visitor:
        for value in wrong_values(column):
            assert await visitor.code(BODY | {column.key: value}) == PARAMETER_ERROR, value
        assert visitor.sandbox.state == {}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"activityId":1,"activityId":2,"recordState":1}',
        b'{"activityId":' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b"\xff\xfe",
        {},
        {"recordState": 1},
        {"courseId": 1, "recordState": 1},
        {"activityId": 0, "recordState": 1},
        {"activityId": 1},
        {"activityId": 1, "classId": 2, "courseId": 3},
        {"activityId": 1, "recordState": 1, "RecordState": 1},
        {"activityId": 1, "recordState": 1, "startTime": 1},
        {"activityId": 1, "recordState": 1, "key": "x"},
    ],
    ids=repr,
)
async def test_a_body_that_is_not_whole_and_known_is_a_parameter_error(body: object) -> None:
    async with visiting() as visitor:
        assert await visitor.code(body) == PARAMETER_ERROR


async def test_half_a_surrogate_pair_is_refused_and_not_a_crash() -> None:
    async with visiting() as visitor:
        raw = b'{"activityId":1,"customColumn":"\\ud83d"}'

        assert await visitor.code(raw) == 101002005


async def test_the_activity_wins_over_the_classroom() -> None:
    async with visiting() as visitor:
        assert await visitor.code({"classId": 2, "activityId": 1, "watchByLogin": 1}) == 1

        assert visitor.sandbox.settings_of(Target("activityId", 1)) == {"watchByLogin": 1}
        assert visitor.sandbox.settings_of(Target("classId", 2)) == {}


async def test_what_is_not_sent_stays_as_it_was() -> None:
    async with visiting() as visitor:
        await visitor.code(BODY)
        visitor.clock.now += 60
        await visitor.code({"activityId": ROOM.id, "openState": 0, "watchPassword": ""})

        held = visitor.sandbox.state[ROOM]
        assert visitor.sandbox.settings_of(ROOM) == {
            "recordState": 1,
            "recordType": 0,
            "liveState": 1,
            "openState": 0,
            "watchPassword": "",
        }
        assert (held["liveState"].at, held["liveState"].by) == (NOW, 1)
        assert (held["openState"].at, held["openState"].by) == (NOW + 60, 2)


async def test_long_texts_are_cut_without_a_word() -> None:
    texts = {c.key: c.kind.cut_at for c in WEBCAST.settings if isinstance(c.kind, TextKind)}
    async with visiting() as visitor:
        body = {"activityId": ROOM.id, **dict.fromkeys(texts, "课" * 2000)}

        assert await visitor.code(body) == 1
        kept = {k: len(str(v)) for k, v in visitor.sandbox.settings_of(ROOM).items()}
        assert kept == {key: cut or 2000 for key, cut in texts.items()}


# ------------------------------------------------------------------ classrooms


async def test_ids_that_are_not_listed_are_plain_classrooms_only_in_an_open_world() -> None:
    async with visiting(World(open=False)) as visitor:
        assert await visitor.code(BODY) == FOREIGN


@pytest.mark.parametrize(
    ("facts", "changed", "code"),
    [
        ({"foreign": True}, {}, FOREIGN),
        ({"deleted": True}, {}, DELETED),
        ({"context": (("courseId", 7),)}, {"courseId": 7}, 1),
        ({"context": (("courseId", 7),)}, {}, 1),
        ({"context": (("courseId", 7),)}, {"courseId": 8}, 142),
        ({}, {"liveState": 1, "recordState": 0, "openState": 0}, 122301037),
        ({}, {"liveState": 0, "recordState": 0, "openState": 1}, 122301037),
        ({}, {"liveState": 0, "recordState": 0, "openState": 0}, 1),
        ({}, {"useCoMainRecord": 0}, 121604008),
        ({"dual_teacher": True}, {"useCoMainRecord": 0}, 1),
        ({"dual_teacher": True}, {"useCoMainRecord": 1}, 122301037),
    ],
)
async def test_facts_and_rules_decide(
    facts: dict[str, Any], changed: dict[str, object], code: int
) -> None:
    async with visiting(scripted(**facts)) as visitor:
        assert await visitor.code(BODY | changed) == code
        assert (ROOM in visitor.sandbox.state) == (code == 1)


async def test_a_classroom_may_be_named_by_either_of_its_ids() -> None:
    lesson = Target("classId", 7)
    world = World(open=False, classrooms=(Classroom((ROOM, lesson)),))
    async with visiting(world) as visitor:
        assert await visitor.code({"classId": 7, "watchByLogin": 1}) == 1

        assert visitor.sandbox.settings_of(ROOM) == visitor.sandbox.settings_of(lesson)
        assert list(visitor.sandbox.state) == [ROOM]


FEATURES = sorted({key for reply in WEBCAST.replies for key in reply.features})


@pytest.mark.parametrize("feature", FEATURES)
async def test_what_the_institution_lacks_cannot_be_switched_on_but_off(feature: str) -> None:
    codes = [reply.code for reply in WEBCAST.replies if feature in reply.features]
    body = {"activityId": ROOM.id, feature: 1}
    async with visiting(World(lacks=frozenset({feature}), first_whole=False)) as visitor:
        assert await visitor.code(body) == codes[0]
        assert await visitor.code(body | {feature: 0}) == 1


@pytest.mark.parametrize(
    ("before_s", "code"), [(1201, 1), (1200, LOCKED), (0, LOCKED), (-2700, ENDED)]
)
@pytest.mark.parametrize("column", WEBCAST.settings, ids=lambda column: column.key)
async def test_every_setting_locks_when_the_table_says(
    column: Setting, before_s: int, code: int
) -> None:
    value: Any = [1] if isinstance(column.kind, IdListKind) else 0
    value = "x" if isinstance(column.kind, TextKind) else value
    facts = scripted(starts=PointInTime(NOW + before_s), dual_teacher=True)
    world = replace(facts, first_whole=False)
    async with visiting(world) as visitor:
        answered = await visitor.code({"activityId": ROOM.id, column.key: value})

        assert answered == (1 if column.lock is Lock.NEVER else code)


async def test_playback_of_a_recorded_class_never_locks() -> None:
    playback = {"activityId": ROOM.id, "openState": 1}
    async with visiting(scripted(starts=PointInTime(NOW), recorded=True)) as visitor:
        assert await visitor.code(playback) == 1
    async with visiting(scripted(starts=PointInTime(3600, since_start=True))) as visitor:
        assert await visitor.code(BODY) == 1
        visitor.clock.now += 3600
        assert await visitor.code({"activityId": ROOM.id, "liveState": 0}, stamp=0) == LOCKED
        assert await visitor.code(playback) == 1


async def test_a_part_of_a_group_is_refused_only_where_the_world_says_so() -> None:
    part = {"activityId": ROOM.id, "recordState": 1}
    async with visiting(World(first_whole=False)) as visitor:
        assert await visitor.code(part) == 1
    async with visiting(World()) as visitor:
        assert await visitor.code(part) == 122301037
        assert await visitor.code(BODY) == 1
        assert await visitor.code(part) == 1
    async with visiting(World(whole_groups=True)) as visitor:
        assert await visitor.code(part) == 122301037
        assert await visitor.code(BODY) == 1
        assert await visitor.code(part) == 122301037


@pytest.mark.parametrize("key", ["liveState", "openState"])
async def test_live_and_playback_are_refused_where_recording_is_off(key: str) -> None:
    room = {"activityId": ROOM.id}
    off = {"recordState": 0, "recordType": 0, "liveState": 0, "openState": 0}
    async with visiting(World()) as visitor:
        assert await visitor.code(room | off) == 1
        assert await visitor.code(room | {key: 1}) == 122301037
        assert await visitor.code(room | {"recordState": 1}) == 1
        assert await visitor.code(room | {key: 1}) == 1


async def test_a_sandbox_goes_on_from_what_its_keeper_has(tmp_path: Path) -> None:
    path = tmp_path / "world.jsonl"
    async with visiting(World(), keeper=Keeper(path)) as visitor:
        assert await visitor.code(BODY) == 1
    with path.open("ab") as file:
        file.write(b'\n[["activityId", 7], {"recor')  # cut off in the middle
    async with visiting(World(), keeper=Keeper(path)) as visitor:
        assert visitor.sandbox.settings_of(ROOM)["recordState"] == BODY["recordState"]
        assert await visitor.code({"activityId": ROOM.id, "liveState": 0}) == 1
    async with visiting(World(), keeper=Keeper(path)) as visitor:
        assert visitor.sandbox.settings_of(ROOM)["liveState"] == 0
    assert path.stat().st_mode & 0o077 == 0 or os.name == "nt"


async def test_more_than_the_limit_in_any_window_is_refused() -> None:
    async with visiting(World(limit=Limit(3, 60.0, "this test"))) as visitor:
        codes = []
        for second in (0, 10, 20, 30, 59, 60, 61, 70):
            visitor.clock.now = NOW + second
            codes.append(await visitor.code(BODY))

        often = 101003001
        assert codes == [1, 1, 1, often, often, 1, often, 1]
        assert [r.applied for r in visitor.sandbox.log] == [code == 1 for code in codes]


# ------------------------------------------------------------------ faults

LOST = aiohttp.ClientError
APPLIED = [True, False]


@pytest.mark.parametrize("applied", APPLIED)
@pytest.mark.parametrize("fault", ["reset", "close", "truncated", "hang:0.05"])
async def test_a_connection_ends_without_a_whole_answer(fault: str, applied: bool) -> None:
    spelled = f"{fault}:applied" if applied else fault
    async with visiting(scripted(spelled)) as visitor:
        with pytest.raises(LOST):
            await visitor.post(BODY)

        [received] = visitor.sandbox.log
        assert (received.answer, received.applied) == (spelled, applied)
        assert bool(visitor.sandbox.state) == applied
        assert await visitor.code(BODY) == 1


@pytest.mark.parametrize(
    ("fault", "status", "begins"),
    [
        ("http:500", 500, b"<html>"),
        ("http:901", 901, b"<html>"),
        ("code:104", 200, b'{"code":104,'),
        ("code:987654", 200, b'{"code":987654,'),
        ("html", 200, b"<html>"),
        ("empty", 200, b""),
        ("cut", 200, b'{"code":1,"msg":"Execut'),
        ("redirect", 302, b""),
        ("redirect:308", 308, b""),
        ("wrong_type", 200, b'{"code":true,'),
        ("wrong_type:float", 200, b'{"code":1.0,'),
        ("wrong_type:list", 200, b'{"code":[1],'),
        ("wrong_type:missing", 200, b'{"msg":'),
        ("garbage:nan", 200, b'{"code":1,"data":NaN}'),
        ("big:70000", 200, b"x" * 70_000),
        ("gzip:1000000", 200, b"\x1f\x8b"),
    ],
)
async def test_a_fault_answers_in_classins_place(fault: str, status: int, begins: bytes) -> None:
    async with visiting(scripted(fault, f"{fault}:applied")) as visitor:
        answered, raw, _ = await visitor.post(BODY)

        assert answered == status
        assert raw.startswith(begins)
        assert visitor.sandbox.state == {}
        await visitor.post(BODY)
        assert ROOM in visitor.sandbox.state
        assert [r.answer for r in visitor.sandbox.log] == [fault, f"{fault}:applied"]


@pytest.mark.parametrize("fault", ["code:1", "code:121601002", "wrong_type:text"])
async def test_an_answer_that_claims_success_is_true(fault: str) -> None:
    async with visiting(scripted(f"{fault}*")) as visitor:
        await visitor.post(BODY)
        assert visitor.sandbox.log[-1].applied
        assert await visitor.code(BODY | {"liveState": 2}) == PARAMETER_ERROR


async def test_a_hint_travels_with_its_fault() -> None:
    world = scripted("http:503:retry_after=7", "redirect:location=http://127.0.0.1:9/?a=1:b")
    async with visiting(world) as visitor:
        _, _, first = await visitor.post(BODY)
        _, _, second = await visitor.post(BODY)

        assert first["Retry-After"] == "7"
        assert second["Location"] == "http://127.0.0.1:9/?a=1:b"


async def test_a_script_is_met_step_by_step_and_only_its_star_repeats() -> None:
    async with visiting(scripted("code:104", "ok", "code:253*")) as visitor:
        assert [await visitor.code(BODY) for _ in range(5)] == [104, 1, 253, 253, 253]
    async with visiting(scripted("code:104")) as visitor:
        assert [await visitor.code(BODY) for _ in range(3)] == [104, 1, 1]


async def test_a_request_without_access_does_not_advance_the_script() -> None:
    async with visiting(scripted("code:104")) as visitor:
        await visitor.code(BODY, headers={"X-EEO-SIGN": "0"})

        assert await visitor.code(BODY) == 104


def test_a_slow_request_is_judged_when_it_gets_there() -> None:
    async def codes(loop: VirtualLoop) -> list[int]:
        async with visiting(scripted("slow:299", "slow:302"), clock=LoopClock(loop=loop)) as there:
            return [await there.code(BODY) for _ in range(2)]

    assert run(codes) == [1, 101002006]


@pytest.mark.parametrize(("held_s", "applied"), [(299, True), (302, False)])
def test_a_ghost_writes_after_its_connection_is_gone_until_its_stamp_expires(
    held_s: int, applied: bool
) -> None:
    async def haunted(loop: VirtualLoop) -> Sandbox:
        world = scripted(f"ghost:{held_s}")
        async with visiting(world, clock=LoopClock(loop=loop)) as visitor:
            with pytest.raises(LOST):
                await visitor.post(BODY)
            await visitor.code(BODY | {"openState": 0})
            await visitor.sandbox.until(received=2)
            return visitor.sandbox

    sandbox = run(haunted)

    assert [r.applied for r in sandbox.log] == [True, applied]
    assert sandbox.log[1].acted_at - sandbox.log[1].at == pytest.approx(held_s)
    assert sandbox.settings_of(ROOM)["openState"] == (1 if applied else 0)


async def test_a_drip_is_a_right_answer_in_single_bytes() -> None:
    async with visiting(scripted("drip:0")) as visitor:
        assert await visitor.code(BODY) == 1


async def test_a_smuggled_answer_follows_the_right_one_on_the_wire() -> None:
    async with visiting(scripted("smuggle")) as visitor:
        host, port = visitor.root_url.removeprefix("http://").split(":")
        raw = json.dumps(BODY).encode()
        headers = protocol.headers(tuple(BODY.items()), CREDENTIALS, int(NOW))  # type: ignore[arg-type] # the values are integers
        lines = [f"POST {WEBCAST.path} HTTP/1.1", "Host: x", f"Content-Length: {len(raw)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write("\r\n".join([*lines, "", ""]).encode() + raw)

        wire = await reader.readuntil(b'\r\n\r\n{"code":1}')
        writer.close()
        await writer.wait_closed()

        assert wire.count(b"HTTP/1.1 200 OK") == 2


async def test_a_throttle_asks_everybody_for_silence() -> None:
    other = BODY | {"activityId": 1}
    async with visiting(scripted("throttle:3", "code:104")) as visitor:
        codes = [await visitor.code(body) for body in (other, BODY, other, BODY)]
        visitor.clock.now += 3
        codes += [await visitor.code(body) for body in (other, BODY)]

        assert codes == [1, 101003001, 101003001, 101003001, 1, 104]


async def test_a_fault_for_all_is_met_by_every_request_until_it_is_cleared() -> None:
    async with visiting() as visitor:
        visitor.sandbox.fault_for_all = read_fault("http:503", WEBCAST)
        faulty = await visitor.post(BODY)
        visitor.sandbox.fault_for_all = None

        assert faulty[0] == 503
        assert await visitor.code(BODY) == 1


async def random_faults_of(world: World, order: list[int]) -> dict[int, list[str]]:
    async with visiting(world) as visitor:
        for target in order:
            await visitor.code(BODY | {"activityId": target})
        log = visitor.sandbox.log
    return {t: [r.answer for r in log if r.target == Target("activityId", t)] for t in set(order)}


async def test_random_faults_depend_on_seed_and_classroom_not_on_order() -> None:
    codes = tuple(read_fault(text, WEBCAST) for text in ("code:104", "code:253:applied"))
    world = World(fault_rate=0.3, seed=7, random_faults=codes)
    order = [target for target in range(1, 41) for _ in range(5)]
    backwards = order[::-1]

    straight = await random_faults_of(world, order)

    assert straight == await random_faults_of(world, backwards)
    assert straight != await random_faults_of(replace(world, seed=8), order)
    bad = sum(answer != "1" for answers in straight.values() for answer in answers)
    assert 40 <= bad <= 80


async def test_without_a_log_the_state_is_kept_all_the_same() -> None:
    async with visiting(keep_log=KeepLog.NONE) as visitor:
        await visitor.code(BODY)

        assert visitor.sandbox.log == []
        assert visitor.sandbox.received == 1
        assert ROOM in visitor.sandbox.state


async def test_closing_does_not_wait_for_a_hanging_request() -> None:
    async with asyncio.timeout(5):
        async with visiting(scripted("hang:600")) as visitor:
            hanging = asyncio.create_task(visitor.post(BODY))
            await visitor.sandbox.until(received=1)
        with pytest.raises(LOST):
            await hanging


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01",
        b"GET\r\n\r\n",
        b"POST " + WEBCAST.path.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{",
        b"POST " + WEBCAST.path.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST " + WEBCAST.path.encode() + b" HTTP/1.1\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
    ],
    ids=["a TLS greeting", "no path", "half a body", "a negative length", "a long header"],
)
async def test_bytes_that_are_no_request_disturb_nobody(
    sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with visiting() as visitor:
        port = int(visitor.root_url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        writer.write_eof()
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

        assert await visitor.code(BODY) == 1
    assert "Traceback" not in caplog.text


def test_the_log_does_not_print_what_was_sent() -> None:
    async def log() -> str:
        async with visiting() as visitor:
            await visitor.code({"activityId": 1, "watchPassword": "hunter2"})
            return repr(visitor.sandbox.log)

    assert "hunter2" not in asyncio.run(log())


# ------------------------------------------------------------------ world files


def test_a_world_file_says_all_that_a_world_can(tmp_path: Path) -> None:
    file = tmp_path / "world.json"
    told = {
        "sid": "12345678",
        "lacks": ["liveState"],
        "open": False,
        "whole_groups": True,
        "latency": 0.5,
        "limit": {"calls": 10, "per_s": 1},
        "fault_rate": 0.25,
        "seed": 9,
        "random_faults": ["code:104"],
        "classrooms": [
            {"activityId": 1, "classId": 2, "courseId": 3, "starts_in": -60, "ends_in": 9},
            {"activityId": 4, "starts_at": NOW, "deleted": True, "foreign": True},
            {"classId": 5, "dual_teacher": True, "recorded": True, "faults": ["reset", "html*"]},
        ],
    }
    file.write_text(json.dumps(told), encoding="utf-8-sig")

    world = read_world(file)

    assert world == World(
        sid="12345678",
        lacks=frozenset({"liveState"}),
        open=False,
        whole_groups=True,
        latency_s=0.5,
        limit=Limit(10, 1.0, "the world"),
        fault_rate=0.25,
        seed=9,
        random_faults=(read_fault("code:104", WEBCAST),),
        classrooms=(
            Classroom(
                (Target("activityId", 1), Target("classId", 2)),
                (("courseId", 3),),
                PointInTime(-60.0, since_start=True),
                PointInTime(9.0, since_start=True),
            ),
            Classroom(
                (Target("activityId", 4),), starts=PointInTime(NOW), deleted=True, foreign=True
            ),
            Classroom(
                (Target("classId", 5),),
                dual_teacher=True,
                recorded=True,
                script=read_script(["reset", "html*"], WEBCAST),
            ),
        ),
    )
    assert world.classrooms[2].script.repeats_last


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "top: an object"),
        ('{"side": "1"}', "side: one of sid"),
        ('{"sid": 99000001}', "sid: a text of digits"),
        ('{"lacks": ["watchByLogin"]}', "lacks: some of"),
        ('{"lacks": "liveState"}', "lacks: a list of texts"),
        ('{"open": 1}', "open: true or false"),
        ('{"latency": -1}', "latency: 0 to 3600"),
        ('{"latency": NaN}', "latency: 0 to 3600"),
        ('{"limit": {"calls": 3}}', "limit: null, or"),
        ('{"limit": {"calls": 0, "per_s": 1}}', "limit.calls: 1 to"),
        ('{"fault_rate": 2}', "fault_rate: 0 to 1"),
        ('{"fault_rate": true}', "fault_rate: 0 to 1"),
        ('{"random_faults": ["rain"]}', "random_faults: rain is no fault; those are ok, http"),
        ('{"classrooms": {}}', "classrooms: a list"),
        ('{"classrooms": [7]}', r"classrooms\[0\]: an object"),
        ('{"classrooms": [{}]}', r"classrooms\[0\]: activityId or classId"),
        ('{"classrooms": [{"activityId": "7"}]}', r"classrooms\[0\].activityId: an id"),
        ('{"classrooms": [{"activityId": true}]}', r"classrooms\[0\].activityId: an id"),
        ('{"classrooms": [{"activityId": 7, "begins": 1}]}', r"classrooms\[0\].begins: one of"),
        ('{"classrooms": [{"activityId": 7}, {"activityId": 7}]}', "activityId 7 is wanted once"),
        ('{"classrooms": [{"activityId": 7, "faults": ["reset*", "ok"]}]}', "must be the last"),
        ('{"classrooms": [{"activityId": 7, "faults": ["hang"]}]}', "does not fit hang"),
    ],
)
def test_a_world_file_that_is_wrong_is_refused_in_one_sentence(text: str, where: str) -> None:
    with pytest.raises(CannotStart, match=where) as raised:
        parse_world(text, name="world.json")

    assert str(raised.value).startswith("The world file world.json is ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [None, b"\xff\xff"])
def test_a_world_file_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "world.json"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(CannotStart, match=r"world\.json cannot be read"):
        read_world(file)


PIECES = ["http", "code", "hang", "reset", "wrong_type", "gzip", "redirect", ":", "::", "1", "1e9",
          "-1", "nan", "applied", "*", "retry_after=", "location=", "９", "\n"]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=6).map("".join))
def test_no_text_breaks_the_reading_of_faults(text: str) -> None:
    try:
        spelled = read_fault(text, WEBCAST).spelled
    except ValueError as exc:
        spelled, *_ = str(exc).split(" is no fault")

    assert spelled == text


# ------------------------------------------------------------------ several institutions


OTHER = Credentials("1000083", Secret("of the other one"))


def as_other(body: Mapping[str, object]) -> dict[str, str | None]:
    """The headers of a request that another institution has signed."""
    signature = protocol.signature(body, OTHER, int(NOW))
    return {**protocol.headers((), OTHER, int(NOW)), "X-EEO-SIGN": signature}


async def test_one_address_stands_for_several_institutions() -> None:
    other = World(sid=OTHER.sid, secret=OTHER.secret, limit=Limit(2, 60.0, "a test"))
    async with visiting(World(others=(other,))) as visitor:
        assert await visitor.code(BODY) == 1
        mine, theirs = visitor.sandbox, visitor.sandbox.others[OTHER.sid]
        assert not theirs.state
        changed = {**BODY, "recordType": 1}
        assert await visitor.code(changed, headers=as_other(changed)) == 1
        # Neither its secret nor its limit is the other's.
        wrong = {**as_other(changed), "X-EEO-SIGN": "0" * 32}
        assert await visitor.code(changed, headers=wrong) == 101002005
        assert await visitor.code(changed, headers=as_other(changed)) == 1
        assert await visitor.code(changed, headers=as_other(changed)) != 1
        assert await visitor.code(BODY) == 1
    assert (mine.settings_of(ROOM)["recordType"], theirs.settings_of(ROOM)["recordType"]) == (0, 1)
    assert (len(mine.log), len(theirs.log)) == (2, 4)


def test_a_world_file_may_have_other_institutions() -> None:
    text = '{"sid": "7", "secret": "s", "others": [{"sid": "8", "open": false}]}'
    world = parse_world(text, name="w.json")
    assert (world.sid, world.secret) == ("7", Secret("s"))
    assert world.of("8") == World(sid="8", open=False)
    assert world.of("9") == replace(world, sid="9")


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('{"others": {}}', "others: a list"),
        ('{"others": [7]}', "others[0]: an object"),
        ('{"others": [{"sid": 8}]}', "others[0].sid: a text of digits"),
        ('{"secret": ""}', "secret: a text"),
    ],
)
def test_other_institutions_that_make_no_sense_are_refused(text: str, where: str) -> None:
    with pytest.raises(CannotStart) as caught:
        parse_world(text, name="w.json")
    assert f"is wrong at {where}" in str(caught.value)
