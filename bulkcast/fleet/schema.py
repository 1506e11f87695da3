"""Creates the fleet's tables and Procrastinate's, and refuses those of a newer bulkcast."""

from importlib import resources
from typing import Final, LiteralString

import psycopg
from procrastinate.schema import SchemaManager

from bulkcast.errors import CannotStart
from bulkcast.fleet.database import connect_once

VERSION: Final = 1

_ONE_AT_A_TIME: Final = "SELECT pg_advisory_xact_lock(hashtext('bulkcast fleet init'))"
_IS_THERE: Final = "SELECT to_regclass('fleet_version') IS NOT NULL"
_HAS_QUEUE: Final = "SELECT to_regclass('procrastinate_jobs') IS NOT NULL"
_GET_VERSION: Final = "SELECT max(version) FROM fleet_version"


def create_tables(url: str) -> None:
    """Create what is missing; all of it or nothing.  A second call changes nothing.

    Raises:
        CannotStart: the tables are those of a newer bulkcast.
        DatabaseUnreachable: the database cannot be reached.

    """
    with connect_once(url) as connection:
        connection.execute(_ONE_AT_A_TIME)
        _version(connection)
        connection.execute(_own_statements())
        if not _is(connection, _HAS_QUEUE):
            connection.execute(SchemaManager.get_schema())


def check_tables(url: str) -> None:
    """Check that the tables are there and ours.

    Raises:
        CannotStart: they are not there, or those of a newer bulkcast.
        DatabaseUnreachable: the database cannot be reached.

    """
    with connect_once(url) as connection:
        if _version(connection) is None or not _is(connection, _HAS_QUEUE):
            raise CannotStart(
                "the database has no tables of bulkcast yet: run `bulkcast fleet init` first"
            )


def _version(connection: psycopg.Connection) -> int | None:
    """The version of the tables; None without them."""
    if not _is(connection, _IS_THERE):
        return None
    row = connection.execute(_GET_VERSION).fetchone()
    version: int | None = row[0] if row else None
    if version is not None and version > VERSION:
        raise CannotStart(
            "the database's tables have version {version}, and this bulkcast knows versions up to"
            " {known}: upgrade bulkcast",
            version=version,
            known=VERSION,
        )
    return version


def _is(connection: psycopg.Connection, question: LiteralString) -> bool:
    row = connection.execute(question).fetchone()
    return bool(row and row[0])


def _own_statements() -> LiteralString:
    return (resources.files("bulkcast.fleet") / "schema.sql").read_text(encoding="utf-8")
