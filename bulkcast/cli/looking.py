"""`template`, `runs`, `results` and `doctor`: what writes or shows without sending a setting."""

import asyncio
import os
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any

from rich.text import Text

from bulkcast import loader, pipeline, reporter
from bulkcast.cli import asked, documents, render, sending
from bulkcast.cli.asked import Given
from bulkcast.cli.console import Voice, command, shown, voice, whole
from bulkcast.cli.words import said, spoken, tr, trn
from bulkcast.endpoints import WEBCAST
from bulkcast.pipeline import Diagnosis


def template(target: Path, given: Given) -> int:
    """Write the workbook to fill in."""
    told = voice(given)
    source: Path | None = given["filled_from"]
    sheet = None
    if source is not None:
        sheet = loader.read(source, endpoint=WEBCAST, options=asked.read_options(given))
    written = reporter.write_template(
        target, WEBCAST, given["lang"], existing=asked.existing(given), filled_from=sheet
    )
    n_rows = 0 if sheet is None else len(sheet.rows)
    if told.as_json:
        document = {
            "schema": "bulkcast.template/1", "template": str(written.path), "rows": n_rows,
        }  # fmt: skip
        told.document(documents.dump(document))
    elif told.quiet:
        told.document(str(written.path))
    told.show(whole(tr("Template: "), shown(written.path)))
    for remark in (*(sheet.remarks if sheet else ()), *written.remarks):
        told.say(Text(shown(said(remark))))
    if not told.as_json:
        _tell_next(told, written.path, n_rows)
    return 0


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
    records = pipeline.runs(asked.home(given))
    if told.as_json:
        told.document(documents.dump(documents.runs(records)))
    elif records:
        told.show(render.runs(records, _here()))
    else:
        told.say(Text(tr("There are no runs yet; `bulkcast apply` begins one.")))
    return 0


def _here() -> tzinfo:
    """The time zone of this computer."""
    return datetime.fromtimestamp(0, UTC).astimezone().tzinfo or UTC


def results(run: str, given: Given) -> int:
    """Write the result sheet of a run again; with --by, count its rows by a column."""
    told = voice(given)
    home, by = asked.home(given), given["by"]
    if by:
        return _counted(told, pipeline.crosstab(home, run, by))
    chosen = given["results"] or given["force"]
    existing: Any = asked.existing(given) if chosen else "keep"
    report = pipeline.results(
        home, run, target=given["results"], existing=existing, lang=given["lang"]
    )
    if told.as_json:
        told.document(documents.dump(documents.run(report)))
    sending.show_report(told, report)
    return 0


def _counted(told: Voice, table: reporter.Crosstab) -> int:
    if told.as_json:
        told.document(documents.dump(documents.crosstab(table)))
    told.show(render.crosstab(table))
    return 0


def doctor(given: Given) -> int:
    """Check credentials, clock and reachability; the exit status."""
    told = voice(given)
    found = asyncio.run(_examine(given))
    if told.as_json:
        told.document(documents.dump(documents.diagnosis(found)))
    told.show(render.findings(found, told.symbols))
    if not told.as_json:
        told.say(Text(tr("Runs are kept in {folder}", folder=shown(os.fspath(asked.home(given))))))
    return found.exit_status


async def _examine(given: Given) -> Diagnosis:
    async with asked.connected(asked.config(given), given) as config:
        return await pipeline.doctor(config, lang=spoken().lang)
