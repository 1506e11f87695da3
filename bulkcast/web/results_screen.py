"""The results of a run: what happened, rows by how they ended, files to take, what comes next."""

import asyncio
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from aiohttp import web

from bulkcast import pipeline
from bulkcast.errors import CannotStart
from bulkcast.explanations import STATUS_LABELS, STATUS_MEANINGS
from bulkcast.home import SharedHome
from bulkcast.i18n import Translator, marked
from bulkcast.messages import local_time
from bulkcast.model import RowStatus, group_of, is_rehearsal
from bulkcast.pipeline import (
    RESUBMITTED,
    End,
    GroupRecord,
    HandedOut,
    NextStep,
    ResultTable,
    RunRecord,
    zone,
)
from bulkcast.web import shared_runs
from bulkcast.web.accounts import Account
from bulkcast.web.file_response import handed_out
from bulkcast.web.page_state import STATE
from bulkcast.web.rendering import language, page_number, render, speaker
from bulkcast.web.run_snapshot import counted, counts_said, institutions_said, profiles_of

PAGE_ROWS: Final = 100
"""Rows of a page of results."""
_PROBLEMS_MOST: Final = 12
"""Reasons for failure that are listed; their rows are all in the table."""
_PARTS_MOST: Final = 50
"""Institutions whose rows can be looked at alone."""
RUN: Final = "/runs/{run:[a-z0-9-]+}"
CONFLICT: Final = 409

_GOOD: Final = frozenset({RowStatus.APPLIED, RowStatus.UNCHANGED, RowStatus.SUPERSEDED})
_TO_MEND: Final = frozenset({RowStatus.INVALID, RowStatus.REJECTED, RowStatus.TOO_LATE})


class _Filter(NamedTuple):
    """Which rows are shown, from the query string."""

    status: str
    problem: str
    page: int

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "_Filter":
        status = query.get("status", "")
        known = status if status in set(RowStatus) else ""
        return cls(known, query.get("problem", "")[:80], page_number(query))

    def address(self, run: str, **changed: object) -> str:
        """The address of the results with other values."""
        values = {**self._asdict(), "page": 1, **changed}
        query = urlencode({k: v for k, v in values.items() if v and (k, v) != ("page", 1)})
        return f"/runs/{run}/results{'?' if query else ''}{query}"


async def end_of(request: web.Request, run: str) -> End:
    """The end of a run of the account in use.

    Raises:
        HTTPNotFound: there is no such run.

    """
    account = request.app[STATE].accounts.current()
    found = await asyncio.to_thread(pipeline.run_end, account.home, run)
    if found is None:
        raise web.HTTPNotFound
    return found


async def results(request: web.Request) -> web.StreamResponse:
    """Show how the rows of a run ended."""
    return await show(request, request.match_info["run"])


async def show(request: web.Request, run: str, refusal: str = "") -> web.Response:
    """The results of a run; `refusal` is why what was asked for is not possible.

    Raises:
        HTTPSeeOther: it is not over.

    """
    end = await end_of(request, run)
    if end.finished_at is None:
        raise web.HTTPSeeOther(f"/runs/{run}")
    account, speaks = request.app[STATE].accounts.current(), speaker(request)
    table = await request.app[STATE].tables.get(account.home, run, end, speaks.lang)
    return render(
        request,
        "results.html",
        screen="results",
        status=CONFLICT if refusal else 200,
        refusal=refusal,
        run=run,
        record=table.record,
        title=table.record.header.title,
        is_rehearsal=is_rehearsal(run),
        by=table.record.header.sending.by if table.record.header.sending else "",
        institutions=institutions_said(profiles_of(table.record), speaks),
        group=group_of(run) or run,
        parts=_parts(await asyncio.to_thread(_whole, account, table.record)),
        on_page=lambda text: on_page(text, speaks),
        **_outcome(table, speaks),
        **_next(table),
        **_rows(table, _Filter.of(request.query), run),
    )


def _whole(account: Account, record: RunRecord) -> RunRecord:
    """The group that a run is a part of; the run itself if it is of none."""
    state = pipeline.run_state(account.home, record.header.group) if record.header.group else None
    return state.record if state else record


def _parts(record: RunRecord) -> list[tuple[str, str]]:
    """The institutions of a group, and the run of each; those of large groups are left out."""
    parts = record.parts if isinstance(record, GroupRecord) else ()
    named = [(part.header.profile, part.header.run) for part in parts if part.header.profile]
    return named if 1 < len(named) <= _PARTS_MOST else []


def _outcome(table: ResultTable, speaks: Translator) -> dict[str, Any]:
    """What happened, for the top of the screen."""
    counts = dict(table.counts)
    return {
        "verdict": _verdict(table, speaks),
        "explanation": _explanation(table, speaks),
        "when": _when(table.record, speaks),
        "counts": counted(counts, speaks),
        "pairs": [(status.value, n) for status, n in counts.items()],
        "counts_said": counts_said(counts, speaks),
        "meanings": {s.value: speaks.tell(said) for s, said in STATUS_MEANINGS.items()},
        "words": {str(s): label.say(speaks.lang) for s, label in STATUS_LABELS.items()},
        "unconfirmed": counts[RowStatus.UNCONFIRMED],
        "problems": table.problems[:_PROBLEMS_MOST],
        "more_problems": max(0, len(table.problems) - _PROBLEMS_MOST),
    }


def _next(table: ResultTable) -> dict[str, Any]:
    """What can be done now."""
    is_purged = table.record.purged_at is not None
    return {
        "step": table.next_step.name,
        "again": _again(table),
        "to_fix": sum(table.counts[status] for status in _TO_MEND),
        "failed": ",".join(s.value for s in RowStatus if s in RESUBMITTED and table.counts[s]),
        "can_undo": bool(table.counts[RowStatus.APPLIED]) and not is_purged,
    }


def _rows(table: ResultTable, wanted: _Filter, run: str) -> dict[str, Any]:
    """The rows that are asked for."""
    statuses = frozenset({RowStatus(wanted.status)} if wanted.status else ())
    rows = table.chosen(statuses, wanted.problem)
    last = max(1, -(-len(rows) // PAGE_ROWS))
    page = min(wanted.page, last)
    first = (page - 1) * PAGE_ROWS
    return {
        "total": len(table.rows),
        "chosen": len(rows),
        "rows": rows[first : first + PAGE_ROWS],
        "first": first,
        "classrooms": table.classrooms,
        "wanted": wanted,
        "page": page,
        "last": last,
        "address": lambda **changed: wanted.address(run, **changed),
        "page_address": lambda number: f"{wanted.address(run, page=number)}#rows",
    }


def _when(record: RunRecord, speaks: Translator) -> str:
    header, ended = record.header, record.finished_at
    tz = zone(header.tz)
    begun = local_time(header.created_at, tz)[:16]
    if ended is None:
        return begun
    duration = speaks.duration(max(0.0, ended - header.created_at))
    return speaks.tell("{when} ({zone}), {duration}", when=begun, zone=header.tz, duration=duration)


def _again(table: ResultTable) -> int:
    """How many rows `resubmit` would send or have mended."""
    return sum(table.counts[status] for status in RESUBMITTED)


def _verdict(table: ResultTable, speaks: Translator) -> str:
    """What happened, in one sentence."""
    rows, again = len(table.rows), _again(table)
    done = sum(table.counts[status] for status in _GOOD)
    if not rows:
        return speaks.tell("The sheet has no rows")
    match table.next_step:
        case NextStep.NOTHING:
            return speaks.count("The row is done", "All {n} rows are done", rows)
        case NextStep.RESUME:
            left = table.counts[RowStatus.NOT_SENT] + table.counts[RowStatus.UNCONFIRMED]
            return speaks.count(
                "Stopped before the end: {n} row is left",
                "Stopped before the end: {n} rows are left",
                left,
            )
        case NextStep.MEND:
            to_mend = sum(table.counts[status] for status in _TO_MEND)
            return speaks.count(
                "{done} of {rows} rows are done, {n} needs fixing",
                "{done} of {rows} rows are done, {n} need fixing",
                to_mend, done=f"{done:,}", rows=f"{rows:,}",
            )  # fmt: skip
        case NextStep.SEND_REST:
            return speaks.count(
                "{done} of {rows} rows are done, {n} was left out as asked",
                "{done} of {rows} rows are done, {n} were left out as asked",
                again, done=f"{done:,}", rows=f"{rows:,}",
            )  # fmt: skip
        case NextStep.SEND_AGAIN:
            return speaks.count(
                "{done} of {rows} rows are done, {n} can be sent again",
                "{done} of {rows} rows are done, {n} can be sent again",
                again, done=f"{done:,}", rows=f"{rows:,}",
            )  # fmt: skip


def _explanation(table: ResultTable, speaks: Translator) -> str:
    """What to do, and why the run stopped if it did."""
    message, fix = table.stop
    stop = table.record.stop
    told = [on_page(message, speaks)]
    if stop and stop.reason != "interrupted":
        told.append(on_page(fix, speaks))
    match table.next_step:
        case NextStep.RESUME:
            told.append(speaks.tell("Continue to send the rest; what is done stays done."))
        case NextStep.MEND:
            told.append(speaks.tell(_FIXED_WHERE))
        case NextStep.SEND_REST | NextStep.SEND_AGAIN:
            told.append(speaks.tell("Only those are sent; what is done stays done."))
        case _:
            pass
    return speaks.joined([sentence for sentence in told if sentence])


_FIXED_WHERE: Final = marked(
    "Fix the rows here or in the result sheet; only those are sent again. What is done stays done."
)
_COMMAND: Final = re.compile(r"`bulkcast (resume|resubmit|apply)\b[^`]*`")


def on_page(text: str, speaks: Translator) -> str:
    """A sentence of the command line with the page's buttons in place of its commands."""
    buttons = {
        "resume": speaks.tell("Continue"),
        "resubmit": speaks.tell("Fix and resubmit"),
        "apply": speaks.tell("New upload"),
    }
    return _COMMAND.sub(lambda found: speaks.tell("“{button}”", button=buttons[found[1]]), text)


# ------------------------------------------------------------------ files


def _chosen_statuses(query: Mapping[str, str]) -> frozenset[RowStatus]:
    known = set(RowStatus)
    named = (word for word in query.get("only", "").split(",") if word in known)
    return frozenset(RowStatus(word) for word in named)


async def result_sheet(request: web.Request) -> web.StreamResponse:
    """Hand out the result sheet: whole, or only some rows; in the sheet's kind, or another."""
    run, kind = request.match_info["run"], request.query.get("kind", "")
    await end_of(request, run)
    only = _chosen_statuses(request.query)
    home, lang = request.app[STATE].accounts.current().home, language(request)
    return await handed_out(
        lambda: pipeline.result_file(
            home, run, only=only, kind=kind if kind in _KINDS else "", lang=lang
        )
    )


_KINDS: Final = frozenset({"csv", "tsv", "xlsx"})


async def summary(request: web.Request) -> web.StreamResponse:
    """Hand out the report of a run as one HTML file."""
    run = request.match_info["run"]
    await end_of(request, run)
    home, lang = request.app[STATE].accounts.current().home, language(request)
    return await handed_out(lambda: pipeline.summary_file(home, run, lang=lang))


# ------------------------------------------------------------------ what comes next


async def resubmit(request: web.Request) -> web.StreamResponse:
    """Make a draft of the result sheet, of which only what needs it is sent again."""
    run = request.match_info["run"]
    await end_of(request, run)
    account, lang = request.app[STATE].accounts.current(), language(request)
    await _require_own(account, run)
    address = await _draft_of(
        request, account, lambda: pipeline.result_file(account.home, run, lang=lang),
        resubmits=True,
    )  # fmt: skip
    raise web.HTTPSeeOther(f"{address}/check")


async def _require_own(account: Account, run: str) -> None:
    """Refuse to make a sheet of a run for another institution than the one it was for.

    The rows of a group name theirs.
    """
    if not account.is_shared or await asyncio.to_thread(pipeline.is_group, account.home, run):
        return
    state = await asyncio.to_thread(pipeline.run_state, account.home, run)
    whose = state.record.header.institution if state else None
    own = account.config.institution if account.config else None
    if whose and (own is None or pipeline.lane_of(whose) != pipeline.lane_of(own)):
        raise CannotStart(
            "run {run} belongs to institution {sid} at {root_url}; choose that one in the settings"
            " first",
            run=run, sid=whose.sid, root_url=whose.root_url,
        )  # fmt: skip


async def ask_undo(request: web.Request) -> web.StreamResponse:
    """Show what of a run can be taken back, and what cannot."""
    run, speaks = request.match_info["run"], speaker(request)
    home = request.app[STATE].accounts.current().home
    state = await asyncio.to_thread(pipeline.run_state, home, run)
    if state is None:
        raise web.HTTPNotFound
    undone = await asyncio.to_thread(pipeline.undo_outlook, home, run, lang=speaks.lang)
    speaks = speaks.with_headers(undone.names)
    return render(
        request,
        "undo.html",
        screen="results",
        headers=undone.names,
        run=run,
        title=state.record.header.title,
        undone=undone,
        stays=[
            {
                "why": group.why,
                "names": speaks.listed(map(speaks.name_of, group.keys)),
                "classrooms": group.classrooms,
                "rows": len(group.rows),
            }
            for group in undone.stays
        ],
        appended=[speaks.name_of(key) for key in undone.may_append],
    )


async def undo(request: web.Request) -> web.StreamResponse:
    """Make a draft of the sheet that takes a run back."""
    run = request.match_info["run"]
    await end_of(request, run)
    account, lang = request.app[STATE].accounts.current(), language(request)
    await _require_own(account, run)
    address = await _draft_of(
        request, account, lambda: pipeline.undo_file(account.home, run, lang=lang), resubmits=False
    )
    if isinstance(account.home, SharedHome):
        await shared_runs.note_undo(account.home, run, account.user)
    raise web.HTTPSeeOther(f"{address}/check")


async def _draft_of(
    request: web.Request,
    account: Account,
    make: Callable[[], AbstractContextManager[HandedOut | None]],
    *,
    resubmits: bool,
) -> str:
    """The address of a new draft of a sheet that was made of a run."""
    drafts = request.app[STATE].drafts

    def added() -> str:
        with make() as file:
            if file is None:
                raise CannotStart("the run leaves nothing that can be brought back")
            return drafts.add_file(account, file.path, file.name, resubmits=resubmits).address

    return await asyncio.to_thread(added)


ROUTES: Final = [
    web.get(f"{RUN}/results", results),
    web.get(f"{RUN}/results.sheet", result_sheet),
    web.get(f"{RUN}/summary.html", summary),
    web.post(f"{RUN}/resubmit", resubmit),
    web.get(f"{RUN}/undo", ask_undo),
    web.post(f"{RUN}/undo", undo),
]
