"""Checking sheets: headers, targets, rules across cells, duplicates, strictness, masks."""

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcast.endpoints.webcast import WEBCAST
from bulkcast.model import Block, Cell, Change, FlaggedCell, Invalid, RawRow, Severity, Target
from bulkcast.validator import Validator, all_issues, check
from bulkcast.validator.datetimes import moment_reader
from tests.sheets import RULES, changed, checked, codes, one, sheet_of

SHANGHAI = ZoneInfo("Asia/Shanghai")
STRICT = replace(RULES, strict=True)


# ------------------------------------------------------------------ headers


@pytest.mark.parametrize(
    "header",
    [
        "recordState",
        "Cloud recording *",
        "云端录课",
        "ＲＥＣＯＲＤ＿state",
        "Cloud recording 云端录课",
    ],
)
def test_a_column_is_known_by_any_of_its_names(header: str) -> None:
    assert changed(one(f"activityId,{header}", "1", "1")).settings == (("recordState", 1),)


@pytest.mark.parametrize(
    ("header", "meant"),
    [
        ("recrodState", "recordState"),
        ("passwrod", "Password"),
        ("Cloud recroding", "Cloud recording"),
        ("opnestate", "openState"),
        ("actvityId", "activityId"),
    ],
)
def test_a_slip_of_the_pen_is_an_error_with_the_word_that_was_meant(
    header: str, meant: str
) -> None:
    found = checked(f"activityId,recordType,{header}", ("1", "1", "1"))

    assert codes(found) == ["header.near_miss"]
    assert meant in str(found.issues[0].fix)
    assert found.issues[0].cell == "C1"


@pytest.mark.parametrize(
    "header",
    ["Course", "Classroom", "Activity", "Lesson", "Record date", "下课时间", "课堂名称", "班级",
     "studentId", "End time", "Teacher", "Notes"],
)  # fmt: skip
def test_another_word_is_no_slip_of_the_pen(header: str) -> None:
    found = checked(f"activityId,recordState,{header}", ("1", "1", "x"))

    # Of `Record date` it is said that it names a setting; no other is like one.
    assert codes(found) == (["header.unread_setting"] if header == "Record date" else [])
    assert found.ignored_columns == (header,)


def test_class_id_is_ambiguous_unless_spelled_as_the_api_does() -> None:
    assert codes(checked("Class ID,recordState", ("1", "1"))) == ["header.ambiguous"]
    assert codes(checked("Class IDs,recordState", ("1", "1"))) == ["header.ambiguous"]
    assert changed(one("classId,recordState", "1", "1")).target == Target("classId", 1)


def test_a_mapping_goes_before_what_the_header_says() -> None:
    rules = replace(RULES, mapping={"Class ID": "courseId", "Raum": "classId", "录课": "openState"})

    row = one("Class ID,Raum,录课", "7", "8", "1", rules=rules)

    assert changed(row).body == (("classId", 8), ("courseId", 7), ("openState", 1))


def test_a_mapping_of_what_is_not_there_is_an_error() -> None:
    rules = replace(RULES, mapping={"Raum": "classId", "activityId": "colour"})

    found = checked("activityId,recordState", ("1", "1"), rules=rules)

    assert codes(found) == ["header.unknown_map", "header.unknown_map"]
    assert [issue.value for issue in found.issues] == ["Raum", "colour"]


def test_a_wrong_header_makes_every_row_invalid_and_is_told_once() -> None:
    found = checked("activityId,recordState,云端录课", ("1", "1", "x"), ("2", "1", "x"))

    assert [type(row) for row in found.rows] == [Invalid, Invalid]
    assert [issue.code for issue in all_issues(found)] == ["header.duplicate"]
    assert found.rows[0].issues == found.issues


def test_result_columns_are_neither_data_nor_ignored() -> None:
    found = checked(
        "activityId,recordState,note,bulkcast_status,Bulkcast_fix,", ("1", "1", "x", "y", "z", "!")
    )

    assert found.ignored_columns == ("note",)
    assert found.columns == {"activityId": 0, "recordState": 1}
    assert codes(found) == []


# ------------------------------------------------------------------ one row


def test_the_body_is_in_the_tables_order_and_blank_cells_are_not_sent() -> None:
    row = one(
        "customColumn,liveState,recordState,courseId,activityId,openState",
        "x", " ", "1", "3", "2", None,
    )  # fmt: skip

    assert changed(row).body == (
        ("activityId", 2),
        ("courseId", 3),
        ("recordState", 1),
        ("customColumn", "x"),
    )
    assert changed(row).settings == (("recordState", 1), ("customColumn", "x"))


def test_of_two_targets_only_the_activity_is_sent() -> None:
    row = changed(one("classId,activityId,recordState", "5", "6", "1"))

    assert row.target == Target("activityId", 6)
    assert "classId" not in dict(row.body)
    assert codes(row) == ["target.both"]


@pytest.mark.parametrize(
    ("cells", "code"),
    [
        (("", "1"), "target.missing"),
        (("1", ""), "row.nothing_to_set"),
        (("x", "1"), "id.not_a_number"),
        (("1", "x"), "cell.not_a_choice"),
    ],
)
def test_one_fault_is_one_error(cells: tuple[str, str], code: str) -> None:
    row = one("activityId,recordState", *cells)

    assert isinstance(row, Invalid)
    assert codes(row) == [code]


def test_every_fault_of_a_row_is_told_the_gravest_first() -> None:
    row = one("activityId,recordState,openState,watchPassword", "１", "x", "z", 5)

    assert [issue.code for issue in row.issues] == [
        "cell.not_a_choice", "cell.not_a_choice", "password.numeric", "read.cleaned",
    ]  # fmt: skip
    assert [issue.cell for issue in row.issues] == ["B2", "C2", "D2", "A2"]


def test_cells_are_addressed_as_a_spreadsheet_does() -> None:
    blanks = ",".join(f"x{n}" for n in range(25))

    row = one(f"activityId,{blanks},recordState", "1", *[""] * 25, "maybe")

    assert row.issues[0].cell == "AA2"


def test_a_shifted_row_is_not_read_at_all() -> None:
    sheet = sheet_of("activityId,recordState")
    shifted = replace(sheet, rows=(RawRow(9, ("1", "maybe"), extra=("0", None)),))

    (row,) = check(shifted, WEBCAST, RULES).rows

    assert codes(row) == ["row.extra_cells"]
    assert (row.issues[0].cell, row.issues[0].value) == ("C9", "0, ")


# ------------------------------------------------------------------ rules across cells

FOUR = "activityId,recordState,recordType,liveState,openState,useCoMainRecord,watchByLogin"


@pytest.mark.parametrize(
    ("cells", "found"),
    [
        ("1,0,1,1,", []),
        ("0,0,0,0,1", []),
        ("0,0,1,0,", ["rule.live_needs_recording"]),
        ("0,0,0,1,", ["rule.playback_needs_recording"]),
        ("0,0,1,1,", ["rule.live_needs_recording", "rule.playback_needs_recording"]),
        ("0,2,0,0,", ["rule.type_needs_recording"]),
        ("1,0,0,0,1", ["rule.main_recording_alone"]),
        ("1,1,0,0,1", ["rule.main_recording_alone"] * 2),
        (",,,1,", ["rule.partial_group"]),
        ("1,0,1,,", ["rule.partial_group"]),
    ],
)
def test_recording_live_and_playback_must_agree(cells: str, found: list[str]) -> None:
    row = one(FOUR, "1", *cells.split(","), "")

    assert [issue.code for issue in row.issues] == found


@pytest.mark.parametrize(
    ("record", "live", "chat", "found"),
    [
        ("1", "1", "1", []),
        ("", "", "1", []),
        ("1", "", "1", []),
        ("0", "", "1", ["recordState"]),
        ("", "0", "1", ["liveState"]),
        ("0", "0", "1", ["recordState", "liveState"]),
        ("0", "0", "0", []),
        ("0", "0", "", []),
    ],
)
def test_chat_for_those_not_logged_in_needs_recording_and_live(
    record: str, live: str, chat: str, found: list[str]
) -> None:
    row = one("activityId,recordState,liveState,allowUnloggedChat", "1", record, live, chat)

    told = [issue for issue in row.issues if issue.code == "rule.chat_needs_live"]
    assert {issue.severity for issue in told} <= {Severity.WARNING}
    assert [str(issue.fix.args["other"]) for issue in told] == found


@pytest.mark.parametrize(
    ("record", "live", "playback", "login", "found"),
    [
        ("1", "1", "0", "1", 0),
        ("1", "1", "1", "1", 0),
        ("1", "0", "0", "1", 1),
        ("0", "0", "0", "1", 1),
        ("0", "0", "0", "0", 0),
        ("0", "0", "", "1", 1),
        ("1", "", "", "1", 0),
        ("0", "", "", "1", 0),
        ("", "", "", "1", 0),
    ],
)
def test_login_to_watch_needs_two_of_record_live_and_playback(
    record: str, live: str, playback: str, login: str, found: int
) -> None:
    row = one(FOUR, "1", record, "0", live, playback, "", login)

    assert [issue.code for issue in row.issues].count("rule.login_needs_two") == found


def test_a_rule_does_not_complain_of_what_could_not_be_read() -> None:
    row = one(FOUR, "1", "maybe", "0", "1", "1", "", "")

    assert [issue.code for issue in row.issues] == ["cell.not_a_choice"]


@pytest.mark.parametrize(
    ("login", "user", "uids", "found"),
    [
        ("", "1", "", ["rule.viewing_needs_login"]),
        ("0", "", "5", ["rule.viewing_needs_login"]),
        ("1", "1", "5", []),
        ("0", "0", "(clear)", []),
    ],
)
def test_restricted_viewing_needs_login(login: str, user: str, uids: str, found: list[str]) -> None:
    headers = "activityId,watchByLogin,liveAndPlaybackUserState,liveAndPlaybackStudentUids"

    assert codes(one(f"{headers},customColumn", "1", login, user, uids, "x")) == found


def test_strictness_makes_errors_of_warnings_and_leaves_notes() -> None:
    warned = ("activityId,openState", "1", "1")
    noted = ("activityId,customColumn", "１", "x")

    assert isinstance(one(*warned), Change)
    assert isinstance(one(*warned, rules=STRICT), Invalid)
    assert one(*warned, rules=STRICT).issues[0].severity is Severity.ERROR
    assert isinstance(one(*noted, rules=STRICT), Change)


# ------------------------------------------------------------------ duplicates


def test_rows_that_want_the_same_do_not_contradict() -> None:
    found = checked("activityId,recordState", ("1", "on"), ("1", "1"))

    assert codes(found) == []


def test_rows_that_contradict_name_each_other() -> None:
    rows = checked("activityId,recordState", ("1", "1"), ("2", "1"), ("1", "0"), ("1", "1")).rows

    assert [type(row) for row in rows] == [Invalid, Change, Invalid, Invalid]
    assert "Rows 4, 5 set the same" in str(rows[0].issues[0].message)
    assert "Rows 2, 5 set the same" in str(rows[2].issues[0].message)


def test_in_order_leaves_contradicting_rows_as_they_are() -> None:
    rules = replace(RULES, duplicates="in-order")

    rows = checked("activityId,recordState", ("1", "1"), ("1", "0"), rules=rules).rows

    assert [changed(row).settings for row in rows] == [(("recordState", 1),), (("recordState", 0),)]


def test_last_sends_the_last_row_in_place_of_those_before_it() -> None:
    rules = replace(RULES, duplicates="last")

    rows = checked("activityId,recordState", ("1", "1"), ("1", "0"), rules=rules).rows

    assert [changed(row).body for row in rows] == [(("activityId", 1), ("recordState", 0))] * 2
    assert [row.row for row in rows] == [2, 3]
    assert codes(rows[0]) == ["target.overruled"]
    assert codes(rows[1]) == []


def test_one_classroom_under_two_ids_is_seen_where_a_row_gives_both() -> None:
    rows = checked("activityId,classId,recordState", ("1", "9", "1"), ("", "9", "0")).rows

    assert [type(row) for row in rows] == [Invalid, Invalid]


def test_an_invalid_row_contradicts_nobody() -> None:
    rows = checked("activityId,recordState", ("1", "1"), ("1", "maybe")).rows

    assert [type(row) for row in rows] == [Change, Invalid]


# ------------------------------------------------------------------ secrets


@pytest.mark.parametrize(
    "cell",
    ["hunter2\x07", 4711, 47.11, True, FlaggedCell("cell.formula_unsaved", '="hunter2"'),
     FlaggedCell("cell.merged", "hunter2", "hunter2", {"range": "B2:B3"}), "hunter2" * 400],
)  # fmt: skip
def test_no_issue_shows_a_password(cell: str | float | FlaggedCell) -> None:
    row = one("activityId,watchPassword", "1", cell)

    assert row.issues
    assert not {"hunter2", "4711", "47.11"} & {
        word for issue in row.issues for word in str(issue).replace("'", " ").split()
    }
    assert all("hunter2" not in str(issue) for issue in row.issues)
    assert all(issue.value == "•••" for issue in row.issues)


def test_a_shifted_row_may_have_split_a_password() -> None:
    sheet = sheet_of("activityId,watchPassword")
    shifted = replace(sheet, rows=(RawRow(2, ("1", "hun"), extra=("ter2",)),))

    (row,) = check(shifted, WEBCAST, RULES).rows

    assert "ter2" not in str(row.issues)


# ------------------------------------------------------------------ whole sheets


CELL = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from(["1", "on", "关", "(clear)", "1.0", "１２", "1,2;3", "2027-03-01 08:00"])
    | st.datetimes()
    | st.builds(FlaggedCell, st.just("id.display_differs"), st.just("007"), st.just(7),
                st.just({"stored": "7"}))
)  # fmt: skip
KEYS = [column.key for column in WEBCAST.columns]


@given(st.lists(st.lists(CELL, min_size=len(KEYS), max_size=len(KEYS)), max_size=3))
def test_any_cells_at_all_give_one_result_a_row_and_sendable_values(
    rows: list[list[str | float | None]],
) -> None:
    found = checked(",".join(KEYS), *rows)

    assert [row.row for row in found.rows] == list(range(2, 2 + len(rows)))
    assert all(str(issue.message) + str(issue.fix) for issue in all_issues(found))
    for row in found.rows:
        errors = [issue for issue in row.issues if issue.severity is Severity.ERROR]
        assert isinstance(row, Invalid) == bool(errors)
        if isinstance(row, Change):
            kinds = {type(value) for _, value in row.body}
            assert kinds <= {int, str, tuple}
            assert row.settings


def test_moments_are_meant_in_the_zone_of_the_rules() -> None:
    utc = replace(RULES, tz=timezone(timedelta()))
    cells = ("activityId,startTime,recordState", "1", "2027-03-01 08:00", "1")

    here, there = changed(one(*cells)), changed(one(*cells, rules=utc))

    assert there.starts_at == 1803888000
    assert here.starts_at == there.starts_at - 8 * 3600
    assert "startTime" not in dict(here.body)


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("登录观看（0否1是）", "watchByLogin"),
        ("观看密码（选填）", "watchPassword"),
        ("云端录课(必填)", "recordState"),
        ("record_state(0/1)", "recordState"),
        ("【云端录课】", "recordState"),
        ("【必填】网页直播", "liveState"),
        ("1.云端录课", "recordState"),
        ("①云端录课", "recordState"),
        ("⑴ 云端录课", "recordState"),
        ("a) recordState", "recordState"),
        ("Q1、是否直播？", "liveState"),
        ("是否允许未登录用户聊天", "allowUnloggedChat"),
        ("是否开启云端录课", "recordState"),
        ("*云端录课", "recordState"),
        ('"云端录课"', "recordState"),
        ("“云端录课”※", "recordState"),
        ("云端录课（必填", "recordState"),
        ("云端录课：0否1是", "recordState"),
        ("「活动ID」", "activityId"),
        ("Class ID（课堂ID）", "classId"),
        ("Class (Course) ID", "courseId"),
        ("Cloud recording 云端录课 (0/1)", "recordState"),
        ("云端录课 Recording", "recordState"),
        ("云端录课Recording", "recordState"),
        ("Record / 云端录课", "recordState"),
        ("云端录课|Recording|recordState", "recordState"),
        ("云端录课\nrecordState", "recordState"),
        ("是否录课\r\nRecord? *", "recordState"),
        ("云端录课 Cloud Recording Switch (是/否)", "recordState"),
        ("activityId 活动ID", "activityId"),
        ("活动ID-activityId", "activityId"),
        ("Start time / 上课时间", "startTime"),
        ("学生UID\nStudents（选填）", "liveAndPlaybackStudentUids"),
        ("Class ID / 课堂ID", "classId"),
        ("课节活动ID", "activityId"),
        ("录制内容", "recordType"),
        ("录制 Recording", "recordState"),
        ("课程ID Class ID", "courseId"),
    ],
)
def test_a_hint_beside_a_setting_s_name_does_not_hide_it(header: str, key: str) -> None:
    found = WEBCAST.column_for(header)

    assert found is not None
    assert found.key == key


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("录课/直播", "recordState or liveState"),
        ("录课 直播", "recordState or liveState"),
        ("Live 网页回放", "liveState or openState"),
        ("网页直播\nPlayback", "liveState or openState"),
        ("云端录课 Recording（直播）", "recordState or liveState"),
        ("Class ID / 云端录课", "classId or courseId or recordState"),
        ("Class ID / Class ID", "classId or courseId"),
        ("是否录制", "recordState or recordType"),
    ],
)
def test_parts_of_a_header_that_name_different_settings_leave_it_open(
    header: str, said: str
) -> None:
    found = checked(f"activityId,watchByLogin,{header}", ("1", "1", "1"))

    assert codes(found) == ["header.ambiguous"]
    assert str(found.issues[0].message.args["candidates"]) == said


@pytest.mark.parametrize(
    "header", ["录课 备注", "Live playback", "Recording time 录课", "密码 Notes"]
)
def test_a_header_of_which_a_part_names_nothing_is_told_and_not_read(header: str) -> None:
    found = checked(f"activityId,watchByLogin,{header}", ("1", "1", "1"))

    assert codes(found) == ["header.unread_setting"]
    assert found.ignored_columns == (header,)


def test_a_header_of_very_many_words_is_looked_at_in_no_time() -> None:
    assert WEBCAST.column_for("Live 直播 " * 5000) is None


def test_an_ignored_column_that_names_a_setting_is_told() -> None:
    found = checked("activityId,recordState,直播链接,备注,delivered", ("1", "1", "x", "y", "z"))

    assert codes(found) == ["header.unread_setting"]
    assert found.ignored_columns == ("直播链接", "备注", "delivered")
    assert isinstance(found.rows[0], Change)


def test_a_near_miss_does_not_hide_what_else_is_wrong() -> None:
    found = checked("activtyId,watchByLogin", ("1", "maybe"), ("x", "1"))

    assert [issue.code for issue in all_issues(found)] == [
        "header.near_miss",
        "cell.not_a_choice",
        "id.not_a_number",
    ]
    assert all(isinstance(row, Invalid) for row in found.rows)


def test_a_hint_in_brackets_that_names_another_setting_leaves_it_open() -> None:
    assert codes(checked("activityId,录课（网页回放）", ("1", "1"))) == ["header.ambiguous"]


def test_where_no_column_names_the_classroom_the_likeliest_is_suggested() -> None:
    found = checked("My activity number,recordState", ("1", "1"))

    assert codes(found) == ["header.no_target"]
    assert "My activity number=activityId" in str(found.issues[0].fix)


@pytest.mark.parametrize(
    "span",
    [
        "2027-03-01 08:00-09:30",
        "2027-03-01 08:00 – 09:30",
        "2027/3/1 8:00~9:30",
        "2027年3月1日 8:00至9:30",
        "2027-03-01 08:00 到 2027-03-01 09:30",
    ],
)
def test_a_span_is_read_as_its_start(span: str) -> None:
    reading = moment_reader(SHANGHAI)(span)

    assert reading.value == moment_reader(SHANGHAI)("2027-03-01 08:00").value
    assert [finding.code for finding in reading.findings] == ["read.cleaned"]


@pytest.mark.parametrize("either", ["2027-03-01T08:00-09:30", "2027-03-01 08:00:00-09:30"])
def test_what_may_be_a_span_or_an_offset_is_refused(either: str) -> None:
    assert moment_reader(SHANGHAI)(either).is_unread


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("2027-03-01", "time.without_a_time"),
        ("03/12/2026", "time.ambiguous"),
        ("2027-03-14 02:30", "time.skipped_hour"),
        ("2027-11-07 01:30", "time.repeated_hour"),
        (datetime.fromisoformat("2027-03-14 02:30"), "time.skipped_hour"),
        (datetime.fromisoformat("2027-11-07 01:30"), "time.repeated_hour"),
        (datetime.fromisoformat("2027-03-14"), "time.without_a_time"),
    ],
)
def test_a_doubtful_moment_is_told(cell: str | datetime, code: str) -> None:
    reading = moment_reader(ZoneInfo("America/New_York"))(cell)

    assert [finding.code for finding in reading.findings] == [code]


@pytest.mark.parametrize(
    "cell",
    [
        "2027-03-14 03:00",
        "2027-03-14T02:30:00-05:00",
        "2027-11-07 02:00",
        "2027-11-07T01:30:00-04:00",
        datetime.fromisoformat("2027-03-14 01:59"),
        datetime.fromisoformat("2027-03-14 03:00"),
        datetime.fromisoformat("2027-11-07 02:00"),
        1825565400,
    ],
)
def test_an_hour_that_comes_once_is_not_doubted(cell: str | datetime | int) -> None:
    reading = moment_reader(ZoneInfo("America/New_York"))(cell)

    assert (reading.is_unread, reading.findings) == (False, ())


@pytest.mark.parametrize(
    ("word", "value"),
    [("√", 1), ("×", 0), ("✗", 0), ("对", 1), ("无", 0), ("1-开", 1), ("开(1)", 1), ("0=关", 0)],
)
def test_a_switch_takes_what_people_write(word: str, value: int) -> None:
    assert changed(one("activityId,watchByLogin", "1", word)).settings == (("watchByLogin", value),)


def test_a_number_and_a_word_that_contradict_each_other_are_no_switch() -> None:
    assert codes(one("activityId,watchByLogin", "1", "1-关")) == ["cell.not_a_choice"]


def test_a_password_in_another_column_is_not_quoted() -> None:
    (found,) = one("activityId,watchByLogin,watchPassword", "1", "s3cretpw", "s3cretpw").issues

    assert found.value == "•••"
    assert "s3cretpw" not in str(found.message)


def test_a_row_that_repeats_the_header_is_told_as_that() -> None:
    found = checked(
        "活动ID,云端录课,网页直播",
        ("1", "1", "1"),
        ("活动ID", "云端录课", "Web live"),
        ("2", "1", "0"),
    )

    assert [
        (issue.row, issue.code) for issue in all_issues(found) if "partial" not in issue.code
    ] == [(3, "row.header_again")]
    assert isinstance(found.rows[2], Change)


@pytest.mark.parametrize(
    "header",
    [
        ("活动ID", "网页直播", "云端录课"),
        ("班级", "活动ID", "云端录课"),
        (None, "课节ID", "云端录课"),
    ],
)
def test_a_second_table_with_its_columns_elsewhere_is_never_read_by_the_first_header(
    header: tuple[Cell, ...],
) -> None:
    rows: tuple[tuple[Cell, ...], ...] = (("1", "是", "是"), header, ("2", "是", "否"))
    found = checked("活动ID,云端录课,网页直播", *rows)
    validator = Validator(("活动ID", "云端录课", "网页直播"), 1, WEBCAST, RULES)
    validator.take(Block([2, 3, 4], list(zip(*rows, strict=True))))
    result = validator.result()

    assert [issue.row for issue in found.issues] == [3]
    assert "header.second_table" in codes(found)
    assert all(isinstance(row, Invalid) for row in found.rows)
    assert (result.rows, result.valid, result.has_errors) == (3, 0, True)
