"""How lists of runs, and rows counted by a column, look on a terminal."""

from collections.abc import Iterator, Mapping, Sequence

from rich.table import Table
from rich.text import Text

from bulkcast.cli.console import shown
from bulkcast.cli.documents import state
from bulkcast.cli.outcomes import style_of
from bulkcast.cli.states import reason_said, state_said, status_said
from bulkcast.cli.words import spoken, tr
from bulkcast.derive import local_time
from bulkcast.ledger import RunRecord
from bulkcast.model import RowStatus
from bulkcast.naming import short_header
from bulkcast.pipeline import zone
from bulkcast.reporter import Crosstab


def runs(records: Sequence[RunRecord]) -> Iterator[Table | Text]:
    """The list of runs, each with its times in the zone of its sheet.

    What is the same for all of them, zone and institution, stands below.
    """
    zones = {record.header.tz for record in records}
    schools = {record.header.institution.sid for record in records}
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    widest = max((len(record.header.run) for record in records), default=0)
    # To be copied and to be compared: never broken, and a name never cut.
    table.add_column(tr("Run"), header_style="dim", no_wrap=True, min_width=widest)
    table.add_column(tr("When"), header_style="dim", no_wrap=True)
    for title in (tr("Sheet"), *([tr("Institution")] if len(schools) > 1 else []), tr("Rows"),
                  tr("State")):  # fmt: skip
        table.add_column(title, header_style="dim", overflow="fold")
    for record in records:
        table.add_row(*_line(record, named=len(zones) > 1, whose=len(schools) > 1))
    yield table
    told = [tr("Times are those of {zone}.", zone=zones.pop())] if len(zones) == 1 else []
    if len(schools) == 1:
        told.append(tr("All of institution {sid}.", sid=shown(schools.pop())))
    yield Text(spoken().joined(told), "dim")


def _line(record: RunRecord, *, named: bool, whose: bool) -> tuple[Text, ...]:
    header = record.header
    begun = local_time(header.created_at, zone(header.tz))[:16]
    school = [Text(shown(header.institution.sid))] if whose else []
    return (
        Text(header.run),
        Text(f"{begun} {header.tz}" if named else begun),
        Text(shown(header.sheet.replace("\\", "/").rpartition("/")[2])),
        *school,
        _brief(record.counts),
        Text(_state(record)),
    )


def _brief(counts: Mapping[RowStatus, int]) -> Text:
    parts = [
        Text(f"{n:,} {status_said(status)}", style_of(status)) for status, n in counts.items() if n
    ]
    return Text(spoken().listed(["", ""])).join(parts)


def _state(record: RunRecord) -> str:
    match state(record):
        case "crashed":
            return tr("{state}: resume it", state=state_said("crashed"))
        case "stopped":
            reason = reason_said(shown(record.stop.reason)) if record.stop else ""
            return tr("{state}: {reason}", state=state_said("stopped"), reason=reason)
        case other:
            return state_said(other)


def crosstab(table: Crosstab) -> Table:
    """Rows by the values of a column."""
    shape = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    shape.add_column(Text(shown(short_header(table.column))), header_style="dim")
    for status in table.statuses:
        shape.add_column(status_said(status), justify="right", header_style="dim")
    for value, counts in table.counts:
        shape.add_row(Text(shown(value) or tr("(blank)")), *(f"{n:,}" if n else "" for n in counts))
    return shape
