"""What a sentence may be filled with besides texts and numbers; `str()` shows it in English.

`i18n` shows each in the reader's language, and stores it as JSON.
"""

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class SettingNames:
    """Settings in a sentence, by key; shown by their column in the sheet, else by their label."""

    keys: tuple[str, ...]
    either: bool = False
    """Whether they are joined by "or" instead of commas."""
    by_label: bool = False
    """Whether to show the label in any case, since the header is wrong."""

    def __str__(self) -> str:
        return (" or " if self.either else ", ").join(self.keys)


@dataclass(frozen=True, slots=True)
class Series:
    """Words or numbers in a sentence, joined by commas and shown as they are.

    >>> str(Series(("5", "9"), more=3)), str(Series(("activityId", "classId"), either=True))
    ('5, 9 and 3 more', 'activityId or classId')
    """

    items: tuple[str, ...]
    more: int = 0
    """How many rows are left out after the last one."""
    either: bool = False
    """Whether they are joined by "or" instead of commas."""

    def __str__(self) -> str:
        joined = (" or " if self.either else ", ").join(self.items)
        return f"{joined} and {self.more:,} more" if self.more else joined


@dataclass(frozen=True, slots=True)
class Counts:
    """Kinds of things and how many there are of each: `charts (2); notes (1)`."""

    of: tuple[tuple[str, int], ...]
    """Phrase to translate, and number."""

    def __str__(self) -> str:
        return "; ".join(f"{phrase} ({n})" for phrase, n in self.of)


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time in a sentence; shown to the minute, in the reader's time zone."""

    at: float

    def __str__(self) -> str:
        return datetime.fromtimestamp(self.at, UTC).strftime("%Y-%m-%d %H:%M")
