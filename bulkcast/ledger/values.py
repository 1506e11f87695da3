"""A run as the ledger has it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property

from bulkcast.ledger.rows import dump, unpack_request
from bulkcast.model import (
    History,
    Institution,
    Issue,
    Layout,
    Outcome,
    Request,
    RequestKey,
    RowStatus,
    Stop,
)


@dataclass(frozen=True, slots=True)
class RunHeader:
    """What a run was made from; written once."""

    run: str
    institution: Institution
    created_at: float
    sheet: str
    """The path of the user's file as given."""
    snapshot: str
    """The name, under the run's folder, of the copy of that file as it was read."""
    sha256: str
    layout: Layout
    headers: tuple[str, ...]
    n_rows: int
    n_requests: int
    target: str
    """Where the result sheet goes."""
    tz: str
    mapping: Mapping[str, str] = field(default_factory=dict)
    """Headers that the user said the meaning of."""
    parent: str = ""
    """The run this one resumes or resubmits; empty for a first one."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A line of the list of runs."""

    header: RunHeader
    finished_at: float | None
    """None while it runs, and for ever after a crash."""
    stop: Stop | None
    counts: Mapping[RowStatus, int]
    under_way: bool = False
    """Whether a program is at work on it now."""
    purged_at: float | None = None
    """When what its rows held was taken away; only how they ended is left."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One request as it lies in the ledger, unread but for its rows."""

    key: RequestKey
    rows: tuple[int, ...]
    packed: tuple[str, str] | None
    """None where it was not asked for."""

    def request(self) -> Request:
        """What it says."""
        if self.packed is None:
            raise ValueError(f"request {self.key} was loaded without what it says")
        return unpack_request(self.key, *self.packed)


@dataclass(frozen=True)
class FrozenRun:
    """A run as the ledger has it."""

    header: RunHeader
    finished_at: float | None
    stop: Stop | None
    stored: tuple[Stored, ...]
    outcomes: Mapping[RequestKey, Outcome]
    """How each request ended; one that was under way when its program died is unconfirmed."""
    settled: Mapping[int, Outcome]
    issues: Mapping[int, tuple[Issue, ...]]
    history: Mapping[RequestKey, History]
    """What was tried, for the requests that could be resumed."""
    purged_at: float | None = None
    """When what its rows held was taken away."""

    @cached_property
    def requests(self) -> tuple[Request, ...]:
        """In sending order."""
        return tuple(stored.request() for stored in self.stored)

    def by_row(self) -> dict[int, Outcome]:
        """Row → how it ended, for every row of the run."""
        ended = dict(self.settled)
        for request in self.stored:
            ended.update(dict.fromkeys(request.rows, self.outcomes[request.key]))
        return {row: ended[row] for row in sorted(ended)}


def pack_header(header: RunHeader) -> str:
    """A header as JSON."""
    return dump(asdict(header))


def unpack_header(packed: str) -> RunHeader:
    """What `pack_header` packed."""
    found = json.loads(packed)
    found["institution"] = Institution(**found["institution"])
    found["layout"] = Layout(**found["layout"])
    found["headers"] = tuple(found["headers"])
    return RunHeader(**found)
