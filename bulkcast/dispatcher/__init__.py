"""Carries out a plan: paces, signs, sends and retries its requests, and records each attempt.

The order of each attempt is fixed: the pacer grants a slot, the intent is written to disk, the
request is signed and sent, the outcome is written to disk, and only then is it reported.

The dispatcher knows neither network nor database: it is given a `Send` and a `Journal`.  It
measures time by the event loop's clock; `wall` serves only for stamps.
"""

from bulkcast.dispatcher.dispatcher import Dispatcher
from bulkcast.dispatcher.protocols import Journal, Progress, Send
from bulkcast.dispatcher.retry_policy import PASS_GAP_S, PASS_SENDS, SAME_AGAIN_S
from bulkcast.dispatcher.server_state import RETRY_AFTER_MOST_S
from bulkcast.dispatcher.tracker import SENDS_MOST, THROTTLES_MOST

__all__ = [
    "PASS_GAP_S",
    "PASS_SENDS",
    "RETRY_AFTER_MOST_S",
    "SAME_AGAIN_S",
    "SENDS_MOST",
    "THROTTLES_MOST",
    "Dispatcher",
    "Journal",
    "Progress",
    "Send",
]
