"""Private files: only their owner reads them; they are written whole or not at all."""

import os
import tempfile
from pathlib import Path


def make_private(folder: Path) -> Path:
    """Make a folder that only its owner can look into, and return it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def write_private(path: Path, content: str | bytes) -> None:
    """Write a file that only its owner can read; the old one stays if that fails.

    Raises:
        OSError: the folder cannot be written.

    """
    make_private(path.parent)
    # mkstemp makes files of mode 0600 under a name nobody can foresee.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        os.replace(name, path)  # noqa: PTH105 - of a name, not a path
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
