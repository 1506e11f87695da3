"""What the page takes with a large sheet, against the check of the same sheet."""

import asyncio
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp

from bulkcast import pipeline
from tests.benchmarks.measuring import Figure
from tests.page_client import PageClient, page
from tests.sheets import plain

ROWS = 50_000


def compare() -> list[Figure]:
    """Seconds until a screen is there, and their shares of the check's seconds."""
    with TemporaryDirectory() as folder:
        sheet = plain(Path(folder, "term.csv"), ROWS)
        text = sheet.read_text(encoding="utf-8").splitlines()
        for line in range(5, ROWS, 500):  # a problem in every 500th row
            text[line] = text[line].replace(",1,", ",perhaps,", 1)
        sheet.write_text("\n".join(text), encoding="utf-8")
        begun = time.perf_counter()
        pipeline.prepare(sheet)
        checked = time.perf_counter() - begun
        shown = asyncio.run(_screens(sheet.read_bytes(), Path(folder, "home")))
    figures = [Figure(f"prepare, {ROWS:,} rows of csv", f"{checked:.2f} s", "")]
    for name, seconds, goal in shown:
        figures += [
            Figure(name, f"{seconds * 1e3:,.0f} ms", goal),
            Figure("share of prepare", f"{seconds / checked:.2f}", ""),
        ]
    return figures


async def _screens(sheet: bytes, home: Path) -> list[tuple[str, float, str]]:
    async with page(home) as client:
        form = aiohttp.FormData()
        form.add_field("file", sheet, filename="term.csv")
        begun = time.perf_counter()
        answer = await client.post("/upload", form)
        uploaded = time.perf_counter() - begun
        check = "/" + answer.url.split("/", 3)[3].partition("?")[0]
        return [
            ("upload to the check screen", uploaded, "<= 1,000 ms after the check"),
            ("next page of problems", await _best(client, f"{check}?page=2"), "<= 200 ms"),
            ("filter", await _best(client, f"{check}?problem=cell.not_a_choice"), "<= 200 ms"),
            ("all rows, page 400", await _best(client, f"{check}?rows=all&page=400"), "<= 200 ms"),
        ]


async def _best(client: PageClient, path: str, times: int = 5) -> float:
    """The shortest of some loads; the others waited for the machine."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        answer = await client.get(path)
        taken.append(time.perf_counter() - begun)
        assert answer.status == 200, answer.text
        assert answer.screen == "check"
    return min(taken)
