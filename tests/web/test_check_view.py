"""What the check screen shows: filters, pages and places, without a browser."""

from pathlib import Path

import pytest

from bulkcast.model import Severity
from bulkcast.pipeline import Edits, check_edited, prepare
from bulkcast.web.check_view import CheckView, Filter, Place, place_of
from tests.sheets import write

SHEET = (
    "activityId,recordState,recordType,liveState,openState,watchPassword\n"
    "1,on,0,on,on,\n"
    "2,maybe,0,on,off,pw-1\n"
    ",on,0,on,on,\n"
    "4,maybe,9,on,on,\n"
    "5,on,0,,on,\n"
    "1,off,,off,off,\n"
)


def view_of(folder: Path, text: str = SHEET, edits: Edits | None = None) -> CheckView:
    base = prepare(write(folder / "term.csv", text))
    return CheckView(check_edited(base, edits or {}), edits or {})


@pytest.fixture
def view(tmp_path: Path) -> CheckView:
    return view_of(tmp_path)


def test_rows_are_counted(view: CheckView) -> None:
    assert (view.ready, view.bad, view.warned, view.troubled) == (1, 5, 1, 6)


def test_filters_count_rows_errors_first(view: CheckView) -> None:
    facets = view.facets(Filter())
    assert {(f.value, f.rows) for f in facets[:2]} == {
        ("cell.not_a_choice", 2), ("target.duplicate", 2),
    }  # fmt: skip
    assert facets[-1].severity is Severity.WARNING
    within = view.facets(Filter(column=2))
    assert [(f.value, f.rows) for f in within] == [("cell.not_a_choice", 1)]


def test_columns_count_within_a_problem(view: CheckView) -> None:
    found = view.column_facets(Filter("cell.not_a_choice"))
    assert [(f.value, f.name, f.rows) for f in found] == [("B", "recordState", 2),
                                                          ("C", "recordType", 1)]  # fmt: skip


@pytest.mark.parametrize(
    ("chosen", "rows"),
    [
        (Filter(), [2, 3, 4, 5, 6, 7]),
        (Filter(rows="all"), [2, 3, 4, 5, 6, 7]),
        (Filter("cell.not_a_choice"), [3, 5]),
        (Filter("cell.not_a_choice", 2), [5]),
        (Filter("id.scientific"), []),
    ],
)
def test_what_a_filter_shows(view: CheckView, chosen: Filter, rows: list[int]) -> None:
    assert list(view.shown(chosen)) == rows


def test_a_problem_of_a_row_is_looked_at_where_it_is_mended(view: CheckView) -> None:
    at = {(p.row, p.issue.code): p.place.address for p in view.problems}
    assert at[4, "target.missing"] == "A4"
    assert at[6, "rule.partial_group"] == "D6"


def test_problems_follow_each_other(view: CheckView) -> None:
    chosen = Filter("cell.not_a_choice")
    first = view.following(chosen, None)
    assert first == Place(3, 1)
    assert view.following(chosen, first) == Place(5, 1)
    assert view.following(chosen, Place(5, 2)) is None
    assert view.following(chosen, Place(5, 1), back=True) == first
    assert view.at_or_after(chosen, Place(4, 0)) == Place(5, 1)
    assert view.at_or_after(chosen, Place(9, 0)) == first


def test_the_same_is_the_same_problem_with_the_same_content(view: CheckView) -> None:
    place = Place(3, 1)
    assert view.same(place, "cell.not_a_choice", any_value=False) == (place, Place(5, 1))
    assert view.same(Place(99, 1), "cell.not_a_choice", any_value=False) == ()


def test_pages_hold_a_hundred_rows(tmp_path: Path) -> None:
    text = "activityId,recordState\n" + "".join(f"{n},?\n" for n in range(1, 251))
    view = view_of(tmp_path, text)
    page = view.page(Filter(), 3)
    assert (page.number, page.last, page.total, len(page.rows)) == (3, 3, 250, 50)
    assert view.page(Filter(), 99).number == 3
    assert view.page_with(Filter(), 102) == 2


def test_cells_say_what_they_are(tmp_path: Path) -> None:
    view = view_of(tmp_path, edits={2: {1: "off"}})
    rows = {row.number: row for row in view.page(Filter(rows="all"), 1).rows}
    assert rows[2].cells[1].kind in {"edited", "bad"}
    assert rows[3].cells[1].kind == "bad"
    assert rows[3].cells[5].text == "•••"
    assert (rows[3].state, rows[6].state) == ("bad", "ready")


@pytest.mark.parametrize("address", ["A1", "Z9", "AA10", "XFD1048576"])
def test_an_address_names_a_place(address: str) -> None:
    place = place_of(address)
    assert place is not None
    assert place.address == address


@pytest.mark.parametrize("address", ["", "1A", "A", "7", "A0", "ÄÖ1", "AAAA1", "A12345678", "A-1"])
def test_what_is_no_address(address: str) -> None:
    assert place_of(address) is None
