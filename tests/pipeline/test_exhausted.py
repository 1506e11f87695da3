"""A computer with nothing left to send with: said as that, and not as an outage to wait for."""

import asyncio
import errno
from pathlib import Path

import pytest

from bulkcast import client as http
from bulkcast.config import Config
from bulkcast.errors import NeedsHuman
from bulkcast.model import Body, Credentials, Institution, RowStatus, Secret
from bulkcast.pipeline import Parts, RunReport, SendOptions, apply, prepare
from bulkcast.protocol import NoReply, Reply
from tests.cli_runner import lines, write_csv


def sent_by(tmp_path: Path, client: type[http.Client]) -> RunReport:
    config = Config(
        Institution("http://127.0.0.1:1", "99000001"),
        Credentials("99000001", Secret("s")),
        tmp_path / "home",
    )
    prepared = prepare(write_csv(tmp_path / "term.csv", lines(40)))
    options = SendOptions(rate=float("inf"), results=tmp_path / "out.csv")
    return asyncio.run(apply(prepared, config, options, parts=Parts(client=client)))


class Full(http.Client):
    """Has no descriptor left for a connection."""

    async def send(self, body: Body, timestamp: int) -> Reply | NoReply:
        return NoReply("send.exhausted", sent=False, fatal=True)


class Fuller(http.Client):
    """Nor for a module that is loaded late."""

    async def send(self, body: Body, timestamp: int) -> Reply | NoReply:
        raise OSError(errno.EMFILE, "Too many open files", "utf_8_sig.py")


class Defect(http.Client):
    """Fails in a way that nobody foresaw."""

    async def send(self, body: Body, timestamp: int) -> Reply | NoReply:
        raise ZeroDivisionError


def test_the_run_stops_and_says_so(tmp_path: Path) -> None:
    report = sent_by(tmp_path, Full)

    assert report.stop is not None
    assert (report.stop.code, report.exit_status, report.requests) == ("send.exhausted", 6, 1)
    assert report.counts[RowStatus.NOT_SENT] == 40


def test_it_is_said_too_where_python_itself_needs_a_file(tmp_path: Path) -> None:
    with pytest.raises(NeedsHuman, match="no file descriptor"):
        sent_by(tmp_path, Fuller)


def test_a_defect_is_not_its_own_cause(tmp_path: Path) -> None:
    """Whoever follows the causes of one that is goes round in a circle, for ever."""
    with pytest.raises(ExceptionGroup) as caught:
        sent_by(tmp_path, Defect)

    seen: BaseException | None = caught.value
    passed: list[BaseException] = []
    while seen is not None:
        assert seen not in passed
        passed.append(seen)
        seen = seen.__cause__ or seen.__context__
