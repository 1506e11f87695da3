"""The plan: every row in exactly one place, in an order that locks and chains decide."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkcast.arguments import Moment
from bulkcast.catalogue import Lock
from bulkcast.endpoints import WEBCAST
from bulkcast.model import (
    Body,
    Change,
    CheckedRow,
    Invalid,
    Outcome,
    Request,
    RequestKey,
    RowStatus,
    Severity,
    Target,
)
from bulkcast.planner import Plan, fingerprint, make
from bulkcast.planner.deadlines import locked_settings, locks_at, only_free
from bulkcast.planner.last_known import KnownValue
from bulkcast.problems import issue

ON: Body = (("recordState", 1),)
OFF: Body = (("recordState", 0),)
FREE: Body = (("customColumn", "x"),)
BEFORE_CLASS = [c.key for c in WEBCAST.settings if c.lock is Lock.BEFORE_CLASS]
NINE = 1_803_862_800


def change(row: int, room: int = 0, settings: Body = ON, starts_at: int | None = None) -> Change:
    target = Target("activityId", room or 1000 + row)
    return Change(row, target, ((target.key, target.id), *settings), len(settings), starts_at)


def planned(*rows: CheckedRow) -> Plan:
    return make(rows, WEBCAST)


def order(plan: Plan) -> list[tuple[int, ...]]:
    return [request.rows for request in plan.requests]


CHANGES = st.builds(
    change,
    row=st.just(0),
    room=st.integers(1, 6),
    settings=st.sampled_from([ON, OFF, FREE]),
    starts_at=st.none() | st.sampled_from([NINE, NINE + 60, NINE + 3600]),
)
INVALIDS = st.builds(Invalid, st.just(0), st.just((issue("row.nothing_to_set", row=1),)))


@st.composite
def sheets(draw: st.DrawFn) -> list[CheckedRow]:
    rows = draw(st.lists(CHANGES | INVALIDS, max_size=40))
    return [replace(row, row=number) for number, row in enumerate(rows, 2)]


# ------------------------------------------------------------------ every row once


@given(sheets(), st.sets(st.integers(2, 41)))
def test_every_row_is_in_exactly_one_place(sheet: list[CheckedRow], out: set[int]) -> None:
    chosen = Outcome(RowStatus.NOT_SENT, "plan.not_chosen")
    numbers = {row.row for row in sheet}
    left_out = dict.fromkeys(sorted(out & numbers), chosen)

    plan = make(sheet, WEBCAST, left_out=left_out)

    places = Counter(row for request in plan.requests for row in request.rows)
    places.update(plan.settled.keys())
    assert places == Counter(numbers)
    for row in sheet:
        if row.row in left_out:
            assert plan.settled[row.row] == chosen
        else:
            assert (row.row in plan.settled) == isinstance(row, Invalid)


@given(sheets())
def test_what_is_sent_is_what_its_rows_want(sheet: list[CheckedRow]) -> None:
    wanted = {row.row: row for row in sheet if isinstance(row, Change)}

    for request in planned(*sheet).requests:
        assert request.key == str(request.rows[0])
        assert list(request.rows) == sorted(request.rows)
        for row in request.rows:
            assert (request.target, request.body) == (wanted[row].target, wanted[row].body)


@given(sheets())
def test_of_each_classroom_the_last_row_has_the_last_word(sheet: list[CheckedRow]) -> None:
    """Carried out in order, with followers after those they follow."""
    carried_out: dict[Target, Body] = {}
    for request in in_order(planned(*sheet).requests):
        carried_out[request.target] = request.body

    wanted = {row.target: row.body for row in sheet if isinstance(row, Change)}
    assert carried_out == wanted


def in_order(requests: Sequence[Request]) -> list[Request]:
    """As a dispatcher that sends one at a time would take them."""
    done: dict[RequestKey, Request] = {}
    waiting = list(requests)
    while waiting:
        ready = next(r for r in waiting if r.after is None or r.after in done)
        waiting.remove(ready)
        done[ready.key] = ready
    return list(done.values())


@given(sheets())
def test_two_requests_for_one_classroom_are_never_under_way_together(
    sheet: list[CheckedRow],
) -> None:
    rooms = defaultdict(list)
    for request in planned(*sheet).requests:
        rooms[request.target].append(request)

    for requests in rooms.values():
        followed = {request.after for request in requests}
        assert len(followed) == len(requests), "one begins, and each follows another one"
        assert None in followed
        assert followed - {None} <= {request.key for request in requests}


# ------------------------------------------------------------------ rows that share


def test_identical_rows_share_one_request() -> None:
    plan = planned(change(2, 7), change(3, 8), change(4, 7), change(5, 7))

    assert order(plan) == [(2, 4, 5), (3,)]


def test_the_same_settings_for_other_classrooms_are_not_shared() -> None:
    assert order(planned(change(2, 7), change(3, 8))) == [(2,), (3,)]


def test_rows_that_differ_in_one_of_many_settings_are_not_shared() -> None:
    plan = planned(change(2, 7, (*ON, *FREE)), change(3, 7, (*ON, ("customColumn", "y"))))

    assert order(plan) == [(2,), (3,)]


def test_on_off_on_ends_on() -> None:
    plan = planned(change(2, 7, ON), change(3, 7, OFF), change(4, 7, ON))

    assert order(plan) == [(2,), (3,), (4,)]
    assert [request.after for request in plan.requests] == [None, "2", "3"]


def test_rows_between_do_not_break_a_chain() -> None:
    plan = planned(change(2, 7, ON), change(3, 8), change(4, 7, OFF), change(5, 7, OFF))

    after = {request.rows: request.after for request in plan.requests}
    assert after == {(2,): None, (3,): None, (4, 5): "2"}


# ------------------------------------------------------------------ order and locks


def test_the_earliest_lock_comes_first_and_undated_rows_last_in_sheet_order() -> None:
    plan = planned(
        change(2),
        change(3, starts_at=NINE + 7200),
        change(4, starts_at=NINE),
        change(5, settings=FREE, starts_at=NINE),
        change(6, starts_at=NINE),
    )

    assert order(plan) == [(4,), (6,), (3,), (2,), (5,)]


@given(sheets())
def test_requests_go_by_the_earliest_lock_that_waits_for_them(sheet: list[CheckedRow]) -> None:
    requests = planned(*sheet).requests

    def lock(request: Request) -> float:
        """Of a request and everything that follows it."""
        followers = [r for r in requests if r.after == request.key]
        own = math.inf if request.locks_at is None else float(request.locks_at)
        return min([own, *map(lock, followers)])

    keys = [(lock(request), request.rows[0]) for request in requests]
    assert keys == sorted(keys)


@pytest.mark.parametrize("key", BEFORE_CLASS)
def test_a_setting_that_locks_does_so_twenty_minutes_before_class(key: str) -> None:
    row = change(2, settings=((key, 1),), starts_at=NINE)

    assert locks_at(row, WEBCAST) == NINE - 20 * 60
    assert locked_settings(row.settings, WEBCAST) == (key,)


@pytest.mark.parametrize(
    "key", [c.key for c in WEBCAST.settings if c.lock is not Lock.BEFORE_CLASS]
)
def test_a_setting_that_does_not_surely_lock_makes_no_row_late(key: str) -> None:
    row = change(2, settings=((key, 1),), starts_at=NINE)

    assert locks_at(row, WEBCAST) is None
    assert locked_settings(row.settings, WEBCAST) == ()


def test_a_row_that_does_not_say_when_it_begins_is_never_late() -> None:
    assert locks_at(change(2), WEBCAST) is None


def test_a_shared_request_locks_with_the_earliest_of_its_rows() -> None:
    plan = planned(change(2, 7), change(3, 7, starts_at=NINE + 60), change(4, 7, starts_at=NINE))

    assert [request.locks_at for request in plan.requests] == [NINE - 1200]


def test_playback_locks_with_the_others_only_where_recording_is_known_to_be_off() -> None:
    row = change(2, settings=(("openState", 1),), starts_at=NINE)
    for recorded, lock in ((1, None), (0, NINE - 1200)):
        holdings = {"recordState": KnownValue(recorded, 1.0, "r1")}
        assert locks_at(row, WEBCAST, holdings) == lock


# ------------------------------------------------------------------ what is known already


def known(change: Change, *also: tuple[str, int | str]) -> dict[Target, dict[str, KnownValue]]:
    """That what a row wants is so already."""
    pairs = {**dict(change.settings), **dict(also)}
    return {change.target: {key: KnownValue(value, 5.0, "r1") for key, value in pairs.items()}}


def test_a_row_that_would_change_nothing_is_skipped_where_that_was_asked_for() -> None:
    row = change(2)

    assert order(make([row], WEBCAST, known=known(row))) == [(2,)]
    skipped = make([row], WEBCAST, known=known(row), unchanged="skip")
    assert skipped.requests == ()
    assert skipped.settled[2].status is RowStatus.UNCHANGED
    assert skipped.settled[2].args == {"acknowledged_at": Moment(5.0), "by": "r1"}


def test_a_row_of_which_one_setting_is_unknown_or_other_is_sent() -> None:
    half = change(2, settings=(*ON, *FREE))
    other = change(3)

    held = {**known(change(2)), **known(change(3, settings=OFF))}
    assert order(make([half, other], WEBCAST, known=held, unchanged="skip")) == [(2,), (3,)]


def test_behind_a_row_that_is_sent_nothing_counts_as_known() -> None:
    """Known on; off, on, on: the last two must be sent, for the first may or may not arrive."""
    on, off, again = change(2, 7, ON), change(3, 7, OFF), change(4, 7, ON)
    plan = make([on, off, again], WEBCAST, known=known(on), unchanged="skip")

    assert order(plan) == [(3,), (4,)]
    assert plan.requests[0].after is None
    assert plan.settled[2].status is RowStatus.UNCHANGED


@given(sheets(), st.sampled_from([ON, OFF, FREE]))
def test_skipping_what_is_known_never_changes_what_classrooms_end_as(
    sheet: list[CheckedRow], before: Body
) -> None:
    held = {
        Target("activityId", room): {key: KnownValue(value, 1.0, "r0") for key, value in before}
        for room in range(1, 7)
    }
    plan = make(sheet, WEBCAST, known=held, unchanged="skip")

    whole = ends_as(planned(*sheet), before)
    assert ends_as(plan, before) == whole
    skipped = [row for row, outcome in plan.settled.items() if outcome.code == "plan.unchanged"]
    assert len(skipped) + sum(len(r.rows) for r in plan.requests) == sum(
        isinstance(row, Change) for row in sheet
    )


def ends_as(plan: Plan, before: Body) -> dict[int, dict[str, object]]:
    rooms: dict[int, dict[str, object]] = {room: dict(before) for room in range(1, 7)}
    for request in in_order(plan.requests):
        rooms[request.target.id].update(dict(request.body[1:]))
    return rooms


def test_what_stays_free_is_told_where_everything_locked_is_known_to_be_so() -> None:
    row = change(2, settings=(*ON, *FREE), starts_at=NINE)

    def free(**more: Any) -> Request:
        (request,) = make([row], WEBCAST, **more).requests
        return request

    assert free().free == ()
    assert free(known=known(change(2, settings=OFF))).free == ()
    assert free(known=known(change(2, settings=FREE))).free == ()
    so_already = free(known=known(change(2)))
    assert (so_already.free, so_already.once_locked) == (("customColumn",), "refuse")
    assert only_free(so_already, WEBCAST).body == (("activityId", 1002), *FREE)
    assert free(known=known(change(2)), once_locked="send_free").once_locked == "send_free"


def test_a_request_that_another_waits_for_goes_with_the_earlier_lock_of_the_two() -> None:
    plan = planned(
        change(2, 7, FREE), change(3, 8, starts_at=NINE + 60), change(4, 7, ON, starts_at=NINE)
    )

    assert order(plan) == [(2,), (4,), (3,)]


# ------------------------------------------------------------------ invalid rows


def test_an_invalid_row_ends_with_its_first_error() -> None:
    warning = issue("text.cut", row=2, value="x", n="60", most="50")
    error = issue("id.scientific", row=2, value="2.5E+07")
    plan = planned(Invalid(2, (warning, error)))

    assert plan.requests == ()
    assert plan.settled[2].status is RowStatus.INVALID
    assert plan.settled[2].code == "id.scientific"
    assert plan.settled[2].args["value"] == "2.5E+07"


def test_an_invalid_row_without_an_error_of_its_own_has_the_sheets() -> None:
    wrong = issue("header.no_target", targets="activityId")
    plan = make([Invalid(2, ())], WEBCAST, sheet_issues=[wrong])

    assert plan.settled[2].code == "header.no_target"


def test_a_warning_made_strict_is_an_error_too() -> None:
    strict = issue("text.cut", row=2, value="x", severity=Severity.ERROR, n="60", most="50")

    assert planned(Invalid(2, (strict,))).settled[2].code == "text.cut"


# ------------------------------------------------------------------ fingerprints


@given(sheets())
def test_the_same_sheet_has_the_same_fingerprint(sheet: list[CheckedRow]) -> None:
    once, again = planned(*sheet), planned(*sheet)

    assert once.fingerprint == again.fingerprint == fingerprint(once.requests)
    assert len(once.fingerprint) == 64


@given(sheets(), sheets())
def test_another_plan_has_another_fingerprint(
    one: list[CheckedRow], other: list[CheckedRow]
) -> None:
    first, second = planned(*one), planned(*other)
    same = [(r.key, r.rows, r.body) for r in first.requests] == [
        (r.key, r.rows, r.body) for r in second.requests
    ]

    assert (first.fingerprint == second.fingerprint) == same


def test_the_same_rows_in_another_order_are_another_plan() -> None:
    requests = planned(change(2), change(3)).requests

    assert fingerprint(requests) != fingerprint(requests[::-1])
