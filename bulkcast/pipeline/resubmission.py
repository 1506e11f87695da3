"""Decides which rows of a result sheet are sent again, and which a newer run has superseded."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Final

from bulkcast import loader, validator
from bulkcast import planner as planning
from bulkcast.arguments import Series
from bulkcast.config import Config
from bulkcast.endpoints import WEBCAST
from bulkcast.errors import CannotStart, InstitutionBusy
from bulkcast.ledger import FILE_NAME, FrozenRun, Ledger, holder, is_begun
from bulkcast.model import (
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
from bulkcast.pipeline.options import Prepared
from bulkcast.pipeline.preparation import (
    one_spelling,
    replan,
    require_unchanged,
    rows_named,
    rules_of,
    zone,
)
from bulkcast.pipeline.reports import sheet_as_read
from bulkcast.planner.last_known import Acknowledgement, already_set, replay
from bulkcast.problems import issue


def spare_overtaken(prepared: Prepared, home: Path, institution: Institution) -> Prepared:
    """The same as `without_overtaken`, to show it before the run.

    Raises:
        LedgerDamaged: the ledger in `home` does not hold what was written.

    """
    if not prepared.again or not is_begun(home):
        return prepared
    with Ledger(home) as ledger:
        return without_overtaken(ledger, one_spelling(institution), prepared)


def without_overtaken(ledger: Ledger, institution: Institution, prepared: Prepared) -> Prepared:
    """Mark rows as superseded if a newer run has set their classrooms since.

    A row that was edited after its run counts as new and is sent.

    Raises:
        LedgerDamaged: the ledger does not hold what was written.

    """
    again = [
        row
        for row in prepared.checked.rows
        if isinstance(row, Change) and row.row in prepared.again
    ]
    newer: dict[int, str] = {}
    for run in {prepared.again[change.row] for change in again}:
        of_run = [change for change in again if prepared.again[change.row] == run]
        newer.update(_newer(ledger, institution, run, of_run))
    return _settled(prepared, newer) if newer else prepared


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
    for change in stands:
        since = [e for e in known.get(change.target, ()) if _is_newer(e, frozen)]
        if _takes_back(change.settings, since):
            yield change.row, names[change.target, change.body]


def _is_newer(entry: Acknowledgement, frozen: FrozenRun) -> bool:
    return entry.run != frozen.header.run and entry.at > frozen.header.created_at


def _takes_back(settings: Body, since: Iterable[Acknowledgement]) -> bool:
    """Whether `settings` differ from what was set `since`, or may have been set."""
    since = list(since)
    if already_set(settings, replay(since)):
        return False
    return any(entry.body is None or _contradicts(settings, entry.body) for entry in since)


def _contradicts(settings: Body, body: Body) -> bool:
    other = dict(body)
    return any(key in other and other[key] != value for key, value in settings)


def _settled(prepared: Prepared, newer: Mapping[int, str]) -> Prepared:
    """Drop requests whose rows are all superseded by a newer run."""
    kept = [r for r in prepared.plan.requests if not newer.keys() >= set(r.rows)]
    gone = {row for r in prepared.plan.requests for row in r.rows if newer.keys() >= set(r.rows)}
    settled = {
        row: Outcome(RowStatus.SUPERSEDED, "run.superseded", {"newer": newer[row]}) for row in gone
    }
    plan = planning.Plan(
        tuple(kept), {**prepared.plan.settled, **settled}, planning.fingerprint(kept)
    )
    return replace(prepared, plan=plan)


_DONE: Final = frozenset({RowStatus.APPLIED, RowStatus.UNCHANGED, RowStatus.SUPERSEDED})
"""Statuses after which a row needs nothing more."""
_NAMED_MOST: Final = 5


def with_doubts(prepared: Prepared, home: Path) -> Prepared:
    """Add an issue if rows are left out as done by runs that are not in this ledger.

    Such a run was made on another computer, has been purged, or never existed.  If warnings count
    as errors, nothing of the sheet is sent.

    Raises:
        LedgerDamaged: the ledger in `home` does not hold what was written.

    """
    kept = [row for row in prepared.kept.values() if row.status in _DONE]
    unknown = {row.run for row in kept} - _runs(home) if kept else set()
    if not unknown:
        return prepared
    names = sorted(unknown)
    runs = Series((*names[:_NAMED_MOST], *["…"][: len(names) - _NAMED_MOST]))
    n = sum(row.run in unknown for row in kept)
    weight = Severity.ERROR if prepared.options.strict else Severity.WARNING
    found = issue("results.unknown_run", severity=weight, n=str(n), runs=runs)
    checked = replace(prepared.checked, issues=(*prepared.checked.issues, found))
    if not prepared.options.strict:
        return replace(prepared, checked=checked)
    refused = tuple(Invalid(row.row, checked.issues) for row in checked.rows)
    return replan(replace(prepared, checked=replace(checked, rows=refused)))


def _runs(home: Path) -> set[str]:
    """The names of the runs in the ledger."""
    if not (home / FILE_NAME).exists():
        return set()
    with Ledger(home) as ledger:
        return {record.header.run for record in ledger.runs() if record.purged_at is None}


def require_sendable(prepared: Prepared, home: Path, config: Config | None) -> None:
    """Refuse what `apply` would refuse, before the user is asked to confirm.

    Without a configuration the institution is unknown, and only the rows are checked.

    Raises:
        InstitutionBusy: another run holds the institution's lock.
        CannotStart: applied rows have been edited since, were applied at another institution or
            in a rehearsal, or have been changed since they were planned.

    """
    if config is not None:
        institution = one_spelling(config.institution)
        if is_begun(home) and (what := holder(home, institution)):
            raise InstitutionBusy(
                "institution {sid} at {root_url} is held by {what}; wait for it",
                sid=institution.sid,
                root_url=institution.root_url,
                what=what,
            )
        config = replace(config, institution=institution)
    if not is_begun(home):
        _require_earnest(prepared, _done(prepared), config, known=())
        return
    with Ledger(home) as ledger:
        if config is not None:
            require_unchanged(ledger, config.institution, prepared)
        require_as_done(ledger, config, prepared)


def is_rehearsed(prepared: Prepared) -> bool:
    """Whether this is the result sheet of a rehearsal: its applied rows never reached ClassIn."""
    written = loader.previous_results(prepared.sheet).values()
    return any(is_rehearsal(said.get("run", "")) for said in written)


def _done(prepared: Prepared) -> dict[int, ResultRow]:
    return {n: row for n, row in prepared.kept.items() if row.status in _DONE}


def _require_earnest(
    prepared: Prepared,
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
            name=prepared.path.name,
        )


def require_as_done(ledger: Ledger, config: Config | None, prepared: Prepared) -> None:
    """Refuse a result sheet whose applied rows were edited since, or applied elsewhere.

    They are not sent, so they would be reported as applied beside values that ClassIn never got.
    Runs that are not in this ledger, or were purged, cannot be compared.

    Raises:
        CannotStart: it has such rows.

    """
    kept = _done(prepared)
    if not kept:
        return
    runs = {run: _Past.of(ledger, run) for run in {row.run for row in kept.values()}}
    known = {r.header.run for r in ledger.runs()} if any(map(is_rehearsal, runs)) else set[str]()
    _require_earnest(prepared, kept, config, known=known)
    if config is not None:
        _require_here(config.institution, {n: runs[row.run] for n, row in kept.items()})
    rows = tuple(row for row in prepared.sheet.rows if row.number in kept)
    rules = replace(rules_of(prepared.options), duplicates="in-order", strict=False)
    checked = validator.check(replace(prepared.sheet, rows=rows), prepared.endpoint, rules).rows
    edited = [row.row for row in checked if not _bears_out(runs, kept[row.row], row)]
    if edited:
        raise CannotStart(
            "{rows} changed since an earlier run was done with what stood there; nothing was sent."
            " Empty bulkcast_status there to send what stands there now, or bring the old cells"
            " back",
            rows=rows_named(edited),
        )


class _Past:
    """What the ledger knows about a run that a result sheet names."""

    def __init__(self, ledger: Ledger, frozen: FrozenRun) -> None:
        self.header = frozen.header
        self._ledger = ledger
        self._frozen = frozen

    @classmethod
    def of(cls, ledger: Ledger, run: str) -> "_Past | None":
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


def _require_here(institution: Institution, runs: Mapping[int, _Past | None]) -> None:
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


def _bears_out(runs: Mapping[str, _Past | None], kept: ResultRow, row: Change | Invalid) -> bool:
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
