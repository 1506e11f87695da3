"""Several users of one computer: one limit, one run at a time, one order of writes."""

import os
import random
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from bulkcast.config import Config
from bulkcast.config import state as state_folder
from bulkcast.errors import CannotStart, InstitutionBusy
from bulkcast.ledger import Timestamp, claim, holder, lock
from bulkcast.model import Credentials, Institution, RequestKey, RowStatus
from bulkcast.pipeline import Parts, RunReport, SendOptions, apply, prepare
from bulkcast.sandbox import SANDBOX_SECRET, SANDBOX_SID, Sandbox, World
from tests.audit import most_in_window
from tests.cli_runner import FAST, CliRunner, clearing, lines, write_csv
from tests.dispatcher_harness import classroom, request
from tests.sheets import FIRST_ID
from tests.virtual_loop import VirtualLoop, run

SCHOOL = Institution("https://api.eeo.cn", "1000082")
POSIX = pytest.mark.skipif(os.name != "posix", reason="links and modes are other things here")
SPELLINGS = [
    ("https://api.eeo.cn", "https://API.EEO.CN"),
    ("https://api.eeo.cn", "https://api.eeo.cn:443"),
    ("https://api.eeo.cn", "https://api.eeo.cn."),
    ("https://api.eeo.cn", "HTTPS://api.eeo.cn.:443/"),
    ("http://localhost:8080", "http://127.0.0.1:8080"),
    ("http://localhost:8080", "http://[::1]:8080"),
    ("http://localhost.", "http://127.0.0.1:80"),
]


def sheet(path: Path, n: int, state: int = 1) -> Path:
    rows = [f"{FIRST_ID + 2 + row},{state},0,0,0" for row in range(n)]
    head = "activityId,recordState,recordType,liveState,openState"
    path.write_text("\n".join([head, *rows]), encoding="utf-8")
    return path


def at(sandbox: str, folder: Path, home: str) -> Config:
    """One of the users of a computer."""
    credentials = Credentials(SANDBOX_SID, SANDBOX_SECRET)
    institution = Institution(sandbox, SANDBOX_SID)
    return Config(institution, credentials, folder / home, state=folder / "state")


# ------------------------------------------------------------------ one run at a time


def test_another_home_finds_the_institution_held(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with claim(tmp_path / "one", SCHOOL, run="r-one", since="08:00", state=state):
        with (
            pytest.raises(InstitutionBusy, match=r"run r-one \(process \d+, since 08:00\)"),
            claim(tmp_path / "two", SCHOOL, run="r-two", since="", state=state),
        ):
            pass
        assert "r-one" in str(holder(tmp_path / "two", SCHOOL, state))

    assert holder(tmp_path / "two", SCHOOL, state) is None
    with claim(tmp_path / "two", SCHOOL, run="r-two", since="", state=state):
        pass


@pytest.mark.parametrize(("one", "other"), SPELLINGS)
def test_a_host_is_the_same_however_it_is_spelled(tmp_path: Path, one: str, other: str) -> None:
    with (
        claim(tmp_path, Institution(one, "7"), run="r", since=""),
        pytest.raises(InstitutionBusy),
        claim(tmp_path, Institution(other, "7"), run="s", since=""),
    ):
        pass


@pytest.mark.parametrize(
    "other",
    [
        Institution("https://api.eeo.cn:8443", "1000082"),
        Institution("https://api2.eeo.cn", "1000082"),
        Institution("https://api.eeo.cn", "1000083"),
    ],
)
def test_other_institutions_are_not_in_the_way(tmp_path: Path, other: Institution) -> None:
    with (
        claim(tmp_path, SCHOOL, run="r", since=""),
        claim(tmp_path / "two", other, run="s", since="", state=tmp_path / "locks"),
    ):
        pass


def test_one_home_is_held_once_whatever_folder_is_shared(tmp_path: Path) -> None:
    with (
        claim(tmp_path / "home", SCHOOL, run="r", since="", state=tmp_path / "one"),
        pytest.raises(InstitutionBusy),
        claim(tmp_path / "home", SCHOOL, run="s", since="", state=tmp_path / "two"),
    ):
        pass


def test_the_folder_that_is_shared_may_be_the_homes_own(tmp_path: Path) -> None:
    with claim(tmp_path, SCHOOL, run="r", since="", state=tmp_path / "locks") as sends:
        sends.note([(RequestKey("2"), "room", Timestamp(1.0), 0.0)])

    assert holder(tmp_path, SCHOOL, tmp_path / "locks") is None


def test_the_second_user_is_told_and_sends_nothing(cli: CliRunner) -> None:
    with clearing(cli) as sandbox:
        where = Institution(cli.env["BULKCAST_ROOT_URL"], SANDBOX_SID)
        state = Path(os.environ["BULKCAST_STATE"])
        with claim(cli.folder / "other", where, run="r-other", since="noon", state=state):
            write_csv(cli.folder / "term.csv", lines(3))
            said = cli.call("apply", cli.folder / "term.csv", "--yes", *FAST)

            assert said.status == 7
            assert "r-other" in said.err
            assert cli.call("doctor").status == 7
        assert not [received for received in sandbox.log if received.target]


# ------------------------------------------------------------------ one limit, one order of writes


@pytest.mark.slow
def test_two_homes_and_two_spellings_share_one_limit(tmp_path: Path) -> None:
    """A run in haste, then one from another home, then one by another name of the host."""

    async def main(loop: VirtualLoop) -> tuple[list[RunReport], Sandbox]:
        sandbox = Sandbox(World(), secret=SANDBOX_SECRET, clock=loop.wall)
        reports = []
        async with sandbox.serving() as url:
            other = url.replace("127.0.0.1", "localhost")
            assert other != url
            users = ((url, "a", 900, 200.0), (url, "b", 150, 15.0), (other, "a", 100, 15.0))
            for where, home, rows, rate in users:
                prepared = prepare(sheet(tmp_path / f"{rows}.csv", rows))
                config = at(where, tmp_path, home)
                options = SendOptions(rate=rate)
                reports.append(await apply(prepared, config, options, parts=Parts(wall=loop.wall)))
        return reports, sandbox

    reports, sandbox = run(main)

    assert [report.counts[RowStatus.APPLIED] for report in reports] == [900, 150, 100]
    assert most_in_window([received.at for received in sandbox.log], 60.0) <= 1000


@pytest.mark.parametrize("answered", [True, False])
def test_what_another_home_sent_unanswered_is_waited_for(tmp_path: Path, answered: bool) -> None:
    fault = () if answered else ("hang:60",) * 20

    async def main(loop: VirtualLoop) -> tuple[RunReport, RunReport, float]:
        world = World(classrooms=(classroom(2, *fault), classroom(3)))
        sandbox = Sandbox(world, secret=SANDBOX_SECRET, clock=loop.wall)
        async with sandbox.serving() as url:
            one, two = at(url, tmp_path, "one"), at(url, tmp_path, "two")
            first = await apply(
                prepare(sheet(tmp_path / "1.csv", 1)),
                one,
                SendOptions(),
                parts=Parts(wall=loop.wall),
            )
            sandbox.fault_for_all = None
            begun = loop.time()
            second = await apply(
                prepare(sheet(tmp_path / "2.csv", 1, 0)),
                two,
                SendOptions(),
                parts=Parts(wall=loop.wall),
            )
            return first, second, loop.time() - begun

    first, _, took_s = run(main)

    assert first.counts[RowStatus.APPLIED if answered else RowStatus.UNCONFIRMED] == 1
    assert (took_s > 100) is not answered


# ------------------------------------------------------------------ a folder that all can write


@POSIX
def test_every_user_can_write_what_the_first_one_made(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        with claim(tmp_path / "home", SCHOOL, run="r", since="", state=tmp_path / "state"):
            pass
    finally:
        os.umask(before)

    (file,) = (tmp_path / "state").iterdir()
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o1777
    assert stat.S_IMODE(file.stat().st_mode) == 0o666


def test_it_holds_no_name_and_no_setting(cli: CliRunner) -> None:
    with clearing(cli):
        write_csv(cli.folder / "term.csv", lines(3))
        assert cli.call("apply", cli.folder / "term.csv", "--yes", *FAST).status == 0

    (file,) = Path(os.environ["BULKCAST_STATE"]).iterdir()
    content = file.read_bytes()
    for text in (SANDBOX_SID, "2509600", "pw000", "term", str(cli.folder), "recordState"):
        assert text.encode() not in content
        assert text not in file.name


def traps(folder: Path) -> Iterator[tuple[str, Path]]:
    """What somebody may have put where the file is looked for."""
    with claim(folder / "home", SCHOOL, run="r", since="", state=folder / "state"):
        pass
    (path,) = (folder / "state").iterdir()
    mine = folder / "mine"
    for name in ("symlink", "dangling", "hard link", "pipe", "folder"):
        path.unlink()
        mine.write_bytes(b"my own")
        match name:
            case "symlink":
                path.symlink_to(mine)
            case "dangling":
                path.symlink_to(folder / "nowhere")
            case "hard link":
                path.hardlink_to(mine)
            case "pipe":
                os.mkfifo(path)
            case _:
                path.mkdir()
        yield name, mine
        if name == "folder":
            path.rmdir()
            path.touch()


@POSIX
def test_a_trap_in_its_place_is_refused_and_touches_nothing(tmp_path: Path) -> None:
    for name, mine in traps(tmp_path):
        with (
            pytest.raises(CannotStart, match="set BULKCAST_STATE to a folder"),
            claim(tmp_path / "two", SCHOOL, run="r", since="", state=tmp_path / "state"),
        ):
            pytest.fail(name)
        assert mine.read_bytes() == b"my own"
        assert not (tmp_path / "nowhere").exists()


@POSIX
def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("file", "link", "file/below"):
        with (
            pytest.raises(CannotStart, match="set BULKCAST_STATE"),
            claim(tmp_path / "home", SCHOOL, run="r", since="", state=tmp_path / name),
        ):
            pytest.fail(name)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_file_that_was_deleted_locks_nobody_out_and_lets_nobody_in_twice(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with claim(tmp_path / "one", SCHOOL, run="r", since="", state=state):
        pass
    next(state.iterdir()).unlink()
    with (
        claim(tmp_path / "one", SCHOOL, run="r", since="", state=state),
        pytest.raises(InstitutionBusy),
        claim(tmp_path / "two", SCHOOL, run="s", since="", state=state),
    ):
        pass


def test_whatever_stands_in_the_file_is_read_or_passed_over(tmp_path: Path) -> None:
    state, dice, now = tmp_path / "state", random.Random(1), Timestamp(2_000.0, 50.0, "boot")
    with claim(tmp_path / "one", SCHOOL, run="r", since="", state=state) as sends:
        for n in range(200):
            at = Timestamp(1_900.0 + n / 10, n / 10, "boot")
            sends.note([(RequestKey(str(n)), f"room {n}", at, 0.0)])
    (path,) = state.iterdir()
    whole = path.read_bytes()
    with claim(tmp_path / "two", SCHOOL, run="r", since="", state=state) as sends:
        assert len(sends.lately(now, 60.0)) == 200
    for _ in range(40):
        spoiled = bytearray(whole[: dice.choice([len(whole), dice.randrange(len(whole))])])
        for _ in range(300):
            if spoiled:
                spoiled[dice.randrange(min(len(spoiled), 16_000))] = dice.randrange(256)
        path.write_bytes(spoiled)
        with claim(tmp_path / "two", SCHOOL, run="r", since="", state=state) as sends:
            assert all(0 <= age < 60 for age in sends.lately(now, 60.0))
            sends.unanswered(now, [request(2)])
            sends.note([(RequestKey("x"), "room", now, 0.0)])


def test_more_than_it_has_room_for_leaves_the_newest(tmp_path: Path) -> None:
    n = lock._SLOTS + 100
    with claim(tmp_path, SCHOOL, run="r", since="") as sends:
        for number in range(n):
            sends.note([(RequestKey(str(number)), "room", Timestamp(number / 1000), 0.0)])
            sends.answered({RequestKey(str(number)): True})
    with claim(tmp_path, SCHOOL, run="r", since="") as sends:
        ages = sends.lately(Timestamp(n / 1000), 1e9)

    assert len(ages) == lock._SLOTS
    assert max(ages) < (lock._SLOTS + 1) / 1000


def test_a_state_folder_is_read_from_the_environment() -> None:
    assert state_folder({"BULKCAST_STATE": "~/shared"}) == Path.home() / "shared"
    assert state_folder({}) != state_folder({"BULKCAST_STATE": "x"})
