"""Pause, resume, cancel; the audit list; the metrics."""

import urllib.request

from bulkcast.fleet import audit, control
from bulkcast.fleet.database import Database
from bulkcast.fleet.metrics import Metrics

A, B = "https://api.eeo.cn 1", "https://api.eeo.cn 2"


async def test_lanes_are_paused_and_resumed_by_name_or_all_at_once(fleet: Database) -> None:
    assert await control.pause(fleet, [A, B]) == [A, B]
    assert await control.pause(fleet) == []
    assert (await control.orders(fleet, [A])).paused == {A}

    assert await control.resume(fleet, [A]) == [A]
    assert (await control.orders(fleet, [A, B])).paused == {B}
    assert await control.resume(fleet) == [B]

    waiting = await fleet.fetch("SELECT lock FROM procrastinate_jobs")
    assert sorted(row[0] for row in waiting) == [A, B]


async def test_a_cancellation_stands_until_the_run_has_ended(fleet: Database) -> None:
    await control.request_cancel(fleet, "run-1", A)
    await control.request_cancel(fleet, "run-1", A)

    assert (await control.orders(fleet, [A, B])).cancelled == {"run-1"}
    assert (await control.orders(fleet, [B])).cancelled == set()
    await control.clear_cancel(fleet, "run-1")
    assert await control.orders(fleet, [A]) == control.Orders()


async def test_the_audit_list_is_read_newest_first_in_pages(fleet: Database) -> None:
    for n in range(5):
        await audit.record(fleet, "pause", who="陈老师", host="front-desk", institution=f"{n}")
    await audit.record(fleet, "cancel", who="root", host="db", run="run-1", details="too late")

    last, *others = await audit.recent(fleet, 3)
    assert (last.action, last.run, last.institution, last.details) == (
        "cancel", "run-1", None, "too late",
    )  # fmt: skip
    assert last.at.tzinfo is not None
    assert [entry.institution for entry in others] == ["4", "3"]
    older = await audit.recent(fleet, 3, before=others[-1].id)
    assert [(entry.institution, entry.who) for entry in older] == [
        ("2", "陈老师"), ("1", "陈老师"), ("0", "陈老师"),
    ]  # fmt: skip


def test_metrics_are_served_on_loopback() -> None:
    metrics = Metrics()
    metrics.requests.labels("applied").inc(3)
    port, stop = metrics.start(0)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            text = answer.read().decode()
    finally:
        stop()

    assert 'bulkcast_requests_total{outcome="applied"} 3.0' in text
