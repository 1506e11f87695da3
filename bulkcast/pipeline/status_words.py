"""The words of states, for every door; templates, to be translated where they are shown."""

from collections.abc import Mapping
from typing import Final

from bulkcast.i18n import marked
from bulkcast.model import RowStatus

STATUS_WORDS: Final[Mapping[str, str]] = {
    RowStatus.APPLIED: marked("applied"),
    RowStatus.UNCHANGED: marked("unchanged"),
    RowStatus.INVALID: marked("invalid"),
    RowStatus.TOO_LATE: marked("too late"),
    RowStatus.REJECTED: marked("rejected"),
    RowStatus.UNCONFIRMED: marked("unconfirmed"),
    RowStatus.NOT_SENT: marked("not sent"),
    RowStatus.SUPERSEDED: marked("superseded"),
}
STATE_WORDS: Final[Mapping[str, str]] = {
    "finished": marked("finished"),
    "stopped": marked("stopped"),
    "running": marked("running"),
    "crashed": marked("cut off"),
    "purged": marked("purged"),
}
REASON_WORDS: Final[Mapping[str, str]] = {
    "outage": marked("outage"),
    "throttled": marked("throttled"),
    "maintenance": marked("maintenance"),
    "credentials": marked("credentials"),
    "clock": marked("clock"),
    "refused": marked("refused"),
    "guard": marked("guard"),
    "ledger": marked("ledger"),
    "interrupted": marked("interrupted"),
}

STATUS_MEANINGS: Final[Mapping[RowStatus, str]] = {
    RowStatus.APPLIED: marked("ClassIn acknowledged them"),
    RowStatus.UNCHANGED: marked("skipped: they would have changed nothing"),
    RowStatus.INVALID: marked("the sheet is wrong there; never sent"),
    RowStatus.TOO_LATE: marked("their settings are locked"),
    RowStatus.REJECTED: marked("ClassIn refused them"),
    RowStatus.UNCONFIRMED: marked("sent without an answer to trust; safe to send again"),
    RowStatus.NOT_SENT: marked("the reason stands beside each"),
    RowStatus.SUPERSEDED: marked("a newer run has set them since"),
}
"""What became of the rows with a status."""
