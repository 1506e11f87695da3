"""Texts of a delimited file that a spreadsheet program would take for a formula.

A spreadsheet runs a cell that begins with one of `= + - @`, a tab or a line break when it opens a
csv file (OWASP, CSV Injection, read 2026-11-23); a leading apostrophe keeps it a text.  `guard` and
`unguard` are exact inverses, so that what a result file protects comes back as it was.
"""

from typing import Final

_STARTS_A_FORMULA: Final = frozenset("=+-@\t\r\n＝＋－＠")
_MARK: Final = "'"


def guard(text: str) -> str:
    """`text`, with one apostrophe before it where a spreadsheet would run it.

    Apostrophes that already stand there are counted as no protection, so that `unguard` need not
    guess whose they are.

    >>> guard("=1+1"), guard("'=1+1"), guard("a=b"), guard("it's")
    ("'=1+1", "''=1+1", 'a=b', "it's")
    """
    return _MARK + text if _is_formula(text) else text


def unguard(text: str) -> str:
    """What `guard` was given; a text it would not have written comes back unchanged.

    >>> unguard("'=1+1"), unguard("''=1+1"), unguard("'tis")
    ('=1+1', "'=1+1", "'tis")
    """
    return text[1:] if text.startswith(_MARK) and _is_formula(text) else text


def _is_formula(text: str) -> bool:
    return text.lstrip(_MARK)[:1] in _STARTS_A_FORMULA
