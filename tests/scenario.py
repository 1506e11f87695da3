"""Scenarios: programs with real sheets, HTTP and ledger that are killed or meet faults.

A scenario runs programs one after another.  Each applies a sheet or resumes the newest run, and
ends by itself, by interrupts, or by being killed: then it writes and sends nothing more.  The
server runs on, and everything that is left goes to the auditor.
"""

import asyncio
import contextlib
import logging
import shutil
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from bulkcast import pipeline
from bulkcast.client import Client
from bulkcast.config import Config
from bulkcast.errors import BulkcastError
from bulkcast.home import Home
from bulkcast.ledger import Journal, Ledger, MonotonicClock
from bulkcast.model import Body, Credentials, Institution, Secret
from bulkcast.pipeline import Control, Parts, RunReport, SendOptions, SheetOptions
from bulkcast.protocol import NoReply, Reply
from bulkcast.sandbox import SANDBOX_SID, Sandbox, World
from tests.audit import Ended, Evidence, runs
from tests.sheets import FIRST_ID, HEAD, read_rows
from tests.toxic_proxy import Proxy
from tests.virtual_loop import VirtualLoop, run

CANARY: Final = "canary-Kq7/Secret+93"
"""The institution's secret in every scenario; no file or output may contain it."""


def sheet(path: Path, rows: int, *, word: str = "row", first: int = 2) -> Path:
    """A sheet of `rows` classrooms; `word` makes its bodies differ from another sheet's."""
    lines = [f"{FIRST_ID + n},1,0,1,1,{word} {n}" for n in range(first, first + rows)]
    path.write_text("\n".join([",".join(HEAD), *lines]) + "\n", "utf-8")
    return path


def twice(path: Path, rows: int) -> Path:
    """A sheet that sets each of `rows` classrooms twice, the second time differently."""
    lines = [f"{FIRST_ID + n},1,0,1,1,{word}" for word in ("first", "then") for n in range(rows)]
    path.write_text("\n".join([",".join(HEAD), *lines]) + "\n", "utf-8")
    return path


def states(evidence: Evidence) -> list[str]:
    """The states in the last result sheet, in its order."""
    return [row["bulkcast_status"] for row in read_rows(evidence.ended[-1].results)]


@dataclass(frozen=True)
class Program:
    """One program."""

    sheet: Path | None = None
    """The sheet to apply; None to resume a run."""
    killed_after: float | None = None
    """Seconds."""
    interrupted_after: tuple[float, ...] = ()
    """Seconds until the first interrupt, and until the second."""
    killed_at: tuple[str, int] | None = None
    """Killed when it comes to a point for the nth time: intend, intended, sent, answered, record,
    recorded."""
    dies: bool = False
    """Whether it is expected to end in an exception."""
    pause: float = 0.0
    """Seconds before it begins."""
    rate: float = 950 / 60.0
    resumed: int = -1
    """The index of the run to resume; the newest by default."""
    forward: float = 0.0
    """Seconds by which this computer's clock is set forward before it begins."""


World_ = World | Callable[[str], World]
"""A world, or a function that makes one for the URL of the other host."""


@dataclass
class _Scenario:
    """What the programs of a scenario share."""

    home: Path
    loop: VirtualLoop
    sandbox: Sandbox
    url: str
    parts: Parts
    timeout: float
    max_outage_s: float
    rows: dict[str, int] = field(default_factory=dict)
    ended: list[Ended] = field(default_factory=list)
    crashes: int = 0
    resumes: int = 0
    unfinished: str = ""
    said: list[str] = field(default_factory=list)

    @property
    def config(self) -> Config:
        credentials = Credentials(SANDBOX_SID, Secret(CANARY))
        return Config(Institution(self.url, SANDBOX_SID), credentials, self.home)


def run_scenario(
    folder: Path,
    programs: Sequence[Program],
    world: World_,
    *,
    parts: Parts | None = None,
    timeout: float = 20.0,
    max_outage_s: float = 45 * 60.0,
    clock_offset_s: float = 0.0,
    open_rows: int = 0,
    longest_s: float = 4 * 3600.0,
    direct: Callable[[VirtualLoop, Sandbox], None] | None = None,
    leads: Callable[[str], str] = lambda url: url,
    proxy: Proxy | None = None,
) -> Evidence:
    """Run all programs and return the evidence.

    `leads` is where the configured URL leads instead of to the server; `proxy` is put before it.
    """

    async def main(loop: VirtualLoop) -> Evidence:
        async with _other_host() as (other, connections):
            made = world(other) if callable(world) else world
            sandbox = Sandbox(
                made, secret=Secret(CANARY), clock=loop.wall, clock_offset_s=clock_offset_s
            )
            async with sandbox.serving() as server, _before(server, proxy) as url:
                home, made_of = folder / "home", parts or Parts()
                scenario = _Scenario(
                    home, loop, sandbox, leads(url), made_of, timeout, max_outage_s
                )
                if direct:
                    direct(loop, sandbox)
                await _play(scenario, programs, longest_s)
            held = {target.id: sandbox.settings_of(target) for target in sandbox.state}
        said = folder / "said.txt"
        said.write_text("\n".join(scenario.said), "utf-8")
        return Evidence(
            home=scenario.home,
            rows=scenario.rows,
            log=sandbox.log,
            ended=scenario.ended,
            crashes=scenario.crashes,
            resumes=scenario.resumes,
            held=held,
            foreign=len(connections),
            secret=CANARY,
            papers=(folder,),
            unfinished=scenario.unfinished,
            open_rows=open_rows,
            clock_right=clock_offset_s == 0,
        )

    return run(main)


@contextlib.asynccontextmanager
async def _other_host() -> AsyncIterator[tuple[str, list[bytes]]]:
    """A host that must not get any request; it answers each with success."""
    connections: list[bytes] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError):
            connections.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"code":1}')
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", connections
    finally:
        server.close()


@contextlib.asynccontextmanager
async def _before(server: str, proxy: Proxy | None) -> AsyncIterator[str]:
    """The URL for programs: the server's, or that of the proxy before it."""
    if proxy is None:
        yield server
        return
    proxy.upstream = server
    async with proxy.serving() as url:
        yield url


async def _play(scenario: _Scenario, programs: Sequence[Program], longest_s: float) -> None:
    with _logged(scenario.said):
        try:
            async with asyncio.timeout(longest_s):
                for program in programs:
                    await asyncio.sleep(program.pause)
                    await _run_program(scenario, program)
        except TimeoutError:
            scenario.unfinished = f"not over after {longest_s:g} s"


async def _run_program(scenario: _Scenario, program: Program) -> None:
    killable, control = _Killable(scenario.parts, program.killed_at), Control()
    task = killable.task = asyncio.ensure_future(
        _use_case(scenario, program, killable.parts, control)
    )
    if program.killed_after is not None:
        scenario.loop.call_later(program.killed_after, killable.kill)
    ends: tuple[Callable[[], object], ...] = (lambda: control.stop(130), task.cancel)
    for after, end in zip(program.interrupted_after, ends, strict=False):
        scenario.loop.call_later(after, end)
    deadline = (
        scenario.loop.time() + program.interrupted_after[1]
        if program.interrupted_after[1:]
        else None
    )
    scenario.resumes += program.sheet is None
    report = await _end(scenario, task, program)
    if report:
        _note(scenario, report, deadline)
    if program.sheet and (found := runs(scenario.home)):
        scenario.rows[found[-1]] = len(program.sheet.read_text("utf-8").splitlines()) - 1


async def _end(
    scenario: _Scenario, task: "asyncio.Task[RunReport]", program: Program
) -> RunReport | None:
    """The report of a program; None if it was killed or failed."""
    try:
        return await task
    except (_Killed, asyncio.CancelledError):
        scenario.crashes += 1
    except BulkcastError as exc:
        scenario.said.append(f"{exc}")
    except Exception:  # noqa: BLE001 - what a program dies of is evidence
        scenario.crashes += program.dies
        if not program.dies:
            scenario.unfinished = "a program ended in a traceback"
            scenario.said.append(traceback.format_exc())
    return None


def _note(scenario: _Scenario, report: RunReport, deadline: float | None) -> None:
    told = "\n".join(map(str, report.remarks))
    scenario.said += [told, repr(report.stop), *(f"{row.message} {row.fix}" for row in report.rows)]
    scenario.ended.append(
        Ended(
            sheet=Path(report.input),
            run=report.run,
            results=_copied(
                report.results, scenario.home.parent / f"kept-{len(scenario.ended)}.csv"
            ),
            exit_status=report.exit_status,
            said=told,
            stopped=report.stop is not None,
            overtime_s=scenario.loop.time() - deadline if deadline else 0.0,
        )
    )


def _copied(results: Path | None, copy: Path) -> Path | None:
    """Copy the result sheet, as a later program may replace it."""
    return Path(shutil.copy(results, copy)) if results else None


async def _use_case(
    scenario: _Scenario, program: Program, parts: Parts, control: Control
) -> RunReport:
    options = SendOptions(
        rate=program.rate,
        timeout=scenario.timeout,
        max_outage_s=scenario.max_outage_s,
        existing="replace",
    )

    def wall() -> float:
        return scenario.loop.wall() + program.forward

    arguments: dict[str, Any] = {
        "control": control,
        "parts": replace(parts, wall=wall, steady=MonotonicClock(scenario.loop.time, "one boot")),
    }
    if program.sheet is None:
        names = runs(scenario.home)
        name = names[min(program.resumed, len(names) - 1)] if names else ""
        return await pipeline.resume(scenario.config, name, options, **arguments)
    prepared = pipeline.prepare(program.sheet, SheetOptions(duplicates="in-order"))
    return await pipeline.apply(prepared, scenario.config, options, **arguments)


@contextlib.contextmanager
def _logged(said: list[str]) -> Iterator[None]:
    """Capture all log records, of every level."""

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(self.format(record))

    keeper, root = Keeper(logging.DEBUG), logging.getLogger()
    level = root.level
    root.addHandler(keeper)
    root.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.removeHandler(keeper)
        root.setLevel(level)


# ------------------------------------------------------------------ death


class _Killed(BaseException):
    """Raised in a killed program, to end it."""


class _Killable:
    """A program's parts, which do nothing more once it is killed."""

    task: "asyncio.Task[Any]"

    def __init__(self, parts: Parts, point: tuple[str, int] | None) -> None:
        self._dead = False
        self._parts = parts
        self._point, self._left = point or ("", 0)

    @property
    def parts(self) -> Parts:
        return replace(self._parts, ledger=self._ledger, client=self._client())

    def kill(self) -> None:
        if not self.task.done():
            self._dead = True
            self.task.cancel()

    async def passes(self, point: str) -> None:
        """Reach a point of the program; never return if it is killed here, or was before."""
        if point == self._point and not self._dead:
            self._left -= 1
            if self._left == 0:
                self.kill()
        if self._dead:
            await asyncio.get_running_loop().create_future()

    def end(self) -> None:
        """Note that the program ended, unless it was killed."""
        if self._dead:
            raise _Killed

    def _ledger(self, home: Home) -> Ledger:
        """The ledger class, which a killed program cannot write with."""
        ledger, passes, end = self._parts.ledger(home), self.passes, self.end
        kind: Any = type(ledger)

        def finish(self: Any, *args: Any) -> None:
            end()
            kind.finish(self, *args)

        @contextlib.contextmanager
        def journal(self: Any, *which: Any) -> Iterator[Any]:
            with kind.journal(self, *which) as inner:
                yield _KillableJournal(inner, passes)

        ledger.__class__ = type("Watched", (kind,), {"finish": finish, "journal": journal})
        return ledger

    def _client(self) -> type[Client]:
        """The client class, with which a killed program neither sends nor receives."""
        kind: Any = self._parts.client
        passes = self.passes

        async def send(self: Any, body: Body, timestamp: int) -> Reply | NoReply:
            await passes("sent")
            reply: Reply | NoReply = await kind.send(self, body, timestamp)
            await passes("answered")
            return reply

        watched: type[Client] = type("Watched", (kind,), {"send": send})
        return watched


@dataclass(frozen=True)
class _KillableJournal:
    """A journal that a killed program cannot write to."""

    inner: Journal
    passes: Callable[[str], Awaitable[None]]

    async def record_intent(self, intents: Any) -> None:
        await self.passes("intend")
        await self.inner.record_intent(intents)
        await self.passes("intended")

    async def record(self, attempts: Any) -> None:
        await self.passes("record")
        await self.inner.record(attempts)
        await self.passes("recorded")
