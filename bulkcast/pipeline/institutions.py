"""Sends a sheet for several institutions, each part as a run of its own.

The runs are sent side by side, each with its own credentials, claim, pace, canary and stop; they
are `GROUP-1`, `GROUP-2` and so on, and come back as one report and one result sheet.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from bulkcast.config import Config, Member
from bulkcast.errors import BulkcastError, CannotStart, InstitutionBusy
from bulkcast.home import Home, SharedHome
from bulkcast.ledger import Ledger, RunHeader, RunRecord, open_ledger
from bulkcast.model import (
    Argument,
    Attempt,
    Institution,
    Outcome,
    RowStatus,
    Stop,
    part_name,
)
from bulkcast.pipeline import run as single
from bulkcast.pipeline import run_creation as creation
from bulkcast.pipeline import run_group
from bulkcast.pipeline.execution import Control, Parts, Watch
from bulkcast.pipeline.group_progress import GroupWatch, PartWatch
from bulkcast.pipeline.options import SendOptions, zone
from bulkcast.pipeline.preparation import (
    Prepared,
    PreparedRun,
    one_spelling,
    require_free,
)
from bulkcast.pipeline.result_sheet import RunReport, report, resumed_place, with_sheet
from bulkcast.pipeline.sheet_parts import Members, Part, home_of
from bulkcast.pipeline.validation import fingerprint

_PARTS: Final = Parts()
_NOBODY: Final = Institution("", "")
"""Whose the rows are of a sheet in which no row names an institution."""


# ------------------------------------------------------------------ sending


async def apply_parts(
    run: PreparedRun,
    options: SendOptions | None = None,
    *,
    home: Home | None = None,
    control: Control | None = None,
    watch: Watch | None = None,
    parts: Parts = _PARTS,
) -> RunReport:
    """Send the parts of a sheet side by side, and write the result sheet with every row's outcome.

    Where nothing can be sent for an institution, its rows end `not_sent` with the reason, and the
    others are sent.  `home` is where the ledger lies; None for where that of the institutions does.

    Raises:
        CannotStart: the sheet has changed since it was read, or the result sheet cannot be
            written; nothing was sent.

    """
    options, control = options or SendOptions(), control or Control()
    whole = run.prepared
    home = home or home_of({part.profile: part.config for part in run.parts if part.config})
    if isinstance(home, SharedHome):
        from bulkcast.pipeline import submission

        return await submission.apply(
            run, home, options, user=_user_of(run), control=control, watch=watch, wall=parts.wall
        )
    started = parts.wall()
    group = creation.new_name(started, zone(whole.options.tz), is_sandbox=is_rehearsed(run))
    target = creation.target_of(whole, options, group)
    _require_same(whole)
    is_held = options.on_invalid == "stop" and bool(whole.invalid)
    named = numbered(run, group, started, target, emptied=is_held)
    watches = GroupWatch(watch, [new.run for _, new in named])
    gate = _Gate(group, control, len(named))
    sending = [
        _Sending(part, new, home, options, control.child(), watches.of(new.run), parts, gate)
        for part, new in named
    ]
    with parts.ledger(home) as ledger:
        found = await _side_by_side([each.carry_out() for each in sending])
        done = summed_up(ledger, group, found, replace(options, results=target))
    return replace(done, issues=whole.checked.issues, ignored_columns=whole.ignored_columns)


def _user_of(run: PreparedRun) -> str:
    """Who sends a sheet, for the list of actions of a shared ledger."""
    configs = (part.member.config for part in run.parts if part.member)
    return next((config.user for config in configs if config), "")


def numbered(
    run: PreparedRun, group: str, started: float, target: Path, *, emptied: bool
) -> list[tuple[Part, creation.NewRun]]:
    """The parts of a sheet with the runs that they become; `emptied` if nothing is to be sent."""
    return [
        (
            replace(part, prepared=creation.emptied(part.prepared)) if emptied else part,
            creation.NewRun(part_name(group, n), started, target, group, part.profile),
        )
        for n, part in enumerate(run.parts, 1)
    ]


def is_rehearsed(run: PreparedRun) -> bool:
    """Whether any of it goes to a sandbox."""
    configs = [run.config, *(part.member.config for part in run.parts if part.member)]
    return any(config is not None and config.credentials.is_sandbox for config in configs)


def _require_same(prepared: Prepared) -> None:
    """Refuse a sheet that has changed since it was read, before any part is sent."""
    if prepared.cells is None and fingerprint(prepared.path) != prepared.sha256:
        raise CannotStart("{path} has changed since it was read; run it again", path=prepared.path)


_INTERRUPTED: Final = 130


class _Gate:
    """Lets nobody through before all have arrived; then says that the group has begun."""

    def __init__(self, group: str, control: Control, n: int) -> None:
        self._group = group
        self._control = control
        self._wanted = n
        self._here: set[str] = set()
        self._sent: list[str] = []
        self._open = asyncio.Event()

    def arrive(self, run: str) -> None:
        """Note that a run is stored, or will never be."""
        self._here.add(run)
        if len(self._here) == self._wanted and not self._open.is_set():
            self._open.set()
            self._control.sent = tuple(self._sent)
            self._control.begun(self._group)

    async def through(self, run: str, control: Control) -> None:
        """Arrive with a run that is sent, and wait until every other is stored, too.

        So a crash loses no row of the sheet.  A cancellation meanwhile ends the run as a stop does.
        """
        self._sent.append(run)
        self.arrive(run)
        try:
            await self._open.wait()
        except asyncio.CancelledError:
            control.stop(_INTERRUPTED)


@dataclass(frozen=True, slots=True)
class _Sending:
    """A part that is about to be sent."""

    part: Part
    new: creation.NewRun
    home: Home
    options: SendOptions
    control: Control
    watch: PartWatch
    parts: Parts
    gate: _Gate

    async def carry_out(self) -> RunReport:
        """Send the part; where that cannot begin, store its rows as not sent."""
        try:
            return await self._carry_out()
        finally:
            self.watch.end()
            self.gate.arrive(self.new.run)

    async def _carry_out(self) -> RunReport:
        member, prepared = self.part.member, self.part.prepared
        if not prepared.plan.requests:
            return await self._store(None)
        if member is None or member.config is None or self.part.problem:
            why = self.part.problem or CannotStart("it has no credentials")
            return await self._store(_stop(self.new.profile, why))
        try:
            return await single.send(
                prepared, member.config, self.options, self.new,
                control=self.control, watch=self.watch, parts=self.parts,
                stored=lambda: self.gate.through(self.new.run, self.control),
            )  # fmt: skip
        except InstitutionBusy as exc:
            return await self._store(_stop(self.new.profile, exc))
        except CannotStart as exc:
            stop = _stop(self.new.profile, exc, "run.not_begun")
            return await self._store(stop, doubted=True)

    async def _store(self, stop: Stop | None, *, doubted: bool = False) -> RunReport:
        """Store the part as a run that has sent nothing.

        `doubted` if rows that would have been skipped as unchanged may have changed.
        """
        institution = self.part.member.institution if self.part.member else _NOBODY
        header = creation.header_of(
            self.part.prepared, institution, self.new, name=self.options.name
        )
        prepared = self.part.prepared
        outcome = Outcome(RowStatus.NOT_SENT, stop.code, stop.args) if stop else None
        if outcome and doubted:
            settled = {
                row: outcome if out.status is RowStatus.UNCHANGED else out
                for row, out in prepared.plan.settled.items()
            }
            prepared = replace(prepared, plan=replace(prepared.plan, settled=settled))
        with self.parts.ledger(self.home) as ledger:
            creation.freeze(ledger, header, prepared)
            if outcome:
                ended = [
                    Attempt(request.key, 0, 0.0, "", ambiguous=False, outcome=outcome)
                    for request in prepared.plan.requests
                ]
                with ledger.journal(header.run) as journal:
                    await journal.record(ended)
            ledger.finish(header.run, stop, self.parts.wall())
            return report(
                ledger, header.run, self.options, stop=stop, requests=0, elapsed_s=0.0, remarks=()
            )


def _stop(profile: str, why: BulkcastError, code: str = "run.no_access") -> Stop:
    """Why nothing was sent for an institution."""
    args: dict[str, Argument] = {"profile": profile, "why": why.text}
    if isinstance(why, InstitutionBusy):
        return Stop("busy", "run.busy", args, exit_status=4)
    return Stop("guard" if code == "run.not_begun" else "credentials", code, args)


async def _side_by_side(jobs: Sequence[Coroutine[Any, Any, RunReport]]) -> list[RunReport]:
    """Carry out all jobs, each to its end; a cancellation goes to each, and is answered by each.

    Raises:
        Exception: a job failed; the others have ended.

    """
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        await asyncio.wait(tasks)
    except asyncio.CancelledError:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    return [task.result() for task in tasks]


def summed_up(
    ledger: Ledger, group: str, found: Sequence[RunReport], options: SendOptions
) -> RunReport:
    """One report of all parts, with the sheet."""
    header = run_group.header_of(group, [ledger.newest(each.run).header for each in found])
    summed = RunReport(
        run=group,
        input=found[0].input,
        requests=sum(each.requests for each in found),
        elapsed_s=max(each.elapsed_s for each in found),
        results=None,
        stop=run_group.gravest(each.stop for each in found),
        exit_status=run_group.worst(each.exit_status for each in found),
        rows=tuple(sorted((row for each in found for row in each.rows), key=lambda r: r.row)),
        remarks=tuple(dict.fromkeys(remark for each in found for remark in each.remarks)),
        tz=found[0].tz,
        parts=tuple(found),
    )
    return with_sheet(ledger, header, summed, options, sealed=found[0].run)


# ------------------------------------------------------------------ resuming


def is_group(home: Home, run: str) -> bool:
    """Whether `run` stands for a group of runs, or for one of a group."""
    with open_ledger(home) as ledger:
        found = run_group.named(ledger, run)
        return bool(found.parts or ledger.newest(found.run).header.group)


def profiles_of(home: Home, run: str) -> tuple[str, ...]:
    """The institutions of a group of runs, or of one part, of which rows are left to send."""
    with open_ledger(home) as ledger:
        names = run_group.named(ledger, run).names
        return tuple(ledger.newest(name).header.profile for name in names if ledger.left(name))


async def resume_parts(
    home: Home,
    members: Members,
    run: str = "",
    options: SendOptions | None = None,
    *,
    control: Control | None = None,
    watch: Watch | None = None,
    parts: Parts = _PARTS,
) -> RunReport:
    """Send what was not sent or not confirmed of a group, or of one of its parts.

    The result sheet is that of the group.

    Raises:
        CannotStart: there is no such run, it is of no group, it was purged, or there are no
            credentials for any institution of which rows are left.
        InstitutionBusy: other runs hold all of those.

    """
    options, control = options or SendOptions(), control or Control()
    with parts.ledger(home) as ledger:
        asked = run_group.named(ledger, run)
        records = _records_of_group(ledger, asked)
        place, remarks = resumed_place(ledger, records[0].header, options.results)
        options = replace(options, existing="replace", results=place)
        if isinstance(home, SharedHome):
            from bulkcast.pipeline import submission

            done = await submission.resume(
                home, asked.run, options,
                user=_user(members, records), control=control, watch=watch,
            )  # fmt: skip
        else:
            resuming = _Resuming(ledger, members, options, parts)
            done = await resuming.side_by_side(asked, records, control, watch)
        return replace(done, remarks=(*done.remarks, *remarks))


def _records_of_group(ledger: Ledger, asked: run_group.RunGroup) -> list[RunRecord]:
    """All runs of the group that `asked` is or is of.

    Raises:
        CannotStart: it is of no group, or one of them was purged.

    """
    header = ledger.newest(asked.names[0]).header
    if not header.group:
        raise CannotStart(
            "the rows of run {run} name no institutions; give it the one that it was for",
            run=header.run,
        )
    whole = run_group.named(ledger, header.group)
    records = [ledger.newest(name) for name in whole.names]
    for record in records:
        if record.purged_at is not None:
            ledger.load(record.header.run)  # raises that it was purged
    return records


def _user(members: Members, records: Sequence[RunRecord]) -> str:
    """Who resumes a group, for the list of actions; empty if no institution has credentials."""
    configs = [members(record.header.profile).config for record in records]
    return next((found.user for found in configs if found), "")


async def resume_part(
    header: RunHeader,
    config: Config,
    options: SendOptions | None,
    *,
    control: Control | None,
    watch: Watch | None,
    parts: Parts,
) -> RunReport:
    """The same for one part, with the configuration of its institution; returns its own report."""
    member = Member(header.profile, config.institution, config)
    done = await resume_parts(
        config.ledger_home, lambda _: member, header.run, options,
        control=control, watch=watch, parts=parts,
    )  # fmt: skip
    own = next(part for part in done.parts if part.run == header.run)
    return replace(own, results=done.results, remarks=done.remarks)


@dataclass(frozen=True, slots=True)
class _Resuming:
    ledger: Ledger
    members: Members
    options: SendOptions
    parts: Parts

    async def side_by_side(
        self,
        asked: run_group.RunGroup,
        records: Sequence[RunRecord],
        control: Control,
        watch: Watch | None,
    ) -> RunReport:
        """Send what is left of `asked`, and report the group, whose runs are `records`.

        Raises:
            CannotStart, InstitutionBusy: nothing can be sent for any institution.

        """
        ready = {
            each.header.run: self.config_of(each)
            for each in records
            if each.header.run in asked.names and self.ledger.left(each.header.run)
        }
        problems = [why for why in ready.values() if isinstance(why, BulkcastError)]
        if problems and len(problems) == len(ready):
            raise problems[0]
        watches = GroupWatch(watch, [each.header.run for each in records])
        gate = _Gate(asked.run, control, len(records))
        found = await _side_by_side(
            [
                self.carry_out(
                    each,
                    ready.get(each.header.run),
                    control.child(),
                    watches.of(each.header.run),
                    gate,
                )
                for each in records
            ]
        )
        return summed_up(self.ledger, records[0].header.group, found, self.options)

    def config_of(self, record: RunRecord) -> Config | BulkcastError:
        """The configuration for a part as it is now, or why nothing can be sent for it."""
        header = record.header
        try:
            member = self.members(header.profile)
            if member.config is None:
                return member.problem or CannotStart("it has no credentials")
            config = replace(member.config, institution=one_spelling(member.institution))
            single.require_own(header, config)
            require_free(config.home, config.institution)
        except (CannotStart, InstitutionBusy) as exc:
            return exc
        return config

    async def carry_out(
        self,
        record: RunRecord,
        config: Config | BulkcastError | None,
        control: Control,
        watch: PartWatch,
        gate: _Gate,
    ) -> RunReport:
        """Send what is left of a part; with None nothing is, or it was not asked for."""
        run = record.header.run
        try:
            return await self._carry_out(
                record, config, control, watch, lambda: gate.through(run, control)
            )
        finally:
            watch.end()
            gate.arrive(run)

    async def _carry_out(
        self,
        record: RunRecord,
        config: Config | BulkcastError | None,
        control: Control,
        watch: PartWatch,
        stored: Callable[[], Awaitable[None]],
    ) -> RunReport:
        if config is None:
            return self._as_it_is(record, record.stop)
        if isinstance(config, BulkcastError):
            return self._as_it_is(record, _stop(record.header.profile, config))
        try:
            return await single.go_on(
                self.ledger, record, config, self.options,
                control=control, watch=watch, parts=self.parts, stored=stored,
            )  # fmt: skip
        except InstitutionBusy as exc:
            return self._as_it_is(record, _stop(record.header.profile, exc))

    def _as_it_is(self, record: RunRecord, stop: Stop | None) -> RunReport:
        return report(
            self.ledger, record.header.run, self.options,
            stop=stop, requests=0, elapsed_s=0.0, remarks=(),
        )  # fmt: skip
