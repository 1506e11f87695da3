"""Where the rows of a sheet come from: a file, or a DataFrame that a program has in memory."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bulkcast import loader
from bulkcast.catalogue import Endpoint
from bulkcast.model import Cell

if TYPE_CHECKING:
    from bulkcast.frames import DataFrame

FRAME_NAME: Final = "DataFrame"
"""What a DataFrame is called that was given no name."""


@dataclass(frozen=True, slots=True)
class Source:
    """A sheet that is about to be read."""

    path: Path
    """The file, or for a DataFrame the file that one of its name would be."""
    stream: Callable[[], AbstractContextManager[loader.Stream]]
    """Opens it; it may be opened again."""
    cells: Mapping[int, Sequence[Cell]] | None = None
    """Row → all of its cells, of a sheet that lies in no file."""


def source_of(
    given: "Path | str | DataFrame", name: str, endpoint: Endpoint, options: loader.ReadOptions
) -> Source:
    """The file at a path, or a DataFrame that is called `name`.

    Raises:
        UnreadableSheet: a DataFrame's columns or cells are none that a sheet can have.
        TypeError: it is neither.

    """
    if isinstance(given, Path | str):
        path = Path(given)
        return Source(path, lambda: loader.stream(path, endpoint=endpoint, options=options))
    from bulkcast import frames

    if not isinstance(given, frames.DataFrame):
        raise TypeError(f"a path or a pandas.DataFrame is needed, not {type(given).__name__}")
    lines = frames.lines_of(given, name=name, endpoint=endpoint, options=options)
    return Source(
        Path(f"{name}.{frames.KIND}"),
        lambda: nullcontext(frames.stream_of(lines, name=name, options=options)),
        dict(lines),
    )
