"""`demo` and `sandbox`: the sample term, and the stand-in for ClassIn."""

import asyncio
import os
import shutil
import time
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from bulkcast import pipeline
from bulkcast.catalogue import Limit
from bulkcast.cli import apply, json_output, run_view, signals, validate
from bulkcast.cli.console import Output, command, output, shown, whole
from bulkcast.cli.language import calling, current_translator, status_written, tr, trn
from bulkcast.cli.render import plan
from bulkcast.config import Config
from bulkcast.endpoints import WEBCAST
from bulkcast.errors import CannotStart
from bulkcast.model import RowStatus
from bulkcast.pacing import parse_rate
from bulkcast.pipeline import (
    RESUBMITTED,
    Prepared,
    RunReport,
    Selection,
    SendOptions,
    SheetOptions,
    zone,
)
from bulkcast.pipeline.sample_sheet import samples
from bulkcast.reporter import sample
from bulkcast.reporter.result_columns import FIELDS
from bulkcast.sandbox import SANDBOX_SECRET, Sandbox, World, read_world
from bulkcast.sandbox.rehearsal import config_of


def sandbox(
    output: Output,
    *,
    world: Path | None,
    port: int,
    fault_rate: float | None,
    seed: int | None,
    limit: str | None,
    clock_offset_s: float,
) -> int:
    """Serve until a signal arrives."""
    played = read_world(world) if world else World()
    if fault_rate is not None:
        played = replace(played, fault_rate=fault_rate)
    if seed is not None:
        played = replace(played, seed=seed)
    if limit is not None:
        played = replace(played, limit=_limit(limit))
    server = Sandbox(played, secret=SANDBOX_SECRET, clock_offset_s=clock_offset_s)
    asyncio.run(_serve(output, server, played, port))
    one = "The sandbox has ended after {n} request."
    output.info(Text(trn(one, "The sandbox has ended after {n} requests.", server.received)))
    return 0


def _limit(text: str) -> Limit | None:
    """Calls per minute; `max` means no limit."""
    per_s = parse_rate(text)
    return None if per_s == float("inf") else Limit(max(1, round(per_s * 60)), 60.0, "--limit")


async def _serve(output: Output, server: Sandbox, played: World, port: int) -> None:
    ended = _Ended()
    async with server.serving(port=port) as root_url:
        with signals.heeding(ended, lambda _: None):
            _introduce_sandbox(output, root_url, played)
            await ended.wait()


class _Ended:
    """Lets Ctrl-C stop the sandbox gracefully."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def stop(self, exit_status: int) -> None:  # noqa: ARG002 - Ctrl-C is how a server ends well
        """End the wait."""
        self._event.set()

    async def wait(self) -> None:
        """Wait until stopped."""
        await self._event.wait()


def _introduce_sandbox(output: Output, root_url: str, played: World) -> None:
    secret = (played.secret or SANDBOX_SECRET).reveal()
    env = {"BULKCAST_ROOT_URL": root_url, "BULKCAST_SID": played.sid, "BULKCAST_SECRET": secret}
    if output.as_json:
        document = {"schema": "bulkcast.sandbox/1", "url": root_url, "env": env}
        output.json(json_output.dump(document))
        return
    output.json(tr("The sandbox answers at {url}", url=root_url))
    output.info(
        Text(tr("Everything sent to it stays on this computer.  To use it, in another terminal:"))
    )
    form = '$env:{} = "{}"' if os.name == "nt" else "export {}={}"
    for name, value in env.items():
        output.info(Text("    " + form.format(name, value)))
    output.info(Text(tr("Ctrl-C ends it.")))


_RATE: Final = 6000 / 60.0
_SHEET, _WORLD, _MENDED, _HOME = "term.xlsx", "world.json", "mended.csv", "home"
_PROBLEMS: Final = 5


@dataclass(frozen=True, slots=True)
class _Stage:
    """The demo's output and folder."""

    output: Output
    folder: Path
    weeks: int
    """How many weeks the sample's classes were moved into the future."""

    @property
    def sheet(self) -> Path:
        """The term as the office uploads it."""
        return self.folder / _SHEET


def demo(folder: Path) -> int:
    """Run the demo; return 0, or 130 if it was interrupted."""
    stage = _Stage(output(), folder, _lay_out(folder))
    _introduce(stage)
    prepared = _validate(stage)
    status = asyncio.run(_send_and_mend(stage, prepared))
    if not status:
        _conclude(stage)
    return status


# ------------------------------------------------------------------ the folder


def _lay_out(folder: Path) -> int:
    """Copy the sample into `folder`; return by how many weeks its classes were moved."""
    if folder.exists() and not (folder / _WORLD).exists():
        raise CannotStart(
            "{folder} exists and is no demo's folder; choose another with --dir", folder=folder
        )
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.fromtimestamp(time.time(), zone(SheetOptions().tz)).replace(tzinfo=None)
    with samples() as source:
        for name in (_WORLD, _MENDED):
            shutil.copyfile(source / name, folder / name)
        return sample.lay_out(source / _SHEET, folder / _SHEET, WEBCAST, now=now)


# ------------------------------------------------------------------ the steps


def _introduce(stage: _Stage) -> None:
    lines = [
        tr(
            "A school uploads its term: one class a row, and what is to be recorded, streamed and"
            " played back.  ClassIn is played by a sandbox on this computer; nothing leaves it."
        ),
        tr("Everything made here lies in {folder}.", folder=shown(stage.folder)),
    ]
    if stage.weeks:
        one = "The sample's classes were moved by {n} week, into the future."
        many = "The sample's classes were moved by {n} weeks, into the future."
        lines.append(trn(one, many, stage.weeks))
    _head(stage, 0, tr("The sample term"))
    stage.output.out(*(Text(line) for line in lines))


def _validate(stage: _Stage) -> Prepared:
    _head(stage, 1, tr("Validate: what is wrong, before anything is sent"))
    _typed(stage, "validate", stage.sheet)
    stage.output.out(Text(""))
    prepared = pipeline.prepare(stage.sheet)
    calling(prepared.names)
    validate.show_problems(stage.output, prepared, most=_PROBLEMS)
    validate.show_verdict(stage.output, prepared)
    return prepared


async def _send_and_mend(stage: _Stage, prepared: Prepared) -> int:
    """Send and correct the term; return the exit status of an interrupted run, or 0."""
    world = replace(read_world(stage.folder / _WORLD), limit=None)
    async with Sandbox(world, secret=SANDBOX_SECRET).serving() as root_url:
        config = config_of(world.sid, stage.folder / _HOME, root_url)
        first = await _apply(stage, prepared, config)
        if first.stop:
            return first.exit_status
        _explain(stage, first)
        second = await _resubmit(stage, _mend(stage, first), config)
        return second.exit_status if second.stop else 0


async def _apply(stage: _Stage, prepared: Prepared, config: Config) -> RunReport:
    output = stage.output
    _head(stage, 2, tr("Apply: the valid rows are sent, the others wait"))
    _typed(stage, "apply", stage.sheet, "--yes", "--rate", "6000/min")
    output.out(Text(""))
    planned = prepared.summary(rate=_RATE, now=time.time())
    output.out(*plan(planned, output.symbols))
    output.out(
        Text(
            tr(
                "ClassIn itself allows about 1000 requests a minute, and bulkcast keeps to 950"
                " unless told otherwise; the sandbox takes more, so that nobody has to wait here."
            )
        )
    )
    return await _send(stage, prepared, config)


async def _send(stage: _Stage, prepared: Prepared, config: Config) -> RunReport:
    options = SendOptions(rate=_RATE, lang=current_translator().lang)
    report = await apply.watched(
        stage.output,
        options.rate,
        lambda control, watch: pipeline.apply(
            prepared, config, options, control=control, watch=watch
        ),
    )
    run_view.show_ended(stage.output, report)
    return report


def _explain(stage: _Stage, report: RunReport) -> None:
    _head(stage, 3, tr("The result sheet: your own rows, and how each one ended"))
    output = stage.output
    columns = current_translator().listed(FIELDS)
    output.out(Text(tr("Behind your columns stand {columns}:", columns=columns)))
    seen: set[RowStatus] = set()
    for row in report.rows:
        if row.status not in seen and row.message:
            seen.add(row.status)
            word = status_written(row.status)
            place = tr("row {n}", n=row.row)
            line = Text.assemble((f"{place} ", "bold"), f"{word}{tr(': ')}{shown(row.message)}")
            output.out(Padding(line, (0, 0, 0, 2), expand=False))


def _mend(stage: _Stage, report: RunReport) -> Path:
    _head(stage, 4, tr("Mend the result sheet, and send again only what did not succeed"))
    if report.results is None:
        raise CannotStart(
            "{folder} could not take the result sheet; free some space", folder=stage.folder
        )
    target = report.results.with_stem(f"{report.results.stem}-mended")
    table = stage.folder / _MENDED
    n = sample.mend(report.results, table, target, WEBCAST, weeks=stage.weeks)
    one = "Somebody has mended {n} row, in the copy {name}."
    many = "Somebody has mended {n} rows, in the copy {name}."
    stage.output.out(Text(trn(one, many, n, name=shown(target.name))))
    return target


async def _resubmit(stage: _Stage, sheet: Path, config: Config) -> RunReport:
    stage.output.out(Text(""))
    _typed(stage, "resubmit", sheet)
    prepared = pipeline.prepare(sheet, selection=Selection(statuses=RESUBMITTED))
    report = await _send(stage, prepared, config)
    left = sum(report.counts[status] for status in RESUBMITTED)
    if left:
        stage.output.out(
            Text(
                trn(
                    "The {n} row that is left is ClassIn's to decide: a class that has begun, was"
                    " deleted, or belongs to another school.  The sheet says why.",
                    "The {n} rows that are left are ClassIn's to decide: classes that have begun,"
                    " were deleted, or belong to another school.  The sheet says which and why.",
                    left,
                )
            )
        )
    return report


def _conclude(stage: _Stage) -> None:
    _head(stage, 5, tr("Now with a term of your own"))
    steps = (
        ("bulkcast serve", tr("all of this in the browser")),
        ("bulkcast template", tr("the workbook to fill in")),
        ("bulkcast validate SHEET", tr("what is wrong in it, offline")),
        ("bulkcast apply SHEET --sandbox", tr("a rehearsal, without an account")),
        ("bulkcast doctor", tr("once BULKCAST_SID and BULKCAST_SECRET are set")),
        ("bulkcast apply SHEET", tr("in earnest")),
    )
    table = Table.grid(padding=(0, 2))
    for typed, meaning in steps:
        table.add_row(
            Text.assemble(("  $", "dim")), Text(typed, "bold", no_wrap=True), Text(meaning)
        )
    stage.output.out(table)


def _head(stage: _Stage, number: int, title: str) -> None:
    mark = f"{number}  " if number else ""
    stage.output.out(Text(""), Text(f"{mark}{title}", "bold cyan"), Text(""))


def _typed(stage: _Stage, *words: str | Path) -> None:
    """Show the command that does the same."""
    stage.output.out(whole("$ ", command("bulkcast", *words)))
