"""The use cases: the only module that joins the parts.

    prepare   read a sheet, check it, plan it            (validate and plan stop here)
    recall    look up what ClassIn is known to hold; replan in the light of it
    write_plan, read_plan    freeze a plan in a file, take it up again as it was
    apply     freeze the plan, send it, hand the sheet back
    resume    go on with a run that ended early
    undo      write the sheet that takes a run back
    runs, results, doctor

A dry run is stopping after `prepare`.  What a result sheet says is read back from the ledger,
never from memory: nothing is claimed that is not on disk.
"""

from bulkcast.pipeline.diagnosing import doctor
from bulkcast.pipeline.plans import is_plan, read_plan, require_expected, require_for, write_plan
from bulkcast.pipeline.preparing import prepare, zone
from bulkcast.pipeline.remembering import recall, replan
from bulkcast.pipeline.reporting import crosstab, results, runs
from bulkcast.pipeline.running import apply, resume
from bulkcast.pipeline.undoing import Lost, Undone, undo
from bulkcast.pipeline.values import (
    RESUBMITTED,
    Control,
    Diagnosis,
    Prepared,
    RunReport,
    Selection,
    SendOptions,
    SheetOptions,
    Watch,
)

__all__ = [
    "RESUBMITTED",
    "Control",
    "Diagnosis",
    "Lost",
    "Prepared",
    "RunReport",
    "Selection",
    "SendOptions",
    "SheetOptions",
    "Undone",
    "Watch",
    "apply",
    "crosstab",
    "doctor",
    "is_plan",
    "prepare",
    "read_plan",
    "recall",
    "replan",
    "require_expected",
    "require_for",
    "results",
    "resume",
    "runs",
    "undo",
    "write_plan",
    "zone",
]
