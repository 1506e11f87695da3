"""Typed options of the commands that send no sheet, made from click's parameters."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from bulkcast.cli.command_options import (
    Destination,
    Existing,
    OutputOptions,
    Parameters,
    destination,
    existing,
    output_options,
    read_options,
)
from bulkcast.loader import ReadOptions
from bulkcast.model import RowStatus


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


def of_runs(given: Parameters) -> RunsOptions:
    """What `runs` was asked."""
    return RunsOptions(
        output=output_options(given),
        destination=destination(given),
        state=given["state"],
        name=given["name"],
        since=given["since"],
        until=given["until"],
    )


def of_show(given: Parameters) -> ShowOptions:
    """What `runs show` was asked."""
    return ShowOptions(
        output_options(given),
        destination(given),
        given["only"] or frozenset(),
        lists_all=given["all_"],
    )


def of_results(given: Parameters) -> ResultsOptions:
    """What `results` was asked."""
    return ResultsOptions(
        output=output_options(given),
        destination=destination(given),
        only=given["only"] or frozenset(),
        by=given["by"],
        results=given["results"],
        existing=existing(given),
    )


def of_purge(given: Parameters) -> PurgeOptions:
    """What `purge` was asked."""
    return PurgeOptions(
        output=output_options(given),
        destination=destination(given),
        run=given["run"],
        older_than_s=given["older_than"],
        yes=given["yes"],
    )


def of_undo(given: Parameters) -> UndoOptions:
    """What `undo` was asked."""
    return UndoOptions(output_options(given), destination(given), given["results"], existing(given))


def of_template(given: Parameters) -> TemplateOptions:
    """What `template` was asked."""
    return TemplateOptions(
        output_options(given), read_options(given), given["filled_from"], existing(given)
    )


def of_doctor(given: Parameters) -> DoctorOptions:
    """What `doctor` was asked."""
    return DoctorOptions(output_options(given), destination(given))


def of_sandbox(given: Parameters) -> SandboxOptions:
    """What `sandbox` was asked."""
    return SandboxOptions(
        output=output_options(given),
        world=given["world"],
        port=given["port"],
        fault_rate=given["fault_rate"],
        seed=given["seed"],
        limit=given["limit"],
        clock_offset_s=given["clock_offset"],
    )
