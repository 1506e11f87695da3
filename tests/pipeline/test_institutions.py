"""Sheets for several institutions: split, sent side by side, given back as one."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar

import pandas
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bulkcast.client import Client
from bulkcast.config import Config, Member
from bulkcast.endpoints import WEBCAST
from bulkcast.errors import CannotStart, InstitutionBusy
from bulkcast.ledger import claim
from bulkcast.model import Credentials, Institution, RowStatus, Secret, Target, group_of
from bulkcast.pipeline import (
    Base,
    Control,
    Parts,
    PlanOptions,
    PreparedRun,
    RunReport,
    Selection,
    SendOptions,
    SheetOptions,
    account,
    apply,
    apply_parts,
    crosstab,
    is_group,
    left_to_send,
    newest_failures,
    plan_alone,
    prepare,
    prepare_parts,
    prepare_run,
    purge,
    purgeable,
    read_sheet,
    result_file,
    result_table,
    results,
    resume,
    resume_parts,
    run_end,
    run_state,
    runs,
    some_runs,
    undo,
)
from bulkcast.pipeline.sheet_parts import split
from bulkcast.sandbox import SANDBOX_SECRET, Classroom, Sandbox, World
from bulkcast.sandbox.faults import read_script
from tests.dispatcher_harness import classroom
from tests.sheets import FIRST_ID, read_rows
from tests.virtual_loop import VirtualLoop, run

T = TypeVar("T")
NAMES: Final = ("north", "south", "west")
SIDS: Final = {name: str(1000082 + n) for n, name in enumerate(NAMES)}
HEAD: Final = "institution,activityId,recordState,recordType,liveState,openState,customColumn"
OPTIONS: Final = SheetOptions(profiles=lambda: frozenset(NAMES))


_SHARED: Final = [HealthCheck.function_scoped_fixture]


def secret_of(name: str) -> Secret:
    return Secret(f"the-secret-of-{name}")


def line(number: int, name: str, *, classroom: int | None = None, word: str = "row") -> str:
    return f"{name},{FIRST_ID + (classroom or number)},1,0,1,1,{word} {number}"


def sheet(path: Path, names: Sequence[str], **word: str) -> Path:
    lines = [line(number, name, **word) for number, name in enumerate(names, 2)]  # type: ignore[arg-type] # test data
    path.write_text("\n".join([HEAD, *lines]) + "\n", "utf-8")
    return path


@dataclass
class Schools:
    """Three institutions at one address, and a home that has their profiles."""

    loop: VirtualLoop
    sandbox: Sandbox
    url: str
    home: Path
    secrets: dict[str, Secret | None]

    def log(self, name: str) -> Sequence[Any]:
        found = self.sandbox if name == NAMES[0] else self.sandbox.others[SIDS[name]]
        return found.log

    @property
    def parts(self) -> Parts:
        return Parts(wall=self.loop.wall)

    def member(self, name: str) -> Member:
        if name not in NAMES:
            raise CannotStart("there is no profile {name}", name=name)
        institution, secret = Institution(self.url, SIDS[name]), self.secrets[name]
        if secret is None:
            return Member(name, institution, None, CannotStart("no secret of {name}", name=name))
        return Member(name, institution, self.config(name, secret))

    def config(self, name: str, secret: Secret | None = None) -> Config:
        credentials = Credentials(SIDS[name], secret or secret_of(name))
        return Config(Institution(self.url, SIDS[name]), credentials, self.home)

    def prepare(self, path: Path, options: SheetOptions = OPTIONS, **more: Any) -> PreparedRun:
        return prepare_run(
            path, options, more.pop("selection", Selection()), more.pop("plan", PlanOptions()),
            home=self.home, account=lambda: None, members=self.member,
            sending=SendOptions(**more),
        )  # fmt: skip

    async def apply(self, path: Path, **more: Any) -> RunReport:
        control, watch = more.pop("control", None), more.pop("watch", None)
        prepared = self.prepare(path, **more)
        more = {k: v for k, v in more.items() if k not in {"selection", "plan"}}
        return await apply_parts(
            prepared, SendOptions(**more), home=self.home, control=control, watch=watch,
            parts=self.parts,
        )  # fmt: skip

    async def resume(self, run: str = "", **more: Any) -> RunReport:
        return await resume_parts(
            self.home, self.member, run, SendOptions(**more), parts=self.parts
        )


def with_schools(
    home: Path,
    main: Callable[[Schools], Coroutine[Any, Any, T]],
    rooms: Mapping[str, tuple[Classroom, ...]] | None = None,
) -> T:
    """Run `main` beside a sandbox that is three institutions, in virtual time."""

    async def inside(loop: VirtualLoop) -> T:
        first, *others = (
            World(
                sid=SIDS[name], first_whole=False, secret=secret_of(name),
                classrooms=(rooms or {}).get(name, ()),
            )
            for name in NAMES
        )  # fmt: skip
        world = replace(first, others=tuple(others))
        sandbox = Sandbox(world, secret=SANDBOX_SECRET, clock=loop.wall)
        async with sandbox.serving() as url:
            secrets: dict[str, Secret | None] = {name: secret_of(name) for name in NAMES}
            return await main(Schools(loop, sandbox, url, home / "home", secrets))

    return run(inside)


def counted(report: RunReport) -> dict[str, int]:
    """The counts that are not zero; all of them add up to the rows, also of the parts."""
    assert sum(report.counts.values()) == len(report.rows)
    assert sum(len(part.rows) for part in report.parts) == len(report.rows)
    return {status.value: n for status, n in report.counts.items() if n}


# ------------------------------------------------------------------ splitting


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    names=st.lists(st.sampled_from([*NAMES, "", "nrth", "elsewhere"]), min_size=1, max_size=12),
    chosen=st.sets(st.integers(2, 13)),
    set_up=st.sets(st.sampled_from(NAMES)),
)
def test_every_row_is_in_exactly_one_part(
    tmp_path: Path, names: list[str], chosen: set[int], set_up: set[str]
) -> None:
    path = sheet(tmp_path / "term.csv", names)
    rows = frozenset(chosen & set(range(2, 2 + len(names)))) or None
    whole = read_sheet(path, OPTIONS, Selection(rows=rows))

    parts = split(whole, set_up)

    numbers = [row.number for part in parts.values() for row in part.sheet.rows]
    assert sorted(numbers) == list(range(2, 2 + len(names)))
    first = next(iter(parts))
    for name, part in parts.items():
        planned = plan_alone(part)
        own = {row.number for row in part.sheet.rows}
        sent = {row for request in planned.plan.requests for row in request.rows}
        assert sent | planned.plan.settled.keys() == own
        assert all((names[n - 2] if names[n - 2] in parts else first) == name for n in own)


def test_the_same_classroom_of_two_institutions_is_no_duplicate(tmp_path: Path) -> None:
    path = tmp_path / "term.csv"
    lines = [line(2, "north", classroom=7), line(3, "south", classroom=7, word="other"),
             line(4, "south", classroom=7, word="third")]  # fmt: skip
    path.write_text("\n".join([HEAD, *lines]), "utf-8")

    found = read_sheet(path, OPTIONS)

    assert [[i.code for i in row.issues] for row in found.checked.rows] == [
        [], ["target.duplicate"], ["target.duplicate"],
    ]  # fmt: skip
    alike = sheet(tmp_path / "alike.csv", ["north", "south"])
    alike.write_text(alike.read_text().replace(str(FIRST_ID + 3), str(FIRST_ID + 2)), "utf-8")
    assert len(prepare(alike, OPTIONS).plan.requests) == 2


# ------------------------------------------------------------------ sending


def test_parts_are_runs_of_their_own_and_come_back_as_one_sheet(tmp_path: Path) -> None:
    path = sheet(tmp_path / "term.csv", ["south", "north", "south", "west", "north"])

    async def main(schools: Schools) -> RunReport:
        report = await schools.apply(path)
        assert [len(schools.log(name)) for name in NAMES] == [2, 2, 1]
        return report

    report = with_schools(tmp_path, main)

    assert counted(report) == {"applied": 5}
    assert report.exit_status == 0
    assert [part.profile for part in report.parts] == ["south", "north", "west"]
    assert [part.run for part in report.parts] == [f"{report.run}-{n}" for n in (1, 2, 3)]
    written = read_rows(report.results)
    assert [row["institution"] for row in written] == ["south", "north", "south", "west", "north"]
    runs_of = [row["bulkcast_run"].removeprefix(f"{report.run}-") for row in written]
    assert runs_of == ["1", "2", "1", "3", "2"]
    records = runs(tmp_path / "home")
    assert {r.header.group for r in records} == {report.run}
    assert {r.header.profile: r.header.institution.sid for r in records} == SIDS


def test_institutions_are_sent_for_side_by_side_each_at_its_own_pace(tmp_path: Path) -> None:
    path = sheet(tmp_path / "term.csv", [NAMES[n % 3] for n in range(180)])
    seen: list[tuple[int, int]] = []

    async def main(schools: Schools) -> RunReport:
        return await schools.apply(
            path, rate=1.0, watch=lambda p: seen.append((p.rows, sum(p.counts.values())))
        )

    report = with_schools(tmp_path, main)

    assert counted(report) == {"applied": 180}
    assert 58 <= report.elapsed_s <= 70  # 60 rows each, one a second
    assert seen[-1] == (180, 180)
    assert [done for _, done in seen] == sorted(done for _, done in seen)


def test_every_part_is_in_the_ledger_before_anything_is_sent(tmp_path: Path) -> None:
    path = sheet(tmp_path / "term.csv", ["south", "north", "west", "nobody"])
    stored: list[int] = []

    async def main(schools: Schools) -> RunReport:
        class Looking(Client):
            def __init__(self, *given: Any, **more: Any) -> None:
                stored.append(sum(record.header.n_rows for record in runs(schools.home)))
                super().__init__(*given, **more)

        schools.secrets |= {"west": None}
        prepared = schools.prepare(path)
        parts = replace(schools.parts, client=Looking)
        return await apply_parts(prepared, home=schools.home, parts=parts)

    report = with_schools(tmp_path, main)

    assert stored == [4, 4]
    assert counted(report) == {"applied": 2, "not_sent": 1, "invalid": 1}


_ROOMS: Final = {
    "north": (
        Classroom((Target("activityId", FIRST_ID + 3),), deleted=True),
        Classroom(
            (Target("activityId", FIRST_ID + 5),),
            script=read_script(["http:503", "http:503"], WEBCAST),
        ),
    ),
    "south": (
        Classroom((Target("activityId", FIRST_ID + 4),), foreign=True),
        Classroom((Target("activityId", FIRST_ID + 6),), dual_teacher=True),
    ),
}


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.sampled_from([*NAMES, "nobody"]), min_size=2, max_size=9))
def test_the_sheet_is_what_runs_of_single_institutions_give(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    together, apart = tmp_path_factory.mktemp("together"), tmp_path_factory.mktemp("apart")
    path = sheet(together / "term.csv", names)

    async def at_once(schools: Schools) -> RunReport:
        return await schools.apply(path)

    async def one_by_one(schools: Schools) -> dict[int, Any]:
        found: dict[int, Any] = {}
        for name in NAMES:
            head, *lines = path.read_text("utf-8").splitlines()
            own = [each if each.startswith(f"{name},") else ",,,,,," for each in lines]
            single = apart / f"{name}.csv"
            bare = [each.partition(",")[2] for each in (head, *own)]
            single.write_text("\n".join(bare) + "\n", "utf-8")
            config = schools.config(name)
            prepared = prepare(single, config=config)
            if prepared.sheet.rows:
                report = await apply(prepared, config, SendOptions(), parts=schools.parts)
                found |= {row.row: _kept(row) for row in report.rows}
        return found

    if set(names) == {"nobody"}:
        names[0] = "north"
        sheet(path, names)
    report = with_schools(together, at_once, _ROOMS)
    singles = with_schools(apart, one_by_one, _ROOMS)

    assert len(report.rows) == len(names)
    for row, written, name in zip(report.rows, read_rows(report.results), names, strict=True):
        assert row.status == written["bulkcast_status"]
        if name == "nobody":
            assert (row.status, row.code) == (RowStatus.INVALID, "institution.unknown")
        else:
            assert _kept(row) == singles[row.row]


def _kept(row: Any) -> tuple[Any, ...]:
    return row.status, row.code, row.message, row.fix, row.attempts


# ------------------------------------------------------------------ where one cannot be sent for


def test_missing_and_wrong_credentials_do_not_stop_the_others(tmp_path: Path) -> None:
    path = sheet(tmp_path / "term.csv", [NAMES[n % 3] for n in range(60)])

    async def main(schools: Schools) -> tuple[RunReport, RunReport]:
        schools.secrets |= {"south": None, "west": Secret("not this one")}
        first = await schools.apply(path)
        assert not schools.log("south")
        assert len(schools.log("west")) < 10
        schools.secrets |= {"south": secret_of("south"), "west": secret_of("west")}
        assert left_to_send(schools.home, first.run) == 40
        return first, await schools.resume(first.run)

    first, then = with_schools(tmp_path, main)

    north, south, west = first.parts
    assert north.stop is None
    assert south.stop is not None
    assert south.stop.code == "run.no_access"
    assert west.stop is not None
    assert west.stop.reason == "credentials"
    assert counted(first) == {"applied": 20, "not_sent": 40}
    assert first.exit_status == 6
    whys = {row.message for row in first.rows if row.run == south.run}
    assert whys == {"Nothing was sent for south: no secret of south."}
    assert counted(then) == {"applied": 60}
    assert (then.run, then.exit_status, then.stop) == (first.run, 0, None)
    assert then.results == first.results
    assert {row["bulkcast_status"] for row in read_rows(then.results)} == {"applied"}


def test_nothing_begins_where_no_institution_can_be_sent_for(tmp_path: Path) -> None:
    path = sheet(tmp_path / "term.csv", ["south", "west"])

    async def main(schools: Schools) -> None:
        schools.secrets |= {"south": None, "west": None}
        with pytest.raises(CannotStart, match="no secret of south"):
            await schools.apply(path)

    with_schools(tmp_path, main)
    assert not (tmp_path / "home").exists()


def test_a_busy_institution_does_not_stop_the_others(tmp_path: Path) -> None:
    path = sheet(tmp_path / "term.csv", ["south", "north", "south"])

    async def main(schools: Schools) -> tuple[RunReport, RunReport]:
        institution = schools.config("south").institution
        with claim(schools.home, institution, run="another", since="now"):
            first = await schools.apply(path)
            with pytest.raises(InstitutionBusy):
                await schools.resume(first.run)
        with claim(schools.home, institution, run="another", since="now"):
            only = sheet(tmp_path / "only.csv", ["south"])
            with pytest.raises(InstitutionBusy):
                schools.prepare(only)
        return first, await schools.resume()

    first, then = with_schools(tmp_path, main)

    assert counted(first) == {"applied": 1, "not_sent": 2}
    assert first.exit_status == 4
    assert first.stop is not None
    assert (first.stop.reason, first.stop.code) == ("busy", "run.busy")
    assert counted(then) == {"applied": 3}


def test_a_claim_taken_after_the_plan_ends_that_part_alone(tmp_path: Path) -> None:
    path = sheet(tmp_path / "term.csv", ["south", "north"])

    async def main(schools: Schools) -> RunReport:
        prepared = schools.prepare(path)
        with claim(schools.home, schools.config("south").institution, run="x", since="now"):
            return await apply_parts(prepared, home=schools.home, parts=schools.parts)

    report = with_schools(tmp_path, main)

    assert [row.status.value for row in report.rows] == ["not_sent", "applied"]
    assert report.rows[0].code == "run.busy"


def test_rows_that_name_nobody_are_in_the_first_part(tmp_path: Path) -> None:
    path = sheet(tmp_path / "term.csv", ["", "south", "nobody", "north"])

    report = with_schools(tmp_path, lambda schools: schools.apply(path))

    assert [row.code for row in report.rows if row.status is RowStatus.INVALID] == [
        "institution.missing", "institution.unknown",
    ]  # fmt: skip
    assert [part.profile for part in report.parts] == ["south", "north"]
    assert len(report.parts[0].rows) == 3
    assert (counted(report), report.exit_status) == ({"applied": 2, "invalid": 2}, 3)


def test_a_sheet_in_which_every_row_is_wrong_is_given_back(tmp_path: Path) -> None:
    path = sheet(tmp_path / "term.csv", ["", "nobody"])

    report = with_schools(tmp_path, lambda schools: schools.apply(path))

    assert (counted(report), report.exit_status) == ({"invalid": 2}, 3)
    assert [row["bulkcast_status"] for row in read_rows(report.results)] == ["invalid"] * 2


def test_two_profiles_of_one_institution_are_refused(tmp_path: Path) -> None:
    path = sheet(tmp_path / "term.csv", ["south", "north"])

    async def main(schools: Schools) -> None:
        def find(name: str) -> Member:
            return replace(schools.member("north"), profile=name)

        with pytest.raises(CannotStart, match="'north' and 'south' are the same institution"):
            prepare_run(path, OPTIONS, Selection(), PlanOptions(), home=schools.home,
                        account=lambda: None, members=find)  # fmt: skip

    with_schools(tmp_path, main)


def test_such_a_sheet_is_not_sent_for_one_institution(tmp_path: Path) -> None:
    path = sheet(tmp_path / "term.csv", ["south", "north"])

    async def main(schools: Schools) -> None:
        config = schools.config("south")
        with pytest.raises(CannotStart, match="name institutions"):
            await apply(prepare(path), config)
        with pytest.raises(CannotStart, match="name institutions"):
            prepare_run(path, OPTIONS, Selection(), PlanOptions(), home=schools.home,
                        account=lambda: config)  # fmt: skip

    with_schools(tmp_path, main)


def test_with_on_invalid_stop_nothing_is_sent_to_any(tmp_path: Path) -> None:
    path = sheet(tmp_path / "term.csv", ["south", "north", "nobody"])

    report = with_schools(tmp_path, lambda schools: schools.apply(path, on_invalid="stop"))

    assert counted(report) == {"invalid": 1, "not_sent": 2}


# ------------------------------------------------------------------ interrupting and resuming


@pytest.mark.parametrize("status", [130, 143])
def test_an_interrupt_ends_every_part_and_resume_goes_on_with_all(
    tmp_path: Path, status: int
) -> None:
    path = sheet(tmp_path / "term.csv", [NAMES[n % 3] for n in range(90)])

    async def main(schools: Schools) -> tuple[RunReport, RunReport]:
        control = Control()
        asyncio.get_running_loop().call_later(10, control.stop, status)
        first = await schools.apply(path, rate=1.0, control=control)
        return first, await schools.resume()

    first, then = with_schools(tmp_path, main)

    assert first.exit_status == status
    assert all(part.stop and part.stop.reason == "interrupted" for part in first.parts)
    assert 0 < counted(first)["applied"] < 90
    assert counted(then) == {"applied": 90}


def test_a_cancelled_run_has_every_row_in_its_sheet(tmp_path: Path) -> None:
    path = sheet(tmp_path / "term.csv", [NAMES[n % 3] for n in range(60)])

    async def main(schools: Schools) -> RunReport:
        task = asyncio.ensure_future(schools.apply(path, rate=1.0))
        await asyncio.sleep(8)
        task.cancel()
        return await task

    report = with_schools(tmp_path, main)

    assert sum(counted(report).values()) == 60
    assert report.exit_status == 130
    assert len(read_rows(report.results)) == 60


def test_one_part_can_be_resumed_alone_into_the_sheet_of_all(tmp_path: Path) -> None:
    path = sheet(tmp_path / "term.csv", ["south", "north", "west"])

    async def main(schools: Schools) -> RunReport:
        schools.secrets |= {"south": None, "west": None}
        first = await schools.apply(path)
        schools.secrets |= {name: secret_of(name) for name in ("south", "west")}
        return await schools.resume(first.parts[0].run)

    report = with_schools(tmp_path, main)

    assert counted(report) == {"applied": 2, "not_sent": 1}
    states = [row["bulkcast_status"] for row in read_rows(report.results)]
    assert states == ["applied", "applied", "not_sent"]


def test_a_part_can_be_resumed_as_a_run_with_its_own_configuration(tmp_path: Path) -> None:
    path = sheet(tmp_path / "term.csv", ["north", "south", "south"])
    begun: list[str] = []

    async def main(schools: Schools) -> tuple[RunReport, RunReport]:
        schools.secrets |= {"south": None}
        first = await schools.apply(path)
        part = f"{first.run}-2"
        with pytest.raises(CannotStart, match="belongs to institution"):
            await resume(schools.config("north"), part)
        control = Control(begun.append)
        done = await resume(schools.config("south"), part, control=control, parts=schools.parts)
        return first, done

    first, done = with_schools(tmp_path, main)

    assert (done.run, done.exit_status, len(done.rows)) == (f"{first.run}-2", 0, 2)
    assert begun == [done.run]
    assert done.results == first.results
    assert {row["bulkcast_status"] for row in read_rows(done.results)} == {"applied"}


# ------------------------------------------------------------------ from a program


def test_a_program_gives_the_institutions_by_name(tmp_path: Path) -> None:
    path = sheet(tmp_path / "term.csv", ["south", "north", "west", "south"])

    async def main(schools: Schools) -> tuple[RunReport, RunReport]:
        configs = {name: schools.config(name) for name in ("north", "south")}
        prepared = prepare_parts(path, configs, selection=Selection(limit=3))
        assert [(part.profile, part.rows) for part in prepared.parts] == [
            ("south", 1),
            ("north", 1),
        ]
        assert prepared.prepared.invalid == 1
        control = Control()
        control.stop(130)
        stopped = await apply_parts(prepared, control=control, parts=schools.parts)
        with pytest.raises(CannotStart, match="no institution south"):
            await resume({"west": schools.config("west")}, stopped.run, parts=schools.parts)
        return stopped, await resume(configs, stopped.run, parts=schools.parts)

    stopped, done = with_schools(tmp_path, main)

    assert counted(stopped) == {"invalid": 1, "not_sent": 3}
    assert counted(done) == {"applied": 2, "invalid": 1, "not_sent": 1}
    assert done.results == stopped.results


def test_a_program_sends_a_dataframe_for_several_institutions(tmp_path: Path) -> None:
    frame = pandas.DataFrame(
        {"institution": ["south", "north"], "activityId": [FIRST_ID, FIRST_ID + 1],
         "recordState": [1, 1], "recordType": [0, 0], "liveState": [1, 1], "openState": [1, 1]}
    )  # fmt: skip

    async def main(schools: Schools) -> RunReport:
        configs = {name: schools.config(name) for name in NAMES}
        prepared = prepare_parts(frame, configs, name=str(tmp_path / "term"))
        return await apply_parts(prepared, parts=schools.parts)

    report = with_schools(tmp_path, main)

    assert counted(report) == {"applied": 2}
    assert report.results is not None


def test_a_program_is_told_what_is_missing(tmp_path: Path) -> None:
    path = sheet(tmp_path / "term.csv", ["south", "north"])
    plainly = tmp_path / "plain.csv"
    plainly.write_text(f"activityId,recordState\n{FIRST_ID},1\n", "utf-8")

    async def main(schools: Schools) -> None:
        configs = {name: schools.config(name) for name in NAMES}
        with pytest.raises(CannotStart, match=r"no column of plain\.csv"):
            prepare_parts(plainly, configs)
        single = await apply(prepare(plainly), configs["north"], parts=schools.parts)
        with pytest.raises(CannotStart, match="name no institutions"):
            await resume(configs, single.run, parts=schools.parts)
        with pytest.raises(CannotStart, match="name institutions"):
            await apply(prepare(path), configs["north"], parts=schools.parts)

    with_schools(tmp_path, main)


# ------------------------------------------------------------------ looking back


def test_the_state_and_the_results_of_a_group_are_those_of_one_run(tmp_path: Path) -> None:
    path = sheet(tmp_path / "term.csv", ["south", "north", "south", "nobody"])
    home = tmp_path / "home"
    failing = {"south": (classroom(4, "code:121601031*"),)}
    report = with_schools(tmp_path, lambda schools: schools.apply(path), failing)
    group = report.run

    state = run_state(home, group)
    assert state is not None
    assert [part.record.header.run for part in state.parts] == [f"{group}-1", f"{group}-2"]
    assert {s.value: n for s, n in state.record.counts.items() if n} == counted(report)
    assert (state.record.header.run, state.record.state) == (group, "finished")
    end = run_end(home, group)
    assert end is not None
    assert end.finished_at == max(r.finished_at or 0 for r in runs(home))
    assert [f.row.row for f in newest_failures(home, group)] == [4]
    table = result_table(home, group, lang="en")
    assert table.rows == report.rows
    assert sorted(table.classrooms) == [2, 3, 4]
    with result_file(home, group) as file:
        assert file is not None
        assert file.name == f"term.results-{group}.csv"
    part = result_table(home, f"{group}-1", lang="en")
    assert part.record.header.run == f"{group}-1"
    assert [row.row for row in part.rows] == [2, 4, 5]
    for other in (group[:-1], f"{group}-", f"{group}-3", "20260101-000000-0000", "%", ""):
        assert run_state(home, other) is None
        assert run_end(home, other) is None


def test_a_group_is_listed_as_one_run(tmp_path: Path) -> None:
    path = sheet(tmp_path / "term.csv", ["south", "north"])
    home = tmp_path / "home"
    lone = tmp_path / "lone.csv"
    lone.write_text(f"activityId,recordState\n{FIRST_ID},1\n", "utf-8")

    async def main(schools: Schools) -> tuple[str, str, Institution]:
        own = schools.config("west")
        single = await apply(prepare(lone), own, parts=schools.parts)
        return (await schools.apply(path)).run, single.run, own.institution

    group, single, west = with_schools(tmp_path, main)

    def listed(sid: str = "", **choice: bool) -> list[str]:
        of = replace(west, sid=sid) if sid else None
        found = some_runs(home, institution=of, **choice)
        assert found.total == len(found.records)
        return [record.header.run for record in found.records]

    assert listed() == [group, single]
    assert listed(SIDS["north"]) == [group]
    assert listed(SIDS["west"]) == [single]
    assert listed(SIDS["west"], and_groups=True) == [group, single]
    assert some_runs(home, first=1, most=1).records[0].header.run == single


def test_a_group_says_that_it_begins_once_all_of_it_is_stored(tmp_path: Path) -> None:
    path = sheet(tmp_path / "term.csv", ["south", "north", "west"])
    begun: list[tuple[str, int, int]] = []

    async def main(schools: Schools) -> RunReport:
        schools.secrets["west"] = None

        def note(run: str) -> None:
            state = run_state(schools.home, run)
            assert state is not None
            base = Base.of_group(state, control.sent)
            begun.append((run, base.open, base.ended[RowStatus.NOT_SENT]))

        control = Control(note)
        return await schools.apply(path, control=control)

    report = with_schools(tmp_path, main)

    assert begun == [(report.run, 2, 1)]
    assert counted(report) == {"applied": 2, "not_sent": 1}


def test_a_group_is_looked_at_as_one_run(tmp_path: Path) -> None:
    path = sheet(tmp_path / "term.csv", ["south", "north", "south", "nobody"])
    home = tmp_path / "home"
    report = with_schools(tmp_path, lambda schools: schools.apply(path))
    group = report.run

    again = results(home, group, target=tmp_path / "again.csv")
    assert again.rows == report.rows
    assert (tmp_path / "again.csv").read_bytes() == Path(report.results or "").read_bytes()
    part = results(home, f"{group}-2", target=tmp_path / "north.csv")
    assert [row["institution"] for row in read_rows(part.results)] == ["north"]
    beside = results(home, f"{group}-2")
    assert beside.results == tmp_path / f"term.results-{group}-2.csv"
    found = account(home, group[-4:])
    assert (found.run, found.rows, found.sid) == (group, 4, f"{SIDS['south']}, {SIDS['north']}")
    assert {cause.code for cause in found.causes} == {"institution.unknown"}
    table = crosstab(home, group, "institution")
    assert sum(sum(counts) for _, counts in table.counts) == 4
    assert is_group(home, group)
    assert is_group(home, f"{group}-1")
    assert is_group(home, "")
    with pytest.raises(CannotStart, match="no run"):
        results(home, "nosuch")


def test_what_failed_is_resubmitted_to_where_it_belongs(tmp_path: Path) -> None:
    path = sheet(tmp_path / "term.csv", ["south", "north", "south", "nobody"])

    async def main(schools: Schools) -> RunReport:
        first = await schools.apply(path)
        fixed = first.results
        assert fixed is not None
        fixed.write_text(fixed.read_text("utf-8-sig").replace("nobody", "west"), "utf-8")
        failed = frozenset({RowStatus.INVALID, RowStatus.NOT_SENT})
        done = await schools.apply(fixed, selection=Selection(statuses=failed))
        assert [len(schools.log(name)) for name in NAMES] == [1, 2, 1]
        return done

    done = with_schools(tmp_path, main)

    assert counted(done) == {"applied": 4}
    assert sum(done.earlier.values()) == 3
    assert {group_of(row.run) for row in done.rows} != {done.run}


def test_only_what_changed_is_known_of_each_institution(tmp_path: Path) -> None:
    path = sheet(tmp_path / "term.csv", ["south", "north"])
    moved = sheet(tmp_path / "moved.csv", ["south", "west"])

    async def main(schools: Schools) -> list[str]:
        await schools.apply(path)
        then = await schools.apply(moved, plan=PlanOptions(unchanged="skip"))
        return [row.status.value for row in then.rows]

    assert with_schools(tmp_path, main) == ["unchanged", "applied"]


def test_undo_writes_one_sheet_for_all(tmp_path: Path) -> None:
    first = sheet(tmp_path / "first.csv", ["south", "north"], word="before")
    second = sheet(tmp_path / "second.csv", ["south", "north"], word="after")

    async def main(schools: Schools) -> dict[str, Any]:
        await schools.apply(first)
        report = await schools.apply(second)
        back = undo(schools.home, report.run)
        assert back.exit_status == 0
        assert back.path is not None
        assert back.run == report.run
        assert (await schools.apply(back.path)).exit_status == 0
        room = Target("activityId", FIRST_ID + 2)
        other = Target("activityId", FIRST_ID + 3)
        south = schools.sandbox.others[SIDS["south"]]
        return south.settings_of(room) | {"north": schools.sandbox.settings_of(other)}

    found = with_schools(tmp_path, main)
    assert found["customColumn"] == "before 2"
    assert found["north"]["customColumn"] == "before 3"


def test_the_parts_of_a_group_are_purged_together(tmp_path: Path) -> None:
    path = sheet(tmp_path / "term.csv", ["south", "north"])
    home = tmp_path / "home"
    report = with_schools(tmp_path, lambda schools: schools.apply(path))

    found = purgeable(home, run=f"{report.run}-2", older_than_s=0)
    assert len(found) == 2
    purge(home, found)

    assert account(home, report.run).purged_at is not None
    with pytest.raises(CannotStart, match="was purged"):
        results(home, report.run)
    with pytest.raises(CannotStart, match="was purged before"):
        purgeable(home, run=report.run, older_than_s=0)
    assert not list((home / "runs").glob("*/*"))
