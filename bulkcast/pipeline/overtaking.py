"""Rows of an older result sheet, sent again as they stand though a newer run has overtaken them.

Whoever mends a row, sends it, and then takes up the sheet from before again, would take back what
was acknowledged: what was sent later counts, as it does for `resume`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from bulkcast import plan as planning
from bulkcast.errors import CannotStart
from bulkcast.known import Entry, is_held, told_by
from bulkcast.ledger import FrozenRun, Ledger, is_begun
from bulkcast.model import Body, Change, Institution, Outcome, RowStatus
from bulkcast.pipeline.remembering import one_spelling
from bulkcast.pipeline.values import Prepared


def spare_overtaken(prepared: Prepared, home: Path, institution: Institution) -> Prepared:
    """The same as `without_overtaken`, to show it beforehand.

    Raises:
        LedgerDamaged: the ledger in `home` does not hold what was written.

    """
    if not prepared.again or not is_begun(home):
        return prepared
    with Ledger(home) as ledger:
        return without_overtaken(ledger, one_spelling(institution), prepared)


def without_overtaken(ledger: Ledger, institution: Institution, prepared: Prepared) -> Prepared:
    """The same, with the rows settled that are older than what their classrooms were sent since.

    A row that was edited since its run is a new wish, and none of these.

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
    """Row → the run that has overtaken what it was sent in `run`."""
    try:
        newer = ledger.superseded(run)
        frozen = ledger.load(run) if newer else None
    except CannotStart:  # made elsewhere, or purged
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


def _is_newer(entry: Entry, frozen: FrozenRun) -> bool:
    return entry.run != frozen.header.run and entry.at > frozen.header.created_at


def _takes_back(settings: Body, since: Iterable[Entry]) -> bool:
    """Whether sending `settings` would change what was set `since`, or may have been."""
    since = list(since)
    if is_held(settings, told_by(since)):
        return False
    return any(entry.body is None or _contradicts(settings, entry.body) for entry in since)


def _contradicts(settings: Body, body: Body) -> bool:
    other = dict(body)
    return any(key in other and other[key] != value for key, value in settings)


def _settled(prepared: Prepared, newer: Mapping[int, str]) -> Prepared:
    """The plan without the requests that nobody wants but rows that were overtaken."""
    kept = [r for r in prepared.plan.requests if not newer.keys() >= set(r.rows)]
    gone = {row for r in prepared.plan.requests for row in r.rows if newer.keys() >= set(r.rows)}
    settled = {
        row: Outcome(RowStatus.SUPERSEDED, "run.superseded", {"newer": newer[row]}) for row in gone
    }
    plan = planning.Plan(
        tuple(kept), {**prepared.plan.settled, **settled}, planning.fingerprint(kept)
    )
    return replace(prepared, plan=plan)
