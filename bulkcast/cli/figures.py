"""What a plan amounts to: which settings go which way, how long it takes, what is too late."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import assert_never

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
from bulkcast.cli.words import tr
from bulkcast.model import Change, Request, RowStatus, SettingValue
from bulkcast.pipeline import Prepared
from bulkcast.plan import LOCK_MARGIN_S
from bulkcast.wording import marked


@dataclass(frozen=True, slots=True)
class Settled:
    """What becomes of one setting over all rows that are sent."""

    key: str
    label: str
    values: Mapping[str, int]
    """What it becomes, in words → in how many rows; most frequent last where values are free."""
    untouched: int
    """Rows that leave it as it is."""


@dataclass(frozen=True, slots=True)
class Late:
    """A row whose turn comes after its settings have locked."""

    row: int
    target: str
    locks_at: int
    turn_at: float


@dataclass(frozen=True, slots=True)
class Figures:
    """A plan in numbers."""

    rows: int
    """Rows read."""
    sent: int
    """Rows whose settings would be sent."""
    requests: int
    left_out: int
    invalid: int
    warnings: int
    """Rows to be sent about which there is a warning."""
    settings: tuple[Settled, ...]
    """Those that any row sets, in the table's order."""
    seconds: float
    """How long sending takes at the pace."""
    late: tuple[Late, ...]


def figures(prepared: Prepared, *, rate: float, now: float) -> Figures:
    """Count `prepared` up.  `rate` in requests per second, `now` in Unix seconds."""
    requests = prepared.plan.requests
    rows = {row for request in requests for row in request.rows}
    changes = [c for c in prepared.checked.rows if isinstance(c, Change) and c.row in rows]
    invalid = sum(o.status is RowStatus.INVALID for o in prepared.plan.settled.values())
    kept_invalid = sum(row.status is RowStatus.INVALID for row in prepared.kept.values())
    return Figures(
        rows=len(prepared.sheet.rows),
        sent=len(rows),
        requests=len(requests),
        left_out=len(prepared.sheet.rows) - len(prepared.checked.rows),
        invalid=invalid - kept_invalid,
        warnings=sum(any(i.severity == "warning" for i in c.issues) for c in changes),
        settings=tuple(_settled(changes, prepared.endpoint)),
        seconds=max(0, len(requests) - 1) / rate,
        late=tuple(_late(requests, rate, now)),
    )


def _settled(changes: Iterable[Change], endpoint: Endpoint) -> Iterable[Settled]:
    by_key: dict[str, Counter[str]] = {}
    n = 0
    for change in changes:
        n += 1
        for key, value in change.settings:
            by_key.setdefault(key, Counter())[_word(endpoint.by_key[key], value)] += 1
    for setting in endpoint.settings:
        values = by_key.get(setting.key)
        if values:
            yield Settled(
                setting.key, setting.label.en, dict(values.most_common()), n - values.total()
            )


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


def _late(requests: Iterable[Request], rate: float, now: float) -> Iterable[Late]:
    for index, request in enumerate(requests):
        turn_at = now + index / rate
        if request.locks_at is not None and request.locks_at - LOCK_MARGIN_S <= turn_at:
            for row in request.rows:
                yield Late(row, str(request.target), request.locks_at, turn_at)


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
