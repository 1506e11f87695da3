"""What columns are taken for, and what odd words mean."""

from pathlib import Path

import pytest

from bulkcast.headers import fold
from bulkcast.model import Cell
from bulkcast.pipeline import (
    IGNORE,
    MASK,
    Match,
    ReadOptions,
    SheetOptions,
    applicable,
    check_edited,
    columns_of,
    edits_for,
    odd_words,
    prepare,
)
from tests.sheets import sheet_of, write
from tests.source_files import ROOT


@pytest.mark.parametrize(
    ("header", "match", "setting", "candidates"),
    [
        ("recordState", Match.EXACT, "recordState", ()),
        ("云端录课", Match.EXACT, "recordState", ()),
        ("recrodState", Match.SIMILAR, None, ("recordState",)),
        ("Class ID", Match.AMBIGUOUS, None, ("courseId", "classId")),
        ("Teacher", Match.IGNORED, None, ()),
    ],
)
def test_how_a_header_names_a_setting(
    header: str, match: Match, setting: str | None, candidates: tuple[str, ...]
) -> None:
    *_, use = columns_of(sheet_of(f"activityId,{header}", ("1", "1")), {})
    assert (use.match, use.setting, use.candidates) == (match, setting, candidates)
    assert (use.index, use.letters) == (1, "B")


def test_what_the_user_says_comes_first() -> None:
    sheet = sheet_of("Raum,Lehrer,recordState", ("1", "x", "1"))
    uses = columns_of(sheet, {"Raum": "activityId", "Lehrer": IGNORE})
    assert [use.match for use in uses] == [Match.MAPPED, Match.MAPPED, Match.EXACT]
    assert [use.setting for use in uses] == ["activityId", None, "recordState"]


def test_two_columns_for_one_setting() -> None:
    uses = columns_of(sheet_of("activityId,recordState,云端录课", ("1", "1", "0")), {})
    assert uses[2].match is Match.DUPLICATE


def test_samples_are_different_values_and_no_secret() -> None:
    rows: list[tuple[Cell, ...]] = [("1", "pw"), ("1", "pw"), ("2", "other"), ("", ""), ("3", "x")]
    uses = columns_of(sheet_of("activityId,watchPassword", *rows), {})
    assert uses[0].samples == ("1", "2", "3")
    assert set(uses[1].samples) == {MASK}


def test_a_password_is_no_sample_of_a_column_that_is_nearly_named_so() -> None:
    sheet = sheet_of("activityId,watchPasword", ("1", "hidden-77"))
    assert "hidden-77" not in str(columns_of(sheet, {}))
    ignored = sheet_of("activityId,watchPassword", ("1", "hidden-77"))
    assert "hidden-77" not in str(columns_of(ignored, {"watchPassword": IGNORE}))


def test_an_ignored_column_is_not_sent(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "activityId,recordState,recrodState\n1,1,0\n")
    assert prepare(path).valid == 0
    read = ReadOptions(mapping={"recrodState": IGNORE})
    prepared = prepare(path, SheetOptions(read))
    assert prepared.valid == 1
    assert prepared.ignored_columns == ("recrodState",)


# ------------------------------------------------------------------ words


def test_odd_words_are_listed_once_each_with_their_rows() -> None:
    found = odd_words(prepare(ROOT / "samples" / "words-that-are-no-choice.csv"))
    assert [(odd.setting, odd.word, odd.rows) for odd in found] == [
        ("recordState", "2", (3,)),
        ("recordState", "maybe", (2,)),
    ]


def test_a_meaning_becomes_edits(tmp_path: Path) -> None:
    rows = "".join(f"{1000 + n},{word}\n" for n, word in enumerate(["开播", "on", "开播", "?"]))
    base = prepare(write(tmp_path / "a.csv", f"activityId,recordState\n{rows}"))
    words = odd_words(base)
    assert [odd.word for odd in words] == ["开播", "?"]
    edits = edits_for(words, {"recordState": {fold("开播"): "1"}})
    assert edits == {2: {1: "1"}, 4: {1: "1"}}
    assert check_edited(base, edits).valid == 3


def test_an_earlier_mapping_is_applied_where_it_says_more_than_the_header() -> None:
    known = {fold("Raum"): "activityId", fold("recordState"): "liveState", fold("Ort"): "x"}
    assert applicable(known, ["RAUM", "recordState", "bulkcast_run"]) == {"RAUM": "activityId"}
