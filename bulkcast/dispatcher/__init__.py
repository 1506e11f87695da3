"""Carries out a plan: paces, signs, sends and retries its requests, and records each attempt.

The order of each attempt is fixed: the pacer grants a slot, the intent is written to disk, the
request is signed and sent, the outcome is written to disk, and only then is it reported.

The dispatcher knows neither network nor database: it is given a `Send` and a `Journal`.  It
measures time by the event loop's clock; `wall` serves only for stamps.
"""

from bulkcast.dispatcher.dispatcher import Dispatcher, Progress, Send
from bulkcast.dispatcher.tracker import Journal

__all__ = [
    "Dispatcher",
    "Journal",
    "Progress",
    "Send",
]
