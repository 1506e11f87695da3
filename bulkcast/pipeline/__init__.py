"""The use cases; the only package that joins the parts."""

from bulkcast.pipeline.diagnosis import doctor, doctor_without
from bulkcast.pipeline.erasure import purge, purgeable
from bulkcast.pipeline.options import (
    RESUBMITTED,
    STATUS_COLUMN,
    Control,
    Diagnosis,
    Parts,
    Prepared,
    RunReport,
    Selection,
    SendOptions,
    SheetOptions,
    Validation,
    Watch,
)
from bulkcast.pipeline.plans import is_plan, read_plan, require_expected, require_for, write_plan
from bulkcast.pipeline.preparation import lean, prepare, recall, replan, schedule_of, validate, zone
from bulkcast.pipeline.reports import account, crosstab, outcomes, page, results, runs, runs_called
from bulkcast.pipeline.resubmission import (
    is_rehearsed,
    require_sendable,
    spare_overtaken,
    with_doubts,
)
from bulkcast.pipeline.reversal import Undone, Unrecoverable, UnrecoverableGroup, undo
from bulkcast.pipeline.run import apply, left_to_send, resume
from bulkcast.pipeline.run_creation import require_place

__all__ = [
    "RESUBMITTED",
    "STATUS_COLUMN",
    "Control",
    "Diagnosis",
    "Parts",
    "Prepared",
    "RunReport",
    "Selection",
    "SendOptions",
    "SheetOptions",
    "Undone",
    "Unrecoverable",
    "UnrecoverableGroup",
    "Validation",
    "Watch",
    "account",
    "apply",
    "crosstab",
    "doctor",
    "doctor_without",
    "is_plan",
    "is_rehearsed",
    "lean",
    "left_to_send",
    "outcomes",
    "page",
    "prepare",
    "purge",
    "purgeable",
    "read_plan",
    "recall",
    "replan",
    "require_expected",
    "require_for",
    "require_place",
    "require_sendable",
    "results",
    "resume",
    "runs",
    "runs_called",
    "schedule_of",
    "spare_overtaken",
    "undo",
    "validate",
    "with_doubts",
    "write_plan",
    "zone",
]
