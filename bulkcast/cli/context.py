"""From parsed options to the values that use cases take; redacts what libraries log."""

import hashlib
import logging
import os
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from bulkcast import config as configuration
from bulkcast.cli.language import tr
from bulkcast.config import Config
from bulkcast.errors import CannotStart
from bulkcast.loader import ReadOptions
from bulkcast.model import SANDBOX_SECRET, Credentials, Institution, Secret
from bulkcast.pacing import parse_rate
from bulkcast.pipeline import PlanOptions, Selection, SendOptions, SheetOptions, runs_called

_SIGNATURE: Final = re.compile(r"(?<![0-9A-Za-z])[0-9a-f]{32}(?![0-9A-Za-z])")
_HIDDEN: Final = "•••"
_LEAST_SECRET: Final = 4


class LogRedaction(logging.Filter):
    """Lets every record pass, but not everything in it."""

    def __init__(self) -> None:
        super().__init__()
        self._secrets: set[str] = set()

    def learn(self, secret: Secret) -> None:
        """Never let `secret` be shown from now on; a very short one would tear up every word."""
        if len(secret.reveal()) >= _LEAST_SECRET:
            self._secrets.add(secret.reveal())

    def filter(self, record: logging.LogRecord) -> bool:
        """Leave of a record its sentence, redacted, and the name of what was raised."""
        raised = record.exc_info[0] if record.exc_info else None
        told = f"{record.getMessage()} ({raised.__name__})" if raised else record.getMessage()
        record.msg, record.args = self.redacted(told), ()
        record.exc_info = record.exc_text = record.stack_info = None
        return True

    def redacted(self, text: str) -> str:
        """`text` in one line, with every known secret and whatever looks like a signature hidden.

        >>> LogRedaction().redacted("signed 4f97f55addf4921a05c2395617cd8a7b, sent")
        'signed •••, sent'
        """
        for secret in self._secrets:
            text = text.replace(secret, _HIDDEN)
        return _SIGNATURE.sub(_HIDDEN, " ".join(text.split()))


_FILTER: Final = LogRedaction()


def keep_out_of_logs(secret: Secret) -> None:
    """Whatever is logged from now on, and has no handler of its own, is shown without `secret`."""
    _FILTER.learn(secret)
    if logging.lastResort and _FILTER not in logging.lastResort.filters:
        logging.lastResort.addFilter(_FILTER)


if TYPE_CHECKING:
    from bulkcast.sandbox import World

Given = Mapping[str, Any]
"""The options of a command by their parameters' names, as click parsed them."""

SANDBOX_HOME: Final = "sandbox"
"""The folder under BULKCAST_HOME for what was only tried out: never mixed with real runs."""


OF_READING: Final = ("tab", "mapping", "hidden", "delimiter", "duplicates", "strict", "tz")
"""Options that a sheet and its result sheet are read with; that one's encoding is always known."""

OF_SHEET: Final = (*OF_READING, "encoding")
OF_RUN: Final = ("profile", "sandbox", "world")
"""Options that say for whom a run is."""


def typed(*names: str) -> Iterator[str]:
    """Options of this command as they were typed: a next one has to mean the same by the sheet."""
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


def sheet_options(given: Given) -> SheetOptions:
    """How the sheet is to be read and checked."""
    return SheetOptions(
        read=read_options(given),
        tz=given["tz"],
        duplicates=given["duplicates"],
        strict=given["strict"],
    )


def read_options(given: Given) -> ReadOptions:
    """How the sheet is to be read."""
    return ReadOptions(
        tab=given["tab"],
        encoding=given["encoding"],
        delimiter=given["delimiter"],
        mapping=dict(given["mapping"]),
        hidden=given["hidden"],
    )


def selection(given: Given) -> Selection:
    """Which rows are meant."""
    return Selection(statuses=given.get("only"), rows=given["rows"], limit=given["limit"])


def send_options(given: Given) -> SendOptions:
    """How it is to be sent, and where the result sheet goes.

    Raises:
        CannotStart: --rate is no rate.

    """
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


def plan_options(given: Given) -> PlanOptions:
    """How what the ledger knows changes the plan."""
    return PlanOptions(
        unchanged="skip" if given["changed_only"] else "send",
        once_locked="send_free" if given["send_free"] else "refuse",
    )


def remembers(given: Given) -> bool:
    """Whether an option asks for what was acknowledged before."""
    return bool(given["changed_only"] or given["send_free"])


def require_plain(given: Given) -> None:
    """A plan file says itself what is read, chosen and skipped.

    Raises:
        UsageError: an option says so, too.

    """
    asked = sheet_options(given) != SheetOptions() or selection(given) != Selection()
    if asked or remembers(given):
        raise click.UsageError(
            tr(
                "a plan is sent as it is: how the sheet is read, which rows are sent and what is"
                " skipped are chosen when it is made, with `bulkcast plan`"
            )
        )


def existing(given: Given) -> Any:
    """What to do where the file to write exists."""
    return "replace" if given["force"] else "refuse"


def home(given: Given) -> Path:
    """Where the runs meant are kept."""
    folder = configuration.home(os.environ)
    return folder / SANDBOX_HOME if given.get("sandbox") else folder


def located(run: str, given: Given) -> tuple[str, Given]:
    """The run meant, and the options with --sandbox where it was a rehearsal.

    Raises:
        CannotStart: several runs are so called, of which some were rehearsals.

    """
    if given["sandbox"] or not run:
        return run, given
    real = runs_called(home(given), run)
    tried = runs_called(home(given) / SANDBOX_HOME, run)
    if run in real or not tried:
        return run, given
    if real and run not in tried:
        raise CannotStart(
            "several runs are called {run}: {runs}; give more of the name",
            run=run,
            runs=", ".join([*real, *tried][:_NAMED_MOST]),
        )
    context = click.get_current_context()
    context.params["sandbox"] = True  # so that a next command has it, too
    context.set_parameter_source("sandbox", _TYPED)
    return run, {**given, "sandbox": True}


_NAMED_MOST: Final = 3


def config(given: Given) -> Config:
    """The institution to send for; the sandbox's has no address yet, see `connected`.

    Raises:
        CannotStart: something of it is missing or wrong.

    """
    if not given["sandbox"]:
        found = configuration.load(os.environ, profile=given["profile"])
        keep_out_of_logs(found.credentials.secret)
        return found
    if given["profile"]:
        raise click.UsageError(tr("--sandbox takes no --profile: it has credentials of its own"))
    return sandbox_config(_world(given).sid, home(given))


@asynccontextmanager
async def connected(config: Config, given: Given) -> AsyncIterator[Config]:
    """`config`, with --sandbox that of a sandbox which stands while the block runs.

    The sandbox has its own credentials: those of the environment are not even read for it.  It
    goes on from where the last one under the same home ended.
    """
    if not given["sandbox"]:
        yield config
        return
    from bulkcast.sandbox import Keeper, Sandbox

    keeper = Keeper(config.home / WORLD.format(sid=config.institution.sid))
    sandbox = Sandbox(_world(given), secret=SANDBOX_SECRET, keeper=keeper)
    async with sandbox.serving() as root_url:
        yield replace(config, address=root_url)


WORLD: Final = "world-{sid}.jsonl"
"""Where an embedded sandbox keeps what it was told, beside its runs."""


def _world(given: Given) -> "World":
    from bulkcast.sandbox import World, read_world

    return read_world(given["world"]) if given["world"] else World()


def sandbox_config(sid: str, home: Path, address: str = "") -> Config:
    """What to send to a sandbox with that has its runs in `home`.

    Its port is another one each time, and it is the same institution all the same.
    """
    mark = hashlib.sha256(os.fspath(home.absolute()).encode("utf-8", "surrogateescape")).hexdigest()
    institution = Institution(f"https://sandbox-{mark[:8]}.localhost", sid)
    return Config(institution, Credentials(sid, SANDBOX_SECRET), home, address=address)


def resubmitted(given: Given) -> Given:
    """The same, with the rows that `resubmit` is for."""
    from bulkcast.pipeline import RESUBMITTED

    return {**given, "only": RESUBMITTED}
