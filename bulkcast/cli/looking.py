"""`template`, `runs`, `results` and `doctor`: what writes or shows without sending a setting."""

import asyncio
import os
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click
from rich.text import Text

from bulkcast import loader, pipeline, reporter
from bulkcast.cli import accounts, asked, documents, ended, listing, outcomes, render
from bulkcast.cli.asked import Given
from bulkcast.cli.console import Voice, command, shown, voice, whole
from bulkcast.cli.words import calling, said, spoken, tr, trn
from bulkcast.endpoints import WEBCAST
from bulkcast.errors import CannotStart, UnreadableSheet
from bulkcast.ledger import RunRecord
from bulkcast.model import Severity, Sheet
from bulkcast.pipeline import Diagnosis, zone


def template(target: Path, given: Given) -> int:
    """Write the workbook to fill in."""
    told = voice(given)
    source: Path | None = given["filled_from"]
    sheet = None
    if source is not None:
        sheet = loader.read(source, endpoint=WEBCAST, options=asked.read_options(given))
        _require_sure(sheet)
    written = reporter.write_template(
        target, WEBCAST, given["lang"], existing=asked.existing(given), filled_from=sheet
    )
    n_rows = 0 if sheet is None else len(sheet.rows)
    if told.as_json:
        document = {
            "schema": "bulkcast.template/1", "template": str(written.path), "rows": n_rows,
        }  # fmt: skip
        told.document(documents.dump(document))
    told.show(whole(tr("Template: "), shown(written.path)))
    doubts = [issue.message for issue in sheet.issues] if sheet else []
    for remark in (*doubts, *(sheet.remarks if sheet else ()), *written.remarks):
        told.say(Text(shown(said(remark))))
    if not told.as_json:
        _tell_next(told, written.path, n_rows)
    return 0


def _require_sure(sheet: Sheet) -> None:
    """Refuse to carry over what was guessed to be in a file: in a workbook it would look certain.

    Raises:
        UnreadableSheet: there is such a guess.

    """
    for issue in sheet.issues:
        if issue.severity is Severity.ERROR:
            raise UnreadableSheet("{name}: {sentence}", name=sheet.name, sentence=issue.message)


def _tell_next(told: Voice, path: Path, n_rows: int) -> None:
    validate = command("bulkcast", "validate", path)
    lead = tr("Fill in a row for each classroom, then: ")
    if n_rows:
        one = "It holds {n} row already; check it: "
        lead = trn(one, "It holds {n} rows already; check them: ", n_rows)
    told.say(whole(lead, validate))


def runs(given: Given) -> int:
    """List every run, the newest first."""
    told = voice(given)
    there = _runs(given)
    records = [record for record in there if _is_wanted(record, given)]
    if told.as_json:
        told.document(documents.dump(documents.runs(records)))
    elif records:
        told.show(*listing.runs(records))
    elif there:
        told.say(Text(trn("The {n} run is not so.", "None of the {n} runs is so.", len(there))))
    else:
        told.say(Text(tr("There are no runs yet; `bulkcast apply` begins one.")))
    return 0


def _runs(given: Given) -> list[RunRecord]:
    """Rehearsals too; with --sandbox, nothing but them."""
    home = asked.home(given)
    tried = home / asked.SANDBOX_HOME
    found = pipeline.runs(home)
    if not given["sandbox"] and pipeline.runs_called(tried, ""):
        found += pipeline.runs(tried)
        found.sort(key=lambda record: record.header.created_at, reverse=True)
    return found


def _is_wanted(record: RunRecord, given: Given) -> bool:
    """Whether a run is one of those asked for; days are those of the zone of its sheet."""
    header = record.header
    day = datetime.fromtimestamp(header.created_at, zone(header.tz)).date()
    since, until = given["since"], given["until"]
    name = (given["name"] or "").casefold()
    return (
        given["state"] in {None, documents.state(record)}
        and name in Path(header.sheet.replace("\\", "/")).name.casefold()
        and (since is None or since <= day)
        and (until is None or day <= until)
    )


def show(run: str, given: Given) -> int:
    """Show what a run came to; with --only, its rows that ended so."""
    told = voice(given)
    run, given = asked.located(run, given)
    home, only = asked.home(given), given["only"] or frozenset()
    account, rows = pipeline.outcomes(home, run, lang=spoken().lang)
    listed = [row for row in rows if row.status in only]
    if told.as_json:
        told.document(documents.dump(documents.account(account, listed)))
        return 0
    tz = zone(account.tz)
    calling(account.names)
    told.show(*accounts.account(account, outcomes.before(rows, account.run), tz, told.symbols))
    if only:
        most = None if given["all_"] else render.PROBLEMS_MOST
        told.show(Text(""), *accounts.rows(listed, most=most))
    page = command(
        "bulkcast", "results", account.run, "-o", f"{account.run}.html", *asked.typed(*asked.OF_RUN)
    )
    told.say(Text(""), whole(tr("As a page to hand on: "), page))
    return 0


def results(run: str, given: Given) -> int:
    """Write the result sheet of a run again; with --by, count its rows by a column."""
    told = voice(given)
    run, given = asked.located(run, given)
    home, by = asked.home(given), given["by"]
    _require_chosen_alone(given)
    if by:
        return _counted(told, pipeline.crosstab(home, run, by))
    if given["results"] and given["results"].suffix.lower() in _PAGES:
        return _paged(told, run, given)
    chosen = given["results"] or given["force"]
    existing: Any = asked.existing(given) if chosen else "keep"
    report = pipeline.results(
        home,
        run,
        target=given["results"],
        existing=existing,
        only=given["only"] or frozenset(),
        lang=given["lang"],
    )
    if told.as_json:
        told.document(documents.dump(documents.run(report)))
    ended.show(told, report)
    return 0


_PAGES: Final = frozenset({".html", ".htm"})


def _require_chosen_alone(given: Given) -> None:
    """Refuse --only beside what tells of all rows, or without a name of its own for the sheet.

    Raises:
        UsageError: it stands so.

    """
    target: Path | None = given["results"]
    if not given["only"] or (target and target.suffix.lower() not in _PAGES and not given["by"]):
        return
    said = "--only writes a sheet of those rows: name it with -o, as .xlsx, .csv or .tsv"
    raise click.UsageError(tr(said))


def _paged(told: Voice, run: str, given: Given) -> int:
    """Write what a run came to as a page."""
    written = pipeline.page(
        asked.home(given),
        run,
        given["results"],
        existing=asked.existing(given),
        lang=spoken().lang,
    )
    if told.as_json:
        told.document(documents.dump(documents.page(written.path)))
    told.show(whole(tr("Page: "), shown(written.path)))
    return 0


def _counted(told: Voice, table: reporter.Crosstab) -> int:
    if told.as_json:
        told.document(documents.dump(documents.crosstab(table)))
    told.show(listing.crosstab(table))
    return 0


def doctor(given: Given) -> int:
    """Check ClassIn, credentials, clock and the ledger; the exit status."""
    told = voice(given)
    found = asyncio.run(_examine(given))
    if told.as_json:
        told.document(documents.dump(documents.diagnosis(found)))
    told.show(render.findings(found, told.symbols))
    if told.quiet and found.exit_status:
        wrong = tuple(finding for finding in found.findings if not finding[1])
        told.trouble(render.findings(replace(found, findings=wrong), told.symbols))
    if not told.as_json:
        told.say(Text(tr("Runs are kept in {folder}", folder=shown(os.fspath(asked.home(given))))))
    return found.exit_status


async def _examine(given: Given) -> Diagnosis:
    try:
        wanted = asked.config(given)
    except CannotStart as exc:
        return pipeline.doctor_without(exc, asked.home(given), lang=spoken().lang)
    async with asked.connected(wanted, given) as config:
        return await pipeline.doctor(config, lang=spoken().lang)
