"""The column that says for which institution a row is."""

from dataclasses import replace

import pytest

from bulkcast.endpoints import WEBCAST
from bulkcast.model import Cell, Change, FlaggedCell, Invalid
from bulkcast.validator import CheckRules, named
from tests.sheets import SHANGHAI, changed, checked, codes, one

HEAD = "institution,activityId,recordState"
KNOWN = CheckRules(tz=SHANGHAI, profiles=frozenset({"north", "south", "2024"}))


@pytest.mark.parametrize(
    "header", ["institution", "Institution", "INSTITUTION *", "机构", "機構", "Institution 机构"]
)
def test_the_column_is_found_in_both_languages(header: str) -> None:
    row = changed(one(f"{header},activityId,recordState", "north", "1", "1"))

    assert row.institution == "north"
    assert dict(row.body) == {"activityId": 1, "recordState": 1}


@pytest.mark.parametrize(
    ("cell", "name"),
    [("north", "north"), (" south\u200b ", "south"), (2024, "2024"), (2024.0, "2024"),
     ("ｎｏｒｔｈ", "north")],
)  # fmt: skip
def test_a_known_name_is_read(cell: Cell, name: str) -> None:
    assert changed(one(HEAD, cell, "1", "1", rules=KNOWN)).institution == name


@pytest.mark.parametrize(
    ("cell", "code"),
    [(None, "institution.missing"), ("  ", "institution.missing"),
     ("nrth", "institution.near_miss"), ("North", "institution.near_miss"),
     ("(clear)", "institution.unknown"), (True, "institution.unknown"),
     (FlaggedCell("cell.formula_unsaved", ""), "cell.formula_unsaved")],
)  # fmt: skip
def test_any_other_cell_is_an_error_in_it(cell: Cell, code: str) -> None:
    row = one(HEAD, cell, "1", "1", rules=KNOWN)

    assert isinstance(row, Invalid)
    assert codes(row) == [code]
    assert row.issues[0].cell == "A2"
    assert row.institution == ""


def test_any_name_is_taken_where_nobody_knows_them() -> None:
    assert changed(one(HEAD, "anything", "1", "1")).institution == "anything"
    assert codes(one(HEAD, "", "1", "1")) == ["institution.missing"]


def test_an_invalid_row_keeps_the_institution_that_it_names() -> None:
    row = one(HEAD, "north", "x", "1", rules=KNOWN)
    assert isinstance(row, Invalid)
    assert row.institution == "north"


def test_a_near_miss_suggests_and_an_unknown_name_lists() -> None:
    rows = [["nrth", "1", "1"], ["x", "2", "1"], ["esat", "3", "1"]]
    with_east = replace(KNOWN, profiles=frozenset({*(KNOWN.profiles or ()), "east", "west"}))
    near, unknown = checked(HEAD, *rows[:2], rules=KNOWN).rows
    (swapped,) = checked(HEAD, rows[2], rules=with_east).rows
    assert swapped.issues[0].fix.args["suggestion"] == "east"
    assert near.issues[0].fix.args["suggestion"] == "north"
    assert str(unknown.issues[0].fix).startswith("Give one of these names: 2024, north, south.")


@pytest.mark.parametrize("treatment", ["error", "in-order", "last"])
def test_a_classroom_belongs_to_its_institution(treatment: str) -> None:
    rules = CheckRules(tz=SHANGHAI, duplicates=treatment)  # type: ignore[arg-type] # test data
    rows = checked(
        HEAD, ["north", "1", "1"], ["south", "1", "0"], ["north", "1", "0"], rules=rules
    ).rows

    assert isinstance(rows[1], Change)
    assert not codes(rows[1])
    assert bool(codes(rows[0])) == (treatment != "in-order")
    assert [row.institution for row in rows] == ["north", "south", "north"]


def test_both_ids_of_a_classroom_are_of_one_institution() -> None:
    head = "institution,activityId,classId,recordState"
    rows = checked(
        head, ["north", "1", "7", "1"], ["south", "", "7", "0"], ["north", "", "7", "0"]
    ).rows

    assert [[c for c in codes(row) if c != "target.both"] for row in rows] == [
        ["target.duplicate"], [], ["target.duplicate"],
    ]  # fmt: skip


def test_what_a_cell_names_can_be_told_alone() -> None:
    assert (named("north"), named(None), named(7)) == ("north", "", "7")


def test_the_column_is_no_parameter() -> None:
    assert WEBCAST.institution is not None
    assert WEBCAST.institution not in WEBCAST.parameters
