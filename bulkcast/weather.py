"""Whether requests may go out side by side, one at a time, or hardly at all.

At the start nobody knows whether the credentials are right, so one request goes alone (the
canary).  When many different rows stay unanswered it is an outage: the run is parked, and one
probe at a time asks whether it is over.  A few rows that alone keep failing are no outage: they
end within their own bound.  Times are seconds of a clock that never jumps.
"""

import math
from collections import deque
from enum import Enum
from typing import Final

from bulkcast.model import ReplyClass, RequestKey, Verdict
from bulkcast.wording import CODE_SEEN, SEEN

_WINDOW: Final = 20
_SHARE: Final = 0.6
_ROWS: Final = 10
"""Different rows that must have stayed unanswered before it is called an outage."""
_CONNECT_FAILURES: Final = 5
_CANARIES: Final = 5
"""Different rows that, sent alone at the start, stayed unanswered."""
_PROBE_FIRST_S: Final = 5.0
_PROBE_MOST_S: Final = 60.0


class Sky(Enum):
    """How many requests may be under way."""

    PROVING = "one at a time, until an answer shows that credentials and clock are right"
    FAIR = "as many as there are connections"
    PARKED = "a probe now and then, until ClassIn answers again"


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


class Weather:
    """What the last answers say about the way to ClassIn."""

    def __init__(self) -> None:
        self.sky = Sky.PROVING
        self.parked_since = math.inf
        self.probe_at = -math.inf
        """When, in any sky but a fair one, the next single request may start."""
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
        elif self.sky is Sky.FAIR:
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
        self.parked_since, self.probe_at, self._probes = math.inf, -math.inf, 0
        self._dark_canaries.clear()
        if self.sky is Sky.PARKED:
            self._recent.clear()
        self.sky = Sky.FAIR if self._proven else Sky.PROVING

    def _is_outage(self, verdict: Verdict) -> bool:
        if verdict.kind is ReplyClass.MAINTENANCE or self._connect_failures >= _CONNECT_FAILURES:
            return True
        silent = [key for key, unanswered in self._recent if unanswered]
        return len(silent) >= _SHARE * _WINDOW and len(set(silent)) >= _ROWS

    def _park(self, now: float, chance: float) -> None:
        self.sky, self.parked_since, self._probes = Sky.PARKED, now, 0
        self._schedule_probe(now, chance)

    def _still_dark(self, key: RequestKey, verdict: Verdict, now: float, chance: float) -> None:
        """A canary or a probe failed."""
        if self.sky is Sky.PARKED:
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

    def parked_for(self, now: float) -> float:
        """Seconds since ClassIn stopped answering; 0 when it answers."""
        return max(0.0, now - self.parked_since)
