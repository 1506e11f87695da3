"""Reading points in time: date cells, ISO-like texts, Unix seconds."""

import re
from datetime import UTC, datetime, tzinfo
from typing import Final

from bulkcast.model import Cell
from bulkcast.validator.reading import Reader, Reading, are_digits, plain, refused

_MOMENT: Final = re.compile(
    r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})日?(?:[T\s]+(\d{1,2}):(\d{2})(?::(\d{2})(?:\.0+)?)?)?"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST: Final = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp())
_LATEST: Final = int(datetime(2200, 1, 1, tzinfo=UTC).timestamp())
"""No class begins outside these years; a number that says so is something else."""


def moment_reader(tz: tzinfo) -> Reader:
    """The reader of a point in time; one without an offset is meant in `tz`."""

    def read(cell: Cell) -> Reading:
        match cell:
            case bool():
                seconds = None
            case int() | float() if float(cell).is_integer():
                seconds = int(cell)
            case datetime():
                seconds = _unix(cell, tz)
            case str():
                seconds = _read_moment(plain(cell), tz)
            case _:
                seconds = None
        if seconds is None or not _EARLIEST <= seconds < _LATEST:
            return refused("time.not_a_time")
        return Reading(seconds)

    return read


def _read_moment(text: str, tz: tzinfo) -> int | None:
    if are_digits(text) and 9 <= len(text) <= 11:
        return int(text)
    parts = _MOMENT.fullmatch(text)
    try:
        if parts:
            numbers = [int(part) for part in parts.groups(default="0")]
            year, month, day, hour, minute, second = numbers
            return _unix(datetime(year, month, day, hour, minute, second, tzinfo=tz), tz)
        return _unix(datetime.fromisoformat(text), tz)
    except (ValueError, OverflowError):
        return None


def _unix(moment: datetime, tz: tzinfo) -> int | None:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=tz)
    try:
        return round((aware - _EPOCH).total_seconds())
    except OverflowError:
        return None
