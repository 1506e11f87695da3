"""Renders a fleet, and what people did with it, for a terminal."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import tzinfo
from typing import Final

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bulkcast.cli.console import Symbols, shown
from bulkcast.cli.language import spell, tr
from bulkcast.fleet.audit import AuditEntry
from bulkcast.fleet.fleet_status import LaneStatus, PaceStatus, WorkerStatus
from bulkcast.i18n import marked
from bulkcast.ledger import RunRecord, canonical
from bulkcast.messages import local_time
from bulkcast.model import RowStatus
from bulkcast.pipeline import zone
from bulkcast.pipeline.fleet_control import Fleet

_STATES: Final[Mapping[str, tuple[str, str]]] = {
    "paused": (marked("paused"), "yellow"),
    "sending": (marked("sending"), "green"),
    "waiting": (marked("waiting for a worker"), "yellow"),
    "idle": (marked("nothing to send"), "dim"),
}
"""The state of an institution → its words, and their colour."""


def status_lines(
    fleet: Fleet, profiles: Mapping[str, Sequence[str]], symbols: Symbols
) -> Iterator[RenderableType]:
    """Workers, institutions, open runs, and the oldest wait; `profiles` are those of each lane."""
    found = fleet.status
    if found.workers:
        yield _workers(found.workers, symbols)
        yield Text("")
    if found.lanes:
        paces = {pace.institution: pace for pace in found.paces}
        yield _lanes(found.lanes, paces, profiles)
        yield Text("")
    if fleet.runs:
        yield _runs(fleet.runs)
    else:
        yield Text(tr("No run is open."))
    if found.oldest_wait_s >= _WAIT_TOLD_S:
        waited = spell(found.oldest_wait_s)
        yield Text(tr("The oldest run has waited for a worker for {time}.", time=waited), "yellow")

    if any(worker.is_alive for worker in found.workers) and any(map(_waits_long, found.lanes)):
        yield Text(tr(_FOR_A_WORKER), "yellow")


_WAIT_TOLD_S: Final = 1.0
_WAIT_LONG_S: Final = 15.0
"""Within this time a worker with the credentials takes over."""
_FOR_A_WORKER: Final = marked(
    "What waits for a worker needs one that has the credentials of its institution and is free."
)


def _waits_long(lane: LaneStatus) -> bool:
    return lane.state == "waiting" and lane.waiting_s >= _WAIT_LONG_S


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in titles:
        table.add_column(title, header_style="dim", overflow="fold")
    return table


def _workers(workers: Sequence[WorkerStatus], symbols: Symbols) -> Table:
    table = _table(
        tr("Worker"), tr("Version"), tr("Institutions"), tr("At once"), tr("Last seen"),
    )  # fmt: skip
    for worker in workers:
        seen = tr("{time} ago", time=spell(worker.seen_s))
        mark = Text(symbols.good, "green") if worker.is_alive else Text(symbols.bad, "red")
        table.add_row(
            mark.append(f" {shown(worker.worker)}", ""),
            shown(worker.version),
            f"{worker.lanes:,}",
            f"{worker.concurrency:,}",
            seen if worker.is_alive else tr("{seen}: gone", seen=seen),
        )
    return table


def _lanes(
    lanes: Sequence[LaneStatus],
    paces: Mapping[str, PaceStatus],
    profiles: Mapping[str, Sequence[str]],
) -> Table:
    table = _table(tr("Institution"), tr("Profile"), tr("State"), tr("Worker"), tr("Pace"))
    table.columns[0].no_wrap = True
    for lane in lanes:
        words, style = _STATES[lane.state]
        said = tr(words)
        if lane.is_waiting and not lane.worker and lane.waiting_s >= _WAIT_TOLD_S:
            said = tr("{state}: {time}", state=said, time=spell(lane.waiting_s))
        table.add_row(
            shown(lane.institution),
            shown(", ".join(profiles.get(lane.institution, ()))),
            Text(said, style),
            shown(lane.worker),
            _pace(paces.get(lane.institution)),
        )
    return table


def _pace(pace: PaceStatus | None) -> str:
    """What is left of the rate, and how long ClassIn wants silence."""
    if pace is None:
        return ""
    share = f"{pace.share:.0%}"
    if pace.held_s < _WAIT_TOLD_S:
        return share
    return tr("{share}, silent for {time}", share=share, time=spell(pace.held_s))


def _runs(records: Sequence[RunRecord]) -> Table:
    table = _table(
        tr("Open run"), tr("Institution"), tr("Sheet"), tr("Rows"), tr("Since"), tr("By"),
    )  # fmt: skip
    table.columns[0].no_wrap = True
    names = _short([canonical(record.header.institution) for record in records])
    for record in records:
        header = record.header
        done, by = _ended(record), header.sending.by if header.sending else ""
        table.add_row(
            header.run,
            shown(names(canonical(header.institution))),
            shown(header.title),
            tr("{done} of {rows}", done=f"{done:,}", rows=f"{header.n_rows:,}"),
            local_time(header.created_at, zone(header.tz))[:16],
            shown(by),
        )
    return table


def _listed(names: str | None) -> list[str]:
    """The names in a list such as `one, another`."""
    return names.split(", ") if names else []


def _short(lanes: Sequence[str]) -> Callable[[str], str]:
    """How to show the institutions of `lanes`: by SID alone if all are at one host."""
    hosts = {host for host, _, sid in (lane.rpartition(" ") for lane in lanes) if sid}
    return (lambda lane: lane) if len(hosts) > 1 else (lambda lane: lane.rpartition(" ")[2])


def _ended(record: RunRecord) -> int:
    """The rows that have ended; those that wait count as not sent."""
    return sum(n for status, n in record.counts.items() if status is not RowStatus.NOT_SENT)


_ACTIONS: Final[Mapping[str, str]] = {
    "submit": marked("submitted"),
    "resume": marked("resumed"),
    "pause": marked("paused"),
    "go on": marked("let go on"),
    "cancel": marked("cancelled"),
    "undo": marked("taken back"),
    "purge": marked("purged"),
}
"""Actions as recorded → as shown; others are shown as they are."""


def action_lines(entries: Sequence[AuditEntry], tz: tzinfo, named: str) -> Iterator[Table | Text]:
    """Who did what, when and from where; `named` is the name of the time zone `tz`."""
    names = _short([lane for entry in entries for lane in _listed(entry.institution)])
    table = _table(
        tr("When"), tr("Who"), tr("From"), tr("What"), tr("Run"), tr("Institution"),
    )  # fmt: skip
    table.columns[4].no_wrap = True
    for entry in entries:
        said = _ACTIONS.get(entry.action)
        table.add_row(
            local_time(entry.at.timestamp(), tz)[:16],
            shown(entry.who),
            shown(entry.host),
            tr(said) if said else shown(entry.action),
            shown("\n".join(_listed(entry.run))),
            shown("\n".join(map(names, _listed(entry.institution)))),
        )
    yield table
    yield Text(tr("Times are those of {zone}.", zone=named), "dim")
