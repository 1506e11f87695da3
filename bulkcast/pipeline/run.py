"""Applies a prepared sheet, and resumes a run that ended early."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Final

from bulkcast.config import Config
from bulkcast.errors import CannotStart
from bulkcast.home import Home, SharedHome
from bulkcast.ledger import Ledger, RunHeader, RunRecord, claim, open_ledger
from bulkcast.messages import local_time
from bulkcast.model import is_rehearsal
from bulkcast.pipeline import run_group
from bulkcast.pipeline.execution import Control, Parts, RemainingWork, RunContext, Watch, carry_out
from bulkcast.pipeline.options import SendOptions, zone
from bulkcast.pipeline.preparation import Prepared, PreparedRun, one_spelling
from bulkcast.pipeline.result_sheet import RunReport, finished_report, resumed_place
from bulkcast.pipeline.run_creation import (
    NewRun,
    as_planned,
    freeze,
    header_of,
    held_back,
    new_name,
    target_of,
)
from bulkcast.pipeline.validation import require_one_institution

_PARTS: Final = Parts()


async def apply(
    prepared: Prepared,
    config: Config,
    options: SendOptions | None = None,
    *,
    control: Control | None = None,
    watch: Watch | None = None,
    parts: Parts = _PARTS,
) -> RunReport:
    """Send a prepared sheet, and write the result sheet with every row's outcome.

    Raises:
        InstitutionBusy: another run holds the institution's lock.
        CannotStart: the sheet has changed since it was read, or the result sheet cannot be
            written; nothing was sent.

    """
    options = options or SendOptions()
    require_one_institution(prepared)
    if isinstance(home := config.ledger_home, SharedHome):
        from bulkcast.pipeline import submission

        return await submission.apply(
            PreparedRun(prepared, config), home, options,
            user=config.user, control=control or Control(), watch=watch, wall=parts.wall,
        )  # fmt: skip
    started, tz = parts.wall(), zone(prepared.options.tz)
    run = new_name(started, tz, is_sandbox=config.credentials.is_sandbox)
    new = NewRun(run, started, target_of(prepared, options, run))
    prepared = held_back(prepared, options)
    return await send(prepared, config, options, new, control=control, watch=watch, parts=parts)


async def send(
    prepared: Prepared,
    config: Config,
    options: SendOptions,
    new: NewRun,
    *,
    control: Control | None,
    watch: Watch | None,
    parts: Parts,
    stored: Callable[[], Awaitable[None]] | None = None,
) -> RunReport:
    """Send the rows of one institution as the run `new`; raises what `apply` does.

    `stored` is awaited once the run is in the ledger, before anything is sent.
    """
    run = new.run
    config = replace(config, institution=one_spelling(config.institution))
    since = _with_zone(new.started, prepared.options.tz)
    with (
        parts.ledger(config.ledger_home) as ledger,
        claim(config.home, config.institution, run=run, since=since, state=config.state) as sends,
    ):
        prepared = as_planned(ledger, prepared, config)
        freeze(ledger, header_of(prepared, config.institution, new, name=options.name), prepared)
        if stored is not None:
            await stored()
        context = RunContext(
            ledger, run, config, options, control or Control(), watch, parts, parts.monotonic(),
            sends,
        )  # fmt: skip
        done = await carry_out(context, RemainingWork(prepared.plan.requests, {}))
        issues, ignored = prepared.checked.issues, prepared.ignored_columns
        return replace(done, issues=issues, ignored_columns=ignored)


async def resume(
    config: Config | Mapping[str, Config],
    run: str = "",
    options: SendOptions | None = None,
    *,
    control: Control | None = None,
    watch: Watch | None = None,
    parts: Parts = _PARTS,
) -> RunReport:
    """Resume a run that ended early: send what was not sent or not confirmed.

    `config` is for whom the run was; for a sheet that named institutions it is those, by name.

    Raises:
        CannotStart: there is no such run, or it belongs to another institution.
        InstitutionBusy: another run, or this run, is under way.

    """
    if isinstance(config, Mapping):
        from bulkcast.pipeline.institutions import resume_parts
        from bulkcast.pipeline.sheet_parts import home_of, members_of

        return await resume_parts(
            home_of(config), members_of(config), run, options,
            control=control, watch=watch, parts=parts,
        )  # fmt: skip
    config = replace(config, institution=one_spelling(config.institution))
    with parts.ledger(config.ledger_home) as ledger:
        record = ledger.newest(run)
        header = record.header
        require_own(header, config)
        if header.group and not isinstance(config.ledger_home, SharedHome):
            from bulkcast.pipeline.institutions import resume_part

            return await resume_part(
                header, config, options, control=control, watch=watch, parts=parts
            )
        place, remarks = resumed_place(ledger, header, (options or SendOptions()).results)
        options = replace(options or SendOptions(), existing="replace", results=place)
        if isinstance(home := config.ledger_home, SharedHome):
            from bulkcast.pipeline import submission

            done = await submission.resume(
                home, header.run, options,
                user=config.user, control=control or Control(), watch=watch,
            )  # fmt: skip
        else:
            done = await go_on(
                ledger, record, config, options, control=control, watch=watch, parts=parts
            )
        return replace(done, remarks=(*done.remarks, *remarks))


async def go_on(
    ledger: Ledger,
    record: RunRecord,
    config: Config,
    options: SendOptions,
    *,
    control: Control | None,
    watch: Watch | None,
    parts: Parts,
    stored: Callable[[], Awaitable[None]] | None = None,
) -> RunReport:
    """Send what is left of a run; raises what `resume` does.

    `stored` is awaited once the run is open again, before anything is sent.
    """
    header = record.header
    since = _with_zone(parts.wall(), header.tz)
    with claim(
        config.home, header.institution, run=header.run, since=since, state=config.state
    ) as sends:
        if finished := finished_report(ledger, record, options):
            return finished
        context = RunContext(
            ledger, header.run, config, options, control or Control(), watch, parts,
            parts.monotonic(), sends,
        )  # fmt: skip
        left = RemainingWork.of(ledger.load(header.run), ledger.superseded(header.run))
        ledger.reopen(header.run)
        if stored is not None:
            await stored()
        return await carry_out(context, left)


def require_own(header: RunHeader, config: Config) -> None:
    """Refuse to resume a run of another institution."""
    if header.institution == config.institution:
        return
    if is_rehearsal(header.run) and not config.credentials.is_sandbox:
        raise CannotStart(
            "run {run} is a rehearsal: ClassIn never got its rows; go on with it with"
            " --sandbox, or send the sheet in earnest with `bulkcast apply`",
            run=header.run,
        )
    raise CannotStart(
        "run {run} belongs to institution {sid} at {root_url}, the configuration to"
        " institution {other} at {other_url}; choose the other with --profile",
        run=header.run,
        sid=header.institution.sid,
        root_url=header.institution.root_url,
        other=config.institution.sid,
        other_url=config.institution.root_url,
    )


def left_to_send(home: Home, run: str = "") -> int:
    """The number of rows of a run, or of the newest one, that were not sent or not confirmed."""
    with open_ledger(home) as ledger:
        names = run_group.named(ledger, run).names
        for name in names:
            if ledger.newest(name).purged_at is not None:
                ledger.load(name)
        return sum(map(ledger.left, names))


def _with_zone(at: float, name: str) -> str:
    """A time as messages show it: in the time zone of the run's sheet."""
    return f"{local_time(at, zone(name))} {name}"
