"""Plan in the light of what ClassIn is known to hold, and make sure that it still is when sent."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bulkcast import client as http
from bulkcast import plan as planning
from bulkcast.errors import CannotStart
from bulkcast.known import Known, is_held, told_by
from bulkcast.ledger import Ledger, is_begun
from bulkcast.model import Change, Institution, RowStatus, Text
from bulkcast.pipeline.values import Prepared


def recall(prepared: Prepared, home: Path, institution: Institution) -> Prepared:
    """A prepared sheet with what its classrooms at `institution` are known to hold.

    Only what the ledger in `home` saw acknowledged is known: no change made in ClassIn's console,
    or from another computer, is.

    Raises:
        LedgerDamaged: the ledger is not what was written.

    """
    if not is_begun(home):
        return prepared
    with Ledger(home) as ledger:
        known = _known(ledger, one_spelling(institution), _changes(prepared))
    return replace(prepared, known=known)


def replan(
    prepared: Prepared,
    *,
    unchanged: planning.Unchanged = "send",
    once_locked: planning.OnceLocked = "refuse",
) -> Prepared:
    """Plan a prepared sheet again, in the light of what was recalled of its classrooms."""
    checked = {row.row for row in prepared.checked.rows}
    left_out = {row: out for row, out in prepared.plan.settled.items() if row not in checked}
    plan = planning.make(
        prepared.checked.rows,
        prepared.endpoint,
        left_out=left_out,
        sheet_issues=prepared.checked.issues,
        known=prepared.known,
        unchanged=unchanged,
        once_locked=once_locked,
    )
    return replace(prepared, plan=plan)


def one_spelling(institution: Institution) -> Institution:
    """Pace, claim and memory go by the institution, so the same one must be named the same."""
    return replace(institution, root_url=http.check_root_url(institution.root_url))


def _changes(prepared: Prepared) -> list[Change]:
    return [row for row in prepared.checked.rows if isinstance(row, Change)]


def _known(ledger: Ledger, institution: Institution, changes: list[Change]) -> Known:
    targets = dict.fromkeys(change.target for change in changes)
    found = ledger.acknowledged(institution, targets)
    return {target: told_by(entries) for target, entries in found.items()}


def require_unchanged(ledger: Ledger, institution: Institution, prepared: Prepared) -> None:
    """Refuse a plan whose rows to be left alone are no longer as it took them to be.

    To be asked while the institution is held, so that nothing can change it any more.

    Raises:
        CannotStart: another run has set one of their classrooms since.

    """
    settled = prepared.plan.settled
    skipped = [
        change
        for change in _changes(prepared)
        if change.row in settled and settled[change.row].status is RowStatus.UNCHANGED
    ]
    if not skipped:
        return
    stale = list(_stale(skipped, _known(ledger, institution, skipped)))
    if stale:
        raise CannotStart(
            "{rows} would be left as unchanged, but another run has set the same "
            "classrooms since; plan again",
            rows=rows_named(stale),
        )


def _stale(skipped: list[Change], known: Known) -> Iterator[int]:
    for change in skipped:
        if not is_held(change.settings, known.get(change.target, {})):
            yield change.row


_NAMED_MOST = 12


def rows_named(rows: list[int]) -> Text:
    """Row numbers in a sentence.

    >>> str(rows_named([7])), str(rows_named([5, 9, 12]))
    ('row 7', 'rows 5, 9, 12')
    """
    shown = ", ".join(str(row) for row in rows[:_NAMED_MOST])
    if len(rows) > _NAMED_MOST:
        more = f"{len(rows) - _NAMED_MOST:,}"
        return Text("rows {rows} and {n} more", {"rows": shown, "n": more})
    if len(rows) > 1:
        return Text("rows {rows}", {"rows": shown})
    return Text("row {n}", {"n": shown})
