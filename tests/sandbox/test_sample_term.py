"""The sample term: made by `python -m tests.make_term`, and as believable as it claims to be."""

import io
import zipfile
from collections import Counter
from zoneinfo import ZoneInfo

import pytest

from bulkcast import loader, validator
from bulkcast.endpoints import WEBCAST
from bulkcast.model import Change, Checked, Invalid, Severity, Target
from bulkcast.sandbox import SANDBOX_SID, read_world
from tests import make_term

HEADER = 1
REFRESH = "run `python -m tests.make_term` and commit what it wrote"


def checked(name: str) -> Checked:
    sheet = loader.read(make_term.HERE / name, endpoint=WEBCAST)
    rules = validator.CheckRules(tz=ZoneInfo("Asia/Shanghai"))
    return validator.check(sheet, WEBCAST, rules)


def members(workbook: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(workbook)) as archive:
        names = set(archive.namelist()) - {"docProps/core.xml"}
        return {name: archive.read(name) for name in sorted(names)}


@pytest.mark.parametrize("name", ["term.csv", "world.json"])
def test_the_sample_is_what_its_maker_writes(name: str) -> None:
    assert (make_term.HERE / name).read_bytes() == make_term.files()[name], REFRESH


def test_the_sample_workbook_is_what_its_maker_writes() -> None:
    written = members((make_term.HERE / "term.xlsx").read_bytes())

    assert written == members(make_term.workbook()), REFRESH


def test_workbook_and_csv_say_the_same() -> None:
    kept = [checked(name) for name in ("term.xlsx", "term.csv")]
    bodies = [{r.row: r.body for r in c.rows if isinstance(r, Change)} for c in kept]
    starts = [{r.row: r.starts_at for r in c.rows if isinstance(r, Change)} for c in kept]

    only_in_csv = bodies[1].keys() - bodies[0].keys()

    assert len(only_in_csv) == 1  # the password in a number cell; a CSV has no such cells
    assert {row: bodies[1][row] for row in bodies[0]} == bodies[0]
    assert {row: starts[1][row] for row in starts[0]} == starts[0]
    assert all(starts[0].values())


def test_a_dozen_rows_are_wrong_each_in_its_own_way() -> None:
    invalid = [row for row in checked("term.xlsx").rows if isinstance(row, Invalid)]
    wrong = {*make_term.WRONG, *make_term.TWICE}

    first = {
        row.row: next(i for i in row.issues if i.severity is Severity.ERROR) for row in invalid
    }

    assert {number - HEADER - 1 for number in first} == wrong
    codes = Counter(issue.code for issue in first.values())
    assert codes.pop("target.duplicate") == 2
    assert codes.pop("cell.not_a_choice") == 2
    assert set(codes.values()) == {1}
    assert {"id.scientific", "password.numeric", "rule.live_needs_recording"} <= codes.keys()


def test_the_world_speaks_of_rows_that_will_be_sent() -> None:
    world = read_world(make_term.HERE / "world.json")
    sent = {row.target for row in checked("term.csv").rows if isinstance(row, Change)}

    met = [target for room in world.classrooms for target in room.targets]

    assert world.sid == SANDBOX_SID
    assert len(met) == len(make_term.FACTS)
    assert sent.issuperset(met)


def test_every_classroom_stands_once_but_for_the_two_that_clash() -> None:
    targets = Counter(row["activityId"] for row in make_term.lessons())

    assert set(targets.values()) == {1}
    first, second = (make_term.rows()[number]["activityId"] for number in make_term.TWICE)
    assert first == second


def test_the_term_has_about_500_lessons_and_none_on_a_holiday() -> None:
    days = [row["startTime"] for row in make_term.lessons()]

    assert 490 <= len(days) <= 520
    assert not {f"{day:%m-%d}" for day in days} & {"04-05", "05-01", "05-03", "05-04", "05-05"}


def test_a_class_that_was_moved_is_near_whenever_the_sample_is_tried() -> None:
    world = read_world(make_term.HERE / "world.json")
    moved = [room for room in world.classrooms if room.starts]

    assert {room.starts.since_start for room in moved if room.starts} == {True}
    assert all(isinstance(target, Target) for room in moved for target in room.targets)
