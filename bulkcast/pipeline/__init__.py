"""The use cases, built from the other packages.

A use case is loaded when it is first named: who validates needs neither ledger nor network.
"""

from typing import TYPE_CHECKING, Final

from bulkcast import lazy

if TYPE_CHECKING:
    from bulkcast.dispatcher import Progress
    from bulkcast.pipeline.diagnosis import doctor, doctor_without
    from bulkcast.pipeline.erasure import purge, purgeable
    from bulkcast.pipeline.gauge import Figures, Gauge, delay, lateness, time_left
    from bulkcast.pipeline.options import (
        RESUBMITTED,
        STATUS_COLUMN,
        Control,
        Diagnosis,
        PlanOptions,
        Prepared,
        RunReport,
        Selection,
        SendOptions,
        SheetOptions,
        Validation,
        Watch,
    )
    from bulkcast.pipeline.parts import Parts
    from bulkcast.pipeline.plans import (
        is_plan,
        read_plan,
        require_expected,
        require_for,
        write_plan,
    )
    from bulkcast.pipeline.preparation import lean, recall, replan, validate, zone
    from bulkcast.pipeline.reports import (
        NextStep,
        account,
        crosstab,
        next_step,
        outcomes,
        page,
        results,
        runs,
        runs_called,
    )
    from bulkcast.pipeline.resubmission import is_rehearsed
    from bulkcast.pipeline.reversal import Undone, Unrecoverable, UnrecoverableGroup, undo
    from bulkcast.pipeline.run import apply, left_to_send, resume
    from bulkcast.pipeline.run_overview import (
        Base,
        FailedRow,
        RunState,
        SomeRuns,
        newest_failures,
        run_state,
        some_runs,
    )
    from bulkcast.pipeline.run_preparation import (
        PreparedRun,
        SheetReport,
        check_sheet,
        prepare,
        prepare_planned,
        prepare_run,
    )
    from bulkcast.pipeline.run_results import (
        HandedOut,
        ProblemGroup,
        ResultTable,
        result_file,
        result_table,
        summary_file,
        undo_file,
    )
    from bulkcast.pipeline.status_words import (
        REASON_WORDS,
        STATE_WORDS,
        STATUS_MEANINGS,
        STATUS_WORDS,
    )

__all__ = [
    "REASON_WORDS",
    "RESUBMITTED",
    "STATE_WORDS",
    "STATUS_COLUMN",
    "STATUS_MEANINGS",
    "STATUS_WORDS",
    "Base",
    "Control",
    "Diagnosis",
    "FailedRow",
    "Figures",
    "Gauge",
    "HandedOut",
    "NextStep",
    "Parts",
    "PlanOptions",
    "Prepared",
    "PreparedRun",
    "ProblemGroup",
    "Progress",
    "ResultTable",
    "RunReport",
    "RunState",
    "Selection",
    "SendOptions",
    "SheetOptions",
    "SheetReport",
    "SomeRuns",
    "Undone",
    "Unrecoverable",
    "UnrecoverableGroup",
    "Validation",
    "Watch",
    "account",
    "apply",
    "check_sheet",
    "crosstab",
    "delay",
    "doctor",
    "doctor_without",
    "is_plan",
    "is_rehearsed",
    "lateness",
    "lean",
    "left_to_send",
    "newest_failures",
    "next_step",
    "outcomes",
    "page",
    "prepare",
    "prepare_planned",
    "prepare_run",
    "purge",
    "purgeable",
    "read_plan",
    "recall",
    "replan",
    "require_expected",
    "require_for",
    "result_file",
    "result_table",
    "results",
    "resume",
    "run_state",
    "runs",
    "runs_called",
    "some_runs",
    "summary_file",
    "time_left",
    "undo",
    "undo_file",
    "validate",
    "write_plan",
    "zone",
]

_HOMES: Final = {
    "bulkcast.dispatcher": ("Progress",),
    "bulkcast.pipeline.gauge": ("Figures", "Gauge", "delay", "lateness", "time_left"),
    "bulkcast.pipeline.diagnosis": ("doctor", "doctor_without"),
    "bulkcast.pipeline.erasure": ("purge", "purgeable"),
    "bulkcast.pipeline.options": (
        "RESUBMITTED", "STATUS_COLUMN", "Control", "Diagnosis", "PlanOptions", "Prepared",
        "RunReport", "Selection", "SendOptions", "SheetOptions", "Validation", "Watch",
    ),
    "bulkcast.pipeline.plans": (
        "is_plan", "read_plan", "require_expected", "require_for", "write_plan",
    ),
    "bulkcast.pipeline.preparation": ("lean", "recall", "replan", "validate", "zone"),
    "bulkcast.pipeline.reports": (
        "NextStep", "account", "crosstab", "next_step", "outcomes", "page", "results", "runs",
        "runs_called",
    ),
    "bulkcast.pipeline.resubmission": ("is_rehearsed",),
    "bulkcast.pipeline.reversal": ("Undone", "Unrecoverable", "UnrecoverableGroup", "undo"),
    "bulkcast.pipeline.run": ("apply", "left_to_send", "resume"),
    "bulkcast.pipeline.parts": ("Parts",),
    "bulkcast.pipeline.run_preparation": (
        "PreparedRun", "SheetReport", "check_sheet", "prepare", "prepare_planned", "prepare_run",
    ),
    "bulkcast.pipeline.run_overview": (
        "Base", "FailedRow", "RunState", "SomeRuns", "newest_failures", "run_state", "some_runs",
    ),
    "bulkcast.pipeline.run_results": (
        "HandedOut", "ProblemGroup", "ResultTable", "result_file", "result_table", "summary_file",
        "undo_file",
    ),
    "bulkcast.pipeline.status_words": (
        "REASON_WORDS", "STATE_WORDS", "STATUS_MEANINGS", "STATUS_WORDS",
    ),
}  # fmt: skip

if not TYPE_CHECKING:  # so that types are those of the imports above
    __getattr__ = lazy.attributes(__name__, _HOMES)
