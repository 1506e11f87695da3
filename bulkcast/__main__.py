"""`bulkcast` and `python -m bulkcast`: the command line."""

import sys

from bulkcast.cli import run


def main() -> None:
    """Carry out the command line this process was given, and exit with its status."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
