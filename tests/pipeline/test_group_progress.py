"""The progress of several runs that are sent side by side, as that of one."""

from bulkcast.dispatcher import Progress
from bulkcast.dispatcher.circuit_breaker import BreakerState
from bulkcast.model import RowStatus
from bulkcast.pipeline.group_progress import GroupWatch


def progress(rows: int, applied: int) -> Progress:
    return Progress(
        counts={RowStatus.APPLIED: applied}, rows=rows, requests=applied, rate=10.0, retrying=0,
        breaker_state=BreakerState.CLOSED, held_s=0.0, open_s=0.0,
    )  # fmt: skip


def test_nothing_is_shown_until_every_run_has_told_its_progress() -> None:
    """Or a sheet of 30 rows would seem to have ten, and be done with them."""
    shown: list[Progress] = []
    watch = GroupWatch(shown.append, ["one", "two"])

    watch.of("one")(progress(10, 10))
    assert shown == []
    watch.of("two")(progress(20, 5))

    (both,) = shown
    assert (both.rows, both.counts[RowStatus.APPLIED]) == (30, 15)


def test_a_run_of_which_nothing_is_sent_is_not_waited_for() -> None:
    shown: list[Progress] = []
    watch = GroupWatch(shown.append, ["one", "two"])

    watch.of("one")(progress(10, 3))
    watch.of("two").end()
    watch.of("one").end()

    assert [each.rows for each in shown] == [10]
