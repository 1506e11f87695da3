"""Home: every run of the account, sheets that were not sent, and where to begin."""

import io
from pathlib import Path

import openpyxl

from bulkcast.endpoints import WEBCAST
from bulkcast.pipeline import SendOptions
from bulkcast.sandbox import World
from tests.dispatcher_harness import classroom
from tests.page_client import Answer, page
from tests.page_runs import NAME, next_action, next_steps, run_page, until
from tests.sheets import plain


def listed(answer: Answer) -> list[str]:
    """The names of the runs in the list."""
    return [str(name) for name in answer.tree.xpath("//section[@data-runs]//tr/@data-run")]


def line(answer: Answer, run: str) -> str:
    (found,) = answer.tree.xpath(f"//tr[@data-run='{run}']")
    return " ".join(found.text_content().split())


async def test_the_first_visit_says_what_to_do(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        answer = await client.get("/")

    assert answer.screen == "home"
    assert answer.tree.xpath("//*[@data-empty]")
    assert next_steps(answer) == ["New upload"]
    assert next_action(answer) == "/upload"
    assert answer.tree.xpath("//form[@action='/sample']//button")
    assert answer.tree.xpath("//a[@href='/template.xlsx']")
    assert "What bulkcast does not do" in answer.words
    assert not (tmp_path / "ledger.sqlite3").exists()


async def test_with_credentials_no_sample_is_sent(tmp_path: Path) -> None:
    async with run_page(tmp_path / "home") as page:
        answer = await page.client.get("/")

    assert answer.tree.xpath("//*[@data-empty]")
    assert not answer.tree.xpath("//form[@action='/sample']")


async def test_a_tab_that_still_shows_demo_makes_no_sample_for_a_school(tmp_path: Path) -> None:
    async with run_page(tmp_path / "home") as page:
        answer = await page.client.post("/sample")

    assert answer.status == 400
    assert "choose DEMO in the settings first" in answer.words
    assert not list((tmp_path / "home").glob("uploads/*"))


async def test_the_template_is_a_workbook_to_fill_in(tmp_path: Path) -> None:
    async with page(tmp_path) as client:
        answer = await client.get("/template.xlsx")

    assert answer.headers["Content-Disposition"].startswith("attachment")
    book = openpyxl.load_workbook(io.BytesIO(answer.body))
    head = str([[cell.value for cell in row] for row in book.worksheets[0].iter_rows()])
    assert WEBCAST.by_key["recordState"].label.en in head


async def test_runs_are_listed_newest_first_with_what_became_of_them(tmp_path: Path) -> None:
    world = World(first_whole=False, limit=None, classrooms=(classroom(3, "code:121601031*"),))
    async with run_page(tmp_path / "home", world) as page:
        good = await page.done(plain(tmp_path / "a.xlsx", 5, first=10), name="Good.xlsx")
        bad = await page.done(plain(tmp_path / "b.xlsx", 5))
        stopped = await page.start(plain(tmp_path / "c.xlsx", 50), SendOptions(rate=20.0))
        await until(lambda: len(page.sandbox.log) > 12)
        page.runs.stop(stopped)
        await page.over(stopped)
        running = await page.start(plain(tmp_path / "d.xlsx", 60), SendOptions(rate=20.0))
        answer = await page.client.get("/")

    assert listed(answer) == [running, stopped, bad, good]
    assert next_steps(answer) == ["New upload"]
    assert "Good.xlsx" in line(answer, good)
    assert line(answer, good).endswith("finished Results")
    assert NAME in line(answer, bad)
    assert "4 applied, 1 rejected" in line(answer, bad)
    assert line(answer, bad).endswith("needs fixing Results")
    assert line(answer, stopped).endswith("stopped Continue")
    assert line(answer, running).endswith("running Progress")
    form = answer.tree.xpath(f"//tr[@data-run='{stopped}']//form/@action")
    assert form == [f"/runs/{stopped}/resume"]


async def test_more_runs_than_twenty_are_listed_in_pages(tmp_path: Path) -> None:
    async with run_page(tmp_path / "home") as page:
        sheet = plain(tmp_path / "a.xlsx", 1)
        runs = [await page.done(sheet) for _ in range(23)]
        first = await page.client.get("/")
        second = await page.client.get("/?page=2")
        beyond = await page.client.get("/?page=77")

    assert listed(first) == runs[:2:-1]
    assert first.tree.xpath("//a[@rel='next']/@href") == ["/?page=2"]
    assert listed(second) == runs[2::-1]
    assert next_steps(second) == ["New upload"]
    assert listed(beyond) == listed(second)


async def test_sheets_that_were_not_sent_yet_are_listed(tmp_path: Path) -> None:
    async with run_page(tmp_path / "home") as page:
        draft = page.state.drafts.add_file(page.account, plain(tmp_path / "a.xlsx", 2), NAME)
        answer = await page.client.get("/")

    assert answer.tree.xpath("//section[@data-drafts]//a/@href") == [draft.address]
    assert NAME in answer.words
    assert next_steps(answer) == ["New upload"]


async def test_runs_of_another_institution_are_not_listed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with run_page(home) as page:
        run = await page.done(plain(tmp_path / "a.xlsx", 2))
        assert listed(await page.client.get("/")) == [run]
    async with run_page(home, World(sid="77000001", first_whole=False)) as page:
        answer = await page.client.get("/")

    assert not listed(answer)
