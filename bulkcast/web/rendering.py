"""Turns screens into HTML in the reader's language; cell text is only ever text."""

from collections.abc import Mapping
from typing import Any, Final

import aiohttp_jinja2
import jinja2
from aiohttp import web

from bulkcast.i18n import Translator
from bulkcast.languages import LANGS, Lang, translator
from bulkcast.version import VERSION
from bulkcast.web.page_state import STATE

LANG_COOKIE: Final = "bulkcast-lang"
LANG_KEY: Final = "lang"


def set_up(app: web.Application) -> None:
    """Give the application its templates."""
    aiohttp_jinja2.setup(
        app,
        loader=jinja2.PackageLoader("bulkcast.web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        context_processors=[_words],
        trim_blocks=True,
        lstrip_blocks=True,
        filters={"n": number},
    )


def language(request: web.Request) -> Lang:
    """The reader's language: what they chose, else what their browser asks for first."""
    chosen = request.cookies.get(LANG_COOKIE, "")
    wanted = [chosen, *request.headers.get("Accept-Language", "").split(",")]
    named = (tag.strip().lower()[:2] for tag in wanted)
    return next((lang for tag in named for lang in LANGS if tag == lang), "en")


def speaker(request: web.Request, headers: Mapping[str, str] | None = None) -> Translator:
    """The translator for a request; with `headers`, settings are named as in a sheet."""
    found = translator(language(request))
    return found.calling(headers) if headers else found


def number(value: int) -> str:
    """A number with separators.

    >>> number(12345)
    '12,345'
    """
    return f"{value:,}"


async def _words(request: web.Request) -> dict[str, Any]:
    """What every template may use."""
    spoken = speaker(request)
    return {
        "lang": spoken.lang,
        "tell": spoken.tell,
        "count": spoken.count,
        "say": spoken.say,
        "path": request.path_qs,
        "version": VERSION,
        "account": request.app[STATE].accounts.current(),
    }


def render(
    request: web.Request, template: str, *, status: int = 200, **context: Any
) -> web.Response:
    """A screen; `template` is a file of `templates/`."""
    return aiohttp_jinja2.render_template(template, request, context, status=status)
