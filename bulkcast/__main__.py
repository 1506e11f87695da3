"""`bulkcast` and `python -m bulkcast`: the command line."""

import gc
import sys
from typing import Final

_COLLECTED_EVERY: Final = (50_000, 20, 100)
"""Thresholds of the garbage collector for this process, which is bulkcast's own.

The rows of a sheet live until the end and hold no cycles; Python's own thresholds have them looked
through again and again.
"""


def main() -> None:
    """Carry out the command line this process was given, and exit with its status."""
    gc.set_threshold(*_COLLECTED_EVERY)
    try:
        # Its modules take a moment to load, in which Ctrl-C may come.
        from bulkcast.cli import run  # noqa: PLC0415 - as said

        status = run(sys.argv[1:])
    except BaseException as exc:
        if not _is_ctrl_c(exc):
            raise
        status = 130
    sys.exit(status)


def _is_ctrl_c(exc: BaseException | None) -> bool:
    """Whether Ctrl-C is behind an error: where a class is made, it comes as a RuntimeError."""
    passed: set[int] = set()  # one that is raised from its own consequence goes in a circle
    while exc is not None and id(exc) not in passed:
        passed.add(id(exc))
        if isinstance(exc, KeyboardInterrupt):
            return True
        exc = exc.__cause__ or exc.__context__
    return False


if __name__ == "__main__":
    main()
