"""Redacts what libraries log."""

import logging
import re
from typing import Final

from bulkcast.model import Secret

_SIGNATURE: Final = re.compile(r"(?<![0-9A-Za-z])[0-9a-f]{32}(?![0-9A-Za-z])")
_HIDDEN: Final = "•••"
_LEAST_SECRET: Final = 4


class LogRedaction(logging.Filter):
    """Redacts log records; never drops one."""

    def __init__(self) -> None:
        super().__init__()
        self._secrets: set[str] = set()

    def learn(self, secret: Secret) -> None:
        """Redact `secret` from now on, unless it is so short that it occurs in ordinary words."""
        if len(secret.reveal()) >= _LEAST_SECRET:
            self._secrets.add(secret.reveal())

    def filter(self, record: logging.LogRecord) -> bool:
        """Reduce a record to its redacted message and the name of its exception."""
        raised = record.exc_info[0] if record.exc_info else None
        told = f"{record.getMessage()} ({raised.__name__})" if raised else record.getMessage()
        record.msg, record.args = self.redacted(told), ()
        record.exc_info = record.exc_text = record.stack_info = None
        return True

    def redacted(self, text: str) -> str:
        """`text` in one line, with known secrets and anything like a signature redacted.

        >>> LogRedaction().redacted("signed 4f97f55addf4921a05c2395617cd8a7b, sent")
        'signed •••, sent'
        """
        for secret in self._secrets:
            text = text.replace(secret, _HIDDEN)
        return _SIGNATURE.sub(_HIDDEN, " ".join(text.split()))


_FILTER: Final = LogRedaction()


def keep_out_of_logs(secret: Secret) -> None:
    """Redact `secret` in all later log records that no handler but `logging.lastResort` takes."""
    _FILTER.learn(secret)
    if logging.lastResort and _FILTER not in logging.lastResort.filters:
        logging.lastResort.addFilter(_FILTER)
