"""The institution that a sandbox plays, and the file that keeps it between commands."""

import json
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from bulkcast.arguments import Series
from bulkcast.catalogue import INT64_MAX, Endpoint, Limit, Role
from bulkcast.endpoints.webcast import WEBCAST
from bulkcast.errors import BulkcastError, CannotStart
from bulkcast.model import Secret, Target
from bulkcast.protocol import COUNTINGS, Counting
from bulkcast.sandbox.faults import (
    NO_FAULTS,
    SECONDS_MAX,
    Fault,
    NoFault,
    Script,
    read_fault,
    read_script,
)


class Keeper:
    """Stores the changes of a world in the file `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Iterator[tuple[Target, dict[str, Any], float]]:
        """Each change: classroom, settings, time in Unix seconds; oldest first."""
        try:
            lines = self._path.read_bytes().splitlines()
        except OSError:
            return
        for line in lines:
            with suppress(ValueError, TypeError, LookupError):  # the last line may be truncated
                (key, number), body, at = json.loads(line)
                yield Target(str(key), int(number)), dict(body), float(at)

    def add(self, target: Target, body: Mapping[str, object], at: float) -> None:
        """Store a change; ignore a full disk, which affects later rehearsals only."""
        line = json.dumps([[target.key, target.id], dict(body), at]).encode()
        with suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(file, b"\n" + line)  # first: the line before may be truncated
            finally:
                os.close(file)


SANDBOX_SID: Final = "99000001"
CLASS_S: Final = 45 * 60.0
"""Seconds a class lasts if the world does not say when it ends."""

_RANDOM_FAULTS: Final = (
    "http:500", "http:503", "code:104", "code:104:applied", "reset", "reset:applied",
    "truncated:applied", "html",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PointInTime:
    """A point in time: Unix seconds, or seconds after the sandbox started."""

    seconds: float
    since_start: bool = False

    def resolve(self, began: float) -> float:
        """The time in Unix seconds, in a sandbox that started at `began`."""
        return self.seconds + began if self.since_start else self.seconds


@dataclass(frozen=True, slots=True)
class Classroom:
    """One classroom and its properties."""

    targets: tuple[Target, ...]
    """Every id it can be named by; the first one identifies it."""
    context: tuple[tuple[str, int], ...] = ()
    """Ids related to it, such as its course's."""
    starts: PointInTime | None = None
    ends: PointInTime | None = None
    deleted: bool = False
    foreign: bool = False
    """Whether it belongs to another institution."""
    dual_teacher: bool = False
    """Whether it is a dual-teacher sub-classroom."""
    recorded: bool = False
    """Whether recording was switched on before the sandbox started."""
    script: Script = NO_FAULTS


@dataclass(frozen=True, slots=True)
class World:
    """An institution, its classrooms, and the faults of its server."""

    sid: str = SANDBOX_SID
    lacks: frozenset[str] = frozenset()
    """Keys of the settings that it cannot switch on."""
    open: bool = True
    """Whether an id that is not listed counts as an ordinary classroom."""
    first_whole: bool = True
    """Whether a classroom's first request must contain all settings that belong together."""
    whole_groups: bool = False
    """Whether every request must contain them all; pages of similar endpoints say so."""
    counts: Counting = "bytes"
    """What the signature rule's limit of 1024 counts; two official samples count characters."""
    latency_s: float = 0.0
    limit: Limit | None = WEBCAST.limit
    fault_rate: float = 0.0
    seed: int = 0
    random_faults: tuple[Fault, ...] = tuple(read_fault(text, WEBCAST) for text in _RANDOM_FAULTS)
    classrooms: tuple[Classroom, ...] = ()
    secret: Secret | None = None
    """Its own secret; None for the one that the sandbox was given."""
    others: tuple["World", ...] = ()
    """Further institutions at the same address, each with classrooms and a limit of its own."""

    def of(self, sid: str) -> "World":
        """The world of the institution `sid`: one of the others, or a likeness of this one."""
        return next((other for other in self.others if other.sid == sid), replace(self, sid=sid))


# ------------------------------------------------------------------ reading world files


class _Wrong(BulkcastError):
    """A part of a world file is wrong; says where, and what is expected."""


def read_world(path: Path, *, endpoint: Endpoint = WEBCAST) -> World:
    """The world in the file `path`.

    Raises:
        CannotStart: the file cannot be read, or does not describe a world.

    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise CannotStart(
            "The world file {name} cannot be read: {exc}.", name=path.name, exc=exc
        ) from exc
    return parse_world(text, name=path.name, endpoint=endpoint)


def parse_world(text: str, *, name: str, endpoint: Endpoint = WEBCAST) -> World:
    """The world that `text`, the JSON text of a file called `name`, describes.

    Raises:
        CannotStart: it does not describe a world; the message says where and what is expected.

    """
    try:
        found = json.loads(text)
        return _World(endpoint).read(found)
    except _Wrong as exc:
        raise CannotStart("The world file {name} is wrong at {exc}.", name=name, exc=exc) from exc
    except (ValueError, RecursionError) as exc:
        raise CannotStart("The world file {name} is no JSON: {exc}.", name=name, exc=exc) from exc


def _number(value: Any, where: str, least: float, most: float) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (number and math.isfinite(value) and least <= value <= most):
        raise _Wrong(
            "{where}: {least} to {most} is wanted",
            where=where,
            least=f"{least:g}",
            most=f"{most:g}",
        )
    return float(value)


def _switch(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise _Wrong("{where}: true or false is wanted", where=where)
    return value


def _texts(value: Any, where: str) -> list[str]:
    if not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
        raise _Wrong("{where}: a list of texts is wanted", where=where)
    return value


def _id(value: Any, where: str) -> int:
    if type(value) is not int or not 0 < value <= INT64_MAX:
        raise _Wrong("{where}: an id is wanted, digits without quotes", where=where)
    return value


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Wrong("{where}: an object is wanted", where=where)
    return value


def _sid(value: Any, where: str) -> str:
    if not (isinstance(value, str) and value.isascii() and value.isdigit()):
        raise _Wrong("{where}: a text of digits is wanted", where=where)
    return value


def _secret(value: Any, where: str) -> Secret:
    if not (isinstance(value, str) and value):
        raise _Wrong("{where}: a text is wanted", where=where)
    return Secret(value)


def _limit(value: Any, where: str) -> Limit | None:
    if value is None:
        return None
    limit = _object(value, where)
    if limit.keys() != {"calls", "per_s"}:
        raise _Wrong("{where}: null, or calls and per_s are wanted", where=where)
    calls = _number(limit["calls"], f"{where}.calls", 1, 10**9)
    return Limit(int(calls), _number(limit["per_s"], f"{where}.per_s", 0.001, 86400), "the world")


def _counting(value: Any, where: str) -> Counting:
    for counting in COUNTINGS:
        if value == counting:
            return counting
    raise _Wrong(
        "{where}: one of {known} is wanted", where=where, known=Series(tuple(map(repr, COUNTINGS)))
    )


def _moment(value: Any, where: str) -> PointInTime:
    since_start = where.endswith("_in")
    return PointInTime(_number(value, where, -1e11, 1e11), since_start)


class _World:
    """Parses a world; maps each key to its field and parser."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.fields: Mapping[str, tuple[str, Callable[[Any, str], Any]]] = {
            "sid": ("sid", _sid),
            "lacks": ("lacks", self._lacks),
            "open": ("open", _switch),
            "first_whole": ("first_whole", _switch),
            "whole_groups": ("whole_groups", _switch),
            "counts": ("counts", _counting),
            "latency": ("latency_s", lambda v, at: _number(v, at, 0, SECONDS_MAX)),
            "limit": ("limit", _limit),
            "fault_rate": ("fault_rate", lambda v, at: _number(v, at, 0, 1)),
            "seed": ("seed", lambda v, at: int(_number(v, at, 0, 2**53))),
            "random_faults": ("random_faults", lambda v, at: self._script(v, at).faults),
            "classrooms": ("classrooms", self._classrooms),
            "secret": ("secret", _secret),
            "others": ("others", self._others),
        }
        self.facts: Mapping[str, tuple[str, Callable[[Any, str], Any]]] = {
            "starts_at": ("starts", _moment),
            "starts_in": ("starts", _moment),
            "ends_at": ("ends", _moment),
            "ends_in": ("ends", _moment),
            "deleted": ("deleted", _switch),
            "foreign": ("foreign", _switch),
            "dual_teacher": ("dual_teacher", _switch),
            "recorded": ("recorded", _switch),
            "faults": ("script", self._script),
        }
        self.target_keys = [c.key for c in endpoint.targets]
        self.context_keys = [c.key for c in endpoint.columns if c.role is Role.CONTEXT]

    def read(self, found: Any) -> World:
        world = _object(found, "its top")
        return World(**self._read(world, self.fields, ""))

    def _read(
        self,
        found: Mapping[str, Any],
        fields: Mapping[str, tuple[str, Callable[[Any, str], Any]]],
        where: str,
    ) -> dict[str, Any]:
        unknown = sorted(found.keys() - fields.keys())
        if unknown:
            raise _Wrong(
                "{where}{key}: one of {known} is wanted",
                where=where,
                key=unknown[0],
                known=Series(tuple(fields)),
            )
        read = {}
        for key, value in found.items():
            name, reader = fields[key]
            read[name] = reader(value, where + key)
        return read

    def _others(self, value: Any, where: str) -> tuple[World, ...]:
        if not isinstance(value, list):
            raise _Wrong("{where}: a list is wanted", where=where)
        places = [f"{where}[{n}]" for n in range(len(value))]
        found = [_object(each, at) for each, at in zip(value, places, strict=True)]
        return tuple(
            World(**self._read(each, self.fields, f"{at}."))
            for each, at in zip(found, places, strict=True)
        )

    def _lacks(self, value: Any, where: str) -> frozenset[str]:
        known = {key for reply in self.endpoint.replies for key in reply.features}
        lacks = frozenset(_texts(value, where))
        if not lacks <= known:
            raise _Wrong(
                "{where}: some of {known} are wanted",
                where=where,
                known=Series(tuple(sorted(known))),
            )
        return lacks

    def _script(self, value: Any, where: str) -> Script:
        try:
            return read_script(_texts(value, where), self.endpoint)
        except NoFault as exc:
            raise _Wrong("{where}: {exc}", where=where, exc=exc) from exc

    def _classrooms(self, value: Any, where: str) -> tuple[Classroom, ...]:
        if not isinstance(value, list):
            raise _Wrong("{where}: a list is wanted", where=where)
        rooms = tuple(self._classroom(item, f"{where}[{n}]") for n, item in enumerate(value))
        named = Counter(target for room in rooms for target in room.targets)
        for target, times in named.items():
            if times > 1:
                raise _Wrong("{where}: {target} is wanted once only", where=where, target=target)
        return rooms

    def _classroom(self, value: Any, where: str) -> Classroom:
        found = _object(value, where)
        ids = {
            key: _id(found[key], f"{where}.{key}")
            for key in (*self.target_keys, *self.context_keys)
            if key in found
        }
        targets = tuple(Target(key, ids[key]) for key in self.target_keys if key in ids)
        if not targets:
            raise _Wrong(
                "{where}: {either} is wanted",
                where=where,
                either=Series(tuple(self.target_keys), either=True),
            )
        facts = {key: fact for key, fact in found.items() if key not in ids}
        context = tuple((key, ids[key]) for key in self.context_keys if key in ids)
        return Classroom(targets, context, **self._read(facts, self.facts, f"{where}."))
