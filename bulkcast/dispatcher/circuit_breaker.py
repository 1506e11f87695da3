"""Detects outages and probes for their end; stops a run, or skips a feature, on refusals."""

import math
from collections import Counter, deque
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

from bulkcast.arguments import SettingNames
from bulkcast.catalogue import Endpoint
from bulkcast.dispatcher.memory import Memory
from bulkcast.i18n import marked
from bulkcast.model import (
    Argument,
    Outcome,
    ReplyClass,
    Request,
    RequestKey,
    RowStatus,
    Stop,
    Text,
    Verdict,
)
from bulkcast.protocol import SUCCESS, signs_differ

_WINDOW: Final = 20
_UNANSWERED_SHARE: Final = 0.6
_UNANSWERED_ROWS: Final = 10
"""Different rows that must have stayed unanswered before this counts as an outage."""
_CONNECT_FAILURES: Final = 5
_CANARIES: Final = 5
"""Different rows whose canaries stayed unanswered before this counts as an outage."""
_PROBE_FIRST_S: Final = 5.0
_PROBE_MOST_S: Final = 60.0


class BreakerState(Enum):
    """How many requests may be under way."""

    HALF_OPEN = "one at a time, until an answer shows that credentials and clock are right"
    CLOSED = "as many as there are connections"
    OPEN = "a probe now and then, until ClassIn answers again"


def is_unanswered(verdict: Verdict) -> bool:
    """Whether ClassIn itself did not answer: any reply code, even 104, is an answer."""
    if verdict.kind is ReplyClass.MAINTENANCE:
        return True
    return verdict.kind is ReplyClass.TRANSIENT and not verdict.code.isdigit()


SEEN: Final[Mapping[str, str]] = {
    "send.not_connected": marked("no connection: {detail}"),
    "send.timeout": marked("no answer within {detail} s"),
    "send.lost": marked("a connection that broke before the answer was complete"),
    "reply.not_json": marked("an answer that is not ClassIn's: {detail}"),
    "reply.too_large": marked("an answer of more than {detail} bytes"),
    "reply.http": marked("HTTP {status}"),
    "reply.throttled": marked("HTTP 429"),
    "reply.maintenance": marked("ClassIn under maintenance"),
}
"""Verdict's code → what was seen instead of a reply."""


def describe(verdict: Verdict) -> Text:
    """Say what came in place of an answer.

    >>> str(describe(Verdict(ReplyClass.TRANSIENT, "reply.http", {"status": "503"})))
    'HTTP 503'
    """
    if verdict.kind is ReplyClass.MAINTENANCE:
        return Text(SEEN["reply.maintenance"])
    if verdict.code.isdigit():
        return Text("ClassIn's code {code}", {"code": verdict.code})
    return Text(SEEN[verdict.code], verdict.args)


def _recalled(kind: str, code: str, args: Mapping[str, str]) -> Verdict | None:
    """A missing answer as far as `describe` needs it; None if it is not known here."""
    if kind in set(ReplyClass) and (code in SEEN or code.isdigit()):
        return Verdict(ReplyClass(kind), code, args)
    return None


class CircuitBreaker:
    """Tells from the last answers whether ClassIn can be reached."""

    def __init__(self) -> None:
        self.state = BreakerState.HALF_OPEN
        self.opened_at = math.inf
        self.probe_at = -math.inf
        """Unless closed: when the next probe may start, on the event loop's clock."""
        self._last_unanswered: Verdict | None = None
        self._recent: deque[tuple[RequestKey, bool]] = deque(maxlen=_WINDOW)
        self._connect_failures = 0
        self._probes = 0
        self._proven = False
        self._failed_canaries: set[RequestKey] = set()

    def observe(
        self, key: RequestKey, verdict: Verdict, now: float, chance: float, *, is_probe: bool
    ) -> None:
        """Count one answer, or its absence; `is_probe`: to a canary or a probe.

        `chance` in [0, 1) spreads the probes over time.
        """
        unanswered = is_unanswered(verdict)
        self._connect_failures = (
            self._connect_failures + 1 if unanswered and not verdict.connected else 0
        )
        self._proven = self._proven or verdict.proves_access
        self._last_unanswered = verdict if unanswered else self._last_unanswered
        if not unanswered:
            self._recent.append((key, False))
            self._observe_answer()
        elif self.state is BreakerState.CLOSED:
            self._recent.append((key, True))
            if self._is_outage(verdict):
                self._open(now, chance)
        elif is_probe or self.state is BreakerState.HALF_OPEN:
            # Requests under way when the outage is noticed must not put off the first probe.
            self._observe_failed_probe(key, verdict, now, chance)

    @property
    def failure(self) -> Text | str:
        """What last came in place of an answer, in words; empty if ClassIn always answered."""
        return describe(self._last_unanswered) if self._last_unanswered else ""

    @property
    def is_maintenance(self) -> bool:
        """Whether the last missing answer was due to maintenance."""
        return (
            self._last_unanswered is not None
            and self._last_unanswered.kind is ReplyClass.MAINTENANCE
        )

    def _observe_answer(self) -> None:
        self.opened_at, self.probe_at, self._probes = math.inf, -math.inf, 0
        self._failed_canaries.clear()
        if self.state is BreakerState.OPEN:
            self._recent.clear()
        self.state = BreakerState.CLOSED if self._proven else BreakerState.HALF_OPEN

    def _is_outage(self, verdict: Verdict) -> bool:
        if verdict.kind is ReplyClass.MAINTENANCE or self._connect_failures >= _CONNECT_FAILURES:
            return True
        unanswered_keys = [key for key, unanswered in self._recent if unanswered]
        return (
            len(unanswered_keys) >= _UNANSWERED_SHARE * _WINDOW
            and len(set(unanswered_keys)) >= _UNANSWERED_ROWS
        )

    def _open(self, now: float, chance: float) -> None:
        self.state, self.opened_at, self._probes = BreakerState.OPEN, now, 0
        self._schedule_probe(now, chance)

    def _observe_failed_probe(
        self, key: RequestKey, verdict: Verdict, now: float, chance: float
    ) -> None:
        """Count a canary or a probe that failed."""
        if self.state is BreakerState.OPEN:
            self._schedule_probe(now, chance)
            return
        self._failed_canaries.add(key)
        different = len(self._failed_canaries) >= _CANARIES
        if different or self._is_outage(verdict):
            self._open(now, chance)

    def _schedule_probe(self, now: float, chance: float) -> None:
        gap = min(_PROBE_MOST_S, _PROBE_FIRST_S * 2.0 ** min(self._probes, 10))
        self._probes += 1
        self.probe_at = now + gap * (0.5 + 0.5 * chance)

    def recall(self, memory: Memory, now: float) -> None:
        """Go on from what an earlier slice knew."""
        self._proven = memory.is_proven
        self._probes, self._connect_failures = memory.probes, memory.connect_failures
        self._recent.extend((RequestKey(key), unanswered) for key, unanswered in memory.recent)
        self._failed_canaries.update(map(RequestKey, memory.failed_canaries))
        if memory.failure:
            self._last_unanswered = _recalled(*memory.failure, memory.failure_args)
        if memory.open_s is not None:
            self.state, self.opened_at = (
                BreakerState.OPEN,
                now - memory.open_s - memory.silence_s,
            )
            self.probe_at = now + memory.left_s(memory.probe_s)
        elif self._proven:
            self.state = BreakerState.CLOSED

    def remember(self, now: float) -> dict[str, Any]:
        """The part of `Memory` that `recall` reads."""
        failure = self._last_unanswered
        return {
            "open_s": self.open_for(now) if self.state is BreakerState.OPEN else None,
            "probe_s": max(0.0, self.probe_at - now),
            "probes": self._probes,
            "failure": failure and (failure.kind.value, failure.code),
            "failure_args": {key: str(arg) for key, arg in failure.args.items()} if failure else {},
            "connect_failures": self._connect_failures,
            "recent": list(self._recent),
            "failed_canaries": list(self._failed_canaries),
        }

    def excuse(self, since: float, until: float) -> None:
        """Do not count the time between as part of an outage: nobody could have answered."""
        if self.opened_at < until:
            self.opened_at += until - max(since, self.opened_at)

    def open_for(self, now: float) -> float:
        """Seconds since ClassIn stopped answering; 0 when it answers."""
        return max(0.0, now - self.opened_at)


CREDENTIALS_AT_START: Final = 2
"""Rows refused for their signature before any success, after which the secret is called wrong.

Not one: official samples disagree about signing long texts, so the row may be to blame."""
CREDENTIALS_LATER: Final = 3
"""The same, after a success."""
SAME_REFUSAL: Final = 20
"""Equal refusals in a row that stop the run."""
FEATURE_REFUSALS: Final = 5
"""Refusals in a row after which the institution is taken to lack a feature."""

_ROW_REFUSALS: Final = frozenset({ReplyClass.ROW, ReplyClass.INSTITUTION})
"""Refusals that may concern one row only; an edition code may name no feature."""


class StopConditions:
    """Counts refusals in a row: of credentials, of the same kind, of a feature."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.proven = False
        """Whether an answer has shown that credentials and clock are right."""
        self._refused: set[RequestKey] = set()
        """Requests refused for their signature since one was accepted."""
        self._refusal = ""
        self._repeated = ("", 0)
        self._features: Counter[str] = Counter()
        self._missing_features: dict[str, str] = {}

    def observe(self, request: Request, verdict: Verdict) -> Stop | None:
        """Count one answer; return a `Stop` if it concerns every row."""
        if verdict.proves_access:
            self.proven = True
            self._refused.clear()
        if verdict.kind in SUCCESS:
            self._observe_success(request)
            return None
        if verdict.kind is ReplyClass.STOP:
            return Stop("refused", verdict.code, verdict.args)
        if verdict.kind is ReplyClass.CREDENTIALS:
            # A text that can be signed in two ways may be refused although the secret is right.
            own_matter = signs_differ(request.body)
            return (
                self._count_refusal(verdict)
                if own_matter
                else self._count_credentials(request.key, verdict)
            )
        if verdict.kind is ReplyClass.INSTITUTION and self._count_features(request, verdict):
            return None
        if verdict.kind in _ROW_REFUSALS:
            return self._count_refusal(verdict)
        return None

    def recall(self, memory: Memory) -> None:
        """Go on from what an earlier slice counted."""
        self.proven = memory.is_proven
        self._refused.update(map(RequestKey, memory.refused_credentials))
        self._refusal, self._repeated = memory.refusal, memory.repeated
        self._features.update(memory.features)
        self._missing_features.update(memory.missing_features)

    def remember(self) -> dict[str, Any]:
        """The part of `Memory` that `recall` reads, but for when access was proven."""
        return {
            "refused_credentials": list(self._refused),
            "refusal": self._refusal,
            "repeated": self._repeated,
            "features": dict(self._features),
            "missing_features": dict(self._missing_features),
        }

    def _observe_success(self, request: Request) -> None:
        self._repeated = ("", 0)
        if self._features:
            for key in switched_on(request):
                self._features.pop(key, None)

    def _count_credentials(self, key: RequestKey, verdict: Verdict) -> Stop | None:
        self._refused.add(key)
        self._refusal = verdict.code
        most = CREDENTIALS_LATER if self.proven else CREDENTIALS_AT_START
        return Stop("credentials", verdict.code) if len(self._refused) >= most else None

    def _count_refusal(self, verdict: Verdict) -> Stop | None:
        code, n = self._repeated
        self._repeated = (verdict.code, n + 1 if code == verdict.code else 1)
        if self._repeated[1] < SAME_REFUSAL:
            return None
        return Stop("guard", "run.systematic", {"n": str(SAME_REFUSAL), "code": verdict.code})

    def _count_features(self, request: Request, verdict: Verdict) -> bool:
        """Count a refusal against the features the request switches on; False if there is none."""
        known = self._endpoint.by_code[int(verdict.code)]
        suspects = switched_on(request) & frozenset(known.features)
        for key in suspects:
            self._features[key] += 1
            if self._features[key] >= FEATURE_REFUSALS:
                self._missing_features.setdefault(key, verdict.code)
        return bool(suspects)

    def credentials_refused(self) -> Stop | None:
        """At the end of a run: a `Stop` if credentials were refused and never accepted."""
        only_refusals = self._refused and not self.proven
        return Stop("credentials", self._refusal) if only_refusals else None

    def outcome_if_blocked(self, request: Request) -> Outcome | None:
        """The outcome of a request that switches on a missing feature; None for any other."""
        if not self._missing_features:  # nearly always
            return None
        for key in sorted(switched_on(request) & self._missing_features.keys()):
            args: Mapping[str, Argument] = {
                "feature": SettingNames((key,)),
                "n": str(FEATURE_REFUSALS),
                "code": self._missing_features[key],
            }
            return Outcome(RowStatus.NOT_SENT, "run.feature_missing", args)
        return None


def switched_on(request: Request) -> frozenset[str]:
    """The settings a request gives a value other than off, none or empty."""
    return frozenset(key for key, value in request.body if value)
