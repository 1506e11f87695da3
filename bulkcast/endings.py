"""How a request ends: what may be claimed of it, given every answer it got.

An attempt that nobody answered for certain may have been applied, now or in five minutes, and no
later answer takes that back: a refusal speaks of its own attempt.  Such a request is `applied`
when ClassIn says so, and otherwise `unconfirmed`.
"""

from dataclasses import dataclass, field, replace
from typing import Final, assert_never

from bulkcast.fence import Doubt, ahead_of
from bulkcast.model import (
    Attempt,
    Outcome,
    ReplyClass,
    Request,
    RowStatus,
    Stop,
    Verdict,
)
from bulkcast.protocol import Counting, signs_differ
from bulkcast.wording import LONG_TEXT

SENDS_MOST: Final = 8
"""Sends of one request that stay unanswered, after which it ends unconfirmed."""
THROTTLES_MOST: Final = 12
"""Times one request may be told to slow down; with the sends above it makes 20."""


@dataclass(slots=True)
class Entry:
    """One request on its way through the run."""

    request: Request
    attempts: int = 0
    sends: int = 0
    throttles: int = 0
    clock_refusals: int = 0
    ambiguous: bool = False
    """Whether an attempt may have been applied without anybody's saying so."""
    sent_at: float = 0.0
    """When the last try was stamped, on a clock that never jumps."""
    stamp: float = 0.0
    """The same by this computer's clock."""
    signed: int = 0
    """The stamp it bore, by ClassIn's clock."""
    unanswered: list[tuple[float, float, int]] = field(default_factory=list)
    """The last three for each try of this program's that may come through yet."""
    counting: Counting = "bytes"
    """How the last try counted long texts when it was signed."""
    recounted: bool = False
    """Whether a try was signed by the other rule than the one before it."""
    last: Verdict | None = None
    held: Attempt | None = None
    """What could not be written down yet."""

    def count(self, verdict: Verdict, *, probing: bool) -> None:
        """Take one answer into account; a probe of an outage costs no send."""
        if verdict.ambiguous:
            self.ambiguous = True
            self.unanswered.append((self.sent_at, self.stamp, self.signed))
        if verdict.kind is ReplyClass.TRANSIENT and verdict.connected and not probing:
            self.sends += 1
        if verdict.kind is ReplyClass.THROTTLED:
            self.throttles += 1
        if verdict.kind is ReplyClass.CLOCK:
            self.clock_refusals += 1

    def doubts(self, skew: float | None) -> list[Doubt]:
        """Its tries that may come through yet; `skew` is how far ClassIn's clock is off."""
        target, body = self.request.target, self.request.body
        return [
            Doubt(target, body, sent_at, ahead_of(stamp, signed, skew))
            for sent_at, stamp, signed in self.unanswered
        ]

    def is_to_be_recounted(self, verdict: Verdict | None) -> bool:
        """Whether the other way of counting a long text may be what `verdict` asks for."""
        refused = verdict is not None and verdict.kind is ReplyClass.CREDENTIALS
        return refused and not self.recounted and signs_differ(self.request.body)

    @property
    def is_spent(self) -> bool:
        """Whether its bound is reached."""
        return self.sends >= SENDS_MOST or self.throttles >= THROTTLES_MOST


def may_be_mended(entry: Entry, verdict: Verdict, stop: Stop | None) -> bool:
    """Whether another try may help a request that got this verdict; `stop` is the run's."""
    return _status(entry, verdict, stop) is None


def ending(entry: Entry, verdict: Verdict, stop: Stop | None) -> Outcome:
    """How a request ends whose last try got this verdict; `stop` is the run's."""
    status = _status(entry, verdict, stop) or _unanswered(entry, verdict)
    return _with(entry, verdict, status)


def _status(entry: Entry, verdict: Verdict, stop: Stop | None) -> RowStatus | None:
    """What the verdict makes of its request; None where another try may help."""
    match verdict.kind:
        case ReplyClass.OK | ReplyClass.OK_WARNING:
            return RowStatus.APPLIED
        case ReplyClass.ROW | ReplyClass.INSTITUTION | ReplyClass.CREDENTIALS:
            return unless_ambiguous(entry, RowStatus.REJECTED)
        case ReplyClass.TOO_LATE:
            return unless_ambiguous(entry, RowStatus.TOO_LATE)
        case ReplyClass.STOP:
            return _unanswered(entry, verdict)
        case ReplyClass.CLOCK:
            return _clock_refused(entry, stop)
        case ReplyClass.TRANSIENT | ReplyClass.THROTTLED | ReplyClass.MAINTENANCE:
            return None
        case _:
            assert_never(verdict.kind)


def _clock_refused(entry: Entry, stop: Stop | None) -> RowStatus | None:
    """A corrected stamp mends it once; a row refused twice is not repeated again."""
    if stop:
        return unless_ambiguous(entry, RowStatus.NOT_SENT)
    if entry.clock_refusals > 1:
        return unless_ambiguous(entry, RowStatus.REJECTED)
    return None


def _with(entry: Entry, verdict: Verdict, status: RowStatus) -> Outcome:
    args = verdict.args
    if verdict.kind is ReplyClass.CREDENTIALS and signs_differ(entry.request.body):
        args = {**args, LONG_TEXT: verdict.code}
    return Outcome(status, verdict.code, args)


def unless_ambiguous(entry: Entry, status: RowStatus) -> RowStatus:
    """`status`, unless a try before this one may have come through."""
    return RowStatus.UNCONFIRMED if entry.ambiguous else status


def _unanswered(entry: Entry, verdict: Verdict) -> RowStatus:
    """A row without an answer to trust: unconfirmed, unless it cannot have been applied."""
    foreign = verdict.kind is ReplyClass.STOP and verdict.connected
    return RowStatus.UNCONFIRMED if entry.ambiguous or foreign else RowStatus.NOT_SENT


def caught(entry: Entry, stop: Stop | None) -> Outcome:
    """How a request ends that the end of the run caught unsent or unanswered."""
    return replace(_caught(entry, stop), attempts=entry.attempts)


def _caught(entry: Entry, stop: Stop | None) -> Outcome:
    last = entry.last
    if entry.ambiguous:
        if last is None or (entry.held and entry.held.outcome):
            # An earlier program died, or what ended the request could not be written down.
            return Outcome(RowStatus.UNCONFIRMED, "send.crashed")
        return _with(entry, last, RowStatus.UNCONFIRMED)
    if stop is None and last and last.kind is ReplyClass.CREDENTIALS:
        return _with(entry, last, RowStatus.REJECTED)
    if stop is None or stop.reason == "interrupted":
        return Outcome(RowStatus.NOT_SENT, "run.interrupted")
    return Outcome(RowStatus.NOT_SENT, stop.code, stop.args)
