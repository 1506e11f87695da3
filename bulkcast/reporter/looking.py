"""A patched workbook is read again before anyone gets it."""

from collections.abc import Mapping
from pathlib import Path
from typing import IO
from xml.parsers import expat
from zipfile import ZipFile

from bulkcast.model import ResultRow
from bulkcast.reporter.package import Unpatchable
from bulkcast.reporter.rows import Row, RowStream


def verify(
    path: Path, old: ZipFile, part: str, results: Mapping[int, ResultRow], n_rows: int
) -> None:
    """Read the draft of `old` again: same parts, XML in `part`, `n_rows` rows, each its status.

    Raises:
        Unpatchable: something is missing; the cause is a file unlike any the patch was made for.

    """
    with ZipFile(path) as new:
        if new.namelist() != old.namelist():
            raise Unpatchable("a part was lost")
        with new.open(part) as file:
            checked = _Checked(file)
            stream = RowStream(checked)
            n_told = sum(_is_told(row, results.get(row.number)) for row in stream.rows())
            checked.end()
    if n_told != n_rows:
        raise Unpatchable(f"{n_told} of {n_rows} rows are as written")


def n_told(path: Path, part: str, results: Mapping[int, ResultRow]) -> int:
    """How many rows of a workbook's `part` have a result and say its status.

    Raises:
        Unpatchable: the part is not as a workbook's has to be.

    """
    with ZipFile(path) as new, new.open(part) as file:
        checked = _Checked(file)
        rows = RowStream(checked).rows()
        n = sum(row.number in results and _is_told(row, results[row.number]) for row in rows)
        checked.end()
    return n


def _is_told(row: Row, result: ResultRow | None) -> bool:
    """Whether the row says its result's status."""
    return result is None or f">{result.status.value}</".encode() in row.body


class _Checked:
    """A file of XML that a real parser reads along with: expat, since it builds nothing."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._parser = expat.ParserCreate()

    def read(self, size: int, /) -> bytes:
        """The next bytes, which were XML so far."""
        chunk = self._file.read(size)
        self._parse(chunk, is_last=False)
        return chunk

    def end(self) -> None:
        """Whether what was read is a whole document."""
        self._parse(b"", is_last=True)

    def _parse(self, chunk: bytes, *, is_last: bool) -> None:
        try:
            self._parser.Parse(chunk, is_last)
        except expat.ExpatError as exc:
            raise Unpatchable(str(exc)) from exc
