"""Sentences as templates with arguments, and a `Translator` that formats them in one language."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from bulkcast.catalogue import Endpoint, Setting, fold, is_result_column
from bulkcast.errors import BulkcastError
from bulkcast.model import Target, Text

PHRASES: Final = frozenset({"what", "why", "detail"})
"""Arguments that are phrases of bulkcast, not of the sheet: they are translated, too."""

LONG_TEXT: Final = "number"
"""The argument present if a signature may have been refused because of a long text."""

OR: Final = " or "
COMMA: Final = ", "

LISTS: Final = frozenset(
    {"settings", "free", "given", "keys", "feature", "key", "other", "targets"}
)
"""Arguments that are keys of settings, joined with `COMMA` or `OR`."""

LABELLED: Final = frozenset({"setting", "candidates"})
"""The same, but shown by label instead of by column, since the header is wrong."""

SERIES: Final = frozenset({"choices", "known", "rows", "examples", "runs"})
"""Arguments that are lists of other things."""

ROWS: Final = frozenset({"others"})
"""Arguments that are rows, in the form of `AND_MORE`."""

SPELLED: Final = frozenset({"either"})
"""Arguments that are keys to be typed as they are."""

COUNTED: Final = frozenset({"parts"})
"""Arguments that are phrases with counts, such as `charts (2); notes (1)`."""


def marked(template: str) -> str:
    """Return the template: marks a sentence for translation when it is shown."""
    return template


def _one_or_many(one: str, many: str, n: int) -> str:
    return one if n == 1 else many


def _no_label(_key: str) -> None:
    return None


UNKNOWN_HOST: Final = marked("the name {host} is not known here")
NO_LISTENER: Final = marked("{host} does not answer ({why})")
TOO_SLOW: Final = marked("connecting took too long")
BROKE_EARLY: Final = marked("the connection broke before anything was sent")
"""Reasons for a failed connection; the ledger stores them with their arguments filled in."""

REFUSES: Final = marked("it refuses connections")
BREAKS_OFF: Final = marked("it breaks connections off")
NO_WAY: Final = marked("no network leads there")
NOT_ALLOWED: Final = marked("this computer does not allow it")
SYSTEM_ERROR: Final = marked("error {number} of the system")
NO_REASON: Final = marked("the system gives no reason")
"""Why a host does not answer, inside `NO_LISTENER`."""

SEEN: Final[Mapping[str, str]] = {
    "send.not_connected": marked("no connection: {detail}"),
    "send.timeout": marked("no answer within {detail} s"),
    "send.lost": marked("a connection that broke before the answer was complete"),
    "reply.not_json": marked("an answer that is not ClassIn's: {detail}"),
    "reply.too_large": marked("an answer of more than {detail} bytes"),
    "reply.http": marked("HTTP {status}"),
    "reply.throttled": marked("HTTP 429"),
    "reply.maintenance": marked("ClassIn under maintenance"),
}
"""Verdict's code → what was seen instead of a reply; stored filled in, too."""

CODE_SEEN: Final = marked("ClassIn's code {code}")

_LEDGER: Final = (
    marked("the ledger {path} cannot be written: {exc}"),
    marked("the ledger cannot be written: {exc}"),
)
"""Reasons why a run stopped; stored filled in, too."""

_FILLED: Final = tuple(
    (template, re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+)", re.escape(template))))
    for template in (*SEEN.values(), CODE_SEEN, UNKNOWN_HOST, NO_LISTENER, SYSTEM_ERROR, *_LEDGER)
    if "{" in template
)
"""Filled-in sentences that may contain others come first."""
AND_MORE: Final = marked("{rows} and {n} more")
"""A list of rows that names only the first few; issues store it filled in."""

_AND_MORE: Final = re.compile(r"(?P<rows>.+) and (?P<n>\d+) more")
_COUNTED: Final = re.compile(r"[^;(]+(?= \(\d+\))")


UNTOLD: Final = "…"


class _Words(dict[str, object]):
    """Arguments of a sentence; a missing one is a setting's key, or shown as `…`."""

    def __init__(self, words: Mapping[str, object], name_of: Callable[[str], str | None]) -> None:
        super().__init__(words)
        self._name_of = name_of

    def __missing__(self, name: str) -> str:
        return self._name_of(name) or UNTOLD


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

    def calling(self, headers: Mapping[str, str]) -> "Translator":
        """The same language, with settings named as in a sheet's own headers."""
        return replace(self, headers=headers)

    def name_of(self, key: str) -> str:
        """A setting's name: its column, else its label; other words are returned unchanged."""
        return self.headers.get(key) or self.label_of(key) or key

    def target(self, target: Target) -> str:
        """A classroom, by the column that names it."""
        return f"{self.name_of(target.key)} {target.id}"

    def tell(self, template: str, /, **words: object) -> str:
        """A template in this language, filled.

        >>> ENGLISH.tell("{n} rows are hidden", n=14)
        '14 rows are hidden'
        """
        return self._fill(self.look_up(template), words) if template else ""

    def count(self, one: str, many: str, n: int, /, **words: object) -> str:
        """The singular or plural template for `n`, filled; `{n}` is the number.

        >>> ENGLISH.count("{n} row", "{n} rows", 1), ENGLISH.count("{n} row", "{n} rows", 1200)
        ('1 row', '1,200 rows')
        """
        return self._fill(self.look_up_many(one, many, n), {"n": f"{n:,}", **words})

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
        if not isinstance(exc, BulkcastError):
            return str(exc)
        if not exc.words:
            return self.look_up(exc.template)
        return self.tell(exc.template, **exc.words)

    def joined(self, sentences: list[str]) -> str:
        """Join sentences; in Chinese without spaces."""
        return ("" if self.lang == "zh" else " ").join(sentences)

    def _fill(self, template: str, words: Mapping[str, object]) -> str:
        told = {name: self._word(name, value) for name, value in words.items()}
        return template.format_map(_Words(told, self._setting))

    def _setting(self, key: str) -> str | None:
        return self.headers.get(key) or self.label_of(key)

    def listed(self, names: Iterable[str]) -> str:
        """Join names with commas; in Chinese with 、."""
        return ("、" if self.lang == "zh" else COMMA).join(names)

    def _translate_phrase(self, value: str) -> str:
        for template, pattern in _FILLED:
            if found := pattern.fullmatch(value):
                return self.tell(template, **found.groupdict())
        return self.look_up(value)

    def _lead(self, spaced: str) -> str:
        phrase = spaced.strip()
        return spaced.replace(phrase, self.look_up(phrase))

    def _word(self, name: str, value: object) -> object:
        match value:
            case Text():
                return self.say(value)
            case BulkcastError():
                return self.error(value)
            case Target():
                return self.target(value)
            case str() if value:
                return self._translated_argument(name, value)
            case _:
                return value

    def _translated_argument(self, name: str, value: str) -> str:
        """Translate an argument whose name marks it as bulkcast's; others are unchanged."""
        for names, told in (
            (PHRASES, self._translate_phrase),
            (COUNTED, self._translate_counts),
            (SPELLED, self._translate_alternatives),
            (LABELLED, self._translate_labels),
            (LISTS, self._translate_settings),
            (SERIES, self._translate_list),
            (ROWS, self._translate_rows),
        ):
            if name in names:
                return told(value)
        return value

    def _translate_counts(self, value: str) -> str:
        return _COUNTED.sub(lambda found: self._lead(found[0]), value)

    def _translate_alternatives(self, value: str) -> str:
        return self.look_up(OR).join(value.split(OR))

    def _translate_labels(self, value: str) -> str:
        return self.look_up(OR).join(self.label_of(key) or key for key in value.split(OR))

    def _translate_list(self, value: str) -> str:
        return self.listed(value.split(COMMA))

    def _translate_rows(self, value: str) -> str:
        more = _AND_MORE.fullmatch(value)
        return self.tell(AND_MORE, **more.groupdict()) if more else self._translate_list(value)

    def _translate_settings(self, value: str) -> str:
        either = (map(self.name_of, keys.split(COMMA)) for keys in value.split(OR))
        return self.look_up(OR).join(map(self.listed, either))


ENGLISH: Final = Translator()


def short_header(header: str) -> str:
    r"""A column's name in messages: the first line of its header, without the required mark.

    `reporter.result_columns` computes the same in a workbook formula; change both or neither.

    >>> short_header("Activity ID *\n活动ID")
    'Activity ID'
    """
    first = header.partition("\n")[0].replace("\r", "").replace(" *", "")
    return re.sub(" +", " ", first).strip(" ")


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
