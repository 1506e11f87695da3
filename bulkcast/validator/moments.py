"""Reading points in time: date cells, ISO-like texts, Unix seconds."""

import re
from datetime import UTC, datetime, tzinfo
from typing import Final

from bulkcast.model import Cell
from bulkcast.validator.reading import Reader, Reading, are_digits, plain, refused

_HALF: Final = r"上午|下午|早上|晚上|[ap]\.?m\.?"
_TIME: Final = (
    rf"(?P<before>{_HALF})?\s*"
    r"(?P<hour>\d{1,2})(?::(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.0+)?)?"
    r"|(?P<mark>[时時点點])(?:(?P<part>\d{1,2})分|(?P<half>半))?)"
    rf"\s*(?P<after>{_HALF})?"
)
_MOMENT: Final = re.compile(
    r"(?P<year>\d{4})[-/.年](?P<month>\d{1,2})[-/.月](?P<day>\d{1,2})日?"
    r"(?:\s*(?:星期|周|週)(?P<weekday>[一二三四五六日天]))?"
    rf"(?:(?:[T\s]+|(?<=[日一二三四五六天])|(?=[上下]午|[早晚]上)){_TIME})?",
    re.IGNORECASE,
)
_ONLY_A_TIME: Final = re.compile(_TIME, re.IGNORECASE)
_WEEKDAYS: Final = "一二三四五六日"
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
        if seconds is None and isinstance(cell, str) and _ONLY_A_TIME.fullmatch(plain(cell)):
            return refused("cell.only_a_time")
        if seconds is None or not _EARLIEST <= seconds < _LATEST:
            return refused("time.not_a_time")
        return Reading(seconds)

    return read


def _read_moment(text: str, tz: tzinfo) -> int | None:
    if are_digits(text) and 9 <= len(text) <= 11:
        return int(text)
    try:
        if parts := _MOMENT.fullmatch(text):
            return _read_parts(parts.groupdict(), tz)
        return _unix(datetime.fromisoformat(text), tz)
    except (ValueError, OverflowError):
        return None


def _read_parts(parts: dict[str, str | None], tz: tzinfo) -> int | None:
    year, month, day, hour, minute, second = (
        int(parts[name] or "0") for name in ("year", "month", "day", "hour", "minute", "second")
    )
    hour_of_day = _hour(hour, parts["before"] or "", parts["after"] or "")
    # 3点半 is told by the half of the day that everybody knows, which a cell does not.
    is_open = (
        parts["mark"] in {"点", "點"} and hour <= 12 and not (parts["before"] or parts["after"])
    )
    if hour_of_day is None or is_open:
        return None
    minute += 30 if parts["half"] else int(parts["part"] or "0")
    moment = datetime(year, month, day, hour_of_day, minute, second, tzinfo=tz)
    named = (parts["weekday"] or "").replace("天", "日")
    if named and _WEEKDAYS[moment.weekday()] != named:
        return None
    return _unix(moment, tz)


def _hour(hour: int, before: str, after: str) -> int | None:
    """The hour of the day; None where the half of the day contradicts it, or leaves it open.

    12 AM is midnight, but 上午12点 is midnight to a spreadsheet and noon to most people.
    """
    half = (before or after).replace(".", "").casefold()
    if before and after:
        return None
    match half:
        case "":
            return hour
        case "上午" | "早上":
            return hour if hour < 12 else None
        case "am":
            return hour % 12 if hour <= 12 else None
        case "晚上":  # past midnight it is the evening of one day or of the next
            evening = hour + 12 if hour < 12 else hour
            return evening if 17 <= evening < 24 else None
        case _:
            return hour + 12 if hour < 12 else hour


def _unix(moment: datetime, tz: tzinfo) -> int | None:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=tz)
    try:
        return round((aware - _EPOCH).total_seconds())
    except OverflowError:
        return None
