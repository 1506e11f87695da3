"""JSON Schema of the request body."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, assert_never

from bulkcast.catalogue import (
    INT64_MAX,
    ChoiceKind,
    Clash,
    Endpoint,
    IdKind,
    IdListKind,
    IntegerKind,
    Kind,
    Lock,
    MomentKind,
    NameKind,
    Setting,
    TextKind,
)
from bulkcast.explanations import FATES, HERE, LOCKS, SIBLINGS, STATES, allowed_values
from bulkcast.model import Severity
from bulkcast.problems import PROBLEMS


def json_schema(endpoint: Endpoint) -> dict[str, Any]:
    """JSON Schema 2020-12 of the request body; `x-vendor-undefined` marks what is a guess."""
    clashes = (r for r in endpoint.rules if isinstance(r, Clash) and r.severity is Severity.ERROR)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Body of POST {endpoint.path}",
        "type": "object",
        "properties": {s.key: _property(s) for s in endpoint.parameters},
        "additionalProperties": False,
        "allOf": [
            {"anyOf": [{"required": [s.key]} for s in endpoint.targets]},
            {"anyOf": [{"required": [s.key]} for s in endpoint.settings]},
            *({"not": _holds(c)} for c in clashes),
        ],
    }


def _property(setting: Setting) -> dict[str, Any]:
    described: dict[str, Any] = {
        "title": setting.label.en,
        "description": setting.help.en,
        **_type(setting.kind),
    }
    if setting.secret:
        described["writeOnly"] = True
    if setting.lock is not Lock.NEVER:
        described["x-lock"] = setting.lock.value
    if setting.vendor_undefined:
        described["x-vendor-undefined"] = setting.vendor_undefined.en
    return described


_ID_TYPE: Final = {"type": "integer", "minimum": 1, "maximum": INT64_MAX}


def _type(kind: Kind) -> dict[str, Any]:
    match kind:
        case IdKind():
            return dict(_ID_TYPE)
        case ChoiceKind():
            return {"type": "integer", "enum": [c.value for c in kind.choices]}
        case IntegerKind() | MomentKind():
            return {"type": "integer", "minimum": 0}
        case TextKind() | NameKind():
            return {"type": "string"}
        case IdListKind():
            return {"type": "array", "items": dict(_ID_TYPE), "uniqueItems": True}
        case _:
            assert_never(kind)


def _holds(clash: Clash) -> dict[str, Any]:
    return {
        "properties": {
            clash.key: {"enum": sorted(clash.values)},
            clash.other: {"enum": sorted(clash.other_values)},
        },
        "required": [clash.key, clash.other],
    }


def settings_table(endpoint: Endpoint) -> str:
    """Every column of a sheet as a Markdown table: meaning, values, lock, what is not known."""
    head = ("Column", "Also read as", "Meaning", "Values", "Locks", "The vendor has not said")
    return _markdown(head, (_settings_line(s) for s in endpoint.columns))


def _settings_line(s: Setting) -> tuple[str, ...]:
    name = f"`{s.key}`<br>{s.label.en}<br>{s.label.zh}"
    unsaid = s.vendor_undefined.en if s.vendor_undefined else "–"
    aliases = "<br>".join(s.aliases) or "–"
    return name, aliases, s.help.en, allowed_values(s.kind), LOCKS[s.lock].en, unsaid


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
