"""Hands runs in to a fleet, whose workers send them, and follows them until they have ended."""

import asyncio
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from bulkcast import fleet
from bulkcast.config import Config
from bulkcast.errors import BulkcastError, CannotStart
from bulkcast.ledger import RunRecord, Sending, canonical
from bulkcast.ledger.postgres import PostgresLedger
from bulkcast.model import Stop
from bulkcast.pipeline import run as single
from bulkcast.pipeline.execution import Control, Watch
from bulkcast.pipeline.options import SendOptions
from bulkcast.pipeline.preparation import Prepared
from bulkcast.pipeline.result_sheet import RunReport, report
from bulkcast.pipeline.run_overview import RunState, run_state

_LOOK_EVERY_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Submitted:
    """A run that waits for a worker."""

    run: str
    rows: int
    requests: int
    workers: int
    """Workers that have reported lately."""


async def submit(
    prepared: Prepared, config: Config, options: SendOptions, new: "single.NewRun"
) -> None:
    """Store a run and wake its lane.

    Raises:
        CannotStart: the sheet has changed since it was read, or the database cannot be used.

    """
    await asyncio.to_thread(_store, prepared, config, options, new)
    await _hand_in(config, new.run, "submit")


def _store(
    prepared: Prepared, config: Config, options: SendOptions, new: "single.NewRun"
) -> None:
    with PostgresLedger(config.ledger_home) as ledger, ledger.submitting(config.institution):
        sending = sending_of(options, config)
        kept = single.store(ledger, prepared, config, options, new, sending=sending)
        if not kept.plan.requests:
            ledger.finish(new.run, None, new.started)


def sending_of(options: SendOptions, config: Config) -> Sending:
    """What workers need of the options."""
    return Sending(
        rate=None if options.rate == float("inf") else options.rate,
        concurrency=options.concurrency,
        timeout=options.timeout,
        max_outage_s=options.max_outage_s,
        by=config.user,
    )
