"""Detects outages and probes for their end; stops a run, or skips a feature, on refusals."""

import math
from collections import Counter, deque
from enum import Enum
from typing import Final

from bulkcast.catalogue import Endpoint
from bulkcast.i18n import CODE_SEEN, SEEN
from bulkcast.model import Outcome, ReplyClass, Request, RequestKey, RowStatus, Stop, Verdict
from bulkcast.protocol import signs_differ

_WINDOW: Final = 20
_SHARE: Final = 0.6
_ROWS: Final = 10
"""Different rows that must have stayed unanswered before it is called an outage."""
_CONNECT_FAILURES: Final = 5
_CANARIES: Final = 5
"""Different rows that, sent alone at the start, stayed unanswered."""
_PROBE_FIRST_S: Final = 5.0
_PROBE_MOST_S: Final = 60.0


class BreakerState(Enum):
    """How many requests may be under way."""

    HALF_OPEN = "one at a time, until an answer shows that credentials and clock are right"
    CLOSED = "as many as there are connections"
    OPEN = "a probe now and then, until ClassIn answers again"


def is_unanswered(verdict: Verdict) -> bool:
    """Whether ClassIn itself said nothing: a code of its own, even 104, is an answer."""
    if verdict.kind is ReplyClass.MAINTENANCE:
        return True
    return verdict.kind is ReplyClass.TRANSIENT and not verdict.code.isdigit()


def seen(verdict: Verdict) -> str:
    """What was seen in place of an answer.

    >>> seen(Verdict(ReplyClass.TRANSIENT, "reply.http", {"status": "503"}))
    'HTTP 503'
    """
    if verdict.kind is ReplyClass.MAINTENANCE:
        return SEEN["reply.maintenance"]
    template = CODE_SEEN if verdict.code.isdigit() else SEEN[verdict.code]
    return template.format_map({"code": verdict.code, **verdict.args})


class CircuitBreaker:
    """What the last answers say about the way to ClassIn."""

    def __init__(self) -> None:
        self.state = BreakerState.HALF_OPEN
        self.opened_at = math.inf
        self.probe_at = -math.inf
        """When, unless the breaker is closed, the next single request may start."""
        self._dark: Verdict | None = None
        self._recent: deque[tuple[RequestKey, bool]] = deque(maxlen=_WINDOW)
        self._connect_failures = 0
        self._probes = 0
        self._proven = False
        self._dark_canaries: set[RequestKey] = set()

    def observe(self, key: RequestKey, verdict: Verdict, now: float, chance: float) -> None:
        """Take one answer, or its absence, into account.

        `chance` in [0, 1) spreads the probes.
        """
        unanswered = is_unanswered(verdict)
        self._connect_failures = (
            self._connect_failures + 1 if unanswered and not verdict.connected else 0
        )
        self._proven = self._proven or verdict.proves_access
        self._dark = verdict if unanswered else self._dark
        if not unanswered:
            self._recent.append((key, False))
            self._clear()
        elif self.state is BreakerState.CLOSED:
            self._recent.append((key, True))
            if self._is_outage(verdict):
                self._park(now, chance)
        else:
            self._still_dark(key, verdict, now, chance)

    @property
    def seen(self) -> str:
        """What came last in place of an answer, in words; empty where nothing did."""
        return seen(self._dark) if self._dark else ""

    @property
    def is_maintenance(self) -> bool:
        """Whether what came last in place of an answer says that ClassIn is being maintained."""
        return self._dark is not None and self._dark.kind is ReplyClass.MAINTENANCE

    def _clear(self) -> None:
        self.opened_at, self.probe_at, self._probes = math.inf, -math.inf, 0
        self._dark_canaries.clear()
        if self.state is BreakerState.OPEN:
            self._recent.clear()
        self.state = BreakerState.CLOSED if self._proven else BreakerState.HALF_OPEN

    def _is_outage(self, verdict: Verdict) -> bool:
        if verdict.kind is ReplyClass.MAINTENANCE or self._connect_failures >= _CONNECT_FAILURES:
            return True
        silent = [key for key, unanswered in self._recent if unanswered]
        return len(silent) >= _SHARE * _WINDOW and len(set(silent)) >= _ROWS

    def _park(self, now: float, chance: float) -> None:
        self.state, self.opened_at, self._probes = BreakerState.OPEN, now, 0
        self._schedule_probe(now, chance)

    def _still_dark(self, key: RequestKey, verdict: Verdict, now: float, chance: float) -> None:
        """A canary or a probe failed."""
        if self.state is BreakerState.OPEN:
            self._schedule_probe(now, chance)
            return
        self._dark_canaries.add(key)
        different = len(self._dark_canaries) >= _CANARIES
        if different or self._is_outage(verdict):
            self._park(now, chance)

    def _schedule_probe(self, now: float, chance: float) -> None:
        gap = min(_PROBE_MOST_S, _PROBE_FIRST_S * 2.0 ** min(self._probes, 10))
        self._probes += 1
        self.probe_at = now + gap * (0.5 + 0.5 * chance)

    def open_for(self, now: float) -> float:
        """Seconds since ClassIn stopped answering; 0 when it answers."""
        return max(0.0, now - self.opened_at)


CREDENTIALS_AT_START: Final = 2
"""Different rows refused for their signature before any success: the secret is wrong.  Not one:
official samples disagree about signing long texts, so a single row may be its own reason."""
CREDENTIALS_LATER: Final = 3
SAME_REFUSAL: Final = 20
FEATURE_REFUSALS: Final = 5

_SUCCESS: Final = frozenset({ReplyClass.OK, ReplyClass.OK_WARNING})
_OF_THIS_ROW: Final = frozenset({ReplyClass.ROW, ReplyClass.INSTITUTION})
"""Refusals that one row alone may be the reason of; an edition code may name no feature."""


class StopConditions:
    """Counts refusals in a row."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.proven = False
        """Whether an answer has shown that credentials and clock are right."""
        self._credentials = 0
        self._refusal = ""
        self._same = ("", 0)
        self._features: Counter[str] = Counter()
        self._open: dict[str, str] = {}

    def observe(self, request: Request, verdict: Verdict) -> Stop | None:
        """Take one answer into account; a `Stop` where it speaks of every row."""
        if verdict.proves_access:
            self.proven, self._credentials = True, 0
        if verdict.kind in _SUCCESS:
            self._succeeded(request)
            return None
        if verdict.kind is ReplyClass.STOP:
            return Stop("refused", verdict.code, verdict.args)
        if verdict.kind is ReplyClass.CREDENTIALS:
            # A text that may be signed in two ways is the row's own matter, not the secret's.
            alone = signs_differ(request.body)
            return self._count_refusal(verdict) if alone else self._count_credentials(verdict)
        if verdict.kind is ReplyClass.INSTITUTION and self._count_features(request, verdict):
            return None
        if verdict.kind in _OF_THIS_ROW:
            return self._count_refusal(verdict)
        return None

    def _succeeded(self, request: Request) -> None:
        self._same = ("", 0)
        if self._features:
            for key in switched_on(request):
                self._features.pop(key, None)

    def _count_credentials(self, verdict: Verdict) -> Stop | None:
        self._credentials += 1
        self._refusal = verdict.code
        most = CREDENTIALS_LATER if self.proven else CREDENTIALS_AT_START
        return Stop("credentials", verdict.code) if self._credentials >= most else None

    def _count_refusal(self, verdict: Verdict) -> Stop | None:
        code, n = self._same
        self._same = (verdict.code, n + 1 if code == verdict.code else 1)
        if self._same[1] < SAME_REFUSAL:
            return None
        return Stop("guard", "run.systematic", {"n": str(SAME_REFUSAL), "code": verdict.code})

    def _count_features(self, request: Request, verdict: Verdict) -> bool:
        """Count it against the features the request switches on; whether there is one to blame."""
        known = self._endpoint.by_code[int(verdict.code)]
        blamed = switched_on(request) & frozenset(known.features)
        for key in blamed:
            self._features[key] += 1
            if self._features[key] >= FEATURE_REFUSALS:
                self._open.setdefault(key, verdict.code)
        return bool(blamed)

    def credentials_refused(self) -> Stop | None:
        """At the end: a run too short to be sure, in which nothing but refusals came."""
        doubtful = self._credentials and not self.proven
        return Stop("credentials", self._refusal) if doubtful else None

    def blocks(self, request: Request) -> Outcome | None:
        """How a request ends unsent, where it switches on what the institution lacks."""
        if not self._open:  # as good as always
            return None
        for key in sorted(switched_on(request) & self._open.keys()):
            args = {"feature": key, "n": str(FEATURE_REFUSALS), "code": self._open[key]}
            return Outcome(RowStatus.NOT_SENT, "run.feature_missing", args)
        return None


def switched_on(request: Request) -> frozenset[str]:
    """The settings a request gives a value other than off, none or empty."""
    return frozenset(key for key, value in request.body if value)
