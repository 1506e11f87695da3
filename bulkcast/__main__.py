"""`bulkcast` and `python -m bulkcast`: the command line."""

import gc
import sys
from typing import Final

_COLLECTED_EVERY: Final = (50_000, 20, 100)
"""Thresholds of the garbage collector for this process, which is bulkcast's own.

The rows of a sheet live until the end and form no cycles; with the default thresholds they are
scanned again and again.
"""


def main() -> None:
    """Run the command line and exit with its status."""
    gc.set_threshold(*_COLLECTED_EVERY)
    try:
        # Imported here, because Ctrl-C may come while modules load.
        from bulkcast.cli import run  # noqa: PLC0415 - inside try

        status = run(sys.argv[1:])
    except BaseException as exc:
        if not _is_ctrl_c(exc):
            raise
        status = 130
    sys.exit(status)


def _is_ctrl_c(exc: BaseException | None) -> bool:
    """Whether Ctrl-C caused an error: during a class definition it shows as a RuntimeError."""
    passed: set[int] = set()  # chains of exceptions may be circular
    while exc is not None and id(exc) not in passed:
        passed.add(id(exc))
        if isinstance(exc, KeyboardInterrupt):
            return True
        exc = exc.__cause__ or exc.__context__
    return False


if __name__ == "__main__":
    main()
