"""What may be asked: the options, in the groups that commands share.  Light: `--help` loads it."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from bulkcast.cli import words
from bulkcast.cli.values import (
    Day,
    Duration,
    FilePath,
    Mapped,
    Most,
    RowNumbers,
    State,
    Statuses,
)
from bulkcast.languages import LANGS

_Command = TypeVar("_Command", bound=Callable[..., Any])
Decorator = Callable[[_Command], _Command]

# ------------------------------------------------------------------ groups


def _together(*decorators: Decorator[Any]) -> Decorator[Any]:
    """Several options as one decorator, listed by `--help` in this order."""

    def decorate(command: Any) -> Any:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


PATH: Final = FilePath()

sheet = click.argument("sheet", type=PATH)
world = click.option("--world", type=PATH, metavar="FILE", help="What the sandbox plays (JSON).")
force = click.option("--force", is_flag=True, help="Replace a file that exists.")
results = click.option(
    "--results", "-o", type=PATH, metavar="FILE",
    help="Where the result sheet goes, and as what: .xlsx, .csv or .tsv.",
)  # fmt: skip
lang = click.option(
    "--lang", type=click.Choice(LANGS), default=lambda: words.spoken().lang,
    show_default=False, help="Language: en or zh; else the terminal's.",
)  # fmt: skip
sandbox = click.option(
    "--sandbox", is_flag=True, help="A stand-in for ClassIn on this computer; no account needed."
)
profile = click.option("--profile", metavar="NAME", help="A profile of config.toml.")

as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
voice = _together(
    as_json,
    click.option("--quiet", "-q", is_flag=True, help="Say only what went wrong."),
    click.option("--verbose", "-v", is_flag=True, help="Say more: notes, where a defect lies."),
    lang,
)

parsing = _together(
    click.option("--sheet", "tab", metavar="NAME", help="The worksheet of a workbook."),
    click.option("--encoding", metavar="NAME", help="Of a csv file: utf-8, gb18030 …"),
    click.option("--delimiter", metavar="CHAR", help="Of a csv file: a character, or `tab`."),
    click.option(
        "--map", "mapping", type=Mapped(), multiple=True,
        help="Which setting a column holds; repeatable.",
    ),
    click.option(
        "--hidden", type=click.Choice(["include", "skip"]), default="include", show_default=True,
        help="What becomes of hidden rows.",
    ),
)  # fmt: skip
reading = _together(
    parsing,
    click.option(
        "--duplicates", type=click.Choice(["error", "in-order", "last"]), default="error",
        show_default=True, help="Rows that set one classroom differently.",
    ),
    click.option("--strict", is_flag=True, help="Take warnings for errors."),
    click.option(
        "--tz", default="Asia/Shanghai", show_default=True, metavar="ZONE",
        help="Time zone of the sheet's times, and of all times told of its run.",
    ),
)  # fmt: skip

choosing = _together(
    click.option("--rows", type=RowNumbers(), help="Only these rows, such as 5,9-20."),
    click.option(
        "--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N of them."
    ),
)


def _any_of(_ctx: click.Context, _param: click.Parameter, values: Any) -> Any:
    """One set of all that was given, None where nothing was."""
    return frozenset().union(*values) if values else None


only = click.option(
    "--only", type=Statuses(), multiple=True, callback=_any_of,
    help="Of a result sheet, only rows so marked: rejected,invalid …",
)  # fmt: skip
only_written = click.option(
    "--only", type=Statuses(), multiple=True, callback=_any_of,
    help="Only rows that ended so, such as rejected,invalid; with -o.",
)  # fmt: skip

remembering = _together(
    click.option(
        "--changed-only", is_flag=True,
        help="Skip rows acknowledged as they are; changes in ClassIn's console are not seen.",
    ),
    click.option(
        "--send-free", is_flag=True,
        help="Of a locked row that was last set as it wants, send the settings still free.",
    ),
)  # fmt: skip
guarding = _together(
    click.option(
        "--max-changes", type=Most(), help="Hold a plan that would send more rows than this."
    ),
    click.option(
        "--approve", metavar="FINGERPRINT", help="Of the plan that --max-changes held, looked at."
    ),
)
which_runs = _together(
    click.option(
        "--state", type=State(), help="Only runs that are so far."
    ),
    click.option("--sheet", "name", metavar="TEXT", help="Only runs of sheets so named."),
    click.option(
        "--since", type=Day(),
        help="Only from this day on, by the time zone of the run's sheet: 2027-03-01.",
    ),
    click.option("--until", type=Day(), help="Only up to this day."),
)  # fmt: skip

pace = click.option(
    "--rate", default="950/min", show_default=True, metavar="RATE", help="Such as 950/min or 5/s."
)
sending = _together(
    pace,
    click.option(
        "--concurrency", type=click.IntRange(1, 256), default=32, show_default=True, metavar="N",
        help="Requests under way at once.",
    ),
    click.option(
        "--timeout", type=Duration("s", 0.1, 300), default="20s", show_default=True,
        help="For one answer.",
    ),
    click.option(
        "--max-outage", type=Duration("m", 0, 86400), default="45m", show_default=True,
        help="How long to wait while ClassIn is out of reach or maintained: its maintenance has"
        " lasted 5 to 7 hours; 8h waits for that.",
    ),
)  # fmt: skip
agreeing = _together(
    click.option("--yes", "-y", is_flag=True, help="Do not ask."),
    click.option("--dry-run", "-n", is_flag=True, help="Stop after the plan; send nothing."),
    click.option("--all", "all_", is_flag=True, help="List every warning, however many."),
    click.option(
        "--on-invalid", type=click.Choice(["skip", "stop"]), default="skip", show_default=True,
        help="What to do with the other rows where some are invalid.",
    ),
)  # fmt: skip
