"""What each command was asked, as typed values: made here, and only here, of click's parameters."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

from bulkcast.languages import Lang
from bulkcast.loader import ReadOptions
from bulkcast.model import RowStatus
from bulkcast.pacing import parse_rate
from bulkcast.pipeline import Selection, SendOptions, SheetOptions

Parameters = Mapping[str, Any]
"""The options of a command by their parameters' names, as click parsed them."""

Existing = Literal["refuse", "replace"]
"""What to do where the file to write exists."""


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """How a command speaks."""

    as_json: bool = False
    quiet: bool = False
    verbose: bool = False
    lang: Lang = "en"


@dataclass(frozen=True, slots=True)
class Destination:
    """For whom a run is."""

    sandbox: bool
    profile: str | None = None
    world: Path | None = None
    """What the sandbox plays."""


@dataclass(frozen=True, slots=True)
class RecallOptions:
    """What is done with what was acknowledged before."""

    changed_only: bool
    send_free: bool

    @property
    def is_asked(self) -> bool:
        """Whether any of it is asked for."""
        return self.changed_only or self.send_free


@dataclass(frozen=True, slots=True)
class ValidateOptions:
    """Of `validate`."""

    output: OutputOptions
    sheet: SheetOptions
    lists_all: bool


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """Of `plan`."""

    output: OutputOptions
    sheet: SheetOptions
    selection: Selection
    recall: RecallOptions
    rate: float
    """Requests per second."""
    destination: Destination
    out: Path | None
    """Where the plan is frozen; None for nowhere."""
    existing: Existing


@dataclass(frozen=True, slots=True)
class ApplyOptions:
    """Of `apply` and `resubmit`."""

    output: OutputOptions
    sheet: SheetOptions
    selection: Selection
    recall: RecallOptions
    send: SendOptions
    destination: Destination
    yes: bool
    dry_run: bool
    lists_all: bool
    max_changes: tuple[float, Literal["rows", "%"]] | None
    """The most rows to send, or the most of the sheet's in percent."""
    approve: str | None
    """The fingerprint of a plan that `max_changes` held."""


@dataclass(frozen=True, slots=True)
class ResumeOptions:
    """Of `resume`."""

    output: OutputOptions
    send: SendOptions
    destination: Destination


@dataclass(frozen=True, slots=True)
class RunsOptions:
    """Of `runs`: which are listed; every part that is given must hold."""

    output: OutputOptions
    destination: Destination
    state: str | None
    name: str | None
    """Part of the name of the run's sheet."""
    since: date | None
    until: date | None


@dataclass(frozen=True, slots=True)
class ShowOptions:
    """Of `runs show`."""

    output: OutputOptions
    destination: Destination
    only: frozenset[RowStatus]
    lists_all: bool


@dataclass(frozen=True, slots=True)
class ResultsOptions:
    """Of `results`."""

    output: OutputOptions
    destination: Destination
    only: frozenset[RowStatus]
    by: str | None
    results: Path | None
    existing: Existing


@dataclass(frozen=True, slots=True)
class PurgeOptions:
    """Of `purge`."""

    output: OutputOptions
    destination: Destination
    run: str
    older_than_s: float
    yes: bool


@dataclass(frozen=True, slots=True)
class UndoOptions:
    """Of `undo`."""

    output: OutputOptions
    destination: Destination
    results: Path | None
    existing: Existing


@dataclass(frozen=True, slots=True)
class TemplateOptions:
    """Of `template`."""

    output: OutputOptions
    read: ReadOptions
    filled_from: Path | None
    existing: Existing


@dataclass(frozen=True, slots=True)
class DoctorOptions:
    """Of `doctor`."""

    output: OutputOptions
    destination: Destination


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """Of `sandbox`; None where the world says it."""

    output: OutputOptions
    world: Path | None
    port: int
    fault_rate: float | None
    seed: int | None
    limit: str | None
    clock_offset_s: float


# ------------------------------------------------------------------ of click's parameters


def of_validate(given: Parameters) -> ValidateOptions:
    """What `validate` was asked."""
    return ValidateOptions(_output(given), _sheet(given), lists_all=given["all_"])


def of_plan(given: Parameters) -> PlanOptions:
    """What `plan` was asked.

    Raises:
        CannotStart: --rate is no rate.

    """
    return PlanOptions(
        output=_output(given),
        sheet=_sheet(given),
        selection=_selection(given),
        recall=_recall(given),
        rate=parse_rate(given["rate"]),
        destination=_destination(given),
        out=given["out"],
        existing=_existing(given),
    )


def of_apply(given: Parameters) -> ApplyOptions:
    """What `apply` or `resubmit` was asked.

    Raises:
        CannotStart: --rate is no rate.

    """
    return ApplyOptions(
        output=_output(given),
        sheet=_sheet(given),
        selection=_selection(given),
        recall=_recall(given),
        send=_send(given),
        destination=_destination(given),
        yes=given["yes"],
        dry_run=given["dry_run"],
        lists_all=given["all_"],
        max_changes=given["max_changes"],
        approve=given["approve"],
    )


def of_resume(given: Parameters) -> ResumeOptions:
    """What `resume` was asked.

    Raises:
        CannotStart: --rate is no rate.

    """
    return ResumeOptions(_output(given), _send(given), _destination(given))


def of_runs(given: Parameters) -> RunsOptions:
    """What `runs` was asked."""
    return RunsOptions(
        output=_output(given),
        destination=_destination(given),
        state=given["state"],
        name=given["name"],
        since=given["since"],
        until=given["until"],
    )


def of_show(given: Parameters) -> ShowOptions:
    """What `runs show` was asked."""
    return ShowOptions(
        _output(given), _destination(given), given["only"] or frozenset(), lists_all=given["all_"]
    )


def of_results(given: Parameters) -> ResultsOptions:
    """What `results` was asked."""
    return ResultsOptions(
        output=_output(given),
        destination=_destination(given),
        only=given["only"] or frozenset(),
        by=given["by"],
        results=given["results"],
        existing=_existing(given),
    )


def of_purge(given: Parameters) -> PurgeOptions:
    """What `purge` was asked."""
    return PurgeOptions(
        output=_output(given),
        destination=_destination(given),
        run=given["run"],
        older_than_s=given["older_than"],
        yes=given["yes"],
    )


def of_undo(given: Parameters) -> UndoOptions:
    """What `undo` was asked."""
    return UndoOptions(_output(given), _destination(given), given["results"], _existing(given))


def of_template(given: Parameters) -> TemplateOptions:
    """What `template` was asked."""
    return TemplateOptions(_output(given), _read(given), given["filled_from"], _existing(given))


def of_doctor(given: Parameters) -> DoctorOptions:
    """What `doctor` was asked."""
    return DoctorOptions(_output(given), _destination(given))


def of_sandbox(given: Parameters) -> SandboxOptions:
    """What `sandbox` was asked."""
    return SandboxOptions(
        output=_output(given),
        world=given["world"],
        port=given["port"],
        fault_rate=given["fault_rate"],
        seed=given["seed"],
        limit=given["limit"],
        clock_offset_s=given["clock_offset"],
    )


# ------------------------------------------------------------------ groups


def _output(given: Parameters) -> OutputOptions:
    return OutputOptions(
        as_json=given["as_json"],
        quiet=given["quiet"],
        verbose=given["verbose"],
        lang=given["lang"],
    )


def _destination(given: Parameters) -> Destination:
    """Not every command has all three."""
    return Destination(
        sandbox=given.get("sandbox", False),
        profile=given.get("profile"),
        world=given.get("world"),
    )


def _sheet(given: Parameters) -> SheetOptions:
    return SheetOptions(
        read=_read(given),
        tz=given["tz"],
        duplicates=given["duplicates"],
        strict=given["strict"],
    )


def _read(given: Parameters) -> ReadOptions:
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


def _recall(given: Parameters) -> RecallOptions:
    return RecallOptions(changed_only=given["changed_only"], send_free=given["send_free"])


def _send(given: Parameters) -> SendOptions:
    """`resume` has no --on-invalid."""
    return SendOptions(
        rate=parse_rate(given["rate"]),
        concurrency=given["concurrency"],
        timeout=given["timeout"],
        max_outage_s=given["max_outage"],
        on_invalid=given.get("on_invalid", "skip"),
        results=given["results"],
        existing=_existing(given),
        lang=given["lang"],
    )


def _existing(given: Parameters) -> Existing:
    return "replace" if given["force"] else "refuse"
