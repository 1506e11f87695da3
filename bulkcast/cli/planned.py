"""How a plan looks on a terminal.  Cells are untrusted: see `shown`."""

from collections.abc import Iterable, Iterator

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bulkcast.cli.console import Symbols, shown
from bulkcast.cli.figures import Figures, Step, row_steps
from bulkcast.cli.render import rows_said
from bulkcast.cli.words import spoken, tr, trn
from bulkcast.endpoints import WEBCAST
from bulkcast.model import Change
from bulkcast.pipeline import Prepared
from bulkcast.wording import marked


def plan(planned: Figures, symbols: Symbols) -> Iterable[RenderableType]:
    """What would be sent: rows, then what becomes of each setting."""
    line = Text(tr("To send: ")).append(rows_said(planned.sent), "bold")
    if planned.requests != planned.sent:
        line.append(trn(" in {n} request", " in {n} requests", planned.requests))
    if planned.sent:
        line.append(trn(", {n} classroom", ", {n} classrooms", planned.classrooms))
    told = [
        (planned.done, marked("{n} done by an earlier run and not sent again"), ""),
        (planned.unchanged, marked("{n} unchanged and not sent"), ""),
        (planned.locked, marked("{n} already locked and not sent"), "red"),
        (planned.invalid, marked("{n} invalid and not sent"), "red"),
        (planned.left_out - planned.done, marked("{n} left out by your choice"), ""),
        (planned.warnings, marked("{n} with warnings"), "yellow"),
    ]
    for n, template, style in told:
        if n:
            line.append(f" {symbols.dot} ").append(tr(template, n=f"{n:,}"), style)
    yield line
    if planned.settings:
        yield Padding(_settings(planned, symbols), (1, 0, 1, 2), expand=False)
    yield from bill(planned)


def _settings(planned: Figures, symbols: Symbols) -> Table:
    """What becomes of each setting, beside what it is known to be where anything is."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    is_known = any(step.old is not None for s in planned.settings for step in s.steps)
    titles = (
        tr("Setting"),
        tr("Becomes (rows)"),
        *([tr("Change, as last acknowledged (rows)")] if is_known else []),
        tr("Left as it is"),
    )
    for title in titles:
        table.add_column(title, header_style="dim", justify="left")
    for setting in planned.settings:
        becomes = spoken().listed(_times(_word(w), n) for w, n in setting.values.items())
        before = spoken().listed(_step(step, symbols) for step in setting.steps)
        untouched = f"{setting.untouched:,}" if setting.untouched else ""
        name = shown(spoken().name_of(setting.key))
        cells = (name, becomes, *([before] if is_known else []), untouched)
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _times(said: str, n: int) -> str:
    """Something, and in how many rows: a number beside a value would be taken for one."""
    return tr("{said} ({n})", said=said, n=f"{n:,}")


def _word(english: str) -> str:
    """A word of the endpoint's table, or one that stands for a text or a list."""
    return tr(WEBCAST.zh_of(english)) if spoken().lang == "zh" else english


def _step(step: Step, symbols: Symbols) -> str:
    new = _word(step.new)
    if step.is_same:
        return _times(tr("{value} already", value=new), step.rows)
    return _times(f"{_old(step.old)} {symbols.arrow} {new}", step.rows)


def _old(value: str | None) -> str:
    """What a setting is known to be, if it is."""
    return tr("unknown") if value is None else _word(value)


def row_by_row(prepared: Prepared, symbols: Symbols) -> Iterable[Text]:
    """Each row that is sent, and what it makes of its classroom."""
    rows = {row.row: row for row in prepared.checked.rows if isinstance(row, Change)}
    for request in prepared.plan.requests:
        change = rows[request.rows[0]]
        steps = spoken().listed(_steps(change, prepared, symbols))
        numbers = spoken().listed(map(str, request.rows))
        yield Text(
            trn(
                "row {rows}, {target}: {changes}",
                "rows {rows}, {target}: {changes}",
                len(request.rows),
                rows=numbers,
                target=change.target,
                changes=shown(steps),
            )
        )


def _steps(change: Change, prepared: Prepared, symbols: Symbols) -> Iterator[str]:
    holdings = prepared.known.get(change.target, {})
    for key, old, new, same in row_steps(change, prepared.endpoint, holdings):
        name = spoken().name_of(key)
        if same:
            yield f"{name} {tr('{value} already', value=_word(new))}"
        else:
            yield f"{name} {_old(old)} {symbols.arrow} {_word(new)}"


def bill(planned: Figures) -> Iterable[RenderableType]:
    """What is switched on that costs money."""
    by: dict[str, list[str]] = {}
    for item in planned.bill:
        switched = trn(
            "{label} in {n} classroom",
            "{label} in {n} classrooms",
            item.classrooms,
            label=shown(spoken().name_of(item.key)),
        )
        by.setdefault(item.by, []).append(switched)
    if by:
        yield Text(tr("ClassIn bills what this switches on from the school's balance:"))
    for what, items in by.items():
        line = Text(f"{tr(' and ').join(items)}{tr(': ')}{_word(what)}")
        yield Padding(line, (0, 0, 0, 4), expand=False)
