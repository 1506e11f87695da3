"""Arguments of texts in JSON: everything comes back, and what earlier versions wrote is read."""

import json

import pytest

from bulkcast.arguments import Counts, Moment, Series, SettingNames
from bulkcast.i18n import dump_args, load_args
from bulkcast.languages import translator
from bulkcast.model import Argument, Target, Text

ARGUMENTS: list[Argument] = [
    "a text",
    7,
    0.5,
    Text("no connection: {detail}", {"detail": Text("connecting took too long")}),
    SettingNames(("recordState", "liveState"), either=True),
    SettingNames(("recordState",), by_label=True),
    Series(("5", "9"), more=3),
    Counts((("charts", 2), ("pictures", 1))),
    Moment(1803859200.5),
    Target("activityId", 25096001),
]


@pytest.mark.parametrize("argument", ARGUMENTS)
def test_an_argument_comes_back_as_it_was(argument: Argument) -> None:
    stored = json.dumps(dump_args({"what": argument}))

    found = load_args(json.loads(stored))["what"]

    assert found == argument
    assert type(found) is type(argument)
    hash(found)


def test_a_list_that_an_earlier_version_stored_is_shown_as_stored() -> None:
    args = load_args({"settings": "recordState, liveState", "locked_at": "1803859200"})

    shown = translator("zh").say(
        Text("{settings} cannot be changed after {locked_at}, 20 minutes before class.", args)
    )

    assert shown == "recordState, liveState 在 2027-03-01 00:00（开课前 20 分钟）之后不能修改。"


@pytest.mark.parametrize(
    ("argument", "english", "chinese"),
    [
        (SettingNames(("recordState", "liveState")), "录课, Web live", "录课、网页直播"),
        (SettingNames(("recordState", "liveState"), either=True), "录课 or Web live",
         "录课 或 网页直播"),
        (SettingNames(("recordState",), by_label=True), "Cloud recording", "云端录课"),
        (Series(("5", "9")), "5, 9", "5、9"),
        (Series(("5", "9"), more=1234), "5, 9 and 1,234 more", "5、9（另有 1,234 项）"),
        (Series(("activityId", "classId"), either=True), "activityId or classId",
         "activityId 或 classId"),
        (Counts((("charts", 2), ("pictures", 1))), "charts (2); pictures (1)",
         "图表 (2); 图片 (1)"),
        (Target("recordState", 7), "录课 7", "录课 7"),
        ("recordState, liveState", "recordState, liveState", "recordState, liveState"),
    ],
)  # fmt: skip
def test_each_language_shows_an_argument_by_its_type(
    argument: Argument, english: str, chinese: str
) -> None:
    for lang, shown in (("en", english), ("zh", chinese)):
        speaks = translator(lang).with_headers({"recordState": "录课"})
        assert speaks.tell("{what}", what=argument) == shown
