"""`purge`: take away what old runs held."""

from datetime import UTC, datetime

import click
from rich.text import Text

from bulkcast import pipeline
from bulkcast.cli import asked, documents, render, streams
from bulkcast.cli.asked import Given
from bulkcast.cli.console import shown, voice
from bulkcast.errors import CannotStart


def purge(given: Given) -> int:
    """Show which runs are meant, ask, and take away what they held; the exit status."""
    told = voice(given)
    if not (given["yes"] or streams.is_interactive()):
        raise CannotStart("there is no terminal to ask on; add --yes to purge without asking")
    home = asked.home(given)
    found = pipeline.purgeable(home, run=given["run"], older_than_s=given["older_than"])
    if found and not told.as_json:
        told.show(render.runs(found, datetime.fromtimestamp(0, UTC).astimezone().tzinfo or UTC))
    if found and not given["yes"]:
        n = render.counted(len(found), "run")
        click.confirm(f"Take away what the rows of {n} held, for good?", abort=True, err=True)
    if found:
        pipeline.purge(home, found)
    names = [record.header.run for record in found]
    if told.as_json:
        told.document(documents.dump({"schema": "bulkcast.purge/1", "runs": names, "exit": 0}))
    elif names:
        told.say(Text(f"Purged: {shown(', '.join(names))}. Result sheets were left alone."))
    else:
        told.say(Text("There is nothing to purge."))
    return 0
