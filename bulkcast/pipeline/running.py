"""Freeze a plan, send it, go on with it; what is claimed is read back from the ledger."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bulkcast.config import Config
from bulkcast.derive import local_time
from bulkcast.errors import CannotStart
from bulkcast.ledger import Ledger, Steady, claim
from bulkcast.model import is_rehearsal
from bulkcast.pipeline.believing import require_as_done
from bulkcast.pipeline.dispatching import Doors, Left, carry_out, own_clock
from bulkcast.pipeline.freezing import freeze, header_of, held_back, new_name, target_of
from bulkcast.pipeline.overtaking import without_overtaken
from bulkcast.pipeline.parts import PARTS, Parts
from bulkcast.pipeline.preparing import zone
from bulkcast.pipeline.remembering import one_spelling, require_unchanged
from bulkcast.pipeline.reporting import as_told, resumed_place
from bulkcast.pipeline.values import Control, Prepared, RunReport, SendOptions, Watch


async def apply(
    prepared: Prepared,
    config: Config,
    options: SendOptions | None = None,
    *,
    control: Control | None = None,
    watch: Watch | None = None,
    wall: Callable[[], float] = time.time,
    parts: Parts = PARTS,
    steady: Steady | None = None,
) -> RunReport:
    """Send a prepared sheet and hand it back with every row's outcome.

    `steady` is a clock that nobody sets, for another `wall` than this computer's.

    Raises:
        InstitutionBusy: another run holds the institution.
        CannotStart: the sheet changed since it was read, or the results cannot go where they
            should; nothing was sent.

    """
    options = options or SendOptions()
    started = wall()
    run = new_name(started, zone(prepared.options.tz), is_sandbox=config.credentials.is_sandbox)
    target = target_of(prepared, options, run)
    config = replace(config, institution=one_spelling(config.institution))
    prepared = held_back(prepared, options)
    with parts.ledger(config.home) as ledger:
        since = _told(started, prepared.options.tz)
        with claim(
            config.home, config.institution, run=run, since=since, state=config.state
        ) as sends:
            require_unchanged(ledger, config.institution, prepared)
            require_as_done(ledger, config, prepared)
            prepared = without_overtaken(ledger, config.institution, prepared)
            header = header_of(prepared, config, run=run, created_at=started, target=target)
            freeze(ledger, header, prepared)
            left = Left(prepared.plan.requests, {})
            doors = Doors(
                control or Control(), watch, wall, steady or own_clock(wall), parts, sends
            )
            done = await carry_out(ledger, run, left, config, options, doors)
            return replace(
                done,
                issues=prepared.checked.issues,
                ignored_columns=prepared.ignored_columns,
            )


async def resume(
    config: Config,
    run: str = "",
    options: SendOptions | None = None,
    *,
    control: Control | None = None,
    watch: Watch | None = None,
    wall: Callable[[], float] = time.time,
    parts: Parts = PARTS,
    steady: Steady | None = None,
) -> RunReport:
    """Go on with a run that ended early: send what was not sent, and what nobody confirmed.

    Raises:
        CannotStart: there is no such run, or it belongs to another institution.
        InstitutionBusy: another run, or this one itself, is under way.

    """
    config = replace(config, institution=one_spelling(config.institution))
    with parts.ledger(config.home) as ledger:
        record = ledger.newest(run)
        header = record.header
        is_away = header.institution != config.institution
        if is_away and is_rehearsal(header.run) and not config.credentials.is_sandbox:
            raise CannotStart(
                "run {run} is a rehearsal: ClassIn never got its rows; go on with it with"
                " --sandbox, or send the sheet in earnest with `bulkcast apply`",
                run=header.run,
            )
        if is_away:
            raise CannotStart(
                "run {run} belongs to institution {sid} at {root_url}, the configuration to"
                " institution {other} at {other_url}; choose the other with --profile",
                run=header.run,
                sid=header.institution.sid,
                root_url=header.institution.root_url,
                other=config.institution.sid,
                other_url=config.institution.root_url,
            )
        options = options or SendOptions()
        place, told = resumed_place(ledger, header, options.results)
        options = replace(options, existing="replace", results=place)
        since = _told(wall(), header.tz)
        with claim(
            config.home, header.institution, run=header.run, since=since, state=config.state
        ) as sends:
            if told_before := as_told(ledger, record, options):
                return replace(told_before, remarks=told)
            clock = steady or own_clock(wall)
            doors = Doors(control or Control(), watch, wall, clock, parts, sends)
            left = Left.of(ledger.load(header.run), ledger.superseded(header.run))
            ledger.reopen(header.run)
            done = await carry_out(ledger, header.run, left, config, options, doors)
            return replace(done, remarks=(*done.remarks, *told))


def left_to_send(home: Path, run: str = "") -> int:
    """How many rows of a run, or of the newest one, were not sent or not confirmed."""
    with Ledger(home) as ledger:
        record = ledger.newest(run)
        if record.purged_at is not None:
            ledger.load(record.header.run)
        return ledger.left(record.header.run)


def _told(at: float, name: str) -> str:
    """A moment as whoever waits for this run is told it: in the time zone of its sheet."""
    return f"{local_time(at, zone(name))} {name}"
