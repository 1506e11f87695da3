"""The ledger: what was planned, what was about to be sent, and how each request ended.

Embedded make: SQLite in WAL mode under `BULKCAST_HOME`, readable by its owner alone.
"""

from bulkcast.ledger.claim import claim
from bulkcast.ledger.journal import RunJournal
from bulkcast.ledger.store import FILE_NAME, FrozenRun, Ledger, RunHeader, RunRecord

__all__ = ["FILE_NAME", "FrozenRun", "Ledger", "RunHeader", "RunJournal", "RunRecord", "claim"]
