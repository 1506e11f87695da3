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
from bulkcast.validator.ids import quickly, read_id, read_ids
from bulkcast.validator.moments import moment_reader
from bulkcast.validator.reading import Reader, guarding
from bulkcast.validator.texts import text_reader


def reader_for(column: Setting, *, tz: tzinfo) -> Reader:
    """The reader of `column`'s cells; `tz` is where times without an offset are meant."""
    match column.kind:
        case IdKind():
            return quickly(guarding(read_id, column))
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
