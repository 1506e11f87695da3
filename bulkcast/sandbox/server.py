"""A server that answers as ClassIn does, at the endpoint's path, on this computer only."""

import asyncio
import logging
import os
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from enum import Enum
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from bulkcast import protocol
from bulkcast.catalogue import Cause, Endpoint
from bulkcast.endpoints.webcast import WEBCAST
from bulkcast.errors import CannotStart
from bulkcast.model import Credentials, Secret, Target, Text
from bulkcast.sandbox.faults import (
    Answer,
    End,
    Fault,
    Ghost,
    Slow,
    Throttle,
    cut_off,
    deliver,
    reply_text,
)
from bulkcast.sandbox.rules import Applied, Room, Rules
from bulkcast.sandbox.world import Classroom, Keeper, World

HOST: Final = "127.0.0.1"


def _is_defect(record: logging.LogRecord) -> bool:
    """Whether `record` reports a defect of ours, not a malformed request."""
    raised = record.exc_info[1] if record.exc_info else None
    return not isinstance(raised, HttpProcessingError | ConnectionError)


_LOG: Final = logging.getLogger(__name__)
_LOG.addFilter(_is_defect)


class KeepLog(Enum):
    """Whether the sandbox logs requests; benchmarks do not need it."""

    ALL = "all"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Received:
    """One request and how it was answered."""

    number: int
    """Counted from 1, in the order in which requests were acted on."""
    at: float
    """When it arrived, in Unix seconds by the sandbox's clock."""
    acted_at: float
    """When it was acted on: later than `at` if it was delayed."""
    sid: str
    timestamp: int | None
    target: Target | None
    body: Mapping[str, Any] | None = field(repr=False)
    """Its JSON object, secret settings included; None if it was none."""
    answer: str
    """The reply code in digits, or the fault as its script spells it."""
    applied: bool


@dataclass(frozen=True, slots=True)
class _Message:
    at: float
    headers: Mapping[str, str]
    body: dict[str, Any] | None
    target: Target | None

    @property
    def sid(self) -> str:
        return self.headers.get("X-EEO-UID", "")

    @property
    def timestamp(self) -> int | None:
        stamp = self.headers.get("X-EEO-TS", "")
        return int(stamp) if stamp.isascii() and stamp.isdigit() and len(stamp) <= 18 else None


@dataclass(frozen=True, slots=True)
class _Decision:
    """The reply code of a request, its fault, and whether it is applied."""

    code: int
    fault: Fault | None = None
    applied: bool = False

    @property
    def shown(self) -> str:
        """The answer as the log shows it."""
        return self.fault.spelled if self.fault and self.fault.hides_code else str(self.code)


class Sandbox:
    """One institution at one endpoint, and a log of all requests to it.

    Each of its world's `others` is a sandbox of its own, which answers at the same address what
    carries its SID.

    `clock` returns Unix seconds; the server's clock is `clock_offset_s` ahead of it.  While
    `fault_for_all` is set, every request meets that fault, whatever its classroom's script says.
    The changes in `keeper` are applied first.
    """

    def __init__(
        self,
        world: World,
        *,
        secret: Secret,
        endpoint: Endpoint = WEBCAST,
        clock: Callable[[], float] = time.time,
        clock_offset_s: float = 0.0,
        keep_log: KeepLog = KeepLog.ALL,
        keeper: Keeper | None = None,
    ) -> None:
        self.fault_for_all: Fault | None = None
        self.log: list[Received] = []
        self.received = 0
        """Requests acted on so far, logged or not."""
        self._world = world
        self._credentials = Credentials(world.sid, world.secret or secret)
        self._endpoint = endpoint
        self._codes = endpoint.by_cause
        self._clock = clock
        self._offset_s = clock_offset_s
        self._keep_log = keep_log
        self._rules = Rules(endpoint, world, began=self.now())
        self._rooms = {t: room for c in world.classrooms for room in [Room(c)] for t in c.targets}
        self._admitted: deque[float] = deque()
        self._throttled_until = 0.0
        self._dated_headers: tuple[int, dict[str, str]] = (-1, {})
        self._texts: dict[int, bytes] = {}
        self._closing = asyncio.Event()
        self._acted = asyncio.Event()
        self._keeper = keeper
        self.others: dict[str, Sandbox] = {
            other.sid: Sandbox(
                other,
                secret=secret,
                endpoint=endpoint,
                clock=clock,
                clock_offset_s=clock_offset_s,
                keep_log=keep_log,
            )
            for other in world.others
        }
        """The further institutions, by SID."""
        for target, body, at in keeper.read() if keeper else ():
            if room := self._room(target):
                room.changes.append((body, at, 0))

    def now(self) -> float:
        """The server's time, Unix seconds."""
        return self._clock() + self._offset_s

    @property
    def state(self) -> dict[Target, dict[str, Applied]]:
        """Every changed classroom, by its first id, and its settings."""
        changed = [room for room in self._rooms.values() if room.changes]
        return {room.target: self._rules.settings_of(room) for room in changed}

    def settings_of(self, target: Target) -> dict[str, object]:
        """The settings of classroom `target`; empty if nothing was set."""
        room = self._rooms.get(target)
        held = self._rules.settings_of(room) if room else {}
        return {key: applied.value for key, applied in held.items()}

    async def until(self, received: int) -> None:
        """Wait until `received` requests have been acted on."""
        while self.received < received:
            self._acted.clear()
            await self._acted.wait()

    # -------------------------------------------------------------- serving

    @asynccontextmanager
    async def serving(self, *, port: int = 0) -> AsyncIterator[str]:
        """Serve while the block runs; yields the root URL.  Port 0 picks a free port.

        Raises:
            CannotStart: the port is taken.

        """
        self.open(asyncio.Event())
        server = web.Server(self.receive, access_log=None, logger=_LOG)
        runner = web.ServerRunner(server, shutdown_timeout=10.0)
        await runner.setup()
        try:
            site = web.TCPSite(runner, HOST, port)
            await _listen(site, port)
            yield f"http://{HOST}:{runner.addresses[0][1]}"
        finally:
            self._closing.set()
            await runner.cleanup()

    async def _pause(self, seconds: float) -> None:
        """Sleep, or less if the sandbox is closed."""
        if seconds <= 0:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return

    # -------------------------------------------------------------- one request

    def open(self, closing: asyncio.Event) -> None:
        """Begin to answer; `closing` is set when the server ends."""
        self._closing = closing
        for other in self.others.values():
            other.open(closing)

    async def receive(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request."""
        if request.raw_path.partition("?")[0] != self._endpoint.path:
            return web.Response(status=404, text="404: Not Found")
        if request.method != "POST":
            return web.Response(status=405, text="405: Method Not Allowed")
        if other := self.others.get(request.headers.get("X-EEO-UID", "")):
            return await other.receive(request)
        message = self._read(request, await request.read())
        refused = self._access_refusal(message) or self._limit_refusal(self.now())
        fault = None if refused else self._next_fault(message)
        if self._world.latency_s:
            await self._pause(self._world.latency_s)
        if fault and isinstance(fault.action, Slow | Ghost):
            if isinstance(fault.action, Ghost):
                cut_off(request, End.RESET)
            await self._pause(fault.action.seconds)
            if self._closing.is_set():  # the request counts as lost on its way
                return cut_off(request, End.CLOSE)
            refused = self._access_refusal(message)  # its stamp may have expired
        decision = self._decide(message, fault, refused)
        self._record(message, decision)
        return await deliver(
            request,
            fault=decision.fault,
            text=self._text(decision.code),
            headers=self._headers(),
            pause=self._pause,
        )

    def _read(self, request: web.BaseRequest, raw: bytes) -> _Message:
        try:
            body = protocol.decode(raw)
        except ValueError:
            body = None
        target = None if body is None else self._rules.target_of(body)
        return _Message(self.now(), request.headers, body, target)

    # -------------------------------------------------------------- access and limit

    def _access_refusal(self, message: _Message) -> int | None:
        """The code that refuses a request's stamp, form or signature; None if all are right."""
        if not message.headers.get("X-EEO-TS"):
            return self._codes[Cause.NO_STAMP]
        stamp = message.timestamp
        if stamp is None or abs(self.now() - stamp) > protocol.STAMP_LIFE_S:
            return self._codes[Cause.WRONG_STAMP]
        media = message.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if message.body is None or media != "application/json":
            return self._codes[Cause.MALFORMED]
        signed = self._is_signed(message, message.body, stamp)
        return None if signed else self._codes[Cause.WRONG_SIGNATURE]

    def _is_signed(self, message: _Message, body: Mapping[str, Any], stamp: int) -> bool:
        if message.sid != self._credentials.sid:
            return False
        try:
            right = protocol.signature(body, self._credentials, stamp, self._world.counts)
        except UnicodeEncodeError:  # a lone surrogate has no UTF-8 to sign
            return False
        return message.headers.get("X-EEO-SIGN") == right

    def _limit_refusal(self, now: float) -> int | None:
        """The code that throttles a request above the limit; otherwise count it and return None."""
        if now < self._throttled_until:
            return self._codes[Cause.TOO_OFTEN]
        limit = self._world.limit
        if limit is None:
            return None
        while self._admitted and self._admitted[0] <= now - limit.per_s:
            self._admitted.popleft()
        if len(self._admitted) >= limit.calls:
            return self._codes[Cause.TOO_OFTEN]
        self._admitted.append(now)
        return None

    # -------------------------------------------------------------- faults

    def _next_fault(self, message: _Message) -> Fault | None:
        room = self._room(message.target)
        if room is None:
            return self.fault_for_all
        visit = room.visits
        room.visits += 1
        return (
            self.fault_for_all
            or room.facts.script.fault_for(visit)
            or self._random_fault(room, visit)
        )

    def _random_fault(self, room: Room, visit: int) -> Fault | None:
        if not self._world.fault_rate:
            return None
        dice = random.Random(f"{self._world.seed}/{room.target}/{visit}")  # noqa: S311 - reproducible faults
        return (
            dice.choice(self._world.random_faults)
            if dice.random() < self._world.fault_rate
            else None
        )

    # -------------------------------------------------------------- decision

    def _room(self, target: Target | None) -> Room | None:
        if target is None:
            return None
        room = self._rooms.get(target)
        if room is None and self._world.open:
            room = self._rooms[target] = Room(Classroom((target,)))
        return room

    def _decide(self, message: _Message, fault: Fault | None, refused: int | None) -> _Decision:
        """Decide on a request, and apply it if it takes effect."""
        now = self.now()
        if refused is not None:
            return _Decision(refused)
        if fault and isinstance(fault.action, Throttle):
            self._throttled_until = now + fault.action.seconds
            return _Decision(self._codes[Cause.TOO_OFTEN])
        code, applied = self._judge(message, now), self._codes[Cause.APPLIED]
        if fault is None or not fault.hides_code:
            return _Decision(code or applied, fault, applied=self._apply(message, code, now))
        if code and isinstance(fault.action, Answer) and fault.action.claims_success:
            return _Decision(code)
        return _Decision(applied, fault, applied=fault.applied and self._apply(message, code, now))

    def _judge(self, message: _Message, now: float) -> int | None:
        """The code that refuses the settings of `message`; None if they are accepted."""
        body = message.body
        if body is None or self._rules.is_malformed(body):
            return self._codes[Cause.MALFORMED]
        return self._rules.refusal(body, self._room(message.target), now)

    def _apply(self, message: _Message, code: int | None, now: float) -> bool:
        """Apply `message`, unless `code` refuses it; return whether it was applied."""
        room = self._room(message.target)
        if code is not None or room is None or message.body is None:
            return False
        room.changes.append((message.body, now, self.received + 1))
        if self._keeper:
            self._keeper.add(room.target, message.body, now)
        return True

    def _record(self, message: _Message, decision: _Decision) -> None:
        self.received += 1
        self._acted.set()
        if self._keep_log is KeepLog.NONE:
            return
        received = Received(
            self.received,
            message.at,
            self.now(),
            message.sid,
            message.timestamp,
            message.target,
            message.body,
            decision.shown,
            decision.applied,
        )
        self.log.append(received)

    # -------------------------------------------------------------- answer

    def _text(self, code: int) -> bytes:
        if code not in self._texts:
            self._texts[code] = reply_text(code, self._endpoint)
        return self._texts[code]

    def _headers(self) -> Mapping[str, str]:
        second = int(self.now())
        if self._dated_headers[0] != second:
            date = formatdate(second, usegmt=True)
            self._dated_headers = second, {"Content-Type": "application/json", "Date": date}
        return self._dated_headers[1]


async def _listen(site: web.TCPSite, port: int) -> None:
    try:
        await site.start()
    except (OSError, OverflowError) as exc:
        raise CannotStart(
            "The sandbox cannot listen on port {port} of {host} ({why}); choose another one.",
            port=port,
            host=HOST,
            why=Text(os.strerror(exc.errno)) if isinstance(exc, OSError) and exc.errno else exc,
        ) from exc
