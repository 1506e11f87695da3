"""Runs of the past: lists and sums up what the ledger has of them, and erases what rows held."""

import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from bulkcast import reporter
from bulkcast.catalogue import Label
from bulkcast.config import UPLOADS_FOLDER
from bulkcast.endpoints import WEBCAST
from bulkcast.errors import CannotStart, InstitutionBusy
from bulkcast.home import Home
from bulkcast.i18n import MISSING, header_names
from bulkcast.languages import LANGS, translator
from bulkcast.ledger import FrozenRun, RunRecord, is_begun, matching, open_ledger
from bulkcast.messages import explain_stop
from bulkcast.model import ResultRow, RowStatus, Severity, Stop, no_counts
from bulkcast.pipeline import run_group
from bulkcast.pipeline.options import zone
from bulkcast.pipeline.result_sheet import result_rows, sheet_as_read
from bulkcast.pipeline.run_group import FrozenGroup
from bulkcast.reporter import run_summary as counting
from bulkcast.reporter.run_summary import RunSummary


def runs(config_home: Home) -> list[RunRecord]:
    """Every run in the ledger, newest first."""
    with open_ledger(config_home) as ledger:
        return ledger.runs()


def runs_called(config_home: Home, run: str) -> list[str]:
    """The names of the runs that `run` may mean, newest first; creates no ledger."""
    if not is_begun(config_home):
        return []
    with open_ledger(config_home) as ledger:
        return matching(ledger.names(), run)


def crosstab(config_home: Home, run: str, column: str) -> reporter.Crosstab:
    """The rows of a run, counted by status and by a column of the sheet as it was read.

    Raises:
        CannotStart: there is no such column, or it holds a secret setting.

    """
    from bulkcast import frames

    with open_ledger(config_home) as ledger:
        frozen = run_group.load(ledger, run)
        sheet = sheet_as_read(ledger, frozen.header)
    rows = result_rows(frozen, lang="en")
    return frames.crosstab(sheet, rows, column, WEBCAST)


def account(config_home: Home, run: str) -> RunSummary:
    """The summary of a run, in both languages.

    Raises:
        CannotStart: there is no such run.

    """
    return _summary(_loaded(config_home, run))[0]


def outcomes(config_home: Home, run: str, *, lang: str) -> tuple[RunSummary, tuple[ResultRow, ...]]:
    """The summary of a run, and every result row."""
    found, rows = _summary(_loaded(config_home, run))
    return found, rows[lang]


def page(
    config_home: Home,
    run: str,
    target: Path,
    *,
    existing: reporter.Existing = "refuse",
    lang: str = "en",
) -> reporter.Written:
    """Write the report of a run as an HTML page, which first shows `lang`.

    Raises:
        CannotStart: there is no such run, or `target` cannot be written.

    """
    found = account(config_home, run)
    return reporter.write_page(target, found, zone(found.tz), lang=lang, existing=existing)


def _loaded(config_home: Home, run: str) -> FrozenRun:
    with open_ledger(config_home) as ledger:
        return run_group.with_waiting(ledger, run_group.load(ledger, run, purged=True))


def _summary(frozen: FrozenRun) -> tuple[RunSummary, Mapping[str, tuple[ResultRow, ...]]]:
    header = frozen.header
    rows: Mapping[str, tuple[ResultRow, ...]] = {
        lang: without_gaps(result_rows(frozen, lang=lang), frozen) for lang in LANGS
    }
    ended = frozen.by_row().values()
    why = {
        lang: without_gaps(result_rows(_errors_only(frozen), lang=lang), frozen) for lang in LANGS
    }
    counts = no_counts()
    for row in rows["en"]:
        counts[row.status] += 1
    found = RunSummary(
        run=header.run,
        sheet=header.title,
        sid=header.institution.sid,
        root_url=header.institution.root_url,
        tz=header.tz,
        created_at=header.created_at,
        finished_at=frozen.finished_at,
        counts=counts,
        attempts=sum(outcome.attempts for outcome in frozen.outcomes.values()),
        causes=counting.causes(why["en"], why["zh"]),
        timeline=counting.timeline((o.at, o.status) for o in ended if o.at is not None),
        stop=frozen.stop,
        stopped=_why(frozen.stop, counts),
        purged_at=frozen.purged_at,
        names=header_names(header.headers, WEBCAST, header.mapping),
    )
    return found, rows


def _errors_only(frozen: FrozenRun) -> FrozenRun:
    """The run without warnings and notes, which are not why a row failed."""
    if isinstance(frozen, FrozenGroup):
        return replace(frozen, parts=tuple(map(_errors_only, frozen.parts)))
    errors = {
        row: tuple(i for i in issues if i.severity is Severity.ERROR)
        for row, issues in frozen.issues.items()
    }
    return replace(frozen, issues=errors)


def without_gaps(rows: tuple[ResultRow, ...], frozen: FrozenRun) -> tuple[ResultRow, ...]:
    """The rows of a purged run without the messages whose arguments were erased."""
    if frozen.purged_at is None:
        return rows
    return tuple(
        replace(row, message="", fix="") if MISSING in row.message + row.fix else row
        for row in rows
    )


def _why(stop: Stop | None, counts: Mapping[RowStatus, int]) -> Label | None:
    if stop is None:
        return None
    en, zh = (
        speaks.joined([*explain_stop(stop, counts, WEBCAST, speaks)])
        for speaks in map(translator, LANGS)
    )
    return Label(en, zh)


# ------------------------------------------------------------------ erasing


def purgeable(
    home: Home, *, run: str = "", older_than_s: float, wall: Callable[[], float] = time.time
) -> list[RunRecord]:
    """The run named, or every run that ended (or broke off) that long ago; newest first.

    Runs of a group are purged together.

    Raises:
        CannotStart: there is no such run, or it has been purged already.

    """
    with open_ledger(home) as ledger:
        if run:
            # Every part of a group has a copy of the whole sheet.
            first = ledger.newest(run_group.named(ledger, run).names[0]).header
            names = run_group.named(ledger, first.group).names if first.group else (first.run,)
            records = [ledger.newest(name) for name in names]
            if all(record.purged_at is not None for record in records):
                raise CannotStart("run {run} was purged before", run=first.group or first.run)
            return [record for record in records if record.purged_at is None]
        before = wall() - older_than_s
        left = [record for record in ledger.runs() if record.purged_at is None]
        late = {r.header.group for r in left if r.header.group and _ended_at(r) > before}
        return [r for r in left if _ended_at(r) <= before and r.header.group not in late]


def _ended_at(record: RunRecord) -> float:
    return record.finished_at or record.header.created_at


def purge(home: Home, records: list[RunRecord], *, wall: Callable[[], float] = time.time) -> None:
    """Erase the contents of these runs beyond recovery; the outcomes of their rows stay.

    A sheet that was uploaded to the page goes too, once no other run needs it; the user's own files
    stay.

    Raises:
        InstitutionBusy: a run is under way, and the file cannot be wiped while it is written.
        LedgerUnwritable: likewise, or the disk is full.

    """
    with open_ledger(home) as ledger:
        purged = {record.header.run for record in records}
        every = ledger.runs()
        hinders = every if ledger.is_wiped_alone else [r for r in every if r.header.run in purged]
        busy = [record.header.run for record in hinders if record.under_way]
        if busy:
            raise InstitutionBusy("run {run} is under way; purge when it has ended", run=busy[0])
        left = [r for r in every if r.purged_at is None and r.header.run not in purged]
        for folder in _uploaded(home, records) - _uploaded(home, left):
            shutil.rmtree(folder, ignore_errors=True)
        ledger.purge([record.header.run for record in records], wall())


def _uploaded(home: Home, records: Iterable[RunRecord]) -> set[Path]:
    """The page's folders of the sheets of some runs."""
    folders = (Path(record.header.sheet).parent for record in records)
    uploads = (home / UPLOADS_FOLDER).resolve()
    return {folder for folder in folders if folder.resolve().parent == uploads}
