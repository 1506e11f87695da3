"""What a user may say about a file before it is read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Answers to what would otherwise be guessed; None leaves the guess to the reader."""

    tab: str | None = None
    """The worksheet's name, for workbooks."""
    encoding: str | None = None
    delimiter: str | None = None
    mapping: Mapping[str, str] = field(default_factory=dict)
    """Header as the user wrote it → key of the setting it holds."""
    hidden: Literal["include", "skip"] = "include"
    """What becomes of hidden rows."""
