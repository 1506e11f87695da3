"""`purge`: take away what old runs held."""

from rich.text import Text

from bulkcast import pipeline
from bulkcast.cli import asked, documents, listing, streams
from bulkcast.cli.agreeing import agree
from bulkcast.cli.asked import Given
from bulkcast.cli.console import shown, voice
from bulkcast.cli.words import spoken, tr, trn
from bulkcast.errors import CannotStart


def purge(given: Given) -> int:
    """Show which runs are meant, ask, and take away what they held; the exit status."""
    told = voice(given)
    if not (given["yes"] or streams.is_interactive()):
        raise CannotStart("there is no terminal to ask on; add --yes to purge without asking")
    run, given = asked.located(given["run"], given)
    home = asked.home(given)
    found = pipeline.purgeable(home, run=run, older_than_s=given["older_than"])
    if found and not told.as_json:
        told.show(*listing.runs(found))
    if found and not given["yes"]:
        one = "Take away what the rows of {n} run held, for good?"
        many = "Take away what the rows of {n} runs held, for good?"
        agree(trn(one, many, len(found)))
    if found:
        pipeline.purge(home, found)
        for kept in home.glob(asked.WORLD.format(sid="*")):
            kept.unlink(missing_ok=True)  # what a sandbox was told is what those rows held
    names = [record.header.run for record in found]
    if told.as_json:
        told.document(documents.dump({"schema": "bulkcast.purge/1", "runs": names, "exit": 0}))
    elif names:
        runs = shown(spoken().listed(names))
        told.say(Text(tr("Purged: {runs}. Result sheets were left alone.", runs=runs)))
    else:
        told.say(Text(tr("There is nothing to purge.")))
    return 0
