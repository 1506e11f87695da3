"""The use cases, built from the other packages.

A use case is loaded when it is first named: who validates needs neither ledger nor network.
"""

from typing import TYPE_CHECKING, Final

from bulkcast import lazy

if TYPE_CHECKING:
    from bulkcast.pipeline.diagnosis import Diagnosis, doctor, doctor_without
    from bulkcast.pipeline.execution import Control, Parts, Watch
    from bulkcast.pipeline.options import (
        RESUBMITTED,
        STATUS_COLUMN,
        PlanOptions,
        Selection,
        SendOptions,
        SheetOptions,
        zone,
    )
    from bulkcast.pipeline.past_runs import (
        account,
        crosstab,
        outcomes,
        page,
        purge,
        purgeable,
        runs,
        runs_called,
    )
    from bulkcast.pipeline.plans import (
        is_plan,
        read_plan,
        require_expected,
        require_for,
        write_plan,
    )
    from bulkcast.pipeline.preparation import (
        Prepared,
        PreparedRun,
        prepare,
        prepare_planned,
        prepare_run,
        recall,
        replan,
    )
    from bulkcast.pipeline.resubmission import is_rehearsed
    from bulkcast.pipeline.result_sheet import RunReport, results
    from bulkcast.pipeline.reversal import Undone, Unrecoverable, UnrecoverableGroup, undo
    from bulkcast.pipeline.run import apply, left_to_send, resume
    from bulkcast.pipeline.validation import (
        CheckedSheet,
        SheetReport,
        Validation,
        check_sheet,
        lean,
        validate,
    )

__all__ = [
    "RESUBMITTED", "STATUS_COLUMN", "CheckedSheet", "Control", "Diagnosis", "Parts", "PlanOptions",
    "Prepared", "PreparedRun", "RunReport", "Selection", "SendOptions", "SheetOptions",
    "SheetReport", "Undone", "Unrecoverable", "UnrecoverableGroup", "Validation", "Watch",
    "account", "apply", "check_sheet", "crosstab", "doctor", "doctor_without", "is_plan",
    "is_rehearsed", "lean", "left_to_send", "outcomes", "page", "prepare", "prepare_planned",
    "prepare_run", "purge", "purgeable", "read_plan", "recall", "replan", "require_expected",
    "require_for", "results", "resume", "runs", "runs_called", "undo", "validate", "write_plan",
    "zone",
]  # fmt: skip

_HOMES: Final = {
    "bulkcast.pipeline.diagnosis": ("Diagnosis", "doctor", "doctor_without"),
    "bulkcast.pipeline.execution": ("Control", "Parts", "Watch"),
    "bulkcast.pipeline.options": (
        "RESUBMITTED", "STATUS_COLUMN", "PlanOptions", "Selection", "SendOptions", "SheetOptions",
        "zone",
    ),
    "bulkcast.pipeline.past_runs": (
        "account", "crosstab", "outcomes", "page", "purge", "purgeable", "runs", "runs_called",
    ),
    "bulkcast.pipeline.plans": (
        "is_plan", "read_plan", "require_expected", "require_for", "write_plan",
    ),
    "bulkcast.pipeline.preparation": (
        "Prepared", "PreparedRun", "prepare", "prepare_planned", "prepare_run", "recall", "replan",
    ),
    "bulkcast.pipeline.result_sheet": ("RunReport", "results"),
    "bulkcast.pipeline.resubmission": ("is_rehearsed",),
    "bulkcast.pipeline.reversal": ("Undone", "Unrecoverable", "UnrecoverableGroup", "undo"),
    "bulkcast.pipeline.run": ("apply", "left_to_send", "resume"),
    "bulkcast.pipeline.validation": (
        "CheckedSheet", "SheetReport", "Validation", "check_sheet", "lean", "validate",
    ),
}  # fmt: skip

if not TYPE_CHECKING:  # so that types are those of the imports above
    __getattr__ = lazy.attributes(__name__, _HOMES)
