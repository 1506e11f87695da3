"""What becomes of a row: by how it ended, and by what ClassIn answers."""

from collections.abc import Mapping
from typing import Final

from bulkcast.model import ReplyClass, RowStatus
from bulkcast.wording import marked

STATES: Final[Mapping[RowStatus, tuple[str, str]]] = {
    RowStatus.APPLIED: (marked("ClassIn acknowledged the row."), marked("Nothing to do.")),
    RowStatus.UNCHANGED: (
        marked("The row was skipped, because it would have changed nothing (--changed-only)."),
        marked("Nothing to do."),
    ),
    RowStatus.INVALID: (
        marked("The sheet is wrong in this row; it was never sent."),
        marked("Mend the cells that the message names, then `bulkcast resubmit`."),
    ),
    RowStatus.TOO_LATE: (
        marked(
            "Settings of the row are locked: it was never sent, or ClassIn refused it with a code"
            " that says so."
        ),
        marked("Take the locked settings out of the row, then `bulkcast resubmit`."),
    ),
    RowStatus.REJECTED: (
        marked("ClassIn refused the row."),
        marked("Read its code and its fix, mend the row, then `bulkcast resubmit`."),
    ),
    RowStatus.UNCONFIRMED: (
        marked("The row was sent, but no answer could be trusted; it may have been applied."),
        marked("`bulkcast resubmit` or `bulkcast resume`: sending it again is safe."),
    ),
    RowStatus.NOT_SENT: (
        marked("The run ended before the row's turn, or the row was never connected."),
        marked("`bulkcast resume`; the message says what stopped the run."),
    ),
    RowStatus.SUPERSEDED: (
        marked("A newer run has set this classroom since, or may have."),
        marked("Nothing to do."),
    ),
}
"""How a row can end → what that means, and what to do."""

FATES: Final[Mapping[ReplyClass, str]] = {
    ReplyClass.OK: marked("`applied`"),
    ReplyClass.OK_WARNING: marked("`applied`, with a warning"),
    ReplyClass.TRANSIENT: marked("repeated; in the end `unconfirmed`"),
    ReplyClass.THROTTLED: marked("everyone slows down, then repeated"),
    ReplyClass.CLOCK: marked("the stamp is corrected once, then the run stops"),
    ReplyClass.CREDENTIALS: marked("the run stops"),
    ReplyClass.INSTITUTION: marked(
        "`rejected`; after several in a row, not sent where the feature is on"
    ),
    ReplyClass.ROW: marked("`rejected`"),
    ReplyClass.TOO_LATE: marked("`too_late`"),
    ReplyClass.MAINTENANCE: marked(
        "the run waits, and asks now and then, for up to `--max-outage`"
    ),
    ReplyClass.STOP: marked("the run stops"),
}
"""What an answer lets us do → what becomes of its row."""

HERE: Final = marked("this endpoint")
SIBLINGS: Final = marked("sibling calls")
"""Whose page lists a reply code."""
