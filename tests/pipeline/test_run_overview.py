"""How far a run is: the counts of all rows, the newest failures, one page of the list."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from bulkcast.ledger import Standing, open_ledger
from bulkcast.model import Institution, RowStatus, no_counts
from bulkcast.pipeline import (
    Base,
    Control,
    Progress,
    SendOptions,
    apply,
    newest_failures,
    prepare,
    resume,
    run_end,
    run_state,
    some_runs,
)
from bulkcast.planner import Plan
from bulkcast.sandbox import World
from tests.dispatcher_harness import classroom, header, request
from tests.pipeline_harness import Harness, with_sandbox
from tests.sheets import FIRST_ID, HEAD, cells, plain, write_rows

A, R, U, N, S, X = (
    RowStatus.APPLIED, RowStatus.REJECTED, RowStatus.UNCONFIRMED, RowStatus.NOT_SENT,
    RowStatus.SUPERSEDED, RowStatus.INVALID,
)  # fmt: skip


def told(counts: Mapping[RowStatus, int]) -> dict[RowStatus, int]:
    return {status: n for status, n in counts.items() if n}


# ------------------------------------------------------------------ the counts of all rows


@pytest.mark.parametrize(
    ("standing", "progress", "rows", "expected"),
    [
        # A new run: 2 of its 12 rows are invalid.
        (Standing({X: 2}, {}, 10), {}, 10, {X: 2, N: 10}),
        (Standing({X: 2}, {}, 10), {A: 3, R: 1}, 10, {X: 2, A: 3, R: 1, N: 6}),
        # A stopped run says itself what it did not send.
        (Standing({}, {}, 10), {A: 3, N: 7}, 10, {A: 3, N: 7}),
        # A resumed run: what is open is sent, but for one row that a newer run has set.
        (Standing({}, {A: 5, U: 2, N: 3}, 0), {}, 4, {A: 5, S: 1, N: 4}),
        (Standing({}, {A: 5, U: 2, N: 3}, 0), {A: 4}, 4, {A: 9, S: 1}),
        # A run that broke off: some requests have not ended.
        (Standing({}, {A: 5}, 5), {A: 1}, 5, {A: 6, N: 4}),
    ],
)
def test_progress_is_added_to_what_had_ended_before(
    standing: Standing,
    progress: Mapping[RowStatus, int],
    rows: int,
    expected: Mapping[RowStatus, int],
) -> None:
    counts = Base.of(standing).plus(progress, rows)

    assert list(counts) == list(no_counts())
    assert told(counts) == expected


async def applied(harness: Harness, sheet: Path, control: Control, rate: float = 10.0) -> str:
    prepared = prepare(sheet)
    options = SendOptions(rate=rate)
    report = await apply(prepared, harness.config, options, control=control, parts=harness.parts)
    return report.run


def test_the_counts_during_a_run_are_those_of_the_ledger(tmp_path: Path) -> None:
    """Each half second, what a door would show and what the ledger holds differ by nothing."""
    lines = [cells(row) for row in range(2, 62)]
    lines[4] = (FIRST_ID + 6, "perhaps", 1, 1, 1, "")
    sheet = write_rows(tmp_path / "sheet.csv", HEAD, lines)
    world = World(first_whole=False, classrooms=(classroom(5, "code:121601031*"),))

    async def main(harness: Harness) -> list[tuple[object, object]]:
        bases: list[Base] = []
        seen: list[tuple[object, object]] = []
        home = harness.config.home

        def begun(run: str) -> None:
            state = run_state(home, run)
            assert state is not None
            bases.append(Base.of(state.standing))

        def watch(progress: Progress) -> None:
            state = run_state(home, some_runs(home).records[0].header.run)
            assert state is not None
            shown = bases[0].plus(progress.counts, progress.rows)
            seen.append((told(shown), told(state.record.counts)))

        await apply(
            prepare(sheet), harness.config, SendOptions(rate=10.0, concurrency=1),
            control=Control(begun), watch=watch, parts=harness.parts,
        )  # fmt: skip
        return seen

    seen = with_sandbox(tmp_path, main, world)
    assert len(seen) > 20
    # A request under way counts as unconfirmed in the ledger, in case the program dies.
    settled = [(shown, held) for shown, held in seen if U not in held]  # type: ignore[operator] # a set
    assert len(settled) > 5
    assert all(shown == held for shown, held in settled)
    assert seen[-1][0] == {A: 58, R: 1, X: 1}


def test_a_resumed_run_counts_on(tmp_path: Path) -> None:
    async def main(harness: Harness) -> list[dict[RowStatus, int]]:
        home, control = harness.config.home, Control()
        harness.loop.call_later(2.0, control.stop, 130)
        run = await applied(harness, plain(tmp_path / "sheet.csv", 60), control)
        bases: list[Base] = []
        shown: list[dict[RowStatus, int]] = []

        def begun(name: str) -> None:
            state = run_state(home, name)
            assert state is not None
            bases.append(Base.of(state.standing))

        await resume(
            harness.config, run, SendOptions(rate=10.0), control=Control(begun),
            watch=lambda p: shown.append(told(bases[0].plus(p.counts, p.rows))),
            parts=harness.parts,
        )  # fmt: skip
        return shown

    shown = with_sandbox(tmp_path, main)
    applied_rows = [counts[A] for counts in shown]
    assert applied_rows[0] > 15
    assert applied_rows == sorted(applied_rows)
    assert all(sum(counts.values()) == 60 for counts in shown)
    assert shown[-1] == {A: 60}


# ------------------------------------------------------------------ one run


def test_a_run_under_way_is_held_and_one_that_is_over_is_not(tmp_path: Path) -> None:
    async def main(harness: Harness) -> tuple[str, list[object]]:
        seen: list[object] = []
        control = Control()

        def look() -> None:
            (record,) = some_runs(harness.config.home).records
            state = run_state(harness.config.home, record.header.run)
            assert state is not None
            seen.extend((state.record.state, state.held_by, state.progress))

        harness.loop.call_later(2.0, look)
        run = await applied(harness, plain(tmp_path / "sheet.csv", 60), control)
        return run, seen

    run, (state, held_by, progress) = with_sandbox(tmp_path, main)
    over = run_state(tmp_path / "home", run)
    assert state == "running"
    assert run in str(held_by)
    assert isinstance(progress, Progress)
    assert progress.rows == 60
    assert 10 < progress.requests < 30
    assert over is not None
    assert over.record.state == "finished"
    assert over.held_by is None


@pytest.mark.parametrize("name", ["", "2027", "20270301-080000-94df", "%"])
def test_a_run_is_known_by_its_whole_name_only(tmp_path: Path, name: str) -> None:
    assert run_state(tmp_path / "home", name) is None
    assert not (tmp_path / "home").exists()  # looking makes no ledger

    async def main(harness: Harness) -> str:
        return await applied(harness, plain(tmp_path / "sheet.csv", 2), Control())

    run = with_sandbox(tmp_path, main)
    assert run_state(tmp_path / "home", name) is None
    assert run_state(tmp_path / "home", run[:-1]) is None


# ------------------------------------------------------------------ failures


def test_the_newest_failures_come_first_with_classroom_and_reason(tmp_path: Path) -> None:
    bad = tuple(classroom(row, "code:121601031*") for row in range(3, 60, 2))

    async def main(harness: Harness) -> str:
        return await applied(harness, plain(tmp_path / "sheet.csv", 60), Control())

    run = with_sandbox(tmp_path, main, World(first_whole=False, classrooms=bad))
    found = newest_failures(tmp_path / "home", run, most=20, lang="en")
    (first, *_) = newest_failures(tmp_path / "home", run, most=1, lang="zh")

    assert [failed.row.row for failed in found] == list(range(59, 19, -2))
    assert found[0].classroom.id == FIRST_ID + 59
    assert found[0].row.status is R
    assert "does not belong to this institution" in found[0].row.message
    assert "课堂不属于该机构" in first.row.message


def test_rows_that_were_never_sent_are_no_failures(tmp_path: Path) -> None:
    async def main(harness: Harness) -> str:
        control = Control()
        harness.loop.call_later(1.0, control.stop, 130)
        return await applied(harness, plain(tmp_path / "sheet.csv", 60), control)

    run = with_sandbox(tmp_path, main)
    assert newest_failures(tmp_path / "home", run) == []


# ------------------------------------------------------------------ the list


def test_runs_are_listed_in_pages_and_by_institution(tmp_path: Path) -> None:
    async def main(harness: Harness) -> tuple[Institution, list[str]]:
        sheet = plain(tmp_path / "sheet.csv", 1)
        runs = [await applied(harness, sheet, Control(), 1e4) for _ in range(7)]
        return harness.config.institution, runs

    institution, runs = with_sandbox(tmp_path, main)
    home = tmp_path / "home"
    newest = runs[::-1]

    def names(**choice: object) -> list[str]:
        return [r.header.run for r in some_runs(home, **choice).records]  # type: ignore[arg-type] # its own

    assert names(most=3) == newest[:3]
    assert names(first=3, most=3) == newest[3:6]
    assert names(first=6, most=3) == newest[6:]
    assert names(first=9) == []
    assert some_runs(home, most=1).total == 7
    assert names(institution=institution) == newest
    capitals = replace(institution, root_url=institution.root_url.upper())
    assert names(institution=capitals) == newest
    other = some_runs(home, institution=replace(institution, sid="1"))
    assert (other.records, other.total) == ((), 0)


def test_a_group_has_ended_when_its_last_run_has(tmp_path: Path) -> None:
    group = "20270301-080000-94dfa1"
    with open_ledger(tmp_path) as ledger:
        for n in (1, 2):
            part = header(f"{group}-{n}", 1, group=group, profile=f"school-{n}")
            ledger.create(part, Plan((request(n + 1),)), {})
        ledger.finish(f"{group}-1", None, 5.0)
    half, (listed,) = run_end(tmp_path, group), some_runs(tmp_path).records
    with open_ledger(tmp_path) as ledger:
        ledger.finish(f"{group}-2", None, 7.0)
    whole = run_end(tmp_path, group)

    assert half is not None
    assert half.finished_at is None
    assert listed.finished_at is None
    assert whole is not None
    assert whole.finished_at == 7.0


def test_where_there_is_no_ledger_none_is_made(tmp_path: Path) -> None:
    assert some_runs(tmp_path / "home").total == 0
    assert not (tmp_path / "home").exists()


# ------------------------------------------------------------------ control


def test_a_control_pauses_before_and_during_a_run(tmp_path: Path) -> None:
    async def main(harness: Harness) -> list[float]:
        control = Control()
        control.pause()
        harness.loop.call_later(50.0, control.go_on)
        harness.loop.call_later(52.0, control.pause)
        harness.loop.call_later(90.0, control.go_on)
        began = harness.loop.wall()
        await applied(harness, plain(tmp_path / "sheet.csv", 40), control)
        control.pause()  # after the end it does nothing
        return [received.at - began for received in harness.log]

    sent = with_sandbox(tmp_path, main)
    assert len(sent) == 40
    assert min(sent) >= 50.0
    assert not [at for at in sent if 52.1 < at < 90.0]


def test_a_run_is_called_what_its_user_calls_the_sheet(tmp_path: Path) -> None:
    async def main(harness: Harness) -> str:
        prepared = prepare(plain(tmp_path / "sheet.csv", 2))
        options = SendOptions(rate=1e4, name="学期.csv")
        report = await apply(prepared, harness.config, options, parts=harness.parts)
        assert report.input == "学期.csv"
        return report.run

    run = with_sandbox(tmp_path, main)
    state = run_state(tmp_path / "home", run)
    assert state is not None
    assert state.record.header.title == "学期.csv"
    assert Path(state.record.header.sheet) == tmp_path / "sheet.csv"
