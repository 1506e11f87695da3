"""Is ClassIn within reach, are the credentials right, is the clock? Asked without a change."""

import time
from collections.abc import Callable

from bulkcast import protocol
from bulkcast.client import Client
from bulkcast.config import Config
from bulkcast.derive import explain
from bulkcast.endpoints import WEBCAST
from bulkcast.model import NoReply, Reply, Verdict
from bulkcast.pipeline.values import Diagnosis
from bulkcast.stamps import SKEW_TOLD_S, duration, side

_TIMEOUT_S = 10.0


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
        reply = await client.send((("courseId", 0),), int(sent_at))
    findings = [_reached(config, reply)]
    if isinstance(reply, Reply):
        verdict = protocol.judge(reply, WEBCAST, now=wall())
        findings.append(_access(verdict))
        findings.append(_clock(reply, sent_at))
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


def _clock(reply: Reply, sent_at: float) -> _Finding:
    if reply.date is None:
        return "clock", True, "The answer carries no time to compare with."
    off = reply.date - sent_at
    if abs(off) < SKEW_TOLD_S:
        return "clock", True, "This computer's clock agrees with ClassIn's."
    how = f"{duration(abs(off))} {side(off)}"
    return "clock", True, f"This computer's clock is {how} ClassIn's; stamps are corrected."
