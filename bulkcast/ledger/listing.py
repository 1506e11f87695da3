"""Lists runs, and finds one by its name or a part of it."""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from bulkcast.errors import CannotStart
from bulkcast.ledger.claim import claimed_by
from bulkcast.ledger.damage import damaged
from bulkcast.ledger.rows import crc, unpack_stop
from bulkcast.ledger.values import FrozenRun, RunRecord, unpack_header
from bulkcast.model import RowStatus, Text, no_counts

_NAMED_MOST: Final = 3


def names(connection: sqlite3.Connection) -> list[str]:
    """The names of all runs, the newest first, whatever the clock said when they began."""
    found = connection.execute("SELECT run FROM runs ORDER BY id DESC")
    return [run for (run,) in found.fetchall()]


def chosen(known: Sequence[str], run: str, path: Path) -> str:
    """The run meant, by its full name or a part of it; the newest where none is named.

    `known` has the newest first; `path` is where they are kept.

    Raises:
        CannotStart: there is none, or several are so called.

    """
    found = matching(known, run)
    if not found:
        raise no_run(run, path)
    if run and len(found) > 1 and run not in found:
        raise CannotStart(
            "several runs are called {run}: {runs}; give more of the name",
            run=run,
            runs=", ".join(found[:_NAMED_MOST]),
        )
    return run if run in found else found[0]


def matching(known: Sequence[str], run: str) -> list[str]:
    """The runs that `run` may mean: by its full name, its beginning, or else any part of it.

    >>> matching(["20270301-080000-94df", "20270301-070000-0427"], "94df")
    ['20270301-080000-94df']
    >>> matching(["20270301-080000-94df", "20270301-070000-0427"], "2027")
    ['20270301-080000-94df', '20270301-070000-0427']
    """
    if run in known:
        return [run]
    begun = [name for name in known if name.startswith(run)]
    return begun or [name for name in known if run.casefold() in name]


def no_run(run: str, path: Path) -> CannotStart:
    """What to say where a run is not there."""
    if not run:
        return CannotStart("there is no run yet in {path}", path=path)
    return CannotStart(
        "there is no run {run} in {path}; `bulkcast runs` lists them", run=run, path=path
    )


def was_purged(frozen: FrozenRun) -> CannotStart:
    """What to say where more of a run is wanted than a purge has left."""
    counts = Counter(outcome.status for outcome in frozen.by_row().values())
    told = ", ".join(f"{counts[status]:,} {status.value}" for status in RowStatus if counts[status])
    return CannotStart(
        "run {run} was purged on {day}: what its rows held is gone, and all that is left is how "
        "they ended ({counts}); begin anew with `bulkcast apply`, or see that with "
        "`bulkcast runs show {run}`",
        run=frozen.header.run,
        day=datetime.fromtimestamp(frozen.purged_at or 0.0, UTC).date(),
        counts=told,
    )


def record(connection: sqlite3.Connection, home: Path, run: str) -> RunRecord:
    """A line of the list of runs, its checksums verified.

    Raises:
        LedgerDamaged: it is not what was written.

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
    under_way = finished_at is None and claimed_by(home, header.institution) == run
    return RunRecord(header, finished_at, unpack_stop(stop), counts, under_way, purged_at)


class Ended(NamedTuple):
    """Rows of a run that ended alike."""

    status: RowStatus
    n: int
    run: str
    """The run that they ended in; another one where they were left as a result sheet had them."""
    is_chosen: bool
    """Whether no option left them out."""


def ended(connection: sqlite3.Connection, run_id: int, run: str) -> list[Ended]:
    """How the rows of a run ended, counted; one that is not over is `not_sent`."""
    found = connection.execute(_ENDED, {"run_id": run_id, "run": run})
    return [
        Ended(RowStatus(status or RowStatus.NOT_SENT), n, of, bool(is_chosen))
        for status, n, of, is_chosen in found
    ]


_ENDED: Final = """
    SELECT o.status, SUM(n_rows), :run, 1
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
        AND COALESCE(a.ambiguous, a.number > COALESCE(o.attempts, 0))
    ) THEN 'unconfirmed' ELSE status END AS ended, SUM(n_rows)
    FROM requests AS r LEFT JOIN outcomes AS o USING (run_id, seq)
    WHERE run_id = :run_id GROUP BY ended
    UNION ALL
    SELECT status, COUNT(*) FROM settled
    WHERE run_id = :run_id AND status IS NOT NULL GROUP BY status
"""
