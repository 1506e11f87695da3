"""`validate` and `plan`: everything that needs neither network nor credentials."""

import time
from pathlib import Path

from rich.text import Text

from bulkcast.cli import asked, documents, render
from bulkcast.cli.asked import Given
from bulkcast.cli.console import Voice, command, shown, voice, whole
from bulkcast.cli.figures import Figures, figures
from bulkcast.cli.words import said, tr, trn
from bulkcast.model import Severity
from bulkcast.pacing import parse_rate
from bulkcast.pipeline import Prepared, Selection, prepare, zone


def validate(sheet: Path, given: Given) -> int:
    """List every problem of the sheet; the exit status."""
    told = voice(given)
    prepared = prepare(sheet, asked.sheet_options(given), Selection())
    if told.as_json:
        told.document(documents.dump(documents.validation(prepared)))
        return prepared.exit_status
    show_remarks(told, prepared)
    show_problems(told, prepared, most=None if given["all_"] else render.PROBLEMS_MOST)
    show_verdict(told, prepared)
    told.say(_next(prepared))
    return prepared.exit_status


def show_remarks(told: Voice, prepared: Prepared) -> None:
    """What had to be guessed or passed over to read the sheet."""
    for remark in prepared.sheet.remarks:
        told.say(Text(tr("Note: {sentence}", sentence=shown(said(remark)))))


def show_problems(told: Voice, prepared: Prepared, *, most: int | None) -> None:
    """Errors and warnings, with --verbose notes too."""
    issues = [i for i in prepared.issues if told.verbose or i.severity is not Severity.NOTE]
    found = render.grouped(issues, most=most)
    told.show(*render.problems(found, told.symbols))
    if found.cut:
        more = tr("and {n} more; --all, --json or a result sheet has them all", n=f"{found.cut:,}")
        told.show(Text(more), Text(""))


def show_verdict(told: Voice, prepared: Prepared) -> None:
    """The counts, and what of the sheet is not used."""
    told.show(render.verdict(prepared.valid, prepared.invalid, prepared.issues, told.symbols))
    ignored = [shown(name) for name in prepared.checked.ignored_columns]
    if ignored:
        names = ", ".join(ignored)
        told.show(Text(tr("Columns that name no setting, kept as they are: {names}", names=names)))


def _next(prepared: Prepared) -> Text:
    apply = command("bulkcast", "apply", prepared.path)
    if not prepared.sheet.rows:
        return Text(tr("There are no rows below the header yet."))
    if not prepared.valid:
        return Text(tr("Nothing can be sent yet: mend the sheet and validate it again."))
    if prepared.invalid:
        lead = trn(
            "Mend them and validate again, or send the {n} valid row now: ",
            "Mend them and validate again, or send the {n} valid rows now: ",
            prepared.valid,
        )
        return whole(lead, apply)
    return whole(tr("Next: "), apply)


# ------------------------------------------------------------------ plan


def plan(sheet: Path, given: Given) -> int:
    """Show what would be sent; the exit status."""
    told = voice(given)
    rate = parse_rate(given["rate"])
    prepared = prepare(sheet, asked.sheet_options(given), asked.selection(given))
    now = time.time()
    planned = figures(prepared, rate=rate, now=now)
    if told.as_json:
        document = documents.plan(prepared, planned, done_at=now + planned.seconds)
        told.document(documents.dump(document))
        return prepared.exit_status
    show_remarks(told, prepared)
    told.show(*render.plan(planned, told.symbols))
    _show_order(told, prepared, planned, rate, now)
    if prepared.invalid:
        validate = command("bulkcast", "validate", prepared.path)
        told.say(whole(tr("What is wrong with the invalid rows: "), validate))
    return prepared.exit_status


def _show_order(told: Voice, prepared: Prepared, planned: Figures, rate: float, now: float) -> None:
    if not planned.sent:
        return
    name = prepared.options.tz
    tz = zone(name)
    rows = [row for request in prepared.plan.requests for row in request.rows]
    told.show(render.order(rows))
    told.show(render.pace(planned, rate, now + planned.seconds, tz, name))
    told.show(*render.late(planned, tz, told.symbols))
