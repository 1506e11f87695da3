"""The ledger: what was planned, what was about to be sent, and how each request ended.

Embedded make: SQLite in WAL mode under `BULKCAST_HOME`, readable by its owner alone.
"""

from bulkcast.ledger.claim import claim, holder
from bulkcast.ledger.journal import RunJournal
from bulkcast.ledger.listing import Ended, matching
from bulkcast.ledger.moments import Moment, Steady, boot_id
from bulkcast.ledger.place import refuse_network_drive
from bulkcast.ledger.shared import Sends
from bulkcast.ledger.store import FILE_NAME, Ledger, is_begun
from bulkcast.ledger.values import FrozenRun, RunHeader, RunRecord

__all__ = [
    "FILE_NAME",
    "Ended",
    "FrozenRun",
    "Ledger",
    "Moment",
    "RunHeader",
    "RunJournal",
    "RunRecord",
    "Sends",
    "Steady",
    "boot_id",
    "claim",
    "holder",
    "is_begun",
    "matching",
    "refuse_network_drive",
]
