"""`bulkcast` and `python -m bulkcast`: the command line."""

import sys


def main() -> None:
    """Carry out the command line this process was given, and exit with its status."""
    try:
        # Its modules take a moment to load, in which Ctrl-C may come.
        from bulkcast.cli import run  # noqa: PLC0415 - as said

        status = run(sys.argv[1:])
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)


if __name__ == "__main__":
    main()
