"""Stores, loads, lists and erases runs."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from bulkcast.arguments import Series
from bulkcast.errors import CannotStart
from bulkcast.ledger.codec import (
    FrozenRun,
    RunHeader,
    RunRecord,
    Stored,
    crc,
    end_crc,
    intent_crc,
    outcome_crc,
    pack_header,
    pack_issues,
    pack_outcome,
    pack_request,
    pack_rows,
    pack_stop,
    pack_target,
    request_crc,
    unpack_header,
    unpack_issues,
    unpack_outcome,
    unpack_rows,
    unpack_stop,
)
from bulkcast.ledger.connection import Connection
from bulkcast.ledger.integrity import damaged
from bulkcast.model import (
    History,
    Issue,
    Outcome,
    Request,
    RequestKey,
    RowStatus,
    Stop,
    Text,
    no_counts,
)
from bulkcast.planner import Plan

_NO_ISSUES: Final = pack_issues(())
_CACHED: Final = 1_000
"""Equal outcomes that share one value while a run is loaded."""


def freeze(
    connection: Connection,
    header: RunHeader,
    plan: Plan,
    issues: Mapping[int, tuple[Issue, ...]],
) -> int:
    """Store a run with its plan and the issues of its rows; return its number."""
    run = header.run
    institution = header.institution
    frozen = (
        run,
        institution.root_url,
        institution.sid,
        float(header.created_at),
        pack_header(header),
    )
    (run_id,) = connection.execute(
        "INSERT INTO runs (run, root_url, sid, created_at, header, crc, end_crc)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id",
        (*frozen, crc(*frozen), crc(None, None, None)),
    ).fetchone()
    connection.executemany(
        "INSERT INTO requests (run_id, seq, key, rows, n_rows, target, frozen, crc)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (_request_row(run_id, seq, request) for seq, request in enumerate(plan.requests)),
    )
    connection.executemany(
        "INSERT INTO settled (run_id, row, status, outcome, issues, crc) VALUES (?, ?, ?, ?, ?, ?)",
        (
            _settled_row(run_id, row, plan.settled.get(row), issues.get(row, ()))
            for row in sorted(plan.settled.keys() | issues.keys())
        ),
    )
    return int(run_id)


def set_end(connection: Connection, run: str, at: float | None, stop: Stop | None) -> None:
    """Store when a run ended, and why if it ended early; `at` is None for a resumed run."""
    packed = pack_stop(stop)
    connection.execute(
        "UPDATE runs SET finished_at = ?, stop = ?, end_crc = ? WHERE run = ?",
        (at, packed, crc(at, packed, None), run),
    )


def askable(run: str) -> str:
    """A run's name to look up: without NUL and half surrogates, which a database refuses."""
    return run.encode("utf-8", "replace").decode().replace("\0", "?")


def boot_number(connection: Connection, boot: str) -> int:
    """The ledger's number for a boot of this computer; stored if it is new."""
    connection.execute(
        "INSERT INTO boots (boot, crc) VALUES (?, ?) ON CONFLICT DO NOTHING", (boot, crc(boot))
    )
    found = connection.execute("SELECT id FROM boots WHERE boot = ?", (boot,)).fetchone()
    return int(found[0])


def _request_row(run_id: int, seq: int, request: Request) -> tuple[object, ...]:
    frozen, rows, target = (
        pack_request(request),
        pack_rows(request.rows),
        pack_target(request.target),
    )
    check = request_crc(seq, request.key, rows, target, frozen)
    return (run_id, seq, request.key, rows, len(request.rows), target, frozen, check)


def _settled_row(
    run_id: int, row: int, outcome: Outcome | None, issues: Sequence[Issue]
) -> tuple[object, ...]:
    packed = pack_outcome(outcome) if outcome else None
    status = str(outcome.status) if outcome else None
    found = pack_issues(tuple(issues))
    return (run_id, row, status, packed, found, crc(run_id, row, status, packed, found))


def load(
    connection: Connection, run_id: int, record: RunRecord, *, with_requests: bool = True
) -> FrozenRun:
    """Load a run; `with_requests` includes the contents of its requests.

    Raises:
        LedgerDamaged: a checksum does not match, or something is missing.

    """
    run = record.header.run
    stored, outcomes = _requests(connection, run_id, keep=with_requests)
    if len(stored) != record.header.n_requests:
        raise damaged(Text("run {run}, of which requests are missing", {"run": run}))
    settled, issues = _settled(connection, run_id)
    history = histories(connection, run_id, outcomes)
    for request in stored:
        ended = outcomes.get(request.key)
        past = history.get(request.key, History())
        # A resumed request keeps its earlier outcome until it ends again.
        if ended is None or past.attempts > ended.attempts:
            outcomes[request.key] = _outcome_after_crash(past)
    frozen = FrozenRun(
        header=record.header,
        finished_at=record.finished_at,
        stop=record.stop,
        stored=stored,
        outcomes=outcomes,
        settled=settled,
        issues=issues,
        history=history,
        purged_at=record.purged_at,
    )
    if len(frozen.by_row()) != record.header.n_rows:
        raise damaged(Text("run {run}, of which rows are missing", {"run": run}))
    return frozen


def _requests(
    connection: Connection, run_id: int, *, keep: bool
) -> tuple[tuple[Stored, ...], dict[RequestKey, Outcome]]:
    stored = []
    outcomes: dict[RequestKey, Outcome] = {}
    for seq, key, rows, n_rows, target, frozen, check, *ended in connection.execute(
        "SELECT r.seq, key, rows, n_rows, target, frozen, r.crc,"
        " status, attempts, outcome, o.crc"
        " FROM requests AS r LEFT JOIN outcomes AS o USING (run_id, seq)"
        " WHERE run_id = ? ORDER BY r.seq",
        (run_id,),
    ):
        request = Stored(key, unpack_rows(rows), (rows, frozen) if keep else None)
        if request_crc(seq, key, rows, target, frozen) != check or n_rows != len(request.rows):
            raise damaged(Text("request {key}", {"key": key}))
        stored.append(request)
        if ended[0] is not None:
            outcomes[key] = _outcome(run_id, seq, *ended)
    return tuple(stored), outcomes


def _settled(
    connection: Connection, run_id: int
) -> tuple[dict[int, Outcome], dict[int, tuple[Issue, ...]]]:
    settled: dict[int, Outcome] = {}
    issues: dict[int, tuple[Issue, ...]] = {}
    same: dict[str, Outcome] = {}  # thousands of rows are often left out for the same reason
    for row, status, outcome, packed, check in connection.execute(
        "SELECT row, status, outcome, issues, crc FROM settled WHERE run_id = ? ORDER BY row",
        (run_id,),
    ):
        if crc(run_id, row, status, outcome, packed) != check:
            raise damaged(Text("row {row}", {"row": str(row)}))
        if packed != _NO_ISSUES:
            issues[row] = unpack_issues(packed)
        if outcome is not None:
            if outcome not in same:
                if len(same) >= _CACHED:
                    same.clear()
                same[outcome] = unpack_outcome(outcome)
            settled[row] = same[outcome]
    return settled, issues


def histories(
    connection: Connection, run_id: int, outcomes: Mapping[RequestKey, Outcome]
) -> dict[RequestKey, History]:
    """Earlier attempts of the requests that have not ended, by key.

    The last attempt of a request has no stored end: if an outcome counts it, it ended with that
    outcome; otherwise the program died during the attempt.
    """
    history: dict[RequestKey, History] = {}
    for key, *found in connection.execute(
        "SELECT key, run_id, seq, number, stamp, ahead_s, boot, tick, a.crc,"
        " ended, code, ambiguous, a.end_crc"
        " FROM attempts AS a JOIN requests USING (run_id, seq)"
        " LEFT JOIN outcomes AS o USING (run_id, seq)"
        " WHERE run_id = ? AND COALESCE(o.status, 'not_sent') IN ('not_sent', 'unconfirmed')"
        " ORDER BY seq, number",
        (run_id,),
    ):
        fields, check, end = found[:7], found[7], found[8:]
        number = fields[2]
        past = history.get(key, History())
        if intent_crc(tuple(fields)) != check or number != past.attempts + 1:
            raise damaged(Text("the attempts of request {key}", {"key": key}))
        ambiguous = _may_have_been_applied(number, outcomes.get(key), end)
        history[key] = History(number, past.ambiguous or ambiguous)
    return history


def _outcome(run_id: int, seq: int, status: str, attempts: int, packed: str, check: int) -> Outcome:
    """Decode a stored outcome; the columns that SQL counts by must agree with it."""
    outcome = unpack_outcome(packed)
    if outcome_crc(run_id, seq, packed) != check or (status, attempts) != (
        outcome.status,
        outcome.attempts,
    ):
        raise damaged(Text("an outcome"))
    return outcome


def _may_have_been_applied(number: int, outcome: Outcome | None, end: Sequence[Any]) -> bool:
    """Whether an attempt may have been applied."""
    ended, code, ambiguous, check = end
    if any(column is not None for column in end):
        if end_crc(number, ended, code, ambiguous) != check:
            raise damaged(Text("an attempt"))
        return bool(ambiguous)
    if outcome is None or number != outcome.attempts:  # the program died during the attempt
        return True
    return outcome.status is RowStatus.UNCONFIRMED


def _outcome_after_crash(history: History) -> Outcome:
    """The outcome of a request whose program died before it ended."""
    if history.ambiguous:
        return Outcome(RowStatus.UNCONFIRMED, "send.crashed", attempts=history.attempts)
    return Outcome(RowStatus.NOT_SENT, "run.interrupted", attempts=history.attempts)


_NAMED_MOST: Final = 3


def names(connection: Connection, begins: str = "") -> list[str]:
    """The names of runs that begin so, newest first in order of creation, not of the clock."""
    if begins:
        like = (f"{askable(begins)}%",)
        found = connection.execute("SELECT run FROM runs WHERE run LIKE ? ORDER BY id DESC", like)
    else:
        found = connection.execute("SELECT run FROM runs ORDER BY id DESC")
    return [run for (run,) in found.fetchall() if run.startswith(begins)]


def chosen(known: Sequence[str], run: str, place: str) -> str:
    """The run that `run`, a name or a part of one, stands for; the newest if it is empty.

    `known` has the newest first; `place` is how messages name the ledger.

    Raises:
        CannotStart: there is no such run, or several match.

    """
    found = matching(known, run)
    if not found:
        raise no_run(run, place)
    if run and len(found) > 1 and run not in found:
        raise CannotStart(
            "several runs are called {run}: {runs}; give more of the name",
            run=run,
            runs=Series(tuple(found[:_NAMED_MOST])),
        )
    return run if run in found else found[0]


def matching(known: Sequence[str], run: str) -> list[str]:
    """The runs whose full name, or else beginning, or else any part is `run`.

    >>> matching(["20270301-080000-94df", "20270301-070000-0427"], "94df")
    ['20270301-080000-94df']
    >>> matching(["20270301-080000-94df", "20270301-070000-0427"], "2027")
    ['20270301-080000-94df', '20270301-070000-0427']
    """
    if run in known:
        return [run]
    begun = [name for name in known if name.startswith(run)]
    return begun or [name for name in known if run.casefold() in name]


def no_run(run: str, place: str) -> CannotStart:
    """The error for a run that does not exist."""
    if not run:
        return CannotStart("there is no run yet in {path}", path=place)
    return CannotStart(
        "there is no run {run} in {path}; `bulkcast runs` lists them", run=run, path=place
    )


def was_purged(frozen: FrozenRun) -> CannotStart:
    """The error for using a run whose row contents were erased."""
    counts = Counter(outcome.status for outcome in frozen.by_row().values())
    counted = ", ".join(
        f"{counts[status]:,} {status.value}" for status in RowStatus if counts[status]
    )
    return CannotStart(
        "run {run} was purged on {day}: what its rows held is gone, and all that is left is how "
        "they ended ({counts}); begin anew with `bulkcast apply`, or see that with "
        "`bulkcast runs show {run}`",
        run=frozen.header.run,
        day=datetime.fromtimestamp(frozen.purged_at or 0.0, UTC).date(),
        counts=counted,
    )


def record(
    connection: Connection, run: str, is_under_way: Callable[[RunHeader], bool]
) -> RunRecord:
    """One line of the list of runs, its checksums verified.

    `is_under_way` tells whether a program works on a run that has not ended.

    Raises:
        LedgerDamaged: a checksum does not match.

    """
    row = connection.execute("SELECT * FROM runs WHERE run = ?", (run,)).fetchone()
    run_id, run, root_url, sid, created_at, packed, check, *end, end_check = row
    if crc(run, root_url, sid, created_at, packed) != check:
        raise damaged(Text("run {run}", {"run": run}))
    if crc(*end) != end_check:
        raise damaged(Text("the end of run {run}", {"run": run}))
    finished_at, stop, purged_at = end
    counts = no_counts()
    for status, n in connection.execute(_COUNT, {"run_id": run_id}):
        counts[RowStatus(status or RowStatus.NOT_SENT)] += n
    header = unpack_header(packed)
    under_way = finished_at is None and is_under_way(header)
    return RunRecord(header, finished_at, unpack_stop(stop), counts, under_way, purged_at)


class Ended(NamedTuple):
    """Rows of a run that ended the same way."""

    status: RowStatus
    n: int
    run: str
    """The run in which they ended: an earlier one if a result sheet had them as done."""
    is_chosen: bool
    """Whether they were selected; False if an option left them out."""


def ended(connection: Connection, run_id: int, run: str) -> list[Ended]:
    """Counts of how the rows of a run ended; rows that have not ended count as `not_sent`."""
    found = connection.execute(_ENDED, {"run_id": run_id, "run": run})
    return [
        Ended(RowStatus(status or RowStatus.NOT_SENT), n, of, bool(is_chosen))
        for status, n, of, is_chosen in found
    ]


_ENDED: Final = """
    SELECT o.status, SUM(n_rows), CAST(:run AS TEXT), TRUE
    FROM requests AS r LEFT JOIN outcomes AS o USING (run_id, seq)
    WHERE run_id = :run_id GROUP BY 1
    UNION ALL
    SELECT status, COUNT(*), COALESCE(json_extract(outcome, '$[2].run'), :run) AS of,
           json_extract(outcome, '$[1]') <> 'plan.not_chosen' AS is_chosen
    FROM settled WHERE run_id = :run_id AND status IS NOT NULL GROUP BY status, of, is_chosen
"""
_COUNT: Final = """
    SELECT CASE WHEN COALESCE(status, 'not_sent') = 'not_sent' AND EXISTS (
        SELECT 1 FROM attempts AS a WHERE a.run_id = r.run_id AND a.seq = r.seq
        AND (a.ambiguous = 1 OR (a.ambiguous IS NULL AND a.number > COALESCE(o.attempts, 0)))
    ) THEN 'unconfirmed' ELSE status END AS ended, SUM(n_rows)
    FROM requests AS r LEFT JOIN outcomes AS o USING (run_id, seq)
    WHERE run_id = :run_id GROUP BY ended
    UNION ALL
    SELECT status, COUNT(*) FROM settled
    WHERE run_id = :run_id AND status IS NOT NULL GROUP BY status
"""


def left(connection: Connection, run_id: int) -> int:
    """Number of rows still to be sent: those not sent or not confirmed."""
    found = connection.execute(_LEFT, {"run_id": run_id}).fetchone()
    return int(found[0])


_LEFT: Final = """
    SELECT COALESCE(SUM(n_rows), 0)
    FROM requests LEFT JOIN outcomes AS o USING (run_id, seq)
    WHERE run_id = :run_id AND COALESCE(o.status, 'not_sent') IN ('not_sent', 'unconfirmed')
"""


def erase(connection: Connection, run_id: int, at: float) -> None:
    """Erase what the run's rows contained, inside the caller's transaction."""
    requests = connection.execute(
        "SELECT seq, key, rows, target FROM requests WHERE run_id = ?", (run_id,)
    ).fetchall()
    connection.executemany(
        "UPDATE requests SET frozen = '', crc = ? WHERE run_id = ? AND seq = ?",
        [
            (request_crc(seq, key, rows, target, ""), run_id, seq)
            for seq, key, rows, target in requests
        ],
    )
    outcomes = connection.execute(
        "SELECT seq, outcome FROM outcomes WHERE run_id = ?", (run_id,)
    ).fetchall()
    erased = [(seq, without_args(packed)) for seq, packed in outcomes]
    connection.executemany(
        "UPDATE outcomes SET outcome = ?, crc = ? WHERE run_id = ? AND seq = ?",
        [(packed, outcome_crc(run_id, seq, packed), run_id, seq) for seq, packed in erased],
    )
    settled = connection.execute(
        "SELECT row, status, outcome FROM settled WHERE run_id = ?", (run_id,)
    ).fetchall()
    kept = [
        (row, status, without_args(packed) if packed else None) for row, status, packed in settled
    ]
    connection.executemany(
        "UPDATE settled SET outcome = ?, issues = ?, crc = ? WHERE run_id = ? AND row = ?",
        [
            (packed, _NO_ISSUES, crc(run_id, row, status, packed, _NO_ISSUES), run_id, row)
            for row, status, packed in kept
        ],
    )
    (end,) = connection.execute(
        "SELECT finished_at, stop FROM runs WHERE id = ?", (run_id,)
    ).fetchall()
    connection.execute(
        "UPDATE runs SET purged_at = ?, end_crc = ? WHERE id = ?", (at, crc(*end, at), run_id)
    )


def without_args(packed: str) -> str:
    """A packed outcome without its arguments, which may quote a cell."""
    return pack_outcome(replace(unpack_outcome(packed), args={}))
