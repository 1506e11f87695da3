"""Drafts: what lies in their folders, and for how long."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from bulkcast.errors import CannotStart
from bulkcast.web.accounts import Account
from bulkcast.web.drafts import Drafts

DAY_S = 86_400.0
SHEET = "activityId,recordState\n1,maybe\n2,1\n"


class Clock:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def account(tmp_path: Path) -> Account:
    return Account(is_demo=True, config=None, home=tmp_path / "home")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "term.csv"
    path.write_text(SHEET)
    return path


def test_a_file_is_copied_and_found_again(account: Account, file: Path) -> None:
    draft = Drafts().add_file(account, file, "学期.csv", resubmits=True)
    assert draft.path.read_text() == SHEET
    assert Drafts().get(account, draft.id) == draft
    assert [d.id for d in Drafts().newest(account)] == [draft.id]


def test_what_cannot_be_copied_leaves_nothing(account: Account, tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="cannot be copied"):
        Drafts().add_file(account, tmp_path / "none.csv", "none.csv")
    assert list((account.home / "uploads").iterdir()) == []


def test_what_a_run_was_made_of_stays_for_its_results(account: Account, file: Path) -> None:
    drafts = Drafts()
    draft = drafts.add_file(account, file, "term.csv")
    known = json.loads((draft.folder / "draft.json").read_text())
    (draft.folder / "draft.json").write_text(json.dumps({**known, "run": "20270301-080000-94df"}))
    sent = drafts.get(account, draft.id)
    assert drafts.newest(account) == []
    drafts.discard(account, sent)
    assert draft.path.exists()


def test_old_drafts_and_uploads_that_were_cut_off_are_removed(account: Account, file: Path) -> None:
    clock = Clock()
    drafts = Drafts(clock)
    old = drafts.add_file(account, file, "old.csv")
    cut_off = drafts.begin(account, "cut.csv")
    os.utime(cut_off.folder, (clock.now, clock.now))
    clock.now += 20 * DAY_S
    young = drafts.add_file(account, file, "young.csv")
    assert old.path.exists()
    assert not cut_off.folder.exists()
    clock.now += 11 * DAY_S
    drafts.add_file(account, file, "new.csv")
    assert not old.folder.exists()
    assert young.path.exists()


@pytest.mark.parametrize(
    "change", [{"suffix": "/../x"}, {"options": {}}, {"steps": [["a"]]}, {"name": None}]
)
def test_a_file_that_says_something_else_is_no_way_out(
    account: Account, file: Path, change: dict[str, object]
) -> None:
    drafts = Drafts()
    draft = drafts.add_file(account, file, "term.csv")
    known = json.loads((draft.folder / "draft.json").read_text())
    (draft.folder / "draft.json").write_text(json.dumps({**known, **change}))
    assert all(d.path.parent == draft.folder for d in drafts.newest(account))


async def test_a_result_sheet_beside_an_edited_copy_is_never_removed(
    account: Account, file: Path
) -> None:
    drafts = Drafts()
    draft = drafts.add_file(account, file, "term.csv")

    first = await drafts.final(replace(draft, steps=(((2, 1, "1"),),)))
    results = first.path.with_name(f"{first.path.stem}.results-20270301-080000-94df.csv")
    results.write_text("kept")
    second = await drafts.final(replace(draft, steps=(((2, 1, "0"),),)))
    assert not first.path.exists()
    assert second.path.exists()
    assert results.exists()


async def test_a_sheet_is_read_once_however_many_ask(account: Account, file: Path) -> None:
    drafts = Drafts()
    draft = drafts.add_file(account, file, "term.csv")
    assert await drafts.base(draft) is await drafts.base(draft)
    assert (await drafts.base(draft)).sheet.name == "term.csv"


def headless(file: Path) -> Path:
    file.write_text("nothing,here\n1,2\n")
    return file


async def test_a_refusal_names_the_file_as_the_user_does(account: Account, file: Path) -> None:
    draft = Drafts().add_file(account, headless(file), "学期.csv")
    with pytest.raises(CannotStart, match=r"^学期\.csv has no header row"):
        await Drafts().base(draft)


async def test_a_copy_that_another_has_replaced_is_written_again(
    account: Account, file: Path
) -> None:
    drafts = Drafts()
    draft = drafts.add_file(account, file, "term.csv")
    one = replace(draft, steps=(((2, 1, "1"),),))
    two = replace(draft, steps=(((2, 1, "0"),),))
    for edited in (one, two, one):
        final = await drafts.final(edited)
        assert final.path.is_file()
        assert final.sheet.rows[0].cells[1] == edited.edits[2][1]
    assert len(list(draft.folder.glob("edited-*"))) == 1


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("uploaded_at", 10**400),
        ("uploaded_at", float("nan")),
        ("options", []),
        ("steps", [[1]]),
        ("remembered", 1),
    ],
)
def test_a_damaged_draft_is_none(account: Account, file: Path, key: str, value: object) -> None:
    drafts = Drafts()
    draft = drafts.add_file(account, file, "term.csv")
    known = json.loads((draft.folder / "draft.json").read_text())
    (draft.folder / "draft.json").write_text(json.dumps({**known, key: value}))
    assert drafts.newest(account) == []
