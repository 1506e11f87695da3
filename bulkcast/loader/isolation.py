"""Runs parsers in a child process with limits, because a file may crash them or fill the memory."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Protocol, Self, cast

from bulkcast.errors import BulkcastError, UnreadableSheet
from bulkcast.i18n import dump_args, load_args, marked
from bulkcast.loader.table import HEADER_WITHIN, WIDEST, Line
from bulkcast.model import COLUMNS_MAX, Cell, FlaggedCell, Scalar

_SECONDS: Final = 120
"""Time limit for a whole file; the largest possible sheets take a minute."""
_DATA_BYTES: Final = 240 * 2**20
"""Bytes of data the child may use; with interpreter and libraries it stays below 300 MB."""


class IsolatedReader:
    """A workbook that a child process reads."""

    def __init__(self, path: Path, kind: str) -> None:
        self._name = path.name
        self._child = subprocess.Popen(  # noqa: S603  # our own module, and a path as an argument
            (sys.executable, "-m", __name__, kind, str(path.absolute())),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="ascii",
            env=_environment(),
        )
        self._requests = cast("IO[str]", self._child.stdin)
        self._answers = cast("IO[str]", self._child.stdout)
        self._deadline = threading.Timer(_SECONDS, self._child.kill)
        self._deadline.daemon = True

    def __enter__(self) -> Self:
        self._deadline.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._deadline.cancel()
        self._child.kill()
        # Waits, and closes both pipes.
        self._child.communicate()

    def tabs(self) -> list[tuple[str, bool]]:
        """Each worksheet's name, and whether it is visible."""
        return [(name, visible) for name, visible in self._ask("tabs")]

    def head(self, tab: str) -> list[Line]:
        """The first lines of a worksheet."""
        return [_decode_line(*line) for line in self._ask("head", tab)]

    def choose(self, tab: str) -> bool:
        """Ask for the lines of a worksheet; True if its error cells and hidden rows look plain."""
        return self._ask("lines", tab) is True

    def _ask(self, what: str, tab: str = "") -> Any:
        # A child that cannot open the file reports it and ends; `_answer` reads that report.
        with suppress(OSError):
            self._requests.write(json.dumps([what, tab]) + "\n")
            self._requests.flush()
        return self._answer()

    def lines(self) -> Iterator[tuple[Line, bool]]:
        """Every line of the chosen worksheet, and whether it is hidden."""
        while (answer := self._answer()) is not None:
            number, cells, is_hidden = answer
            yield _decode_line(number, cells), is_hidden

    def _answer(self) -> Any:
        line = self._answers.readline()
        if not line.endswith("\n"):
            raise self._broken()
        answer = json.loads(line)
        if isinstance(answer, dict):
            raise UnreadableSheet(
                "{name}: {sentence}",
                name=self._name,
                sentence=UnreadableSheet(answer["refused"], **load_args(answer["words"])),
            )
        return answer

    def _broken(self) -> UnreadableSheet:
        if not self._deadline.is_alive():
            return UnreadableSheet(
                "{name} took more than {seconds} seconds to read and was given up; save its "
                "rows as CSV UTF-8.",
                name=self._name,
                seconds=_SECONDS,
            )
        return UnreadableSheet(
            "{name} is damaged, or far larger than it looks, and cannot be read; copy "
            "its rows into a new workbook.",
            name=self._name,
        )


def _environment() -> Mapping[str, str]:
    """The environment of the child: where modules are found, and no secrets."""
    kept = {"PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "HOME", "LANG", "VIRTUAL_ENV"}
    found = {name: value for name, value in os.environ.items() if name.upper() in kept}
    # Where NumPy is installed openpyxl loads it, and its threads would need more than the limit.
    threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return {**found, **threads, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def _decode_line(number: int, cells: Sequence[Any]) -> Line:
    return number, tuple(map(_decode, cells))


def _decode(cell: Any) -> Cell:
    match cell:
        case {"moment": str(moment)}:
            return datetime.fromisoformat(moment)
        case {"flagged": [code, shown, value, args]}:
            return FlaggedCell(code, shown, cast("Scalar", _decode(value)), args)
        case _:
            return cast("Cell", cell)


# ------------------------------------------------------------------ the child process


class Parser(Protocol):
    """A workbook that this process reads."""

    def tabs(self) -> list[tuple[str, bool]]:
        """The worksheets, and whether each is visible."""

    def head(self, tab: str) -> Iterator[Line]:
        """The lines of a worksheet; the caller takes only the first few."""

    def lines(self, tab: str) -> Iterator[tuple[Line, bool]]:
        """Every line of a worksheet, and whether it is hidden."""

    def is_incomplete(self, tab: str) -> bool:
        """Whether error cells of a worksheet look blank, and hidden rows like others."""


def _encode_line(line: Line) -> tuple[int, list[object]]:
    number, cells = line
    return number, list(map(_encode, cells))


def _encode(cell: Cell) -> object:
    match cell:
        case datetime():
            return {"moment": cell.isoformat()}
        case FlaggedCell():
            return {"flagged": [cell.code, cell.shown, _encode(cell.value), dict(cell.args)]}
        case _:
            return cell


def _send(answer: object) -> None:
    # json writes ASCII only, so neither the locale nor lone surrogates matter.
    sys.stdout.write(json.dumps(answer) + "\n")


def _refuse(refusal: BulkcastError) -> None:
    # Template and arguments are sent separately, so that the parent can translate the sentence.
    _send({"refused": refusal.text.template, "words": dump_args(refusal.text.args)})


def _serve(kind: str, path: str) -> None:
    book = _open(kind, Path(path))
    for request in sys.stdin:
        with _report_errors():
            _reply(book, *json.loads(request))
        sys.stdout.flush()


def _reply(book: Parser, what: str, tab: str) -> None:
    match what:
        case "tabs":
            _send(book.tabs())
        case "head":
            _send([_encode_line(line) for line in islice(book.head(tab), HEADER_WITHIN)])
        case _:
            _send(book.is_incomplete(tab))
            for line, is_hidden in book.lines(tab):
                _send([*_encode_line(line), is_hidden])
            _send(None)


def _open(kind: str, path: Path) -> Parser:
    # Imported after the limits were set, and in the child only.
    if kind == "xlsx":
        from bulkcast.loader import xlsx_reader

        return xlsx_reader.XlsxParser(path)
    from bulkcast.loader import legacy_readers

    return legacy_readers.open_workbook(path, widest=COLUMNS_MAX if kind == "whole" else WIDEST)


def _limit() -> None:
    try:
        import resource  # not on Windows
    except ImportError:
        return
    for what, most in ((resource.RLIMIT_DATA, _DATA_BYTES), (resource.RLIMIT_CPU, _SECONDS)):
        _, hard = resource.getrlimit(what)
        resource.setrlimit(what, (most, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _main(arguments: Sequence[str]) -> None:
    kind, path = arguments
    _limit()
    with _report_errors():
        _serve(kind, path)


@contextmanager
def _report_errors() -> Iterator[None]:
    """Report every exception to the parent as a refusal."""
    try:
        yield
    except BulkcastError as exc:
        _refuse(exc)
    except MemoryError:
        _refuse(UnreadableSheet(_TOO_LARGE))
    # The parsers raise anything on a damaged file; the user gets a sentence, not a traceback.
    except Exception:  # noqa: BLE001  # the door of this process
        _refuse(UnreadableSheet(_DAMAGED))


_TOO_LARGE: Final = marked("The workbook is too large to be unpacked safely; save it as CSV UTF-8.")
_DAMAGED: Final = marked("The workbook is damaged; open it and save it again as .xlsx.")


if __name__ == "__main__":
    _main(sys.argv[1:])
