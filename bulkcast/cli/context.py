"""From parsed options to the values that use cases take."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from bulkcast import config as configuration
from bulkcast import pipeline
from bulkcast.arguments import Series
from bulkcast.cli.command_options import Destination, RecallOptions
from bulkcast.cli.language import tr
from bulkcast.config import Config
from bulkcast.errors import CannotStart
from bulkcast.model import SANDBOX_SECRET, Credentials, Institution
from bulkcast.pipeline import PlanOptions, Selection, SheetOptions

if TYPE_CHECKING:
    from bulkcast.sandbox import World

SANDBOX_HOME: Final = "sandbox"
"""The folder under BULKCAST_HOME for rehearsals, apart from real runs."""


OF_READING: Final = ("tab", "mapping", "hidden", "delimiter", "duplicates", "strict", "tz")
"""Options for reading a sheet and its result sheet, whose encoding is always known."""

OF_SHEET: Final = (*OF_READING, "encoding")
OF_RUN: Final = ("profile", "sandbox", "world")
"""Options that choose the institution of a run."""


def typed(*names: str) -> Iterator[str]:
    """The options as typed, to be repeated in the next command for the same sheet."""
    context = click.get_current_context()
    for option in context.command.params:
        if option.name in names and context.get_parameter_source(option.name) is _TYPED:
            yield from _spelled(option.opts[0], context.params[option.name])


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


def plan_options(recall: RecallOptions) -> PlanOptions:
    """How what the ledger knows changes the plan."""
    return PlanOptions(
        unchanged="skip" if recall.changed_only else "send",
        once_locked="send_free" if recall.send_free else "refuse",
    )


def require_plain(sheet: SheetOptions, selection: Selection, recall: RecallOptions) -> None:
    """Refuse options for reading and selecting beside a plan file, which fixes them.

    Raises:
        UsageError: such an option was given.

    """
    if sheet != SheetOptions() or selection != Selection() or recall.is_asked:
        raise click.UsageError(
            tr(
                "a plan is sent as it is: how the sheet is read, which rows are sent and what is"
                " skipped are chosen when it is made, with `bulkcast plan`"
            )
        )


def home(destination: Destination) -> Path:
    """The home folder of the runs."""
    folder = configuration.home(os.environ)
    return folder / SANDBOX_HOME if destination.sandbox else folder


def located(run: str, destination: Destination) -> tuple[str, Destination]:
    """The run meant, and the destination with --sandbox where it was a rehearsal.

    Raises:
        CannotStart: the name is ambiguous between real runs and rehearsals.

    """
    if destination.sandbox or not run:
        return run, destination
    real = pipeline.runs_called(home(destination), run)
    tried = pipeline.runs_called(home(destination) / SANDBOX_HOME, run)
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


def config(destination: Destination) -> Config:
    """The institution to send for; the sandbox's has no address yet, see `connected`.

    Raises:
        CannotStart: the configuration is incomplete or wrong.

    """
    if not destination.sandbox:
        found = configuration.load(os.environ, profile=destination.profile)
        from bulkcast.cli.log_redaction import keep_out_of_logs

        keep_out_of_logs(found.credentials.secret)
        return found
    if destination.profile:
        raise click.UsageError(tr("--sandbox takes no --profile: it has credentials of its own"))
    return sandbox_config(_world(destination).sid, home(destination))


@asynccontextmanager
async def connected(config: Config, destination: Destination) -> AsyncIterator[Config]:
    """`config`, or with --sandbox that of a sandbox which serves while the block runs.

    The sandbox has its own credentials; the environment's are not read.  It keeps the changes of
    earlier sandboxes under the same home.
    """
    if not destination.sandbox:
        yield config
        return
    from bulkcast.sandbox import Keeper, Sandbox

    keeper = Keeper(config.home / WORLD.format(sid=config.institution.sid))
    sandbox = Sandbox(_world(destination), secret=SANDBOX_SECRET, keeper=keeper)
    async with sandbox.serving() as root_url:
        yield replace(config, address=root_url)


WORLD: Final = "world-{sid}.jsonl"
"""The file in which an embedded sandbox stores changes, beside its runs."""


def _world(destination: Destination) -> "World":
    from bulkcast.sandbox import World, read_world

    return read_world(destination.world) if destination.world else World()


def sandbox_config(sid: str, home: Path, address: str = "") -> Config:
    """The configuration for a sandbox whose runs are in `home`.

    Its port changes each time, but the institution stays the same.
    """
    import hashlib

    mark = hashlib.sha256(os.fspath(home.absolute()).encode("utf-8", "surrogateescape")).hexdigest()
    institution = Institution(f"https://sandbox-{mark[:8]}.localhost", sid)
    return Config(institution, Credentials(sid, SANDBOX_SECRET), home, address=address)
