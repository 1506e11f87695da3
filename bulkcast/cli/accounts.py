"""How what a run came to looks on a terminal.  What a server said is untrusted: see `shown`."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import tzinfo

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bulkcast.account import Account, Cause, ranges
from bulkcast.cli import outcomes, render
from bulkcast.cli.console import Symbols, shown
from bulkcast.cli.figures import spell
from bulkcast.cli.states import status_said, status_written
from bulkcast.cli.words import spoken, tr, trn
from bulkcast.derive import local_time
from bulkcast.model import ResultRow, RowStatus, is_rehearsal

_STRETCHES = 12
"""Stretches of row numbers shown of a cause."""


def account(
    found: Account, earlier: Mapping[RowStatus, int], tz: tzinfo, symbols: Symbols
) -> Iterable[RenderableType]:
    """The run, its counts, and why some rows did not succeed; times in `tz`.

    `earlier` counts the rows that are as an earlier run left them.
    """
    yield _facts(found, tz)
    yield Text("")
    yield outcomes.outcome(found.counts, earlier, symbols)
    yield _total(found, symbols)
    if found.purged_at is not None:
        day = local_time(found.purged_at, tz)[:10]
        purged = "Purged on {day}: what its rows held is gone; how they ended is all that is left."
        yield Text(tr(purged, day=day))
    if found.stop:
        yield from outcomes.why_stopped(found.stop, found.counts, symbols)
    for cause in found.causes:
        yield Text("")
        yield from _cause(cause, symbols)


def _facts(found: Account, tz: tzinfo) -> Table:
    begun, ended = local_time(found.created_at, tz), local_time(found.finished_at, tz)
    facts = (
        (tr("Run"), _name(found.run)),
        (tr("Sheet"), found.sheet),
        (tr("Institution"), tr("{sid} at {root_url}", sid=found.sid, root_url=found.root_url)),
        (tr("Begun"), tr("{at} ({zone})", at=begun, zone=found.tz)),
        (tr("Ended"), ended or "–"),
    )
    table = Table.grid(padding=(0, 2))
    for name, value in facts:
        table.add_row(Text(name, "dim"), Text(shown(value), overflow="fold"))
    return table


def _name(run: str) -> str:
    return tr("{run} (a rehearsal: nothing went to ClassIn)", run=run) if is_rehearsal(run) else run


def _total(found: Account, symbols: Symbols) -> Text:
    parts = [
        render.rows_said(found.rows),
        trn("{n} attempt", "{n} attempts", found.attempts),
    ]
    if found.finished_at is not None:
        parts.append(spell(max(0.0, found.finished_at - found.created_at)))
    return Text(f" {symbols.dot} ".join(parts), "bold")


def _cause(cause: Cause, symbols: Symbols) -> Iterable[RenderableType]:
    status = status_written(cause.status)
    rows = render.rows_said(len(cause.rows))
    lang = spoken().lang
    yield Text.assemble((f"{status} {cause.code}", "bold"), f" {symbols.dot} {rows}")
    if cause.message.say(lang):
        message = Text(shown(cause.message.say(lang)))
        yield Padding(message, (0, 0, 0, 4), expand=False)
    if cause.fix.say(lang):
        fix = Text(f"{symbols.arrow} {shown(cause.fix.say(lang))}", "dim")
        yield Padding(fix, (0, 0, 0, 4), expand=False)
    listed, beyond = ranges(cause.rows, _STRETCHES)
    line = trn("row {rows}", "rows {rows}", len(cause.rows), rows=listed)
    more = f" {tr('and {n} more', n=f'{beyond:,}')}" if beyond else ""
    yield Padding(Text(line + more, "dim"), (0, 0, 0, 4), expand=False)


def rows(listed: Sequence[ResultRow], *, most: int | None) -> Iterable[RenderableType]:
    """Rows one by one, at most `most` of them."""
    if not listed:
        yield Text(tr("No row ended so."))
        return
    kept = listed if most is None else listed[:most]
    table = Table.grid(padding=(0, 2))
    for row in kept:
        table.add_row(
            Text(tr("row {n}", n=row.row), "bold"),
            Text(status_said(row.status)),
            Text(row.time),
            Text(shown(row.message), overflow="fold"),
        )
    yield table
    if len(listed) > len(kept):
        left = f"{len(listed) - len(kept):,}"
        yield Text(tr("and {n} more; --all lists them too", n=left))
