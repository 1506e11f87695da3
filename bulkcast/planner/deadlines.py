"""When settings lock, and which settings of a row can still be sent then."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, Literal, Protocol

from bulkcast.arguments import Moment, SettingNames
from bulkcast.catalogue import Clash, Endpoint, Lock, Role
from bulkcast.model import Argument, Body, Change, Outcome, Request, RowStatus, Target
from bulkcast.planner.last_known import Holdings, already_set

LOCK_MARGIN_S: Final = 30
"""Seconds before the lock from which a row is too late: the vendor does not say whether 20 minutes
are included, and a request takes time."""

_NOTHING: Final[Holdings] = {}


def locked_settings(
    body: Body, endpoint: Endpoint, holdings: Holdings = _NOTHING
) -> tuple[str, ...]:
    """The keys in a body that ClassIn refuses from 20 minutes before class on.

    Playback stays editable while recording is on; it counts as locked only if recording is known
    to be off (`holdings`).
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
    """When the first setting of a row locks, Unix seconds; None if unknown."""
    if change.starts_at is None:
        return None
    if not any(_locks(key, endpoint, holdings) for key, _ in change.settings):
        return None
    return change.starts_at - endpoint.lock_before_s


def free_settings(settings: Body, endpoint: Endpoint, holdings: Holdings) -> tuple[str, ...]:
    """The keys that can be sent after the lock if all locked ones are known to be set already.

    Empty if a locked setting may be new, or if nothing is left to send.
    """
    if not holdings:
        return ()
    locked = frozenset(locked_settings(settings, endpoint, holdings))
    if not already_set(((k, v) for k, v in settings if k in locked), holdings):
        return ()
    return tuple(key for key, _ in settings if key not in locked)


def is_late(locks_at: int | None, at: float) -> bool:
    """Whether a request sent at `at`, Unix seconds, is too late for its lock."""
    return locks_at is not None and at >= locks_at - LOCK_MARGIN_S


class ForecastRequest(Protocol):
    """The part of a `model.Request` that a forecast needs."""

    @property
    def rows(self) -> tuple[int, ...]:
        """The rows that share it."""

    @property
    def target(self) -> Target:
        """The classroom."""

    @property
    def locks_at(self) -> int | None:
        """When it locks, Unix seconds, if known."""

    @property
    def once_locked(self) -> Literal["refuse", "send_free"]:
        """What to do with it after the lock."""

    @property
    def institution(self) -> str:
        """The profile it is sent for; empty if the sheet does not say."""


def is_refused(request: ForecastRequest, at: float) -> bool:
    """Whether a request would not be sent at `at` because it is too late as a whole."""
    return request.once_locked == "refuse" and is_late(request.locks_at, at)


def only_free(request: Request, endpoint: Endpoint) -> Request:
    """The request with its free settings only, and without a lock time."""
    settings = {c.key for c in endpoint.columns if c.role is Role.SETTING}
    body = tuple((k, v) for k, v in request.body if k not in settings or k in request.free)
    return replace(request, body=body, locks_at=None, free=())


def refusal(request: Request, endpoint: Endpoint) -> Outcome:
    """The outcome of a request whose settings have locked."""
    # If only playback is locked, recording was known to be off when the request was planned.
    lockable = [k for k, _ in request.body if endpoint.by_key[k].lock is not Lock.NEVER]
    locked = locked_settings(request.body, endpoint) or lockable
    args: Mapping[str, Argument] = {
        "settings": SettingNames(tuple(locked)),
        "locked_at": Moment(request.locks_at or 0),
    }
    if not request.free:
        return Outcome(RowStatus.TOO_LATE, "plan.too_late", args)
    free = SettingNames(request.free)
    return Outcome(RowStatus.TOO_LATE, "plan.too_late_but_so", {**args, "free": free})
