"""The options and results of the use cases: frozen values."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from zoneinfo import ZoneInfo

from bulkcast import loader, validator
from bulkcast import planner as planning
from bulkcast.catalogue import RESULT_PREFIX, Endpoint
from bulkcast.i18n import header_names
from bulkcast.languages import translator
from bulkcast.model import (
    Cell,
    Change,
    Checked,
    Issue,
    Outcome,
    ResultRow,
    RowStatus,
    Severity,
    Sheet,
    Stop,
    Text,
    no_counts,
)
from bulkcast.pacing import CONCURRENCY, DEFAULT_RATE, MAX_OUTAGE_S, TIMEOUT_S
from bulkcast.planner.forecast import Pace
from bulkcast.planner.last_known import Known
from bulkcast.planner.summary import PlanSummary, summarize

if TYPE_CHECKING:
    from bulkcast.dispatcher import Dispatcher, Progress
    from bulkcast.frames import DataFrame
    from bulkcast.ledger import Ended

RESUBMITTED: Final = frozenset(
    {
        RowStatus.REJECTED,
        RowStatus.INVALID,
        RowStatus.TOO_LATE,
        RowStatus.UNCONFIRMED,
        RowStatus.NOT_SENT,
    }
)
"""What `resubmit` sends again."""

STATUS_COLUMN: Final = f"{RESULT_PREFIX}status"


def is_results(headers: Iterable[str]) -> bool:
    """Whether these are the headers of a result sheet."""
    return any(header.strip().casefold() == STATUS_COLUMN for header in headers)


DEFAULT_TZ: Final = "Asia/Shanghai"


@dataclass(frozen=True, slots=True)
class SheetOptions:
    """How to read and check a sheet."""

    read: loader.ReadOptions = field(default_factory=loader.ReadOptions)
    tz: str = DEFAULT_TZ
    """The time zone of times in the sheet without one."""
    duplicates: Literal["error", "in-order", "last"] = "error"
    strict: bool = False
    """Whether warnings keep a row from being sent."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows of a sheet to send: those that meet every condition given."""

    statuses: frozenset[RowStatus] | None = None
    """Rows with one of these statuses in an earlier result sheet."""
    rows: frozenset[int] | None = None
    limit: int | None = None
    """At most this many of the remaining rows, from the top."""


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """How what ClassIn is known to hold changes a plan."""

    unchanged: planning.Unchanged = "send"
    """What becomes of rows that are known to be so already."""
    once_locked: planning.OnceLocked = "refuse"
    """What becomes of rows of which only settings that stay free are new."""


@dataclass(frozen=True, slots=True)
class SendOptions:
    """How to send."""

    rate: float = DEFAULT_RATE
    """Requests per second; infinite for no pacing."""
    concurrency: int = CONCURRENCY
    timeout: float = TIMEOUT_S
    """Seconds for one attempt."""
    max_outage_s: float = MAX_OUTAGE_S
    on_invalid: Literal["skip", "stop"] = "skip"
    results: Path | None = None
    """Where the result sheet is written; None for beside the sheet."""
    existing: Literal["refuse", "replace"] = "refuse"
    lang: str = "en"


class Control:
    """How a door ends a run early; safe to use from the event loop's own thread only."""

    def __init__(self) -> None:
        self._dispatcher: Dispatcher | None = None
        self._early: Stop | None = None

    def stop(self, exit_status: int) -> None:
        """Send nothing more, let requests under way finish, and write the result sheet."""
        why = Stop("interrupted", "run.interrupted", exit_status=exit_status)
        self._early = self._early or why
        if self._dispatcher:
            self._dispatcher.stop(why)

    def attach(self, dispatcher: "Dispatcher") -> None:
        """Control this run; it ends at once if it was stopped before it started."""
        self._dispatcher = dispatcher
        if self._early:
            dispatcher.stop(self._early)

    def detach(self) -> None:
        """Release a finished run and its dispatcher."""
        self._dispatcher = None

    def torn_down(self) -> tuple[Stop, int, list[Text]]:
        """Why a run ended that could not say so itself, how many requests it made, its remarks."""
        why = self._early or Stop("interrupted", "run.interrupted", exit_status=130)
        if self._dispatcher is None:
            return why, 0, []
        ended = self._dispatcher
        return ended.stopped or why, ended.requests, ended.remarks


Watch = Callable[["Progress"], None]
"""Called with a run's progress a few times a second."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared(CheckedSheet):
    """A sheet that was read, checked and planned; nothing has been sent."""

    plan: planning.Plan
    known: Known = field(default_factory=dict)
    """The classrooms' last known settings, if they were looked up."""

    def to_frame(self) -> "DataFrame":
        """The requests that would be made, one a row, in sending order.

        `row` (int64) and `rows` (tuples): the first and all of the rows that share the request;
        `request`, `after` (string): its name, and that of the one it waits for; `target` and
        `target_id` (string): the classroom; `locks_at` (a moment in the sheet's time zone).  Then
        each parameter that any of them sends: Int64 where it is a number, string where it is a
        text or an id; missing where it is not sent, ids of a list with commas between them.
        Passwords are masked.
        """
        from bulkcast import frames

        tz = ZoneInfo(self.options.tz)
        return frames.requests_frame(self.plan.requests, self.endpoint, tz)

    def summary(self, *, rate: float = DEFAULT_RATE, now: float | None = None) -> PlanSummary:
        """The plan in numbers: settings, billing, locked rows, forecast.

        `rate` in requests per second; `now`, when sending would begin, in Unix seconds, None for
        at once.
        """
        return summarize(
            self.plan, self.checked, self.endpoint, Pace(rate, self.endpoint.limit),
            rows=len(self.sheet.rows), kept=self.kept, known=self.known,
            now=time.time() if now is None else now,
        )  # fmt: skip


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

        return frames.issues_frame(self.issues, translator(lang).calling(self.names))

    @property
    def invalid(self) -> int:
        """Rows that could not be sent."""
        return self.rows - self.valid

    @property
    def exit_status(self) -> int:
        """0 where nothing needs mending, else 3."""
        return 3 if self.has_errors or self.invalid else 0


class LazyRows(Sequence[ResultRow]):
    """Rows whose number is known; they are read when first accessed."""

    def __init__(self, n: int, read: Callable[[], tuple[ResultRow, ...]]) -> None:
        self._n = n
        self._read = cache(read)

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, place: Any) -> Any:
        return self._read()[place]

    def __eq__(self, other: object) -> bool:
        return self._read() == (tuple(other) if isinstance(other, Sequence) else other)

    __hash__ = None  # type: ignore[assignment] # as of any sequence that is read when asked


@dataclass(frozen=True, slots=True)
class RunReport:
    """The results of a run."""

    run: str
    input: str
    requests: int
    """Attempts made by this process."""
    elapsed_s: float
    results: Path | None
    """None if the result sheet could not be written; `remarks` says why."""
    stop: Stop | None
    exit_status: int
    rows: Sequence[ResultRow] = field(repr=False)
    """Left out of `repr`, which `asyncio.run` takes of a task's result when it ends."""
    remarks: tuple[Text, ...] = ()
    issues: tuple[Issue, ...] = ()
    """Issues of the sheet as a whole."""
    ignored_columns: tuple[str, ...] = ()
    """Headers that name no setting, in sheet order; empty for a resumed run."""
    ended: "tuple[Ended, ...]" = ()
    """Counts of the rows, if they have not been read yet."""
    tz: str = DEFAULT_TZ
    """The time zone of the sheet."""

    def to_frame(self) -> "DataFrame":
        """How every row ended, one a row, in sheet order.

        `row` and `attempts` are int64, `status` `code` `message` `fix` `run` of dtype string,
        `time` is a moment in the sheet's time zone, missing where nothing was sent.  A row of a
        DataFrame that was sent is at position `row` - 2 of it.
        """
        from bulkcast import frames

        return frames.outcomes_frame(self.rows, ZoneInfo(self.tz))

    @property
    def counts(self) -> Mapping[RowStatus, int]:
        """Rows by status; adds up to the rows read."""
        return {**no_counts(), **self._counted(lambda _: True)}

    @property
    def earlier(self) -> Mapping[RowStatus, int]:
        """Rows that keep the outcome of an earlier run, by status."""
        return self._counted(lambda run: run != self.run)

    def _counted(self, wanted: Callable[[str], bool]) -> Counter[RowStatus]:
        if not self.ended:
            return Counter(row.status for row in self.rows if wanted(row.run))
        found: Counter[RowStatus] = Counter()
        for some in self.ended:
            found[some.status] += some.n if wanted(some.run) else 0
        return found


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What `doctor` found; each finding is a name, whether the check passed, and a sentence."""

    findings: tuple[tuple[str, bool, str], ...]
    exit_status: int
    """0 if all checks passed; 6 or 2 if somebody has to fix something, 5 if it may work later, 7 if
    another run holds the institution's lock."""
