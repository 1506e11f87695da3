"""The tables of the README."""

from collections.abc import Iterable, Sequence
from typing import Final

from bulkcast.catalogue import Endpoint, Setting
from bulkcast.derive.settings import LOCKS, values_said
from bulkcast.model import ReplyClass
from bulkcast.problems import PROBLEMS


def settings_table(endpoint: Endpoint) -> str:
    """Every column of a sheet as a Markdown table: meaning, values, lock, what is not known."""
    head = ("Column", "Meaning", "Values", "Locks", "The vendor has not said")
    return _markdown(head, (_settings_line(s) for s in endpoint.columns))


def _settings_line(s: Setting) -> tuple[str, ...]:
    name = f"`{s.key}`<br>{s.label.en}<br>{s.label.zh}"
    return name, s.help.en, values_said(s.kind), LOCKS[s.lock], s.vendor_undefined or "–"


_FATES: Final = {
    ReplyClass.OK: "`applied`",
    ReplyClass.OK_WARNING: "`applied`, with a warning",
    ReplyClass.TRANSIENT: "repeated; in the end `unconfirmed`",
    ReplyClass.THROTTLED: "everyone slows down, then repeated",
    ReplyClass.CLOCK: "the stamp is corrected once, then the run stops",
    ReplyClass.CREDENTIALS: "the run stops",
    ReplyClass.INSTITUTION: "`rejected`; after several in a row, not sent where the feature is on",
    ReplyClass.ROW: "`rejected`",
    ReplyClass.TOO_LATE: "`too_late`",
    ReplyClass.MAINTENANCE: "the run waits, and asks now and then, for up to `--max-outage`",
    ReplyClass.STOP: "the run stops",
}


def codes_table(endpoint: Endpoint) -> str:
    """Every reply code as a Markdown table, those of the endpoint's own page first."""
    listed = sorted(endpoint.replies, key=lambda r: (not r.on_page, r.code))
    lines = (
        (f"`{r.code}`", r.meaning.en, _FATES[r.kind], "this endpoint" if r.on_page else "siblings")
        for r in listed
    )
    return _markdown(("Code", "Meaning", "What becomes of the row", "Listed for"), lines)


def problems_table() -> str:
    """Every dotted code as a Markdown table."""
    lines = (
        (f"`{code}`", p.severity.value, p.many or p.message, p.fix or "–")
        for code, p in PROBLEMS.items()
    )
    return _markdown(("Code", "Weight", "Sentence", "Fix"), lines)


def _markdown(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rule = ("---",) * len(head)
    escaped = ([cell.replace("|", "\\|").replace("\n", "<br>") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *escaped))
