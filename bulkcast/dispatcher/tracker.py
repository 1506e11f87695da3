"""The state of each request: in the journal first, then counted; and how it ends."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final, assert_never

from bulkcast.dispatcher.protocols import Journal
from bulkcast.dispatcher.shutdown import RunStopped, Shutdown
from bulkcast.errors import LedgerGone, LedgerUnwritable
from bulkcast.i18n import LONG_TEXT
from bulkcast.model import (
    Attempt,
    History,
    Intent,
    Outcome,
    ReplyClass,
    Request,
    RequestKey,
    RowStatus,
    Stop,
    Verdict,
)
from bulkcast.protocol import Counting, signs_differ
from bulkcast.write_ordering import UnansweredAttempt, ahead_of

SENDS_MOST: Final = 8
"""Sends of one request that stay unanswered, after which it ends unconfirmed."""
THROTTLES_MOST: Final = 12
"""Times one request may be told to slow down; with the sends above it makes 20."""


@dataclass(slots=True)
class RequestState:
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

    def doubts(self, skew: float | None) -> list[UnansweredAttempt]:
        """Its tries that may come through yet; `skew` is how far ClassIn's clock is off."""
        target, body = self.request.target, self.request.body
        return [
            UnansweredAttempt(target, body, sent_at, ahead_of(stamp, signed, skew))
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


def may_be_mended(entry: RequestState, verdict: Verdict, stop: Stop | None) -> bool:
    """Whether another try may help a request that got this verdict; `stop` is the run's."""
    return _status(entry, verdict, stop) is None


def final_outcome(entry: RequestState, verdict: Verdict, stop: Stop | None) -> Outcome:
    """How a request ends whose last try got this verdict; `stop` is the run's."""
    status = _status(entry, verdict, stop) or _unanswered(entry, verdict)
    return _with(entry, verdict, status)


def _status(entry: RequestState, verdict: Verdict, stop: Stop | None) -> RowStatus | None:
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


def _clock_refused(entry: RequestState, stop: Stop | None) -> RowStatus | None:
    """A corrected stamp mends it once; a row refused twice is not repeated again."""
    if stop:
        return unless_ambiguous(entry, RowStatus.NOT_SENT)
    if entry.clock_refusals > 1:
        return unless_ambiguous(entry, RowStatus.REJECTED)
    return None


def _with(entry: RequestState, verdict: Verdict, status: RowStatus) -> Outcome:
    args = verdict.args
    if verdict.kind is ReplyClass.CREDENTIALS and signs_differ(entry.request.body):
        args = {**args, LONG_TEXT: verdict.code}
    return Outcome(status, verdict.code, args)


def unless_ambiguous(entry: RequestState, status: RowStatus) -> RowStatus:
    """`status`, unless a try before this one may have come through."""
    return RowStatus.UNCONFIRMED if entry.ambiguous else status


def _unanswered(entry: RequestState, verdict: Verdict) -> RowStatus:
    """A row without an answer to trust: unconfirmed, unless it cannot have been applied."""
    foreign = verdict.kind is ReplyClass.STOP and verdict.connected
    return RowStatus.UNCONFIRMED if entry.ambiguous or foreign else RowStatus.NOT_SENT


def outcome_on_shutdown(entry: RequestState, stop: Stop | None) -> Outcome:
    """How a request ends that the end of the run caught unsent or unanswered."""
    return replace(_caught(entry, stop), attempts=entry.attempts)


def _caught(entry: RequestState, stop: Stop | None) -> Outcome:
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


class RequestTracker:
    """The requests of one run; what the journal does not take, it holds."""

    def __init__(self, journal: Journal, shutdown: Shutdown, wall: Callable[[], float]) -> None:
        self.outcomes: dict[RequestKey, Outcome] = {}
        """How each request ended that has."""
        self.counts: Counter[RowStatus] = Counter()
        """Rows that have ended, by status."""
        self.rows = 0
        self.requests = 0
        """Attempts made so far."""
        self._journal = journal
        self._shutdown = shutdown
        self._wall = wall
        self._history: Mapping[RequestKey, History] = {}
        self._begun: dict[RequestKey, RequestState] = {}
        """Those that have begun and not ended: what is known of a try takes up much memory."""

    def open(self, requests: Iterable[Request], history: Mapping[RequestKey, History]) -> None:
        """Take in the rows of the run, with what earlier programs did for its requests."""
        self._history = history
        self.rows = sum(len(request.rows) for request in requests)

    def begin(self, request: Request) -> RequestState:
        """The entry of a request whose turn has come."""
        past = self._history.get(request.key, History())
        entry = RequestState(request, attempts=past.attempts, ambiguous=past.ambiguous)
        self._begun[request.key] = entry
        return entry

    async def record_intent(self, entry: RequestState, ahead_s: float) -> None:
        """Write down that a request is about to leave.

        Raises:
            RunStopped: that is not possible, so it must not.

        """
        intent = Intent(entry.request.key, entry.attempts + 1, entry.stamp, ahead_s)
        try:
            await self._journal.record_intent((intent,))
        except LedgerUnwritable as exc:
            raise self._unwritable(exc) from exc
        entry.attempts += 1
        self.requests += 1

    async def finish(
        self, entry: RequestState, outcome: Outcome, verdict: Verdict | None = None
    ) -> None:
        """Write down how a request ended; only then count it.

        Raises:
            RunStopped: the ledger cannot be written.

        """
        final = Outcome(outcome.status, outcome.code, outcome.args, entry.attempts, self._wall())
        await self.record(entry, verdict, final)
        self._end(entry, final)

    async def record(
        self, entry: RequestState, verdict: Verdict | None, outcome: Outcome | None = None
    ) -> None:
        """Write down how a try ended, or hold it until the end of the run.

        Raises:
            RunStopped: the ledger cannot be written.

        """
        attempt = self._ended(entry, verdict, outcome)
        try:
            await self._journal.record((attempt,))
        except LedgerUnwritable as exc:
            entry.held = attempt
            raise self._unwritable(exc) from exc

    def _unwritable(self, exc: LedgerUnwritable) -> RunStopped:
        """Nothing more may leave: nobody would know of it."""
        code = "run.ledger_gone" if isinstance(exc, LedgerGone) else "run.ledger"
        self._shutdown.request(Stop("ledger", code, {"why": str(exc)}, exc.exit_status))
        return RunStopped()

    async def close(self, waiting: Iterable[Request]) -> None:
        """Write down whatever the end of the run caught unsent or unanswered.

        `waiting` are the requests that have not begun.
        """
        await self._record_held()
        for request in waiting:
            self.begin(request)
        rest = list(self._begun.values())
        ended = [self._ended(e, None, outcome_on_shutdown(e, self._shutdown.stopped)) for e in rest]
        for entry, attempt in zip(rest, ended, strict=True):
            if attempt.outcome:
                self._end(entry, attempt.outcome)
        # Where the ledger cannot be written, it says of these what their intents say.
        with suppress(LedgerUnwritable):
            await self._journal.record(ended)

    async def _record_held(self) -> None:
        """Try once more to write down what could not be, now that nothing is under way."""
        held = [(entry, entry.held) for entry in self._begun.values() if entry.held]
        try:
            await self._journal.record([attempt for _, attempt in held])
        except LedgerUnwritable:
            for entry, _ in held:  # its intent is on disk, and says as much
                entry.ambiguous = True
            return
        for entry, attempt in held:
            if attempt.outcome:
                self._end(entry, attempt.outcome)

    def _end(self, entry: RequestState, outcome: Outcome) -> None:
        del self._begun[entry.request.key]
        self.outcomes[entry.request.key] = outcome
        self.counts[outcome.status] += len(entry.request.rows)

    def _ended(
        self, entry: RequestState, verdict: Verdict | None, outcome: Outcome | None
    ) -> Attempt:
        return Attempt(
            key=entry.request.key,
            number=entry.attempts if verdict else 0,
            ended=self._wall(),
            code=verdict.code if verdict else "",
            ambiguous=verdict.ambiguous if verdict else False,
            outcome=outcome,
        )
