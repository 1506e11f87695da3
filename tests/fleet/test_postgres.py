"""The server that the tests start for themselves."""

import psycopg
import pytest

from tests import postgres


def test_a_fresh_database_is_a_copy_of_what_was_prepared() -> None:
    first, second = (postgres.new_database(_prepare) for _ in range(2))
    with psycopg.connect(first) as connection:
        connection.execute("INSERT INTO things VALUES (1)")
    with psycopg.connect(second) as connection:
        assert connection.execute("SELECT * FROM things").fetchall() == []
    for url in (first, second):
        postgres.drop_database(url)


def test_a_restarted_server_still_has_its_databases(database: str) -> None:
    _prepare(database)
    postgres.server().stop()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(database)
    postgres.server().start()
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT * FROM things").fetchall() == []


def _prepare(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE things (n integer)")
