"""Fixtures and settings for every test, and the report after the last one."""

import os
import signal
import threading
from collections.abc import Generator, Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from bulkcast.home import Home
from tests.cli_runner import CliRunner
from tests.ledgers import MAKES, new_home
from tests.measured_figures import added_up, canaries, table

# Test machines are shared, so an example's duration says nothing about the code.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fast", settings.get_profile("house"), max_examples=10)
settings.load_profile("house")

# Sentences are told in the language of the terminal, and tests quote the English ones.
os.environ["LC_ALL"] = "C.UTF-8"
os.environ.pop("LANGUAGE", None)

# No test asks the keyring of whoever runs it.
os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"

# A runner under nohup, or in the background of a shell, hands on signals that are ignored; programs
# that tests start inherit that, and a user's are not started so.
if threading.current_thread() is threading.main_thread():
    for _name, _usual in (("SIGHUP", signal.SIG_DFL), ("SIGINT", signal.default_int_handler)):
        _number = getattr(signal, _name, None)
        if _number is not None and signal.getsignal(_number) is signal.SIG_IGN:
            signal.signal(_number, _usual)

FOLDER = pytest.StashKey[Path]()
TOLD = pytest.StashKey[list[str]]()

CANARIES = ("canary-Kq7/Secret+93", "canary-Mb7SR6H")
"""Institutions' secrets used by many tests; no file that tests leave may contain them."""
EARNED = ("passed", "caught")
"""Figures that only passed tests add to."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The table that `tests/check.py --report` ends with."""
    parser.addoption("--report", action="store_true", help="print the figures the tests measured")


@pytest.fixture(scope="session", autouse=True)
def _what_tests_leave(request: pytest.FixtureRequest) -> None:
    """Remember the tests' folders, so that they can be searched at the end."""
    factory: pytest.TempPathFactory = request.getfixturevalue("tmp_path_factory")
    request.config.stash[FOLDER] = factory.getbasetemp()


@pytest.fixture(autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Give each test its own copy of what a computer's users share; created on first use."""
    folder = tmp_path_factory.getbasetemp() / f"state-{next(_NUMBERS)}"
    os.environ["BULKCAST_STATE"] = str(folder)


_NUMBERS = count()


@pytest.fixture
def cli(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> CliRunner:
    """The command line of a user with runs of their own."""
    cli = CliRunner(tmp_path, monkeypatch, capsys)
    cli.set(BULKCAST_HOME=str(tmp_path / "home"))
    return cli


@pytest.fixture
def database() -> Iterator[str]:
    """The URL of an empty PostgreSQL database."""
    from tests.postgres import drop_database, new_database

    url = new_database()
    yield url
    drop_database(url)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep all that is printed and logged."""
    report = yield
    if report.when == "call":
        folder = item.config.stash.get(FOLDER, None)
        said = report.caplog + report.capstdout + report.capstderr
        if folder and said:
            with (folder / "said.txt").open("a", encoding="utf-8", errors="replace") as file:
                file.write(said)
    return report


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Check that no file that any test left contains a canary.

    With xdist the controller does it, whose folder contains those of all workers.
    """
    config = session.config
    if hasattr(config, "workerinput") or not session.testscollected:
        return
    folder: Path = config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined] # no other way outside a test
    size, found = canaries(folder, CANARIES)
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    stats = reporter.stats if reporter else {}
    reports = [r for kind in ("passed", "failed") for r in stats.get(kind, ())]
    figures = added_up(
        (name, value)
        for report in reports
        for name, value in report.user_properties
        if report.passed or not name.endswith(EARNED)
    )
    figures |= {"bytes searched": size, "canaries found": len(found)}
    config.stash[TOLD] = [f"CANARY: {leak}" for leak in found]
    if config.getoption("--report"):
        config.stash[TOLD] += table(figures)
    if found:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Report the result."""
    for line in terminalreporter.config.stash.get(TOLD, []):
        terminalreporter.write_line(line)


@pytest.fixture(params=MAKES)
def any_home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Home]:
    """A home whose ledger is of each make in turn."""
    with new_home(request.param, tmp_path) as home:
        yield home
