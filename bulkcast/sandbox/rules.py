"""What the sandbox refuses, and with which code; derived from the endpoint's table.

The vendor does not document which of two refusals takes precedence; the order here is: form,
target, time, edition, kind of classroom, settings that do not match.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, NamedTuple

from bulkcast.catalogue import (
    INT64_MAX,
    Cause,
    ChoiceKind,
    Clash,
    Endpoint,
    IdKind,
    IdListKind,
    IntegerKind,
    Kind,
    Lock,
    MomentKind,
    NameKind,
    Setting,
    TextKind,
    Together,
)
from bulkcast.model import Severity, Target
from bulkcast.sandbox.world import CLASS_S, Classroom, World

_ONLY_DUAL_TEACHER: Final = "rule.main_recording_alone"
"""The rule for a setting that only dual-teacher sub-classrooms have."""


class Applied(NamedTuple):
    """A setting's value, when it was set (Unix seconds), and by which request's number."""

    value: object
    at: float
    by: int


@dataclass(slots=True)
class Room:
    """A classroom and the changes it has received."""

    facts: Classroom
    changes: list[tuple[Mapping[str, object], float, int]] = field(default_factory=list)
    """Each applied body, its time in Unix seconds, its request's number; oldest first."""
    visits: int = 0
    """Requests counted against its script so far."""

    @property
    def target(self) -> Target:
        """The id that identifies it."""
        return self.facts.targets[0]


def _is_integer(value: object, least: int) -> bool:
    # `True` is an `int` to Python and a boolean to JSON.
    return type(value) is int and least <= value <= INT64_MAX


def _form(kind: Kind) -> Callable[[object], bool]:
    """Whether a JSON value has the form of this kind of parameter."""
    match kind:
        case ChoiceKind():
            allowed = {choice.value for choice in kind.choices}
            return lambda value: type(value) is int and value in allowed
        case IdKind():
            return lambda value: _is_integer(value, 1)
        case IntegerKind():
            return lambda value: _is_integer(value, 0)
        case TextKind():
            return lambda value: type(value) is str
        case IdListKind():
            return lambda value: type(value) is list and all(_is_integer(v, 1) for v in value)
        case MomentKind() | NameKind():
            return lambda _: False


class Rules:
    """Checks requests against one endpoint's table and one world."""

    def __init__(self, endpoint: Endpoint, world: World, *, began: float) -> None:
        self._endpoint = endpoint
        self._codes = endpoint.by_cause
        self._world = world
        self._began = began
        self._forms = {c.key: _form(c.kind) for c in endpoint.parameters}
        self._settings = {c.key: c for c in endpoint.settings}
        self._target_keys = tuple(c.key for c in endpoint.targets)

    @cached_property
    def _missing(self) -> Mapping[str, int]:
        """Missing setting → the first code of the table that refuses it."""
        codes = {key: r.code for r in reversed(self._endpoint.replies) for key in r.features}
        return {key: code for key, code in codes.items() if key in self._world.lacks}

    @cached_property
    def _clashes(self) -> tuple[Clash, ...]:
        rules = self._endpoint.rules
        return tuple(r for r in rules if isinstance(r, Clash) and r.severity is Severity.ERROR)

    @cached_property
    def _groups(self) -> tuple[frozenset[str], ...]:
        return tuple(frozenset(r.keys) for r in self._endpoint.rules if isinstance(r, Together))

    @cached_property
    def _dual_teacher_only(self) -> frozenset[str]:
        return frozenset(r.key for r in self._clashes if r.code == _ONLY_DUAL_TEACHER)

    def target_of(self, body: Mapping[str, object]) -> Target | None:
        """The classroom that `body` names, by the first of the table's target keys in it."""
        for key in self._target_keys:
            if key in body:
                value = body[key]
                return Target(key, value) if type(value) is int else None
        return None

    def settings_of(self, room: Room) -> dict[str, Applied]:
        """The settings of `room`; texts are cut off where similar endpoints cut them off."""
        return {
            key: Applied(_cut(self._settings[key], value), at, by)
            for body, at, by in room.changes
            for key, value in body.items()
            if key in self._settings
        }

    def is_malformed(self, body: Mapping[str, object]) -> bool:
        """Whether a strict parser refuses `body`: unknown keys, wrong types, no settings."""
        forms = self._forms
        for key, value in body.items():
            form = forms.get(key)
            if form is None or not form(value):
                return True
        return self.target_of(body) is None or self._settings.keys().isdisjoint(body)

    def refusal(self, body: Mapping[str, object], room: Room | None, now: float) -> int | None:
        """The code that refuses a well-formed `body`; None if it is accepted.

        `room` is None if the institution has no such classroom.
        """
        if room is None:
            return self._codes[Cause.OTHER_INSTITUTION]
        return next(self._objections(body, room, now), None)

    def _objections(self, body: Mapping[str, object], room: Room, now: float) -> Iterator[int]:
        facts, codes = room.facts, self._codes
        if facts.foreign:
            yield codes[Cause.OTHER_INSTITUTION]
        if facts.deleted:
            yield codes[Cause.DELETED]
        if any(body.get(key, value) != value for key, value in facts.context):
            yield codes[Cause.OTHER_COURSE]
        if facts.starts is not None:
            yield from self._too_late(body, room, facts.starts.resolve(self._began), now)
        yield from (code for key, code in self._missing.items() if body.get(key))
        if not facts.dual_teacher and not self._dual_teacher_only.isdisjoint(body):
            yield codes[Cause.NOT_DUAL_TEACHER]
        if self._is_mismatched(body, room):
            yield codes[Cause.MISMATCH]

    def _is_mismatched(self, body: Mapping[str, object], room: Room) -> bool:
        """Whether settings contradict each other or the current settings of the classroom."""
        if any(_clash(body, rule) for rule in self._clashes):
            return True
        parts = [g for g in self._groups if g.intersection(body) not in {frozenset(), g}]
        if not parts or self._world.whole_groups:
            return bool(parts)
        if not self._world.first_whole or room.facts.recorded:
            return False
        held = {key: applied.value for key, applied in self.settings_of(room).items()}
        both = {**held, **body}
        return any(not group <= held.keys() for group in parts) or any(
            rule.key in body and _clash(both, rule) for rule in self._clashes
        )

    def _too_late(
        self, body: Mapping[str, object], room: Room, starts: float, now: float
    ) -> Iterator[int]:
        ends = room.facts.ends.resolve(self._began) if room.facts.ends else starts + CLASS_S
        late = now >= starts - self._endpoint.lock_before_s
        if late and any(self._is_locked(key, room) for key in body):
            yield self._codes[Cause.ENDED if now >= ends else Cause.STARTS_SOON]

    def _is_locked(self, key: str, room: Room) -> bool:
        column = self._settings.get(key)
        lock = column.lock if column else Lock.NEVER
        return lock is Lock.BEFORE_CLASS or (
            lock is Lock.UNLESS_RECORDED and not self._is_recorded(key, room)
        )

    def _is_recorded(self, key: str, room: Room) -> bool:
        """Whether the settings that `key` requires by the table's rules are known to be on."""
        if room.facts.recorded:
            return True
        held = self.settings_of(room)
        needed = [rule for rule in self._clashes if rule.key == key]
        return all(
            rule.other in held and held[rule.other].value not in rule.other_values
            for rule in needed
        )


def _clash(body: Mapping[str, object], rule: Clash) -> bool:
    return body.get(rule.key) in rule.values and body.get(rule.other) in rule.other_values


def _cut(setting: Setting, value: object) -> object:
    if isinstance(setting.kind, TextKind) and isinstance(value, str):
        return value[: setting.kind.cut_at]
    return value
