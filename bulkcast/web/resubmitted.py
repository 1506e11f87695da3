"""What of a result sheet is sent again, and what has changed since its run."""

from dataclasses import dataclass

from bulkcast.errors import BulkcastError, InstitutionBusy
from bulkcast.model import Issue, RowStatus
from bulkcast.pipeline import CheckedSheet, PlanOptions, plan_alone, prepare_checked
from bulkcast.web.accounts import Account


@dataclass(frozen=True, slots=True)
class Resubmitted:
    """How the rows of a result sheet divide."""

    done: int
    """Rows that need nothing more."""
    again: int
    """Rows that are sent again."""
    superseded: int
    """Rows that a newer run has set since."""
    doubts: tuple[Issue, ...]
    """What the ledger cannot confirm, such as runs that it does not have."""
    refusal: BulkcastError | None
    """Why it cannot be sent so, as when rows that were done have been edited since."""


def resubmitted(sheet: CheckedSheet, account: Account) -> Resubmitted:
    """Compare a result sheet with what the ledger knows."""
    refusal: BulkcastError | None = None
    try:
        prepared = prepare_checked(
            sheet, PlanOptions(),
            home=account.home, account=lambda: account.config, members=account.members,
            is_sent=False,
        ).prepared  # fmt: skip
    except BulkcastError as exc:
        prepared = plan_alone(sheet)
        # That another run holds the institution is told where it matters: on the plan.
        refusal = None if isinstance(exc, InstitutionBusy) else exc
    superseded = sum(
        outcome.status is RowStatus.SUPERSEDED
        for row, outcome in prepared.plan.settled.items()
        if row not in prepared.kept
    )
    again = sum(len(request.rows) for request in prepared.plan.requests)
    doubts = tuple(issue for issue in prepared.checked.issues if issue not in sheet.checked.issues)
    return Resubmitted(len(prepared.kept), again, superseded, doubts, refusal)
