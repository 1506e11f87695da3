"""The options, in the groups that commands share, and their parameter types."""

import math
import os
import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from bulkcast.cli import language
from bulkcast.cli.language import current_translator, tr
from bulkcast.languages import LANGS
from bulkcast.model import RowStatus

ROW_MOST: Final = 2_000_000
"""The largest accepted row number: twice that of a worksheet."""


_Value = TypeVar("_Value")


class Parsed(click.ParamType[_Value]):
    """An option's value, which `read` makes of its text or refuses with `click.BadParameter`."""

    def __init__(self, name: str, read: Callable[[str], _Value]) -> None:
        self.name = name
        self._read = read

    def convert(
        self,
        value: Any,
        param: click.Parameter | None,  # noqa: ARG002 - click's
        ctx: click.Context | None,  # noqa: ARG002 - click's
    ) -> _Value:
        """The value; what is no text has been made already."""
        made: _Value = self._read(value) if isinstance(value, str) else value
        return made


def _row_numbers(text: str) -> frozenset[int]:
    """The numbers in `5,9-20`, ranges filled in."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        numbers = _range(first.strip(), last.strip() if dash else first.strip())
        if numbers is None:
            said = "{part!r} is no row; give rows such as 5,9-20, up to {most}"
            raise click.BadParameter(tr(said, part=part.strip(), most=ROW_MOST))
        found.update(numbers)
    return frozenset(found)


def _range(first: str, last: str) -> range | None:
    plain = all(t.isascii() and t.isdigit() and len(t) <= 7 for t in (first, last))
    if not plain or not 1 <= int(first) <= int(last) <= ROW_MOST:
        return None
    return range(int(first), int(last) + 1)


def _statuses(text: str) -> frozenset[RowStatus]:
    """The statuses in `rejected,invalid`: words of the result sheet, or as displayed."""
    found: set[RowStatus] = set()
    for word in re.split("[,，、]", text):
        status = language.status_of(word)
        if status is None:
            known = current_translator().listed(language.statuses())
            raise click.BadParameter(
                tr("{word!r} is none of {known}", word=word.strip(), known=known)
            )
        found.add(status)
    return frozenset(found)


def _state(text: str) -> str:
    """The state of a run: a word of `runs --json`, or as displayed."""
    found = language.state_of(text)
    if found is None:
        known = current_translator().listed(language.states())
        raise click.BadParameter(tr("{word!r} is none of {known}", word=text, known=known))
    return found


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        said = "{value!r} is no day; give one such as 2027-03-01"
        raise click.BadParameter(tr(said, value=text)) from None


def _mapped(text: str) -> tuple[str, str]:
    """Header and key, separated by the last `=`, as headers may contain one."""
    header, equals, key = text.rpartition("=")
    if not equals or not header.strip() or not key.strip():
        said = '{value!r} is not of the form "column of the sheet=setting"'
        raise click.BadParameter(tr(said, value=text))
    return header.strip(), key.strip()


def amount(name: str, least: float, most: float) -> Parsed[float]:
    """The type of a finite number between two bounds."""

    def read(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not least <= number <= most:
            bounds = {"least": f"{least:g}", "most": f"{most:g}"}
            said = "{value!r} is not between {least} and {most}"
            raise click.BadParameter(tr(said, value=text, **bounds))
        return number

    return Parsed(name, read)


def duration(unit: str, least: float, most: float) -> Parsed[float]:
    """The type of `90s`, `45m` or `8h`, in seconds; a number alone has the unit `unit`.

    `least` and `most` are in seconds.
    """

    def read(text: str) -> float:
        match = _DURATION.fullmatch(text.lower())
        factor = _SECONDS_OF.get(match[2] or unit) if match else None
        seconds = float(match[1]) * factor if match and factor else math.nan
        if not least <= seconds <= most:
            said = (
                "{value!r} is no time between {least} and {most}; give one such as 90s, 45m or 8h"
            )
            bounds = {"least": _spelled(least), "most": _spelled(most)}
            raise click.BadParameter(tr(said, value=text, **bounds))
        return seconds

    return Parsed("TIME", read)


_DURATION: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)\s*", re.ASCII)
_SECONDS_OF: Final = {
    "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0,
}  # fmt: skip


def _spelled(seconds: float) -> str:
    for unit in ("h", "m"):
        if seconds and seconds % _SECONDS_OF[unit] == 0:
            return f"{seconds / _SECONDS_OF[unit]:g}{unit}"
    return f"{seconds:g}s"


def _age(text: str) -> float:
    """The seconds in `30d` or `12h`."""
    plain = text.strip().lower()
    number, unit = plain[:-1], plain[-1:]
    if unit not in _AGES or not (number.isascii() and number.isdigit() and len(number) <= 6):
        said = "{value!r} is no age; give one such as 30d or 12h"
        raise click.BadParameter(tr(said, value=text))
    return int(number) * _SECONDS_OF[unit]


_AGES: Final = frozenset({"d", "h"})


def _most(text: str) -> tuple[float, str]:
    """`200` rows or `10%` of the sheet's: the number and its unit, `rows` or `%`."""
    plain = text.strip()
    unit = "%" if plain.endswith("%") else "rows"
    number = plain.removesuffix("%").strip()
    is_number = number.isascii() and number.isdigit() and len(number) <= 7
    if not is_number or (unit == "%" and int(number) > 100):
        said = "{value!r} is neither a number of rows nor a share such as 10%"
        raise click.BadParameter(tr(said, value=text))
    return float(number), unit


class FilePath(click.Path):
    """A path; `-` is refused, as other programs take it for a stream."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:
        """The path."""
        if os.fspath(value) == "-":
            said = "'-' is no file's name, and sheets are no streams; give a file"
            self.fail(tr(said), param, ctx)
        return super().convert(value, param, ctx)


def complete_runs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:  # noqa: ARG001 - click's
    """Shell completion for RUN: all runs, rehearsals too, newest first."""
    from click.shell_completion import CompletionItem

    from bulkcast.cli import context
    from bulkcast.config import SANDBOX_FOLDER
    from bulkcast.errors import BulkcastError
    from bulkcast.pipeline import runs_called

    try:
        real = context.home(context.Destination(sandbox=bool(ctx.params.get("sandbox"))))
        tried = real / SANDBOX_FOLDER
        found = [*runs_called(real, incomplete), *runs_called(tried, incomplete)]
    except (BulkcastError, ImportError, OSError):  # completion cannot show an error
        return []
    return [CompletionItem(run) for run in found]


def complete_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:  # noqa: ARG001 - click's
    """Shell completion for `explain`."""
    from click.shell_completion import CompletionItem

    from bulkcast.cli import explain

    return [CompletionItem(name) for name in explain.names() if name.startswith(incomplete)]


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
AGE: Final = Parsed("AGE", _age)

sheet = click.argument("sheet", type=PATH)
world = click.option("--world", type=PATH, metavar="FILE", help="What the sandbox plays (JSON).")
force = click.option("--force", is_flag=True, help="Replace a file that exists.")
results = click.option(
    "--results", "-o", type=PATH, metavar="FILE",
    help="Where the result sheet goes, and as what: .xlsx, .csv or .tsv.",
)  # fmt: skip
lang = click.option(
    "--lang", type=click.Choice(LANGS), default=lambda: language.current_translator().lang,
    show_default=False, help="Language: en or zh; else the terminal's.",
)  # fmt: skip
sandbox = click.option(
    "--sandbox", is_flag=True, help="A stand-in for ClassIn on this computer; no account needed."
)
profile = click.option("--profile", metavar="NAME", help="A profile of config.toml.")
database = click.option(
    "--database", metavar="URL",
    help="The PostgreSQL database of a fleet. Others on this computer see it: set"
    " BULKCAST_DATABASE instead if it has a password.",
)  # fmt: skip
institution = _together(profile, sandbox, world, database)

as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
output = _together(
    as_json,
    click.option("--quiet", "-q", is_flag=True, help="Say only what went wrong."),
    click.option("--verbose", "-v", is_flag=True, help="Say more: notes, where a defect lies."),
    lang,
)

read_options = _together(
    click.option("--sheet", "tab", metavar="NAME", help="The worksheet of a workbook."),
    click.option("--encoding", metavar="NAME", help="Of a csv file: utf-8, gb18030 …"),
    click.option("--delimiter", metavar="CHAR", help="Of a csv file: a character, or `tab`."),
    click.option(
        "--map", "mapping", type=Parsed("HEADER=KEY", _mapped), multiple=True,
        help="Which setting a column holds; repeatable.",
    ),
    click.option(
        "--hidden", type=click.Choice(["include", "skip"]), default="include", show_default=True,
        help="What becomes of hidden rows.",
    ),
)  # fmt: skip
sheet_options = _together(
    read_options,
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

selection = _together(
    click.option(
        "--rows", type=Parsed("ROWS", _row_numbers), help="Only these rows, such as 5,9-20."
    ),
    click.option(
        "--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N of them."
    ),
)


def _any_of(_ctx: click.Context, _param: click.Parameter, values: Any) -> Any:
    """The union of all given values, None if none was given."""
    return frozenset().union(*values) if values else None


_STATUSES: Final = Parsed("STATUSES", _statuses)
only = click.option(
    "--only", type=_STATUSES, multiple=True, callback=_any_of,
    help="Of a result sheet, only rows so marked: rejected,invalid …",
)  # fmt: skip
only_written = click.option(
    "--only", type=_STATUSES, multiple=True, callback=_any_of,
    help="Only rows that ended so, such as rejected,invalid; with -o.",
)  # fmt: skip

recall = _together(
    click.option(
        "--changed-only", is_flag=True,
        help="Skip rows acknowledged as they are; changes in ClassIn's console are not seen.",
    ),
    click.option(
        "--send-free", is_flag=True,
        help="Of a locked row that was last set as it wants, send the settings still free.",
    ),
)  # fmt: skip
run_filter = _together(
    click.option(
        "--state", type=Parsed("STATE", _state), metavar=f"[{'|'.join(language.STATES)}]",
        help="Only runs that are so far.",
    ),
    click.option("--sheet", "name", metavar="TEXT", help="Only runs of sheets so named."),
    click.option(
        "--since", type=Parsed("DATE", _day),
        help="Only from this day on, by the time zone of the run's sheet: 2027-03-01.",
    ),
    click.option("--until", type=Parsed("DATE", _day), help="Only up to this day."),
)  # fmt: skip

pace = click.option(
    "--rate", default="950/min", show_default=True, metavar="RATE", help="Such as 950/min or 5/s."
)
send_options = _together(
    pace,
    click.option(
        "--concurrency", type=click.IntRange(1, 256), default=32, show_default=True, metavar="N",
        help="Requests under way at once.",
    ),
    click.option(
        "--timeout", type=duration("s", 0.1, 300), default="20s", show_default=True,
        help="For one answer.",
    ),
    click.option(
        "--max-outage", type=duration("m", 0, 86400), default="45m", show_default=True,
        help="How long to wait while ClassIn is out of reach or maintained: its maintenance has"
        " lasted 5 to 7 hours; 8h waits for that.",
    ),
)  # fmt: skip
metrics = click.option(
    "--metrics", type=click.IntRange(1, 65535), metavar="PORT",
    help="Give figures to Prometheus on this port of this computer.",
)  # fmt: skip
institutions = _together(
    click.argument("names", nargs=-1, metavar="[INSTITUTIONS]..."),
    click.option("--all", "all_", is_flag=True, help="All that were ever sent for."),
)
notification = _together(
    click.option(
        "--notify-command", metavar="CMD",
        help="Run CMD when a run has ended; it gets the counts as JSON on its standard input.",
    ),
    click.option(
        "--webhook", metavar="URL", help="POST the same JSON to URL: https, or this computer."
    ),
)  # fmt: skip
confirmation = _together(
    click.option("--yes", "-y", is_flag=True, help="Do not ask."),
    click.option("--dry-run", "-n", is_flag=True, help="Stop after the plan; send nothing."),
    click.option(
        "--detach", is_flag=True,
        help="Hand the run in to the workers of a fleet, and do not wait for its end.",
    ),
    click.option("--all", "all_", is_flag=True, help="List every warning, however many."),
    click.option(
        "--on-invalid", type=click.Choice(["skip", "stop"]), default="skip", show_default=True,
        help="What to do with the other rows where some are invalid.",
    ),
    click.option(
        "--max-changes", type=Parsed("N|P%", _most),
        help="Hold a plan that would send more rows than this.",
    ),
    click.option(
        "--approve", metavar="FINGERPRINT", help="Of the plan that --max-changes held, looked at."
    ),
    results,
    force,
)  # fmt: skip
run_of_sheet = _together(
    selection, recall, send_options, notification, institution, sheet_options, output
)
