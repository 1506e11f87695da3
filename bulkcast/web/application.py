"""Joins the screens into one application."""

import errno
import logging
from importlib.resources import files
from pathlib import Path
from typing import Final

from aiohttp import web

from bulkcast.errors import BulkcastError, CannotStart, system_reason
from bulkcast.web import (
    actions_screen,
    check_screen,
    columns_screen,
    home_screen,
    plan_screen,
    rendering,
    results_screen,
    run_screen,
    security,
    settings_screen,
    upload_screen,
)
from bulkcast.web.live_runs import OUT_OF_REACH
from bulkcast.web.page_state import STATE, PageState

_SCREENS: Final = (
    home_screen,
    upload_screen,
    columns_screen,
    check_screen,
    plan_screen,
    run_screen,
    results_screen,
    actions_screen,
    settings_screen,
)
UPLOAD_MOST: Final = 1 << 20
"""Bytes of a form; files are streamed and have a limit of their own."""

_FULL: Final = frozenset({errno.ENOSPC, errno.EROFS, errno.EIO, getattr(errno, "EDQUOT", 0)})
"""What is wrong with a disk, and not with bulkcast."""

_AWAY: Final = 503
"""The status of an answer that the shared database cannot give just now."""
_OF_FLEET: Final = frozenset({"psycopg", "psycopg_pool", "procrastinate", "prometheus_client"})

_log = logging.getLogger(__name__)


def make(state: PageState) -> web.Application:
    """The application with every screen."""
    guard = security.guard(state.sessions, lambda: state.port)
    app = web.Application(
        middlewares=[guard, errors_told, account_read], client_max_size=UPLOAD_MOST
    )
    app[STATE] = state
    app.on_response_prepare.append(security.add_headers)
    app.router.add_static("/static/", Path(str(files("bulkcast.web") / "static")))
    for screen in _SCREENS:
        app.router.add_routes(screen.ROUTES)
    return app


@web.middleware
async def errors_told(request: web.Request, handler: security.Handler) -> web.StreamResponse:
    """Show an error as a screen, never as a traceback."""
    try:
        return await handler(request)
    except web.HTTPException as exc:
        if exc.status < 400:
            raise
        return _told(request, exc.status, "")
    except BulkcastError as exc:
        said = rendering.sentence(rendering.speaker(request), exc)
        return _told(request, _status_of(request, exc), said)
    except ConnectionError:  # the tab was closed: there is nobody to tell
        raise
    except Exception as exc:  # noqa: BLE001 - the door: no traceback reaches the browser
        known = _known(exc)
        if known is None:
            return _told(request, 500, "")
        return _told(request, 400, rendering.sentence(rendering.speaker(request), known))


def _status_of(request: web.Request, exc: BulkcastError) -> int:
    is_away = isinstance(exc, OUT_OF_REACH) and request.app[STATE].accounts.current().is_shared
    return _AWAY if is_away else 400


def _known(exc: Exception) -> BulkcastError | None:
    """What is wrong with this computer, as a sentence; None for a defect, which is logged."""
    if isinstance(exc, ModuleNotFoundError) and exc.name in _OF_FLEET:
        return CannotStart(
            "a shared database needs packages that are not installed: pip install 'bulkcast[fleet]'"
        )
    if isinstance(exc, OSError):
        _log.error("a file cannot be written or read", exc_info=exc)
        if exc.errno in _FULL:
            return CannotStart("the page cannot keep its files: {why}", why=system_reason(exc))
        return None
    _log.error("a defect of bulkcast", exc_info=exc)
    return None


@web.middleware
async def account_read(request: web.Request, handler: security.Handler) -> web.StreamResponse:
    """Read the account beside the event loop: a keyring may take its time."""
    await request.app[STATE].accounts.refresh()
    return await handler(request)


def _told(request: web.Request, status: int, sentence: str) -> web.Response:
    again = request.path_qs if request.method == "GET" else "/"
    return rendering.render(
        request,
        "error.html",
        status=status,
        code=status,
        sentence=sentence,
        again=again,
        screen="error",
    )
