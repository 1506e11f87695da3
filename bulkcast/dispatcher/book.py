"""How every request of a run ended: first in the journal, then counted."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from bulkcast.dispatcher.brake import Brake, Halt
from bulkcast.dispatcher.ports import Journal
from bulkcast.endings import Entry, caught
from bulkcast.errors import LedgerGone, LedgerUnwritable
from bulkcast.model import (
    Attempt,
    History,
    Intent,
    Outcome,
    Request,
    RequestKey,
    RowStatus,
    Stop,
    Verdict,
)


class Book:
    """The requests of one run; what the journal does not take, it holds."""

    def __init__(self, journal: Journal, brake: Brake, wall: Callable[[], float]) -> None:
        self.outcomes: dict[RequestKey, Outcome] = {}
        """How each request ended that has."""
        self.counts: Counter[RowStatus] = Counter()
        """Rows that have ended, by status."""
        self.rows = 0
        self.requests = 0
        """Attempts made so far."""
        self._journal = journal
        self._brake = brake
        self._wall = wall
        self._history: Mapping[RequestKey, History] = {}
        self._begun: dict[RequestKey, Entry] = {}
        """Those that have begun and not ended: what is known of a try takes up much memory."""

    def open(self, requests: Iterable[Request], history: Mapping[RequestKey, History]) -> None:
        """Take in the rows of the run, with what earlier programs did for its requests."""
        self._history = history
        self.rows = sum(len(request.rows) for request in requests)

    def begin(self, request: Request) -> Entry:
        """The entry of a request whose turn has come."""
        past = self._history.get(request.key, History())
        entry = Entry(request, attempts=past.attempts, ambiguous=past.ambiguous)
        self._begun[request.key] = entry
        return entry

    async def intend(self, entry: Entry, ahead_s: float) -> None:
        """Write down that a request is about to leave.

        Raises:
            Halt: that is not possible, so it must not.

        """
        intent = Intent(entry.request.key, entry.attempts + 1, entry.stamp, ahead_s)
        try:
            await self._journal.intend((intent,))
        except LedgerUnwritable as exc:
            raise self._unwritable(exc) from exc
        entry.attempts += 1
        self.requests += 1

    async def settle(self, entry: Entry, outcome: Outcome, verdict: Verdict | None = None) -> None:
        """Write down how a request ended; only then count it.

        Raises:
            Halt: the ledger cannot be written.

        """
        final = Outcome(outcome.status, outcome.code, outcome.args, entry.attempts, self._wall())
        await self.record(entry, verdict, final)
        self._end(entry, final)

    async def record(
        self, entry: Entry, verdict: Verdict | None, outcome: Outcome | None = None
    ) -> None:
        """Write down how a try ended, or hold it until the end of the run.

        Raises:
            Halt: the ledger cannot be written.

        """
        attempt = self._ended(entry, verdict, outcome)
        try:
            await self._journal.record((attempt,))
        except LedgerUnwritable as exc:
            entry.held = attempt
            raise self._unwritable(exc) from exc

    def _unwritable(self, exc: LedgerUnwritable) -> Halt:
        """Nothing more may leave: nobody would know of it."""
        code = "run.ledger_gone" if isinstance(exc, LedgerGone) else "run.ledger"
        self._brake.pull(Stop("ledger", code, {"why": str(exc)}, exc.exit_status))
        return Halt()

    async def close(self, waiting: Iterable[Request]) -> None:
        """Write down whatever the end of the run caught unsent or unanswered.

        `waiting` are the requests that have not begun.
        """
        await self._record_held()
        for request in waiting:
            self.begin(request)
        rest = list(self._begun.values())
        ended = [self._ended(e, None, caught(e, self._brake.stopped)) for e in rest]
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

    def _end(self, entry: Entry, outcome: Outcome) -> None:
        del self._begun[entry.request.key]
        self.outcomes[entry.request.key] = outcome
        self.counts[outcome.status] += len(entry.request.rows)

    def _ended(self, entry: Entry, verdict: Verdict | None, outcome: Outcome | None) -> Attempt:
        return Attempt(
            key=entry.request.key,
            number=entry.attempts if verdict else 0,
            ended=self._wall(),
            code=verdict.code if verdict else "",
            ambiguous=verdict.ambiguous if verdict else False,
            outcome=outcome,
        )
