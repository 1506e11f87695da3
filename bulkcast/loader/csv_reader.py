"""Reads csv and tsv files: delimiter, records, and rows swallowed by an open quote."""

import csv
import io
import re
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import chain, islice
from pathlib import Path
from typing import Final, TextIO, cast

from bulkcast.catalogue import Endpoint, IdKind
from bulkcast.csv_format import declared_delimiter, unguard
from bulkcast.errors import CannotStart, UnreadableSheet
from bulkcast.i18n import marked
from bulkcast.loader import encoding, filetype, table
from bulkcast.loader.encoding import EncodingConfidence
from bulkcast.loader.table import (
    HEADER_WITHIN,
    Cells,
    Chunk,
    Head,
    ReadOptions,
    Stream,
    is_results,
)
from bulkcast.model import COLUMNS_MAX, Issue, Layout, Text, column_letters
from bulkcast.problems import issue

_ID: Final = re.compile(r"\s*\"?[0-9]{4,19}\"?\s*")
_MOST_ISSUES: Final = 20


class SwallowedRows:
    """Finds cells that contain whole rows, usually because of a quote that is never closed."""

    def __init__(
        self, headers: Sequence[str], endpoint: Endpoint, mapping: Mapping[str, str], delimiter: str
    ) -> None:
        self._delimiter = delimiter
        columns = table.mapped_columns(headers, endpoint, mapping)
        self._ids = [i for i, c in enumerate(columns) if c and isinstance(c.kind, IdKind)]
        self._found: list[Issue] = []

    def examine(self, numbers: Sequence[int], rows: Sequence[Cells]) -> None:
        """Examine some rows."""
        for number, row in zip(numbers, rows, strict=True):
            if len("".join(cast("Sequence[str]", row)).splitlines()) < 2:
                continue  # the usual case
            for index, cell in enumerate(row):
                if isinstance(cell, str) and self._delimiter in cell:
                    self._examine(number, index, cell)

    def _examine(self, number: int, index: int, cell: str) -> None:
        _, *lines = cell.splitlines()
        ids = [found for line in lines if (found := self._id(line))]
        if ids and len(self._found) < _MOST_ISSUES:
            place = f"{column_letters(index)}{number}"
            self._found.append(
                issue(
                    "cell.holds_rows",
                    cell=place,
                    place=place,
                    row_number=str(number),
                    n=str(len(ids)),
                    ids=", ".join(ids[:3]) + ("…" if len(ids) > 3 else ""),
                )
            )

    def _id(self, line: str) -> str | None:
        """The id in a line that looks like a row; None for any other line."""
        cells = line.split(self._delimiter)
        places = (i for i in self._ids if i < len(cells) - (i == 0))
        found = (cells[i].strip(' "\t') for i in places if _ID.fullmatch(cells[i]))
        return next(found, None)

    def issues(self) -> tuple[Issue, ...]:
        """The issues found."""
        return tuple(self._found)


_DELIMITERS: Final = (",", ";", "\t", "|", "，")
_USUAL_DELIMITER: Final = {".csv": ",", ".tsv": "\t"}
_TAB_WORDS: Final = ("tab", "\\t")
Records = tuple[range, list[list[str]]]
"""The numbers of some consecutive records, and the records."""

_RECORDS_AT_ONCE: Final = 512
"""Records read at once; so few stay in the processor's cache while they are checked."""
_SAMPLE_BYTES: Final = 4096
_BLANK: Final = b" \t\r\n\xef\xbb\xbf"
_OTHER_FILES: Final = (
    (b"PK\x03\x04", Text("a zip archive, perhaps a workbook; rename it to .xlsx")),
    (b"%PDF", Text("a PDF document; give the spreadsheet it was made from")),
    (
        b"\xd0\xcf\x11\xe0",
        Text("an old or encrypted workbook; save it as .xlsx without a password"),
    ),
)


@contextmanager
def open_sheet(path: Path, endpoint: Endpoint, options: ReadOptions) -> Iterator[Stream]:
    """The sheet in a csv or tsv file."""
    _refuse_other_files(path)
    usual = _USUAL_DELIMITER[path.suffix.lower()]
    guess = _DelimiterGuess(endpoint, options, usual)
    found = encoding.detect(path, encoding=options.encoding, score=guess.best_score)
    declared = declared_delimiter(io.StringIO(found.head, newline="").readline())
    delimiter = _requested_delimiter(options) or declared or guess.delimiter(found.head)
    remarks = [found.remark] if found.remark else []
    if not options.delimiter and not declared and delimiter != usual:
        remarks.append(_delimiter_remark(delimiter))
    with path.open(encoding=found.encoding, newline="") as file:
        records = _Records(path, file, found.encoding, delimiter, skipped=1 if declared else 0)
        stream = _stream(path, records, endpoint, options, tuple(remarks))
        swallowed = SwallowedRows(stream.headers, endpoint, options.mapping, delimiter)
        confidence = EncodingConfidence(found, stream.headers, endpoint, options.mapping)
        stream.chunks = _observe(stream.chunks, swallowed, confidence)
        stream.issues = lambda: (*confidence.issues(), *swallowed.issues())
        yield stream


def first_lines(path: Path, endpoint: Endpoint, options: ReadOptions) -> Head:
    """The first lines of a csv or tsv file."""
    _refuse_other_files(path)
    guess = _DelimiterGuess(endpoint, options, _USUAL_DELIMITER[path.suffix.lower()])
    found = encoding.detect(path, encoding=options.encoding, score=guess.best_score)
    declared = declared_delimiter(io.StringIO(found.head, newline="").readline())
    delimiter = _requested_delimiter(options) or declared or guess.delimiter(found.head)
    with path.open(encoding=found.encoding, newline="") as file:
        records = _Records(path, file, found.encoding, delimiter, skipped=1 if declared else 0)
        with closing(records.chunks()) as chunks:
            first = next(chunks, (range(0), []))
    lines = list(zip(*first, strict=True))
    header = table.find_header(lines, endpoint, options.mapping, options.header_row)
    return Head(
        lines, header.number if header else None, encoding=found.encoding, delimiter=delimiter
    )


def lines(path: Path, layout: Layout) -> dict[int, list[str]]:
    """Row → its cells, of a file read before."""
    with path.open(encoding=layout.encoding, newline="") as file:
        skipped = 1 if declared_delimiter(file.readline()) else 0
        file.seek(0)
        records = _Records(path, file, layout.encoding, layout.delimiter, skipped=skipped)
        found = {n: row for some in records.chunks() for n, row in zip(*some, strict=True)}
    if not is_results(found.get(layout.header_row, ())):
        return found
    return {number: list(map(unguard, row)) for number, row in found.items()}


def _observe(
    chunks: Iterable[Chunk], swallowed: SwallowedRows, confidence: EncodingConfidence
) -> Iterator[Chunk]:
    for numbers, rows in chunks:
        swallowed.examine(numbers, rows)
        confidence.examine(rows)
        yield numbers, rows


def _delimiter_remark(delimiter: str) -> Text:
    if delimiter == "\t":
        return Text("The cells were taken to be separated by tabs.")
    return Text("The cells were taken to be separated by {d}.", {"d": delimiter})


def _stream(
    path: Path,
    records: "_Records",
    endpoint: Endpoint,
    options: ReadOptions,
    remarks: tuple[Text, ...],
) -> Stream:
    chunks = records.chunks()
    numbers, head = next(chunks, (range(0), []))
    header = table.find_header(
        zip(numbers, head, strict=True), endpoint, options.mapping, options.header_row
    )
    if header is None:
        raise table.no_header(path.name, endpoint, zip(numbers, head, strict=True))
    table.require_one_row_header(zip(numbers, head, strict=True), header, endpoint, options.mapping)
    layout = Layout(
        kind=path.suffix.lower().lstrip("."),
        header_row=header.number,
        encoding=records.encoding,
        delimiter=records.delimiter,
    )
    rest: Iterator[Records] = chain([(numbers[header.number :], head[header.number :])], chunks)
    names = header.names
    if is_results(names):
        names = tuple(map(unguard, names))
        rest = ((n, [list(map(unguard, row)) for row in rows]) for n, rows in rest)
    return Stream(
        path.name, layout, names, rest, hidden=set(), hide="include",
        remarks=(*remarks, *table.header_remark(header)),
        late_remarks=records.remarks,
    )  # fmt: skip


def _refuse_other_files(path: Path) -> None:
    """Refuse files that are no text, whatever their name."""
    with path.open("rb") as file:
        start = file.read(_SAMPLE_BYTES)
        pieces = chain([start], iter(lambda: file.read(1 << 20), b""))
        if not any(piece.strip(_BLANK) for piece in pieces):
            raise UnreadableSheet("{name} is empty.", name=path.name)
    for magic, what in _OTHER_FILES:
        if start.startswith(magic):
            raise UnreadableSheet("{name} is no text but {what}.", name=path.name, what=what)
    filetype.require_no_other(start, path)


def _requested_delimiter(options: ReadOptions) -> str | None:
    if options.delimiter is None:
        return None
    delimiter = "\t" if options.delimiter in _TAB_WORDS else options.delimiter
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise CannotStart(
            "--delimiter {delimiter!r} is not one character, or `tab`.", delimiter=options.delimiter
        )
    return delimiter


class _DelimiterGuess:
    """Counts the columns a header names with each possible delimiter."""

    def __init__(self, endpoint: Endpoint, options: ReadOptions, usual: str) -> None:
        self._endpoint, self._mapping = endpoint, options.mapping
        requested = _requested_delimiter(options)
        self._candidates = (requested,) if requested else dict.fromkeys((usual, *_DELIMITERS))

    def delimiter(self, text: str) -> str:
        """The delimiter with which the header names the most columns; at a tie the usual one."""
        return max(self._candidates, key=lambda delimiter: self._score(text, delimiter))

    def best_score(self, text: str) -> int:
        """The most columns the header names with any delimiter."""
        return max(self._score(text, delimiter) for delimiter in self._candidates)

    def _score(self, text: str, delimiter: str) -> int:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        try:
            head = list(enumerate(islice(reader, HEADER_WITHIN), start=1))
        except csv.Error:
            return 0
        header = table.find_header(head, self._endpoint, self._mapping)
        return header.matches if header else 0


def _limit_width(lines: Iterable[str], delimiter: str, name: str, skipped: int) -> Iterator[str]:
    """Pass the lines on while no row has more columns than a spreadsheet can have.

    The csv module builds a row as a whole: millions of empty cells would fill the memory.

    Raises:
        UnreadableSheet: a row is wider.

    """
    row = _DelimiterCount(delimiter)
    begun = 1 + skipped
    for number, line in enumerate(lines, start=begun):
        if not row.is_open:
            if '"' not in line and len(line) < COLUMNS_MAX:
                yield line  # the usual case
                continue
            row.delimiters, begun = 0, number
        row.take(line)
        if row.delimiters >= COLUMNS_MAX:
            raise UnreadableSheet(
                "{name}, line {line}: the row has more than {most} columns, which no spreadsheet "
                "has; delete the delimiters behind its last cell.",
                name=name,
                line=begun,
                most=COLUMNS_MAX,
            )
        yield line


class _DelimiterCount:
    """Counts the delimiters of a row line by line."""

    def __init__(self, delimiter: str) -> None:
        self._signs = re.compile(f'["{re.escape(delimiter)}]')
        self.is_open = False
        """Whether the last line ends within quotes."""
        self.delimiters = 0

    def take(self, line: str) -> None:
        """Count the delimiters of a line outside quotes."""
        after = 0  # only a quote at this position opens a cell
        for sign in self._signs.finditer(line):
            if self.delimiters >= COLUMNS_MAX:
                return
            if sign[0] != '"':
                self.delimiters += not self.is_open
                after = after if self.is_open else sign.end()
            elif self.is_open or sign.start() == after:
                self.is_open, after = not self.is_open, sign.end()


class _Records:
    """The records of a file, numbered as a spreadsheet shows them; blank lines count."""

    def __init__(
        self, path: Path, file: TextIO, encoding: str, delimiter: str, *, skipped: int
    ) -> None:
        self._path, self._file, self._skipped = path, file, skipped
        self.encoding, self.delimiter = encoding, delimiter
        self.remarks: list[Text] = []
        """Complete when the last record was read."""
        for _ in range(skipped):
            file.readline()

    def chunks(self) -> Generator[Records, None, None]:
        """The first few lines, then some hundreds at a time.

        Raises:
            UnreadableSheet: a record is malformed; the sentence says where.

        """
        lines = _limit_width(self._file, self.delimiter, self._path.name, self._skipped)
        reader = csv.reader(lines, delimiter=self.delimiter, strict=True)
        n, at_once = 0, HEADER_WITHIN
        try:
            while rows := list(islice(reader, at_once)):
                yield range(n + 1, n + 1 + len(rows)), rows
                n, at_once = n + len(rows), _RECORDS_AT_ONCE
        except csv.Error as exc:
            line = self._first_bad_line()
            raise UnreadableSheet(
                "{name}, line {line}: {what}",
                name=self._path.name,
                line=line,
                what=_csv_error(str(exc)),
            ) from exc
        except UnicodeDecodeError as exc:
            raise encoding.invalid_bytes(self._path, self.encoding) from exc
        if reader.line_num > n:
            count = {"lines": str(reader.line_num), "rows": str(n)}
            said = marked("The file's {lines} lines are {rows} rows: some cells hold line breaks.")
            if n == 1:
                said = marked("The file's {lines} lines are 1 row: some cells hold line breaks.")
            self.remarks.append(Text(said, count))

    def _first_bad_line(self) -> int:
        """The line in which the first record begins that cannot be read."""
        begun = self._skipped
        with self._path.open(encoding=self.encoding, newline="") as file:
            for _ in range(self._skipped):
                file.readline()
            reader = csv.reader(file, delimiter=self.delimiter, strict=True)
            with suppress(csv.Error):
                for _ in reader:
                    begun = self._skipped + reader.line_num
        return begun + 1


def _csv_error(error: str) -> Text:
    if "unexpected end of data" in error:
        return Text("a quote is opened in this line and never closed; close it, or double it.")
    if "field larger" in error:
        return Text(
            "a cell is longer than {n} characters; a quote opened in this line is probably never "
            "closed.",
            {"n": str(csv.field_size_limit())},
        )
    if "expected after" in error:
        return Text("a cell goes on after its closing quote; double the quotes that belong to it.")
    return Text("the line cannot be read: {error}.", {"error": error})
