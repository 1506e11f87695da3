"""What of a result sheet is sent again, and what has changed since its run."""

from dataclasses import dataclass

from bulkcast.errors import BulkcastError, InstitutionBusy
from bulkcast.model import RowStatus
from bulkcast.pipeline import PlanOptions, Prepared, compare_with_ledger
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
    refusal: BulkcastError | None
    """Why it cannot be sent so, as when rows that were done have been edited since."""


def resubmitted(prepared: Prepared, account: Account) -> Resubmitted:
    """Compare a result sheet with what the ledger knows."""
    refusal: BulkcastError | None = None
    try:
        prepared = compare_with_ledger(prepared, account.home, account.config, PlanOptions())
    except InstitutionBusy:
        pass  # told where it matters: on the plan
    except BulkcastError as exc:
        refusal = exc
    superseded = sum(
        outcome.status is RowStatus.SUPERSEDED
        for row, outcome in prepared.plan.settled.items()
        if row not in prepared.kept
    )
    again = sum(len(request.rows) for request in prepared.plan.requests)
    return Resubmitted(len(prepared.kept), again, superseded, refusal)
