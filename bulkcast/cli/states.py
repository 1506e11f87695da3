"""The displayed words of states, and the words accepted as input.

In the result sheet's status column and in JSON they are the same in every language.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from bulkcast.cli.language import current_translator, tr
from bulkcast.languages import LANGS, translator
from bulkcast.model import RowStatus
from bulkcast.pipeline.status_words import REASON_WORDS, STATE_WORDS, STATUS_WORDS

STATES: Final = tuple(STATE_WORDS)
"""The states of a run, in the words of `runs --json`."""


def status_said(status: RowStatus) -> str:
    """A row's status in the current language.

    >>> status_said(RowStatus.TOO_LATE)
    'too late'
    """
    return tr(STATUS_WORDS[status])


def status_written(status: RowStatus) -> str:
    """The same, with the word of the result sheet if that differs."""
    word = status_said(status)
    return (
        word
        if current_translator().lang == "en"
        else tr("{word} ({written})", word=word, written=status)
    )


def state_said(state: str) -> str:
    """The state of a run in the current language."""
    return tr(STATE_WORDS[state])


def reason_said(reason: str) -> str:
    """Why a run stopped, in one word of the current language."""
    return tr(REASON_WORDS.get(reason, reason))


def statuses() -> tuple[str, ...]:
    """Every status as it can be typed, in the current language."""
    return _offered(RowStatus, STATUS_WORDS)


def states() -> tuple[str, ...]:
    """Every state of a run as it can be typed, in the current language."""
    return _offered(STATES, STATE_WORDS)


def _offered(names: Iterable[str], words: Mapping[str, str]) -> tuple[str, ...]:
    return (
        tuple(names)
        if current_translator().lang == "en"
        else tuple(tr(words[name]) for name in names)
    )


def status_of(word: str) -> RowStatus | None:
    """The status that a written or displayed word means, in any language; None if unknown."""
    found = _meant(word, STATUS_WORDS)
    return None if found is None else RowStatus(found)


def state_of(word: str) -> str | None:
    """The state of a run that a word means, in any language; None if unknown."""
    return _meant(word, STATE_WORDS)


def _meant(word: str, words: Mapping[str, str]) -> str | None:
    wanted = _folded(word)
    for name, english in words.items():
        if wanted in {_folded(name), *(_folded(translator(lang).tell(english)) for lang in LANGS)}:
            return str(name)
    return None


def _folded(word: str) -> str:
    return re.sub(r"[\s_-]+", "_", word.strip().casefold())
