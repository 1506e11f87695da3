"""Ledgers of each make, for tests of what holds for all of them."""

import sqlite3
from typing import Any


def sqlite_of(of: Any) -> sqlite3.Connection:
    """The connection of an SQLite ledger, or of one of its journals."""
    connection = of._connection
    assert isinstance(connection, sqlite3.Connection)
    return connection
