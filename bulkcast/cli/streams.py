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
"""What writing fails with once nobody reads: EIO where the terminal is gone, EINVAL on Windows."""


class BrokenPipeSafeStream(io.TextIOBase):
    """A stream that goes on in silence once its reader has left, or once it takes no more.

    `failure` is why it takes no more, where its reader has not left; `told`: that was said.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._deserted = False
        self.failure: OSError | None = None
        self.told = False

    @property
    def encoding(self) -> str:  # type: ignore[override] # the attribute is only read here
        """The encoding beneath; UTF-8 where it does not tell."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        """Whether a person may be looking."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """The descriptor beneath."""
        return self._stream.fileno()

    def writable(self) -> bool:
        """Always."""
        return True

    @property
    def buffer(self) -> BinaryIO:
        """What takes bytes: click writes a shell's completions so."""
        return self._stream.buffer

    def write(self, text: str) -> int:
        """Write `text`, or drop it where nobody reads."""
        with self._surviving():
            if not self._deserted:
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Hand on what is buffered; nothing where the stream is closed, as when Python ends."""
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
        """Let what is still buffered go nowhere, so that the exit does not stumble over it."""
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


def make_safe() -> None:
    r"""Give both streams an encoding that takes any text, and let them survive their readers.

    Redirected, they are UTF-8, as files and pipes are expected to be wherever they are read later;
    on a console its own encoding stays, and what that lacks is written as `\u2713`.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by who started us, or there is no console
            stream = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - to the very end
        if isinstance(stream, io.TextIOWrapper):
            encoding = None if stream.isatty() else "utf-8"
            stream.reconfigure(encoding=encoding, errors="backslashreplace")
        if not isinstance(stream, BrokenPipeSafeStream):
            setattr(sys, name, BrokenPipeSafeStream(stream))


def failure(name: str) -> OSError | None:
    """Why `stdout` or `stderr` takes no more, after what is still buffered was handed on."""
    stream = getattr(sys, name)
    if not isinstance(stream, BrokenPipeSafeStream):
        return None
    stream.flush()
    return stream.failure


def untold() -> Iterator[tuple[str, OSError]]:
    """The streams that take no more, each with the reason, and each once in a process."""
    for name in ("stdout", "stderr"):
        why, stream = failure(name), getattr(sys, name)
        if why and not stream.told:
            stream.told = True
            yield name, why


def complain(text: str, *, as_json: bool) -> None:
    """Write a line on stderr; on stdout where that takes no more, unless an object stands there."""
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
    """Whether a person can read a question and answer it."""
    return bool(sys.stdin and sys.stdin.isatty() and sys.stderr and sys.stderr.isatty())
