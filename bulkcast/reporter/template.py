"""Writes the workbook to fill in, also with the rows of an old sheet."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

import xlsxwriter

from bulkcast.catalogue import (
    CLEAR_WORDS,
    ChoiceKind,
    Endpoint,
    IdKind,
    IdListKind,
    IntegerKind,
    Kind,
    Label,
    Lock,
    MomentKind,
    Role,
    Setting,
    TextKind,
    is_result_column,
)
from bulkcast.errors import CannotStart
from bulkcast.explanations import LOCKS, allowed_values, blank_meaning
from bulkcast.i18n import marked, text_width
from bulkcast.model import ROWS_MAX, Cell, FlaggedCell, Sheet, Text, column_letters
from bulkcast.reporter.files import Existing, Written, replacing
from bulkcast.reporter.result_columns import writable


@dataclass(frozen=True, slots=True)
class TemplateColumn:
    """One column of the workbook to fill in."""

    key: str
    header: str
    """Both languages, the reader's first."""
    width: int
    """In characters, as spreadsheets count column widths."""
    note: str
    """Text of the header's note."""
    prompt: str
    """Prompt shown at a selected cell, at most 255 characters."""
    words: tuple[str, ...] = ()
    """The drop-down's words; empty if any value may be typed."""
    list_name: str = ""
    """The defined name of the drop-down's list; equal lists share one."""
    number_format: str = "General"
    """`@` is text."""
    role: Role = Role.SETTING


def template_columns(endpoint: Endpoint, lang: str) -> tuple[TemplateColumn, ...]:
    """The template's columns, in the table's order."""
    return tuple(_template_column(s, lang) for s in _columns(endpoint))


def _columns(endpoint: Endpoint) -> tuple[Setting, ...]:
    """The columns to fill in: most sheets are for one institution, so it has no column."""
    return tuple(c for c in endpoint.columns if c.role is not Role.INSTITUTION)


def _template_column(s: Setting, lang: str) -> TemplateColumn:
    mark = " *" if s.role is Role.TARGET else ""
    choices = s.kind.choices if isinstance(s.kind, ChoiceKind) else ()
    words = tuple(c.label.pair(lang) for c in choices)
    longest = max(len(s.label.en) + len(mark), 2 * len(s.label.zh), *map(text_width, words), 0)
    first, second = s.label.ordered(lang)
    return TemplateColumn(
        key=s.key,
        header=f"{first}{mark}\n{second}",
        width=max(min(longest + 3, 22), _WIDTHS.get(type(s.kind), 12)),
        note=_note(s, lang),
        prompt=blank_meaning(s, lang),
        words=words,
        list_name="List_" + "_".join(re.sub(r"\W", "", c.label.en) for c in choices) if words
        else "",
        number_format=_FORMATS.get(type(s.kind), "General"),
        role=s.role,
    )  # fmt: skip


_WIDTHS: Final[Mapping[type[Kind], int]] = {
    IdKind: 16,
    TextKind: 24,
    IdListKind: 30,
    MomentKind: 18,
}
_FORMATS: Final[Mapping[type[Kind], str]] = {
    IdKind: "@", TextKind: "@", IdListKind: "@", MomentKind: "yyyy-mm-dd hh:mm",
}  # fmt: skip


def _note(s: Setting, lang: str) -> str:
    values = Label("Values", "取值").say(lang)
    lock = Label(f"Locks {LOCKS[s.lock].en}.", "开课前 20 分钟起锁定。").say(lang)
    lines = [s.help.say(lang), f"{values}: {allowed_values(s.kind, lang)}"]
    return "\n".join([*lines, *([lock] if s.lock is not Lock.NEVER else []), s.key])


_TYPED_AS_TEXT: Final = (IdKind, IdListKind, ChoiceKind, IntegerKind)
"""Kinds whose integers can be written as text without hiding a problem."""

Value = str | int | float | bool | datetime


@dataclass(frozen=True, slots=True)
class Carried:
    """Headers and rows that a template takes over from a sheet."""

    own_headers: tuple[str, ...] = ()
    """Headers of columns that name no setting; they follow the template's own."""
    rows: tuple[tuple[Value | None, ...], ...] = ()
    """A value for each column of the template, then for each of `own_headers`."""
    remarks: tuple[Text, ...] = ()


def carry(sheet: Sheet, endpoint: Endpoint) -> Carried:
    """The rows of `sheet` under the columns of `endpoint`; columns of results are left out."""
    place = _places(sheet.headers, endpoint)
    rest = [i for i in _others(sheet) if i not in place.values()]
    kinds: list[tuple[int | None, Kind | None]] = [
        *((place.get(column.key), column.kind) for column in _columns(endpoint)),
        *((index, None) for index in rest),
    ]
    rows = tuple(
        tuple(None if index is None else value(row.cells[index], kind) for index, kind in kinds)
        for row in sheet.rows
    )
    names = tuple(writable(sheet.headers[index]) for index in rest)
    return Carried(names, rows, _loss_remarks([row.number for row in sheet.rows if row.extra]))


def _loss_remarks(beyond: Sequence[int]) -> tuple[Text, ...]:
    """The remark about rows with cells beyond the last header."""
    if not beyond:
        return ()
    one = marked("Cells beyond the last header are left out in row {row}.")
    many = marked(
        "Cells beyond the last header are left out, first in row {row}; {n} rows have such."
    )
    words = {"row": str(beyond[0]), "n": str(len(beyond))}
    return (Text(one if len(beyond) == 1 else many, words),)


def _places(headers: Sequence[str], endpoint: Endpoint) -> dict[str, int]:
    """Key → the first column that names it; a second one becomes a column of the user's own."""
    places: dict[str, int] = {}
    for index, header in enumerate(headers):
        column = endpoint.column_for(header)
        if column is not None and column.role is not Role.INSTITUTION:
            places.setdefault(column.key, index)
    return places


def _others(sheet: Sheet) -> Iterator[int]:
    """The user's columns; those without a header only if they have values."""
    for index, header in enumerate(sheet.headers):
        filled = header.strip() or any(row.cells[index] not in (None, "") for row in sheet.rows)
        if filled and not is_result_column(header):
            yield index


def value(cell: Cell, kind: Kind | None) -> Value | None:
    """The value to write for a cell in a column of `kind`, or in a user's column for None.

    >>> from bulkcast.catalogue import TextKind
    >>> value(25096094, IdKind()), value(1.2345678901234568e17, IdKind()), value(123, TextKind())
    ('25096094', 1.2345678901234568e+17, 123)
    """
    if isinstance(cell, FlaggedCell):
        # A number too wide for its column is stored completely; else the shown text counts.
        return value(cell.value if cell.code == "id.display_shortened" else cell.shown, kind)
    if isinstance(cell, str):
        return writable(cell) or None
    is_whole = isinstance(cell, int) and not isinstance(cell, bool)
    return str(cell) if is_whole and isinstance(kind, _TYPED_AS_TEXT) else cell


SCHEMA_VERSION: Final = "1"
"""Version of the template's structure; increased when readers must distinguish it."""

_CREATED: Final = datetime(2026, 11, 23, tzinfo=UTC).replace(tzinfo=None)
"""Fixed, so that the same table gives the same file."""

_ROWS: Final = 20_001
"""Last row of filter and colours, unless more rows are taken over; a term has fewer."""

_OWN_WIDTH: Final = 20
"""Width of a user's column, in characters."""

_COMPARED_ROWS: Final = 2_001
"""The last row whose ids are compared with each other; the comparison is quadratic."""

_READ_ME, _CLASSES, _LISTS, _KEYS = "Read me 说明", "Classes 课堂", "Lists", "_bulkcast"
_DARK, _MID, _GREY, _RULE = "#1F3864", "#2F5597", "#7F7F7F", "#BFBFBF"
_FILL: Final = {
    Role.TARGET: _DARK, Role.CONTEXT: _GREY, Role.SCHEDULE: _GREY, Role.SETTING: _MID,
}  # fmt: skip


def write_template(
    target: Path,
    endpoint: Endpoint,
    lang: Literal["en", "zh"],
    *,
    existing: Existing = "refuse",
    filled_from: Sheet | None = None,
) -> Written:
    """Write the workbook to fill in to `target`; notes and instructions are in `lang`.

    It contains the rows of `filled_from`, each value under its column.

    Raises:
        CannotStart: `target` exists and may not be replaced, cannot be written, or is no .xlsx.

    """
    if target.suffix.lower() != ".xlsx":
        raise CannotStart(
            "The template is a workbook, so {name} must end in .xlsx", name=target.name
        )
    carried = Carried() if filled_from is None else carry(filled_from, endpoint)
    options = {"nan_inf_to_errors": False, "default_date_format": "yyyy-mm-dd hh:mm"}
    with replacing(target, existing) as draft, xlsxwriter.Workbook(draft.path, options) as book:
        columns = template_columns(endpoint, lang)
        book.set_properties({"title": "bulkcast", "created": _CREATED, "author": "bulkcast"})
        book.set_custom_property("bulkcast.schema", SCHEMA_VERSION)
        read_me = book.add_worksheet(_READ_ME)
        classes = book.add_worksheet(_CLASSES)
        lists = book.add_worksheet(_LISTS)
        keys = book.add_worksheet(_KEYS)
        _write_read_me(book, read_me, columns, endpoint, lang)
        _write_lists(book, lists, columns)
        _write_keys(keys, columns)
        _write_classes(book, classes, columns, carried)
        classes.activate()
        draft.remarks.extend(carried.remarks)
    return draft.result


# ------------------------------------------------------------------ the sheet to fill in


def _write_classes(
    book: Any, tab: Any, columns: Sequence[TemplateColumn], carried: Carried
) -> None:
    last_row = max(_ROWS, len(carried.rows) + 1)
    width = len(columns) + len(carried.own_headers)
    tab.set_row(0, 50)
    for index, column in enumerate(columns):
        _write_column(book, tab, index, column)
    for index, header in enumerate(carried.own_headers, start=len(columns)):
        tab.set_column(index, index, _OWN_WIDTH)
        tab.write_string(0, index, header, _header_format(book, Role.CONTEXT))
    for row, values in enumerate(carried.rows, start=1):
        _write_row(tab, row, values)
    last = column_letters(len(columns) - 1)
    ids = [column_letters(i) for i, c in enumerate(columns) if c.role is Role.TARGET]
    _mark_ids(book, tab, ids, last, last_row)
    tab.ignore_errors({"number_stored_as_text": f"A1:{column_letters(width - 1)}{ROWS_MAX}"})
    tab.freeze_panes(1, len(ids))
    tab.autofilter(0, 0, last_row - 1, width - 1)
    tab.set_landscape()
    tab.set_paper(9)
    tab.fit_to_pages(2, 0)
    tab.repeat_rows(0)
    tab.repeat_columns(0, len(ids) - 1)
    tab.set_footer("&L&A&R&P / &N")
    tab.set_selection(1, 0, 1, 0)


def _write_row(tab: Any, row: int, values: Iterable[Value | None]) -> None:
    """Write each value by its type; a text that begins with = stays a text."""
    for index, value in enumerate(values):
        match value:
            case None:
                pass
            case bool():
                tab.write_boolean(row, index, value)
            case int() | float() if math.isfinite(value):
                tab.write_number(row, index, value)
            # A workbook's dates begin in 1900; earlier ones become texts.
            case datetime() if value.year >= 1900:
                tab.write_datetime(row, index, value)
            case _:
                tab.write_string(row, index, str(value))


def _write_column(book: Any, tab: Any, index: int, column: TemplateColumn) -> None:
    cells = {"num_format": column.number_format, "valign": "top"}
    if column.role in {Role.TARGET, Role.CONTEXT}:
        cells["font_name"] = "Consolas"
    tab.set_column(index, index, column.width, book.add_format(cells))
    tab.write_string(0, index, column.header, _header_format(book, column.role))
    tab.write_comment(0, index, column.note, {"x_scale": 2.2, "y_scale": 1.6, "author": "bulkcast"})
    rule: dict[str, Any] = {"validate": "any", "ignore_blank": True}
    if column.words:
        rule = {"validate": "list", "source": f"={column.list_name}"}
    title = column.header.partition("\n")[0][:32]
    tab.data_validation(1, index, ROWS_MAX - 1, index, rule | {
        "input_title": title, "input_message": column.prompt,
        "error_title": title, "error_message": " / ".join(column.words)[:255],
    })  # fmt: skip


def _header_format(book: Any, role: Role) -> Any:
    return book.add_format({
        "bold": True, "font_color": "white", "bg_color": _FILL[role], "text_wrap": True,
        "valign": "vcenter", "border": 1, "border_color": "white",
    })  # fmt: skip


def _mark_ids(book: Any, tab: Any, ids: Sequence[str], last: str, last_row: int) -> None:
    """Red for an invalid id or a row without a classroom, amber for a repeated id."""
    red = book.add_format({"bg_color": "#FFC7CE", "font_color": "#9C0006"})
    amber = book.add_format({"bg_color": "#FFEB9C", "font_color": "#7F6000"})
    blank = ",".join(f'${column}2=""' for column in ids)
    comment = 'LEFT($A2,1)="#"'
    row = f"$A2:${last}2"
    tab.conditional_format(f"{ids[0]}2:{ids[-1]}{last_row}", {
        "type": "formula", "format": red,
        "criteria": f"=AND({blank},COUNTA({row})>0)",
    })  # fmt: skip
    for c in ids:
        tab.conditional_format(f"{c}2:{c}{last_row}", {
            "type": "formula", "format": red,
            "criteria": f'=AND({c}2<>"",NOT({comment}),ISERROR(VALUE({c}2)))',
        })  # fmt: skip
        # SUMPRODUCT, not COUNTIF: COUNTIF compares digits as numbers, so long ids collide.
        cells = f"{c}$2:{c}${_COMPARED_ROWS}"
        tab.conditional_format(f"{c}2:{c}{_COMPARED_ROWS}", {
            "type": "formula", "format": amber,
            "criteria": f'=AND({c}2<>"",SUMPRODUCT(--({cells}={c}2))>1)',
        })  # fmt: skip


# ------------------------------------------------------------------ hidden worksheets


def _write_lists(book: Any, tab: Any, columns: Sequence[TemplateColumn]) -> None:
    """Write the drop-downs' words, one list per column, each with a defined name.

    Excel moves a direct reference to another sheet into an extension that other programs delete.
    """
    lists = {c.list_name: c.words for c in columns if c.words}
    for index, (name, words) in enumerate(lists.items()):
        tab.write_column(0, index, words)
        column = column_letters(index)
        book.define_name(name, f"={_LISTS}!${column}$1:${column}${len(words)}")
    tab.hide()


def _write_keys(tab: Any, columns: Sequence[TemplateColumn]) -> None:
    """Write the keys of the columns, so that a program can recognise the workbook later."""
    tab.write_row(0, 0, ("bulkcast.schema", SCHEMA_VERSION))
    tab.write_row(1, 0, ("key", "column", "header"))
    for index, column in enumerate(columns):
        tab.write_row(index + 2, 0, (column.key, column_letters(index), column.header))
    tab.very_hidden()


# ------------------------------------------------------------------ the instructions

_TITLE: Final = Label(
    "ClassIn webcast settings, one classroom a row", "ClassIn 网页直播设置：一行一个课堂"
)
_STEPS: Final = (
    Label(
        "Fill in the sheet “Classes 课堂”: one classroom a row, in any order.",
        "填写“Classes 课堂”工作表：一行一个课堂，顺序不限。",
    ),
    Label(
        "Each row needs one of the two columns marked * and at least one setting.",
        "每一行需要填写两个带 * 的列之一，以及至少一项设置。",
    ),
    Label(
        "A blank cell leaves the setting as it is. {clear} empties a text or the student list.",
        "留空表示不修改。填“{clear}”可清除文本或学生列表。",
    ),
    Label(
        "Columns may be moved, removed or added; columns of your own are kept and not sent.",
        "可以移动、删除或增加列；您自己的列会保留，不会发送。",
    ),
    Label(
        "A row whose first cell begins with # is a comment and is not sent.",
        "首个单元格以 # 开头的行是注释，不会发送。",
    ),
    Label(
        "Save, then check it: bulkcast validate FILE. Then apply it: bulkcast apply FILE.",
        "保存后先检查：bulkcast validate 文件；再应用：bulkcast apply 文件。",
    ),
)
_VERSION: Final = Label("Template version {n}", "模板版本 {n}")
_HEADS: Final = (
    Label("Column", "列"), Label("Allowed", "可填"), Label("What it does", "作用"),
)  # fmt: skip
_READ_ME_WIDTHS: Final = (34, 30, 84)


def _write_read_me(
    book: Any, tab: Any, columns: Sequence[TemplateColumn], endpoint: Endpoint, lang: str
) -> None:
    """Write the instructions; row heights are set, since LibreOffice does not adjust them."""
    title = book.add_format({"bold": True, "font_size": 16, "font_color": _DARK})
    plain = book.add_format({"text_wrap": True, "valign": "vcenter"})
    for index, width in enumerate(_READ_ME_WIDTHS):
        tab.set_column(index, index, width)
    tab.set_row(0, 28)
    tab.write_string(0, 0, _TITLE.say(lang), title)
    small = book.add_format({"font_color": _GREY, "align": "right", "valign": "top"})
    tab.write_string(0, 2, _VERSION.say(lang).format(n=SCHEMA_VERSION), small)
    for number, step in enumerate(_STEPS, start=1):
        text = f"{number}.  {step.say(lang).format(clear=CLEAR_WORDS[lang == 'zh'])}"
        tab.set_row(number, 18)
        tab.merge_range(number, 0, number, 2, text, plain)
    glossary = zip(columns, _columns(endpoint), strict=True)
    _write_glossary(book, tab, glossary, lang, len(_STEPS) + 2)
    tab.hide_gridlines(2)
    tab.set_paper(9)
    tab.set_landscape()
    tab.set_margins(left=0.5, right=0.5, top=0.5, bottom=0.5)
    tab.fit_to_pages(1, 1)


def _write_glossary(
    book: Any, tab: Any, glossary: Iterable[tuple[TemplateColumn, Setting]], lang: str, top: int
) -> None:
    cell = book.add_format({
        "text_wrap": True, "valign": "vcenter", "bottom": 1, "bottom_color": _RULE,
    })  # fmt: skip
    head = _header_format(book, Role.TARGET)
    tab.set_row(top, 20)
    for index, label in enumerate(_HEADS):
        tab.write_string(top, index, label.say(lang), head)
    for number, (column, setting) in enumerate(glossary, start=top + 1):
        tab.set_row(number, 32)
        tab.write_string(number, 0, column.header, cell)
        tab.write_string(number, 1, allowed_values(setting.kind, lang), cell)
        tab.write_string(number, 2, setting.help.say(lang), cell)
