"""The ledger records plans, requests about to be sent, and how each request ended.

It is an SQLite database in WAL mode under `BULKCAST_HOME`, readable only by its owner.
"""

from bulkcast.ledger.codec import FrozenRun, RunHeader, RunRecord
from bulkcast.ledger.history import MonotonicClock, Timestamp, boot_id
from bulkcast.ledger.integrity import FILE_NAME, refuse_network_drive
from bulkcast.ledger.journal import RunJournal
from bulkcast.ledger.lock import Sends, claim, holder
from bulkcast.ledger.run_progress import End, FailedRequest, Standing
from bulkcast.ledger.run_records import Ended, matching
from bulkcast.ledger.store import Ledger, is_begun

__all__ = [
    "FILE_NAME",
    "End",
    "Ended",
    "FailedRequest",
    "FrozenRun",
    "Ledger",
    "MonotonicClock",
    "RunHeader",
    "RunJournal",
    "RunRecord",
    "Sends",
    "Standing",
    "Timestamp",
    "boot_id",
    "claim",
    "holder",
    "is_begun",
    "matching",
    "refuse_network_drive",
]
