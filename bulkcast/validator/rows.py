"""Checks rows one by one: each becomes a `Change`, or an `Invalid` with all its errors."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import repeat
from typing import Any, Final, NamedTuple, assert_never

from bulkcast.arguments import SettingNames
from bulkcast.catalogue import (
    Clash,
    Endpoint,
    IdListKind,
    Lock,
    Needs,
    Role,
    Rule,
    Setting,
    TextKind,
    Together,
    TooFew,
)
from bulkcast.headers import fold
from bulkcast.model import (
    Argument,
    Block,
    Cell,
    Change,
    CheckedRow,
    FlaggedCell,
    Invalid,
    Issue,
    SettingValue,
    Severity,
    Target,
    Text,
    column_letters,
)
from bulkcast.problems import issue
from bulkcast.safe_text import MASK, masked
from bulkcast.validator.columns import address
from bulkcast.validator.parsing import CellCache, Finding, Reading, make_finding, visible

Values = Mapping[str, SettingValue]


class Breach(NamedTuple):
    """A rule that a row's settings break."""

    rule: Rule
    key: str | None
    """The setting at fault; None if it is the row as a whole."""
    args: Mapping[str, Argument]


_REMEMBERED: Final = 4096
Case = tuple[SettingValue | None, ...]
"""A row's values of the keys that rules use."""


class Breaches(dict[Case, tuple[Breach, ...]]):
    """A cache: a row's values → the rules they break."""

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        super().__init__()
        self._rules = rules
        self.keys_of_case = tuple(dict.fromkeys(key for rule in rules for key in rule_keys(rule)))

    def __missing__(self, case: Case) -> tuple[Breach, ...]:
        pairs = zip(self.keys_of_case, case, strict=True)
        values = {key: value for key, value in pairs if value is not None}
        broken = tuple(filter(None, (_breach(rule, values) for rule in self._rules)))
        if len(self) < _REMEMBERED:
            self[case] = broken
        return broken


def rule_keys(rule: Rule) -> tuple[str, ...]:
    """The keys that a rule uses."""
    match rule:
        case Clash():
            return (rule.key, rule.other)
        case Together():
            return rule.keys
        case Needs():
            return (*rule.keys, rule.other)
        case TooFew():
            return (rule.key, *rule.others)
        case _ as never:
            assert_never(never)


def _breach(rule: Rule, values: Values) -> Breach | None:
    """How `values` break the rule; None if they do not."""
    key: str | None
    args: dict[str, Argument] = {}
    match rule:
        case Clash(key=key):
            others = rule.other_values
            is_broken = values.get(key) in rule.values and values.get(rule.other) in others
            args["other"] = SettingNames((rule.other,))
        case Together():
            given = tuple(key for key in rule.keys if key in values)
            key, is_broken = None, 0 < len(given) < len(rule.keys)
            args |= {"given": SettingNames(given), "keys": SettingNames(rule.keys)}
        case Needs():
            key = next((key for key in rule.keys if values.get(key)), None)
            is_broken = key is not None and values.get(rule.other) != rule.value
            args["other"] = SettingNames((rule.other,))
        case TooFew(key=key):
            possible = [other for other in rule.others if values.get(other) != 0]
            is_broken = values.get(key) in rule.values and len(possible) < rule.least
        case _ as never:
            assert_never(never)
    return Breach(rule, key, args) if is_broken else None


_QUOTED_ARGS: Final = frozenset({"value", "part", "shown", "read", "stored"})
"""Arguments of messages that quote a cell."""
_SHORTEST_HIDDEN: Final = 2
_LONGEST_SHOWN: Final = 120
_FEWEST_NAMES: Final = 2
"""Columns a row must name to count as a repeated header, one of them the classroom's."""
_LONGEST_HEADER: Final = 80
_GRAVEST_FIRST: Final = {severity: place for place, severity in enumerate(Severity)}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the sheet that is read."""

    index: int
    header: str
    setting: Setting
    cache: CellCache


class RowCheck(NamedTuple):
    """A checked row, without comparison with others."""

    number: int
    values: tuple[Any, ...]
    """The values in the checker's order; None for blank cells."""
    target: int | None
    """Index of the value that names the classroom; None for an invalid row."""
    issues: tuple[Issue, ...] = ()
    """Issues without a row number; `at` adds it."""
    also: int | None = None
    """Index of the value with the classroom's other id."""


@dataclass(frozen=True, slots=True)
class Lines:
    """A block of rows with the values of their cells."""

    block: Block
    values: Mapping[str, list[Any]]
    """Setting key → the values of its column."""
    remarkable: Mapping[int, list[tuple[str, Reading]]]
    """Place of a row → keys and readings of its cells with findings."""


class RowChecker:
    """Checks rows one by one."""

    def __init__(
        self,
        columns: Sequence[Column],
        endpoint: Endpoint,
        weigh: Callable[[Severity], Severity],
    ) -> None:
        """`columns` are in the table's order; `weigh` adjusts severities if the check is strict."""
        self._columns = {column.setting.key: column for column in columns}
        self._weigh = weigh
        self._breaches = Breaches(endpoint.rules)
        self._lock_before_s = endpoint.lock_before_s
        by_role = {
            role: [c.setting.key for c in columns if c.setting.role is role] for role in Role
        }
        self.targets = tuple(t.key for t in endpoint.targets if t.key in self._columns)
        self._settings = by_role[Role.SETTING]
        wanted = [*by_role[Role.CONTEXT], *self._settings]
        own = [*by_role[Role.SCHEDULE], *by_role[Role.INSTITUTION]]
        self._order = [*self.targets, *own, *wanted]
        self._starts = len(self.targets) if by_role[Role.SCHEDULE] else None
        self._whose = len(self.targets) + len(own) - 1 if by_role[Role.INSTITUTION] else None
        self._first_wanted = len(self._order) - len(wanted)
        self._first_setting = len(self._order) - len(self._settings)
        self._nothing = (None,) * len(self._settings)
        place = {key: i for i, key in enumerate(self._order)}
        self._names = [
            (place[c.setting.key], c.setting.key)
            for c in columns
            if c.setting.role in {Role.TARGET, Role.CONTEXT}
        ]
        self._locking = [
            place[c.setting.key] for c in columns if c.setting.lock is Lock.BEFORE_CLASS
        ]
        self._secrets = [c.index for c in columns if c.setting.secret]
        self._headers = {
            **{header: setting.key for header, setting in endpoint.by_header.items()},
            **{fold(column.header): column.setting.key for column in columns},
        }
        self._all_targets = frozenset(t.key for t in endpoint.targets)
        self.other_tables: dict[int, Issue] = {}
        """Row of a further header whose columns differ → its issue; the rows below it cannot be
        read with the first header."""
        self._known: dict[tuple[object, ...], Issue] = {}
        self._quoted: dict[int, int] = {}
        """`id` of a known issue → length of the longest argument that quotes a cell."""

    def read(self, block: Block) -> Lines:
        """Read the cells of some rows, column by column."""
        values: dict[str, list[Any]] = {}
        remarkable: defaultdict[int, list[tuple[str, Reading]]] = defaultdict(list)
        for key, column in self._columns.items():
            values[key], found = column.cache.read(block.columns[column.index])
            for place, reading in found.items():
                remarkable[place].append((key, reading))
        return Lines(block, values, remarkable)

    def check(self, lines: Lines) -> Iterator[RowCheck]:
        """Check each row; an invalid one gets all its errors, not just the first."""
        numbers, remarkable, extra = lines.block.numbers, lines.remarkable, lines.block.extra
        first, nothing, one = self._first_setting, self._nothing, len(self.targets) - 1
        breaches = map(self._breaches.__getitem__, self._cases(lines))
        rows = _transpose([lines.values[key] for key in self._order], len(numbers))
        for place, (number, values, broken) in enumerate(zip(numbers, rows, breaches, strict=True)):
            given = values[: one + 1]
            if extra and number in extra:
                shifted = self._extra_cells_issue(len(lines.block.columns), extra[number])
                header = self._header_again(lines, place, values)
                yield header or RowCheck(number, values, None, (shifted,))
            elif (
                broken
                or place in remarkable
                or given.count(None) != one
                or values[first:] == nothing
            ):
                yield self._check(lines, place, values, broken)
            else:
                yield RowCheck(number, values, 0 if given[0] is not None else _first_given(given))

    def _cases(self, lines: Lines) -> Iterable[Case]:
        """Each row's values of the keys that rules use; lists and texts only as empty or not."""
        n = len(lines.block.numbers)
        columns: list[Iterable[Any]] = []
        for key in self._breaches.keys_of_case:
            column = self._columns.get(key)
            if column is None:
                columns.append(repeat(None, n))
            elif isinstance(column.setting.kind, IdListKind | TextKind):
                columns.append([value and _SOMETHING for value in lines.values[key]])
            else:
                columns.append(lines.values[key])
        return _transpose(columns, n)

    def _check(
        self, lines: Lines, place: int, values: tuple[Any, ...], broken: Sequence[Breach]
    ) -> RowCheck:
        """Check a row that has findings, broken rules or missing values."""
        cells = [column[place] for column in lines.block.columns]
        remarkable = lines.remarkable.get(place, ())
        given = [i for i in range(len(self.targets)) if values[i] is not None]
        if not given and (header := self._header_again(lines, place, values)):
            return header
        issues = [
            self._issue(finding, key, cells)
            for key, reading in remarkable
            for finding in reading.findings
        ]
        unread = frozenset(key for key, reading in remarkable if reading.is_unread)
        issues += self._rule_issues(cells, broken, unread)
        if len(given) > 1:
            issues.append(self._issue(make_finding("target.both"), self.targets[given[1]], cells))
        elif not given and not any(key in self.targets for key, _ in remarkable):
            targets = SettingNames(self.targets, either=True)
            issues.append(self._issue(make_finding("target.missing", targets=targets)))
        if values[self._first_setting :] == self._nothing and unread.isdisjoint(self._settings):
            issues.append(self._issue(make_finding("row.nothing_to_set")))
        if self._secrets:
            issues = self._mask_secrets(cells, issues)
        if len(issues) > 1:
            issues.sort(key=_gravity)
        found = tuple(issues)
        if not given or (found and found[0].severity is Severity.ERROR):
            return RowCheck(lines.block.numbers[place], values, None, found)
        also = given[1] if len(given) > 1 else None
        return RowCheck(lines.block.numbers[place], values, given[0], found, also)

    def _header_again(self, lines: Lines, place: int, values: tuple[Any, ...]) -> RowCheck | None:
        """The result for a row that repeats a header; None for any other row."""
        number = lines.block.numbers[place]
        row = (column[place] for column in lines.block.columns)
        cells = (*row, *lines.block.extra.get(number, ()))
        texts = ((i, cell) for i, cell in enumerate(cells) if isinstance(cell, str) and cell)
        named = {
            i: key
            for i, cell in texts
            if len(cell) <= _LONGEST_HEADER and (key := self._headers.get(fold(cell)))
        }
        keys = set(named.values())
        if len(keys) < _FEWEST_NAMES or keys.isdisjoint(self._all_targets):
            return None
        held = {column.index: key for key, column in self._columns.items()}
        moved = [i for i, key in named.items() if held.get(i) != key]
        if not moved:
            return RowCheck(number, values, None, (self._issue(make_finding("row.header_again")),))
        cell, value = address(moved[0], number), visible(str(cells[moved[0]]))
        self.other_tables[number] = issue("header.second_table", row=number, cell=cell, value=value)
        return RowCheck(number, values, None)

    def _rule_issues(
        self, cells: Sequence[Cell], broken: Sequence[Breach], unread: Set[str]
    ) -> Iterator[Issue]:
        for rule, key, args in broken:
            # A value that was given but cannot be read has its own issue.
            if unread.isdisjoint(rule_keys(rule)):
                yield self._issue(Finding(rule.code, args, rule.severity), key, cells)

    def _mask_secrets(self, cells: Sequence[Cell], issues: list[Issue]) -> list[Issue]:
        """Mask the row's secrets in issues that quote other cells."""
        secrets = [text(cells[index]).strip() for index in self._secrets]
        shown = [secret for secret in secrets if len(secret) >= _SHORTEST_HIDDEN]
        if not shown:
            return issues
        # Every encoded form of a secret is at least as long as the secret.
        least = min(map(len, shown))
        return [_masked_issue(f, shown) if self._quoted[id(f)] >= least else f for f in issues]

    def _issue(self, finding: Finding, key: str | None = None, cells: Sequence[Cell] = ()) -> Issue:
        """The issue for a finding in the cell of `key`, or in the row as a whole.

        It has no row number: rows with the same issue share one object.
        """
        code, args, severity = finding
        column = None if key is None else self._columns[key]
        index = None if column is None else column.index
        value = None if column is None else _shown(cells[column.index], column.setting)
        kind = (code, self._weigh(severity), index, value, *args.items())
        known = self._known.get(kind)
        if known is None:
            known = issue(
                code,
                row=None,
                column=None if column is None else column.header,
                cell=None if index is None else column_letters(index),
                value=value,
                severity=self._weigh(severity),
                **args,
            )
            self._known[kind] = known
            shown = known.message.args.items()
            quoted = (len(str(value)) for name, value in shown if name in _QUOTED_ARGS)
            self._quoted[id(known)] = max(quoted)
        return known

    def _extra_cells_issue(self, width: int, extra: Sequence[Cell]) -> Issue:
        """The issue of a row with more cells than headers; any cell may hold a secret."""
        held = ", ".join(text(cell) for cell in extra)
        value = MASK if self._secrets else visible(held[:_LONGEST_SHOWN])
        return issue("row.extra_cells", cell=column_letters(width), value=value)

    def row(self, checked: RowCheck) -> CheckedRow:
        """The row's change, or its errors."""
        number, values, target, also = checked.number, checked.values, checked.target, checked.also
        issues = tuple([at(found, number) for found in checked.issues])
        whose = "" if self._whose is None else self.institution(checked)
        if target is None:
            return Invalid(number, issues, whose)
        settings = zip(self._settings, values[self._first_setting :], strict=True)
        given = (pair for pair in settings if pair[1] is not None)
        wanted = [_shared_pair(pair) if _is_switch(pair) else pair for pair in given]
        named = [
            (key, values[i]) if i == target else _shared_pair((key, values[i]))
            for i, key in self._names
            if i != also and values[i] is not None
        ]
        starts_at = None if self._starts is None else values[self._starts]
        classroom = self.classroom(checked)
        return Change(number, classroom, (*named, *wanted), len(wanted), starts_at, issues, whose)

    def institution(self, checked: RowCheck) -> str:
        """The profile that a row names; empty if it names none."""
        return "" if self._whose is None else checked.values[self._whose] or ""

    def classroom(self, checked: RowCheck) -> Target:
        """The classroom that a valid row names."""
        place = checked.target or 0
        return Target(self.targets[place], checked.values[place])

    def settings_hash(self, checked: RowCheck) -> int:
        """A hash of a row's body without the classroom: equal for rows with equal settings.

        With 64 bits a collision among a few million rows is practically impossible.
        """
        return hash(checked.values[self._first_wanted :])

    def locks_at(self, checked: RowCheck) -> int | None:
        """When the first setting of a row locks, like `planner.deadlines.locks_at` for a change."""
        values = checked.values
        start: int | None = None if self._starts is None else values[self._starts]
        if start is not None:
            for place in self._locking:
                if values[place] is not None:
                    return start - self._lock_before_s
        return None


_SOMETHING: Final = "1"


def _transpose(columns: Sequence[Iterable[Any]], n: int) -> Iterable[tuple[Any, ...]]:
    return zip(*columns, strict=True) if columns else repeat((), n)


def _first_given(given: Sequence[object]) -> int:
    return next(place for place, value in enumerate(given) if value is not None)


def _gravity(found: Issue) -> int:
    return _GRAVEST_FIRST[found.severity]


def at(found: Issue, row: int) -> Issue:
    """An issue without a row number, placed in `row`."""
    cell = None if found.cell is None else f"{found.cell}{row}"
    return Issue(
        found.code, found.severity, row, found.column, cell, found.value, found.message, found.fix
    )


_Pair = tuple[str, SettingValue]


def _is_switch(pair: _Pair) -> bool:
    return pair[1].__class__ is int and pair[1] in _SHARED_INTEGERS


def _shared_pair(pair: _Pair) -> _Pair:
    """Share one object for a pair that many rows have, such as a switch or a course."""
    if len(_PAIRS) >= _PAIRS_MOST:
        return _PAIRS.get(pair, pair)
    return _PAIRS.setdefault(pair, pair)


_SHARED_INTEGERS: Final = range(100)
_PAIRS_MOST: Final = 10_000
_PAIRS: Final[dict[_Pair, _Pair]] = {}


def _masked_issue(found: Issue, secrets: Collection[str]) -> Issue:
    args = {
        k: masked(str(v), secrets) if k in _QUOTED_ARGS else v
        for k, v in found.message.args.items()
    }
    return replace(
        found,
        value=None if found.value is None else masked(found.value, secrets),
        message=Text(found.message.template, args),
        fix=Text(found.fix.template, args),
    )


def _shown(cell: Cell, setting: Setting) -> str | None:
    shown = text(cell)
    if setting.secret and shown:
        return MASK
    short = shown if len(shown) <= _LONGEST_SHOWN else f"{shown[:_LONGEST_SHOWN]}…"
    return visible(short)


def text(cell: Cell) -> str:
    """A cell's text as a spreadsheet would show it."""
    match cell:
        case str():
            return cell
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
