"""Writes a copy of a sheet that says in each row what keeps it from being sent."""

from collections.abc import Iterator
from pathlib import Path

from bulkcast import loader, reporter
from bulkcast.endpoints import WEBCAST
from bulkcast.languages import translator
from bulkcast.messages import result_row
from bulkcast.model import ResultRow, Text
from bulkcast.pipeline.options import zone
from bulkcast.pipeline.preparation import plan_alone
from bulkcast.pipeline.validation import CheckedSheet


def mark_up(sheet: CheckedSheet, target: Path, *, lang: str) -> tuple[Path, tuple[Text, ...]]:
    """Write the sheet with the outcome of every row that would not be sent.

    Rows that an earlier run has sent keep what its result says.  No run is named in the others, so
    that the copy can be mended and uploaded like any sheet.  Returns the path, whose suffix is
    .xlsx where the sheet's own kind cannot be written, and remarks.

    Raises:
        CannotStart: the copy cannot be written.
        UnreadableSheet: the file is no longer the one that was read.

    """
    layout = sheet.sheet.layout
    if layout.kind not in {"csv", "tsv", "xlsx", "xlsm"}:
        target = target.with_suffix(".xlsx")
    cells = None
    if reporter.is_anew(target, layout.kind):
        cells = loader.grid(sheet.path, layout)
    written = reporter.write_results(
        sheet.path, target, layout, sheet.sheet.headers, tuple(_rows(sheet, lang)),
        existing="replace", cells=cells, lang=lang,
    )  # fmt: skip
    return written.path, written.remarks


def _rows(sheet: CheckedSheet, lang: str) -> Iterator[ResultRow]:
    speaks = translator(lang).with_headers(sheet.names)
    issues = {row.row: row.issues for row in sheet.checked.rows if row.issues}
    for row, outcome in sorted(plan_alone(sheet).plan.settled.items()):
        kept = sheet.kept.get(row)
        yield kept or result_row(
            row, outcome, issues.get(row, ()), endpoint=WEBCAST, run="",
            tz=zone(sheet.options.tz), translator=speaks,
        )  # fmt: skip
