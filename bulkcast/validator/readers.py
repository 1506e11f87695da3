"""The readers that a column of each kind gets."""

from datetime import tzinfo
from typing import assert_never

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
from bulkcast.validator.ids import plain_id, plain_ids, read_id, read_ids
from bulkcast.validator.moments import moment_reader
from bulkcast.validator.reading import Memory, Plain, Reader, guarding, nothing_plain
from bulkcast.validator.texts import plain_text, text_reader


def memory_for(column: Setting, *, tz: tzinfo) -> Memory:
    """What reads `column`'s cells; `tz` is where times without an offset are meant."""
    return Memory(_reader_for(column, tz), _plain_for(column))


def _plain_for(column: Setting) -> Plain:
    match column.kind:
        case IdKind():
            return plain_id
        case IdListKind():
            return plain_ids
        case TextKind() as kind:
            return plain_text(kind)
        case _:
            return nothing_plain


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
