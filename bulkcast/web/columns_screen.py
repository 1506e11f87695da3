"""Columns: what each is taken for, and what words in them mean; remembered for the next sheet."""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from aiohttp import web

from bulkcast.catalogue import ChoiceKind, Setting
from bulkcast.endpoints import WEBCAST
from bulkcast.errors import CannotStart
from bulkcast.headers import fold
from bulkcast.i18n import marked
from bulkcast.model import Issue, Severity
from bulkcast.pipeline import (
    CERTAIN,
    IGNORE,
    CheckedSheet,
    ColumnUse,
    Match,
    OddWord,
    columns_of,
    edits_for,
    odd_words,
    written,
)
from bulkcast.web import remembered
from bulkcast.web.drafts import Draft
from bulkcast.web.page_state import STATE
from bulkcast.web.rendering import language, render, speaker
from bulkcast.web.upload_screen import DRAFT, draft_of

_OWN: Final = "own"
"""The choice to take a column by its own name."""
_KEEP: Final = "keep"
"""The choice to leave a word as it stands."""
_WORDS_MOST: Final = 60
"""Words that are asked about."""


@dataclass(frozen=True, slots=True)
class _Word:
    """A word that is asked about, and the choices of its column."""

    odd: OddWord
    header: str
    kind: ChoiceKind
    field: str
    """The name of its field in the form."""

    @property
    def mark(self) -> str:
        """Says in the form which word is asked about: another tab may have changed the list."""
        return mark_of(self.odd.setting, self.odd.word)


def mark_of(*words: str) -> str:
    """A short name for some words, whatever characters they have."""
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _words(base: CheckedSheet) -> tuple[_Word, ...]:
    found = []
    for number, odd in enumerate(odd_words(base)[:_WORDS_MOST]):
        kind = WEBCAST.by_key[odd.setting].kind
        if isinstance(kind, ChoiceKind):
            found.append(_Word(odd, base.sheet.headers[odd.index], kind, f"word-{number}"))
    return tuple(found)


async def show(request: web.Request) -> web.Response:
    """Show what each column is taken for."""
    return await _shown(request, draft_of(request))


async def _shown(request: web.Request, draft: Draft, status: int = 200) -> web.Response:
    state = request.app[STATE]
    try:
        base = await state.drafts.base(draft)
        checked = await state.drafts.checked(draft)
    except CannotStart:
        raise web.HTTPSeeOther(draft.address) from None
    columns = columns_of(base.sheet, draft.options.read.mapping)
    order = {column.index: _order(column) for column in columns}
    words = await asyncio.to_thread(_words, checked)
    return render(
        request,
        "columns.html",
        screen="columns",
        status=status,
        headers=base.names,
        draft=draft,
        columns=sorted(columns, key=lambda c: (order[c.index], c.index)),
        ignored=[c for c in columns if c.match is Match.IGNORED],
        settings=WEBCAST.columns,
        words=words,
        chosen=_chosen,
        mark_of=mark_of,
        own=_OWN,
        keep=_KEEP,
        ignore=IGNORE,
        label=lambda setting: setting.label.say(language(request)),
        issues=_header_issues(base),
        uncertain=sum(column.match not in CERTAIN for column in columns),
        match_names=MATCH_NAMES,
        by_key=WEBCAST.by_key,
        listed=speaker(request).listed,
    )


def _order(column: ColumnUse) -> int:
    """Those that need an answer first, the ignored ones last."""
    if column.match not in CERTAIN:
        return 0
    return 2 if column.setting is None else 1


MATCH_NAMES: Final[Mapping[str, str]] = {
    "exact": marked("certain"),
    "mapped": marked("as you said"),
    "similar": marked("similar: please confirm"),
    "ambiguous": marked("several meanings: please choose"),
    "duplicate": marked("named twice: please choose"),
    "unread": marked("not read: please confirm"),
    "ignored": marked("ignored"),
}


def _chosen(column: ColumnUse) -> str:
    """What the column's select stands on."""
    if column.match is Match.MAPPED:
        return column.setting or IGNORE
    if column.match is Match.SIMILAR and column.candidates:
        return column.candidates[0]
    return _OWN


def _header_issues(base: CheckedSheet) -> list[Issue]:
    """What the table of columns does not show by itself."""
    shown = {"header.no_target", "header.no_setting", "header.unknown_map", "header.second_table"}
    return [i for i in base.checked.issues if i.code in shown and i.severity is not Severity.NOTE]


async def save(request: web.Request) -> web.StreamResponse:
    """Take columns and words as said, and remember it."""
    state = request.app[STATE]
    account = state.accounts.current()
    draft = draft_of(request)
    form = {name: str(value) for name, value in (await request.post()).items()}
    base = await state.drafts.base(draft)
    mapping, said = _mapping(base, draft, form)
    known = remembered.load(account)
    known = known.and_columns(said)
    read = replace(draft.options.read, mapping=mapping)
    if mapping and read.header_row is None:  # a header that only the mapping names stays found
        read = replace(read, header_row=base.sheet.layout.header_row)
    words = await asyncio.to_thread(_words, await state.drafts.checked(draft))
    meanings: dict[str, dict[str, str]] = {}
    answers = {form.get(f"is-{f}"): text for f, text in form.items() if f.startswith("word-")}
    for word in words:
        text = answers.get(word.mark, _KEEP)
        if text != _KEEP:
            meanings.setdefault(word.odd.setting, {})[fold(word.odd.word)] = written(text)
    for setting, own in meanings.items():
        known = known.and_words(setting, own)
    edits = edits_for((word.odd for word in words), meanings)
    step = tuple((row, column, text) for row, own in edits.items() for column, text in own.items())
    draft = replace(
        draft_of(request),
        options=replace(draft.options, read=read),
        steps=(*draft.steps, step) if step else draft.steps,
    )
    state.drafts.save(draft)
    remembered.save(account, known)
    base = await state.drafts.base(draft)
    if any(i.code.startswith("header.") and i.severity is Severity.ERROR
           for i in base.checked.issues):  # fmt: skip
        raise web.HTTPSeeOther(f"{draft.address}/columns")
    raise web.HTTPSeeOther(f"{draft.address}/check")


def _mapping(
    base: CheckedSheet, draft: Draft, form: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str | None]]:
    """Header → setting as the form says, and what of it is to be remembered or forgotten."""
    mapping: dict[str, str] = {}
    said: dict[str, str | None] = {}
    was = {fold(header) for header in draft.options.read.mapping}
    known = {*(setting.key for setting in WEBCAST.columns), IGNORE}
    for column in columns_of(base.sheet, draft.options.read.mapping):
        value = form.get(f"column-{column.index}", _OWN)
        asked = mark_of(column.header)
        if form.get(f"is-column-{column.index}", asked) != asked:  # of another worksheet
            value = draft.options.read.mapping.get(column.header, _OWN)
        if value in known and not _is_needless(column, value):
            mapping[column.header] = value
            said[column.header] = value
        elif fold(column.header) in was:
            said[column.header] = None
    return mapping, said


def _is_needless(column: ColumnUse, value: str) -> bool:
    """Whether the column is taken so without being told."""
    named: Setting | None = WEBCAST.column_for(column.header)
    if value == IGNORE:
        return column.match is Match.IGNORED
    return named is not None and named.key == value and column.match is not Match.DUPLICATE


ROUTES: Final = [web.get(f"{DRAFT}/columns", show), web.post(f"{DRAFT}/columns", save)]
