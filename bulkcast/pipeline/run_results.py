"""The results of a run, to be looked through, and as files to be handed out."""

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

from bulkcast import reporter
from bulkcast.endpoints import WEBCAST
from bulkcast.home import Home, folder_of
from bulkcast.i18n import header_names
from bulkcast.languages import translator
from bulkcast.ledger import RunRecord, open_ledger
from bulkcast.messages import explain_stop
from bulkcast.model import ResultRow, RowStatus, Target, no_counts
from bulkcast.pipeline import run_group
from bulkcast.pipeline.options import zone
from bulkcast.pipeline.past_runs import account, without_gaps
from bulkcast.pipeline.result_sheet import NextStep, next_step, result_rows, results
from bulkcast.pipeline.reversal import Undone, undo

FAILED: Final = (
    RowStatus.INVALID,
    RowStatus.TOO_LATE,
    RowStatus.REJECTED,
    RowStatus.UNCONFIRMED,
    RowStatus.NOT_SENT,
)
"""What has not come to what its row says."""


@dataclass(frozen=True, slots=True)
class ProblemGroup:
    """Rows that failed for the same reason."""

    status: RowStatus
    code: str
    rows: int
    message: str
    """Of the first row."""
    fix: str


@dataclass(frozen=True)
class ResultTable:
    """How every row of a run ended, in one language."""

    record: RunRecord
    rows: Sequence[ResultRow]
    classrooms: Mapping[int, Target]
    """Row → its classroom; missing where none was read."""
    stop: tuple[str, str]
    """Why the run ended early, and what to do; empty if it did not."""

    @cached_property
    def counts(self) -> Mapping[RowStatus, int]:
        """Rows by status; adds up to the rows read."""
        return {**no_counts(), **Counter(row.status for row in self.rows)}

    @property
    def next_step(self) -> NextStep:
        """What is to be done now."""
        left_out = sum(row.code == "plan.not_chosen" for row in self.rows)
        return next_step(self.counts, self.record.stop, left_out=left_out)

    @cached_property
    def problems(self) -> tuple[ProblemGroup, ...]:
        """Why rows failed; the most frequent reason first."""
        first: dict[tuple[RowStatus, str], ResultRow] = {}
        counted: Counter[tuple[RowStatus, str]] = Counter()
        for row in self.rows:
            if row.status in FAILED:
                first.setdefault((row.status, row.code), row)
                counted[row.status, row.code] += 1
        return tuple(
            ProblemGroup(status, code, n, first[status, code].message, first[status, code].fix)
            for (status, code), n in counted.most_common()
        )

    def chosen(self, statuses: Set[RowStatus] = frozenset(), code: str = "") -> list[ResultRow]:
        """The rows with one of these statuses and this code; empty for any."""
        return [
            row
            for row in self.rows
            if (not statuses or row.status in statuses) and (not code or row.code == code)
        ]


def result_table(home: Home, run: str, *, lang: str) -> ResultTable:
    """How every row of a run, or of a group, ended; a purged one has no messages.

    Raises:
        CannotStart: there is no such run.
        LedgerDamaged: the ledger is not what was written.

    """
    with open_ledger(home) as ledger:
        named = run_group.named(ledger, run)
        frozen = run_group.load(ledger, run, purged=True)
        record = run_group.record(ledger, named)
        targets = {
            row: target for name in named.names for row, target in ledger.targets(name).items()
        }
    header = frozen.header
    speaks = translator(lang).with_headers(header_names(header.headers, WEBCAST, header.mapping))
    rows = without_gaps(result_rows(frozen, lang=lang), frozen)
    stop = explain_stop(frozen.stop, record.counts, WEBCAST, speaks) if frozen.stop else ("", "")
    return ResultTable(record, rows, targets, stop)


# ------------------------------------------------------------------ files


@dataclass(frozen=True, slots=True)
class HandedOut:
    """A file for the user, which is removed when the block ends that asked for it."""

    path: Path
    name: str
    """What to call it, after the user's own sheet."""


@contextmanager
def result_file(
    home: Home, run: str, *, only: Set[RowStatus] = frozenset(), kind: str = "", lang: str = "en"
) -> Iterator[HandedOut | None]:
    """The result sheet of a run, written for this once; None if none of its rows is chosen.

    Args:
        home: where the ledger lies.
        run: its name.
        only: the statuses of the rows to write; empty for all.
        kind: `csv`, `tsv` or `xlsx`; empty for the sheet's own kind.
        lang: the language of its messages.

    Raises:
        CannotStart: there is no such run, it was purged, or the file cannot be written.

    """
    with _folder(home) as folder, open_ledger(home) as ledger:
        header = run_group.record(ledger, run_group.named(ledger, run)).header
        suffix = f".{kind}" if kind else Path(header.target).suffix
        report = results(
            home, run, target=folder / f"results{suffix}", existing="refuse", only=only, lang=lang
        )
        name = reporter.default_name(Path(header.title).with_suffix(suffix), run).name
        if only:
            name = name.replace(f".results-{run}", f".failed-{run}")
        yield HandedOut(report.results, name) if report.results else None


@contextmanager
def summary_file(home: Home, run: str, *, lang: str = "en") -> Iterator[HandedOut]:
    """The report of a run as an HTML page, written for this once.

    Raises:
        CannotStart: there is no such run, or the file cannot be written.

    """
    with _folder(home) as folder:
        found = account(home, run)
        written = reporter.write_page(
            folder / "summary.html", found, zone(found.tz), lang=lang, existing="refuse"
        )
        yield HandedOut(written.path, f"{Path(found.sheet).stem}.summary-{run}.html")


@contextmanager
def undo_file(home: Home, run: str, *, lang: str = "en") -> Iterator[HandedOut | None]:
    """The sheet that takes a run back, written for this once; None if nothing can be taken back.

    Raises:
        CannotStart: there is no such run, or it was purged.
        InstitutionBusy: it is under way.

    """
    with _folder(home) as folder, open_ledger(home) as ledger:
        header = run_group.record(ledger, run_group.named(ledger, run)).header
        kind = Path(header.target).suffix
        kind = kind if kind in {".csv", ".tsv"} else ".xlsx"
        found = undo(home, run, target=folder / f"undo{kind}", lang=lang)
        name = f"{Path(header.title).stem}.undo-{run}{kind}"
        yield HandedOut(found.path, name) if found.path else None


def undo_outlook(home: Home, run: str, *, lang: str = "en") -> Undone:
    """What could be taken back of a run, and what could not; raises what `undo_file` does."""
    with _folder(home) as folder:
        return replace(undo(home, run, target=folder / "undo.xlsx", lang=lang), path=None)


@contextmanager
def template_file(home: Home, *, lang: Literal["en", "zh"] = "en") -> Iterator[HandedOut]:
    """The workbook to fill in, written for this once."""
    with _folder(home) as folder:
        written = reporter.write_template(folder / "template.xlsx", WEBCAST, lang)
        yield HandedOut(written.path, "webcast-settings.xlsx")


def remove_handed_out(home: Home) -> None:
    """Remove the files that a program has left which was killed as it wrote them."""
    with suppress(OSError):
        for folder in folder_of(home).glob(f"{_HANDED_OUT}*"):
            if time.time() - folder.stat().st_mtime > _LEFT_S:
                shutil.rmtree(folder, ignore_errors=True)


_HANDED_OUT: Final = ".handed-out-"
_LEFT_S: Final = 3600.0
"""Seconds after which nobody writes such a file any more."""


@contextmanager
def _folder(home: Home) -> Iterator[Path]:
    """A private folder for a file that is handed out."""
    folder_of(home).mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home, prefix=_HANDED_OUT) as folder:
        yield Path(folder)
