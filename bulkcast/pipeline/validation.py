"""Reads and checks a sheet: all of it, or the rows that were chosen to be sent."""

import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from bulkcast import loader, validator
from bulkcast.arguments import Series
from bulkcast.catalogue import Endpoint
from bulkcast.endpoints import WEBCAST
from bulkcast.errors import CannotStart
from bulkcast.home import Home
from bulkcast.i18n import header_names
from bulkcast.languages import translator
from bulkcast.model import (
    Cell,
    Change,
    Checked,
    Issue,
    Outcome,
    RawRow,
    ResultRow,
    RowStatus,
    Severity,
    Sheet,
    Text,
)
from bulkcast.pacing import DEFAULT_RATE
from bulkcast.pipeline.options import RESUBMITTED, Selection, SheetOptions, is_results, rules_of

if TYPE_CHECKING:
    from bulkcast.config import Config
    from bulkcast.frames import DataFrame
    from bulkcast.planner.summary import Schedule

Account = Callable[[], "Config | None"]
"""Finds the configuration; None where a command does without one.

It is called once the sheet has been read, so that what is wrong with the sheet comes first.
"""


@dataclass(frozen=True, slots=True)
class Validation:
    """A sheet that was read and checked; its rows are not kept in memory."""

    path: Path
    rows: int
    valid: int
    """Rows that could be sent."""
    issues: Sequence[Issue]
    """Everything found, the sheet's own issues first, then row by row."""
    remarks: tuple[Text, ...]
    """What the user should know of the reading."""
    ignored_columns: tuple[str, ...]
    """Headers that name no setting, in sheet order."""
    has_errors: bool
    timetable: validator.Claims | None
    """When the valid rows lock, if a column says when classes begin."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Setting → how the sheet's header calls it."""
    is_results: bool = False
    """Whether this is a result sheet."""

    def to_frame(self, lang: str = "en") -> "DataFrame":
        """Everything found, one issue a row, with the fields that an issue has in `--json`.

        `row` is Int64, missing where an issue is about the sheet as a whole; `column` `cell`
        `value` `code` `severity` `message` `fix` are of dtype string, the last two in `lang`.
        The value of a secret setting is masked.
        """
        from bulkcast import frames

        return frames.issues_frame(self.issues, translator(lang).with_headers(self.names))

    @property
    def invalid(self) -> int:
        """Rows that could not be sent."""
        return self.rows - self.valid

    @property
    def exit_status(self) -> int:
        """0 where nothing needs mending, else 3."""
        return 3 if self.has_errors or self.invalid else 0


@dataclass(frozen=True, slots=True)
class SheetReport:
    """What is wrong with a sheet, and what would come too late."""

    validation: Validation
    schedule: "Schedule | None"
    """None where no row to be sent locks."""
    is_rehearsed: bool
    """Whether it is what a rehearsal came to, so that ClassIn has none of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedSheet:
    """A sheet that was read and checked, and of which the rows to send were chosen."""

    path: Path
    sha256: str
    sheet: Sheet
    checked: Checked
    left_out: Mapping[int, Outcome]
    """Rows that are not to be planned, and how they end."""
    kept: Mapping[int, ResultRow]
    """Rows that are not sent, as an earlier result sheet has them."""
    options: SheetOptions
    endpoint: Endpoint
    again: Mapping[int, str] = field(default_factory=dict)
    """Row that is sent again because it failed in a run → that run."""
    cells: Mapping[int, Sequence[Cell]] | None = field(default=None, repr=False)
    """Row → all of its cells, for a sheet that came from a DataFrame, not from a file."""
    institutions: Mapping[int, str] = field(default_factory=dict)
    """Row that was left out → the profile it names; the others say it themselves."""

    @property
    def has_institutions(self) -> bool:
        """Whether a column says for which institution each row is."""
        column = self.endpoint.institution
        return column is not None and column.key in self.checked.columns

    @property
    def issues(self) -> tuple[Issue, ...]:
        """Everything found, each once: the sheet's own issues first, then row by row."""
        return tuple(validator.all_issues(self.checked))

    @property
    def remarks(self) -> tuple[Text, ...]:
        """What the user should know of the reading."""
        return self.sheet.remarks

    @property
    def ignored_columns(self) -> tuple[str, ...]:
        """Headers that name no setting, in sheet order."""
        return self.checked.ignored_columns

    @property
    def is_results(self) -> bool:
        """Whether this is a result sheet."""
        return is_results(self.sheet.headers)

    @property
    def names(self) -> Mapping[str, str]:
        """Setting → how the sheet's header calls it."""
        return header_names(self.sheet.headers, self.endpoint, self.options.read.mapping)

    @property
    def valid(self) -> int:
        """Rows that could be sent."""
        return sum(isinstance(row, Change) for row in self.checked.rows)

    @property
    def invalid(self) -> int:
        """Rows that could not."""
        return len(self.checked.rows) - self.valid

    @property
    def exit_status(self) -> int:
        """0 where nothing needs mending, else 3."""
        errors = any(issue.severity is Severity.ERROR for issue in self.issues)
        return 3 if errors or self.invalid else 0


FRAME_NAME: Final = "DataFrame"
"""The name of a DataFrame if none is given."""


@dataclass(frozen=True, slots=True)
class Source:
    """A sheet that can be read."""

    path: Path
    """The file; for a DataFrame the file that its name stands for."""
    stream: Callable[[], AbstractContextManager[loader.Stream]]
    """Opens the sheet; may be called again."""
    cells: Mapping[int, Sequence[Cell]] | None = None
    """Row → all of its cells, for a sheet that is not a file."""


def source_of(
    given: "Path | str | DataFrame", name: str, endpoint: Endpoint, options: loader.ReadOptions
) -> Source:
    """The source for a file's path, or for a DataFrame called `name`.

    Raises:
        UnreadableSheet: a DataFrame has columns or cells that a sheet cannot have.
        TypeError: it is neither a path nor a DataFrame.

    """
    if isinstance(given, Path | str):
        path = Path(given)
        return Source(path, lambda: loader.stream(path, endpoint=endpoint, options=options))
    from bulkcast import frames

    if not isinstance(given, frames.DataFrame):
        raise TypeError(f"a path or a pandas.DataFrame is needed, not {type(given).__name__}")
    lines = frames.lines_of(given, name=name, endpoint=endpoint, options=options)
    return Source(
        Path(f"{name}.{frames.KIND}"),
        lambda: nullcontext(frames.stream_of(lines, name=name, options=options)),
        dict(lines),
    )


def read_sheet(
    source: "Path | str | DataFrame",
    options: SheetOptions | None = None,
    selection: Selection | None = None,
    endpoint: Endpoint = WEBCAST,
    *,
    name: str = FRAME_NAME,
    keep_cells: bool = True,
) -> CheckedSheet:
    """Read and check a sheet, offline; `preparation.prepare` says of what and how.

    Raises:
        UnreadableSheet: the file cannot be read as a sheet.
        CannotStart: an option makes no sense, or none of the rows it names is there.

    """
    options = options or SheetOptions()
    selection = selection or Selection()
    given = source_of(source, name, endpoint, options.read)
    # First, so that a change during reading is noticed.
    sha256 = fingerprint(given.path) if given.cells is None else ""
    return check_source(given, sha256, options, selection, endpoint, keep_cells=keep_cells)


def check_source(
    given: Source,
    sha256: str,
    options: SheetOptions,
    selection: Selection,
    endpoint: Endpoint,
    *,
    keep_cells: bool = True,
) -> CheckedSheet:
    """Read and check what a source gives; `sha256` is the fingerprint of its file.

    Raises:
        UnreadableSheet: it cannot be read as a sheet.
        CannotStart: an option makes no sense, or none of the rows it names is there.

    """
    choice = _Choice(selection)
    whose: dict[int, str] = {}
    sheet, checked = _checked(given, options, choice, endpoint, whose, keep_cells=keep_cells)
    _require_chosen_rows(sheet, selection)
    left_out = choice.left_out
    if checked.overtaken:
        whose |= {r.row: r.institution for r in checked.rows if r.row in checked.overtaken}
        changes = tuple(row for row in checked.rows if row.row not in checked.overtaken)
        checked = replace(checked, rows=changes)
        left_out |= {row: _superseded(by) for row, by in checked.overtaken.items()}
    again = _sent_again(choice.previous, left_out) if selection.statuses is not None else {}
    return CheckedSheet(
        path=given.path, sha256=sha256, sheet=sheet, checked=checked, left_out=left_out,
        kept=choice.kept, options=options, endpoint=endpoint, again=again, cells=given.cells,
        institutions=whose,
    )  # fmt: skip


def _checked(
    given: Source,
    options: SheetOptions,
    choice: "_Choice",
    endpoint: Endpoint,
    whose: dict[int, str],
    *,
    keep_cells: bool,
) -> tuple[Sheet, Checked]:
    """Read the sheet and check its chosen rows in one pass.

    `whose` gets the institutions that the other rows name.
    """
    rows: list[RawRow] = []
    checking: validator.SheetCheck | None = None
    with given.stream() as opened:
        for part in opened.parts():
            checking = checking or validator.SheetCheck(
                part.headers,
                part.layout.header_row,
                endpoint,
                rules_of(options, part.headers, endpoint),
            )
            written = loader.previous_results(part)
            checking.take(*choice.take(part.rows, written))
            if endpoint.institution and endpoint.institution.key in checking.columns:
                index = checking.columns[endpoint.institution.key]
                left_out = (row for row in part.rows if row.number in choice.left_out)
                whose |= {row.number: validator.named(row.cells[index]) for row in left_out}
            rows += part.rows if keep_cells else _bare(part.rows, written)
    if checking is None:
        raise AssertionError("a sheet without its last part")
    return replace(part, rows=tuple(rows)), checking.result(part.issues)


def _bare(rows: Iterable[RawRow], kept: Container[int]) -> Iterator[RawRow]:
    """The rows without their cells; only rows in `kept` keep theirs."""
    for row in rows:
        yield row if row.number in kept else RawRow(row.number, (), row.hidden)


_Sheet = TypeVar("_Sheet", bound=CheckedSheet)


def lean(prepared: _Sheet) -> _Sheet:
    """The same without the cells that sending does not need, which saves most of the memory."""
    rows = tuple(_bare(prepared.sheet.rows, prepared.kept))
    return replace(prepared, sheet=replace(prepared.sheet, rows=rows))


_SENT: Final = frozenset(
    {RowStatus.APPLIED, RowStatus.UNCHANGED, RowStatus.UNCONFIRMED, RowStatus.SUPERSEDED}
)
"""Statuses of an earlier run whose settings ClassIn has, or may have, applied."""


def _superseded(by: int) -> Outcome:
    """The outcome of a row that the row `by`, further down, takes back."""
    return Outcome(RowStatus.SUPERSEDED, "target.overtaken", {"other": str(by)})


def validate(
    source: "Path | str | DataFrame",
    options: SheetOptions | None = None,
    endpoint: Endpoint = WEBCAST,
    *,
    name: str = FRAME_NAME,
) -> Validation:
    """Read and check a sheet, offline; memory does not grow with the rows of a file.

    Finds what `prepare` finds, without keeping the rows.  Takes a DataFrame, too.

    Raises:
        UnreadableSheet: the file cannot be read as a sheet.
        CannotStart: an option makes no sense.

    """
    options = options or SheetOptions()
    given = source_of(source, name, endpoint, options.read)
    with given.stream() as opened:
        rules = rules_of(options, opened.headers, endpoint)
        row = opened.layout.header_row
        checking = validator.Validator(opened.headers, row, endpoint, rules)
        names = header_names(opened.headers, endpoint, options.read.mapping)
        written = is_results(opened.headers)
        for block in opened.blocks():
            checking.take(block)
        remarks, of_file = opened.all_remarks(), opened.issues()
    found = checking.result(of_file)
    return Validation(
        given.path, found.rows, found.valid, found.issues, remarks, found.ignored_columns,
        found.has_errors, found.timetable, names, written,
    )  # fmt: skip


def check_sheet(
    sheet: Path,
    options: SheetOptions,
    *,
    home: Callable[[], Home],
    account: Account,
    wall: Callable[[], float] = time.time,
) -> SheetReport:
    """Everything that is wrong with a sheet, and what would come too late if it were sent now.

    Raises:
        UnreadableSheet: the file cannot be read as a sheet.
        CannotStart: an option makes no sense, or it is a result sheet that `resubmit` would refuse.
        InstitutionBusy: it is a result sheet, and another run holds the institution.

    """
    found = validate(sheet, options)
    is_of_rehearsal = False
    if found.is_results:
        from bulkcast.pipeline.preparation import ledger_for
        from bulkcast.pipeline.resubmission import is_rehearsed, require_as_done

        checked = read_sheet(sheet, options, Selection(statuses=RESUBMITTED))
        is_of_rehearsal = is_rehearsed(checked)
        if not is_of_rehearsal:
            config = None if checked.has_institutions else account()
            with ledger_for(home(), config) as ledger:
                require_as_done(ledger, config, checked)
    return SheetReport(found, schedule_of(found, options, now=wall()), is_of_rehearsal)


def require_one_institution(sheet: CheckedSheet) -> None:
    """Refuse a sheet whose rows name institutions, where it is sent or planned for one.

    Raises:
        CannotStart: they do.

    """
    if sheet.has_institutions:
        raise CannotStart(
            "the rows of {name} name institutions, and this is for one; `bulkcast apply` on the"
            " command line sends such a sheet, for all of them at once and without --profile",
            name=sheet.sheet.name,
        )


def schedule_of(
    found: Validation,
    options: SheetOptions,
    endpoint: Endpoint = WEBCAST,
    *,
    rate: float = DEFAULT_RATE,
    now: float,
) -> "Schedule | None":
    """When the valid rows of a sheet in a file would be sent; None where none of them locks.

    `options` are those it was validated with; `rate` is in requests per second, `now` in Unix
    seconds.
    """
    turns = found.timetable
    if turns is None or not found.valid:
        return None
    if options.duplicates == "in-order" and turns.is_doubled():
        # Which rows are sent one after another, and which share a request, only a plan tells.
        from bulkcast.pipeline.preparation import prepare

        prepared = prepare(found.path, options, endpoint=endpoint)
        is_dated = any(request.locks_at is not None for request in prepared.plan.requests)
        return prepared.summary(rate=rate, now=now).schedule if is_dated else None
    if not turns.dated():
        return None
    from bulkcast.planner.forecast import Pace
    from bulkcast.planner.summary import schedule

    return schedule(turns, Pace(rate, endpoint.limit), now=now)


def _require_chosen_rows(sheet: Sheet, selection: Selection) -> None:
    """Refuse a selection by row number that matches no row."""
    numbers = [row.number for row in sheet.rows]
    if selection.rows is not None and numbers and selection.rows.isdisjoint(numbers):
        raise CannotStart(
            "--rows names no row of {name} that holds anything; its rows go from {first} to {last}",
            name=sheet.name,
            first=min(numbers),
            last=max(numbers),
        )


class _Choice:
    """Splits rows into those to send and those to leave out, with the results of the latter."""

    def __init__(self, selection: Selection) -> None:
        self.kept: dict[int, ResultRow] = {}
        """Rows that are not sent, as an earlier result sheet has them."""
        self.left_out: dict[int, Outcome] = {}
        self.previous: dict[int, Mapping[str, str]] = {}
        self._selection = selection
        self._shared: dict[str, Outcome] = {}
        self._chosen = 0

    def take(
        self, rows: Iterable[RawRow], written: Mapping[int, Mapping[str, str]]
    ) -> tuple[list[RawRow], list[RawRow]]:
        """Split the next rows into those to send and those that an earlier run has sent.

        `written` are the result columns of an earlier result sheet.
        """
        self.previous.update(written)
        wanted, sent = [], []
        for row in rows:
            before = _earlier(row.number, written.get(row.number, {}))
            option = _not_chosen(row.number, before, self._selection, self._chosen)
            if option is None:
                self._chosen += 1
                wanted.append(row)
            elif before:
                self.kept[row.number] = before
                outcome = Outcome(before.status, before.code, attempts=before.attempts)
                self.left_out[row.number] = outcome
                sent += [row] if before.status in _SENT else []
            else:
                shared = self._shared.setdefault(option, _not_asked_for(option))
                self.left_out[row.number] = shared
        return wanted, sent


def _not_asked_for(option: str) -> Outcome:
    return Outcome(RowStatus.NOT_SENT, "plan.not_chosen", {"option": option})


def _sent_again(
    previous: Mapping[int, Mapping[str, str]], left_out: Container[int]
) -> dict[int, str]:
    """Row that is sent again because it failed in a run → that run."""
    found = ((row, _earlier(row, said)) for row, said in previous.items() if row not in left_out)
    return {row: b.run for row, b in found if b and b.status in RESUBMITTED}


def _not_chosen(
    number: int, before: ResultRow | None, selection: Selection, chosen: int
) -> str | None:
    """The option that leaves a row out; None for a row to send.

    A row without a status in a result sheet was added since, and is sent.
    """
    if selection.rows is not None and number not in selection.rows:
        return "--rows"
    if selection.statuses is not None and before and before.status not in selection.statuses:
        return "--only"
    if selection.limit is not None and chosen >= selection.limit:
        return "--limit"
    return None


def _earlier(row: int, written: Mapping[str, str]) -> ResultRow | None:
    """Parse a row's result columns; None unless bulkcast wrote them."""
    status = written.get("status", "")
    if status not in set(RowStatus) or not written.get("run"):
        return None  # the user typed or filled it in
    attempts = written.get("attempts", "")
    return ResultRow(
        row=row,
        status=RowStatus(status),
        code=written.get("code", ""),
        message=written.get("message", ""),
        fix=written.get("fix", ""),
        attempts=int(attempts) if attempts.isascii() and attempts.isdigit() else 0,
        time=written.get("time", ""),
        run=written.get("run", ""),
    )


def compared_rows(first: Checked, second: Checked) -> list[int]:
    """The rows of which not the same would be sent, in sheet order."""
    wanted, found = (
        {
            row.row: (row.institution, row.body) if isinstance(row, Change) else None
            for row in checked.rows
        }
        for checked in (first, second)
    )
    absent = object()
    rows = sorted(wanted.keys() | found.keys())
    return [row for row in rows if wanted.get(row, absent) != found.get(row, absent)]


def fingerprint(path: Path) -> str:
    """The file's fingerprint; empty if there is no file, which the loader reports."""
    try:
        return sha256_of(path) if path.is_file() else ""
    except (OSError, ValueError):
        return ""


def sha256_of(path: Path) -> str:
    """The fingerprint of a file's bytes, 64 hex digits."""
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_NAMED_MOST = 12


def rows_named(rows: list[int]) -> Text:
    """Row numbers in a sentence.

    >>> str(rows_named([7])), str(rows_named([5, 9, 12]))
    ('row 7', 'rows 5, 9, 12')
    """
    shown = Series(tuple(map(str, rows[:_NAMED_MOST])))
    if len(rows) > _NAMED_MOST:
        more = f"{len(rows) - _NAMED_MOST:,}"
        return Text("rows {rows} and {n} more", {"rows": shown, "n": more})
    if len(rows) > 1:
        return Text("rows {rows}", {"rows": shown})
    return Text("row {n}", {"n": shown})
