"""Every exception bulkcast raises on purpose.

    BulkcastError            exit 1 unless a kind below says otherwise
    ├── CannotStart          exit 2: usage, configuration
    │   └── UnreadableSheet  exit 2: the file cannot be read as a sheet
    ├── NeedsHuman           exit 6: somebody has to decide or repair something first
    ├── LedgerUnwritable     exit 5: the ledger cannot be used now, as on a full disk
    │   ├── LedgerGone       exit 6: the ledger was taken away while it was in use
    │   └── LaneLost         exit 5: another worker sends for the institution now
    ├── DatabaseUnreachable  exit 5: the fleet's database does not answer
    ├── InstitutionBusy      exit 7: another run holds the institution
    └── LedgerDamaged        exit 6: the ledger contradicts its own checksums

Errors inside a row are no exceptions but `Issue`s; ClassIn's refusals are `Verdict`s.
A message is one sentence: what is wrong, where, and what would be right.  It is kept as a template
with its arguments, so that the command line can translate it.
"""

from typing import ClassVar

from bulkcast.model import Argument, Text


class BulkcastError(Exception):
    """Base of bulkcast's exceptions; `str()` is the sentence to show, in English.

    >>> str(BulkcastError("{name} is empty", name="term.csv"))
    'term.csv is empty'
    """

    exit_status: ClassVar[int] = 1

    def __init__(self, template: str, /, **words: object) -> None:
        """`template` without `words` is shown as it is, braces included."""
        sentence = template if words else template.replace("{", "{{").replace("}", "}}")
        self.text = Text(sentence, {name: _argument(word) for name, word in words.items()})
        super().__init__(str(self.text))


def _argument(word: object) -> Argument:
    if isinstance(word, BulkcastError):
        return word.text
    return word if isinstance(word, Argument) else str(word)


def system_reason(exc: OSError) -> Text:
    """What the operating system gives as the reason, such as `No space left on device`."""
    return Text(exc.strerror or type(exc).__name__)


class CannotStart(BulkcastError):
    """The command, its options or its configuration are not valid."""

    exit_status = 2


class UnreadableSheet(CannotStart):
    """The file cannot be read as a sheet of settings."""


class NeedsHuman(BulkcastError):
    """The user has to decide or repair something before the run can start."""

    exit_status = 6


class LedgerDamaged(NeedsHuman):
    """The ledger on disk differs from what was written to it."""


class LedgerUnwritable(BulkcastError):
    """The ledger cannot be used now; its content is undamaged."""

    exit_status = 5


class DatabaseUnreachable(BulkcastError):
    """The fleet's database cannot be reached now."""

    exit_status = 5


class LedgerGone(LedgerUnwritable):
    """The ledger was removed or replaced during a run."""

    exit_status = 6


class LaneLost(LedgerUnwritable):
    """Another worker has taken over an institution: nothing more may be sent or recorded here."""


class InstitutionBusy(BulkcastError):
    """Another run is sending for the same institution."""

    exit_status = 7
