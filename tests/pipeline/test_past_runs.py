"""`runs`, `runs show` and the page of a run: what a run came to, for people and programs."""

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcast import reporter
from bulkcast.catalogue import Label
from bulkcast.model import RowStatus, Stop, no_counts
from bulkcast.reporter.run_summary import (
    BUCKETS_MAX,
    FailureGroup,
    RunSummary,
    Timeline,
    ranges,
    timeline,
)
from tests.cli_runner import FAST, CliRunner, clearing, line, lines, write_csv

HOSTILE = "<script>alert(1)</script>\"'&]]>\x1b[2J\u202e\ufffe"


@pytest.fixture
def cli(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> CliRunner:
    found = CliRunner(tmp_path, monkeypatch, capsys)
    found.set(BULKCAST_HOME=str(tmp_path / "home"), COLUMNS="160")
    return found


@pytest.fixture
def run(cli: CliRunner) -> str:
    """A run of which one row is invalid."""
    rows = [*lines(3), ["x", "待定", "1", "0", "1", "1", ""]]
    sheet = write_csv(cli.folder / "term.csv", rows)
    with clearing(cli):
        said = cli.call("apply", sheet, "--yes", "--json", *FAST)
    assert said.status == 3
    return str(said.document["run"])


# ------------------------------------------------------------------ runs


@pytest.mark.parametrize(
    ("words", "n"),
    [
        ((), 1),
        (("--state", "finished"), 1),
        (("--state", "stopped"), 0),
        (("--sheet", "TERM"), 1),
        (("--sheet", "spring"), 0),
        (("--since", "2026-01-01"), 1),
        (("--since", "2999-01-01"), 0),
        (("--until", "2026-01-01"), 0),
        (("--until", "2999-01-01", "--state", "finished", "--sheet", "term"), 1),
    ],
)
def test_runs_are_listed_by_state_sheet_and_day(
    cli: CliRunner, run: str, words: tuple[str, ...], n: int
) -> None:
    listed = cli.call("runs", "--json", *words).document["runs"]

    assert [r["run"] for r in listed] == [run][:n]


def test_a_day_is_that_of_the_sheets_zone_and_counts_whole(cli: CliRunner, run: str) -> None:
    created = cli.call("runs", "--json").document["runs"][0]["created_at"]
    day = datetime.fromtimestamp(created, ZoneInfo("Asia/Shanghai")).date()
    tomorrow = day + timedelta(days=1)

    on_it = cli.call("runs", "--json", "--since", str(day), "--until", str(day)).document["runs"]
    after = cli.call("runs", "--json", "--since", str(tomorrow)).document["runs"]

    assert (len(on_it), len(after)) == (1, 0)


def test_a_list_that_a_filter_empties_is_told_from_one_without_runs(
    cli: CliRunner, run: str
) -> None:
    assert "The 1 run is not so" in cli.call("runs", "--sheet", "spring").err


def test_a_run_is_shown_with_its_counts_and_why_rows_failed(cli: CliRunner, run: str) -> None:
    said = cli.call("runs", "show", run)

    assert said.status == 0
    assert re.search(r"3 . applied", said.out)
    assert "invalid id.not_a_number" in said.out
    assert "待定 is not an id" in said.out
    assert re.search(r"^    row 5$", said.out, re.MULTILINE)
    assert f"results {run} -o {run}.html" in said.err


def test_the_newest_run_is_shown_where_none_is_named(cli: CliRunner, run: str) -> None:
    assert run in cli.call("runs", "show").out


def test_the_rows_of_a_state_are_listed_one_by_one(cli: CliRunner, run: str) -> None:
    found = cli.call("runs", "show", run, "--only", "applied", "--json").document

    assert [row["row"] for row in found["listed"]] == [2, 3, 4]
    assert found["counts"]["applied"] == 3
    assert [(c["code"], c["rows"]) for c in found["causes"]] == [("id.not_a_number", [5])]
    assert "row 3  applied" in cli.call("runs", "show", run, "--only", "applied").out


def test_the_same_mistake_in_two_columns_is_told_with_the_fix_of_each(cli: CliRunner) -> None:
    wrong = [[*line(1)[:2], "maybe", *line(1)[3:]], [*line(2)[:3], "some", *line(2)[4:]]]
    sheet = write_csv(cli.folder / "wrong.csv", [*wrong, line(3)])
    with clearing(cli):
        cli.call("apply", sheet, "--yes", "--json", *FAST)

    causes = cli.call("runs", "show", "--json").document["causes"]

    assert [(c["code"], c["rows"]) for c in causes] == [
        ("cell.not_a_choice", [2]), ("cell.not_a_choice", [3]),
    ]  # fmt: skip
    assert causes[0]["fix"] != causes[1]["fix"]


# ------------------------------------------------------------------ the page


class _Page(HTMLParser):
    """Tags and texts of a page, with what its CSS hides taken away."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_a_page_of_the_run_is_written_and_not_over_another(cli: CliRunner, run: str) -> None:
    target = cli.folder / "run.html"

    first = cli.call("results", run, "-o", target)
    again = cli.call("results", run, "-o", target)
    forced = cli.call("results", run, "-o", target, "--force", "--json")

    assert (first.status, again.status, forced.status) == (0, 2, 0)
    assert forced.document == {"schema": "bulkcast.page/1", "page": str(target)}
    page = _Page(target.read_text("utf-8"))
    told = "".join(page.texts)
    assert "待定 is not an id." in told
    assert "“待定”不是 ID。" in told


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_page_shows_the_language_of_whoever_had_it_written(
    cli: CliRunner, run: str, lang: str
) -> None:
    target = cli.folder / "run.html"

    cli.call("results", run, "-o", target, "--lang", lang)

    page = _Page(target.read_text("utf-8"))
    checked = [attrs["id"] for tag, attrs in page.tags if tag == "input" and "checked" in attrs]
    assert checked == [lang]


def account(**changes: object) -> RunSummary:
    """A run about which everything that can be hostile is."""
    cause = FailureGroup(
        RowStatus.REJECTED, HOSTILE, (2,), Label(HOSTILE, HOSTILE), Label(HOSTILE, HOSTILE)
    )
    given_: dict[str, object] = {
        "run": "r", "sheet": HOSTILE, "sid": HOSTILE, "root_url": HOSTILE, "tz": "UTC",
        "created_at": 0.0, "finished_at": None,
        "counts": {**no_counts(), RowStatus.REJECTED: 1}, "attempts": 1, "causes": (cause,),
        "timeline": timeline([(5.0, RowStatus.REJECTED)]),
        "stop": Stop("outage", "run.outage"), "stopped": Label(HOSTILE, HOSTILE),
    }  # fmt: skip
    return RunSummary(**{**given_, **changes})  # type: ignore[arg-type] # the mix is the test's own


def written(found: RunSummary, target: Path) -> str:
    reporter.write_page(target, found, UTC, lang="en", existing="refuse")
    return target.read_text("utf-8")


def test_nothing_that_a_sheet_or_a_server_said_becomes_part_of_the_page(tmp_path: Path) -> None:
    text = written(account(), tmp_path / "a.html")

    page = _Page(text)
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "iframe", "object", "link", "img", "a", "form"}
    assert not [name for _, attrs in page.tags for name in attrs if name.startswith("on")]
    assert "alert(1)" in "".join(page.texts)
    assert not {"\x1b", "\u202e", "\ufffe"} & set(text)


def test_a_page_fetches_nothing(tmp_path: Path) -> None:
    page = _Page(written(account(sheet="a", sid="1", root_url="x"), tmp_path / "a.html"))

    style = "".join(page.texts)
    assert not {"src", "href"} & {name for _, attrs in page.tags for name in attrs}
    assert "url(" not in style
    assert "@import" not in style


def test_a_page_of_a_run_without_rows_is_a_page_too(tmp_path: Path) -> None:
    found = account(
        counts=no_counts(), causes=(), timeline=Timeline(1, ()), stop=None, stopped=None
    )

    assert "The sheet has no rows." in written(found, tmp_path / "a.html")


def test_both_languages_say_the_same_things(cli: CliRunner, run: str) -> None:
    target = cli.folder / "run.html"
    cli.call("results", run, "-o", target)

    spans = [a.get("lang") for tag, a in _Page(target.read_text("utf-8")).tags if tag == "span"]

    assert spans.count("zh") == spans.count("en") > 20


# ------------------------------------------------------------------ counting

_MOMENTS = st.lists(
    st.tuples(st.floats(0, 4e9, allow_nan=False), st.sampled_from(RowStatus)), max_size=80
)


@given(_MOMENTS.filter(lambda found: not found or max(found)[0] - min(found)[0] < 40 * 86400))
def test_a_timeline_has_every_row_once_in_slots_that_fit(
    ended: list[tuple[float, RowStatus]],
) -> None:
    found = timeline(ended)

    assert sum(sum(bucket.counts.values()) for bucket in found.buckets) == len(ended)
    assert len(found.buckets) <= BUCKETS_MAX
    assert all(b.begins - a.begins == found.bucket_s for a, b in pairwise(found.buckets))


@given(st.sets(st.integers(1, 60)), st.integers(1, 20))
def test_row_numbers_are_told_in_stretches_and_the_rest_counted(rows: set[int], most: int) -> None:
    told, beyond = ranges(sorted(rows), most)

    parts = [[int(n) for n in part.split("-")] for part in told]
    named = {n for part in parts for n in range(part[0], part[-1] + 1)}
    assert named == set(sorted(rows)[: len(rows) - beyond])
    assert len(parts) <= most
