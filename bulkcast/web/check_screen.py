"""Check: what is wrong with a sheet, cell by cell, and mending it."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal
from urllib.parse import parse_qsl, quote

from aiohttp import web

from bulkcast.catalogue import RESULT_PREFIX, Role, TextKind, fold
from bulkcast.errors import BulkcastError, CannotStart
from bulkcast.model import FlaggedCell, Issue, RowStatus, Severity
from bulkcast.pipeline import (
    CheckedSheet,
    Comparison,
    cell_text,
    check_edited,
    compare_problems,
    mark_up,
    repeated,
    written,
)
from bulkcast.web.check_view import CheckView, Filter, Place, ViewColumn, place_of
from bulkcast.web.drafts import Draft, Step, renamed
from bulkcast.web.page_state import STATE
from bulkcast.web.problem_names import PROBLEM_NAMES
from bulkcast.web.rendering import language, render, speaker
from bulkcast.web.resubmitted import Resubmitted, resubmitted
from bulkcast.web.upload_screen import DRAFT, draft_of

_VIEWS_MOST: Final = 4
_TEXT_MOST: Final = 32_767
"""Characters of a worksheet's cell."""
_SHOWN: Final = frozenset(
    {"password.numeric", "cell.not_a_text", "id.display_shortened", "id.display_differs"}
)
"""Problems of cells whose text as a spreadsheet shows it may be what is meant."""
_RUN: Final = f"{RESULT_PREFIX}run"
_views: OrderedDict[int, CheckView] = OrderedDict()


async def view_of(request: web.Request, draft: Draft) -> CheckView:
    """The draft's sheet, checked and indexed."""
    checked = await request.app[STATE].drafts.checked(draft)
    found = _views.get(id(checked))
    if found is None or found.source is not checked:
        found = await asyncio.to_thread(CheckView.of, checked, draft.edits)
        _views[id(checked)] = found
    _views.move_to_end(id(checked))
    while len(_views) > _VIEWS_MOST:
        _views.popitem(last=False)
    return found


def filter_of(query: Mapping[str, str]) -> Filter:
    """The filter in an address; what makes no sense is passed over."""
    column = place_of(f"{query.get('column', '')}1")
    problem = query.get("problem", "")
    rows: Literal["problems", "all"] = "all" if query.get("rows") == "all" else "problems"
    return Filter(problem if problem in PROBLEM_NAMES else "", column and column.column, rows)


# ------------------------------------------------------------------ the screen


@dataclass(frozen=True, slots=True)
class _Panel:
    """One cell, everything that is said of it, and what can be done."""

    place: Place
    column: ViewColumn
    value: str
    """As seen; masked if it is secret."""
    issues: tuple[Issue, ...]
    code: str
    """The problem that "the same" means."""
    same: int
    """Cells of the column with the same problem and the same content."""
    alike: int
    """Cells of the column with the same problem."""
    is_edited: bool
    is_locked: bool
    """Whether it belongs to a row that is done and not sent again."""
    can_repeat: bool
    can_trim: bool
    can_show: bool
    """Whether the text as it is shown is something else than what is stored."""
    row_cells: tuple[tuple[Place, str], ...]
    """All places of the row, and their headers."""

    @property
    def is_institution(self) -> bool:
        """Whether it names an institution."""
        return self.column.setting is not None and self.column.setting.role is Role.INSTITUTION

    @property
    def is_long(self) -> bool:
        """Whether the text needs several lines."""
        return isinstance(self.column.setting and self.column.setting.kind, TextKind) and (
            "\n" in self.value or len(self.value) > 60
        )


async def check(request: web.Request) -> web.Response:
    """Show what is wrong, and one cell in detail."""
    draft = draft_of(request)
    try:
        view = await view_of(request, draft)
    except CannotStart:
        raise web.HTTPSeeOther(draft.address) from None
    chosen = filter_of(request.query)
    if not view.problems and not chosen.is_narrow:
        chosen = replace(chosen, rows="all")
    asked = place_of(request.query.get("cell", ""))
    place = _known(view, asked) or (None if asked else view.following(chosen, None))
    number = _number(request.query.get("page", ""))
    if asked and place and not number:
        number = view.page_with(chosen, place.row)
    page = view.page(chosen, number or 1)
    if number and not asked:  # the first problem of the page that was turned to
        first = page.rows[0].number if page.rows else 0
        place = view.at_or_after(chosen, Place(first, 0))
    panel = _panel(view, place, chosen) if place else None
    again = await _again(request, draft, view.source)
    return render(
        request,
        "check.html",
        screen="check",
        headers=view.source.names,
        wide=True,
        draft=draft,
        view=view,
        chosen=chosen,
        page=page,
        panel=panel,
        before=place and view.following(chosen, place, back=True),
        after=place and view.following(chosen, place),
        facets=view.facets(chosen),
        column_facets=view.column_facets(chosen),
        problem_names=PROBLEM_NAMES,
        institutions=sorted(draft.options.profiles() or ()),
        address=_address(draft, chosen),
        again=again,
        refusal=_refusal(request, draft, again),
        had_results=_had_results(view.source),
        listed=speaker(request).listed,
        label=lambda setting: setting.label.say(language(request)),
        value_of=_value_of,
        compared=await _compared(request, draft, view.source),
        odd=view.odd,
        header_row=view.source.sheet.layout.header_row,
        is_named=any(i.code.startswith("header.") and i.severity is Severity.ERROR
                     for i in view.sheet_issues()),
        statuses=_done_counts(view.source),
    )  # fmt: skip


def _refusal(request: web.Request, draft: Draft, again: Resubmitted | None) -> str:
    """Why a result sheet cannot be sent so."""
    return speaker(request).error(renamed(again.refusal, draft)) if again and again.refusal else ""


def _had_results(sheet: CheckedSheet) -> bool:
    """Whether an earlier run wrote of any row how it ended."""
    index = next(
        (i for i, h in enumerate(sheet.sheet.headers) if h.strip().casefold() == _RUN), None
    )
    return index is not None and any(row.cells[index] for row in sheet.sheet.rows)


def _value_of(panel: _Panel) -> int | None:
    """What a cell of choices is read as."""
    kind = panel.column.choices
    return kind.by_word.get(fold(panel.value)) if kind else None


def _address(draft: Draft, chosen: Filter) -> "_Addresses":
    return _Addresses(f"{draft.address}/check", chosen)


@dataclass(frozen=True, slots=True)
class _Addresses:
    """Addresses of this screen that differ in one thing."""

    path: str
    chosen: Filter

    def page(self, number: int) -> str:
        """Of another page."""
        return f"{self.path}?{self.chosen.query(page=number)}"

    def cell(self, place: Place) -> str:
        """Of a cell."""
        return f"{self.path}?{self.chosen.query(cell=place.address)}#cell"

    def problem(self, code: str) -> str:
        """With another problem."""
        return f"{self.path}?{replace(self.chosen, problem=code).query()}"

    def column(self, letters: str) -> str:
        """With another column."""
        found = place_of(f"{letters}1")
        return f"{self.path}?{replace(self.chosen, column=found and found.column).query()}"

    def rows(self, which: Literal["problems", "all"]) -> str:
        """With all rows, or those with problems only."""
        return f"{self.path}?{Filter(rows=which).query()}"

    @property
    def back(self) -> str:
        """The query to come back to."""
        return self.chosen.query()


def _known(view: CheckView, place: Place | None) -> Place | None:
    if place is None or place.row not in view.rows or not view.columns:
        return None
    if place.column not in view.by_index:
        return Place(place.row, view.columns[0].index)
    return place


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0


def _panel(view: CheckView, place: Place, chosen: Filter) -> _Panel | None:
    known = _known(view, place)
    if known is None:
        return None
    place = known
    column = view.by_index[place.column]
    raw = view.rows[place.row]
    cell = raw.cells[place.column]
    issues = tuple(sorted(view.issues_at(place), key=lambda i: (i.cell is None, i.severity)))
    own = [i for i in issues if i.cell and i.severity is not Severity.NOTE]
    code = next((i.code for i in own if i.code == chosen.problem), own[0].code if own else "")
    text = cell_text(cell)
    return _Panel(
        place,
        column,
        view.shown_text(raw, column),
        issues,
        code,
        *(view.n_same(place, code) if code else (0, 0)),
        place.column in view.edits.get(place.row, {}),
        view.state_of(place.row) == "done",
        code == "cell.merged" and isinstance(cell, FlaggedCell),
        text != _trimmed(text),
        (code in _SHOWN and not isinstance(cell, str) and not column.is_secret)
        or (code == "password.numeric"),
        tuple((Place(place.row, c.index), c.header or c.letters) for c in view.columns),
    )


async def _again(request: web.Request, draft: Draft, sheet: CheckedSheet) -> Resubmitted | None:
    """How the rows of a result sheet divide; looked up in the ledger every few seconds at most."""
    if not draft.resubmits:
        return None
    account = request.app[STATE].accounts.current()
    now = time.monotonic()
    known = _divided.get(id(sheet))
    if known is None or known[0] is not sheet or now - known[1] > _LOOKED_UP_S:
        found = await asyncio.to_thread(resubmitted, sheet, account)
        known = (sheet, now, found)
        _divided[id(sheet)] = known
        while len(_divided) > _VIEWS_MOST:
            _divided.pop(next(iter(_divided)))
    return known[2]


_LOOKED_UP_S: Final = 10.0
_divided: dict[int, tuple[CheckedSheet, float, Resubmitted]] = {}


async def _compared(request: web.Request, draft: Draft, now: CheckedSheet) -> Comparison | None:
    """How the problems differ from those of the draft that this one takes the place of."""
    state = request.app[STATE]
    if not draft.replaces:
        return None
    try:
        before = state.drafts.get(state.accounts.current(), draft.replaces)
        checked = await state.drafts.checked(before)
    except (web.HTTPNotFound, BulkcastError):
        return None
    return await asyncio.to_thread(compare_problems, checked, now)


def _done_counts(sheet: CheckedSheet) -> list[tuple[RowStatus, int]]:
    """How many rows ended how in the run of a result sheet, without those to be sent again."""
    counts = dict.fromkeys(RowStatus, 0)
    for row in sheet.kept.values():
        counts[row.status] += 1
    return [(status, n) for status, n in counts.items() if n]


# ------------------------------------------------------------------ edits


async def edit(request: web.Request) -> web.StreamResponse:
    """Put another text into one cell, or take back what was put last."""
    form = await request.post()
    draft = draft_of(request)
    action = str(form.get("action", ""))
    if action in {"undo", "undo_all"}:
        steps = draft.steps[:-1] if action == "undo" else ()
        request.app[STATE].drafts.save(replace(draft, steps=steps))
        raise web.HTTPSeeOther(_back(draft, form))
    place = place_of(str(form.get("cell", "")))
    view = await view_of(request, draft)
    if place is None or _known(view, place) != place:
        raise web.HTTPBadRequest
    step = _one(view, place, _text(form.get("text")))
    raise web.HTTPSeeOther(await _saved(request, step, place, form))


def _text(given: object) -> str:
    return written(str(given or ""))[:_TEXT_MOST]


def _one(view: CheckView, place: Place, text: str) -> Step:
    """The step that puts a text into a cell; a merged range is first given its value everywhere."""
    cell = view.rows[place.row].cells[place.column]
    cells = _repeated(view, cell) if isinstance(cell, FlaggedCell) else {}
    cells[place] = text
    return tuple((p.row, p.column, value) for p, value in cells.items())


async def fix(request: web.Request) -> web.StreamResponse:
    """Mend a cell, or all cells of its column with the same problem, in one way."""
    draft = draft_of(request)
    form = await request.post()
    place = place_of(str(form.get("cell", "")))
    view = await view_of(request, draft)
    if place is None or _known(view, place) != place:
        raise web.HTTPBadRequest
    if _is_mask_left(view, place, form):
        raise web.HTTPSeeOther(_back(draft, form))
    code, scope = str(form.get("code", "")), str(form.get("scope", "one"))
    places: Iterable[Place] = (place,)
    if scope in {"same", "alike"}:
        places = view.same(place, code, any_value=scope == "alike") or (place,)
    step = await asyncio.to_thread(
        _mended, view, tuple(places), str(form.get("action", "")), _text(form.get("text"))
    )
    raise web.HTTPSeeOther(await _saved(request, step, place, form))


def _is_mask_left(view: CheckView, place: Place, form: Mapping[str, object]) -> bool:
    """Whether a password, which is not shown in its field, was left as it is.

    Only `blank` empties it: an empty text would take it away unasked.
    """
    return (
        form.get("action") == "replace"
        and not form.get("text")
        and view.by_index[place.column].is_secret
    )


def _mended(view: CheckView, places: tuple[Place, ...], action: str, text: str) -> Step:
    """The step that mends the cells.

    Raises:
        HTTPBadRequest: there is no such way.

    """
    cells: dict[Place, str] = {}
    for place in places:
        cells |= _mended_cell(view, place, action, text)
    return tuple((p.row, p.column, value) for p, value in cells.items())


def _mended_cell(view: CheckView, place: Place, action: str, text: str) -> dict[Place, str]:
    """The cells to change so that one is mended, and their texts."""
    raw = view.rows[place.row]
    cell = raw.cells[place.column]
    match action:
        case "replace":
            return {Place(r, c): value for r, c, value in _one(view, place, text)}
        case "blank":
            return {place: ""}
        case "trim":
            return {place: _trimmed(cell_text(cell))}
        case "shown":
            return {place: written(cell_text(cell))}
        case "beyond":
            width = len(raw.cells)
            return {Place(place.row, width + n): "" for n in range(len(raw.extra))}
        case "repeat" if isinstance(cell, FlaggedCell):
            return _repeated(view, cell)
        case _:
            raise web.HTTPBadRequest


def _repeated(view: CheckView, cell: FlaggedCell) -> dict[Place, str]:
    """The value of a merged range, in each of its cells."""
    found = repeated(view.source.sheet, cell)
    return {Place(row, column): text for row, own in found.items() for column, text in own.items()}


_UNSEEN: Final = "\u200b\u200c\u200d\u2060\ufeff\u00ad"
"""Zero-width characters, and the soft hyphen."""


def _trimmed(text: str) -> str:
    """A text without spaces around it and without characters of no width."""
    return written(text.translate(dict.fromkeys(map(ord, _UNSEEN))).strip())


async def _saved(request: web.Request, step: Step, place: Place, form: Mapping[str, object]) -> str:
    """Keep a step; the address of the problem that is next."""
    draft = draft_of(request)  # again: another tab may have added a step meanwhile
    before = draft.edits
    step = tuple(change for change in step if before.get(change[0], {}).get(change[1]) != change[2])
    if step:
        draft = replace(draft, steps=(*draft.steps, step))
        request.app[STATE].drafts.save(draft)
    view = await view_of(request, draft)
    chosen = filter_of(dict(parse_qsl(str(form.get("back", "")))))
    if chosen.is_narrow and not view.shown(chosen):
        chosen = Filter(rows=chosen.rows)
    onward = place if view.is_bad(place) else view.following(chosen, place)
    onward = onward or view.following(chosen, None)
    stays = chosen.rows == "all" or onward is None
    return _address(draft, chosen).cell(place if stays else onward or place)


def _back(draft: Draft, form: Mapping[str, object]) -> str:
    chosen = filter_of(dict(parse_qsl(str(form.get("back", "")))))
    place = place_of(str(form.get("cell", "")))
    address = _address(draft, chosen)
    return address.cell(place) if place else f"{address.path}?{chosen.query()}"


# ------------------------------------------------------------------ the marked-up copy


async def marked_up(request: web.Request) -> web.StreamResponse:
    """Hand out the sheet with what is wrong beside every row that would not be sent."""
    draft = draft_of(request)
    final = await request.app[STATE].drafts.final(draft)
    path = await asyncio.to_thread(_mark_up, draft, final, language(request))
    name = f"{Path(draft.name).stem}.{speaker(request).tell('marked')}{path.suffix}"
    return web.FileResponse(path, headers={"Content-Disposition": attachment(name)})


def _mark_up(draft: Draft, final: CheckedSheet, lang: str) -> Path:
    sheet = check_edited(final, {}, draft.selection)
    return mark_up(sheet, draft.folder / f"marked{final.path.suffix}", lang=lang)[0]


def attachment(name: str) -> str:
    """The header that has a file of this name saved (RFC 6266)."""
    plain = name.encode("ascii", "replace").decode().translate(str.maketrans('"\\?', "___"))
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


ROUTES: Final = [
    web.get(f"{DRAFT}/check", check),
    web.post(f"{DRAFT}/edits", edit),
    web.post(f"{DRAFT}/fix", fix),
    web.get(f"{DRAFT}/marked", marked_up),
]
