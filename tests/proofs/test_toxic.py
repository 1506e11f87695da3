"""Runs through a network that delays, slices, starves and cuts what is said."""

import asyncio
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from bulkcast.sandbox import World
from tests.audit import Evidence, verdict
from tests.measured_figures import Record
from tests.scenario import Program, run_scenario, sheet, states
from tests.toxic_proxy import (
    Bandwidth,
    Down,
    Latency,
    LimitData,
    Proxy,
    ResetPeer,
    Slicer,
    SlowClose,
    Stream,
    Timeout,
    Toxic,
)
from tests.virtual_loop import VirtualLoop

ROWS = 25


def through(folder: Path, proxy: Proxy, *, open_rows: int = 0) -> Evidence:
    """A run of 25 rows through a proxy, over several connections."""
    term, slow = sheet(folder / "term.csv", ROWS), World(latency_s=0.8)
    return run_scenario(folder, [Program(term)], slow, proxy=proxy, open_rows=open_rows)


async def test_the_proxy_hangs_up_where_its_server_is_away() -> None:
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    proxy = Proxy("http://127.0.0.1:1")
    async with proxy.serving(), asyncio.timeout(10.0):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()

    assert told == []


@pytest.fixture(autouse=True)
def cell_counted(record_property: Record) -> None:
    """What the report adds up over the tests that pass."""
    record_property("network cells passed", 1)


HARMLESS = [
    Latency(0.2), Latency(3.0, jitter=2.9), Bandwidth(2000.0), SlowClose(5.0), Slicer(1),
    Slicer(7, 0.05),
]  # fmt: skip
STREAMS: tuple[Stream, ...] = ("upstream", "downstream")


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("toxic", HARMLESS, ids=repr)
def test_a_slow_network_costs_no_row_and_no_second_send(
    toxic: Toxic, stream: Stream, tmp_path: Path
) -> None:
    evidence = through(tmp_path, Proxy("", {stream: toxic}))

    assert verdict(evidence) == []
    assert Counter(states(evidence)) == {"applied": ROWS}
    assert len(evidence.log) == ROWS


CUTTING = [
    Timeout(1.0), Timeout(60.0), ResetPeer(), ResetPeer(0.5), LimitData(0), LimitData(100),
    Down(), Latency(25.0), Bandwidth(5.0),
]  # fmt: skip


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("toxic", CUTTING, ids=repr)
def test_every_third_connection_cut_costs_no_row(
    toxic: Toxic, stream: Stream, tmp_path: Path
) -> None:
    def poison(connection: int) -> tuple[Stream, Toxic] | None:
        return (stream, toxic) if connection % 3 == 2 else None

    proxy = Proxy("", poison=poison)
    evidence = through(tmp_path, proxy)

    assert proxy.poisoned >= 1
    assert verdict(evidence) == []
    assert Counter(states(evidence)) == {"applied": ROWS}


@pytest.mark.parametrize("toxic", [Down(), Timeout(2.0), LimitData(0), ResetPeer()], ids=repr)
def test_a_network_that_is_gone_for_a_quarter_of_an_hour_costs_no_row(
    toxic: Toxic, tmp_path: Path
) -> None:
    proxy = Proxy("")
    term = sheet(tmp_path / "term.csv", ROWS)

    def direct(loop: VirtualLoop, _: object) -> None:
        loop.call_at(0.5, proxy.toxics.__setitem__, "downstream", toxic)
        loop.call_at(0.5, proxy.hang_up)
        loop.call_at(900.0, proxy.toxics.clear)

    evidence = run_scenario(tmp_path, [Program(term)], World(), proxy=proxy, direct=direct)

    assert verdict(evidence) == []
    assert Counter(states(evidence)) == {"applied": ROWS}
    assert max(r.at for r in evidence.log) - min(r.at for r in evidence.log) > 800.0


ANSWER = 250
"""More bytes than an answer has, head and all."""


@pytest.mark.parametrize("first", range(0, ANSWER, 25))
def test_an_answer_cut_at_any_byte_is_never_taken_for_another(first: int, tmp_path: Path) -> None:
    """Each connection dies one byte later than the one before it."""

    def poison(connection: int) -> tuple[Stream, Toxic] | None:
        return ("downstream", LimitData(first + connection - 1)) if connection <= 25 else None

    evidence = through(tmp_path, Proxy("", poison=poison), open_rows=3)

    assert verdict(evidence) == []
    assert Counter(states(evidence))["applied"] >= ROWS - 3
    assert len(evidence.log) > ROWS
