"""`undo`: write the sheet that takes a run back, and say what it cannot bring back."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal

from rich.text import Text

from bulkcast import pipeline
from bulkcast.account import ranges
from bulkcast.cli import asked, documents
from bulkcast.cli.asked import Given
from bulkcast.cli.console import Symbols, Voice, command, shown, voice, whole
from bulkcast.cli.words import calling, spoken, tr, trn
from bulkcast.pipeline import Stays, Undone
from bulkcast.wording import COMMA

_LISTED: Final = 20
_STRETCHES: Final = 12
"""Stretches of row numbers shown of a setting."""


def undo(run: str, given: Given) -> int:
    """Write the sheet; the exit status."""
    told = voice(given)
    run, given = asked.located(run, given)
    target: Path | None = given["results"]
    found = pipeline.undo(
        asked.home(given),
        run,
        target=target,
        existing=asked.existing(given),
        lang=spoken().lang,
    )
    calling(found.names)
    if told.as_json:
        told.document(documents.dump(documents.undone(found)))
    told.show(*_said(found, told))
    if told.quiet:
        told.trouble(*_lost(found, told.symbols))
    if not told.as_json:
        _tell_next(told, found)
    return found.exit_status


def _said(found: Undone, told: Voice) -> Iterable[Text]:
    if found.path:
        yield Text(
            tr(
                "Brings {settings} of {classrooms} back to what was acknowledged before run {run}.",
                settings=trn("{n} setting", "{n} settings", found.settings),
                classrooms=trn("{n} classroom", "{n} classrooms", found.classrooms),
                run=found.run,
            )
        )
        yield whole(tr("Sheet: "), shown(found.path))
    else:
        said = "Run {run} leaves nothing that can be brought back; no sheet is written."
        yield Text(tr(said, run=found.run))
    yield from _lost(found, told.symbols)
    for key in found.may_append:
        said = tr(
            "{key}: the vendor has not said whether a list replaces the one before it; look at"
            " these classrooms afterwards",
            key=key,
        )
        yield Text(f"{told.symbols.warning} {said}", "yellow")


def _stays(why: Literal["unknown", "since"], n: int) -> str:
    if why == "unknown":
        return trn(
            "{n} setting stays as it is, because nothing was acknowledged of it before that run:",
            "{n} settings stay as they are, because nothing was acknowledged of them before that"
            " run:",
            n,
        )
    return trn(
        "{n} setting stays as it is, because another run has set it since:",
        "{n} settings stay as they are, because another run has set them since:",
        n,
    )


def _lost(found: Undone, symbols: Symbols) -> Iterable[Text]:
    """What stays as the run left it, and why."""
    for why, n in Counter(item.why for item in found.lost).items():
        yield Text(f"{symbols.warning} {_stays(why, n)}", "yellow")
        some = [stays for stays in found.stays if stays.why == why]
        yield from (Text(f"    {_places(stays)}") for stays in some[:_LISTED])
        if len(some) > _LISTED:
            left = f"{len(some) - _LISTED:,}"
            yield Text(f"    {tr('and {n} more; --json has them all', n=left)}")


def _places(stays: Stays) -> str:
    rows, beyond = ranges(stays.rows, _STRETCHES)
    more = f" {tr('and {n} more', n=f'{beyond:,}')}" if beyond else ""
    where = trn("{n} classroom", "{n} classrooms", stays.classrooms)
    return trn(
        "{keys}: {where}, row {rows}",
        "{keys}: {where}, rows {rows}",
        len(stays.rows),
        keys=COMMA.join(stays.keys),
        where=where,
        rows=rows + more,
    )


def _tell_next(told: Voice, found: Undone) -> None:
    if found.path:
        told.say(
            Text(
                tr(
                    "It may hold passwords, so only you can read it. What was changed in"
                    " ClassIn's console since is not seen, and would be overwritten."
                )
            ),
            whole(tr("Next, to look at it: "), command("bulkcast", "plan", found.path)),
            whole(
                tr("Then, to take the run back: "),
                command("bulkcast", "apply", found.path, *asked.typed(*asked.OF_RUN)),
            ),
        )
