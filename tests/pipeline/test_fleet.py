"""Runs that the workers of a fleet send: the same rows end the same way as in a run sent here."""

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from bulkcast.config import Config
from bulkcast.dispatcher.memory import Memory
from bulkcast.dispatcher.server_clock import clock_off
from bulkcast.dispatcher.write_ordering import WAITED
from bulkcast.endpoints import WEBCAST
from bulkcast.errors import CannotStart, DatabaseUnreachable, LedgerUnwritable
from bulkcast.home import SharedHome
from bulkcast.languages import translator
from bulkcast.ledger import open_ledger
from bulkcast.ledger.postgres import PostgresLedger
from bulkcast.model import Attempt, Body, Change, Intent, Outcome, RowStatus, Text, is_rehearsal
from bulkcast.pipeline import (
    SendOptions,
    apply,
    fleet_control,
    lane_remarks,
    prepare,
    purge,
    purgeable,
    resubmission,
    results,
    resume,
    submission,
)
from bulkcast.pipeline.execution import Parts
from bulkcast.pipeline.fleet_control import lane_of
from bulkcast.pipeline.lanes import recalled, remembered
from bulkcast.pipeline.preparation import one_spelling
from bulkcast.sandbox import World, read_fault
from tests.dispatcher_harness import classroom
from tests.fleet_harness import Fleet, ended, fleet
from tests.ledgers import meddle
from tests.sheets import plain, read_rows

FAST = SendOptions(rate=6_000.0)
"""Six thousand a minute."""
SOME_FAIL = (classroom(7, "code:104", "ok"), classroom(9, "close", "ok"))


async def test_a_run_is_sent_by_a_worker_and_followed(tmp_path: Path) -> None:
    async with fleet(tmp_path) as found, found.worker():
        report = await apply(prepare(plain(tmp_path / "term.csv", 30)), found.config, FAST)
        with open_ledger(found.home) as ledger:
            record = ledger.newest(report.run)

    assert report.counts[RowStatus.APPLIED] == 30
    assert [row["bulkcast_status"] for row in read_rows(report.results)] == ["applied"] * 30
    assert record.state == "finished"
    assert record.header.sending is not None
    assert record.header.sending.by == "li"
    assert len(found.sandbox.log) == 30


async def test_the_results_are_had_on_another_computer(tmp_path: Path) -> None:
    async with fleet(tmp_path) as found, found.worker():
        report = await apply(prepare(plain(tmp_path / "term.csv", 5)), found.config, FAST)
        elsewhere = replace(found.home, folder=tmp_path / "another")
        (tmp_path / "term.csv").unlink()
        results(elsewhere, report.run, lang="en", target=tmp_path / "again.csv")

    assert report.results is not None
    assert read_rows(tmp_path / "again.csv") == read_rows(report.results)


async def test_without_a_worker_a_run_is_not_begun(tmp_path: Path) -> None:
    async with fleet(tmp_path) as found:
        prepared = prepare(plain(tmp_path / "term.csv", 3))
        with pytest.raises(CannotStart, match="no worker is there"):
            await apply(prepared, found.config)
        with open_ledger(found.home) as ledger:
            assert ledger.names() == []


async def test_a_sheet_that_has_changed_is_not_handed_in(tmp_path: Path) -> None:
    async with fleet(tmp_path) as found:
        prepared = prepare(plain(tmp_path / "term.csv", 3))
        plain(tmp_path / "term.csv", 4)
        with pytest.raises(CannotStart, match="has changed"):
            await found.submit(prepared)
        with open_ledger(found.home) as ledger:
            assert ledger.names() == []


async def test_whoever_hands_in_holds_no_lock_of_a_session(tmp_path: Path) -> None:
    """A pooler such as PgBouncer gives each transaction another session: it would stay locked."""
    locks = (
        "SELECT l.pid IN (SELECT pid FROM pg_stat_activity WHERE xact_start IS NOT NULL)"
        " FROM pg_locks AS l WHERE locktype = 'advisory'"
    )
    async with fleet(tmp_path) as found:
        with open_ledger(found.home) as ledger, psycopg.connect(found.home.database) as looking:
            assert isinstance(ledger, PostgresLedger)
            with ledger.submitting([found.config.institution]):
                assert looking.execute(locks).fetchall() == [(True,)]
                waiting = asyncio.create_task(found.submit(prepare(plain(tmp_path / "t.csv", 3))))
                await asyncio.sleep(0.5)
                assert ledger.names() == []
            await waiting
            assert looking.execute(locks).fetchall() == []
            assert len(ledger.names()) == 1


async def test_a_run_that_another_admin_has_just_reopened_is_left_alone(tmp_path: Path) -> None:
    """Its unconfirmed requests are those of now, and would be sent once more."""
    async with fleet(tmp_path) as found:
        run = (await found.submit(prepare(plain(tmp_path / "term.csv", 3)))).run
        with open_ledger(found.home) as ledger:
            assert isinstance(ledger, PostgresLedger)
            key = ledger.waiting(run, 1).requests[0].key
            outcome = Outcome(RowStatus.UNCONFIRMED, "x", {}, 1, 1.0)
            with ledger.journal(run) as journal:
                await journal.record_intent([Intent(key, 1, 1.0, 0.0)])
                await journal.record([Attempt(key, 1, 1.0, "", ambiguous=True, outcome=outcome)])
            ledger.reopen(run)
            assert len(ledger.waiting(run, 9).requests) == 2


@pytest.mark.parametrize("is_committed", [True, False])
async def test_whoever_loses_the_database_while_handing_in_knows_whether_it_was_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_committed: bool
) -> None:
    """Told that it was not, they would hand it in again."""
    together = PostgresLedger.together

    @contextmanager
    def breaks_off(self: PostgresLedger) -> Iterator[None]:
        with suppress(ZeroDivisionError), together(self):
            yield
            if not is_committed:
                raise ZeroDivisionError
        raise LedgerUnwritable("the connection broke")

    monkeypatch.setattr(PostgresLedger, "together", breaks_off)
    async with fleet(tmp_path) as found:
        prepared = prepare(plain(tmp_path / "term.csv", 3))
        with nullcontext() if is_committed else pytest.raises(LedgerUnwritable):
            await found.submit(prepared)
        with open_ledger(found.home) as ledger:
            copies = [path.name for path in (found.home.folder / "runs").iterdir()]
            assert copies == ledger.names()
            assert len(copies) == is_committed


async def test_a_run_in_a_sandbox_says_so_in_its_name(tmp_path: Path) -> None:
    """Or a real command would take its rows as done."""
    async with fleet(tmp_path) as found:
        run = await found.submit(prepare(plain(tmp_path / "term.csv", 3)))

    assert is_rehearsal(run.run)


async def test_whoever_cannot_follow_a_run_is_told_that_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else they would hand it in again."""

    def lost(*_: object) -> None:
        raise DatabaseUnreachable("the connection broke")

    monkeypatch.setattr(submission, "_PATIENCE_S", 0.0)
    monkeypatch.setattr(submission, "_states", lost)
    async with fleet(tmp_path) as found, found.worker():
        with pytest.raises(DatabaseUnreachable) as caught:
            await apply(prepare(plain(tmp_path / "term.csv", 3)), found.config, FAST)
        with open_ledger(found.home) as ledger:
            (run,) = ledger.names()

    assert f"run {run} is handed in" in str(caught.value)
    assert "(the connection broke)" in str(caught.value)


async def test_what_waits_takes_effect_after_what_was_acknowledged(tmp_path: Path) -> None:
    """Or a row would be `unchanged` that the waiting run is about to change."""
    prepared = prepare(plain(tmp_path / "term.csv", 1))
    target = prepared.plan.requests[0].target
    async with fleet(tmp_path) as found:
        first, second = (await found.submit(prepared)).run, (await found.submit(prepared)).run
        with open_ledger(found.home) as ledger:
            key = prepared.plan.requests[0].key
            later = ledger.newest(second).header.created_at + 60.0
            outcome = Outcome(RowStatus.APPLIED, "1", {}, 1, later)
            with ledger.journal(first) as journal:
                await journal.record_intent([Intent(key, 1, later, 0.0)])
                await journal.record(
                    [Attempt(key, 1, later, "1", ambiguous=False, outcome=outcome)]
                )
            known = ledger.acknowledged(one_spelling(found.config.institution), [target])

    assert [(entry.run, entry.sure) for entry in known[target]] == [(first, True), (second, False)]


@pytest.mark.parametrize("ahead_s", [-7_200.0, 7_200.0])
async def test_a_row_that_a_newer_run_has_set_is_superseded_whatever_the_workers_clock(
    tmp_path: Path, ahead_s: float
) -> None:
    """Also if a run between them did, and the newest says nothing of that setting."""
    old = prepare(plain(tmp_path / "old.csv", 1))
    (request,) = old.plan.requests
    other = tuple((key, 0 if key == "openState" else value) for key, value in request.body)
    rest = tuple(each for each in request.body if each[0] != "openState")
    async with fleet(tmp_path) as found:
        changes = [row for row in old.checked.rows if isinstance(row, Change)]

        async def newer_of(*runs: str) -> list[object]:
            again = {change.row: runs[0] for change in changes}
            with open_ledger(found.home) as ledger:
                at = ledger.newest(runs[0]).header.created_at + ahead_s
                for run in runs:
                    status = RowStatus.REJECTED if run == runs[0] else RowStatus.APPLIED
                    outcome = Outcome(status, "1", {}, 1, at)
                    end = Attempt(request.key, 1, at, "1", ambiguous=False, outcome=outcome)
                    with ledger.journal(run) as journal:
                        await journal.record_intent([Intent(request.key, 1, at, 0.0)])
                        await journal.record([end])
                institution = one_spelling(found.config.institution)
                found_newer = resubmission.superseded(ledger, institution, changes, again)
            return [outcome.args["newer"] for outcome in found_newer.values()]

        async def submitted(body: Body) -> str:
            plan = replace(old.plan, requests=(replace(request, body=body),))
            return (await found.submit(replace(old, plan=plan))).run

        first, second = await submitted(request.body), await submitted(other)
        assert await newer_of(first, second) == [second]
        again, between, last = [await submitted(each) for each in (request.body, other, rest)]
        assert await newer_of(again, between, last) == [last]


async def test_a_damaged_run_ends_and_does_not_hold_up_those_behind_it(tmp_path: Path) -> None:
    async with fleet(tmp_path) as found:
        damaged, whole = [
            (await found.submit(prepare(plain(tmp_path / f"{n}.csv", 3)), rate=100.0)).run
            for n in range(2)
        ]
        changed = (
            "UPDATE requests SET key = 'x' WHERE seq = 1"  # noqa: S608 - our own name
            f" AND run_id = (SELECT id FROM runs WHERE run = '{damaged}')"
        )
        assert meddle(found.home, changed) == 1
        async with found.worker():
            records = [await ended(found, run) for run in (damaged, whole)]

    assert [record.counts[RowStatus.APPLIED] for record in records] == [0, 3]
    assert records[0].stop is not None
    assert (records[0].stop.code, records[0].stop.exit_status) == ("run.ledger", 6)


async def test_a_run_goes_on_from_slice_to_slice(tmp_path: Path) -> None:
    """A slice of two seconds sends two hundred of five hundred rows; none is sent twice."""
    world = World(classrooms=SOME_FAIL, first_whole=False)
    async with fleet(tmp_path, world) as found:
        run = (await found.submit(prepare(plain(tmp_path / "term.csv", 500)), rate=100.0)).run
        async with found.worker():
            record = await ended(found, run)

    assert record.counts[RowStatus.APPLIED] == 500
    sent = Counter(received.target.id for received in found.sandbox.log if received.target)
    assert {n for n in sent.values() if n > 1} <= {2}
    assert sum(sent.values()) <= 503


async def test_a_run_that_is_cancelled_says_so_beside_every_row_left(tmp_path: Path) -> None:
    async with fleet(tmp_path) as found:
        run = (await found.submit(prepare(plain(tmp_path / "term.csv", 300)), rate=50.0)).run
        async with found.worker():
            while len(found.sandbox.log) < 20:
                await asyncio.sleep(0.02)
            assert await fleet_control.cancel(found.home, run, user="li") == (run,)
            record = await ended(found, run)

        counts = record.counts
        assert record.stop is not None
        assert counts[RowStatus.APPLIED] + counts[RowStatus.NOT_SENT] == 300
        assert counts[RowStatus.APPLIED] < 200
        async with found.worker():
            report = await resume(found.config, run, FAST)
        assert report.counts[RowStatus.APPLIED] == 300
    assert len(found.sandbox.log) == 300


async def test_a_paused_institution_gets_nothing_until_it_goes_on(tmp_path: Path) -> None:
    async with fleet(tmp_path) as found, found.worker():
        run = (await found.submit(prepare(plain(tmp_path / "term.csv", 200)), rate=100.0)).run
        while len(found.sandbox.log) < 20:
            await asyncio.sleep(0.02)
        (lane,) = await fleet_control.pause_run(found.home, run, user="li")
        await quiet(found)
        sent = len(found.sandbox.log)
        await quiet(found)
        assert sent == len(found.sandbox.log) < 200
        assert await fleet_control.go_on(found.home, [lane], user="wang") == [lane]
        await ended(found, run)
        done = [(entry.who, entry.action) for entry in await fleet_control.actions(found.home)]

    assert len(found.sandbox.log) == 200
    assert done == [("wang", "go on"), ("li", "pause"), ("li", "submit")]


async def quiet(found: Fleet) -> None:
    """Wait as long as an order takes to arrive, and requests under way to end."""
    await asyncio.sleep(1.0)


async def test_the_run_with_the_earlier_deadline_comes_first_and_the_newer_wins(
    tmp_path: Path,
) -> None:
    async with fleet(tmp_path) as found:
        first = await found.submit(prepare(plain(tmp_path / "one.csv", 20)), rate=6_000.0)
        second = await found.submit(prepare(plain(tmp_path / "two.csv", 20)), rate=6_000.0)
        async with found.worker():
            records = [await ended(found, run) for run in (first.run, second.run)]

    assert [record.counts[RowStatus.APPLIED] for record in records] == [20, 20]
    assert len(found.sandbox.log) == 40


async def test_a_worker_with_a_wrong_secret_ends_the_run_after_a_handful(tmp_path: Path) -> None:
    async with fleet(tmp_path) as found:
        run = (await found.submit(prepare(plain(tmp_path / "term.csv", 100)), rate=6_000.0)).run
        async with found.worker(secret="wrong"):  # noqa: S106 - an invented one
            record = await ended(found, run)

    assert record.stop is not None
    assert record.stop.exit_status == 6
    assert record.counts[RowStatus.NOT_SENT] > 90
    assert len(found.sandbox.log) <= 5


async def test_an_institution_that_a_worker_loses_is_left_after_the_slice_and_comes_back(
    tmp_path: Path,
) -> None:
    """What is under way then is finished, and no row is sent twice."""
    answers: list[dict[str, Config]] = []
    async with fleet(tmp_path) as found, AsyncExitStack() as stack:
        own = {lane_of(found.config.institution): found.config}
        run = (await found.submit(prepare(plain(tmp_path / "term.csv", 80)), rate=20.0)).run
        worker = found.worker(read_again=lambda: answers.pop() if answers else None)
        await stack.enter_async_context(worker)
        await found.sandbox.until(5)
        answers.append({})
        while await lanes_served(found):
            await asyncio.sleep(0.05)
        at_once = len(found.sandbox.log)
        while await lanes_held(found):
            await asyncio.sleep(0.05)
        left = len(found.sandbox.log)
        await quiet(found)
        assert at_once <= left == len(found.sandbox.log) < 80
        answers.append(own)
        record = await ended(found, run)

    assert record.counts[RowStatus.APPLIED] == 80
    assert len(found.sandbox.log) == 80


async def lanes_served(found: Fleet) -> int:
    (worker,) = (await fleet_control.status(found.home)).status.workers
    return worker.lanes


async def lanes_held(found: Fleet) -> bool:
    return any(lane.worker for lane in (await fleet_control.status(found.home)).status.lanes)


# ------------------------------------------------------------------ clocks and remarks


def behind() -> float:
    """A clock that is fifteen minutes behind."""
    return time.time() - 900.0


async def test_when_a_run_has_ended_is_said_by_the_clock_of_the_database(tmp_path: Path) -> None:
    async with fleet(tmp_path) as found:
        begun = database_time(found.home)
        run = (await found.submit(prepare(plain(tmp_path / "term.csv", 2)))).run
        async with found.worker(parts=Parts(wall=behind)):
            record = await ended(found, run)
        assert record.finished_at is not None
        assert begun < record.finished_at < database_time(found.home)


def database_time(home: SharedHome) -> float:
    with psycopg.connect(home.database) as connection:
        found = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8")
        (at,) = found.fetchone() or (0.0,)
        return float(at)


async def test_what_workers_remark_is_told_once_whoever_reports_the_run(tmp_path: Path) -> None:
    """A slice lasts two seconds here, and the clock is found to be wrong in each of them."""
    sheet = plain(tmp_path / "term.csv", 90)
    async with fleet(tmp_path) as found, found.worker(parts=Parts(wall=behind)):
        waited = await apply(prepare(sheet), found.config, SendOptions(rate=30.0))
        resumed = await resume(found.config, waited.run, FAST)
        other = await apply(prepare(plain(tmp_path / "one.csv", 1)), found.config, FAST)
        with psycopg.connect(found.home.database) as looking:
            epoch = looking.execute("SELECT epoch FROM lanes").fetchone()

    off = f"On {socket.gethostname()}: This computer's clock is 15 min behind ClassIn's"
    for told in (waited, resumed, other):
        assert [str(remark).partition(";")[0] for remark in told.remarks] == [off]
    assert epoch is not None
    assert epoch[0] > 2, "the run was to take several slices"
    chinese = translator("zh").say(waited.remarks[0])
    assert "本机时钟" in chinese
    assert socket.gethostname() in chinese


async def test_an_outage_that_was_waited_out_is_told_though_nobody_followed_the_run(
    tmp_path: Path,
) -> None:
    async with fleet(tmp_path) as found, found.worker():
        found.sandbox.fault_for_all = read_fault("close", WEBCAST)
        run = (await found.submit(prepare(plain(tmp_path / "term.csv", 20)), rate=100.0)).run
        while not await asyncio.to_thread(stored_remarks, found.home, run):
            await asyncio.sleep(0.05)
        found.sandbox.fault_for_all = None
        await ended(found, run)
        report = await resume(found.config, run, FAST)
        purge(found.home, purgeable(found.home, run=run, older_than_s=0.0))
        assert not stored_remarks(found.home, run)

    assert report.counts[RowStatus.APPLIED] == 20
    said = [remark.template.partition(" (")[0] for remark in report.remarks]
    assert said == ["ClassIn gives no answer of its own", "ClassIn answers again; going on gently."]


def stored_remarks(home: SharedHome, run: str) -> list[Text]:
    with PostgresLedger(home) as ledger:
        return ledger.remarks(run)


def test_the_remarks_of_many_slices_are_told_as_those_of_one_run() -> None:
    """Whatever repeats has an end, and what differs from slice to slice alone is told once."""
    clocks = [
        Text(lane_remarks.ON_COMPUTER, {"host": host, "remark": clock_off(skew)})
        for host, skew in (("a", 45.0), ("b", 45.0), ("a", 46.0))
    ]
    waited = [Text(WAITED, {"n": n, "longest": longest}) for n, longest in (("2", "5"), ("9", "4"))]
    outages = [Text("{what}", {"what": str(n)}) for n in range(9)]

    told = lane_remarks.told([*clocks, *waited, *outages])

    assert told[:3] == [clocks[2], clocks[1], waited[1]]
    assert told[3:-1] == outages[:5]
    assert len(told) == 9
    assert str(told[-1]) == "That went on and on; it is told no more."


def test_what_a_run_has_met_is_not_held_against_the_same_rows_of_another() -> None:
    """Requests of two runs go by the same names: those of their rows."""
    met = Memory(rows={"5": (7, 0, 0, 0.0)}, missing_features={"liveState": "350"}, open_s=90.0)
    left = remembered("one", met.write(1_000.0))

    same = Memory.read(recalled("one", left, 1_000.0), 1_000.0)
    other = Memory.read(recalled("two", left, 1_000.0), 1_000.0)
    assert (same, other) == (met, replace(met, rows={}, missing_features={}))
    assert recalled("two", "damaged", 0.0) == recalled("two", "", 0.0) == ""


@pytest.mark.parametrize("ahead_s", [-7_200.0, 7_200.0])
def test_how_old_a_memory_is_does_not_depend_on_the_clocks_of_workers(ahead_s: float) -> None:
    """Or an outage, a pause and what rows have been tried were forgotten, or never over."""
    written = remembered("one", Memory(held_s=90.0).write(1_000.0 + ahead_s))

    found = Memory.read(recalled("one", written, 1_000.0), 1_030.0)

    assert found is not None
    assert (found.passed_s, found.left_s(found.held_s)) == (30.0, 60.0)


async def test_a_pause_that_was_over_long_ago_is_not_waited_for_again(tmp_path: Path) -> None:
    async with fleet(tmp_path) as found:
        async with found.worker():
            await apply(prepare(plain(tmp_path / "a.csv", 1)), found.config, FAST)
        left = remembered("one", Memory(held_s=600.0).write(time.time()))
        with psycopg.connect(found.home.database) as connection:
            connection.execute(
                "UPDATE lanes SET memory = %s, left_at = clock_timestamp() - interval '1 hour'",
                (left,),
            )
        async with found.worker(), asyncio.timeout(60.0):
            report = await apply(prepare(plain(tmp_path / "b.csv", 1)), found.config, FAST)

    assert report.counts[RowStatus.APPLIED] == 1


async def test_after_a_purge_the_database_holds_no_copy_of_the_sheet(tmp_path: Path) -> None:
    async with fleet(tmp_path) as found, found.worker():
        runs = [
            (await apply(prepare(plain(tmp_path / f"{n}.csv", 2)), found.config, FAST)).run
            for n in range(2)
        ]
        purge(found.home, purgeable(found.home, run=runs[0], older_than_s=0.0))
        with psycopg.connect(found.home.database) as looking:
            kept = looking.execute("SELECT run FROM sheets JOIN runs ON id = run_id").fetchall()

    assert kept == [(runs[1],)]
