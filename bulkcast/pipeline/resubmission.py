"""Decides which rows of a result sheet are sent again, and which a newer run has superseded."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Final

from bulkcast import loader, validator
from bulkcast import planner as planning
from bulkcast.arguments import Series
from bulkcast.config import Config
from bulkcast.endpoints import WEBCAST
from bulkcast.errors import CannotStart
from bulkcast.ledger import FrozenRun, Ledger
from bulkcast.model import (
    DONE,
    Body,
    Change,
    Institution,
    Invalid,
    Outcome,
    ResultRow,
    RowStatus,
    SettingValue,
    Severity,
    Target,
    is_rehearsal,
)
from bulkcast.pipeline.options import rules_of, zone
from bulkcast.pipeline.preparation import Prepared
from bulkcast.pipeline.result_sheet import sheet_as_read
from bulkcast.pipeline.validation import CheckedSheet, rows_named
from bulkcast.planner.last_known import Acknowledgement, already_set, replay
from bulkcast.problems import issue


def superseded(
    ledger: Ledger, institution: Institution, changes: Iterable[Change], again: Mapping[int, str]
) -> dict[int, Outcome]:
    """Rows whose classrooms a newer run has set since the run that they failed in.

    `again` names that run by the row; the others, and rows that were edited since, are new.

    Raises:
        LedgerDamaged: the ledger does not hold what was written.

    """
    by_run: defaultdict[str, list[Change]] = defaultdict(list)
    for change in changes:
        if change.row in again:
            by_run[again[change.row]].append(change)
    return {
        row: Outcome(RowStatus.SUPERSEDED, "run.superseded", {"newer": newer})
        for run, of_run in by_run.items()
        for row, newer in _newer(ledger, institution, run, of_run)
    }


def without_superseded(ledger: Ledger, institution: Institution, prepared: Prepared) -> Prepared:
    """Drop what a newer run has superseded since it was planned.

    Call it while holding the institution's lock, so that no run can do so any more.

    Raises:
        LedgerDamaged: the ledger does not hold what was written.

    """
    open_ = {row for request in prepared.plan.requests for row in request.rows}
    changes = (c for c in prepared.checked.rows if isinstance(c, Change) and c.row in open_)
    newer = superseded(ledger, institution, changes, prepared.again)
    if not newer:
        return prepared
    left = tuple(r for r in prepared.plan.requests if not newer.keys() >= set(r.rows))
    gone = open_.difference(*(request.rows for request in left))
    settled = {**prepared.plan.settled, **{row: newer[row] for row in sorted(gone)}}
    return replace(prepared, plan=planning.Plan(left, settled, planning.fingerprint(left)))


def _newer(
    ledger: Ledger, institution: Institution, run: str, again: list[Change]
) -> Iterator[tuple[int, str]]:
    """Row of `run` → the newer run that superseded it."""
    try:
        newer = ledger.superseded(run)
        frozen = ledger.load(run) if newer else None
    except CannotStart:  # made on another computer, or purged
        return
    if frozen is None or frozen.header.institution != institution:
        return
    names = {(r.target, r.body): newer[r.key] for r in frozen.requests if r.key in newer}
    stands = [change for change in again if (change.target, change.body) in names]
    known = ledger.acknowledged(institution, [change.target for change in stands])
    # Those are newer even if the clock of whoever sent them was behind.
    every = ledger.names() if stands else []
    later = frozenset(every[: every.index(run)]) if run in every else frozenset()
    for change in stands:
        last = names[change.target, change.body]
        since = [
            entry
            for entry in known.get(change.target, ())
            if entry.run in later or _is_newer(entry, frozen)
        ]
        if _would_revert(change.settings, since):
            yield change.row, last


def _is_newer(entry: Acknowledgement, frozen: FrozenRun) -> bool:
    return entry.run != frozen.header.run and entry.at > frozen.header.created_at


def _would_revert(settings: Body, since: Iterable[Acknowledgement]) -> bool:
    """Whether `settings` differ from what was set `since`, or may have been set."""
    since = list(since)
    if already_set(settings, replay(since)):
        return False
    return any(entry.body is None or _contradicts(settings, entry.body) for entry in since)


def _contradicts(settings: Body, body: Body) -> bool:
    other = dict(body)
    return any(key in other and other[key] != value for key, value in settings)


"""Statuses after which a row needs nothing more."""
_NAMED_MOST: Final = 5


def with_unknown_runs(ledger: Ledger | None, sheet: CheckedSheet) -> CheckedSheet:
    """Add an issue if rows are left out as done by runs that are not in this ledger.

    Such a run was made on another computer, has been purged, or never existed.  If warnings count
    as errors, nothing of the sheet is sent.
    """
    kept = [row for row in sheet.kept.values() if row.status in DONE]
    unknown = {row.run for row in kept} - _runs(ledger) if kept else set()
    if not unknown:
        return sheet
    names = sorted(unknown)
    runs = Series((*names[:_NAMED_MOST], *["…"][: len(names) - _NAMED_MOST]))
    n = sum(row.run in unknown for row in kept)
    strict = sheet.options.strict
    severity = Severity.ERROR if strict else Severity.WARNING
    found = issue("results.unknown_run", severity=severity, n=str(n), runs=runs)
    checked = replace(sheet.checked, issues=(*sheet.checked.issues, found))
    if strict:
        refused = tuple(Invalid(row.row, checked.issues) for row in checked.rows)
        checked = replace(checked, rows=refused)
    return replace(sheet, checked=checked)


def _runs(ledger: Ledger | None) -> set[str]:
    """The names of the runs in the ledger."""
    if ledger is None:
        return set()
    return {record.header.run for record in ledger.runs() if record.purged_at is None}


def is_rehearsed(sheet: CheckedSheet) -> bool:
    """Whether this is the result sheet of a rehearsal: its applied rows never reached ClassIn."""
    written = loader.previous_results(sheet.sheet).values()
    return any(is_rehearsal(said.get("run", "")) for said in written)


def _done(sheet: CheckedSheet) -> dict[int, ResultRow]:
    return {n: row for n, row in sheet.kept.items() if row.status in DONE}


def _require_earnest(
    sheet: CheckedSheet,
    kept: Mapping[int, ResultRow],
    config: Config | None,
    *,
    known: Collection[str],
) -> None:
    """Refuse rows that were applied in a rehearsal, except to continue that rehearsal."""
    goes_on = config is not None and config.credentials.is_sandbox
    rehearsed = [
        n for n, row in kept.items() if is_rehearsal(row.run) and not (goes_on and row.run in known)
    ]
    if rehearsed:
        raise CannotStart(
            "a rehearsal in a sandbox was done with {rows} of {name}, and ClassIn never got them;"
            " nothing was sent. Send all rows in earnest with `bulkcast apply`, or go on with the"
            " rehearsal with --sandbox",
            rows=rows_named(rehearsed),
            name=sheet.path.name,
        )


def require_as_done(ledger: Ledger | None, config: Config | None, sheet: CheckedSheet) -> None:
    """Refuse a result sheet whose applied rows were edited since, or applied elsewhere.

    They are not sent, so they would be reported as applied beside values that ClassIn never got.
    Runs that are not in this ledger, or were purged, cannot be compared.

    Raises:
        CannotStart: it has such rows.

    """
    kept = _done(sheet)
    if not kept:
        return
    if ledger is None:
        _require_earnest(sheet, kept, config, known=())
        return
    runs = {run: _PastRun.of(ledger, run) for run in {row.run for row in kept.values()}}
    known = {r.header.run for r in ledger.runs()} if any(map(is_rehearsal, runs)) else set[str]()
    _require_earnest(sheet, kept, config, known=known)
    if config is not None:
        _require_here(config.institution, {n: runs[row.run] for n, row in kept.items()})
    rows = tuple(row for row in sheet.sheet.rows if row.number in kept)
    rules = rules_of(sheet.options, sheet.sheet.headers, sheet.endpoint)
    rules = replace(rules, duplicates="in-order", strict=False)
    checked = validator.check(replace(sheet.sheet, rows=rows), sheet.endpoint, rules).rows
    edited = [row.row for row in checked if not _is_as_done(runs, kept[row.row], row)]
    if edited:
        raise CannotStart(
            "{rows} changed since an earlier run was done with what stood there; nothing was sent."
            " Empty bulkcast_status there to send what stands there now, or bring the old cells"
            " back",
            rows=rows_named(edited),
        )


class _PastRun:
    """What the ledger knows about a run that a result sheet names."""

    def __init__(self, ledger: Ledger, frozen: FrozenRun) -> None:
        self.header = frozen.header
        self._ledger = ledger
        self._frozen = frozen

    @classmethod
    def of(cls, ledger: Ledger, run: str) -> "_PastRun | None":
        """Load it; None if the ledger does not have the run."""
        try:
            return cls(ledger, ledger.load(run))
        except CannotStart:
            return None

    @cached_property
    def applied(self) -> Mapping[Target, Sequence[Mapping[str, SettingValue]]]:
        """The settings ClassIn acknowledged, by classroom; several if several rows set it."""
        found: defaultdict[Target, list[Mapping[str, SettingValue]]] = defaultdict(list)
        for request in self._frozen.requests:
            if self._frozen.outcomes[request.key].status is RowStatus.APPLIED:
                found[request.target].append(dict(request.body))
        return found

    @cached_property
    def as_read(self) -> frozenset[tuple[RowStatus, Target, Body]] | None:
        """The statuses and settings of its rows; None if the copy of its sheet is missing."""
        try:
            sheet = sheet_as_read(self._ledger, self.header)
        except (CannotStart, OSError):
            return None
        rules = validator.CheckRules(
            tz=zone(self.header.tz), duplicates="in-order", mapping=self.header.mapping
        )
        ended = self._frozen.by_row()
        rows = validator.check(sheet, WEBCAST, rules).rows
        return frozenset(
            (ended[row.row].status, row.target, row.settings)
            for row in rows
            if isinstance(row, Change) and row.row in ended
        )


def _require_here(institution: Institution, runs: Mapping[int, _PastRun | None]) -> None:
    """Refuse rows that were applied at another institution, by SID; addresses may differ."""
    sids = {n: past.header.institution.sid for n, past in runs.items() if past}
    away = [n for n, sid in sids.items() if sid != institution.sid]
    if away:
        raise CannotStart(
            "an earlier run sent {rows} to institution {sid}, and the configuration is for"
            " institution {other}; nothing was sent. Choose the other with --profile, or send all"
            " rows with `bulkcast apply`",
            rows=rows_named(away),
            sid=sids[away[0]],
            other=institution.sid,
        )


def _is_as_done(
    runs: Mapping[str, _PastRun | None], kept: ResultRow, row: Change | Invalid
) -> bool:
    past = runs[kept.run]
    if past is None:
        return True
    if isinstance(row, Invalid):
        return False
    if kept.status is RowStatus.APPLIED:
        bodies = past.applied.get(row.target, ())
        if any(all(body.get(key) == value for key, value in row.settings) for body in bodies):
            return True
    if past.as_read is None:
        return kept.status is not RowStatus.APPLIED
    return (kept.status, row.target, row.settings) in past.as_read
