"""Any history of a run that can be written down is read back as it happened, kills included.

A kill is a copy of the folder in the middle of everything: what is in it is what a dead program
leaves, and the next one goes on from there.  A server keeps what it has stored whoever dies.
"""

import asyncio
import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from bulkcast.ledger import FrozenRun, open_ledger
from bulkcast.model import Attempt, History, Intent, Outcome, RequestKey, RowStatus
from bulkcast.planner import Plan
from tests.dispatcher_harness import header, requests
from tests.ledgers import new_home

ROWS = st.integers(2, 3)
"""Two of the five rows: the more happens to each."""
OPEN = (RowStatus.NOT_SENT, RowStatus.UNCONFIRMED)
UNSENT = 4
ENDS = (RowStatus.APPLIED, RowStatus.REJECTED, RowStatus.TOO_LATE)
RUN = "r1"


@dataclass
class Story:
    """What happened to one row, as a bystander remembers it."""

    ambiguous: list[bool | None] = field(default_factory=list)
    """For each attempt whether it may have been applied; None where it was never told."""
    under_way: bool = False
    outcome: Outcome | None = None

    @property
    def attempts(self) -> int:
        return len(self.ambiguous)

    @property
    def is_open(self) -> bool:
        return not self.under_way and (self.outcome is None or self.outcome.status in OPEN)

    @property
    def status(self) -> RowStatus:
        """What somebody who comes upon it now has to believe."""
        if self.outcome and self.outcome.attempts >= self.attempts:
            return self.outcome.status
        doubtful = any(told is not False for told in self.ambiguous)
        return RowStatus.UNCONFIRMED if doubtful else RowStatus.NOT_SENT

    @property
    def history(self) -> History:
        return History(self.attempts, any(told is not False for told in self.ambiguous))


class LedgerMachine(RuleBasedStateMachine):
    """One run of five rows, written by one program after another."""

    make = "sqlite"

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="bulkcast-machine-"))
        self.loop = asyncio.new_event_loop()
        self.kills = 0
        self.rows = {row: Story() for row in range(2, 7)}
        self.stack = ExitStack()
        self.outer = ExitStack()
        self.home = self.outer.enter_context(new_home(self.make, self.folder / "0"))
        with open_ledger(self.home) as ledger:
            ledger.create(header(RUN, 5), Plan(tuple(requests(5))), {})
        self.open()

    def open(self) -> None:
        self.ledger = self.stack.enter_context(open_ledger(self.home))
        self.ledger.reopen(RUN)
        self.journal = self.stack.enter_context(self.ledger.journal(RUN))

    def do(self, writing: Any) -> None:
        self.loop.run_until_complete(writing)

    @rule(row=ROWS, told=st.sampled_from([None, True, False, RowStatus.UNCONFIRMED, *ENDS]))
    def tries(self, row: int, told: bool | RowStatus | None) -> None:
        """One attempt, and what comes of it: nothing yet, an answer to go on from, or an end."""
        story = self.rows[row]
        if story.is_open:
            story.ambiguous.append(None)
            story.under_way = True
            intent = Intent(RequestKey(str(row)), story.attempts, 1e9 + story.attempts)
            self.do(self.journal.record_intent((intent,)))
        if story.under_way and told is not None:
            self.comes_back(row, story, told)

    def comes_back(self, row: int, story: Story, told: bool | RowStatus) -> None:
        story.under_way = False
        story.ambiguous[-1] = told in (True, RowStatus.UNCONFIRMED)
        if isinstance(told, bool):
            ended = Attempt(RequestKey(str(row)), story.attempts, 1e9, "104", told)
            self.do(self.journal.record((ended,)))
        else:
            story.outcome = Outcome(told, "1", {}, story.attempts, 1e9)
            self.record(row, story.attempts, story.outcome)

    @rule()
    def another_ends_unsent(self) -> None:
        story = self.rows[UNSENT]
        if story.outcome is None:
            story.outcome = Outcome(RowStatus.TOO_LATE, "plan.too_late", {"settings": "x"})
            self.record(UNSENT, 0, story.outcome)

    def record(self, row: int, number: int, outcome: Outcome) -> None:
        attempt = Attempt(RequestKey(str(row)), number, 1e9, outcome.code, False, outcome)
        self.do(self.journal.record((attempt,)))

    @rule()
    def is_killed(self) -> None:
        self.kills += 1
        if isinstance(self.home, Path):
            left = self.folder / str(self.kills)
            shutil.copytree(self.home, left)
            self.home = left
        self.stack.close()
        for story in self.rows.values():
            story.under_way = False
        self.check()
        self.open()

    @rule()
    @precondition(lambda self: not any(story.under_way for story in self.rows.values()))
    def is_read(self) -> None:
        self.check()

    def check(self) -> None:
        with open_ledger(self.home) as ledger:
            frozen, record = ledger.load(RUN), ledger.newest(RUN)
        told = frozen.by_row()
        assert {row: told[row].status for row in told} == {
            row: story.status for row, story in self.rows.items()
        }
        counted = [outcome.status for outcome in told.values()]
        assert {s: n for s, n in record.counts.items() if n} == {
            status: counted.count(status) for status in counted
        }
        self.check_history(frozen)

    def check_history(self, frozen: FrozenRun) -> None:
        """Whoever resumes goes on counting, and knows what may have been applied."""
        for row, story in self.rows.items():
            past = frozen.history.get(RequestKey(str(row)), History())
            if story.attempts and story.status in OPEN:
                assert past == story.history

    def teardown(self) -> None:
        self.stack.close()
        self.outer.close()
        self.loop.close()
        shutil.rmtree(self.folder)


LedgerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestLedgerMachine = LedgerMachine.TestCase


class SharedLedgerMachine(LedgerMachine):
    """The same in a database."""

    make = "postgresql"


SharedLedgerMachine.TestCase.settings = settings(
    max_examples=12, stateful_step_count=25, deadline=None
)
TestSharedLedgerMachine = SharedLedgerMachine.TestCase
