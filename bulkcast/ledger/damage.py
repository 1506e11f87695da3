"""What a damaged ledger makes SQLite, a decoder or a checksum say, said in one way."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bulkcast.errors import LedgerDamaged, LedgerUnwritable
from bulkcast.ledger.opening import UNREADABLE
from bulkcast.model import Text


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Whatever a damaged file makes SQLite or a decoder say is one and the same thing."""
    try:
        yield
    except (sqlite3.Error, *UNREADABLE) as exc:
        if _is_busy(exc):
            raise LedgerUnwritable(
                "the ledger {path} cannot be read: {exc}", path=path, exc=exc
            ) from exc
        raise LedgerDamaged(
            "{path} is damaged ({exc}); its disk may be failing", path=path, exc=exc
        ) from exc


def damaged(what: Text) -> LedgerDamaged:
    """What a checksum that does not fit says."""
    return LedgerDamaged(
        "the ledger does not hold {what} as it was written; its disk may be failing", what=what
    )


def _is_busy(exc: Exception) -> bool:
    """Whether another process holds the file: nothing is wrong with it then."""
    return getattr(exc, "sqlite_errorcode", 0) & 0xFF in {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
    }
