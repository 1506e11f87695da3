"""The results of a run: to be looked through, taken, fixed and sent again."""

import asyncio
import csv
import io
import time
from pathlib import Path
from urllib.parse import quote, unquote

import pytest

from bulkcast import pipeline
from bulkcast.home import folder_of
from bulkcast.pipeline import SendOptions
from tests.dispatcher_harness import classroom
from tests.page_runs import (
    MIXED,
    NAME,
    banners,
    book,
    figures,
    mixed,
    next_action,
    next_steps,
    rows,
    run_page,
    until,
    world,
)
from tests.sheets import FIRST_ID, HEAD, cells, plain, write_rows

XSS = '<img src=x onerror="alert(1)"><script>alert(2)</script>'


async def test_the_results_begin_with_what_happened_and_what_to_do(tmp_path: Path) -> None:
    async with run_page(tmp_path / "home", MIXED) as page:
        run = await mixed(page, tmp_path)
        answer = await page.client.get(f"/runs/{run}")

    assert answer.screen == "results"
    assert answer.url.endswith(f"/runs/{run}/results")
    assert answer.tree.xpath("string(//h1)") == "5 of 8 rows are done, 3 need fixing"
    assert "what is done stays done" in answer.words.lower()
    assert NAME in answer.words
    assert figures(answer) == {"All rows": 8, "applied": 5, "invalid": 1, "rejected": 2}
    assert rows(answer) == [2, 3, 4, 5, 6, 7, 8, 9]
    assert next_steps(answer) == ["Fix and resubmit 3 rows"]
    assert next_action(answer) == f"/runs/{run}/resubmit"
    assert "`bulkcast" not in answer.words  # nobody needs a terminal


async def test_rows_are_filtered_by_status_and_by_problem(tmp_path: Path) -> None:
    async with run_page(tmp_path / "home", MIXED) as page:
        run = await mixed(page, tmp_path)
        client, address = page.client, f"/runs/{run}/results"
        whole = await client.get(address)
        rejected = await client.get(f"{address}?status=rejected")
        problem = await client.get(f"{address}?status=invalid&problem=cell.not_a_choice")
        none = await client.get(f"{address}?status=unconfirmed")
        wrong = await client.get(f"{address}?status=%3Cscript%3E&page=-9&problem=%22%3E")

    assert rows(rejected) == [4, 7]
    assert rows(problem) == [5]
    assert rows(none) == []
    assert "No row ended so." in none.words
    assert rows(wrong) == []
    assert "<script>" not in wrong.text
    listed = whole.tree.xpath("//table[@data-problems]//tr/td[1]/a")
    assert [(a.text_content(), a.get("href")) for a in listed] == [
        ("2", f"{address}?status=rejected&problem=121601031"),
        ("1", f"{address}?status=invalid&problem=cell.not_a_choice"),
    ]


async def test_a_long_sheet_is_shown_in_pages(tmp_path: Path) -> None:
    async with run_page(tmp_path / "home") as page:
        run = await page.done(plain(tmp_path / "sheet.xlsx", 250))
        address = f"/runs/{run}/results"
        first = await page.client.get(address)
        last = await page.client.get(f"{address}?page=3")
        beyond = await page.client.get(f"{address}?page=99&status=applied")

    assert rows(first) == list(range(2, 102))
    assert "1 to 100 of 250" in first.words
    assert first.tree.xpath("//a[@rel='next']/@href") == [f"{address}?page=2#rows"]
    assert rows(last) == list(range(202, 252))
    assert not last.tree.xpath("//a[@rel='next']")
    assert rows(beyond) == rows(last)


async def test_where_all_went_well_the_next_step_is_the_result_sheet(tmp_path: Path) -> None:
    async with run_page(tmp_path / "home") as page:
        run = await page.done(plain(tmp_path / "sheet.xlsx", 3))
        answer = await page.client.get(f"/runs/{run}/results")

    assert answer.tree.xpath("string(//h1)") == "All 3 rows are done"
    assert next_steps(answer) == ["Result sheet"]
    assert next_action(answer) == f"/runs/{run}/results.sheet"


async def test_rows_that_got_no_answer_are_explained_and_safe_to_send_again(tmp_path: Path) -> None:
    async with run_page(tmp_path / "home", world(classroom(3, "hang:60*"))) as page:
        options = SendOptions(rate=2_000.0, timeout=0.3)
        run = await page.start(plain(tmp_path / "sheet.xlsx", 4), options)
        await until(lambda: len(page.sandbox.log) > 4)  # it is tried again already
        page.runs.stop(run)
        await page.over(run)
        answer = await page.client.get(f"/runs/{run}/results")

    assert figures(answer)["unconfirmed"] == 1
    assert "safe to send" in banners(answer)[0]
    assert next_steps(answer) == ["Continue"]


async def test_the_result_sheet_is_their_file_under_its_own_name(tmp_path: Path) -> None:
    async with run_page(tmp_path / "home", MIXED) as page:
        run = await mixed(page, tmp_path)
        answer = await page.client.get(f"/runs/{run}/results")
        (address,) = answer.tree.xpath("//a[@data-download='results']/@href")
        file = await page.client.get(address)
        left = [p.name for p in folder_of(page.account.home).glob(".handed-out-*")]

    said = file.headers["Content-Disposition"]
    assert said.startswith("attachment; ")
    name = unquote(said.partition("filename*=UTF-8''")[2])
    assert name == f"学期 Term 1.results-{run}.xlsx"
    assert file.headers["Content-Type"].endswith("spreadsheetml.sheet")
    assert file.headers["Cache-Control"] == "no-store"
    found = book(file)
    assert [line["customColumn"] for line in found] == [f"row {n}" for n in range(2, 10)]
    assert [line["bulkcast_status"] for line in found] == [
        "applied", "applied", "rejected", "invalid", "applied", "rejected", "applied", "applied",
    ]  # fmt: skip
    assert {line["bulkcast_run"] for line in found} == {run}
    assert not left


async def test_other_files_failed_rows_csv_and_summary(tmp_path: Path) -> None:
    async with run_page(tmp_path / "home", MIXED) as page:
        run = await mixed(page, tmp_path)
        answer = await page.client.get(f"/runs/{run}/results")
        links = {
            name: answer.tree.xpath(f"//a[@data-download='{name}']/@href")[0]
            for name in ("failed", "csv", "summary")
        }
        failed, table, summary = [await page.client.get(link) for link in links.values()]

    assert [line["bulkcast_status"] for line in book(failed)] == ["rejected", "invalid", "rejected"]
    assert f".failed-{run}.xlsx" in unquote(failed.headers["Content-Disposition"])
    lines = list(csv.DictReader(io.StringIO(table.body.decode("utf-8-sig"))))
    assert len(lines) == 8
    assert lines[3]["bulkcast_code"] == "cell.not_a_choice"
    assert summary.headers["Content-Disposition"].startswith("attachment")
    assert NAME in summary.text


async def test_mending_begins_a_draft_with_only_what_needs_it(tmp_path: Path) -> None:
    async with run_page(tmp_path / "home", MIXED) as page:
        run = await mixed(page, tmp_path)
        status, address = await page.posted(f"/runs/{run}/resubmit")
        (draft,) = page.state.drafts.newest(page.account)
        prepared = await asyncio.to_thread(
            pipeline.prepare, draft.path, None, pipeline.Selection(statuses=pipeline.RESUBMITTED)
        )

    assert (status, address) == (303, f"/drafts/{draft.id}/check")
    assert draft.resubmits
    assert draft.name == f"学期 Term 1.results-{run}.xlsx"
    assert draft.path.stat().st_mode & 0o077 == 0
    assert prepared.is_results
    assert [r.rows for r in prepared.plan.requests] == [(4,), (7,)]
    assert prepared.invalid == 1


async def test_taking_back_tells_what_it_can_and_begins_a_draft(tmp_path: Path) -> None:
    async with run_page(tmp_path / "home") as page:
        sheet = plain(tmp_path / "sheet.xlsx", 3)
        first = await page.done(sheet)
        lines = [(FIRST_ID + row, 0, 0, 0, 0, "") for row in range(2, 6)]
        second = await page.done(write_rows(sheet, HEAD, lines))
        nothing = await page.client.get(f"/runs/{first}/undo")
        some = await page.client.get(f"/runs/{second}/undo")
        status, address = await page.posted(f"/runs/{second}/undo")
        (draft,) = page.state.drafts.newest(page.account)
        refused = await page.client.post(f"/runs/{first}/undo")

    assert nothing.screen == some.screen == "results"
    assert "nothing that can be brought back" in nothing.words
    assert next_steps(nothing) == ["Back to the results"]
    assert "That concerns 3 classrooms" in some.words
    assert "Nothing was acknowledged of them before this run." in some.words  # of the fourth
    assert next_steps(some) == ["Make the sheet"]
    assert (status, address) == (303, f"/drafts/{draft.id}/check")
    assert draft.name == f"学期 Term 1.undo-{second}.xlsx"
    assert not draft.resubmits
    assert refused.status == 400


async def test_a_purged_run_has_counts_and_no_more(tmp_path: Path) -> None:
    async with run_page(tmp_path / "home", MIXED) as page:
        run = await mixed(page, tmp_path)
        home = page.account.home
        pipeline.purge(home, pipeline.purgeable(home, run=run, older_than_s=0.0))
        answer = await page.client.get(f"/runs/{run}/results")
        file = await page.client.get(f"/runs/{run}/results.sheet")

    assert figures(answer)["applied"] == 5
    assert "was erased" in banners(answer)[0]
    assert next_steps(answer) == ["New upload"]
    assert file.status == 400
    assert "purged" in file.words


@pytest.mark.parametrize(
    "path", ["/runs/20270301-080000-94df", "/runs/x/results", "/runs/x/events", "/runs/..%2Fx",
             "/runs/X", "/runs/x/undo", "/runs/x/results.sheet"],
)  # fmt: skip
async def test_a_run_that_does_not_exist_is_not_found(tmp_path: Path, path: str) -> None:
    async with run_page(tmp_path / "home") as page:
        run = await page.done(plain(tmp_path / "sheet.xlsx", 2))
        assert (await page.client.get(path)).status == 404
        # A part of a name is no name.
        assert (await page.client.get(f"/runs/{run[:-2]}")).status == 404


async def test_cells_names_and_answers_are_only_ever_text(tmp_path: Path) -> None:
    lines = [(FIRST_ID + 2, XSS, 1, 1, 1, XSS), cells(3)]
    async with run_page(tmp_path / "home") as page:
        sheet = write_rows(tmp_path / "sheet.xlsx", HEAD, lines)
        run = await page.done(sheet, name=f"{XSS}.xlsx")
        own, odd = f"/runs/{run}", quote(XSS)
        answers = [
            await page.client.get(path)
            for path in ("/", f"{own}/results", f"{own}/undo", f"{own}/results?problem={odd}")
        ]  # fmt: skip
        file = await page.client.get(f"/runs/{run}/results.sheet")

    for answer in answers:
        assert not answer.tree.xpath("//img[@onerror] | //main//script")
        assert "<script>alert" not in answer.text
    assert "<img src=x onerror=" in answers[1].tree.xpath("string(//main)")
    assert "\n" not in file.headers["Content-Disposition"]
    assert '"><' not in file.headers["Content-Disposition"]


@pytest.mark.slow
async def test_fifty_thousand_rows_are_filtered_and_paged_at_once(tmp_path: Path) -> None:
    """What is measured is the page; the run is made without sending: all rows are invalid."""
    n = 50_000
    lines = [(FIRST_ID + row, "perhaps" if row % 2 else "x", 1, 1, 1, "") for row in range(n)]
    async with run_page(tmp_path / "home") as page:
        sheet = write_rows(tmp_path / "sheet.csv", HEAD, lines)
        run = await page.done(sheet, name="Term.csv", keep_cells=False)
        address = f"/runs/{run}/results"
        await page.client.get(address)
        took = []
        for query in ("?page=250", "?status=invalid&page=3", "?problem=cell.not_a_choice"):
            begun = time.perf_counter()
            answer = await page.client.get(address + query)
            took.append(time.perf_counter() - begun)
            assert len(rows(answer)) == 100

    assert min(took) < 0.2
