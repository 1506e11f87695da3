"""From one row of cells to a `Change`, or to everything that is wrong with it."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, NamedTuple

from bulkcast.catalogue import Endpoint, Role, Setting, fold
from bulkcast.masking import masked
from bulkcast.model import (
    Cell,
    Change,
    CheckedRow,
    FlaggedCell,
    Invalid,
    Issue,
    RawRow,
    SettingValue,
    Severity,
    Target,
    Text,
)
from bulkcast.problems import issue
from bulkcast.validator.columns import address
from bulkcast.validator.readers import Readers
from bulkcast.validator.reading import Finding, Reader, Reading, visible
from bulkcast.validator.rules import Values, compiled

_MASK: Final = "•••"
_QUOTING: Final = frozenset({"value", "part", "shown", "read", "stored"})
"""Arguments of sentences that repeat what stands in a cell."""
_SHORTEST_HIDDEN: Final = 2
_LONGEST_SHOWN: Final = 120
_FEWEST_NAMES: Final = 2
"""Columns that a header names, of which one names the classroom."""
_LONGEST_HEADER: Final = 80
_GRAVEST_FIRST: Final = {severity: place for place, severity in enumerate(Severity)}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the sheet that is read."""

    index: int
    header: str
    setting: Setting
    readers: Readers


class Judged(NamedTuple):
    """A row, judged by itself."""

    row: CheckedRow
    also: Target | None = None
    """The same classroom by its other id, where the row gives both."""


class _Read(NamedTuple):
    """A column, as the loop over a row's cells needs it."""

    place: int
    key: str
    read: Reader
    recall: Reader

    @classmethod
    def of(cls, column: Column) -> "_Read":
        return cls(column.index, column.setting.key, column.readers.read, column.readers.recall)


_Remarkable = list[tuple[str, Reading]]
_PLAIN: Final = frozenset({str, int})
"""What `Readers.recall` may be asked for; the class itself, since True is an int too."""


def row_checker(
    columns: Iterable[Column],
    endpoint: Endpoint,
    weigh: Callable[[Severity], Severity],
) -> "Checker":
    """The check of rows; `columns` are in the table's order, `weigh` is how strict it is."""
    return Checker(tuple(columns), endpoint, weigh)


class Checker:
    """The check of one sheet's rows."""

    def __init__(
        self,
        columns: tuple[Column, ...],
        endpoint: Endpoint,
        weigh: Callable[[Severity], Severity],
    ) -> None:
        self._columns = {column.setting.key: column for column in columns}
        self._endpoint = endpoint
        self._weigh = weigh
        self._breaches = compiled(endpoint.rules)
        self._settings = [_Read.of(c) for c in columns if c.setting.role is Role.SETTING]
        self._names = [_Read.of(c) for c in columns if c.setting.role is not Role.SETTING]
        self._targets = tuple(t.key for t in endpoint.targets if t.key in self._columns)
        self._schedule = [c.setting.key for c in columns if c.setting.role is Role.SCHEDULE]
        self._has_secret = any(c.setting.secret for c in columns)
        self._headers = {
            **{header: setting.key for header, setting in endpoint.by_header.items()},
            **{fold(column.header): column.setting.key for column in columns},
        }
        self.other_tables: dict[int, Issue] = {}
        """By the row of its header, each further table whose columns stand elsewhere, so far met:
        what is below it cannot be read by the first header."""

    def check(self, raw: RawRow) -> Judged:
        """The row's change, or its errors: all of them, not the first."""
        if raw.extra:
            if header := self._header_again(raw):
                return header
            return Judged(Invalid(raw.number, (self._shifted(raw),)))
        remarkable: _Remarkable = []
        names = _values(raw.cells, self._names, remarkable)
        settings = _values(raw.cells, self._settings, remarkable)
        starts_at = next((names.pop(key) for key in self._schedule if key in names), None)
        given = [key for key in self._targets if key in names]
        breaches = self._breaches(settings)
        if len(given) == 1 and settings and not remarkable and not breaches:
            return Judged(_change(raw.number, given[0], names, settings, starts_at))
        return self._judge(raw, given, names, settings, starts_at, remarkable)

    def _judge(
        self,
        raw: RawRow,
        given: list[str],
        names: dict[str, SettingValue],
        settings: dict[str, SettingValue],
        starts_at: SettingValue | None,
        remarkable: _Remarkable,
    ) -> Judged:
        if not given and (header := self._header_again(raw)):
            return header
        issues = tuple(self._issues(raw, settings, remarkable))
        issues += tuple(self._about_target(raw, given, remarkable))
        unread = [key for key, reading in remarkable if reading.is_unread]
        if not settings and not any(map(self._sets, unread)):
            issues += (self._issue("row.nothing_to_set", raw.number),)
        if self._has_secret:
            issues = self._hiding(raw, issues)
        issues = tuple(sorted(issues, key=lambda found: _GRAVEST_FIRST[found.severity]))
        if not given or any(i.severity is Severity.ERROR for i in issues):
            return Judged(Invalid(raw.number, issues))
        spare = [Target(key, _number(names.pop(key))) for key in given[1:]]
        change = _change(raw.number, given[0], names, settings, starts_at, issues)
        return Judged(change, spare[0] if spare else None)

    def _header_again(self, raw: RawRow) -> Judged | None:
        """The judgement of a row that is a header; None of any other."""
        cells = (*raw.cells, *raw.extra)
        texts = ((i, cell) for i, cell in enumerate(cells) if isinstance(cell, str) and cell)
        named = {
            i: key
            for i, cell in texts
            if len(cell) <= _LONGEST_HEADER and (key := self._headers.get(fold(cell)))
        }
        keys = set(named.values())
        if len(keys) < _FEWEST_NAMES or keys.isdisjoint(t.key for t in self._endpoint.targets):
            return None
        held = {column.index: key for key, column in self._columns.items()}
        moved = [i for i, key in named.items() if held.get(i) != key]
        if not moved:
            return Judged(Invalid(raw.number, (issue("row.header_again", row=raw.number),)))
        cell, value = address(moved[0], raw.number), visible(str(cells[moved[0]]))
        found = issue("header.second_table", row=raw.number, cell=cell, value=value)
        self.other_tables[raw.number] = found
        return Judged(Invalid(raw.number, ()))

    def _hiding(self, raw: RawRow, issues: tuple[Issue, ...]) -> tuple[Issue, ...]:
        """The issues, with the row's secrets masked where they stand in other cells too."""
        cells = [raw.cells[c.index] for c in self._columns.values() if c.setting.secret]
        shown = {t for cell in cells if len(t := text(cell).strip()) >= _SHORTEST_HIDDEN}
        return tuple(_hidden(found, shown) for found in issues) if shown else issues

    def _sets(self, key: str) -> bool:
        return self._columns[key].setting.role is Role.SETTING

    # -------------------------------------------------------------- issues

    def _issues(self, raw: RawRow, settings: Values, remarkable: _Remarkable) -> Iterator[Issue]:
        for key, reading in remarkable:
            for finding in reading.findings:
                yield self._at(raw, key, finding)
        unread = {key for key, reading in remarkable if reading.is_unread}
        for breach in self._breaches(settings):
            if not unread.isdisjoint(breach.keys):
                # What is missing here was given, but cannot be read: that is said already.
                continue
            if breach.key is None:
                yield self._issue(breach.code, raw.number, breach.severity, **breach.args)
            else:
                finding = Finding(breach.code, breach.args, breach.severity)
                yield self._at(raw, breach.key, finding)

    def _about_target(
        self, raw: RawRow, given: list[str], remarkable: _Remarkable
    ) -> Iterator[Issue]:
        if len(given) > 1:
            yield self._at(raw, given[1], Finding("target.both", {}, Severity.NOTE))
        elif not given and not any(key in self._targets for key, _ in remarkable):
            wanted = " or ".join(self._targets)
            yield self._issue("target.missing", raw.number, targets=wanted)

    def _at(self, raw: RawRow, key: str, finding: Finding) -> Issue:
        """The issue that `finding` is, in the cell of `key`."""
        column = self._columns[key]
        return issue(
            finding.code,
            row=raw.number,
            column=column.header,
            cell=address(column.index, raw.number),
            value=_shown(raw.cells[column.index], column.setting),
            severity=self._weigh(finding.severity),
            **finding.args,
        )

    def _issue(
        self, code: str, row: int, severity: Severity | None = None, /, **args: str
    ) -> Issue:
        weight = None if severity is None else self._weigh(severity)
        return issue(code, row=row, severity=weight, **args)

    def _shifted(self, raw: RawRow) -> Issue:
        """The issue of a row with more cells than headers; any of them may hold a secret."""
        held = ", ".join(text(cell) for cell in raw.extra)
        value = _MASK if self._has_secret else visible(held[:_LONGEST_SHOWN])
        cell = address(len(raw.cells), raw.number)
        return issue("row.extra_cells", row=raw.number, cell=cell, value=value)


def _values(
    cells: Sequence[Cell], reads: Iterable[_Read], remarkable: _Remarkable
) -> dict[str, SettingValue]:
    """The values of `cells`, blank ones left out; readings with findings go to `remarkable`."""
    values: dict[str, SettingValue] = {}
    for place, key, read, recall in reads:
        cell = cells[place]
        reading = recall(cell) if cell.__class__ in _PLAIN else read(cell)
        if reading.value is not None:
            values[key] = reading.value
        if reading.findings:
            remarkable.append((key, reading))
    return values


def _change(
    row: int,
    target: str,
    names: Mapping[str, SettingValue],
    settings: Mapping[str, SettingValue],
    starts_at: SettingValue | None,
    issues: tuple[Issue, ...] = (),
) -> Change:
    wanted = [_once(pair) if _is_switch(pair) else pair for pair in settings.items()]
    named = [pair if pair[0] == target else _once(pair) for pair in names.items()]
    return Change(
        row,
        Target(target, _number(names[target])),
        (*named, *wanted),
        len(wanted),
        None if starts_at is None else _number(starts_at),
        issues,
    )


_Pair = tuple[str, SettingValue]


def _is_switch(pair: _Pair) -> bool:
    return pair[1].__class__ is int and pair[1] in _SMALL


def _once(pair: _Pair) -> _Pair:
    """A pair that many rows have alike, such as a switch or a course: kept once for all."""
    if len(_PAIRS) >= _PAIRS_MOST:
        return _PAIRS.get(pair, pair)
    return _PAIRS.setdefault(pair, pair)


_SMALL: Final = range(100)
_PAIRS_MOST: Final = 10_000
_PAIRS: Final[dict[_Pair, _Pair]] = {}


def _number(value: SettingValue) -> int:
    """`value` of a column that reads nothing but integers: ids and times."""
    if isinstance(value, int):
        return value
    raise TypeError(f"a {type(value).__name__} stands where only integers are read")


# ------------------------------------------------------------------ how a cell is shown


def _hidden(found: Issue, secrets: Collection[str]) -> Issue:
    args = {k: masked(v, secrets) if k in _QUOTING else v for k, v in found.message.args.items()}
    return replace(
        found,
        value=None if found.value is None else masked(found.value, secrets),
        message=Text(found.message.template, args),
        fix=Text(found.fix.template, args),
    )


def _shown(cell: Cell, setting: Setting) -> str | None:
    shown = text(cell)
    if setting.secret and shown:
        return _MASK
    short = shown if len(shown) <= _LONGEST_SHOWN else f"{shown[:_LONGEST_SHOWN]}…"
    return visible(short)


def text(cell: Cell) -> str:
    """A cell as a spreadsheet would show it."""
    match cell:
        case None:
            return ""
        case FlaggedCell():
            return cell.shown
        case bool():
            return "TRUE" if cell else "FALSE"
        case datetime():
            return cell.isoformat(" ", "minutes")
        case _:
            return str(cell)
