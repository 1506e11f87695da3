"""Runs parsers that a file may crash, or make fill the memory, in a process of their own."""

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
from typing import IO, TYPE_CHECKING, Any, Final, Self

from bulkcast.errors import BulkcastError, UnreadableSheet
from bulkcast.i18n import marked
from bulkcast.loader.table import HEADER_WITHIN, WIDEST, Line
from bulkcast.model import Cell, FlaggedCell

if TYPE_CHECKING:
    from bulkcast.loader.legacy_readers import LegacyWorkbook

_SECONDS: Final = 120
"""For all of a file; the largest sheets that the programs can hold take a minute."""
_WHOLE: Final = 16_384
"""Columns of a sheet, all of them."""
_MEMORY: Final = 240 * 2**20
"""Of the child's own data; with the interpreter and its libraries it stays below 300 MB."""


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
        return [(name, visible) for name, visible in self._list("tabs")]

    def head(self, tab: str) -> list[Line]:
        """The first lines of a worksheet."""
        return [(number, tuple(map(_read, cells))) for number, cells in self._list("head", tab)]

    def choose(self, tab: str) -> bool:
        """Ask for the lines of a worksheet; whether its error cells and hidden rows look plain."""
        return self._ask("lines", tab) is True

    def _list(self, what: str, tab: str = "") -> list[Any]:
        answer = self._ask(what, tab)
        if not isinstance(answer, list):
            raise self._broken()
        return answer

    def _ask(self, what: str, tab: str) -> Any:
        pipe = self._pipe(self._child.stdin)
        # A child that cannot open the file says so and ends; its words are worth more.
        with suppress(OSError):
            pipe.write(json.dumps([what, tab]) + "\n")
            pipe.flush()
        return self._answer()

    def lines(self) -> Iterator[tuple[Line, bool]]:
        """Every line of the chosen worksheet, and whether it is hidden."""
        while (answer := self._answer()) is not None:
            number, is_hidden, cells = answer
            yield (number, tuple(map(_read, cells))), is_hidden

    def _answer(self) -> Any:
        line = self._pipe(self._child.stdout).readline()
        if not line.endswith("\n"):
            raise self._broken()
        answer = json.loads(line)
        if isinstance(answer, dict):
            raise UnreadableSheet(
                "{name}: {sentence}",
                name=self._name,
                sentence=UnreadableSheet(answer["refused"], **answer["words"]),
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

    def _pipe(self, pipe: IO[str] | None) -> IO[str]:
        if pipe is None:
            raise self._broken()
        return pipe


def _environment() -> Mapping[str, str]:
    """What the child needs of the parent's: where modules are found, and no secret."""
    kept = {"PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "HOME", "LANG", "VIRTUAL_ENV"}
    found = {name: value for name, value in os.environ.items() if name.upper() in kept}
    # Where NumPy is installed openpyxl loads it, and its threads would need more than the limit.
    threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return {**found, **threads, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def _read(cell: Any) -> Cell:
    match cell:
        case {"moment": str(moment)}:
            return datetime.fromisoformat(moment)
        case {"flagged": [str(code), str(shown), value, dict(args)]}:
            plain = _read(value)
            return FlaggedCell(code, shown, None if isinstance(plain, FlaggedCell) else plain, args)
        case None | bool() | int() | float() | str():
            return cell
        case _:
            raise UnreadableSheet("The workbook's reader answered with something that is no cell.")


# ------------------------------------------------------------------ the child


def _written(cell: Cell) -> object:
    match cell:
        case datetime():
            return {"moment": cell.isoformat()}
        case FlaggedCell():
            return {"flagged": [cell.code, cell.shown, _written(cell.value), dict(cell.args)]}
        case _:
            return cell


def _say(answer: object) -> None:
    # `ascii` on the pipe, so that no lone surrogate or locale comes in between.
    sys.stdout.write(json.dumps(answer) + "\n")


def _refuse(refusal: BulkcastError) -> None:
    # Told apart, so that the parent can say it in the language of whoever reads it.
    words = {name: str(word) for name, word in refusal.words.items()}
    _say({"refused": refusal.template, "words": words})


def _serve(kind: str, path: str) -> None:
    book = _opened(kind, Path(path))
    for asked in sys.stdin:
        with _told():
            _tell(book, *json.loads(asked))
        sys.stdout.flush()


def _tell(book: "LegacyWorkbook", what: str, tab: str) -> None:
    match what:
        case "tabs":
            _say(book.tabs())
        case "head":
            head = islice(book.head(tab), HEADER_WITHIN)
            _say([(number, list(map(_written, cells))) for number, cells in head])
        case _:
            _say(book.untold(tab))
            for (number, cells), is_hidden in book.lines(tab):
                _say([number, is_hidden, list(map(_written, cells))])
            _say(None)


def _opened(kind: str, path: Path) -> "LegacyWorkbook":
    # Imported after the limits were set, and in the child only.
    if kind == "reference":
        from bulkcast.loader import xlsx_reader

        return xlsx_reader.Reference(path)
    from bulkcast.loader import legacy_readers

    return legacy_readers.opened(path, widest=_WHOLE if kind == "whole" else WIDEST)


def _limit() -> None:
    try:
        import resource  # not on Windows
    except ImportError:
        return
    for what, most in ((resource.RLIMIT_DATA, _MEMORY), (resource.RLIMIT_CPU, _SECONDS)):
        _, hard = resource.getrlimit(what)
        resource.setrlimit(what, (most, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _main(arguments: Sequence[str]) -> None:
    kind, path = arguments
    _limit()
    with _told():
        _serve(kind, path)


@contextmanager
def _told() -> Iterator[None]:
    """Whatever goes wrong is said to the parent."""
    try:
        yield
    except BulkcastError as exc:
        _refuse(exc)
    except MemoryError:
        _refuse(UnreadableSheet(_TOO_LARGE))
    # The parsers raise whatever a damaged file leads them to; a file is never worth a traceback.
    except Exception:  # noqa: BLE001  # the door of this process
        _refuse(UnreadableSheet(_DAMAGED))


_TOO_LARGE: Final = marked("The workbook is too large to be unpacked safely; save it as CSV UTF-8.")
_DAMAGED: Final = marked("The workbook is damaged; open it and save it again as .xlsx.")


if __name__ == "__main__":
    _main(sys.argv[1:])
