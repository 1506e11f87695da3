"""The page on a fleet: two admins on two computers, one database, and workers that send."""

import asyncio
import getpass
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bulkcast.fleet import control
from bulkcast.fleet.database import Database
from bulkcast.notification import Recipients
from bulkcast.pipeline import fleet_control, prepare
from bulkcast.pipeline.fleet_control import lane_of
from bulkcast.sandbox import SANDBOX_SECRET, World
from bulkcast.web.page_server import ServeOptions, opened
from tests.fleet_harness import QUICK, Fleet, fleet
from tests.page_client import Answer
from tests.page_runs import (
    Page,
    banners,
    book,
    client_of,
    environ_of,
    next_action,
    next_steps,
)
from tests.page_sheets import fields, path_of, upload
from tests.page_terms import HEAD, term
from tests.postgres import server
from tests.sheets import plain

SHOWN_S = 20.0
"""Seconds within which a screen shows what others did, on a busy machine."""


@asynccontextmanager
async def page_of(
    found: Fleet, folder: Path, user: str, told: Recipients | None = None, **more: str
) -> AsyncIterator[Page]:
    """The page of an admin whose home is in `folder`."""
    own = environ_of(folder / user, found.config.institution.root_url)
    environ = {**own, "BULKCAST_DATABASE": found.home.database, "BULKCAST_USER": user, **more}
    options = ServeOptions(environ, port=0, recipients=told or Recipients())
    async with opened(options) as state, client_of(state) as client:
        yield Page(client, state, found.sandbox)


@asynccontextmanager
async def two(folder: Path) -> AsyncIterator[tuple[Fleet, Page, Page]]:
    """A fleet without a worker, and the pages of li and wang."""
    async with (
        fleet(folder) as found,
        page_of(found, folder, "li") as li,
        page_of(found, folder, "wang") as wang,
    ):
        found.timing = replace(QUICK, slice_s=10.0)  # start times ahead are lost between slices
        yield found, li, wang


async def hand_in(
    page: Page, rows: int = 5, per_minute: int = 950, content: bytes | None = None
) -> str:
    """Upload a term and press Apply; returns the run's name."""
    place = path_of(await upload(page.client, "Term.csv", content or term(rows)))
    plan = await page.client.get(f"{place}/plan?rate={per_minute}")
    answer = await page.client.post(f"{place}/apply", fields(plan, "/apply"))
    assert answer.screen in {"apply", "results"}, answer.words
    return answer.url.split("/runs/")[1].partition("/")[0]


async def seen(page: Page, run: str, true: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """The snapshot of a run once something is true of it."""
    async with asyncio.timeout(SHOWN_S):
        while not true(found := await page.snapshot(run)):
            await asyncio.sleep(0.1)
    return found


def said(found: dict[str, Any]) -> str:
    return " ".join(one["text"] for one in found["banners"])


def listed(answer: Answer) -> list[tuple[str, str]]:
    """Who did what, newest first."""
    rows = answer.tree.xpath("//table[@data-actions]//tr[@data-id]")
    return [(row[1].text_content().strip(), row.get("data-action")) for row in rows]


def line(answer: Answer, run: str) -> str:
    (found,) = answer.tree.xpath(f"//tr[@data-run='{run}']")
    return " ".join(found.text_content().split())


# ------------------------------------------------------------------ a run's way


async def test_workers_send_what_one_admin_hands_in_and_another_sees_it(tmp_path: Path) -> None:
    async with fleet(tmp_path) as found, page_of(found, tmp_path, "wang") as wang:
        async with page_of(found, tmp_path, "li") as li:
            run = await hand_in(li)
            waiting = await li.client.get(f"/runs/{run}")
            assert li.runs.find(run) is None
        assert waiting.screen == "apply"
        assert "Waiting" in waiting.words
        assert "handed in by li" in waiting.words
        assert any("bulkcast worker" in one for one in banners(waiting))
        assert next_steps(waiting) == ["Pause"]

        home = await wang.client.get("/")
        assert "handed in by li" in line(home, run)
        assert "waiting" in line(home, run)
        assert not found.sandbox.log
        async with found.worker():
            await seen(wang, run, lambda now: now["is_over"])
        results = await wang.client.get(f"/runs/{run}")
        assert results.screen == "results"
        assert "All 5 rows are done" in results.words
        assert "handed in by li" in results.words
        sheet = await wang.client.get(f"/runs/{run}/results.sheet?kind=xlsx")

    assert [row["bulkcast_status"] for row in book(sheet)] == ["applied"] * 5
    assert len(found.sandbox.log) == 5


async def test_every_admin_pauses_and_continues_any_run(tmp_path: Path) -> None:
    async with two(tmp_path) as (found, li, wang), found.worker():
        run = await hand_in(li, 300, per_minute=600)
        now = await seen(wang, run, lambda now: now["phase"] == "running" and found.sandbox.log)
        assert f"A worker on {socket.gethostname()} sends it" in said(now)
        assert now["failed"] == "0"  # a row on its way has not failed

        paused = await wang.client.post(f"/runs/{run}/pause")
        assert "Pause and Continue are for the whole institution" in paused.words
        now = await seen(li, run, lambda now: now["phase"] == "paused")
        assert "The institution is paused" in said(now)
        assert now["speed"] == "\N{NO-BREAK SPACE}"
        assert line(await li.client.get("/"), run).endswith("paused Progress")
        assert next_action(await li.client.get(f"/runs/{run}")) == f"/runs/{run}/continue"

        await li.client.post(f"/runs/{run}/continue")
        sent = len(found.sandbox.log)
        await seen(wang, run, lambda _: len(found.sandbox.log) > sent)
        answer = await li.client.get("/actions")

    assert listed(answer) == [("li", "go on"), ("wang", "pause"), ("li", "submit")]
    assert answer.words.count(socket.gethostname()) == 3
    assert set(answer.tree.xpath("//table[@data-actions]//a/@href")) == {f"/runs/{run}"}


async def test_every_admin_stops_any_run_and_has_it_go_on(tmp_path: Path) -> None:
    async with two(tmp_path) as (found, li, wang), found.worker():
        run = await hand_in(li, 100, per_minute=600)
        await seen(li, run, lambda now: now["phase"] == "running")
        await wang.client.post(f"/runs/{run}/stop")
        await seen(li, run, lambda now: now["is_over"])
        stopped = await li.client.get(f"/runs/{run}")
        assert "Stopped before the end" in stopped.words
        assert next_action(stopped) == f"/runs/{run}/resume"
        sent = len(found.sandbox.log)

        await wang.client.post(f"/runs/{run}/pause")  # of a tab that is late; it pauses nothing
        again = await wang.client.post(f"/runs/{run}/resume")
        assert again.screen == "apply"
        await seen(li, run, lambda now: now["phase"] == "running" and len(found.sandbox.log) > sent)
        answer = await li.client.get("/actions")

    assert listed(answer) == [("wang", "resume"), ("wang", "cancel"), ("li", "submit")]


async def test_who_takes_the_sheet_that_undoes_a_run_is_listed(tmp_path: Path) -> None:
    async with two(tmp_path) as (found, li, wang), found.worker():
        for content in (term(2), term(2).replace(b",off,", b",on,")):
            run = await hand_in(li, content=content)
            await seen(li, run, lambda now: now["is_over"])
        draft = await wang.client.post(f"/runs/{run}/undo")
        answer = await li.client.get("/actions")

    assert draft.screen == "check"
    assert listed(answer) == [("wang", "undo"), ("li", "submit"), ("li", "submit")]


async def test_a_run_waits_for_the_one_before_it(tmp_path: Path) -> None:
    async with two(tmp_path) as (found, li, wang):
        first = await hand_in(li, 100, per_minute=600)
        async with found.worker():
            await seen(li, first, lambda now: now["phase"] == "running")
            second = await hand_in(wang, 3)
            now = await seen(li, second, lambda now: now["phase"] == "waiting")
            assert f"Run {first} of the same institution is sent first" in said(now)
            await li.client.post(f"/runs/{first}/stop")
            await seen(wang, second, lambda now: now["is_over"])


async def test_the_end_of_a_run_that_workers_send_is_told(tmp_path: Path) -> None:
    told = tmp_path / "told.json"
    command = Recipients(command=("tee", str(told)))
    async with fleet(tmp_path) as found, page_of(found, tmp_path, "li", command) as li:
        run = await hand_in(li, 3)
        async with found.worker(), asyncio.timeout(SHOWN_S):
            while not (told.exists() and run in told.read_text()):
                await asyncio.sleep(0.1)


# ------------------------------------------------------------------ what is shared


async def test_who_acts_is_the_login_name_unless_it_is_given(tmp_path: Path) -> None:
    async with fleet(tmp_path) as found, page_of(found, tmp_path, "li", BULKCAST_USER="") as page:
        await hand_in(page, 1)
        answer = await page.client.get("/actions")
        settings = await page.client.get("/settings")
    assert listed(answer) == [(getpass.getuser(), "submit")]
    assert getpass.getuser() in settings.words


async def test_the_page_says_that_runs_are_shared_but_no_password(tmp_path: Path) -> None:
    async with two(tmp_path) as (found, li, _):
        url = found.home.database
        place = f"127.0.0.1:{url.rpartition(':')[2]}"
        password = url.partition("@")[0].rpartition(":")[2]
        for path in ("/", "/settings", "/actions"):
            answer = await li.client.get(path)
            assert place in answer.words, path
            assert password not in answer.text


async def test_actions_are_paged_and_told_in_chinese(tmp_path: Path) -> None:
    async with fleet(tmp_path) as found, page_of(found, tmp_path, "li") as li:
        async with fleet_control.opened(found.home) as database:
            for _ in range(60):
                for who, what in (("li", "pause"), ("王", "go on")):
                    lanes = ["https://api.eeo.cn 7"]
                    await fleet_control.record(database, what, user=who, lanes=lanes)
        first = await li.client.get("/actions")
        (older,) = first.tree.xpath("//a[@rel='next']/@href")
        second = await li.client.get(older)
        third = await li.client.get(*second.tree.xpath("//a[@rel='next']/@href"))
        li.client.session.cookie_jar.update_cookies({"bulkcast-lang": "zh"})
        chinese = await li.client.get("/actions")

    assert [len(listed(one)) for one in (first, second, third)] == [50, 50, 20]
    assert listed(first)[:2] == [("王", "go on"), ("li", "pause")]
    assert not third.tree.xpath("//a[@rel='next']")
    assert "SID 7" in first.words
    assert "Paused the institution" in first.words
    assert "暂停了机构" in chinese.words
    assert "Paused" not in chinese.words


async def test_the_demonstration_shares_nothing(tmp_path: Path) -> None:
    async with two(tmp_path) as (_, li, wang):
        await wang.client.post("/settings/use", {"account": "demo"})
        home = await wang.client.get("/")
        actions = await wang.client.get("/actions")
        await hand_in(li, 1)
        still = await wang.client.get("/")
    assert "Runs are shared" not in home.words
    assert actions.status == 404
    assert not still.tree.xpath("//tr[@data-run]")


async def test_without_the_secret_runs_are_handed_in_and_stopped(tmp_path: Path) -> None:
    async with (
        fleet(tmp_path) as found,
        page_of(found, tmp_path, "li", BULKCAST_SECRET="") as li,
    ):
        run = await hand_in(li)
        assert run in (await li.client.get("/")).text
        async with Database(found.home.database) as database:
            lane = lane_of(found.config.institution)
            await control.request_cancel(database, run, lane)  # as whoever is killed meanwhile
        now = await seen(li, run, lambda now: now["phase"] == "stopping")
        await li.client.post(f"/runs/{run}/stop")
        then = await li.snapshot(run)
    assert "no worker is running that could end the run" in said(now)
    assert then["phase"] == "finished"


async def test_with_a_broken_profile_the_runs_of_all_are_seen(tmp_path: Path) -> None:
    async with fleet(tmp_path) as found, page_of(found, tmp_path, "li") as li:
        run = await hand_in(li)
        async with page_of(found, tmp_path, "wang", BULKCAST_SID="none") as wang:
            home = await wang.client.get("/")
            await wang.client.post(f"/runs/{run}/pause")
        await seen(li, run, lambda now: now["phase"] == "paused")
    assert "The credentials cannot be used" in home.words
    assert run in home.text


async def test_runs_of_other_institutions_are_seen_but_not_undone_here(tmp_path: Path) -> None:
    async with two(tmp_path) as (found, li, _):
        other = replace(found.config, institution=replace(found.config.institution, sid="77000001"))
        sheet = plain(tmp_path / "a.csv", 2)
        run = (
            await replace(found, config=other).submit(await asyncio.to_thread(prepare, sheet))
        ).run
        every = await li.client.get("/")
        own = await li.client.get("/?of=own")
        undone = await li.client.post(f"/runs/{run}/undo")
    assert "SID 77000001" in line(every, run)
    assert not own.tree.xpath("//tr[@data-run]")
    assert "belongs to institution 77000001" in undone.words
    assert undone.status == 400


# ------------------------------------------------------------------ several institutions


NORTH, SOUTH = "77000001", "77000002"


def of_schools(*whose: str) -> bytes:
    lines = [f"{name},{1000 + n},1,,off,,\n" for n, name in enumerate(whose, 1)]
    return "".join([f"institution,{HEAD}", *lines]).encode()


@asynccontextmanager
async def of_two_schools(folder: Path) -> AsyncIterator[tuple[Fleet, Page, Page]]:
    """A fleet that sends for two schools, and the pages of li and wang, who know their names."""
    own = World(first_whole=False, limit=None, secret=SANDBOX_SECRET)
    others = (replace(own, sid=NORTH), replace(own, sid=SOUTH))
    async with fleet(folder, replace(own, others=others)) as found:
        url = found.config.institution.root_url
        for user in ("li", "wang"):
            (folder / user).mkdir()
            (folder / user / "config.toml").write_text(
                f'[profiles.north]\nsid = "{NORTH}"\nroot_url = "{url}"\n'
                f'[profiles.south]\nsid = "{SOUTH}"\nroot_url = "{url}"\n'
            )
        async with page_of(found, folder, "li") as li, page_of(found, folder, "wang") as wang:
            yield found, li, wang


async def test_a_sheet_for_several_institutions_is_handed_in_and_seen_as_one_run(
    tmp_path: Path,
) -> None:
    async with of_two_schools(tmp_path) as (found, li, wang):
        content = of_schools("north", "south", "south", "nobody")
        plan = await li.client.get(f"{path_of(await upload(li.client, 'T.csv', content))}/plan")
        assert "LIVE 2 institutions: north, south" in plan.words
        group = await hand_in(li, content=content)
        waiting = await wang.client.get(f"/runs/{group}")
        assert waiting.screen == "apply"
        assert "Waiting" in waiting.words
        async with found.worker(sids=(NORTH, SOUTH)):
            await seen(wang, group, lambda now: now["is_over"])
        results = await wang.client.get(f"/runs/{group}")
        actions = await li.client.get("/actions")
        sheet = await wang.client.get(f"/runs/{group}/results.sheet?kind=xlsx")
        draft = await wang.client.post(f"/runs/{group}/resubmit")
        none = await wang.client.get("/runs/20260101-000000-0000")

    assert "3 of 4 rows are done, 1 needs fixing" in results.words
    assert [str(row["bulkcast_run"])[len(group) :] for row in book(sheet)] == [
        "-1", "-2", "-2", "-1",
    ]  # fmt: skip
    assert [len(found.sandbox.others[sid].log) for sid in (NORTH, SOUTH)] == [1, 2]
    assert set(actions.tree.xpath("//table[@data-actions]//a/@href")) == {f"/runs/{group}"}
    assert draft.screen == "check"
    assert none.status == 404


async def test_a_group_is_listed_and_paused_as_one_run(tmp_path: Path) -> None:
    async with of_two_schools(tmp_path) as (_, li, wang):
        group = await hand_in(li, content=of_schools("north", "south"))
        home = await wang.client.get("/")
        assert home.tree.xpath("//tr/@data-run") == [group]
        assert f"SID {NORTH}, {SOUTH}" in line(home, group)
        assert not (await wang.client.get("/?of=own")).tree.xpath("//tr[@data-run]")

        await wang.client.post(f"/runs/{group}/pause")
        now = await seen(li, group, lambda now: now["phase"] == "paused")
        assert "The institutions are paused" in said(now)
        assert "paused" in line(await li.client.get("/"), group)
        await li.client.post(f"/runs/{group}/continue")
        await seen(wang, group, lambda now: now["phase"] == "waiting")
        actions = await li.client.get("/actions")
    assert listed(actions) == [("li", "go on"), ("wang", "pause"), ("li", "submit")]
    assert f"SID {NORTH}" in actions.words


async def test_a_group_that_workers_send_is_stopped_resumed_and_undone(tmp_path: Path) -> None:
    async with of_two_schools(tmp_path) as (found, li, wang):
        group = await hand_in(li, content=of_schools(*["north", "south"] * 50), per_minute=100)
        async with found.worker(sids=(NORTH, SOUTH)):
            await seen(li, group, lambda now: now["phase"] == "running" and now["done"] != "0")
            await wang.client.post(f"/runs/{group}/stop")
            await seen(li, group, lambda now: now["is_over"])
            stopped = await li.client.get(f"/runs/{group}")
            assert "Stopped before the end" in stopped.words
            again = await wang.client.post(f"/runs/{group}/resume")
            assert again.screen == "apply"
            await seen(li, group, lambda now: now["phase"] == "running")
            await wang.client.post(f"/runs/{group}/stop")
            await seen(li, group, lambda now: now["is_over"])
        asked = await li.client.get(f"/runs/{group}/undo")
        part = await li.client.get(f"/runs/{group}-2")
    assert asked.status == 200
    assert part.url.endswith(f"/runs/{group}/results")


# ------------------------------------------------------------------ a database that is away


@contextmanager
def stopped() -> Iterator[None]:
    """The database is away for the block."""
    server().stop()
    try:
        yield
    finally:
        server().start()


async def test_a_database_that_is_away_is_one_sentence_on_every_screen(tmp_path: Path) -> None:
    async with two(tmp_path) as (_, li, wang):
        run = await hand_in(li)
        draft = path_of(await upload(li.client, "Term.csv", term(3)))
        plan = await li.client.get(f"{draft}/plan")
        with stopped():
            home = await li.client.get("/")
            assert home.status == 200
            assert any("cannot be reached" in one for one in banners(home))
            assert next_steps(home) == ["Try again"]
            assert "Term.csv" in home.words  # the draft

            for path in ("/actions", f"/runs/{run}/results", f"/runs/{run}/undo"):
                away = await wang.client.get(path)
                assert away.status == 503, path
                assert "The shared database does not answer" in away.words
                assert away.tree.xpath("//a[@data-next]/@href") == [path]
            for what in ("pause", "stop", "resume", "resubmit"):
                assert (await wang.client.post(f"/runs/{run}/{what}")).status == 503, what
            sent = await li.client.post(f"{draft}/apply", fields(plan, "/apply"))
            assert sent.screen == "plan"
            assert "cannot be reached" in sent.words
            for path in ("/settings", draft, f"{draft}/check"):
                assert (await li.client.get(path)).status == 200
        assert run in (await li.client.get("/")).text
        assert (await wang.client.get("/actions")).status == 200


async def test_a_run_is_shown_as_it_was_until_the_database_is_back(tmp_path: Path) -> None:
    async with fleet(tmp_path) as found, page_of(found, tmp_path, "li") as li:
        run = await hand_in(li)
        assert (await li.snapshot(run))["phase"] == "waiting"
        with stopped():
            now = await seen(li, run, lambda now: "it said last" in said(now))
            assert now["phase"] == "waiting"
            assert "bulkcast worker" not in said(now)
        now = await seen(li, run, lambda now: "it said last" not in said(now))
    assert "bulkcast worker" in said(now)


@pytest.mark.parametrize("url", ["postgresql://li:pass%zzword@db/x", "nonsense", "postgresql:///x"])
async def test_a_wrong_address_of_the_database_is_one_sentence(tmp_path: Path, url: str) -> None:
    environ = {**environ_of(tmp_path, "http://127.0.0.1:9"), "BULKCAST_DATABASE": url}
    environ["PGHOST"] = str(tmp_path)
    async with opened(ServeOptions(environ, port=0)) as state, client_of(state) as client:
        for path in ("/", "/actions", "/settings", "/runs/x"):
            answer = await client.get(path)
            assert "defect" not in answer.words, path
            assert "zzword" not in answer.text
