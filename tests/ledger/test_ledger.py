"""The ledger: gives back what it was given, or says that it cannot; one run at a time."""

import asyncio
import os
import random
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulkcast.errors import BulkcastError, CannotStart, InstitutionBusy, LedgerDamaged
from bulkcast.home import Home
from bulkcast.languages import translator
from bulkcast.ledger import (
    FILE_NAME,
    FrozenRun,
    Ledger,
    MonotonicClock,
    Timestamp,
    claim,
    open_ledger,
)
from bulkcast.ledger.codec import (
    pack_issues,
    pack_outcome,
    pack_request,
    pack_rows,
    pack_stop,
    unpack_issues,
    unpack_outcome,
    unpack_request,
    unpack_stop,
)
from bulkcast.ledger.sqlite import VERSION
from bulkcast.model import (
    Attempt,
    History,
    Institution,
    Intent,
    Issue,
    Outcome,
    Request,
    RequestKey,
    RowStatus,
    Severity,
    Stop,
    Target,
    Text,
)
from bulkcast.planner import Plan
from bulkcast.problems import issue
from tests.dispatcher_harness import header, request, requests
from tests.ledgers import MAKES, meddle, new_home, sqlite_of
from tests.measured_figures import Record
from tests.source_files import ROOT

POSIX = pytest.mark.skipif(os.name != "posix", reason="file modes mean little here")
SCHOOL = header("x", 0).institution
APPLIED = RowStatus.APPLIED


def key(n: int) -> RequestKey:
    return RequestKey(str(n))


# ------------------------------------------------------------------ values, there and back

ANY_TEXT = st.text(st.characters(), max_size=40)
"""Halves of surrogate pairs and NUL too."""
TEXTS = ANY_TEXT | st.sampled_from(["\0", "\ud800", "a\udfffb", "\u2028", "{}", "'\"\\"])
ARGS = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=6), TEXTS, max_size=3)
TIMES = st.floats(0, 4e9)
OUTCOMES = st.builds(
    Outcome, st.sampled_from(RowStatus), TEXTS, ARGS, st.integers(0, 30), st.none() | TIMES
)
VALUES = st.integers(-(2**63), 2**63 - 1) | TEXTS | st.lists(st.integers(1, 2**63)).map(tuple)
BODIES = st.lists(st.tuples(TEXTS, VALUES), max_size=6).map(tuple)
REQUESTS = st.builds(
    Request,
    st.integers(1, 10**6).map(key),
    st.lists(st.integers(1, 10**7), min_size=1, max_size=5).map(tuple),
    st.builds(Target, TEXTS, st.integers(1, 2**63 - 1)),
    BODIES,
    st.none() | st.integers(0, 4 * 10**9),
    st.none() | st.integers(1, 10**6).map(key),
)
MAYBE = st.none() | TEXTS


@st.composite
def issues(draw: st.DrawFn) -> Issue:
    """As `problems.issue` makes them: message and fix share their words."""
    args = draw(ARGS)
    return Issue(
        draw(TEXTS), draw(st.sampled_from(Severity)), draw(st.none() | st.integers(1)),
        draw(MAYBE), draw(MAYBE), draw(MAYBE), Text(draw(TEXTS), args), Text(draw(TEXTS), args),
    )  # fmt: skip


@given(OUTCOMES)
def test_an_outcome_comes_back_as_it_was(outcome: Outcome) -> None:
    assert unpack_outcome(pack_outcome(outcome)) == outcome


@given(REQUESTS)
def test_a_request_comes_back_as_it_was(wanted: Request) -> None:
    assert unpack_request(wanted.key, pack_rows(wanted.rows), pack_request(wanted)) == wanted


@given(st.lists(issues(), max_size=4).map(tuple))
def test_issues_come_back_as_they_were(found: tuple[Issue, ...]) -> None:
    assert unpack_issues(pack_issues(found)) == found


@given(st.none() | st.builds(Stop, TEXTS, TEXTS, ARGS, st.integers(0, 143)))
def test_a_stop_comes_back_as_it_was(stop: Stop | None) -> None:
    assert unpack_stop(pack_stop(stop)) == stop


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(MAKES),
    st.lists(REQUESTS, max_size=5, unique_by=lambda r: r.key),
    st.dictionaries(st.integers(10**8, 10**8 + 50), OUTCOMES, max_size=5),
    st.dictionaries(st.integers(10**8, 10**8 + 50), st.lists(issues(), max_size=2).map(tuple)),
    TEXTS,
)
def test_a_run_comes_back_from_disk_as_it_was_frozen(
    tmp_path_factory: pytest.TempPathFactory,
    make: str,
    wanted: list[Request],
    settled: dict[int, Outcome],
    found: dict[int, tuple[Issue, ...]],
    sheet: str,
) -> None:
    rows = {row for request in wanted for row in request.rows} | settled.keys()
    head = header("r1", len(wanted), sheet=sheet, n_rows=len(rows), headers=(sheet, "", "录课"))
    with new_home(make, tmp_path_factory.mktemp("home")) as home:
        with open_ledger(home) as ledger:
            ledger.create(head, Plan(tuple(wanted), settled), found)

        with open_ledger(home) as ledger:
            frozen = ledger.load("r1")

    assert frozen.header == head
    assert frozen.requests == tuple(wanted)
    assert frozen.settled == settled
    assert {row: told for row, told in frozen.issues.items() if told} == {
        row: told for row, told in found.items() if told
    }
    assert (frozen.finished_at, frozen.stop, frozen.history) == (None, None, {})
    assert {outcome.status for outcome in frozen.outcomes.values()} <= {RowStatus.NOT_SENT}


UNDECODABLE = ["a\0b", "\ud800", "a\udcff", "\\u0000\0\\", "\U0001f600\\\ud800"]


@pytest.mark.parametrize("text", UNDECODABLE)
async def test_text_that_a_database_cannot_store_comes_back_from_cells_and_replies(
    any_home: Home, text: str
) -> None:
    kept = Outcome(RowStatus.REJECTED, "104", {"kept": "1", "message": text, "run": "r0"}, 1)
    wanted = [request(row) for row in (2, 3, 4)]
    ends = [
        Outcome(status, "1", {"message": text}, 1, 1.0)
        for status in (APPLIED, RowStatus.REJECTED, RowStatus.UNCONFIRMED)
    ]
    with open_ledger(any_home) as ledger:
        ledger.create(header("r1", 3, sheet=text, n_rows=4), Plan(tuple(wanted), {9: kept}), {})
        with ledger.journal("r1") as journal:
            await journal.record_intent([Intent(r.key, 1, 1.0, 0.0) for r in wanted])
            await journal.record(
                [
                    Attempt(r.key, 1, 1.0, "1", ambiguous=False, outcome=end)
                    for r, end in zip(wanted, ends, strict=True)
                ]
            )
        frozen = ledger.load("r1")

        assert [frozen.outcomes[r.key] for r in wanted] == ends
        assert frozen.settled[9] == kept
        assert sum(ledger.newest("r1").counts.values()) == 4
        assert len(ledger.failures("r1", 9)) == 2


def test_a_run_frozen_in_part_is_not_frozen_at_all(any_home: Home) -> None:
    twice = [request(2), request(2)]
    broken = Plan((*twice, Request(key(3), (3,), twice[0].target, (("x", object()),))))  # type: ignore[arg-type] # what cannot be stored
    with open_ledger(any_home) as ledger:
        with pytest.raises(TypeError):
            ledger.create(header("r1", 3), broken, {})

        assert ledger.runs() == []
        ledger.create(header("r1", 1), Plan((request(2),)), {})


# ------------------------------------------------------------------ the journal


@dataclass
class Story:
    """A run of five requests whose journal is written step by step."""

    home: Home

    def write(self, *steps: Intent | Attempt) -> FrozenRun:
        """Write the steps and read the run back with another ledger, as after a crash."""

        async def main() -> None:
            with open_ledger(self.home) as ledger:
                if not ledger.runs():
                    ledger.create(header("r1", 5), Plan(tuple(requests(5))), {})
                with ledger.journal("r1") as journal:
                    for step in steps:
                        if isinstance(step, Intent):
                            await journal.record_intent((step,))
                        else:
                            await journal.record((step,))

        asyncio.run(main())
        with open_ledger(self.home) as ledger:
            record, frozen = ledger.newest(), ledger.load("r1")
        counted = [outcome.status for outcome in frozen.by_row().values()]
        assert {s: n for s, n in record.counts.items() if n} == {
            status: counted.count(status) for status in counted
        }
        return frozen


@pytest.fixture
def story(any_home: Home) -> Story:
    return Story(any_home)


def intent(number: int, row: int = 2) -> Intent:
    return Intent(key(row), number, 1_803_859_200.0 + number)


def ended(number: int, *, ambiguous: bool, row: int = 2) -> Attempt:
    return Attempt(key(row), number, 1_803_859_201.0, "send.timeout", ambiguous)


def settled(status: RowStatus, attempts: int, row: int = 2) -> Attempt:
    outcome = Outcome(status, "1", {"said": "ok"}, attempts, 1_803_859_202.0)
    return Attempt(key(row), attempts, 1_803_859_202.0, "1", False, outcome)


def ending(frozen: FrozenRun, row: int = 2) -> tuple[RowStatus, str, int]:
    outcome = frozen.by_row()[row]
    return outcome.status, outcome.code, outcome.attempts


def test_a_request_nobody_began_with_is_not_sent(story: Story) -> None:
    assert ending(story.write()) == (RowStatus.NOT_SENT, "run.interrupted", 0)


def test_an_intent_without_an_end_is_unconfirmed(story: Story) -> None:
    frozen = story.write(intent(1))

    assert ending(frozen) == (RowStatus.UNCONFIRMED, "send.crashed", 1)
    assert frozen.history == {key(2): History(1, ambiguous=True)}


def test_an_attempt_that_ended_for_sure_leaves_a_request_not_sent(story: Story) -> None:
    frozen = story.write(intent(1), ended(1, ambiguous=False))

    assert ending(frozen) == (RowStatus.NOT_SENT, "run.interrupted", 1)
    assert frozen.history == {key(2): History(1, ambiguous=False)}


def test_one_ambiguous_attempt_among_several_leaves_it_unconfirmed(story: Story) -> None:
    frozen = story.write(intent(1), ended(1, ambiguous=True), intent(2), ended(2, ambiguous=False))

    assert ending(frozen) == (RowStatus.UNCONFIRMED, "send.crashed", 2)


def test_an_outcome_is_what_a_request_ended_with(story: Story) -> None:
    frozen = story.write(intent(1), ended(1, ambiguous=True), intent(2), settled(APPLIED, 2))

    assert ending(frozen) == (APPLIED, "1", 2)
    assert frozen.outcomes[key(2)].args == {"said": "ok"}
    assert frozen.history == {}, "what is over is not resumed"


def test_a_resumed_request_keeps_its_older_outcome_until_it_ends_again(story: Story) -> None:
    before = story.write(intent(1), settled(RowStatus.NOT_SENT, 1))
    during = story.write(intent(2))
    after = story.write(settled(APPLIED, 2))

    assert ending(before) == (RowStatus.NOT_SENT, "1", 1)
    assert before.history == {key(2): History(1, ambiguous=False)}
    assert ending(during) == (RowStatus.UNCONFIRMED, "send.crashed", 2)
    assert ending(after) == (APPLIED, "1", 2)


def test_an_unconfirmed_request_stays_so_for_its_next_program(story: Story) -> None:
    frozen = story.write(intent(1), settled(RowStatus.UNCONFIRMED, 1))

    assert frozen.history == {key(2): History(1, ambiguous=True)}


def test_a_request_that_ended_without_an_attempt_has_its_outcome(story: Story) -> None:
    frozen = story.write(settled(RowStatus.TOO_LATE, 0), settled(RowStatus.NOT_SENT, 0, row=3))

    assert ending(frozen) == (RowStatus.TOO_LATE, "1", 0)
    assert ending(frozen, row=3) == (RowStatus.NOT_SENT, "1", 0)


async def test_an_intent_is_on_disk_when_its_await_returns(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        ledger.create(header("r1", 2), Plan(tuple(requests(2))), {})
        with ledger.journal("r1") as journal:
            (level,) = sqlite_of(journal).execute("PRAGMA synchronous").fetchone()
            assert level == 2, "FULL: every commit is synced"
            for number in range(1, 6):
                await journal.record_intent((intent(number),))
                assert stamps(tmp_path) == number
            await journal.record((settled(APPLIED, 5),))
            with open_ledger(tmp_path) as other:
                assert ending(other.load("r1")) == (APPLIED, "1", 5)


def stamps(home: Path) -> int:
    with sqlite3.connect(home / FILE_NAME) as another:
        (n,) = another.execute("SELECT count(*) FROM attempts").fetchone()
    another.close()
    return int(n)


async def test_what_is_written_in_one_moment_shares_a_transaction(tmp_path: Path) -> None:
    with open_ledger(tmp_path) as ledger:
        ledger.create(header("r1", 500), Plan(tuple(requests(500))), {})
        with ledger.journal("r1") as journal:
            said: list[str] = []
            sqlite_of(journal).set_trace_callback(said.append)
            await asyncio.gather(
                *(journal.record_intent((intent(1, row),)) for row in range(2, 502))
            )
            await asyncio.gather(
                *(journal.record((settled(APPLIED, 1, row),)) for row in range(2, 502))
            )

    assert stamps(tmp_path) == 500
    assert said.count("COMMIT") <= 4
    with open_ledger(tmp_path) as ledger:
        assert {o.status for o in ledger.load("r1").outcomes.values()} == {APPLIED}


async def test_a_cancelled_writer_takes_no_other_with_it(any_home: Home) -> None:
    with open_ledger(any_home) as ledger:
        ledger.create(header("r1", 60), Plan(tuple(requests(60))), {})
        with ledger.journal("r1") as journal:
            tasks = [
                asyncio.create_task(journal.record_intent((intent(1, row),)))
                for row in range(2, 62)
            ]
            await asyncio.sleep(0)
            for task in tasks[::3]:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            await journal.record((settled(APPLIED, 1, 3),))

    cancelled = [isinstance(end, asyncio.CancelledError) for end in ends]
    assert cancelled == [n % 3 == 0 for n in range(60)]
    with open_ledger(any_home) as ledger:
        history = ledger.load("r1").history
    missing = [row for row in range(2, 62) if row != 3 and key(row) not in history]
    assert all(cancelled[row - 2] for row in missing)


async def test_a_ledger_that_cannot_be_written_says_so_to_everyone_who_waits(
    tmp_path: Path,
) -> None:
    with open_ledger(tmp_path) as ledger:
        ledger.create(header("r1", 3), Plan(tuple(requests(3))), {})
        with ledger.journal("r1") as journal:
            await journal.record_intent((intent(1),))
            (pages,) = sqlite_of(journal).execute("PRAGMA page_count").fetchone()
            sqlite_of(journal).execute(f"PRAGMA max_page_count = {pages}")
            ends = await asyncio.gather(
                *(
                    journal.record_intent([intent(n, row) for n in range(2, 3000)])
                    for row in (2, 3, 4)
                ),
                return_exceptions=True,
            )
            assert all(isinstance(end, BulkcastError) for end in ends)
            assert "the ledger cannot be written: database or disk is full" in str(ends[0])

            sqlite_of(journal).execute(f"PRAGMA max_page_count = {pages + 5000}")
            with pytest.raises(BulkcastError, match="is full"):
                await journal.record_intent((intent(2),))
            await journal.record((ended(1, ambiguous=False),))
        with ledger.journal("r1") as another:
            await another.record_intent((intent(2),))

    with open_ledger(tmp_path) as ledger:
        assert ledger.load("r1").history == {key(2): History(2, ambiguous=True)}


# ------------------------------------------------------------------ runs


def test_a_run_that_ended_says_when_and_why_until_it_goes_on(any_home: Home) -> None:
    stop = Stop("outage", "run.outage", {"minutes": "45"}, 5)
    with open_ledger(any_home) as ledger:
        ledger.create(header("r1", 1), Plan((request(2),)), {})
        ledger.finish("r1", stop, 1_803_859_300)
        ended_ = ledger.newest()
        ledger.reopen("r1")
        again = ledger.load("r1")

    assert (ended_.finished_at, ended_.stop) == (1_803_859_300.0, stop)
    assert (again.finished_at, again.stop) == (None, None)


def named(home: Home, *names: str) -> Ledger:
    ledger = open_ledger(home)
    for at, name in enumerate(names):
        ledger.create(header(name, 1, created_at=float(at)), Plan((request(2),)), {})
    return ledger


def test_a_run_is_found_by_the_beginning_of_its_name(any_home: Home) -> None:
    with named(any_home, "20270301-080000-aa11", "20270301-090000-bb22", "2028") as ledger:
        assert ledger.newest().header.run == "2028"
        assert ledger.newest("20270301-08").header.run == "20270301-080000-aa11"
        assert ledger.newest("2028").header.run == "2028"
        with pytest.raises(CannotStart, match=r"several runs are called 2027.*give more") as many:
            ledger.newest("2027")
        assert "20270301-090000-bb22、20270301-080000-aa11；" in translator("zh").error(many.value)
        with pytest.raises(CannotStart, match="there is no run 2029"):
            ledger.newest("2029")
        with pytest.raises(CannotStart, match="there is no run 20%"):
            ledger.newest("20%")
        assert [record.header.run for record in ledger.runs()] == [
            "2028", "20270301-090000-bb22", "20270301-080000-aa11",
        ]  # fmt: skip


def test_a_whole_name_wins_over_a_longer_one_that_begins_so(any_home: Home) -> None:
    with named(any_home, "r1", "r10") as ledger:
        assert ledger.newest("r1").header.run == "r1"
        assert ledger.load("r1").header.run == "r1"
        with pytest.raises(CannotStart, match="no run r"):
            ledger.load("r")


@pytest.mark.parametrize("name", ["r\0", "r\udcff", "%s ? :run"])
def test_a_name_that_a_database_refuses_is_no_run(any_home: Home, name: str) -> None:
    """A result sheet's cell or the page's address may have it."""
    with open_ledger(any_home) as ledger:
        ledger.create(header("r1", 0), Plan((), {}), {})
        with pytest.raises(CannotStart, match="there is no run"):
            ledger.load(name)
        assert ledger.record(name) is None
        assert ledger.end(name) is None


def test_an_empty_ledger_has_no_newest_run(any_home: Home) -> None:
    with open_ledger(any_home) as ledger, pytest.raises(CannotStart, match="there is no run yet"):
        ledger.newest()


async def test_recent_stamps_are_those_of_the_institution_whatever_the_run(tmp_path: Path) -> None:
    other = Institution(SCHOOL.root_url, "12345")
    with open_ledger(tmp_path) as ledger:
        for run, institution in (("r1", SCHOOL), ("r2", SCHOOL), ("r3", other)):
            ledger.create(header(run, 1, institution=institution), Plan((request(2),)), {})
        for run, first in (("r1", 100.0), ("r2", 50.0), ("r3", 70.0)):
            with ledger.journal(run) as journal:
                await journal.record_intent([Intent(key(2), n, first + n) for n in range(1, 4)])

        now = Timestamp(104.0)
        assert ledger.sent_lately(SCHOOL, now, 52.5) == [52.0, 51.0, 3.0, 2.0, 1.0]
        assert ledger.sent_lately(other, now, 1000.0) == [33.0, 32.0, 31.0]
        assert ledger.sent_lately(Institution("https://else.where", SCHOOL.sid), now, 1000.0) == []


# ------------------------------------------------------------------ the file


@POSIX
async def test_nobody_else_can_read_the_ledger(tmp_path: Path) -> None:
    home = tmp_path / "a" / "home"
    before = os.umask(0)
    try:
        with open_ledger(home) as ledger:
            ledger.create(header("r1", 1), Plan((request(2),)), {})
            with ledger.journal("r1") as journal:
                await journal.record_intent((intent(1),))
                modes = {p.name: p.stat().st_mode & 0o777 for p in home.iterdir()}
    finally:
        os.umask(before)

    names = {FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm"}
    assert modes == {**dict.fromkeys(names, 0o600), "runs": 0o700}
    assert home.stat().st_mode & 0o777 == 0o700


def test_a_file_in_the_place_of_the_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("", "utf-8")

    for home in (tmp_path / "home", tmp_path / "home" / "deeper"):
        with pytest.raises(CannotStart, match=r"cannot be written .*set BULKCAST_HOME"):
            open_ledger(home)


def test_a_folder_in_the_place_of_the_file_is_said(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()

    with pytest.raises(CannotStart, match="cannot be opened"):
        open_ledger(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"hello\n", b"PK\x03\x04" + b"x" * 5000, b"SQLite format 3\0" + b"\xff" * 4080, b"\0" * 4096],
    ids=["text", "zip", "a torn header", "zeros"],
)
def test_a_file_that_is_no_database_is_refused_and_left_alone(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)

    with pytest.raises((LedgerDamaged, CannotStart), match=FILE_NAME):
        open_ledger(tmp_path)

    assert (tmp_path / FILE_NAME).read_bytes() == content


@pytest.mark.parametrize("version", [0, 1, VERSION, 99])
def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path, version: int) -> None:
    path = tmp_path / FILE_NAME
    with sqlite3.connect(path) as foreign:
        foreign.execute("CREATE TABLE places (url TEXT)")
        foreign.execute(f"PRAGMA user_version = {version}")
    foreign.close()
    before = path.read_bytes()

    with pytest.raises(LedgerDamaged, match="another program's"):
        open_ledger(tmp_path)

    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [FILE_NAME]


def test_a_ledger_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    open_ledger(tmp_path).__exit__()
    with sqlite3.connect(tmp_path / FILE_NAME) as newer:
        newer.execute(f"PRAGMA user_version = {VERSION + 1}")
    newer.close()
    before = (tmp_path / FILE_NAME).read_bytes()

    with pytest.raises(CannotStart, match=f"of version {VERSION + 1}.*install the newer"):
        open_ledger(tmp_path)

    assert (tmp_path / FILE_NAME).read_bytes() == before


def test_programs_that_begin_together_make_one_ledger(tmp_path: Path) -> None:
    together = threading.Barrier(6)
    failures: list[Exception] = []

    def begin() -> None:
        together.wait()
        try:
            with open_ledger(tmp_path / "home") as ledger:
                ledger.runs()
        except BulkcastError as exc:
            failures.append(exc)

    threads = [threading.Thread(target=begin) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []


# ------------------------------------------------------------------ damage


def full_ledger(home: Home) -> FrozenRun:
    """A ledger with something of everything in it."""

    async def main() -> None:
        found = {
            row: (issue("text.cut", row=row, value="录课" * 20, n="60", most="50"),)
            for row in (2, 40, 45)
        }
        invalid = {row: Outcome(RowStatus.INVALID, "id.fraction") for row in range(40, 50)}
        plan = Plan(tuple(requests(30)), invalid)
        with open_ledger(home) as ledger:
            ledger.create(header("r0", 1), Plan((request(2),)), {})
            ledger.create(header("r1", 30, n_rows=40), plan, found)
            with ledger.journal("r1", MonotonicClock(lambda: 7.0, "start")) as journal:
                for row in range(2, 28):
                    await journal.record_intent((intent(1, row),))
                for row in range(2, 12):
                    await journal.record((settled(APPLIED, 1, row),))
                for row in range(12, 18):
                    await journal.record((ended(1, ambiguous=row % 2 == 0, row=row),))
            ledger.finish("r1", Stop("interrupted", "run.interrupted", {}, 130), 1.5)

    asyncio.run(main())
    with open_ledger(home) as ledger:
        return ledger.load("r1")


@dataclass(frozen=True)
class Tally:
    """What became of damaged ledgers."""

    refused: int
    unharmed: int
    silent: Sequence[int]
    """The bits that changed what was read, unnoticed."""


def flipped(tmp_path: Path, seed: int, times: int) -> Tally:
    written = full_ledger(tmp_path / "home")
    whole = (tmp_path / "home" / FILE_NAME).read_bytes()
    broken = tmp_path / "broken"
    broken.mkdir()
    dice = random.Random(seed)
    refused, unharmed, silent = 0, 0, []
    for _ in range(times):
        bit = dice.randrange(len(whole) * 8)
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        for name in (FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm"):
            (broken / name).unlink(missing_ok=True)
        (broken / FILE_NAME).write_bytes(damaged)
        try:
            with open_ledger(broken) as ledger:
                read = ledger.load("r1")
                ledger.runs()
                ledger.sent_lately(SCHOOL, Timestamp(0.0), 1.0)
        except (LedgerDamaged, CannotStart):
            refused += 1
        else:
            unharmed += read == written
            silent += [] if read == written else [bit]
    return Tally(refused, unharmed, silent)


def noted(tally: Tally, record_property: Record) -> None:
    record_property("damaged ledgers tried", tally.refused + tally.unharmed)
    record_property("damaged ledgers resumed unnoticed", len(tally.silent))
    assert tally.silent == []


@pytest.mark.slow
def test_a_flipped_bit_is_noticed_or_changes_nothing(
    tmp_path: Path, record_property: Record
) -> None:
    tally = flipped(tmp_path, seed=1, times=400)

    noted(tally, record_property)
    assert tally.refused > 40
    assert tally.unharmed > 40


@pytest.mark.long
def test_no_flipped_bit_of_twenty_thousand_goes_unnoticed(
    tmp_path: Path, record_property: Record
) -> None:
    noted(flipped(tmp_path, seed=2, times=20_000), record_property)


CHECKSUMS = [
    ("runs", "crc"), ("runs", "end_crc"), ("requests", "crc"), ("boots", "crc"),
    ("attempts", "crc"), ("attempts", "end_crc"), ("outcomes", "crc"), ("settled", "crc"),
]  # fmt: skip


def test_every_checksum_of_the_schema_is_looked_at_below(tmp_path: Path) -> None:
    full_ledger(tmp_path)
    with sqlite3.connect(tmp_path / FILE_NAME) as found:
        columns = found.execute(
            "SELECT m.name, c.name FROM sqlite_master AS m, pragma_table_info(m.name) AS c"
            " WHERE m.type = 'table' AND c.name LIKE '%crc'"
        ).fetchall()
    found.close()
    assert sorted(columns) == sorted(CHECKSUMS)


@pytest.mark.parametrize(
    ("make", "table", "column"),
    [
        (make, *place)
        for make in MAKES
        for place in CHECKSUMS
        if (make, place[0]) != ("postgresql", "boots")  # no computer's own clock counts there
    ],
)
def test_a_checksum_that_does_not_fit_is_refused(
    tmp_path: Path, make: str, table: str, column: str
) -> None:
    """Whatever was damaged may still be well-formed, so nothing but the checksum can tell."""

    def read(home: Home) -> None:
        with open_ledger(home) as ledger:
            ledger.load("r1")
            ledger.sent_lately(SCHOOL, Timestamp(0.0), 1.0)

    with new_home(make, tmp_path) as home:
        full_ledger(home)
        spoil = "UPDATE {0} SET {1} = {1} + 1 WHERE {1} IS NOT NULL"
        assert meddle(home, spoil.format(table, column))
        with pytest.raises(LedgerDamaged, match="as it was written"):
            read(home)


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_ledger_cut_short_is_refused(tmp_path: Path, kept: float) -> None:
    full_ledger(tmp_path)
    path = tmp_path / FILE_NAME
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])

    with pytest.raises((LedgerDamaged, CannotStart)), open_ledger(tmp_path) as ledger:
        ledger.load("r1")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE requests SET frozen = replace(frozen, 'recordState', 'recordType')",
        "UPDATE requests SET rows = '3' WHERE rows = '2'",
        "UPDATE requests SET n_rows = 2",
        "UPDATE outcomes SET status = 'unconfirmed'",
        "UPDATE outcomes SET attempts = 0",
        "UPDATE outcomes SET outcome = replace(outcome, 'applied', 'rejected')",
        "UPDATE attempts SET ambiguous = 0 WHERE ended IS NOT NULL",
        "UPDATE attempts SET ambiguous = 0, code = '', ended = 1 WHERE ended IS NULL",
        "UPDATE attempts SET stamp = stamp + 1",
        "UPDATE attempts SET number = 2",
        "UPDATE settled SET status = 'applied'",
        "UPDATE runs SET stop = NULL",
        "UPDATE runs SET finished_at = 2",
        "UPDATE runs SET header = replace(header, 'term', 'other')",
        "UPDATE runs SET sid = '1'",
        "DELETE FROM requests WHERE seq = 5",
        "DELETE FROM settled WHERE row = 41",
    ],
)
def test_whoever_changes_a_stored_value_is_noticed(any_home: Home, statement: str) -> None:
    full_ledger(any_home)
    assert meddle(any_home, statement) > 0

    with open_ledger(any_home) as ledger, pytest.raises(LedgerDamaged):
        ledger.load("r1")


# ------------------------------------------------------------------ the claim

HOLDER = """
import sys
from pathlib import Path
from bulkcast.ledger import claim, open_ledger
from bulkcast.model import Institution
home, url, sid = sys.argv[1:]
with claim(Path(home), Institution(url, sid), run="r-one", since="08:00"):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(home: Path) -> "subprocess.Popen[str]":
    """Another process that holds the school until its stdin ends."""
    root = ROOT
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(home), SCHOOL.root_url, SCHOOL.sid],
        cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def take(home: Path, institution: Institution = SCHOOL) -> None:
    with claim(home, institution, run="r-two", since="09:00"):
        pass


def test_a_second_program_is_refused_at_once_and_told_who_holds_it(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        with pytest.raises(InstitutionBusy) as refused:
            take(tmp_path)
        process.communicate()

    assert str(refused.value) == (
        f"institution {SCHOOL.sid} at {SCHOOL.root_url} is held by run r-one"
        f" (process {process.pid}, since 08:00); wait for it"
    )
    take(tmp_path)


def test_other_institutions_and_other_homes_are_free(tmp_path: Path) -> None:
    with claim(tmp_path, SCHOOL, run="r1", since=""):
        take(tmp_path, Institution(SCHOOL.root_url, "12345"))
        take(tmp_path, Institution("https://else.where", SCHOOL.sid))
        take(tmp_path / "other")


def test_the_same_program_cannot_hold_it_twice_either(tmp_path: Path) -> None:
    with claim(tmp_path, SCHOOL, run="r1", since=""):
        with pytest.raises(InstitutionBusy):
            take(tmp_path)
        with pytest.raises(InstitutionBusy):
            take(tmp_path)

    take(tmp_path)


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.kill()

    take(tmp_path)


def test_a_run_that_fails_holds_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="boom"), claim(tmp_path, SCHOOL, run="r", since=""):
        raise ValueError("boom")

    take(tmp_path)


@pytest.mark.parametrize("note", [b"", b"{", b"[]", b"{}", b"\xff", b"7"])
def test_an_unreadable_note_of_the_holder_is_no_traceback(tmp_path: Path, note: bytes) -> None:
    with claim(tmp_path, SCHOOL, run="r1", since=""):
        (path,) = (tmp_path / "locks").iterdir()
        path.write_bytes(note)
        with pytest.raises(InstitutionBusy, match="is held by another run; wait for it"):
            take(tmp_path)
