"""What a workbook's cell holds, from its type, its stored value and its number format."""

import re
from datetime import date, datetime, time
from typing import Final

from openpyxl.styles.numbers import is_timedelta_format
from openpyxl.utils.datetime import from_excel
from openpyxl.utils.escape import unescape

from bulkcast.loader import formats
from bulkcast.model import Cell, FlaggedCell

_EXACT_BELOW: Final = 2.0**53
_ZEROS_ONLY: Final = re.compile(r"0{2,}")
_SHOWN_WHOLE_BELOW: Final = 10**11
"""A cell in the General format shows a number of more digits as 1.23457E+11."""


def cell_of(value: object, data_type: str, number_format: str) -> Cell:
    """The cell in the model's words; `data_type` is the file's, of which only `e` matters here."""
    match value:
        case None | bool() | datetime():
            return value
        case str() if data_type == "e":
            return FlaggedCell("cell.formula_error", shown=value)
        case str():
            return unescape(value) if "_x" in value else value
        case int() | float():
            return _number(value, number_format)
        case date():
            return datetime.combine(value, time())
        case _:
            return FlaggedCell("cell.only_a_time", shown=str(value))


def number_of(number: float, number_format: str, epoch: datetime) -> Cell:
    """What a number in this format stands for, a date if that is what is shown."""
    if not formats.is_date(number_format):
        return cell_of(number, "n", number_format)
    is_span = is_timedelta_format(number_format)
    try:
        moment: object = from_excel(number, epoch, timedelta=is_span)
    except (OverflowError, ValueError):
        return FlaggedCell("cell.formula_error", shown="#VALUE!")
    return cell_of(moment, "d", number_format)


def _number(value: float, number_format: str) -> Cell:
    """A number, as an integer where the file's float is exactly one."""
    if isinstance(value, float):
        if not value.is_integer() or abs(value) >= _EXACT_BELOW:
            return value
        value = int(value)
    if _ZEROS_ONLY.fullmatch(number_format):
        return _zero_padded(value, len(number_format))
    if number_format == "General" and abs(value) >= _SHOWN_WHOLE_BELOW:
        return FlaggedCell("id.display_shortened", f"{value:.5E}", value, {"read": str(value)})
    return value


def _zero_padded(value: int, digits: int) -> Cell:
    shown = f"{value:0{digits}d}"
    if shown == str(value):
        return value
    return FlaggedCell("id.display_differs", shown, value, {"stored": str(value)})
