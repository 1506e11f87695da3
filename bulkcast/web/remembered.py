"""What an account's users have said of columns and words, for the next sheet."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from bulkcast.headers import fold
from bulkcast.home import write_private
from bulkcast.web.accounts import Account

_FILE: Final = "columns.json"
_MOST: Final = 500
"""Headers, and words of one setting, that are kept."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """What columns and words mean."""

    mapping: Mapping[str, str] = field(default_factory=dict)
    """Folded header → the key of its setting; empty for a column that is not read."""
    meanings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Setting → folded word → the text that a cell with it gets."""

    def and_columns(self, mapping: Mapping[str, str | None]) -> "Remembered":
        """The same, and what the headers of `mapping` mean; None forgets a header."""
        said = {**self.mapping, **{fold(header): key for header, key in mapping.items()}}
        kept = {header: key for header, key in said.items() if key is not None}
        return Remembered(_newest(kept), self.meanings)

    def and_words(self, setting: str, words: Mapping[str, str]) -> "Remembered":
        """The same, and what words in the column of a setting mean."""
        known = {**self.meanings.get(setting, {}), **{fold(w): text for w, text in words.items()}}
        return Remembered(self.mapping, {**self.meanings, setting: _newest(known)})


def _newest(entries: Mapping[str, str]) -> dict[str, str]:
    return dict(list(entries.items())[-_MOST:])


def load(account: Account) -> Remembered:
    """What is remembered for an account; nothing if that cannot be read."""
    try:
        found = json.loads((account.home / _FILE).read_text(encoding="utf-8"))
        meanings = {
            str(key): {str(word): str(text) for word, text in words.items()}
            for key, words in found["meanings"].items()
        }
        mapping = {str(header): str(key) for header, key in found["mapping"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return Remembered()
    return Remembered(mapping, meanings)


def save(account: Account, remembered: Remembered) -> None:
    """Write it down, for this account alone."""
    known = {"mapping": dict(remembered.mapping), "meanings": dict(remembered.meanings)}
    write_private(account.home / _FILE, json.dumps(known))
