"""What follows from the table."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, timedelta, timezone
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bulkcast
from bulkcast.arguments import Moment, SettingNames
from bulkcast.catalogue import ChoiceKind, Role
from bulkcast.endpoints import WEBCAST
from bulkcast.explanations import allowed_values
from bulkcast.headers import fold
from bulkcast.i18n import short_header
from bulkcast.languages import translator
from bulkcast.messages import SAID_MAX, explain, result_row
from bulkcast.model import Argument, Outcome, ResultRow, RowStatus, Severity
from bulkcast.problems import PROBLEMS, issue
from bulkcast.reporter.template import template_columns
from tests.generated_pages import codes_table, json_schema, problems_table, settings_table


def ended(outcome: Outcome, *issues: Any, lang: str = "en") -> ResultRow:
    return result_row(
        7, outcome, issues, endpoint=WEBCAST, run="r1", tz=UTC, translator=translator(lang)
    )


# ------------------------------------------------------------------ sentences


def test_a_reply_code_is_explained_with_classins_own_words() -> None:
    message, fix = explain("350", {"said": "距离开课不足20分钟"}, WEBCAST)

    assert message == "Class begins in less than 20 minutes. (ClassIn 350: 距离开课不足20分钟)"
    assert "take the locked ones out" in fix


def test_a_reply_code_is_explained_in_chinese_too() -> None:
    message, fix = explain("145", {}, WEBCAST, translator("zh"))

    assert message == "课堂已经结束。（ClassIn 145）"
    assert fix.startswith("该课堂")


def test_an_unlisted_code_is_told_verbatim() -> None:
    message, _ = explain("987654", {"said": "新错误", "number": "987654"}, WEBCAST)

    assert message == "ClassIn answered the unlisted code 987654: 新错误"


def test_what_a_server_says_cannot_draw_on_a_terminal_or_flood_a_cell() -> None:
    said = "\x1b]0;title\x07\u202e\ud800 x" + "y" * 9000

    for code, name in (("104", "said"), ("reply.not_json", "detail"), ("99", "said")):
        message, _ = explain(code, {name: said}, WEBCAST)
        assert message.isprintable()
        assert "title" in message
        assert len(message) < SAID_MAX + 100


@given(
    st.sampled_from([*PROBLEMS, "1", "350", "999", "", "no.such", "٣", "9" * 40]),
    st.dictionaries(st.sampled_from(["said", "value", "detail", "n"]), st.text()),
    st.sampled_from(["en", "zh"]),
)
def test_no_code_and_no_arguments_end_in_an_exception(
    code: str, args: Mapping[str, str], lang: str
) -> None:
    message, fix = explain(code, args, WEBCAST, translator(lang))

    assert "{" not in message or any("{" in value for value in args.values())
    assert isinstance(fix, str)


def test_braces_in_a_servers_words_are_only_braces() -> None:
    message, _ = explain("reply.unknown_code", {"number": "7", "said": "{detail} {0}"}, WEBCAST)

    assert message.endswith("{detail} {0}")


# ------------------------------------------------------------------ result rows


def test_an_applied_row_has_nothing_to_say() -> None:
    row = ended(Outcome(RowStatus.APPLIED, "1", {"said": "ok"}, attempts=1, at=1803859200.0))

    assert (row.code, row.message, row.fix, row.time) == ("1", "", "", "2027-03-01 00:00:00")


def test_every_error_of_an_invalid_row_is_told_with_its_column() -> None:
    wrong = issue("id.not_a_number", row=7, column="Activity ID *\n活动ID", value="x1")
    note = issue("read.cleaned", row=7, column="Web live", shown="１", read="1")
    clash = issue("rule.live_needs_recording", row=7)

    row = ended(Outcome(RowStatus.INVALID), note, wrong, clash)

    assert row.code == "id.not_a_number"
    assert row.message == (
        "[Activity ID] x1 is not an id. Web live is on while Cloud recording is off. "
        "Note on Web live: １ was read as 1."
    )
    assert row.fix.startswith("Ids are digits only, such as 25096094. Switch Cloud recording on")
    assert row.issues == (note, wrong, clash)
    assert (row.attempts, row.time) == (0, "")


def test_a_warning_is_told_as_one_and_not_as_the_reason() -> None:
    warning = issue("rule.live_needs_recording", row=7, column="Web live")
    warning = replace(warning, severity=Severity.WARNING)

    row = ended(Outcome(RowStatus.NOT_SENT, "plan.not_chosen", {"option": "--limit 1"}), warning)

    assert row.message.startswith("The row was left out by --limit 1. Warning: [Web live] ")


def test_an_applied_row_tells_how_its_cells_were_read_and_names_no_cell_to_colour() -> None:
    read = [
        issue("read.cleaned", row=7, column=f"c{n}", shown=chr(0xFF10 + n), read=str(n))
        for n in range(5)
    ]

    row = ended(Outcome(RowStatus.APPLIED, "1"), *read)

    assert row.message == (
        "Note on c0: ０ was read as 0. Note on c1: １ was read as 1. Note on c2: ２ was read as 2. "
        "And 2 more notes."
    )
    assert (row.code, row.fix) == ("1", "")


def test_a_refused_row_tells_the_reason_first_and_its_warnings_after() -> None:
    given, both = SettingNames(("liveState",)), SettingNames(("liveState", "openState"))
    warned = issue("rule.partial_group", row=7, given=given, keys=both)

    row = ended(Outcome(RowStatus.REJECTED, "122301037", {"said": ""}, attempts=2), warned)

    assert row.message.startswith("Recording and live streaming settings do not match.")
    assert "The row sets only Web live; ClassIn treats Web live, Web playback as one" in row.message


def test_an_applied_row_with_a_quota_warning_says_so() -> None:
    assert "over quota" in ended(Outcome(RowStatus.APPLIED, "121601002")).message


def test_a_row_that_was_not_sent_says_why() -> None:
    row = ended(Outcome(RowStatus.NOT_SENT, "run.interrupted"))

    assert row.message == PROBLEMS["run.interrupted"].message
    assert row.fix == PROBLEMS["run.interrupted"].fix


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("Web live", "Web live"),
        (" a  b *\n乙", "a b"),
        ("a *\r\n乙", "a"),
        ("\n活动ID", ""),
        ("a *b", "ab"),
    ],
)
def test_a_column_is_called_by_the_first_line_of_its_header(header: str, name: str) -> None:
    assert short_header(header) == name


# ------------------------------------------------------------------ JSON Schema


def accepts(body: Mapping[str, object]) -> bool:
    return bool(jsonschema.Draft202012Validator(json_schema(WEBCAST)).is_valid(body))


@pytest.mark.parametrize(
    "body",
    [
        {"activityId": 1, "recordState": 1},
        {"classId": 2**63 - 1, "watchPassword": ""},
        {"activityId": 1, "classId": 2, "courseId": 3, "liveAndPlaybackStudentUids": []},
        {"activityId": 1, "liveState": 1, "recordState": 1, "recordType": 2},
    ],
)
def test_the_schema_accepts_what_the_page_allows(body: Mapping[str, object]) -> None:
    assert accepts(body)


@pytest.mark.parametrize(
    "body",
    [
        {"recordState": 1},
        {"activityId": 1},
        {"activityId": 1, "courseId": 3},
        {"activityId": 0, "recordState": 1},
        {"activityId": 2**63, "recordState": 1},
        {"activityId": "1", "recordState": 1},
        {"activityId": 1, "recordState": 2},
        {"activityId": 1, "recordType": 3},
        {"activityId": 1, "startTime": 1803859200},
        {"activityId": 1, "liveAndPlaybackStudentUids": [7, 7]},
        {"activityId": 1, "liveState": 1, "recordState": 0},
        {"activityId": 1, "useCoMainRecord": 1, "openState": 1},
    ],
)
def test_the_schema_refuses_what_the_sheet_refuses(body: Mapping[str, object]) -> None:
    assert not accepts(body)


def test_the_schema_names_all_parameters_and_what_the_vendor_left_open() -> None:
    described = json_schema(WEBCAST)["properties"]

    assert list(described) == [s.key for s in WEBCAST.parameters]
    assert described["watchPassword"]["writeOnly"] is True
    open_questions = {key for key, said in described.items() if "x-vendor-undefined" in said}
    assert open_questions == {s.key for s in WEBCAST.parameters if s.vendor_undefined}


# ------------------------------------------------------------------ tables


def test_every_table_is_rectangular_and_names_everything_once() -> None:
    for table, names in (
        (settings_table(WEBCAST), [f"`{s.key}`" for s in WEBCAST.columns]),
        (codes_table(WEBCAST), [f"`{r.code}`" for r in WEBCAST.replies]),
        (problems_table(), [f"`{code}`" for code in PROBLEMS]),
    ):
        lines = table.splitlines()
        bars = {line.replace("\\|", "").count("|") for line in lines}
        firsts = [line.split("|")[1].strip().partition("<br>")[0] for line in lines[2:]]
        assert len(bars) == 1
        assert sorted(firsts) == sorted(names)


def test_codes_of_the_endpoints_own_page_come_first() -> None:
    listed = [line.endswith("this endpoint |") for line in codes_table(WEBCAST).splitlines()[2:]]

    assert listed == sorted(listed, reverse=True)
    assert any(listed)


# ------------------------------------------------------------------ the template's columns


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_every_template_header_and_word_is_read_back(lang: str) -> None:
    for column in template_columns(WEBCAST, lang):
        setting = WEBCAST.column_for(column.header)
        assert setting is not None
        assert setting.key == column.key
        if isinstance(setting.kind, ChoiceKind):
            values = [setting.kind.by_word[fold(word)] for word in column.words]
            assert values == [choice.value for choice in setting.kind.choices]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_template_keeps_excels_limits(lang: str) -> None:
    for column in template_columns(WEBCAST, lang):
        assert 0 < len(column.prompt) <= 255
        assert column.key in column.note
        assert bool(column.words) == bool(column.list_name)
        assert not column.list_name or column.list_name.isidentifier()


def test_what_must_stay_a_text_is_formatted_as_one() -> None:
    texts = {c.key for c in template_columns(WEBCAST, "en") if c.number_format == "@"}

    assert texts >= {"activityId", "classId", "courseId", "watchPassword"}
    assert "recordState" not in texts


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_choice_may_be_copied_as_instructions_and_messages_list_it(lang: str) -> None:
    for setting in WEBCAST.settings:
        if isinstance(setting.kind, ChoiceKind):
            listed = re.split(", |，", allowed_values(setting.kind, lang))
            told = [f"{c.value} ({c.label.both})" for c in setting.kind.choices]
            values = [choice.value for choice in setting.kind.choices]
            assert [setting.kind.by_word[fold(word)] for word in listed] == values
            assert [setting.kind.by_word[fold(word)] for word in told] == values


def test_only_targets_are_starred() -> None:
    for column in template_columns(WEBCAST, "zh"):
        assert (" *" in column.header) == (column.role is Role.TARGET)


def test_a_row_that_is_too_late_says_what_locked_and_when_in_the_sheets_own_time() -> None:
    args: dict[str, Argument] = {
        "settings": SettingNames(("liveState",)),
        "locked_at": Moment(1803859200),
    }
    outcome = Outcome(RowStatus.TOO_LATE, "plan.too_late", args)

    row = result_row(7, outcome, (), endpoint=WEBCAST, run="r1", tz=timezone(timedelta(hours=8)))

    assert row.message == (
        "liveState cannot be changed after 2027-03-01 08:00, 20 minutes before class."
    )


def test_every_problem_is_used_somewhere() -> None:
    package = Path(bulkcast.__file__).parent
    code = "".join(
        path.read_text("utf-8") for path in package.rglob("*.py") if path.name != "problems.py"
    )

    assert [name for name in PROBLEMS if f'"{name}"' not in code and f"'{name}'" not in code] == []
