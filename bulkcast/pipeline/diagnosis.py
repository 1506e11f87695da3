"""Checks whether a run could start: sends ClassIn a harmless request, opens the ledger."""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

from bulkcast import protocol
from bulkcast.client import Client
from bulkcast.config import KEYRING, Config, of_proxy
from bulkcast.dispatcher.circuit_breaker import describe
from bulkcast.dispatcher.server_clock import SKEW_TOLERANCE_S, clock_off
from bulkcast.endpoints import WEBCAST
from bulkcast.errors import BulkcastError, CannotStart
from bulkcast.home import Home, SharedHome, folder_of
from bulkcast.i18n import Translator, marked
from bulkcast.languages import translator
from bulkcast.ledger import holder, is_begun, open_ledger, refuse_network_drive
from bulkcast.messages import explain
from bulkcast.model import Institution, ReplyClass
from bulkcast.pipeline.preparation import one_spelling
from bulkcast.protocol import NoReply, Reply, Verdict

_TIMEOUT_S: Final = 10.0
_LATER, _HUMAN, _BUSY = 5, 6, 7
_WEIGHTS: Final = (0, _BUSY, _LATER, 2, _HUMAN)
"""Exit statuses in ascending order of importance."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What `doctor` found; each finding is a name, whether the check passed, and a sentence."""

    findings: tuple[tuple[str, bool, str], ...]
    exit_status: int
    """0 if all checks passed; 6 or 2 if somebody has to fix something, 5 if it may work later, 7 if
    another run holds the institution's lock."""


class _Finding(NamedTuple):
    """One check; `status` is 0 if it passed, else an exit status."""

    name: str
    status: int
    sentence: str


async def doctor(
    config: Config, *, lang: str = "en", wall: Callable[[], float] = time.time
) -> Diagnosis:
    """Check reachability, credentials and clock with a harmless request, and the ledger.

    The request names no classroom and no setting, so ClassIn can only refuse it: a parameter error
    proves that signature and clock were accepted.  Where only the workers of a fleet have the
    secret, ClassIn is not asked.
    """
    speaks = translator(lang)
    config = replace(config, institution=one_spelling(config.institution))
    if config.missing:
        findings = [_secretless(config.missing, speaks)]
    else:
        findings = [*_of_origins(config.origins, speaks), *await _of_classin(config, speaks, wall)]
    unused = of_proxy(config)
    if unused:
        findings.append(_Finding(marked("proxy"), 0, speaks.say(unused)))
    findings += _of_home(config.ledger_home, config.institution, speaks, config.state)
    if isinstance(home := config.ledger_home, SharedHome):
        findings.append(await _of_workers(home, speaks))
    return _diagnosis(findings)


def doctor_without(why: CannotStart, home: Home, *, lang: str = "en") -> Diagnosis:
    """Check the ledger alone, if ClassIn cannot be asked because of `why`."""
    speaks = translator(lang)
    missing = speaks.tell("{why}.", why=speaks.error(why))
    return _diagnosis(
        [_Finding(marked("configuration"), why.exit_status, missing), _ledger(home, speaks)]
    )


def _diagnosis(findings: Sequence[_Finding]) -> Diagnosis:
    worst = max((finding.status for finding in findings), key=_WEIGHTS.index)
    found = tuple((name, not status, sentence) for name, status, sentence in findings)
    return Diagnosis(found, exit_status=worst)


def _of_origins(origins: Mapping[str, str], speaks: Translator) -> Iterator[_Finding]:
    """Where the credentials are from, unless they were just entered."""
    if not {"sid", "secret"} <= origins.keys():
        return
    sid, secret = origins["sid"], origins["secret"]
    told = _ORIGINS.get(secret, marked("The SID is from {sid}, the secret from {secret}."))
    yield _Finding(marked("configuration"), 0, speaks.tell(told, sid=sid, secret=secret))


_ORIGINS: Final = {
    KEYRING: marked("The SID is from {sid}, the secret from the keyring."),
    "config.toml": marked(
        "The SID is from {sid}, the secret from the file that config.toml names."
    ),
}
"""Where a secret is from → how that is said."""


def _secretless(why: CannotStart, speaks: Translator) -> _Finding:
    """That the workers of a fleet have to have the secret."""
    well = "The secret is not here: {why}. That is well, as the workers of the fleet send."
    return _Finding(marked("configuration"), 0, speaks.tell(well, why=speaks.error(why)))


async def _of_workers(home: SharedHome, speaks: Translator) -> _Finding:
    """Whether somebody is there to send what is handed in."""
    from bulkcast.pipeline import fleet_control

    name = marked("workers")
    try:
        found = await fleet_control.status(home)
    except BulkcastError as exc:
        return _Finding(name, exc.exit_status, speaks.tell("{why}.", why=speaks.error(exc)))
    n = sum(worker.is_alive for worker in found.status.workers)
    if not n:
        ill = "No worker is there, so nothing is sent: start one with `bulkcast worker`."
        return _Finding(name, _LATER, speaks.tell(ill))
    well = speaks.count("{n} worker is there.", "{n} workers are there.", n)
    return _Finding(name, 0, well)


# ------------------------------------------------------------------ ClassIn


async def _of_classin(
    config: Config, speaks: Translator, wall: Callable[[], float]
) -> Sequence[_Finding]:
    async with Client(
        config.connects_to,
        WEBCAST.path,
        config.credentials,
        connections=1,
        timeout=_TIMEOUT_S,
    ) as client:
        sent_at = wall()
        reply = await client.send(WEBCAST.harmless, int(sent_at))
        verdict = protocol.judge(reply, WEBCAST, now=sent_at)
        off = _off(verdict, reply, sent_at)
        if abs(off) >= SKEW_TOLERANCE_S:  # as a run does: only then can the credentials be checked
            reply = await client.send(WEBCAST.harmless, int(wall() + off))
    verdict = protocol.judge(reply, WEBCAST, now=wall())
    reached = _reached(config.connects_to, reply, verdict, speaks)
    if isinstance(reply, NoReply):
        return [reached]
    own = reply if verdict.code.isdigit() else replace(reply, date=None)
    return [reached, _access(verdict, speaks), _clock(own, off, speaks)]


def _reached(url: str, reply: Reply | NoReply, verdict: Verdict, speaks: Translator) -> _Finding:
    name = marked("reachability")
    if isinstance(reply, Reply):
        well = "{url} answers (HTTP {status})."
        return _Finding(name, 0, speaks.tell(well, url=url, status=reply.status))
    if reply.fatal:
        return _Finding(name, _HUMAN, _explained(verdict, speaks))
    ill = "{url} is out of reach: {what}. Check the network, then try again."
    return _Finding(name, _LATER, speaks.tell(ill, url=url, what=describe(verdict)))


def _access(verdict: Verdict, speaks: Translator) -> _Finding:
    name = marked("credentials")
    if verdict.proves_access:
        return _Finding(name, 0, speaks.tell("ClassIn accepts the SID and the secret."))
    if verdict.kind in {ReplyClass.CREDENTIALS, ReplyClass.CLOCK, ReplyClass.STOP}:
        return _Finding(name, _HUMAN, _explained(verdict, speaks))
    ill = "They cannot be checked at present: {what}. Try again later."
    return _Finding(name, _LATER, speaks.tell(ill, what=describe(verdict)))


def _explained(verdict: Verdict, speaks: Translator) -> str:
    sentences = explain(verdict.code, verdict.args, WEBCAST, speaks)
    return speaks.joined([sentence for sentence in sentences if sentence])


def _off(verdict: Verdict, reply: Reply | NoReply, sent_at: float) -> float:
    """Seconds by which ClassIn's clock is ahead of this computer's; 0 if unknown.

    Another server that answers instead, such as one with a login page, has its own clock.
    """
    match reply:
        case Reply(date=float(date)) if verdict.code.isdigit():
            return date - sent_at
        case _:
            return 0.0


def _clock(reply: Reply, off: float, speaks: Translator) -> _Finding:
    name = marked("clock")
    if reply.date is None:
        return _Finding(name, 0, speaks.tell("The answer carries no time to compare with."))
    if abs(off) < SKEW_TOLERANCE_S:
        return _Finding(name, 0, speaks.tell("This computer's clock agrees with ClassIn's."))
    return _Finding(name, 0, speaks.say(clock_off(off)))


# ------------------------------------------------------------------ the ledger


def _of_home(
    home: Home, institution: Institution, speaks: Translator, state: Path | None
) -> Iterator[_Finding]:
    found = _ledger(home, speaks)
    yield found
    held_by = None if found.status else holder(home, institution, state)
    if held_by:
        busy = "It is held by {what}; a run begins when that has ended."
        yield _Finding(marked("institution"), _BUSY, speaks.tell(busy, what=held_by))


def _ledger(home: Home, speaks: Translator) -> _Finding:
    """Whether the ledger opens, is intact and writable; if there is none, none is created."""
    name = marked("ledger")
    try:
        if is_begun(home):
            with open_ledger(home) as ledger:
                ledger.examine()
                n = len(ledger.runs())
            well = speaks.count(
                "{path} is whole and can be written; it holds {n} run.",
                "{path} is whole and can be written; it holds {n} runs.",
                n,
                path=ledger.place,
            )
            return _Finding(name, 0, well)
        refuse_network_drive(folder_of(home))
    except BulkcastError as exc:
        return _Finding(name, exc.exit_status, speaks.tell("{why}.", why=speaks.error(exc)))
    there = next(
        folder
        for folder in (folder_of(home), *folder_of(home).absolute().parents)
        if folder.exists()
    )
    if not there.is_dir() or not os.access(there, os.W_OK):
        ill = "{folder} cannot be written; set BULKCAST_HOME to a folder that can."
        return _Finding(name, 2, speaks.tell(ill, folder=there))
    well = "There is none yet; the first run makes it in {folder}."
    return _Finding(name, 0, speaks.tell(well, folder=home))
