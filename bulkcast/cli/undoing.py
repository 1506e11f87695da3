"""`undo`: write the sheet that takes a run back, and say what it cannot bring back."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from rich.text import Text

from bulkcast import pipeline
from bulkcast.cli import asked, documents
from bulkcast.cli.asked import Given
from bulkcast.cli.console import Symbols, Voice, command, shown, voice, whole
from bulkcast.cli.render import counted
from bulkcast.pipeline import Undone

_LISTED: Final = 20


def undo(run: str, given: Given) -> int:
    """Write the sheet; the exit status."""
    told = voice(given)
    target: Path | None = given["results"]
    found = pipeline.undo(asked.home(given), run, target=target, existing=asked.existing(given))
    if told.as_json:
        told.document(documents.dump(documents.undone(found)))
    elif told.quiet:
        told.document(str(found.path or ""))
    told.show(*_said(found, told))
    if not told.as_json:
        _tell_next(told, found)
    return found.exit_status


def _said(found: Undone, told: Voice) -> Iterable[Text]:
    if found.path:
        yield Text(
            f"Brings {counted(found.settings, 'setting')} of"
            f" {counted(found.classrooms, 'classroom')} back to what was acknowledged before run"
            f" {found.run}."
        )
        yield whole("Sheet: ", shown(found.path))
    else:
        yield Text(f"Run {found.run} leaves nothing that can be brought back; no sheet is written.")
    yield from _lost(found, told.symbols)
    for key in found.may_append:
        yield Text(
            f"{told.symbols.warning} {key}: the vendor has not said whether a list replaces the one"
            " before it; look at these classrooms afterwards",
            "yellow",
        )


def _lost(found: Undone, symbols: Symbols) -> Iterable[Text]:
    """What stays as the run left it, and why."""
    reasons = {
        "unknown": "because nothing was acknowledged of them before that run",
        "since": "because another run has set them since",
    }
    for why, n in Counter(item.why for item in found.lost).items():
        settings = counted(n, "setting stays", "settings stay")
        yield Text(f"{symbols.warning} {settings} as they are, {reasons[why]}:", "yellow")
        some = [item for item in found.lost if item.why == why]
        for item in some[:_LISTED]:
            rows = ", ".join(map(str, item.rows))
            yield Text(f"    row {rows}, {item.target}: {item.key}")
        if n > _LISTED:
            yield Text(f"    and {n - _LISTED:,} more; --json has them all")


def _tell_next(told: Voice, found: Undone) -> None:
    if found.path:
        told.say(
            Text(
                "It may hold passwords, so only you can read it. What was changed in ClassIn's"
                " console since is not seen, and would be overwritten."
            ),
            whole("Next, to look at it: ", command("bulkcast", "plan", found.path)),
            whole("Then, to take the run back: ", command("bulkcast", "apply", found.path)),
        )
