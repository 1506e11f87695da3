"""JSON Schema of the request body."""

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
    Setting,
    TextKind,
)
from bulkcast.model import Severity


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
        case IntegerKind():
            return {"type": "integer", "minimum": 0}
        case TextKind():
            return {"type": "string"}
        case IdListKind():
            return {"type": "array", "items": dict(_ID_TYPE), "uniqueItems": True}
        case MomentKind():
            return {"type": "integer", "minimum": 0}
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
