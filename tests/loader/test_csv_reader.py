"""Reading delimited files: encodings, delimiters, headers, rows passed over, refusals."""

import csv
import io
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bulkcast.csv_format import guard
from bulkcast.endpoints.webcast import WEBCAST
from bulkcast.errors import BulkcastError, CannotStart, UnreadableSheet
from bulkcast.loader import ReadOptions, previous_results, stream
from bulkcast.model import Sheet
from tests.sheets import loaded, write

HEADER = "activityId,customColumn\n"


def said(sheet: Sheet) -> str:
    return " ".join(map(str, sheet.remarks))


# ------------------------------------------------------------------ encodings


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gb18030"])
def test_common_encodings_are_recognised(encoding: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "课堂ID,自定义列,云端录课\n1152680,高中数学,开\n", encoding)

    sheet = loaded(path)

    assert sheet.headers == ("课堂ID", "自定义列", "云端录课")
    assert sheet.rows[0].cells == ("1152680", "高中数学", "开")
    assert sheet.layout.encoding == encoding


def test_headers_tell_encodings_apart_that_look_alike(tmp_path: Path) -> None:
    # Too short for statistics: charset-normalizer alone takes it for Korean.
    sheet = loaded(write(tmp_path / "a.csv", "课堂ID,录课\n1,开\n", "gb18030"))

    assert sheet.headers == ("课堂ID", "录课")


def test_between_encodings_that_look_alike_the_users_own_is_taken(tmp_path: Path) -> None:
    text = "classId,recordState,webcastIntroduce\n1152680,1,高中数学\n"

    sheet = loaded(write(tmp_path / "a.csv", text, "gb18030"))

    assert sheet.rows[0].cells[2] == "高中数学"


def test_the_encoding_asked_for_is_used(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "activityId,customColumn\n1,數學\n", "big5")

    sheet = loaded(path, ReadOptions(encoding="big5"))

    assert sheet.rows[0].cells == ("1", "數學")
    assert not sheet.remarks


def test_an_encoding_that_does_not_fit_names_the_line(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", f"{HEADER}1,数学\n", "gb18030")

    with pytest.raises(UnreadableSheet, match="not utf-8 throughout: line 2"):
        loaded(path, ReadOptions(encoding="utf-8"))


@pytest.mark.parametrize("encoding", ["klingon", "hex"])
def test_an_unknown_encoding_cannot_start(encoding: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", f"{HEADER}1,x\n")

    with pytest.raises(CannotStart, match=f"--encoding {encoding}"):
        loaded(path, ReadOptions(encoding=encoding))


# ------------------------------------------------------------------ delimiters and quotes


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_the_one_that_makes_headers(delimiter: str, tmp_path: Path) -> None:
    text = f"activityId{delimiter}customColumn\n1{delimiter}a\n"

    sheet = loaded(write(tmp_path / "a.csv", text))

    assert sheet.rows[0].cells == ("1", "a")
    assert sheet.layout.delimiter == delimiter
    assert bool(sheet.remarks) == (delimiter != ",")


def test_a_sep_line_names_the_delimiter_and_is_no_row(tmp_path: Path) -> None:
    sheet = loaded(write(tmp_path / "a.csv", "sep=^\r\nactivityId^customColumn\r\n1^a\r\n"))

    assert sheet.layout.delimiter == "^"
    assert [(row.number, row.cells) for row in sheet.rows] == [(2, ("1", "a"))]


def test_a_delimiter_must_be_one_character(tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="--delimiter 'ab'"):
        loaded(write(tmp_path / "a.csv", f"{HEADER}1,x\n"), ReadOptions(delimiter="ab"))


@pytest.mark.parametrize(
    ("rows", "cell"),
    [
        ('1001,1,"one\n1002,1,two\n1003,1,three"\n', "C2"),
        ('1001,"1,one\n1002,1",two\n', "B2"),
        ('1000,1,zero\n1001,1,"one\r\n1002,1,two"\r\n', "C3"),
        ('"1001,1,one\n1002",1,two\n', None),  # its id is none: an error anyway
        ('1001,1,"Hello, all\nwelcome, friends, and bye"\n', None),
        ('1001,1,"In 2027, on Monday,\nin room 12, at 8"\n', None),
        ('1001,1,"one, 1002, two"\n', None),
    ],
)
def test_a_quoted_cell_that_holds_whole_rows_is_told(
    tmp_path: Path, rows: str, cell: str | None
) -> None:
    path = write(tmp_path / "a.csv", f"activityId,recordState,webcastIntroduce\n{rows}")

    found = [(i.code, i.cell) for i in loaded(path).issues]

    assert found == ([("cell.holds_rows", cell)] if cell else [])


@pytest.mark.slow
@pytest.mark.parametrize(
    "row", ["," * 3_000_000, '"a",' * 40_000, '"\n",' * 40_000, "1" + "," * 16_384]
)
def test_a_row_wider_than_any_spreadsheet_is_refused_before_it_is_taken_apart(
    tmp_path: Path, row: str
) -> None:
    path = write(tmp_path / "a.csv", f"activityId,recordState\n1001,1\n{row}\n1002,1\n")

    tracemalloc.start()
    with pytest.raises(UnreadableSheet, match=r"line 3: the row has more than 16384 columns"):
        loaded(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 20 * 2**20


def test_a_quote_in_the_middle_of_a_cell_opens_none(tmp_path: Path) -> None:
    rows = '1002,"one, ""two"", three"\n' * 9000
    path = write(tmp_path / "a.csv", f'activityId,webcastIntroduce\n1001,5" and 6""\n{rows}')

    assert len(loaded(path).rows) == 9001


def test_commas_within_quotes_are_no_columns(tmp_path: Path) -> None:
    text = "," * 20_000
    path = write(tmp_path / "a.csv", f'activityId,webcastIntroduce\n1001,"{text}"\n')

    assert loaded(path).rows[0].cells == ("1001", text)


def test_an_unclosed_quote_swallows_no_row_in_silence(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", f'{HEADER}1,"two\nlines"\n2,"open\n3,c\n')

    with pytest.raises(UnreadableSheet, match="line 4: a quote is opened in this line"):
        loaded(path)


def test_a_cell_of_unbelievable_length_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", f"{HEADER}1,{'x' * 200_000}\n")

    with pytest.raises(UnreadableSheet, match="line 2: a cell is longer than 131072"):
        loaded(path)


# ------------------------------------------------------------------ header and rows


def test_rows_keep_the_numbers_a_spreadsheet_shows(tmp_path: Path) -> None:
    text = f'Term 2\n\n{HEADER}# example,\n1,"a\nb"\n\n ,\n2,c\n\n\n'

    sheet = loaded(write(tmp_path / "a.csv", text))

    assert sheet.layout.header_row == 3
    assert [row.number for row in sheet.rows] == [5, 8]
    assert "2 blank rows" in said(sheet)
    assert "1 row that begins with #" in said(sheet)


def test_the_header_with_the_most_names_wins_and_the_first_of_equals(tmp_path: Path) -> None:
    text = "password\nactivityId,recordState\nclassId,liveState\n1,1\n"

    assert loaded(write(tmp_path / "a.csv", text)).layout.header_row == 2


def test_a_header_below_the_tenth_row_is_not_found(tmp_path: Path) -> None:
    found = write(tmp_path / "a.csv", "\n" * 9 + f"{HEADER}1,a\n")
    late = write(tmp_path / "b.csv", "\n" * 10 + f"{HEADER}1,a\n")

    assert loaded(found).layout.header_row == 10
    with pytest.raises(UnreadableSheet, match=r"b\.csv has no header row within its first 10 rows"):
        loaded(late)


def test_a_header_of_two_rows_in_text_is_refused_with_both(tmp_path: Path) -> None:
    below = write(tmp_path / "a.csv", "活动ID,云端录课,观看设置,\n,,登录观看,观看密码\n1,1,1,a\n")
    above = write(tmp_path / "b.csv", "x\n活动ID,直播设置,\n,云端录课,网页直播\n1,1,1\n")

    with pytest.raises(
        UnreadableSheet, match="two rows, 1 and 2: 登录观看 is named in row 2 alone"
    ):
        loaded(below)
    with pytest.raises(UnreadableSheet, match="two rows, 3 and 2: 活动ID is named in row 2 alone"):
        loaded(above)


def test_lines_that_are_one_cell_each_are_told_as_that(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", '"活动ID,云端录课"\n"25096094,是"\n')

    with pytest.raises(
        UnreadableSheet, match=r"each row in one cell, as in row 1: '活动ID,云端录课'"
    ):
        loaded(path)


@pytest.mark.parametrize(
    "text",
    [
        "活动ID,云端录课,类型\n1,1,直播\n",
        "活动ID,云端录课,类型\n,,直播\n1,1,x\n",
        "活动ID,必填\n观看密码,选填\n活动ID,云端录课\n1,1\n",
        "活动ID,云端录课,\n1,1,直播\n",
    ],
)
def test_a_row_with_a_word_that_names_a_setting_is_no_second_header(
    text: str, tmp_path: Path
) -> None:
    assert "活动ID" in loaded(write(tmp_path / "a.csv", text)).headers


def test_a_mapped_or_ambiguous_header_is_a_header(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "Raum\n1\n")

    assert loaded(path, ReadOptions(mapping={"raum": "classId"})).headers == ("Raum",)
    assert loaded(write(tmp_path / "b.csv", "Class ID\n1\n")).headers == ("Class ID",)


@pytest.mark.parametrize("word", ["#N/A", "#REF!", "#####"])
def test_a_broken_first_cell_is_no_comment(word: str, tmp_path: Path) -> None:
    sheet = loaded(write(tmp_path / "a.csv", f"{HEADER}{word},a\n"))

    assert sheet.rows[0].cells == (word, "a")


def test_short_rows_are_padded_and_long_ones_flagged(tmp_path: Path) -> None:
    sheet = loaded(write(tmp_path / "a.csv", f"{HEADER}1\n2,a,,\n3,a,b,c\n"))

    assert [row.cells for row in sheet.rows] == [("1", None), ("2", "a"), ("3", "a")]
    assert [row.extra for row in sheet.rows] == [(), (), ("b", "c")]


CELLS = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(rows=st.lists(st.tuples(st.integers(1, 10**18), CELLS), max_size=6))
def test_every_text_arrives_as_it_was_written(rows: list[tuple[int, str]], tmp_path: Path) -> None:
    written = io.StringIO(newline="")
    csv.writer(written).writerows([("activityId", "customColumn"), *rows])

    sheet = loaded(write(tmp_path / "a.csv", written.getvalue()))

    assert [row.cells for row in sheet.rows] == [(str(number), text) for number, text in rows]


# ------------------------------------------------------------------ an earlier run's results


def test_what_a_result_file_guards_is_unguarded_and_only_there(tmp_path: Path) -> None:
    theirs = write(tmp_path / "a.csv", f"{HEADER}1,'=x\n")
    ours = write(tmp_path / "b.csv", f"activityId,customColumn,bulkcast_status\n1,{guard('=x')},\n")

    assert loaded(theirs).rows[0].cells[1] == "'=x"
    assert loaded(ours).rows[0].cells[1] == "=x"


def test_previous_results_are_kept_by_row(tmp_path: Path) -> None:
    text = (
        "activityId,bulkcast_status,recordState,Bulkcast_Run\n"
        "1,applied,1,r7\n2,,1,\n3,rejected,1,r7\n,applied,,r6\n"
    )

    sheet = loaded(write(tmp_path / "a.csv", text))

    assert previous_results(sheet) == {
        2: {"status": "applied", "run": "r7"},
        4: {"status": "rejected", "run": "r7"},
    }
    assert [row.number for row in sheet.rows] == [2, 3, 4], "a row of results alone is blank"


# ------------------------------------------------------------------ refusals

XML_2003 = """<?xml version="1.0"?>
<?mso-application progid="Excel.Sheet"?>
<Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet"><Worksheet/></Workbook>
"""


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.txt", b"x", "not a kind of sheet"),
        ("a.numbers", b"x", "a Numbers spreadsheet; save it as .xlsx"),
        ("a.ods", b"x", "no workbook but text; name it .csv"),
        ("a.xlsb", b"x\0", "is no workbook, or is damaged"),
        ("a.xls", b"<html><table>", "a web page by another name"),
        ("a.xls", b"id\tname\n", "name it .csv"),
        ("a.csv", b"<html><table>", "a web page by another name"),
        ("a.csv", b"%PDF-1.7", "a PDF document"),
        ("a.csv", b"PK\x03\x04...", "rename it to .xlsx"),
        ("a.csv", b"\xd0\xcf\x11\xe0....", "encrypted workbook"),
        ("a.csv", b"ab\0\0\0c", "holds zero bytes"),
        ("a.csv", b" \n\n", "is empty"),
        ("a.xlsx", b"", "is empty"),
        ("a.xlsx", b"<html><table>", "a web page by another name"),
        ("~$a.xlsx", b"x", "give a.xlsx itself"),
        ("a.gsheet", b"{}", "only a link to a Google sheet"),
        ("a.csv", "activityId\n".encode("utf-32"), "is in UTF-32; save it as CSV UTF-8"),
        ("a.xls", "<html><table>".encode("utf-16"), "a web page by another name"),
        ("a.xls", b"<!-- made by x -->\n<html>", "a web page by another name"),
        *(
            (name, content, f"is {what}, whatever its name says; save its table as .xlsx")
            for name in ("a.xls", "a.xlsx", "a.csv")
            for content, what in (
                (XML_2003.encode(), "a workbook saved as XML"),
                (b"MIME-Version: 1.0\nX-Document-Type: Workbook\n", "a web archive"),
                (b"ID;PWXL;N;E\nC;Y1;X1;K1\n", "a SYLK file"),
                (b'[{"activityId": 1}]', "a JSON file"),
                (b"{\\rtf1 activityId}", "a text document"),
                (b"\x1f\x8b\x08\x00", "a packed archive"),
                (b"7z\xbc\xaf\x27\x1c\x00", "a packed archive"),
                (b"\x89PNG\r\n\x1a\n\x00", "a picture"),
            )
        ),
    ],
)
def test_what_is_no_sheet_is_refused(
    name: str, content: bytes, sentence: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)

    with pytest.raises(UnreadableSheet) as refusal:
        loaded(path)

    assert sentence in str(refusal.value)


def test_what_is_not_there_or_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableSheet, match="There is no file"):
        loaded(tmp_path / "missing.csv")
    with pytest.raises(UnreadableSheet, match="is a folder"):
        loaded(tmp_path)
    with pytest.raises(UnreadableSheet, match=r"cannot be looked at|There is no file"):
        loaded(Path("a\0.csv"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(content=st.binary(max_size=200), suffix=st.sampled_from([".csv", ".tsv", ".xlsx"]))
def test_no_bytes_end_in_a_traceback(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)

    try:
        headers: tuple[str, ...] = loaded(path).headers
    except BulkcastError:
        headers = ("activityId",)

    assert any(WEBCAST.column_for(header) for header in headers)


# ------------------------------------------------------------------ whose fault it is


def test_what_goes_wrong_with_the_caller_is_not_laid_to_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "term.csv", "activityId,liveState\n1,1\n")

    for fault in (KeyError("a defect of ours"), PermissionError("another file")):
        with pytest.raises(type(fault)), stream(path, endpoint=WEBCAST):
            raise fault


def test_what_is_found_out_on_the_way_names_the_file(tmp_path: Path) -> None:
    rows = "".join(f"{n},1\n" for n in range(5000))
    path = write(tmp_path / "term.csv", f'activityId,liveState\n{rows}"1,1\n')

    with (
        pytest.raises(UnreadableSheet, match=r"term\.csv, line 5002: a quote is opened"),
        stream(path, endpoint=WEBCAST) as opened,
    ):
        list(opened.blocks())
