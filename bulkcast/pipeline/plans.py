"""Saves a plan to a file, and loads it again if nothing has changed since."""

from collections.abc import Iterable, Iterator, Mapping
from functools import reduce
from pathlib import Path
from typing import Any, Final, Literal

from bulkcast.errors import CannotStart, NeedsHuman, system_reason
from bulkcast.i18n import marked
from bulkcast.model import Change, Institution, RowStatus, Sheet, Text
from bulkcast.pipeline.options import Selection, SheetOptions
from bulkcast.pipeline.preparation import Prepared, one_spelling, with_plan
from bulkcast.pipeline.validation import (
    CheckedSheet,
    read_sheet,
    require_one_institution,
    rows_named,
)
from bulkcast.planner import plan_file
from bulkcast.planner.deadlines import is_refused
from bulkcast.planner.plan_file import PlanFile, row_hashes
from bulkcast.reporter import replacing

_LONGEST: Final = 500_000_000
_APPROVED_LEAST: Final = 8


def is_plan(path: Path) -> bool:
    """Whether a file is a plan by its name or content; False if it cannot be read."""
    try:
        with path.open("rb") as file:
            return path.suffix.lower() == plan_file.SUFFIX or plan_file.is_one(file.read(4096))
    except (OSError, ValueError):
        return False


def write_plan(
    prepared: Prepared,
    institution: Institution,
    target: Path | str,
    *,
    selection: Selection,
    existing: Literal["refuse", "replace"],
    made_at: float,
) -> Path:
    """Save a prepared sheet as a plan file, readable by its owner only; return its path.

    Raises:
        CannotStart: the file exists already or cannot be written, or the sheet is not a file.

    """
    target = Path(target)
    require_place(target, existing)
    if prepared.cells is not None:
        raise CannotStart(
            "{name} is a DataFrame, and a plan is made of a sheet in a file; save it as one first",
            name=prepared.sheet.name,
        )
    require_one_institution(prepared)
    frozen = PlanFile(
        made_at=made_at,
        institution=one_spelling(institution),
        sheet=str(prepared.path.absolute()),
        sha256=prepared.sha256,
        rows=row_hashes(prepared.sheet),
        reading=_reading(prepared.options, selection),
        plan=prepared.plan,
    )
    with replacing(target, existing) as draft:
        draft.path.chmod(0o600)  # before anything is written to it
        draft.path.write_text(plan_file.dumps(frozen), encoding="ascii", newline="\n")
    return draft.result.path


def require_place(target: Path, existing: Literal["refuse", "replace"]) -> None:
    """Refuse a path at which the file named by -o cannot be written.

    Raises:
        CannotStart: it exists already, or its folder does not.

    """
    if existing == "refuse" and target.exists():
        raise CannotStart(
            "{target} exists already; choose another name with -o, or use --force", target=target
        )
    if not target.absolute().parent.is_dir():
        raise CannotStart(
            "{folder} is no folder; choose another place with -o", folder=target.parent
        )


def read_plan(path: Path | str) -> tuple[Prepared, Institution]:
    """Load a plan file: the prepared sheet, read again, and the institution it is for.

    Raises:
        CannotStart: the file is no plan, or its sheet is missing or has changed since; the message
            names the changed rows.

    """
    path = Path(path)
    frozen = plan_file.loads(_text(path), name=path.name)
    sheet = _sheet(frozen, path)
    options, selection = _read_as(frozen.reading)
    checked = read_sheet(sheet, options, selection)
    _require_same(checked.sheet, frozen, path)
    _require_meant(checked, frozen, path)
    return with_plan(checked, frozen.plan), frozen.institution


def require_for(planned: Institution, configured: Institution, path: Path) -> None:
    """Refuse a plan for another institution than the configured one.

    Raises:
        CannotStart: the plan is for another institution.

    """
    if planned != one_spelling(configured):
        raise CannotStart(
            "{name} is for institution {sid} at {root_url}, the configuration for institution"
            " {other} at {other_url}; choose the other with --profile",
            name=path.name,
            sid=planned.sid,
            root_url=planned.root_url,
            other=configured.sid,
            other_url=configured.root_url,
        )


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _LONGEST:
            raise CannotStart("{name} is too long for a plan; plan the sheet again", name=path.name)
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as exc:
        why = system_reason(exc) if isinstance(exc, OSError) else Text("it is no text")
        raise CannotStart("the plan {path} cannot be read: {why}", path=path, why=why) from exc


def _sheet(frozen: PlanFile, path: Path) -> Path:
    """The path of a plan's sheet: the original one, or beside the plan."""
    was = Path(frozen.sheet)
    for place in (was, path.absolute().with_name(was.name)):
        if place.is_file():
            return place
    raise CannotStart(
        "the sheet of the plan {name}, {path}, is no longer there; plan again",
        name=path.name,
        path=was,
    )


# ------------------------------------------------------------------ how it was read


def _reading(options: SheetOptions, selection: Selection) -> dict[str, Any]:
    statuses, rows = selection.statuses, selection.rows
    return {
        "options": options.packed(),
        "selection": {
            "statuses": None if statuses is None else sorted(statuses),
            "rows": None if rows is None else sorted(rows),
            "limit": selection.limit,
        },
    }


def _read_as(reading: Mapping[str, Any]) -> tuple[SheetOptions, Selection]:
    chosen = reading["selection"]
    statuses, rows = chosen["statuses"], chosen["rows"]
    return (
        SheetOptions.unpacked(reading["options"]),
        Selection(
            statuses=None if statuses is None else frozenset(map(RowStatus, statuses)),
            rows=None if rows is None else frozenset(rows),
            limit=chosen["limit"],
        ),
    )


# ------------------------------------------------------------------ still the same


def _require_same(sheet: Sheet, frozen: PlanFile, path: Path) -> None:
    """Refuse a sheet if any row has changed since it was planned."""
    found = [*_differences(row_hashes(sheet), frozen.rows, sheet.layout.header_row)]
    if found:
        raise CannotStart(
            "{name} has changed since {plan} was made: {changes}; nothing was sent, plan again",
            name=sheet.name,
            plan=path.name,
            changes=reduce(_both, found),
        )


def _differences(
    now: Mapping[str, str], then: Mapping[str, str], header_row: int
) -> Iterator[CannotStart]:
    header = str(header_row)
    edited = _rows(n for n in now if n in then and now[n] != then[n] and n != header)
    if then.get(header) != now[header]:
        yield CannotStart("its header is another")
    for rows, one, many in (
        (edited, marked("{rows} was edited"), marked("{rows} were edited")),
        (_rows(now.keys() - then.keys()), marked("{rows} is new"), marked("{rows} are new")),
        (_rows(then.keys() - now.keys()), marked("{rows} is gone"), marked("{rows} are gone")),
    ):
        if rows:
            yield CannotStart(one if len(rows) == 1 else many, rows=rows_named(rows))


def _both(first: CannotStart, second: CannotStart) -> CannotStart:
    return CannotStart("{first}; {second}", first=first, second=second)


def _rows(numbers: Iterable[str]) -> list[int]:
    return sorted(map(int, numbers))


def _require_meant(checked: CheckedSheet, frozen: PlanFile, path: Path) -> None:
    """Refuse a plan that does not match its own sheet, as one of another version might."""
    wanted = {row.row: row for row in checked.checked.rows if isinstance(row, Change)}
    sent = [(row, request) for request in frozen.plan.requests for row in request.rows]
    places = [row for row, _ in sent] + list(frozen.plan.settled)
    strange = [
        row
        for row, request in sent
        if row not in wanted
        or (wanted[row].target, wanted[row].body) != (request.target, request.body)
    ]
    if strange:
        raise CannotStart(
            "{name} does not say of {rows} what {sheet} does; plan again",
            name=path.name,
            rows=rows_named(strange),
            sheet=checked.sheet.name,
        )
    if sorted(places) != [row.number for row in checked.sheet.rows]:
        raise CannotStart(
            "{name} is not a plan for all of {sheet}; plan again",
            name=path.name,
            sheet=checked.sheet.name,
        )


# ------------------------------------------------------------------ guards


def require_expected(
    prepared: Prepared,
    most: tuple[float, Literal["rows", "%"]] | None,
    approved: str | None,
    *,
    now: float,
) -> None:
    """Refuse a plan that is larger than expected, unless its fingerprint was approved.

    `most` is a number of rows to send at `now`, or a share of all rows of the sheet.

    Raises:
        NeedsHuman: it is larger, or not the approved plan.

    """
    mark = prepared.plan.fingerprint
    if approved is not None:
        if len(approved) >= _APPROVED_LEAST and mark.startswith(approved.lower()):
            return
        raise NeedsHuman(
            "--approve {approved} is another plan: this one's fingerprint is {mark}; "
            "look at it before it is approved",
            approved=approved,
            mark=mark[:16],
        )
    if most is None:
        return
    n = sum(len(r.rows) for r in prepared.plan.requests if not is_refused(r, now))
    of = len(prepared.sheet.rows)
    number, unit = most
    if n > (number if unit == "rows" else number * of / 100):
        said = f"{number:g}{'' if unit == 'rows' else '%'}"
        raise NeedsHuman(
            "the plan would send {n} of {of} rows, more than --max-changes {most} "
            "allows; nothing was sent. Look at it, and if it is meant, add --approve "
            "{mark}",
            n=f"{n:,}",
            of=f"{of:,}",
            most=said,
            mark=mark[:16],
        )
