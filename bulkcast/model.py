"""The values a row is converted to on its way from sheet to result sheet.

    RawRow → Change | Invalid → Request → Reply | NoReply → Verdict → Attempt → Outcome → ResultRow

What comes between request and attempt is in `protocol`.  All are frozen; nothing here reads a
clock, a disk or the network.  Times are Unix seconds, UTC, unless a name ends in a unit.  Row
numbers are those a spreadsheet shows: the first line is 1.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal, NewType

from bulkcast.arguments import Counts, Moment, Series, SettingNames


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
class Target:
    """The classroom a row changes: the body key that names it, and its id."""

    key: str
    id: int

    def __str__(self) -> str:
        return f"{self.key} {self.id}"


@dataclass(frozen=True, slots=True)
class Text:
    """A sentence as a template and its arguments, so that it can be translated.

    >>> str(Text("{n} rows are hidden", {"n": "14"}))
    '14 rows are hidden'
    """

    template: str
    args: "Mapping[str, Argument]" = field(default_factory=dict, hash=False)

    def __str__(self) -> str:
        return self.template.format_map(_SettingKeys(self.args))


class _SettingKeys(dict[str, object]):
    """Arguments of a template; a missing one is a setting's key and shown as such."""

    def __missing__(self, name: str) -> str:
        return name


Argument = str | int | float | Text | SettingNames | Series | Counts | Moment | Target
"""What a sentence may be filled with; `i18n.Translator` shows each type in the reader's language, a
text or number as it is."""


@dataclass(frozen=True, slots=True)
class Institution:
    """One school at one API host; runs, pace and lock are kept per institution."""

    root_url: str
    sid: str

    def __str__(self) -> str:
        return f"institution {self.sid} at {self.root_url}"


@dataclass(frozen=True, slots=True)
class Credentials:
    """The SID and secret that requests are signed with."""

    sid: str
    secret: Secret

    @property
    def is_sandbox(self) -> bool:
        """Whether they belong to a sandbox, so that nothing sent with them reaches ClassIn."""
        return self.secret == SANDBOX_SECRET


SANDBOX_SECRET: Final = Secret("sandbox-only")
"""A public secret that only a sandbox accepts."""

SANDBOX_RUN: Final = "sandbox-"
"""Prefix of the names of runs sent to a sandbox."""


def is_rehearsal(run: str) -> bool:
    """Whether a run was sent to a sandbox, so that ClassIn did not get its rows.

    >>> is_rehearsal("sandbox-20270301-080000-94df"), is_rehearsal("20270301-080000-94df")
    (True, False)
    """
    return run.startswith(SANDBOX_RUN)


def group_of(run: str) -> str:
    """The group that a run is a part of, one part for each institution; empty if of none.

    >>> group_of("20270301-080000-94df-2"), group_of("20270301-080000-94df")
    ('20270301-080000-94df', '')
    """
    found = _PART.fullmatch(run)
    return found[1] if found else ""


def part_name(group: str, number: int) -> str:
    """The name of a group's part; numbers count from 1.

    >>> part_name("20270301-080000-94df", 2)
    '20270301-080000-94df-2'
    """
    return f"{group}-{number}"


_PART: Final = re.compile(r"(.*\d{8}-\d{6}-[0-9a-f]{4}(?:[0-9a-f]{2})?)-[1-9]\d*")


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
    """A cell with a problem or note; `code` is a key of `problems.PROBLEMS`."""

    code: str
    shown: str
    """The text a spreadsheet program shows, or the closest the file gives."""
    value: "Scalar" = None
    """The stored value, if any."""
    args: Mapping[str, str] = field(default_factory=dict)


Scalar = str | int | float | bool | datetime | None
Cell = Scalar | FlaggedCell


@dataclass(frozen=True, slots=True)
class Grid:
    """All cells of a worksheet or a delimited file, without interpretation."""

    cells: Mapping[int, Sequence[Cell]]
    """Row → its cells from column A on; blank rows may be left out."""
    hidden: frozenset[int] = frozenset()
    """The hidden rows."""
    is_cut: bool = False
    """Whether columns far to the right were not read."""


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as stored; `cells` has exactly one entry for each header of its sheet."""

    number: int
    cells: tuple[Cell, ...]
    hidden: bool = False
    extra: tuple[Cell, ...] = ()
    """Cells beyond the last header, if any is not blank: the row may be shifted."""


@dataclass(frozen=True, slots=True)
class Block:
    """Some consecutive data rows of a sheet, stored by column."""

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
    """How a sheet is stored in its file; the reporter writes the result the same way."""

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
    """One for each column from A on; empty for a column without a header."""
    rows: tuple[RawRow, ...]
    """Data rows in file order: no header, no blank rows, no comment rows."""
    remarks: tuple[Text, ...] = ()
    """What the user should know about the reading, such as hidden or skipped rows."""
    issues: tuple["Issue", ...] = ()
    """Problems of the file as a whole, with their declared severities."""


class Severity(StrEnum):
    """How serious an issue is."""

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
    """The value as seen; masked if the setting is secret."""
    message: Text
    fix: Text


# ------------------------------------------------------------------ changes and requests

SettingValue = int | str | tuple[int, ...]
Body = tuple[tuple[str, SettingValue], ...]
"""Body parameters in the table's order; integers, strings and lists of integers, nothing else."""


@dataclass(frozen=True, slots=True)
class Change:
    """A valid row: the settings to send for one classroom."""

    row: int
    target: Target
    body: Body
    """Everything that will be sent: context ids, the target, and last the settings."""
    n_settings: int
    starts_at: int | None = None
    """When the class begins, if the sheet says so."""
    issues: tuple[Issue, ...] = ()
    """Warnings and notes; an error would have made the row `Invalid`."""
    institution: str = ""
    """The profile it is sent for; empty if the sheet has no such column."""

    @property
    def settings(self) -> Body:
        """The settings alone."""
        return self.body[len(self.body) - self.n_settings :]


@dataclass(frozen=True, slots=True)
class Invalid:
    """A row that is never sent, and everything that is wrong with it."""

    row: int
    issues: tuple[Issue, ...]
    institution: str = ""
    """The profile it names, if that could be read."""


CheckedRow = Change | Invalid


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of checking a whole sheet."""

    rows: tuple[CheckedRow, ...]
    """Exactly one for each raw row, in sheet order."""
    issues: tuple[Issue, ...] = ()
    """Issues of the header or the sheet as a whole.  With an error here every row is `Invalid`,
    since no column can be trusted."""
    ignored_columns: tuple[str, ...] = ()
    """Headers that name no setting, in sheet order."""
    columns: Mapping[str, int] = field(default_factory=dict)
    """Setting key → index of its column."""
    overtaken: Mapping[int, int] = field(default_factory=dict)
    """Row not to send → the row further down that sets its classroom and was sent already."""


RequestKey = NewType("RequestKey", str)
"""Identifies one request within its run; it does not change on resume."""


@dataclass(frozen=True, slots=True)
class Request:
    """One API call to make, unsigned."""

    key: RequestKey
    rows: tuple[int, ...]
    """The rows that share its outcome, in sheet order; several if rows are identical."""
    target: Target
    body: Body
    locks_at: int | None = None
    """When ClassIn starts to refuse it, Unix seconds; None if the sheet does not say."""
    after: RequestKey | None = None
    """A request for the same target that must have ended before this one is sent."""
    free: tuple[str, ...] = ()
    """The settings that can be sent after `locks_at`, if all others are known to have the requested
    values; else empty."""
    once_locked: Literal["refuse", "send_free"] = "refuse"
    """What to do with the request after `locks_at`."""
    institution: str = ""
    """The profile it is sent for; empty if the sheet has no such column, and in the ledger."""


# ------------------------------------------------------------------ replies and outcomes


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


SUCCEEDED: Final = frozenset({RowStatus.APPLIED, RowStatus.UNCHANGED})
"""The classroom has the row's settings."""
DONE: Final = SUCCEEDED | {RowStatus.SUPERSEDED}
"""Nothing is left to do about the row."""
TO_FIX: Final = frozenset({RowStatus.INVALID, RowStatus.REJECTED, RowStatus.TOO_LATE})
"""The row has to be changed before it is sent again."""
UNFINISHED: Final = frozenset({RowStatus.UNCONFIRMED, RowStatus.NOT_SENT})
"""A resumed run sends the row."""


class ReplyClass(StrEnum):
    """What a reply means for the run; every reply code of the table has one."""

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
    """The reply is not ClassIn's, as with a redirect, an invalid certificate or a 404."""


@dataclass(frozen=True, slots=True)
class Intent:
    """Record that a request is about to be sent; on disk before its first byte is."""

    key: RequestKey
    number: int
    """1 for the first attempt of a request, over all resumes."""
    stamp: float
    """When, by this computer's clock; a later program's pace counts it."""
    ahead_s: float = 0.0
    """Seconds its stamp was ahead of ClassIn's clock; it is valid that much longer."""
    target: Target | None = None
    """The classroom, for others on this computer who send for the institution."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one try ended; with an `outcome` it was the request's last."""

    key: RequestKey
    number: int
    """0 if the request ended without a try."""
    ended: float
    code: str
    ambiguous: bool
    outcome: "Outcome | None" = None


@dataclass(frozen=True, slots=True)
class History:
    """The attempts of earlier programs for a resumed request."""

    attempts: int = 0
    ambiguous: bool = False
    """Whether one of those attempts may have been applied."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a row ended; `messages.explain` makes sentences of `code` and `args`."""

    status: RowStatus
    code: str = ""
    args: Mapping[str, Argument] = field(default_factory=dict)
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
    """Local to the sheet's time zone, `2027-03-01 08:00:00`; empty if nothing was sent."""
    run: str
    issues: tuple[Issue, ...] = ()
    """The issues of its cells, for highlighting and notes."""
    at: float | None = field(default=None, compare=False)
    """When it ended; None if nothing was sent, or if only a result sheet says so."""


def no_counts() -> dict[RowStatus, int]:
    """A zero for each of the eight states, in their order."""
    return dict.fromkeys(RowStatus, 0)


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a run ended before its last row."""

    reason: str
    """One word for programs: outage, throttled, maintenance, credentials, clock, refused, guard,
    ledger, lease, interrupted, busy."""
    code: str
    """ClassIn's code or a dotted one."""
    args: Mapping[str, Argument] = field(default_factory=dict)
    exit_status: int = 6
