"""Ledgers of each make, for tests of what holds for all of them."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg

from bulkcast.home import Home, SharedHome
from bulkcast.ledger.integrity import FILE_NAME
from bulkcast.ledger.postgres import create_schema
from tests.postgres import drop_database, new_database

MAKES: Final = ("sqlite", "postgresql")


@contextmanager
def new_home(make: str, folder: Path) -> Iterator[Home]:
    """A home in `folder` with an empty ledger of this make."""
    if make == "sqlite":
        yield folder
        return
    database = new_database(create_schema)
    try:
        yield SharedHome(folder, database)
    finally:
        drop_database(database)


def meddle(home: Home, statement: str) -> int:
    """Change a closed ledger behind its back; the number of rows changed."""
    if isinstance(home, SharedHome):
        with psycopg.connect(home.database) as meddler:
            return meddler.execute(statement.encode()).rowcount
    with closing(sqlite3.connect(home / FILE_NAME)) as file, file:
        return file.execute(statement).rowcount


def sqlite_of(of: Any) -> sqlite3.Connection:
    """The connection of an SQLite ledger, or of one of its journals."""
    connection = of._connection
    assert isinstance(connection, sqlite3.Connection)
    return connection
