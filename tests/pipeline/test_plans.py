"""Plans in files, what is known, and undo: through real files, a real ledger, a real server."""

import asyncio
import os
import shutil
import stat
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulkcast.catalogue import CLEAR_WORDS
from bulkcast.endpoints import WEBCAST
from bulkcast.errors import CannotStart, NeedsHuman, UnreadableSheet
from bulkcast.headers import fold
from bulkcast.ledger import open_ledger
from bulkcast.model import Institution, Intent, Request, RequestKey, RowStatus, SettingValue, Target
from bulkcast.pipeline import (
    Control,
    Prepared,
    RunReport,
    Selection,
    SendOptions,
    SheetOptions,
    apply,
    is_plan,
    prepare,
    read_plan,
    recall,
    replan,
    require_expected,
    require_for,
    undo,
    write_plan,
)
from bulkcast.pipeline.reversal import TargetReversal, sheet_of
from bulkcast.planner.last_known import Acknowledgement, replay, reversal
from bulkcast.reporter import write_sheet
from bulkcast.sandbox import SANDBOX_SID, World
from bulkcast.sandbox.world import PointInTime
from tests.dispatcher_harness import classroom, header
from tests.pipeline_harness import Harness, counted, sent_rows, with_sandbox
from tests.sheets import FIRST_ID, HEAD, cells, plain, read_rows, write_rows
from tests.virtual_loop import EPOCH

APPLIED, UNCHANGED, TOO_LATE = RowStatus.APPLIED, RowStatus.UNCHANGED, RowStatus.TOO_LATE
WHERE = Institution("https://api.eeo.cn", SANDBOX_SID)
DATED = ("activityId", "startTime", "recordState", "customColumn")


PURGE = (
    "DELETE FROM requests", "DELETE FROM outcomes", "DELETE FROM attempts", "DELETE FROM settled",
    "DELETE FROM runs",
)  # fmt: skip


def frozen(sheet: Path, selection: Selection | None = None, **options: Any) -> Path:
    selection = selection or Selection()
    prepared = prepare(sheet, SheetOptions(**options), selection)
    return write_plan(
        prepared, WHERE, sheet.with_suffix(".plan"),
        selection=selection, existing="replace", made_at=EPOCH,
    )  # fmt: skip


def remembered(harness: Harness, sheet: Path, **how: Any) -> Prepared:
    """The sheet, planned in the light of what the ledger knows."""
    config = harness.config
    return replan(recall(prepare(sheet), config.home, config.institution), **how)


async def apply_changed(harness: Harness, sheet: Path) -> RunReport:
    prepared = remembered(harness, sheet, unchanged="skip")
    return await harness.apply(prepared)


# ------------------------------------------------------------------ plan files


def test_a_plan_is_taken_up_exactly_as_it_was_made(tmp_path: Path) -> None:
    sheet = write_rows(
        tmp_path / "term.csv", (*HEAD, "watchPassword"), [(*cells(row), "s3cret") for row in (2, 3)]
    )
    plan = frozen(sheet)

    prepared, institution = read_plan(plan)

    assert is_plan(plan)
    assert not is_plan(sheet)
    assert prepared == prepare(sheet)
    assert institution == WHERE
    assert "s3cret" in plan.read_text(encoding="ascii"), "it can be sent as it stands"
    if os.name == "posix":
        assert stat.S_IMODE(plan.stat().st_mode) == 0o600


def test_a_plan_keeps_which_rows_were_chosen_and_how_the_sheet_was_read(tmp_path: Path) -> None:
    sheet = plain(tmp_path / "term.csv", 6)
    plan = frozen(sheet, Selection(rows=frozenset({3, 5, 6}), limit=2), strict=True, tz="UTC")

    prepared, _ = read_plan(plan)

    assert [request.rows for request in prepared.plan.requests] == [(3,), (5,)]
    assert prepared.options == SheetOptions(strict=True, tz="UTC")


def test_an_edited_sheet_is_refused_with_the_edited_rows_named(tmp_path: Path) -> None:
    sheet = plain(tmp_path / "term.xlsx", 40)
    plan = frozen(sheet)
    lines = [list(cells(row)) for row in range(2, 42)]
    lines[3][2] = 0
    lines[7][5] = "another tag"
    write_rows(sheet, HEAD, lines)

    with pytest.raises(CannotStart, match=r"term\.xlsx has changed .*: rows 5, 9 were edited;"):
        read_plan(plan)


@pytest.mark.parametrize(
    ("rows", "head", "said"),
    [
        (range(2, 9), HEAD, "row 8 is new"),
        (range(2, 6), HEAD, "rows 6, 7 are gone"),
        (range(2, 8), (*HEAD[:5], "Notes"), "its header is another"),
    ],
)
def test_rows_that_came_or_went_and_other_headers_are_named(
    tmp_path: Path, rows: range, head: Sequence[str], said: str
) -> None:
    sheet = plain(tmp_path / "term.csv", 6)
    plan = frozen(sheet)
    write_rows(sheet, head, [cells(row) for row in rows])

    with pytest.raises(CannotStart, match=said):
        read_plan(plan)


def test_a_sheet_saved_again_without_a_change_is_the_same(tmp_path: Path) -> None:
    sheet = plain(tmp_path / "term.xlsx", 5)
    plan = frozen(sheet)
    before = sheet.read_bytes()
    with sheet.open("wb") as file:
        file.write(before + b"\0" * 3)

    assert read_plan(plan)[0].sha256 != prepare(sheet).sha256 or read_plan(plan)
    assert len(read_plan(plan)[0].plan.requests) == 5


def test_a_plan_finds_its_sheet_beside_it_and_says_when_there_is_none(tmp_path: Path) -> None:
    plan = frozen(plain(tmp_path / "term.csv", 3))
    (tmp_path / "moved").mkdir()
    for name in ("term.csv", "term.plan"):
        shutil.move(tmp_path / name, tmp_path / "moved" / name)

    assert read_plan(tmp_path / "moved" / "term.plan")[0].path == tmp_path / "moved" / "term.csv"
    (tmp_path / "moved" / "term.csv").unlink()
    with pytest.raises(CannotStart, match="no longer there; plan again"):
        read_plan(tmp_path / "moved" / "term.plan")
    assert plan.name == "term.plan"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"liveState",\n     0', '"liveState",\n     1'),
        ('"row 3"', '"row three"'),
        ('"sid": "99000001"', '"sid": "99000002"'),
        ('"key": "2"', '"key": []'),
        ("}\n", ""),
        ('"check"', '"cheque"'),
    ],
)
def test_a_plan_that_was_edited_or_cut_is_refused(tmp_path: Path, old: str, new: str) -> None:
    plan = frozen(plain(tmp_path / "term.csv", 3))
    text = plan.read_text(encoding="ascii")
    assert old in text
    plan.write_text(text.replace(old, new), encoding="ascii")

    with pytest.raises(CannotStart, match="is not as `bulkcast plan` wrote it"):
        read_plan(plan)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("term.plan", b"activityId,recordState\n1,1\n", "term.plan is no plan, whatever its name"),
        ("term.plan", b"", "term.plan is no plan"),
        ("term.plan", b"{}", "term.plan is no plan"),
        ("term.plan", b'{"schema": "else/1"}', "term.plan is no plan"),
        ("term.plan", b"\xff\xfe\x00\x80", "term.plan cannot be read: it is no text"),
        ("term.json", b'{\n "schema": "bulkcast.planfile/9"}', "another version of bulkcast"),
        ("term.json", b'{"schema": "bulkcast.planfile/1"}', "is not as `bulkcast plan` wrote it"),
    ],
)
def test_a_file_that_only_looks_like_a_plan_is_told_so(
    tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)

    assert is_plan(path)
    with pytest.raises(CannotStart, match=sentence):
        read_plan(path)


@pytest.mark.parametrize("name", ["term.plan", "plan.json", "plan.csv"])
def test_a_plan_given_as_a_sheet_is_told_so(tmp_path: Path, name: str) -> None:
    plan = frozen(plain(tmp_path / "term.csv", 3))
    other = plan.rename(tmp_path / name)

    with pytest.raises(UnreadableSheet, match=f"{name} is a plan and no sheet; `bulkcast apply`"):
        prepare(other)


def test_a_plan_is_for_one_institution(tmp_path: Path) -> None:
    _, institution = read_plan(frozen(plain(tmp_path / "term.csv", 3)))

    require_for(institution, replace(WHERE, root_url="https://API.eeo.cn/"), tmp_path)
    with pytest.raises(CannotStart, match="is for institution 99000001"):
        require_for(institution, replace(WHERE, sid="1"), tmp_path)


def test_a_plan_is_written_over_another_only_where_that_was_said(tmp_path: Path) -> None:
    sheet = plain(tmp_path / "term.csv", 3)
    plan = frozen(sheet)

    for place, said in ((plan, "another name with -o"), (tmp_path / "no" / "p", "is no folder")):
        with pytest.raises(CannotStart, match=said):
            write_plan(
                prepare(sheet), WHERE, place,
                selection=Selection(), existing="refuse", made_at=EPOCH,
            )  # fmt: skip


def test_a_plan_is_sent_as_it_was_frozen(tmp_path: Path) -> None:
    async def main(harness: Harness) -> list[int]:
        sheet = write_rows(
            tmp_path / "term.csv", DATED,
            [(FIRST_ID + row, int(EPOCH) + 9000 - 60 * row, 1, "x") for row in range(2, 12)],
        )  # fmt: skip
        prepared, _ = read_plan(frozen(sheet))
        report = await harness.apply(prepared)
        assert counted(report) == {APPLIED: 10}
        return sent_rows(harness.log)

    assert with_sandbox(tmp_path, main) == list(range(11, 1, -1))


# ------------------------------------------------------------------ guards


def test_a_plan_larger_than_expected_waits_for_its_fingerprint(tmp_path: Path) -> None:
    prepared = prepare(plain(tmp_path / "term.csv", 10))
    mark = prepared.plan.fingerprint

    require_expected(prepared, None, None, now=EPOCH)
    require_expected(prepared, (10, "rows"), None, now=EPOCH)
    require_expected(prepared, (100, "%"), None, now=EPOCH)
    require_expected(prepared, (1, "rows"), mark[:16], now=EPOCH)
    for most in ((9.0, "rows"), (99.0, "%")):
        with pytest.raises(NeedsHuman, match=f"10 of 10 rows.*--approve {mark[:16]}"):
            require_expected(prepared, most, None, now=EPOCH)
    for other in ("", mark[:4], "0" * 16):
        with pytest.raises(NeedsHuman, match="is another plan"):
            require_expected(prepared, (100, "rows"), other, now=EPOCH)


# ------------------------------------------------------------------ changed only


def test_the_same_sheet_twice_sends_nothing_the_second_time(tmp_path: Path) -> None:
    async def main(harness: Harness) -> RunReport:
        sheet = plain(tmp_path / "term.xlsx", 60)
        assert counted(await apply_changed(harness, sheet)) == {APPLIED: 60}
        sent = len(harness.log)
        again = await apply_changed(harness, sheet)
        assert len(harness.log) == sent == 60
        return again

    again = with_sandbox(tmp_path, main)
    assert counted(again) == {UNCHANGED: 60}
    assert again.exit_status == 0
    row = read_rows(again.results)[0]
    assert row["bulkcast_status"] == "unchanged"
    assert "ClassIn acknowledged these settings at 2027-03-01 08:00" in row["bulkcast_message"]


def test_only_the_rows_that_would_change_something_are_sent(tmp_path: Path) -> None:
    async def main(harness: Harness) -> list[int]:
        await harness.apply(prepare(plain(tmp_path / "term.csv", 6)))
        lines = [list(cells(row)) for row in range(2, 9)]
        lines[1][3] = 1 - int(str(lines[1][3]))
        sheet = write_rows(tmp_path / "next.csv", HEAD, lines)
        before = len(harness.log)
        assert counted(await apply_changed(harness, sheet)) == {APPLIED: 2, UNCHANGED: 5}
        return sorted(sent_rows(harness.log[before:]))

    assert with_sandbox(tmp_path, main) == [3, 8]


@pytest.mark.parametrize("fault", ["code:113*", "reset:applied*", "http:503*"])
def test_what_nobody_acknowledged_is_never_taken_for_known(tmp_path: Path, fault: str) -> None:
    world = World(classrooms=(classroom(3, fault),))

    async def main(harness: Harness) -> list[int]:
        sheet = plain(tmp_path / "term.csv", 3)
        await harness.apply(prepare(sheet))
        return [row for r in remembered(harness, sheet, unchanged="skip").plan.requests
                for row in r.rows]  # fmt: skip

    assert with_sandbox(tmp_path, main, world) == [3]


def test_an_unconfirmed_change_makes_what_was_known_unknown(tmp_path: Path) -> None:
    """Known on; then an off nobody confirmed: on is sent again though it was acknowledged."""
    world = World(first_whole=False, classrooms=(classroom(2, "ok", "reset:applied*"),))

    async def main(harness: Harness) -> tuple[int, dict[str, object]]:
        on = write_rows(tmp_path / "on.csv", HEAD[:2], [(FIRST_ID + 2, 1)])
        off = write_rows(tmp_path / "off.csv", HEAD[:2], [(FIRST_ID + 2, 0)])
        await harness.apply(prepare(on))
        assert not remembered(harness, on, unchanged="skip").plan.requests
        assert counted(await harness.apply(prepare(off))) == {RowStatus.UNCONFIRMED: 1}
        planned = remembered(harness, on, unchanged="skip").plan.requests
        return len(planned), harness.sandbox.settings_of(Target("activityId", FIRST_ID + 2))

    assert with_sandbox(tmp_path, main, world) == (1, {"recordState": 0})


def test_a_purged_request_leaves_nothing_known(tmp_path: Path) -> None:
    async def main(harness: Harness) -> dict[str, object]:
        sheet = plain(tmp_path / "term.csv", 1)
        await harness.apply(prepare(sheet))
        with open_ledger(harness.config.home) as ledger, ledger._transaction() as connection:
            for statement in PURGE:
                connection.execute(statement)
        shutil.rmtree(harness.config.home / "runs")
        with open_ledger(harness.config.home) as ledger:
            (entries,) = ledger.acknowledged(
                harness.config.institution, [Target("activityId", FIRST_ID + 2)]
            ).values()
        assert [entry.body for entry in entries] == [None]
        return dict(replay(entries))

    assert with_sandbox(tmp_path, main) == {}


def test_what_was_known_before_a_purged_request_is_known_no_more() -> None:
    body = (("liveState", 1),)
    on, purged = (
        Acknowledgement("r1", 1.0, body, sure=True),
        Acknowledgement("r2", 2.0, None, sure=False),
    )

    assert replay([on, purged]) == {}
    assert list(replay([on, purged, Acknowledgement("r3", 3.0, body, sure=True)])) == ["liveState"]
    assert reversal([on, purged], "r1", ["liveState"]).since == ("liveState",)


def test_a_request_that_was_under_way_when_its_program_died_is_in_doubt(tmp_path: Path) -> None:
    """Its intent is all that is left of it."""

    async def main(harness: Harness) -> list[list[bool]]:
        prepared = prepare(plain(tmp_path / "term.csv", 2))
        await harness.apply(prepared)
        with open_ledger(harness.config.home) as ledger:
            place = harness.config.institution
            plan = prepared.plan
            crashed = header("crashed", 2, institution=place)
            ledger.create(replace(crashed, headers=HEAD), plan, {})
            with ledger.journal("crashed") as journal:
                await journal.record_intent([Intent(plan.requests[0].key, 1, EPOCH + 60.0)])
            found = ledger.acknowledged(place, [request.target for request in plan.requests])
        return [[entry.sure for entry in entries] for entries in found.values()]

    assert with_sandbox(tmp_path, main) == [[True, False], [True]]


def test_unchanged_rows_that_another_run_has_set_since_stop_the_run(tmp_path: Path) -> None:
    async def main(harness: Harness) -> None:
        sheet = plain(tmp_path / "term.csv", 3)
        await harness.apply(prepare(sheet))
        stale = remembered(harness, sheet, unchanged="skip")
        other = write_rows(tmp_path / "other.csv", HEAD[:2], [(FIRST_ID + 3, 0)])
        await harness.apply(prepare(other))
        with pytest.raises(CannotStart, match="row 3 would be left as unchanged"):
            await harness.apply(stale)

    with_sandbox(tmp_path, main)


# ------------------------------------------------------------------ what stays free


def test_of_a_locked_row_that_is_so_already_just_the_free_settings_are_sent(
    tmp_path: Path,
) -> None:
    starts = int(EPOCH) + 1300
    world = World(first_whole=False, classrooms=(classroom(2, starts=PointInTime(starts)),))

    async def main(harness: Harness) -> dict[str, object]:
        def sheet(name: str, tag: str) -> Path:
            return write_rows(tmp_path / name, DATED, [(FIRST_ID + 2, starts, 1, tag)])

        await harness.apply(prepare(sheet("a.csv", "first")))
        await asyncio.sleep(200)
        late = await harness.apply(remembered(harness, sheet("b.csv", "second")))
        assert counted(late) == {TOO_LATE: 1}
        message, fix = (
            read_rows(late.results)[0][f"bulkcast_{name}"] for name in ("message", "fix")
        )
        assert "recordState cannot be changed after 2027-03-01 08:01" in message
        assert "only customColumn would be new" in message
        assert "--send-free" in fix
        again = remembered(harness, sheet("c.csv", "second"), once_locked="send_free")
        assert counted(await harness.apply(again)) == {APPLIED: 1}
        assert harness.log[-1].body == {
            "activityId": FIRST_ID + 2, "customColumn": "second",
        }  # fmt: skip
        return harness.sandbox.settings_of(Target("activityId", FIRST_ID + 2))

    assert with_sandbox(tmp_path, main, world) == {"recordState": 1, "customColumn": "second"}


# ------------------------------------------------------------------ undo


def state(harness: Harness) -> dict[Target, dict[str, object]]:
    return {target: harness.sandbox.settings_of(target) for target in harness.sandbox.state}


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_apply_change_apply_undo_brings_the_state_back(tmp_path: Path, kind: str) -> None:
    head = (*HEAD, "watchPassword", "liveAndPlaybackStudentUids", "courseId")
    first_tag = "=1+1" if kind == "csv" else "'1"

    def sheet(name: str, *, turned: int, tag: str, students: str) -> Path:
        rows = [
            (*cells(row)[:3], (row + turned) % 2, 1, f"{tag} {row}", f"0{row}{tag}", students, 7)
            for row in range(2, 32)
        ]
        return write_rows(tmp_path / name, head, rows)

    async def main(harness: Harness) -> None:
        first = sheet(f"first.{kind}", turned=0, tag=first_tag, students="5, 6")
        second = sheet(f"second.{kind}", turned=1, tag="tag", students="(clear)")
        await harness.apply(prepare(first))
        before = state(harness)
        changed = await harness.apply(prepare(second))
        assert state(harness) != before

        undone = undo(harness.config.home, changed.run)

        assert undone.path is not None
        assert (undone.classrooms, undone.lost, undone.exit_status) == (30, (), 0)
        assert undone.may_append == ("liveAndPlaybackStudentUids",)
        if os.name == "posix":
            assert stat.S_IMODE(undone.path.stat().st_mode) == 0o600
        report = await harness.apply(prepare(undone.path))
        assert counted(report) == {APPLIED: 30}
        assert state(harness) == before

    with_sandbox(tmp_path, main)


def test_what_was_never_known_cannot_be_undone_and_is_listed(tmp_path: Path) -> None:
    async def main(harness: Harness) -> None:
        first = write_rows(tmp_path / "a.csv", HEAD[:2], [(FIRST_ID + 2, 1)])
        second = write_rows(
            tmp_path / "b.csv", (*HEAD[:2], "customColumn"),
            [(FIRST_ID + 2, 0, "x"), (FIRST_ID + 3, 0, "x")],
        )  # fmt: skip
        only = await harness.apply(prepare(first))
        run = (await harness.apply(prepare(second))).run

        undone = undo(harness.config.home, run)

        assert undone.path is not None
        assert [(lost.rows, lost.key, lost.why) for lost in undone.lost] == [
            ((2,), "customColumn", "unknown"),
            ((3,), "recordState", "unknown"),
            ((3,), "customColumn", "unknown"),
        ]
        assert undone.exit_status == 3
        (request,) = prepare(undone.path).plan.requests
        assert dict(request.body) == {"activityId": FIRST_ID + 2, "recordState": 1}
        assert "Not brought back: Custom column" in undone.path.read_text(encoding="utf-8-sig")

        nothing = undo(harness.config.home, only.run, target=tmp_path / "none.csv")
        assert nothing.path is None
        assert not (tmp_path / "none.csv").exists()

    with_sandbox(tmp_path, main)


def test_what_another_run_has_set_since_is_left_as_it_is(tmp_path: Path) -> None:
    async def main(harness: Harness) -> None:
        def sheet(name: str, record: int, tag: str) -> Path:
            row = (FIRST_ID + 2, record, tag)
            return write_rows(tmp_path / name, (*HEAD[:2], "customColumn"), [row])

        await harness.apply(prepare(sheet("a.csv", 1, "first")))
        run = (await harness.apply(prepare(sheet("b.csv", 0, "second")))).run
        later = write_rows(
            tmp_path / "c.csv", ("activityId", "customColumn"), [(FIRST_ID + 2, "last")]
        )
        await harness.apply(prepare(later))

        undone = undo(harness.config.home, run)

        assert undone.path is not None
        assert [(lost.key, lost.why) for lost in undone.lost] == [("customColumn", "since")]
        await harness.apply(prepare(undone.path))
        settings = harness.sandbox.settings_of(Target("activityId", FIRST_ID + 2))
        assert settings == {"recordState": 1, "customColumn": "last"}

    with_sandbox(tmp_path, main)


def test_an_undo_sheet_has_the_times_of_the_run_and_is_sent_in_their_order(tmp_path: Path) -> None:
    async def main(harness: Harness) -> None:
        def sheet(name: str, record: int) -> Path:
            rows = [
                (FIRST_ID + row, int(EPOCH) + 9000 - 60 * row, record, "") for row in range(2, 6)
            ]
            return write_rows(tmp_path / name, DATED, rows)

        await harness.apply(prepare(sheet("a.csv", 1)))
        planned = prepare(sheet("b.csv", 0)).plan.requests
        run = (await harness.apply(prepare(sheet("b.csv", 0)))).run

        undone = undo(harness.config.home, run, target=tmp_path / "undo.xlsx")

        assert undone.path is not None
        back = prepare(undone.path).plan.requests
        assert [(r.target, r.locks_at) for r in back] == [(r.target, r.locks_at) for r in planned]
        with pytest.raises(CannotStart, match="exists already"):
            undo(harness.config.home, run, target=tmp_path / "undo.xlsx")
        with pytest.raises(CannotStart, match=r"use \.xlsx, \.csv or \.tsv"):
            undo(harness.config.home, run, target=tmp_path / "undo.ods")

    with_sandbox(tmp_path, main)


def test_undo_takes_back_what_a_run_that_was_cut_short_did(tmp_path: Path) -> None:
    async def main(harness: Harness) -> None:
        await harness.apply(prepare(plain(tmp_path / "a.csv", 40)))
        before = state(harness)
        lines = [(*cells(row)[:5], "changed") for row in range(2, 42)]
        control = Control()
        harness.loop.call_later(3.0, control.stop, 130)
        report = await apply(
            prepare(write_rows(tmp_path / "b.csv", HEAD, lines)), harness.config,
            SendOptions(rate=5.0), control=control, parts=harness.parts,
        )  # fmt: skip
        assert 0 < report.counts[APPLIED] < 40

        undone = undo(harness.config.home, report.run)

        assert undone.path is not None
        assert undone.classrooms == report.counts[APPLIED]
        await harness.apply(prepare(undone.path))
        assert state(harness) == before

    with_sandbox(tmp_path, main)


# What a sheet can say and a request can carry: other texts never came from a sheet.
SAID = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn", "Co")), min_size=1,
    max_size=30,
).filter(lambda text: bool(text.strip()) and fold(text) not in map(fold, CLEAR_WORDS))  # fmt: skip
VALUES: dict[str, st.SearchStrategy[SettingValue]] = {
    "recordState": st.sampled_from([0, 1]),
    "recordType": st.sampled_from([0, 1, 2]),
    "liveAndPlaybackViewingSet": st.integers(0, 99),
    "watchPassword": st.just("") | SAID | st.from_regex(r"0[0-9]{3,20}", fullmatch=True),
    "customColumn": st.just("") | SAID | st.sampled_from(["=1+1", " x ", "+8", "'a", "1e5", "#"]),
    "liveAndPlaybackStudentUids": st.lists(st.integers(1, 2**63 - 1), unique=True).map(tuple),
}


@pytest.mark.parametrize("kind", ["xlsx", "csv", "tsv"])
@settings(max_examples=25, deadline=None)
@given(wanted=st.fixed_dictionaries({}, optional=VALUES).filter(bool))
def test_whatever_was_acknowledged_comes_back_through_the_sheet_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, kind: str, wanted: dict[str, SettingValue]
) -> None:
    target = Target("classId", 2**62 + 1)
    body = tuple((c.key, wanted[c.key]) for c in WEBCAST.settings if c.key in wanted)
    request = Request(RequestKey("2"), (2,), target, ((target.key, target.id), *body))
    entries = [
        Acknowledgement("before", 1.0, body, sure=True),
        Acknowledgement("run", 2.0, tuple((key, "other") for key, _ in body), sure=True),
    ]
    part = TargetReversal((request,), reversal(entries, "run", wanted))
    path = tmp_path_factory.mktemp("undo") / f"undo.{kind}"

    headers, rows = sheet_of([part], WEBCAST, ZoneInfo("Asia/Shanghai"))
    write_sheet(path, headers, rows, ["# a comment", "another"], existing="refuse")
    (planned,) = prepare(path).plan.requests

    assert planned.body == request.body
