"""Writes the sheet that reverts a run to the settings acknowledged before it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Final, Literal, assert_never

from bulkcast import reporter
from bulkcast.arguments import Series, SettingNames
from bulkcast.catalogue import (
    CLEAR_WORDS,
    ChoiceKind,
    Endpoint,
    IdKind,
    IdListKind,
    IntegerKind,
    MomentKind,
    NameKind,
    Role,
    Setting,
    TextKind,
)
from bulkcast.endpoints import WEBCAST
from bulkcast.errors import InstitutionBusy
from bulkcast.home import Home
from bulkcast.i18n import header_names, marked
from bulkcast.languages import translator
from bulkcast.ledger import FrozenRun, Ledger, RunHeader, open_ledger
from bulkcast.model import Body, Request, SettingValue, Target
from bulkcast.pipeline import run_group
from bulkcast.pipeline.options import zone
from bulkcast.pipeline.plans import require_place
from bulkcast.planner.last_known import Acknowledgement, Reversal, reversal
from bulkcast.reporter.run_summary import ranges


@dataclass(frozen=True, slots=True)
class Unrecoverable:
    """A classroom's setting that the sheet cannot restore."""

    rows: tuple[int, ...]
    """Of the run's sheet."""
    target: Target
    key: str
    why: Literal["unknown", "since"]
    """Its value before the run is unknown, or another run has set it since."""


@dataclass(frozen=True, slots=True)
class UnrecoverableGroup:
    """Settings that cannot be restored in the same classrooms for the same reason."""

    keys: tuple[str, ...]
    """In the table's order."""
    why: Literal["unknown", "since"]
    rows: tuple[int, ...]
    """Of the run's sheet, ascending."""
    classrooms: int


@dataclass(frozen=True, slots=True)
class Undone:
    """The sheet that reverts a run, and what it cannot restore."""

    run: str
    path: Path | None
    """None if there is nothing to restore, so that no sheet was written."""
    classrooms: int
    settings: int
    lost: tuple[Unrecoverable, ...]
    may_append: tuple[str, ...]
    """Restored settings for which the vendor does not say that a new value replaces the old."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Setting → its name in the header of the run's sheet."""

    @property
    def stays(self) -> tuple[UnrecoverableGroup, ...]:
        """The settings that cannot be restored, in as few groups as possible."""
        return _gathered(self.lost)

    @property
    def exit_status(self) -> int:
        """0 if the sheet restores everything, else 3."""
        return 3 if self.lost else 0


@dataclass(frozen=True, slots=True)
class TargetReversal:
    """What the run set in one classroom, and the values to restore."""

    requests: tuple[Request, ...]
    reversal: Reversal
    institution: str = ""
    """The profile it is for, where the run's sheet says so."""

    @property
    def target(self) -> Target:
        """The classroom."""
        return self.requests[0].target

    @property
    def rows(self) -> tuple[int, ...]:
        """The rows of the run's sheet that set it."""
        return tuple(sorted(row for request in self.requests for row in request.rows))

    @property
    def context(self) -> Body:
        """The ids that go with it in its last request, such as its course's."""
        return self.requests[-1].body


def undo(
    home: Home,
    run: str,
    *,
    target: Path | None = None,
    existing: Literal["refuse", "replace"] = "refuse",
    lang: str = "en",
    endpoint: Endpoint = WEBCAST,
) -> Undone:
    """Write the sheet that restores every setting of `run` to its value before.

    It is an ordinary sheet, to be reviewed, validated and applied; its comments are in `lang`.

    Raises:
        CannotStart: there is no such run, it was purged, or the sheet cannot be written.
        InstitutionBusy: the run is under way, and requests it sends later would not be reverted.

    """
    with open_ledger(home) as ledger:
        named = run_group.named(ledger, run)
        records = [ledger.newest(name) for name in named.names]
        busy = [record for record in records if record.under_way]
        if busy:
            raise InstitutionBusy(
                "run {run} is under way; undo it when it has ended", run=busy[0].header.run
            )
        loaded = [ledger.load(name) for name in named.names]
        parts = [part for frozen in loaded for part in _parts(ledger, frozen, endpoint)]
        parts.sort(key=lambda part: part.rows)
    header = replace(loaded[0].header, run=named.run)
    back = [part for part in parts if part.reversal.restored]
    lost = tuple(_lost(parts))
    path = None
    if back:
        place = target or _default(header)
        require_place(place, existing)
        headers, rows = sheet_of(back, endpoint, zone(header.tz))
        path = reporter.write_sheet(
            place, headers, rows, _comments(header.run, lost, lang), existing=existing
        ).path
    touched = {key for part in back for key, _ in part.reversal.restored}
    return Undone(
        run=header.run,
        path=path,
        classrooms=len(back),
        settings=sum(len(part.reversal.restored) for part in back),
        lost=lost,
        may_append=tuple(
            s.key for s in endpoint.settings if s.key in touched and isinstance(s.kind, IdListKind)
        ),
        names=header_names(header.headers, endpoint, header.mapping),
    )


def _default(header: RunHeader) -> Path:
    """The default path: beside the run's sheet, or beside its results if the sheet is missing."""
    sheet = Path(header.sheet)
    kind = sheet.suffix if sheet.suffix.lower() in {".csv", ".tsv"} else ".xlsx"
    beside = sheet if sheet.exists() else Path(header.target)
    return beside.with_name(f"{sheet.stem}.undo-{header.run}{kind}")


def _parts(ledger: Ledger, frozen: FrozenRun, endpoint: Endpoint) -> list[TargetReversal]:
    """The run's changes by classroom, in the order of its sheet."""
    by_target: dict[Target, list[Request]] = {}
    for request in sorted(frozen.requests, key=lambda r: r.rows[0]):
        by_target.setdefault(request.target, []).append(request)
    entries = ledger.acknowledged(frozen.header.institution, by_target)
    run = frozen.header.run
    return [
        TargetReversal(
            tuple(requests),
            _reversal(entries.get(target, []), run, requests, endpoint),
            frozen.header.profile,
        )
        for target, requests in by_target.items()
    ]


def _reversal(
    entries: Sequence[Acknowledgement], run: str, requests: Sequence[Request], endpoint: Endpoint
) -> Reversal:
    sent = {key for request in requests for key, _ in request.body}
    return reversal(entries, run, [s.key for s in endpoint.settings if s.key in sent])


def _lost(parts: Sequence[TargetReversal]) -> Iterator[Unrecoverable]:
    for part in parts:
        for key in part.reversal.unknown:
            yield Unrecoverable(part.rows, part.target, key, "unknown")
        for key in part.reversal.since:
            yield Unrecoverable(part.rows, part.target, key, "since")


def _gathered(lost: Iterable[Unrecoverable]) -> tuple[UnrecoverableGroup, ...]:
    """Group by setting, then join settings that share classrooms and reason."""
    by_key: dict[tuple[Literal["unknown", "since"], str], list[Unrecoverable]] = {}
    for item in lost:
        by_key.setdefault((item.why, item.key), []).append(item)
    by_place: dict[tuple[Literal["unknown", "since"], tuple[Target, ...]], list[str]] = {}
    rows: dict[tuple[Target, ...], tuple[int, ...]] = {}
    for (why, key), items in by_key.items():
        place = tuple(item.target for item in items)
        rows[place] = tuple(sorted(row for item in items for row in item.rows))
        by_place.setdefault((why, place), []).append(key)
    return tuple(
        UnrecoverableGroup(tuple(keys), why, rows[place], len(place))
        for (why, place), keys in by_place.items()
    )


# ------------------------------------------------------------------ the sheet


def sheet_of(
    parts: Sequence[TargetReversal], endpoint: Endpoint, tz: tzinfo
) -> tuple[list[str], list[list[str]]]:
    """The headers and cells of the sheet that restores `parts`; times are in `tz`."""
    keys, headers = _columns(parts, endpoint)
    return headers, [_cells(part, keys, endpoint, tz) for part in parts]


def _columns(parts: Sequence[TargetReversal], endpoint: Endpoint) -> tuple[list[str], list[str]]:
    """Keys and headers of the columns that any row fills, in the table's order."""
    used = {key for part in parts for key, _ in part.reversal.restored}
    used |= {key for part in parts for key, _ in part.context if not _is_setting(key, endpoint)}
    dated = any(r.locks_at is not None for part in parts for r in part.requests)
    if endpoint.institution and any(part.institution for part in parts):
        used.add(endpoint.institution.key)
    columns = [c for c in endpoint.columns if c.key in used or (c.role is Role.SCHEDULE and dated)]
    return [c.key for c in columns], [c.label.both for c in columns]


def _is_setting(key: str, endpoint: Endpoint) -> bool:
    return endpoint.by_key[key].role is Role.SETTING


def _cells(part: TargetReversal, keys: Sequence[str], endpoint: Endpoint, tz: tzinfo) -> list[str]:
    context = {k: v for k, v in part.context if not _is_setting(k, endpoint)}
    values: Mapping[str, SettingValue] = {**context, **dict(part.reversal.restored)}
    locks = [r.locks_at for r in part.requests if r.locks_at is not None]
    cells = []
    for key in keys:
        column = endpoint.by_key[key]
        if column.role is Role.SCHEDULE:
            cells.append(_moment(min(locks) + endpoint.lock_before_s, tz) if locks else "")
        elif column.role is Role.INSTITUTION:
            cells.append(part.institution)
        else:
            cells.append(_text(column, values[key]) if key in values else "")
    return cells


def _moment(at: int, tz: tzinfo) -> str:
    """A time with its UTC offset, so that it does not depend on --tz."""
    return datetime.fromtimestamp(at, tz).isoformat(sep=" ")


def _text(column: Setting, value: SettingValue) -> str:
    """A value as a cell spells it."""
    match column.kind, value:
        case ChoiceKind(choices=choices), _:
            return next((c.label.both for c in choices if c.value == value), str(value))
        case IdListKind(), tuple():
            return ", ".join(map(str, value)) or CLEAR_WORDS[0]
        case TextKind(), _:
            return str(value) or CLEAR_WORDS[0]
        case ((IdKind() | IntegerKind() | MomentKind() | IdListKind() | NameKind()), _):
            return str(value)
        case _:
            assert_never(column.kind)


def _comments(run: str, lost: Sequence[Unrecoverable], lang: str) -> list[str]:
    tell = translator(lang).tell
    title = tell("Brings the settings of run {run} back to what they were before it.", run=run)
    return [title, *(_comment(stays, tell) for stays in _gathered(lost))]


def _comment(stays: UnrecoverableGroup, tell: Callable[..., str]) -> str:
    rows = Series(*ranges(stays.rows, _STRETCHES))
    return tell(_LOST[stays.why], keys=SettingNames(stays.keys), rows=rows)


_STRETCHES: Final = 40
"""Ranges of row numbers that a comment in the sheet lists at most."""


_LOST: Mapping[str, str] = {
    "unknown": marked(
        "Not brought back: {keys} of rows {rows} of that run's sheet, of which nothing was"
        " acknowledged before it."
    ),
    "since": marked(
        "Not brought back: {keys} of rows {rows} of that run's sheet, which another run has set"
        " since."
    ),
}
