"""A fleet in processes of its own: workers to kill, freeze and stop, and ClassIn's sandbox.

    python -m tests.fleet_processes worker|sandbox   <- one line of JSON

Each request carries which worker sent it, and under which epoch of the lane's lease.
"""

import asyncio
import json
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Self

from bulkcast.client import Client
from bulkcast.config import Config, Member
from bulkcast.endpoints import WEBCAST
from bulkcast.errors import CannotStart
from bulkcast.fleet.worker import Lane, LaneEnd, Timing
from bulkcast.home import Home, SharedHome
from bulkcast.model import Credentials, Institution, Secret, Target
from bulkcast.pipeline import (
    Parts,
    PlanOptions,
    PreparedRun,
    Selection,
    SendOptions,
    SheetOptions,
    fleet_control,
    lanes,
    prepare_run,
)
from bulkcast.pipeline.fleet_control import lane_of
from bulkcast.sandbox import SANDBOX_SECRET, Classroom, Received, Sandbox, World, read_fault
from bulkcast.sandbox.faults import read_script
from tests.postgres import drop_database, new_database
from tests.source_files import ROOT

QUICK: Final = Timing(
    ttl_s=2.5, renew_s=0.4, orders_s=0.2, reconcile_s=0.3, heartbeat_s=0.5, slice_s=2.0, grace_s=5.0
)
"""The timing of a worker that does in seconds what usually takes a minute."""
HEAD: Final = "institution,activityId,recordState,recordType,liveState,openState,customColumn"
_MARK: Final = "X-Fleet"
_LEASE: ContextVar[int] = ContextVar("lease")


@dataclass(frozen=True, slots=True)
class School:
    """One institution of the fleet."""

    n: int

    @property
    def name(self) -> str:
        return f"school-{self.n}"

    @property
    def sid(self) -> str:
        return str(1_000_100 + self.n)

    @property
    def secret(self) -> str:
        return f"canary-Fleet/{self.n}+Kq7-secret"

    def classroom(self, row: int) -> int:
        """The number of its classroom in a row: no other institution has it."""
        return 25_000_000 + self.n * 100_000 + row

    def config(self, url: str, home: Home) -> Config:
        credentials = Credentials(self.sid, Secret(self.secret))
        folder = home if isinstance(home, Path) else home.folder
        database = "" if isinstance(home, Path) else home.database
        return Config(Institution(url, self.sid), credentials, folder, database=database, user="li")


@dataclass(frozen=True, slots=True)
class Sent:
    """One request as the sandbox saw it."""

    received: Received
    worker: str
    epoch: int

    @property
    def key(self) -> tuple[str, int]:
        """Institution and classroom."""
        target = self.received.target
        return self.received.sid, target.id if target else 0


# ------------------------------------------------------------------ the sandbox's process


def _world(given: Mapping[str, Any]) -> World:
    schools = [School(n) for n in range(given["schools"])]
    calls, per_s = given["limit"] or (0, 0.0)
    limit = replace(WEBCAST.limit, calls=calls, per_s=per_s) if calls else None
    scripts: dict[str, list[Any]] = given["scripts"]
    worlds = [
        World(
            sid=school.sid, secret=Secret(school.secret), first_whole=False, limit=limit,
            latency_s=given["latency_s"],
            classrooms=tuple(
                Classroom((Target("activityId", number),), script=read_script(faults, WEBCAST))
                for number, faults in scripts.get(school.sid, [])
            ),
        )
        for school in schools
    ]  # fmt: skip
    return replace(worlds[0], others=tuple(worlds[1:]))


async def _serve(given: Mapping[str, Any]) -> None:
    """Answer orders on standard input, one line of JSON each, until it ends."""
    sandbox = Sandbox(_world(given), secret=SANDBOX_SECRET)
    everyone = [sandbox, *sandbox.others.values()]
    sent = _note_senders(sandbox)
    async with sandbox.serving() as url:
        _say(url)
        while line := await asyncio.to_thread(sys.stdin.readline):
            order = json.loads(line)
            if "fault" in order:
                fault = read_fault(order["fault"], WEBCAST) if order["fault"] else None
                for each in everyone:
                    each.fault_for_all = fault
            if "log" in order:
                _write(order["log"], sent())
            held = {
                (each._world.sid, target.id): {k: v.value for k, v in settings.items()}
                for each in everyone
                for target, settings in (each.state.items() if "held" in order else ())
            }
            if "held" in order:
                _write(order["held"], held)
            _say(sum(each.received for each in everyone))


def _say(word: object) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def _write(path: str, found: object) -> None:
    Path(path).write_bytes(pickle.dumps(found))


def _note_senders(sandbox: Sandbox) -> Callable[[], list[tuple[Received, str]]]:
    """Note the mark of each request beside the log; a function that returns both together."""
    marks: dict[int, str] = {}

    def noting(whose: Sandbox) -> None:
        record = whose._record

        def noted(message: Any, decision: Any) -> None:
            record(message, decision)
            marks[id(whose.log[-1])] = message.headers.get(_MARK, "? 0")

        whose._record = noted  # type: ignore[method-assign] # watched on purpose

    everyone = [sandbox, *sandbox.others.values()]
    for each in everyone:
        noting(each)

    def found() -> list[tuple[Received, str]]:
        requests = sorted((r for each in everyone for r in each.log), key=lambda r: r.at)
        return [(received, marks[id(received)]) for received in requests]

    return found


def _mark(text: str) -> tuple[str, int]:
    worker, epoch = text.split()
    return worker, int(epoch)


class SandboxProcess:
    """A sandbox of several institutions in a process of its own; a context manager."""

    def __init__(
        self,
        schools: int,
        *,
        scripts: Mapping[str, Sequence[tuple[int, list[str]]]] | None = None,
        limit: tuple[int, float] | None = None,
        latency_s: float = 0.01,
    ) -> None:
        """`scripts`: SID → classroom and faults."""
        self._given = {
            "schools": schools, "scripts": scripts or {}, "limit": limit, "latency_s": latency_s,
        }  # fmt: skip
        self.url = ""

    def __enter__(self) -> Self:
        self._process = _start("sandbox", self._given, stdout=subprocess.PIPE)
        self.url = self._read()
        assert self.url, "the sandbox did not start"
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()

    def _read(self) -> str:
        assert self._process.stdout
        return str(self._process.stdout.readline().strip())

    def _tell(self, order: Mapping[str, str]) -> str:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._read()

    @property
    def received(self) -> int:
        """Requests so far."""
        return int(self._tell({}))

    def fault(self, spelled: str) -> None:
        """What every request meets from now on; empty for none."""
        self._tell({"fault": spelled})

    def log(self, folder: Path) -> list[Sent]:
        """All requests, in the order of their arrival."""
        found = self._fetch("log", folder)
        return [Sent(received, *_mark(mark)) for received, mark in found]

    def held(self, folder: Path) -> dict[tuple[str, int], dict[str, object]]:
        """Institution and classroom → its settings."""
        return dict(self._fetch("held", folder))

    def _fetch(self, what: str, folder: Path) -> Any:
        file = folder / f"{what}.pickle"
        self._tell({what: str(file)})
        found = pickle.loads(file.read_bytes())  # noqa: S301 - our own process wrote it
        file.unlink()
        return found

    async def until(self, received: int) -> None:
        """Wait until so many requests have come."""
        while self.received < received:
            await asyncio.sleep(0.02)


# ------------------------------------------------------------------ a worker's process


class _MarkingClient(Client):
    """Says with each request whose it is."""

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        if self._session:
            self._session.headers[_MARK] = f"{os.environ['FLEET_WORKER']} {_LEASE.get()}"
        return self


async def _work(given: Mapping[str, Any]) -> None:
    drain = lanes.Lanes.drain

    async def marked(self: lanes.Lanes, lane: Lane) -> LaneEnd:
        _LEASE.set(lane.lease.epoch)
        return await drain(self, lane)

    lanes.Lanes.drain = marked  # type: ignore[method-assign] # watched on purpose
    home = SharedHome(Path(given["folder"]), given["database"])
    configs = [School(n).config(given["url"], home) for n in range(given["schools"])]
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await lanes.work(
        home,
        {lane_of(config.institution): config for config in configs},
        concurrency=given["concurrency"],
        stop=stop,
        timing=Timing(**given["timing"]),
        parts=Parts(client=_MarkingClient),
    )


@dataclass
class WorkerProcess:
    """A worker in a process of its own."""

    name: str
    process: subprocess.Popen[str]
    said: Path
    """What it has output."""

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        """Stop it in order and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def _start(role: str, given: Mapping[str, Any], **pipes: Any) -> subprocess.Popen[str]:
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "FLEET_WORKER": str(given.get("name", "")),
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fleet_processes", role],
        cwd=ROOT, env=environment, stdin=subprocess.PIPE, text=True, **pipes,
    )  # fmt: skip
    assert process.stdin
    process.stdin.write(json.dumps(given) + "\n")
    process.stdin.flush()
    return process


# ------------------------------------------------------------------ the fleet


@dataclass
class FleetOfProcesses:
    """A database, a sandbox and workers."""

    folder: Path
    database: str
    sandbox: SandboxProcess
    schools: Sequence[School]
    timing: Timing
    concurrency: int = 50
    workers: list[WorkerProcess] = field(default_factory=list)

    @property
    def home(self) -> SharedHome:
        return SharedHome(self.folder / "home", self.database)

    def start(self, name: str, *, database: str = "") -> WorkerProcess:
        """Start a worker; `database` where it goes another way there."""
        said = self.folder / "papers" / f"{name}.txt"
        said.parent.mkdir(exist_ok=True)
        given = {
            "name": name, "folder": str(self.folder / f"home-{name}"),
            "database": database or self.database, "url": self.sandbox.url,
            "schools": len(self.schools), "timing": asdict(self.timing),
            "concurrency": self.concurrency,
        }  # fmt: skip
        with said.open("ab") as output:
            worker = WorkerProcess(
                name, _start("worker", given, stdout=output, stderr=output), said
            )
        self.workers.append(worker)
        return worker

    async def until_alive(self, n: int) -> None:
        """Wait until so many workers have reported."""
        while len((await fleet_control.status(self.home)).status.workers) < n:
            assert all(worker.process.poll() is None for worker in self.workers)
            await asyncio.sleep(0.05)

    def prepare(self, sheet: Path, home: Home | None = None, url: str = "") -> PreparedRun:
        """A sheet for several institutions, ready to be sent."""
        where = home or self.home
        members = {
            school.name: school.config(url or self.sandbox.url, where) for school in self.schools
        }

        def member(name: str) -> Member:
            if name not in members:
                raise CannotStart("there is no profile {name}", name=name)
            return Member(name, members[name].institution, members[name])

        return prepare_run(
            sheet, SheetOptions(profiles=lambda: frozenset(members)), Selection(), PlanOptions(),
            home=where, account=lambda: None, members=member, sending=SendOptions(),
        )  # fmt: skip


@asynccontextmanager
async def fleet_of_processes(
    folder: Path, sandbox: SandboxProcess, schools: int, timing: Timing = QUICK, **more: Any
) -> AsyncIterator[FleetOfProcesses]:
    """A fleet whose workers are stopped at the end, whatever state they are in."""
    database = await asyncio.to_thread(new_database, fleet_control.init)
    with sandbox:
        fleet = FleetOfProcesses(
            folder, database, sandbox, [School(n) for n in range(schools)], timing, **more
        )
        try:
            yield fleet
        finally:
            for worker in fleet.workers:
                worker.kill()
                if worker.process.stdin:
                    worker.process.stdin.close()
    await asyncio.to_thread(drop_database, database)


def mixed_sheet(path: Path, sizes: Sequence[int]) -> Path:
    """A sheet whose rows are for several institutions, in turns as long as each has any left."""
    lines = [
        f"{School(n).name},{School(n).classroom(row)},1,0,1,1,row {row}"
        for row in range(max(sizes))
        for n, size in enumerate(sizes)
        if row < size
    ]
    path.write_text("\n".join([HEAD, *lines]) + "\n", "utf-8")
    return path


def _end_with_parent() -> None:
    """End a worker whose tests are gone."""
    sys.stdin.read()
    os._exit(1)


def main(role: str) -> None:
    given = json.loads(sys.stdin.readline())
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    if role == "sandbox":
        asyncio.run(_serve(given))
    else:
        threading.Thread(target=_end_with_parent, daemon=True).start()
        asyncio.run(_work(given))


if __name__ == "__main__":
    main(sys.argv[1])
