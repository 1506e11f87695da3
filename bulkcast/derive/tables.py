"""The tables of the reference pages."""

from collections.abc import Iterable, Sequence

from bulkcast.catalogue import Endpoint, Setting
from bulkcast.derive.fates import FATES, HERE, SIBLINGS, STATES
from bulkcast.derive.settings import LOCKS, values_said
from bulkcast.problems import PROBLEMS


def settings_table(endpoint: Endpoint) -> str:
    """Every column of a sheet as a Markdown table: meaning, values, lock, what is not known."""
    head = ("Column", "Also read as", "Meaning", "Values", "Locks", "The vendor has not said")
    return _markdown(head, (_settings_line(s) for s in endpoint.columns))


def _settings_line(s: Setting) -> tuple[str, ...]:
    name = f"`{s.key}`<br>{s.label.en}<br>{s.label.zh}"
    unsaid = s.vendor_undefined.en if s.vendor_undefined else "–"
    aliases = "<br>".join(s.aliases) or "–"
    return name, aliases, s.help.en, values_said(s.kind), LOCKS[s.lock].en, unsaid


def states_table() -> str:
    """Every state a row can end in as a Markdown table."""
    lines = ((f"`{status}`", *told) for status, told in STATES.items())
    return _markdown(("State", "Meaning", "What to do"), lines)


def codes_table(endpoint: Endpoint) -> str:
    """Every reply code as a Markdown table, those of the endpoint's own page first."""
    listed = sorted(endpoint.replies, key=lambda r: (not r.on_page, r.code))
    lines = (
        (
            f"`{r.code}`", r.meaning.en, FATES[r.kind], r.fix.en or "–",
            HERE if r.on_page else SIBLINGS,
        )
        for r in listed
    )  # fmt: skip
    head = ("Code", "Meaning", "What becomes of the row", "What to do", "Listed for")
    return _markdown(head, lines)


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
