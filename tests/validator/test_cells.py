"""Reading single cells: what is taken as it stands, cleaned with a word, or refused."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcast.catalogue import INT64_MAX
from bulkcast.model import Cell, Change, Invalid, SettingValue, Severity
from tests.sheets import changed, checked, codes, one

DAY = datetime(2027, 3, 1, 8, 0)  # noqa: DTZ001  # a cell has no zone


def setting(key: str, cell: Cell) -> SettingValue | None:
    """What is sent for `key` when its cell holds `cell`; None where nothing is."""
    row = one(f"activityId,allowUnloggedChat,{key}", "1", "1", cell)
    return dict(changed(row).settings).get(key)


def refusal(key: str, cell: Cell) -> list[str]:
    row = one(f"activityId,allowUnloggedChat,{key}", "1", "1", cell)
    assert isinstance(row, Invalid), row
    return codes(row)


def target(cell: Cell) -> tuple[int, list[tuple[str, Severity]]]:
    """The id that `cell` names, and what was said of it."""
    row = changed(one("activityId,customColumn", cell, "x"))
    return row.target.id, [(issue.code, issue.severity) for issue in row.issues]


# ------------------------------------------------------------------ ids


@given(st.integers(1, INT64_MAX))
def test_an_id_written_out_is_itself(number: int) -> None:
    assert target(str(number)) == (number, [])


NOTE = [("read.cleaned", Severity.NOTE)]
WARNING = [("read.cleaned", Severity.WARNING)]


@pytest.mark.parametrize(
    ("cell", "number", "said"),
    [
        (25096094, 25096094, []),
        (10**15 - 1, 10**15 - 1, []),
        ("１２３", 123, NOTE),
        ("\u00a0123\u200b", 123, NOTE),
        ("\ufeff123\t", 123, NOTE),
        ("00123", 123, NOTE),
        ("120034567.0", 120034567, WARNING),
        ("120,034,567", 120034567, WARNING),
        ("'123", 123, WARNING),
        ('="123"', 123, WARNING),
        ("ID：123", 123, WARNING),
    ],
)
def test_an_id_is_cleaned_only_with_a_word(
    cell: Cell, number: int, said: list[tuple[str, Severity]]
) -> None:
    assert target(cell) == (number, said)


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("2.50961E+07", "id.scientific"),
        ("1E5", "id.scientific"),
        ("2,50961e+07", "id.scientific"),
        (10**15, "id.precision_lost"),
        (1e17, "id.precision_lost"),
        (120034567.5, "id.fraction"),
        ("120034567.5", "id.fraction"),
        ("-5", "id.out_of_range"),
        ("-5.0", "id.fraction"),
        (-5, "id.out_of_range"),
        ("0", "id.out_of_range"),
        (str(INT64_MAX + 1), "id.out_of_range"),
        ("9" * 10_000, "id.out_of_range"),
        (True, "id.not_a_number"),
        ("TRUE", "id.not_a_number"),
        ("٣٤", "id.not_a_number"),
        ("1 2", "id.not_a_number"),
        ("123²", "id.not_a_number"),
        ("①", "id.not_a_number"),
        ("12,34", "id.fraction"),
        (DAY, "id.became_date"),
        ("#REF!", "cell.formula_error"),
        ("(clear)", "cell.not_clearable"),
    ],
)
def test_an_id_is_never_repaired(cell: Cell, code: str) -> None:
    row = one("activityId,customColumn", cell, "x")

    assert isinstance(row, Invalid)
    assert codes(row) == [code]


@given(st.text(max_size=30))
def test_no_text_becomes_an_id_that_its_digits_do_not_spell(text: str) -> None:
    row = one("activityId,customColumn", text, "x")

    if isinstance(row, Change):
        digits = [str(int(c)) for c in text if c.isdecimal()]
        assert str(row.target.id) in "".join(digits)


# ------------------------------------------------------------------ lists of ids

UIDS = "liveAndPlaybackStudentUids"


@pytest.mark.parametrize("text", ["1,2;3", "1，2；3", "1 2\n3", "1、2, 3,", " 1\u30002 3 "])
def test_uids_are_split_at_any_separator(text: str) -> None:
    assert setting(UIDS, text) == (1, 2, 3)


def test_a_list_may_be_a_single_number_or_cleared() -> None:
    assert setting(UIDS, 1001001) == (1001001,)
    assert setting(UIDS, "清空") == ()
    assert setting(UIDS, " ") is None


def test_a_uid_given_twice_is_sent_once() -> None:
    assert setting(UIDS, "2,1,2") == (2, 1)


@pytest.mark.parametrize(
    ("cell", "codes_found"),
    [
        ("1,Li", ["ids.not_a_list"]),
        ("1,2²", ["ids.not_a_list"]),
        ("Li Wang", ["ids.not_a_list"] * 2),
        ("1.2E+06,1.3E+06", ["id.scientific"] * 2),
        (",;", ["ids.not_a_list"]),
        (10**15, ["id.precision_lost"]),
        (True, ["id.not_a_number"]),
    ],
)
def test_a_list_with_anything_else_in_it_is_refused(cell: Cell, codes_found: list[str]) -> None:
    assert refusal(UIDS, cell) == codes_found


# ------------------------------------------------------------------ switches, choices, integers


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        *[(word, 1) for word in ("1", "on", "YES", "True", "是", "开", "启用", "On 开", "１")],
        *[(word, 0) for word in ("0", "off", "no", "FALSE", "否", "关", "禁用", "Off 关", "No 否")],
        (True, 1), (False, 0), (1, 1), (0.0, 0), ("1.0", 1), ("", None), (None, None),
    ],
)  # fmt: skip
def test_a_switch_takes_these_words(cell: Cell, value: int | None) -> None:
    assert setting("watchByLogin", cell) == value


@pytest.mark.parametrize("cell", ["2", 2, -1, 0.5, "maybe", "1.5", DAY, float("nan")])
def test_a_switch_takes_no_others(cell: Cell) -> None:
    assert refusal("watchByLogin", cell) == ["cell.not_a_choice"]


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (
            "开启 已开启 打开 启用 使用 要 需要 enable Enabled Y on ☑ ✔ ✔️ ✅ √ có 예 はい",
            1,
        ),
        (
            "关闭 已关闭 禁用 停用 未启用 未开启 不启用 不开启 不开 不要 不需要 无需 不使用",
            0,
        ),
        ("N FALSE off disable Disabled ☐ ✖ ✖️ ❌ ✘ × không 아니오 いいえ", 0),
    ],
)
def test_a_switch_takes_what_people_write_for_on_and_off(words: str, value: int) -> None:
    for word in words.split():
        assert setting("watchByLogin", word) == value, word


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("Yes/是", 1), ("是 / Yes", 1), ("是 Yes", 1), ("On/开", 1), ("是(录)", 1), ("No／否", 0),
        ("否，不录", 0), ("否（No）", 0), ("是/否", None), ("Yes 否", None), ("是/也许", None),
        ("1/1", None), ("1,1", None),
    ],
)  # fmt: skip
def test_several_words_are_read_where_they_agree(cell: str, value: int | None) -> None:
    row = one("activityId,recordState", "1", cell)

    if value is None:
        assert codes(row) == ["cell.not_a_choice"]
    else:
        assert changed(row).settings == (("recordState", value),)


@pytest.mark.parametrize(
    ("key", "cell", "value"),
    [
        ("recordState", "录", 1), ("recordState", "不录", 0), ("liveState", "直播", 1),
        ("liveState", "不直播", 0), ("allowUnloggedChat", "允许", 1),
        ("allowUnloggedChat", "不允许", 0), ("allowUnloggedChat", "禁用", 0),
        ("webcastAllForbidden", "开启", 1), ("webcastAllForbidden", "是", 1),
        ("webcastAllForbidden", "off", 0),
    ],
)  # fmt: skip
def test_a_switch_takes_the_words_for_what_it_switches(key: str, cell: str, value: int) -> None:
    row = changed(one(f"activityId,{key}", "1", cell))

    assert row.settings == ((key, value),)


@pytest.mark.parametrize(
    ("key", "cell"),
    [
        *[("watchByLogin", cell) for cell in ("x", "X", "v", "☒", "□", "○", "是/否", "录")],
        *[("webcastAllForbidden", cell) for cell in ("禁用", "停用", "disabled", "enabled")],
        ("liveState", "录"), ("recordState", "直播"),
    ],
)  # fmt: skip
def test_a_word_that_may_mean_the_opposite_or_something_else_is_refused(
    key: str, cell: str
) -> None:
    assert refusal(key, cell) == ["cell.not_a_choice"]


def test_a_true_one_and_a_number_one_are_told_apart_in_one_column() -> None:
    rows = checked("activityId,recordType", ("1", 1), ("2", True), ("3", 1.0)).rows

    assert [type(row) for row in rows] == [Change, Invalid, Change]


@pytest.mark.parametrize(
    ("cell", "value"),
    [("7", 7), (7, 7), ("７", 7), ("7.0", 7), (0, 0), (str(INT64_MAX), INT64_MAX)],
)
def test_an_integer_without_published_values_is_passed_through(cell: Cell, value: int) -> None:
    assert setting("liveAndPlaybackViewingSet", cell) == value


@pytest.mark.parametrize("cell", ["-1", -1, 1.5, "x", True, DAY, str(INT64_MAX + 1), "1e3"])
def test_an_integer_is_nothing_else(cell: Cell) -> None:
    assert refusal("liveAndPlaybackViewingSet", cell) == ["cell.not_an_integer"]


# ------------------------------------------------------------------ texts

SENDABLE = st.text(
    alphabet=st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"),
    min_size=1,
    max_size=40,
).filter(lambda text: text.strip() and text.strip()[0] not in "#（(清")


@given(SENDABLE)
def test_a_text_is_sent_exactly_as_it_stands(text: str) -> None:
    assert setting("watchPassword", text) == text


@pytest.mark.parametrize("text", ["0123", " pass ", "a\r\nb\tc", "'x", "=x", "１２３", "1.0"])
def test_a_text_is_not_improved(text: str) -> None:
    assert setting("watchPassword", text) == text


@pytest.mark.parametrize("word", ["(clear)", "清空", " (CLEAR) ", "（clear）"])
def test_only_a_clear_word_empties_a_text(word: str) -> None:
    assert setting("webcastIntroduce", word) == ""


def test_a_whole_number_may_stand_for_a_text_that_is_no_password() -> None:
    assert setting("customColumn", 2026) == "2026"
    assert refusal("watchPassword", 2026) == ["password.numeric"]


@pytest.mark.parametrize("cell", [1.5, True, DAY, 10**15])
def test_what_is_no_text_is_refused_as_one(cell: Cell) -> None:
    assert refusal("customColumn", cell) == ["cell.not_a_text"]


@pytest.mark.parametrize("character", ["\x00", "\x07", "\x1b", "\x7f", "\x85", "\ud800", "\uffff"])
def test_what_cannot_be_seen_is_refused(character: str) -> None:
    assert refusal("customColumn", f"a{character}b") == ["cell.control_character"]


@pytest.mark.parametrize(
    ("key", "text", "said"),
    [
        ("customColumn", "课" * 50, []),
        ("customColumn", "课" * 51, ["text.cut"]),
        ("webcastIntroduce", "a" * 1000, []),
        ("webcastIntroduce", "课" * 341, []),
        ("webcastIntroduce", "课" * 341 + "a", ["text.unsigned"]),
        ("webcastIntroduce", "a" * 1001, ["text.cut"]),
        ("watchPassword", "a" * 1024, ["password.long", "text.unsigned"]),
    ],
)
def test_lengths_that_are_not_safe_are_told(key: str, text: str, said: list[str]) -> None:
    row = one(f"activityId,{key}", "1", text)

    assert codes(row) == said
    assert dict(changed(row).settings)[key] == text


def test_a_text_longer_than_a_cell_is_refused() -> None:
    assert refusal("webcastIntroduce", "a" * 32_768) == ["cell.too_long"]


# ------------------------------------------------------------------ passwords


@pytest.mark.parametrize(
    "cell", [" ", "   ", "\u00a0", "\u3000 ", "\u200b", "\ufeff\u200e", "\t\n"]
)
def test_a_password_of_nothing_that_can_be_seen_is_blank_and_told(cell: str) -> None:
    row = changed(one("activityId,allowUnloggedChat,watchPassword", "1", "1", cell))

    assert codes(row) == ["password.only_spaces"]
    assert "watchPassword" not in dict(row.settings)


def test_a_row_with_nothing_but_such_a_password_sets_nothing() -> None:
    row = one("activityId,watchPassword", "1", "  ")

    assert isinstance(row, Invalid)
    assert codes(row) == ["row.nothing_to_set", "password.only_spaces"]


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("secret\u00a0", "Character 7 of the password is a no-break space"),
        ("\ufeffsecret", "Character 1 of the password is a byte order mark"),
        ("sec\u200bret", "Character 4 of the password is a zero-width space"),
        ("secret\u202c", "Character 7 of the password is a mark of writing direction"),
        ("sec\u2060ret", "Character 4 of the password is a character that cannot be seen"),
        ("sec\u3164ret", "Character 4 of the password is a character that cannot be seen"),
        ("secret ", "Character 7 of the password is a space at its edge"),
        (" secret", "Character 1 of the password is a space at its edge"),
        ("secr\u00a0 ", "Characters 5, 6 of the password cannot be seen or are taken for others"),
        ("secret\n", "Character 7 of the password is a line break"),
        ("secret\uff11", "Character 7 of the password is a full-width character"),
        ("sec\u212aret", "Character 4 of the password is a character that only looks like"),
        ("s\u0435cret", "Character 2 of the password is a Greek or Cyrillic letter"),
        ("\uff11" * 9, "Characters 1, 2, 3, 4, 5, … of the password cannot be seen"),
    ],
)
def test_what_nobody_sees_in_a_password_is_told_by_its_place(cell: str, said: str) -> None:
    row = changed(one("activityId,watchPassword", "1", cell))

    (found,) = row.issues
    assert (found.code, found.severity) == ("password.unseen_character", Severity.WARNING)
    assert str(found.message).startswith(said)
    assert "secret" not in f"{found.message}{found.fix}{found.value}"
    assert dict(row.settings)["watchPassword"] == cell


@pytest.mark.parametrize("cell", ["s3cret!", "two words", "密码一", "пароль", "Łódź", "é", "a—b"])
def test_what_can_be_seen_in_a_password_is_nobodys_business(cell: str) -> None:
    assert one("activityId,watchPassword", "1", cell).issues == ()


@pytest.mark.parametrize("cell", ["webcast\u200b", " ", "webcast "])
def test_other_texts_are_not_looked_at_so(cell: str) -> None:
    assert one("activityId,recordState,customColumn", "1", "1", cell).issues[1:] == ()


# ------------------------------------------------------------------ moments


@pytest.mark.parametrize(
    "cell",
    [DAY, "2027-03-01 08:00", "2027/3/1 8:00:00", "2027年3月1日 8:00", "2027-03-01T08:00+08:00",
     "2027-03-01T00:00:00Z", "1803859200", 1803859200, "２０２７-03-01 08：00",
     "2027年3月1日 上午8:00", "2027年3月1日上午8:00", "2027/3/1 8:00 AM", "2027-03-01 8:00:00 a.m.",
     "2027-3-1上午 08:00", "2027年3月1日8时00分", "2027年3月1日 8时", "2027年3月1日 星期一 8:00",
     "2027/3/1 周一 上午8:00", "2027/03/01 AM 8:00", "2027年3月1日早上8点",
     "20270301 08:00", "20270301 8:00", "20270301上午8:00", "20270301T0800", "20270301 080000",
     "202703010800", 202703010800, "20270301080000", 20270301080000, "20270301T000000Z",
     "2027.3.1 8:00", "2027–03–01 08:00", "2027\\3\\1 8:00", "2027、3、1 8:00",
     "2027年 3月 1日 8:00", "2027 年 3 月 1 日 8 : 00", "2027年3月1号 8:00", "2027/3/1, 8:00",
     "2027年３月１日　８：００", "2027年03月01日(周一)08:00", "2027-03-01（星期一） 8:00",
     "2027年3月1日礼拜一早8:00", "2027年3月1日08点", "2027年3月1日08点00", "2027年3月1日 上午8点整",
     "March 1, 2027 8:00", "1 Mar 2027 08:00", "Mon, 1st March 2027, 8:00 AM", "01-Mar-2027 8:00",
     "2027-03-01 Mon 08:00", "2027-03-01 08"],
)  # fmt: skip
def test_a_moment_may_be_written_so(cell: Cell) -> None:
    row = one("activityId,startTime,recordState", "1", cell, "1")

    assert changed(row).starts_at == 1803859200


@pytest.mark.parametrize(
    "cell",
    ["3/1/2027 8:00", "3/1/2027 8:00 AM", "2027-02-30", "2027-03-018:00",
     "2027年3月1日 上午8:00 AM", "2027-03-01 13:00 AM", "2027年3月1日 上午12:30",
     "2027-03-01 8:00 XM", "2027年3月1日 8点半点", "2027年3月1日 凌晨8:00", "2027年3月1日 中午9点",
     "2027-03-01 08.30", "2027-03-01x08:30", "2027-03-01+08:00", "2027-W09-1",
     "20271301 08:00", "25096094", "1 March 2 2027 8:00",
     "2027年3月1日 晚上12点", "2027年3月1日 晚上1点",
     "2027年3月1日 晚上13点", "2027年3月1日 早上13点", "2027-03-01 下午25:00", "2027-03-01 25:00",
     "tomorrow", 1803859200.5, True, "1803859200000", "1970-01-01",
     "0001-01-01T00:00+23:59", float("inf")],
)  # fmt: skip
def test_what_is_no_moment_is_refused(cell: Cell) -> None:
    row = one("activityId,startTime,recordState", "1", cell, "1")

    assert codes(row) == ["time.ambiguous" if str(cell).startswith("3/1/") else "time.not_a_time"]


@pytest.mark.parametrize(
    ("cell", "hour", "minute"),
    [
        ("2027年3月1日 下午3:05", 15, 5),
        ("2027-03-01 3:05 PM", 15, 5),
        ("2027-03-01 3:05 p.m.", 15, 5),
        ("2027年3月1日 下午15:05", 15, 5),
        ("2027年3月1日 下午3时05分", 15, 5),
        ("2027年3月1日下午3点", 15, 0),
        ("2027年3月1日 下午3点半", 15, 30),
        ("2027年3月1日 早上8點05分", 8, 5),
        ("2027年3月1日 晚上7:30", 19, 30),
        ("2027年3月1日晚上19点", 19, 0),
        ("2027年3月1日 下午12:30", 12, 30),
        ("2027年3月1日 下午0:30", 12, 30),
        ("2027-03-01 12:30 PM", 12, 30),
        ("2027-03-01 12:30 AM", 0, 30),
        ("2027年3月1日 上午0:30", 0, 30),
        ("2027-03-01 11:59 pm", 23, 59),
        ("2027年3月1日 中午12:00", 12, 0),
        ("2027年3月1日 中午1点", 13, 0),
        ("2027年3月1日 中午11:30", 11, 30),
        ("2027年3月1日 凌晨0:30", 0, 30),
        ("2027年3月1日傍晚6点", 18, 0),
        ("2027年3月1日晚7点30", 19, 30),
        ("2027年3月1日14点30", 14, 30),
        ("2027年3月1日0点", 0, 0),
    ],
)
def test_the_half_of_the_day_is_read_where_it_is_clear(cell: str, hour: int, minute: int) -> None:
    row = one("activityId,startTime,recordState", "1", cell, "1")

    assert changed(row).starts_at == 1803859200 + (hour - 8) * 3600 + minute * 60


@pytest.mark.parametrize(
    "cell", ["20270301", 20270301, "2027年3月1日", "1 March 2027", "20270301 "]
)
def test_a_date_alone_is_midnight_with_a_warning(cell: Cell) -> None:
    row = one("activityId,startTime,recordState", "1", cell, "1")

    assert changed(row).starts_at == 1803859200 - 8 * 3600
    assert codes(row) == ["time.without_a_time"]


@pytest.mark.parametrize(
    "cell",
    ["2027年3月1日14点-15点", "2027年3月1日14:00-15点", "20270301 14:00-15:00",
     "2027.3.1 14:00至15:00", "2027年3月1日下午2点-4点", "1 March 2027 14:00 to 15:00",
     "28/02/2027 14:00"],
)  # fmt: skip
def test_what_else_such_a_cell_says_is_a_note(cell: str) -> None:
    row = one("activityId,startTime,recordState", "1", cell, "1")

    assert changed(row).starts_at == 1803859200 + (-18 if "28" in cell else 6) * 3600
    assert codes(row) == ["read.cleaned"]


@pytest.mark.parametrize(
    ("cell", "code", "fix"),
    [
        ("3月1日 8:00", "time.no_year", "2027-03-01 08:00"),
        ("03月01日", "time.no_year", "2027-03-01 08:00"),
        ("3/1 8:00", "time.no_year", "2027-03-01 08:00"),
        ("27-3-1 8:00", "time.no_year", "2027-03-01 08:00"),
        ("27年3月1日 8:00", "time.no_year", "2027-03-01 08:00"),
        ("3.1 8:00", "time.no_year", "2027-03-01 08:00"),
        ("2027年3月1日8点", "time.half_of_day", "上午"),
        ("2027年3月1日 8点", "time.half_of_day", "上午"),
        ("2027年3月1日 3点半", "time.half_of_day", "上午"),
        ("2027年3月1日8点-9点", "time.half_of_day", "上午"),
        ("2027年3月1日 星期二 8:00", "time.weekday", "day of the week"),
        ("2027-03-01 Tue 8:00", "time.weekday", "day of the week"),
        ("Tue, 1 March 2027 8:00-9:00", "time.weekday", "day of the week"),
        (46447, "time.date_number", "2027-03-01 00:00"),
        (46447.333333, "time.date_number", "2027-03-01 08:00"),
        ("46447.333333", "time.date_number", "2027-03-01 08:00"),
        ("8:00-9:40", "cell.only_a_time", "date"),
    ],
)
def test_what_leaves_a_moment_open_is_refused_with_what_is_missing(
    cell: Cell, code: str, fix: str
) -> None:
    row = one("activityId,startTime,recordState", "1", cell, "1")

    assert codes(row) == [code]
    assert fix in str(row.issues[0].fix)


@pytest.mark.parametrize(
    "cell", ["08:00", "上午8:00", "下午3:05", "8:00 AM", "8时30分", "08:00:30", "晚上7点"]
)
def test_a_time_without_its_day_is_told_as_that(cell: str) -> None:
    row = one("activityId,startTime,recordState", "1", cell, "1")

    assert codes(row) == ["cell.only_a_time"]
