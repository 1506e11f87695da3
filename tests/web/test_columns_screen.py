"""Columns: what is said once is applied, kept for this institution, and told on the next sheet."""

import json
from io import BytesIO
from pathlib import Path

import openpyxl

from bulkcast.headers import fold
from tests.page_client import Answer, page
from tests.page_sheets import banners, fields, next_step, path_of, upload

SHEET = b"activityId,recrodState,Lehrer\n25096094,1,x\n25096095,0,y\n"
WORDS = "activityId,recordState\n1,开播\n2,on\n3,开播\n4,停播\n".encode()


def memory(home: Path) -> Path:
    """The file in which an institution's columns are kept."""
    (kept,) = home.rglob("columns.json")
    return kept


def matches(answer: Answer) -> dict[str, str]:
    found = answer.tree.xpath("//tr[@data-column]")
    return {row.get("data-column"): row.get("data-match") for row in found}


async def test_an_uncertain_header_is_asked_about_with_its_values(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        answer = await upload(client, "term.csv", SHEET)
    assert matches(answer) == {"B": "similar", "A": "exact", "C": "ignored"}
    assert "1 column needs your answer" in answer.words
    assert "25096094" in answer.words
    assert fields(answer, "/columns")["column-1"] == "recordState"


async def test_an_answer_is_applied_and_remembered_for_the_next_sheet(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        answer = await upload(client, "term.csv", SHEET)
        done = await client.post(f"{path_of(answer)}/columns", fields(answer, "/columns"))
        assert (done.screen, "2 rows are ready" in done.words) == ("check", True)
        again = await upload(client, "next.csv", SHEET)
        assert again.screen == "check"
        assert any("recrodState" in banner for banner in banners(again))
        shown = await client.get(f"{path_of(again)}/columns")
        assert matches(shown)["B"] == "mapped"
    kept = memory(tmp_path)
    assert kept.stat().st_mode & 0o077 == 0
    assert json.loads(kept.read_text())["mapping"] == {fold("recrodState"): "recordState"}


async def test_what_was_said_can_be_taken_back(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        answer = await upload(client, "term.csv", SHEET)
        place = path_of(answer)
        await client.post(f"{place}/columns", {"column-1": ""})
        shown = await client.get(f"{place}/columns")
        assert fields(shown, "/columns")["column-1"] == ""
        forgotten = await client.post(f"{place}/columns", {"column-1": "own"})
        assert forgotten.screen == "columns"
        assert (await upload(client, "next.csv", SHEET)).screen == "columns"


async def test_a_sheet_whose_headers_were_all_said_before_is_read_at_once(tmp_path: Path) -> None:
    content = b"Semester 1\nRaum,Aufnahme\n25096094,1\n"
    async with page(tmp_path) as client:
        answer = await upload(client, "plan.csv", content)
        told = {**fields(answer, "/reading"), "header_row": "2", "then": "next"}
        asked = await client.post(f"{path_of(answer)}/reading", told)
        mapped = {"column-0": "activityId", "column-1": "recordState"}
        await client.post(f"{path_of(asked)}/columns", mapped)
        again = await upload(client, "plan2.csv", content)
        assert (again.screen, "1 row is ready" in again.words) == ("check", True)


async def test_an_odd_word_is_explained_once(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        answer = await upload(client, "term.csv", WORDS)
        assert answer.screen == "check"
        assert "2 words are none of the choices" in answer.words
        place = path_of(answer)
        asked = await client.get(f"{place}/columns")
        said = {**fields(asked, "/columns"), "word-0": "1", "word-1": ""}
        done = await client.post(f"{place}/columns", said)
        assert "3 rows are ready" in done.words.replace("rows ready", "rows are ready")
        assert "3 cells are changed here" in done.words
        again = await upload(client, "next.csv", WORDS)
        assert any("开播" in banner for banner in banners(again))
        assert "3 cells are changed here" in again.words


async def test_an_answer_is_for_the_word_it_was_given_for(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        place = path_of(await upload(client, "term.csv", WORDS))
        asked = await client.get(f"{place}/columns")
        said = {**fields(asked, "/columns"), "word-0": "1"}
        await client.post(f"{place}/columns", said)
        twice = await client.post(f"{place}/columns", said)  # pressed twice: word 0 is another now
        assert "1 word is none of the choices" in twice.words
        left = await client.get(f"{place}/columns")
        assert len(left.tree.xpath("//select[starts-with(@name, 'word-')]")) == 1


async def test_an_answer_is_for_the_header_it_was_given_for(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for name, header in (("one", "Raum"), ("two", "Aufnahme")):
        tab = book.create_sheet(name)
        tab.append([header, "recordState"])
        tab.append([25096094, 1])
    del book["Sheet"]
    held = BytesIO()
    book.save(held)
    async with page(tmp_path) as client:
        place = path_of(await upload(client, "term.xlsx", held.getvalue()))
        one = {"tab": "one", "header_row": "1"}
        await client.post(f"{place}/reading", one)
        asked = await client.get(f"{place}/columns")
        said = {**fields(asked, "/columns"), "column-0": "activityId"}
        await client.post(f"{place}/reading", {**one, "tab": "two"})  # in another tab
        await client.post(f"{place}/columns", said)
        answer = await client.get(f"{place}/columns")
        assert fields(answer, "/columns")["column-0"] == "own"


async def test_what_one_institution_says_is_not_anothers(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        answer = await upload(client, "term.csv", SHEET)
        await client.post(f"{path_of(answer)}/columns", fields(answer, "/columns"))
    environ = {"BULKCAST_SID": "77", "BULKCAST_SECRET": "another"}
    async with page(tmp_path, environ) as client:
        assert (await upload(client, "term.csv", SHEET)).screen == "columns"
        assert (await client.get(path_of(answer))).status == 404


async def test_a_header_that_is_wrong_otherwise_keeps_asking(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        answer = await upload(client, "two-columns-for-one-setting.csv")
        assert (answer.screen, next_step(answer)) == ("columns", "Continue to the check")
        again = await client.post(f"{path_of(answer)}/columns", fields(answer, "/columns"))
        assert again.screen == "columns"


async def test_a_damaged_memory_is_no_obstacle(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        answer = await upload(client, "term.csv", SHEET)
        await client.post(f"{path_of(answer)}/columns", fields(answer, "/columns"))
        memory(tmp_path).write_text('{"mapping": []')
        assert (await upload(client, "term.csv", SHEET)).screen == "columns"
