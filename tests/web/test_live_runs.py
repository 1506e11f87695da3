"""Runs that the page starts: under way beside the screens, steered, seen from everywhere."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bulkcast import pipeline
from bulkcast.config import Config
from bulkcast.errors import CannotStart, InstitutionBusy
from bulkcast.home import folder_of
from bulkcast.model import RowStatus
from bulkcast.pipeline import Control, PreparedRun, SendOptions
from bulkcast.sandbox import Classroom, World
from tests.dispatcher_harness import classroom
from tests.page_runs import (
    FAST,
    NAME,
    Page,
    environ_of,
    next_action,
    next_steps,
    run_page,
    until,
)
from tests.sheets import plain

SLOW = SendOptions(rate=20.0)
APPLIED = RowStatus.APPLIED


def refused(*rows: int) -> tuple[Classroom, ...]:
    """These rows' classrooms are not the institution's."""
    return tuple(classroom(row, "code:121601031*") for row in rows)


async def test_a_run_is_in_the_ledger_when_start_returns_and_goes_on_by_itself(
    tmp_path: Path,
) -> None:
    async with run_page(tmp_path / "home") as page:
        run = await page.start(plain(tmp_path / "sheet.xlsx", 50))
        found = pipeline.run_state(page.account.home, run)
        await page.over(run)
        ended = pipeline.run_state(page.account.home, run)

    assert found is not None
    assert found.record.header.title == NAME
    assert ended is not None
    assert ended.record.state == "finished"
    assert ended.record.counts[APPLIED] == 50
    assert len(page.sandbox.log) == 50
    assert (tmp_path / f"sheet.results-{run}.xlsx").exists()


@pytest.mark.slow
async def test_the_page_answers_while_rows_are_frozen_and_results_written(tmp_path: Path) -> None:
    """A run of 5,000 rows holds the screens up for a moment at most."""
    async with run_page(tmp_path / "home") as page:
        prepared = await asyncio.to_thread(
            pipeline.prepare, plain(tmp_path / "sheet.xlsx", 5_000), keep_cells=False
        )
        planned = PreparedRun(prepared, page.account.config)
        run, longest = "", 0.0
        start = asyncio.ensure_future(
            page.runs.start(page.account, planned, SendOptions(rate=1e5), name=NAME)
        )
        while not start.done() or page.runs.find(start.result()):
            begun = time.perf_counter()
            answer = await page.client.get("/static/icon.svg")
            longest = max(longest, time.perf_counter() - begun)
            assert answer.status == 200
            await asyncio.sleep(0.02)
        run = start.result()
        state = pipeline.run_state(page.account.home, run)

    assert state is not None
    assert state.record.counts[APPLIED] == 5_000
    assert longest < 1.0


async def test_an_error_before_the_run_exists_is_raised_by_start(tmp_path: Path) -> None:
    sheet = plain(tmp_path / "sheet.xlsx", 5)
    async with run_page(tmp_path / "home") as page:
        planned = PreparedRun(await asyncio.to_thread(pipeline.prepare, sheet), None)
        plain(sheet, 6)
        with pytest.raises(CannotStart, match="has changed"):
            await page.runs.start(page.account, planned, FAST, name=NAME)
        without = replace(page.account, config=None)
        with pytest.raises(CannotStart):
            await page.runs.start(without, planned, FAST, name=NAME)

        assert pipeline.some_runs(page.account.home).total == 0
        assert not page.sandbox.log


async def test_one_run_at_a_time_for_an_institution_and_the_error_says_who_has_it(
    tmp_path: Path,
) -> None:
    async with run_page(tmp_path / "home") as page:
        run = await page.start(plain(tmp_path / "a.xlsx", 100), SLOW)
        with pytest.raises(InstitutionBusy, match=run) as busy:
            await page.start(plain(tmp_path / "b.xlsx", 5))
        page.runs.stop(run)
        await page.over(run)

    assert str(os.getpid()) in str(busy.value)


@pytest.mark.slow
async def test_a_paused_run_sends_nothing_until_it_continues(tmp_path: Path) -> None:
    async with run_page(tmp_path / "home") as page:
        run = await page.start(plain(tmp_path / "sheet.xlsx", 100), SendOptions(rate=50.0))
        await until(lambda: len(page.sandbox.log) > 5)
        assert await page.posted(f"/runs/{run}/pause") == (303, f"/runs/{run}")
        await asyncio.sleep(0.3)
        sent = len(page.sandbox.log)
        await asyncio.sleep(0.6)
        assert len(page.sandbox.log) == sent
        screen = await page.client.get(f"/runs/{run}")
        paused = await page.snapshot(run)

        assert await page.posted(f"/runs/{run}/continue") == (303, f"/runs/{run}")
        await page.over(run)
        state = pipeline.run_state(page.account.home, run)

    assert paused["phase"] == "paused"
    assert "nothing is sent until you continue" in paused["banners"][0]["text"]
    assert next_steps(screen) == ["Continue"]
    assert next_action(screen) == f"/runs/{run}/continue"
    assert state is not None
    assert state.record.counts[APPLIED] == 100
    assert len(page.sandbox.log) == 100


async def test_stop_lets_finish_what_is_under_way_and_writes_the_results(tmp_path: Path) -> None:
    async with run_page(tmp_path / "home", World(first_whole=False, latency_s=0.5)) as page:
        run = await page.start(plain(tmp_path / "sheet.xlsx", 200), SendOptions(rate=20.0))
        await until(lambda: len(page.sandbox.log) > 3)
        assert await page.posted(f"/runs/{run}/stop") == (303, f"/runs/{run}")
        stopping = await page.snapshot(run)
        await page.over(run)
        state = pipeline.run_state(page.account.home, run)
        answer = await page.client.get(f"/runs/{run}")

    assert stopping["phase"] == "stopping"
    assert state is not None
    assert state.record.state == "stopped"
    assert state.record.counts[APPLIED] == len(page.sandbox.log) < 200
    assert state.record.counts[APPLIED] + state.record.counts[RowStatus.NOT_SENT] == 200
    assert answer.screen == "results"
    assert next_steps(answer) == ["Continue"]
    assert next_action(answer) == f"/runs/{run}/resume"


async def test_the_end_of_the_page_stops_its_runs_with_a_complete_ledger(tmp_path: Path) -> None:
    async with run_page(tmp_path / "home", World(first_whole=False, latency_s=0.3)) as page:
        home = page.account.home
        run = await page.start(plain(tmp_path / "sheet.xlsx", 300), SendOptions(rate=40.0))
        await until(lambda: len(page.sandbox.log) > 5)

    state = pipeline.run_state(home, run)
    assert state is not None
    assert state.record.state == "stopped"
    assert state.record.counts[RowStatus.UNCONFIRMED] == 0
    assert state.record.counts[APPLIED] == len(page.sandbox.log)
    assert (tmp_path / f"sheet.results-{run}.xlsx").exists()


@pytest.mark.slow
async def test_a_stopped_run_is_resumed_from_its_results(tmp_path: Path) -> None:
    async with run_page(tmp_path / "home") as page:
        run = await page.start(plain(tmp_path / "sheet.xlsx", 60), SLOW)
        await until(lambda: len(page.sandbox.log) > 3)
        page.runs.stop(run)
        await page.over(run)
        assert await page.posted(f"/runs/{run}/resume") == (303, f"/runs/{run}")
        now = await page.snapshot(run)
        await page.over(run)
        state = pipeline.run_state(page.account.home, run)

    assert now["phase"] == "running"
    assert sum(one["n"] for one in now["counts"]) == 60
    assert state is not None
    assert state.record.counts[APPLIED] == 60
    assert len(page.sandbox.log) == 60


async def test_a_run_that_breaks_off_says_why_and_can_be_continued(tmp_path: Path) -> None:
    """The ledger of the run is taken away from under it."""
    async with run_page(tmp_path / "home") as page:
        run = await page.start(plain(tmp_path / "sheet.xlsx", 60), SLOW)
        live = page.runs.find(run)
        assert live is not None
        await until(lambda: len(page.sandbox.log) > 3)
        live.cancel()
        await page.over(run)
        answer = await page.client.get(f"/runs/{run}")

    assert answer.screen == "results"
    assert next_steps(answer) == ["Continue"]


# ------------------------------------------------------------------ seen from everywhere


async def other_program(config: Config, sheet: Path, rate: float, control: Control) -> str:
    """A run of another program with the same ledger, such as one in a terminal."""
    prepared = await asyncio.to_thread(pipeline.prepare, sheet)
    report = await pipeline.apply(prepared, config, SendOptions(rate=rate), control=control)
    return report.run


@asynccontextmanager
async def under_way_elsewhere(home: Path, sheet: Path) -> AsyncIterator[tuple[Page, str]]:
    """A page, and the name of a run that another program has under way."""
    world = World(first_whole=False, limit=None, classrooms=refused(4, 6))
    async with run_page(home, world) as page:
        config = page.account.config
        assert config is not None
        begun: list[str] = []
        control = Control(begun.append)
        other = asyncio.ensure_future(other_program(config, plain(sheet, 80), 30.0, control))
        await until(lambda: begun and len(page.sandbox.log) > 12)
        yield page, begun[0]
        control.stop(130)
        await other


async def test_a_run_of_another_program_is_seen_live(tmp_path: Path) -> None:
    async with under_way_elsewhere(tmp_path / "home", tmp_path / "sheet.csv") as (page, run):
        now = await page.snapshot(run)

    assert now["phase"] == "elsewhere"
    counts = {one["status"]: one["n"] for one in now["counts"]}
    assert 8 < counts["applied"] < 80
    assert counts["rejected"] == 2
    assert [failure["row"] for failure in now["failures"]] == ["6", "4"]
    assert "institution" in now["failures"][0]["message"]
    assert f"run {run} (process {os.getpid()}" in now["banners"][0]["text"]


async def test_a_run_of_another_program_can_be_looked_at_only(tmp_path: Path) -> None:
    async with under_way_elsewhere(tmp_path / "home", tmp_path / "sheet.csv") as (page, run):
        answer = await page.client.get(f"/runs/{run}")
        home = await page.client.get("/")
        resumed = await page.client.post(f"/runs/{run}/resume")

    assert next_steps(answer) == ["Refresh"]
    assert not answer.tree.xpath("//button[@data-when][not(@hidden)]")  # nothing to steer it with
    assert home.tree.xpath(f"//tr[@data-run='{run}']/@data-state") == ["running"]
    assert resumed.status == 409
    assert f"is held by run {run}" in resumed.words


@pytest.mark.slow
async def test_the_events_of_another_programs_run_end_with_it(tmp_path: Path) -> None:
    async with under_way_elsewhere(tmp_path / "home", tmp_path / "sheet.csv") as (page, run):
        seen = [now async for _, now in Events(page, run)]

    assert {now["phase"] for now in seen[:-1]} == {"elsewhere"}
    assert seen[-1]["is_over"]
    assert seen[-1]["counts_said"] == "78 applied, 2 rejected"


async def command(page: Page, *words: str) -> asyncio.subprocess.Process:
    """A command in a terminal of the same user."""
    config = page.account.config
    assert config is not None
    environ = environ_of(folder_of(page.account.home), config.institution.root_url)
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bulkcast", *words,
        env={**os.environ, **environ}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip


async def test_a_run_of_the_page_is_listed_in_a_terminal(tmp_path: Path) -> None:
    async with run_page(tmp_path / "home") as page:
        run = await page.start(plain(tmp_path / "sheet.xlsx", 200), SLOW)
        listing = await command(page, "runs", "--json")
        out, _ = await listing.communicate()
        page.runs.stop(run)
        await page.over(run)

    (found,) = json.loads(out)["runs"]
    assert found["run"] == run
    assert found["state"] == "running"
    assert found["input"] == NAME


@pytest.mark.slow
async def test_a_run_in_a_terminal_is_seen_and_so_is_its_sudden_end(tmp_path: Path) -> None:
    async with run_page(tmp_path / "home") as page:
        sheet = str(plain(tmp_path / "sheet.csv", 120))
        terminal = await command(page, "apply", sheet, "--yes", "--rate", "30/s")
        await until(lambda: len(page.sandbox.log) > 10)
        run = pipeline.some_runs(page.account.home).records[0].header.run
        phases: list[str] = []
        async for _, now in Events(page, run):
            if now["phase"] == "elsewhere" and not phases:
                terminal.kill()
            phases.append(now["phase"])
            if now["phase"] == "interrupted":
                break
        await terminal.communicate()
        answer = await page.client.get(f"/runs/{run}")
        await page.client.post(next_action(answer))
        await page.over(run)
        state = pipeline.run_state(page.account.home, run)

    assert phases[0] == "elsewhere"
    assert next_steps(answer) == ["Continue"]
    assert state is not None
    assert state.record.counts[APPLIED] == 120


# ------------------------------------------------------------------ events


class Events:
    """A tab that listens."""

    def __init__(self, page: Page, run: str, last: str = "") -> None:
        self._page, self._run = page, run
        self._headers = {"Last-Event-ID": last} if last else {}

    async def __aiter__(self) -> AsyncIterator[tuple[int, dict[str, Any]]]:
        client = self._page.client
        address = f"{client.root}/runs/{self._run}/events"
        got = await client.session.get(address, headers=self._headers)
        try:
            assert got.status == 200
            assert got.content_type == "text/event-stream"
            number = 0
            async for line in got.content:
                text = line.decode().rstrip("\r\n")
                if text.startswith("id: "):
                    number = int(text[4:])
                elif text.startswith("data: "):
                    yield number, json.loads(text[6:])
        finally:
            got.close()


@pytest.mark.slow
async def test_events_are_whole_rise_and_end_with_the_run(tmp_path: Path) -> None:
    world = World(first_whole=False, limit=None, classrooms=refused(10))
    async with run_page(tmp_path / "home", world) as page:
        run = await page.start(plain(tmp_path / "sheet.xlsx", 90), SendOptions(rate=30.0))
        begun = time.monotonic()
        seen = [event async for event in Events(page, run)]
        took = time.monotonic() - begun

    numbers = [number for number, _ in seen]
    assert numbers == list(range(1, len(seen) + 1))
    assert len(seen) <= took / 0.25 + 2  # four a second at most
    assert len(seen) > 5
    percents = [now["percent"] for _, now in seen]
    assert percents == sorted(percents)
    assert all(sum(one["n"] for one in now["counts"]) == 90 for _, now in seen)
    assert not any(now["is_over"] for _, now in seen[:-1])
    last = seen[-1][1]
    assert last["is_over"]
    assert last["address"] == f"/runs/{run}/results"
    assert last["counts_said"] == "89 applied, 1 rejected"
    middle = seen[len(seen) // 2][1]
    assert "a minute" in middle["speed"]


async def test_a_dropped_stream_goes_on_where_it_was(tmp_path: Path) -> None:
    async with run_page(tmp_path / "home") as page:
        run = await page.start(plain(tmp_path / "sheet.xlsx", 60), SendOptions(rate=30.0))
        last = 0
        async for number, _ in Events(page, run):
            last = number
            if number == 3:
                break
        again = [event async for event in Events(page, run, str(last))]

    assert again[0][0] == 4
    assert again[-1][1]["is_over"]


async def test_two_tabs_see_the_same(tmp_path: Path) -> None:
    async with run_page(tmp_path / "home") as page:
        run = await page.start(plain(tmp_path / "sheet.xlsx", 40), SendOptions(rate=40.0))

        async def listen() -> dict[str, Any]:
            return [now async for _, now in Events(page, run)][-1]

        one, other = await asyncio.gather(listen(), listen())

    assert one == other


async def test_the_end_of_the_page_ends_its_streams_at_once(tmp_path: Path) -> None:
    async with run_page(tmp_path / "home") as page:
        run = await page.start(plain(tmp_path / "sheet.xlsx", 400), SLOW)
        events = Events(page, run)
        listening = asyncio.ensure_future(anext(aiter(events)))
        await listening
        begun = time.monotonic()

    assert time.monotonic() - begun < 4.0


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("http:503", "Waiting for ClassIn"),
        ("code:901", "under maintenance"),
        ("http:429:retry_after=30", "ClassIn asked for silence"),
    ],
)
async def test_what_holds_a_run_up_is_told(tmp_path: Path, fault: str, words: str) -> None:
    async with run_page(tmp_path / "home") as page:
        run = await page.start(plain(tmp_path / "sheet.xlsx", 400), SendOptions(rate=100.0))
        await until(lambda: len(page.sandbox.log) > 10)
        page.fault(fault)
        said = ""
        ends = time.monotonic() + 20
        while words not in said and time.monotonic() < ends:
            said = " ".join(one["text"] for one in (await page.snapshot(run))["banners"])
            await asyncio.sleep(0.1)
        page.fault("")
        page.runs.stop(run)
        await page.over(run)

    assert words in said


async def test_whoever_is_to_be_told_of_the_end_is_told(tmp_path: Path) -> None:
    async with run_page(tmp_path / "home") as page:
        told: list[str] = []

        async def tell(report: pipeline.RunReport) -> None:
            told.append(report.run)

        page.runs.on_end = tell
        run = await page.done(plain(tmp_path / "sheet.xlsx", 5))
        await until(lambda: told)

    assert told == [run]


async def test_nobody_without_a_session_sees_or_steers_a_run(tmp_path: Path) -> None:
    async with run_page(tmp_path / "home") as page:
        run = await page.start(plain(tmp_path / "sheet.xlsx", 60), SLOW)
        page.client.session.cookie_jar.clear()
        for path in ("", "/events", "/results", "/results.sheet", "/summary.html"):
            assert (await page.client.get(f"/runs/{run}{path}")).status == 403
        for path in ("pause", "continue", "stop", "resume", "resubmit", "undo"):
            assert (await page.client.post(f"/runs/{run}/{path}")).status == 403
        live = page.runs.find(run)
        assert live is not None
        assert not live.is_paused
        assert not live.is_stopping


@pytest.mark.parametrize("path", ["pause", "continue", "stop", "resume", "resubmit"])
async def test_a_run_is_not_steered_by_a_link(tmp_path: Path, path: str) -> None:
    async with run_page(tmp_path / "home") as page:
        assert (await page.client.get(f"/runs/20270301-080000-94df/{path}")).status == 405
