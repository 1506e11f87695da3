"""The options of the use cases: frozen values."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from zoneinfo import ZoneInfo

from bulkcast import loader, validator
from bulkcast.catalogue import RESULT_PREFIX, Endpoint, Role
from bulkcast.errors import CannotStart
from bulkcast.headers import fold
from bulkcast.model import TO_FIX, UNFINISHED, RowStatus
from bulkcast.pacing import CONCURRENCY, DEFAULT_RATE, MAX_OUTAGE_S, TIMEOUT_S

if TYPE_CHECKING:
    from bulkcast.planner import OnceLocked, Unchanged

RESUBMITTED: Final = TO_FIX | UNFINISHED
"""What `resubmit` sends again."""

STATUS_COLUMN: Final = f"{RESULT_PREFIX}status"


def is_results(headers: Iterable[str]) -> bool:
    """Whether these are the headers of a result sheet."""
    return any(header.strip().casefold() == STATUS_COLUMN for header in headers)


DEFAULT_TZ: Final = "Asia/Shanghai"


def _unknown() -> None:
    """Nobody knows the names of institutions."""


@dataclass(frozen=True, slots=True)
class SheetOptions:
    """How to read and check a sheet."""

    read: loader.ReadOptions = field(default_factory=loader.ReadOptions)
    tz: str = DEFAULT_TZ
    """The time zone of times in the sheet without one."""
    duplicates: Literal["error", "in-order", "last"] = "error"
    strict: bool = False
    """Whether warnings keep a row from being sent."""
    profiles: Callable[[], frozenset[str] | None] = field(default=_unknown, compare=False)
    """The names that a column of institutions may hold, None if nobody knows them; asked for only
    if the sheet has such a column."""

    def packed(self) -> dict[str, Any]:
        """The same as JSON, without who knows the institutions."""
        own = {key: getattr(self, key) for key in ("tz", "duplicates", "strict")}
        return {"read": asdict(self.read), **own}

    @classmethod
    def unpacked(cls, found: Mapping[str, Any]) -> "SheetOptions":
        """Reverse `packed`."""
        return cls(**{**found, "read": loader.ReadOptions(**found["read"])})


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows of a sheet to send: those that meet every condition given."""

    statuses: frozenset[RowStatus] | None = None
    """Rows with one of these statuses in an earlier result sheet."""
    rows: frozenset[int] | None = None
    limit: int | None = None
    """At most this many of the remaining rows, from the top."""


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """How what ClassIn is known to hold changes a plan."""

    unchanged: "Unchanged" = "send"
    """What becomes of rows that are known to be so already."""
    once_locked: "OnceLocked" = "refuse"
    """What becomes of rows of which only settings that stay free are new."""


@dataclass(frozen=True, slots=True)
class SendOptions:
    """How to send."""

    rate: float = DEFAULT_RATE
    """Requests per second; infinite for no pacing."""
    concurrency: int = CONCURRENCY
    timeout: float = TIMEOUT_S
    """Seconds for one attempt."""
    max_outage_s: float = MAX_OUTAGE_S
    on_invalid: Literal["skip", "stop"] = "skip"
    results: Path | None = None
    """Where the result sheet is written; None for beside the sheet."""
    existing: Literal["refuse", "replace"] = "refuse"
    lang: str = "en"
    name: str = ""
    """What the user calls the sheet, if its file has another name."""


def rules_of(
    options: SheetOptions, headers: Iterable[str], endpoint: Endpoint
) -> validator.CheckRules:
    """The check rules that follow from the options, for a sheet with these headers."""
    mapping = {fold(header): key for header, key in options.read.mapping.items()}
    columns = (endpoint.mapped_column(header, mapping) for header in headers)
    asks = any(column is not None and column.role is Role.INSTITUTION for column in columns)
    return validator.CheckRules(
        tz=zone(options.tz),
        strict=options.strict,
        duplicates=options.duplicates,
        mapping=options.read.mapping,
        profiles=options.profiles() if asks else None,
    )


def zone(name: str) -> tzinfo:
    """A time zone by its IANA name.

    Raises:
        CannotStart: there is no such time zone.

    """
    try:
        return ZoneInfo(name)
    except (LookupError, OSError, ValueError):  # an unknown name is a KeyError
        raise CannotStart(
            "--tz {name!r} is no time zone; give one such as Asia/Shanghai", name=name
        ) from None
