"""Reads workbooks of any kind: chooses the worksheet and gives its rows."""

import re
import zlib
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Final, Protocol
from zipfile import BadZipFile, ZipFile

from bulkcast import ooxml
from bulkcast.catalogue import Endpoint, fold
from bulkcast.errors import UnreadableSheet
from bulkcast.i18n import marked
from bulkcast.loader import annotations, filetype, table, xlsx_fast
from bulkcast.loader.annotations import Merged
from bulkcast.loader.isolation import IsolatedReader
from bulkcast.loader.stream import ReadOptions, Stream
from bulkcast.loader.table import HEADER_WITHIN, Chunk, Header, Line
from bulkcast.loader.xlsx_fast import Cells, UnsupportedMarkup
from bulkcast.model import FlaggedCell, Grid, Layout, Text
from bulkcast.ooxml import Package

_FEWEST_HEADERS: Final = 2
"""A header names at least the classroom and one setting; a help page may name one per row."""
_MOST_TABS: Final = 300
"""Worksheets searched for a header row; the workbook of a school year has some dozens."""
_MOST_NAMED: Final = 5
_LINES_AT_ONCE: Final = 512
_ROW: Final = re.compile(rb"<(?:[\w.-]{1,64}:)?row[\s/>]")
_LONGEST_NAME: Final = 80
_LONGEST_HEAD: Final = 1 << 18
"""Bytes at the start of a worksheet that are searched for its `<cols>`."""
_COLUMN: Final = re.compile(rb"<(?:[\w.-]{1,64}:)?col\s([^<>]*)>")
_ATTRIBUTE: Final = re.compile(rb"(\w+)\s*=\s*[\"']([^\"']*)[\"']")
_READ_SIZE: Final = 1 << 16
_OLD_KINDS: Final = frozenset({".xls", ".xlsb", ".ods"})


class _Workbook(Protocol):
    """A workbook, open."""

    remarks: list[Text]
    """Remarks about the reading; complete when all lines were read."""

    @property
    def tabs(self) -> Sequence[tuple[str, bool]]:
        """The worksheets, and whether each is visible."""

    def head(self, tab: str) -> Sequence[Line]:
        """The first lines of a worksheet."""

    def unmerged(self, tab: str, head: Sequence[Line], /) -> Sequence[Line]:
        """The first lines; cells merged downwards are repeated in each line they cover."""

    def hidden_columns(self, tab: str, /) -> Container[int]:
        """The hidden columns, from 0, if the file says which."""

    def may_hold_rows(self, tab: str, /) -> bool:
        """Whether a worksheet that cannot be read may contain rows."""

    def chunks(self, tab: str, hidden: set[int]) -> Generator[Chunk, None, None]:
        """All lines of a worksheet; adds the numbers of hidden lines to `hidden` on the way."""


@contextmanager
def open_sheet(path: Path, endpoint: Endpoint, options: ReadOptions) -> Iterator[Stream]:
    """The sheet in a workbook."""
    filetype.require_workbook(path)
    with ExitStack() as stack:
        if path.suffix.lower() in _OLD_KINDS:
            book: _Workbook = _LegacyWorkbook(
                stack.enter_context(IsolatedReader(path, "foreign")), path.suffix.lower()
            )
        else:
            book = _xlsx(path, stack)
        tab = _choose(path.name, book, endpoint, options)
        hidden: set[int] = set()
        layout = Layout(
            kind=path.suffix.lower().lstrip("."), header_row=tab.header.number, tab=tab.name
        )
        # Closed here: after a refusal the generator would keep the file open.
        rows = stack.enter_context(closing(book.chunks(tab.name, hidden)))
        chunks = _below(rows, tab.header.number, endpoint)
        yield Stream(
            path.name, layout, tab.header.names, chunks, hidden=hidden, hide=options.hidden,
            remarks=(*_remarks(tab), *_hidden_columns(book, tab, endpoint, options)),
            late_remarks=book.remarks, notes_beside=True,
        )  # fmt: skip


def grid(path: Path, tab: str) -> Grid:
    """All cells of a worksheet of an xlsx workbook read before."""
    filetype.require_workbook(path)
    hidden: set[int] = set()
    with ExitStack() as stack:
        book = _xlsx(path, stack)
        chunks = book.chunks(tab, hidden)
        cells = {number: row for chunk in chunks for number, row in zip(*chunk, strict=True)}
        return Grid(cells, frozenset(hidden), is_cut=book.is_wide)


def _below(chunks: Iterable[Chunk], header: int, endpoint: Endpoint) -> Iterator[Chunk]:
    for numbers, rows in chunks:
        above = sum(number <= header for number in numbers[:HEADER_WITHIN])
        if above and numbers[above - 1] == header:
            _require_own_names(rows[above - 1], endpoint)
        yield (numbers[above:], rows[above:]) if above else (numbers, rows)


def _require_own_names(header: table.Cells, endpoint: Endpoint) -> None:
    """Refuse a header cell merged over several columns: all but the first would be ignored.

    Raises:
        UnreadableSheet: the header has such a cell.

    """
    for cell in header:
        match cell:
            case FlaggedCell(code="cell.merged", value=str(name), args={"range": merged}) if (
                _is_flat(merged) and endpoint.column_for(name)
            ):
                raise UnreadableSheet(
                    "The header {column} is merged over {range}; unmerge it, and give each column"
                    " a name of its own.",
                    column=name,
                    range=merged,
                )


def _is_flat(merged: str) -> bool:
    """Whether a range has several columns and one row; taller ones are found in the rows.

    >>> _is_flat("B1:C1"), _is_flat("B1:B3"), _is_flat("B1:C3")
    (True, False, False)
    """
    first, _, last = merged.partition(":")
    letters = [end.rstrip("0123456789") for end in (first, last)]
    return letters[0] != letters[1] and first[len(letters[0]) :] == last[len(letters[1]) :]


def _remarks(tab: "_Tab") -> Iterator[Text]:
    yield from table.header_remark(tab.header)
    if tab.passed_over:
        said = "What cannot be read in the workbook was passed over: the worksheet {known}."
        yield Text(said, {"known": str(_name_list(tab.passed_over))})


def _hidden_columns(
    book: _Workbook, tab: "_Tab", endpoint: Endpoint, options: ReadOptions
) -> Iterator[Text]:
    """The remark that hidden columns are read, too."""
    hidden, mapped = book.hidden_columns(tab.name), set(map(fold, options.mapping))
    names = [
        " ".join(name.split())
        for index, name in enumerate(tab.header.names)
        if index in hidden and (endpoint.column_for(name) or fold(name) in mapped)
    ]
    if names:
        said = _HIDDEN_COLUMN if len(names) == 1 else _HIDDEN_COLUMNS
        yield Text(said, {"known": ", ".join(names)})


_HIDDEN_COLUMN: Final = marked(
    "The column {known} is hidden and is read like the others; delete it if it is not meant."
)
_HIDDEN_COLUMNS: Final = marked(
    "The columns {known} are hidden and are read like the others; delete those that are not meant."
)


# ------------------------------------------------------------------ which worksheet


@dataclass(frozen=True, slots=True)
class _Tab:
    name: str
    header: Header
    head: Sequence[Line] = ()
    passed_over: Sequence[str] = ()
    """Names of the worksheets that cannot be read."""


def _choose(name: str, book: _Workbook, endpoint: Endpoint, options: ReadOptions) -> _Tab:
    """The worksheet to read: the one asked for, or the only one with a header row."""
    names = [tab for tab, _ in book.tabs]
    if options.tab is not None and options.tab not in names:
        raise UnreadableSheet(
            "{name} has no worksheet {tab!r}; it has {known}.",
            name=name,
            tab=options.tab,
            known=_name_list(names),
        )
    wanted = [t for t, visible in book.tabs if visible] if options.tab is None else [options.tab]
    if len(wanted) > _MOST_TABS:
        raise UnreadableSheet(
            "{name} has {n} worksheets; choose one with --sheet.", name=name, n=len(wanted)
        )
    tabs, unreadable = _tabs_with_header(wanted, book, endpoint, options)
    likely = [tab for tab in tabs if tab.header.matches >= _FEWEST_HEADERS] or tabs
    if not likely and unreadable:
        raise next(iter(unreadable.values()))
    if holding := [title for title in unreadable if book.may_hold_rows(title)]:
        raise UnreadableSheet(
            "{name}: the worksheet {tab!r} cannot be read and may hold the rows that are meant;"
            " remove it, or choose the worksheet to read with --sheet.",
            name=name,
            tab=holding[0],
        )
    if not likely and options.tab is None:
        _refuse_hidden(name, book, endpoint, options)
    if not likely:
        head = book.head(wanted[0]) if len(wanted) == 1 else ()
        raise table.no_header(_place(name, options.tab), endpoint, head)
    if len(likely) > 1:
        raise UnreadableSheet(
            "{name} has more than one worksheet to read: {known}; choose one with --sheet.",
            name=name,
            known=_name_list([tab.name for tab in likely]),
        )
    (tab,) = likely
    table.require_one_row_header(tab.head, tab.header, endpoint, options.mapping)
    return replace(tab, passed_over=tuple(unreadable))


def _tabs_with_header(
    titles: Sequence[str], book: _Workbook, endpoint: Endpoint, options: ReadOptions
) -> tuple[list[_Tab], dict[str, UnreadableSheet]]:
    """The worksheets with a header row, and the errors of those that cannot be read."""
    tabs: list[_Tab] = []
    unreadable: dict[str, UnreadableSheet] = {}
    for title in titles:
        try:
            tab = _tab(book, title, endpoint, options)
        except UnreadableSheet as exc:
            unreadable[title] = exc
        else:
            tabs += () if tab is None else (tab,)
    return tabs, unreadable


def _refuse_hidden(name: str, book: _Workbook, endpoint: Endpoint, options: ReadOptions) -> None:
    """Raise UnreadableSheet if only a hidden worksheet has a header row."""
    hidden = [title for title, visible in book.tabs if not visible]
    for title in hidden[:_MOST_TABS]:
        found = _tab(book, title, endpoint, options)
        if found is not None and found.header.matches >= _FEWEST_HEADERS:
            raise UnreadableSheet(
                "{name} has no header row in a worksheet that is shown, but {tab!r}, which is"
                " hidden, has one; unhide it, or choose it with --sheet.",
                name=name,
                tab=title,
            )


def _place(name: str, tab: str | None) -> str | Text:
    if tab is None:
        return name
    return Text("The worksheet {tab} of {name}", {"tab": repr(tab), "name": name})


def _name_list(names: Sequence[str]) -> str | Text:
    """The names as one text; of many only the first `_MOST_NAMED`."""
    shown = ", ".join(map(repr, names[:_MOST_NAMED]))
    more = len(names) - _MOST_NAMED
    return Text("{names}, {n} more", {"names": shown, "n": str(more)}) if more > 0 else shown


def _tab(book: _Workbook, title: str, endpoint: Endpoint, options: ReadOptions) -> _Tab | None:
    head = book.head(title)
    header = table.find_header(head, endpoint, options.mapping)
    if header is not None and table.second_header_row(head, header, endpoint, options.mapping):
        head = book.unmerged(title, head)
        header = table.find_header(head, endpoint, options.mapping)
    return None if header is None else _Tab(title, header, head)


# ------------------------------------------------------------------ xlsx


def _xlsx(path: Path, stack: ExitStack) -> "_Xlsx":
    """Open a workbook with the fast reader; the reference reader serves unusual markup."""
    packed = stack.enter_context(ZipFile(path))
    structural = [n for n in packed.namelist() if n.lower().endswith((".rels", "workbook.xml"))]
    filetype.require_plain_parts(packed, structural, path)
    structure = ooxml.read_package(packed)

    @cache
    def reference() -> IsolatedReader:
        return stack.enter_context(IsolatedReader(path, "reference"))

    return _Xlsx(path, packed, structure, _strings(path, packed, structure), reference)


def _strings(path: Path, packed: ZipFile, structure: Package) -> Sequence[str]:
    if structure.strings is None:
        return ()
    filetype.require_plain_strings(packed, structure.strings, path)
    with packed.open(structure.strings) as part:
        try:
            return list(xlsx_fast.plain_strings(part))
        except UnsupportedMarkup:
            pass
    with packed.open(structure.strings) as part:
        return [xlsx_fast.cell_text(text) for text in xlsx_fast.shared_strings(part)]


@dataclass(slots=True)
class _Xlsx:
    """An xlsx workbook; the reference reader takes over at markup `xlsx_fast` does not support."""

    path: Path
    packed: ZipFile
    structure: Package
    strings: Sequence[str]
    reference: Callable[[], IsolatedReader]
    remarks: list[Text] = field(default_factory=list)
    is_wide: bool = False
    """Whether a worksheet has cells beyond the columns that are read."""

    @property
    def tabs(self) -> Sequence[tuple[str, bool]]:
        return [(tab.name, tab.is_visible) for tab in self.structure.tabs]

    def head(self, tab: str) -> Sequence[Line]:
        found = xlsx_fast.ScanState(set())
        lines: list[Line] = []
        try:
            with self.packed.open(self._part(tab)) as part:
                for numbers, rows in xlsx_fast.chunks(
                    part, Cells(self.structure, self.strings), found
                ):
                    lines += zip(numbers, rows, strict=True)
                    if len(lines) >= HEADER_WITHIN:
                        break
        except UnsupportedMarkup:
            filetype.require_plain_parts(self.packed, [self._part(tab)], self.path)
            lines += [line for line in self.reference().head(tab) if line[0] > found.last_row]
        except (BadZipFile, zlib.error, EOFError) as exc:
            raise UnreadableSheet(
                "The worksheet {tab!r} is damaged; open the workbook in a spreadsheet program and"
                " save it again.",
                tab=tab,
            ) from exc
        return lines[:HEADER_WITHIN]

    def unmerged(self, tab: str, head: Sequence[Line], /) -> Sequence[Line]:
        names = filetype.merged_ranges(self.packed, self._part(tab), self.path)
        lines = {number: list(cells) for number, cells in head}
        for column, top, end, last in map(annotations.bounds, names):
            above = lines.get(top, [])
            if end != column + 1 or column >= len(above):
                continue
            for number in range(top + 1, min(last, HEADER_WITHIN) + 1):
                if number in lines:
                    line = lines[number]
                    line += [None] * (column + 1 - len(line))
                    line[column] = above[column]
        return list(lines.items())

    def chunks(self, tab: str, hidden: set[int]) -> Generator[Chunk, None, None]:
        part = self._part(tab)
        ranges = filetype.merged_ranges(self.packed, part, self.path)
        return self._chunks(tab, hidden, annotations.merged(map(annotations.bounds, ranges)))

    def hidden_columns(self, tab: str, /) -> Container[int]:
        with self.packed.open(self._part(tab)) as part:
            head = part.read(_LONGEST_HEAD).partition(b"sheetData")[0]
        hidden: set[int] = set()
        for attributes in _COLUMN.findall(head):
            said = dict(_ATTRIBUTE.findall(attributes))
            first, last = (said.get(name, b"") for name in (b"min", b"max"))
            if said.get(b"hidden") in {b"1", b"true"} and first.isdigit() and last.isdigit():
                hidden.update(range(int(first) - 1, min(int(last), table.WIDEST)))
        return hidden

    def may_hold_rows(self, tab: str, /) -> bool:
        """Whether a row tag is found in the worksheet's bytes."""
        tail = b""
        try:
            with self.packed.open(self._part(tab)) as part:
                while piece := part.read(_READ_SIZE):
                    if _ROW.search(tail + piece):
                        return True
                    tail = piece[-_LONGEST_NAME:]
        except UnreadableSheet:  # the file does not contain that worksheet
            return False
        except (BadZipFile, zlib.error, EOFError):
            return True
        return False

    def _part(self, tab: str) -> str:
        return annotations.part_of(self.structure, tab)

    def _chunks(self, tab: str, hidden: set[int], merged: Merged) -> Generator[Chunk, None, None]:
        found = xlsx_fast.ScanState(hidden)
        cells = Cells(self.structure, self.strings)
        with self.packed.open(self._part(tab)) as part:
            try:
                for numbers, rows in xlsx_fast.chunks(part, cells, found):
                    yield numbers, (_flag_merged(numbers, rows, merged) if merged else rows)
            except UnsupportedMarkup:
                yield from self._rest_by_reference(tab, found)
        self.is_wide |= found.is_wide

    def _rest_by_reference(self, tab: str, found: xlsx_fast.ScanState) -> Iterator[Chunk]:
        """The lines after the last one that the fast reader could read."""
        # Checked here, because the child's answer would depend on the parsers installed.
        filetype.require_plain_parts(self.packed, [self._part(tab)], self.path)
        child = self.reference()
        child.choose(tab)
        later = (
            ((number, cells), is_hidden)
            for (number, cells), is_hidden in child.lines()
            if number > found.last_row
        )
        yield from _in_chunks(later, found.hidden)


def _flag_merged(
    numbers: Sequence[int], rows: Sequence[table.Cells], merged: Merged
) -> list[table.Cells]:
    found = annotations.Annotations(merged=merged)
    return [
        found.flag(number, row, width=len(row)) for number, row in zip(numbers, rows, strict=True)
    ]


# ------------------------------------------------------------------ xls, xlsb and ods


@dataclass(slots=True)
class _LegacyWorkbook:
    """A workbook that is read in a child process only."""

    child: IsolatedReader
    kind: str
    tabs: Sequence[tuple[str, bool]] = field(init=False)
    remarks: list[Text] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tabs = self.child.tabs()

    def head(self, tab: str) -> Sequence[Line]:
        return self.child.head(tab)

    def unmerged(self, _: str, head: Sequence[Line], /) -> Sequence[Line]:
        """The first lines as they are: the readers of these kinds rarely report merged cells."""
        return head

    def hidden_columns(self, _: str, /) -> Container[int]:
        """No columns: the readers of these kinds do not report hidden ones."""
        return ()

    def may_hold_rows(self, _: str, /) -> bool:
        """Always True: nothing shows that a worksheet of these kinds is empty."""
        return True

    def chunks(self, tab: str, hidden: set[int]) -> Generator[Chunk, None, None]:
        if self.child.choose(tab):
            said = (
                "Of this {kind} file error cells look blank and hidden rows like others; save it "
                "as .xlsx to have them told."
            )
            self.remarks.append(Text(said, {"kind": self.kind}))
        yield from _in_chunks(self.child.lines(), hidden)


def _in_chunks(lines: Iterator[tuple[Line, bool]], hidden: set[int]) -> Iterator[Chunk]:
    """The lines, some hundreds at a time."""
    for first in lines:
        some = [first, *islice(lines, _LINES_AT_ONCE - 1)]
        hidden.update(number for (number, _), is_hidden in some if is_hidden)
        yield [number for (number, _), _ in some], [cells for (_, cells), _ in some]
