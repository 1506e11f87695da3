"""When answers speak of the whole run and not of their row: reasons to stop, or to skip a feature.

Nobody should hammer an API that refuses for a reason no other row can escape: a wrong secret, a
wrong column, a feature the institution has not bought.
"""

from collections import Counter
from typing import Final

from bulkcast.catalogue import Endpoint
from bulkcast.model import Outcome, ReplyClass, Request, RowStatus, Stop, Verdict
from bulkcast.protocol import signs_differ

CREDENTIALS_AT_START: Final = 2
"""Different rows refused for their signature before any success: the secret is wrong.  Not one:
official samples disagree about signing long texts, so a single row may be its own reason."""
CREDENTIALS_LATER: Final = 3
SAME_REFUSAL: Final = 20
FEATURE_REFUSALS: Final = 5

_SUCCESS: Final = frozenset({ReplyClass.OK, ReplyClass.OK_WARNING})
_OF_THIS_ROW: Final = frozenset({ReplyClass.ROW, ReplyClass.INSTITUTION})
"""Refusals that one row alone may be the reason of; an edition code may name no feature."""


class Guards:
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
