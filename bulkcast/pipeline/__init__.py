"""The use cases: the only module that joins the parts.

    validate  read a sheet and check it, in little memory
    prepare   read a sheet, check it, plan it            (plan stops here)
    apply     freeze the plan, send it, hand the sheet back
    resume    go on with a run that ended early
    runs, results, doctor
    purge     take away what old runs held

A dry run is stopping after `prepare`.  What a result sheet says is read back from the ledger,
never from memory: nothing is claimed that is not on disk.
"""

from bulkcast.pipeline.diagnosing import doctor
from bulkcast.pipeline.preparing import prepare, validate, zone
from bulkcast.pipeline.purging import purge, purgeable
from bulkcast.pipeline.reporting import crosstab, results, runs
from bulkcast.pipeline.running import apply, require_place, resume
from bulkcast.pipeline.values import (
    RESUBMITTED,
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
    "Control",
    "Diagnosis",
    "Prepared",
    "RunReport",
    "Selection",
    "SendOptions",
    "SheetOptions",
    "Validation",
    "Watch",
    "apply",
    "crosstab",
    "doctor",
    "prepare",
    "purge",
    "purgeable",
    "require_place",
    "results",
    "resume",
    "runs",
    "validate",
    "zone",
]
