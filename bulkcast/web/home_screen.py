"""Home: the runs so far, and where a new one begins."""

import asyncio
from datetime import datetime
from typing import Any, Final

from aiohttp import web

from bulkcast import pipeline
from bulkcast.explanations import STATE_LABELS
from bulkcast.i18n import Translator
from bulkcast.languages import LANGS
from bulkcast.messages import local_time
from bulkcast.model import is_rehearsal
from bulkcast.pipeline import NextStep, RunRecord, next_step, zone
from bulkcast.web.accounts import Account
from bulkcast.web.drafts import Draft
from bulkcast.web.file_response import handed_out
from bulkcast.web.page_state import STATE
from bulkcast.web.rendering import LANG_COOKIE, LANG_KEY, language, page_number, render, speaker
from bulkcast.web.run_snapshot import counted, counts_said

PAGE_RUNS: Final = 20
_DRAFTS_MOST: Final = 10


async def home(request: web.Request) -> web.Response:
    """Show the newest runs, and the sheets that were not sent yet."""
    state, speaks = request.app[STATE], speaker(request)
    account = state.accounts.current()
    page = page_number(request.query)
    found = await asyncio.to_thread(
        pipeline.some_runs,
        account.home,
        institution=_whose(account),
        first=(page - 1) * PAGE_RUNS,
        most=PAGE_RUNS,
    )
    last = max(1, -(-found.total // PAGE_RUNS))
    if page > last:
        raise web.HTTPSeeOther(f"/?page={last}")
    drafts = await asyncio.to_thread(state.drafts.newest, account) if page == 1 else []
    return render(
        request,
        "home.html",
        screen="home",
        runs=[_line(record, speaks) for record in found.records],
        total=found.total,
        drafts=[_draft(draft) for draft in drafts[:_DRAFTS_MOST]],
        page=page,
        last=last,
        address=lambda number: f"/?page={number}",
    )


def _whose(account: Account) -> Any:
    """The institution whose runs are listed; all of them for a demonstration."""
    is_one = account.config is not None and not account.is_demo
    return account.config.institution if is_one and account.config else None


_LOOKS: Final = {
    "running": "unchanged",
    "crashed": "unconfirmed",
    "stopped": "unconfirmed",
    "finished": "applied",
    "purged": "superseded",
}
"""State of a run → the status whose colour it has."""


def _line(record: RunRecord, speaks: Translator) -> dict[str, Any]:
    """A run as the list shows it."""
    header, step = record.header, next_step(record.counts, record.stop)
    word, look = STATE_LABELS[record.state].say(speaks.lang), _LOOKS[record.state]
    if record.state == "crashed":
        word = speaks.tell("interrupted")
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
        "word": word,
        "look": look,
        "can_resume": record.state == "crashed" or step is NextStep.RESUME,
    }


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
