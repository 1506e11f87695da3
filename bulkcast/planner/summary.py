"""A plan in numbers: which settings change and how, what is billed, what would be too late."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain
from typing import NamedTuple, assert_never

from bulkcast.catalogue import (
    ChoiceKind,
    Endpoint,
    IdKind,
    IdListKind,
    IntegerKind,
    MomentKind,
    NameKind,
    Setting,
    TextKind,
)
from bulkcast.model import DONE, Change, Checked, ResultRow, RowStatus, SettingValue
from bulkcast.planner import Plan
from bulkcast.planner.deadlines import ForecastRequest, is_refused
from bulkcast.planner.forecast import Forecast, Pace, forecast
from bulkcast.planner.last_known import Holdings, Known, KnownValue


class Content(StrEnum):
    """What is shown of a text, an id or a list, as some are secret."""

    SET = "set"
    CLEARED = "cleared"
    ANOTHER = "another"
    """Set, to something other than what the row sets."""


SummaryValue = int | Content
"""A value of a setting that is a choice or a number; of any other, whether there is one."""


class Transition(NamedTuple):
    """A setting's last known value and its new one, and how many rows have these two."""

    old: SummaryValue | None
    """None where it is unknown."""
    new: SummaryValue
    is_same: bool
    rows: int = 1


@dataclass(frozen=True, slots=True)
class SettingSummary:
    """What all rows to be sent do to one setting."""

    key: str
    values: Mapping[SummaryValue, int]
    """New value → number of rows, the most frequent first."""
    untouched: int
    """Rows that do not set it."""
    transitions: tuple[Transition, ...]
    """The same rows by old and new value, the most frequent first."""


@dataclass(frozen=True, slots=True)
class BilledSetting:
    """A setting that ClassIn bills, and in how many classrooms the plan switches it on."""

    key: str
    classrooms: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long sending takes, and which rows lock before their turn."""

    forecast: Forecast
    sent: int
    """Rows whose settings would be sent."""
    locked: int
    """Rows not sent because their settings are locked already."""
    dated: int
    """Rows to be sent whose lock time is known."""
    free: int = 0
    """Rows that come too late and change only settings that do not lock."""


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """A plan in numbers."""

    rows: int
    """Rows read."""
    requests: int
    """Requests that would be sent."""
    classrooms: int
    left_out: int
    """Rows left out by an option, or done by an earlier run."""
    done: int
    """How many of those were done by an earlier run."""
    invalid: int
    unchanged: int
    """Rows skipped because they would change nothing."""
    warnings: int
    """Rows to be sent that have a warning."""
    settings: tuple[SettingSummary, ...]
    """The settings that any row sets, in the table's order."""
    billed: tuple[BilledSetting, ...]
    schedule: Schedule
    order: tuple[tuple[int, ...], ...]
    """The rows of each request, in sending order."""

    @property
    def sent(self) -> int:
        """Rows whose settings would be sent."""
        return self.schedule.sent

    @property
    def locked(self) -> int:
        """Rows not sent because their settings are locked already."""
        return self.schedule.locked

    @property
    def forecast(self) -> Forecast:
        """How long sending takes."""
        return self.schedule.forecast


def summarize(
    plan: Plan,
    checked: Checked,
    endpoint: Endpoint,
    pace: Pace,
    *,
    rows: int,
    kept: Mapping[int, ResultRow],
    known: Known,
    now: float,
) -> PlanSummary:
    """Count a plan up.

    Args:
        plan: what would be sent.
        checked: the rows that the plan was made of.
        endpoint: what they were checked against.
        pace: how fast they are sent.
        rows: how many rows the sheet has.
        kept: rows left as an earlier result sheet has them.
        known: what the classrooms are known to hold.
        now: when sending would begin, Unix seconds.

    """
    requests = [request for request in plan.requests if not is_refused(request, now)]
    sent = {row for request in requests for row in request.rows}
    changes = [row for row in checked.rows if isinstance(row, Change) and row.row in sent]
    outlook = schedule(plan.requests, pace, now=now)
    return PlanSummary(
        rows=rows,
        requests=len(requests),
        classrooms=len({(request.institution, request.target) for request in requests}),
        left_out=rows - len(checked.rows),
        done=sum(row.status in DONE for row in kept.values()),
        invalid=_settled_as(RowStatus.INVALID, plan, kept),
        unchanged=_settled_as(RowStatus.UNCHANGED, plan, kept),
        warnings=sum(any(i.severity == "warning" for i in c.issues) for c in changes),
        settings=tuple(_settings(changes, endpoint, known)),
        billed=tuple(_billed(changes, endpoint, known)),
        schedule=replace(outlook, free=_n_free(plan, outlook.forecast)),
        order=tuple(request.rows for request in requests),
    )


def _settled_as(status: RowStatus, plan: Plan, kept: Mapping[int, ResultRow]) -> int:
    """The number of rows with this status in the plan, without results of an earlier run."""
    settled = sum(outcome.status is status for outcome in plan.settled.values())
    return settled - sum(row.status is status for row in kept.values())


def schedule(requests: Iterable[ForecastRequest], pace: Pace, *, now: float) -> Schedule:
    """The schedule of requests, of which only order and deadline need be known.

    Goes through `requests` more than once.  `now` in Unix seconds.
    """
    sent = dated = locked = 0
    for request in requests:
        n = len(request.rows)
        if is_refused(request, now):
            locked += n
        else:
            sent += n
            dated += n if request.locks_at is not None else 0
    return Schedule(forecast(requests, pace, now=now), sent, locked, dated)


def _n_free(plan: Plan, outlook: Forecast) -> int:
    late = {row.row for row in outlook.late}
    return sum(len(r.rows) for r in plan.requests if r.free and r.rows[0] in late)


def _settings(
    changes: Sequence[Change], endpoint: Endpoint, known: Known
) -> Iterator[SettingSummary]:
    found: dict[str, Counter[Transition]] = {}
    # Where nothing is known of the classroom, equal settings are equal transitions.
    unknown = (change.settings for change in changes if not known.get(change.target))
    for (key, new), rows in Counter(chain.from_iterable(unknown)).items():
        step = _transition(endpoint.by_key[key], new, None)
        found.setdefault(key, Counter())[step] += rows
    for change in changes:
        if holdings := known.get(change.target):
            for key, step in transitions(change, endpoint, holdings):
                found.setdefault(key, Counter())[step] += 1
    for setting in endpoint.settings:
        if counted := found.get(setting.key):
            values: Counter[SummaryValue] = Counter()
            for step, rows in counted.items():
                values[step.new] += rows
            yield SettingSummary(
                setting.key,
                dict(values.most_common()),
                len(changes) - counted.total(),
                tuple(step._replace(rows=rows) for step, rows in counted.most_common()),
            )


def transitions(
    change: Change, endpoint: Endpoint, holdings: Holdings
) -> Iterator[tuple[str, Transition]]:
    """What a row does to each setting; `holdings` is what its classroom is known to hold."""
    for key, new in change.settings:
        yield key, _transition(endpoint.by_key[key], new, holdings.get(key))


def _transition(setting: Setting, new: SettingValue, held: KnownValue | None) -> Transition:
    same = held is not None and held.value == new
    old = None if held is None else _summary_value(setting, held.value)
    if old is Content.SET and not same:
        old = Content.ANOTHER
    return Transition(old, _summary_value(setting, new), same)


def _summary_value(setting: Setting, value: SettingValue) -> SummaryValue:
    match setting.kind:
        case ChoiceKind() | IntegerKind():
            return value if isinstance(value, int) else Content.SET
        case TextKind() | IdListKind():
            return Content.SET if value else Content.CLEARED
        case IdKind() | MomentKind() | NameKind():
            return Content.SET
        case _:
            assert_never(setting.kind)


def _billed(changes: Sequence[Change], endpoint: Endpoint, known: Known) -> Iterator[BilledSetting]:
    """What the plan switches on that costs money; not where it is known to be on."""
    for setting in endpoint.settings:
        if setting.billed is not None:
            on = {(c.institution, c.target) for c in changes if _switches_on(c, setting.key, known)}
            if on:
                yield BilledSetting(setting.key, len(on))


def _switches_on(change: Change, key: str, known: Known) -> bool:
    held = known.get(change.target, {}).get(key)
    return any(k == key and v and (held is None or held.value != v) for k, v in change.settings)
