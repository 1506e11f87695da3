"""Connections to PostgreSQL that survive its restart and notice a network that is gone."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, LiteralString, Self, TypeVar

import psycopg
from psycopg_pool import AsyncConnectionPool

from bulkcast.database_url import LOST, UNUSABLE, connection_string, shown, unreachable, unusable
from bulkcast.errors import DatabaseUnreachable

Row = tuple[Any, ...]
Values = Sequence[object] | Mapping[str, object]
T = TypeVar("T")

_log = logging.getLogger(__name__)

CONNECTIONS: Final = 4
"""Of a worker's pool; statements take about a millisecond."""
STATEMENT_S: Final = 5.0
"""Seconds after which a statement counts as lost."""
_RETRY_S: Final = 0.3
POOL_S: Final = 3.0
"""Seconds that a statement waits for a connection."""
_RECONNECT_S: Final = 1.5
"""The wait before an attempt to connect doubles each time and begins anew after these seconds, so a
database that comes back is found within about two."""


@contextmanager
def connect_once(url: str) -> Iterator[psycopg.Connection]:
    """One transaction on a connection of its own.

    Raises:
        CannotStart: it refuses what it is asked.
        DatabaseUnreachable: the database cannot be reached, or breaks off.

    """
    try:
        with psycopg.connect(connection_string(url)) as connection:
            yield connection
    except LOST as exc:
        raise unreachable(url, exc) from exc
    except UNUSABLE as exc:
        raise unusable(url, exc) from exc


def is_lost(exc: BaseException) -> bool:
    """Whether `exc` says that the database was out of reach, so that a second try may succeed."""
    return isinstance(exc, (DatabaseUnreachable, *LOST)) or isinstance(exc.__cause__, LOST)


class Database:
    """A pool of connections, each statement a transaction of its own.

    `async with Database(url) as database:` opens it.
    """

    def __init__(
        self,
        url: str,
        *,
        connections: int = CONNECTIONS,
        on_error: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_error` is called each time the database is out of reach.

        Raises:
            CannotStart: `url` is none of PostgreSQL's.

        """
        self.url = url
        self.pool: AsyncConnectionPool = AsyncConnectionPool(
            connection_string(url), min_size=1, max_size=connections, timeout=POOL_S,
            reconnect_timeout=_RECONNECT_S, open=False, name="bulkcast",
            configure=_commit_each_statement, check=AsyncConnectionPool.check_connection,
        )  # fmt: skip
        self._on_error = on_error
        self._is_down = False
        self._is_closed = False
        self._up_since: float | None = None
        self._patient_until: float | None = None

    async def __aenter__(self) -> Self:
        await self.pool.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_closed = True
        await self.pool.close(timeout=2.0)

    def up_for(self, loop_time: float) -> float:
        """Seconds since the database was last out of reach; 0 while it is."""
        return 0.0 if self._up_since is None else loop_time - self._up_since

    def be_patient_until(self, loop_time: float) -> None:
        """Give up on a database that is out of reach at `loop_time`: the worker is to end."""
        self._patient_until = loop_time

    async def fetch(self, statement: LiteralString, values: Values = ()) -> list[Row]:
        """Execute a statement and return its rows, if it has any.

        Raises:
            DatabaseUnreachable: the database is out of reach; the statement may have been executed.

        """
        self._check_patience()
        try:
            async with asyncio.timeout(STATEMENT_S), self.pool.connection() as connection:
                cursor = await connection.execute(statement, values)
                rows = await cursor.fetchall() if cursor.description else []
        except LOST as exc:
            self._note_error(exc)
            raise unreachable(self.url, exc) from exc
        except UNUSABLE as exc:
            raise unusable(self.url, exc) from exc
        self._note_success()
        return rows

    async def fetch_patiently(self, statement: LiteralString, values: Values = ()) -> list[Row]:
        """`fetch`, again and again while the database is out of reach."""
        return await self.patiently(lambda: self.fetch(statement, values))

    async def patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """Call `work` until the database is in reach; the end of the worker ends the patience.

        Raises:
            DatabaseUnreachable: the worker is to end.

        """
        while True:
            self._check_patience()
            try:
                return await work()
            except Exception as exc:
                if not is_lost(exc):
                    raise
                if not isinstance(exc, DatabaseUnreachable):
                    # Procrastinate's own words do not say why.
                    self._note_error(exc.__cause__ if isinstance(exc.__cause__, LOST) else exc)
                await asyncio.sleep(_RETRY_S)

    def _check_patience(self) -> None:
        """Give up at once on a database that was out of reach when patience ended, or is closed."""
        until = self._patient_until
        is_over = until is not None and asyncio.get_running_loop().time() >= until
        if self._is_closed or (is_over and self._is_down):
            raise unreachable(self.url, TimeoutError())

    def _note_error(self, exc: BaseException) -> None:
        self._up_since = None
        self._on_error()
        if not (self._is_down or self._is_closed):
            self._is_down = True
            _log.warning("%s", unreachable(self.url, exc))

    def _note_success(self) -> None:
        if self._up_since is None:
            self._up_since = asyncio.get_running_loop().time()
        if self._is_down:
            self._is_down = False
            _log.warning("the database %s is back", shown(self.url))


async def _commit_each_statement(connection: psycopg.AsyncConnection) -> None:
    # As an argument of `connect` it would meet Procrastinate's own.
    await connection.set_autocommit(True)
