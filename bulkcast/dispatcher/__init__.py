"""Carries out a plan: takes turns, signs late, sends, repeats what is worth repeating, records.

The order that nothing may change: a turn is granted, the intent is on disk, the request is
stamped, signed and sent, the outcome is on disk, and only then anybody hears of it.

The dispatcher knows neither network nor database: it is given a `Send` and a `Journal`.  Time is
the event loop's; `wall` is only for stamps.
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
