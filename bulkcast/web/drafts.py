"""Sheets on their way to a run: each lies in a folder of its own and survives a restart."""

import asyncio
import hashlib
import json
import logging
import re
import secrets
import shutil
import time
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from bulkcast.config import UPLOADS_FOLDER
from bulkcast.errors import BulkcastError, CannotStart
from bulkcast.model import Argument, Text
from bulkcast.pipeline import (
    RESUBMITTED,
    CheckedSheet,
    Selection,
    SheetOptions,
    check_edited,
    edited_copy,
    read_sheet,
    require_kind,
)
from bulkcast.private_files import make_private, write_private
from bulkcast.web.accounts import Account

FOLDER: Final = UPLOADS_FOLDER
_FILE: Final = "draft.json"
_NAME_MOST: Final = 120
_ID: Final = re.compile(r"[a-z0-9-]{1,64}")
_COPY: Final = re.compile(r"edited-[0-9a-f]{8}\.[a-z]{3,4}")
_KEPT_S: Final = 30 * 86400
"""Seconds after which a draft that no run was made of is removed."""
_CUT_OFF_S: Final = 86400
"""Seconds after which an upload that never came to its end is removed."""
_LATEST: Final = 1e11
"""Unix seconds that a calendar still has."""
_IN_MEMORY: Final = 4
"""Sheets that are kept in memory; one of 50,000 rows takes up to 200 MB."""

_log = logging.getLogger(__name__)

Step = tuple[tuple[int, int, str], ...]
"""Cells that were changed together: row, column from 0, text."""


@dataclass(frozen=True, slots=True)
class Draft:
    """An uploaded sheet on its way to a run."""

    id: str
    """Its name in addresses: `[a-z0-9-]+`."""
    folder: Path
    name: str
    """What the user calls the file; only ever text."""
    suffix: str
    uploaded_at: float
    """Unix seconds."""
    resubmits: bool = False
    """Whether only the rows that need it are sent again; only for a result sheet."""
    options: SheetOptions = field(default_factory=SheetOptions)
    steps: tuple[Step, ...] = ()
    """The user's edits, the oldest first."""
    remembered: tuple[str, ...] = ()
    """Headers and words that were taken as on an earlier sheet."""
    replaces: str = ""
    """The draft that this one, a mended file, takes the place of."""
    run: str = ""
    """The run that was made of it."""

    @property
    def path(self) -> Path:
        """The file as it was uploaded; it is never changed."""
        return self.folder / f"sheet{self.suffix}"

    @property
    def address(self) -> str:
        """The path of its first screen."""
        return f"/drafts/{self.id}"

    @property
    def edits(self) -> dict[int, dict[int, str]]:
        """Row → column → the text that stands there instead."""
        found: dict[int, dict[int, str]] = {}
        for step in self.steps:
            for row, column, text in step:
                found.setdefault(row, {})[column] = text
        return found

    @property
    def selection(self) -> Selection:
        """The rows that are sent."""
        return Selection(statuses=RESUBMITTED if self.resubmits else None)


def shown_name(name: str) -> str:
    r"""A file's name as the user is shown it: without folders and what cannot be seen.

    >>> shown_name("C:\\sheets\\term\u202e.xlsx"), shown_name("../../etc/passwd"), shown_name("")
    ('term.xlsx', 'passwd', 'sheet')
    """
    base = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    seen = "".join(c for c in base if unicodedata.category(c)[0] != "C").strip()
    if len(seen) > _NAME_MOST:
        stem, dot, suffix = seen.rpartition(".")
        keeps = dot and len(suffix) <= 5
        seen = f"{stem[: _NAME_MOST - 6]}.{suffix}" if keeps else seen[:_NAME_MOST]
    return seen or "sheet"


class Drafts:
    """The sheets on their way to a run, of every account."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self.receiving = asyncio.Lock()
        """Held while a file arrives: one at a time."""
        self.sending = asyncio.Lock()
        """Held while a run is made of a draft, and while one is removed."""
        self._read: OrderedDict[str, asyncio.Task[CheckedSheet]] = OrderedDict()

    # -------------------------------------------------------------- files

    def begin(self, account: Account, name: str) -> Draft:
        """A draft for a file that is called `name` and has yet to be written to its path.

        Raises:
            UnreadableSheet: no file of that name is a sheet that can be read.

        """
        shown = shown_name(name)
        require_kind(shown)
        self._remove_old(account)
        draft_id = f"{time.strftime('%m%d', time.gmtime(self._clock()))}-{secrets.token_hex(6)}"
        folder = make_private(make_private(account.home / FOLDER) / draft_id)
        options = SheetOptions(profiles=account.profiles)
        suffix = Path(shown).suffix.lower()
        return Draft(draft_id, folder, shown, suffix, self._clock(), options=options)

    def add_file(
        self, account: Account, path: Path, name: str, *, resubmits: bool = False
    ) -> Draft:
        """Copy a file, which the user calls `name`, into a new draft.

        Raises:
            CannotStart: it is no kind of sheet that can be read, or cannot be copied.

        """
        draft = replace(self.begin(account, name), resubmits=resubmits)
        try:
            shutil.copyfile(path, draft.path)
            draft.path.chmod(0o600)
            self.save(draft)
        except OSError as exc:
            shutil.rmtree(draft.folder, ignore_errors=True)
            raise CannotStart(
                "{name} cannot be copied: {why}", name=draft.name, why=exc.strerror or exc
            ) from exc
        return draft

    def save(self, draft: Draft) -> None:
        """Write down what is known of a draft."""
        known = {
            "name": draft.name,
            "suffix": draft.suffix,
            "uploaded_at": draft.uploaded_at,
            "resubmits": draft.resubmits,
            "options": draft.options.packed(),
            "steps": draft.steps,
            "remembered": draft.remembered,
            "replaces": draft.replaces,
            "run": draft.run,
        }
        write_private(draft.folder / _FILE, json.dumps(known, ensure_ascii=True))

    def note_run(self, account: Account, draft: Draft, run: str) -> None:
        """Note the run that was made of a draft; that it cannot be noted stops no run."""
        try:
            self.save(replace(self.get(account, draft.id), run=run))
        except (OSError, web.HTTPNotFound) as exc:
            _log.warning("that run %s was made of a sheet is not noted: %r", run, exc)

    def get(self, account: Account, draft_id: str) -> Draft:
        """The draft of an id.

        Raises:
            HTTPNotFound: there is none.

        """
        folder = account.home / FOLDER / draft_id
        try:
            if not _ID.fullmatch(draft_id):
                raise ValueError(draft_id)  # noqa: TRY301 - told like a folder that is not there
            found = json.loads((folder / _FILE).read_text(encoding="utf-8"))
            draft = _draft_of(draft_id, folder, found)
        except (OSError, ArithmeticError, ValueError, TypeError, KeyError, AttributeError):
            raise web.HTTPNotFound from None
        return replace(draft, options=replace(draft.options, profiles=account.profiles))

    def newest(self, account: Account) -> Sequence[Draft]:
        """The drafts that no run was made of, the newest first."""
        found = []
        for place in (account.home / FOLDER).glob(f"*/{_FILE}"):
            try:
                found.append(self.get(account, place.parent.name))
            except web.HTTPNotFound:
                continue
        return sorted((d for d in found if not d.run), key=lambda d: -d.uploaded_at)

    def discard(self, account: Account, draft: Draft) -> None:
        """Remove a draft and its files; what a run was made of stays for its results."""
        folder = account.home / FOLDER / draft.id
        if not draft.run:
            shutil.rmtree(folder, ignore_errors=True)

    def _remove_old(self, account: Account) -> None:
        for draft in self.newest(account):
            if self._clock() - draft.uploaded_at > _KEPT_S:
                self.discard(account, draft)
        for folder in (account.home / FOLDER).glob("*"):
            with suppress(OSError):  # another upload has just removed its own
                is_begun = not (folder / _FILE).exists()  # and was cut off, if that is long ago
                if is_begun and self._clock() - folder.stat().st_mtime > _CUT_OFF_S:
                    shutil.rmtree(folder, ignore_errors=True)

    # -------------------------------------------------------------- reading

    async def base(self, draft: Draft) -> CheckedSheet:
        """The sheet as it was uploaded, checked.

        Raises:
            BulkcastError: it cannot be read so.

        """
        return await self._shared(draft, "base", lambda: _read(draft, draft.path, draft.options))

    async def checked(self, draft: Draft) -> CheckedSheet:
        """The sheet with its edits, checked; of a result sheet only what needs it.

        Raises:
            BulkcastError: it cannot be read so.

        """
        base = await self.base(draft)
        if not draft.steps and not draft.resubmits:
            return base
        what = f"checked {draft.resubmits} {draft.steps}"
        return await self._shared(
            draft, what, lambda: check_edited(base, draft.edits, draft.selection)
        )

    async def final(self, draft: Draft) -> CheckedSheet:
        """The file that is sent: the uploaded one, or a copy with the edits.

        Raises:
            BulkcastError: the copy cannot be written.

        """
        base = await self.base(draft)
        if not draft.steps:
            return base
        checked = None if draft.resubmits else await self.checked(draft)
        what = f"final {draft.steps}"
        made = await self._shared(draft, what, lambda: _copied(draft, base, checked))
        if made.path.exists():
            return made
        self._read.pop(_key(draft, what), None)  # the copy of other edits has taken its place
        return await self._shared(draft, what, lambda: _copied(draft, base, checked))

    async def _shared(
        self, draft: Draft, what: str, make: Callable[[], CheckedSheet]
    ) -> CheckedSheet:
        """What `make` gives, made once in a thread however many ask for it at a time."""
        key = _key(draft, what)
        task = self._read.get(key)
        if task is None:
            task = asyncio.ensure_future(asyncio.to_thread(make))
            self._read[key] = task
            while len(self._read) > _IN_MEMORY:
                self._read.popitem(last=False)
        self._read.move_to_end(key)
        try:
            return await asyncio.shield(task)
        except Exception as exc:
            self._read.pop(key, None)
            if isinstance(exc, BulkcastError):
                raise renamed(exc, draft) from exc
            raise


def _key(draft: Draft, what: str) -> str:
    options = json.dumps(draft.options.packed(), sort_keys=True)
    known = draft.options.profiles()
    names = None if known is None else sorted(known)
    return hashlib.sha256(f"{draft.folder} {options} {names} {what}".encode()).hexdigest()


def _draft_of(draft_id: str, folder: Path, found: Mapping[str, Any]) -> Draft:
    options = dict(found["options"])
    suffix = str(found["suffix"])
    uploaded_at = float(found["uploaded_at"])
    if not re.fullmatch(r"\.[a-z]{3,4}", suffix) or not 0 <= uploaded_at < _LATEST:
        raise ValueError(draft_id)
    return Draft(
        draft_id,
        folder,
        str(found["name"]),
        suffix,
        uploaded_at,
        bool(found["resubmits"]),
        SheetOptions.unpacked(options),
        tuple(tuple((int(r), int(c), str(t)) for r, c, t in step) for step in found["steps"]),
        tuple(map(str, found["remembered"])),
        str(found["replaces"]),
        str(found["run"]),
    )


def _read(draft: Draft, path: Path, options: SheetOptions) -> CheckedSheet:
    return _renamed_sheet(read_sheet(path, options), draft)


def _renamed_sheet(sheet: CheckedSheet, draft: Draft) -> CheckedSheet:
    return replace(sheet, sheet=replace(sheet.sheet, name=draft.name))


def _copied(draft: Draft, base: CheckedSheet, checked: CheckedSheet | None) -> CheckedSheet:
    """The copy with the edits, read again."""
    mark = hashlib.sha256(repr(draft.steps).encode()).hexdigest()[:8]
    for old in draft.folder.iterdir():
        if _COPY.fullmatch(old.name):  # results lie beside it and stay
            old.unlink(missing_ok=True)
    target = draft.folder / f"edited-{mark}{draft.suffix}"
    return _renamed_sheet(edited_copy(base, draft.edits, target, checked), draft)


def renamed(exc: BulkcastError, draft: Draft) -> BulkcastError:
    """An error with the file's name as the user knows it."""
    return type(exc)(exc.text.template, **_renamed_words(exc.text, draft))


def _renamed_words(text: Text, draft: Draft) -> dict[str, Argument]:
    own = {str(draft.path), draft.path.name}

    def renamed_word(word: Argument) -> Argument:
        if isinstance(word, Text):
            return Text(word.template, _renamed_words(word, draft))
        is_copy = isinstance(word, str) and (
            Path(word).parent == draft.folder or _COPY.fullmatch(word) is not None
        )
        return draft.name if is_copy or word in own else word

    return {name: renamed_word(word) for name, word in text.args.items()}
