"""The settings ClassIn last acknowledged for each classroom, and how to revert a run."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bulkcast.model import Body, SettingValue, Target


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """One request that took effect, or may have."""

    run: str
    at: float
    """When its reply was recorded, or else when it was sent; Unix seconds."""
    body: Body | None
    """The settings it sent; None if they were purged, so that any setting may have changed."""
    sure: bool
    """Whether ClassIn acknowledged it."""


@dataclass(frozen=True, slots=True)
class KnownValue:
    """The last acknowledged value of a setting."""

    value: SettingValue
    at: float
    """When it was acknowledged, Unix seconds."""
    run: str


Holdings = Mapping[str, KnownValue]
"""Setting → its known value, for one classroom; missing settings are unknown."""
Known = Mapping[Target, Holdings]

NOTHING_KNOWN: Final[Known] = {}


def replay(entries: Iterable[Acknowledgement]) -> dict[str, KnownValue]:
    """The known settings of a classroom after its entries, oldest first.

    An unconfirmed request makes a setting unknown unless it already had that value.

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
    """Whether all `settings` are known to have these values already."""
    return all(key in holdings and holdings[key].value == value for key, value in settings)


# ------------------------------------------------------------------ reverting a run


@dataclass(frozen=True, slots=True)
class Reversal:
    """How to bring one classroom back to its state before a run."""

    restored: Body
    """The earlier acknowledged values of the settings that the run sent and no one has set since.

    Empty if the run has changed none of them.
    """
    unknown: tuple[str, ...]
    """Settings without an acknowledged value before the run."""
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
    if not own:  # nothing was sent to this classroom
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
