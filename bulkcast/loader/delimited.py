"""Sheets in delimited text: csv and tsv."""

import csv
import io
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Final

from bulkcast.catalogue import Endpoint
from bulkcast.errors import CannotStart, UnreadableSheet
from bulkcast.loader import decoding, table
from bulkcast.loader.options import ReadOptions
from bulkcast.loader.table import HEADER_WITHIN, Header, Line
from bulkcast.model import Layout, RawRow, Sheet, Text
from bulkcast.quoting import unguard
from bulkcast.wording import marked

_DELIMITERS: Final = (",", ";", "\t", "|")
_USUAL: Final = {".csv": ",", ".tsv": "\t"}
_TAB_WORDS: Final = ("tab", "\\t")
_OTHER_FILES: Final = (
    (b"PK\x03\x04", marked("a zip archive, perhaps a workbook; rename it to .xlsx")),
    (
        b"\xd0\xcf\x11\xe0",
        marked("an old or encrypted workbook; save it as .xlsx without a password"),
    ),
)


def read(path: Path, endpoint: Endpoint, options: ReadOptions) -> Sheet:
    """The sheet in a csv or tsv file."""
    usual = _USUAL[path.suffix.lower()]
    text = _Text(path.name, endpoint, options, usual)
    decoded = decoding.decode(
        _bytes(path), name=path.name, encoding=options.encoding, score=text.best_score
    )
    told, body = _announced(decoded.text)
    delimiter = _asked(options) or told or text.guess(body)
    remarks = [decoded.remark] if decoded.remark else []
    if not options.delimiter and not told and delimiter != usual:
        spoken = "tabs" if delimiter == "\t" else delimiter
        remarks.append(Text("The cells were taken to be separated by {d}.", {"d": spoken}))
    lines = _lines(body, delimiter, path.name, skipped_lines=1 if told else 0)
    head = list(islice(lines, HEADER_WITHIN))
    header = table.find_header(head, endpoint, options.mapping)
    if header is None:
        raise table.no_header(path.name, endpoint)
    layout = Layout(
        kind=path.suffix.lower().lstrip("."),
        header_row=header.number,
        encoding=decoded.encoding,
        delimiter=delimiter,
    )
    return _sheet(path.name, layout, header, chain(head, lines), remarks)


def _bytes(path: Path) -> bytes:
    raw = path.read_bytes()
    if not raw.strip():
        raise UnreadableSheet("{name} is empty.", name=path.name)
    for magic, what in _OTHER_FILES:
        if raw.startswith(magic):
            raise UnreadableSheet("{name} is no text but {what}.", name=path.name, what=what)
    return raw


def _asked(options: ReadOptions) -> str | None:
    if options.delimiter is None:
        return None
    delimiter = "\t" if options.delimiter in _TAB_WORDS else options.delimiter
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise CannotStart(
            "--delimiter {delimiter!r} is not one character, or `tab`.", delimiter=options.delimiter
        )
    return delimiter


def _announced(text: str) -> tuple[str | None, str]:
    """The delimiter of a first line such as `sep=;`, which Excel obeys and hides, and the rest."""
    first, end, rest = text.partition("\n")
    line = first.rstrip("\r").strip('"')
    if len(line) == 5 and line.lower().startswith("sep="):
        return line[4], rest if end else ""
    return None, text


class _Text:
    """How well a text reads with one delimiter or another."""

    def __init__(self, name: str, endpoint: Endpoint, options: ReadOptions, usual: str) -> None:
        self._name, self._endpoint, self._options = name, endpoint, options
        asked = _asked(options)
        others = tuple(d for d in _DELIMITERS if d != usual)
        self._candidates = (asked,) if asked else (usual, *others)

    def guess(self, text: str) -> str:
        """The delimiter with which the header names the most columns; the usual one of equals."""
        return max(self._candidates, key=lambda delimiter: self._score(text, delimiter))

    def best_score(self, text: str) -> int:
        """How many columns the header names, with whichever delimiter."""
        return max(self._score(text, delimiter) for delimiter in self._candidates)

    def _score(self, text: str, delimiter: str) -> int:
        try:
            head = list(islice(_lines(text, delimiter, self._name), HEADER_WITHIN))
        except UnreadableSheet:
            return 0
        header = table.find_header(head, self._endpoint, self._options.mapping)
        return header.matches if header else 0


def _lines(text: str, delimiter: str, name: str, *, skipped_lines: int = 0) -> Iterator[Line]:
    """The records of `text`, numbered as a spreadsheet shows them; blank lines count."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    begun = 0
    try:
        for number, record in enumerate(reader, start=1):
            yield number, record
            begun = reader.line_num
    except csv.Error as exc:
        line = begun + 1 + skipped_lines
        raise UnreadableSheet(
            "{name}, line {line}: {what}", name=name, line=line, what=_explained(str(exc))
        ) from exc


def _explained(error: str) -> Text:
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


def _sheet(
    name: str, layout: Layout, header: Header, lines: Iterator[Line], remarks: list[Text]
) -> Sheet:
    own = table.own_columns(header.names)
    below = (line for line in lines if line[0] > header.number)
    if header.is_result_sheet:
        below = ((number, [unguard(str(cell)) for cell in cells]) for number, cells in below)
    tally = table.Tally()
    rows: tuple[RawRow, ...] = tuple(
        table.rows(below, width=len(header.names), own=own, tally=tally, hidden=(), hide="include")
    )
    names = header.names
    if header.is_result_sheet:
        names = tuple(map(unguard, names))
    return Sheet(name, layout, names, rows, (*remarks, *table.remarks(tally, "include")))
