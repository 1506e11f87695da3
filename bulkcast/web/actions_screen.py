"""Actions: who did what with the runs of a shared database, when and from where."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from bulkcast import pipeline
from bulkcast.config import DEFAULT_ROOT_URL
from bulkcast.home import SharedHome
from bulkcast.i18n import Translator, marked
from bulkcast.messages import local_time
from bulkcast.pipeline.options import DEFAULT_TZ
from bulkcast.web import shared_runs
from bulkcast.web.page_state import STATE
from bulkcast.web.rendering import render, speaker

if TYPE_CHECKING:
    from bulkcast.pipeline import AuditEntry

PAGE_ACTIONS: Final = 50
_BEFORE: Final = "before"
_WORDS: Final[Mapping[str, str]] = {
    "submit": marked("Handed in"),
    "resume": marked("Continued the run"),
    "pause": marked("Paused the institution"),
    "go on": marked("Ended the pause"),
    "cancel": marked("Stopped the run"),
    "undo": marked("Took the sheet that undoes it"),
    "purge": marked("Erased what its rows held"),
}
"""Action → what somebody did."""


async def actions(request: web.Request) -> web.Response:
    """List what people did, newest first; with `?before=` what was done before an entry."""
    home = request.app[STATE].accounts.current().home
    if not isinstance(home, SharedHome):
        raise web.HTTPNotFound
    before = _entry(request.query)
    found = await shared_runs.actions(home, PAGE_ACTIONS + 1, before)
    shown = found[:PAGE_ACTIONS]
    speaks = speaker(request)
    return render(
        request,
        "actions.html",
        screen="home",
        actions=[_line(entry, speaks) for entry in shown],
        older=f"/actions?{_BEFORE}={shown[-1].id}" if len(found) > PAGE_ACTIONS else "",
        is_first=before is None,
        zone=DEFAULT_TZ,
    )


def _entry(query: Mapping[str, str]) -> int | None:
    """The entry that a query string names; None for anything that is none."""
    text = query.get(_BEFORE, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _line(entry: "AuditEntry", speaks: Translator) -> dict[str, Any]:
    """An action as the list shows it."""
    known = _WORDS.get(entry.action)
    return {
        "id": entry.id,
        "when": local_time(entry.at.timestamp(), pipeline.zone(DEFAULT_TZ)),
        "who": entry.who,
        "host": entry.host,
        "action": entry.action,
        "what": speaks.tell(known) if known else entry.action,
        "runs": _parts(entry.run),
        "institutions": [_institution(lane, speaks) for lane in _parts(entry.institution)],
    }


def _parts(listed: str | None) -> list[str]:
    """The names in a list such as `one, another`."""
    return [part for part in (listed or "").split(", ") if part]


def _institution(lane: str, speaks: Translator) -> str:
    """An institution by its SID, with the address if that is not the usual one."""
    root_url, _, sid = lane.rpartition(" ")
    if root_url in {"", DEFAULT_ROOT_URL}:
        return speaks.tell("SID {sid}", sid=sid)
    return speaks.tell("SID {sid} at {root_url}", sid=sid, root_url=root_url)


ROUTES: Final = [web.get("/actions", actions)]
