"""Turns screens into HTML in the reader's language; cell text is only ever text."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any, Final

import jinja2
from aiohttp import web

from bulkcast.errors import BulkcastError
from bulkcast.i18n import Translator, short_header
from bulkcast.languages import LANGS, Lang, translator
from bulkcast.version import VERSION
from bulkcast.web.page_state import STATE
from bulkcast.web.page_words import PAGE_WORDS

LANG_COOKIE: Final = "bulkcast-lang"
LANG_KEY: Final = "lang"


_TEMPLATES: Final = jinja2.Environment(
    loader=jinja2.PackageLoader("bulkcast.web"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def language(request: web.Request) -> Lang:
    """The reader's language: what they chose, else what their browser asks for first."""
    chosen = request.cookies.get(LANG_COOKIE, "")
    wanted = [chosen, *request.headers.get("Accept-Language", "").split(",")]
    named = (tag.strip().lower()[:2] for tag in wanted)
    return next((lang for tag in named for lang in LANGS if tag == lang), "en")


def speaker(request: web.Request, headers: Mapping[str, str] | None = None) -> Translator:
    """The translator for a request; with `headers`, settings are named as in a sheet.

    What a sentence says of the command line's options it says in the page's words.
    """
    found = _of_page(language(request))
    return found.with_headers(headers) if headers else found


@cache
def _of_page(lang: Lang) -> Translator:
    found = translator(lang)

    def look_up(template: str) -> str:
        return found.look_up(PAGE_WORDS.get(template, template))

    return replace(found, look_up=look_up)


def sentence(spoken: Translator, exc: BulkcastError) -> str:
    """An error as a sentence of its own; in a terminal it stands behind the program's name."""
    told = spoken.tell("{why}.", why=spoken.error(exc))
    return told[:1].upper() + told[1:]


def number(value: int) -> str:
    """A number with separators.

    >>> number(12345)
    '12,345'
    """
    return f"{value:,}"


def page_number(query: Mapping[str, str]) -> int:
    """The page that a query string asks for; 1 for anything that is no page.

    >>> page_number({"page": "3"}), page_number({"page": "-1"}), page_number({})
    (3, 1, 1)
    """
    page = query.get("page", "")
    return max(1, int(page)) if page.isascii() and page.isdigit() and len(page) < 7 else 1


def render(
    request: web.Request,
    template: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **context: Any,
) -> web.Response:
    """A screen; `template` is a file of `templates/`.

    `headers` names settings as a sheet does, see `speaker`.
    """
    words = _words(request, headers) | context
    return web.Response(
        text=_TEMPLATES.get_template(template).render(words),
        content_type="text/html",
        status=status,
    )


def _words(request: web.Request, headers: Mapping[str, str] | None) -> dict[str, Any]:
    """What every template may use."""
    spoken = speaker(request, headers)
    return {
        "lang": spoken.lang,
        "tell": spoken.tell,
        "count": spoken.count,
        "say": spoken.say,
        "path": request.path_qs,
        "version": VERSION,
        "account": request.app[STATE].accounts.current(),
    }


_TEMPLATES.filters |= {
    "n": number,
    "first_line": short_header,
    "merged": lambda first, second: {**first, **second},
}
