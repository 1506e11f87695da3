"""A run under way: its progress, and what steers it."""

from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

from bulkcast.errors import BulkcastError
from bulkcast.model import group_of
from bulkcast.web import results_screen
from bulkcast.web.event_stream import events, seen_now
from bulkcast.web.page_state import STATE
from bulkcast.web.rendering import language, render, speaker
from bulkcast.web.results_screen import CONFLICT, RUN, end_of
from bulkcast.web.shared_runs import Order


async def show_run(request: web.Request) -> web.StreamResponse:
    """Show how far a run is, as a part of its group if it is one; its results if it is over."""
    run = request.match_info["run"]
    if group := group_of(run):
        raise web.HTTPSeeOther(f"/runs/{group}")
    found = await seen_now(request, run, speaker(request))
    if found is None:
        raise web.HTTPNotFound
    if found["is_over"]:
        raise web.HTTPSeeOther(found["address"])
    return render(request, "apply.html", screen="apply", now=found)


def _steering(order: Order) -> Callable[[web.Request], Any]:
    async def steered(request: web.Request) -> web.StreamResponse:
        state, run = request.app[STATE], request.match_info["run"]
        await state.runs.steer(state.accounts.current(), run, order)
        raise web.HTTPSeeOther(f"/runs/{run}")

    return steered


async def resume(request: web.Request) -> web.StreamResponse:
    """Go on with a run that ended early; where that is not possible, the screen says why."""
    state, run = request.app[STATE], request.match_info["run"]
    await end_of(request, run)
    try:
        account = state.accounts.current()
        name = await state.runs.resume(account, run, lang=language(request))
    except BulkcastError as exc:
        return await _refused(request, run, speaker(request).error(exc))
    raise web.HTTPSeeOther(f"/runs/{name}")


async def _refused(request: web.Request, run: str, why: str) -> web.Response:
    """The screen of a run with the reason why what was asked for is not possible."""
    speaks = speaker(request)
    sentence = speaks.tell("{sentence}.", sentence=why)
    found = await seen_now(request, run, speaks)
    if found is None:
        raise web.HTTPNotFound
    if found["is_over"]:
        return await results_screen.show(request, run, refusal=sentence)
    found["banners"].insert(0, {"kind": "error", "text": sentence})
    return render(request, "apply.html", screen="apply", now=found, status=CONFLICT)


ROUTES: Final = [
    web.get(RUN, show_run),
    web.get(f"{RUN}/events", events),
    web.post(f"{RUN}/pause", _steering("pause")),
    web.post(f"{RUN}/continue", _steering("go_on")),
    web.post(f"{RUN}/stop", _steering("stop")),
    web.post(f"{RUN}/resume", resume),
]
