"""The language of the command line: every message goes through `tr` or `trn`."""

import gettext
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from bulkcast.i18n import ENGLISH, Translator
from bulkcast.languages import DOMAIN, FOLDERS, LANGS, LOCALES, Lang, translator
from bulkcast.model import Text

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
