"""Which column of a sheet holds which setting."""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from bulkcast.arguments import SettingNames
from bulkcast.catalogue import Endpoint, Role, Setting, is_result_column
from bulkcast.headers import bare_names, fold
from bulkcast.model import Argument, Issue, Severity, Text, column_letters
from bulkcast.problems import issue

IGNORE: Final = ""
"""What a header is mapped to whose column is not to be read."""
_MISSPELT: Final = 0.87
"""difflib's ratio from which a header counts as misspelt: two letters swapped in a word of eight
give 0.875; a different word, such as "Record date" for "recordState" or 下课时间 for 上课时间,
gives 0.857 and 0.75."""
_SIMILAR: Final = 0.5
"""difflib's ratio from which a header is suggested if no column names the classroom."""
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\da-zA-Z_]+")
"""A word of a header, also of one in camel case."""
_ID_ENDING: Final = re.compile(r"(?P<stem>.*?)(?P<ending>u?id)s?")


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of the sheet hold which settings."""

    held: Mapping[int, Setting] = field(default_factory=dict)
    """Index of a column → the setting it holds."""
    ignored: tuple[str, ...] = ()
    issues: tuple[Issue, ...] = ()

    @property
    def can_be_read(self) -> bool:
        """Whether it is known what each column holds, misspelt headers included."""
        return all(
            issue.code == "header.near_miss" or issue.severity is not Severity.ERROR
            for issue in self.issues
        )


def resolve(
    headers: tuple[str, ...], header_row: int, endpoint: Endpoint, mapping: Mapping[str, str]
) -> Columns:
    """Find the setting of each column; `mapping` (header → setting) comes before the headers."""
    return _Resolver(headers, header_row, endpoint, mapping).columns()


def address(index: int, row: int) -> str:
    """A cell's address as a spreadsheet shows it; `index` counts columns from 0.

    >>> address(7, 7), address(26, 1), address(701, 2)
    ('H7', 'AA1', 'ZZ2')
    """
    return f"{column_letters(index)}{row}"


class _Resolver:
    def __init__(
        self,
        headers: tuple[str, ...],
        header_row: int,
        endpoint: Endpoint,
        mapping: Mapping[str, str],
    ) -> None:
        self._headers, self._row, self._endpoint = headers, header_row, endpoint
        self._mapping = {fold(header): key for header, key in mapping.items()}
        self._mapping_as_given = mapping
        self._held: dict[int, Setting] = {}
        self._ignored: list[str] = []
        self._issues: list[Issue] = []

    def columns(self) -> Columns:
        self._check_mapping()
        for index, header in enumerate(self._headers):
            if header.strip() and not is_result_column(header):
                self._place(index, header)
        if all(i.code in {"header.near_miss", "header.unread_setting"} for i in self._issues):
            self._issues.extend(self._missing())
        return Columns(self._held, tuple(self._ignored), tuple(self._issues))

    def _place(self, index: int, header: str) -> None:
        if self._mapping.get(fold(header)) == IGNORE:
            self._ignored.append(header)
            return
        column = self._endpoint.mapped_column(header, self._mapping)
        if column is not None:
            self._assign(index, header, column)
        elif candidates := self._endpoint.candidates(header):
            self._ambiguous(index, header, candidates)
        else:
            self._place_unknown(index, header)

    def _assign(self, index: int, header: str, column: Setting) -> None:
        other = next((i for i, held in self._held.items() if held is column), None)
        self._held[index] = column
        if other is not None:
            setting = SettingNames((column.key,), by_label=True)
            self._add_issue(
                "header.duplicate", index, header, other=self._headers[other], setting=setting
            )

    def _place_unknown(self, index: int, header: str) -> None:
        near = self._nearest(header)
        column = None if near is None else self._endpoint.by_header.get(near)
        if near is None:
            self._ignored.append(header)
            if mentioned := self._mentioned(header):
                setting = SettingNames((mentioned.key,), by_label=True)
                self._add_issue("header.unread_setting", index, header, setting=setting)
        elif column is None:
            self._ambiguous(index, header, self._endpoint.ambiguous_headers[near])
        else:
            self._add_issue("header.near_miss", index, header, suggestion=_spelling(column, near))
            if column not in self._held.values():
                # So that errors in its cells are reported as well.
                self._held[index] = column

    def _mentioned(self, header: str) -> Setting | None:
        """The setting whose name occurs in `header`; of several the one with the longest name."""
        folded = fold(header)
        words = " ".join(_WORD.findall(unicodedata.normalize("NFKC", header)))
        spaced = f" {' '.join(words.casefold().split())} "
        by_header = self._endpoint.by_header
        for name in sorted(by_header, key=len, reverse=True):
            if name in folded and (
                not name.isascii() or any(f" {w} " in spaced for w in self._spaced[name])
            ):
                return by_header[name]
        return None

    @cached_property
    def _spaced(self) -> Mapping[str, set[str]]:
        """Folded name → its spellings as separate words."""
        found: dict[str, set[str]] = {}
        for column in self._endpoint.columns:
            for spelling in column.spellings():
                words = " ".join(_WORD.findall(spelling)).casefold()
                found.setdefault(fold(spelling), set()).update({words, fold(spelling)})
        return found

    def _nearest(self, header: str) -> str | None:
        """The folded known header that `header` misspells.

        A missing ID is no misspelling: "Course" beside "Course ID" is the course's name.
        """
        names = dict.fromkeys((fold(header), *map(fold, bare_names(header))))
        return next(filter(None, map(self._nearest_to, names)), None)

    def _nearest_to(self, folded: str) -> str | None:
        from difflib import get_close_matches

        stem, ending = _split(folded)
        known = {*self._endpoint.by_header, *self._endpoint.ambiguous_headers}
        same_ending = {s: name for name in sorted(known) for s, e in (_split(name),) if e == ending}
        close = get_close_matches(stem, same_ending, n=1, cutoff=_MISSPELT)
        return same_ending[close[0]] if close else None

    def _ambiguous(self, index: int, header: str, candidates: tuple[str, ...]) -> None:
        named = SettingNames(candidates, either=True, by_label=True)
        self._add_issue("header.ambiguous", index, header, candidates=named, first=candidates[0])

    def _check_mapping(self) -> None:
        present = {fold(header) for header in self._headers if not is_result_column(header)}
        for header, key in self._mapping_as_given.items():
            if fold(header) not in present:
                self._unknown(header, Text("no column of the sheet"))
            if key != IGNORE and self._endpoint.column_for(key) is None:
                self._unknown(key, Text("no setting"))

    def _unknown(self, value: str, what: Text) -> None:
        self._issues.append(issue("header.unknown_map", value=value, what=what))

    def _missing(self) -> Iterator[Issue]:
        roles = {column.role for column in self._held.values()}
        if Role.TARGET not in roles:
            targets = tuple(column.key for column in self._endpoint.targets)
            near = self._most_similar_to_target()
            yield issue(
                "header.no_target",
                row=self._row,
                targets=SettingNames(targets, either=True),
                example=f"{near}={self._endpoint.targets[0].key}"
                if near
                else f"…={self._endpoint.targets[0].key}",
            )
        if Role.SETTING not in roles:
            yield issue("header.no_setting", row=self._row)

    def _most_similar_to_target(self) -> str | None:
        """The ignored header most similar to one of a target column."""
        from difflib import SequenceMatcher

        known = [fold(s) for column in self._endpoint.targets for s in column.spellings()]
        likeness = {
            header: max(SequenceMatcher(None, fold(header), name).ratio() for name in known)
            for header in self._ignored
        }
        best = max(likeness, key=likeness.__getitem__, default=None)
        return best if best is not None and likeness[best] >= _SIMILAR else None

    def _add_issue(self, code: str, index: int, header: str, /, **args: Argument) -> None:
        self._issues.append(
            issue(
                code,
                row=self._row,
                column=header,
                cell=address(index, self._row),
                value=header,
                severity=None,
                **args,
            )
        )


def _spelling(column: Setting, folded: str) -> str:
    """The spelling of `column` whose folded form is `folded`."""
    return next((s for s in column.spellings() if fold(s) == folded), column.key)


def _split(folded: str) -> tuple[str, str]:
    """A folded header split into its stem and its ending ID or UID."""
    found = _ID_ENDING.fullmatch(folded)
    return (found["stem"], found["ending"]) if found else (folded, "")
