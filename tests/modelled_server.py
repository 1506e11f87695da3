"""A modelled server for long simulations: no sockets, but a limit, a latency and periods of faults.

It logs arrivals and acknowledgements itself, and shares nothing with the program but the bodies
it is sent.  Latency is log-normal with a median of 0.25 s; the limit is a
rolling window.  Nothing of it was measured at ClassIn.
"""

import asyncio
import math
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bulkcast.model import Attempt, Body, Intent, Outcome, RequestKey
from bulkcast.protocol import NoReply, Reply

OK = b'{"code":1,"msg":"","data":null}'
UNKNOWN = b'{"code":104,"msg":"","data":null}'
TOO_OFTEN = b'{"code":101003001,"msg":"","data":null}'


@dataclass(frozen=True)
class Period:
    """How the server behaves for a while."""

    name: str
    ends: float
    """Seconds of virtual time."""
    fails: float = 0.0
    """The share of requests that fail."""
    how: str = "mixed"
    """503, hang, refused, maintenance, or mixed."""
    limit: int = 1000
    """Requests in any 60 s."""
    others: float = 0.0
    """Requests a second that another program of the institution sends."""


@dataclass
class Model:
    """The server."""

    periods: Sequence[Period]
    now: Callable[[], float]
    seed: int = 1
    arrivals: list[float] = field(default_factory=list)
    acknowledged: set[Body] = field(default_factory=set)
    most: int = 0
    """The largest number of requests within any 60 s."""
    throttled: int = 0
    _dice: random.Random = field(init=False)
    _recent: deque[float] = field(default_factory=deque)
    _period: int = 0

    def __post_init__(self) -> None:
        self._dice = random.Random(self.seed)

    def period(self) -> Period:
        while self.now() >= self.periods[self._period].ends:
            self._period += 1
        return self.periods[self._period]

    async def send(self, body: Body, timestamp: int) -> Reply | NoReply:
        """The client's part: latency, then an answer or none."""
        period = self.period()
        fails = self._dice.random() < period.fails
        if fails and period.how == "refused":
            return NoReply("send.not_connected", sent=False)
        way = min(10.0, 0.25 * math.exp(self._dice.gauss(0.0, 0.6)))
        await asyncio.sleep(way / 2)
        reply = self._answer(body, period, fails=fails)
        await asyncio.sleep(20.0 if isinstance(reply, NoReply) else way / 2)
        return reply

    def _answer(self, body: Body, period: Period, *, fails: bool) -> Reply | NoReply:
        now = self.now()
        self.arrivals.append(now)
        self._recent.append(now)
        while self._recent[0] <= now - 60.0:
            self._recent.popleft()
        self.most = max(self.most, len(self._recent))
        if len(self._recent) + 60.0 * period.others > period.limit:
            self._recent.pop()
            self.throttled += 1
            return self._slow_down()
        if fails:
            return self._fault(period.how)
        self.acknowledged.add(body)
        return Reply(200, OK)

    def _slow_down(self) -> Reply:
        if self._dice.random() < 0.5:
            return Reply(200, TOO_OFTEN)
        return Reply(429, b"", retry_after=self._dice.choice([None, "2", "5"]))

    def _fault(self, how: str) -> Reply | NoReply:
        if how == "mixed":
            how = self._dice.choice(["503", "104", "hang", "lost"])
        match how:
            case "503":
                return Reply(503, b"")
            case "maintenance":
                return Reply(200, b'{"code":901,"msg":"","data":null}')
            case "104":
                return Reply(200, UNKNOWN)
            case "hang":
                return NoReply("send.timeout", sent=True, detail="20")
            case _:
                return NoReply("send.lost", sent=True, detail="ServerDisconnectedError")


@dataclass
class Memory:
    """A journal in memory, for simulations without crashes."""

    intents: dict[RequestKey, int] = field(default_factory=dict)
    stamps: list[float] = field(default_factory=list)
    outcomes: dict[RequestKey, Outcome] = field(default_factory=dict)

    async def record_intent(self, intents: Sequence[Intent]) -> None:
        for intent in intents:
            self.intents[intent.key] = self.intents.get(intent.key, 0) + 1
            self.stamps.append(intent.stamp)

    async def record(self, attempts: Sequence[Attempt]) -> None:
        for attempt in attempts:
            if attempt.outcome:
                self.outcomes[attempt.key] = attempt.outcome


SCENARIOS: Mapping[str, Sequence[Period]] = {
    "calm": (),
    "30 min of 503": (Period("calm", 60.0), Period("out", 1860.0, fails=1.0, how="503")),
    "30 min of hangs": (Period("calm", 60.0), Period("out", 1860.0, fails=1.0, how="hang")),
    "30 min unreachable": (Period("calm", 60.0), Period("out", 1860.0, fails=1.0, how="refused")),
    "30 % brown-out": (Period("brown", 86400.0, fails=0.3),),
    "limit cut to 300": (Period("calm", 60.0), Period("cut", 86400.0, limit=300)),
    "limit shared": (Period("calm", 60.0), Period("shared", 86400.0, others=8.0)),
}
HEALTHY = Period("calm", math.inf)


def mixed_periods(hours: float, seed: int) -> list[Period]:
    """Periods of minutes, healthy ones and ones with faults, for so many hours."""
    dice, ends, periods = random.Random(seed), 0.0, []
    while ends < hours * 3600.0:
        ends += dice.uniform(120.0, 1500.0)
        name, more = dice.choice(_KINDS)
        periods.append(Period(name, ends, **more))  # type: ignore[arg-type] # one of the lines below
    return [*periods, HEALTHY]


_KINDS: Sequence[tuple[str, Mapping[str, object]]] = [
    ("calm", {}), ("calm", {}), ("calm", {}),
    ("few faults", {"fails": 0.02}), ("brown", {"fails": 0.3}),
    ("out", {"fails": 1.0, "how": "503"}), ("out", {"fails": 1.0, "how": "hang"}),
    ("out", {"fails": 1.0, "how": "refused"}), ("closed", {"fails": 1.0, "how": "maintenance"}),
    ("cut", {"limit": 300}), ("cut", {"limit": 600}), ("shared", {"others": 8.0}),
]  # fmt: skip
