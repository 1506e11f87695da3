"""The JSON form of the arguments of texts, in ledgers, in plan files and between processes."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from bulkcast.arguments import Counts, Moment, Series, SettingNames
from bulkcast.model import Argument, Target, Text

_TYPES: Final[Mapping[str, type[Any]]] = {
    "text": Text,
    "settings": SettingNames,
    "series": Series,
    "counts": Counts,
    "moment": Moment,
    "target": Target,
}
_NAMES: Final = {kind: name for name, kind in _TYPES.items()}
_TIMES: Final = frozenset({"acknowledged_at", "locked_at"})
"""Arguments that earlier versions stored as Unix seconds in a text."""


def dump_args(args: Mapping[str, Argument]) -> dict[str, object]:
    """Arguments as JSON values: texts and numbers as they are, others as an object with a type."""
    return {name: _dump(value) for name, value in args.items()}


def load_args(found: Mapping[str, Any]) -> dict[str, Argument]:
    """Reverse `dump_args`; a list that an earlier version stored as a text stays as stored."""
    return {name: _load(name, value) for name, value in found.items()}


def _dump(value: Argument) -> object:
    if isinstance(value, str | int | float):
        return value
    stored = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Text):
        stored["args"] = dump_args(value.args)
    return {"type": _NAMES[type(value)], **stored}


def _load(name: str, found: Any) -> Argument:
    if not isinstance(found, dict):
        return Moment(float(found)) if name in _TIMES else _tupled(found)
    stored = {key: _tupled(value) for key, value in found.items() if key != "type"}
    if found["type"] == "text":
        stored["args"] = load_args(found["args"])
    argument: Argument = _TYPES[found["type"]](**stored)
    return argument


def _tupled(value: Any) -> Any:
    return tuple(map(_tupled, value)) if isinstance(value, list) else value
