"""A sheet on the page whose rows name several institutions: checked, planned, sent, taken back."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bulkcast.model import Secret
from bulkcast.sandbox import SANDBOX_SECRET, Classroom, Sandbox, World
from bulkcast.web.page_server import ServeOptions, opened
from tests.dispatcher_harness import classroom
from tests.page_client import Answer, page
from tests.page_runs import (
    NOT_OURS,
    Page,
    banners,
    book,
    client_of,
    figures,
    next_action,
    next_steps,
    until,
)
from tests.page_sheets import cell, chips, fields, next_step, path_of, upload
from tests.sheets import FIRST_ID

NORTH, SOUTH = "1000082", "1000083"
SECRETS = {"north": "of-the-north-1", "south": "of-the-south-2"}
HEAD = "机构,activityId,recordState,recordType,liveState,openState,customColumn"


@dataclass(frozen=True)
class Schools(Page):
    """The page, and two institutions at one address, each with a secret of its own."""

    environ: dict[str, str]

    @property
    def south(self) -> Sandbox:
        return self.sandbox.others[SOUTH]

    async def planned(self, content: bytes, name: str = "Term.csv", query: str = "") -> Answer:
        """Upload a sheet, and look at its plan."""
        place = path_of(await upload(self.client, name, content))
        return await self.client.get(f"{place}/plan{query}")

    async def send(self, content: bytes, query: str = "") -> str:
        """Upload a sheet and press Apply; the name of the run."""
        return await self.press(await self.planned(content, query=query))

    async def press(self, plan: Answer) -> str:
        answer = await self.client.post(f"{path_of(plan)}/apply", fields(plan, "/apply"))
        assert answer.screen in {"apply", "results"}, answer.words
        return answer.url.split("/runs/")[1].partition("/")[0]

    async def sent(self, content: bytes) -> tuple[str, Answer]:
        """Send a sheet to its end; the run, and its results."""
        run = await self.send(content)
        await self.over(run)
        return run, await self.client.get(f"/runs/{run}/results")


def term(*whose: str, word: str = "row", live: int = 1) -> bytes:
    lines = [
        f"{name},{FIRST_ID + n},1,0,{live},1,{word} {n}" for n, name in enumerate(whose, start=2)
    ]
    return "\n".join([HEAD, *lines, ""]).encode()


@asynccontextmanager
async def schools(
    folder: Path, *rooms: Classroom, gone: str = "", **environ: str
) -> AsyncIterator[Schools]:
    """The page of somebody who may send for both; the secret of `gone` is not set."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    south = World(sid=SOUTH, limit=None, secret=Secret(SECRETS["south"]))
    north = World(
        sid=NORTH, limit=None, secret=Secret(SECRETS["north"]), others=(south,), classrooms=rooms
    )
    sandbox = Sandbox(replace(north, first_whole=False), secret=SANDBOX_SECRET)
    async with sandbox.serving() as url:
        (home / "config.toml").write_text(
            f'[profiles.north]\nsid = "{NORTH}"\nroot_url = "{url}"\nsecret_env = "NORTH"\n'
            f'[profiles.south]\nsid = "{SOUTH}"\nroot_url = "{url}"\nsecret_env = "SOUTH"\n'
        )
        held = {name.upper(): secret for name, secret in SECRETS.items() if name != gone}
        own = {"BULKCAST_HOME": str(home), "BULKCAST_STATE": str(home / "state")}
        who = {"BULKCAST_PROFILE": "north"}
        every = {**own, **who, **held, **environ}
        options = ServeOptions(every, port=0)
        async with opened(options) as state, client_of(state) as client:
            yield Schools(client, state, sandbox, every)


def listed(plan: Answer) -> list[str]:
    """The institutions of a plan, each in one line."""
    rows = plan.tree.xpath("//table[@data-institutions]/tbody/tr")
    return [" ".join(" ".join(row.itertext()).split()) for row in rows]


def parts(results: Answer) -> list[str]:
    """The institutions whose rows can be looked at alone; a star before what is looked at."""
    found = results.tree.xpath("//ul[@data-parts]//a")
    return [f"{'*' if a.get('aria-current') else ''}{a.text_content()}" for a in found]


# ------------------------------------------------------------------ before it is sent


async def test_a_name_that_is_no_institution_is_marked_in_its_cell_and_mended(
    tmp_path: Path,
) -> None:
    async with schools(tmp_path) as found:
        answer = await upload(found.client, "Term.csv", term("north", "sout", "south", ""))
        assert answer.screen == "check"
        assert "bad" in cell(answer, "A3").get("class")
        assert "bad" in cell(answer, "A5").get("class")
        place = path_of(answer)
        for where, name in (("A3", "south"), ("A5", "north")):
            await found.client.post(f"{place}/edits", {"cell": where, "text": name})
        mended = await found.client.get(f"{place}/check")
        assert "4 rows are ready" in mended.words
        run = await found.press(await found.client.get(f"{place}/plan"))
        await found.over(run)
        assert (len(found.sandbox.log), len(found.south.log)) == (2, 2)


async def test_an_institution_that_is_added_meanwhile_is_known(tmp_path: Path) -> None:
    async with schools(tmp_path) as found:
        place = path_of(await upload(found.client, "Term.csv", term("north", "west")))
        assert "bad" in cell(await found.client.get(f"{place}/check?rows=all"), "A3").get("class")
        config = tmp_path / "home" / "config.toml"
        config.write_text(
            config.read_text() + '[profiles.west]\nsid = "9"\nsecret_env = "WEST"\n', "utf-8"
        )
        assert "2 rows are ready" in (await found.client.get(f"{place}/check")).words


async def test_the_plan_names_the_institutions_and_their_rows(tmp_path: Path) -> None:
    async with schools(tmp_path) as found:
        plan = await found.planned(term("south", "north", "south", "nobody"))
        url = found.account.other_root_url
        first = await found.client.get(f"{path_of(plan)}/plan?first=1")
    assert "3 rows would be sent" in plan.words
    assert "1 row · need fixing" in plan.words
    assert listed(plan) == [f"south SID {SOUTH} {url} 2", f"north SID {NORTH} {url} 1"]
    (form,) = plan.tree.xpath("//form[contains(@action, '/apply')]")
    assert "LIVE 2 institutions: south, north" in " ".join(form.text_content().split())
    assert next_step(plan) == "Apply 3 rows"
    assert listed(first) == [f"south SID {SOUTH} {url} 1"]


async def test_one_without_its_secret_is_told_and_the_others_are_sent(tmp_path: Path) -> None:
    async with schools(tmp_path, gone="south") as found:
        plan = await found.planned(term("north", "south", "south"))
        assert "1 row would be sent" in plan.words
        assert "2 rows · of institutions for which nothing can be sent" in plan.words
        assert "Nothing will be sent for it: the variable SOUTH" in listed(plan)[0]
        assert next_step(plan) == "Apply 1 row"
        run = await found.press(plan)
        await found.over(run)
        results = await found.client.get(f"/runs/{run}/results")
        assert "Stopped before the end: 2 rows are left" in results.words
        assert "Nothing was sent for south" in results.words
        assert figures(results) == {"All rows": 3, "applied": 1, "not sent": 2}
        assert next_action(results) == f"/runs/{run}/resume"

        found.environ["SOUTH"] = SECRETS["south"]
        await found.client.post(f"/runs/{run}/resume")
        await found.over(run)
        results = await found.client.get(f"/runs/{run}/results")
        assert "All 3 rows are done" in results.words
        assert (len(found.sandbox.log), len(found.south.log)) == (1, 2)


async def test_while_others_are_sent_the_run_says_whom_nothing_is_sent_for(tmp_path: Path) -> None:
    async with schools(tmp_path, gone="south") as found:
        run = await found.send(term("south", *["north"] * 200), "?rate=300")
        await until(lambda: found.sandbox.log)
        shown = await found.client.get(f"/runs/{run}")
        assert "2 institutions: south, north" in shown.words
        (said,) = banners(shown)
        assert said.startswith("Nothing was sent for south: the variable SOUTH")
        await found.client.post(f"/runs/{run}/stop")
        await found.over(run)


async def test_where_nothing_can_be_sent_for_any_the_reason_is_said(tmp_path: Path) -> None:
    async with schools(tmp_path, gone="south") as found:
        plan = await found.planned(term("south", "south"))
    assert any("the variable SOUTH" in one for one in banners(plan))
    assert next_step(plan) == "Look at the rows"


async def test_the_account_in_use_need_not_be_among_them(tmp_path: Path) -> None:
    async with schools(tmp_path, BULKCAST_SID="5", BULKCAST_SECRET="") as found:
        run, results = await found.sent(term("north", "south"))
        home = await found.client.get("/")
    assert "All 2 rows are done" in results.words
    assert home.tree.xpath("//tr/@data-run") == [run]


async def test_whom_it_is_for_is_asked_again_if_that_has_changed(tmp_path: Path) -> None:
    async with schools(tmp_path) as found:
        plan = await found.planned(term("north", "south"))
        config = tmp_path / "home" / "config.toml"
        config.write_text(config.read_text().replace(SOUTH, "1000084"), "utf-8")
        answer = await found.client.post(f"{path_of(plan)}/apply", fields(plan, "/apply"))
        assert (answer.status, answer.screen) == (409, "plan")
        assert any("Another institution was chosen" in one for one in banners(answer))
        assert not found.sandbox.log


# ------------------------------------------------------------------ while it is sent


async def test_a_group_is_one_run_on_every_screen(tmp_path: Path) -> None:
    async with schools(tmp_path, classroom(4, NOT_OURS)) as found:
        run, results = await found.sent(term("north", "south", "north", "south", "nobody"))
        assert figures(results) == {"All rows": 5, "applied": 3, "invalid": 1, "rejected": 1}
        assert "3 of 5 rows are done, 2 need fixing" in results.words
        home = await found.client.get("/")
        assert home.tree.xpath("//tr/@data-run") == [run]
        assert "2 institutions: north, south" in home.words
        part = await found.client.get(f"/runs/{run}-2")
        assert part.url.endswith(f"/runs/{run}/results")
        assert parts(results) == ["*All institutions", "north", "south"]
        (south,) = results.tree.xpath("//ul[@data-parts]//a[text()='south']/@href")
        alone = await found.client.get(south)
        assert figures(alone) == {"All rows": 2, "applied": 2}
        assert parts(alone) == ["All institutions", "north", "*south"]
        whole = await found.client.get(f"/runs/{run}/results.sheet?kind=xlsx")
        assert [str(row["bulkcast_run"])[len(run) :] for row in book(whole)] == [
            "-1", "-2", "-1", "-2", "-1",
        ]  # fmt: skip
        failed = await found.client.get(f"/runs/{run}/results.sheet?kind=xlsx&only=rejected")
        assert [row["customColumn"] for row in book(failed)] == ["row 4"]
        summary = await found.client.get(f"/runs/{run}/summary.html")
        assert f"{NORTH}, {SOUTH}" in summary.text
        assert (await found.client.get(f"/runs/{run[:-1]}")).status == 404


async def test_a_group_is_paused_continued_and_stopped_as_one(tmp_path: Path) -> None:
    content = term(*["north", "south"] * 150)
    async with schools(tmp_path) as found:
        run = await found.send(content, "?rate=300")
        shown = await found.client.get(f"/runs/{run}")
        assert shown.screen == "apply"
        assert next_steps(shown) == ["Pause"]
        await until(lambda: found.sandbox.log and found.south.log)
        now = await found.snapshot(run)
        assert now["phase"] == "running"
        assert sum(one["n"] for one in now["counts"]) == 300
        assert "superseded" not in {one["status"] for one in now["counts"]}

        await found.client.post(f"/runs/{run}/pause")
        async with asyncio.timeout(20):
            while (now := await found.snapshot(run))["phase"] != "paused":
                await asyncio.sleep(0.05)
        sent = len(found.sandbox.log) + len(found.south.log)
        await found.client.post(f"/runs/{run}/continue")
        await until(lambda: len(found.sandbox.log) + len(found.south.log) > sent)

        await found.client.post(f"/runs/{run}/stop")
        await found.over(run)
        results = await found.client.get(f"/runs/{run}")
        assert "Stopped before the end" in results.words
        assert next_action(results) == f"/runs/{run}/resume"


async def test_a_group_that_was_stopped_goes_on_and_counts_all_its_rows(tmp_path: Path) -> None:
    async with schools(tmp_path) as found:
        run = await found.send(term(*["north", "south"] * 150), "?rate=300")
        await until(lambda: found.sandbox.log and found.south.log)
        await found.client.post(f"/runs/{run}/stop")
        await found.over(run)
        applied = figures(await found.client.get(f"/runs/{run}"))["applied"]

        answer = await found.client.post(f"/runs/{run}/resume")
        assert answer.screen == "apply"
        now = await found.snapshot(run)
        counted = {one["status"]: one["n"] for one in now["counts"]}
        assert sum(counted.values()) == 300
        assert counted["applied"] >= applied
        assert set(counted) <= {"applied", "not_sent"}
        await found.client.post(f"/runs/{run}/stop")
        await found.over(run)


async def test_a_run_of_one_of_them_under_way_leaves_the_other(tmp_path: Path) -> None:
    async with schools(tmp_path) as found:
        first = await found.send(term(*["south"] * 300, word="first"), "?rate=300")
        plan = await found.planned(term("north", "south", word="second"))
        assert "Nothing will be sent for it" in listed(plan)[0]
        assert f"run {first}-1" in listed(plan)[0]
        second = await found.press(plan)
        await found.over(second)
        results = await found.client.get(f"/runs/{second}/results")
        assert figures(results) == {"All rows": 2, "applied": 1, "not sent": 1}
        await found.client.post(f"/runs/{first}/stop")
        await found.over(first)
        await found.client.post(f"/runs/{second}/resume")
        await found.over(second)
        assert "All 2 rows are done" in (await found.client.get(f"/runs/{second}/results")).words


async def test_a_group_that_another_program_sends_is_seen_and_goes_on_after_its_crash(
    tmp_path: Path,
) -> None:
    sheet = tmp_path / "Term.csv"
    sheet.write_bytes(term(*["north", "south"] * 40))
    async with schools(tmp_path) as found:
        program = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bulkcast", "apply", str(sheet), "--yes", "--rate", "300/min",
            env={**os.environ, **found.environ},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            await until(lambda: found.sandbox.log and found.south.log)
            (run,) = (await found.client.get("/")).tree.xpath("//tr/@data-run")
            shown = await found.client.get(f"/runs/{run}")
            assert any("Another program on this computer sends it" in one for one in banners(shown))
        finally:
            program.kill()
            await program.wait()
        async with asyncio.timeout(20):
            while (now := await found.snapshot(run))["phase"] != "interrupted":
                await asyncio.sleep(0.05)
        assert sum(one["n"] for one in now["counts"]) == 80
        assert next_action(await found.client.get(f"/runs/{run}")) == f"/runs/{run}/resume"
        await found.client.post(f"/runs/{run}/resume")
        await found.over(run)
        assert "All 80 rows are done" in (await found.client.get(f"/runs/{run}/results")).words


async def test_failures_of_every_institution_are_listed_as_they_come(tmp_path: Path) -> None:
    rooms = (classroom(2, NOT_OURS), classroom(3, NOT_OURS))
    async with schools(tmp_path, *rooms) as found:
        run = await found.send(term("north", "north", *["south"] * 200), "?rate=300")
        async with asyncio.timeout(20):
            while len((now := await found.snapshot(run))["failures"]) < 2:
                await asyncio.sleep(0.05)
        assert {one["row"] for one in now["failures"]} == {"2", "3"}
        await found.client.post(f"/runs/{run}/stop")
        await found.over(run)


# ------------------------------------------------------------------ after it was sent


async def test_failed_rows_are_mended_and_sent_where_they_belong(tmp_path: Path) -> None:
    async with schools(tmp_path) as found:
        run, results = await found.sent(term("north", "south", "nobody"))
        assert "2 of 3 rows are done, 1 needs fixing" in results.words
        draft = await found.client.post(f"/runs/{run}/resubmit")
        assert draft.screen == "check"
        place = path_of(draft)
        await found.client.post(f"{place}/edits", {"cell": "A4", "text": "south"})
        plan = await found.client.get(f"{place}/plan")
        assert next_step(plan) == "Apply 1 row"
        assert len(listed(plan)) == 1
        again = await found.press(plan)
        await found.over(again)
        done = await found.client.get(f"/runs/{again}/results")
        assert "All 3 rows are done" in done.words
        assert (len(found.sandbox.log), len(found.south.log)) == (1, 2)


async def test_undo_takes_a_group_back_with_one_sheet(tmp_path: Path) -> None:
    async with schools(tmp_path) as found:
        await found.sent(term("north", "south", live=0))
        run, _ = await found.sent(term("north", "south", live=1))
        asked = await found.client.get(f"/runs/{run}/undo")
        assert asked.status == 200
        draft = await found.client.post(f"/runs/{run}/undo")
        assert draft.screen == "check"
        plan = await found.client.get(f"{path_of(draft)}/plan")
        assert len(listed(plan)) == 2
        back = await found.press(plan)
        await found.over(back)
        assert "All 2 rows are done" in (await found.client.get(f"/runs/{back}/results")).words
        for log in (found.sandbox.log, found.south.log):
            assert len(log) == 3


async def test_a_demonstration_plays_every_institution(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        place = path_of(await upload(client, "Term.csv", term("north", "south", "south")))
        plan = await client.get(f"{place}/plan")
        assert "DEMO 2 institutions: north, south" in plan.words
        answer = await client.post(f"{place}/apply", fields(plan, "/apply"))
        run = answer.url.split("/runs/")[1].partition("/")[0]
        async with asyncio.timeout(30):
            while answer.screen != "results":
                await asyncio.sleep(0.1)
                answer = await client.get(f"/runs/{run}")
        assert run.startswith("sandbox-")
        assert "All 3 rows are done" in answer.words


async def test_the_screens_are_told_in_chinese(tmp_path: Path) -> None:
    async with schools(tmp_path, gone="south") as found:
        found.client.session.cookie_jar.update_cookies({"bulkcast-lang": "zh"})
        plan = await found.planned(term("north", "south"))
    assert "发送给哪些机构" in plan.words
    assert "1 个机构：north" in plan.words
    assert "For whom" not in plan.words
    assert "不会向该机构发送" in listed(plan)[0]


async def test_rows_are_found_by_what_is_wrong_with_their_institution(tmp_path: Path) -> None:
    async with schools(tmp_path) as found:
        answer = await upload(found.client, "Term.csv", term("north", "sout", "", "elsewhere"))
        assert chips(answer, "problem")[2:] == [
            "Institution misspelt 1", "No institution 1", "Unknown institution 1",
        ]  # fmt: skip
        one = await found.client.get(f"{path_of(answer)}/check?problem=institution.missing")
        assert one.tree.xpath("//table[@data-grid]//tr/@data-row") == ["4"]
        offered = one.tree.xpath("//datalist[@id='institutions']/option/@value")
        assert offered == ["north", "south"]
