"""Joins the screens into one application."""

import errno
import logging
from importlib.resources import files
from pathlib import Path
from typing import Final

from aiohttp import web

from bulkcast.errors import BulkcastError, CannotStart, system_reason
from bulkcast.web import (
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
from bulkcast.web.page_state import STATE, PageState

_SCREENS: Final = (
    home_screen,
    upload_screen,
    columns_screen,
    check_screen,
    plan_screen,
    run_screen,
    results_screen,
    settings_screen,
)
UPLOAD_MOST: Final = 1 << 20
"""Bytes of a form; files are streamed and have a limit of their own."""

_FULL: Final = frozenset({errno.ENOSPC, errno.EROFS, errno.EIO, getattr(errno, "EDQUOT", 0)})
"""What is wrong with a disk, and not with bulkcast."""

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
        return _told(request, 400, rendering.speaker(request).error(exc))
    except ConnectionError:  # the tab was closed: there is nobody to tell
        raise
    except OSError as exc:
        _log.exception("a file cannot be written or read")
        if exc.errno not in _FULL:
            return _told(request, 500, "")
        full = CannotStart("the page cannot keep its files: {why}", why=system_reason(exc))
        return _told(request, 400, rendering.speaker(request).error(full))
    except Exception:  # noqa: BLE001 - the door: no traceback reaches the browser
        _log.exception("a defect of bulkcast")
        return _told(request, 500, "")


@web.middleware
async def account_read(request: web.Request, handler: security.Handler) -> web.StreamResponse:
    """Read the account beside the event loop: a keyring may take its time."""
    await request.app[STATE].accounts.refresh()
    return await handler(request)


def _told(request: web.Request, status: int, sentence: str) -> web.Response:
    return rendering.render(
        request, "error.html", status=status, code=status, sentence=sentence, screen="error"
    )
