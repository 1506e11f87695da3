"""Plan: what would be sent, to whom and when, and the button that sends exactly that."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from aiohttp import web

from bulkcast.catalogue import ChoiceKind
from bulkcast.config import DEFAULT_ROOT_URL
from bulkcast.endpoints import WEBCAST
from bulkcast.errors import BulkcastError, CannotStart, InstitutionBusy
from bulkcast.i18n import Translator, marked
from bulkcast.messages import local_time
from bulkcast.model import Institution, RowStatus
from bulkcast.pipeline import (
    CheckedSheet,
    Part,
    PlanOptions,
    PlanSummary,
    Prepared,
    PreparedRun,
    SendOptions,
    SettingSummary,
    check_edited,
    lean,
    plan_alone,
    prepare_checked,
    zone,
)
from bulkcast.web.accounts import Account
from bulkcast.web.drafts import Draft, renamed
from bulkcast.web.live_runs import OUT_OF_REACH
from bulkcast.web.page_state import STATE
from bulkcast.web.rendering import language, render, speaker
from bulkcast.web.run_snapshot import institutions_said
from bulkcast.web.upload_screen import DRAFT, draft_of

PER_MINUTE: Final = (950, 600, 300, 100, 30)
"""Requests a minute to choose from; the first is what ClassIn's limit leaves room for."""
_FIRST_MOST: Final = 10_000
_LATE_SHOWN: Final = 10
_INSTITUTIONS_MOST: Final = 20
"""Institutions of a sheet that are listed."""
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

    run: PreparedRun
    summary: PlanSummary
    """Of what can be sent."""
    refusal: BulkcastError | None = None

    @property
    def prepared(self) -> Prepared:
        """The plan of all rows."""
        return self.run.prepared

    @property
    def names_institutions(self) -> bool:
        """Whether the rows say for whom they are."""
        return self.prepared.has_institutions

    def addressees(self, account: Account) -> str:
        """For whom it is, for a form that says whom the user was shown."""
        if not self.names_institutions:
            return str(account.config.institution) if account.config else ""
        named = (f"{part.profile}={_institution_of(part)}" for part in self.run.reached)
        return "; ".join([str(account.choice), *named]) if account.is_demo else "; ".join(named)


def _institution_of(part: Part) -> str:
    return str(part.member.institution) if part.member else ""


def _plan(final: CheckedSheet, draft: Draft, wish: Wish, account: Account) -> _Planned:
    """Plan what the user wishes; in a thread, as it reads the ledger."""
    selection = replace(draft.selection, limit=wish.first or None)
    chosen = final
    if selection.statuses is not None or selection.limit is not None:
        chosen = check_edited(final, {}, selection)
    chosen = lean(chosen)
    refusal = None if chosen.has_institutions else account.problem
    options = PlanOptions(unchanged="skip" if wish.skips_unchanged else "send")
    try:
        run = prepare_checked(
            chosen, options,
            home=account.home, account=lambda: account.config, members=account.members,
        )  # fmt: skip
    except BulkcastError as exc:
        run, refusal = PreparedRun(plan_alone(chosen), None), renamed(exc, draft)
    return _Planned(run, run.sendable.summary(rate=wish.rate, now=time.time()), refusal)


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
        institutions=_institutions(planned, spoken),
        more_institutions=max(0, len(_asked(planned.run)) - _INSTITUTIONS_MOST),
        addressees=planned.addressees(account),
        said_to=institutions_said([part.profile for part in planned.run.reached], spoken),
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
        has_account=account.config is not None or planned.names_institutions,
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


@dataclass(frozen=True, slots=True)
class _Addressee:
    """An institution that rows of the sheet name, in words."""

    profile: str
    sid: str
    root_url: str
    """Empty if it is the usual one."""
    rows: int
    problem: str
    """Why nothing can be sent for it."""


def _asked(run: PreparedRun) -> list[Part]:
    """The institutions of rows to be sent."""
    return [part for part in run.parts if part.rows]


def _institutions(planned: _Planned, spoken: Translator) -> list[_Addressee]:
    """The institutions of rows to be sent; those that cannot be sent for come first."""
    parts = sorted(_asked(planned.run), key=lambda part: part.problem is None)
    return [_addressee(part, spoken) for part in parts[:_INSTITUTIONS_MOST]]


def _addressee(part: Part, spoken: Translator) -> _Addressee:
    institution = part.member.institution if part.member else Institution("", "")
    root_url = institution.root_url
    is_usual = root_url == DEFAULT_ROOT_URL or (part.config and part.config.credentials.is_sandbox)
    return _Addressee(
        part.profile, institution.sid, "" if is_usual else root_url,
        part.rows, spoken.error(part.problem) if part.problem else "",
    )  # fmt: skip


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
        (marked("of institutions for which nothing can be sent"), _unreached(planned.run), ""),
    )
    return [entry for entry in found if entry[1]]


def _unreached(run: PreparedRun) -> int:
    return sum(part.rows for part, _ in run.unreached)


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
    is_addressed = account.config is not None or planned.names_institutions
    if planned.refusal is not None or not is_addressed:
        return await _shown(request, draft, wish, status=409)
    if planned.prepared.plan.fingerprint != str(form.get("fingerprint", "")):
        said = tell(
            "The plan has changed since it was shown, so nothing was sent. Look at it again."
        )
        return await _shown(request, draft, wish, said, status=409)
    if str(form.get("account", "")) != planned.addressees(account):
        said = tell("Another institution was chosen meanwhile, so nothing was sent.")
        return await _shown(request, draft, wish, said, status=409)
    if not planned.summary.sent:
        return await _shown(request, draft, wish, tell("There is nothing to send."), status=409)
    options = SendOptions(rate=wish.rate, lang=language(request))
    try:
        run = await state.runs.start(account, planned.run, options, name=draft.name)
    except (CannotStart, *OUT_OF_REACH) as exc:
        said = speaker(request).error(renamed(exc, draft))
        return await _shown(request, draft, wish, said, status=409)
    except InstitutionBusy:
        return await _shown(request, draft, wish, status=409)
    state.drafts.note_run(account, draft, run)
    raise web.HTTPSeeOther(f"/runs/{run}")


ROUTES: Final = [web.get(f"{DRAFT}/plan", plan), web.post(f"{DRAFT}/apply", apply)]
