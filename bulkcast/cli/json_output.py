"""The JSON objects of --json; their names and fields are a fixed interface."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bulkcast.cli.language import current_translator, said
from bulkcast.cli.render import value_label
from bulkcast.endpoints import WEBCAST
from bulkcast.i18n import ENGLISH
from bulkcast.messages import explain_stop
from bulkcast.model import Issue, ResultRow, RowStatus, Stop, no_counts
from bulkcast.pacing import show_rate

if TYPE_CHECKING:
    from bulkcast.fleet.audit import AuditEntry
    from bulkcast.ledger import RunRecord
    from bulkcast.pipeline import Diagnosis, Prepared, RunReport, Undone, Validation
    from bulkcast.pipeline.fleet_control import Fleet
    from bulkcast.pipeline.submission import Submitted
    from bulkcast.planner.forecast import Forecast
    from bulkcast.planner.summary import BilledSetting, PlanSummary, Transition
    from bulkcast.reporter import Crosstab
    from bulkcast.reporter.run_summary import FailureGroup, RunSummary

Document = dict[str, Any]

_UNSAFE: Final = re.compile("[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
"""Characters that JSON allows in a string and a terminal may interpret."""


def dump(document: Document) -> str:
    """One line of JSON, readable in any script and safe for a terminal."""
    text = json.dumps(document, ensure_ascii=False)
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def validation(found: "Validation", outlook: "Forecast | None") -> Document:
    """What `validate` found, with a forecast if the sheet has dates."""
    foreseen = {} if outlook is None else {"forecast": forecast(outlook)}
    return {
        "schema": "bulkcast.validation/1",
        "input": str(found.path),
        "rows": found.rows,
        "valid": found.valid,
        "invalid": found.invalid,
        "issues": [_issue(issue) for issue in found.issues],
        "ignored_columns": list(found.ignored_columns),
        **foreseen,
        "exit": found.exit_status,
    }


def _issue(issue: Issue) -> Document:
    return {
        "row": issue.row,
        "column": issue.column,
        "cell": issue.cell,
        "value": issue.value,
        "code": issue.code,
        "severity": issue.severity.value,
        "message": said(issue.message),
        "fix": said(issue.fix),
    }


def run(report: "RunReport") -> Document:
    """How a run ended."""
    return {
        "schema": "bulkcast.run/1",
        "run": report.run,
        "input": report.input,
        "rows": len(report.rows),
        "counts": _counts(report.counts),
        "requests": report.requests,
        "elapsed_s": round(report.elapsed_s, 3),
        "results": _path(report.results),
        "stopped": stopped(report.stop),
        "issues": [_issue(issue) for issue in report.issues],
        "ignored_columns": list(report.ignored_columns),
        **({"parts": [_part(part) for part in report.parts]} if report.parts else {}),
        "exit": report.exit_status,
    }


def _part(report: "RunReport") -> Document:
    """The run of one institution of the sheet."""
    return {
        "run": report.run,
        "institution": report.profile,
        "rows": len(report.rows),
        "counts": _counts(report.counts),
        "requests": report.requests,
        "stopped": stopped(report.stop),
        "exit": report.exit_status,
    }


def dry_run(prepared: "Prepared") -> Document:
    """The result of `apply --dry-run`, with the fields of a run."""
    counts = no_counts()
    settled = prepared.plan.settled
    for row in prepared.sheet.rows:
        outcome = settled.get(row.number)
        counts[outcome.status if outcome else RowStatus.NOT_SENT] += 1
    return {
        "schema": "bulkcast.run/1",
        "run": None,
        "input": str(prepared.path),
        "rows": len(prepared.sheet.rows),
        "counts": _counts(counts),
        "requests": 0,
        "elapsed_s": 0.0,
        "results": None,
        "stopped": stopped(Stop("dry_run", "run.dry_run", exit_status=prepared.exit_status)),
        "issues": [_issue(issue) for issue in prepared.checked.issues],
        "ignored_columns": list(prepared.ignored_columns),
        "exit": prepared.exit_status,
    }


def _counts(counts: Mapping[RowStatus, int]) -> dict[str, int]:
    return {status.value: counts[status] for status in RowStatus}


def _path(path: Path | None) -> str | None:
    return None if path is None else str(path)


def stopped(stop: Stop | None) -> Document | None:
    """Why a run ended before its last row."""
    if stop is None:
        return None
    message, _ = explain_stop(stop, {}, WEBCAST, current_translator())
    return {"reason": stop.reason, "code": stop.code, "message": message}


def plan(prepared: "Prepared", planned: "PlanSummary") -> Document:
    """What `plan` would send.  Settings are counted, not listed: some are secret."""
    outlook = planned.forecast
    return {
        "schema": "bulkcast.plan/1",
        "input": str(prepared.path),
        "rows": planned.rows,
        "to_send": planned.sent,
        "requests": planned.requests,
        "classrooms": planned.classrooms,
        "invalid": planned.invalid,
        "unchanged": planned.unchanged,
        "locked": planned.locked,
        "left_out": planned.left_out,
        "fingerprint": prepared.plan.fingerprint,
        "settings": {
            s.key: {value_label(s.key, value, ENGLISH): n for value, n in s.values.items()}
            for s in planned.settings
        },
        "changes": {
            s.key: [_transition(s.key, step) for step in s.transitions] for s in planned.settings
        },
        "billed": [_billed(item) for item in planned.billed],
        "order": [list(rows) for rows in planned.order],
        "seconds": round(outlook.duration_s, 3),
        "done_at": round(outlook.ends_at, 3),
        "too_late": [{"row": late.row, "locks_at": late.locks_at} for late in outlook.late],
        "forecast": forecast(outlook),
        "issues": [_issue(issue) for issue in prepared.checked.issues],
        "ignored_columns": list(prepared.ignored_columns),
        "exit": prepared.exit_status,
    }


def _transition(key: str, step: "Transition") -> Document:
    """One step; `old` is "unknown" if nothing was acknowledged yet."""
    old = "unknown" if step.old is None else value_label(key, step.old, ENGLISH)
    return {"old": old, "new": value_label(key, step.new, ENGLISH), "rows": step.rows}


def _billed(item: "BilledSetting") -> Document:
    setting = WEBCAST.by_key[item.key]
    by = setting.billed.en if setting.billed else ""
    return {"setting": setting.label.en, "classrooms": item.classrooms, "by": by}


def forecast(outlook: "Forecast") -> Document:
    """A forecast; times are Unix seconds, the pace is a value for --rate."""
    needed = outlook.rate_needed
    return {
        "duration_s": round(outlook.duration_s, 3),
        "ends_at": round(outlook.ends_at, 3),
        "too_late": len(outlook.late),
        "first_too_late_row": outlook.late[0].row if outlook.late else None,
        "rate_needed": None if needed is None else show_rate(needed),
    }


def runs(records: "Iterable[RunRecord]") -> Document:
    """Every run of the ledger, newest first."""
    return {"schema": "bulkcast.runs/1", "runs": [_record(record) for record in records]}


def _record(record: "RunRecord") -> Document:
    header = record.header
    return {
        "run": header.run,
        "created_at": header.created_at,
        "finished_at": record.finished_at,
        "input": header.name or header.sheet,
        "institution": {"root_url": header.institution.root_url, "sid": header.institution.sid},
        "rows": header.n_rows,
        "counts": _counts(record.counts),
        "state": state(record),
        "stopped": stopped(record.stop),
        **({"group": header.group, "profile": header.profile} if header.group else {}),
    }


def account(found: "RunSummary", rows: Iterable[ResultRow]) -> Document:
    """The summary of a run; `rows` are the requested ones."""
    return {
        "schema": "bulkcast.account/1",
        "run": found.run,
        "created_at": found.created_at,
        "finished_at": found.finished_at,
        "input": found.sheet,
        "institution": {"root_url": found.root_url, "sid": found.sid},
        "rows": found.rows,
        "counts": _counts(found.counts),
        "attempts": found.attempts,
        "purged_at": found.purged_at,
        "causes": [_cause(cause) for cause in found.causes],
        "stopped": stopped(found.stop),
        "listed": [_row(row) for row in rows],
    }


def fleet(found: "Fleet") -> Document:
    """A fleet at one moment; `_s` are seconds."""
    status = found.status
    return {
        "schema": "bulkcast.fleet/1",
        "workers": [
            {"worker": w.worker, "host": w.host, "pid": w.pid, "version": w.version,
             "concurrency": w.concurrency, "institutions": w.lanes,
             "started_at": w.started_at.timestamp(), "seen_s": round(w.seen_s, 3),
             "alive": w.is_alive}
            for w in status.workers
        ],
        "lanes": [
            {"institution": lane.institution, "state": lane.state, "worker": lane.worker,
             "epoch": lane.epoch, "expires_s": round(lane.expires_s, 3), "paused": lane.paused,
             "waiting_s": round(lane.waiting_s, 3)}
            for lane in status.lanes
        ],
        "paces": [
            {"institution": pace.institution, "share": pace.share,
             "held_s": round(pace.held_s, 3), "ahead_s": round(pace.ahead_s, 3)}
            for pace in status.paces
        ],
        "runs": [_record(record) for record in found.runs],
        "oldest_wait_s": round(status.oldest_wait_s, 3),
    }  # fmt: skip


def actions(entries: "Iterable[AuditEntry]") -> Document:
    """Who did what, newest first; times are Unix seconds."""
    return {
        "schema": "bulkcast.actions/1",
        "actions": [
            {"at": entry.at.timestamp(), "action": entry.action, "run": entry.run,
             "institution": entry.institution, "who": entry.who, "host": entry.host,
             "details": entry.details}
            for entry in entries
        ],
    }  # fmt: skip


def submitted(found: "Submitted") -> Document:
    """A run that was handed in to a fleet."""
    return {
        "schema": "bulkcast.submitted/1",
        "run": found.run,
        "rows": found.rows,
        "requests": found.requests,
        "workers": found.workers,
    }


def _cause(cause: "FailureGroup") -> Document:
    lang = current_translator().lang
    return {
        "status": cause.status.value,
        "code": cause.code,
        "rows": list(cause.rows),
        "message": cause.message.say(lang),
        "fix": cause.fix.say(lang),
    }


def _row(row: ResultRow) -> Document:
    return {
        "row": row.row,
        "status": row.status.value,
        "code": row.code,
        "message": row.message,
        "fix": row.fix,
        "attempts": row.attempts,
        "time": row.time,
    }


def page(path: Path) -> Document:
    """The path of a page."""
    return {"schema": "bulkcast.page/1", "page": str(path)}


def state(record: "RunRecord") -> str:
    """One word for the state of a run."""
    return record.state


def crosstab(table: "Crosstab") -> Document:
    """Counts by the values of one column."""
    return {
        "schema": "bulkcast.crosstab/1",
        "column": table.column,
        "counts": [
            {"value": value, **dict(zip((s.value for s in table.statuses), counts, strict=True))}
            for value, counts in table.counts
        ],
    }


def desktop_entry(path: Path, done: str) -> Document:
    """What became of the desktop entry: written, replaced, removed, or none."""
    return {"schema": "bulkcast.desktop_entry/1", "path": _path(path), "done": done}


def diagnosis(found: "Diagnosis") -> Document:
    """What `doctor` found."""
    return {
        "schema": "bulkcast.diagnosis/1",
        "findings": [
            {"name": n, "well": well, "message": sentence} for n, well, sentence in found.findings
        ],
        "exit": found.exit_status,
    }


def undone(found: "Undone") -> Document:
    """The sheet that reverts a run, and what it cannot restore."""
    return {
        "schema": "bulkcast.undo/1",
        "run": found.run,
        "sheet": _path(found.path),
        "classrooms": found.classrooms,
        "settings": found.settings,
        "not_undone": [
            {"rows": list(lost.rows), "target": str(lost.target), "setting": lost.key,
             "reason": lost.why}
            for lost in found.lost
        ],
        "exit": found.exit_status,
    }  # fmt: skip
