"""A cell as a text, for files that hold nothing but texts."""

import datetime as dt
import math
from typing import Final

from bulkcast.model import Cell, FlaggedCell

_EXACT_BELOW: Final = 2.0**53
_AS_STORED: Final = frozenset({"id.display_shortened", "cell.merged"})
"""Cells of which the file stores all, and shows less."""

_DIGITS: Final = 15
"""Of a number, as many as a spreadsheet program keeps (Microsoft, Excel specifications)."""


def shown(cell: Cell) -> str:
    """What a spreadsheet program would show in `cell`, were its column wide enough.

    A number that has lost digits is shown so that it still shows.

    >>> shown(True), shown(25096094), shown(0.5), shown(1234567890123456800.0)
    ('TRUE', '25096094', '0.5', '1.23457E+18')
    """
    if isinstance(cell, FlaggedCell):
        return shown(cell.value) if cell.code in _AS_STORED else cell.shown
    match cell:
        case None:
            return ""
        case bool():
            return str(cell).upper()
        case float():
            return _number(cell)
        case dt.datetime():
            return _moment(cell)
        case _:
            return str(cell)


def _number(number: float) -> str:
    if abs(number) >= _EXACT_BELOW and math.isfinite(number):
        return f"{number:.5E}"
    return f"{number:.{_DIGITS}g}"


def _moment(moment: dt.datetime) -> str:
    """A date without its midnight, a time without seconds that it does not have.

    >>> _moment(dt.datetime(2027, 3, 1)), _moment(dt.datetime(2027, 3, 1, 8, 29, 59, 999_999))
    ('2027-03-01', '2027-03-01 08:30')
    """
    if moment.microsecond and moment.year < dt.MAXYEAR:
        moment += dt.timedelta(seconds=0.5)
    moment = moment.replace(microsecond=0)
    if moment.time() == dt.time():
        return moment.date().isoformat()
    return moment.isoformat(" ", "seconds" if moment.second else "minutes")
