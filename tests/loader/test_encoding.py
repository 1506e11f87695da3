"""Guessed encodings: always told, and an error where a guess would decide what is sent."""

import json
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice, product
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcast.errors import UnreadableSheet
from bulkcast.loader import ReadOptions
from bulkcast.loader.plausibility import could_be_legacy
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


@pytest.mark.slow
@given(text=st.one_of(ORDINARY, RARE))
def test_a_chinese_header_settles_that_a_file_is_chinese(folder: Path, text: str) -> None:
    path = sheet(folder, CHINESE, text, "gbk")

    assert loaded(path).rows[0].cells[2] == text
    assert [(i.code, i.severity) for i in told(path)] == [("file.encoding_guessed", "warning")]


@pytest.mark.parametrize(
    "text",
    [
        *("数学一班", "高级英语班直播", "王老师的物理课堂", "北京市第一中学", "软件工程导论"),
        *("初三化学（二）班", "高一物理：牛顿第二定律"),
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
        *(
            "高級英語班直播",
            "王老師的物理課堂",
            "國三化學（二）班",
            "請準備好課本和練習冊，課後會有重播。",
        ),
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


@pytest.mark.parametrize(
    "text",
    [
        *("Café", "«Élan»", "Größe", "São Paulo", "Introduction à la physique", "Łódź", "żółć"),
        *("Tiếng Việt", "Học", "Señor Muñoz", "İstanbul", "Çeşme", "Kraków", "Ångström"),
        *("Курс математики", "Ελληνικά", "שלום", "مرحبا", "สวัสดี", "हिन्दी", "안녕", "日本語"),
        *("高中数学", "临汾", "丰", "水", "周末 😀", "平时", "第1课 – 导论", "“VIP”"),
    ],
)
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


# ------------------------------------------------------------------ Chinese that is UTF-8, too


@pytest.mark.parametrize("text", ["平时", "水平", "目前", "平台", "模式", "农业", "图片", "小写"])
@pytest.mark.parametrize("rows", [1, 9])
def test_gbk_that_can_be_read_as_utf8_is_not_sent(tmp_path: Path, text: str, rows: int) -> None:
    lines = "".join(f"{25096094 + n},1,{text}\n" for n in range(rows))
    path = write(tmp_path / "a.csv", PLAIN + lines, "gbk")

    (found,) = told(path)

    assert (found.code, found.severity) == ("file.encoding_doubtful", Severity.ERROR)
    assert "--encoding gb18030" in str(found.fix)
    assert prepare(path).plan.requests == ()


def test_nor_where_it_stands_far_down_in_a_large_file(tmp_path: Path) -> None:
    plain = "".join(f"{25096094 + n},1,Introduction to physics\n" for n in range(9000))
    path = write(tmp_path / "a.csv", f"{PLAIN}{plain}7,1,平时\n", "gbk")

    assert [i.code for i in told(path)] == ["file.encoding_doubtful"]


def words_in_utf8(encoding: str) -> Iterator[tuple[str, str]]:
    """Every two characters of GB 2312 whose bytes are UTF-8, and what they read as."""
    codes = [bytes((a, b)) for a in range(0xB0, 0xF8) for b in range(0xA1, 0xFF)]
    known = [code for code in codes if code.decode("gb2312", "ignore")]
    halves = [code for code in known if code[0] in range(0xC2, 0xE0) and code[1] < 0xC0]
    long = ((a, b) for a in known if a[0] >= 0xF0 for b in known if b[0] < 0xC0 > b[1])
    for first, second in (*product(halves, halves), *long):
        with suppress(UnicodeDecodeError):
            yield (first + second).decode(encoding), (first + second).decode()


@pytest.mark.slow
def test_no_word_of_two_characters_passes_for_utf8() -> None:
    some = islice(words_in_utf8("gb2312"), 0, None, 499)

    assert [word for word, read in some if not could_be_legacy([read])] == []


@pytest.mark.long
def test_not_one_of_all_of_them() -> None:
    wrong = [word for word, read in words_in_utf8("gb2312") if not could_be_legacy([read])]

    assert wrong == []


# ------------------------------------------------------------------ texts of fifteen encodings

CYRILLIC = "Курс математики урок язык класс учитель сегодня завтра химия вода мама ответы Вопросы"
JAPANESE = "数学 入門 講座 はじめての 授業 先生 学生 高校 英語 クラス 日本語 物理 質問 試験 合格"
KOREAN = "안녕하세요 수업 소개 수학 선생님 학생 강의 공개 고등학교 과학 大學 數學 高 新 先生"
GREEK = "Γεια μάθημα μαθηματικά αγγλικά τάξη δάσκαλος μαθητής σήμερα φυσική χημεία ιστορία μουσική"
LATIN = "Señor Muñoz café élève leçon où été Größe für Übung não ação niño garçon maïs até"
WORDS = {
    "gb18030": "数学 一班 高级 英语 直播 王老师 物理 课堂 北京市 郑老师 密码 鑫淼 奕婷 平时 目前",
    "big5": "數學 一班 高級 英語 直播 王老師 物理 課堂 臺北 第一 中學 鄭老師 密碼 週三 準備 練習冊",
    "cp949": KOREAN,
    "cp932": JAPANESE,
    "euc_jp": JAPANESE,
    "cp1251": CYRILLIC,
    "koi8_r": CYRILLIC,
    "cp866": CYRILLIC,
    "cp1250": "Łódź wykład język świat gęś żółć ćwiczenia dzień społeczność książka žluťoučký",
    "cp1252": LATIN,
    "mac_roman": LATIN,
    "cp1253": GREEK,
    "cp1255": "שלום שיעור מתמטיקה אנגלית כיתה מורה תלמיד היום מחר פיזיקה כימיה מוזיקה ספר שאלות",
    "cp1256": "مرحبا درس رياضيات اللغة معلم طالب اليوم غدا فيزياء كيمياء تاريخ موسيقى مدرسة",
    "cp874": "สวัสดี วิชา คณิตศาสตร์ ภาษาอังกฤษ ครู วันนี้ เคมี ดนตรี ถ่ายทอดสด โรงเรียน คำถาม มานา งาน",
}


def texts_in(encoding: str, n: int) -> Iterator[str]:
    """Words of the language, with spaces or without, and letters of it in any order."""
    random = Random(f"{encoding} {n}")
    words = WORDS[encoding].split()
    letters = "".join(words)
    for _ in range(n):
        chosen = random.choice(["", " "]).join(random.choices(words, k=random.randint(1, 6)))
        jumbled = "".join(random.choices(letters, k=random.randint(2, 12)))
        yield random.choice([chosen, chosen, jumbled])


def wrongly_sent(folder: Path, encoding: str, n: int) -> list[tuple[str, object]]:
    """The texts that would be sent as something else, and what they would be sent as."""
    found: list[tuple[str, object]] = []
    for text in texts_in(encoding, n):
        path = sheet(folder, PLAIN, text, encoding)
        try:
            read = loaded(path)
        except UnreadableSheet:
            continue
        sent = read.rows[0].cells[2]
        if sent != text and all(i.severity is not Severity.ERROR for i in read.issues):
            found.append((text, sent))
    return found


@pytest.mark.parametrize("encoding", WORDS)
def test_no_text_is_sent_as_another_one(tmp_path: Path, encoding: str) -> None:
    assert wrongly_sent(tmp_path, encoding, 5) == []


@pytest.mark.long
@pytest.mark.parametrize("encoding", WORDS)
def test_nor_of_a_hundred_and_thirty(tmp_path: Path, encoding: str) -> None:
    assert wrongly_sent(tmp_path, encoding, 130) == []


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
