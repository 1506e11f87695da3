"""Home: the runs so far, and where a new one begins."""

from typing import Final

from aiohttp import web

from bulkcast.languages import LANGS
from bulkcast.web.rendering import LANG_COOKIE, LANG_KEY, render


async def home(request: web.Request) -> web.Response:
    """Show the newest runs."""
    return render(request, "home.html", screen="home")


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


ROUTES: Final = [web.get("/", home), web.post("/language", choose_language)]
