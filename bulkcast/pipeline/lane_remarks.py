"""What workers remark while they send a run, slice by slice; it is told as if one had sent it."""

import socket
from collections.abc import Iterable
from typing import Final

from bulkcast.config import Config, of_proxy
from bulkcast.dispatcher import Dispatcher
from bulkcast.dispatcher.server_clock import CLOCK_OFF
from bulkcast.dispatcher.server_state import add_remark
from bulkcast.dispatcher.write_ordering import WAITED
from bulkcast.i18n import marked
from bulkcast.model import Text

ON_COMPUTER: Final = marked("On {host}: {remark}")


def of_slice(dispatcher: Dispatcher, config: Config) -> list[Text]:
    """The remarks of one slice; those on the worker's computer name it, as it is not the reader's.

    `config` is that of the institution.
    """
    unused = of_proxy(config)
    named = [_on_this_computer(unused)] if unused else []
    return named + [
        _on_this_computer(remark) if remark.template in CLOCK_OFF else remark
        for remark in dispatcher.remarks
    ]


def _on_this_computer(remark: Text) -> Text:
    return Text(ON_COMPUTER, {"host": socket.gethostname(), "remark": remark})


def told(stored: Iterable[Text]) -> list[Text]:
    """The remarks of all slices of a run, each once.

    Each slice finds the same computer's clock wrong, by a second more or less, and counts the
    requests that wait anew: of these the last measure and the highest count are told.
    """
    once: dict[tuple[str, ...], Text] = {}
    others: list[Text] = []
    for remark in stored:
        key = _subject(remark)
        if key is None:
            add_remark(others, remark)
        elif key not in once or not _exceeds(once[key], remark):
            once[key] = remark
    return [*once.values(), *others]


def _subject(remark: Text) -> tuple[str, ...] | None:
    """What a remark is on, if each slice makes it anew."""
    if remark.template == WAITED:
        return (WAITED,)
    inner = remark.args.get("remark")
    if remark.template == ON_COMPUTER and isinstance(inner, Text):
        return (str(remark.args["host"]), inner.template)
    return None


def _exceeds(remark: Text, other: Text) -> bool:
    return remark.template == WAITED and int(str(remark.args["n"])) > int(str(other.args["n"]))
