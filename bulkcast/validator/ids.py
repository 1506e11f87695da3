"""Reads ids and lists of ids, and recognises damage done by spreadsheets."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from bulkcast.catalogue import INT64_MAX
from bulkcast.model import Cell, Severity
from bulkcast.validator.parsing import (
    BLANK,
    EXACT_BELOW,
    Finding,
    Reading,
    cleaned_finding,
    is_digits,
    make_finding,
    plain,
    refused,
    visible,
)

POINT_ZERO: Final = re.compile(r"(\d+)\.0+")
_GROUPED: Final = re.compile(r"\d{1,3}(,\d{3})+")
_SCIENTIFIC: Final = re.compile(r"[+-]?\d+([.,]\d+)?e[+-]?\d+", re.IGNORECASE)
_FRACTION: Final = re.compile(r"[+-]?\d*[.,]\d+")
_NEGATIVE: Final = re.compile(r"-\d+")
_LABELLED: Final = re.compile(r"(?:id|uid|编号)\s*[:#]\s*(\d+)", re.IGNORECASE)
_AS_FORMULA: Final = re.compile(r"=\s*[\"“”](.*)[\"“”]")
_NUMBER_LIKE: Final = frozenset({"No", "Nl"})
"""Unicode categories of ², ① and Ⅳ, which NFKC would turn into digits or letters of an id."""
_PLAIN_ID: Final = re.compile(r"[1-9][0-9]{0,17}").fullmatch
_PLAIN_IDS: Final = re.compile(r"[1-9][0-9]{0,17}(?:,[1-9][0-9]{0,17})*").fullmatch
_BETWEEN_IDS: Final = re.compile(r"[\s,;、，；﹐﹑﹔､\u200b\ufeff]+")


def read_id(cell: Cell) -> Reading:
    """Read an id: ASCII digits after NFKC and trimming; damaged ids are refused, not repaired."""
    if isinstance(cell, str):
        return _read_id_text(cell)
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        return _read_id_number(cell)
    if isinstance(cell, datetime):
        return refused("id.became_date")
    return BLANK if cell is None else refused("id.not_a_number")


def plain_id(cell: str) -> int | None:
    """The id in a cell of digits only, the usual case; None for any other cell."""
    return int(cell) if _PLAIN_ID(cell) else None


def plain_ids(cell: str) -> tuple[int, ...] | None:
    """The different ids in a comma-separated list of digits; None for any other cell."""
    if not _PLAIN_IDS(cell):
        return None
    ids = tuple(map(int, cell.split(",")))
    return ids if len(set(ids)) == len(ids) else None


def _read_id_number(cell: float) -> Reading:
    if not cell < EXACT_BELOW:
        return refused("id.precision_lost")
    return _in_range(int(cell)) if cell == cell // 1 else refused("id.fraction")


def _in_range(number: int, findings: tuple[Finding, ...] = ()) -> Reading:
    if 0 < number <= INT64_MAX:
        return Reading(number, findings)
    return refused("id.out_of_range")


def _read_id_text(cell: str) -> Reading:
    digits, note = digits_of(cell)
    if digits is None:
        return refused(_why_no_id(plain(cell)))
    # More digits than Int64 has are out of range; int() of a megabyte of digits would be slow.
    number = int(digits) if len(digits) <= 19 else 0
    return _in_range(number, (note,) if note else ())


def digits_of(cell: str) -> tuple[str | None, Finding | None]:
    """The ASCII digits that `cell` stands for, and a finding if the cell reads differently."""
    if any(unicodedata.category(c) in _NUMBER_LIKE for c in cell):
        return None, None
    text = plain(cell)
    if is_digits(text):
        number = text.lstrip("0") or "0"
        return number, None if number == cell else cleaned_finding(cell, number)
    unwrapped = _unwrap(text)
    if is_digits(unwrapped):
        number = unwrapped.lstrip("0") or "0"
        return number, cleaned_finding(cell, number, Severity.WARNING)
    return None, None


def _unwrap(text: str) -> str:
    """`text` without quotes, labels, a text formula, `.0` and thousands separators."""
    inner = text.lstrip("'’‘`").strip()
    if wrapped := _AS_FORMULA.fullmatch(inner):
        inner = wrapped[1].strip()
    if labelled := _LABELLED.fullmatch(inner):
        inner = labelled[1]
    if whole := POINT_ZERO.fullmatch(inner):
        inner = whole[1]
    return inner.replace(",", "") if _GROUPED.fullmatch(inner) else inner


def _why_no_id(text: str) -> str:
    unwrapped = _unwrap(text)
    reasons = (
        (_SCIENTIFIC, "id.scientific"),
        (_NEGATIVE, "id.out_of_range"),
        (_FRACTION, "id.fraction"),
    )
    found = (code for pattern, code in reasons if pattern.fullmatch(unwrapped))
    return next(found, "id.not_a_number")


def read_ids(cell: Cell) -> Reading:
    """Read a list of ids, each once, in the given order."""
    if not isinstance(cell, str):
        one = read_id(cell)
        return Reading((one.value,), one.findings) if isinstance(one.value, int) else one
    parts = [part for part in _BETWEEN_IDS.split(cell) if part]
    readings = [_read_part(part) for part in parts]
    numbers = [reading.value for reading in readings if isinstance(reading.value, int)]
    if not parts or len(numbers) < len(parts):
        wrong = tuple(_wrong_parts(zip(parts, readings, strict=True)))
        return Reading(None, wrong or (_not_in_list(cell),))
    findings = [finding for reading in readings for finding in reading.findings]
    each = tuple(dict.fromkeys(numbers))
    if len(each) < len(numbers):
        repeated = [str(number) for number, n in Counter(numbers).items() if n > 1]
        findings.append(make_finding("ids.repeated", part=", ".join(repeated)))
    return Reading(each, tuple(findings))


def _read_part(part: str) -> Reading:
    number = plain_id(part)
    return read_id(part) if number is None else Reading(number)


def _wrong_parts(readings: Iterable[tuple[str, Reading]]) -> Iterator[Finding]:
    """One finding for each part that is no id; a rounded one keeps its own code."""
    for part, reading in readings:
        for finding in reading.findings:
            if finding.severity is not Severity.ERROR:
                continue
            own = finding.code in {"id.scientific", "id.precision_lost"}
            yield finding if own else _not_in_list(part)


def _not_in_list(part: str) -> Finding:
    return make_finding("ids.not_a_list", part=visible(part[:80]))
