"""What comes of each faulty sheet in `samples/`: exactly these problems, or this refusal."""

from pathlib import Path

import pytest

from bulkcast.endpoints.webcast import WEBCAST
from bulkcast.errors import UnreadableSheet
from bulkcast.model import Change
from bulkcast.validator import check
from tests.make_samples import SAMPLES, files
from tests.sheets import RULES, codes, loaded

FOUND: dict[str, list[str]] = {
    "ambiguous-class-id.csv": ["header.ambiguous"],
    "both-ids.csv": ["target.both"],
    "clear-a-switch.csv": ["cell.not_clearable"],
    "duplicate-classrooms.csv": [
        *["target.duplicate"] * 3, "target.both", "target.duplicate",
    ],
    "error-words.csv": ["cell.formula_error", "cell.formula_error"],
    "formula-errors.xlsx": ["cell.formula_error"],
    "formula-never-saved.xlsx": ["cell.formula_unsaved"],
    "gb18030.csv": [],
    "hidden-rows.xlsx": [],
    "id-became-date.xlsx": ["id.became_date"],
    "id-in-scientific-notation.csv": ["id.scientific", "id.scientific"],
    "id-rounded-to-15-digits.xlsx": ["id.precision_lost"],
    "ids-dressed-up.csv": ["read.cleaned"] * 8,
    "instructions-first.xlsx": [],
    "invisible-characters-in-password.csv": ["cell.control_character"],
    "leading-zeros-shown.xlsx": ["id.display_differs"],
    "live-without-recording.csv": [
        "rule.live_needs_recording", "rule.playback_needs_recording", "rule.type_needs_recording",
        "rule.main_recording_alone",
    ],
    "merged-cells.xlsx": ["cell.merged", "cell.merged"],
    "near-miss-header.csv": ["header.near_miss"],
    "no-classroom-column.csv": ["header.no_target"],
    "no-id-in-a-row.csv": ["target.missing"],
    "no-setting-column.csv": ["header.no_setting"],
    "nothing-to-set.csv": ["row.nothing_to_set"],
    "password-as-number.xlsx": ["password.numeric"],
    "restricted-without-login.csv": ["rule.viewing_needs_login"],
    "semicolons.csv": [],
    "start-time-without-a-date.csv": ["time.not_a_time", "time.not_a_time"],
    "student-ids.csv": ["ids.repeated", "ids.not_a_list", "id.scientific"],
    "texts-too-long.csv": ["text.cut", "text.unsigned", "text.cut"],
    "title-and-remarks.csv": [],
    "two-columns-for-one-setting.csv": ["header.duplicate"],
    "unquoted-comma.csv": ["row.extra_cells"],
    "utf-16.tsv": [],
    "with-a-mark.csv": [],
    "words-that-are-no-choice.csv": ["cell.not_a_choice", "cell.not_a_choice"],
}  # fmt: skip

REFUSED: dict[str, str] = {
    "cut-off.xlsx": "cut off or damaged",
    "empty.csv": "is empty",
    "no-header.csv": "has no header row",
    "not-a-workbook.xlsx": "is no workbook",
    "old-kind.xls": "is damaged (CalamineError); save it again as .xlsx",
    "quote-in-the-middle.csv": "line 2: a cell goes on after its closing quote",
    "two-sheets.xlsx": "'Classes', 'Classes (2)'; choose one with --sheet",
    "unclosed-quote.csv": "line 3: a quote is opened in this line and never closed",
    "with-a-password.xlsx": "has a password to open it",
}


def test_every_sample_is_accounted_for() -> None:
    assert {*FOUND, *REFUSED} == set(files())
    assert not {*FOUND} & {*REFUSED}


@pytest.mark.parametrize("name", sorted(FOUND))
def test_a_sample_shows_its_fault_and_no_other(name: str) -> None:
    found = check(loaded(SAMPLES / name), WEBCAST, RULES)

    assert codes(found) == FOUND[name]


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_sample_that_cannot_be_read_is_refused_in_a_sentence(name: str) -> None:
    with pytest.raises(UnreadableSheet) as refusal:
        loaded(SAMPLES / name)

    assert REFUSED[name] in str(refusal.value)
    assert str(refusal.value).startswith(name)
    assert refusal.value.exit_status == 2


@pytest.mark.parametrize("name", ["gb18030.csv", "utf-16.tsv"])
def test_an_encoding_does_not_change_what_is_wanted(name: str) -> None:
    (row,) = check(loaded(SAMPLES / name), WEBCAST, RULES).rows

    assert isinstance(row, Change)
    assert row.body == (
        ("classId", 1152680),
        ("recordState", 1),
        ("webcastIntroduce", "高中数学"),
    )


@pytest.mark.parametrize("name", sorted(FOUND))
def test_the_sample_on_disk_is_the_one_that_the_script_makes(name: str, tmp_path: Path) -> None:
    made = tmp_path / name
    made.write_bytes(files()[name])

    assert loaded(made) == loaded(SAMPLES / name), "run `python tests/make_samples.py`"
