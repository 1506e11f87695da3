"""Is ClassIn within reach, are the credentials right, is the clock? Asked without a change."""

import time
from collections.abc import Callable
from typing import Final

from bulkcast import protocol
from bulkcast.client import Client
from bulkcast.config import Config
from bulkcast.derive import explain
from bulkcast.endpoints import WEBCAST
from bulkcast.model import NoReply, Reply, Verdict
from bulkcast.pipeline.values import Diagnosis
from bulkcast.stamps import SKEW_TOLD_S, duration, side

_TIMEOUT_S: Final = 10.0
_HARMLESS: Final = (("courseId", 0),)


async def doctor(config: Config, *, wall: Callable[[], float] = time.time) -> Diagnosis:
    """Check reachability, credentials and clock with a request that can change nothing.

    It names no classroom and no setting, so ClassIn can only refuse it: a parameter error proves
    that signature and clock were accepted.
    """
    async with Client(
        config.institution.root_url,
        WEBCAST.path,
        config.credentials,
        connections=1,
        timeout=_TIMEOUT_S,
    ) as client:
        sent_at = wall()
        reply = await client.send(_HARMLESS, int(sent_at))
        off = _off(reply, sent_at)
        if abs(off) >= SKEW_TOLD_S:  # as a run would: the credentials can only be judged so
            reply = await client.send(_HARMLESS, int(wall() + off))
    findings = [_reached(config, reply)]
    if isinstance(reply, Reply):
        verdict = protocol.judge(reply, WEBCAST, now=wall())
        findings.append(_access(verdict))
        findings.append(_clock(reply, off))
    return Diagnosis(tuple(findings))


_Finding = tuple[str, bool, str]


def _reached(config: Config, reply: Reply | NoReply) -> _Finding:
    where = config.institution.root_url
    if isinstance(reply, Reply):
        return "reachability", True, f"{where} answers (HTTP {reply.status})."
    message, fix = explain(reply.code, {"detail": reply.detail}, WEBCAST)
    return "reachability", False, f"{message} {fix}"


def _access(verdict: Verdict) -> _Finding:
    if verdict.proves_access:
        return "credentials", True, "ClassIn accepts the SID and the secret."
    message, fix = explain(verdict.code, verdict.args, WEBCAST)
    return "credentials", False, f"{message} {fix}"


def _off(reply: Reply | NoReply, sent_at: float) -> float:
    """Seconds by which ClassIn's clock is later than this computer's; 0 where nothing tells."""
    match reply:
        case Reply(date=float(date)):
            return date - sent_at
        case _:
            return 0.0


def _clock(reply: Reply, off: float) -> _Finding:
    if reply.date is None:
        return "clock", True, "The answer carries no time to compare with."
    if abs(off) < SKEW_TOLD_S:
        return "clock", True, "This computer's clock agrees with ClassIn's."
    how = f"{duration(abs(off))} {side(off)}"
    return "clock", True, f"This computer's clock is {how} ClassIn's; stamps are corrected."
