"""The screen of a run under way: its progress survives everything."""

import asyncio
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from bulkcast.pacing import CONCURRENCY
from bulkcast.pipeline import SendOptions
from bulkcast.sandbox import SANDBOX_SECRET, Sandbox, World
from bulkcast.web.page_server import ServeOptions, opened
from tests.dispatcher_harness import classroom
from tests.page_runs import (
    MIXED,
    NAME,
    NOT_OURS,
    banners,
    book,
    client_of,
    environ_of,
    figures,
    mixed,
    next_action,
    next_steps,
    run_page,
    until,
    world,
)
from tests.sheets import FIRST_ID, HEAD, plain


async def test_the_screen_has_numbers_one_next_step_and_the_files_own_name(tmp_path: Path) -> None:
    async with run_page(tmp_path / "home", world(classroom(3, NOT_OURS))) as page:
        run = await page.start(plain(tmp_path / "sheet.xlsx", 100), SendOptions(rate=20.0))
        await until(lambda: len(page.sandbox.log) > 10)
        answer = await page.client.get(f"/runs/{run}")
        title = answer.tree.xpath("string(//title)")

    assert answer.status == 200
    assert answer.screen == "apply"
    assert answer.tree.xpath("string(//h1)") == "Sending"
    assert NAME in answer.words
    assert re.match(rf"\d+ % · Sending · {NAME} · bulkcast", title)
    assert next_steps(answer) == ["Pause"]
    assert next_action(answer) == f"/runs/{run}/pause"
    assert answer.tree.xpath("//*[@aria-current='step']/text()") == ["Apply"]
    (progress,) = answer.tree.xpath("//progress")
    assert 5 <= int(progress.get("value")) < 100
    assert "The classroom does not belong to this institution" in answer.words
    assert str(FIRST_ID + 3) in answer.words


async def test_at_most_twenty_failures_are_listed_the_newest_first(tmp_path: Path) -> None:
    faulty = tuple(classroom(row, NOT_OURS) for row in range(2, 60, 2))
    async with run_page(tmp_path / "home", world(*faulty)) as page:
        sheet = plain(tmp_path / "sheet.xlsx", 300)
        run = await page.start(sheet, SendOptions(rate=60.0, concurrency=1))
        await until(lambda: len(page.sandbox.log) > 70)
        failures = (await page.snapshot(run))["failures"]
        page.runs.stop(run)

    numbers = [int(one["row"]) for one in failures]
    assert len(numbers) == 20
    assert numbers == sorted(numbers, reverse=True)


async def test_without_javascript_the_screen_asks_again_by_itself(tmp_path: Path) -> None:
    async with run_page(tmp_path / "home") as page:
        run = await page.start(plain(tmp_path / "sheet.xlsx", 60), SendOptions(rate=20.0))
        answer = await page.client.get(f"/runs/{run}")

    (meta,) = answer.tree.xpath("//noscript//meta[@http-equiv='refresh']")
    assert int(meta.get("content")) >= 2
    assert answer.tree.xpath("//noscript//a[.='Refresh']")


async def test_in_chinese_no_english_is_left(tmp_path: Path) -> None:
    async with run_page(tmp_path / "home", MIXED) as page:
        page.client.session.headers["Accept-Language"] = "zh-CN"
        empty = await page.client.get("/")
        run = await mixed(page, tmp_path)
        other = await page.start(plain(tmp_path / "b.xlsx", 60), SendOptions(rate=20.0))
        await until(lambda: len(page.sandbox.log) > 12)
        paths = ("/", f"/runs/{run}", f"/runs/{run}/undo", f"/runs/{other}")
        answers = [empty, *[await page.client.get(path) for path in paths]]
        file = await page.client.get(f"/runs/{run}/results.sheet")

    assert answers[2].tree.xpath("string(//h1)") == "共 8 行，已完成 5 行，3 行需要修改"
    for answer in answers:
        assert answer.tree.xpath("//html/@lang") == ["zh-CN"]
        words = answer.words.replace(run, "").replace(other, "").replace(NAME, "")
        left = set(re.findall(r"[A-Za-z]{3,}", words)) - _SPELLED
        assert not left, left
    assert "课堂不属于该机构" in str(book(file)[2]["bulkcast_message"])


_SPELLED = frozenset(
    {"ClassIn", "bulkcast", "CSV", "Asia", "Shanghai", "perhaps", "Off", "serve", *HEAD}
)
"""Names, and what stands in the sheet."""


# ------------------------------------------------------------------ restarts


_PROGRAM = """
    import asyncio, sys
    from pathlib import Path
    from bulkcast import pipeline
    from bulkcast.pipeline import PreparedRun, SendOptions
    from bulkcast.web.page_server import ServeOptions, opened
    import os

    async def main():
        async with opened(ServeOptions(os.environ, port=0)) as state:
            prepared = PreparedRun(pipeline.prepare(Path(sys.argv[1])), None)
            options = SendOptions(rate=40.0)
            run = await state.runs.start(
                state.accounts.current(), prepared, options, name="Term.xlsx"
            )
            print(run, flush=True)
            await asyncio.sleep(3600)

    asyncio.run(main())
"""


@pytest.mark.slow
async def test_a_run_whose_page_was_killed_is_continued_on_the_next_page(tmp_path: Path) -> None:
    """A real process ended by SIGKILL, then the page again: nothing is lost, little sent twice."""
    home, sheet = tmp_path / "home", plain(tmp_path / "sheet.xlsx", 120)
    slow = World(first_whole=False, limit=None, latency_s=0.2)
    sandbox = Sandbox(slow, secret=SANDBOX_SECRET)
    async with sandbox.serving() as url:
        environ = environ_of(home, url)
        run = await _killed_amid(sheet, environ, lambda: len(sandbox.log) > 15)
        sent = len(sandbox.log)
        async with opened(ServeOptions(environ, port=0)) as state, client_of(state) as client:
            interrupted, listed = await client.get(f"/runs/{run}"), await client.get("/")
            resumed = await client.post(next_action(interrupted))
            await until(lambda: state.runs.find(run) is None)
            over = await client.get(f"/runs/{run}")

    assert interrupted.screen == "apply"
    assert interrupted.tree.xpath("string(//h1)") == "Interrupted"
    assert next_steps(interrupted) == ["Continue"]
    assert "ended before the run did" in banners(interrupted)[0]
    assert listed.tree.xpath(f"//tr[@data-run='{run}']/@data-state") == ["crashed"]
    assert resumed.screen == "apply"
    assert next_steps(resumed) == ["Pause"]
    assert over.screen == "results"
    assert figures(over) == {"All rows": 120, "applied": 120}
    assert sent < 60
    assert len(sandbox.log) <= 120 + CONCURRENCY  # only what was on its way is sent again


async def _killed_amid(
    sheet: Path, environ: Mapping[str, str], is_amid: Callable[[], object]
) -> str:
    """Have another process send a sheet and kill it then; the name of the run."""
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(_PROGRAM), str(sheet),
        env={**os.environ, **environ}, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert program.stdout is not None
    run = (await program.stdout.readline()).decode().strip()
    await until(is_amid)
    program.kill()
    await program.wait()
    return run
