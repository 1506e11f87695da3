"""The language of the command line: every message goes through `tr` or `trn`.

States have a name in each language; in JSON and the result sheet they are the same in all.
"""

import gettext
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from bulkcast.catalogue import Label
from bulkcast.explanations import REASON_LABELS, STATE_LABELS, STATUS_LABELS
from bulkcast.i18n import ENGLISH, Translator
from bulkcast.languages import DOMAIN, FOLDERS, LANGS, LOCALES, Lang, translator
from bulkcast.model import RowStatus, Text

_spoken: ContextVar[Translator] = ContextVar("translator", default=ENGLISH)


def current_translator() -> Translator:
    """The translator for this command."""
    return _spoken.get()


def tr(template: str, /, **words: object) -> str:
    """Translate an English template and fill it."""
    return _spoken.get().tell(template, **words)


def trn(one: str, many: str, n: int, /, **words: object) -> str:
    """The same with a plural form; `{n}` is the number."""
    return _spoken.get().count(one, many, n, **words)


def said(text: Text) -> str:
    """Translate a text that was stored as a template."""
    return _spoken.get().say(text)


def spell(seconds: float) -> str:
    """A duration in words.

    >>> spell(0.2), spell(32), spell(96), spell(5400), spell(float("inf"))
    ('less than a second', '32 s', '1 min 36 s', '1 h 30 min', 'a while')
    """
    return _spoken.get().duration(seconds)


def calling(headers: Mapping[str, str]) -> None:
    """From now on, name settings by the headers of the current sheet: key → header."""
    _spoken.set(_spoken.get().with_headers(headers))


def asked_for(argv: Sequence[str]) -> Lang | None:
    """The language given on a command line, before parsing: usage errors use it, too.

    >>> asked_for(["validate", "--lang", "zh", "a.csv"]), asked_for(["--lang=zh"]), asked_for([])
    ('zh', 'zh', None)
    """
    for word, following in zip(argv, [*argv[1:], ""], strict=False):
        name, equals, value = word.partition("=")
        wanted = value if equals else following
        if name == "--lang" and wanted in LANGS:
            return LANGS[LANGS.index(wanted)]
    return None


_LANGUAGE: Final = "LANGUAGE"


@contextmanager
def speaking(lang: str) -> Iterator[None]:
    """Use `lang` while the block runs.

    click translates its messages with gettext's own functions, which read the environment.
    """
    token = _spoken.set(translator(lang))
    domain, language = gettext.textdomain(), os.environ.get(_LANGUAGE)
    try:
        gettext.bindtextdomain(DOMAIN, str(LOCALES))
        gettext.textdomain(DOMAIN)
        os.environ[_LANGUAGE] = FOLDERS.get(lang, lang)
        yield
    finally:
        gettext.textdomain(domain)
        os.environ.pop(_LANGUAGE)
        if language is not None:
            os.environ[_LANGUAGE] = language
        _spoken.reset(token)


# ------------------------------------------------------------------ states

STATES: Final = tuple(STATE_LABELS)
"""The states of a run, in the words of `runs --json`."""


def status_said(status: RowStatus) -> str:
    """A row's status in the current language.

    >>> status_said(RowStatus.TOO_LATE)
    'too late'
    """
    return STATUS_LABELS[status].say(current_translator().lang)


def status_written(status: RowStatus) -> str:
    """The same, with the word of the result sheet if that differs."""
    word = status_said(status)
    if current_translator().lang == "en":
        return word
    return tr("{word} ({written})", word=word, written=status)


def state_said(state: str) -> str:
    """The state of a run in the current language."""
    return STATE_LABELS[state].say(current_translator().lang)


def reason_said(reason: str) -> str:
    """Why a run stopped, in one word of the current language."""
    label = REASON_LABELS.get(reason)
    return label.say(current_translator().lang) if label else reason


def statuses() -> tuple[str, ...]:
    """Every status as it can be typed, in the current language."""
    return _words(RowStatus, STATUS_LABELS)


def states() -> tuple[str, ...]:
    """Every state of a run as it can be typed, in the current language."""
    return _words(STATES, STATE_LABELS)


def _words(names: Iterable[str], labels: Mapping[str, Label]) -> tuple[str, ...]:
    lang = current_translator().lang
    return tuple(name if lang == "en" else labels[name].say(lang) for name in names)


def status_of(word: str) -> RowStatus | None:
    """The status that a written or displayed word means, in any language; None if unknown."""
    found = _named(word, STATUS_LABELS)
    return None if found is None else RowStatus(found)


def state_of(word: str) -> str | None:
    """The state of a run that a word means, in any language; None if unknown."""
    return _named(word, STATE_LABELS)


def _named(word: str, labels: Mapping[str, Label]) -> str | None:
    wanted = _folded(word)
    spellings = ((name, map(_folded, (name, one.en, one.zh))) for name, one in labels.items())
    return next((str(name) for name, words in spellings if wanted in words), None)


def _folded(word: str) -> str:
    return re.sub(r"[\s_-]+", "_", word.strip().casefold())
