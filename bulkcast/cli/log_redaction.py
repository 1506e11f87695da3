"""Redacts what libraries log."""

import logging
import re
from typing import Final

from bulkcast.model import Secret

_SIGNATURE: Final = re.compile(r"(?<![0-9A-Za-z])[0-9a-f]{32}(?![0-9A-Za-z])")
_HIDDEN: Final = "•••"
_LEAST_SECRET: Final = 4


class LogRedaction(logging.Filter):
    """Lets every record pass, but not everything in it."""

    def __init__(self) -> None:
        super().__init__()
        self._secrets: set[str] = set()

    def learn(self, secret: Secret) -> None:
        """Never let `secret` be shown from now on; a very short one would tear up every word."""
        if len(secret.reveal()) >= _LEAST_SECRET:
            self._secrets.add(secret.reveal())

    def filter(self, record: logging.LogRecord) -> bool:
        """Leave of a record its sentence, redacted, and the name of what was raised."""
        raised = record.exc_info[0] if record.exc_info else None
        told = f"{record.getMessage()} ({raised.__name__})" if raised else record.getMessage()
        record.msg, record.args = self.redacted(told), ()
        record.exc_info = record.exc_text = record.stack_info = None
        return True

    def redacted(self, text: str) -> str:
        """`text` in one line, with every known secret and whatever looks like a signature hidden.

        >>> LogRedaction().redacted("signed 4f97f55addf4921a05c2395617cd8a7b, sent")
        'signed •••, sent'
        """
        for secret in self._secrets:
            text = text.replace(secret, _HIDDEN)
        return _SIGNATURE.sub(_HIDDEN, " ".join(text.split()))


_FILTER: Final = LogRedaction()


def keep_out_of_logs(secret: Secret) -> None:
    """Whatever is logged from now on, and has no handler of its own, is shown without `secret`."""
    _FILTER.learn(secret)
    if logging.lastResort and _FILTER not in logging.lastResort.filters:
        logging.lastResort.addFilter(_FILTER)
