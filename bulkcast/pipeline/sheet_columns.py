"""What each column of a sheet is taken for, and the words in it that no switch knows."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import Final

from bulkcast.arguments import SettingNames
from bulkcast.catalogue import ChoiceKind, Endpoint, Setting, is_result_column
from bulkcast.endpoints import WEBCAST
from bulkcast.headers import fold
from bulkcast.model import Cell, FlaggedCell, Sheet, column_letters
from bulkcast.pipeline.sheet_editing import Edits
from bulkcast.pipeline.validation import CheckedSheet
from bulkcast.reporter.csv_writer import shown
from bulkcast.validator import columns

IGNORE: Final = columns.IGNORE
"""What a header is mapped to whose column is not to be read."""
MASK: Final = "•••"
_SAMPLES: Final = 3
_LONGEST: Final = 80


class Match(Enum):
    """How a column's header names a setting."""

    EXACT = "exact"
    MAPPED = "mapped"
    """The user has said what it is."""
    SIMILAR = "similar"
    """It is nearly a setting's name."""
    AMBIGUOUS = "ambiguous"
    """It could name several settings."""
    DUPLICATE = "duplicate"
    """Another column names the same setting."""
    UNREAD = "unread"
    """It is ignored although it mentions a setting."""
    IGNORED = "ignored"


CERTAIN: Final = frozenset({Match.EXACT, Match.MAPPED, Match.IGNORED})


@dataclass(frozen=True, slots=True)
class ColumnUse:
    """One column of the user's, and what it is taken for."""

    index: int
    letters: str
    header: str
    samples: tuple[str, ...]
    """Its first different values; masked where they are secret."""
    match: Match
    setting: str | None
    """The key of the setting it is taken for."""
    candidates: tuple[str, ...] = ()
    """Keys of the settings that it may be meant for, the likeliest first."""


def columns_of(
    sheet: Sheet, mapping: Mapping[str, str], endpoint: Endpoint = WEBCAST
) -> tuple[ColumnUse, ...]:
    """Every column with a header, but those of results; `mapping` is header → setting."""
    found = columns.resolve(sheet.headers, sheet.layout.header_row, endpoint, mapping)
    doubts = {issue.cell: issue for issue in found.issues if issue.cell}
    mapped = frozenset(fold(header) for header in mapping)

    def use(index: int, header: str) -> ColumnUse:
        letters = column_letters(index)
        held = found.held.get(index)
        issue = doubts.get(f"{letters}{sheet.layout.header_row}")
        code = issue.code if issue else ""
        match = _MATCHES.get(code, Match.IGNORED if held is None else Match.EXACT)
        if match in {Match.EXACT, Match.IGNORED} and fold(header) in mapped:
            match = Match.MAPPED
        candidates = endpoint.candidates(header)
        if code == "header.near_miss" and issue:
            near = endpoint.column_for(str(issue.message.args.get("suggestion", "")))
            candidates = (near.key,) if near else ()
        if code == "header.unread_setting" and issue:
            candidates = _keys(issue.message.args.get("setting"))
        if code == "header.ambiguous" and issue and not candidates:
            candidates = _keys(issue.message.args.get("candidates"))
        return ColumnUse(
            index, letters, header, _samples(sheet, index, held, candidates, endpoint), match,
            held.key if held and match is not Match.SIMILAR else None, candidates,
        )  # fmt: skip

    return tuple(
        use(index, header)
        for index, header in enumerate(sheet.headers)
        if header.strip() and not is_result_column(header)
    )


def _keys(argument: object) -> tuple[str, ...]:
    """The settings that an argument of a message names."""
    return argument.keys if isinstance(argument, SettingNames) else ()


_MATCHES: Final = {
    "header.near_miss": Match.SIMILAR,
    "header.ambiguous": Match.AMBIGUOUS,
    "header.duplicate": Match.DUPLICATE,
    "header.unread_setting": Match.UNREAD,
}


def _samples(
    sheet: Sheet, index: int, held: Setting | None, candidates: Iterable[str], endpoint: Endpoint
) -> tuple[str, ...]:
    cells = (row.cells[index] for row in sheet.rows if index < len(row.cells))
    texts = (said for cell in cells if (said := cell_text(cell).strip()))
    different = list(islice(dict.fromkeys(islice(texts, 1000)), _SAMPLES))
    named = held or endpoint.column_for(sheet.headers[index])
    near = {*candidates, *([named.key] if named else [])}
    if any(endpoint.by_key[key].secret for key in near if key in endpoint.by_key):
        return (MASK,) * len(different)
    return tuple(s if len(s) <= _LONGEST else f"{s[:_LONGEST]}…" for s in different)


def cell_text(cell: Cell) -> str:
    """A cell as a spreadsheet shows it; of merged cells also those that show nothing."""
    if isinstance(cell, FlaggedCell) and cell.code == "cell.merged":
        return cell.shown
    return shown(cell)


# ------------------------------------------------------------------ odd words


@dataclass(frozen=True, slots=True)
class OddWord:
    """A word in a column of choices that names none of them."""

    index: int
    """The column, from 0."""
    setting: str
    word: str
    """As it stands in the cells."""
    rows: tuple[int, ...]


def odd_words(prepared: CheckedSheet, endpoint: Endpoint = WEBCAST) -> tuple[OddWord, ...]:
    """The words that no column of choices knows, the most frequent of a column first."""
    chosen = {
        index: key
        for key, index in prepared.checked.columns.items()
        if isinstance(endpoint.by_key[key].kind, ChoiceKind)
    }
    found: defaultdict[tuple[int, str], list[int]] = defaultdict(list)
    cells = {row.number: row.cells for row in prepared.sheet.rows}
    places = {column_letters(index): index for index in chosen}
    for row in prepared.checked.rows:
        for issue in row.issues:
            if issue.code != "cell.not_a_choice" or not issue.cell:
                continue
            index = places.get(issue.cell.rstrip("0123456789"))
            if index is not None:
                found[index, cell_text(cells[row.row][index])].append(row.row)
    ordered = sorted(found.items(), key=lambda item: (item[0][0], -len(item[1]), item[0][1]))
    return tuple(OddWord(i, chosen[i], word, tuple(rows)) for (i, word), rows in ordered)


Meanings = Mapping[str, Mapping[str, str]]
"""Setting → folded word → the text that a cell with it gets; empty for a blank cell."""


def edits_for(words: Iterable[OddWord], meanings: Meanings) -> Edits:
    """The edits that put the texts of `meanings` where the words stand."""
    edits: defaultdict[int, dict[int, str]] = defaultdict(dict)
    for odd in words:
        text = meanings.get(odd.setting, {}).get(fold(odd.word))
        if text is not None:
            for row in odd.rows:
                edits[row][odd.index] = text
    return edits


def applicable(
    mapping: Mapping[str, str], headers: Iterable[str], endpoint: Endpoint = WEBCAST
) -> dict[str, str]:
    """Of an earlier mapping, folded header → setting, what says more than these headers do."""
    return {
        header: mapping[fold(header)]
        for header in headers
        if fold(header) in mapping
        and not is_result_column(header)
        and endpoint.column_for(header) is None
    }
