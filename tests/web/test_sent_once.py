"""What is pressed twice, or in two tabs, is sent once."""

import asyncio
import errno
import os
from pathlib import Path

import pytest

from bulkcast import pipeline, profiles
from bulkcast.model import Secret
from bulkcast.profiles import Profile
from bulkcast.sandbox import Sandbox, World
from tests.page_client import page
from tests.page_sheets import banners, fields, next_step, path_of, upload
from tests.page_terms import SECRET, classin, ended, term


def runs(home: Path) -> list[Path]:
    return sorted((home / "sandbox" / "runs").glob("sandbox-*"))


async def test_a_button_that_is_pressed_twice_sends_once(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        place = path_of(await upload(client, "term.csv", term(1)))
        told = fields(await client.get(f"{place}/plan"), "/apply")
        first, second = await asyncio.gather(
            client.post(f"{place}/apply", told), client.post(f"{place}/apply", told)
        )
        run = (await ended(client, first)).url.split("/runs/")[1].split("/")[0]
        assert run in second.url
        third = await client.post(f"{place}/apply", told)  # from a tab that still shows the plan
        assert run in third.url
        assert (await client.get("/")).text.count("data-run=") == 1


async def test_a_sheet_can_be_sent_again_from_a_plan_that_says_so(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        place = path_of(await upload(client, "term.csv", term(1)))
        shown = await client.get(f"{place}/plan")
        await ended(client, await client.post(f"{place}/apply", fields(shown, "/apply")))
        shown = await client.get(f"{place}/plan")
        assert any("sent before" in banner for banner in banners(shown))
        await ended(client, await client.post(f"{place}/apply", fields(shown, "/apply")))
        assert (await client.get("/")).text.count("data-run=") == 2


async def test_a_sheet_that_is_being_sent_is_not_removed(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        place = path_of(await upload(client, "term.csv", term(2000)))
        told = fields(await client.get(f"{place}/plan"), "/apply")
        sending = asyncio.ensure_future(client.post(f"{place}/apply", told))
        await asyncio.sleep(0.05)
        await client.post(f"{place}/discard")
        answer = await sending
        assert answer.screen == "apply", answer.words
        folder = tmp_path / "sandbox" / "uploads" / place.split("/")[2]
        assert (folder / "sheet.csv").exists()
        run = answer.url.split("/runs/")[1].split("?")[0]
        await client.post(f"/runs/{run}/stop")
        await ended(client, answer)
        assert list(folder.glob("*results*"))


async def test_an_edit_that_is_taken_back_can_be_sent(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        place = path_of(await upload(client, "term.csv", term(2)))
        await client.post(f"{place}/edits", {"cell": "D2", "text": "on"})
        await client.get(f"{place}/plan")
        await client.post(f"{place}/edits", {"cell": "D3", "text": "off"})
        await client.get(f"{place}/plan")
        await client.post(f"{place}/edits", {"action": "undo"})
        shown = await client.get(f"{place}/plan")
        assert next_step(shown) == "Apply 2 rows"
        answer = await client.post(f"{place}/apply", fields(shown, "/apply"))
        assert answer.status == 200, answer.words
        await ended(client, answer)


async def test_a_full_disk_is_told_and_a_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with page(tmp_path) as client:
        place = path_of(await upload(client, "term.csv", term(2)))
        told = fields(await client.get(f"{place}/plan"), "/apply")

        def full(path: Path, _text: str) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

        monkeypatch.setattr("bulkcast.web.drafts.write_private", full)
        answer = await client.post(f"{place}/edits", {"cell": "D2", "text": "on"})
        assert answer.status == 400
        assert "No space left on device" in answer.words
        assert str(tmp_path) not in answer.text
        await ended(client, await client.post(f"{place}/apply", told))


@pytest.mark.slow
async def test_a_reading_that_is_changed_keeps_what_another_tab_has_done(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        place = path_of(await upload(client, "term.csv", term(20_000)))
        reading = client.post(f"{place}/reading", {"duplicates": "in-order", "back": "check"})
        changing = asyncio.ensure_future(reading)
        await asyncio.sleep(0)
        await client.post(f"{place}/edits", {"cell": "D2", "text": "on"})
        await changing
        answer = await client.get(f"{place}/check")
        assert "1 cell is changed here" in answer.words
        assert "the row further down counts" in answer.words


async def test_what_was_planned_for_one_school_is_not_sent_to_another(tmp_path: Path) -> None:
    worlds = [Sandbox(World(sid=sid, limit=None), secret=Secret(SECRET)) for sid in ("71", "72")]
    async with worlds[0].serving() as one, worlds[1].serving() as two:
        for sid, root_url in (("71", one), ("72", two)):
            profiles.save(tmp_path, Profile(f"school {sid}", sid, root_url), Secret(SECRET))
        async with page(tmp_path) as client:
            await client.post("/settings/use", {"account": "profile:school 71"})
            place = path_of(await upload(client, "term.csv", term(1)))
            told = fields(await client.get(f"{place}/plan"), "/apply")
            await client.post("/settings/use", {"account": "profile:school 72"})
            answer = await client.post(f"{place}/apply", told)
            assert answer.status == 409
            assert any("Another institution was chosen" in banner for banner in banners(answer))
            await client.post("/settings/use", {"account": "demo"})
            assert (await client.post(f"{place}/apply", told)).status == 404
    assert not worlds[0].log
    assert not worlds[1].log


async def test_what_was_rehearsed_counts_for_nothing_at_a_school(tmp_path: Path) -> None:
    async with page(tmp_path / "demo") as client:
        place = path_of(await upload(client, "term.csv", term(2)))
        told = fields(await client.get(f"{place}/plan"), "/apply")
        over = await ended(client, await client.post(f"{place}/apply", told))
        result = await client.get(over.tree.xpath("//a[@data-download='results']/@href")[0])
    async with classin() as environ, page(tmp_path / "live", environ) as client:
        answer = await upload(client, "done.csv", result.body)
        assert "all of its rows are sent" in answer.words
        place = path_of(answer)
        await client.post(f"{place}/reading", {"send": "needed"})
        for screen in ("check", "plan"):
            shown = await client.get(f"{place}/{screen}")
            assert "ClassIn never got them" in shown.words
            assert "sheet.csv" not in shown.words
            assert not shown.tree.xpath("//*[@data-apply]")


@pytest.mark.slow
async def test_after_a_purge_nothing_of_an_upload_is_left(tmp_path: Path) -> None:
    content = b"activityId,recordState,watchPassword\n1001,on,hidden-pw-77\n1002,on,hidden-pw-78\n"
    home = tmp_path / "sandbox"
    async with page(tmp_path) as client:
        place = path_of(await upload(client, "term.csv", content))
        runs = []
        for text in ("typed-pw-79", "typed-pw-80"):
            await client.post(f"{place}/edits", {"cell": "C2", "text": text})
            await client.get(f"{place}/marked")
            told = fields(await client.get(f"{place}/plan"), "/apply")
            over = await ended(client, await client.post(f"{place}/apply", told))
            runs.append(over.url.split("/runs/")[1].split("/")[0])
    folder = home / "uploads" / place.removeprefix("/drafts/")
    pipeline.purge(home, pipeline.purgeable(home, run=runs[0], older_than_s=0))
    assert folder.exists()  # the second run was made of it, too
    pipeline.purge(home, pipeline.purgeable(home, run=runs[1], older_than_s=0))
    assert not folder.exists()
    files = [path for path in home.rglob("*") if path.is_file() and "world" not in path.name]
    assert not [path for path in files if b"-pw-" in path.read_bytes()]
