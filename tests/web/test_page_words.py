"""What the page says in its own words."""

from pathlib import Path
from string import Formatter

import pytest

from bulkcast.web.page_words import PAGE_WORDS
from tests.page_client import page
from tests.page_sheets import banners, path_of, upload
from tests.translations import sentences

ALL = frozenset(template for sentence in sentences() for template in sentence)


@pytest.mark.parametrize("template", PAGE_WORDS, ids=range(len(PAGE_WORDS)))
def test_a_sentence_is_one_of_bulkcasts_and_loses_nothing_but_an_option(template: str) -> None:
    assert template in ALL
    said = PAGE_WORDS[template]
    assert "--" not in said
    assert "`" not in said
    assert fields_of(said) <= fields_of(template)


def fields_of(template: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(template) if name}


@pytest.mark.parametrize(
    "name", ["two-sheets.xlsx", "no-header.csv", "gb18030.csv", "hidden-rows.xlsx",
             "near-miss-header.csv", "ambiguous-class-id.csv", "no-classroom-column.csv",
             "no-setting-column.csv", "duplicate-classrooms.csv"],
)  # fmt: skip
@pytest.mark.parametrize("lang", ["en", "zh"])
async def test_no_option_of_the_command_line_is_named(tmp_path: Path, name: str, lang: str) -> None:
    async with page(tmp_path) as client:
        client.session.headers["Accept-Language"] = lang
        place = path_of(await upload(client, name))
        for screen in ("", "/columns", "/check"):
            answer = await client.get(place + screen)
            assert "--" not in answer.words, screen
            assert "bulkcast template" not in answer.words, screen


async def test_the_row_further_down_counts_if_the_user_says_so(tmp_path: Path) -> None:
    content = b"activityId,recordState\n1,on\n1,off\n"
    async with page(tmp_path) as client:
        place = path_of(await upload(client, "term.csv", content))
        assert "2 rows need fixing" in (await client.get(f"{place}/check")).words
        told = {"duplicates": "in-order", "back": "check"}
        answer = await client.post(f"{place}/reading", told)
        assert "2 rows are ready" in answer.words
        assert any("the row further down counts" in banner for banner in banners(answer))
        assert (await client.get(f"{place}/plan")).status == 200
        told = {"duplicates": "error", "back": "check"}
        assert "2 rows need fixing" in (await client.post(f"{place}/reading", told)).words
