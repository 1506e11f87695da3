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
        self.entries: dict[RequestKey, Entry] = {}
        self.counts: Counter[RowStatus] = Counter()
        """Rows that have ended, by status."""
        self.rows = 0
        self.requests = 0
        """Attempts made so far."""
        self._journal = journal
        self._brake = brake
        self._wall = wall

    def open(self, requests: Iterable[Request], history: Mapping[RequestKey, History]) -> None:
        """Take in the requests of the run, with what earlier programs did for them."""
        for request in requests:
            past = history.get(request.key, History())
            entry = Entry(request, attempts=past.attempts, ambiguous=past.ambiguous)
            self.entries[request.key] = entry
            self.rows += len(request.rows)

    @property
    def outcomes(self) -> Mapping[RequestKey, Outcome]:
        """How each request ended that has."""
        return {key: entry.outcome for key, entry in self.entries.items() if entry.outcome}

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

    async def close(self) -> None:
        """Write down whatever the end of the run caught unsent or unanswered."""
        await self._record_held()
        rest = [entry for entry in self.entries.values() if entry.outcome is None]
        for entry in rest:
            self._end(entry, caught(entry, self._brake.stopped))
        # Where the ledger cannot be written, it says of these what their intents say.
        with suppress(LedgerUnwritable):
            await self._journal.record([self._ended(e, None, e.outcome) for e in rest])

    async def _record_held(self) -> None:
        """Try once more to write down what could not be, now that nothing is under way."""
        held = {key: entry.held for key, entry in self.entries.items() if entry.held}
        try:
            await self._journal.record(tuple(held.values()))
        except LedgerUnwritable:
            for key in held:  # its intent is on disk, and says as much
                self.entries[key].ambiguous = True
            return
        for key, attempt in held.items():
            if attempt.outcome:
                self._end(self.entries[key], attempt.outcome)

    def _end(self, entry: Entry, outcome: Outcome) -> None:
        entry.outcome = outcome
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
