"""What a result sheet says was applied, held against the ledger before it is handed on."""

from collections.abc import Mapping
from dataclasses import replace

from bulkcast import validator
from bulkcast.errors import CannotStart
from bulkcast.ledger import Ledger
from bulkcast.model import Change, Invalid, RowStatus, SettingValue, Target
from bulkcast.pipeline.preparing import rules_of
from bulkcast.pipeline.remembering import rows_named
from bulkcast.pipeline.values import Prepared

_Bodies = Mapping[Target, Mapping[str, SettingValue]]


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
