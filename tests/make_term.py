"""Writes `samples/term`: a school's spring term as its office would upload it, and its world.

    python -m tests.make_term

About 500 classrooms, one a row.  A dozen rows are wrong in the ways sheets are wrong, and in
`world.json` a dozen and a half meet faults and refusals.  Names and ids are made up.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final

import xlsxwriter

from bulkcast.endpoints import WEBCAST
from bulkcast.sandbox import SANDBOX_SID

HERE: Final = Path(__file__).resolve().parents[1] / "samples" / "term"

Cell = str | int | datetime | None
Row = dict[str, Cell]

FIRST_DAY: Final = date(2027, 3, 1)
WEEKS: Final = 15
HOLIDAYS: Final = frozenset(
    [date(2027, 4, 5), *(date(2027, 5, day) for day in range(1, 6))]  # 清明节, 劳动节
)
LOCAL: Final = {"班级名称": 20, "课堂名称": 24, "老师": 9}
"""The office's own columns and their widths; bulkcast keeps and ignores them."""

WIDTHS: Final[Mapping[str, int]] = {
    "startTime": 17, "courseId": 11, "activityId": 12, "liveAndPlaybackStudentUids": 24,
    "webcastIntroduce": 40, "customColumn": 14, "watchPassword": 13,
}  # fmt: skip
COLUMNS: Final = ("startTime", "courseId", "activityId", *(c.key for c in WEBCAST.settings))

PUBLIC: Final[Mapping[str, Cell]] = {
    "recordState": "开", "recordType": "教室", "liveState": "开", "openState": "开",
    "watchByLogin": "关", "allowUnloggedChat": "开",
}  # fmt: skip
REGULAR: Final[Mapping[str, Cell]] = {
    "recordState": "开", "recordType": "教室", "liveState": "关", "openState": "开",
    "watchByLogin": "开",
}  # fmt: skip
PASSWORD: Final[Mapping[str, Cell]] = {
    "recordState": "是", "recordType": "两个都录", "liveState": "是", "openState": "是",
    "watchPassword": "0301", "allowUnloggedChat": "否",
}  # fmt: skip
CHOSEN: Final[Mapping[str, Cell]] = {
    "recordState": "开", "recordType": "教室", "liveState": "开", "openState": "关",
    "watchByLogin": "开", "liveAndPlaybackUserState": "1",
    "liveAndPlaybackStudentUids": "1001001，1001002，1001017",
}  # fmt: skip
WORDS_ONLY: Final[Mapping[str, Cell]] = {"allowUnloggedChat": "关"}


@dataclass(frozen=True)
class Group:
    """A class group and its weekly lessons."""

    name: str
    course: int
    teacher: str
    subject: str
    days: tuple[int, int, int]
    at: time
    settings: Mapping[str, Cell]


MON_WED_FRI: Final = (0, 2, 4)
TUE_THU_SAT: Final = (1, 3, 5)
GROUPS: Final = (
    Group("高一（1）班 数学", 41419301, "王芳", "数学", MON_WED_FRI, time(8, 0), REGULAR),
    Group("高一（2）班 数学", 41419302, "李娜", "数学", TUE_THU_SAT, time(8, 0), REGULAR),
    Group("高一（1）班 语文", 41419311, "张伟", "语文", MON_WED_FRI, time(9, 50), PUBLIC),
    Group("高一（2）班 英语", 41419322, "Anna Keller", "英语", TUE_THU_SAT, time(9, 50), PUBLIC),
    Group("高二（1）班 物理", 41420131, "刘洋", "物理", MON_WED_FRI, time(14, 0), PASSWORD),
    Group("高二（3）班 化学", 41420143, "陈静", "化学", TUE_THU_SAT, time(14, 0), REGULAR),
    Group("高二（3）班 生物", 41420153, "杨磊", "生物", MON_WED_FRI, time(15, 40), CHOSEN),
    Group("高三（1）班 数学冲刺", 41421301, "黄敏", "数学", TUE_THU_SAT, time(15, 40), PASSWORD),
    Group("高三（1）班 英语冲刺", 41421321, "周强", "英语", MON_WED_FRI, time(18, 30), PUBLIC),
    Group("高三（2）班 语文冲刺", 41421312, "吴丽", "语文", TUE_THU_SAT, time(18, 30), WORDS_ONLY),
    Group("竞赛班 信息学", 41430071, "徐杰", "信息学", MON_WED_FRI, time(20, 0), CHOSEN),
    Group("国际部 Economics", 41430101, "M. Okafor", "Economics", TUE_THU_SAT, time(20, 0), PUBLIC),
)


def lessons() -> Iterator[Row]:
    """The term's lessons in order of their start, all of them right."""
    days = (FIRST_DAY + timedelta(days=n) for n in range(7 * WEEKS))
    taught = [
        (datetime.combine(day, group.at), group)
        for day in days
        for group in GROUPS
        if day.weekday() in group.days and day not in HOLIDAYS
    ]
    held: Counter[str] = Counter()
    for number, (starts, group) in enumerate(sorted(taught, key=lambda lesson: lesson[0])):
        held[group.name] += 1
        yield lesson(group, starts, number, held[group.name])


def lesson(group: Group, starts: datetime, number: int, nth: int) -> Row:
    """The `nth` lesson of `group`, the term's lesson `number`."""
    row: Row = {
        "班级名称": group.name,
        "课堂名称": f"{group.subject} 第{nth}讲",
        "老师": group.teacher,
        "startTime": starts,
        "courseId": str(group.course),
        "activityId": str(25096001 + 7 * number + number * number % 5),
        **group.settings,
    }
    if group.settings in (PUBLIC, WORDS_ONLY):
        row["webcastIntroduce"] = (
            f"{group.teacher}老师 · {group.subject}第{nth}讲，欢迎收看直播与回放"
        )
    if nth % 3 == 1:
        row["customColumn"] = f"2027S-{number:04d}"
    return row


WRONG: Final[Mapping[int, Mapping[str, Cell]]] = {
    17: {"activityId": "2.51E+07"},
    46: {"liveState": "开", "recordState": "关", "recordType": None, "openState": "关"},
    73: {"recordState": "也许"},
    102: {"watchPassword": 20270301},  # a number cell: in the CSV it is a text, and right
    133: {"activityId": None},
    161: {"startTime": "下周三"},
    190: dict.fromkeys(c.key for c in WEBCAST.settings),
    217: {"activityId": "待定"},
    246: {"liveAndPlaybackStudentUids": "1001001, 小明"},
    271: {"useCoMainRecord": "是", "recordState": "开"},
    306: {"recordType": "3"},
    338: {"recordState": "关", "liveState": "关", "openState": "开"},
    369: {"watchByLogin": "清空"},
}
"""Lesson → what its cells hold in place of the right thing."""

TWICE: Final = (392, 398)
"""Two lessons with one id, which want different things of it."""

OMO: Final = (411, 424, 437)
"""Lessons that ask for something the institution of the world lacks."""

FACTS: Final[Mapping[int, Mapping[str, Any]]] = {
    24: {"faults": ["code:104"]},
    58: {"faults": ["http:503", "http:503"]},
    91: {"faults": ["reset"]},
    118: {"faults": ["reset:applied"]},
    149: {"faults": ["truncated:applied"]},
    176: {"faults": ["hang:1:applied"]},
    203: {"faults": ["html"]},
    231: {"faults": ["code:121601002"]},
    258: {"starts_in": 900},  # somebody has moved the class: it begins in a quarter of an hour
    287: {"starts_in": -7200},
    319: {"deleted": True},
    346: {"foreign": True},
    377: {"faults": ["close:applied", "code:104:applied"]},
    # Unanswered, then locked: nobody can tell whether it was applied.  A row that fails for ever
    # would end the same way, but only after passes that lie half a minute apart.
    402: {"faults": ["reset", "code:350*"]},
    480: {"faults": ["http:429:retry_after=1"]},
}
"""Lesson → what is true of it, or goes wrong with it, in the world."""


def rows() -> list[Row]:
    """The sheet's rows, wrong ones and all."""
    made = list(lessons())
    for number, wrong in WRONG.items():
        made[number].update(wrong)
    first, second = TWICE
    made[second].update({"activityId": made[first]["activityId"], "watchByLogin": "关"})
    made[first]["watchByLogin"] = "开"
    for number in OMO:
        made[number]["omoStationBroadcast"] = "开"
    return made


def headers() -> list[str]:
    """The header row: the office's own titles, then the endpoint's in both languages."""
    return [*LOCAL, *(WEBCAST.by_key[key].label.both for key in COLUMNS)]


def cells(row: Row) -> list[Cell]:
    """A row's cells in the order of the columns."""
    return [row.get(key) for key in (*LOCAL, *COLUMNS)]


# ------------------------------------------------------------------ the files


def csv_text() -> str:
    """The sheet as CSV; in UTF-8 with a byte order mark Excel opens it right."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(headers())
    writer.writerows([_as_text(cell) for cell in cells(row)] for row in rows())
    return out.getvalue()


def _as_text(cell: Cell) -> str:
    if isinstance(cell, datetime):
        return f"{cell:%Y-%m-%d %H:%M}"
    return "" if cell is None else str(cell)


def workbook() -> bytes:
    """The sheet as a workbook: real dates, ids and passwords as text, a frozen header."""
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as book:
        book.set_properties(
            {"title": "2027 春季学期课表", "created": datetime(2027, 2, 22, tzinfo=UTC)}
        )
        sheet = book.add_worksheet("2027春季")
        _dress(book, sheet)
        styles = {
            datetime: book.add_format({"num_format": "yyyy-mm-dd hh:mm", "align": "left"}),
            str: book.add_format({"num_format": "@"}),
            int: book.add_format({"num_format": "0"}),
        }
        for number, row in enumerate(rows(), start=1):
            _write(sheet, number, cells(row), styles)
    return out.getvalue()


def _dress(book: Any, sheet: Any) -> None:
    own = book.add_format({"bold": True, "bg_color": "#D9E1F2", "border": 1, "valign": "vcenter"})
    target = book.add_format(
        {"bold": True, "bg_color": "#1F4E78", "font_color": "white", "border": 1,
         "text_wrap": True, "valign": "vcenter"}
    )  # fmt: skip
    for column, title in enumerate(headers()):
        wide = [*LOCAL.values(), *(WIDTHS.get(key, 11) for key in COLUMNS)][column]
        sheet.set_column(column, column, wide)
        ours = column < len(LOCAL)
        sheet.write_string(0, column, title, own if ours else target)
    sheet.set_row(0, 48)
    sheet.freeze_panes(1, len(LOCAL))
    sheet.autofilter(0, 0, len(rows()), len(headers()) - 1)
    sheet.set_landscape()
    sheet.repeat_rows(0)


def _write(sheet: Any, number: int, values: Sequence[Cell], styles: Mapping[type, Any]) -> None:
    for column, value in enumerate(values):
        match value:
            case None:
                continue
            case datetime():
                sheet.write_datetime(number, column, value, styles[datetime])
            case str():
                sheet.write_string(number, column, value, styles[str])
            case int():
                sheet.write_number(number, column, value, styles[int])


def world_text() -> str:
    """The world in which the sample is tried out; nothing in it waits longer than a second."""
    right = list(lessons())
    rooms = [
        {"activityId": int(str(right[number]["activityId"])), **facts}
        for number, facts in FACTS.items()
    ]
    lines = ",\n".join(f"  {json.dumps(room)}" for room in rooms)
    lacks = json.dumps(["omoStationBroadcast"])
    return (
        f'{{\n "sid": "{SANDBOX_SID}",\n "lacks": {lacks},\n "limit": null,\n'
        f' "latency": 0.02,\n "classrooms": [\n{lines}\n ]\n}}\n'
    )


def files() -> dict[str, bytes]:
    """Every file of the sample, by name."""
    return {
        "term.csv": csv_text().encode("utf-8-sig"),
        "term.xlsx": workbook(),
        "world.json": world_text().encode(),
    }


def main() -> None:
    """Write the sample anew."""
    HERE.mkdir(parents=True, exist_ok=True)
    for name, content in files().items():
        (HERE / name).write_bytes(content)


if __name__ == "__main__":
    main()
