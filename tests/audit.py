"""An independent auditor: compares the server's log with what bulkcast left on disk.

It shares no code with the product: it reads the ledger with its own SQL and sheets with `csv`, and
knows from the vendor's page which replies end a row.  The invariants, as `violations` names them:

    I1   no row lost: ledger and result sheet hold every row of the input, in its order
    I2   no false claim: a row claimed applied was acknowledged by the server with the integer 1;
         a row claimed refused or never sent was not applied there
    I3   bounded sends: no more than the ledger knows, than 8 and one for each crash, than 20;
         none after a reply that ended the row
    I4   order: no classroom sees an older body after a newer one was acknowledged, and holds in
         the end what was acknowledged last
    I5   pace: at most 1000 requests for one institution in any 60 s
    I6   secrecy: neither secret nor signature in any file or output
    I7   no silent end: a result sheet, or a message that names the rows, and the matching exit
         status; ends soon after it was asked to
    I8   liveness: it ended, and nothing is left open but what the faults left so
    I9   no connection to another host
    I10  freshness: every stamp within 300 s of the server's clock
"""

import csv
import hashlib
import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, Final

import psycopg

from bulkcast.home import Home, SharedHome
from bulkcast.sandbox import Received
from tests.secret_search import forms, leaks

LIMIT: Final = 1000
WINDOW_S: Final = 60.0
FRESH_S: Final = 300.0

_SUCCESSES: Final = {"1", "121601002", "wrong_type:text"}
"""The last is a code of "1" in quotes."""
_SLOWER: Final = {"101003001", "460", "464", "429"}
_REPEATABLE: Final = {
    "101002005", "101002006", "101002008", "101003001", "101003002", "104", "114", "221", "222",
    "253", "460", "464", "901",
}  # fmt: skip
"""Codes after which the vendor's page allows a retry, or that do not concern a row."""
_STATES: Final = (
    "applied", "unchanged", "invalid", "too_late", "rejected", "unconfirmed", "not_sent",
    "superseded",
)  # fmt: skip
_OWN: Final = "bulkcast_"


@dataclass(frozen=True)
class Kept:
    """One request as the ledger has it."""

    rows: tuple[int, ...]
    target: int
    body: Mapping[str, object]
    status: str | None
    """None if it has no outcome since it was last sent."""
    attempts: int
    stamps: tuple[float, ...] = ()
    """The times of its intents, Unix seconds."""


@dataclass(frozen=True)
class Ended:
    """What one program left that ended by itself."""

    sheet: Path
    run: str
    results: Path | None
    """The result sheet as it was when the program ended."""
    exit_status: int
    said: str
    """Its whole output."""
    stopped: bool = False
    overtime_s: float = 0.0
    """Seconds it ran on after the second request to end."""


@dataclass(frozen=True)
class Evidence:
    """Everything that a scenario leaves behind."""

    home: Home
    rows: Mapping[str, int]
    """Run → rows of its sheet, or of its part of one."""
    log: Sequence[Received]
    ended: Sequence[Ended] = ()
    crashes: int = 0
    resumes: int = 0
    held: Mapping[int, Mapping[str, object]] | None = None
    """Classroom → its settings at the server in the end."""
    foreign: int = 0
    """Connections to another host."""
    secret: str = ""
    secrets: Mapping[str, str] = field(default_factory=dict)
    """SID → secret, where there are several institutions."""
    papers: Sequence[Path] = ()
    """Files and folders with everything that was written and output."""
    unfinished: str = ""
    """Why the scenario could not be completed."""
    open_rows: int = 0
    """Rows that the faults may have left unconfirmed or unsent."""
    clock_right: bool = True
    pace: tuple[int, float] = (LIMIT, WINDOW_S)
    """The most requests for an institution in any window of so many seconds."""


# ------------------------------------------------------------------ reading


def _found(home: Home, statement: str, run: str = "") -> list[Any]:
    """The rows that a statement of the auditor's own finds in a ledger of either make."""
    values = (run,) if "?" in statement else ()
    if isinstance(home, SharedHome):
        statement = statement.replace("?", "%s")
        statement = statement.replace("group_concat(stamp)", "string_agg(stamp::text, ',')")
        with psycopg.connect(home.database) as database:
            return database.execute(statement.encode(), values).fetchall()
    with closing(sqlite3.connect(home / "ledger.sqlite3")) as connection, connection:
        return connection.execute(statement, values).fetchall()


def kept(home: Home, run: str) -> list[Kept]:
    """Every request of a run in sending order, read with the auditor's own SQL."""
    found = _found(
        home,
        "SELECT rows, frozen, status, attempts, (SELECT group_concat(stamp)"
        " FROM attempts AS a WHERE a.run_id = r.run_id AND a.seq = r.seq)"
        " FROM requests AS r LEFT JOIN outcomes USING (run_id, seq)"
        " WHERE run_id = (SELECT id FROM runs WHERE run = ?) ORDER BY r.seq",
        run,
    )
    return [_kept(*columns) for columns in found]


def _kept(
    rows: str, packed: str, status: str | None, counted: int | None, stamps: str | None
) -> Kept:
    """The request of a row; an outcome with fewer attempts than were made is outdated."""
    (_, target), body, *_ = json.loads(packed)
    numbers = tuple(map(int, rows.split(",")))
    sent = tuple(sorted(map(float, stamps.split(",")))) if stamps else ()
    over = status if (counted or 0) >= len(sent) else None
    return Kept(numbers, target, dict(body), over, len(sent), sent)


def runs(home: Home) -> list[str]:
    """The names of all runs, oldest first."""
    return [run for (run,) in _found(home, "SELECT run FROM runs ORDER BY id")]


def _parts(home: Home, run: str) -> list[str]:
    """A run's own name, or those of the runs of a group."""
    names = runs(home)
    return [run] if run in names else [name for name in names if name.startswith(f"{run}-")]


def _settled(home: Home, run: str) -> dict[int, str]:
    """Row → state of the rows that needed no request."""
    found = _found(
        home,
        "SELECT row, status FROM settled WHERE status IS NOT NULL"
        " AND run_id = (SELECT id FROM runs WHERE run = ?)",
        run,
    )
    return dict(found)


def _lines(sheet: Path) -> list[dict[str, str]]:
    with sheet.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file, strict=True))


# ------------------------------------------------------------------ the verdict


def verdict(evidence: Evidence) -> list[str]:
    """The violated invariants; empty if all hold."""
    found = [f"I8: {evidence.unfinished}"] if evidence.unfinished else []
    found += _counts_and_words(evidence)
    found += _order(evidence)
    found += _pace(evidence)
    found += _secrecy(evidence)
    last = {ended.run: ended for ended in evidence.ended}
    for ended in evidence.ended:
        found += _sheets(evidence, ended, last[ended.run])
    found += _liveness(evidence)
    if evidence.foreign:
        found.append(f"I9: another host was connected to {evidence.foreign} times")
    found += _freshness(evidence)
    return found


def violations(
    requests: Iterable[Kept], log: Sequence[Received], *, rows: int, crashes: int = 0
) -> list[str]:
    """Violations of I1 to I3 by one run with its own server; empty if all hold."""
    requests = list(requests)
    found = []
    if sum(len(request.rows) for request in requests) != rows:
        found.append("I1: the ledger has not every row")
    seen = _seen_by_target(log)
    for request in requests:
        found += _false_words(request, seen[request.target])
        found += _sends(request.target, [request], seen[request.target], crashes)
    return found


def _seen_by_target(log: Iterable[Received]) -> dict[int, list[Received]]:
    seen: dict[int, list[Received]] = defaultdict(list)
    for received in log:
        if received.target:
            seen[received.target.id].append(received)
    return seen


def _counts_and_words(evidence: Evidence) -> Iterator[str]:
    seen = _seen_by_target(evidence.log)
    by_target: dict[int, list[Kept]] = defaultdict(list)
    for run in runs(evidence.home):
        requests = kept(evidence.home, run)
        rows = sum(len(request.rows) for request in requests) + len(_settled(evidence.home, run))
        if rows != evidence.rows.get(run, rows):
            yield f"I1: the ledger has {rows} of {evidence.rows[run]} rows"
        for request in requests:
            by_target[request.target].append(request)
            yield from _false_words(request, seen[request.target])
    again = max(evidence.crashes, 0)
    for target, requests in by_target.items():
        yield from _sends(target, requests, seen[target], again, evidence.resumes)


def _false_words(request: Kept, seen: Sequence[Received]) -> Iterator[str]:
    name, print_ = f"rows {request.rows}", _fingerprint(request.body)
    mine = [r for r in seen if _fingerprint(r.body or {}) == print_]
    took_effect = any(r.applied for r in mine)
    acknowledged = any(r.applied and _said(r) in _SUCCESSES for r in mine)
    match request.status:
        case "applied":
            if not acknowledged:
                yield f"I2: {name} are claimed, and the server never acknowledged them"
        case "rejected" | "too_late" | "not_sent":
            if took_effect:
                yield f"I2: {name} are called {request.status}, and took effect"
        case _:
            pass


def _sends(
    target: int,
    requests: Sequence[Kept],
    seen: Sequence[Received],
    crashes: int = 0,
    resumes: int = 0,
) -> Iterator[str]:
    intents = sum(request.attempts for request in requests)
    if len(seen) > intents:
        yield f"I3: {target} was sent {len(seen)}, intents {intents}"
    most = 8 * len(requests) * (1 + resumes) + crashes
    slowed = sum(_said(r) in _SLOWER for r in seen)
    if len(seen) - slowed > most or len(seen) > most + 12:
        yield f"I3: {target} was sent {len(seen)} times"
    final: dict[str, int] = {}
    for number, received in enumerate(seen):
        print_ = _fingerprint(received.body or {})
        if final.get(print_, number) < number and len(requests) == 1:
            yield f"I3: {target} was sent again after an answer that ended it"
            return
        if _said(received) not in _REPEATABLE | _SUCCESSES | _SLOWER and _said(received).isdigit():
            final[print_] = number


def _said(received: Received) -> str:
    """The answer: a code or a status in digits, or the name of a fault."""
    name, _, argument = received.answer.removesuffix(":applied").partition(":")
    if name == "code" or argument.startswith("429"):
        return argument.partition(":")[0]
    return received.answer


def _order(evidence: Evidence) -> Iterator[str]:
    """I4: no older body after a newer one was acknowledged; the last acknowledged one holds."""
    wanted: dict[int, list[Kept]] = defaultdict(list)
    for run in runs(evidence.home):
        for request in kept(evidence.home, run):
            wanted[request.target].append(request)
    for target, seen in _seen_by_target(evidence.log).items():
        newest = -1
        for received in seen:
            place = _place(received, wanted[target])
            if received.applied and place < newest:
                yield f"I4: {target} saw an older body after a newer one was acknowledged"
            if received.applied and _said(received) in _SUCCESSES:
                newest = max(newest, place)
        yield from _held(evidence, target, wanted[target], newest)


def _place(received: Received, requests: Sequence[Kept]) -> int:
    """The index of this request among its classroom's: the latest one with its body."""
    print_ = _fingerprint(received.body or {})
    same = [
        (max([s for s in request.stamps if s <= received.at + 1.0], default=0.0), place)
        for place, request in enumerate(requests)
        if _fingerprint(request.body) == print_
    ]
    return max(same, default=(0.0, 0))[1]


def _held(evidence: Evidence, target: int, requests: Sequence[Kept], newest: int) -> Iterator[str]:
    later = any(request.attempts for request in requests[newest + 1 :])
    if evidence.held is None or newest < 0 or later or requests[newest].status != "applied":
        return
    held = evidence.held.get(target, {})
    for key, value in requests[newest].body.items():
        if key in held and held[key] != value:
            yield f"I4: {target} holds another {key} than was acknowledged last"


def _pace(evidence: Evidence) -> Iterator[str]:
    limit, window_s = evidence.pace
    for sid in sorted({r.sid for r in evidence.log}):
        most = most_in_window((r.at for r in evidence.log if r.sid == sid), window_s)
        if most > limit:
            yield f"I5: {most} requests for {sid} within {window_s:g} s"


def _freshness(evidence: Evidence) -> Iterator[str]:
    if not evidence.clock_right:
        return
    stale = sum(r.timestamp is None or abs(r.timestamp - r.at) > FRESH_S for r in evidence.log)
    if stale:
        yield f"I10: {stale} requests bore a stamp more than {FRESH_S:g} s off"


def _secrecy(evidence: Evidence) -> Iterator[str]:
    secrets = {**evidence.secrets, **({"": evidence.secret} if evidence.secret else {})}
    if not secrets:
        return
    signatures = {_signature(r, secrets.get(r.sid, evidence.secret)) for r in evidence.log}
    needles = {form for secret in secrets.values() for form in forms(secret)}
    for leak in leaks(evidence.papers, needles, signatures):
        yield f"I6: {leak}"


def _signature(received: Received, secret: str) -> str:
    """The signature by the vendor's page; the auditor's own implementation."""
    signed = {"sid": received.sid, "timeStamp": str(received.timestamp)}
    for name, value in (received.body or {}).items():
        if not isinstance(value, list | dict) and len(str(value).encode()) <= 1024:
            signed[name] = str(value)
    text = "&".join(f"{name}={signed[name]}" for name in sorted(signed)) + f"&key={secret}"
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _sheets(evidence: Evidence, ended: Ended, last: Ended) -> Iterator[str]:
    """Compare the result sheet with its input, and the exit status with the statuses."""
    given = _lines(ended.sheet)
    if ended.overtime_s > 1.0:
        yield f"I7: it went on for {ended.overtime_s:.0f} s after it was told to end at once"
    if ended.results is None:
        if f"to {len(given) + 1}" not in ended.said:
            yield "I7: no result sheet, and nobody is told of which rows"
        return
    back = _lines(ended.results)
    if [_users(line) for line in back] != [_users(line) for line in given]:
        yield "I1: the result sheet has not the rows of the input in their order"
    states = [line.get(f"{_OWN}status", "") for line in back]
    if set(states) - set(_STATES):
        yield "I1: a row of the result sheet has no state"
    if ended is last:
        yield from _as_kept(evidence, ended.run, states)
    if not ended.stopped and ended.exit_status != _exit_status(states):
        yield f"I7: exit {ended.exit_status} where {_exit_status(states)} is due"


def _users(line: Mapping[str, str]) -> list[str]:
    return [value for key, value in line.items() if not key.startswith(_OWN)]


def _as_kept(evidence: Evidence, run: str, states: Sequence[str]) -> Iterator[str]:
    """Compare the result sheet with the ledger, and check it for false claims."""
    names = _parts(evidence.home, run)
    settled = [_settled(evidence.home, name) for name in names]
    in_ledger = {row: {state} for each in settled for row, state in each.items()}
    seen = _seen_by_target(evidence.log)
    for request in chain.from_iterable(kept(evidence.home, name) for name in names):
        cut_off = {"not_sent", "unconfirmed"} if request.attempts else {"not_sent"}
        allowed = {request.status} if request.status else cut_off
        in_ledger.update(dict.fromkeys(request.rows, allowed))
        for row in request.rows:
            said = replace(request, status=states[row - 2])
            yield from _false_words(said, seen[request.target])
    for row, allowed in in_ledger.items():
        if states[row - 2] not in allowed:
            yield f"I1: row {row} is {allowed} in the ledger and {states[row - 2]} in the sheet"


def _exit_status(states: Iterable[str]) -> int:
    found = set(states)
    if found & {"unconfirmed", "not_sent"}:
        return 4
    return 3 if found & {"invalid", "rejected", "too_late"} else 0


def _liveness(evidence: Evidence) -> Iterator[str]:
    if not evidence.ended or evidence.ended[-1].stopped:
        return
    states = Counter(
        request.status for run in runs(evidence.home) for request in kept(evidence.home, run)
    )
    still_open = states[None] + states["unconfirmed"] + states["not_sent"]
    if still_open > evidence.open_rows:
        yield f"I8: {still_open} rows were left open"


def _fingerprint(body: Mapping[str, object]) -> str:
    return json.dumps(body, sort_keys=True)


def most_in_window(times: Iterable[float], window_s: float) -> int:
    """The largest number of times within any window of `window_s` seconds."""
    ordered = sorted(times)
    most = first = 0
    for last, moment in enumerate(ordered):
        while moment - ordered[first] >= window_s:
            first += 1
        most = max(most, last - first + 1)
    return most
