"""Guessed encodings: always told, and an error where a guess would decide what is sent."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcast.errors import UnreadableSheet
from bulkcast.loader import ReadOptions
from bulkcast.model import Issue, Severity
from bulkcast.pipeline import SheetOptions, prepare, validate
from tests.sheets import loaded, write

PLAIN = "activityId,recordState,webcastIntroduce\n"
CHINESE = "课堂ID,云端录课,直播介绍\n"
ORDINARY = st.text(st.sampled_from("高级英语班直播欢迎观看公开课"), min_size=1, max_size=9)
RARE = st.text(st.sampled_from("詹淼奕婷喆鑫玥璇曦睿琪姝翊昊煜"), min_size=1, max_size=6)


def sheet(folder: Path, head: str, text: str, encoding: str) -> Path:
    return write(folder / "a.csv", f"{head}25096094,1,{text}\n", encoding)


def told(path: Path, encoding: str | None = None) -> tuple[Issue, ...]:
    return loaded(path, ReadOptions(encoding=encoding)).issues


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("guessed")


# ------------------------------------------------------------------ the commonest file of all


@given(text=st.one_of(ORDINARY, RARE))
def test_a_chinese_header_settles_that_a_file_is_chinese(folder: Path, text: str) -> None:
    path = sheet(folder, CHINESE, text, "gbk")

    assert loaded(path).rows[0].cells[2] == text
    assert [(i.code, i.severity) for i in told(path)] == [("file.encoding_guessed", "warning")]


@pytest.mark.parametrize(
    "text",
    [
        *("数学一班", "高级英语班直播", "王老师的物理课堂", "北京市第一中学", "软件工程导论"),
        *("詹姆斯·鲍威尔", "鑫淼奕婷老师专场", "喆哥带你学奥数", "初三化学（二）班"),
        "欢迎观看本次公开课，请提前十分钟进入直播间。",
    ],
)
def test_one_ordinary_chinese_text_is_sent_whatever_the_header(tmp_path: Path, text: str) -> None:
    path = sheet(tmp_path, PLAIN, text, "gbk")

    assert loaded(path).rows[0].cells[2] == text
    assert [i.severity for i in told(path)] == [Severity.WARNING]


def test_a_whole_sheet_of_ordinary_chinese_is_never_refused(tmp_path: Path) -> None:
    rows = "".join(f"{25096094 + n},1,高一物理直播课第{n}讲，王老师\n" for n in range(300))
    path = write(tmp_path / "a.csv", PLAIN + rows, "gbk")

    assert [i.code for i in validate(path).issues if i.row is None] == ["file.encoding_guessed"]
    assert prepare(path).valid == 300


def test_two_cells_show_what_the_guess_makes_of_the_file(tmp_path: Path) -> None:
    path = sheet(tmp_path, CHINESE, "高中数学", "gbk")

    (found,) = told(path)

    assert str(found.message).endswith("read as gb18030: “高中数学” / “课堂ID”.")
    assert "--encoding" in str(found.fix)


# ------------------------------------------------------------------ never sent as nonsense


@pytest.mark.parametrize(
    "text",
    [
        *("數學一班", "高級英語班直播", "王老師的物理課堂", "臺北市立第一中學", "鄭老師", "密碼"),
        *("週三晚上八點", "國三化學（二）班", "請準備好課本和練習冊，課後會有重播。"),
    ],
)
def test_big5_under_plain_headers_is_sent_as_meant(tmp_path: Path, text: str) -> None:
    path = sheet(tmp_path, PLAIN, text, "big5")

    assert loaded(path).rows[0].cells[2] == text
    assert [i.severity for i in told(path)] == [Severity.WARNING]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("課鐘", "big5"),
        ("密码", "gbk"),
        ("一一", "gbk"),
        ("안녕하세요 수업 소개", "cp949"),
        ("Señor Muñoz", "cp1252"),
    ],
)
def test_what_two_encodings_make_sense_of_is_an_error_that_shows_both(
    tmp_path: Path, text: str, encoding: str
) -> None:
    path = sheet(tmp_path, PLAIN, text, encoding)

    (found,) = told(path)

    assert (found.code, found.severity) == ("file.encoding_doubtful", Severity.ERROR)
    assert text in str(found.message)
    assert prepare(path).plan.requests == ()
    assert validate(path).exit_status == 3
    assert told(path, encoding) == ()
    assert prepare(path, SheetOptions(ReadOptions(encoding=encoding))).valid == 1


@pytest.mark.parametrize("text", ["Café", "«Élan»", "Курс математики", "Ελληνικά", "高中数学"])
def test_utf8_without_a_mark_is_no_guess(tmp_path: Path, text: str) -> None:
    path = sheet(tmp_path, PLAIN, text, "utf-8")

    assert told(path) == ()
    assert loaded(path).rows[0].cells[2] == text


@pytest.mark.parametrize(
    "content",
    [
        PLAIN.encode() + "1,1,高中数学\n".encode("gbk") + "2,1,高中数学\n".encode(),
        PLAIN.encode() + "1,1,高中数学".encode()[:-1],
        PLAIN.encode() + "1,1,高中数学\n2,1,".encode() + b"\xff\n",
    ],
)
def test_utf8_that_was_cut_off_or_added_to_is_taken_for_nothing_else(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)

    with pytest.raises(UnreadableSheet, match="is not utf-8 throughout: line"):
        loaded(path)


def test_words_that_are_not_sent_need_no_certainty(tmp_path: Path) -> None:
    path = sheet(tmp_path, "activityId,recordState,teacher\n", "課鐘", "big5")

    assert [i.severity for i in told(path)] == [Severity.WARNING]
    assert prepare(path).valid == 1


@pytest.mark.parametrize("text", ["密碼", "中文密码"])
@pytest.mark.parametrize("encoding", ["gbk", "big5"])
def test_no_password_is_shown_to_explain_a_guess(tmp_path: Path, text: str, encoding: str) -> None:
    path = tmp_path / "a.csv"
    line = f"activityId,watchByLogin,watchPassword\n1,1,{text}\n"
    path.write_bytes(line.encode(encoding, errors="ignore"))

    (found,) = told(path)

    said = json.dumps([str(found.message), str(found.fix)], ensure_ascii=False)
    assert str(loaded(path).rows[0].cells[2]) not in said
    assert "•••" in said


@pytest.mark.parametrize("header", ["watchPasword", "Watch-Password!", "观看密吗", "密码"])
def test_nor_is_what_stands_under_a_password_s_misspelt_name(tmp_path: Path, header: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(f"activityId,recordState,{header}\n1,1,春眠不觉晓\n".encode("gbk"))

    (found,) = told(path)

    assert "春眠" not in str(found.message)


# ------------------------------------------------------------------ where a guess is told


def test_strict_takes_no_guess(tmp_path: Path) -> None:
    path = sheet(tmp_path, CHINESE, "高中数学", "gbk")
    strict = SheetOptions(strict=True)

    assert prepare(path, strict).plan.requests == ()
    assert validate(path, strict).exit_status == 3
    assert prepare(path, SheetOptions(ReadOptions(encoding="gbk"), strict=True)).remarks == ()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_what_is_no_guess_is_not_told(tmp_path: Path, encoding: str) -> None:
    assert told(sheet(tmp_path, CHINESE, "高中数学", encoding)) == ()


def test_a_column_named_by_hand_counts_as_sent(tmp_path: Path) -> None:
    path = sheet(tmp_path, "activityId,recordState,words\n", "課鐘", "big5")
    options = ReadOptions(mapping={"words": "webcastIntroduce"})

    assert [i.severity for i in loaded(path, options).issues] == [Severity.ERROR]
