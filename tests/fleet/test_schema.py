"""`bulkcast fleet init`: the tables of fleet and queue, and a newer version refused."""

import psycopg
import pytest

from bulkcast.database_url import connection_string
from bulkcast.errors import CannotStart, DatabaseUnreachable
from bulkcast.fleet import schema


def test_tables_are_created_once_and_a_second_call_changes_nothing(database: str) -> None:
    with pytest.raises(CannotStart, match="fleet init"):
        schema.check_tables(database)

    schema.create_tables(database)
    with psycopg.connect(database) as connection:
        connection.execute("INSERT INTO paces (institution) VALUES ('a')")
    schema.create_tables(database)
    schema.check_tables(database)

    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT institution FROM paces").fetchall() == [("a",)]
        assert connection.execute("SELECT count(*) FROM procrastinate_jobs").fetchone() == (0,)


def test_tables_of_a_newer_bulkcast_are_refused(database: str) -> None:
    schema.create_tables(database)
    with psycopg.connect(database) as connection:
        connection.execute("UPDATE fleet_version SET version = 2")

    for refused in (schema.create_tables, schema.check_tables):
        with pytest.raises(CannotStart, match=r"version 2.*up to 1"):
            refused(database)


def test_a_database_that_is_not_there_is_named_without_its_password() -> None:
    with pytest.raises(DatabaseUnreachable) as caught:
        schema.check_tables("postgresql://me:open-sesame@127.0.0.1:9/none")

    assert "127.0.0.1:9/none" in str(caught.value)
    assert "refused" in str(caught.value)
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("url", ["postgres//nobody", "postgresql://h/d?colour=red sesame"])
def test_an_address_that_is_none_is_refused_without_being_quoted(url: str) -> None:
    with pytest.raises(CannotStart) as caught:
        connection_string(url)

    assert url not in str(caught.value)
    assert caught.value.__cause__ is None
