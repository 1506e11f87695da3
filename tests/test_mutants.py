"""Broken programs, each wrong in one way: the auditor must see every one of them.

The same drill with the parts as they are must pass, or its verdict would mean nothing.
"""

import asyncio
import contextlib
import functools
import math
import random
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from bulkcast.client import Client
from bulkcast.dispatcher import Dispatcher
from bulkcast.endpoints import WEBCAST
from bulkcast.errors import BulkcastError
from bulkcast.ledger import Ledger, Moment, Sends, Steady
from bulkcast.ledger.store import FILE_NAME
from bulkcast.model import (
    Attempt,
    Body,
    Credentials,
    Institution,
    Intent,
    NoReply,
    Outcome,
    Reply,
    ReplyClass,
    RowStatus,
    Target,
    Verdict,
)
from bulkcast.pipeline import Parts
from bulkcast.protocol import headers
from bulkcast.sandbox import Classroom, Sandbox, World, read_fault, read_script
from tests.audit import Evidence, verdict
from tests.drill import FIRST_ID, Life, drill, sheet, twice
from tests.figures import Record
from tests.stage import classroom
from tests.virtual import EPOCH, VirtualLoop

Scenario = Callable[[Path, Parts], Evidence]


# ------------------------------------------------------------------ drills


def killed_in_a_brown_out(folder: Path, parts: Parts) -> Evidence:
    """Every third answer is bad, and the program dies three times on its way."""
    term = sheet(folder / "term.csv", 150)
    lives = [Life(term, killed_after=2.0), *[Life(killed_after=2.5)] * 2, Life()]
    world = World(fault_rate=0.3, seed=5, latency_s=0.3)
    return drill(folder, lives, world, parts=parts, open_rows=1)


def a_row_that_stays_dark(folder: Path, parts: Parts) -> Evidence:
    """Rows that take effect although no answer ever says so, and one that is cut off."""
    term = sheet(folder / "term.csv", 20)
    dark = (classroom(5, "code:104:applied*"), classroom(9, "reset:applied*"))
    return drill(folder, [Life(term)], World(classrooms=dark), parts=parts, open_rows=2)


def refused_rows(folder: Path, parts: Parts) -> Evidence:
    """Rows that ClassIn refuses for good."""
    term = sheet(folder / "term.csv", 20)
    gone = tuple(classroom(row, deleted=True) for row in (6, 11, 15))
    return drill(folder, [Life(term)], World(classrooms=gone), parts=parts)


def turned_away(folder: Path, parts: Parts) -> Evidence:
    """In the middle of the run somebody answers with a redirect to another host."""
    term = sheet(folder / "term.csv", 30)

    def world(elsewhere: str) -> World:
        fault = f"redirect:307:location={elsewhere}/lms/activity/setWebcast"
        return World(classrooms=(classroom(9, f"{fault}*"),))

    return drill(folder, [Life(term)], world, parts=parts)


def held_up(folder: Path, parts: Parts) -> Evidence:
    """Seven minutes in which ClassIn answers nobody."""
    term = sheet(folder / "term.csv", 60)

    def direct(loop: VirtualLoop, sandbox: Sandbox) -> None:
        loop.call_at(2.0, setattr, sandbox, "storm", read_fault("http:503", WEBCAST))
        loop.call_at(422.0, setattr, sandbox, "storm", None)

    return drill(folder, [Life(term)], World(), parts=parts, direct=direct)


def told_to_end(folder: Path, parts: Parts) -> Evidence:
    """Two interrupts while the server is slow."""
    term = sheet(folder / "term.csv", 60)
    lives = [Life(term, interrupted_after=(3.0, 5.0))]
    return drill(folder, lives, World(latency_s=15.0), parts=parts, open_rows=60)


def a_quick_run_before(folder: Path, parts: Parts) -> Evidence:
    """A run without a pace, and right behind it one with it."""
    first, second = sheet(folder / "a.csv", 900), sheet(folder / "b.csv", 400, first=2000)
    lives = [Life(first, rate=float("inf")), Life(second)]
    return drill(folder, lives, World(limit=None), parts=parts)


def ghosts(folder: Path, parts: Parts) -> Evidence:
    """Requests that are lost, and carried out minutes later all the same."""
    term = twice(folder / "term.csv", 8)
    late = tuple(
        Classroom(
            (Target("activityId", FIRST_ID + n),), script=read_script([f"ghost:{30 * n}"], WEBCAST)
        )
        for n in range(1, 8)
    )
    return drill(folder, [Life(term), Life(pause=600.0)], World(classrooms=late), parts=parts)


# ------------------------------------------------------------------ mutants


@dataclass(frozen=True)
class Journal:
    """A journal to be wrong on top of."""

    inner: Any

    async def intend(self, intents: Sequence[Intent]) -> None:
        await self.inner.intend(intents)

    async def record(self, attempts: Sequence[Attempt]) -> None:
        await self.inner.record(attempts)


def keeping(journal: type[Journal]) -> Parts:
    """Parts with a ledger whose journals are of that kind."""

    class Mutant(Ledger):
        @contextlib.contextmanager
        def journal(
            self, run: str, steady: Steady | None = None, sends: Sends | None = None
        ) -> Iterator[Any]:
            with super().journal(run, steady, sends) as inner:
                yield journal(inner)

    return Parts(ledger=Mutant)


class ClaimsEarly(Journal):
    """Records success before the answer is there."""

    async def intend(self, intents: Sequence[Intent]) -> None:
        await super().intend(intents)
        for intent in intents:
            early = Outcome(RowStatus.APPLIED, "1", {}, intent.number, intent.stamp)
            await self.record((Attempt(intent.key, intent.number, 0.0, "1", False, early),))


class IntendsNothing(Journal):
    """Sends without having written down that it will."""

    async def intend(self, intents: Sequence[Intent]) -> None:
        return


class BelievesStatus(Client):
    """Takes HTTP 200 for success."""

    async def send(self, body: Body, timestamp: int) -> Reply | NoReply:
        reply = await super().send(body, timestamp)
        if isinstance(reply, Reply) and reply.status == 200:
            return replace(reply, body=b'{"code":1}')
        return reply


class Forgets(Ledger):
    """Keeps the pace in memory alone."""

    def sent_lately(self, institution: Institution, now: Moment, within_s: float) -> list[float]:
        return []


class FollowsRedirects(Client):
    """Goes where it is sent, as HTTP libraries do unless told otherwise."""

    def __init__(self, root_url: str, path: str, credentials: Credentials, **more: Any) -> None:
        super().__init__(root_url, path, credentials, **more)
        self.again = functools.partial(Client, path=path, credentials=credentials, connections=1)

    async def send(self, body: Body, timestamp: int) -> Reply | NoReply:
        reply = await super().send(body, timestamp)
        if not (isinstance(reply, Reply) and reply.location):
            return reply
        async with self.again(str(URL(reply.location).origin())) as elsewhere:
            return await elsewhere.send(body, timestamp)


class SignsOnce(Client):
    """Stamps a request when it is first tried, and keeps the stamp."""

    def __init__(self, *parts: Any, **more: Any) -> None:
        super().__init__(*parts, **more)
        self.stamps: dict[Body, int] = {}

    async def send(self, body: Body, timestamp: int) -> Reply | NoReply:
        return await super().send(body, self.stamps.setdefault(body, timestamp))


class RepeatsRefusals(Dispatcher):
    """Tries again what ClassIn refused for good."""

    def _judge(self, entry: Any, reply: Reply | NoReply, *, alone: bool) -> Verdict:
        verdict = super()._judge(entry, reply, alone=alone)
        refused = verdict.kind is ReplyClass.ROW
        return replace(verdict, kind=ReplyClass.TRANSIENT) if refused else verdict


class WillNotDie(Dispatcher):
    """Swallows its own cancellation, as a retry of `everything but` does."""

    async def _send_once(self, entry: Any) -> Reply | NoReply:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                return await super()._send_once(entry)


class Impatient(Dispatcher):
    """Sends a newer body while an older one may still arrive."""

    def _opens_at(self, entry: Any) -> float:
        return -math.inf


class CallsItFailed(Journal):
    """Takes silence for a refusal."""

    async def record(self, attempts: Sequence[Attempt]) -> None:
        await super().record([self._refused(attempt) for attempt in attempts])

    def _refused(self, attempt: Attempt) -> Attempt:
        outcome = attempt.outcome
        if outcome is None or outcome.status is not RowStatus.UNCONFIRMED:
            return attempt
        return replace(attempt, outcome=replace(outcome, status=RowStatus.REJECTED))


class Gossips(Client):
    """Puts its request into the error."""

    def __init__(self, root_url: str, path: str, credentials: Credentials, **more: Any) -> None:
        super().__init__(root_url, path, credentials, **more)
        self.known = credentials

    async def send(self, body: Body, timestamp: int) -> Reply | NoReply:
        reply = await super().send(body, timestamp)
        if isinstance(reply, NoReply):
            return replace(reply, detail=str(headers(body, self.known, timestamp)))
        return reply


@dataclass(frozen=True)
class Mutant:
    """One way to be wrong, the drill it fails in, and the promise it breaks."""

    scenario: Scenario
    parts: Parts
    breaks: str


MUTANTS: Mapping[str, Mutant] = {
    "success recorded before the answer": Mutant(killed_in_a_brown_out, keeping(ClaimsEarly), "I2"),
    "no intent": Mutant(killed_in_a_brown_out, keeping(IntendsNothing), "I3"),
    "HTTP 200 is success": Mutant(killed_in_a_brown_out, Parts(client=BelievesStatus), "I2"),
    "pace kept only in memory": Mutant(a_quick_run_before, Parts(ledger=Forgets), "I5"),
    "no fence": Mutant(ghosts, Parts(dispatcher=Impatient), "I4"),
    "redirects followed": Mutant(turned_away, Parts(client=FollowsRedirects), "I9"),
    "stale stamp": Mutant(held_up, Parts(client=SignsOnce), "I10"),
    "retry of permanent codes": Mutant(refused_rows, Parts(dispatcher=RepeatsRefusals), "I3"),
    "cancellation swallowed": Mutant(told_to_end, Parts(dispatcher=WillNotDie), "I7"),
    "unknown as failed": Mutant(a_row_that_stays_dark, keeping(CallsItFailed), "I2"),
    "secret in an error": Mutant(a_row_that_stays_dark, Parts(client=Gossips), "I6"),
}
SCENARIOS = sorted({mutant.scenario for mutant in MUTANTS.values()}, key=lambda s: s.__name__)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.__name__)
def test_the_program_as_it_is_keeps_every_promise(scenario: Scenario, tmp_path: Path) -> None:
    assert verdict(scenario(tmp_path, Parts())) == []


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_caught(name: str, tmp_path: Path, record_property: Record) -> None:
    mutant = MUTANTS[name]

    found = verdict(mutant.scenario(tmp_path, mutant.parts))

    shutil.rmtree(tmp_path)  # some leave secrets behind, which the suite's last test would find
    assert any(violation.startswith(f"{mutant.breaks}:") for violation in found), found
    record_property("mutants caught", 1)


# ------------------------------------------------------------------ checksums


def damaged(folder: Path, times: int) -> int:
    """How many of so many ledgers with one flipped bit are resumed as if nothing had happened."""
    term = sheet(folder / "term.csv", 40)
    drill(folder, [Life(term, killed_after=1.5)], World(latency_s=0.2))
    whole, written = (folder / "home" / FILE_NAME).read_bytes(), truth(folder / "home")
    broken, dice, silent = folder / "broken", random.Random(7), 0
    broken.mkdir()
    for _ in range(times):
        flip(broken, whole, dice.randrange(len(whole) * 8))
        with contextlib.suppress(BulkcastError):
            silent += truth(broken) != written
    return silent


def flip(home: Path, whole: bytes, bit: int) -> None:
    for file in home.glob(f"{FILE_NAME}*"):
        file.unlink()
    data = bytearray(whole)
    data[bit // 8] ^= 1 << bit % 8
    (home / FILE_NAME).write_bytes(data)


def truth(home: Path) -> object:
    """All that a resume goes by."""
    with Ledger(home) as ledger:
        newest = ledger.newest()
        header, now = newest.header, Moment(EPOCH + 3.0)
        lately = ledger.sent_lately(header.institution, now, 62.0)
        return (ledger.load(header.run), newest, lately, ledger.unanswered(header.institution, now))


def test_no_flipped_bit_is_resumed_from_unnoticed(tmp_path: Path, record_property: Record) -> None:
    silent = damaged(tmp_path, 300)

    record_property("damaged ledgers tried", 300)
    record_property("damaged ledgers resumed unnoticed", silent)
    assert silent == 0


def test_without_checksums_flipped_bits_are(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Record,
) -> None:
    """The mutant `no checksum`: every sum is the same."""
    monkeypatch.setattr(zlib, "crc32", lambda *_: 0)

    assert damaged(tmp_path, 300) > 10
    record_property("mutants caught", 1)
