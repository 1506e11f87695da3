"""The use cases, built from the other packages.

A use case is loaded when it is first named: who validates needs neither ledger nor network.
"""

from typing import TYPE_CHECKING, Final

from bulkcast import lazy

if TYPE_CHECKING:
    from bulkcast.dispatcher import (
        Progress,
    )
    from bulkcast.fleet.audit import (
        AuditEntry,
    )
    from bulkcast.ledger import (
        End,
        RunRecord,
    )
    from bulkcast.loader import (
        ReadOptions,
        require_kind,
    )
    from bulkcast.pipeline.diagnosis import (
        Diagnosis,
        doctor,
        doctor_without,
    )
    from bulkcast.pipeline.execution import (
        Control,
        Parts,
        Watch,
    )
    from bulkcast.pipeline.fleet_control import (
        RunStanding,
        actions,
        busy_lanes,
        cancel,
        go_on_with,
        lane_of,
        note_action,
        pause_run,
        run_standing,
        shown_database,
    )
    from bulkcast.pipeline.gauge import (
        Figures,
        Gauge,
        delay,
        lateness,
        slowness,
        time_left,
    )
    from bulkcast.pipeline.institutions import (
        apply_parts,
        is_group,
        profiles_of,
        resume_parts,
    )
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
        compare_with_ledger,
        plan_alone,
        prepare,
        prepare_checked,
        prepare_planned,
        prepare_run,
        recall,
        replan,
    )
    from bulkcast.pipeline.resubmission import (
        is_rehearsed,
    )
    from bulkcast.pipeline.result_sheet import (
        NextStep,
        RunReport,
        next_step,
        results,
    )
    from bulkcast.pipeline.reversal import (
        Undone,
        Unrecoverable,
        UnrecoverableGroup,
        undo,
    )
    from bulkcast.pipeline.run import (
        apply,
        left_to_send,
        resume,
    )
    from bulkcast.pipeline.run_group import (
        GroupRecord,
    )
    from bulkcast.pipeline.run_overview import (
        Base,
        FailedRow,
        RunState,
        SomeRuns,
        newest_failures,
        run_end,
        run_state,
        some_runs,
    )
    from bulkcast.pipeline.run_results import (
        HandedOut,
        ProblemGroup,
        ResultTable,
        remove_handed_out,
        result_file,
        result_table,
        summary_file,
        template_file,
        undo_file,
        undo_outlook,
    )
    from bulkcast.pipeline.sample_sheet import (
        sample_term,
    )
    from bulkcast.pipeline.sheet_columns import (
        CERTAIN,
        IGNORE,
        MASK,
        ColumnUse,
        Match,
        Meanings,
        OddWord,
        applicable,
        cell_text,
        columns_of,
        edits_for,
        odd_words,
    )
    from bulkcast.pipeline.sheet_comparison import (
        Comparison,
        compare_problems,
    )
    from bulkcast.pipeline.sheet_editing import (
        Edits,
        check_edited,
        edited_copy,
        repeated,
        with_edits,
        written,
    )
    from bulkcast.pipeline.sheet_marking import (
        mark_up,
    )
    from bulkcast.pipeline.sheet_parts import (
        Members,
        Part,
        prepare_parts,
    )
    from bulkcast.pipeline.sheet_preview import (
        DELIMITERS,
        ENCODINGS,
        Preview,
        is_certain,
        preview,
    )
    from bulkcast.pipeline.submission import (
        Submitted,
        follow,
        reopen,
        submit,
    )
    from bulkcast.pipeline.validation import (
        CheckedSheet,
        SheetReport,
        Validation,
        check_sheet,
        lean,
        read_sheet,
        require_one_institution,
        validate,
    )
    from bulkcast.planner.summary import (
        PlanSummary,
        SettingSummary,
    )

__all__ = [
    "CERTAIN", "DELIMITERS", "ENCODINGS", "IGNORE", "MASK", "RESUBMITTED", "STATUS_COLUMN",
    "AuditEntry", "Base", "CheckedSheet", "ColumnUse", "Comparison", "Control", "Diagnosis",
    "Edits", "End", "FailedRow", "Figures", "Gauge", "GroupRecord", "HandedOut", "Match",
    "Meanings", "Members", "NextStep", "OddWord", "Part", "Parts", "PlanOptions", "PlanSummary",
    "Prepared", "PreparedRun", "Preview", "ProblemGroup", "Progress", "ReadOptions", "ResultTable",
    "RunRecord", "RunReport", "RunStanding", "RunState", "Selection", "SendOptions",
    "SettingSummary", "SheetOptions", "SheetReport", "SomeRuns", "Submitted", "Undone",
    "Unrecoverable", "UnrecoverableGroup", "Validation", "Watch", "account", "actions",
    "applicable", "apply", "apply_parts", "busy_lanes", "cancel", "cell_text", "check_edited",
    "check_sheet", "columns_of", "compare_problems", "compare_with_ledger", "crosstab", "delay",
    "doctor", "doctor_without", "edited_copy", "edits_for", "follow", "go_on_with", "is_certain",
    "is_group", "is_plan", "is_rehearsed", "lane_of", "lateness", "lean", "left_to_send", "mark_up",
    "newest_failures", "next_step", "note_action", "odd_words", "outcomes", "page", "pause_run",
    "plan_alone", "prepare", "prepare_checked", "prepare_parts", "prepare_planned", "prepare_run",
    "preview", "profiles_of", "purge", "purgeable", "read_plan", "read_sheet", "recall",
    "remove_handed_out", "reopen", "repeated", "replan", "require_expected", "require_for",
    "require_kind", "require_one_institution", "result_file", "result_table", "results", "resume",
    "resume_parts", "run_end", "run_standing", "run_state", "runs", "runs_called", "sample_term",
    "shown_database", "slowness", "some_runs", "submit", "summary_file", "template_file",
    "time_left", "undo", "undo_file", "undo_outlook", "validate", "with_edits", "write_plan",
    "written", "zone",
]  # fmt: skip

_HOMES: Final = {
    "bulkcast.dispatcher": ("Progress",),
    "bulkcast.fleet.audit": ("AuditEntry",),
    "bulkcast.ledger": ("End", "RunRecord"),
    "bulkcast.loader": ("ReadOptions", "require_kind"),
    "bulkcast.pipeline.diagnosis": ("Diagnosis", "doctor", "doctor_without"),
    "bulkcast.pipeline.execution": ("Control", "Parts", "Watch"),
    "bulkcast.pipeline.fleet_control": (
        "RunStanding", "actions", "busy_lanes", "cancel", "go_on_with", "lane_of", "note_action",
        "pause_run", "run_standing", "shown_database",
    ),
    "bulkcast.pipeline.gauge": ("Figures", "Gauge", "delay", "lateness", "slowness", "time_left"),
    "bulkcast.pipeline.institutions": (
        "apply_parts", "is_group", "profiles_of", "resume_parts",
    ),
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
        "Prepared", "PreparedRun", "compare_with_ledger", "plan_alone", "prepare",
        "prepare_checked", "prepare_planned", "prepare_run", "recall", "replan",
    ),
    "bulkcast.pipeline.resubmission": ("is_rehearsed",),
    "bulkcast.pipeline.result_sheet": ("NextStep", "RunReport", "next_step", "results"),
    "bulkcast.pipeline.reversal": ("Undone", "Unrecoverable", "UnrecoverableGroup", "undo"),
    "bulkcast.pipeline.run": ("apply", "left_to_send", "resume"),
    "bulkcast.pipeline.run_group": ("GroupRecord",),
    "bulkcast.pipeline.run_overview": (
        "Base", "FailedRow", "RunState", "SomeRuns", "newest_failures", "run_end", "run_state",
        "some_runs",
    ),
    "bulkcast.pipeline.run_results": (
        "HandedOut", "ProblemGroup", "ResultTable", "remove_handed_out", "result_file",
        "result_table", "summary_file", "template_file", "undo_file", "undo_outlook",
    ),
    "bulkcast.pipeline.sample_sheet": ("sample_term",),
    "bulkcast.pipeline.sheet_columns": (
        "CERTAIN", "IGNORE", "MASK", "ColumnUse", "Match", "Meanings", "OddWord", "applicable",
        "cell_text", "columns_of", "edits_for", "odd_words",
    ),
    "bulkcast.pipeline.sheet_comparison": ("Comparison", "compare_problems"),
    "bulkcast.pipeline.sheet_editing": (
        "Edits", "check_edited", "edited_copy", "repeated", "with_edits", "written",
    ),
    "bulkcast.pipeline.sheet_marking": ("mark_up",),
    "bulkcast.pipeline.sheet_parts": ("Members", "Part", "prepare_parts"),
    "bulkcast.pipeline.sheet_preview": (
        "DELIMITERS", "ENCODINGS", "Preview", "is_certain", "preview",
    ),
    "bulkcast.pipeline.submission": ("Submitted", "follow", "reopen", "submit"),
    "bulkcast.pipeline.validation": (
        "CheckedSheet", "SheetReport", "Validation", "check_sheet", "lean", "read_sheet",
        "require_one_institution", "validate",
    ),
    "bulkcast.planner.summary": ("PlanSummary", "SettingSummary"),
}  # fmt: skip

if not TYPE_CHECKING:  # so that types are those of the imports above
    __getattr__ = lazy.attributes(__name__, _HOMES)
