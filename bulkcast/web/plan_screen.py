"""Plan: what would be sent, to whom and when, and the button that sends exactly that."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from aiohttp import web

from bulkcast.catalogue import ChoiceKind
from bulkcast.endpoints import WEBCAST
from bulkcast.errors import BulkcastError, CannotStart, InstitutionBusy
from bulkcast.i18n import Translator, marked
from bulkcast.messages import local_time
from bulkcast.model import RowStatus
from bulkcast.pipeline import (
    CheckedSheet,
    PlanOptions,
    PlanSummary,
    Prepared,
    SendOptions,
    SettingSummary,
    check_edited,
    compare_with_ledger,
    lean,
    plan_alone,
    require_one_institution,
    zone,
)
from bulkcast.web.accounts import Account
from bulkcast.web.drafts import Draft, renamed
from bulkcast.web.live_runs import OUT_OF_REACH
from bulkcast.web.page_state import STATE
from bulkcast.web.rendering import language, render, speaker
from bulkcast.web.upload_screen import DRAFT, draft_of

PER_MINUTE: Final = (950, 600, 300, 100, 30)
"""Requests a minute to choose from; the first is what ClassIn's limit leaves room for."""
_FIRST_MOST: Final = 10_000
_LATE_SHOWN: Final = 10
_MARK: Final = 12
"""Characters of the fingerprint that are shown."""


@dataclass(frozen=True, slots=True)
class Wish:
    """How the user wants it sent."""

    first: int = 0
    """Only this many rows from the top; 0 for all."""
    per_minute: int = PER_MINUTE[0]
    skips_unchanged: bool = False
    """Whether rows that are known to be so already are left out."""

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.per_minute / 60


def wish_of(said: Mapping[str, object]) -> Wish:
    """The wish in a form or an address; what makes no sense is passed over."""
    rate = _number(said.get("rate"))
    return Wish(
        min(_number(said.get("first")), _FIRST_MOST),
        rate if rate in PER_MINUTE else PER_MINUTE[0],
        said.get("unchanged") == "skip",
    )


def _number(text: object) -> int:
    is_number = isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 7
    return int(str(text)) if is_number else 0


@dataclass(frozen=True, slots=True)
class _Planned:
    """A plan in the light of the ledger, and why it cannot be sent."""

    prepared: Prepared
    summary: PlanSummary
    refusal: BulkcastError | None = None


def _plan(final: CheckedSheet, draft: Draft, wish: Wish, account: Account) -> _Planned:
    """Plan what the user wishes; in a thread, as it reads the ledger."""
    selection = replace(draft.selection, limit=wish.first or None)
    chosen = final
    if selection.statuses is not None or selection.limit is not None:
        chosen = check_edited(final, {}, selection)
    refusal: BulkcastError | None = account.problem
    options = PlanOptions(unchanged="skip" if wish.skips_unchanged else "send")
    try:
        require_one_institution(chosen)
        prepared = compare_with_ledger(chosen, account.home, account.config, options)
    except BulkcastError as exc:
        prepared, refusal = plan_alone(chosen), renamed(exc, draft)
    return _Planned(prepared, prepared.summary(rate=wish.rate, now=time.time()), refusal)


# ------------------------------------------------------------------ the screen


async def plan(request: web.Request) -> web.Response:
    """Show what would be sent."""
    draft = draft_of(request)
    return await _shown(request, draft, wish_of(request.query))


async def _shown(
    request: web.Request, draft: Draft, wish: Wish, error: str = "", status: int = 200
) -> web.Response:
    state = request.app[STATE]
    account = state.accounts.current()
    final = await state.drafts.final(draft)
    planned = await asyncio.to_thread(_plan, final, draft, wish, account)
    prepared, summary = planned.prepared, planned.summary
    spoken = speaker(request, prepared.names)
    tz = zone(prepared.options.tz)
    late = summary.forecast.late
    return render(
        request,
        "plan.html",
        screen="plan",
        status=status,
        headers=prepared.names,
        draft=draft,
        wish=wish,
        per_minute=PER_MINUTE,
        summary=summary,
        settings=[_setting(s, spoken) for s in summary.settings],
        billed=[_billed(b.key, b.classrooms, spoken) for b in summary.billed],
        excluded=_excluded(planned),
        late=[(row.row, local_time(row.locks_at, tz)) for row in late[:_LATE_SHOWN]],
        late_rows=len(late),
        needed=summary.forecast.rate_needed,
        ends_at=local_time(summary.forecast.ends_at, tz),
        tz=prepared.options.tz,
        lasts=spoken.duration(summary.forecast.duration_s),
        fingerprint=prepared.plan.fingerprint,
        mark=prepared.plan.fingerprint[:_MARK],
        refusal=spoken.error(planned.refusal) if planned.refusal else "",
        is_busy=isinstance(planned.refusal, InstitutionBusy),
        account=account,  # for whom it was planned, whoever was chosen meanwhile
        has_account=account.config is not None,
        error=error,
    )


@dataclass(frozen=True, slots=True)
class _Row:
    """What the rows do to one setting, in words."""

    name: str
    values: tuple[tuple[str, int], ...]
    """New value → rows."""
    already: int
    """Rows whose classroom is known to have the value already."""
    untouched: int


_CONTENTS: Final[Mapping[str, str]] = {
    "set": marked("set"),
    "cleared": marked("cleared"),
    "another": marked("set"),
}


def _setting(found: SettingSummary, spoken: Translator) -> _Row:
    kind = WEBCAST.by_key[found.key].kind
    labels = (
        {c.value: c.label.say(spoken.lang) for c in kind.choices}
        if isinstance(kind, ChoiceKind)
        else {}
    )
    values = tuple(
        (
            spoken.tell(_CONTENTS[value])
            if isinstance(value, str)
            else labels.get(value, str(value)),
            rows,
        )
        for value, rows in found.values.items()
    )
    already = sum(step.rows for step in found.transitions if step.is_same)
    return _Row(spoken.name_of(found.key), values, already, found.untouched)


def _billed(key: str, classrooms: int, spoken: Translator) -> tuple[str, int, str]:
    """The name of a setting that is billed, in how many classrooms, and how."""
    label = WEBCAST.by_key[key].billed
    return spoken.name_of(key), classrooms, label.say(spoken.lang) if label else ""


def _excluded(planned: _Planned) -> list[tuple[str, int, str]]:
    """Which rows are not sent: the template of a sentence, how many, and where to look."""
    summary = planned.summary
    superseded = sum(
        outcome.status is RowStatus.SUPERSEDED and row not in planned.prepared.kept
        for row, outcome in planned.prepared.plan.settled.items()
    )
    found = (
        (marked("need fixing"), summary.invalid, "check"),
        (marked("done by an earlier run"), summary.done, ""),
        (marked("already so at ClassIn, as far as is known"), summary.unchanged, ""),
        (marked("locked already: ClassIn refuses changes before class"), summary.locked, ""),
        (marked("set by a newer run since"), superseded, ""),
        (marked("left out, to try the first rows"), _left_out(summary), ""),
    )
    return [entry for entry in found if entry[1]]


def _left_out(summary: PlanSummary) -> int:
    return max(0, summary.left_out - summary.done)


# ------------------------------------------------------------------ sending


async def apply(request: web.Request) -> web.StreamResponse:
    """Send exactly the plan that was shown; another one is shown first."""
    form = await request.post()
    async with request.app[STATE].drafts.sending:
        return await _sent(request, form)


async def _sent(request: web.Request, form: Mapping[str, object]) -> web.StreamResponse:
    state = request.app[STATE]
    account = state.accounts.current()
    draft = draft_of(request)
    wish = wish_of(form)
    tell = speaker(request).tell
    if draft.run and draft.run != form.get(
        "sent"
    ):  # the button was pressed twice, or in another tab
        raise web.HTTPSeeOther(f"/runs/{draft.run}")
    final = await state.drafts.final(draft)
    planned = await asyncio.to_thread(_plan, final, draft, wish, account)
    if planned.refusal is not None or account.config is None:
        return await _shown(request, draft, wish, status=409)
    if planned.prepared.plan.fingerprint != str(form.get("fingerprint", "")):
        said = tell(
            "The plan has changed since it was shown, so nothing was sent. Look at it again."
        )
        return await _shown(request, draft, wish, said, status=409)
    if str(form.get("account", "")) != str(account.config.institution):
        said = tell("Another institution was chosen meanwhile, so nothing was sent.")
        return await _shown(request, draft, wish, said, status=409)
    if not planned.prepared.plan.requests:
        return await _shown(request, draft, wish, tell("There is nothing to send."), status=409)
    options = SendOptions(rate=wish.rate, lang=language(request))
    try:
        run = await state.runs.start(account, lean(planned.prepared), options, name=draft.name)
    except (CannotStart, *OUT_OF_REACH) as exc:
        said = speaker(request).error(renamed(exc, draft))
        return await _shown(request, draft, wish, said, status=409)
    except InstitutionBusy:
        return await _shown(request, draft, wish, status=409)
    state.drafts.note_run(account, draft, run)
    raise web.HTTPSeeOther(f"/runs/{run}")


ROUTES: Final = [web.get(f"{DRAFT}/plan", plan), web.post(f"{DRAFT}/apply", apply)]
