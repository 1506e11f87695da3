"""The command line: parses, calls one use case, prints, and chooses the exit status.

    app                                         the commands: light, for `--help` must not wait
    params                                      their options, as click parses them
    command_options, run_options                what was asked, as typed values
    validate, apply, runs, demo, explain        what the commands do; loaded by who needs them
    console, render, progress, json_output      how it is shown: to people, and as JSON
    signals, streams, exit_status               what can come in between

Data goes to stdout, progress and prose to stderr; cells are untrusted wherever they are shown.
"""

from bulkcast.cli.app import run

__all__ = ["run"]
