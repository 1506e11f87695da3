"""Result sheets of another kind than the sheet, and of some of its rows: new files, same cells."""

import csv
import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter
from openpyxl import load_workbook

from bulkcast import loader
from bulkcast.endpoints import WEBCAST
from bulkcast.model import Layout, RowStatus, Target
from bulkcast.reporter.result_columns import FIELDS, title
from bulkcast.sandbox import Classroom, World
from bulkcast.sandbox.faults import read_script
from tests.cli_runner import FAST, CliRunner, clearing, lines, write_csv, write_xlsx
from tests.workbook_files import converted, needs_office

TITLES = [title(field) for field in FIELDS]
ID = 25_096_001
"""Of the class in row 3 of `lines`."""
REFUSED_ONCE = World(
    limit=None,
    classrooms=(
        Classroom((Target("activityId", ID),), script=read_script(["code:121601031"], WEBCAST)),
    ),
)


def csv_rows(path: Path, delimiter: str = ",") -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file, delimiter=delimiter))


def book_rows(path: Path) -> list[list[Any]]:
    sheet = load_workbook(path).worksheets[0]
    return [[cell.value for cell in row] for row in sheet.iter_rows()]


def told(path: Path) -> dict[int, str]:
    found = loader.previous_results(loader.read(path, endpoint=WEBCAST))
    return {row: said["status"] for row, said in found.items()}


# ------------------------------------------------------------------ another kind


@pytest.mark.parametrize(("own", "other"), [(".csv", ".xlsx"), (".xlsx", ".csv"), (".csv", ".tsv")])
def test_the_ending_says_what_is_written_and_it_can_be_resubmitted(
    cli: CliRunner, own: str, other: str
) -> None:
    write = write_csv if own == ".csv" else write_xlsx
    sheet = write(cli.folder / f"term{own}", lines(4))
    out, again = cli.folder / f"out{other}", cli.folder / f"again{other}"

    with clearing(cli, REFUSED_ONCE) as sandbox:
        first = cli.call("apply", sheet, "-y", "-o", out, *FAST)
        before = len(sandbox.log)
        second = cli.call("resubmit", out, "-y", "-o", again, *FAST)
        sent = [received.target for received in sandbox.log[before:]]

    assert (first.status, second.status) == (3, 0)
    assert told(out) == {2: "applied", 3: "rejected", 4: "applied", 5: "applied"}
    assert sent == [Target("activityId", ID)]
    assert set(told(again).values()) == {"applied"}
    rows = book_rows(out) if other == ".xlsx" else csv_rows(out, "\t" if other == ".tsv" else ",")
    assert [row[:7] for row in rows[1:]] == lines(4)
    assert rows[0][7:] == TITLES
    if other != ".xlsx":
        assert out.read_bytes().startswith(b"\xef\xbb\xbf")
    lost = "only the cells" in " ".join(first.err.split())
    assert lost == (own == ".xlsx")


def test_long_headers_are_seen_whole_in_a_new_workbook(cli: CliRunner) -> None:
    sheet = cli.folder / "term.csv"
    sheet.write_text("activityId,Login to watch 登录观看,remarks of ours\n25096001,1,x\n", "utf-8")
    out = cli.folder / "out.xlsx"

    with clearing(cli):
        cli.call("apply", sheet, "-y", "-o", out, *FAST)

    assert load_workbook(out).worksheets[0].row_dimensions[1].height == 30


def test_results_writes_the_kind_its_name_says(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(3))
    with clearing(cli):
        run = cli.call("apply", sheet, "-y", "--json", *FAST).document["run"]

    said = cli.call("results", run, "-o", cli.folder / "again.xlsx")

    assert said.status == 0
    assert [row[:7] for row in book_rows(cli.folder / "again.xlsx")[1:]] == lines(3)


@pytest.mark.parametrize("name", ["out.ods", "out.xls", "out.xlsm", "out.pdf", "out"])
def test_a_kind_that_cannot_be_written_is_refused_before_anything_is_sent(
    cli: CliRunner, name: str
) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(2))

    with clearing(cli) as sandbox:
        said = cli.call("apply", sheet, "-y", "-o", cli.folder / name, *FAST)

    assert said.status == 2
    assert "use .xlsx, .csv or .tsv" in said.err
    assert sandbox.log == []


def test_a_resumed_run_refuses_such_a_name_too(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(2))
    with clearing(cli):
        cli.call("apply", sheet, "-y", "--limit", "1", *FAST)
        said = cli.call("resume", "-y", "-o", cli.folder / "out.ods", *FAST)

    assert said.status == 2
    assert "use .xlsx, .csv or .tsv" in said.err


def rich_book(path: Path, rows: Sequence[Sequence[object]]) -> Path:
    with xlsxwriter.Workbook(path) as book:
        tab = book.add_worksheet("Classes")
        formats = {
            dt.datetime: book.add_format({"num_format": "d. mmm yyyy hh:mm"}),
            "padded": book.add_format({"num_format": "00000000"}),
        }
        for number, row in enumerate(rows):
            for column, value in enumerate(row):
                if isinstance(value, tuple):
                    tab.write_number(number, column, value[0], formats["padded"])
                elif isinstance(value, str):
                    tab.write_string(number, column, value)
                else:
                    tab.write(number, column, value, formats.get(type(value)))
        book.add_worksheet("Other").write(0, 0, "notes")
    return path


WHEN = dt.datetime.fromisoformat("2037-03-01 08:30")
HEAD = ("activityId", "watchByLogin", "watchPassword", "startTime", "note")
ODD: list[tuple[object, ...]] = [
    (25096001, 1, "0123", WHEN, "=1+1"),
    (250960020001, True, None, None, "'=quoted"),
    (1234567890123456789, 1, None, None, 0.1 + 0.2),
    ((123,), 1, None, None, 'a "b", c\nd'),
    (25096005, 1, 123, None, dt.datetime.fromisoformat("2037-03-02")),
    ("# a comment, kept",),
]


def test_cells_of_a_workbook_are_in_the_csv_as_they_are_shown(cli: CliRunner) -> None:
    sheet = rich_book(cli.folder / "term.xlsx", [("Term 2037",), HEAD, *ODD])
    out = cli.folder / "out.csv"

    with clearing(cli):
        said = cli.call("apply", sheet, "-y", "-o", out, *FAST)

    rows = csv_rows(out)
    assert rows[0] == ["Term 2037"]
    assert rows[1][:5] == [*HEAD]
    assert [row[:5] for row in rows[2:]] == [
        ["25096001", "1", "0123", "2037-03-01 08:30", "'=1+1"],
        ["250960020001", "TRUE", "", "", "''=quoted"],
        ["1.23457E+18", "1", "", "", "0.3"],
        ["00000123", "1", "", "", 'a "b", c\nd'],
        ["25096005", "1", "123", "", "2037-03-02"],
        ["# a comment, kept", "", "", "", ""],
    ]
    again = loader.read(out, endpoint=WEBCAST)
    assert [row.cells[4] for row in again.rows[:2]] == ["=1+1", "'=quoted"]
    err = " ".join(said.err.split())
    assert err.count("out.csv is new and has only the cells") == 1
    assert "first of them row 7" in err
    checked = cli.call("validate", out, "--json").document
    assert {i["row"]: i["code"] for i in checked["issues"] if i["severity"] == "error"} == {
        5: "id.scientific"
    }


@needs_office
def test_a_spreadsheet_program_finds_no_formula_in_a_csv_made_of_a_workbook(
    cli: CliRunner,
) -> None:
    sheet = rich_book(cli.folder / "term.xlsx", [HEAD, *ODD])
    out = cli.folder / "out.csv"
    with clearing(cli):
        cli.call("apply", sheet, "-y", "-o", out, *FAST)

    assert "table:formula" not in converted(out, "fods").read_text("utf-8")


def test_a_workbook_of_a_csv_holds_texts_alone(cli: CliRunner) -> None:
    sheet = cli.folder / "term.csv"
    cells = ["=1+1", "007", "2027-03-01", "1E5", " space ", "’quote", "TRUE"]
    rows = [["activityId", "watchByLogin", "note"], *(["25096001", "1", c] for c in cells)]
    with sheet.open("w", encoding="gb18030", newline="") as file:
        csv.writer(file, delimiter=";").writerows([*rows, ["# 备注"]])
    out = cli.folder / "out.xlsx"

    with clearing(cli):
        cli.call("apply", sheet, "-y", "-o", out, "--encoding", "gb18030", *FAST)

    found = load_workbook(out).worksheets[0]
    assert [found.cell(n, 3).value for n in range(2, 9)] == cells
    own = [found.cell(n, c) for n in range(2, 9) for c in (1, 2, 3)]
    assert {(cell.data_type, cell.number_format) for cell in own} == {("s", "@")}
    assert found.cell(9, 1).value == "# 备注"


def test_hidden_rows_that_were_left_out_are_not_sent_from_the_new_file(cli: CliRunner) -> None:
    sheet = write_xlsx(cli.folder / "term.xlsx", lines(3))
    book = load_workbook(sheet)
    book.worksheets[0].row_dimensions[3].hidden = True
    book.save(sheet)
    out = cli.folder / "out.csv"

    with clearing(cli) as sandbox:
        said = cli.call("apply", sheet, "-y", "--hidden", "skip", "-o", out, *FAST)
        cli.call("resubmit", out, "-y", *FAST)

    assert Target("activityId", ID) not in [received.target for received in sandbox.log]
    assert told(out) == {2: "applied", 4: "applied"}
    assert "left out: 1" in " ".join(said.err.split())


def test_columns_far_to_the_right_are_not_dropped_in_silence(cli: CliRunner) -> None:
    sheet = write_xlsx(cli.folder / "term.xlsx", lines(2))
    book = load_workbook(sheet)
    book.worksheets[0].cell(2, 300).value = "far off"
    book.save(sheet)

    with clearing(cli):
        said = cli.call("apply", sheet, "-y", "-o", cli.folder / "out.csv", *FAST)

    assert "columns up to IV" in " ".join(said.err.split())


def test_the_grid_of_a_result_sheet_is_without_its_marks(tmp_path: Path) -> None:
    sheet = tmp_path / "t.csv"
    sheet.write_text("sep=;\nactivityId;bulkcast_status\n1;'=x\n", "utf-8")

    grid = loader.grid(sheet, Layout("csv", 1, encoding="utf-8-sig", delimiter=";"))

    assert dict(grid.cells) == {1: ["activityId", "bulkcast_status"], 2: ["1", "=x"]}


# ------------------------------------------------------------------ some rows


def applied(cli: CliRunner, sheet: Path) -> str:
    """The run that a sheet was applied in, with the class in row 3 refused."""
    run: str = cli.call("apply", sheet, "-y", "--json", *FAST).document["run"]
    return run


@pytest.mark.parametrize("other", [".csv", ".xlsx", ".tsv"])
@pytest.mark.parametrize("own", [".csv", ".xlsx"])
def test_only_rows_that_ended_so_are_written_mended_and_resubmitted(
    cli: CliRunner, own: str, other: str
) -> None:
    wrong = ["课 x", "not an id", "1", "0", "1", "1", ""]
    rows = [["# top"], *lines(3), ["# bottom"], wrong]
    sheet = (write_csv if own == ".csv" else write_xlsx)(cli.folder / f"term{own}", rows)
    failed = cli.folder / f"failed{other}"

    with clearing(cli, REFUSED_ONCE) as sandbox:
        run = applied(cli, sheet)
        said = cli.call("results", run, "--only", "rejected", "--only", "invalid", "-o", failed)
        before = len(sandbox.log)
        again = cli.call("resubmit", failed, "-y", *FAST)
        sent = [received.target for received in sandbox.log[before:]]

    found = book_rows(failed) if other == ".xlsx" else csv_rows(
        failed, "\t" if other == ".tsv" else ","
    )  # fmt: skip
    assert said.status == 0
    assert [row[0] for row in found] == ["lesson", "# top", "课 1", "# bottom", "课 x"]
    assert found[0][7:] == TITLES
    assert [row[7] for row in (found[2], found[4])] == ["rejected", "invalid"]
    assert found[2][8] == "121601031"
    assert found[2][13] == run
    assert "2 of the 4 rows of term" in " ".join(said.err.split())
    assert again.status == 3
    assert sent == [Target("activityId", ID)]


def test_chosen_rows_keep_what_numbers_and_dates_are(cli: CliRunner) -> None:
    sheet = rich_book(cli.folder / "term.xlsx", [("Term 2037",), HEAD, *ODD])
    failed = cli.folder / "failed.xlsx"

    with clearing(cli):
        run = applied(cli, sheet)
        said = cli.call("results", run, "--only", "applied,invalid", "-o", failed)

    assert said.status == 0
    found = loader.read(failed, endpoint=WEBCAST)
    before = loader.read(sheet, endpoint=WEBCAST)
    ids = [row.cells[0] for row in found.rows]
    assert [ids[0], *ids[2:]] == [row.cells[0] for row in before.rows if row.number != 4]
    assert ids[1] == 250960020001
    assert [row.cells[2:5] for row in found.rows] == [row.cells[2:5] for row in before.rows]
    assert load_workbook(failed).sheetnames == ["Classes"]
    assert "first of them" not in said.err


def test_a_workbook_with_macros_becomes_one_without(cli: CliRunner) -> None:
    sheet = write_xlsx(cli.folder / "term.xlsm", lines(3))
    with clearing(cli, REFUSED_ONCE):
        run = applied(cli, sheet)

    macros = cli.call("results", run, "--only", "rejected", "-o", cli.folder / "failed.xlsm")
    plain = cli.call("results", run, "--only", "rejected", "-o", cli.folder / "failed.xlsx")
    whole = cli.call("results", run, "-o", cli.folder / "all.xlsx")

    assert (macros.status, plain.status, whole.status) == (2, 0, 0)
    assert "use .xlsx, .csv or .tsv" in macros.err
    assert told(cli.folder / "failed.xlsx") == {2: "rejected"}
    assert told(cli.folder / "all.xlsx") == {2: "applied", 3: "rejected", 4: "applied"}


def test_where_no_row_ended_so_no_file_is_written(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(2))
    with clearing(cli):
        run = applied(cli, sheet)

    out = cli.folder / "failed.xlsx"
    said = cli.call("results", run, "--only", "rejected,too_late", "-o", out)
    document = cli.call("results", run, "--only", "rejected", "-o", out, "--json").document

    assert said.status == 0
    assert "is too_late, rejected; no file was written" in " ".join(said.err.split())
    assert document["results"] is None
    assert not out.exists()


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (("--only", "broken", "-o", "f.xlsx"), "'broken' is none of"),
        (("--only", "rejected"), "name it with -o"),
        (("--only", "rejected", "-o", "f.html"), "name it with -o"),
        (("--only", "rejected", "-o", "f.csv", "--by", "lesson"), "name it with -o"),
        (("--only", "rejected", "-o", "f.ods"), "use .xlsx, .csv or .tsv"),
    ],
)
def test_what_only_cannot_mean_is_refused(
    cli: CliRunner, argv: tuple[str, ...], sentence: str
) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(2))
    with clearing(cli, REFUSED_ONCE):
        run = applied(cli, sheet)

    said = cli.call("results", run, *argv)

    assert said.status == 2
    assert sentence in " ".join(said.err.split())
    if "broken" in argv:
        assert all(status.value in said.err for status in RowStatus)


def test_only_counts_every_state_wherever_it_stands(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(3))
    with clearing(cli, REFUSED_ONCE):
        run = applied(cli, sheet)

    listed = cli.call("runs", "show", run, "--only", "rejected", "--only", "applied", "--json")

    assert [row["status"] for row in listed.document["listed"]] == [
        "applied",
        "rejected",
        "applied",
    ]


def test_a_sheet_for_its_owner_alone_has_such_results(cli: CliRunner) -> None:
    sheet = write_csv(cli.folder / "term.csv", lines(3))
    sheet.chmod(0o600)
    with clearing(cli, REFUSED_ONCE):
        run = applied(cli, sheet)

    cli.call("results", run, "--only", "rejected", "-o", cli.folder / "failed.xlsx")

    assert (cli.folder / "failed.xlsx").stat().st_mode & 0o077 == 0
