"""The command line: parses, calls one use case, prints, and chooses the exit status.

    app                                         the commands: light, for `--help` must not wait
    params, help                                their options, as click parses them; their help
    context                                     what was asked, as typed values, and for whom
    validate, apply, runs, demo, explain        what the commands do; loaded by who needs them
    render, run_view                            problems and plans, and runs, for people to read
    console, progress, json_output              how it is shown: to people, and as JSON
    signals, streams, exit_status               what can come in between

Data goes to stdout, progress and prose to stderr; cells are untrusted wherever they are shown.
"""

from bulkcast.cli.app import run

__all__ = ["run"]
