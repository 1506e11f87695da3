"""Number formats: which of them show a number as a date or a time."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from openpyxl.styles.numbers import BUILTIN_FORMATS

_DATES_BY_ID: Final = (*range(27, 37), *range(50, 59), *range(71, 82))
_BUILTIN: Final[Mapping[int, str]] = {
    **dict.fromkeys(_DATES_BY_ID, "yyyy-mm-dd"),
    **BUILTIN_FORMATS,
}
"""By their ids.  Those of East Asian and Thai programs differ in wording, and all are dates
(ECMA-376, part 1, 18.8.30); a file that uses one does not say it."""

_NO_CODE: Final = re.compile(
    r'"[^"]*"|[\\_*].|\[(?!(?:h+|m+|s+)\])[^\]]*\]|general|e[+-]|G/[^;]*',
    re.IGNORECASE | re.DOTALL,
)
"""Texts, paddings, colours, conditions, and `E` of an exponent."""
_DATE_CODE: Final = re.compile(r"[dmhyse]|aaa|g{1,3}(?=e)|bb|上午|下午|午前|午後", re.IGNORECASE)
"""`e` is the year of an era or, in Chinese, of the calendar; `aaa` is the day of the week."""


def by_id(number: int) -> str:
    """The format that a file names by its id alone."""
    return _BUILTIN.get(number, "General")


@lru_cache(maxsize=1024)
def is_date(number_format: str) -> bool:
    """Whether any part of the format shows a date or a time.

    >>> [is_date(f) for f in ("[$-804]aaaa", "e年", "0.00E+00", "General", '0"年"')]
    [True, True, False, False, False]
    """
    return _DATE_CODE.search(_NO_CODE.sub("", number_format)) is not None
