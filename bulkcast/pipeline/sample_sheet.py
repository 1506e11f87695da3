"""The sample term, for who has no sheet of their own yet."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib.resources import as_file, files
from pathlib import Path

from bulkcast.endpoints import WEBCAST
from bulkcast.pipeline.options import SheetOptions, zone


def sample_term(target: Path, *, now: float | None = None) -> int:
    """Write the sample term with its classes in the future; return the weeks they were moved.

    `now` in Unix seconds; None for the present.
    """
    from bulkcast.reporter import sample

    at = time.time() if now is None else now
    local = datetime.fromtimestamp(at, zone(SheetOptions().tz)).replace(tzinfo=None)
    with samples() as folder:
        return sample.lay_out(folder / "term.xlsx", target, WEBCAST, now=local)


@contextmanager
def samples() -> Iterator[Path]:
    """The sample term's folder: inside the package if installed, beside it in a checkout."""
    package = files("bulkcast")
    with as_file(package / "_samples") as installed, as_file(package) as here:
        yield installed if installed.is_dir() else here.parent / "samples" / "term"
