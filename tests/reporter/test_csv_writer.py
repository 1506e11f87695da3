"""Result sheets as csv and tsv."""

import csv
import io
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcast import loader
from bulkcast.endpoints.webcast import WEBCAST
from bulkcast.errors import CannotStart, UnreadableSheet
from bulkcast.loader import ReadOptions
from bulkcast.model import Layout, ResultRow, RowStatus
from bulkcast.reporter import default_name, write_results
from bulkcast.reporter.files import replacing, take_place
from bulkcast.reporter.result_columns import FIELDS, title

TITLES = [title(field) for field in FIELDS]


def result(row: int, status: RowStatus = RowStatus.APPLIED, message: str = "") -> ResultRow:
    return ResultRow(row, status, "1", message, "", 1, "2027-03-01 08:00:00", "r1")


def write(
    source: Path, target: Path, *results: ResultRow, encoding: str = "utf-8", delimiter: str = ","
) -> list[list[str]]:
    headers = next(csv.reader(source.read_text(encoding).splitlines(), delimiter=delimiter))
    layout = Layout("csv", 1, encoding=encoding, delimiter=delimiter)
    write_results(source, target, layout, headers, results, existing="refuse")
    text = target.read_bytes().decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))


def test_the_users_rows_columns_and_order_stay_and_seven_columns_follow(tmp_path: Path) -> None:
    source = tmp_path / "term.csv"
    source.write_text("活动ID,teacher,liveState\n12,Li,1\n# a remark,,\n\n13,Wu,0\n", "utf-8")

    rows = write(source, tmp_path / "out.csv", result(2), result(5, RowStatus.REJECTED, "No."))

    assert rows[0] == ["活动ID", "teacher", "liveState", *TITLES]
    assert rows[1] == ["12", "Li", "1", "applied", "1", "", "", "1", "2027-03-01 08:00:00", "r1"]
    assert rows[2] == ["# a remark", "", "", *[""] * 7]
    assert rows[3] == []
    assert rows[4][:6] == ["13", "Wu", "0", "rejected", "1", "No."]


def test_the_result_opens_as_utf_8_and_says_so_when_the_sheet_was_not(tmp_path: Path) -> None:
    source = tmp_path / "term.csv"
    source.write_bytes("活动ID;liveState\r\n12;1\r\n".encode("gb18030"))
    layout = Layout("csv", 1, encoding="gb18030", delimiter=";")

    written = write_results(
        source, tmp_path / "o.csv", layout, ["活动ID", "liveState"], [result(2)], existing="refuse"
    )

    raw = written.path.read_bytes()
    assert raw.startswith("\ufeff活动ID;liveState;bulkcast_status".encode())
    assert raw.count(b"\r\n") == 2
    assert [str(r) for r in written.remarks] == ["Written as UTF-8; the sheet was gb18030."]


def test_the_separator_line_excel_obeys_stays_and_is_not_counted(tmp_path: Path) -> None:
    source = tmp_path / "term.csv"
    source.write_text("sep=;\nactivityId;liveState\n12;1\n", "utf-8")
    layout = Layout("csv", 1, encoding="utf-8", delimiter=";")

    write_results(
        source, tmp_path / "o.csv", layout, ["activityId", "liveState"], [result(2)],
        existing="refuse",
    )  # fmt: skip

    lines = (tmp_path / "o.csv").read_text("utf-8-sig").splitlines()
    assert lines[0] == "sep=;"
    assert lines[2].startswith("12;1;applied")


@pytest.mark.parametrize("first", ["sep=;\r\n", '""sep=;""\n', "sep=;\r", "sep=; \n"])
def test_reader_and_writer_agree_on_what_is_a_separator_line(tmp_path: Path, first: str) -> None:
    source = tmp_path / "term.csv"
    source.write_text(f"{first}activityId;liveState\n12;1\n13;0\n", "utf-8", newline="")
    sheet = loader.read(source, endpoint=WEBCAST, options=ReadOptions(delimiter=";"))

    outcomes = [result(row.number) for row in sheet.rows]
    out = tmp_path / "o.csv"
    write_results(source, out, sheet.layout, sheet.headers, outcomes, existing="refuse")

    lines = out.read_text("utf-8-sig").splitlines()
    assert [line.split(";")[:3] for line in lines[-2:]] == [
        ["12", "1", "applied"], ["13", "0", "applied"],
    ]  # fmt: skip


@pytest.mark.parametrize("cell", ["=1+1", "+86 138", "@SUM(A1)", "\tx", "＝1", "'=1", "=a,b"])
def test_no_cell_of_a_result_runs_when_a_spreadsheet_opens_it(tmp_path: Path, cell: str) -> None:
    source = tmp_path / "term.csv"
    with source.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["activityId", "note"], ["12", cell]])

    rows = write(source, tmp_path / "o.csv", result(2, RowStatus.REJECTED, "=cmd()"))

    assert rows[1][1] == "'" + cell
    assert rows[1][4] == "'=cmd()"


def test_a_negative_number_stays_a_number(tmp_path: Path) -> None:
    source = tmp_path / "term.csv"
    source.write_text("activityId,balance\n12,-5\n13,-1.25\n", "utf-8")

    rows = write(source, tmp_path / "o.csv", result(2), result(3))

    assert [row[1] for row in rows[1:]] == ["-5", "-1.25"]


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)


@given(st.lists(TEXTS, min_size=2, max_size=2))
def test_a_result_of_a_result_of_a_result_is_the_same_to_the_loader(
    tmp_path_factory: pytest.TempPathFactory, cells: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("round")
    first = folder / "term.csv"
    with first.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["activityId", "liveState", "a", "b"], ["12", "1", *cells]])
    sheet = loader.read(first, endpoint=WEBCAST)
    seen, path = sheet, first

    for turn in range(3):
        target = folder / f"{turn}.csv"
        write_results(path, target, seen.layout, seen.headers, [result(2)], existing="refuse")
        path, seen = target, loader.read(target, endpoint=WEBCAST)

    assert seen.headers == (*sheet.headers, *TITLES)
    assert seen.rows[0].cells[:4] == sheet.rows[0].cells


def test_columns_of_an_earlier_result_are_replaced_where_they_stand(tmp_path: Path) -> None:
    source = tmp_path / "term.csv"
    source.write_text(
        "bulkcast_status,activityId,bulkcast_message\ninvalid,12,old\ninvalid,#13,old\n", "utf-8"
    )

    rows = write(source, tmp_path / "o.csv", result(2))

    added = [t for t in TITLES if t not in {"bulkcast_status", "bulkcast_message"}]
    assert rows[0] == ["bulkcast_status", "activityId", "bulkcast_message", *added]
    assert rows[1][:3] == ["applied", "12", ""]
    assert rows[2] == ["", "#13", "", *[""] * 5]


def test_cells_beyond_the_header_stay_beyond_it(tmp_path: Path) -> None:
    source = tmp_path / "term.csv"
    source.write_text("activityId,liveState\n12,1,stray\n13\n", "utf-8")

    rows = write(source, tmp_path / "o.csv", result(2, RowStatus.INVALID), result(3))

    assert rows[1][2] == "invalid"
    assert rows[1][9:] == ["stray"]
    assert rows[2][:3] == ["13", "", "applied"]
    again = loader.read(tmp_path / "o.csv", endpoint=WEBCAST)
    assert again.rows[0].extra == ("stray",)


def test_an_existing_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    source, target = tmp_path / "term.csv", tmp_path / "o.csv"
    source.write_text("activityId\n12\n", "utf-8")
    target.write_text("precious", "utf-8")

    with pytest.raises(CannotStart, match="exists already"):
        write(source, target, result(2))

    assert target.read_text("utf-8") == "precious"


def test_an_existing_file_is_replaced_when_told_so(tmp_path: Path) -> None:
    source = tmp_path / "term.csv"
    source.write_text("activityId\n12\n", "utf-8")

    write_results(
        source, source, Layout("csv", 1, encoding="utf-8"), ["activityId"], [result(2)],
        existing="replace",
    )  # fmt: skip

    assert "applied" in source.read_text("utf-8-sig")


@pytest.mark.parametrize(
    "content", [b"activityId\n12\xff\n", b'activityId\n"12\n', b"activityId\n"]
)
def test_a_sheet_that_changed_since_leaves_no_half_result(tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "term.csv"
    source.write_bytes(content)

    with pytest.raises(UnreadableSheet):
        write_results(
            source, tmp_path / "o.csv", Layout("csv", 1, encoding="utf-8"), ["activityId"],
            [result(2)], existing="refuse",
        )  # fmt: skip

    assert [p.name for p in tmp_path.iterdir()] == ["term.csv"]


def test_drafts_of_killed_processes_are_removed_and_no_others(tmp_path: Path) -> None:
    target = tmp_path / "results.csv"
    leave_a_draft = (
        "import os, pathlib, sys\n"
        "from bulkcast.reporter.files import replacing\n"
        "with replacing(pathlib.Path(sys.argv[1]), 'refuse') as draft:\n"
        "    print(draft.path.name, flush=True)\n"
        "    os.kill(os.getpid(), 9) if sys.argv[2] == 'killed' else input()\n"
    )

    def process(how: str) -> tuple[subprocess.Popen[str], Path]:
        started = subprocess.Popen(
            [sys.executable, "-c", leave_a_draft, str(target), how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert started.stdout is not None
        return started, tmp_path / started.stdout.readline().strip()

    writing, live = process("writing")
    killed, abandoned = process("killed")
    killed.communicate()
    old, foreign, own, user_s = (
        tmp_path / name
        for name in (
            ".bulkcast-0123456789abcdef.csv",
            f".bulkcast-00000000-{killed.pid}-0123456789abcdef.csv",
            ".bulkcast-0123456789abcdee.csv",
            ".bulkcast-notes.csv",
        )
    )
    for path in (old, foreign, own, user_s):
        path.touch()
    os.utime(old, (0, 0))
    assert abandoned.exists()
    assert live.exists()

    with replacing(tmp_path / "other.csv", "refuse"):
        pass

    assert not abandoned.exists()
    assert not old.exists()
    assert all(path.exists() for path in (live, foreign, own, user_s))
    writing.communicate("\n")
    assert target.exists()
    assert not live.exists()


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    source = tmp_path / "term.csv"
    source.write_text("activityId\n12\n", "utf-8")

    with pytest.raises(CannotStart, match="cannot be written"):
        write(source, tmp_path / "nowhere" / "o.csv", result(2))


def test_a_result_is_not_written_under_the_wrong_kind(tmp_path: Path) -> None:
    source = tmp_path / "term.csv"
    source.write_text("activityId\n12\n", "utf-8")

    with pytest.raises(CannotStart, match="use "):
        write(source, tmp_path / "o.ods", result(2))


def held_for(tries: float, target: Path) -> Callable[[Path, Path], None]:
    """A rename as Windows does it: refused while another program holds `target`."""
    left = iter(range(10**6))

    def replace(old: Path, new: Path) -> None:
        if new == target and next(left) < tries:
            raise PermissionError(13, "in use")
        old.replace(new)

    return replace


def test_a_target_open_in_another_program_gets_the_next_free_name(tmp_path: Path) -> None:
    draft, target = tmp_path / "draft", tmp_path / "o.csv"
    for path, text in ((draft, "new"), (target, "open"), (tmp_path / "o (2).csv", "taken")):
        path.write_text(text, "utf-8")
    waited: list[float] = []

    placed = take_place(draft, target, held_for(math.inf, target), waited.append)

    assert placed == tmp_path / "o (3).csv"
    assert placed.read_text("utf-8") == "new"
    assert sum(waited) == pytest.approx(2.5)


def test_a_target_that_is_let_go_after_a_moment_is_replaced(tmp_path: Path) -> None:
    draft, target = tmp_path / "draft", tmp_path / "o.csv"
    draft.write_text("new", "utf-8")
    target.write_text("held by a virus scanner", "utf-8")
    waited: list[float] = []

    placed = take_place(draft, target, held_for(3, target), waited.append)

    assert placed == target
    assert target.read_text("utf-8") == "new"
    assert len(waited) == 3


def test_a_folder_that_takes_no_file_is_not_waited_for(tmp_path: Path) -> None:
    def refuse(old: Path, new: Path) -> None:
        raise PermissionError(13, "read-only")

    waited: list[float] = []
    with pytest.raises(PermissionError):
        take_place(tmp_path / "draft", tmp_path / "o.csv", refuse, waited.append)

    assert waited == []


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("x.results-OLD.xlsx", "x.results-NEW.xlsx"),
        ("term.2027.csv", "term.2027.results-NEW.csv"),
        ("a.XLSM", "a.results-NEW.XLSM"),
        ("x.results-OLD (2).tsv", "x.results-NEW.tsv"),
        (".results-OLD.csv", ".results-OLD.results-NEW.csv"),
    ],
)
def test_results_are_named_after_their_source_and_run(source: str, named: str) -> None:
    assert default_name(Path("d") / source, "NEW") == Path("d") / named
