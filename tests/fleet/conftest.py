"""A database with the fleet's tables and the numbers that test workers send."""

from collections.abc import AsyncIterator, Iterator

import pytest

from bulkcast.fleet.database import Database
from tests.fleet_worker import prepare
from tests.postgres import drop_database, new_database


@pytest.fixture
def fleet_url() -> Iterator[str]:
    url = new_database(prepare)
    yield url
    drop_database(url)


@pytest.fixture
async def fleet(fleet_url: str) -> AsyncIterator[Database]:
    async with Database(fleet_url) as database:
        yield database
