"""The small faulty sheets of `samples/`, each named by what is wrong with it.

`python -m tests.make_samples` writes them anew; `test_samples.py` says what must come of each.
"""

import unicodedata
from functools import cache
from pathlib import Path
from typing import Final

from tests.sample_books import books

SAMPLES: Final = Path(__file__).parent.parent / "samples"


_TONES: Final = frozenset("\u0300\u0301\u0303\u0309\u0323")


def vietnamese(text: str) -> bytes:
    """`text` in cp1258, which writes most letters and the marks for their tones apart."""
    return b"".join(_in_cp1258(c) for c in text)


def _in_cp1258(character: str) -> bytes:
    marks = unicodedata.normalize("NFD", character)
    tone = "".join(mark for mark in marks if mark in _TONES)
    letter = "".join(mark for mark in marks if mark not in _TONES)
    return (unicodedata.normalize("NFC", letter) + tone).encode("cp1258")


_FOUR = "recordState,recordType,liveState,openState"
_TEXTS: dict[str, str] = {
    "id-in-scientific-notation.csv": "activityId,recordState\n2.50961E+07,1\n1.2e8,1\n",
    "ids-dressed-up.csv": (
        "activityId,recordState\n"
        '１２３,1\n120034567.0,1\n"120,034,568",1\n\'120034569,1\n\u00a0120034570\u200b,1\n'
        '"=""120034571""",1\nID:120034572,1\n00120034573,1\n'
    ),
    "two-columns-for-one-setting.csv": "activityId,recordState,云端录课\n25096094,1,0\n",
    "near-miss-header.csv": "activityId,recrodState\n25096094,1\n",
    "ambiguous-class-id.csv": "Class ID,recordState\n1152680,1\n",
    "no-header.csv": "25096094,1\n25096095,0\n",
    "no-classroom-column.csv": "teacher,recordState\nLi,1\n",
    "no-setting-column.csv": "activityId,teacher\n25096094,Li\n",
    "semicolons.csv": "activityId;recordState\n25096094;1\n",
    "unclosed-quote.csv": 'activityId,customColumn\n1,a\n2,"b\n3,c\n4,d\n',
    "quote-in-the-middle.csv": 'activityId,customColumn\n1,"a"b\n',
    "unquoted-comma.csv": "activityId,customColumn\n25096094,a,b\n",
    "duplicate-classrooms.csv": (
        "activityId,classId,recordState\n25096094,,1\n25096094,,0\n25096095,,1\n25096095,,1\n"
        "25096096,1152680,1\n,1152680,0\n"
    ),
    "live-without-recording.csv": (
        f"activityId,{_FOUR},useCoMainRecord\n1,0,0,1,0,\n2,0,0,0,1,\n3,0,1,0,0,\n4,1,0,0,0,1\n"
        "5,1,,,,\n"
    ),
    "restricted-without-login.csv": (
        "activityId,watchByLogin,liveAndPlaybackUserState\n25096094,0,1\n25096095,1,1\n"
    ),
    "nothing-to-set.csv": "activityId,recordState\n25096094,\n25096095,1\n",
    "no-id-in-a-row.csv": "activityId,recordState\n25096094,1\n,1\n",
    "both-ids.csv": "activityId,classId,recordState\n25096094,1152680,1\n",
    "words-that-are-no-choice.csv": "activityId,recordState\n1,maybe\n2,2\n",
    "clear-a-switch.csv": "activityId,recordState,webcastIntroduce\n1,(clear),清空\n",
    "texts-too-long.csv": (
        f"activityId,webcastIntroduce,customColumn\n1,{'课' * 1001},{'x' * 51}\n2,{'课' * 341},\n"
    ),
    "invisible-characters-in-password.csv": "activityId,watchPassword\n1,ab\x07cd\n",
    "student-ids.csv": (
        'activityId,watchByLogin,学生UID\n1,1,"1001001，1001002；1001001"\n2,1,1001001 Li\n'
        "3,1,1.00E+06\n"
    ),
    "start-time-without-a-date.csv": "activityId,上课时间,recordState\n1,08:00,1\n2,3/1/2027,1\n",
    "error-words.csv": "activityId,recordState\n#N/A,1\n25096094,#REF!\n",
    "title-and-remarks.csv": (
        "Autumn term\n\n课堂ID,录课,teacher\n# an example,,\n1152680,开,Li\n\n1152681,关,Wang\n"
    ),
    "not-a-workbook.xlsx": "activityId,recordState\n25096094,1\n",
    # ------------------------------------------------------------ ids seen together
    "ids-rounded-by-a-spreadsheet.csv": "activityId,recordState\n"
    + "".join(f"1234567890{n:02}000000,1\n" for n in (17, 42, 55, 78)),
    "ids-counting-up.csv": "activityId,课节名称,recordState\n"
    + "".join(f"{25096094 + n},高一数学,1\n" for n in range(6)),
    "columns-swapped.csv": "courseId,classId,recordState\n"
    + "".join(f"{1152680 + 7 * n},{88001 + n // 6},1\n" for n in range(12)),
    "id-of-odd-length.csv": "activityId,recordState\n"
    + "".join(f"{25096094 + 7 * n},1\n" for n in range(30))
    + "2509609,1\n",
    "one-id-in-two-columns.csv": "courseId,classId,recordState\n88001,1152680,1\n88002,88002,1\n",
    "ids-shortened-to-one.csv": "activityId,recordState\n" + "1.23457E+11,1\n" * 3,
    "digits-of-other-scripts.csv": "activityId,recordState\n２５０９６０９４,１\n٢٥٠٩٦٠٩٥,1\n",
    "half-an-id.csv": 'activityId,recordState\n25096094.5,1\n-25096095,1\n50%,1\nTRUE,1\n"1,5",1\n',
    # ------------------------------------------------------------ delimiters and lines
    "pipes.csv": "activityId|云端录课|直播介绍\n25096094|开|高中数学\n",
    "tabs.csv": "activityId\t云端录课\t直播介绍\n25096094\t开\t高中数学\n",
    "full-width-commas.csv": "课堂ID，云端录课，直播介绍\n1152680，开，高中数学\n",
    "sep-line.csv": "sep=;\r\nactivityId;云端录课;直播介绍\r\n25096094;开;高中数学\r\n",
    "line-breaks-in-cells.csv": 'activityId,直播介绍\n1,"第一行\n第二行"\n2,"a\r\nb"\n3,c\n',
    "old-mac-lines.csv": "activityId,recordState\r25096094,1\r25096099,0\r",
    "short-rows.csv": "activityId,recordState,customColumn\n25096094,1\n25096099\n",
    "header-in-row-3.csv": "春季学期,,\n,,\n课堂ID,云端录课,备注\n1152680,开,Li\n",
    "header-in-row-11.csv": "\n" * 10 + "activityId,recordState\n25096094,1\n",
    "invisible-characters.csv": (
        "\u200bactivityId\u00a0,record\u200dState\n\u202d25096094\u202c, 1\u3000\n"
    ),
    # ------------------------------------------------------------ other files by a sheet's name
    "web-page.xls": "<html><table><tr><td>activityId</td></tr></table></html>\n",
    "text-named-xls.xls": "activityId\trecordState\n25096094\t1\n",
    "document.csv": "%PDF-1.7\n",
}

_CHINESE: Final = "课堂ID,云端录课,直播介绍\n1152680,开,高中数学\n"
_TRADITIONAL: Final = (
    "課堂ID,雲端錄課,直播介紹\n1152680,開,高中數學，第一課\n1152687,關,高中英語，第二課\n"
)
_KOREAN: Final = (
    "classId,recordState,수업 이름\n1152680,on,고등학교 수학 첫 번째 수업\n1152687,off,영어 수업\n"
)
_JAPANESE: Final = (
    "classId,recordState,授業\n1152680,on,はじめての数学のじゅぎょう\n1152687,off,えいごのクラス\n"
)
_VIETNAMESE: Final = (
    "classId;recordState;Tên lớp\n1152680;on;Toán học lớp 10 buổi sáng\n"
    "1152687;off;Tiếng Anh và Tiếng Việt của học sinh\n"
)

_BYTES: dict[str, bytes] = {
    "gb18030.csv": _CHINESE.encode("gb18030"),
    "big5.csv": _TRADITIONAL.encode("big5"),
    "big5-under-plain-headers.csv": (
        "classId,recordState,webcastIntroduce\n1152680,1,課鐘\n".encode("big5")
    ),
    "gbk-under-plain-headers.csv": (
        "classId,recordState,webcastIntroduce\n1152680,1,数学一班\n".encode("gbk")
    ),
    "cp949.csv": _KOREAN.encode("cp949"),
    "shift-jis.csv": _JAPANESE.encode("shift_jis"),
    "cp1258.csv": vietnamese(_VIETNAMESE),
    "utf-16.tsv": _CHINESE.replace(",", "\t").encode("utf-16"),
    "utf-16-without-a-mark.csv": _CHINESE.encode("utf-16-le"),
    "utf-16-the-other-way-round.csv": _CHINESE.encode("utf-16-be"),
    "with-a-mark.csv": "activityId,直播介绍\n25096094,高中数学\n".encode("utf-8-sig"),
    "two-encodings.csv": "activityId,直播介绍\n25096094,高中数学\n".encode()
    + "25096099,高中英语\n".encode("gb18030"),
    "zero-bytes.csv": b"activityId,recordState\n25096094,\0\0\0\0\n",
    "empty.csv": b"",
    "empty.xlsx": b"",
}

KEPT: Final = frozenset(
    {
        "binary.xlsb", "old-kind.xls", "old-kind-damaged.xls", "old-kind-with-a-password.xls",
        "old-kind-renamed.xlsx", "open-document.ods", "open-document-with-a-password.ods",
        "table-from-b3.ods", "saved-by-libreoffice.xlsx", "with-a-password.xlsx",
    }
)  # fmt: skip
"""Samples that other programs wrote: not made here but kept as they are.

The .xls by xlwt 1.3.0, the .xlsb by pyxlsbwriter 0.1.0; open-document.ods and
saved-by-libreoffice.xlsx are old-kind-damaged.xls and old-kind.xls saved by LibreOffice 7.4, as are
old-kind.xls and its .ods with a password; table-from-b3.ods is a new
sheet of LibreOffice's; with-a-password.xlsx by msoffcrypto-tool 6.1.0 (-e).
"""


@cache
def files() -> dict[str, bytes]:
    """Name → bytes of every sample that is made here."""
    texts = {name: text.encode() for name, text in _TEXTS.items()}
    return {**books(), **texts, **_BYTES}


if __name__ == "__main__":
    for sample, content in files().items():
        (SAMPLES / sample).write_bytes(content)
