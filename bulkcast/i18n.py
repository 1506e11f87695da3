"""Sentences as templates with arguments: a `Translator` formats them, JSON stores the arguments."""

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, tzinfo
from typing import Any, Final

from bulkcast.arguments import Counts, Moment, Series, SettingNames
from bulkcast.catalogue import Endpoint, Setting, is_result_column
from bulkcast.errors import BulkcastError
from bulkcast.headers import fold
from bulkcast.model import Argument, Target, Text

OR: Final = " or "
MISSING: Final = "…"
"""Shown for an argument that is missing, as in a run whose row contents were erased."""


def marked(template: str) -> str:
    """Return the template: marks a sentence for translation when it is shown."""
    return template


def _one_or_many(one: str, many: str, n: int) -> str:
    return one if n == 1 else many


def _no_label(_key: str) -> None:
    return None


class _Arguments(dict[str, object]):
    """Arguments of a template; a missing one is a setting's key, or shown as `…`."""

    def __init__(self, args: Mapping[str, object], name_of: Callable[[str], str | None]) -> None:
        super().__init__(args)
        self._name_of = name_of

    def __missing__(self, name: str) -> str:
        return self._name_of(name) or MISSING


@dataclass(frozen=True, slots=True)
class Translator:
    """Formats sentences in one language; English by default."""

    lang: str = "en"
    """`en` or `zh`: which text of a `Label` to use."""
    look_up: Callable[[str], str] = str
    """Template → its translation, or itself if there is none."""
    look_up_many: Callable[[str, str, int], str] = _one_or_many
    """Singular and plural template, number → the translated template for the number."""
    label_of: Callable[[str], str | None] = _no_label
    """Setting's key → its name in this language."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Setting's key → its name in the sheet."""
    tz: tzinfo = UTC
    """The time zone of `Moment`s."""

    def with_headers(self, headers: Mapping[str, str]) -> "Translator":
        """The same language, with settings named as in a sheet's own headers."""
        return replace(self, headers=headers)

    def name_of(self, key: str) -> str:
        """A setting's name: its column, else its label; other words are returned unchanged."""
        return self._setting(key) or key

    def _setting(self, key: str) -> str | None:
        return self.headers.get(key) or self.label_of(key)

    def target(self, target: Target) -> str:
        """A classroom, by the column that names it."""
        return f"{self.name_of(target.key)} {target.id}"

    def tell(self, template: str, /, **args: object) -> str:
        """A template in this language, filled.

        >>> ENGLISH.tell("{n} rows are hidden", n=14)
        '14 rows are hidden'
        """
        return self._fill(self.look_up(template), args) if template else ""

    def count(self, one: str, many: str, n: int, /, **args: object) -> str:
        """The singular or plural template for `n`, filled; `{n}` is the number.

        >>> ENGLISH.count("{n} row", "{n} rows", 1), ENGLISH.count("{n} row", "{n} rows", 1200)
        ('1 row', '1,200 rows')
        """
        return self._fill(self.look_up_many(one, many, n), {"n": f"{n:,}", **args})

    def _fill(self, template: str, args: Mapping[str, object]) -> str:
        shown = {name: self.argument(value) for name, value in args.items()}
        return template.format_map(_Arguments(shown, self._setting))

    def duration(self, seconds: float) -> str:
        """A duration in words.

        >>> ENGLISH.duration(0.2), ENGLISH.duration(96), ENGLISH.duration(5400)
        ('less than a second', '1 min 36 s', '1 h 30 min')
        """
        if not math.isfinite(seconds):
            return self.tell("a while")
        if seconds < 1:
            return self.tell("less than a second")
        whole = round(seconds)
        if whole < 60:
            return self.tell("{n} s", n=whole)
        if whole < 3600:
            high, low = divmod(whole, 60)
            if low:
                return self.tell("{n} min {low} s", n=high, low=low)
            return self.tell("{n} min", n=high)
        high, low = divmod(round(seconds / 60), 60)
        return self.tell("{n} h {low} min", n=high, low=low) if low else self.tell("{n} h", n=high)

    def say(self, text: Text) -> str:
        """Format a `Text`."""
        return self.tell(text.template, **text.args)

    def error(self, exc: BaseException) -> str:
        """An exception's message, in this language if it is a `BulkcastError`."""
        return self.say(exc.text) if isinstance(exc, BulkcastError) else str(exc)

    def argument(self, value: object) -> object:
        """An argument of a sentence as this language shows it; a text or number as it is."""
        show = _SHOWN_BY_TYPE.get(type(value))
        if show is not None:
            return show(self, value)
        return self.error(value) if isinstance(value, BulkcastError) else value

    def listed(self, names: Iterable[str]) -> str:
        """Join names with commas; in Chinese with 、."""
        return ("、" if self.lang == "zh" else ", ").join(names)

    def joined(self, sentences: Iterable[str]) -> str:
        """Join sentences; in Chinese without spaces."""
        return ("" if self.lang == "zh" else " ").join(sentences)


def _setting_names(translator: Translator, names: SettingNames) -> str:
    name_of = translator.label_of if names.by_label else translator.name_of
    return _joined(translator, (name_of(key) or key for key in names.keys), either=names.either)


def _series(translator: Translator, series: Series) -> str:
    items = _joined(translator, series.items, either=series.either)
    if not series.more:
        return items
    return translator.tell("{rows} and {n} more", rows=items, n=f"{series.more:,}")


def _counts(translator: Translator, counts: Counts) -> str:
    return "; ".join(f"{translator.look_up(phrase)} ({n})" for phrase, n in counts.of)


def _moment(translator: Translator, moment: Moment) -> str:
    return datetime.fromtimestamp(moment.at, translator.tz).strftime("%Y-%m-%d %H:%M")


def _joined(translator: Translator, names: Iterable[str], *, either: bool) -> str:
    return translator.look_up(OR).join(names) if either else translator.listed(names)


_SHOWN_BY_TYPE: Final[Mapping[type, Callable[[Translator, Any], str]]] = {
    Text: Translator.say,
    SettingNames: _setting_names,
    Series: _series,
    Counts: _counts,
    Moment: _moment,
    Target: Translator.target,
}

ENGLISH: Final = Translator()


# ------------------------------------------------------------------ arguments as JSON

_STORED_TYPES: Final[Mapping[str, type[Any]]] = {
    "text": Text,
    "settings": SettingNames,
    "series": Series,
    "counts": Counts,
    "moment": Moment,
    "target": Target,
}
_STORED_NAMES: Final = {kind: name for name, kind in _STORED_TYPES.items()}
_STORED_TIMES: Final = frozenset({"acknowledged_at", "locked_at"})
"""Arguments that earlier versions stored as Unix seconds in a text."""


def dump_args(args: Mapping[str, Argument]) -> dict[str, object]:
    """Arguments as JSON values: texts and numbers as they are, others as an object with a type."""
    return {name: _dump_arg(value) for name, value in args.items()}


def load_args(found: Mapping[str, Any]) -> dict[str, Argument]:
    """Reverse `dump_args`; a list that an earlier version stored as a text stays as stored."""
    return {name: _load_arg(name, value) for name, value in found.items()}


def _dump_arg(value: Argument) -> object:
    if isinstance(value, str | int | float):
        return value
    stored = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Text):
        stored["args"] = dump_args(value.args)
    return {"type": _STORED_NAMES[type(value)], **stored}


def _load_arg(name: str, found: Any) -> Argument:
    if not isinstance(found, dict):
        return Moment(float(found)) if name in _STORED_TIMES else _tupled(found)
    stored = {key: _tupled(value) for key, value in found.items() if key != "type"}
    if found["type"] == "text":
        stored["args"] = load_args(found["args"])
    argument: Argument = _STORED_TYPES[found["type"]](**stored)
    return argument


def _tupled(value: Any) -> Any:
    return tuple(map(_tupled, value)) if isinstance(value, list) else value


# ------------------------------------------------------------------ headers


def short_header(header: str) -> str:
    r"""A column's name in messages: the first line of its header, without the required mark.

    `reporter.result_columns` computes the same in a workbook formula; change both or neither.

    >>> short_header("Activity ID *\n活动ID")
    'Activity ID'
    """
    first = header.partition("\n")[0].replace("\r", "").replace(" *", "")
    return re.sub(" +", " ", first).strip(" ")


def text_width(text: str) -> int:
    """Width in columns of a fixed-width font; a Chinese character takes two.

    >>> text_width("录课 on")
    7
    """
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def header_names(
    headers: Iterable[str], endpoint: Endpoint, mapping: Mapping[str, str]
) -> dict[str, str]:
    """Setting's key → the short header of its first column in the sheet.

    `mapping` (header → setting) comes before the headers, as in the validator.  A header in both
    languages is left out: the setting's label has the reader's language.

    >>> from bulkcast.endpoints.webcast import WEBCAST
    >>> header_names(["备注", "录课", "Ours"], WEBCAST, {"Ours": "activityId"})
    {'recordState': '录课', 'activityId': 'Ours'}
    >>> header_names(["Web live 网页直播"], WEBCAST, {})
    {}
    """
    mapped = {fold(header): key for header, key in mapping.items()}
    found: dict[str, str] = {}
    for header in headers:
        if is_result_column(header):
            continue
        column = endpoint.mapped_column(header, mapped)
        if column is not None and (name := short_header(header)):
            found.setdefault(column.key, name)
    return {key: name for key, name in found.items() if not _is_both(name, endpoint.by_key[key])}


def _is_both(name: str, setting: Setting) -> bool:
    """Whether a header names its setting in both languages."""
    return fold(name) in {fold(setting.label.pair(lang)) for lang in ("en", "zh")}
