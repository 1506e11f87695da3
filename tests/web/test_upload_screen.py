"""Upload: every kind of file has its own answer, and a name is never a path."""

import asyncio
import unicodedata
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from bulkcast.web import upload_screen
from bulkcast.web.drafts import shown_name
from tests.page_client import SAME_ORIGIN, page
from tests.page_sheets import banners, fields, next_step, paste, path_of, upload

GOOD = b"activityId,recordState\n25096094,1\n"


def folders(home: Path) -> list[Path]:
    return sorted(home.glob("**/uploads/*"))


def strays(home: Path) -> list[Path]:
    return list(home.rglob("evil*"))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.csv", None, "empty.csv is empty"),
        ("with-a-password.xlsx", None, "with-a-password.xlsx has a password to open it"),
        ("term.numbers", GOOD, "term.numbers is a Numbers spreadsheet; save it as .xlsx"),
        ("~$term.xlsx", GOOD, "the mark Excel leaves beside an open workbook; give term.xlsx"),
        ("term.docx", GOOD, "term.docx is not a kind of sheet that can be read"),
        ("term.plan", GOOD, "term.plan is a plan and no sheet"),
        ("not-a-workbook.xlsx", None, "not-a-workbook.xlsx"),
        ("cut-off.xlsx", None, "cut-off.xlsx"),
        ("web-page.xls", None, "web-page.xls"),
    ],
)
async def test_each_refusal_says_why_and_keeps_nothing(
    tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    async with page(tmp_path) as client:
        answer = await upload(client, name, content)
    assert (answer.status, answer.screen) == (400, "upload")
    assert said in answer.words
    assert "sheet.xls" not in answer.words
    assert answer.tree.xpath("string(//*[@id='file-error'])")
    assert folders(tmp_path) == []


async def test_no_file_is_told_at_the_field(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        answer = await client.post(
            "/upload", aiohttp.FormData({"file": ""}, default_to_multipart=True)
        )
        assert "Choose a file first" in answer.words
        answer = await paste(client, " \r\n ")
        assert answer.tree.xpath("string(//*[@id='pasted-error'])")


@pytest.mark.parametrize("name", ["term.csv", "term.xlsx"])
async def test_a_file_that_is_too_large_is_refused_while_it_arrives(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_screen, "TEXT_MOST", 3 << 20)
    monkeypatch.setattr(upload_screen, "WORKBOOK_MOST", 2 << 20)
    content = GOOD + b"x" * (4 << 20)
    async with page(tmp_path) as client:
        answer = await upload(client, name, content[: (3 << 20) + 70_000])
        assert answer.status == 400
        assert f"{name} is larger than {3 if name.endswith('csv') else 2} MB" in answer.words
        announced = await upload(client, name, content + b"x" * (1 << 20))
        assert announced.status == 413
    assert folders(tmp_path) == []


async def test_a_form_that_is_no_upload_is_refused(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        answer = await client.post("/upload", {"file": "x"})
        assert answer.status == 400
        broken = {**SAME_ORIGIN, "Content-Type": "multipart/form-data; boundary=x"}
        async with client.session.post(
            client.root + "/upload", data=b"--x\r\nnonsense", headers=broken
        ) as got:
            assert got.status == 400
    assert folders(tmp_path) == []


HOSTILE_NAMES = [
    "../../../../evil.csv", "..\\..\\evil.csv", "/etc/cron.d/evil.csv", "C:\\evil.csv", "CON.csv",
    "evil.csv\x00.csv", "a\u202egnp.csv", "a\u2066b\u200b.csv", "x" * 300 + ".csv",
    "…/. ./evil.csv",
    "<script>alert(1)</script>.csv", "%2e%2e%2fevil.csv", "cafe\u0301.csv",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_name_is_only_ever_text(name: str) -> None:
    shown = shown_name(name)
    assert 0 < len(shown) <= 120
    assert not {"/", "\\", "\x00"} & set(shown)
    assert all(unicodedata.category(c)[0] != "C" for c in shown)
    assert unicodedata.is_normalized("NFC", shown)
    assert shown.endswith(".csv")


@pytest.mark.parametrize("name", [name for name in HOSTILE_NAMES if "\x00" not in name])
async def test_a_file_lies_in_its_own_folder_whatever_it_is_called(
    tmp_path: Path, name: str
) -> None:
    async with page(tmp_path / "home") as client:
        answer = await upload(client, name, GOOD)
    assert answer.screen == "check", answer.words
    assert "<script>alert" not in answer.text
    (folder,) = folders(tmp_path)
    assert sorted(p.name for p in folder.iterdir()) == ["draft.json", "sheet.csv"]
    assert not strays(tmp_path)
    assert all((folder / name).stat().st_mode & 0o077 == 0 for name in ("draft.json", "sheet.csv"))


async def test_a_file_that_stops_arriving_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_screen, "_STALLED_S", 0.5)

    async def stalled() -> AsyncIterator[bytes]:
        head = b'Content-Disposition: form-data; name="file"; filename="a.csv"'
        yield b"--x\r\n" + head + b"\r\n\r\nactivityId"
        await asyncio.sleep(30)

    async with page(tmp_path) as client:
        sending = asyncio.ensure_future(
            client.session.post(
                f"{client.root}/upload",
                data=stalled(),
                headers={**SAME_ORIGIN, "Content-Type": "multipart/form-data; boundary=x"},
            )
        )
        await asyncio.sleep(0.1)
        async with asyncio.timeout(10):
            answer = await upload(client, "term.csv", GOOD)
        assert answer.screen == "check"
        assert (await sending).status == 400
        assert len(folders(tmp_path)) == 1


# ------------------------------------------------------------------ where it leads


@pytest.mark.parametrize(
    ("name", "screen"),
    [
        ("with-a-mark.csv", "check"),
        ("tabs.csv", "check"),
        ("old-kind.xls", "check"),
        ("gb18030.csv", "upload"),
        ("two-sheets.xlsx", "upload"),
        ("no-header.csv", "upload"),
        ("near-miss-header.csv", "columns"),
        ("ambiguous-class-id.csv", "columns"),
        ("instructions-first.xlsx", "check"),
    ],
)
async def test_a_file_leads_to_the_first_thing_to_decide(
    tmp_path: Path, name: str, screen: str
) -> None:
    async with page(tmp_path) as client:
        answer = await upload(client, name)
        assert (answer.status, answer.screen) == (200, screen)
        assert next_step(answer)
        assert name in answer.tree.xpath("string(//title)")


async def test_a_guessed_encoding_is_confirmed_by_eye(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        answer = await upload(client, "gb18030.csv")
        assert "课堂ID" in answer.words
        assert next_step(answer) == "It reads right: continue"
        again = await client.post(f"{path_of(answer)}/reading", fields(answer, "/reading"))
        assert (again.screen, "高中数学" in again.words) == ("upload", True)
        assert not banners(again)
        told = {**fields(answer, "/reading"), "then": "next"}
        assert (await client.post(f"{path_of(answer)}/reading", told)).screen == "check"


async def test_garbled_text_is_mended_by_another_encoding(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        answer = await upload(client, "big5-under-plain-headers.csv")
        assert "課鐘" not in str(answer.tree.xpath("string(//table)"))
        told = {**fields(answer, "/reading"), "encoding": "big5"}
        again = await client.post(f"{path_of(answer)}/reading", told)
        assert "課鐘" in str(again.tree.xpath("string(//table)"))


async def test_the_worksheet_is_chosen(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        answer = await upload(client, "two-sheets.xlsx")
        assert "sheet.xlsx" not in answer.words
        told = {**fields(answer, "/reading"), "tab": "Classes (2)", "then": "next"}
        again = await client.post(f"{path_of(answer)}/reading", told)
        assert again.screen == "check"
        assert "Classes (2)" in (await client.get(path_of(answer))).words


async def test_the_header_row_is_chosen_where_no_line_names_a_setting(tmp_path: Path) -> None:
    content = b"Plan\nRaum,Aufnahme\n25096094,1\n"
    async with page(tmp_path) as client:
        answer = await upload(client, "plan.csv", content)
        assert answer.screen == "upload"
        told = {**fields(answer, "/reading"), "header_row": "2", "then": "next"}
        again = await client.post(f"{path_of(answer)}/reading", told)
        assert again.screen == "columns"
        mapped = {"column-0": "activityId", "column-1": "recordState"}
        done = await client.post(f"{path_of(answer)}/columns", mapped)
        assert (done.screen, "1 row is ready" in done.words) == ("check", True)


async def test_hidden_rows_are_told_and_can_be_left_out(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        answer = await client.get(path_of(await upload(client, "hidden-rows.xlsx")))
        assert "hidden" in answer.words
        told = {**fields(answer, "/reading"), "hidden": "skip"}
        again = await client.post(f"{path_of(answer)}/reading", told)
        assert "left out" in again.words


async def test_an_option_without_sense_is_told(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        answer = await client.get(path_of(await upload(client, "tabs.csv")))
        told = {**fields(answer, "/reading"), "delimiter": '"'}
        again = await client.post(f"{path_of(answer)}/reading", told)
        assert again.status == 400
        assert again.screen == "upload"


# ------------------------------------------------------------------ pasted cells, and drafts


@pytest.mark.parametrize(
    "text",
    [
        'activityId\trecordState\r\n25096094\ton\r\n25096095\t"on"',
        "activityId,recordState\n1,1\n2,1",
    ],
)
async def test_cells_are_pasted(tmp_path: Path, text: str) -> None:
    async with page(tmp_path) as client:
        answer = await paste(client, text)
        assert answer.screen == "check"
        assert "2 rows are ready" in answer.words
        assert "Pasted cells" in answer.words


async def test_the_sample_term_is_one_click_away(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        assert "/sample" in (await client.get("/upload")).text
        answer = await client.post("/sample")
        assert (answer.screen, "495 rows ready" in answer.words) == ("check", True)


async def test_a_draft_survives_a_restart_and_is_removed_when_asked(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        place = path_of(await upload(client, "term.csv", GOOD))
        await client.post(f"{place}/edits", {"cell": "B2", "text": "0"})
    async with page(tmp_path) as client:
        answer = await client.get(f"{place}/check?rows=all")
        assert "1 cell is changed here" in answer.words
        assert (await client.post(f"{place}/discard")).screen == "home"
        assert (await client.get(f"{place}/check")).status == 404
    assert folders(tmp_path) == []


@pytest.mark.parametrize("draft", ["none", "..%2f..%2fetc", "A", "a" * 80])
async def test_what_is_no_draft_is_not_found(tmp_path: Path, draft: str) -> None:
    async with page(tmp_path) as client:
        for screen in ("", "/columns", "/check", "/plan", "/marked"):
            answer = await client.get(f"/drafts/{draft}{screen}")
            assert answer.status == 404, screen


async def test_a_damaged_draft_is_not_found(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        place = path_of(await upload(client, "term.csv", GOOD))
        (folder,) = folders(tmp_path)
        (folder / "draft.json").write_text("{")
        assert (await client.get(f"{place}/check")).status == 404
        assert (await client.get("/upload")).status == 200


async def test_many_uploads_at_once(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        answers = await asyncio.gather(*(upload(client, f"t{n}.csv", GOOD) for n in range(20)))
    assert {answer.screen for answer in answers} == {"check"}
    assert len(folders(tmp_path)) == 20
