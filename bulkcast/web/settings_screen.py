"""Settings: for whom the page works, and the profiles to choose from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from aiohttp import web

from bulkcast import profiles
from bulkcast.errors import BulkcastError, CannotStart
from bulkcast.model import Secret
from bulkcast.profiles import Profile
from bulkcast.web.accounts import DEMO, ENVIRONMENT, Accounts, Choice, choice_of
from bulkcast.web.page_state import STATE
from bulkcast.web.rendering import language, render, sentence, speaker

PATH: Final = "/settings"
_PROFILE: Final = f"{PATH}/profile"


def _accounts(request: web.Request) -> Accounts:
    return request.app[STATE].accounts


def _sentence(request: web.Request, exc: BulkcastError) -> str:
    return sentence(speaker(request), exc)


# ------------------------------------------------------------------ the accounts


async def settings(request: web.Request) -> web.Response:
    """Show the accounts to choose from, and what `doctor` found of the one in use."""
    accounts = _accounts(request)
    problem = None
    try:
        found = accounts.profiles()
    except CannotStart as exc:
        found, problem = (), _sentence(request, exc)
    account = accounts.current()
    return render(
        request,
        "settings.html",
        screen="settings",
        profiles=found,
        demo=DEMO,
        environment=ENVIRONMENT if accounts.has_environment else None,
        choice_of_profile=lambda profile: Choice("profile", profile.name),
        unreadable=problem,
        problem=_sentence(request, account.problem) if account.problem else None,
        examined=accounts.examined(language(request)),
        recipients=request.app[STATE].recipients,
    )


async def use(request: web.Request) -> web.StreamResponse:
    """Work for another account."""
    form = await request.post()
    choice = choice_of(str(form.get("account", "")))
    if choice is None:
        raise web.HTTPBadRequest
    _accounts(request).choose(choice)
    raise web.HTTPSeeOther(PATH)


async def examine(request: web.Request) -> web.StreamResponse:
    """Have `doctor` look at the account in use."""
    await _accounts(request).examine(language(request))
    raise web.HTTPSeeOther(PATH)


async def remove(request: web.Request) -> web.StreamResponse:
    """Remove a profile and its secret."""
    form = await request.post()
    await _accounts(request).remove(str(form.get("name", "")))
    raise web.HTTPSeeOther(PATH)


# ------------------------------------------------------------------ a profile


@dataclass(slots=True)
class _Entry:
    """A profile as it was entered, with an error for each field that is wrong."""

    name: str = ""
    sid: str = ""
    root_url: str = ""
    is_new: bool = True
    wrong: dict[str, CannotStart] = field(default_factory=dict)


_Value = TypeVar("_Value")


async def enter(request: web.Request) -> web.Response:
    """Show the form: empty, with `?change=` for a profile, with `?tried=` for what was entered."""
    named = request.query.get("change")
    waiting = _accounts(request).tried(request.query.get("tried", ""))
    if waiting:
        named, profile = waiting.profile.name, waiting.profile
    elif named is None:
        return _form(request, _Entry())
    else:
        known = _known(request, named)
        if known is None:
            raise web.HTTPNotFound
        profile = known
    is_new = _known(request, named) is None
    return _form(request, _Entry(named, profile.sid, profile.root_url, is_new=is_new))


def _known(request: web.Request, name: str) -> Profile | None:
    return next((p for p in _accounts(request).profiles() if p.name == name), None)


def _form(request: web.Request, entry: _Entry) -> web.Response:
    wrong = {key: _sentence(request, exc) for key, exc in entry.wrong.items()}
    return render(
        request,
        "settings_profile.html",
        screen="settings",
        status=400 if wrong else 200,
        entry=entry,
        wrong=wrong,
    )


async def try_out(request: web.Request) -> web.StreamResponse:
    """Try what was entered; save it if ClassIn accepts it, else ask."""
    form = {key: str(value) for key, value in (await request.post()).items()}
    entry = _Entry(
        form.get("name", ""), form.get("sid", ""), form.get("root_url", ""),
        is_new="change" not in form,
    )  # fmt: skip
    accounts = _accounts(request)
    asked = _checked(request, entry, form)
    if asked is None:
        return _form(request, entry)
    try:
        name = await accounts.try_out(*asked, language(request))
        tried = accounts.tried(name)
        if tried and tried.is_well:
            await accounts.save(name)
            raise web.HTTPSeeOther(PATH)
    except CannotStart as exc:
        entry.wrong["secret"] = exc
        return _form(request, entry)
    raise web.HTTPSeeOther(f"{PATH}/tried/{name}")


def _checked(
    request: web.Request, entry: _Entry, form: Mapping[str, str]
) -> tuple[Profile, Secret | None] | None:
    """The profile to try; None if a field is wrong, which `entry` says then."""

    def field_of(key: str, check: Callable[[str], _Value]) -> _Value | None:
        try:
            return check(form.get(key, ""))
        except CannotStart as exc:
            entry.wrong[key] = exc
            return None

    name = field_of("name", profiles.checked_name)
    sid = field_of("sid", profiles.checked_sid)
    root_url = field_of("root_url", profiles.checked_url)
    before = _known(request, name) if name else None
    if before and entry.is_new:
        entry.wrong["name"] = CannotStart("there is a profile of that name; change that one")
    stays = bool(before) and not form.get("secret", "").strip()
    if stays and before and (before.sid, before.root_url) != (sid, root_url):
        # What was kept for one address is not sent to another unasked.
        entry.wrong["secret"] = CannotStart(
            "enter the secret again: it would be used for another institution or address"
        )
    secret = None if stays else field_of("secret", profiles.checked_secret)
    if entry.wrong or name is None or sid is None or root_url is None:
        return None
    return Profile(name, sid, root_url), secret


# ------------------------------------------------------------------ what was tried


async def tried(request: web.Request) -> web.Response:
    """Show what `doctor` found of credentials that are not saved yet."""
    name = request.match_info["tried"]
    found = await _accounts(request).retold(name, language(request))
    if found is None:
        raise web.HTTPSeeOther(_PROFILE)
    return render(request, "settings_tried.html", screen="settings", tried=found, name=name)


async def save(request: web.Request) -> web.StreamResponse:
    """Save credentials though `doctor` found something."""
    await _accounts(request).save(request.match_info["tried"])
    raise web.HTTPSeeOther(PATH)


ROUTES: Final = [
    web.get(PATH, settings),
    web.post(f"{PATH}/use", use),
    web.post(f"{PATH}/examine", examine),
    web.post(f"{PATH}/remove", remove),
    web.get(_PROFILE, enter),
    web.post(_PROFILE, try_out),
    web.get(PATH + "/tried/{tried:[a-z0-9-]+}", tried),
    web.post(PATH + "/tried/{tried:[a-z0-9-]+}", save),
]
