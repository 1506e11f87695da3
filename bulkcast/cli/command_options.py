"""What a command was asked, as typed values: made of click's parameters, here and nowhere else.

This is for what takes a sheet; `run_options` is for the other commands.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bulkcast.languages import Lang
from bulkcast.loader import ReadOptions
from bulkcast.notification import Recipients, recipients
from bulkcast.pacing import parse_rate
from bulkcast.pipeline import Selection, SendOptions, SheetOptions

Parameters = Mapping[str, Any]
"""The options of a command by their parameters' names, as click parsed them."""

Existing = Literal["refuse", "replace"]
"""What to do if the file to write exists."""


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
    recipients: Recipients


@dataclass(frozen=True, slots=True)
class ResumeOptions:
    """Of `resume`."""

    output: OutputOptions
    send: SendOptions
    destination: Destination
    recipients: Recipients


# ------------------------------------------------------------------ of click's parameters


def of_validate(given: Parameters) -> ValidateOptions:
    """What `validate` was asked."""
    return ValidateOptions(output_options(given), sheet_options(given), lists_all=given["all_"])


def of_plan(given: Parameters) -> PlanOptions:
    """What `plan` was asked.

    Raises:
        CannotStart: --rate is no rate.

    """
    return PlanOptions(
        output=output_options(given),
        sheet=sheet_options(given),
        selection=_selection(given),
        recall=_recall(given),
        rate=parse_rate(given["rate"]),
        destination=destination(given),
        out=given["out"],
        existing=existing(given),
    )


def of_apply(given: Parameters) -> ApplyOptions:
    """What `apply` or `resubmit` was asked.

    Raises:
        CannotStart: --rate is no rate.

    """
    return ApplyOptions(
        output=output_options(given),
        sheet=sheet_options(given),
        selection=_selection(given),
        recall=_recall(given),
        send=_send(given),
        destination=destination(given),
        yes=given["yes"],
        dry_run=given["dry_run"],
        lists_all=given["all_"],
        max_changes=given["max_changes"],
        approve=given["approve"],
        recipients=of_notifying(given),
    )


def of_resume(given: Parameters) -> ResumeOptions:
    """What `resume` was asked.

    Raises:
        CannotStart: --rate is no rate.

    """
    return ResumeOptions(
        output_options(given), _send(given), destination(given), of_notifying(given)
    )


# ------------------------------------------------------------------ groups


def output_options(given: Parameters) -> OutputOptions:
    """How the command speaks."""
    return OutputOptions(
        as_json=given["as_json"],
        quiet=given["quiet"],
        verbose=given["verbose"],
        lang=given["lang"],
    )


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
    )


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
        existing=existing(given),
        lang=given["lang"],
    )


def of_notifying(given: Parameters) -> Recipients:
    """Who is told when a run ends.

    Raises:
        CannotStart: --notify-command or --webhook is not valid.

    """
    return recipients(given["notify_command"], given["webhook"])


def existing(given: Parameters) -> Existing:
    """What --force says."""
    return "replace" if given["force"] else "refuse"
