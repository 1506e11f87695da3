"""The command line: a door that parses, calls one use case, prints, and chooses the exit status.

    app         the commands and their options: light, for `--help` must not wait
    options     what may be asked;  asked: what was, as the use cases want it
    checking, sending, looking, playing, story      what the commands do; loaded by who needs them
    console, render, progress, documents            how it is shown: to people, and as JSON
    signals, streams, failures                      what can come in between

Data goes to stdout, progress and prose to stderr; cells are untrusted wherever they are shown.
"""

from bulkcast.cli.app import run

__all__ = ["run"]
