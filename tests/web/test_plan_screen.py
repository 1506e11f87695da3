"""Plan: the numbers, and that exactly what was shown is sent."""

import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from bulkcast.sandbox import SANDBOX_SID
from tests.page_client import Answer, page
from tests.page_sheets import banners, fields, next_step, path_of, upload
from tests.page_terms import HEAD, classin, ended, term
from tests.sheets import SHANGHAI


def setting(answer: Answer, name: str) -> str:
    (row,) = answer.tree.xpath(f"//tr[th[normalize-space()='{name}']]")
    return " ".join(row.text_content().split())


async def test_the_changes_are_counted(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        place = path_of(await upload(client, "term.csv", term() + b"x,?,,,,\n"))
        answer = await client.get(f"{place}/plan")
    assert "5 rows would be sent" in answer.words
    assert "On: 2" in setting(answer, "liveState")
    assert "Off: 3" in setting(answer, "liveState")
    assert any("ClassIn bills" in banner for banner in banners(answer))
    assert "1 row · need fixing" in answer.words
    assert next_step(answer) == "Apply 5 rows"


async def test_the_first_rows_are_tried(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        place = path_of(await upload(client, "term.csv", term()))
        answer = await client.get(f"{place}/plan?first=3&rate=600")
        assert next_step(answer) == "Apply 3 rows"
        assert "2 rows · left out, to try the first rows" in answer.words
        sent = fields(answer, "/apply")
        assert (sent["first"], sent["rate"]) == ("3", "600")


async def test_numbers_in_an_address_that_make_no_sense_are_passed_over(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        place = path_of(await upload(client, "term.csv", term()))
        answer = await client.get(f"{place}/plan?first={'9' * 5000}&rate=-1")
        assert next_step(answer) == "Apply 5 rows"


async def test_rows_that_would_be_too_late_are_named(tmp_path: Path) -> None:
    soon = datetime.fromtimestamp(time.time(), SHANGHAI) + timedelta(minutes=20, seconds=40)
    async with page(tmp_path) as client:
        content = term(200, f"{soon:%Y-%m-%d %H:%M:%S}")
        place = path_of(await upload(client, "term.csv", content))
        answer = await client.get(f"{place}/plan?rate=30")
    assert any("would be too late" in banner for banner in banners(answer))
    assert any("row 200 locks" in banner or "locks" in banner for banner in banners(answer))


async def test_exactly_what_was_shown_is_sent(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        place = path_of(await upload(client, "term.csv", term()))
        await client.post(f"{place}/edits", {"cell": "D2", "text": "on"})
        shown = await client.get(f"{place}/plan")
        answer = await ended(client, await client.post(f"{place}/apply", fields(shown, "/apply")))
        assert "term.csv" in answer.words
        result = await client.get(answer.tree.xpath("//a[@data-download='results']/@href")[0])
        assert result.body.decode("utf-8-sig").splitlines()[1].split(",")[3].strip('"') == "on"
        again = await client.get(f"{place}/plan")
        assert any("sent before" in banner for banner in banners(again))


async def test_a_plan_that_has_changed_is_shown_again_and_nothing_is_sent(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        place = path_of(await upload(client, "term.csv", term()))
        shown = await client.get(f"{place}/plan")
        await client.post(f"{place}/edits", {"cell": "D2", "text": "on"})
        answer = await client.post(f"{place}/apply", fields(shown, "/apply"))
        assert (answer.status, answer.screen) == (409, "plan")
        assert any("has changed since it was shown" in banner for banner in banners(answer))
        assert "sandbox-" not in (await client.get("/")).words


@pytest.mark.parametrize("missing", ["fingerprint", "account"])
async def test_a_form_without_what_was_shown_sends_nothing(tmp_path: Path, missing: str) -> None:
    async with page(tmp_path) as client:
        place = path_of(await upload(client, "term.csv", term()))
        told = fields(await client.get(f"{place}/plan"), "/apply")
        del told[missing]
        assert (await client.post(f"{place}/apply", told)).status == 409


async def test_the_institution_stands_beside_the_button(tmp_path: Path) -> None:
    async with classin() as environ, page(tmp_path, environ) as client:
        place = path_of(await upload(client, "term.csv", term()))
        answer = await client.get(f"{place}/plan")
        (form,) = answer.tree.xpath("//form[contains(@action, '/apply')]")
        assert f"LIVE institution {SANDBOX_SID}" in " ".join(form.text_content().split())
        assert "DEMO" not in form.text_content()


async def test_what_classin_has_already_can_be_left_out(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        place = path_of(await upload(client, "term.csv", term()))
        shown = await client.get(f"{place}/plan?first=3")
        await ended(client, await client.post(f"{place}/apply", fields(shown, "/apply")))
        answer = await client.get(f"{place}/plan?unchanged=skip")
    assert next_step(answer) == "Apply 2 rows"
    assert "3 rows · already so at ClassIn" in answer.words


async def test_nothing_to_send_leads_back_to_the_rows(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        place = path_of(await upload(client, "term.csv", HEAD.encode() + b"x,?,,,,\n"))
        answer = await client.get(f"{place}/plan")
    assert next_step(answer) == "Look at the rows"


@pytest.mark.parametrize(
    "query", ["first=x", "rate=1e9", "rate=-1", "first=99999999999", "unchanged=x"]
)
async def test_a_wish_without_sense_is_passed_over(tmp_path: Path, query: str) -> None:
    async with page(tmp_path) as client:
        place = path_of(await upload(client, "term.csv", term()))
        assert next_step(await client.get(f"{place}/plan?{query}")) == "Apply 5 rows"


async def test_an_edited_result_row_that_was_done_stops_the_plan(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        place = path_of(await upload(client, "term.csv", term()))
        shown = await client.get(f"{place}/plan?first=3")
        results = await ended(client, await client.post(f"{place}/apply", fields(shown, "/apply")))
        link = results.tree.xpath("//a[@data-download='results']/@href")[0]
        sheet = (await client.get(link)).body.decode("utf-8-sig")
        edited = sheet.replace('"1001","on"', '"1001","off"').replace("1001,on", "1001,off")
        assert edited != sheet
        answer = await upload(client, "term.results.csv", edited.encode())
        assert any("changed since an earlier run was done" in b for b in banners(answer))
        plan = await client.get(f"{path_of(answer)}/plan")
        assert next_step(plan) == "Look at the rows"
