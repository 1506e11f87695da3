"""Reads points in time: date cells, texts, Unix seconds."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final

from bulkcast.model import Cell
from bulkcast.validator.parsing import (
    Finding,
    Reader,
    Reading,
    cleaned_finding,
    is_digits,
    make_finding,
    plain,
    refused,
)

_MORNING: Final = "上午|早上|早晨|清晨|早"
_EVENING: Final = "晚上|晚间|晚"
_HALF_ZH: Final = f"下午|中午|正午|凌晨|傍晚|{_MORNING}|{_EVENING}"
_HALF: Final = rf"{_HALF_ZH}|[ap]\.?m\.?"
_HALVES: Final[Mapping[str, tuple[range, range]]] = {
    **dict.fromkeys(_MORNING.split("|"), (range(0), range(12))),
    # After midnight it is unclear which day's evening is meant.
    **dict.fromkeys(_EVENING.split("|"), (range(12), range(17, 24))),
    **dict.fromkeys(("下午", "pm"), (range(12), range(12, 24))),
    **dict.fromkeys(("中午", "正午"), (range(3), range(11, 15))),
    "傍晚": (range(12), range(16, 20)),
    "凌晨": (range(0), range(6)),
}
"""Part of the day → hours (of 12) to which 12 is added, and the hours (of 24) that it has."""
_TIME: Final = (
    rf"(?P<before>{_HALF})?\s*"
    r"(?P<hour>\d{1,2})(?:\s*:\s*(?P<minute>\d{2})(?:\s*:\s*(?P<second>\d{2})(?:\.0+)?)?"
    r"|(?P<mark>[时時点點])(?:[整正钟鐘]|(?P<part>\d{1,2})分?|(?P<half>半))?)"
    rf"\s*(?P<after>{_HALF})?"
)
_DAY_NAMES: Final = "mon|tue|wed|thu|fri|sat|sun"
_DASH: Final = "-‐‑‒–—―−"
_BETWEEN: Final = rf"\s*[{_DASH}/.、\\]\s*"
_MOMENT: Final = re.compile(
    rf"(?P<year>\d{{4}})(?:{_BETWEEN}|\s*年\s*)(?P<month>\d{{1,2}})(?:{_BETWEEN}|\s*月\s*)"
    r"(?P<day>\d{1,2})\s*[日号號]?"
    r"(?:[\s,]*[(\[【]?(?:(?:星期|周|週|礼拜|禮拜)(?P<weekday>[一二三四五六日天])"
    rf"|(?<![a-z])(?P<day_name>{_DAY_NAMES})[a-z]*\.?)[)\]】]?,?)?"
    rf"(?:(?:T|[\s,]+|(?<=[日号號一二三四五六天)\]】])|(?={_HALF_ZH})){_TIME})?",
    re.IGNORECASE,
)
_DIGITS_ONLY: Final = re.compile(
    r"(?P<date>(?:19|2\d)\d{6})(?:[T\s]*(?P<hour>\d{2})(?P<minute>\d{2})(?P<second>\d{2})?"
    r"(?P<zone>Z)?|(?P<rest>[T\s]?\D.*|[T\s]+\d{1,2}\D.*))?",
    re.IGNORECASE,
)
"""A date without separators, and what follows; 9 to 11 digits alone are Unix seconds."""
_MONTHS: Final = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_MONTH_IN_WORDS: Final = re.compile(
    rf"(?:(?P<day_name>{_DAY_NAMES})[a-z]*\.?,?\s+)?"
    r"(?:(?P<day>\d{1,2})(?:st|nd|rd|th)?[\s,.-]+)?"
    rf"(?P<month>{_MONTHS})[a-z]*[\s,.-]+"
    r"(?:(?P<day_behind>\d{1,2})(?:st|nd|rd|th)?[\s,]+)?"
    r"(?P<year>\d{4})(?P<rest>\D.*)?",
    re.IGNORECASE,
)
_WITHOUT_YEAR: Final = re.compile(
    r"(?:\d{2}\s*年\s*)?\d{1,2}\s*月\s*\d{1,2}(?!\d).*"
    rf"|\d{{1,2}}(?:[{_DASH}/]\d{{1,2}}){{1,2}}(?!\d).*|\d{{1,2}}(?:\.\d{{1,2}}){{2}}(?!\d).*"
    r"|\d{1,2}\.\d{1,2}\s.*",
    re.DOTALL,
)
_OFFSET: Final = re.compile(r"(?:Z|[+-]\d{2}:?\d{2})\Z", re.IGNORECASE)
_DASHES: Final = re.compile(r"[-~‐‑‒–—―−～〜∼〰至到]+|\bto\b|\buntil\b", re.IGNORECASE)
_ISO_WITH_OFFSET: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:[.,]\d+)?\s*(?:Z|[+-]\d{2}:?\d{2})"
    r"|\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?\s*(?:Z|\+\d{2}:?\d{2})",
    re.IGNORECASE,
)
"""A time with an offset from UTC; after a space 08:00-09:30 is a lesson, not an offset."""
_ISO_PLAIN: Final = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}(?::\d{2}:\d{2}[.,]\d+)?", re.IGNORECASE)
"""Other ISO 8601 forms that are read.  Python accepts more, some with a surprising meaning: any
character before the time, and 08.30 as 8 hours and 0.3 seconds."""
_ANY_ORDER: Final = re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{4})(\D.*)?")
_ONLY_A_TIME: Final = re.compile(_TIME, re.IGNORECASE)
_WEEKDAYS: Final = "一二三四五六日"
_DAY_S: Final = 86_400
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_SERIAL: Final = datetime(1899, 12, 30)  # noqa: DTZ001  # a spreadsheet's days have no zone
_SERIALS: Final = range(36_526, 109_575)
"""The numbers that a spreadsheet stores for dates from 2000 to 2199."""
_EARLIEST: Final = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp())
_LATEST: Final = int(datetime(2200, 1, 1, tzinfo=UTC).timestamp())
"""No class begins outside these years; such a number means something else."""


def moment_reader(tz: tzinfo) -> Reader:
    """A reader of points in time; times without an offset are in `tz`."""

    def read(cell: Cell) -> Reading:
        normal = _normalise(cell)
        seconds = _seconds_of(normal, tz)
        if seconds is not None and _EARLIEST <= seconds < _LATEST:
            return Reading(seconds, tuple(_findings(normal, seconds, tz)))
        if serial := _day_of_serial(cell):
            return refused("time.date_number", read=serial)
        return _read_unusual(cell, normal, tz) if isinstance(normal, str) else _NO_TIME

    return read


_NO_TIME: Final = refused("time.not_a_time")


def _normalise(cell: Cell) -> Cell:
    """Prepare `cell` for reading: texts normalised, dates with separators."""
    if isinstance(cell, int) and not isinstance(cell, bool) and len(str(cell)) in {8, 12, 14}:
        cell = str(cell)
    return _with_separators(plain(cell)) if isinstance(cell, str) else cell


def _with_separators(text: str) -> str:
    """`text` with its date as year, month and day in numbers, separated by dashes.

    >>> _with_separators("20270301 8:00"), _with_separators("1 March 2027, 8:00 AM")
    ('2027-03-01 8:00', '2027-03-01 , 8:00 AM')
    """
    if found := _DIGITS_ONLY.fullmatch(text):
        digits, rest = found["date"], found["rest"] or ""
        day = f"{digits[:4]}-{digits[4:6]}-{digits[6:]}"
        if found["hour"] is None:
            return day + (rest if re.match(r"[T\s]", rest, re.IGNORECASE) else f" {rest}".rstrip())
        time = f"{found['hour']}:{found['minute']}:{found['second'] or '00'}"
        return f"{day}T{time}{found['zone'] or ''}"
    if found := _MONTH_IN_WORDS.fullmatch(text):
        days = [day for day in (found["day"], found["day_behind"]) if day]
        if len(days) == 1:
            month = _MONTHS.split("|").index(found["month"].lower()) + 1
            named = f" {found['day_name']}" if found["day_name"] else ""
            rest = f" {found['rest']}" if found["rest"] else ""
            return f"{found['year']}-{month:02d}-{int(days[0]):02d}{named}{rest}"
    return text


def _seconds_of(normal: Cell, tz: tzinfo) -> int | None:
    match normal:
        case bool():
            return None
        case int() | float() if float(normal).is_integer():
            return int(normal)
        case datetime():
            return _unix(normal, tz)
        case str():
            return _read_moment(normal, tz)
        case _:
            return None


def _day_of_serial(cell: Cell) -> str | None:
    """The date and time whose spreadsheet number is in `cell`; None for any other cell."""
    text = plain(cell) if isinstance(cell, str) else ""
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        text = str(cell)
    if not re.fullmatch(r"\d{5,6}(?:\.\d+)?", text) or int(float(text)) not in _SERIALS:
        return None
    minutes = round(float(text) * 24 * 60)
    return (_FIRST_SERIAL + timedelta(minutes=minutes)).isoformat(" ", "minutes")


def _read_unusual(cell: Cell, text: str, tz: tzinfo) -> Reading:
    """Read a text as a span or as a date in another order; else say what is wrong."""
    if span := _start_of_span(text, tz):
        start, seconds = span
        if _EARLIEST <= seconds < _LATEST:
            return Reading(
                seconds, (cleaned_finding(str(cell), start), *_findings(start, seconds, tz))
            )
    if orders := _in_either_order(text, tz):
        (read, seconds), *others = orders
        if others or not _EARLIEST <= seconds < _LATEST:
            return refused("time.ambiguous")
        return Reading(seconds, (cleaned_finding(str(cell), read), *_findings(read, seconds, tz)))
    return refused(_why_not(text))


def _why_not(text: str) -> str:
    """The problem code that best explains why `text` is no point in time."""
    starts = [text, *(text[: dash.start()].strip() for dash in _DASHES.finditer(text))]
    if any((found := _MOMENT.fullmatch(s)) and _is_half_ambiguous(found) for s in starts):
        return "time.half_of_day"
    if any((found := _MOMENT.fullmatch(s)) and _is_on_another_day(found) for s in starts):
        return "time.weekday"
    ends = [text, *(text[dash.end() :].strip() for dash in _DASHES.finditer(text))]
    if any(map(_ONLY_A_TIME.fullmatch, starts)) and any(map(_ONLY_A_TIME.fullmatch, ends)):
        return "cell.only_a_time"
    return "time.no_year" if _WITHOUT_YEAR.fullmatch(text) else "time.not_a_time"


def _findings(normal: Cell, seconds: int, tz: tzinfo) -> Iterator[Finding]:
    """Findings about a point in time that can be read."""
    if not _has_time_of_day(normal):
        yield make_finding("time.without_a_time")
    if _is_absolute(normal):
        return
    here = datetime.fromtimestamp(seconds, tz)
    if here.replace(fold=1 - here.fold).utcoffset() != here.utcoffset():
        yield make_finding("time.repeated_hour", read=here.isoformat(" ", "minutes"))
    elif _is_skipped(normal, here):
        yield make_finding("time.skipped_hour", read=here.isoformat(" ", "minutes"))


def _has_time_of_day(normal: Cell) -> bool:
    if isinstance(normal, datetime):
        return bool(normal.hour or normal.minute or normal.second)
    parts = _MOMENT.fullmatch(normal) if isinstance(normal, str) else None
    return parts is None or parts["hour"] is not None


def _is_absolute(normal: Cell) -> bool:
    """Whether it means the same moment in every time zone."""
    if isinstance(normal, datetime):
        return normal.tzinfo is not None
    if not isinstance(normal, str):
        return True
    return is_digits(normal) or (
        _OFFSET.search(normal) is not None and not _MOMENT.fullmatch(normal)
    )


def _is_skipped(normal: Cell, here: datetime) -> bool:
    """Whether the time in `normal`, read as `here`, is skipped when clocks are put forward."""
    as_if_utc = (
        _unix(normal, UTC) if isinstance(normal, datetime) else _read_moment(str(normal), UTC)
    )
    return as_if_utc is not None and as_if_utc != _unix(here.replace(tzinfo=UTC), UTC)


def _start_of_span(text: str, tz: tzinfo) -> tuple[str, int] | None:
    """The start of a time span, as text and in Unix seconds; None if `text` is no span."""
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
    """Whether a span ends within half a day; 08:00-05:00 rather has an offset from UTC."""
    seconds = _read_moment(end, tz)
    if re.search("[时時点點]", end):
        return True  # an offset has no such sign
    if seconds is None and re.search(_HALF, start, re.IGNORECASE):
        return True  # the end has no half of the day
    if seconds is None:
        day = datetime.fromtimestamp(begun, tz).date().isoformat()
        seconds = _read_moment(f"{day} {end}", tz)
        if seconds is None:
            return False
        seconds += _DAY_S if seconds <= begun else 0
    return 0 < seconds - begun <= _DAY_S // 2


def _in_either_order(text: str, tz: tzinfo) -> list[tuple[str, int]]:
    """The readings of a date with its year at the end: day first, month first, or both."""
    found = _ANY_ORDER.fullmatch(text)
    if found is None:
        return []
    one, other, year, rest = found.groups()
    readings: dict[str, int] = {}
    for month, day in ((other, one), (one, other)):
        read = f"{year}-{int(month):02d}-{int(day):02d}{f' {rest.strip()}' if rest else ''}"
        if (seconds := _read_moment(read, tz)) is not None:
            readings[read] = seconds
        elif 1 <= int(month) <= 12 and 1 <= int(day) <= 12:
            return [(text, 0), (text, 0)]
    return list(readings.items())


def _read_moment(text: str, tz: tzinfo) -> int | None:
    if is_digits(text) and 9 <= len(text) <= 11:
        return int(text)
    try:
        if parts := _MOMENT.fullmatch(text):
            return _read_parts(parts, tz)
        # 2027-03-01 08:00-09:30 is a lesson, not a time with an offset.
        if _ISO_WITH_OFFSET.fullmatch(text) or _ISO_PLAIN.fullmatch(text):
            return _unix(datetime.fromisoformat(text), tz)
    except (ValueError, OverflowError):
        pass  # a day or an hour that does not exist
    return None


def _read_parts(parts: re.Match[str], tz: tzinfo) -> int | None:
    year, month, day, hour, minute, second = (
        int(parts[name] or "0") for name in ("year", "month", "day", "hour", "minute", "second")
    )
    hour_of_day = _hour(hour, parts["before"] or "", parts["after"] or "")
    if hour_of_day is None or _is_half_ambiguous(parts):
        return None
    minute += 30 if parts["half"] else int(parts["part"] or "0")
    moment = datetime(year, month, day, hour_of_day, minute, second, tzinfo=tz)
    return _unix(moment, tz) if _is_on(parts, moment.weekday()) else None


def _is_half_ambiguous(parts: re.Match[str]) -> bool:
    """Whether the hour may be before or after noon.

    3点半 is ambiguous; 08点 and 0点 are hours of a 24-hour clock.
    """
    if not parts["mark"] or parts["mark"] not in "点點" or parts["before"] or parts["after"]:
        return False
    return not parts["hour"].startswith("0") and int(parts["hour"]) <= 12


def _is_on_another_day(parts: re.Match[str]) -> bool:
    """Whether a valid date does not fall on the named day of the week."""
    try:
        day = date(int(parts["year"]), int(parts["month"]), int(parts["day"]))
    except ValueError:
        return False
    return not _is_on(parts, day.weekday())


def _is_on(parts: re.Match[str], weekday: int) -> bool:
    """Whether the named day of the week, if any, is `weekday`; Monday is 0."""
    named, english = (parts["weekday"] or "").replace("天", "日"), parts["day_name"]
    if english and _DAY_NAMES.split("|")[weekday] != english.lower():
        return False
    return not named or _WEEKDAYS[weekday] == named


def _hour(hour: int, before: str, after: str) -> int | None:
    """The hour of the day; None if it contradicts the part of the day.

    12 AM is midnight, but 上午12点 is midnight to a spreadsheet and noon to most people.
    """
    half = (before or after).replace(".", "").casefold()
    if before and after:
        return None
    if not half:
        return hour
    if half == "am":
        return hour % 12 if hour <= 12 else None
    later, whole = _HALVES[half]
    hour += 12 if hour in later else 0
    return hour if hour in whole else None


def _unix(moment: datetime, tz: tzinfo) -> int | None:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=tz)
    try:
        return round((aware - _EPOCH).total_seconds())
    except OverflowError:
        return None
