"""Upload: a file, or cells pasted from a spreadsheet, becomes a draft; and how it was read."""

import asyncio
import shutil
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from typing import Final, TypeVar

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import BadHttpMessage

from bulkcast.endpoints import WEBCAST
from bulkcast.errors import CannotStart, UnreadableSheet
from bulkcast.headers import fold
from bulkcast.i18n import marked
from bulkcast.model import column_letters
from bulkcast.pipeline import (
    CERTAIN,
    DELIMITERS,
    ENCODINGS,
    RESUBMITTED,
    CheckedSheet,
    Match,
    Preview,
    Selection,
    applicable,
    check_edited,
    columns_of,
    edits_for,
    is_certain,
    is_rehearsed,
    odd_words,
    preview,
    sample_term,
)
from bulkcast.web import remembered
from bulkcast.web.accounts import Account
from bulkcast.web.drafts import Draft, renamed
from bulkcast.web.page_state import STATE
from bulkcast.web.rendering import render, speaker

TEXT_MOST: Final = 100 * 2**20
"""Bytes of a csv or tsv file; 500,000 rows take about 50 MB."""
WORKBOOK_MOST: Final = 20 * 2**20
"""Bytes of a workbook, which is packed; 50,000 rows take about 5 MB."""
_TEXTS: Final = frozenset({".csv", ".tsv"})
_FORM: Final = 1 << 20
"""Bytes of a request beyond its file."""
_CHUNK: Final = 1 << 16
_STALLED_S: Final = 60.0
"""Seconds in which a file has to go on arriving: others wait behind it."""
_ID_MOST: Final = 64

_TOO_LARGE: Final = marked(
    "{name} is larger than {most} MB, which is the most that is taken; remove what is no row of"
    " settings, or send it in parts"
)
_NO_FILE: Final = marked("Choose a file first, or drop it here.")
_NO_CELLS: Final = marked(
    "There is nothing to read: copy the rows in your spreadsheet, the header row with them, and"
    " paste them here."
)


# ------------------------------------------------------------------ the file arrives


async def ask(request: web.Request) -> web.Response:
    """Show where a file is dropped, chosen or pasted."""
    return _asked(request)


def _asked(request: web.Request, **errors: str) -> web.Response:
    account = request.app[STATE].accounts.current()
    return render(
        request,
        "upload.html",
        screen="upload",
        errors={"file": "", "pasted": "", **errors},
        status=400 if errors else 200,
        text_most=TEXT_MOST,
        workbook_most=WORKBOOK_MOST,
        drafts=request.app[STATE].drafts.newest(account)[:5],
    )


async def receive(request: web.Request) -> web.StreamResponse:
    """Take a file, or pasted cells, and lead on to the next screen."""
    state = request.app[STATE]
    account = state.accounts.current()
    if (request.content_length or 0) > TEXT_MOST + _FORM:
        raise web.HTTPRequestEntityTooLarge(TEXT_MOST, request.content_length or 0)
    if request.content_type != "multipart/form-data":
        raise web.HTTPBadRequest
    async with state.drafts.receiving:
        try:
            draft, is_pasted = await _received(request, account)
        except CannotStart as exc:
            return _asked(request, file=speaker(request).error(exc))
    if draft is None:
        said = speaker(request).tell(_NO_CELLS if is_pasted else _NO_FILE)
        return _asked(request, **{"pasted" if is_pasted else "file": said})
    try:
        await _require_readable(draft)
    except CannotStart as exc:
        shutil.rmtree(draft.folder, ignore_errors=True)
        said = speaker(request).error(exc)
        return _asked(request, **{"pasted" if is_pasted else "file": said})
    raise web.HTTPSeeOther(await begin(request, draft))


async def _received(request: web.Request, account: Account) -> tuple[Draft | None, bool]:
    """The draft with its file, not yet looked at; and whether its cells were pasted.

    Raises:
        CannotStart: the file is too large, or of a kind that cannot be read.

    """
    drafts = request.app[STATE].drafts
    draft, replaces, is_pasted = None, "", False
    try:
        reader = await request.multipart()
        while (part := await _arrived(reader.next())) is not None:
            if not isinstance(part, BodyPartReader):
                continue
            if part.name == "replaces":
                replaces = (await _arrived(part.read_chunk(_ID_MOST))).decode("ascii", "replace")
            elif part.name == "file" and part.filename and draft is None:
                draft = drafts.begin(account, part.filename)
                await _to_disk(part, draft, TEXT_MOST if draft.suffix in _TEXTS else WORKBOOK_MOST)
            elif part.name == "pasted" and draft is None:
                is_pasted = True
                draft = await _pasted(request, part, account)
    except (ValueError, BadHttpMessage, ConnectionError, TimeoutError) as exc:
        # A form that is damaged or cut off, or has stalled.
        _forget(draft)
        raise web.HTTPBadRequest from exc
    except BaseException:
        _forget(draft)
        raise
    return (replace(draft, replaces=replaces) if draft else None), is_pasted


_Part = TypeVar("_Part")


async def _arrived(part: Awaitable[_Part]) -> _Part:
    """What arrives next.

    Raises:
        TimeoutError: it does not.

    """
    async with asyncio.timeout(_STALLED_S):
        return await part


def _forget(draft: Draft | None) -> None:
    if draft is not None:
        shutil.rmtree(draft.folder, ignore_errors=True)


async def _to_disk(part: BodyPartReader, draft: Draft, most: int) -> None:
    """Write a part to the draft's file, piece by piece.

    Raises:
        CannotStart: it is larger than `most` bytes, or cannot be written.

    """
    size = 0
    try:
        with draft.path.open("xb") as file:
            draft.path.chmod(0o600)
            while piece := await _arrived(part.read_chunk(_CHUNK)):
                size += len(piece)
                _require_small(draft, size, most)
                file.write(piece)
    except OSError as exc:
        _forget(draft)
        if isinstance(exc, ConnectionError | TimeoutError):
            raise
        why = exc.strerror or type(exc).__name__
        raise CannotStart("{name} cannot be stored: {why}", name=draft.name, why=why) from exc
    except BaseException:
        _forget(draft)
        raise


def _require_small(draft: Draft, size: int, most: int) -> None:
    if size > most:
        raise CannotStart(_TOO_LARGE, name=draft.name, most=most >> 20)


async def _pasted(request: web.Request, part: BodyPartReader, account: Account) -> Draft | None:
    """A draft of cells from the clipboard: with tabs between them, as spreadsheets copy them."""
    drafts = request.app[STATE].drafts
    tell = speaker(request).tell
    draft = drafts.begin(account, f"{tell('Pasted cells')}.tsv")
    await _to_disk(part, draft, WORKBOOK_MOST)
    text = draft.path.read_bytes()
    if not text.strip():
        _forget(draft)
        return None
    if b"\t" not in text:
        named = replace(draft, name=f"{tell('Pasted cells')}.csv", suffix=".csv")
        draft.path.rename(named.path)
        return named
    return draft


async def _require_readable(draft: Draft) -> Preview:
    """Refuse a file that cannot be read whatever is said of it."""
    try:
        return await asyncio.to_thread(preview, draft.path, draft.options.read)
    except CannotStart as exc:
        raise renamed(exc, draft) from exc


# ------------------------------------------------------------------ the first look


async def begin(request: web.Request, draft: Draft) -> str:
    """Look at a new draft, apply what is remembered, keep it; the address of its next screen."""
    state = request.app[STATE]
    account = state.accounts.current()
    known = remembered.load(account)
    seen = await _require_readable(draft)
    draft = _with_columns(draft, seen, known.mapping)
    try:
        base = await state.drafts.base(draft)
    except CannotStart:
        state.drafts.save(draft)
        return draft.address
    draft = await asyncio.to_thread(_with_words, draft, base, known.meanings)
    draft = await asyncio.to_thread(_with_selection, draft, base, is_demo=account.is_demo)
    state.drafts.save(draft)
    return next_address(draft, base)


def _with_columns(draft: Draft, seen: Preview, mapping: Mapping[str, str]) -> Draft:
    """The draft with what an earlier sheet's columns were said to mean."""
    found = [
        (applicable(mapping, cells), number)
        for number, cells in seen.lines
        if seen.header_row in {number, None}
    ]
    best, row = max(found, key=lambda pair: len(pair[0]), default=({}, 0))
    if not best:
        return draft
    read = replace(draft.options.read, mapping=best, header_row=seen.header_row or row)
    return replace(draft, options=replace(draft.options, read=read), remembered=tuple(best))


def _with_words(
    draft: Draft, base: CheckedSheet, meanings: Mapping[str, Mapping[str, str]]
) -> Draft:
    """The draft with what odd words were said to mean on an earlier sheet."""
    words = odd_words(base)
    edits = edits_for(words, meanings)
    if not edits:
        return draft
    step = tuple((row, column, text) for row, own in edits.items() for column, text in own.items())
    rows = edits.keys()
    named = dict.fromkeys(odd.word for odd in words if rows & set(odd.rows))
    return replace(draft, steps=(step,), remembered=(*draft.remembered, *named))


def _with_selection(draft: Draft, base: CheckedSheet, *, is_demo: bool) -> Draft:
    """A result sheet: only what needs it is sent again.

    What a rehearsal came to is nothing that ClassIn has.
    """
    if not base.is_results or (is_rehearsed(base) and not is_demo):
        return draft
    found = check_edited(base, {}, Selection(statuses=RESUBMITTED))
    return replace(draft, resubmits=bool(found.kept or found.again))


def next_address(draft: Draft, base: CheckedSheet) -> str:
    """The first screen on which there is something to decide."""
    if not is_certain(base):
        return draft.address
    columns = columns_of(base.sheet, draft.options.read.mapping)
    has_errors = any(issue.code.startswith("header.") for issue in base.checked.issues)
    if has_errors or any(column.match not in CERTAIN for column in columns):
        return f"{draft.address}/columns"
    return f"{draft.address}/check"


async def add_sample(request: web.Request) -> web.StreamResponse:
    """Make a draft of the sample term; its classrooms are nobody's, so it is for DEMO alone."""
    state = request.app[STATE]
    account = state.accounts.current()
    if not account.is_demo:
        raise CannotStart("the sample term is for trying out; choose DEMO in the settings first")
    name = speaker(request).tell("sample term") + ".xlsx"
    draft = state.drafts.begin(account, name)
    await asyncio.to_thread(sample_term, draft.path)
    raise web.HTTPSeeOther(await begin(request, draft))


# ------------------------------------------------------------------ how it was read


async def show(request: web.Request) -> web.Response:
    """Show the first lines as they were read, and what can be said otherwise."""
    draft = draft_of(request)
    return await _shown(request, draft)


async def _shown(request: web.Request, draft: Draft, error: str = "") -> web.Response:
    state = request.app[STATE]
    problem, base = None, None
    seen = await _require_readable(draft)
    try:
        base = await state.drafts.base(draft)
    except CannotStart as exc:
        problem = speaker(request).error(exc)
    return render(
        request,
        "preview.html",
        screen="upload",
        draft=draft,
        seen=seen,
        base=base,
        is_certain=base is not None and is_certain(base),
        problem=problem,
        error=error,
        encodings=_with(ENCODINGS, seen.encoding),
        delimiters=_with(DELIMITERS, seen.delimiter),
        delimiter_names=DELIMITER_NAMES,
        encoding_names=ENCODING_NAMES,
        options=draft.options.read,
        letters=column_letters,
        secret=_secret_columns(seen, draft),
        following=next_after_preview(draft, base),
        width=max((len(cells) for _, cells in seen.lines), default=0),
        issues=[] if base is None else [i for i in base.checked.issues if i.code in _READING],
        status=400 if error else 200,
    )


def _secret_columns(seen: Preview, draft: Draft) -> frozenset[int]:
    """The columns whose cells are not shown."""
    row = draft.options.read.header_row or seen.header_row
    named = next((cells for number, cells in seen.lines if number == row), ())
    mapping = {fold(header): key for header, key in draft.options.read.mapping.items()}
    settings = (WEBCAST.mapped_column(header, mapping) for header in named)
    return frozenset(i for i, setting in enumerate(settings) if setting and setting.secret)


_READING: Final = frozenset({"file.encoding_guessed", "file.encoding_doubtful", "cell.holds_rows"})
DELIMITER_NAMES: Final = {
    ",": marked("comma ,"),
    ";": marked("semicolon ;"),
    "\t": marked("tab"),
    "|": marked("bar |"),
    "，": marked("full-width comma ，"),
}
ENCODING_NAMES: Final = {
    "utf-8": "UTF-8",
    "utf-8-sig": "UTF-8",
    "gb18030": marked("GB18030 (simplified Chinese)"),
    "big5": marked("Big5 (traditional Chinese)"),
    "utf-16": "UTF-16",
    "cp949": marked("CP949 (Korean)"),
    "shift_jis": marked("Shift JIS (Japanese)"),
    "cp1258": marked("CP1258 (Vietnamese)"),
    "cp1252": marked("CP1252 (Western European)"),
}


def _with(known: tuple[str, ...], found: str) -> tuple[str, ...]:
    same = {"utf-8-sig": "utf-8", "ascii": "utf-8"}.get(found, found)
    return known if same in known or not same else (same, *known)


def next_after_preview(draft: Draft, base: CheckedSheet | None) -> str:
    """Where the preview leads."""
    if base is None:
        return ""
    columns = columns_of(base.sheet, draft.options.read.mapping)
    uncertain = any(column.match not in CERTAIN for column in columns)
    unnamed = all(column.match is Match.IGNORED for column in columns)
    has_errors = any(issue.code.startswith("header.") for issue in base.checked.issues)
    where = "columns" if uncertain or unnamed or has_errors else "check"
    return f"{draft.address}/{where}"


async def read_again(request: web.Request) -> web.StreamResponse:
    """Read the file in another way."""
    form = await request.post()
    draft = draft_of(request)
    read = draft.options.read
    row = str(form.get("header_row", "")) or None
    told = replace(
        read,
        tab=str(form["tab"]) if form.get("tab") else None,
        encoding=str(form["encoding"]) if form.get("encoding") else None,
        delimiter=str(form["delimiter"]) if form.get("delimiter") else None,
        header_row=int(row) if row and row.isascii() and row.isdigit() and len(row) < 4 else None,
        hidden="skip" if form.get("hidden") == "skip" else "include",
    )
    if "tab" not in form and "encoding" not in form:  # the choice of rows alone
        told = replace(read, hidden=read.hidden)
    same_cells = replace(told, hidden=read.hidden) == read
    options = replace(draft.options, read=told)
    if "duplicates" in form:
        is_in_order = form["duplicates"] == "in-order"
        options = replace(options, duplicates="in-order" if is_in_order else "error")
    draft = replace(
        draft,
        options=options,
        resubmits=form["send"] == "needed" if "send" in form else draft.resubmits,
    )
    try:
        await _require_readable(draft)
    except UnreadableSheet:
        raise
    except CannotStart as exc:
        return await _shown(request, draft_of(request), speaker(request).error(exc))
    now = draft_of(request)  # another tab may have changed cells or sent it meanwhile
    steps = now.steps if same_cells else ()
    draft = replace(now, options=draft.options, steps=steps, resubmits=draft.resubmits)
    request.app[STATE].drafts.save(draft)
    if form.get("back") == "check":
        raise web.HTTPSeeOther(f"{draft.address}/check")
    if form.get("then") == "next":
        raise web.HTTPSeeOther(await _led_on(request, draft))
    raise web.HTTPSeeOther(draft.address)


async def _led_on(request: web.Request, draft: Draft) -> str:
    """The screen that follows once it is said how the file is read."""
    try:
        return next_address(draft, await request.app[STATE].drafts.base(draft))
    except CannotStart:
        return draft.address


async def discard(request: web.Request) -> web.StreamResponse:
    """Remove a draft."""
    drafts = request.app[STATE].drafts
    async with drafts.sending:  # what a run is being made of stays
        drafts.discard(request.app[STATE].accounts.current(), draft_of(request))
    raise web.HTTPSeeOther("/")


def draft_of(request: web.Request) -> Draft:
    """The draft that a request is about.

    Raises:
        HTTPNotFound: there is none.

    """
    state = request.app[STATE]
    return state.drafts.get(state.accounts.current(), request.match_info["draft"])


DRAFT: Final = "/drafts/{draft:[a-z0-9-]+}"
ROUTES: Final = [
    web.get("/upload", ask),
    web.post("/upload", receive),
    web.post("/sample", add_sample),
    web.get(DRAFT, show),
    web.post(f"{DRAFT}/reading", read_again),
    web.post(f"{DRAFT}/discard", discard),
]
