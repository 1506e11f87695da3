"""Opens the ledger of a home: its own file, or the database it shares with other computers."""

from pathlib import Path

from bulkcast.home import Home
from bulkcast.ledger import lock
from bulkcast.ledger.integrity import FILE_NAME, RUNS
from bulkcast.ledger.sqlite import SqliteLedger
from bulkcast.ledger.store import Ledger
from bulkcast.model import Institution, Text


def open_ledger(home: Home) -> Ledger:
    """Open the ledger of `home`; a file is created if there is none.

    Raises:
        CannotStart: it cannot be used: the folder is not writable or on a network drive, the
            database was not made with `bulkcast fleet init`, or its version is newer.
        DatabaseUnreachable: the database is out of reach.
        LedgerDamaged: the file is no ledger, is broken, or has lost entries.

    """
    if isinstance(home, Path):
        return SqliteLedger(home)
    from bulkcast.ledger.postgres import PostgresLedger

    return PostgresLedger(home)


def is_begun(home: Home) -> bool:
    """Whether `home` has a ledger or folders of runs; the ledger itself may be lost."""
    return not isinstance(home, Path) or (home / FILE_NAME).exists() or (home / RUNS).exists()


def holder(home: Home, institution: Institution, state: Path | None = None) -> Text | None:
    """What keeps a new run of `institution` from starting, as a sentence part; None if nothing.

    Runs of a shared ledger wait for each other, so nothing does there.

    Raises:
        CannotStart: the folder that this computer's users share cannot be used.

    """
    return lock.holder(home, institution, state) if isinstance(home, Path) else None
