"""Reading points in time: date cells, ISO-like texts, Unix seconds."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from typing import Final

from bulkcast.model import Cell
from bulkcast.validator.reading import (
    Finding,
    Reader,
    Reading,
    are_digits,
    cleaned,
    make_finding,
    plain,
    refused,
)

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
_OFFSET: Final = re.compile(r"(?:Z|[+-]\d{2}:?\d{2})\Z", re.IGNORECASE)
_DASHES: Final = re.compile(r"[-~‐‑‒–—―−～〜∼〰至到]+|\bto\b|\buntil\b", re.IGNORECASE)
_ISO_WITH_OFFSET: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:[.,]\d+)?\s*(?:Z|[+-]\d{2}:?\d{2})"
    r"|\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?\s*(?:Z|\+\d{2}:?\d{2})",
    re.IGNORECASE,
)
"""A time with an offset from UTC that cannot be a span: 08:00-09:30 behind a space is lessons."""
_ANY_ORDER: Final = re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-]\d{4}(?:\D.*)?")
_ONLY_A_TIME: Final = re.compile(_TIME, re.IGNORECASE)
_WEEKDAYS: Final = "一二三四五六日"
_DAY_S: Final = 86_400
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST: Final = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp())
_LATEST: Final = int(datetime(2200, 1, 1, tzinfo=UTC).timestamp())
"""No class begins outside these years; a number that says so is something else."""


def moment_reader(tz: tzinfo) -> Reader:
    """The reader of a point in time; one without an offset is meant in `tz`."""

    def read(cell: Cell) -> Reading:
        seconds = _seconds_of(cell, tz)
        if seconds is None and isinstance(cell, str):
            return _read_unusual(cell, tz)
        if seconds is None or not _EARLIEST <= seconds < _LATEST:
            return refused("time.not_a_time")
        return Reading(seconds, tuple(_doubts(cell, seconds, tz)))

    return read


def _seconds_of(cell: Cell, tz: tzinfo) -> int | None:
    match cell:
        case bool():
            return None
        case int() | float() if float(cell).is_integer():
            return int(cell)
        case datetime():
            return _unix(cell, tz)
        case str():
            return _read_moment(plain(cell), tz)
        case _:
            return None


def _read_unusual(cell: str, tz: tzinfo) -> Reading:
    """A text that is no point in time as it stands."""
    text = plain(cell)
    if span := _start_of_span(text, tz):
        start, seconds = span
        if _EARLIEST <= seconds < _LATEST:
            return Reading(seconds, (cleaned(cell, start), *_doubts(start, seconds, tz)))
    if _is_in_any_order(text):
        return refused("time.ambiguous")
    return refused("cell.only_a_time" if _ONLY_A_TIME.fullmatch(text) else "time.not_a_time")


def _doubts(cell: Cell, seconds: int, tz: tzinfo) -> Iterator[Finding]:
    """What is odd about a moment that can be read."""
    if not _has_time_of_day(cell):
        yield make_finding("time.without_a_time")
    if _is_absolute(cell):
        return
    here = datetime.fromtimestamp(seconds, tz)
    if here.replace(fold=1 - here.fold).utcoffset() != here.utcoffset():
        yield make_finding("time.repeated_hour", read=here.isoformat(" ", "minutes"))
    elif _is_skipped(cell, here):
        yield make_finding("time.skipped_hour", read=here.isoformat(" ", "minutes"))


def _has_time_of_day(cell: Cell) -> bool:
    if isinstance(cell, datetime):
        return bool(cell.hour or cell.minute or cell.second)
    parts = _MOMENT.fullmatch(plain(cell)) if isinstance(cell, str) else None
    return parts is None or parts["hour"] is not None


def _is_absolute(cell: Cell) -> bool:
    """Whether it is the same moment in every time zone."""
    if isinstance(cell, datetime):
        return cell.tzinfo is not None
    if not isinstance(cell, str):
        return True
    text = plain(cell)
    return are_digits(text) or (_OFFSET.search(text) is not None and not _MOMENT.fullmatch(text))


def _is_skipped(cell: Cell, here: datetime) -> bool:
    """Whether no clock in `tz` ever showed the time in `cell`, which was taken for `here`."""
    as_if_utc = (
        _unix(cell, UTC) if isinstance(cell, datetime) else _read_moment(plain(str(cell)), UTC)
    )
    return as_if_utc is not None and as_if_utc != _unix(here.replace(tzinfo=UTC), UTC)


def _start_of_span(text: str, tz: tzinfo) -> tuple[str, int] | None:
    """The start of a span of time, as text and in Unix seconds; None for anything else."""
    for dash in _DASHES.finditer(text):
        start, end = text[: dash.start()].strip(), text[dash.end() :].strip()
        parts = _MOMENT.fullmatch(start)
        if parts is None or parts["hour"] is None:
            continue
        if _ONLY_A_TIME.fullmatch(end) or ((whole := _MOMENT.fullmatch(end)) and whole["hour"]):
            seconds = _read_moment(start, tz)
            is_iso = dash[0] == "-" and ("T" in start.upper() or parts["second"])
            if seconds is None or is_iso or not _is_lesson(start, end, seconds, tz):
                return None
            return start, seconds
    return None


def _is_lesson(start: str, end: str, begun: int, tz: tzinfo) -> bool:
    """Whether a span ends within half a day: 08:00-05:00 is rather an offset from UTC."""
    seconds = _read_moment(end, tz)
    if seconds is None and re.search(_HALF, start, re.IGNORECASE):
        return True  # its end is of either half of the day
    if seconds is None:
        day = datetime.fromtimestamp(begun, tz).date().isoformat()
        seconds = _read_moment(f"{day} {end}", tz)
        if seconds is None:
            return False
        seconds += _DAY_S if seconds <= begun else 0
    return 0 < seconds - begun <= _DAY_S // 2


def _is_in_any_order(text: str) -> bool:
    """Whether it is a date of which nobody can tell the day from the month."""
    found = _ANY_ORDER.fullmatch(text)
    return found is not None and all(1 <= int(part) <= 12 for part in found.groups())


def _read_moment(text: str, tz: tzinfo) -> int | None:
    if are_digits(text) and 9 <= len(text) <= 11:
        return int(text)
    try:
        if parts := _MOMENT.fullmatch(text):
            return _read_parts(parts.groupdict(), tz)
        moment = datetime.fromisoformat(text)
        if moment.tzinfo and not _ISO_WITH_OFFSET.fullmatch(text):
            return None  # 2027-03-01 08:00-09:30 is a lesson, not a time far west
        return _unix(moment, tz)
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
