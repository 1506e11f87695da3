"""What a command was asked, as typed values, and for whom it runs.

click's parameters are taken apart here and nowhere else.
"""

import os
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import click

from bulkcast import pipeline
from bulkcast.arguments import Series
from bulkcast.cli.console import Output, output
from bulkcast.cli.exit_status import keep_out_of_logs, without_password
from bulkcast.cli.language import tr
from bulkcast.errors import CannotStart
from bulkcast.loader import ReadOptions
from bulkcast.notification import Recipients, recipients
from bulkcast.pipeline import PlanOptions, Selection, SendOptions, SheetOptions

if TYPE_CHECKING:
    from bulkcast.config import Config, Member
    from bulkcast.home import Home, SharedHome
    from bulkcast.pipeline import Members
    from bulkcast.sandbox import World

Parameters = Mapping[str, Any]
"""The options of a command by their parameters' names, as click parsed them."""

DATABASE: Final = "BULKCAST_DATABASE"

T = TypeVar("T")

Existing = Literal["refuse", "replace"]
"""What to do if the file to write exists."""


@dataclass(frozen=True, slots=True)
class Destination:
    """For whom a run is."""

    sandbox: bool
    profile: str | None = None
    world: Path | None = None
    """What the sandbox plays."""


@dataclass(frozen=True, slots=True)
class PlanCommand:
    """What `plan` was asked."""

    sheet: SheetOptions
    selection: Selection
    recall: PlanOptions
    rate: float
    """Requests per second."""
    destination: Destination
    out: Path | None
    """Where the plan is frozen; None for nowhere."""
    existing: Existing


@dataclass(frozen=True, slots=True)
class ApplyCommand:
    """What `apply` or `resubmit` was asked."""

    sheet: SheetOptions
    selection: Selection
    recall: PlanOptions
    send: SendOptions
    destination: Destination
    yes: bool
    dry_run: bool
    lists_all: bool
    max_changes: tuple[float, Literal["rows", "%"]] | None
    """The most rows to send, or the most of the sheet's in percent."""
    approve: str | None
    """The fingerprint of a plan that `max_changes` held."""
    recipients: Recipients
    detach: bool = False
    """Whether to hand the run in to a fleet, without waiting for its end."""


# ------------------------------------------------------------------ of click's parameters


def plan_command(given: Parameters) -> PlanCommand:
    """What `plan` was asked.

    Raises:
        CannotStart: --rate is no rate.

    """
    from bulkcast.pacing import parse_rate

    return PlanCommand(
        sheet=sheet_options(given),
        selection=_selection(given),
        recall=_plan_options(given),
        rate=parse_rate(given["rate"]),
        destination=destination(given),
        out=given["out"],
        existing=existing(given),
    )


def apply_command(given: Parameters) -> ApplyCommand:
    """What `apply` or `resubmit` was asked.

    Raises:
        CannotStart: --rate is no rate.

    """
    return ApplyCommand(
        sheet=sheet_options(given),
        selection=_selection(given),
        recall=_plan_options(given),
        send=send_options(given),
        destination=destination(given),
        yes=given["yes"],
        dry_run=given["dry_run"],
        lists_all=given["all_"],
        max_changes=given["max_changes"],
        approve=given["approve"],
        recipients=recipients_of(given),
        detach=given["detach"],
    )


def output_of(given: Parameters) -> Output:
    """How the command speaks."""
    return output(as_json=given["as_json"], quiet=given["quiet"], verbose=given["verbose"])


def destination(given: Parameters) -> Destination:
    """For whom the run is; not every command has all three options."""
    return Destination(
        sandbox=given.get("sandbox", False),
        profile=given.get("profile"),
        world=given.get("world"),
    )


def sheet_options(given: Parameters) -> SheetOptions:
    """How the sheet is read and checked."""
    return SheetOptions(
        read=read_options(given),
        tz=given["tz"],
        duplicates=given["duplicates"],
        strict=given["strict"],
        profiles=_profiles,
    )


def _profiles() -> frozenset[str] | None:
    from bulkcast import config as configuration

    return configuration.profile_names(os.environ)


def read_options(given: Parameters) -> ReadOptions:
    """How the sheet is read."""
    return ReadOptions(
        tab=given["tab"],
        encoding=given["encoding"],
        delimiter=given["delimiter"],
        mapping=dict(given["mapping"]),
        hidden=given["hidden"],
    )


def _selection(given: Parameters) -> Selection:
    """`resubmit` has no --only."""
    return Selection(statuses=given.get("only"), rows=given["rows"], limit=given["limit"])


def _plan_options(given: Parameters) -> PlanOptions:
    """How what the ledger knows changes the plan."""
    return PlanOptions(
        unchanged="skip" if given["changed_only"] else "send",
        once_locked="send_free" if given["send_free"] else "refuse",
    )


def send_options(given: Parameters) -> SendOptions:
    """How to send; `resume` has no --on-invalid.

    Raises:
        CannotStart: --rate is no rate.

    """
    from bulkcast.pacing import parse_rate

    return SendOptions(
        rate=parse_rate(given["rate"]),
        concurrency=given["concurrency"],
        timeout=given["timeout"],
        max_outage_s=given["max_outage"],
        on_invalid=given.get("on_invalid", "skip"),
        results=given["results"],
        existing=existing(given),
        lang=given["lang"],
    )


def recipients_of(given: Parameters) -> Recipients:
    """Who is told when a run ends.

    Raises:
        CannotStart: --notify-command or --webhook is not valid.

    """
    return recipients(given["notify_command"], given["webhook"])


def existing(given: Parameters) -> Existing:
    """What --force says."""
    return "replace" if given["force"] else "refuse"


# ------------------------------------------------------------------ as typed


OF_READING: Final = ("tab", "mapping", "hidden", "delimiter", "duplicates", "strict", "tz")
"""Options for reading a sheet and its result sheet, whose encoding is always known."""

OF_SHEET: Final = (*OF_READING, "encoding")
OF_RUN: Final = ("profile", "sandbox", "world", "database")
"""Options that choose the institution of a run."""


def typed(*names: str) -> Iterator[str]:
    """The options as typed, to be repeated in the next command for the same sheet."""
    context = click.get_current_context()
    for option in context.command.params:
        if option.name in names and context.get_parameter_source(option.name) is _TYPED:
            value = context.params[option.name]
            shown = without_password(value) if option.name == "database" else value
            yield from _spelled(option.opts[0], shown)


_TYPED: Final = click.core.ParameterSource.COMMANDLINE


def _spelled(option: str, value: object) -> Iterator[str]:
    match value:
        case bool():
            yield option
        case tuple():
            for header, key in value:
                yield from (option, f"{header}={key}")
        case _:
            yield from (option, str(value))


def require_plain(sheet: SheetOptions, selection: Selection, recall: PlanOptions) -> None:
    """Refuse options for reading and selecting beside a plan file, which fixes them.

    Raises:
        UsageError: such an option was given.

    """
    if sheet != SheetOptions() or selection != Selection() or recall != PlanOptions():
        raise click.UsageError(
            tr(
                "a plan is sent as it is: how the sheet is read, which rows are sent and what is"
                " skipped are chosen when it is made, with `bulkcast plan`"
            )
        )


# ------------------------------------------------------------------ for whom


def environ() -> Mapping[str, str]:
    """The environment, with the database that --database names."""
    current = click.get_current_context(silent=True)
    while current:
        url = (current.params.get("database") or "").strip()
        if url:
            return {**os.environ, DATABASE: url}
        current = current.parent
    return os.environ


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """Await `work`; with a database, in a loop that psycopg accepts on Windows too."""
    import asyncio

    factory = asyncio.SelectorEventLoop if environ().get(DATABASE) else None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)


def home(destination: Destination) -> "Home":
    """The home folder of the runs, with their ledger; a rehearsal's is never a shared one."""
    from bulkcast import config as configuration

    return folder(destination) if destination.sandbox else configuration.ledger_home(environ())


def folder(destination: Destination) -> Path:
    """The home folder of the runs."""
    from bulkcast import config as configuration

    found = configuration.home(os.environ)
    return found / configuration.SANDBOX_FOLDER if destination.sandbox else found


def fleet() -> "SharedHome":
    """The home folder, with the database of the fleet.

    Raises:
        CannotStart: no database is given.

    """
    from bulkcast.home import SharedHome

    found = home(Destination(sandbox=False))
    if isinstance(found, SharedHome):
        return found
    raise CannotStart(
        "that is done in a fleet: name its database with BULKCAST_DATABASE or --database, such as"
        " postgresql://user@host/name"
    )


def located(run: str, destination: Destination) -> tuple[str, Destination]:
    """The run meant, and the destination with --sandbox where it was a rehearsal.

    Raises:
        CannotStart: the name is ambiguous between real runs and rehearsals.

    """
    if destination.sandbox or not run:
        return run, destination
    real = pipeline.runs_called(home(destination), run)
    tried = pipeline.runs_called(home(replace(destination, sandbox=True)), run)
    if run in real or not tried:
        return run, destination
    if real and run not in tried:
        raise CannotStart(
            "several runs are called {run}: {runs}; give more of the name",
            run=run,
            runs=Series((*real, *tried)[:_NAMED_MOST]),
        )
    context = click.get_current_context()
    context.params["sandbox"] = True  # so that the next command has it, too
    context.set_parameter_source("sandbox", _TYPED)
    return run, replace(destination, sandbox=True)


_NAMED_MOST: Final = 3


def config(destination: Destination) -> "Config":
    """The institution to send for; the sandbox's has no address yet, see `connected`.

    Raises:
        CannotStart: the configuration is incomplete or wrong.

    """
    if not destination.sandbox:
        from bulkcast import config as configuration

        found = configuration.load(environ(), profile=destination.profile)
        keep_out_of_logs(found.credentials.secret)
        return found
    if destination.profile:
        raise click.UsageError(tr("--sandbox takes no --profile: it has credentials of its own"))
    from bulkcast.sandbox.rehearsal import config_of

    return config_of(_world(destination).sid, folder(destination))


@asynccontextmanager
async def connected(config: "Config", destination: Destination) -> "AsyncIterator[Config]":
    """`config`, or with --sandbox that of a sandbox which serves while the block runs.

    The sandbox has its own credentials; the environment's are not read.  It keeps the changes of
    earlier sandboxes under the same home.
    """
    if not destination.sandbox:
        yield config
        return
    from bulkcast.sandbox.rehearsal import rehearsing

    async with rehearsing(config, _world(destination)) as found:
        yield found


def members(destination: Destination) -> "Members":
    """Finds the institutions that a sheet names; a sandbox plays any.

    With --profile it refuses, as the sheet says for whom each row is.
    """
    from bulkcast import config as configuration

    def find(profile: str) -> "Member":
        if destination.profile:
            raise click.UsageError(
                tr("the rows say for which institution each is: leave out --profile")
            )
        if destination.sandbox:
            from bulkcast.sandbox.rehearsal import played

            return played(profile, folder(destination), os.environ)
        found = configuration.member(environ(), profile)
        if found.config:
            keep_out_of_logs(found.config.credentials.secret)
        return found

    return find


@asynccontextmanager
async def connected_members(
    profiles: Iterable[str], destination: Destination
) -> "AsyncIterator[Members]":
    """The institutions of `profiles`, with --sandbox each with a sandbox that serves meanwhile."""
    find = members(destination)
    if not destination.sandbox:
        yield find
        return
    from bulkcast.sandbox.rehearsal import rehearsing_all

    async with rehearsing_all(profiles, find, _world(destination)) as found:
        yield found


def _world(destination: Destination) -> "World":
    from bulkcast.sandbox import World, read_world

    return read_world(destination.world) if destination.world else World()
