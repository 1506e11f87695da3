"""Live progress: one stream of events for each tab, each event a whole snapshot of the run."""

import asyncio
import json
from contextlib import suppress
from typing import Final

from aiohttp import web
from aiohttp_sse import EventSourceResponse, sse_response

from bulkcast import pipeline
from bulkcast.errors import BulkcastError
from bulkcast.i18n import Translator
from bulkcast.web.page_state import STATE
from bulkcast.web.rendering import speaker
from bulkcast.web.run_snapshot import Snapshot, snapshot

EVERY_S: Final = 0.25
"""Seconds between two events at least: at 2,000 rows a second a tab still has little to do."""
_PING_S: Final = 10
_LAST_ID: Final = "Last-Event-ID"


async def seen_now(request: web.Request, run: str, speaks: Translator) -> Snapshot | None:
    """The snapshot of a run for whoever asks; None if there is no such run."""
    state = request.app[STATE]
    account = state.accounts.current()
    view = await state.runs.look(account, run)
    if view is None:
        return None
    live = state.runs.find(run)
    home = live.home if live else account.home
    failures = await state.runs.failures(home, view, speaks.lang)
    return snapshot(view, failures, speaks)


async def events(request: web.Request) -> web.StreamResponse:
    """Send snapshots as long as the run goes on and somebody listens; the last says it is over.

    With `?once=1` one snapshot is the whole answer, for a tab that nobody looks at: a browser has
    few connections for each host.
    """
    run, speaks = request.match_info["run"], speaker(request)
    found = await seen_now(request, run, speaks)
    if found is None:
        raise web.HTTPNotFound
    if "once" in request.query:
        return web.json_response(found)
    async with sse_response(request, ping_interval=_PING_S) as stream:
        # The tab is closed, or the ledger cannot be read just now: then the tab asks again.
        with suppress(ConnectionResetError, BulkcastError):
            await _send(stream, request, run, found)
    return stream


async def _send(
    stream: EventSourceResponse, request: web.Request, run: str, now: Snapshot | None
) -> None:
    speaks, closing = speaker(request), request.app[STATE].runs.closing
    number, sent = _last_id(request), None
    while now is not None and stream.is_connected():
        if now != sent:
            if now["is_over"]:
                await _read_ahead(request, run, speaks)
            number += 1
            await stream.send(json.dumps(now), id=str(number))
            sent = now
        if now["is_over"] or not await _waited(closing):
            return
        now = await seen_now(request, run, speaks)


async def _read_ahead(request: web.Request, run: str, speaks: Translator) -> None:
    """Read the results before the tab asks for them, as it does next."""
    state = request.app[STATE]
    home = state.accounts.current().home
    with suppress(BulkcastError):  # the results say so themselves
        end = await asyncio.to_thread(pipeline.run_end, home, run)
        if end is not None:
            await state.tables.get(home, run, end, speaks.lang)


async def _waited(closing: asyncio.Event) -> bool:
    """Wait for the next event; False if the page ends."""
    try:
        await asyncio.wait_for(closing.wait(), EVERY_S)
    except TimeoutError:
        return True
    return False


def _last_id(request: web.Request) -> int:
    """The number of the last event that this tab has seen; 0 if it has seen none."""
    last = request.headers.get(_LAST_ID, "")
    return int(last) if last.isascii() and last.isdigit() and len(last) < 16 else 0
