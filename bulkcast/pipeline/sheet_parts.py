"""Splits a sheet that is for several institutions, and plans each part."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bulkcast.catalogue import Endpoint
from bulkcast.config import Config, Member
from bulkcast.endpoints import WEBCAST
from bulkcast.errors import BulkcastError, CannotStart, InstitutionBusy
from bulkcast.home import Home
from bulkcast.model import Change, Institution
from bulkcast.pipeline.options import PlanOptions, Selection, SheetOptions
from bulkcast.pipeline.preparation import (
    Prepared,
    PreparedRun,
    compare_with_ledger,
    one_spelling,
    plan_alone,
    with_plan,
)
from bulkcast.pipeline.validation import FRAME_NAME, CheckedSheet, read_sheet
from bulkcast.planner import joined
from bulkcast.planner.last_known import Holdings

if TYPE_CHECKING:
    from bulkcast.frames import DataFrame

T = TypeVar("T")
Members = Callable[[str], Member]
"""Finds the institution of a profile; raises CannotStart if config.toml does not say which."""


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of a sheet that are for one institution."""

    prepared: Prepared
    member: Member | None
    """None if no row of the sheet names an institution."""
    problem: BulkcastError | None = None
    """Why nothing can be sent for it."""

    @property
    def profile(self) -> str:
        """What the sheet calls the institution."""
        return self.member.profile if self.member else ""

    @property
    def config(self) -> Config | None:
        """With what it is sent; None if it cannot be, or a shared database's workers know."""
        return self.member.config if self.member else None

    @property
    def rows(self) -> int:
        """The number of rows to be sent."""
        return sum(len(request.rows) for request in self.prepared.plan.requests)


def prepare_parts(
    source: "Path | str | DataFrame",
    configs: Mapping[str, Config],
    options: SheetOptions | None = None,
    selection: Selection | None = None,
    endpoint: Endpoint = WEBCAST,
    *,
    name: str = FRAME_NAME,
    keep_cells: bool = True,
    plan_options: PlanOptions | None = None,
) -> PreparedRun:
    """Read and check a sheet whose rows name institutions, and plan each part for its own.

    Args:
        source: as for `prepare`; a column says of each row for which institution it is.
        configs: the institutions by the names that rows call them; any other name is an error of
            its row.
        options: how to read and check it.
        selection: the rows to send; None for all.
        endpoint: what the rows are checked against.
        name: what a DataFrame is called.
        keep_cells: as for `prepare`.
        plan_options: how what is known changes the plan.

    Raises:
        UnreadableSheet: the file cannot be read as a sheet.
        CannotStart: no column names institutions, an option makes no sense, none of the rows it
            names is there, two names are the same institution, or `apply_parts` would refuse it.
        InstitutionBusy: other runs hold all the institutions.
        LedgerDamaged: the ledger is not what was written.

    """
    options = replace(options or SheetOptions(), profiles=lambda: frozenset(configs))
    sheet = read_sheet(source, options, selection, endpoint, name=name, keep_cells=keep_cells)
    if not sheet.has_institutions:
        raise CannotStart(
            "no column of {name} says for which institution each row is", name=sheet.sheet.name
        )
    return plan_parts(
        sheet, home_of(configs), members_of(configs), plan_options or PlanOptions(), is_sent=True
    )


def home_of(configs: Mapping[str, Config]) -> Home:
    """Where the ledger of some institutions lies.

    Raises:
        ValueError: there is none, or they have several.

    """
    (found,) = {config.ledger_home for config in configs.values()}
    return found


def members_of(configs: Mapping[str, Config]) -> Members:
    """Finds the institutions of these names."""

    def find(profile: str) -> Member:
        if profile not in configs:
            raise CannotStart("there is no institution {name}", name=profile)
        return Member(profile, configs[profile].institution, configs[profile])

    return find


def plan_parts(
    sheet: CheckedSheet, home: Home, members: Members, options: PlanOptions, *, is_sent: bool
) -> PreparedRun:
    """Split a sheet by its column of institutions, and plan each part by what the ledger knows.

    Raises:
        CannotStart: a profile does not say which institution it is, two are the same one, there are
            no credentials for any, or what `compare_with_ledger` says.
        InstitutionBusy: other runs hold all the institutions.

    """
    found = _found(sheet, members)
    parts = tuple(
        _prepare(rows, found.get(name), home, options) for name, rows in split(sheet, found).items()
    )
    if is_sent:
        _require_any(parts)
    return PreparedRun(_whole(sheet, parts), None, parts)


def split(sheet: CheckedSheet, names: Collection[str]) -> dict[str, CheckedSheet]:
    """Name → its rows; those that name none of `names` go to the first of the sheet.

    Every row is in exactly one part.  With no name at all, the only part is "".
    """
    given = {**sheet.institutions, **{row.row: row.institution for row in sheet.checked.rows}}
    order = [row.number for row in sheet.sheet.rows]
    named = dict.fromkeys(name for row in order if (name := given.get(row, "")) in names)
    first = next(iter(named), "")
    whose = {row: given[row] if given.get(row, "") in named else first for row in order}

    def shared(found: Mapping[int, T]) -> dict[str, dict[int, T]]:
        parts: dict[str, dict[int, T]] = {name: {} for name in named or {"": None}}
        for row, value in found.items():
            parts[whose[row]][row] = value
        return parts

    checked = shared({row.row: row for row in sheet.checked.rows})
    left_out, kept, again = shared(sheet.left_out), shared(sheet.kept), shared(sheet.again)
    others = shared(sheet.institutions)
    return {
        name: replace(
            sheet,
            sheet=replace(sheet.sheet, rows=tuple(rows.values())),
            checked=replace(sheet.checked, rows=tuple(checked[name].values())),
            left_out=left_out[name],
            kept=kept[name],
            again=again[name],
            institutions=others[name],
        )
        for name, rows in shared({row.number: row for row in sheet.sheet.rows}).items()
    }


def _found(sheet: CheckedSheet, members: Members) -> dict[str, Member]:
    """The institutions that the rows name, by name."""
    sent = {row.institution for row in sheet.checked.rows if isinstance(row, Change)}
    every = sent.union(sheet.institutions.values(), (r.institution for r in sheet.checked.rows))
    found: dict[str, Member] = {}
    names: dict[Institution, str] = {}
    for name in sorted(every - {""}):
        try:
            member = members(name)
            institution = one_spelling(member.institution)
        except CannotStart:
            if name in sent:
                raise
            continue  # a row that is not sent may say anything
        if institution in names:
            raise CannotStart(
                "the profiles {one!r} and {other!r} are the same institution, {sid}; use one of the"
                " names in all rows",
                one=names[institution],
                other=name,
                sid=institution.sid,
            )
        names[institution] = name
        found[name] = replace(member, institution=institution)
    return found


def _prepare(sheet: CheckedSheet, member: Member | None, home: Home, options: PlanOptions) -> Part:
    if member is None:
        return Part(plan_alone(sheet), None)
    if member.config is None:
        return Part(compare_with_ledger(sheet, home, None, options), member, member.problem)
    try:
        return Part(compare_with_ledger(sheet, home, member.config, options), member)
    except InstitutionBusy as busy:
        return Part(compare_with_ledger(sheet, home, None, options), member, busy)


def _require_any(parts: Iterable[Part]) -> None:
    """Refuse to begin where nothing can be sent for any institution."""
    wanted = [part for part in parts if part.rows]
    problems = [part.problem for part in wanted if part.problem]
    if problems and len(problems) == len(wanted):
        raise problems[0]


def _whole(sheet: CheckedSheet, parts: Sequence[Part]) -> Prepared:
    """The sheet with the plans of its parts as one."""
    done = [part.prepared for part in parts]
    rows = sorted((row for each in done for row in each.checked.rows), key=lambda row: row.row)
    issues = dict.fromkeys(issue for each in done for issue in each.checked.issues)
    known: dict[Any, Holdings] = {}
    for target, n in Counter(target for each in done for target in each.known).items():
        if n == 1:  # else two institutions have a classroom of this number
            known[target] = next(each.known[target] for each in done if target in each.known)
    whole = replace(
        sheet,
        checked=replace(sheet.checked, rows=tuple(rows), issues=tuple(issues)),
        left_out={row: out for each in done for row, out in each.left_out.items()},
    )
    return with_plan(whole, joined([each.plan for each in done]), known)
