"""Connects to a PostgreSQL database by its URL; says what hinders that without the password."""

from typing import Any, Final

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from bulkcast.errors import CannotStart, DatabaseUnreachable

_NETWORK: Final = {
    "connect_timeout": "5",
    # Without these a connection whose other end vanished hangs for a quarter of an hour.
    "tcp_user_timeout": "5000",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "application_name": "bulkcast",
}
LOST: Final = (
    psycopg.OperationalError,           # refused, broken, shutting down, deadlock, pool timeout
    psycopg.InterfaceError,
    errors.ReadOnlySqlTransaction,      # a primary that became a standby
    TimeoutError,
)  # fmt: skip
"""Errors of a database that is out of reach, so that a second try may succeed."""
UNUSABLE: Final = (
    errors.InsufficientPrivilege,
    errors.UndefinedTable,
    errors.UndefinedFunction,
    errors.UndefinedColumn,
)
"""Errors of a database whose owner has to put something right first."""


def connection_string(url: str) -> str:
    """`url` with the settings that notice a dead network; those in `url` come first.

    Raises:
        CannotStart: `url` is none of PostgreSQL's.

    """
    return make_conninfo("", **{**_NETWORK, **_parts(url)})


def _parts(url: str) -> dict[str, Any]:
    try:
        found = dict(conninfo_to_dict(url))
    except (psycopg.ProgrammingError, UnicodeError):
        # Its own message quotes the URL, password and all.
        raise CannotStart(
            "the database's address is not valid; give one such as"
            " postgresql://user@host:5432/bulkcast"
        ) from None
    if any("@" in str(found.get(part) or "") for part in ("host", "port", "dbname")):
        # Part of a password has become the host or the database, which messages show.
        raise CannotStart(
            "the database's address has an @ in the wrong place; in a password, @ and / have to be"
            " percent-encoded"
        )
    return found


def connect(url: str) -> "psycopg.Connection[Any]":
    """Open a connection that commits each statement by itself.

    Raises:
        CannotStart: `url` is none of PostgreSQL's.
        psycopg.OperationalError: the database is out of reach.

    """
    return psycopg.connect(connection_string(url), autocommit=True)


def unreachable(url: str, exc: BaseException) -> DatabaseUnreachable:
    """The error to show for `exc`; it names host and database, never the password."""
    return DatabaseUnreachable(
        "the database {database} cannot be reached ({why})", database=shown(url), why=reason(exc)
    )


def unusable(url: str, exc: BaseException) -> CannotStart:
    """The error to show for a database that refuses; it names host and database alone."""
    return CannotStart(
        "the database {database} cannot be used: {why}", database=shown(url), why=reason(exc)
    )


def shown(url: str) -> str:
    """A database's URL without user, password and options.

    Raises:
        CannotStart: it is none of PostgreSQL's.

    >>> shown("postgresql://li:secret@db.school.cn:5433/bulkcast?sslmode=require")
    'postgresql://db.school.cn:5433/bulkcast'

    """
    given = _parts(url)
    place = str(given.get("host") or "localhost")
    port = f":{given['port']}" if given.get("port") else ""
    return f"postgresql://{place}{port}/{given.get('dbname') or ''}"


def reason(exc: BaseException) -> str:
    """The first line of what went wrong."""
    inner = exc.__cause__ if exc.__cause__ and not str(exc) else exc
    lines = str(inner).strip().splitlines()
    return lines[0] if lines else type(inner).__name__
