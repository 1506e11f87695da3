"""What a result sheet says was applied, held against the ledger before it is handed on."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from bulkcast import validator
from bulkcast.errors import CannotStart
from bulkcast.ledger import FILE_NAME, Ledger
from bulkcast.model import Change, Invalid, RowStatus, SettingValue, Severity, Target
from bulkcast.pipeline.preparing import rules_of
from bulkcast.pipeline.remembering import replan, rows_named
from bulkcast.pipeline.values import Prepared
from bulkcast.problems import issue

_Bodies = Mapping[Target, Mapping[str, SettingValue]]
_DONE: Final = frozenset({RowStatus.APPLIED, RowStatus.UNCHANGED, RowStatus.SUPERSEDED})
"""Statuses after which nothing is left to do for a row."""
_NAMED_MOST: Final = 5


def with_doubts(prepared: Prepared, home: Path) -> Prepared:
    """The same, with an issue where rows are left as done by runs that nobody here can look up.

    Such a run was made on another computer, or has been purged, or was never made.  Where warnings
    are errors nothing of the sheet is sent.

    Raises:
        LedgerDamaged: the ledger in `home` is not what was written.

    """
    kept = [row for row in prepared.kept.values() if row.status in _DONE]
    unknown = {row.run for row in kept} - _runs(home) if kept else set()
    if not unknown:
        return prepared
    names = sorted(unknown)
    runs = ", ".join([*names[:_NAMED_MOST], *["…"][: len(names) - _NAMED_MOST]])
    n = sum(row.run in unknown for row in kept)
    weight = Severity.ERROR if prepared.options.strict else Severity.WARNING
    found = issue("results.unknown_run", severity=weight, n=str(n), runs=runs)
    checked = replace(prepared.checked, issues=(*prepared.checked.issues, found))
    if not prepared.options.strict:
        return replace(prepared, checked=checked)
    refused = tuple(Invalid(row.row, checked.issues) for row in checked.rows)
    return replan(replace(prepared, checked=replace(checked, rows=refused)))


def _runs(home: Path) -> set[str]:
    """The runs that can be looked up."""
    if not (home / FILE_NAME).exists():
        return set()
    with Ledger(home) as ledger:
        return {record.header.run for record in ledger.runs() if record.purged_at is None}


def require_as_applied(ledger: Ledger, prepared: Prepared) -> None:
    """Refuse a result sheet of which rows that were applied have been edited since.

    They are not sent, and would be handed back as applied beside values that ClassIn never saw.
    A run that this ledger does not have, or of which it was purged, cannot be compared.

    Raises:
        CannotStart: it has such rows.

    """
    kept = {n: row.run for n, row in prepared.kept.items() if row.status is RowStatus.APPLIED}
    if not kept:
        return
    rows = tuple(row for row in prepared.sheet.rows if row.number in kept)
    rules = replace(rules_of(prepared.options), duplicates="in-order", strict=False)
    sheet = replace(prepared.sheet, rows=rows)
    checked = validator.check(sheet, prepared.endpoint, rules).rows
    runs = {run: _applied(ledger, run) for run in set(kept.values())}
    edited = [row.row for row in checked if not _bears_out(runs[kept[row.row]], row)]
    if edited:
        raise CannotStart(
            "{rows} changed since ClassIn acknowledged what stood there; nothing was sent. Empty"
            " bulkcast_status there to send what stands there now, or bring the old cells back",
            rows=rows_named(edited),
        )


def _applied(ledger: Ledger, run: str) -> _Bodies | None:
    """What ClassIn acknowledged in a run, by classroom; None where the ledger does not know."""
    try:
        frozen = ledger.load(run)
    except CannotStart:
        return None
    return {
        request.target: dict(request.body)
        for request in frozen.requests
        if frozen.outcomes[request.key].status is RowStatus.APPLIED
    }


def _bears_out(applied: _Bodies | None, row: Change | Invalid) -> bool:
    if applied is None:
        return True
    if isinstance(row, Invalid):
        return False
    body = applied.get(row.target)
    return body is not None and all(body.get(key) == value for key, value in row.settings)
