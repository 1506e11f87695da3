"""Is ClassIn within reach, are the credentials right, is the clock? Asked without a change."""

import time
from collections.abc import Callable
from typing import Final

from bulkcast import protocol
from bulkcast.client import Client
from bulkcast.config import Config
from bulkcast.derive import explain
from bulkcast.endpoints import WEBCAST
from bulkcast.languages import tongue
from bulkcast.model import NoReply, Reply, Verdict
from bulkcast.pipeline.values import Diagnosis
from bulkcast.stamps import SKEW_TOLD_S, clock_off
from bulkcast.wording import Tongue, marked

_TIMEOUT_S: Final = 10.0
_HARMLESS: Final = (("courseId", 0),)


async def doctor(
    config: Config, *, lang: str = "en", wall: Callable[[], float] = time.time
) -> Diagnosis:
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
    speaks = tongue(lang)
    findings = [_reached(config, reply, speaks)]
    if isinstance(reply, Reply):
        verdict = protocol.judge(reply, WEBCAST, now=wall())
        findings.append(_access(verdict, speaks))
        findings.append(_clock(reply, off, speaks))
    return Diagnosis(tuple(findings))


_Finding = tuple[str, bool, str]


def _reached(config: Config, reply: Reply | NoReply, speaks: Tongue) -> _Finding:
    where = config.institution.root_url
    if isinstance(reply, Reply):
        well = "{url} answers (HTTP {status})."
        return marked("reachability"), True, speaks.tell(well, url=where, status=reply.status)
    sentences = explain(reply.code, {"detail": reply.detail}, WEBCAST, speaks)
    return marked("reachability"), False, speaks.joined([*sentences])


def _access(verdict: Verdict, speaks: Tongue) -> _Finding:
    if verdict.proves_access:
        return marked("credentials"), True, speaks.tell("ClassIn accepts the SID and the secret.")
    sentences = explain(verdict.code, verdict.args, WEBCAST, speaks)
    return marked("credentials"), False, speaks.joined([*sentences])


def _off(reply: Reply | NoReply, sent_at: float) -> float:
    """Seconds by which ClassIn's clock is later than this computer's; 0 where nothing tells."""
    match reply:
        case Reply(date=float(date)):
            return date - sent_at
        case _:
            return 0.0


def _clock(reply: Reply, off: float, speaks: Tongue) -> _Finding:
    if reply.date is None:
        return marked("clock"), True, speaks.tell("The answer carries no time to compare with.")
    if abs(off) < SKEW_TOLD_S:
        return marked("clock"), True, speaks.tell("This computer's clock agrees with ClassIn's.")
    return marked("clock"), True, speaks.say(clock_off(off))
