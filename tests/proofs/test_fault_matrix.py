"""The fault matrix: one cell for each thing that can go wrong, and when.

Every cell is a scenario with a real sheet, HTTP, ledger and result sheet; the auditor has to find
every promise kept, and the row that met the fault ends in the state that its cell names.
"""

import socket
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from bulkcast.catalogue import Limit
from bulkcast.client import Client
from bulkcast.endpoints import WEBCAST
from bulkcast.errors import BulkcastError
from bulkcast.model import Attempt, Body, Intent, Target
from bulkcast.pipeline import Parts
from bulkcast.protocol import NoReply, Reply
from bulkcast.sandbox import Sandbox, World, read_fault
from tests.audit import Evidence, verdict
from tests.dispatcher_harness import classroom
from tests.measured_figures import Record
from tests.mutants import Journal, keeping
from tests.scenario import Program, run_scenario, sheet, states
from tests.server_answers import ANSWERS, Answer
from tests.sheets import FIRST_ID
from tests.virtual_loop import VirtualLoop

ROWS = 12
MET_BY = 7
"""The row that meets the fault."""


@pytest.fixture(autouse=True)
def cell_counted(record_property: Record) -> None:
    """What the report adds up over the tests that pass."""
    record_property("fault cells passed", 1)


# ------------------------------------------------------------------ answers


NAMES = [f"{answer.number} {answer.fault}" for answer in ANSWERS]


def meets(folder: Path, answer: Answer, repeat: str) -> Evidence:
    term = sheet(folder / "term.csv", ROWS)
    world = World(classrooms=(classroom(MET_BY, f"{answer.fault}{repeat}"),))
    open_rows = 0 if repeat == "" and answer.passing else ROWS
    return run_scenario(folder, [Program(term)], world, open_rows=open_rows)


def sends(evidence: Evidence, row: int) -> int:
    target = Target("activityId", FIRST_ID + row)
    return sum(received.target == target for received in evidence.log)


@pytest.mark.parametrize(
    "answer",
    [a for a in ANSWERS if a.passing and a.sends > 1],
    ids=lambda a: f"{a.number} {a.fault}",
)
def test_one_bad_answer_costs_no_row(answer: Answer, tmp_path: Path) -> None:
    evidence = meets(tmp_path, answer, "")

    assert verdict(evidence) == []
    assert states(evidence) == ["applied"] * ROWS
    assert evidence.ended[-1].exit_status == 0


@pytest.mark.parametrize("answer", ANSWERS, ids=NAMES)
def test_a_row_that_meets_nothing_else_ends_as_it_must(answer: Answer, tmp_path: Path) -> None:
    evidence = meets(tmp_path, answer, "*")

    assert verdict(evidence) == []
    assert states(evidence)[MET_BY - 2] == answer.ends
    assert evidence.ended[-1].exit_status == answer.exit
    assert sends(evidence, MET_BY) == answer.sends
    if not answer.stops:
        assert Counter(states(evidence))["applied"] >= ROWS - 1


@pytest.mark.parametrize(
    "answer",
    [a for a in ANSWERS if a.passing and a.sends > 1],
    ids=lambda a: f"{a.number} {a.fault}",
)
def test_the_first_answer_of_all_may_be_bad(answer: Answer, tmp_path: Path) -> None:
    term = sheet(tmp_path / "term.csv", 4)
    evidence = run_scenario(
        tmp_path, [Program(term)], World(classrooms=(classroom(2, answer.fault),))
    )

    assert verdict(evidence) == []
    assert states(evidence) == ["applied"] * 4


@pytest.mark.parametrize(
    "answer",
    [a for a in ANSWERS if a.passing and a.sends > 1],
    ids=lambda a: f"{a.number} {a.fault}",
)
def test_a_program_killed_after_a_bad_answer_is_resumed(answer: Answer, tmp_path: Path) -> None:
    """The answer is there, and nobody wrote it down."""
    term = sheet(tmp_path / "term.csv", 5)
    programs = [Program(term, killed_at=("answered", 3)), Program()]
    evidence = run_scenario(tmp_path, programs, World(classrooms=(classroom(4, answer.fault),)))

    assert verdict(evidence) == []
    assert states(evidence) == ["applied"] * 5


# ------------------------------------------------------------------ the program dies

POINTS = ("intend", "intended", "sent", "answered", "record", "recorded")


@pytest.mark.parametrize("faults", [(), ("reset:applied",), ("code:104", "http:503")])
@pytest.mark.parametrize("nth", [1, 2, 11])
@pytest.mark.parametrize("point", POINTS)
def test_f01_killed_at_any_point_nothing_is_lost(
    point: str, nth: int, faults: tuple[str, ...], tmp_path: Path
) -> None:
    term = sheet(tmp_path / "term.csv", ROWS)
    rooms = tuple(classroom(row, *faults) for row in (2, 5, 12)) if faults else ()
    programs = [Program(term, killed_at=(point, nth)), Program(killed_at=(point, 1)), Program()]
    evidence = run_scenario(tmp_path, programs, World(latency_s=0.1, classrooms=rooms))

    assert evidence.crashes >= 1
    assert verdict(evidence) == []
    assert states(evidence) == ["applied"] * ROWS


@pytest.mark.parametrize("interrupts", [(0.0,), (0.3,), (0.3, 0.4), (0.05, 2.5), (3.0,)])
def test_f02_interrupted_and_resumed_every_row_is_applied(
    interrupts: tuple[float, ...], tmp_path: Path
) -> None:
    term = sheet(tmp_path / "term.csv", ROWS)
    programs = [Program(term, interrupted_after=interrupts), Program()]
    evidence = run_scenario(tmp_path, programs, World(latency_s=1.0))

    assert verdict(evidence) == []
    assert states(evidence) == ["applied"] * ROWS


class FullDisk(Journal):
    """A disk that takes so many writes and no more."""

    left = 5

    def _take(self) -> None:
        FullDisk.left -= 1
        if FullDisk.left < 0:
            raise BulkcastError("the ledger cannot be written: database or disk is full")

    async def record_intent(self, intents: Sequence[Intent]) -> None:
        self._take()
        await super().record_intent(intents)

    async def record(self, attempts: Sequence[Attempt]) -> None:
        self._take()
        await super().record(attempts)


@pytest.mark.parametrize("writes", range(1, 2 * ROWS, 3))
def test_f06_a_disk_full_after_any_write_loses_and_claims_nothing(
    writes: int, tmp_path: Path
) -> None:
    """The nth write fails, and all after it; then there is room again."""
    term = sheet(tmp_path / "term.csv", ROWS)

    def direct(loop: VirtualLoop, _: Sandbox) -> None:
        FullDisk.left = writes
        loop.call_at(50.0, setattr, FullDisk, "left", 10**6)

    programs = [Program(term), Program(pause=60.0)]
    evidence = run_scenario(
        tmp_path, programs, World(latency_s=0.2), parts=keeping(FullDisk), direct=direct
    )

    assert verdict(evidence) == []
    assert states(evidence) == ["applied"] * ROWS


class NoMemory(Client):
    """Runs out of memory at one request."""

    left = 4

    async def send(self, body: Body, timestamp: int) -> Reply | NoReply:
        NoMemory.left -= 1
        if NoMemory.left == 0:
            raise MemoryError
        return await super().send(body, timestamp)


@pytest.mark.parametrize("nth", [1, 2, 9])
def test_f05_out_of_memory_costs_no_row(nth: int, tmp_path: Path) -> None:
    NoMemory.left = nth
    term = sheet(tmp_path / "term.csv", ROWS)
    evidence = run_scenario(
        tmp_path, [Program(term, dies=True), Program()], World(), parts=Parts(client=NoMemory)
    )

    assert evidence.crashes == 1
    assert verdict(evidence) == []
    assert states(evidence) == ["applied"] * ROWS


# ------------------------------------------------------------------ clocks


@pytest.mark.parametrize("after", [0.0, 0.2, 0.55])
@pytest.mark.parametrize("seconds", [20.0, 3600.0, 12 * 3600.0])
def test_f14_a_computer_that_sleeps_goes_on_where_it_was(
    seconds: float, after: float, tmp_path: Path
) -> None:
    def direct(loop: VirtualLoop, _: Sandbox) -> None:
        loop.call_at(after, loop.sleeps, seconds)

    term = sheet(tmp_path / "term.csv", 40)
    evidence = run_scenario(
        tmp_path, [Program(term)], World(latency_s=0.4), direct=direct, longest_s=24 * 3600.0
    )

    assert verdict(evidence) == []
    assert states(evidence) == ["applied"] * 40


@pytest.mark.parametrize("forward", [-7200.0, -90.0, 90.0, 7200.0])
def test_f15_a_clock_set_between_two_programs_breaks_no_promise(
    forward: float, tmp_path: Path
) -> None:
    """Nor does the pace, though the stamps of the first lie in the future of the second."""
    term = sheet(tmp_path / "term.csv", 30)
    programs = [Program(term, killed_after=1.0), Program(forward=forward)]
    evidence = run_scenario(tmp_path, programs, World(latency_s=0.1))

    others = [v for v in verdict(evidence) if not v.startswith("I10")]
    assert others == []
    assert states(evidence) == ["applied"] * 30


@pytest.mark.parametrize("offset", [-600.0, -299.0, -200.0, 200.0, 299.0, 600.0, 86_400.0])
def test_f16_a_clock_that_is_off_costs_no_row(offset: float, tmp_path: Path) -> None:
    term = sheet(tmp_path / "term.csv", ROWS)
    evidence = run_scenario(tmp_path, [Program(term)], World(), clock_offset_s=offset)

    assert verdict(evidence) == []
    assert states(evidence) == ["applied"] * ROWS
    assert len(evidence.log) <= ROWS + 1


# ------------------------------------------------------------------ connecting


def closed_port(_: str) -> str:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{closed.getsockname()[1]}"


@pytest.mark.parametrize(
    ("leads", "exit_status"),
    [
        pytest.param(lambda _: "https://no-such-host.invalid", 5, id="F18 unknown name"),
        pytest.param(closed_port, 5, id="F19 refused"),
        pytest.param(lambda url: url.replace("http:", "https:"), 6, id="F21 no TLS there"),
    ],
)
def test_where_nobody_answers_nothing_is_claimed_to_be_sent(
    leads: Callable[[str], str], exit_status: int, tmp_path: Path
) -> None:
    term = sheet(tmp_path / "term.csv", ROWS)
    evidence = run_scenario(
        tmp_path, [Program(term)], World(), leads=leads, max_outage_s=120.0, open_rows=ROWS
    )

    assert verdict(evidence) == []
    assert states(evidence) == ["not_sent"] * ROWS
    assert evidence.ended[-1].exit_status == exit_status
    assert evidence.log == []


# ------------------------------------------------------------------ outages


@pytest.mark.parametrize(
    "fault",
    ["http:503", "hang:60", "hang:60:applied", "reset", "reset:applied", "html", "code:901",
     "http:901", "close", "truncated:applied"],
)  # fmt: skip
@pytest.mark.parametrize("begins", [0.0, 2.0])
def test_f46_f47_half_an_hour_without_an_answer_costs_no_row(
    fault: str, begins: float, tmp_path: Path
) -> None:
    def direct(loop: VirtualLoop, sandbox: Sandbox) -> None:
        loop.call_at(begins, setattr, sandbox, "fault_for_all", read_fault(fault, WEBCAST))
        loop.call_at(begins + 1800.0, setattr, sandbox, "fault_for_all", None)

    term = sheet(tmp_path / "term.csv", 60)
    evidence = run_scenario(tmp_path, [Program(term)], World(latency_s=0.1), direct=direct)

    assert verdict(evidence) == []
    assert states(evidence) == ["applied"] * 60
    assert len(evidence.log) <= 60 + 110


def test_f46_the_probes_of_an_outage_are_shared_by_its_rows(tmp_path: Path) -> None:
    def direct(loop: VirtualLoop, sandbox: Sandbox) -> None:
        sandbox.fault_for_all = read_fault("close", WEBCAST)
        loop.call_at(1800.0, setattr, sandbox, "fault_for_all", None)

    term = sheet(tmp_path / "term.csv", 60)
    evidence = run_scenario(tmp_path, [Program(term)], World(latency_s=0.1), direct=direct)

    sent = Counter(r.target.id for r in evidence.log if r.target)
    assert max(sent.values()) <= 8
    assert sum(n > 1 for n in sent.values()) <= 12


@pytest.mark.parametrize("seed", range(4))
def test_f45_a_brown_out_costs_no_row(seed: int, tmp_path: Path) -> None:
    term = sheet(tmp_path / "term.csv", 120)
    evidence = run_scenario(
        tmp_path, [Program(term)], World(fault_rate=0.3, seed=seed), open_rows=1
    )

    assert verdict(evidence) == []
    assert Counter(states(evidence))["applied"] >= 119


@pytest.mark.parametrize("calls", [60, 300])
def test_f48_a_lower_limit_is_found_and_kept(calls: int, tmp_path: Path) -> None:
    term = sheet(tmp_path / "term.csv", 200)
    world = World(limit=Limit(calls, 60.0, "a lower one"))
    evidence = run_scenario(tmp_path, [Program(term)], world)

    assert verdict(evidence) == []
    assert states(evidence) == ["applied"] * 200
