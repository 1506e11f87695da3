"""bulkcast: apply a spreadsheet of ClassIn webcast settings, one classroom a row.

The use cases of the command line, as functions over frozen values:

    import asyncio, os, bulkcast

    prepared = bulkcast.prepare("term.xlsx")
    report = asyncio.run(bulkcast.apply(prepared, bulkcast.load_config(os.environ)))
    print(report.counts, report.results)

`prepare_parts` and `apply_parts` do the same for a sheet whose rows name institutions.

`prepare` and `validate` take a pandas DataFrame in place of a path; `to_frame()` of what they and
`apply` give makes one of it.

Names are looked up when they are first used, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from bulkcast import lazy
from bulkcast.version import VERSION

if TYPE_CHECKING:
    from bulkcast.config import Config
    from bulkcast.config import load as load_config
    from bulkcast.config import load_all as load_configs
    from bulkcast.errors import (
        BulkcastError,
        CannotStart,
        InstitutionBusy,
        LedgerDamaged,
        NeedsHuman,
        UnreadableSheet,
    )
    from bulkcast.loader import ReadOptions
    from bulkcast.model import Issue, ResultRow, RowStatus, Severity, Stop
    from bulkcast.pipeline import (
        RESUBMITTED,
        Control,
        Diagnosis,
        PlanOptions,
        Prepared,
        PreparedRun,
        RunReport,
        Selection,
        SendOptions,
        SheetOptions,
        Validation,
        apply,
        apply_parts,
        doctor,
        prepare,
        prepare_parts,
        read_plan,
        recall,
        replan,
        results,
        resume,
        runs,
        undo,
        validate,
        write_plan,
    )
    from bulkcast.planner.summary import PlanSummary

__version__ = VERSION

_HOMES: Final = {
    "bulkcast.config": ("Config",),
    "bulkcast.errors": (
        "BulkcastError", "CannotStart", "InstitutionBusy", "LedgerDamaged", "NeedsHuman",
        "UnreadableSheet",
    ),
    "bulkcast.loader": ("ReadOptions",),
    "bulkcast.model": ("Issue", "ResultRow", "RowStatus", "Severity", "Stop"),
    "bulkcast.pipeline": (
        "RESUBMITTED", "Control", "Diagnosis", "PlanOptions", "Prepared", "PreparedRun",
        "RunReport", "Selection", "SendOptions", "SheetOptions", "Validation", "apply",
        "apply_parts", "doctor", "prepare", "prepare_parts", "read_plan", "recall", "replan",
        "results", "resume", "runs", "undo", "validate", "write_plan",
    ),
    "bulkcast.planner.summary": ("PlanSummary",),
}  # fmt: skip
_LOADERS: Final = {"load_config": "load", "load_configs": "load_all"}
_look_up: Final = lazy.attributes(__name__, _HOMES)

__all__ = [
    "RESUBMITTED", "BulkcastError", "CannotStart", "Config", "Control", "Diagnosis",
    "InstitutionBusy", "Issue", "LedgerDamaged", "NeedsHuman", "PlanOptions", "PlanSummary",
    "Prepared", "PreparedRun", "ReadOptions", "ResultRow", "RowStatus", "RunReport", "Selection",
    "SendOptions", "Severity", "SheetOptions", "Stop", "UnreadableSheet", "Validation", "apply",
    "apply_parts", "doctor", "load_config", "load_configs", "prepare", "prepare_parts", "read_plan",
    "recall", "replan", "results", "resume", "runs", "undo", "validate", "write_plan",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _LOADERS:
        return getattr(import_module("bulkcast.config"), _LOADERS[name])
    return _look_up(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
