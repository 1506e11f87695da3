"""The ledger records plans, requests about to be sent, and how each request ended.

It is an SQLite database under `BULKCAST_HOME`, readable only by its owner, or a PostgreSQL database
that several computers share.
"""

from bulkcast.ledger.codec import FrozenRun, RunHeader, RunRecord, Sending
from bulkcast.ledger.history import MonotonicClock, Timestamp, boot_id
from bulkcast.ledger.integrity import FILE_NAME, refuse_network_drive
from bulkcast.ledger.lock import Sends, canonical, claim
from bulkcast.ledger.opening import holder, is_begun, open_ledger
from bulkcast.ledger.run_progress import End, FailedRequest, Standing
from bulkcast.ledger.run_records import Ended, matching
from bulkcast.ledger.store import Journal, Ledger

__all__ = [
    "FILE_NAME",
    "End",
    "Ended",
    "FailedRequest",
    "FrozenRun",
    "Journal",
    "Ledger",
    "MonotonicClock",
    "RunHeader",
    "RunRecord",
    "Sending",
    "Sends",
    "Standing",
    "Timestamp",
    "boot_id",
    "canonical",
    "claim",
    "holder",
    "is_begun",
    "matching",
    "open_ledger",
    "refuse_network_drive",
]
