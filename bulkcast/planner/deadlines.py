"""From when on ClassIn refuses a row, and which of its settings stay free."""

from dataclasses import replace
from typing import Final

from bulkcast.catalogue import Clash, Endpoint, Lock, Role
from bulkcast.model import Body, Change, Outcome, Request, RowStatus
from bulkcast.planner.last_known import Holdings, already_set

LOCK_MARGIN_S: Final = 30
"""A row is late this long before its lock: the vendor does not say which side of 20 minutes the
boundary is on, and a request takes its time."""

_NOTHING: Final[Holdings] = {}


def locked_settings(
    body: Body, endpoint: Endpoint, holdings: Holdings = _NOTHING
) -> tuple[str, ...]:
    """The keys in a body that ClassIn refuses from 20 minutes before class on.

    Playback stays editable while recording is on; only where that is known to be off (`holdings`)
    is it held against a row.
    """
    return tuple(key for key, _ in body if _locks(key, endpoint, holdings))


def _locks(key: str, endpoint: Endpoint, holdings: Holdings) -> bool:
    match endpoint.by_key[key].lock:
        case Lock.BEFORE_CLASS:
            return True
        case Lock.UNLESS_RECORDED:
            return any(
                rule.other in holdings and holdings[rule.other].value in rule.other_values
                for rule in endpoint.rules
                if isinstance(rule, Clash) and rule.key == key
            )
        case Lock.NEVER:
            return False


def locks_at(change: Change, endpoint: Endpoint, holdings: Holdings = _NOTHING) -> int | None:
    """When the first setting of a row locks, Unix seconds; None where nothing tells."""
    if change.starts_at is None or not locked_settings(change.settings, endpoint, holdings):
        return None
    return change.starts_at - endpoint.lock_before_s


def free_settings(settings: Body, endpoint: Endpoint, holdings: Holdings) -> tuple[str, ...]:
    """The keys that could be sent after the lock, where all others are known to be set so already.

    Empty where the lock keeps back anything that may be new, or where nothing is left to send.
    """
    locked = frozenset(locked_settings(settings, endpoint, holdings))
    if not already_set(((k, v) for k, v in settings if k in locked), holdings):
        return ()
    return tuple(key for key, _ in settings if key not in locked)


def is_late(locks_at: int | None, at: float) -> bool:
    """Whether a request that leaves at `at` comes too late for its lock."""
    return locks_at is not None and at >= locks_at - LOCK_MARGIN_S


def is_refused(request: Request, at: float) -> bool:
    """Whether nothing of a request would be sent at `at`, as it is late and all of it is meant."""
    return request.once_locked == "refuse" and is_late(request.locks_at, at)


def only_free(request: Request, endpoint: Endpoint) -> Request:
    """The request without its locked settings, which nothing holds up any more."""
    settings = {c.key for c in endpoint.columns if c.role is Role.SETTING}
    body = tuple((k, v) for k, v in request.body if k not in settings or k in request.free)
    return replace(request, body=body, locks_at=None, free=())


def refusal(request: Request, endpoint: Endpoint) -> Outcome:
    """How a request ends whose settings have locked."""
    # Where only playback is locked, recording was known to be off when the request was made.
    lockable = [k for k, _ in request.body if endpoint.by_key[k].lock is not Lock.NEVER]
    locked = locked_settings(request.body, endpoint) or lockable
    args = {"settings": ", ".join(locked), "locked_at": str(request.locks_at)}
    if request.free:
        args["free"] = ", ".join(request.free)
        return Outcome(RowStatus.TOO_LATE, "plan.too_late_but_so", args)
    return Outcome(RowStatus.TOO_LATE, "plan.too_late", args)
