"""What readers and writers of csv and tsv files share: guarded cells, and Excel's first line."""

from typing import Final

_STARTS_A_FORMULA: Final = frozenset("=+-@\t\r\n＝＋－＠")
_MARK: Final = "'"


def guard(text: str) -> str:
    """`text`, with an apostrophe before it if a spreadsheet would run it as a formula.

    Existing apostrophes do not count as protection, so that `unguard` can remove exactly one.

    >>> guard("=1+1"), guard("'=1+1"), guard("a=b"), guard("it's")
    ("'=1+1", "''=1+1", 'a=b', "it's")
    """
    return _MARK + text if _is_formula(text) else text


def unguard(text: str) -> str:
    """Reverse `guard`; a text that `guard` would not have written is unchanged.

    >>> unguard("'=1+1"), unguard("''=1+1"), unguard("'tis")
    ('=1+1', "'=1+1", "'tis")
    """
    return text[1:] if text.startswith(_MARK) and _is_formula(text) else text


def _is_formula(text: str) -> bool:
    return text.lstrip(_MARK)[:1] in _STARTS_A_FORMULA


def declared_delimiter(line: str) -> str | None:
    r"""The delimiter in a first line such as `sep=;`, which Excel obeys and does not count.

    >>> declared_delimiter('"sep=;"\r\n'), declared_delimiter("sep=;;")
    (';', None)
    """
    bare = line.removeprefix("\ufeff").rstrip("\r\n").strip('"')
    return bare[4] if len(bare) == 5 and bare.lower().startswith("sep=") else None
