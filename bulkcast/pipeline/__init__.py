"""The use cases: the only module that joins the parts.

    prepare   read a sheet, check it, plan it            (validate and plan stop here)
    apply     freeze the plan, send it, hand the sheet back
    resume    go on with a run that ended early
    runs, results, account, doctor
    purge     take away what old runs held

A dry run is stopping after `prepare`.  What a result sheet says is read back from the ledger,
never from memory: nothing is claimed that is not on disk.
"""

from bulkcast.pipeline.accounting import account, outcomes, page
from bulkcast.pipeline.diagnosing import doctor
from bulkcast.pipeline.preparing import prepare, zone
from bulkcast.pipeline.purging import purge, purgeable
from bulkcast.pipeline.reporting import crosstab, results, runs
from bulkcast.pipeline.running import apply, resume
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
    "Prepared",
    "RunReport",
    "Selection",
    "SendOptions",
    "SheetOptions",
    "Watch",
    "account",
    "apply",
    "crosstab",
    "doctor",
    "outcomes",
    "page",
    "prepare",
    "purge",
    "purgeable",
    "results",
    "resume",
    "runs",
    "zone",
]
