"""The values a row becomes on its trip from sheet to result sheet.

    RawRow → Change | Invalid → Request → Reply | NoReply → Verdict → Attempt → Outcome → ResultRow

All are frozen; nothing here reads a clock, a disk or the network.  Times are Unix seconds, UTC,
unless a name ends in a unit.  Row numbers are those a spreadsheet shows: the first line is 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal, NewType


class Secret:
    """A text that no print, log or traceback may show.

    >>> Secret("Mb7SR6H")
    Secret('•••')
    >>> f"{Secret('Mb7SR6H')}"
    '•••'
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The text itself, for the one line that signs with it."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('•••')"

    def __str__(self) -> str:
        return "•••"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a Secret is never serialised")


@dataclass(frozen=True, slots=True)
class Text:
    """A sentence that is still a template, so that it can be said in another language.

    >>> str(Text("{n} rows are hidden", {"n": "14"}))
    '14 rows are hidden'
    """

    template: str
    args: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.template.format_map(_Words(self.args))


class _Words(dict[str, str]):
    """What fills a template; a setting that it names by its key stands there as that key."""

    def __missing__(self, name: str) -> str:
        return name


@dataclass(frozen=True, slots=True)
class Institution:
    """One school at one API host: what runs, pace and lock belong to."""

    root_url: str
    sid: str

    def __str__(self) -> str:
        return f"institution {self.sid} at {self.root_url}"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request is signed with."""

    sid: str
    secret: Secret

    @property
    def is_sandbox(self) -> bool:
        """Whether they are those of a sandbox, so that nothing sent with them reaches ClassIn."""
        return self.secret == SANDBOX_SECRET


SANDBOX_SECRET: Final = Secret("sandbox-only")
"""Known to everybody and good for nothing but a sandbox."""

SANDBOX_RUN: Final = "sandbox-"
"""How the names of runs begin that were sent to a sandbox."""


def is_rehearsal(run: str) -> bool:
    """Whether a run was sent to a sandbox, so that ClassIn never got its rows.

    >>> is_rehearsal("sandbox-20270301-080000-94df"), is_rehearsal("20270301-080000-94df")
    (True, False)
    """
    return run.startswith(SANDBOX_RUN)


# ------------------------------------------------------------------ the sheet


COLUMNS_MAX: Final = 16_384
"""Columns of a worksheet, up to XFD (Microsoft, Excel specifications and limits)."""
ROWS_MAX: Final = 1_048_576
"""Rows of a worksheet (same source)."""


def column_letters(index: int) -> str:
    """A column's letters; `index` counts from 0.

    >>> column_letters(0), column_letters(25), column_letters(26), column_letters(16383)
    ('A', 'Z', 'AA', 'XFD')
    """
    name, rest = "", index + 1
    while rest:
        rest, letter = divmod(rest - 1, 26)
        name = chr(ord("A") + letter) + name
    return name


@dataclass(frozen=True, slots=True)
class FlaggedCell:
    """A cell that is not simply its value; `code` is a problem of `messages.PROBLEMS`."""

    code: str
    shown: str
    """The cell as its reader sees it, or the closest the file tells."""
    value: "Scalar" = None
    """What the file stores, where it stores anything."""
    args: Mapping[str, str] = field(default_factory=dict)


Scalar = str | int | float | bool | datetime | None
Cell = Scalar | FlaggedCell


@dataclass(frozen=True, slots=True)
class Grid:
    """All that stands in a worksheet or a delimited file, whatever it means."""

    cells: Mapping[int, Sequence[Cell]]
    """Row → its cells from column A on; blank rows may be left out."""
    hidden: frozenset[int] = frozenset()
    """The rows that are not shown."""
    is_cut: bool = False
    """Whether there are columns so far to the right that they were not read."""


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as stored; `cells` has exactly one entry for each header of its sheet."""

    number: int
    cells: tuple[Cell, ...]
    hidden: bool = False
    extra: tuple[Cell, ...] = ()
    """Cells beyond the last header, where any of them holds something: the row may be shifted."""


@dataclass(frozen=True, slots=True)
class Block:
    """Some consecutive data rows of a sheet, for whoever looks at many of them at once."""

    numbers: Sequence[int]
    columns: Sequence[Sequence[Cell]]
    """One for each header of the sheet, with as many cells as there are rows."""
    extra: Mapping[int, tuple[Cell, ...]] = field(default_factory=dict)
    """Row number → its cells beyond the last header, as in `RawRow`."""

    def row(self, place: int) -> RawRow:
        """The row at `place` of this block, counted from 0."""
        number = self.numbers[place]
        cells = tuple([column[place] for column in self.columns])
        return RawRow(number, cells, extra=self.extra.get(number, ()))


@dataclass(frozen=True, slots=True)
class Layout:
    """How a sheet is laid out in its file: what a reporter needs to hand it back alike."""

    kind: str
    """The file's suffix without its dot: csv, tsv, xlsx, xlsm, xls, xlsb or ods."""
    header_row: int
    tab: str | None = None
    """The worksheet's name, for workbooks."""
    encoding: str = "utf-8-sig"
    delimiter: str = ","
    hidden_rows: int = 0


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet as read: its headers, its rows, and what had to be guessed to read it."""

    name: str
    """The file's name as the user knows it, without folders."""
    layout: Layout
    headers: tuple[str, ...]
    """One for each column from A on; empty where a column has none."""
    rows: tuple[RawRow, ...]
    """Data rows in file order: no header, no blank rows, no comment rows."""
    remarks: tuple[Text, ...] = ()
    """What the user should know of the reading: hidden rows, rows passed over."""
    issues: tuple["Issue", ...] = ()
    """What is wrong or doubtful about the file as a whole, as declared: not made stricter yet."""


class Severity(StrEnum):
    """How much an issue weighs."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing to know about a cell, a row (`column` is None) or the sheet (`row` is None)."""

    code: str
    severity: Severity
    row: int | None
    column: str | None
    """The header as the user wrote it."""
    cell: str | None
    """The cell's address as a spreadsheet shows it, such as `H7`."""
    value: str | None
    """The value as seen; masked where the setting is secret."""
    message: Text
    fix: Text


# ------------------------------------------------------------------ what is wanted

SettingValue = int | str | tuple[int, ...]
Body = tuple[tuple[str, SettingValue], ...]
"""Body parameters in the table's order; integers, strings and lists of integers, nothing else."""


@dataclass(frozen=True, slots=True)
class Target:
    """The classroom a row changes: the body key that names it, and its id."""

    key: str
    id: int

    def __str__(self) -> str:
        return f"{self.key} {self.id}"


@dataclass(frozen=True, slots=True)
class Change:
    """A checked row: what shall become true of one classroom."""

    row: int
    target: Target
    body: Body
    """Everything that will be sent: context ids, the target, and last the settings."""
    n_settings: int
    starts_at: int | None = None
    """When the class begins, where the sheet says so."""
    issues: tuple[Issue, ...] = ()
    """Warnings and notes; an error would have made the row `Invalid`."""

    @property
    def settings(self) -> Body:
        """The settings alone."""
        return self.body[len(self.body) - self.n_settings :]


@dataclass(frozen=True, slots=True)
class Invalid:
    """A row that is never sent, and everything that is wrong with it."""

    row: int
    issues: tuple[Issue, ...]


CheckedRow = Change | Invalid


@dataclass(frozen=True, slots=True)
class Checked:
    """A whole sheet, checked."""

    rows: tuple[CheckedRow, ...]
    """Exactly one for each raw row, in sheet order."""
    issues: tuple[Issue, ...] = ()
    """What concerns the header or the sheet as a whole.  With an error here every row is
    `Invalid`, since no column can be trusted."""
    ignored_columns: tuple[str, ...] = ()
    """Headers that name no setting, in sheet order."""
    columns: Mapping[str, int] = field(default_factory=dict)
    """Setting key → index of its column."""
    overtaken: Mapping[int, int] = field(default_factory=dict)
    """Row not to be sent → the row further down that sets its classroom and was sent already."""


RequestKey = NewType("RequestKey", str)
"""Names one call within its run; stable over a resume."""


@dataclass(frozen=True, slots=True)
class Request:
    """One call to make, unsigned."""

    key: RequestKey
    rows: tuple[int, ...]
    """The rows that share its outcome, in sheet order; more than one where rows are identical."""
    target: Target
    body: Body
    locks_at: int | None = None
    """From when on ClassIn refuses it, where the sheet tells."""
    after: RequestKey | None = None
    """A request for the same target that must have ended before this one is sent."""
    free: tuple[str, ...] = ()
    """The settings that stay editable after `locks_at`, where all others are known to be as the
    request wants them; empty where there are none such."""
    once_locked: Literal["refuse", "send_free"] = "refuse"
    """What becomes of a request whose turn comes after `locks_at`."""


# ------------------------------------------------------------------ what came of it


class RowStatus(StrEnum):
    """How a row ended; the same eight words in ledger, result sheet, JSON and page."""

    APPLIED = "applied"
    """ClassIn acknowledged it."""
    UNCHANGED = "unchanged"
    """Skipped: it would have changed nothing."""
    INVALID = "invalid"
    """The sheet is wrong here; never sent."""
    TOO_LATE = "too_late"
    """Its settings are locked: never sent, or refused with a timing code."""
    REJECTED = "rejected"
    """ClassIn refused this row."""
    UNCONFIRMED = "unconfirmed"
    """Sent, no answer to trust; may have been applied; safe to send again."""
    NOT_SENT = "not_sent"
    """The run ended first, or it was never connected."""
    SUPERSEDED = "superseded"
    """A newer run has set this target since."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back over HTTP, unjudged."""

    status: int
    body: bytes
    """At most `client.MAX_ANSWER` bytes; longer answers arrive as `NoReply`."""
    date: float | None = None
    """The `Date` header."""
    retry_after: str | None = None
    location: str | None = None
    private: tuple[str, ...] = field(default=(), repr=False, compare=False)
    """What the request was signed with, which the answer may repeat and nobody may read."""


@dataclass(frozen=True, slots=True)
class NoReply:
    """No whole answer came back."""

    code: str
    """A problem of `messages.PROBLEMS`, such as `send.timeout`."""
    sent: bool
    """Whether the request had left this machine, so that ClassIn may have acted on it."""
    detail: str = ""
    fatal: bool = False
    """Whether no other row can fare better: a certificate that does not verify, for one."""


class ReplyClass(StrEnum):
    """What an answer lets us do; every reply code of the table has one."""

    OK = "ok"
    OK_WARNING = "ok with a warning"
    TRANSIENT = "transient"
    THROTTLED = "throttled"
    CLOCK = "clock"
    CREDENTIALS = "credentials"
    INSTITUTION = "institution"
    ROW = "row"
    TOO_LATE = "too late"
    MAINTENANCE = "maintenance"
    STOP = "stop"
    """Nothing that answers is ClassIn as we know it: a redirect, a refused certificate, a 404."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judged reply."""

    kind: ReplyClass
    code: str
    """ClassIn's reply code in digits, or a dotted problem code where there is none."""
    args: Mapping[str, str] = field(default_factory=dict)
    """What the sentence for `code` needs; `said` is ClassIn's own message, verbatim."""
    ambiguous: bool = False
    """Whether the setting may have been applied all the same."""
    connected: bool = True
    """False when the request never left: such an attempt is nobody's fault and costs no try."""
    proves_access: bool = False
    """Whether this answer shows that credentials and clock are right."""
    retry_after: float | None = None
    """Seconds of silence the server asked for."""


@dataclass(frozen=True, slots=True)
class Intent:
    """That a request is about to leave; on disk before its first byte does."""

    key: RequestKey
    number: int
    """1 for the first attempt of a request, over all resumes."""
    stamp: float
    """When, on this computer's clock: what the pace of a later program counts."""
    ahead_s: float = 0.0
    """How far its stamp was ahead of ClassIn's clock, and lives longer for it."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one try ended; with an `outcome` it was the request's last."""

    key: RequestKey
    number: int
    """0 where the request ended without this try."""
    ended: float
    code: str
    ambiguous: bool
    outcome: "Outcome | None" = None


@dataclass(frozen=True, slots=True)
class History:
    """What earlier programs did for a request that is resumed."""

    attempts: int = 0
    ambiguous: bool = False
    """Whether one of those attempts may have been applied."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a row ended.  `code` and `args` are words for `derive.explain`, not sentences."""

    status: RowStatus
    code: str = ""
    args: Mapping[str, str] = field(default_factory=dict)
    attempts: int = 0
    at: float | None = None


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One row's outcome in the words of the result sheet, keyed by the row's number."""

    row: int
    status: RowStatus
    code: str
    message: str
    fix: str
    attempts: int
    time: str
    """Local to the sheet's time zone, `2027-03-01 08:00:00`; empty where nothing was sent."""
    run: str
    issues: tuple[Issue, ...] = ()
    """What was found in its cells, for highlighting and reading notes."""
    at: float | None = field(default=None, compare=False)
    """When it ended; None where nothing was sent, or where only a result sheet tells of it."""


def no_counts() -> dict[RowStatus, int]:
    """A zero for each of the eight states, in their order."""
    return dict.fromkeys(RowStatus, 0)


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a run ended before its last row."""

    reason: str
    """One word for programs: outage, throttled, maintenance, credentials, clock, refused, guard,
    ledger, interrupted."""
    code: str
    """ClassIn's code or a dotted one."""
    args: Mapping[str, str] = field(default_factory=dict)
    exit_status: int = 6
