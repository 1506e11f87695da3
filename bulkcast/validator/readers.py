"""The readers that a column of each kind gets."""

from datetime import tzinfo
from typing import NamedTuple, assert_never

from bulkcast.catalogue import (
    ChoiceKind,
    IdKind,
    IdListKind,
    IntegerKind,
    MomentKind,
    Setting,
    TextKind,
)
from bulkcast.validator.choices import choice_reader, read_integer
from bulkcast.validator.ids import quickly, read_id, read_ids
from bulkcast.validator.moments import moment_reader
from bulkcast.validator.reading import Memory, Reader, guarding
from bulkcast.validator.texts import text_reader


class Readers(NamedTuple):
    """How the cells of one column are read."""

    read: Reader
    """Reads any cell."""
    recall: Reader
    """Reads a text or an integer, and nothing else; as fast as the kind of column allows."""


def readers_for(column: Setting, *, tz: tzinfo) -> Readers:
    """The readers of `column`'s cells; `tz` is where times without an offset are meant."""
    read = _reader_for(column, tz)
    if isinstance(column.kind, IdKind):
        # Ids hardly ever repeat: there is nothing to remember.
        return Readers(read, quickly(read))
    return Readers(read, Memory(read).__getitem__)


def _reader_for(column: Setting, tz: tzinfo) -> Reader:
    match column.kind:
        case IdKind():
            return guarding(read_id, column)
        case ChoiceKind() as kind:
            return guarding(choice_reader(kind), column)
        case IntegerKind():
            return guarding(read_integer, column)
        case TextKind() as kind:
            return text_reader(kind)
        case IdListKind():
            return guarding(read_ids, column)
        case MomentKind():
            return guarding(moment_reader(tz), column)
        case _ as never:
            assert_never(never)
