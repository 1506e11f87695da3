"""The use cases: the only module that joins the parts.

    validate  read a sheet and check it, in little memory
    prepare   read a sheet, check it, plan it            (plan stops here)
    recall    look up what ClassIn is known to hold; replan in the light of it
    require_sendable    refuse beforehand what `apply` would refuse
    with_doubts    look up the runs that a result sheet names
    spare_overtaken    settle the rows of it that a newer run has overtaken
    write_plan, read_plan    freeze a plan in a file, take it up again as it was
    apply     freeze the plan, send it, hand the sheet back
    resume    go on with a run that ended early
    undo      write the sheet that takes a run back
    runs, results, account, doctor
    purge     take away what old runs held

A dry run is stopping after `prepare`.  What a result sheet says is read back from the ledger,
never from memory: nothing is claimed that is not on disk.
"""

from bulkcast.pipeline.accounting import account, outcomes, page
from bulkcast.pipeline.believing import is_rehearsed, require_sendable, with_doubts
from bulkcast.pipeline.diagnosing import doctor, doctor_without
from bulkcast.pipeline.freezing import require_place
from bulkcast.pipeline.overtaking import spare_overtaken
from bulkcast.pipeline.parts import Parts
from bulkcast.pipeline.plans import is_plan, read_plan, require_expected, require_for, write_plan
from bulkcast.pipeline.preparing import lean, prepare, validate, zone
from bulkcast.pipeline.purging import purge, purgeable
from bulkcast.pipeline.remembering import recall, replan
from bulkcast.pipeline.reporting import crosstab, results, runs, runs_called
from bulkcast.pipeline.running import apply, left_to_send, resume
from bulkcast.pipeline.undoing import Lost, Stays, Undone, undo
from bulkcast.pipeline.values import (
    RESUBMITTED,
    STATUS_COLUMN,
    Control,
    Diagnosis,
    Prepared,
    RunReport,
    Selection,
    SendOptions,
    SheetOptions,
    Validation,
    Watch,
)

__all__ = [
    "RESUBMITTED",
    "STATUS_COLUMN",
    "Control",
    "Diagnosis",
    "Lost",
    "Parts",
    "Prepared",
    "RunReport",
    "Selection",
    "SendOptions",
    "SheetOptions",
    "Stays",
    "Undone",
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
    "spare_overtaken",
    "undo",
    "validate",
    "with_doubts",
    "write_plan",
    "zone",
]
