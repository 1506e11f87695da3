"""Standard output and error: any text can be written, and a reader that left is no error."""

import contextlib
import errno
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, TextIO

_READER_LEFT: Final = frozenset({errno.EPIPE, errno.EIO, errno.EINVAL})
"""Errors of writing without a reader: EIO if the terminal is gone, EINVAL on Windows."""


class BrokenPipeSafeStream(io.TextIOBase):
    """A stream that drops its output once its reader has left or writing has failed.

    `failure` is why writing failed, unless the reader has left; `reported`: that was told.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._deserted = False
        self.failure: OSError | None = None
        self.reported = False

    @property
    def encoding(self) -> str:  # type: ignore[override] # the attribute is only read here
        """The underlying encoding; UTF-8 if unknown."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        """Whether the stream is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """The underlying file descriptor."""
        return self._stream.fileno()

    def writable(self) -> bool:
        """Always."""
        return True

    @property
    def buffer(self) -> BinaryIO:
        """The binary stream, which click uses for shell completion."""
        return self._stream.buffer

    def write(self, text: str) -> int:
        """Write `text`, or drop it if there is no reader."""
        with self._surviving():
            if not self._deserted:
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the buffer; do nothing if the stream is closed, as at Python's exit."""
        with self._surviving():
            if not (self._deserted or self._stream.closed):
                self._stream.flush()

    @contextlib.contextmanager
    def _surviving(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            if exc.errno not in _READER_LEFT:
                self.failure = exc
            self._deserted = True
            self._silence()

    def _silence(self) -> None:
        """Discard the buffer, so that flushing it at exit does not fail."""
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


def make_safe() -> None:
    r"""Make both streams accept any text and survive the loss of their readers.

    Redirected, they are UTF-8, as is expected of files and pipes; a console keeps its own encoding,
    and characters missing there are written as `\u2713`.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the parent process, or there is no console
            stream = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - to the very end
        if isinstance(stream, io.TextIOWrapper):
            encoding = None if stream.isatty() else "utf-8"
            stream.reconfigure(encoding=encoding, errors="backslashreplace")
        if not isinstance(stream, BrokenPipeSafeStream):
            setattr(sys, name, BrokenPipeSafeStream(stream))


def failure(name: str) -> OSError | None:
    """Why `stdout` or `stderr` cannot be written, after a flush; None if it can."""
    stream = getattr(sys, name)
    if not isinstance(stream, BrokenPipeSafeStream):
        return None
    stream.flush()
    return stream.failure


def unreported() -> Iterator[tuple[str, OSError]]:
    """The streams that cannot be written, with the reason; each once in a process."""
    for name in ("stdout", "stderr"):
        why, stream = failure(name), getattr(sys, name)
        if why and not stream.reported:
            stream.reported = True
            yield name, why


def complain(text: str, *, as_json: bool) -> None:
    """Write a line to stderr, or if that fails to stdout, unless stdout holds JSON."""
    sys.stderr.write(text + "\n")
    if failure("stderr") and not as_json:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def can_show(text: str, stream: TextIO) -> bool:
    """Whether the encoding of `stream` has every character of `text`."""
    try:
        text.encode(stream.encoding or "ascii")
    except (UnicodeError, LookupError):
        return False
    return True


def is_interactive() -> bool:
    """Whether the user can see a question and answer it."""
    return bool(sys.stdin and sys.stdin.isatty() and sys.stderr and sys.stderr.isatty())
