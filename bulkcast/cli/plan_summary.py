"""What a plan comes to: which settings go which way, how long it takes, what is too late."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, assert_never

from bulkcast.catalogue import (
    ChoiceKind,
    Endpoint,
    IdKind,
    IdListKind,
    IntegerKind,
    MomentKind,
    Setting,
    TextKind,
)
from bulkcast.cli.language import tr
from bulkcast.i18n import marked
from bulkcast.model import Change, RowStatus, SettingValue
from bulkcast.pipeline import Prepared
from bulkcast.planner.deadlines import is_refused
from bulkcast.planner.forecast import Forecast, Pace, forecast
from bulkcast.planner.last_known import Holdings, Known


@dataclass(frozen=True, slots=True)
class Step:
    """One way a setting goes, and in how many rows."""

    old: str | None
    """What it is known to be, in words; None where that is unknown."""
    new: str
    is_same: bool
    rows: int


@dataclass(frozen=True, slots=True)
class Settled:
    """What becomes of one setting over all rows that are sent."""

    key: str
    label: str
    values: Mapping[str, int]
    """What it becomes, in words → in how many rows; most frequent last where values are free."""
    untouched: int
    """Rows that leave it as it is."""
    steps: tuple[Step, ...]
    """The same by what it is known to be, the most frequent first."""


@dataclass(frozen=True, slots=True)
class Bill:
    """Something that is switched on and that ClassIn bills."""

    key: str
    label: str
    classrooms: int
    by: str


@dataclass(frozen=True, slots=True)
class Figures:
    """A plan in numbers."""

    rows: int
    """Rows read."""
    sent: int
    """Rows whose settings would be sent."""
    requests: int
    classrooms: int
    left_out: int
    """Rows that an option keeps back, or that an earlier run has done."""
    done: int
    """How many of those an earlier run has done."""
    locked: int
    """Rows whose settings are locked already, so that they are not sent."""
    invalid: int
    unchanged: int
    """Rows that are skipped because they would change nothing."""
    warnings: int
    """Rows to be sent about which there is a warning."""
    settings: tuple[Settled, ...]
    """Those that any row sets, in the table's order."""
    bill: tuple[Bill, ...]
    outlook: Forecast
    free: int
    """Rows that come too late, and of which only what stays free would be new."""
    dated: int
    """Rows to be sent of which it is known when they lock."""
    order: tuple[tuple[int, ...], ...]
    """The rows of each request, in sending order."""


def figures(prepared: Prepared, *, rate: float, now: float) -> Figures:
    """Count `prepared` up.  `rate` in requests per second, `now` in Unix seconds."""
    endpoint = prepared.endpoint
    requests = [r for r in prepared.plan.requests if not is_refused(r, now)]
    rows = {row for request in requests for row in request.rows}
    changes = [c for c in prepared.checked.rows if isinstance(c, Change) and c.row in rows]
    outlook = forecast(prepared.plan.requests, Pace(rate, endpoint.limit), now=now)
    late = {row.row for row in outlook.late}
    return Figures(
        rows=len(prepared.sheet.rows),
        sent=len(rows),
        requests=len(requests),
        classrooms=len({request.target for request in requests}),
        left_out=len(prepared.sheet.rows) - len(prepared.checked.rows),
        done=sum(row.status in _DONE for row in prepared.kept.values()),
        locked=sum(len(r.rows) for r in prepared.plan.requests) - len(rows),
        invalid=_settled_as(prepared, RowStatus.INVALID),
        unchanged=_settled_as(prepared, RowStatus.UNCHANGED),
        warnings=sum(any(i.severity == "warning" for i in c.issues) for c in changes),
        settings=tuple(_settled(changes, endpoint, prepared.known)),
        bill=tuple(_bill(changes, endpoint, prepared.known)),
        outlook=outlook,
        free=sum(len(r.rows) for r in prepared.plan.requests if r.free and r.rows[0] in late),
        dated=sum(len(r.rows) for r in requests if r.locks_at is not None),
        order=tuple(request.rows for request in requests),
    )


_DONE: Final = frozenset({RowStatus.APPLIED, RowStatus.UNCHANGED, RowStatus.SUPERSEDED})


def _settled_as(prepared: Prepared, status: RowStatus) -> int:
    """Rows that the plan settled so, without those an earlier result has."""
    settled = sum(o.status is status for o in prepared.plan.settled.values())
    return settled - sum(row.status is status for row in prepared.kept.values())


def _settled(changes: Iterable[Change], endpoint: Endpoint, known: Known) -> Iterable[Settled]:
    steps: dict[str, Counter[tuple[str | None, str, bool]]] = {}
    n = 0
    for change in changes:
        n += 1
        for key, old, new, same in row_steps(change, endpoint, known.get(change.target, {})):
            steps.setdefault(key, Counter())[old, new, same] += 1
    for setting in endpoint.settings:
        if found := steps.get(setting.key):
            values: Counter[str] = Counter()
            for (_, new, _), rows in found.items():
                values[new] += rows
            yield Settled(
                setting.key,
                setting.label.en,
                dict(values.most_common()),
                n - found.total(),
                tuple(Step(*step, rows) for step, rows in found.most_common()),
            )


def row_steps(
    change: Change, endpoint: Endpoint, holdings: Holdings
) -> Iterator[tuple[str, str | None, str, bool]]:
    """What a row does to each setting: key, old and new in words, and whether they are the same."""
    for key, new in change.settings:
        setting = endpoint.by_key[key]
        held = holdings.get(key)
        same = held is not None and held.value == new
        old = None if held is None else _old_word(setting, held.value, same=same)
        yield key, old, _word(setting, new), same


def _old_word(setting: Setting, value: SettingValue, *, same: bool) -> str:
    word = _word(setting, value)
    return marked("another") if word == "set" and not same else word


def _bill(changes: Sequence[Change], endpoint: Endpoint, known: Known) -> Iterator[Bill]:
    """What the plan switches on that costs money, by classroom; not what is known to be on."""
    for setting in endpoint.settings:
        if setting.billed is not None:
            on = {c.target for c in changes if _switches_on(c, setting.key, known)}
            if on:
                yield Bill(setting.key, setting.label.en, len(on), setting.billed.en)


def _switches_on(change: Change, key: str, known: Known) -> bool:
    held = known.get(change.target, {}).get(key)
    return any(k == key and v and (held is None or held.value != v) for k, v in change.settings)


def _word(setting: Setting, value: SettingValue) -> str:
    """What a value means; of free texts and lists only whether they are set, as some are secret."""
    match setting.kind:
        case ChoiceKind(choices=choices):
            return next((c.label.en for c in choices if c.value == value), str(value))
        case IntegerKind():
            return str(value)
        case TextKind() | IdListKind():
            return marked("set") if value else marked("cleared")
        case IdKind() | MomentKind():
            return marked("set")
        case _:
            assert_never(setting.kind)


def spell(seconds: float) -> str:
    """A duration for people.

    >>> spell(0.2), spell(32), spell(96), spell(5400), spell(math.inf)
    ('less than a second', '32 s', '1 min 36 s', '1 h 30 min', 'a while')
    """
    if not math.isfinite(seconds):
        return tr("a while")
    if seconds < 1:
        return tr("less than a second")
    whole = round(seconds)
    if whole < 60:
        return tr("{n} s", n=whole)
    if whole < 3600:
        high, low = divmod(whole, 60)
        return tr("{n} min {low} s", n=high, low=low) if low else tr("{n} min", n=high)
    high, low = divmod(round(seconds / 60), 60)
    return tr("{n} h {low} min", n=high, low=low) if low else tr("{n} h", n=high)
