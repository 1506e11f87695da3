"""Home: the runs so far, and where a new one begins."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from aiohttp import web

from bulkcast import pipeline
from bulkcast.errors import BulkcastError, CannotStart
from bulkcast.explanations import STATE_LABELS
from bulkcast.home import SharedHome
from bulkcast.i18n import Translator
from bulkcast.languages import LANGS
from bulkcast.messages import local_time
from bulkcast.model import is_rehearsal
from bulkcast.pipeline import GroupRecord, NextStep, RunRecord, SomeRuns, next_step, zone
from bulkcast.web.accounts import Account
from bulkcast.web.drafts import Draft
from bulkcast.web.file_response import handed_out
from bulkcast.web.live_runs import OUT_OF_REACH
from bulkcast.web.page_state import STATE
from bulkcast.web.rendering import (
    LANG_COOKIE,
    LANG_KEY,
    language,
    page_number,
    render,
    sentence,
    speaker,
)
from bulkcast.web.run_snapshot import counted, counts_said, institutions_said, profiles_of

PAGE_RUNS: Final = 20
_DRAFTS_MOST: Final = 10


async def home(request: web.Request) -> web.Response:
    """Show the newest runs, and the sheets that were not sent yet."""
    state, speaks = request.app[STATE], speaker(request)
    account = state.accounts.current()
    page = page_number(request.query)
    is_own = request.query.get(_OF) == _OWN
    lost: BulkcastError | None = None
    found, lanes = _NONE
    try:
        found, lanes = await asyncio.to_thread(_looked_up, account, page, is_own=is_own)
    except (CannotStart, *OUT_OF_REACH) as exc:
        if not account.is_shared:
            raise
        lost = exc
    last = max(1, -(-found.total // PAGE_RUNS))
    if page > last and not lost:
        raise web.HTTPSeeOther(_address(last, is_own=is_own))
    drafts = await asyncio.to_thread(state.drafts.newest, account) if page == 1 else []
    return render(
        request,
        "home.html",
        screen="home",
        runs=[_line(record, lanes, speaks) for record in found.records],
        lost=sentence(speaks, lost) if lost else "",
        is_away=isinstance(lost, OUT_OF_REACH),
        is_own=is_own,
        total=found.total,
        drafts=[_draft(draft) for draft in drafts[:_DRAFTS_MOST]],
        page=page,
        last=last,
        address=lambda number: _address(number, is_own=is_own),
    )


_Found = tuple[SomeRuns, Mapping[str, str]]
_NONE: Final[_Found] = (SomeRuns((), 0), {})
_OF: Final = "of"
_OWN: Final = "own"


def _address(page: int, *, is_own: bool) -> str:
    return f"/?{_OF}={_OWN}&page={page}" if is_own else f"/?page={page}"


def _looked_up(account: Account, page: int, *, is_own: bool) -> _Found:
    """The runs of a page, and how the lanes of a fleet stand that are paused or held."""
    found = pipeline.some_runs(
        account.home,
        institution=_whose(account, is_own=is_own),
        and_groups=not account.is_shared,
        first=(page - 1) * PAGE_RUNS,
        most=PAGE_RUNS,
    )
    if not isinstance(account.home, SharedHome):
        return found, {}
    return found, pipeline.busy_lanes(account.home)


def _whose(account: Account, *, is_own: bool) -> Any:
    """The institution whose runs are listed; all of them for a demonstration.

    Of a shared database all are listed, unless only those of the account are asked for.
    """
    is_one = account.config is not None and not account.is_demo
    is_one = is_one and (is_own or not account.is_shared)
    return account.config.institution if is_one and account.config else None


_LOOKS: Final = {
    "running": "unchanged",
    "crashed": "unconfirmed",
    "stopped": "unconfirmed",
    "finished": "applied",
    "purged": "superseded",
}
"""State of a run → the status whose colour it has."""


def _line(record: RunRecord, lanes: Mapping[str, str], speaks: Translator) -> dict[str, Any]:
    """A run as the list shows it; `lanes` are those of a fleet that are paused or held."""
    header, step = record.header, next_step(record.counts, record.stop)
    word, look = STATE_LABELS[record.state].say(speaks.lang), _LOOKS[record.state]
    if record.state == "crashed":
        word = speaks.tell("interrupted")
    elif record.state == "running" and header.sending:
        word = _word_in_fleet(record, lanes, word, speaks)
    elif record.state == "finished" and step is NextStep.MEND:
        word, look = speaks.tell("needs fixing"), "rejected"
    elif record.state == "finished" and step is not NextStep.NOTHING:
        word, look = speaks.tell("can be sent again"), "unconfirmed"
    return {
        "run": header.run,
        "title": header.title,
        "when": f"{local_time(header.created_at, zone(header.tz))[:16]}",
        "zone": header.tz,
        "is_rehearsal": is_rehearsal(header.run),
        "rows": sum(record.counts.values()),
        "counts": [(status.value, n) for status, n in record.counts.items()],
        "said": counts_said(dict(record.counts), speaks),
        "legend": counted(dict(record.counts), speaks),
        "state": record.state,
        "by": header.sending.by if header.sending else "",
        "sid": header.institution.sid,
        "institutions": institutions_said(profiles_of(record), speaks),
        "word": word,
        "look": look,
        "can_resume": record.state == "crashed" or step is NextStep.RESUME,
    }


def _word_in_fleet(
    record: RunRecord, lanes: Mapping[str, str], running: str, speaks: Translator
) -> str:
    """What an open run of a fleet is about; `running` is the word for one that is sent."""
    every = record.parts if isinstance(record, GroupRecord) else (record,)
    open_ = [part.header.institution for part in every if part.state == "running"]
    found = {lanes.get(pipeline.lane_of(institution)) for institution in open_}
    if "held" in found:
        return running
    return speaks.tell("paused") if found == {"paused"} else speaks.tell("waiting")


def _draft(draft: Draft) -> dict[str, Any]:
    at = datetime.fromtimestamp(draft.uploaded_at).astimezone()
    return {"name": draft.name, "address": draft.address, "when": f"{at:%Y-%m-%d %H:%M}"}


async def template(request: web.Request) -> web.StreamResponse:
    """Hand out the workbook to fill in."""
    account, lang = request.app[STATE].accounts.current(), language(request)
    return await handed_out(lambda: pipeline.template_file(account.home, lang=lang))


async def choose_language(request: web.Request) -> web.StreamResponse:
    """Remember the language, and go back to where it was chosen."""
    form = await request.post()
    answer = web.HTTPSeeOther(_own_path(str(form.get("back", "/"))))
    if form.get(LANG_KEY) in LANGS:
        answer.set_cookie(
            LANG_COOKIE, str(form[LANG_KEY]), httponly=True, samesite="Strict", max_age=_YEAR_S
        )
    raise answer


_YEAR_S: Final = 365 * 86400


def _own_path(path: str) -> str:
    """A path of this page; `//other.host` and the like lead home."""
    is_own = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_own else "/"


ROUTES: Final = [
    web.get("/", home),
    web.get("/template.xlsx", template),
    web.post("/language", choose_language),
]
