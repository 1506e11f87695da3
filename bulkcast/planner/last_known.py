"""The settings that ClassIn last acknowledged, classroom by classroom; how to revert a run."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bulkcast.model import Body, SettingValue, Target


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """One request that took effect, or may have."""

    run: str
    at: float
    """When its answer was recorded, or where none was, when it was sent."""
    body: Body | None
    """What it set; None where that was purged, so that anything may have been."""
    sure: bool
    """Whether ClassIn acknowledged it."""


@dataclass(frozen=True, slots=True)
class KnownValue:
    """What a setting is known to be."""

    value: SettingValue
    at: float
    """When it was acknowledged last."""
    run: str


Holdings = Mapping[str, KnownValue]
"""What is known of one classroom, by setting; one that is missing is unknown."""
Known = Mapping[Target, Holdings]

NOTHING_KNOWN: Final[Known] = {}


def replay(entries: Iterable[Acknowledgement]) -> dict[str, KnownValue]:
    """What a classroom's entries, the oldest first, tell of its settings.

    A request nobody confirmed leaves what it was to set unknown, unless it was so already.

    >>> on = Acknowledgement("r1", 1.0, (("liveState", 1),), sure=True)
    >>> replay([on])["liveState"].value
    1
    >>> replay([on, Acknowledgement("r2", 2.0, (("liveState", 0),), sure=False)])
    {}
    """
    held: dict[str, KnownValue] = {}
    for entry in entries:
        if entry.body is None:
            held.clear()
            continue
        for key, value in entry.body:
            if entry.sure:
                held[key] = KnownValue(value, entry.at, entry.run)
            elif key in held and held[key].value != value:
                del held[key]
    return held


def already_set(settings: Iterable[tuple[str, SettingValue]], holdings: Holdings) -> bool:
    """Whether every one of `settings` is known to be so already."""
    return all(key in holdings and holdings[key].value == value for key, value in settings)


# ------------------------------------------------------------------ taking back


@dataclass(frozen=True, slots=True)
class Reversal:
    """What it takes to bring one classroom back to what it was before a run."""

    restored: Body
    """What was acknowledged before, of every setting that the run touched and nobody since.

    Empty where the run has changed none of them.
    """
    unknown: tuple[str, ...]
    """Settings that nobody had acknowledged before the run."""
    since: tuple[str, ...]
    """Settings that another run has set since, or may have."""


def reversal(entries: Sequence[Acknowledgement], run: str, keys: Iterable[str]) -> Reversal:
    """How to undo `run` at a classroom with these `entries`, the oldest first.

    `keys` are the settings that the run sent there.

    >>> off = Acknowledgement("r1", 1.0, (("liveState", 0),), sure=True)
    >>> on = Acknowledgement("r2", 2.0, (("liveState", 1), ("openState", 1)), sure=True)
    >>> reversal([off, on], "r2", ["liveState", "openState"])
    Reversal(restored=(('liveState', 0),), unknown=('openState',), since=())
    """
    own = [place for place, entry in enumerate(entries) if entry.run == run]
    if not own:  # it was never sent there
        return Reversal((), (), ())
    before = replay(entries[: own[0]])
    others = [entry for entry in entries[own[0] :] if entry.run != run]
    touched = tuple(keys)
    since = tuple(key for key in touched if any(_touches(entry, key) for entry in others))
    rest = [key for key in touched if key not in since]
    unknown = tuple(key for key in rest if key not in before)
    restored = tuple((key, before[key].value) for key in rest if key in before)
    left = replay(entry for entry in entries if entry.run == run)
    return Reversal(() if already_set(restored, left) else restored, unknown, since)


def _touches(entry: Acknowledgement, key: str) -> bool:
    return entry.body is None or any(name == key for name, _ in entry.body)
