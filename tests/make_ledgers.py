"""Sample ledgers, one home for each version, which every later bulkcast must resume.

`python tests/make_ledgers.py` writes the one of the present version anew, which is only right as
long as that version was never released; `ledger/test_old_versions.py` says what must come of each.
"""

import asyncio
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bulkcast.ledger import Ledger, MonotonicClock, RunHeader, open_ledger
from bulkcast.ledger.sqlite import VERSION
from bulkcast.model import Attempt, Institution, Intent, Outcome, RequestKey, RowStatus
from bulkcast.pipeline import Prepared, prepare
from bulkcast.sandbox import SANDBOX_SID

SHELF = Path(__file__).parent / "data" / "ledgers"
PORT = 18_350
SCHOOL = Institution(f"http://127.0.0.1:{PORT}", SANDBOX_SID)
OLDER, NEWER = "20270228-080000-aaaa", "20270228-090000-bbbb"
SENT_AT = 1_803_772_800.0
"""2027-02-28 08:00 in Shanghai, a day before virtual time begins."""
HEAD = "activityId,recordState,recordType,liveState,openState,watchPassword"


def make(home: Path) -> None:
    """A run that its program died in, with a row of every kind, and a newer one."""
    cut_off = [f"{25_096_000 + row},1,0,1,1,pw{row}" for row in range(2, 12)]
    older = _prepared(home, OLDER, [*cut_off, "2.5096E+07,1,0,1,1,pw"])
    newer = _prepared(home, NEWER, ["25096011,1,0,0,0,pw"])
    with open_ledger(home) as ledger:
        for number, (run, prepared) in enumerate(((OLDER, older), (NEWER, newer))):
            issues = {row.row: row.issues for row in prepared.checked.rows if row.issues}
            ledger.create(_header(run, prepared, SENT_AT + 3600.0 * number), prepared.plan, issues)
        asyncio.run(_send(ledger))
        ledger.finish(NEWER, None, SENT_AT + 3700.0)
    shutil.rmtree(home / "locks", ignore_errors=True)


def _prepared(home: Path, run: str, lines: list[str]) -> Prepared:
    folder = home / "runs" / run
    folder.mkdir(parents=True)
    sheet = folder / "sheet.csv"
    sheet.write_text("\n".join([HEAD, *lines]) + "\n", encoding="utf-8", newline="\n")
    return prepare(sheet)


def _header(run: str, prepared: Prepared, created_at: float) -> RunHeader:
    return RunHeader(
        run=run,
        institution=SCHOOL,
        created_at=created_at,
        sheet="term.csv",
        snapshot="sheet.csv",
        sha256=prepared.sha256,
        layout=prepared.sheet.layout,
        headers=prepared.sheet.headers,
        n_rows=len(prepared.sheet.rows),
        n_requests=len(prepared.plan.requests),
        target="term.results.csv",
        tz="Asia/Shanghai",
    )


async def _send(ledger: Ledger) -> None:
    """Rows 2 to 5 applied, 6 refused, 7 and 8 cut off on their way, 9 refused for the clock."""
    ticks = iter(range(1, 1000))
    steady = MonotonicClock(lambda: float(next(ticks)), "shelf")
    with ledger.journal(OLDER, steady) as journal:
        for row in range(2, 10):
            await journal.record_intent((Intent(_key(row), 1, SENT_AT + row, 0.5),))
        for row in range(2, 6):
            await journal.record((_ended(row, 1, RowStatus.APPLIED, "1"),))
        await journal.record((_ended(6, 1, RowStatus.REJECTED, "121601031"),))
        await journal.record((Attempt(_key(7), 1, SENT_AT + 20.0, "send.timeout", ambiguous=True),))
        await journal.record_intent((Intent(_key(7), 2, SENT_AT + 21.0),))
        await journal.record((Attempt(_key(9), 1, SENT_AT + 20.0, "101002006", ambiguous=False),))
    with ledger.journal(NEWER, steady) as journal:
        await journal.record_intent((Intent(_key(2), 1, SENT_AT + 3600.0),))
        await journal.record((_ended(2, 1, RowStatus.APPLIED, "1"),))


def _key(row: int) -> RequestKey:
    return RequestKey(str(row))


def _ended(row: int, number: int, status: RowStatus, code: str) -> Attempt:
    at = SENT_AT + 10.0 + row
    outcome = Outcome(status, code, {"said": "done"}, number, at)
    return Attempt(_key(row), number, at, code, ambiguous=False, outcome=outcome)


if __name__ == "__main__":
    place = SHELF / f"v{VERSION}"
    shutil.rmtree(place, ignore_errors=True)
    make(place)
