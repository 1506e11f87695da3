"""What the check screen shows of a checked sheet: filters with counts, a page of rows, a cell."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal, NamedTuple, Self, TypeVar
from urllib.parse import urlencode

from bulkcast.arguments import SettingNames
from bulkcast.catalogue import ChoiceKind, Setting, is_result_column
from bulkcast.endpoints import WEBCAST
from bulkcast.model import (
    Cell,
    FlaggedCell,
    Invalid,
    Issue,
    RawRow,
    Severity,
    column_letters,
)
from bulkcast.pipeline import MASK, CheckedSheet, Edits, cell_text, odd_words

ROWS_AT_ONCE: Final = 100
"""Rows of one page."""
_CELL_MOST: Final = 300
"""Characters of a cell that are shown in the grid."""


class Place(NamedTuple):
    """A cell: its row as a spreadsheet shows it, and its column from 0."""

    row: int
    column: int

    @property
    def address(self) -> str:
        """As a spreadsheet shows it."""
        return f"{column_letters(self.column)}{self.row}"


def place_of(address: str) -> Place | None:
    """The inverse of `Place.address`; None for anything else.

    >>> place_of("H7"), place_of("AA10"), place_of("7H"), place_of("")
    (Place(row=7, column=7), Place(row=10, column=26), None, None)
    """
    letters = address.rstrip("0123456789")
    digits = address[len(letters) :]
    if not (1 <= len(letters) <= 3 and letters.isascii() and letters.isalpha()):
        return None
    if not 1 <= len(digits) <= 7:
        return None
    column = 0
    for letter in letters.upper():
        column = column * 26 + ord(letter) - ord("A") + 1
    return Place(int(digits), column - 1) if int(digits) else None


class Problem(NamedTuple):
    """An error or a warning, and where it stands."""

    row: int
    column: int | None
    """None if it is about the row as a whole."""
    issue: Issue
    at: int
    """The column to look at."""

    @property
    def place(self) -> Place:
        """The cell to look at."""
        return Place(self.row, self.at)


@dataclass(frozen=True, slots=True)
class ViewColumn:
    """A column of the user's."""

    index: int
    letters: str
    header: str
    setting: Setting | None
    is_secret: bool

    @property
    def choices(self) -> ChoiceKind | None:
        """What there is to choose from, if it is a column of choices."""
        kind = self.setting.kind if self.setting else None
        return kind if isinstance(kind, ChoiceKind) else None


@dataclass(frozen=True, slots=True)
class Facet:
    """A filter, and how many rows it would show."""

    value: str
    name: str
    severity: Severity
    rows: int


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows are shown."""

    problem: str = ""
    """A problem's code."""
    column: int | None = None
    rows: Literal["problems", "all"] = "problems"

    def query(self, **more: object) -> str:
        """As the query of an address."""
        said = {
            "problem": self.problem,
            "column": "" if self.column is None else column_letters(self.column),
            "rows": self.rows if self.rows == "all" else "",
            **more,
        }
        return urlencode({name: value for name, value in said.items() if value})

    @property
    def is_narrow(self) -> bool:
        """Whether it asks for some problems only."""
        return bool(self.problem) or self.column is not None


@dataclass(frozen=True, slots=True)
class CellView:
    """A cell of the grid."""

    place: Place
    text: str
    kind: Literal["", "bad", "warn", "edited"]
    issue: Issue | None


@dataclass(frozen=True, slots=True)
class RowView:
    """A row of the grid."""

    number: int
    state: Literal["ready", "bad", "done", "left"]
    issue: Issue | None
    """What is wrong with the row as a whole."""
    cells: tuple[CellView, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows."""

    rows: tuple[RowView, ...]
    number: int
    last: int
    total: int
    """Rows that the filter shows."""


_MEMO_MOST: Final = 1000
_T = TypeVar("_T")


@dataclass(frozen=True)
class CheckView:
    """A checked sheet, indexed so that a page of it is quickly found."""

    source: CheckedSheet
    edits: Edits
    _of_row: Mapping[int, Sequence[Issue]] = field(init=False, repr=False)
    _invalid: frozenset[int] = field(init=False, repr=False)
    _memo: dict[object, Any] = field(init=False, repr=False, default_factory=dict)
    problems: tuple[Problem, ...] = field(init=False, repr=False)
    """Row by row, from left to right."""

    def __post_init__(self) -> None:
        checked = self.source.checked.rows
        of_row = {row.row: row.issues for row in checked if row.issues}
        invalid = frozenset(row.row for row in checked if isinstance(row, Invalid))
        held = self.source.checked.columns
        found = []
        for row, issues in of_row.items():
            for issue in issues:
                if issue.severity is not Severity.NOTE:
                    column = _column_of(issue)
                    at = _looked_at(issue, held) if column not in self.by_index else column or 0
                    found.append(Problem(row, column, issue, at))
        found.sort(key=lambda p: (p.row, p.at))
        object.__setattr__(self, "_of_row", of_row)
        object.__setattr__(self, "_invalid", invalid)
        object.__setattr__(self, "problems", tuple(found))

    @classmethod
    def of(cls, sheet: CheckedSheet, edits: Edits) -> Self:
        """The view with everything that its first page needs; takes long for many rows."""
        view = cls(sheet, edits)
        first = Filter()
        _ = view.ready, view.warned, view.troubled, view.odd, view.rows, view._by_column
        view.facets(first)
        view.column_facets(first)
        view.following(first, None)
        view.page(first, 1)
        for facet in view.facets(first):
            of_problem = Filter(facet.value)
            view.following(of_problem, None)
            view.shown(of_problem)
            view.column_facets(of_problem)
        for column in view.by_index.keys() & view._by_column.keys():
            for facet in view.facets(Filter(column=column)):
                view._contents(column, facet.value)
        return view

    # -------------------------------------------------------------- the sheet as a whole

    @cached_property
    def columns(self) -> tuple[ViewColumn, ...]:
        """The user's columns."""
        endpoint = self.source.endpoint
        held = {index: endpoint.by_key[key] for key, index in self.source.checked.columns.items()}
        return tuple(
            _view_column(index, header, held.get(index), endpoint.column_for(header))
            for index, header in enumerate(self.source.sheet.headers)
            if not is_result_column(header)
        )

    @cached_property
    def by_index(self) -> Mapping[int, ViewColumn]:
        """The same by their index."""
        return {column.index: column for column in self.columns}

    @cached_property
    def rows(self) -> Mapping[int, RawRow]:
        """The rows by their number."""
        return {row.number: row for row in self.source.sheet.rows}

    @cached_property
    def ready(self) -> int:
        """Rows that would be sent."""
        return self.source.valid

    @cached_property
    def odd(self) -> int:
        """Words that are none of the choices of their columns."""
        return len(odd_words(self.source))

    @property
    def bad(self) -> int:
        """Rows that need fixing."""
        return len(self._invalid)

    @cached_property
    def troubled(self) -> int:
        """Rows with an error or a warning."""
        return len({problem.row for problem in self.problems})

    @cached_property
    def warned(self) -> int:
        """Rows that would be sent and have a warning."""
        return len({p.row for p in self.problems} - self._invalid)

    @property
    def edited(self) -> int:
        """Cells with another text."""
        return sum(map(len, self.edits.values()))

    def sheet_issues(self) -> tuple[Issue, ...]:
        """What is wrong with the sheet as a whole."""
        return tuple(i for i in self.source.checked.issues if i.severity is not Severity.NOTE)

    # -------------------------------------------------------------- filters

    @cached_property
    def _by_code(self) -> Mapping[str, Sequence[Problem]]:
        found: defaultdict[str, list[Problem]] = defaultdict(list)
        for problem in self.problems:
            found[problem.issue.code].append(problem)
        return found

    @cached_property
    def _by_column(self) -> Mapping[int | None, Sequence[Problem]]:
        found: defaultdict[int | None, list[Problem]] = defaultdict(list)
        for problem in self.problems:
            found[problem.column].append(problem)
        return found

    def _taken(self, chosen: Filter) -> Sequence[Problem]:
        """The problems that a filter takes."""
        if not chosen.is_narrow:
            return self.problems
        if chosen.column is None:
            return self._by_code.get(chosen.problem, ())
        of_column = self._by_column.get(chosen.column, ())
        return [p for p in of_column if chosen.problem in {"", p.issue.code}]

    def _once(self, key: object, make: Callable[[], _T]) -> _T:
        """What `make` gives, kept: of 50,000 rows it takes a tenth of a second."""
        if key not in self._memo:
            if len(self._memo) >= _MEMO_MOST:
                self._memo.clear()
            self._memo[key] = make()
        found: _T = self._memo[key]
        return found

    def facets(self, chosen: Filter) -> tuple[Facet, ...]:
        """A filter for each problem, the errors first; counted within the chosen column."""
        within = Filter(column=chosen.column)
        return self._once(("facets", chosen.column), lambda: self._count_problems(within))

    def _count_problems(self, within: Filter) -> tuple[Facet, ...]:
        rows: defaultdict[str, set[int]] = defaultdict(set)
        weights: dict[str, Severity] = {}
        for problem in self._taken(within):
            code = problem.issue.code
            rows[code].add(problem.row)
            if problem.issue.severity is Severity.ERROR or code not in weights:
                weights[code] = problem.issue.severity
        found = [Facet(code, code, weights[code], len(own)) for code, own in rows.items()]
        return tuple(sorted(found, key=lambda f: (f.severity is not Severity.ERROR, -f.rows)))

    def column_facets(self, chosen: Filter) -> tuple[Facet, ...]:
        """A filter for each column with problems, in sheet order; counted within the problem."""
        within = Filter(chosen.problem)
        return self._once(("columns", chosen.problem), lambda: self._count_columns(within))

    def _count_columns(self, within: Filter) -> tuple[Facet, ...]:
        rows: defaultdict[int, set[int]] = defaultdict(set)
        bad: set[int] = set()
        for problem in self._taken(within):
            if problem.column is not None and problem.column in self.by_index:
                rows[problem.column].add(problem.row)
                if problem.issue.severity is Severity.ERROR:
                    bad.add(problem.column)
        return tuple(
            Facet(
                column_letters(index),
                self.by_index[index].header,
                Severity.ERROR if index in bad else Severity.WARNING,
                len(rows[index]),
            )
            for index in sorted(rows)
        )

    def shown(self, chosen: Filter) -> Sequence[int]:
        """The rows that a filter shows, in sheet order."""
        return self._once(("shown", chosen), lambda: self._rows_of(chosen))

    def _rows_of(self, chosen: Filter) -> Sequence[int]:
        if chosen.rows == "all" and not chosen.is_narrow:
            return [row.number for row in self.source.sheet.rows]
        found = dict.fromkeys(p.row for p in self._taken(chosen))
        return [row for row in found if row in self.rows]

    # -------------------------------------------------------------- a page

    def page(self, chosen: Filter, number: int) -> Page:
        """The rows of a page; one that does not exist becomes the nearest that does."""
        rows = self.shown(chosen)
        last = max(1, -(-len(rows) // ROWS_AT_ONCE))
        number = min(max(1, number), last)
        some = rows[(number - 1) * ROWS_AT_ONCE : number * ROWS_AT_ONCE]
        return Page(tuple(self._row(n) for n in some), number, last, len(rows))

    def page_with(self, chosen: Filter, row: int) -> int:
        """The number of the page that shows a row, or the rows nearest to it."""
        rows = self.shown(chosen)
        return max(0, bisect_right(rows, row) - 1) // ROWS_AT_ONCE + 1

    def _row(self, number: int) -> RowView:
        raw = self.rows[number]
        issues = self._of_row.get(number, ())
        by_column: dict[int | None, Issue] = {}
        for issue in issues:
            by_column.setdefault(_column_of(issue), issue)
        edited = self.edits.get(number, {})
        own = by_column.get(None) or next(
            (i for c, i in by_column.items() if c is not None and c not in self.by_index), None
        )
        cells = tuple(
            self._cell(raw, column, by_column.get(column.index), is_edited=column.index in edited)
            for column in self.columns
        )
        return RowView(number, self.state_of(number), own, cells)

    def state_of(self, number: int) -> Literal["ready", "bad", "done", "left"]:
        """What becomes of a row."""
        if number in self._invalid:
            return "bad"
        if number in self.source.kept:
            return "done"
        return "left" if number in self.source.left_out else "ready"

    def _cell(
        self, raw: RawRow, column: ViewColumn, issue: Issue | None, *, is_edited: bool
    ) -> CellView:
        text = self.shown_text(raw, column)
        kind: Literal["", "bad", "warn", "edited"] = "edited" if is_edited else ""
        if issue is not None and issue.severity is Severity.ERROR:
            kind = "bad"
        elif issue is not None and issue.severity is Severity.WARNING:
            kind = "warn"
        return CellView(Place(raw.number, column.index), text[:_CELL_MOST], kind, issue)

    def shown_text(self, raw: RawRow, column: ViewColumn) -> str:
        """A cell as a spreadsheet shows it; a secret one is masked."""
        text = cell_text(raw.cells[column.index])
        return MASK if column.is_secret and text else text

    # -------------------------------------------------------------- problems, one after another

    def following(self, chosen: Filter, place: Place | None, *, back: bool = False) -> Place | None:
        """The place of the next problem that a filter takes, after a place; None at the end."""
        places = self._places(chosen)
        if place is None:
            return places[0] if places else None
        if back:
            before = bisect_left(places, place)
            return places[before - 1] if before else None
        after = bisect_right(places, place)
        return places[after] if after < len(places) else None

    def at_or_after(self, chosen: Filter, place: Place) -> Place | None:
        """The place of a problem at a place, else of the next, else of the first."""
        places = self._places(chosen)
        at = bisect_left(places, place)
        return places[at if at < len(places) else 0] if places else None

    def _places(self, chosen: Filter) -> list[Place]:
        key = ("places", chosen.problem, chosen.column)
        return self._once(key, lambda: list(dict.fromkeys(p.place for p in self._taken(chosen))))

    def mended_at(self, row: RowView) -> Place:
        """The cell in which the problem of a row as a whole is mended."""
        held = self.source.checked.columns
        return Place(row.number, _looked_at(row.issue, held) if row.issue else 0)

    def is_bad(self, place: Place) -> bool:
        """Whether a cell holds an error."""
        found = self._of_row.get(place.row, ())
        return any(i.severity is Severity.ERROR and _column_of(i) == place.column for i in found)

    def issues_at(self, place: Place) -> tuple[Issue, ...]:
        """What is said of a cell, and of its row as a whole."""
        found = self._of_row.get(place.row, ())
        return tuple(
            i
            for i in found
            if _column_of(i) in {None, place.column} or _column_of(i) not in self.by_index
        )

    def same(self, place: Place, code: str, *, any_value: bool) -> tuple[Place, ...]:
        """The cells of a column with the same problem and, unless `any_value`, the same content."""
        if place.row not in self.rows or place.column not in self.by_index:
            return ()
        by_content = self._contents(place.column, code)
        if any_value:
            return tuple(sorted(p for places in by_content.values() for p in places))
        return tuple(by_content.get(self._content(place), ()))

    def n_same(self, place: Place, code: str) -> tuple[int, int]:
        """How many cells `same` gives, with the same content and with any."""
        by_content = self._contents(place.column, code)
        return len(by_content.get(self._content(place), ())), sum(map(len, by_content.values()))

    def _contents(self, column: int, code: str) -> Mapping[object, Sequence[Place]]:
        """Content → the cells of a column that have a problem and this content."""

        def grouped() -> Mapping[object, Sequence[Place]]:
            found: defaultdict[object, list[Place]] = defaultdict(list)
            for problem in self._taken(Filter(code, column)):
                found[self._content(problem.place)].append(problem.place)
            return found

        return self._once(("contents", column, code), grouped)

    def _content(self, place: Place) -> object:
        return _comparable(self.rows[place.row].cells[place.column])


def _comparable(cell: Cell) -> object:
    if isinstance(cell, FlaggedCell):
        return (cell.code, cell.shown, repr(cell.value))
    return (type(cell).__name__, cell)


def _column_of(issue: Issue) -> int | None:
    if issue.cell is None:
        return None
    found = place_of(issue.cell)
    return found.column if found else None


def _looked_at(issue: Issue, held: Mapping[str, int]) -> int:
    """The column in which a problem of a whole row is mended, as far as that can be told."""
    args = issue.message.args
    given = frozenset(_keys(args.get("given")))
    named = [key for said in args.values() for key in _keys(said) if key in held]
    fit = [key for key in named if key not in given] or named
    if not fit and issue.code.startswith("target."):
        fit = [target.key for target in WEBCAST.targets if target.key in held]
    if not fit:
        fit = [setting.key for setting in WEBCAST.settings if setting.key in held]
    return held[fit[0]] if fit else 0


def _keys(argument: object) -> tuple[str, ...]:
    """The settings that an argument of a message names."""
    return argument.keys if isinstance(argument, SettingNames) else ()


def _view_column(
    index: int, header: str, held: Setting | None, named: Setting | None
) -> ViewColumn:
    is_secret = any(setting is not None and setting.secret for setting in (held, named))
    return ViewColumn(index, column_letters(index), header, held, is_secret)
