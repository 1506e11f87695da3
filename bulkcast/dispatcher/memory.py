"""What one slice of a run leaves for the next, besides the journal: one JSON text.

All times in it are seconds relative to when it was written, because another computer may read it.
Its readers take the time that has passed since from their wall clock, but never less than none; if
another clock says how long that was, `left_by` has them believe it.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final, TypeVar

_VERSION: Final = 1
LIFE_S: Final = 3600.0
"""Seconds after which a memory is ignored: what ClassIn did so long ago tells nothing."""
SILENCE_MOST_S: Final = 60.0
"""Seconds between two slices that count as outage at most: nobody asked meanwhile."""
PROVEN_S: Final = 120.0
"""Seconds for which accepted credentials need no new proof by another slice."""
_PLACES_MOST: Final = 5_000

T = TypeVar("T")


def _strict(kind: type[T]) -> Callable[[Any], T]:
    def read(value: Any) -> T:
        if type(value) is not kind:
            raise TypeError(value)
        return value

    return read


_text, _flag = _strict(str), _strict(bool)


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 10**9:
        raise ValueError(value)
    return value


def _seconds(value: Any) -> float:
    number = float(value) if type(value) in {int, float} else math.nan
    if not 0.0 <= number < math.inf:
        raise ValueError(value)
    return number


def _share(value: Any) -> float:
    number = _seconds(value)
    if not 0.0 < number <= 1.0:
        raise ValueError(value)
    return number


def _counting(value: Any) -> str:
    if value not in {"bytes", "characters"}:
        raise ValueError(value)
    return str(value)


def _list(read: Callable[[Any], T]) -> Callable[[Any], list[T]]:
    return lambda value: [read(each) for each in _strict(list)(value)]


def _by_text(read: Callable[[Any], T]) -> Callable[[Any], dict[str, T]]:
    return lambda value: {each: read(found) for each, found in _strict(dict)(value).items()}


def _row(value: Any) -> tuple[int, int, int, float]:
    sends, throttles, clock_refusals, next_s = value
    return _count(sends), _count(throttles), _count(clock_refusals), _seconds(next_s)


def _seen(value: Any) -> tuple[str, bool]:
    key, unanswered = value
    return _text(key), _flag(unanswered)


def _repeated(value: Any) -> tuple[str, int]:
    code, n = value
    return _text(code), _count(n)


def _failure(value: Any) -> tuple[str, str]:
    kind, code = value
    return _text(kind), _text(code)


def _field(read: Callable[[Any], Any], default: Callable[[], Any]) -> Any:
    return field(default_factory=default, metadata={"read": read})


def _optional(read: Callable[[Any], Any]) -> Any:
    return _field(lambda value: None if value is None else read(value), lambda: None)


_OF_ONE_RUN: Final[Mapping[str, Any]] = {
    "rows": {}, "recent": [], "failed_canaries": [], "refused_credentials": [],
    "repeated": ["", 0], "features": {}, "missing_features": {},
}  # fmt: skip
"""What is to be forgotten before another run: its requests may be called the same."""


def for_another_run(text: str) -> str:
    """A memory without what concerns the requests of one run; empty for a damaged one.

    >>> for_another_run('{"version": 1, "share": 0.5, "rows": {"5": [1, 0, 0, 0.0]}}')[:33]
    '{"version": 1, "share": 0.5, "row'
    >>> for_another_run("nonsense")
    ''
    """
    try:
        return json.dumps({**json.loads(text), **_OF_ONE_RUN}, ensure_ascii=False)
    except (ValueError, TypeError, RecursionError):
        return ""


def left_by(text: str, at: float) -> str:
    """A memory as if it had been written at `at`; empty for a damaged one.

    >>> left_by('{"version": 1, "at": 7.0}', 3.5)
    '{"version": 1, "at": 3.5}'
    """
    try:
        return json.dumps({**json.loads(text), "at": at}, ensure_ascii=False)
    except (ValueError, TypeError, RecursionError):
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What is known of an institution, and of the requests not finished, at one moment."""

    # The circuit breaker
    open_s: float | None = _optional(_seconds)
    """Seconds that ClassIn has not answered; None if it does."""
    probe_s: float = _field(_seconds, float)
    """Seconds until the next probe of an outage."""
    probes: int = _field(_count, int)
    failure: tuple[str, str] | None = _optional(_failure)
    """The class and code of the last missing answer."""
    failure_args: Mapping[str, str] = _field(_by_text(_text), dict)
    connect_failures: int = _field(_count, int)
    recent: Sequence[tuple[str, bool]] = _field(_list(_seen), list)
    """The last requests, and whether each stayed unanswered."""
    failed_canaries: Sequence[str] = _field(_list(_text), list)
    # The stop conditions
    proven_s: float | None = _optional(_seconds)
    """Seconds since an answer showed that credentials and clock are right; None if none did."""
    refused_credentials: Sequence[str] = _field(_list(_text), list)
    refusal: str = _field(_text, str)
    repeated: tuple[str, int] = _field(_repeated, lambda: ("", 0))
    features: Mapping[str, int] = _field(_by_text(_count), dict)
    missing_features: Mapping[str, str] = _field(_by_text(_text), dict)
    # The pace
    throttled_s: float | None = _optional(_seconds)
    """Seconds that ClassIn has been throttling; None if it does not."""
    share: float = _field(_share, lambda: 1.0)
    """Share of the full pace."""
    held_s: float = _field(_seconds, float)
    """Seconds of silence left."""
    eased_s: float = _field(_seconds, float)
    """Seconds since the pace last changed."""
    throttles: int = _field(_count, int)
    budget: int | None = _optional(_count)
    """What is left of the retry budget."""
    # The requests
    counting: str = _field(_counting, lambda: "bytes")
    rows: Mapping[str, tuple[int, int, int, float]] = _field(_by_text(_row), dict)
    """Place → sends, throttles, refusals of its stamp, seconds until it may be sent again."""
    passed_s: float = 0.0
    """Seconds between writing and reading."""

    def write(self, wall: float) -> str:
        """As JSON; `wall` is the present time, Unix seconds."""
        found = asdict(self)
        del found["passed_s"]
        found["rows"] = dict(list(self.rows.items())[-_PLACES_MOST:])
        return json.dumps(
            {"version": _VERSION, "at": wall, **found}, ensure_ascii=False, separators=(",", ":")
        )

    @classmethod
    def read(cls, text: str, wall: float) -> "Memory | None":
        """Read what `write` gave; None if it is damaged, of another version, or old."""
        try:
            found = _strict(dict)(json.loads(text))
            passed_s = max(0.0, wall - _seconds(found.pop("at")))
            if found.pop("version") != _VERSION or passed_s > LIFE_S:
                return None
            kept = {
                name.name: name.metadata["read"](found[name.name])
                for name in fields(cls)
                if name.metadata
            }
        except (ValueError, TypeError, LookupError, RecursionError):
            return None
        return cls(**kept, passed_s=passed_s)

    @property
    def silence_s(self) -> float:
        """Seconds since it was written, as far as they may count as outage or throttling."""
        return min(self.passed_s, SILENCE_MOST_S)

    @property
    def is_proven(self) -> bool:
        """Whether credentials were accepted so lately that no new proof is needed."""
        return self.proven_s is not None and self.proven_s + self.passed_s < PROVEN_S

    def left_s(self, seconds: float) -> float:
        """What is left of `seconds` that were to come when it was written."""
        return max(0.0, seconds - self.passed_s)
