"""Broken parts of the program, each with one defect."""

import asyncio
import contextlib
import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from yarl import URL

from bulkcast.client import Client
from bulkcast.dispatcher import Dispatcher
from bulkcast.ledger import MonotonicClock, Timestamp
from bulkcast.ledger.sqlite import SqliteLedger
from bulkcast.model import (
    Attempt,
    Body,
    Credentials,
    Institution,
    Intent,
    Outcome,
    ReplyClass,
    RowStatus,
)
from bulkcast.pipeline import Parts
from bulkcast.protocol import NoReply, Reply, Verdict, headers


@dataclass(frozen=True)
class Journal:
    """The base of broken journals."""

    inner: Any

    async def record_intent(self, intents: Sequence[Intent]) -> None:
        await self.inner.record_intent(intents)

    async def record(self, attempts: Sequence[Attempt]) -> None:
        await self.inner.record(attempts)


def keeping(journal: type[Journal]) -> Parts:
    """Parts with a ledger that uses this kind of journal."""

    class Mutant(SqliteLedger):
        @contextlib.contextmanager
        def journal(
            self, run: str, steady: MonotonicClock | None = None, claim: Any = None
        ) -> Iterator[Any]:
            with super().journal(run, steady, claim) as inner:
                yield journal(inner)

    return Parts(ledger=Mutant)


class ClaimsEarly(Journal):
    """Records success before the answer is there."""

    async def record_intent(self, intents: Sequence[Intent]) -> None:
        await super().record_intent(intents)
        for intent in intents:
            early = Outcome(RowStatus.APPLIED, "1", {}, intent.number, intent.stamp)
            await self.record((Attempt(intent.key, intent.number, 0.0, "1", False, early),))


class IntendsNothing(Journal):
    """Records no intents."""

    async def record_intent(self, intents: Sequence[Intent]) -> None:
        return


class BelievesStatus(Client):
    """Takes HTTP 200 for success."""

    async def send(self, body: Body, timestamp: int) -> Reply | NoReply:
        reply = await super().send(body, timestamp)
        if isinstance(reply, Reply) and reply.status == 200:
            return replace(reply, body=b'{"code":1}')
        return reply


class Forgets(SqliteLedger):
    """Keeps the pace in memory alone."""

    def sent_lately(self, institution: Institution, now: Timestamp, within_s: float) -> list[float]:
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

    def _judge(self, state: Any, reply: Reply | NoReply, *, is_probe: bool) -> Verdict:
        verdict = super()._judge(state, reply, is_probe=is_probe)
        refused = verdict.kind is ReplyClass.ROW
        return replace(verdict, kind=ReplyClass.TRANSIENT) if refused else verdict


class WillNotDie(Dispatcher):
    """Swallows its own cancellation, as a retry of `everything but` does."""

    async def _send_once(self, state: Any) -> Reply | NoReply:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                return await super()._send_once(state)


class Impatient(Dispatcher):
    """Sends a newer body while an older one may still arrive."""

    def _not_before(self, state: Any) -> float:
        return -math.inf


class CallsItFailed(Journal):
    """Records an unconfirmed row as rejected."""

    async def record(self, attempts: Sequence[Attempt]) -> None:
        await super().record([self._refused(attempt) for attempt in attempts])

    def _refused(self, attempt: Attempt) -> Attempt:
        outcome = attempt.outcome
        if outcome is None or outcome.status is not RowStatus.UNCONFIRMED:
            return attempt
        return replace(attempt, outcome=replace(outcome, status=RowStatus.REJECTED))


class Gossips(Client):
    """Puts the signed headers of its request into the error."""

    def __init__(self, root_url: str, path: str, credentials: Credentials, **more: Any) -> None:
        super().__init__(root_url, path, credentials, **more)
        self.known = credentials

    async def send(self, body: Body, timestamp: int) -> Reply | NoReply:
        reply = await super().send(body, timestamp)
        if isinstance(reply, NoReply):
            return replace(reply, detail=str(headers(body, self.known, timestamp)))
        return reply
