"""The displayed words of states, and the words accepted as input.

In the result sheet's status column and in JSON they are the same in every language.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from bulkcast.catalogue import Label
from bulkcast.cli.language import current_translator, tr
from bulkcast.explanations import REASON_LABELS, STATE_LABELS, STATUS_LABELS
from bulkcast.model import RowStatus

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
